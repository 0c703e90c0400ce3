"""Texts with their targets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

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
        Their 0/1 targets.
    """

    texts: Any
    targets: sp.csr_array

    def __len__(self) -> int:
        return len(self.texts)

    def pick(self, rows: NDArray[np.int64]) -> LabelledTexts:
        """Return some of them, in the order of `rows`."""
        texts = self.texts
        picked = texts[rows] if isinstance(texts, Texts) else [texts[row] for row in rows]
        return LabelledTexts(picked, self.targets[rows])
