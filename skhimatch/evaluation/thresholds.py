"""Thresholds that maximise the F1 that probabilities promise."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skhimatch.evaluation.optimized import F1_WEIGHTS

__all__ = ["best_thresholds", "gain_of_predictions"]

# The thresholds are the fixed point of an equation, which is reached within this number of steps.
MAX_STEPS, TOLERANCE = 100, 1e-5
# No label is predicted at a lower probability.
MIN_THRESHOLD = 0.001


def best_thresholds(
    probabilities: NDArray[np.floating[Any]],
    optimize: str,
    sample_weight: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Return the threshold of each label at which the expected F1 is highest.

    With TP_l the sum of the probabilities at or above the threshold, and D_l the number of predictions plus
    the sum of all probabilities of a label, its F1 is F_l = 2 TP_l / D_l, and the micro-average is
    F = 2 sum_l TP_l / sum_l D_l. Another prediction of probability p raises the mean of the F_l over L labels
    if p > F_l / 2, and raises F if p > F / 2. It raises their sum if

    p > (F_l / (L D_l) + F / D) / (2 / (L D_l) + 2 / D), with D = sum_l D_l.

    So rare labels get thresholds near F_l / 2, and frequent ones are drawn towards F / 2. No target is
    needed, so that there is nothing to overfit but the probabilities.

    Parameters
    ----------
    probabilities : float ndarray of shape (n, L)
        Calibrated probabilities of texts like those to come.
    optimize : {"micro_macro", "micro", "macro", "hierarchical"}
        The sum of micro-F1 and macro-F1, or one of them. Hierarchical F1 is that of micro-F1 if the
        probabilities are those of labels with all their ancestors.
    sample_weight : float64 ndarray of shape (n,), optional
        The weights of the texts.

    Returns
    -------
    float64 ndarray of shape (L,)

    Examples
    --------
    >>> best_thresholds(np.array([[0.9, 0.1], [0.8, 0.3], [0.1, 0.1]]), "micro").round(2)
    array([0.4, 0.4])
    >>> best_thresholds(np.array([[0.9, 0.1], [0.8, 0.3], [0.1, 0.1]]), "macro").round(2)
    array([0.45, 0.2 ])
    """
    n_texts, n_labels = probabilities.shape
    # Twice as much memory as the probabilities; sums in double precision.
    below = np.zeros((n_labels, n_texts + 1))
    if sample_weight is None:
        ascending = np.sort(probabilities.T, axis=1)
        np.cumsum(ascending, axis=1, out=below[:, 1:])
        number_above = np.broadcast_to(np.arange(n_texts, -1, -1), below.shape)
    else:
        order = np.argsort(probabilities.T, axis=1)
        ascending = np.take_along_axis(probabilities.T, order, axis=1)
        np.cumsum(ascending * sample_weight[order], axis=1, out=below[:, 1:])
        number_above = np.full(below.shape, sample_weight.sum())
        number_above[:, 1:] -= np.cumsum(sample_weight[order], axis=1)
    total, labels = below[:, -1], np.arange(n_labels)
    weight_of_micro, weight_of_macro = F1_WEIGHTS[optimize]
    threshold = np.full(n_labels, 0.5)
    for _ in range(MAX_STEPS):
        at_least = np.array(
            [np.searchsorted(row, limit) for row, limit in zip(ascending, threshold, strict=True)]
        )
        positives = total - below[labels, at_least]
        size = np.maximum(total + number_above[labels, at_least], 1e-12)
        of_label, overall = 2 * positives / size, 2 * positives.sum() / size.sum()
        weight = weight_of_macro * size.sum() / (n_labels * size)
        wanted = (weight * of_label + weight_of_micro * overall) / (2 * weight + 2 * weight_of_micro)
        wanted = np.maximum(wanted, MIN_THRESHOLD)
        if np.abs(wanted - threshold).max() < TOLERANCE:
            break
        threshold = (threshold + wanted) / 2
    return threshold


def gain_of_predictions(
    probabilities: NDArray[np.floating[Any]],
    threshold: float | NDArray[np.float64],
    optimize: str,
    sample_weight: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Return how much the expected F1 rises with a prediction, for each unit of probability above threshold.

    In the notation of `best_thresholds`, another prediction of probability p raises the mean of the F_l by
    2 (p - F_l / 2) / (L D_l), and F by 2 (p - F / 2) / D. So their sum rises by g_l (p - threshold_l) with
    g_l = 2 / (L D_l) + 2 / D: one right prediction counts more for a rare label.

    Parameters
    ----------
    probabilities : float ndarray of shape (n, L)
        Calibrated probabilities of texts like those to come.
    threshold : float or float64 ndarray of shape (L,)
        The best thresholds for these.
    optimize : {"micro_macro", "micro", "macro", "hierarchical"}
        The sum of micro-F1 and macro-F1, or one of them. Hierarchical F1 is that of micro-F1 if the
        probabilities are those of labels with all their ancestors.
    sample_weight : float64 ndarray of shape (n,), optional
        The weights of the texts.

    Returns
    -------
    float64 ndarray of shape (L,)
        The numbers g_l, divided by their mean.

    Examples
    --------
    >>> probabilities = np.array([[0.9, 0.0], [0.8, 0.3], [0.9, 0.1]])
    >>> gain_of_predictions(probabilities, np.array([0.4, 0.2]), "macro").round(2)
    array([0.4, 1.6])
    """
    predicted = probabilities >= threshold
    if sample_weight is None:
        size = probabilities.sum(axis=0) + predicted.sum(axis=0)
    else:
        size = sample_weight @ (probabilities + predicted)
    size = np.maximum(size, 1e-12)
    weight_of_micro, weight_of_macro = F1_WEIGHTS[optimize]
    gain = weight_of_macro * 2 / (len(size) * size) + weight_of_micro * 2 / size.sum()
    return gain / gain.mean()
