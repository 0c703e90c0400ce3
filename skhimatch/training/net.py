"""The skorch net: ragged batches, a typed output, a loss in parts, learning rates of a pretrained encoder."""

from collections import Counter
from dataclasses import replace
from typing import Any

import torch
from skorch import NeuralNet
from skorch.callbacks import (
    Callback,
    EpochTimer,
    PassthroughScoring,
)
from torch import Tensor

from skhimatch.network.base import HiMatchOutput, Network
from skhimatch.network.transformer import TransformerEncoder

__all__ = ["NonFiniteLossError", "TrainingNet"]


# Of eq 8, as a history calls them.
TERMS = "classification_loss", "joint_loss", "matching_loss"


class NonFiniteLossError(ArithmeticError):
    """The loss became NaN or infinite, so that training had to stop."""


class TrainingNet(NeuralNet):
    """skorch's net, taught ragged batches, a typed output and a loss in parts.

    The public estimator composes this class; it is no estimator for users.

    Parameters
    ----------
    *args, **kwargs
        As `skorch.NeuralNet` takes them.
    precision : torch.dtype
        The numbers that training computes with; weights, losses and all else stay float32.
    accumulation : int
        Into how many parts a batch is cut, one after the other, before a step: its gradients are those of
        the whole, with the memory of a part.
    layer_decay : float
        How many times the learning rate of a layer that of the layer below is, in a pretrained encoder.
    encoder_learning_rate : float
        Of the last layer of a pretrained encoder.
    """

    def __init__(
        self,
        *args: Any,
        precision: torch.dtype = torch.float32,
        accumulation: int = 1,
        layer_decay: float = 1.0,
        encoder_learning_rate: float = 5e-5,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.precision = precision
        self.accumulation = accumulation
        self.layer_decay = layer_decay
        self.encoder_learning_rate = encoder_learning_rate

    def get_params_for_optimizer(self, prefix: str, named_parameters: Any) -> tuple[Any, dict[str, Any]]:
        """Let a pretrained encoder learn at its own rates, and leave out what is frozen."""
        named = [(name, weight) for name, weight in named_parameters if weight.requires_grad]
        args, kwargs = super().get_params_for_optimizer(prefix, named)
        rates = _encoder_rates(self.module_, self.encoder_learning_rate, self.layer_decay)
        if not rates or hasattr(self, "optimizer__param_groups"):
            return args, kwargs
        by_rate: dict[float | None, list[Tensor]] = {}
        for name, weight in named:
            by_rate.setdefault(rates.get(name), []).append(weight)
        groups = [
            {"params": weights} if rate is None else {"params": weights, "lr": rate}
            for rate, weights in by_rate.items()
        ]
        return (groups,), kwargs

    def train_step_single(self, batch: Any, **fit_params: Any) -> dict[str, Any]:
        """Add up the gradients of a batch, in parts where it is too large for one."""
        parts = _parts_of(batch, self.accumulation)
        if len(parts) == 1:
            return super().train_step_single(batch, **fit_params)
        self._set_training(True)
        total, terms = torch.zeros(()), Counter[str]()
        for inputs, targets in parts:
            share = len(targets) / len(batch[1])
            predicted = self.infer(inputs, **fit_params)
            loss = share * self.get_loss(predicted, targets, X=inputs, training=True)
            loss.backward()
            total += loss.detach().cpu()
            for name in TERMS:
                terms[name] += share * self.history[-1, "batches", -1, name]
        for name in TERMS:
            self.history.record_batch(name, terms[name])
        return {"loss": total, "y_pred": predicted}

    def infer(self, x: dict[str, Tensor], **fit_params: Any) -> HiMatchOutput:
        """Run the network; the joint space only where the loss will look at it."""
        training = self.module_.training
        joint = training and self.criterion_.needs_joint_space
        short = training and self.precision != torch.float32
        with torch.autocast(torch.device(self.device).type, self.precision, enabled=short):
            output = super().infer(x, joint=joint, **fit_params)
        return replace(output, logits=output.logits.float()) if short else output

    def get_loss(
        self, y_pred: HiMatchOutput, y_true: Tensor, X: Any = None, training: bool = False
    ) -> Tensor:
        """Return eq 8 and put its terms on record."""
        parts = self.criterion_(y_pred, y_true.to(y_pred.logits.device))
        if not torch.isfinite(parts.total):
            epoch, batch = len(self.history), len(self.history[-1, "batches"])
            if not training:
                batch -= self.history[-1]["train_batch_count"]
            raise NonFiniteLossError(
                f"The {'training' if training else 'validation'} loss is {parts.total.item()} in epoch "
                f"{epoch}, batch {batch} (classification {parts.classification.item():.4g}, joint "
                f"{parts.joint.item():.4g}, matching {parts.matching.item():.4g}): lower `learning_rate`, "
                "and look for extreme values in `word_vectors`."
            )
        if training:
            for name in TERMS:
                self.history.record_batch(name, getattr(parts, name.removesuffix("_loss")).item())
        return parts.total

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Refuse an epoch whose last step broke the weights, which no loss has seen yet."""
        super().on_epoch_end(net, **kwargs)
        broken = [
            name for name, weight in self.module_.named_parameters() if not torch.isfinite(weight).all()
        ]
        if broken:
            raise NonFiniteLossError(
                f"The weights {broken[0]} are no longer finite after the last batch of epoch "
                f"{len(self.history)}: lower `learning_rate`, and look for extreme values in `word_vectors`."
            )

    @property
    def _default_callbacks(self) -> list[tuple[str, Callback]]:
        losses = ("train_loss", *TERMS)
        return [
            ("epoch_timer", EpochTimer()),
            *((name, PassthroughScoring(name=name, on_train=True)) for name in losses),
        ]


def _encoder_rates(network: Network, rate: float, layer_decay: float) -> dict[str, float]:
    """Return the learning rates of a pretrained encoder's weights, by their names; none of another one's."""
    encoder = network.text_encoder
    if not isinstance(encoder, TransformerEncoder):
        return {}
    layers = list(encoder.layers)
    height = {id(weight): number for number, layer in enumerate(layers, 1) for weight in layer.parameters()}
    return {
        name: rate * layer_decay ** (len(layers) - height.get(id(weight), 0))
        for name, weight in network.named_parameters()
        if name.startswith("text_encoder.")
    }


def _parts_of(batch: Any, number: int) -> list[Any]:
    """Cut a batch into parts of about one size; ids lose the padding that a part does not need."""
    inputs, targets = batch
    parts = []
    for rows in torch.arange(len(targets)).tensor_split(min(number, len(targets))):
        part = {name: values[rows] for name, values in inputs.items()}
        if not part["ids"].is_floating_point():
            part["ids"] = part["ids"][:, : max(1, int(part["lengths"].max()))]
        parts.append((part, targets[rows]))
    return parts
