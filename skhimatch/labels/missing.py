"""Missing targets: NaN in an indicator, where it is not known whether a text has a label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.labels.indicators import as_indicator
from skhimatch.labels.targets import encode_targets, is_indicator, nested_rows, reusable

__all__ = ["KnownTargets", "encode_known_targets", "without_missing"]


@dataclass(frozen=True)
class KnownTargets:
    """Targets, of which some may be missing.

    Attributes
    ----------
    targets : csr_array of shape (n, L), float32
        0/1 targets; 0 where the target is missing.
    missing : csr_array of shape (n, L), bool, or None
        Where targets are missing. None if none is.
    """

    targets: sp.csr_array
    missing: sp.csr_array | None


def encode_known_targets(y: Any, hierarchy: LabelHierarchy, n_texts: int | None = None) -> KnownTargets:
    """Turn any accepted format of `y` into a sparse indicator, and find its missing targets.

    Parameters
    ----------
    y : iterable of iterables of str, iterable of str, indicator or DataFrame
        As in `encode_targets`. An indicator of any kind, or a DataFrame, may hold NaN.
    hierarchy : LabelHierarchy
        L labels, in column order.
    n_texts : int, optional
        The number of texts. By default it is not checked.

    Returns
    -------
    KnownTargets

    Raises
    ------
    ValueError, TypeError
        As `encode_targets`.

    Examples
    --------
    >>> hierarchy = LabelHierarchy([("science", "physics")])
    >>> known = encode_known_targets(np.array([[1, 1], [np.nan, 1]]), hierarchy)
    >>> known.targets.toarray()
    array([[1., 1.],
           [0., 1.]], dtype=float32)
    >>> known.missing.toarray()
    array([[False, False],
           [ True, False]])
    """
    y = reusable(y)
    if isinstance(y, list | tuple) and is_indicator(y):
        y = np.asarray(nested_rows(y))
    nan = _where_nan(y)
    if nan is None:
        return KnownTargets(encode_targets(y, hierarchy, n_texts), None)
    # A row that lacks an ancestor because it is missing is not in a wrong order.
    targets = encode_targets(_with_zeros(y, nan), hierarchy, n_texts, check_rows=_complete_rows(nan))
    missing = encode_targets(nan, hierarchy, check_rows=np.zeros(targets.shape[0], dtype=bool))
    return KnownTargets(targets, as_indicator(missing))


def without_missing(indicator: Any, missing: sp.csr_array | None) -> Any:
    """Remove the labels of an indicator whose target is missing, so that they are neither right nor wrong.

    Parameters
    ----------
    indicator : array-like or sparse of shape (n, L)
        True or predicted labels, 0 or 1.
    missing : csr_array of shape (n, L), bool, or None
        Where targets are missing.

    Returns
    -------
    csr_array of shape (n, L), bool
        The indicator itself if no target is missing.

    Examples
    --------
    >>> without_missing([[1, 1, 0]], sp.csr_array([[False, True, True]])).toarray()
    array([[ True, False, False]])
    """
    if missing is None:
        return indicator
    indicator = as_indicator(indicator)
    return indicator > indicator.multiply(missing)


def _where_nan(y: Any) -> Any:
    """Return where an indicator holds NaN, in its own format; None if it holds none, or is no indicator."""
    if isinstance(y, list | tuple) or not is_indicator(y):
        return None
    if sp.issparse(y):
        entries = y.tocoo()
        if entries.dtype.kind != "f" or not np.isnan(entries.data).any():
            return None
        nan = np.isnan(entries.data)
        return sp.csr_array((nan[nan], (entries.row[nan], entries.col[nan])), shape=y.shape)
    if hasattr(y, "columns"):
        nan = y.isna()
        return nan if nan.to_numpy().any() else None
    y = np.asarray(y)
    nan = np.isnan(y) if y.dtype.kind == "f" else y != y if y.dtype.kind == "O" else np.zeros(0)
    return nan.astype(bool) if nan.any() else None


def _with_zeros(y: Any, nan: Any) -> Any:
    """Return a copy of an indicator with 0 in place of NaN."""
    if sp.issparse(y):
        entries = y.tocoo()
        kept = ~np.isnan(entries.data)
        return sp.csr_array((entries.data[kept], (entries.row[kept], entries.col[kept])), shape=y.shape)
    if hasattr(y, "columns"):
        return y.astype(object).where(~nan, 0)
    return np.where(nan, 0, np.asarray(y))


def _complete_rows(nan: Any) -> np.ndarray:
    """Return which rows have no missing target."""
    found = nan.to_numpy() if hasattr(nan, "columns") else nan
    return np.asarray(found.sum(axis=1)).ravel() == 0
