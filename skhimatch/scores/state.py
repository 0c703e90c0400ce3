"""What a scorer is saved as and rebuilt from: plain values and arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import scipy.sparse as sp
from numpy.typing import NDArray

from skhimatch.storage.arrays import of_shape
from skhimatch.storage.values import check

__all__ = ["ScorerState", "sparse_from_arrays", "sparse_to_arrays"]


@dataclass(frozen=True)
class ScorerState:
    """The state of one scorer, in a form that can be written without pickle.

    Attributes
    ----------
    values : mapping of str to JSON values
        Settings.
    arrays : mapping of str to ndarray
        Weights and statistics.
    write_encoder : callable, optional
        Writes a pretrained encoder into a folder, in the format of transformers. Only a network that reads
        with a pretrained encoder has one, and only if the encoder is to be stored.
    encoder_folder : Path, optional
        The folder from which `from_state` reads the pretrained encoder.
    """

    values: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]]
    write_encoder: Callable[[Path], None] | None = None
    encoder_folder: Path | None = None


def sparse_to_arrays(name: str, matrix: sp.csr_array) -> dict[str, NDArray[Any]]:
    """Return the three arrays of a sparse matrix.

    Parameters
    ----------
    name : str
        The prefix of the arrays' names.
    matrix : csr_array
        The matrix.

    Returns
    -------
    dict of str to ndarray

    Examples
    --------
    >>> sorted(sparse_to_arrays("weight", sp.csr_array([[0, 1.0]])))
    ['weight.data', 'weight.indices', 'weight.indptr']
    """
    return {f"{name}.{part}": getattr(matrix, part) for part in ("data", "indices", "indptr")}


def sparse_from_arrays(name: str, arrays: Mapping[str, NDArray[Any]], shape: tuple[int, int]) -> sp.csr_array:
    """Rebuild a sparse matrix from the arrays that `sparse_to_arrays` returned.

    Parameters
    ----------
    name : str
        The prefix of the arrays' names.
    arrays : mapping of str to ndarray
        These arrays, and others.
    shape : tuple of two int
        Rows and columns.

    Returns
    -------
    csr_array

    Raises
    ------
    ValueError
        When one of the three is missing, has another shape or type, or points outside of the matrix: scipy
        does not check that, and would read and write any memory.

    Examples
    --------
    >>> matrix = sp.csr_array([[0, 1.0], [2.0, 0]])
    >>> sparse_from_arrays("weight", sparse_to_arrays("weight", matrix), (2, 2)).toarray()
    array([[0., 1.],
           [2., 0.]])
    """
    rows, columns = shape
    data = of_shape(arrays, f"{name}.data", (-1,))
    indices = of_shape(arrays, f"{name}.indices", data.shape, "i")
    pointers = of_shape(arrays, f"{name}.indptr", (rows + 1,), "i")
    inside = not len(indices) or (indices.min() >= 0 and indices.max() < columns)
    check(f"{name}.indices", bool(inside), f"holds columns outside of 0 to {columns - 1}")
    right = pointers[0] == 0 and pointers[-1] == len(data) and (pointers[1:] >= pointers[:-1]).all()
    check(f"{name}.indptr", bool(right), f"does not ascend from 0 to {len(data)}")
    return sp.csr_array((data, indices, pointers), shape=shape)
