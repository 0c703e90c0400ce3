"""Indicators: sparse arrays with a row for each text and a column for each label."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import csr_array, issparse

__all__ = ["as_indicator"]


def as_indicator(targets: Any, n_labels: int | None = None) -> csr_array:
    """Check an indicator and make it sparse.

    Parameters
    ----------
    targets : array-like or sparse of shape (n, L)
        Only 0 and 1. A sparse array may store an entry several times: the sum of its values counts.
    n_labels : int, default=None
        The expected L. By default it is not checked.

    Returns
    -------
    csr_array of shape (n, L), bool
        A copy, in canonical format and without stored zeros.

    Raises
    ------
    ValueError
        If `targets` does not have two dimensions or L columns, or has or stores a value other than 0 and 1.

    Examples
    --------
    >>> as_indicator([[0, 1], [1, 1]], 2).indices
    array([1, 0, 1], dtype=int32)
    """
    sparse = issparse(targets)
    if not sparse:
        targets = np.asarray(targets)
    if targets.ndim != 2 or (n_labels is not None and targets.shape[1] != n_labels):
        wanted = "L" if n_labels is None else n_labels
        raise ValueError(
            f"an indicator of shape (n, {wanted}), with one column per label, is needed; "
            f"got shape {targets.shape}"
        )
    is_csr = sparse and targets.format == "csr"
    entries = targets.tocoo() if sparse and not is_csr else targets
    values = entries.data if sparse else targets
    if values.dtype != bool and not np.all((values == 0) | (values == 1)):
        raise ValueError("an indicator holds 0 and 1 only; decide probabilities with a threshold first")
    if not sparse:
        indicator = csr_array(values.astype(bool))
    elif values.dtype == bool or (is_csr and targets.has_canonical_format):
        indicator = csr_array(targets, dtype=bool, copy=True)
        indicator.sum_duplicates()
    else:
        entries = targets.tocoo()
        # Counted in a wide type: the sum of 256 ones in one byte is 0.
        counts = csr_array((values.astype(np.int64), (entries.row, entries.col)), shape=targets.shape)
        if counts.data.max(initial=0) > 1:
            twice = counts.tocoo()
            row, column = (index[twice.data > 1][0] for index in (twice.row, twice.col))
            raise ValueError(
                f"the indicator stores a 1 several times in row {row}, column {column}: their sum is not "
                "0 or 1; store each label of a text once"
            )
        indicator = counts.astype(bool)
    indicator.eliminate_zeros()
    return indicator
