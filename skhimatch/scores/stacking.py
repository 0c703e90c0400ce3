"""Stacking: from several scores of a text and a label to one log-odds."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from skhimatch.scores.terms import Terms
from skhimatch.scores.training_labels import TrainingLabels

__all__ = ["MAX_PAIRS", "StackingWeights", "as_probabilities", "check_scores"]

# Pairs of a text and a label from which the few weights are learned. More pairs do not change them.
MAX_PAIRS = 2_000_000


@dataclass(frozen=True)
class StackingWeights:
    """A weighted sum of scores, as log-odds.

    logit = sum_k max(0, weight_k + slope_k f) score_k + intercept + slope f, learned by logistic regression.
    f is the frequency of the label in the training texts: a scorer that learns from texts of a label is worth
    more for labels with many texts, and rare labels are less probable than their scores say.

    Attributes
    ----------
    weights : mapping of str to float
        The weight of each score, by the scorer's name.
    intercept : float
    slopes : mapping of str to float
        How the weight of each score grows with the frequency; without an entry it is the same for all labels.
    slope : float
        How the intercept grows with the frequency.
    frequency : float32 ndarray of shape (L,), or None
        See `TrainingLabels.frequency`. Needed if there is a slope.

    Examples
    --------
    >>> stacking = StackingWeights({"ngrams": 2.0, "words": 1.0}, -0.5)
    >>> stacking({"ngrams": np.array([[1.0, -1.0]]), "words": np.array([[0.5, -0.5]])})
    array([[ 2., -3.]], dtype=float32)
    """

    weights: Mapping[str, float]
    intercept: float
    slopes: Mapping[str, float] = field(default_factory=dict)
    slope: float = 0.0
    frequency: NDArray[np.float32] | None = field(default=None, compare=False)

    one_path = False

    @property
    def calibrated(self) -> bool:
        """Whether the probabilities of all labels were learned, and not only of those on shortlists."""
        return self.frequency is not None

    @classmethod
    def learn(
        cls,
        scores: Mapping[str, NDArray[np.float32]],
        targets: sp.csr_array,
        shortlist: NDArray[np.int64] | None = None,
        frequency: NDArray[np.float32] | None = None,
        sample_weight: NDArray[np.float64] | None = None,
        missing: sp.csr_array | None = None,
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
        frequency : float32 array of shape (L,), optional
            The frequency of each label. Without it, there are no slopes.
        sample_weight : float64 array of shape (n,), optional
            The weights of the texts.
        missing : csr_array of shape (n, L), bool, optional
            Where targets are missing. Nothing is learned from these pairs.

        Returns
        -------
        StackingWeights or None
            A score that adds nothing to the others has the weight 0. None if no score helps, or if all
            pairs are positive, or all are negative.
        """
        width = targets.shape[1] if shortlist is None else shortlist.shape[1]
        rows = slice(None, max(1, MAX_PAIRS // width))
        at = np.s_[:] if shortlist is None else (np.arange(len(shortlist[rows]))[:, None], shortlist[rows])
        # Of each pair of a text and a label, in rows.
        known: Any = np.s_[:] if missing is None else ~missing[rows].toarray()[at].ravel()
        wanted = targets[rows].toarray()[at].ravel()[known] > 0
        if wanted.all() or not wanted.any():
            return None
        of_label = None
        if frequency is not None:
            of_label = np.broadcast_to(frequency, targets.shape)[rows][at].ravel()[known]
        of_pair = None if sample_weight is None else np.repeat(sample_weight[rows], width)[known]
        used = list(scores)
        while used:
            columns = [scores[name][rows][at].ravel()[known] for name in used]
            if of_label is not None:
                columns += [column * of_label for column in columns] + [of_label]
            fitted = _regression(np.column_stack(columns), wanted, of_pair)
            found, n = fitted.coef_[0].tolist(), len(used)
            if min(found[:n]) > 0:
                weights = dict.fromkeys(scores, 0.0) | dict(zip(used, found[:n], strict=True))
                intercept = float(fitted.intercept_[0])
                if of_label is None:
                    return cls(weights, intercept)
                slopes = dict(zip(used, found[n : 2 * n], strict=True))
                return cls(weights, intercept, slopes, found[-1], frequency)
            # A higher score never makes a label less probable, so a negative weight is noise.
            del used[int(np.argmin(found[:n]))]
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
        names = list(names)
        return replace(
            self,
            weights={name: self.weights[name] for name in names},
            slopes={name: slope for name, slope in self.slopes.items() if name in names},
        )

    def with_labels(self, labels: TrainingLabels) -> StackingWeights:
        """Return the same weights for more labels.

        Parameters
        ----------
        labels : TrainingLabels
            All labels.

        Returns
        -------
        StackingWeights
        """
        return replace(self, frequency=None if self.frequency is None else labels.frequency)

    def __call__(self, scores: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Return the log-odds, float32 of shape (n, L).

        Parameters
        ----------
        scores : mapping of str to arrays of shape (n, L)
            One for each of `weights`.
        """
        check_scores(scores, self.weights)
        first = next(iter(self.weights))
        logits = np.full(scores[first].shape, self.intercept, dtype=np.float32)
        if self.frequency is not None:
            logits += np.float32(self.slope) * self.frequency
        for name in self.weights:
            logits += self.of_labels(name) * scores[name]
        return logits

    def terms(self, scores: Mapping[str, NDArray[Any]], label: int) -> Terms:
        """Return what the log-odds of a label are the sum of.

        Parameters
        ----------
        scores : mapping of str to arrays of shape (1, L)
            Of one text, as for a call.
        label : int
            The position of the label.

        Returns
        -------
        Terms
            Equal to the log-odds up to rounding.
        """
        check_scores(scores, self.weights)
        constant, weights = self.intercept, {}
        if self.frequency is not None:
            constant += self.slope * float(self.frequency[label])
        for name in self.weights:
            weights[name] = np.zeros(scores[name].shape[1])
            weights[name][label] = np.broadcast_to(self.of_labels(name), weights[name].shape)[label]
        return Terms(weights, constant)

    def of_labels(self, name: str) -> np.float32 | NDArray[np.float32]:
        """Return the weight of a score for each label, or one for all.

        Parameters
        ----------
        name : str
            The scorer's name.

        Returns
        -------
        float32 or float32 ndarray of shape (L,)
        """
        weight = self.weights[name]
        if self.frequency is None:
            return np.float32(weight)
        return np.maximum(0, np.float32(weight) + np.float32(self.slopes.get(name, 0.0)) * self.frequency)


def check_scores(scores: Mapping[str, NDArray[Any]], weights: Mapping[str, float]) -> None:
    """Check that there is a score for each weight, and no other.

    Parameters
    ----------
    scores : mapping of str to arrays
        By the scorers' names.
    weights : mapping of str to float
        By the scorers' names.

    Raises
    ------
    ValueError
        If the names differ.

    Examples
    --------
    >>> check_scores({"ngrams": np.zeros((1, 2))}, {"words": 1.0})
    Traceback (most recent call last):
        ...
    ValueError: There are scores of 'ngrams', and weights for 'words'.
    """
    if scores.keys() != weights.keys():
        names = (", ".join(map(repr, part)) for part in (scores, weights))
        raise ValueError("There are scores of {}, and weights for {}.".format(*names))


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


def _regression(
    scores: NDArray[np.floating[Any]], wanted: NDArray[np.bool_], sample_weight: NDArray[np.float64] | None
) -> LogisticRegression:
    """Fit a logistic regression of scores, of shape (pairs, columns)."""
    regression = LogisticRegression(tol=1e-6, max_iter=1000)
    # Warnings are caught in all threads at once. So they are recorded: as errors they would stop the others.
    # Products of finite numbers may be called invalid: OpenBLAS computes with what lies beside them, too.
    with warnings.catch_warnings(record=True) as caught, np.errstate(invalid="ignore"):
        warnings.simplefilter("always", ConvergenceWarning)
        fitted = regression.fit(scores, wanted, sample_weight)
        if any(issubclass(warning.category, ConvergenceWarning) for warning in caught):
            # The line search may fail where few pairs are separated. Newton steps need none.
            warnings.simplefilter("ignore")
            fitted = regression.set_params(solver="newton-cholesky").fit(scores, wanted, sample_weight)
    for warning in caught:
        if not issubclass(warning.category, ConvergenceWarning):
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    return fitted
