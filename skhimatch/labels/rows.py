"""Some rows of a sparse array, or parts of a flat array."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

__all__ = ["index_type", "positions_of_rows", "rows_of"]


def index_type(largest: int) -> type[np.int32] | type[np.int64]:
    """Return the type of the indices and offsets of a sparse array: of 32 bits, if they are large enough.

    Parameters
    ----------
    largest : int
        The largest offset.

    Returns
    -------
    type
        The type; scikit-learn refuses 64 bits where 32 would do.

    Examples
    --------
    >>> index_type(2**31 - 1), index_type(2**31)
    (<class 'numpy.int32'>, <class 'numpy.int64'>)
    """
    return np.int32 if largest <= np.iinfo(np.int32).max else np.int64


def positions_of_rows(
    offsets: NDArray[np.integer], rows: NDArray[np.integer]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where some rows are in a flat array, and the offsets of these rows alone.

    Parameters
    ----------
    offsets : int ndarray of shape (n + 1,)
        Row i is at ``offsets[i]`` to ``offsets[i + 1]`` in the flat array.
    rows : int ndarray of shape (m,)
        The rows, in any order, also repeated; none is negative.

    Returns
    -------
    positions : int64 ndarray of shape (n_entries,)
        The positions of the entries of these rows.
    offsets : int64 ndarray of shape (m + 1,)
        The start of each of these rows in `positions`.

    Examples
    --------
    >>> positions_of_rows(np.array([0, 2, 2, 5]), np.array([2, 0]))
    (array([2, 3, 4, 0, 1]), array([0, 3, 5]))
    """
    lengths = np.diff(offsets)[rows]
    new_offsets = np.zeros(len(rows) + 1, dtype=np.int64)
    np.cumsum(lengths, out=new_offsets[1:])
    positions = np.arange(new_offsets[-1])
    positions += np.repeat(offsets[rows] - new_offsets[:-1], lengths)
    return positions, new_offsets


def rows_of(matrix: csr_array, rows: NDArray[np.integer]) -> csr_array:
    """Return some rows of a sparse array: ``matrix[rows]``, without scipy's checks of the index.

    Parameters
    ----------
    matrix : csr_array of shape (n, L)
        In canonical format.
    rows : int ndarray of shape (m,)
        The rows, in any order, also repeated; none is negative.

    Returns
    -------
    csr_array of shape (m, L)
        A copy.

    Examples
    --------
    >>> rows_of(csr_array([[0, 1], [2, 3]]), np.array([1, 1])).toarray()
    array([[2, 3],
           [2, 3]])
    """
    positions, offsets = positions_of_rows(matrix.indptr, rows)
    parts: tuple[Any, ...] = (
        matrix.data[positions],
        matrix.indices[positions],
        offsets.astype(matrix.indptr.dtype),
    )
    return csr_array(parts, shape=(len(rows), matrix.shape[1]))
