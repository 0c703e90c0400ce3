"""What decisions are chosen for: the parameter `optimize`."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.utils._param_validation import StrOptions

from skhimatch.evaluation.metrics import micro_macro_f1
from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.labels.indicators import as_indicator
from skhimatch.labels.missing import without_missing

__all__ = ["F1_WEIGHTS", "METRICS", "MetricOptions", "number_of_labels", "score_of_decision"]

# The weights of micro-F1 and of macro-F1. Hierarchical F1 is the micro-F1 after adding all ancestors.
F1_WEIGHTS = {"micro_macro": (1, 1), "micro": (1, 0), "macro": (0, 1), "hierarchical": (1, 0)}
METRICS = tuple(F1_WEIGHTS)
_PRECISION_AT_K = re.compile(r"precision@([1-9][0-9]*)")


class MetricOptions(StrOptions):
    """The names of metrics, as scikit-learn checks a parameter: `METRICS` and "precision@k" with any k."""

    def __init__(self) -> None:
        super().__init__(set(METRICS))

    def is_satisfied_by(self, val: Any) -> bool:
        """Tell whether a value is the name of a metric."""
        return super().is_satisfied_by(val) or (isinstance(val, str) and number_of_labels(val) is not None)

    def __str__(self) -> str:
        return f"{super().__str__()} or 'precision@k' with a whole number k from 1, such as 'precision@3'"


def number_of_labels(optimize: str) -> int | None:
    """Return how many labels each text gets, if a metric says so.

    Parameters
    ----------
    optimize : str
        The name of a metric.

    Returns
    -------
    int or None
        The k of "precision@k". The k most probable labels have the highest precision at k, so that there is
        nothing else to choose. None for other metrics.

    Examples
    --------
    >>> number_of_labels("precision@3"), number_of_labels("micro")
    (3, None)
    """
    found = _PRECISION_AT_K.fullmatch(optimize)
    return None if found is None else int(found[1])


def score_of_decision(
    optimize: str,
    targets: Any,
    predicted: Any,
    hierarchy: LabelHierarchy,
    sample_weight: NDArray[np.float64] | None = None,
    missing: csr_array | None = None,
) -> float:
    """Return what a metric says of predicted labels; higher is better.

    Parameters
    ----------
    optimize : str
        One of `METRICS`, or "precision@k".
    targets, predicted : array-like or sparse of shape (n, L)
        Indicators: 0 or 1.
    hierarchy : LabelHierarchy
        L labels in column order.
    sample_weight : float64 ndarray of shape (n,), optional
        The weights of the texts.
    missing : csr_array of shape (n, L), bool, optional
        Where targets are missing. These labels are neither right nor wrong. In "precision@k" the others of
        the k labels are counted, and a text without any is left out.

    Returns
    -------
    float
        For "micro_macro" the sum of both, in [0, 2]; otherwise in [0, 1].

    Examples
    --------
    >>> hierarchy = LabelHierarchy([("science", "physics"), ("science", "biology")])
    >>> score_of_decision("hierarchical", [[0, 1, 0]], [[1, 0, 0]], hierarchy)
    0.5
    >>> score_of_decision("precision@2", [[0, 1, 1]], [[1, 0, 1]], hierarchy)
    0.5
    """
    k = number_of_labels(optimize)
    if k is not None:
        return _precision(targets, predicted, min(k, len(hierarchy)), sample_weight, missing)
    if optimize == "hierarchical":
        targets, predicted = hierarchy.close(targets), hierarchy.close(predicted)
    targets, predicted = without_missing(targets, missing), without_missing(predicted, missing)
    return float(np.dot(F1_WEIGHTS[optimize], micro_macro_f1(targets, predicted, sample_weight)))


def _precision(
    targets: Any, predicted: Any, k: int, sample_weight: NDArray[np.float64] | None, missing: csr_array | None
) -> float:
    """Return the mean share of right labels among the predicted ones whose target is known; 0 without any."""
    true, found = as_indicator(targets), as_indicator(predicted)
    known = as_indicator(without_missing(found, missing))
    hits = np.asarray(csr_array(true.multiply(known)).sum(axis=1))
    counted = k - (np.diff(found.indptr) - np.diff(known.indptr))
    weights = (counted > 0) * (1.0 if sample_weight is None else sample_weight)
    if not weights.any():
        return 0.0
    return float(np.average(hits / np.maximum(counted, 1), weights=weights))
