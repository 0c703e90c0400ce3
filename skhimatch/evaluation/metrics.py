"""Metrics of predictions: F1 overall and by level, hierarchical F1, consistency with the hierarchy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from skhimatch.labels.formats import as_hierarchy
from skhimatch.labels.indicators import as_indicator

__all__ = [
    "HierarchicalScore",
    "LevelScore",
    "MicroMacroF1",
    "constrained_f1",
    "f1_by_level",
    "hierarchical_precision_recall_f1",
    "hierarchy_violation_rate",
    "micro_macro_f1",
]


class MicroMacroF1(NamedTuple):
    """Micro-F1 and macro-F1.

    Attributes
    ----------
    micro : float
        F1 over all pairs of a text and a label.
    macro : float
        The mean of the F1 of each label.
    """

    micro: float
    macro: float


class HierarchicalScore(NamedTuple):
    """Precision, recall and F1 of labels counted with their ancestors.

    Attributes
    ----------
    precision : float
        The share of predicted labels that are true.
    recall : float
        The share of true labels that are predicted.
    f1 : float
        The harmonic mean of both.
    """

    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class LevelScore:
    """F1 of one level of the hierarchy.

    Attributes
    ----------
    level : int
        The level. It is 1 for the roots.
    labels : int
        The number of labels on this level.
    support : int
        The number of pairs of a text and a true label of this level.
    micro_f1 : float
        Micro-F1 of the labels of this level.
    macro_f1 : float
        Macro-F1 of the labels of this level.
    """

    level: int
    labels: int
    support: int
    micro_f1: float
    macro_f1: float


def micro_macro_f1(
    y_true: Any, y_pred: Any, sample_weight: npt.NDArray[np.float64] | None = None
) -> MicroMacroF1:
    """Compute micro- and macro-averaged F1 in one pass over the nonzeros.

    The result equals that of :func:`sklearn.metrics.f1_score` with ``zero_division=0``: a label that is
    never true and never predicted counts as 0 in the macro average.

    Parameters
    ----------
    y_true, y_pred : array-like or sparse of shape (n, L)
        Indicators: 0 or 1.
    sample_weight : ndarray of shape (n,), optional
        Weights of the rows.

    Returns
    -------
    MicroMacroF1
        ``(micro, macro)``.

    Raises
    ------
    ValueError
        If an argument is not an indicator, or their shapes differ.

    Examples
    --------
    >>> micro_macro_f1([[1, 1, 0], [1, 0, 1]], [[1, 1, 0], [1, 1, 0]])
    MicroMacroF1(micro=0.75, macro=0.555...)
    """
    return _micro_macro(*label_counts(*_checked(y_true, y_pred), sample_weight))


def constrained_f1(
    y_true: Any,
    y_pred: Any,
    hierarchy: Any,
    sample_weight: npt.NDArray[np.float64] | None = None,
    missing: csr_array | None = None,
) -> MicroMacroF1:
    """Compute C-MicroF1 and C-MacroF1: a predicted label is right only if all its ancestors are, too.

    A right label below a wrong or a missing one counts as a label that was not found, and as a wrong
    prediction (Yu et al., 2022). So predictions that break the hierarchy cost points.

    Parameters
    ----------
    y_true, y_pred : array-like or sparse of shape (n, L)
        Indicators: 0 or 1. Rows of `y_true` have to have the ancestors of their labels.
    hierarchy : LabelHierarchy, or any format that :func:`~skhimatch.labels.formats.as_hierarchy` accepts
        Its labels are the columns.
    sample_weight : ndarray of shape (n,), optional
        Weights of the rows.
    missing : csr_array of shape (n, L), bool, optional
        Where it is not known whether a text has a label: ancestors that need not be right. Neither `y_true`
        nor `y_pred` has these labels.

    Returns
    -------
    MicroMacroF1
        ``(micro, macro)``.

    Raises
    ------
    ValueError
        If an argument is not an indicator, or shapes differ.

    Examples
    --------
    >>> hierarchy = {"science": ["physics", "biology"]}  # columns: biology, physics, science
    >>> micro_macro_f1([[0, 1, 1]], [[0, 1, 0]]).micro
    0.666...
    >>> constrained_f1([[0, 1, 1]], [[0, 1, 0]], hierarchy).micro
    0.0
    """
    hierarchy = as_hierarchy(hierarchy)
    true, predicted = _checked(y_true, y_pred, len(hierarchy))
    hits = csr_array(true.multiply(predicted)).astype(np.int64)
    held = hits if missing is None else hits + missing.astype(np.int64)
    right_above = csr_array(held @ hierarchy.ancestors.T.astype(np.int64)).multiply(hits)
    above = hits.multiply(np.diff(hierarchy.ancestors.indptr)[None, :])
    lacking = csr_array(above) - csr_array(right_above)
    right = csr_array(hits - (lacking > 0).astype(np.int64))
    right.eliminate_zeros()
    of_labels = [_per_label(side, sample_weight) for side in (right, true, predicted)]
    return _micro_macro(*of_labels)


def f1_by_level(y_true: Any, y_pred: Any, hierarchy: Any) -> list[LevelScore]:
    """Compute micro- and macro-averaged F1 on each level of the hierarchy.

    Parameters
    ----------
    y_true, y_pred : array-like or sparse of shape (n, L)
        Indicators: 0 or 1.
    hierarchy : LabelHierarchy, or any format that :func:`~skhimatch.labels.formats.as_hierarchy` accepts
        Its labels are the columns. The level of a label is 1 + the length of the longest path from a
        root.

    Returns
    -------
    list of LevelScore
        One per level, from the roots down.

    Raises
    ------
    ValueError
        If an argument is not an indicator, or shapes differ.

    Examples
    --------
    >>> hierarchy = {"science": ["physics", "biology"]}  # columns: biology, physics, science
    >>> for score in f1_by_level([[0, 1, 1], [1, 0, 1]], [[0, 1, 1], [0, 1, 1]], hierarchy):
    ...     print(score.level, score.labels, score.support, score.micro_f1, round(score.macro_f1, 3))
    1 1 2 1.0 1.0
    2 2 2 0.5 0.333
    """
    hierarchy = as_hierarchy(hierarchy)
    hits, true, predicted = label_counts(*_checked(y_true, y_pred, len(hierarchy)))
    scores = []
    for level in range(1, hierarchy.depth + 1):
        here = hierarchy.levels == level
        micro, macro = _micro_macro(hits[here], true[here], predicted[here])
        scores.append(LevelScore(level, int(here.sum()), int(true[here].sum()), micro, macro))
    return scores


def hierarchical_precision_recall_f1(y_true: Any, y_pred: Any, hierarchy: Any) -> HierarchicalScore:
    """Compute precision, recall and F1 after adding the ancestors of true and predicted labels.

    So a wrong label counts as partly right if it shares ancestors with a true label (Kiritchenko et
    al., 2006). Counts are summed over all texts. The result is 0 if nothing is true or predicted.

    Parameters
    ----------
    y_true, y_pred : array-like or sparse of shape (n, L)
        Indicators: 0 or 1.
    hierarchy : LabelHierarchy, or any format that :func:`~skhimatch.labels.formats.as_hierarchy` accepts
        Its labels are the columns.

    Returns
    -------
    HierarchicalScore
        ``(precision, recall, f1)``.

    Raises
    ------
    ValueError
        If an argument is not an indicator, or shapes differ.

    Examples
    --------
    >>> hierarchy = {"science": ["physics", "biology"]}  # columns: biology, physics, science
    >>> hierarchical_precision_recall_f1([[0, 1, 0]], [[1, 0, 0]], hierarchy)
    HierarchicalScore(precision=0.5, recall=0.5, f1=0.5)
    """
    hierarchy = as_hierarchy(hierarchy)
    true, predicted = (hierarchy.close(side) for side in _checked(y_true, y_pred, len(hierarchy)))
    hits = true.multiply(predicted).nnz
    return HierarchicalScore(
        float(_ratio(hits, predicted.nnz)),
        float(_ratio(hits, true.nnz)),
        float(_ratio(2 * hits, true.nnz + predicted.nnz)),
    )


def hierarchy_violation_rate(y_pred: Any, hierarchy: Any) -> float:
    """Compute the share of texts whose predicted labels lack at least one ancestor.

    Parameters
    ----------
    y_pred : array-like or sparse of shape (n, L)
        An indicator: 0 or 1.
    hierarchy : LabelHierarchy, or any format that :func:`~skhimatch.labels.formats.as_hierarchy` accepts
        Its labels are the columns.

    Returns
    -------
    float
        In [0, 1]. It is 0 without texts.

    Raises
    ------
    ValueError
        If `y_pred` is not an indicator with L columns.

    Examples
    --------
    >>> hierarchy = {"science": ["physics", "biology"]}  # columns: biology, physics, science
    >>> hierarchy_violation_rate([[0, 1, 1], [1, 0, 0], [0, 0, 0], [0, 0, 1]], hierarchy)
    0.25
    """
    hierarchy = as_hierarchy(hierarchy)
    predicted = as_indicator(y_pred, len(hierarchy))
    lacking = np.diff(hierarchy.close(predicted).indptr) > np.diff(predicted.indptr)
    return float(_ratio(lacking.sum(), len(lacking)))


def _checked(y_true: Any, y_pred: Any, n_labels: int | None = None) -> tuple[csr_array, csr_array]:
    true, predicted = as_indicator(y_true), as_indicator(y_pred)
    if true.shape != predicted.shape:
        raise ValueError(f"y_true has shape {true.shape} and y_pred {predicted.shape}; they must be equal")
    if n_labels is not None and true.shape[1] != n_labels:
        raise ValueError(
            f"y_true and y_pred have shape {true.shape}, but the hierarchy has {n_labels} labels; one "
            "column per label is needed: restrict the hierarchy to the labels of the columns, in their order"
        )
    return true, predicted


def label_counts(
    true: csr_array, predicted: csr_array, sample_weight: npt.NDArray[np.float64] | None = None
) -> tuple[npt.NDArray[Any], ...]:
    """Count hits, true and predicted occurrences of each label.

    Parameters
    ----------
    true, predicted : csr_array of shape (n, L)
        Indicators without stored zeros.
    sample_weight : ndarray of shape (n,), optional
        Weights of the rows.

    Returns
    -------
    tuple of three ndarrays of shape (L,)
        Of int64, or of float64 with weights.
    """
    sides = (true.multiply(predicted).tocsr(), true, predicted)
    return tuple(_per_label(side, sample_weight) for side in sides)


def _per_label(indicator: csr_array, sample_weight: npt.NDArray[np.float64] | None) -> npt.NDArray[Any]:
    """Count the texts with each label, or add up their weights: an array of shape (L,)."""
    weights = None if sample_weight is None else np.repeat(sample_weight, np.diff(indicator.indptr))
    return np.bincount(indicator.indices, weights, minlength=indicator.shape[1])


def _micro_macro(hits: npt.NDArray[Any], true: npt.NDArray[Any], predicted: npt.NDArray[Any]) -> MicroMacroF1:
    micro = _ratio(2 * hits.sum(), true.sum() + predicted.sum())
    return MicroMacroF1(float(micro), float(_ratio(2 * hits, true + predicted).mean()))


def _ratio(part: npt.ArrayLike, whole: npt.ArrayLike) -> npt.NDArray[np.float64]:
    return np.asarray(part) / np.where(np.asarray(whole) > 0, whole, 1)  # 0 / 0 is 0
