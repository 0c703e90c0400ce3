"""Texts with their targets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from skhimatch.labels.weights import TextWeights
from skhimatch.text.sequences import Texts

__all__ = ["LabelledTexts"]


@dataclass(frozen=True)
class LabelledTexts:
    """Texts and their targets.

    Attributes
    ----------
    texts : list of str, list of lists of str, TokenSequences or SubwordSequences
        n texts.
    targets : csr_array of shape (n, L), float32
        Their 0/1 targets; 0 where a target is missing.
    weights : TextWeights or None
        How much they count, and which targets are missing; None if all count the same and none is missing.
    """

    texts: Any
    targets: sp.csr_array
    weights: TextWeights | None = None

    def __len__(self) -> int:
        return len(self.texts)

    def pick(self, rows: NDArray[np.int64]) -> LabelledTexts:
        """Return some of them, in the order of `rows`."""
        texts = self.texts
        picked = texts[rows] if isinstance(texts, Texts) else [texts[row] for row in rows]
        weights = None if self.weights is None else self.weights.pick(rows)
        return LabelledTexts(picked, self.targets[rows], weights)

    @property
    def sample_weight(self) -> NDArray[np.float64] | None:
        """The weights of the texts, of shape (n,)."""
        return None if self.weights is None else self.weights.texts

    @property
    def missing(self) -> sp.csr_array | None:
        """Where targets are missing, of shape (n, L)."""
        return None if self.weights is None else self.weights.missing
