"""What a training net records and prints after each epoch."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from skorch import NeuralNet
from skorch.callbacks import (
    Callback,
)

from skhimatch.evaluation.metrics import micro_macro_f1
from skhimatch.network.base import HiMatchOutput

__all__ = ["Decide", "EpochLine", "ValidationF1"]


Decide = Callable[[np.ndarray], sp.csr_array]


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
