"""The skorch net of this package: batches of `TextDataset`, a loss of several terms, and own generators."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from skorch import NeuralNet
from skorch.callbacks import Callback, EpochTimer, PassthroughScoring
from skorch.utils import to_device
from torch import Tensor, nn

from skhimatch.network.base import HiMatchOutput
from skhimatch.network.batches import InOrder, LengthBuckets, TextDataset
from skhimatch.network.objective import BatchWeights, LossParts
from skhimatch.network.random_numbers import Generators, draw_from
from skhimatch.training.batch_parts import BatchPart, parts_of_batch
from skhimatch.training.callbacks import Decide
from skhimatch.training.processes import Processes, running_processes
from skhimatch.training.row_adam import catch_up_words

__all__ = ["NonFiniteLossError", "TrainingNet"]


# The terms of eq 8, as the columns of a history.
TERMS = "classification_loss", "joint_loss", "matching_loss"
# What a batch holds for the loss, and not for the network.
FOR_THE_LOSS = "text_weights", "pair_weights"
# Texts of the last batch whose outputs are checked after an epoch without held-out texts.
CHECKED_TEXTS = 8


class NonFiniteLossError(ArithmeticError):
    """The loss is NaN or infinite, so training stopped."""


class TrainingNet(ClassifierMixin, NeuralNet):
    """A skorch net for the networks and the objective of this package.

    `HiMatchClassifier` uses it internally. Callbacks receive it as `net`: its outputs are the logits of a
    batch, `predict_proba` returns probabilities and `predict` an indicator, both of a `TextDataset`.

    Parameters
    ----------
    *args : as in `skorch.NeuralNet`
        Network and objective.
    precision : torch.dtype
        The type of the numbers in the forward and backward pass of training. Weights and losses are float32.
    accumulation : int
        The number of parts of a batch that go through the network one after the other. The gradients are
        those of the whole batch, and the memory is that of one part.
    accelerate : bool
        Whether the processes of ``accelerate launch`` share each batch.
    layer_decay : float
        The learning rate of a layer of a pretrained encoder divided by that of the layer above.
    encoder_learning_rate : float
        The learning rate of the last layer of a pretrained encoder.
    decide : callable, optional
        Maps probabilities of shape (n, L) to a sparse indicator, for `predict`. By default a label is
        predicted if its probability is at least 0.5.
    **kwargs : as in `skorch.NeuralNet`
        Its other arguments.
    """

    # Where training draws random numbers from; None means torch's global generators.
    generators_: Generators | None = None
    # The inputs of the last training batch.
    last_inputs_: dict[str, Tensor] | None = None

    def __init__(
        self,
        *args: Any,
        precision: torch.dtype = torch.float32,
        accumulation: int = 1,
        accelerate: bool = False,
        layer_decay: float = 1.0,
        encoder_learning_rate: float = 5e-5,
        decide: Decide | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.precision = precision
        self.accumulation = accumulation
        self.accelerate = accelerate
        self.layer_decay = layer_decay
        self.encoder_learning_rate = encoder_learning_rate
        self.decide = decide

    @contextmanager
    def drawing_from(self, generators: Generators) -> Iterator[None]:
        """Draw all random numbers of training from given generators until the context ends.

        Parameters
        ----------
        generators : Generators
            For the order of the texts, dropout and negative labels.
        """
        self.generators_ = generators
        try:
            with draw_from(generators, self.module_, self.criterion_):
                yield
        finally:
            del self.generators_

    def get_iterator(self, dataset: Any, training: bool = False) -> Any:
        """Return the batches of a dataset; training batches draw from the net's generators."""
        iterator = super().get_iterator(dataset, training=training)
        if self.generators_ is not None and isinstance(iterator, LengthBuckets):
            iterator.generator = self.generators_.on(torch.device("cpu"))
        return iterator

    def get_params_for_optimizer(self, prefix: str, named_parameters: Any) -> tuple[Any, dict[str, Any]]:
        """Put a pretrained encoder's parameters into groups with their own learning rates.

        Frozen parameters are left out.

        Parameters
        ----------
        prefix : str
            The prefix of the optimizer's arguments, "optimizer".
        named_parameters : iterable of (str, Parameter)
            The parameters of network and objective.

        Returns
        -------
        args : tuple
            The optimizer's arguments by position.
        kwargs : dict
            The optimizer's arguments by name.
        """
        named = [(name, weight) for name, weight in named_parameters if weight.requires_grad]
        args, kwargs = super().get_params_for_optimizer(prefix, named)
        rates = {
            f"text_encoder.{name}": rate
            for name, rate in self.module_.text_encoder.parameter_learning_rates(
                self.encoder_learning_rate, self.layer_decay
            ).items()
        }
        if not rates or hasattr(self, "optimizer__param_groups"):
            return args, kwargs
        by_rate: dict[float | None, list[Tensor]] = {}
        for name, weight in named:
            # A compiled network has this prefix.
            by_rate.setdefault(rates.get(name.removeprefix("_orig_mod.")), []).append(weight)
        groups = [
            {"params": weights} if rate is None else {"params": weights, "lr": rate}
            for rate, weights in by_rate.items()
        ]
        return (groups,), kwargs

    def train_step_single(self, batch: Any, **fit_params: Any) -> dict[str, Any]:
        """Compute the gradients of a batch.

        Parameters
        ----------
        batch : tuple
            Inputs and targets.
        **fit_params
            Further arguments of the network.

        Returns
        -------
        dict
            ``loss``, and the logits of the batch as ``y_pred``.
        """
        self.last_inputs_ = batch[0]
        processes = running_processes() if self.accelerate else None
        if processes is not None:
            return self._train_step_in_processes(processes, batch, **fit_params)
        if self.accumulation > 1:
            return self._train_step_in_parts(batch, **fit_params)
        step = super().train_step_single(batch, **fit_params)
        return step | {"y_pred": step["y_pred"].logits.detach()}

    def _train_step_in_parts(self, batch: Any, **fit_params: Any) -> dict[str, Any]:
        """Add up the gradients of the parts of a batch."""
        self._set_training(True)
        sums, logits = self._gradients_of(self._parts(batch, self.accumulation), **fit_params)
        return self._checked_step(sums, logits)

    def _train_step_in_processes(self, processes: Processes, batch: Any, **fit_params: Any) -> dict[str, Any]:
        """Add up the gradients of the parts of a batch, each computed by one of several processes.

        The sums are those of the whole batch, so all processes keep the same weights, as in one process. The
        logits are those of this process.
        """
        self._set_training(True)
        parts = list(self._parts(batch, self.accumulation * processes.number))
        with self._own_random_numbers(processes):
            sums, logits = self._gradients_of(parts[processes.own :: processes.number], **fit_params)
        weights = [weight for group in self.optimizer_.param_groups for weight in group["params"]]
        tables = [module for module in self.module_.modules() if isinstance(module, nn.Embedding)]
        # All processes get the same sums, so all of them raise an error, or none.
        return self._checked_step(processes.add_up(weights, sums, tables), logits)

    def _checked_step(self, sums: Tensor, logits: Tensor) -> dict[str, Any]:
        """Record the terms of the loss of a batch."""
        self._check_finite(LossParts(*sums), training=True)
        for name, value in zip(TERMS, sums[1:].tolist(), strict=True):
            self.history.record_batch(name, value)
        return {"loss": sums[0], "y_pred": logits}

    @contextmanager
    def _own_random_numbers(self, processes: Processes) -> Iterator[None]:
        """Draw other numbers in each process and step, and leave the common generators as they are."""
        assert self.generators_ is not None
        step = len(self.history), len(self.history[-1, "batches"])
        entropy = [self.generators_.seed, *step, processes.own]
        seed = int(np.random.SeedSequence(entropy).generate_state(1)[0])
        with draw_from(Generators(seed), self.module_, self.criterion_):
            yield

    def _parts(self, batch: Any, number: int) -> Iterator[BatchPart]:
        inputs, targets = batch
        targets = to_device(targets, self.device)
        pairs = None
        if not self.module_.ranks_distances:
            # The matching loss is a mean over the pairs of the whole batch.
            pairs = self.criterion_.draw_pairs(targets, self._weights_of(inputs))
        return parts_of_batch(inputs, targets, pairs, number)

    def _gradients_of(self, parts: Iterable[BatchPart], **fit_params: Any) -> tuple[Tensor, Tensor]:
        """Add up the gradients of parts of a batch; return the sums of loss and terms, and the logits."""
        sums = torch.zeros(1 + len(TERMS))
        logits = [torch.zeros(0, self.module_.n_labels, device=self.device)]
        for part in parts:
            output = self.infer(part.inputs, **fit_params)
            losses = self.criterion_(output, part.targets, part.pairs, self._weights_of(part.inputs))
            losses = self.criterion_.combine(
                part.share_of_texts * losses.classification,
                part.share_of_texts * losses.joint,
                part.share_of_pairs * losses.matching,
            )
            losses.total.backward()
            terms = [losses.total, losses.classification, losses.joint, losses.matching]
            sums += torch.stack(terms).detach().cpu()
            logits.append(output.logits.detach())
        return sums, torch.cat(logits)

    def validation_step(self, batch: Any, **fit_params: Any) -> dict[str, Any]:
        """Return the loss of a validation batch, and its logits as ``y_pred``."""
        step = super().validation_step(batch, **fit_params)
        return step | {"y_pred": step["y_pred"].logits}

    def evaluation_step(self, batch: Any, training: bool = False) -> Tensor:
        """Return the logits of a batch, of shape (B, L)."""
        return super().evaluation_step(batch, training=training).logits

    def forward_iter(self, X: Any, training: bool = False, device: Any = "cpu") -> Iterator[Tensor]:
        """Yield logits, batch by batch.

        Parameters
        ----------
        X : TextDataset, or dict of tensors
            Texts, or the inputs of a single batch.
        training : bool
            Whether dropout is on. The texts then come in random order.
        device : str or torch.device
            The device of the logits.

        Yields
        ------
        float tensor of shape (B, L)
            In the order of the dataset.
        """
        if isinstance(X, dict):
            yield to_device(self.evaluation_step((X, None), training=training), device)
            return
        batches = super().forward_iter(X, training=training, device=device)
        if training or not isinstance(X, TextDataset):
            yield from batches
            return
        in_batches = torch.cat(list(batches))
        logits = torch.empty_like(in_batches)
        logits[torch.from_numpy(InOrder(X, self.batch_size).order).to(logits.device)] = in_batches
        yield from logits.split(self.batch_size)

    def predict(self, X: Any) -> NDArray[np.int64]:
        """Return the predicted labels of texts as an indicator.

        Parameters
        ----------
        X : TextDataset, or dict of tensors
            Texts, or the inputs of a single batch.

        Returns
        -------
        int64 ndarray of shape (n, L)
        """
        probabilities = self.predict_proba(X)
        if self.decide is None:
            return (probabilities >= 0.5).astype(np.int64)
        return self.decide(probabilities).toarray().astype(np.int64)

    @property
    def classes_(self) -> list[NDArray[np.int64]]:
        """The classes of each label, 0 and 1: by this scikit-learn's scorers know multi-label predictions."""
        return [np.array([0, 1])] * self.module_.n_labels

    def infer(self, x: dict[str, Tensor], **fit_params: Any) -> HiMatchOutput:
        """Run the network; the joint space is only computed in training, if the loss depends on it."""
        training = self.module_.training
        x = {name: values for name, values in x.items() if name not in FOR_THE_LOSS}
        catch_up_words(self, x["ids"])
        joint = training and self.criterion_.needs_joint_space
        short = training and self.precision != torch.float32
        with torch.autocast(torch.device(self.device).type, self.precision, enabled=short):
            output = super().infer(x, joint=joint, **fit_params)
        return replace(output, logits=output.logits.float()) if short else output

    def get_loss(
        self, y_pred: HiMatchOutput, y_true: Tensor, X: Any = None, training: bool = False
    ) -> Tensor:
        """Return the loss of eq 8; in training its terms are recorded.

        Parameters
        ----------
        y_pred : HiMatchOutput
            What the network returned.
        y_true : float tensor of shape (B, L)
            0/1 targets.
        X : dict of tensors, optional
            The inputs of the batch, with its weights if it has any.
        training : bool
            Whether this is a training batch.

        Returns
        -------
        float tensor, scalar

        Raises
        ------
        NonFiniteLossError
            If the loss is NaN or infinite.
        """
        losses = self.criterion_(y_pred, y_true.to(y_pred.logits.device), weights=self._weights_of(X))
        self._check_finite(losses, training)
        if training:
            for name in TERMS:
                self.history.record_batch(name, getattr(losses, name.removesuffix("_loss")).item())
        return losses.total

    def _weights_of(self, inputs: dict[str, Tensor] | None) -> BatchWeights | None:
        if inputs is None or "text_weights" not in inputs:
            return None
        return BatchWeights(*(inputs[name].to(self.device) for name in FOR_THE_LOSS))

    def _check_finite(self, losses: LossParts, training: bool) -> None:
        if torch.isfinite(losses.total):
            return
        epoch, batch = len(self.history), len(self.history[-1, "batches"])
        if not training:
            batch -= self.history[-1]["train_batch_count"]
        raise NonFiniteLossError(
            f"The {'training' if training else 'validation'} loss is {losses.total.item()} in epoch "
            f"{epoch}, batch {batch} (classification {losses.classification.item():.4g}, joint "
            f"{losses.joint.item():.4g}, matching {losses.matching.item():.4g}): lower `learning_rate`, "
            "and look for extreme values in `word_vectors`."
        )

    def on_epoch_end(self, net: NeuralNet, dataset_valid: Any = None, **kwargs: Any) -> None:
        """Raise an error if the last step of the epoch made weights or outputs NaN or infinite.

        Parameters
        ----------
        net : NeuralNet
            This net.
        dataset_valid : TextDataset, optional
            The held-out texts.
        **kwargs
            As `skorch.NeuralNet.on_epoch_end` takes them.

        Raises
        ------
        NonFiniteLossError
            If weights are not finite, or, if no text is held out, the outputs for texts of the last batch. No
            loss was computed with these weights yet.
        """
        super().on_epoch_end(net, dataset_valid=dataset_valid, **kwargs)
        # Before the callbacks, which read weights.
        catch_up_words(self)
        broken = [
            name for name, weight in self.module_.named_parameters() if not torch.isfinite(weight).all()
        ]
        if broken:
            raise NonFiniteLossError(
                f"The weights {broken[0]} are no longer finite after the last batch of epoch "
                f"{len(self.history)}: lower `learning_rate`, and look for extreme values in `word_vectors`."
            )
        if dataset_valid is None and self.last_inputs_ is not None:
            self._check_outputs(self.last_inputs_)

    def on_train_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Bring all word vectors up to date, before the best weights take their place.

        Parameters
        ----------
        net : NeuralNet
            This net.
        **kwargs
            As `skorch.NeuralNet.on_train_end` takes them.

        Raises
        ------
        KeyboardInterrupt
            If the user has interrupted the training before its first epoch.
        """
        # skorch catches a KeyboardInterrupt, and then reads the number of the last epoch.
        if self.history and "epoch" not in self.history[-1]:
            self.history.pop()
        if not self.history:
            raise KeyboardInterrupt("Interrupted before an epoch began.")
        super().on_train_end(net, **kwargs)
        catch_up_words(self)

    def _check_outputs(self, inputs: dict[str, Tensor]) -> None:
        """Raise an error if finite weights are so large that the outputs of some texts are not finite."""
        few = {
            name: values[:CHECKED_TEXTS].to(self.device)
            for name, values in inputs.items()
            if name not in FOR_THE_LOSS
        }
        self._set_training(False)
        with torch.no_grad():
            output = self.module_(**few)
        for values in (output.logits, output.text_embedding):
            if values is not None and not torch.isfinite(values).all():
                raise NonFiniteLossError(
                    f"The network's outputs are no longer finite after the last batch of epoch "
                    f"{len(self.history)}: lower `learning_rate`, and look for extreme values in "
                    "`word_vectors`."
                )

    @property
    def _default_callbacks(self) -> list[tuple[str, Callback]]:
        return [
            ("epoch_timer", EpochTimer()),
            *((name, PassthroughScoring(name=name, on_train=True)) for name in ("train_loss", *TERMS)),
            ("valid_loss", PassthroughScoring(name="valid_loss")),
        ]

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        state.pop("generators_", None)
        state.pop("last_inputs_", None)
        return state
