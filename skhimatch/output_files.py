"""Files that take the place of older ones when they are complete, and not after an error."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TextIO

from skhimatch.storage import replacing as storage

__all__ = ["check_output", "replacing", "replacing_text", "unfinished_files"]


def check_output(output: Path, *inputs: Path) -> None:
    """Refuse an output that cannot be written, before anything is read.

    Parameters
    ----------
    output : Path
        The file that is written later.
    *inputs : Path
        Files that are read.

    Raises
    ------
    ValueError
        If the output is one of the inputs.
    OSError
        If the output is a folder, or is in a folder that does not exist.
    """
    for path in inputs:
        if output.exists() and path.exists() and output.samefile(path):
            raise ValueError(
                f"--output and --input are the same file, {path}: name another file for the labels"
            )
    if output.is_dir():
        problem = f"{os.strerror(errno.EISDIR)}: name a file in it"
        raise IsADirectoryError(errno.EISDIR, problem, str(output))
    if not output.resolve().parent.is_dir():
        problem = f"{os.strerror(errno.ENOENT)}: make its folder first"
        raise FileNotFoundError(errno.ENOENT, problem, str(output))


@contextmanager
def replacing(output: Path) -> Iterator[BinaryIO]:
    """Write a file beside the output that takes its place at the end, but not after an error.

    A pipe or a device, such as /dev/null, is written to directly. A link is kept: the file that it points to
    is replaced.

    Parameters
    ----------
    output : Path
        The file. If it exists, the new one gets its mode.

    Yields
    ------
    binary file

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with replacing(Path(folder, "a.txt")) as file:
    ...         _ = file.write(b"complete")
    ...     Path(folder, "a.txt").read_text()
    'complete'
    """
    with storage.replacing(output) as unfinished, unfinished.open("wb") as file:
        yield file


@contextmanager
def replacing_text(output: Path) -> Iterator[TextIO]:
    """Write a text file as `replacing` does.

    Parameters
    ----------
    output : Path
        The file.

    Yields
    ------
    text file
        In UTF-8. Lines end as they are written.
    """
    # Names of labels may hold lone surrogates, which UTF-8 does not have.
    with (
        replacing(output) as file,
        io.TextIOWrapper(file, encoding="utf-8", errors="replace", newline="") as text,
    ):
        yield text


def unfinished_files(output: Path) -> list[Path]:
    """Return what processes that were killed have left of an output.

    Parameters
    ----------
    output : Path
        The file that they were to write.

    Returns
    -------
    list of Path
        Files that no process completes, unless one writes the same output at this moment.
    """
    start, end = f".{output.name}.", ".unfinished"
    return [
        path
        for path in output.resolve().parent.iterdir()
        if path.name.startswith(start)
        and path.name.endswith(end)
        and path.name[len(start) : -len(end)].isdigit()
    ]
