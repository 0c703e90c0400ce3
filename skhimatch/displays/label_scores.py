"""Precision, recall and F1 of each label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from skhimatch.evaluation.metrics import label_counts
from skhimatch.labels.formats import as_hierarchy
from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.labels.targets import encode_targets

__all__ = ["LabelScores", "encode_predictions"]


def encode_predictions(y_pred: Any, hierarchy: LabelHierarchy, n_texts: int) -> sp.csr_array:
    """Turn predicted labels into a sparse indicator. They may lack ancestors.

    Parameters
    ----------
    y_pred : labels of n texts
        In any format that `fit` takes.
    hierarchy : LabelHierarchy
        Its labels are the columns.
    n_texts : int
        n.

    Returns
    -------
    csr_array of shape (n, L), float32
    """
    return encode_targets(y_pred, hierarchy, n_texts, check_rows=np.zeros(n_texts, dtype=bool))


@dataclass(frozen=True, eq=False)
class LabelScores:
    """What was true and predicted of each of L labels.

    Attributes
    ----------
    hierarchy : LabelHierarchy
        The labels, in column order.
    hits, support, predicted : int64 ndarray of shape (L,)
        The number of texts for which the label was rightly predicted, was true, and was predicted.
    """

    hierarchy: LabelHierarchy
    hits: NDArray[np.int64]
    support: NDArray[np.int64]
    predicted: NDArray[np.int64]

    @classmethod
    def of(cls, y_true: Any, y_pred: Any, hierarchy: Any) -> LabelScores:
        """Count what was true and predicted.

        Parameters
        ----------
        y_true, y_pred : labels of n texts
            In any format that `fit` takes, such as sets of labels or an indicator.
        hierarchy : LabelHierarchy, or any format that :func:`~skhimatch.as_hierarchy` accepts
            Its labels are the columns.

        Returns
        -------
        LabelScores

        Examples
        --------
        >>> scores = LabelScores.of([{"a"}, {"a", "b"}], [{"a"}, {"a"}], {"a": ["b"]})
        >>> scores.f1
        array([1., 0.])
        """
        hierarchy = as_hierarchy(hierarchy)
        true = encode_targets(y_true, hierarchy)
        predicted = encode_predictions(y_pred, hierarchy, true.shape[0])
        return cls(hierarchy, *label_counts(true, predicted))

    @property
    def f1(self) -> NDArray[np.float64]:
        """F1 of each label; 0 if it was neither true nor predicted."""
        return 2 * self.hits / np.maximum(1, self.support + self.predicted)
