"""Predictions that keep to the hierarchy."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.labels.indicators import as_indicator
from skhimatch.labels.rows import rows_of

__all__ = ["add_ancestors", "drop_orphans"]


def add_ancestors(indicator: Any, hierarchy: LabelHierarchy) -> csr_array:
    """Add the ancestors of every predicted label.

    Parameters
    ----------
    indicator : array-like or sparse of shape (n, L)
        Predictions: 0 or 1.
    hierarchy : LabelHierarchy
        L labels in column order.

    Returns
    -------
    csr_array of shape (n, L), bool
        The predictions with ancestors.

    Raises
    ------
    ValueError
        If `indicator` is not a 0/1 array of L columns.

    Examples
    --------
    >>> hierarchy = LabelHierarchy([("science", "physics"), ("physics", "optics")])
    >>> add_ancestors([[1, 0, 0]], hierarchy).toarray()  # optics; physics, science
    array([[ True,  True,  True]])
    """
    return hierarchy.close(indicator)


def drop_orphans(
    indicator: Any, hierarchy: LabelHierarchy, required: npt.NDArray[np.bool_] | None = None
) -> csr_array:
    """Drop every predicted label that has an ancestor which is not predicted.

    Parameters
    ----------
    indicator : array-like or sparse of shape (n, L)
        Predictions: 0 or 1.
    hierarchy : LabelHierarchy
        L labels in column order.
    required : ndarray of shape (L,), bool, default=None
        Whether a label is required where it is an ancestor. By default all labels are.

    Returns
    -------
    csr_array of shape (n, L), bool
        The predicted labels that have all required ancestors.

    Raises
    ------
    ValueError
        If `indicator` is not a 0/1 array of L columns.

    Examples
    --------
    >>> hierarchy = LabelHierarchy([("science", "physics"), ("physics", "optics")])
    >>> drop_orphans([[1, 0, 1], [0, 1, 1]], hierarchy).toarray().astype(int)  # optics, physics, science
    array([[0, 0, 1],
           [0, 1, 1]])
    """
    predicted = as_indicator(indicator, len(hierarchy))
    text = np.repeat(np.arange(predicted.shape[0]), np.diff(predicted.indptr))
    # One row per predicted label, with its ancestors. Each ancestor is searched in the row of the text.
    entry, ancestor = rows_of(hierarchy.ancestors, predicted.indices).nonzero()
    missing = ~np.isin(text[entry] * len(hierarchy) + ancestor, text * len(hierarchy) + predicted.indices)
    if required is not None:
        missing &= required[ancestor]
    predicted.data[entry[missing]] = False
    predicted.eliminate_zeros()
    return predicted
