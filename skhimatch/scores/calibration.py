"""Calibration: from the log-odds of a label to others, whose probabilities agree with frequencies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.isotonic import IsotonicRegression

from skhimatch.storage.arrays import of_shape
from skhimatch.storage.values import check

__all__ = [
    "METHODS",
    "Calibration",
    "IsotonicCalibration",
    "LinearCalibration",
    "calibration_from_arrays",
    "check_method",
    "learn_calibration",
]

METHODS = ("isotonic", "sigmoid", "temperature")

# Isotonic probabilities are mixed with those before, which count as much as this number of positive texts, or
# of negative texts if these are fewer. A step from a handful of texts would be a probability of 0 or 1.
TEXTS_OF_PRIOR = 10.0
# The strength of the prior that slopes are 1 and intercepts are 0, on the logarithm of the slope.
PENALTY = 1.0
MAX_LOG_SLOPE = 5.0


@dataclass(frozen=True, eq=False)
class LinearCalibration:
    """Calibrated log-odds as a slope times the log-odds, plus an intercept.

    Attributes
    ----------
    slope : float64 ndarray of shape (L,)
        Above 0, so that the order of texts remains. 1 for labels that remain as they were.
    intercept : float64 ndarray of shape (L,)
        0 for labels that remain as they were, and if only the temperature was learned.

    Examples
    --------
    >>> calibration = LinearCalibration(np.array([0.5, 1.0]), np.array([0.0, -1.0]))
    >>> calibration(np.array([[2.0, 2.0]], dtype=np.float32))
    array([[1., 1.]], dtype=float32)
    """

    slope: NDArray[np.float64]
    intercept: NDArray[np.float64]

    def __call__(self, log_odds: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the calibrated log-odds, float32 of shape (n, L)."""
        return (self.slope * log_odds + self.intercept).astype(np.float32)

    def with_labels(self, n_labels: int) -> LinearCalibration:
        """Return the calibration for more labels, which remain as they are.

        Parameters
        ----------
        n_labels : int
            L; the first labels are those of this calibration.

        Returns
        -------
        LinearCalibration
        """
        n_new = n_labels - len(self.slope)
        return LinearCalibration(
            np.append(self.slope, np.ones(n_new)), np.append(self.intercept, np.zeros(n_new))
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what `calibration_from_arrays` rebuilds it from.

        Returns
        -------
        dict of str to ndarray
        """
        return {"slope": self.slope, "intercept": self.intercept}


@dataclass(frozen=True, eq=False)
class IsotonicCalibration:
    """A mixture of the probabilities before and of a rising function of the log-odds.

    p' = share_l f_l(log-odds) + (1 - share_l) p, where f_l is linear between its knots, and constant beyond
    them.

    Attributes
    ----------
    share : float64 ndarray of shape (L,)
        In [0, 1); 0 for labels that remain as they were.
    pointers : int64 ndarray of shape (L + 1,)
        The knots of label l are those from ``pointers[l]`` to ``pointers[l + 1] - 1``.
    knots : float64 ndarray of shape (K,)
        Log-odds, rising for each label.
    values : float64 ndarray of shape (K,)
        The value of f_l at its knots, in [0, 1], rising for each label.

    Examples
    --------
    >>> calibration = IsotonicCalibration(
    ...     np.array([0.5]), np.array([0, 2]), np.array([-1.0, 1.0]), np.array([0.0, 1.0])
    ... )
    >>> calibration(np.array([[0.0], [3.0]], dtype=np.float32)).round(2)
    array([[0.  ],
           [3.72]], dtype=float32)
    """

    share: NDArray[np.float64]
    pointers: NDArray[np.int64]
    knots: NDArray[np.float64]
    values: NDArray[np.float64]

    def __call__(self, log_odds: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the calibrated log-odds, float32 of shape (n, L)."""
        calibrated = log_odds.copy()
        for label in np.flatnonzero(self.share):
            part = slice(self.pointers[label], self.pointers[label + 1])
            before = log_odds[:, label].astype(np.float64)
            rising = np.interp(before, self.knots[part], self.values[part])
            share = self.share[label]
            # Both probabilities are added up, p' and 1 - p', so that neither is rounded to 0.
            positive = share * rising + (1 - share) * expit(before)
            negative = share * (1 - rising) + (1 - share) * expit(-before)
            calibrated[:, label] = np.log(positive) - np.log(negative)
        return calibrated

    def with_labels(self, n_labels: int) -> IsotonicCalibration:
        """Return the calibration for more labels, which remain as they are.

        Parameters
        ----------
        n_labels : int
            L; the first labels are those of this calibration.

        Returns
        -------
        IsotonicCalibration
        """
        n_new = n_labels - len(self.share)
        pointers = np.append(self.pointers, np.full(n_new, self.pointers[-1]))
        return IsotonicCalibration(np.append(self.share, np.zeros(n_new)), pointers, self.knots, self.values)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what `calibration_from_arrays` rebuilds it from.

        Returns
        -------
        dict of str to ndarray
        """
        return {
            "share": self.share,
            "pointers": self.pointers,
            "knots": self.knots,
            "values": self.values,
        }


Calibration = LinearCalibration | IsotonicCalibration


def check_method(method: Any) -> str:
    """Check the name of a method of calibration.

    Parameters
    ----------
    method : str
        What was given.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If there is no such method.

    Examples
    --------
    >>> check_method("platt")
    Traceback (most recent call last):
    ValueError: method is 'platt'; take one of 'isotonic', 'sigmoid', 'temperature'.
    """
    if method not in METHODS:
        raise ValueError(f"method is {method!r}; take one of {', '.join(map(repr, METHODS))}.")
    return method


def learn_calibration(
    method: str,
    log_odds: NDArray[np.float32],
    targets: sp.csr_array,
    sample_weight: NDArray[np.float64] | None = None,
    missing: sp.csr_array | None = None,
) -> Calibration:
    """Learn a calibration from texts on which nothing was trained, for each label alone.

    A label that none of these texts has, or all, remains as it was. With few texts, a label is changed less.

    Parameters
    ----------
    method : {"isotonic", "sigmoid", "temperature"}
        "sigmoid" learns a slope and an intercept, "temperature" a slope alone, by logistic regression with a
        prior. "isotonic" learns a rising function.
    log_odds : float32 ndarray of shape (n, L)
        The log-odds of the texts.
    targets : csr_array of shape (n, L)
        Their 0/1 targets.
    sample_weight : float64 ndarray of shape (n,), optional
        The weights of the texts.
    missing : csr_array of shape (n, L), bool, optional
        Where targets are missing. Nothing is learned from these pairs.

    Returns
    -------
    LinearCalibration or IsotonicCalibration

    Examples
    --------
    >>> log_odds = np.repeat(np.float32([[4.0], [-4.0]]), 500, axis=0)
    >>> three_in_four = sp.csr_array((np.arange(1000) % 4 > 0)[:, None] == (log_odds > 0))
    >>> calibration = learn_calibration("temperature", log_odds, three_in_four)
    >>> float((1 / (1 + np.exp(-calibration(log_odds[:1]))))[0, 0].round(2))
    0.75
    """
    n_labels = targets.shape[1]
    slope, intercept = np.ones(n_labels), np.zeros(n_labels)
    share = np.zeros(n_labels)
    knots, values, lengths = [], [], np.zeros(n_labels, dtype=np.int64)
    for label, of_texts, target, weights in _decidable(log_odds, targets, sample_weight, missing):
        if method == "isotonic":
            rarer = min(float(weights[target].sum()), float(weights[~target].sum()))
            share[label] = rarer / (rarer + TEXTS_OF_PRIOR)
            fitted = IsotonicRegression(y_min=0, y_max=1).fit(of_texts, target, weights)
            knots.append(fitted.X_thresholds_)
            values.append(fitted.y_thresholds_)
            lengths[label] = len(fitted.X_thresholds_)
        else:
            slope[label], intercept[label] = _line(
                of_texts, target, weights, with_intercept=method == "sigmoid"
            )
    if method != "isotonic":
        return LinearCalibration(slope, intercept)
    pointers = np.concatenate([[0], np.cumsum(lengths)])
    return IsotonicCalibration(
        share, pointers, np.concatenate([np.zeros(0), *knots]), np.concatenate([np.zeros(0), *values])
    )


def _decidable(
    log_odds: NDArray[np.float32],
    targets: sp.csr_array,
    sample_weight: NDArray[np.float64] | None,
    missing: sp.csr_array | None,
) -> Iterator[tuple[int, NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64]]]:
    """Yield the labels that some texts have and others have not: log-odds, targets and weights of texts."""
    n_texts, n_labels = targets.shape
    weights = np.ones(n_texts) if sample_weight is None else sample_weight
    positive = targets.tocsc()
    unknown = None if missing is None else missing.tocsc()
    for label in range(n_labels):
        target, known = np.zeros(n_texts, dtype=bool), np.ones(n_texts, dtype=bool)
        target[positive.indices[positive.indptr[label] : positive.indptr[label + 1]]] = True
        if unknown is not None:
            known[unknown.indices[unknown.indptr[label] : unknown.indptr[label + 1]]] = False
        target = target[known]
        if target.any() and not target.all():
            yield label, log_odds[known, label].astype(np.float64), target, weights[known]


def _line(
    log_odds: NDArray[np.float64],
    target: NDArray[np.bool_],
    weights: NDArray[np.float64],
    *,
    with_intercept: bool,
) -> tuple[float, float]:
    """Return slope and intercept that make the targets most probable, with a prior that changes nothing."""
    signs = np.where(target, 1.0, -1.0)

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """Return the penalised negative log-likelihood, and its gradient."""
        slope, intercept = np.exp(parameters[0]), parameters[1] if with_intercept else 0.0
        margins = signs * (slope * log_odds + intercept)
        steepness = -weights * signs * expit(-margins)
        gradient = PENALTY * parameters
        gradient[0] += slope * (steepness @ log_odds)
        if with_intercept:
            gradient[1] += steepness.sum()
        value = weights @ np.logaddexp(0, -margins) + PENALTY / 2 * parameters @ parameters
        return float(value), gradient

    bounds = [(-MAX_LOG_SLOPE, MAX_LOG_SLOPE)] + [(None, None)] * with_intercept
    found = minimize(loss, np.zeros(1 + with_intercept), jac=True, method="L-BFGS-B", bounds=bounds).x
    return float(np.exp(found[0])), float(found[1]) if with_intercept else 0.0


def calibration_from_arrays(arrays: Mapping[str, NDArray[Any]], n_labels: int) -> Calibration | None:
    """Rebuild a calibration from its arrays.

    Parameters
    ----------
    arrays : mapping of str to ndarray
        As `arrays` of a calibration returned them.
    n_labels : int
        L.

    Returns
    -------
    LinearCalibration, IsotonicCalibration or None
        None if there are no arrays.

    Raises
    ------
    ValueError
        When an array is missing, has another shape or type, or holds values that no calibration has.

    Examples
    --------
    >>> calibration_from_arrays({"slope": np.ones(2), "intercept": np.zeros(2)}, 2).slope
    array([1., 1.])
    """
    if not arrays:
        return None
    if "slope" in arrays:
        slope = of_shape(arrays, "slope", (n_labels,))
        check("slope", bool((slope > 0).all()), "is not above 0")
        return LinearCalibration(slope, of_shape(arrays, "intercept", (n_labels,)))
    share = of_shape(arrays, "share", (n_labels,))
    check("share", bool(((share >= 0) & (share < 1)).all()), "is not in [0, 1)")
    knots = of_shape(arrays, "knots", (-1,))
    values = of_shape(arrays, "values", knots.shape)
    check("values", bool(((values >= 0) & (values <= 1)).all()), "are not in [0, 1]")
    pointers = of_shape(arrays, "pointers", (n_labels + 1,), "i")
    lengths = np.diff(pointers)
    right = pointers[0] == 0 and pointers[-1] == len(knots) and (lengths >= 0).all()
    check("pointers", bool(right), f"does not ascend from 0 to {len(knots)}")
    check("pointers", bool((lengths[share > 0] > 0).all()), "leaves a calibrated label without knots")
    for name, array in (("knots", knots), ("values", values)):
        falls = np.flatnonzero(np.diff(array) < 0) + 1
        check(name, bool(np.isin(falls, pointers).all()), "do not rise within a label")
    return IsotonicCalibration(share, pointers.astype(np.int64), knots, values)
