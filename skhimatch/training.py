"""The training room: skorch's loop around the network and the objective."""

import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from sklearn.exceptions import ConvergenceWarning
from skorch import NeuralNet
from skorch.callbacks import (
    Callback,
    EarlyStopping,
    EpochTimer,
    GradientNormClipping,
    LRScheduler,
    PassthroughScoring,
)
from skorch.helper import predefined_split
from torch import Tensor

from skhimatch.batching import InOrder, LengthBuckets, TextDataset
from skhimatch.checkpoints import EpochCheckpoint
from skhimatch.joint_space import HiMatchOutput
from skhimatch.metrics import micro_macro_f1
from skhimatch.network import Network
from skhimatch.objective import HiMatchLoss
from skhimatch.transformer_encoder import TransformerEncoder

__all__ = [
    "NonFiniteLossError",
    "TrainingNet",
    "resolve_device",
    "resolve_precision",
    "seeded",
    "train",
    "train_one_epoch",
]

Decide = Callable[[np.ndarray], sp.csr_array]

# Past this norm a gradient is scaled down; sums over labels make for large ones.
GRADIENT_NORM = 5.0

WARM_UP = 0.1
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


class ValidationF1(Callback):
    """Record micro- and macro-F1 of the held-out texts, decided as `predict` will.

    Parameters
    ----------
    decide : callable
        Probabilities of shape (n, L) to a sparse indicator.
    """

    def __init__(self, decide: Decide) -> None:
        self.decide = decide

    def on_epoch_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Forget the last epoch."""
        self.predicted_: list[sp.csr_array] = []
        self.targets_: list[sp.csr_array] = []

    def on_batch_end(
        self,
        net: NeuralNet,
        batch: Any = None,
        training: bool = False,
        y_pred: HiMatchOutput | None = None,
        **kwargs: Any,
    ) -> None:
        """Decide a validation batch."""
        if not training and y_pred is not None:
            self.predicted_.append(self.decide(torch.sigmoid(y_pred.logits).cpu().numpy()))
            self.targets_.append(sp.csr_array(batch[1].numpy()))

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Put the scores on record."""
        micro, macro = micro_macro_f1(sp.vstack(self.targets_), sp.vstack(self.predicted_))
        net.history.record("valid_micro_f1", micro)
        net.history.record("valid_macro_f1", macro)
        net.history.record("valid_score", micro + macro)
        self.predicted_, self.targets_ = [], []


class EpochLine(Callback):
    """Record texts a second and print one line an epoch."""

    def on_epoch_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Start the clock."""
        self.started_ = time.perf_counter()
        self.texts_ = 0

    def on_batch_end(self, net: NeuralNet, training: bool = False, **kwargs: Any) -> None:
        """Count texts while training."""
        if training:
            self.texts_ += net.history[-1, "batches", -1, "train_batch_size"]
            self.seconds_ = time.perf_counter() - self.started_

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Print what happened."""
        net.history.record("docs_per_second", self.texts_ / self.seconds_)
        if not net.verbose:
            return
        epoch = net.history[-1]
        line = (
            f"epoch {epoch['epoch']:>3}/{net.max_epochs} | loss {epoch['train_loss']:.3f}: classification "
            f"{epoch['classification_loss']:.3f}, joint {epoch['joint_loss']:.3f}, "
            f"matching {epoch['matching_loss']:.3f}"
        )
        if "valid_score" in epoch:
            micro, macro = epoch["valid_micro_f1"], epoch["valid_macro_f1"]
            line += f" | validation F1 {micro:.3f} micro, {macro:.3f} macro"
        print(f"{line} | {epoch['docs_per_second']:.0f} docs/s", flush=True)


def resolve_device(device: str) -> torch.device:
    """Choose where to compute.

    Parameters
    ----------
    device : str
        "auto" is an NVIDIA GPU where there is one, else the CPU; anything
        else is a name that torch knows.

    Returns
    -------
    torch.device

    Raises
    ------
    ValueError
        When torch does not know the name, or the machine lacks the device.

    Examples
    --------
    >>> resolve_device("cpu")
    device(type='cpu')
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"device={device!r} is no device that torch knows: {error}") from None
    if resolved.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device={device!r} but torch sees no CUDA device: use device='auto' or 'cpu'.")
    return resolved


def resolve_precision(precision: str, device: torch.device, pretrained: bool = False) -> torch.dtype:
    """Choose the numbers that training computes with.

    Parameters
    ----------
    precision : {"auto", "float32", "bfloat16"}
        "auto" is bfloat16 on an NVIDIA GPU that computes with it, and for a pretrained encoder on a CPU that
        does, else float32: what the device can do decides, never how fast it was, so that refits stay equal.
    device : torch.device
        Where to train.
    pretrained : bool
        Whether there is a pretrained encoder, whose large products gain by it on a CPU as well.

    Returns
    -------
    torch.dtype

    Examples
    --------
    >>> resolve_precision("auto", torch.device("cpu"))
    torch.float32
    """
    if precision == "auto":
        if device.type == "cuda":
            able = torch.cuda.is_bf16_supported(including_emulation=False)
        else:
            able = pretrained and device.type == "cpu" and _cpu_has_bfloat16()
        return torch.bfloat16 if able else torch.float32
    return torch.bfloat16 if precision == "bfloat16" else torch.float32


def _cpu_has_bfloat16() -> bool:
    """Whether the CPU has products of bfloat16 numbers; torch emulates them at half the speed elsewhere."""
    tests = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, test, bool)() for test in tests)


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch for a while, and give the caller's random state back afterwards."""
    devices = [device.index or 0] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.random.default_generator.manual_seed(seed)
        if devices:
            torch.cuda.manual_seed(seed)
        yield


def build_training_net(
    network: Network,
    criterion: HiMatchLoss,
    *,
    learning_rate: float,
    encoder_learning_rate: float,
    batch_size: int,
    max_epochs: int,
    device: torch.device,
    precision: torch.dtype,
    callbacks: Sequence[Any],
    net_params: dict[str, Any],
    verbose: int,
    validation: TextDataset | None = None,
    decide: Decide | None = None,
) -> TrainingNet:
    """Put network, objective, optimiser and callbacks together in one skorch net."""
    own: list[Callback] = [GradientNormClipping(GRADIENT_NORM)]
    if validation is not None and decide is not None:
        own.append(ValidationF1(decide))
    # The line shows the scores, and has to be out before a callback stops the training.
    own.append(EpochLine())
    settings: dict[str, Any] = {
        "optimizer": torch.optim.Adam,
        "optimizer__fused": True,
        "lr": learning_rate,
        "batch_size": batch_size,
        "max_epochs": max_epochs,
        "iterator_train": LengthBuckets,
        "iterator_valid": InOrder,
        "train_split": None if validation is None else predefined_split(validation),
        "callbacks": [*own, *callbacks],
        "device": device,
        "precision": precision,
        "encoder_learning_rate": encoder_learning_rate,
        "verbose": verbose,
    } | net_params
    if settings["optimizer"] is not torch.optim.Adam and "optimizer__fused" not in net_params:
        del settings["optimizer__fused"]
    return TrainingNet(network, criterion, **settings).initialize()


def train(
    network: Network,
    criterion: HiMatchLoss,
    training: TextDataset,
    validation: TextDataset | None,
    *,
    decide: Decide,
    max_epochs: int,
    batch_size: int,
    learning_rate: float,
    encoder_learning_rate: float,
    schedule: str,
    patience: int | None,
    device: torch.device,
    precision: torch.dtype,
    callbacks: Sequence[Any] | None,
    net_params: dict[str, Any],
    verbose: int,
    checkpoint: EpochCheckpoint | None = None,
) -> list[dict[str, Any]]:
    """Fit the network in place; its best epoch's weights remain.

    Parameters
    ----------
    network, criterion
        What to train and by which objective; moved to `device`.
    training, validation : TextDataset
        Without a validation set every epoch runs and the last one counts.
    decide : callable
        Probabilities to indicator, for the validation scores.
    max_epochs, batch_size, learning_rate, encoder_learning_rate
        As in the classifier.
    schedule : {"one-cycle", "constant"}
        "one-cycle" warms up to `learning_rate` and decays to zero.
    patience : int or None
        Epochs in a row below the best micro-F1 + macro-F1 before stopping.
    device : torch.device
        Where to train.
    precision : torch.dtype
        The numbers to train with.
    callbacks : sequence of skorch callbacks, or None
        Run after the built-in ones.
    net_params : dict
        Further arguments of ``skorch.NeuralNet``.
    verbose : int
        0 is silent.
    checkpoint : EpochCheckpoint, optional
        Keeps each epoch on disk; training goes on from those that are there.

    Returns
    -------
    list of dict
        One record an epoch.

    Raises
    ------
    NonFiniteLossError
        When the loss is NaN or infinite before any epoch is complete. After
        one, its weights are restored with a ConvergenceWarning instead.
    KeyboardInterrupt
        When interrupted before any epoch is complete. After one, the best
        epoch's weights remain.
    """
    # Without validation no epoch is better than a later one.
    monitor = "epoch" if validation is None else "valid_score"
    own: list[Callback] = []
    if schedule == "one-cycle":
        # One step more than batches: OneCycleLR refuses to go past its end.
        steps = max_epochs * -(-len(training) // batch_size) + 1
        own.append(
            LRScheduler(
                policy=_one_cycle,
                total_steps=steps,
                step_every="batch",
            )
        )
    own.append(
        EarlyStopping(
            monitor,
            patience=-1 if patience is None else patience,
            # As good as the best is better: a small validation set has many ties, and the later
            # epoch knows more.
            threshold=-1e-9,
            threshold_mode="abs",
            lower_is_better=False,
            load_best=True,
        )
    )
    net = build_training_net(
        network,
        criterion,
        learning_rate=learning_rate,
        encoder_learning_rate=encoder_learning_rate,
        batch_size=batch_size,
        max_epochs=max_epochs,
        device=device,
        precision=precision,
        callbacks=[*own, *(callbacks or []), *([] if checkpoint is None else [checkpoint])],
        net_params=net_params,
        verbose=verbose,
        validation=validation,
        decide=decide,
    )
    try:
        net.partial_fit(training, epochs=max_epochs - (0 if checkpoint is None else checkpoint.n_done))
    except NonFiniteLossError as error:
        complete = _complete_epochs(net)
        if not complete:
            raise
        # Make the interrupted epoch count for nothing, so that the best one is restored.
        net.notify("on_train_end", X=training, y=None)
        warnings.warn(
            f"{error} The weights of the best of {len(complete)} complete epochs were restored.",
            ConvergenceWarning,
            stacklevel=2,
        )
    return _more_epochs(net, 0)


def _one_cycle(
    optimizer: torch.optim.Optimizer, *, total_steps: int, last_epoch: int = -1
) -> torch.optim.lr_scheduler.OneCycleLR:
    """Warm each group of weights up to its learning rate, then decay it to zero."""
    # A warm-up that ends with the very first step is divided by its length, zero.
    warm_up = WARM_UP if WARM_UP * total_steps != 1 else 1.5 * WARM_UP
    return torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=[group["lr"] for group in optimizer.param_groups],
        total_steps=total_steps,
        pct_start=warm_up,
        cycle_momentum=False,
        last_epoch=last_epoch,
    )


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


def train_one_epoch(net: TrainingNet, training: TextDataset) -> dict[str, Any]:
    """Run one more epoch of a net that `build_training_net` made, and return its record."""
    complete = len(_complete_epochs(net))
    net.partial_fit(training, epochs=1)
    return _more_epochs(net, complete)[-1]


def _more_epochs(net: TrainingNet, before: int) -> list[dict[str, Any]]:
    """Return the complete epochs, of which there have to be more than before."""
    complete = _complete_epochs(net)
    if len(complete) == before:
        # skorch takes an interrupt for a wish to keep what was learned; here that is nothing.
        raise KeyboardInterrupt("Interrupted before an epoch was complete.")
    return complete


def _complete_epochs(net: TrainingNet) -> list[dict[str, Any]]:
    """Return a record an epoch that reached its end, without the batches."""
    return [
        {
            name: value
            for name, value in epoch.items()
            if name != "batches" and not name.endswith(("_best", "_batch_count"))
        }
        for epoch in net.history
        if "docs_per_second" in epoch
    ]
