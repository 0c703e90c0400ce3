"""Stacking: from several scores of a text and a label to one log-odds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

__all__ = ["StackingWeights", "as_probabilities"]

# Pairs of a text and a label from which the few weights are learned. More pairs do not change them.
MAX_PAIRS = 2_000_000


@dataclass(frozen=True)
class StackingWeights:
    """A weighted sum of scores, as log-odds.

    logit = sum_k weight_k score_k + intercept, the same for all labels, learned by logistic regression.

    Attributes
    ----------
    weights : mapping of str to float
        The weight of each score, by the scorer's name.
    intercept : float

    Examples
    --------
    >>> stacking = StackingWeights({"ngrams": 2.0, "words": 1.0}, -0.5)
    >>> stacking({"ngrams": np.array([[1.0, -1.0]]), "words": np.array([[0.5, -0.5]])})
    array([[ 2., -3.]], dtype=float32)
    """

    weights: Mapping[str, float]
    intercept: float

    @classmethod
    def learn(
        cls,
        scores: Mapping[str, NDArray[np.float32]],
        targets: sp.csr_array,
        shortlist: NDArray[np.int64] | None = None,
    ) -> StackingWeights | None:
        """Learn the weights from texts on which the scorers were not trained.

        Parameters
        ----------
        scores : mapping of str to arrays of shape (n, L)
            By the scorers' names. A higher score means a more probable label.
        targets : csr_array of shape (n, L)
            0/1 targets.
        shortlist : int64 array of shape (n, K), optional
            The labels of each text from which to learn, all by default. Thousands of improbable labels
            would outweigh those that are hard to decide.

        Returns
        -------
        StackingWeights or None
            A score that adds nothing to the others has the weight 0. None if no score helps, or if all
            pairs are positive, or all are negative.
        """
        width = targets.shape[1] if shortlist is None else shortlist.shape[1]
        rows = slice(None, max(1, MAX_PAIRS // width))
        at = np.s_[:] if shortlist is None else (np.arange(len(shortlist[rows]))[:, None], shortlist[rows])
        wanted = targets[rows].toarray()[at].ravel() > 0
        if wanted.all() or not wanted.any():
            return None
        used = list(scores)
        while used:
            columns = np.column_stack([scores[name][rows][at].ravel() for name in used])
            fitted = LogisticRegression(tol=1e-6, max_iter=1000).fit(columns, wanted)
            coefficients = fitted.coef_[0]
            if coefficients.min() > 0:
                learned = dict(zip(used, coefficients.tolist(), strict=True))
                return cls({name: learned.get(name, 0.0) for name in scores}, float(fitted.intercept_[0]))
            # A higher score never makes a label less probable, so a negative weight is noise.
            del used[int(coefficients.argmin())]
        return None

    def only(self, names: Iterable[str]) -> StackingWeights:
        """Return the weights of some scores, with the same intercept.

        Parameters
        ----------
        names : iterable of str
            The scores' names.

        Returns
        -------
        StackingWeights
        """
        return StackingWeights({name: self.weights[name] for name in names}, self.intercept)

    def __call__(self, scores: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Return the log-odds, float32 of shape (n, L).

        Parameters
        ----------
        scores : mapping of str to arrays of shape (n, L)
            One for each of `weights`.
        """
        if scores.keys() != self.weights.keys():
            names = (", ".join(map(repr, part)) for part in (scores, self.weights))
            raise ValueError("There are scores of {}, and weights for {}.".format(*names))
        first = next(iter(self.weights))
        logits = np.full(scores[first].shape, self.intercept, dtype=np.float32)
        for name, weight in self.weights.items():
            logits += np.float32(weight) * scores[name]
        return logits


def as_probabilities(log_odds: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return 1 / (1 + exp(-log_odds)), in the open interval (0, 1) even after rounding.

    Parameters
    ----------
    log_odds : float32 array
        Of any shape.

    Returns
    -------
    float32 array of the same shape

    Examples
    --------
    >>> as_probabilities(np.float32([0, 200])) < 1
    array([ True,  True])
    """
    limits = np.finfo(np.float32)
    return np.clip(expit(log_odds), limits.tiny, 1 - limits.epsneg)
