"""The error of a saved classifier that cannot be loaded."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["ModelFormatError", "damage_named"]


class ModelFormatError(ValueError):
    """A saved classifier is damaged or incomplete, or has another format than this version reads.

    The message names the file, what is wrong in it, and what to do.

    See Also
    --------
    HiMatchClassifier : Its `load` raises the error.
    OnnxClassifier : Reading an exported classifier raises it, too.
    """


# What reading truncated or edited data raises, in this package, numpy, torch and Python.
DAMAGE = (
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    ArithmeticError,
    AssertionError,
    RuntimeError,
    MemoryError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
)


@contextmanager
def damage_named(
    path: Path | str, remedy: str = "save the classifier again, or copy its whole folder again"
) -> Iterator[None]:
    """Turn the errors of damaged data into a `ModelFormatError` that names the file.

    Parameters
    ----------
    path : Path or str
        The file that is read, or the folder, or the part of one.
    remedy : str
        What to do.

    Yields
    ------
    None

    Raises
    ------
    ModelFormatError
        In place of any error of damaged data.

    Examples
    --------
    >>> with damage_named(Path("weights.npz")):
    ...     {}["bias"]
    Traceback (most recent call last):
        ...
    skhimatch.storage.errors.ModelFormatError: weights.npz is damaged (KeyError: 'bias'): save the ...
    """
    try:
        yield
    except ModelFormatError:
        raise
    except DAMAGE as error:
        reason = str(error) if type(error) is ValueError else f"{type(error).__name__}: {error}"
        raise ModelFormatError(f"{path} is damaged ({reason}): {remedy}.") from error
