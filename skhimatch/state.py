"""The result of a fit."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skhimatch.choices import Choices
from skhimatch.evaluation.decisions import DecisionRule
from skhimatch.evaluation.metrics import MicroMacroF1
from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.network.base import Network
from skhimatch.scores.ensemble import Ensemble
from skhimatch.text.sequences import Vocabulary

__all__ = ["EpochRecord", "FittedState"]

# What skorch records of an epoch: losses, scores, seconds.
EpochRecord = dict[str, Any]


@dataclass(frozen=True, eq=False)
class FittedState:
    """Everything that a fitted classifier predicts with.

    Attributes
    ----------
    hierarchy : LabelHierarchy
        The L labels, in column order.
    tokenizer : transformer or None
        Fitted; None if the texts came as `TokenSequences`.
    vocabulary : Vocabulary
        The known words.
    ensemble : Ensemble
        The trained scorers, and how their scores are added.
    decision : DecisionRule
        Turns probabilities into labels.
    label_embeddings : float32 ndarray of shape (L, d_phi)
        The labels' coordinates in the joint space (eq 4), unit rows.
    validation_f1 : MicroMacroF1 or None
        The scores on held-out texts; None without any, and after `partial_fit`.
    history : tuple of dict
        One record for each epoch of the main network.
    sparse_output : bool
        Whether predictions are sparse, since the targets were.
    seed : int
        The seed of all draws.
    choices : Choices
        What was chosen where a parameter is "auto".
    """

    hierarchy: LabelHierarchy
    tokenizer: Any
    vocabulary: Vocabulary
    ensemble: Ensemble
    decision: DecisionRule
    label_embeddings: NDArray[np.float32]
    validation_f1: MicroMacroF1 | None
    history: tuple[EpochRecord, ...]
    sparse_output: bool
    seed: int
    choices: Choices

    @cached_property
    def classes(self) -> NDArray[np.object_]:
        """The labels, an array of str, shape (L,)."""
        return np.asarray(self.hierarchy.labels, dtype=object)

    @property
    def network_name(self) -> str:
        """The name of the network of the encoder that the user chose."""
        return "pretrained" if "pretrained" in self.ensemble.networks else "words"

    @property
    def network(self) -> Network:
        """The network of the encoder that the user chose."""
        return self.ensemble.networks[self.network_name].network

    @property
    def word_network(self) -> Network | None:
        """The network of words beside a pretrained encoder; None if there is none."""
        networks = self.ensemble.networks
        return networks["words"].network if {"words", "pretrained"} <= set(networks) else None
