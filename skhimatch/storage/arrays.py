"""Arrays in one file, which is checked before memory is allocated, and checks of single arrays."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from skhimatch.storage.values import LARGEST, check

__all__ = ["check_finite", "of_shape", "positions", "read_arrays", "write_arrays"]

# The types of the arrays of a classifier, in the byte order of this machine.
TYPES = tuple(map(np.dtype, (np.bool_, np.int32, np.int64, np.float32, np.float64)))


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays into one file, without compression.

    Parameters
    ----------
    path : Path
        The file.
    arrays : mapping of str to ndarray
        Floats, integers and booleans.

    Raises
    ------
    ValueError
        When a number is not finite or beyond 1e12, or an array has another type.
    """
    for name, array in arrays.items():
        check(name, array.dtype in TYPES, f"has the type {array.dtype}, which is not read again")
        check_finite(name, array)
    # Plain numbers, as checked, are never pickled. Before numpy 2.1 `allow_pickle` would be an array here.
    plain: dict[str, Any] = dict(arrays)
    np.savez(path, **plain)


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Read what `write_arrays` wrote.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    dict of str to ndarray
        Together not larger than the file.

    Raises
    ------
    ValueError, BadZipFile
        When the file is damaged, a member is compressed or of another size than its header says, an array
        holds objects, or a number is not finite.
    """
    arrays: dict[str, NDArray[Any]] = {}
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        total = sum(member.file_size for member in members)
        check(
            "the archive", total <= path.stat().st_size, f"claims to hold {total:,} bytes, more than it has"
        )
        for member in members:
            name = member.filename.removesuffix(".npy")
            check(name, name != member.filename and name not in arrays, "is no array, or there twice")
            stored = member.compress_type == zipfile.ZIP_STORED and member.compress_size == member.file_size
            check(name, stored, "is compressed")
            _check_header(archive, member, name)
            with archive.open(member) as file:
                arrays[name] = npy.read_array(file, allow_pickle=False)
            check_finite(name, arrays[name])
    return arrays


def _check_header(archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str) -> None:
    """Check that an array has plain numbers, and as many bytes as its header says."""
    with archive.open(member) as file:
        version = npy.read_magic(file)
        check(name, version in ((1, 0), (2, 0)), f"has the version {version} of the npy format")
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read(file)
        check(name, dtype in TYPES, f"has the type {dtype}, which no save writes")
        size = prod(shape) * dtype.itemsize
        there = member.file_size - file.tell()
        right = all(side >= 0 for side in shape) and size == there
        check(name, right, f"has the shape {shape}, and {there:,} bytes in place of {size:,}")


def check_finite(name: str, array: NDArray[Any]) -> None:
    """Raise a ValueError if a number of an array is not finite, or beyond 1e12.

    Parameters
    ----------
    name : str
        The array's name, for errors.
    array : ndarray
        Numbers; integers and booleans are always right.

    Raises
    ------
    ValueError
        When a number is not finite, or too large.
    """
    if array.dtype.kind == "f" and array.size:
        # NaN is the minimum and the maximum of everything, and in no range.
        inside = array.min() >= -LARGEST and array.max() <= LARGEST
        check(name, bool(inside), f"holds numbers that are not finite, or beyond {LARGEST:g}")


def of_shape(
    arrays: Mapping[str, NDArray[Any]], name: str, shape: tuple[int, ...], kinds: str = "f"
) -> NDArray[Any]:
    """Return one of several arrays, after a check.

    Parameters
    ----------
    arrays : mapping of str to ndarray
        All arrays.
    name : str
        The name of the wanted one.
    shape : tuple of int
        The shape that it has to have. -1 stands for any number.
    kinds : str
        The kinds of its type: "f" for floats, "i" for integers, "b" for bool.

    Returns
    -------
    ndarray

    Raises
    ------
    ValueError
        When it is missing, or has another shape or type.
    """
    check(name, name in arrays, "is missing")
    array = arrays[name]
    same = len(array.shape) == len(shape) and all(
        wanted in (-1, side) for wanted, side in zip(shape, array.shape, strict=True)
    )
    check(name, same, f"has the shape {array.shape} in place of {shape}")
    check(name, array.dtype.kind in kinds, f"has the type {array.dtype}")
    return array


def positions(
    arrays: Mapping[str, NDArray[Any]], name: str, end: int, *, length: int = -1, repeated: bool = False
) -> NDArray[Any]:
    """Return an array of ascending positions, after a check.

    Parameters
    ----------
    arrays : mapping of str to ndarray
        All arrays.
    name : str
        The name of the wanted one.
    end : int
        Positions are from 0 to ``end - 1``.
    length : int
        How many there are; -1 for any number.
    repeated : bool
        Whether neighbours may be equal.

    Returns
    -------
    integer ndarray of shape (n,)

    Raises
    ------
    ValueError
        When it is missing, has another shape or type, is not ascending, or has a number out of range.
    """
    array = of_shape(arrays, name, (length,), "i")
    if len(array):
        inside = array.min() >= 0 and array.max() < end
        check(name, bool(inside), f"holds positions outside of 0 to {end - 1}")
        ascending = array[1:] >= array[:-1] if repeated else array[1:] > array[:-1]
        check(name, bool(ascending.all()), "is not in ascending order")
    return array
