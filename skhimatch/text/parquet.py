"""Opening parquet files, whose rows are read a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["open_parquet", "rows_of_a_batch"]

# The most that a batch holds, on average: rows, and their bytes without compression.
ROWS, BYTES = 8192, 16 << 20
# Of a column only so much is read ahead, and not a whole row group.
BUFFER_BYTES = 1 << 20


@contextmanager
def open_parquet(path: Path) -> Iterator[Any]:
    """Open a parquet file.

    Parameters
    ----------
    path : Path
        The file.

    Yields
    ------
    pyarrow.parquet.ParquetFile

    Raises
    ------
    ImportError
        If pyarrow is not installed.
    ValueError
        If it is no parquet file.
    """
    try:
        from pyarrow import ArrowInvalid
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise ImportError(
            f'{path} is a parquet file, which needs pyarrow: python -m pip install "skhimatch[parquet]", or '
            "save it as json lines"
        ) from error
    try:
        file = ParquetFile(path, buffer_size=BUFFER_BYTES)
    except ArrowInvalid as error:
        raise ValueError(f"{path} is not a parquet file: {error}") from error
    with file:
        yield file


def rows_of_a_batch(file: Any) -> int:
    """Return how many rows of a parquet file to read at once: fewer if they are long.

    Parameters
    ----------
    file : pyarrow.parquet.ParquetFile
        The file.

    Returns
    -------
    int
    """
    groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
    bytes_of_a_row = max((group.total_byte_size / max(1, group.num_rows) for group in groups), default=1)
    return max(1, min(ROWS, int(BYTES / max(1, bytes_of_a_row))))
