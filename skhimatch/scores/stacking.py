"""From several scores of a text and a label to one probability."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

__all__ = ["Calibration"]

# Pairs of a text and a label that a handful of numbers is learned from: more add nothing.
MOST_PAIRS = 2_000_000


@dataclass(frozen=True)
class Calibration:
    """A weighted sum of scores, as log-odds.

    logit = sum_k weight_k score_k + intercept, the same for all labels, by logistic regression.

    Attributes
    ----------
    weights : tuple of float
        A weight a kind of score.
    intercept : float

    Examples
    --------
    >>> calibration = Calibration((2.0, 1.0), -0.5)
    >>> calibration([np.array([[1.0, -1.0]]), np.array([[0.5, -0.5]])])
    array([[ 2., -3.]], dtype=float32)
    """

    weights: tuple[float, ...]
    intercept: float

    @classmethod
    def learn(
        cls,
        scores: Sequence[NDArray[np.float32]],
        targets: sp.csr_array,
        shortlist: NDArray[np.int64] | None = None,
    ) -> Calibration | None:
        """Learn from texts that the scores' own models have not seen.

        Parameters
        ----------
        scores : sequence of arrays of shape (n, L)
            Each the higher, the more a label fits.
        targets : csr_array of shape (n, L)
            0/1 targets.
        shortlist : int64 array of shape (n, K), optional
            The labels of each text to learn from, all by default. Hopeless ones in thousands would
            outweigh those on which something is to be decided.

        Returns
        -------
        Calibration or None
            A score that tells nothing beside the others has the weight 0. None where no score
            tells anything, or the labels are on all of the texts or on none.
        """
        width = targets.shape[1] if shortlist is None else shortlist.shape[1]
        rows = slice(None, max(1, MOST_PAIRS // width))
        at = np.s_[:] if shortlist is None else (np.arange(len(shortlist[rows]))[:, None], shortlist[rows])
        wanted = targets[rows].toarray()[at].ravel() > 0
        if wanted.all() or not wanted.any():
            return None
        columns = np.column_stack([score[rows][at].ravel() for score in scores])
        used = list(range(len(scores)))
        while used:
            fitted = LogisticRegression(tol=1e-6, max_iter=1000).fit(columns[:, used], wanted)
            least = int(fitted.coef_[0].argmin())
            if fitted.coef_[0, least] > 0:
                weights = np.zeros(len(scores))
                weights[used] = fitted.coef_[0]
                return cls(tuple(weights.tolist()), float(fitted.intercept_[0]))
            # By definition more of a score never makes a label less likely.
            del used[least]
        return None

    def __call__(self, scores: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
        """Return the log-odds, float32 of shape (n, L).

        Parameters
        ----------
        scores : sequence of arrays of shape (n, L)
            As many as `weights`.
        """
        logits = np.full(scores[0].shape, self.intercept, dtype=np.float32)
        for weight, score in zip(self.weights, scores, strict=True):
            logits += np.float32(weight) * score
        return logits
