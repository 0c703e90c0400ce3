"""Reading files of texts a block of rows at a time, so that a file may be larger than memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from skhimatch.input_files import format_of
from skhimatch.text.columns import Columns
from skhimatch.text.files import Entry, read_entries, read_records
from skhimatch.text.parquet import ROWS, open_parquet, rows_of_a_batch

__all__ = ["ArrowBlock", "Block", "RecordBlock", "Survey", "read_blocks", "survey"]

# A block of long texts has fewer rows.
CHARACTERS = 16_000_000
# Integers up to here are float64 numbers, too.
EXACT_IN_FLOAT = 2**53


@dataclass(frozen=True)
class RecordBlock:
    """Rows of a text file.

    Attributes
    ----------
    texts : list of n str
        The texts.
    records : list of n dicts
        All fields of each row by name.
    """

    texts: list[str]
    records: list[dict[str, Any]]


@dataclass(frozen=True)
class ArrowBlock:
    """Rows of a parquet file.

    Attributes
    ----------
    texts : list of n str
        The texts.
    rows : pyarrow.Table
        All columns, with their types.
    """

    texts: list[str]
    rows: Any

    @property
    def records(self) -> list[dict[str, Any]]:
        """All fields of each row by name."""
        return self.rows.to_pylist()


Block = RecordBlock | ArrowBlock


@dataclass
class Survey:
    """What a file of texts holds.

    Attributes
    ----------
    n_texts : int
        The number of its rows.
    kinds : dict of str to set of str
        The name of each field, in the order of the file, and the kinds of its values: "bool", "int",
        "large int", "float", "str", "strings" (a list of them) and "other". Missing values have no kind.
        Of a parquet file there are no kinds.
    schema : pyarrow.Schema or None
        The columns of a parquet file with their types.
    encoding : str or None
        The encoding of a text file, if it was named.
    """

    n_texts: int = 0
    kinds: dict[str, set[str]] = field(default_factory=dict)
    schema: Any = None
    encoding: str | None = None

    @property
    def names(self) -> list[str]:
        """The names of all fields."""
        return list(self.kinds)


def survey(path: Path, columns: Columns, encoding: str | None = None) -> Survey:
    r"""Read a file once, to check all its rows before the first one is used.

    Parameters
    ----------
    path : Path
        A file as `read_texts` describes it.
    columns : Columns
        What holds the texts.
    encoding : str, optional
        As in `read_texts`.

    Returns
    -------
    Survey

    Raises
    ------
    ValueError
        If a row has no text, or the file is not as its format demands.
    ImportError
        If a parquet file is read without pyarrow.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "news.jsonl")
    ...     _ = file.write_text('{"text": "a wave", "id": 7}\n{"text": "a serve", "id": 7.5}\n')
    ...     found = survey(file, Columns())
    >>> found.n_texts, found.names, sorted(found.kinds["id"])
    (2, ['text', 'id'], ['float', 'int'])
    """
    found = Survey(encoding=encoding)
    if format_of(path) == ".parquet":
        with open_parquet(path) as file:
            found.schema = file.schema_arrow
        found.kinds = {name: set() for name in found.schema.names}
        for entry in read_entries(path, columns):
            _text_of(entry)
            found.n_texts += 1
        return found
    for entry in read_records(path, columns, encoding):
        _text_of(entry)
        found.n_texts += 1
        for name, value in entry.record.items():
            kinds = found.kinds.setdefault(name, set())
            if value is not None:
                kinds.add(_kind(value))
    return found


def read_blocks(path: Path, columns: Columns, encoding: str | None = None) -> Iterator[Block]:
    """Read the rows of a file in order, some thousands at a time.

    Parameters
    ----------
    path : Path
        A file as `read_texts` describes it. The records of an array of JSON are all read at once.
    columns : Columns
        What holds the texts.
    encoding : str, optional
        As in `read_texts`.

    Yields
    ------
    RecordBlock or ArrowBlock
        No more than 8,192 rows, and no more than some 16 MB of texts.

    Raises
    ------
    ValueError, ImportError
        As in `survey`.
    """
    if format_of(path) == ".parquet":
        yield from _read_batches(path, columns)
        return
    texts: list[str] = []
    records: list[dict[str, Any]] = []
    n_characters = 0
    for entry in read_records(path, columns, encoding):
        texts.append(_text_of(entry))
        records.append(entry.record)
        n_characters += len(texts[-1])
        if len(texts) == ROWS or n_characters >= CHARACTERS:
            yield RecordBlock(texts, records)
            texts, records, n_characters = [], [], 0
    if texts:
        yield RecordBlock(texts, records)


def _read_batches(path: Path, columns: Columns) -> Iterator[ArrowBlock]:
    number = 0
    with open_parquet(path) as file:
        text, _ = columns.positions(file.schema_arrow.names, str(path))
        for rows in _in_full_batches(file):
            texts = rows.column(text).to_pylist()
            for value in texts:
                number += 1
                _check_text(value, f"row {number} of {path}")
            yield ArrowBlock(texts, rows)


def _in_full_batches(file: Any) -> Iterator[Any]:
    """Put batches together: those of pyarrow may end with a row group, and small ones are slow."""
    from pyarrow import Table

    n_rows = rows_of_a_batch(file)
    batches: list[Any] = []
    held = 0
    for batch in file.iter_batches(n_rows):
        room = n_rows - held
        batches.append(batch[:room])
        held += len(batches[-1])
        if held == n_rows:
            yield Table.from_batches(batches)
            batches, held = [batch[room:]], len(batch[room:])
    if held:
        yield Table.from_batches(batches)


def _text_of(entry: Entry) -> str:
    _check_text(entry.text, entry.place)
    return entry.text


def _check_text(text: Any, place: str) -> None:
    if not isinstance(text, str):
        raise ValueError(f"{place} has no text")


def _kind(value: Any) -> str:
    """Return the kind of a value of JSON."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        if abs(value) <= EXACT_IN_FLOAT:
            return "int"
        return "large int" if -(2**63) <= value < 2**63 else "other"
    if isinstance(value, float):
        return "float"
    if isinstance(value, str):
        return "str"
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return "strings"
    return "other"
