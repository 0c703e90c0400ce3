"""The callbacks of training: validation scores, one line per epoch, and checks of the user's callbacks."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from skorch import NeuralNet
from skorch.callbacks import (
    BatchScoring,
    Callback,
    EpochScoring,
    InputShapeSetter,
    LRScheduler,
    PassthroughScoring,
)
from torch import Tensor

from skhimatch.evaluation.metrics import micro_macro_f1
from skhimatch.labels.missing import without_missing
from skhimatch.progress import on_screen, progress_bar, say

__all__ = ["Decide", "EpochLine", "TrainingBar", "ValidationF1", "check_callbacks"]


Decide = Callable[[np.ndarray], sp.csr_array]

# Columns of a history that exist only if texts are held out.
VALIDATION_COLUMNS = ("valid_loss", "valid_micro_f1", "valid_macro_f1", "valid_score")


class ValidationF1(Callback):
    """Record micro-F1 and macro-F1 of the held-out texts.

    Parameters
    ----------
    decide : callable
        Maps probabilities of shape (n, L) to a sparse indicator. It should be the rule that `predict` uses.
    """

    def __init__(self, decide: Decide) -> None:
        self.decide = decide

    def on_epoch_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Start with empty lists of predictions and targets."""
        self.predicted_: list[sp.csr_array] = []
        self.targets_: list[sp.csr_array] = []
        self.weights_: list[np.ndarray] = []

    def on_batch_end(
        self,
        net: NeuralNet,
        batch: Any = None,
        training: bool = False,
        y_pred: Tensor | None = None,
        **kwargs: Any,
    ) -> None:
        """Store predictions and targets of a validation batch."""
        if not training and y_pred is not None:
            predicted = self.decide(torch.sigmoid(y_pred).cpu().numpy())
            self.targets_.append(sp.csr_array(batch[1].numpy()))
            if "text_weights" in batch[0]:
                # A pair of weight 0 has no known target.
                predicted = without_missing(predicted, sp.csr_array(batch[0]["pair_weights"].numpy() == 0))
                self.weights_.append(batch[0]["text_weights"].double().numpy())
            self.predicted_.append(predicted)

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Record the scores of the epoch."""
        weights = np.concatenate(self.weights_) if self.weights_ else None
        micro, macro = micro_macro_f1(sp.vstack(self.targets_), sp.vstack(self.predicted_), weights)
        net.history.record("valid_micro_f1", micro)
        net.history.record("valid_macro_f1", macro)
        net.history.record("valid_score", micro + macro)
        self.predicted_, self.targets_, self.weights_ = [], [], []


class EpochLine(Callback):
    """Record the texts per second of each epoch, and say one line per epoch."""

    def on_epoch_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Store the time at which the epoch begins."""
        self.started_ = time.perf_counter()
        self.texts_ = 0

    def on_batch_end(self, net: NeuralNet, training: bool = False, **kwargs: Any) -> None:
        """Count the texts of a training batch."""
        if training:
            self.texts_ += net.history[-1, "batches", -1, "train_batch_size"]
            self.seconds_ = time.perf_counter() - self.started_

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Record the speed, and say losses and scores."""
        net.history.record("docs_per_second", self.texts_ / self.seconds_)
        epoch = net.history[-1]
        line = (
            f"epoch {epoch['epoch']:>3}/{net.max_epochs} | loss {epoch['train_loss']:.3f}: classification "
            f"{epoch['classification_loss']:.3f}, joint {epoch['joint_loss']:.3f}, "
            f"matching {epoch['matching_loss']:.3f}"
        )
        if "valid_score" in epoch:
            micro, macro = epoch["valid_micro_f1"], epoch["valid_macro_f1"]
            line += f" | validation F1 {micro:.3f} micro, {macro:.3f} macro"
        say(f"{line} | {epoch['docs_per_second']:.0f} docs/s", shown=bool(net.verbose))


class TrainingBar(Callback):
    """Show how much time is left until the last epoch, in a terminal or notebook.

    Parameters
    ----------
    n_texts : int
        The number of training texts.
    """

    def __init__(self, n_texts: int) -> None:
        self.n_texts = n_texts

    def on_train_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Begin with what earlier epochs have done."""
        shown = bool(net.verbose) and on_screen()
        self.bar_ = progress_bar(net.max_epochs * self.n_texts, "train", shown=shown)
        self.bar_.update(len(net.history) * self.n_texts)

    def on_batch_end(self, net: NeuralNet, training: bool = False, **kwargs: Any) -> None:
        """Count the texts of a training batch."""
        if training:
            self.bar_.update(net.history[-1, "batches", -1, "train_batch_size"])

    def on_train_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Leave the bar as it is."""
        self.bar_.close()


def check_callbacks(callbacks: Sequence[Any], *, has_validation: bool, schedule: str) -> None:
    """Refuse callbacks of the user that cannot work in this training.

    Parameters
    ----------
    callbacks : sequence of skorch callbacks
        In any form that skorch takes: instances, classes, or tuples of a name and one of these.
    has_validation : bool
        Whether texts are held out.
    schedule : {"one-cycle", "constant"}
        The built-in schedule of the learning rate.

    Raises
    ------
    ValueError
        If there is a second schedule of the learning rate beside the built-in one, if a callback monitors a
        validation score and no texts are held out, or if a callback changes how the network is constructed.
    """
    given = list(_instances(callbacks))
    missing = set() if has_validation else {*VALIDATION_COLUMNS, *_validation_scores(given)}
    for callback in given:
        name = type(callback).__name__
        if isinstance(callback, LRScheduler) and schedule != "constant":
            raise ValueError(
                f"callbacks holds a {name}, which would change the learning rate of the built-in schedule "
                f"{schedule!r} a second time: pass schedule='constant' to use your own schedule."
            )
        if isinstance(callback, InputShapeSetter):
            raise ValueError(
                f"callbacks holds an {name}, which sets an argument of the network's constructor, but the "
                "network exists before callbacks run: leave the callback out. The input size follows from "
                "the vocabulary."
            )
        monitor = getattr(callback, "monitor", None)
        column = monitor.removesuffix("_best") if isinstance(monitor, str) else None
        if column in missing:
            instead = "train_loss" + ("_best" if column != monitor else "")
            raise ValueError(
                f"callbacks holds a {name} that monitors {monitor!r}, which does not exist here, because no "
                f"texts are held out: pass {name}(monitor={instead!r}), or hold out texts by "
                "`validation_fraction` or `X_val` and `y_val` (partial_fit never holds out any)."
            )


def _instances(callbacks: Sequence[Any]) -> Iterator[Callback]:
    for item in callbacks:
        callback = item[1] if isinstance(item, tuple) else item
        if callback is not None:
            yield callback() if isinstance(callback, type) else callback


def _validation_scores(callbacks: Sequence[Callback]) -> set[str]:
    """Return the names of the columns that scoring callbacks record of held-out texts."""
    return {
        str(callback.name or getattr(callback, "scoring", None))
        for callback in callbacks
        if isinstance(callback, BatchScoring | EpochScoring | PassthroughScoring) and not callback.on_train
    }
