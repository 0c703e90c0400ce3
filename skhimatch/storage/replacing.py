"""Files that are replaced as a whole, or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["replacing"]


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Write a file beside another one, whose place it takes at the end, but not after an error.

    Parameters
    ----------
    path : Path
        The file to replace. It need not exist. If it is a link, the file that it points to is replaced.
        A pipe or a device, such as ``/dev/null``, is not replaced but written.

    Yields
    ------
    Path
        The file to write.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     with replacing(Path(folder, "model.onnx")) as unfinished:
    ...         _ = unfinished.write_bytes(b"...")
    ...     [path.name for path in Path(folder).iterdir()]
    ['model.onnx']
    """
    if path.exists() and not path.is_file():
        yield path
        return
    path = path.resolve()
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    try:
        yield unfinished
        if path.exists():
            shutil.copymode(path, unfinished)
        with unfinished.open("rb+") as file:
            # On disk before the exchange, so that a power failure cannot leave a part of it.
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
