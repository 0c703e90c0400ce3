"""Writing texts and their predicted labels: json lines, tables and parquet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO, Protocol, TextIO

from skhimatch.text.row_blocks import ArrowBlock, Block, Survey

__all__ = ["FORMATS", "Writer", "binary_writer", "check_format", "kept_names", "text_writer"]

LABELS, PROBABILITIES = "labels", "probabilities"
# What a field of the input is called that has the name of a new one.
GIVEN = "given_"
# Between the labels of a text in a table, as in the tables that are read.
BETWEEN = "|"
# What separates the fields of a table.
SEPARATORS = {"csv": ",", "tsv": "\t"}
# The key under which pandas describes the columns and the index of a parquet file.
OF_PANDAS = b"pandas"
FORMATS = ("jsonl", *SEPARATORS, "parquet")

Found = Iterable[Mapping[str, float]]


class Writer(Protocol):
    """Writes rows, and behind the fields of each its labels and their probabilities."""

    def write(self, block: Block, found: Found) -> None:
        """Write some rows; there are as many mappings of labels to probabilities."""
        ...


def check_format(format: str, labels: Iterable[str]) -> None:
    """Raise if labels cannot be written in a format.

    Parameters
    ----------
    format : {"jsonl", "csv", "tsv", "parquet"}
        The format.
    labels : iterable of str
        All labels.

    Raises
    ------
    ValueError
        In a table, if a label contains what separates labels.
    ImportError
        For parquet, if pyarrow is not installed.
    """
    if format == "parquet":
        try:
            import pyarrow.parquet  # noqa: F401
        except ImportError as error:
            raise ImportError(
                'parquet files need pyarrow: python -m pip install "skhimatch[parquet]", or write json lines'
            ) from error
    if format not in SEPARATORS:
        return
    for label in labels:
        if BETWEEN in label:
            raise ValueError(
                f"the label {label!r} contains {BETWEEN!r}, which separates the labels of a text in a table: "
                "write json lines"
            )


def text_writer(file: TextIO, format: str, source: Survey) -> Writer:
    r"""Return what writes predictions into a text file.

    Parameters
    ----------
    file : text file
        Open, with ``newline=""`` for tables.
    format : {"jsonl", "csv", "tsv"}
        Json lines with a list of labels and an object of probabilities, or a table in which ``|`` separates
        both. Fields that a row does not have are empty in a table.
    source : Survey
        What the input holds.

    Returns
    -------
    Writer

    Examples
    --------
    >>> import sys
    >>> from skhimatch.text.row_blocks import RecordBlock
    >>> writer = text_writer(sys.stdout, "csv", Survey(1, {"id": {"str"}, "text": {"str"}}))
    id,text,labels,probabilities
    >>> rows = RecordBlock(["a wave"], [{"id": "7", "text": "a wave"}])
    >>> writer.write(rows, [{"science": 0.9, "physics": 0.75}])
    7,a wave,science|physics,0.9|0.75
    """
    names = kept_names(source.names)
    return _JsonLines(file, names) if format == "jsonl" else _Table(file, names, SEPARATORS[format])


@contextmanager
def binary_writer(file: BinaryIO, format: str, source: Survey) -> Iterator[Writer]:
    """Write predictions into a binary file, which is complete when the context ends.

    Parameters
    ----------
    file : binary file
        Open to write. It may be closed afterwards.
    format : {"jsonl", "csv", "tsv", "parquet"}
        As in `text_writer`; in parquet files ``labels`` and ``probabilities`` are lists in the same order.
        The columns of a parquet file keep their types. Of other files, fields that are numbers, truth values,
        strings or lists of strings in all rows are such columns, and other fields are strings of JSON.
    source : Survey
        What the input holds.

    Yields
    ------
    Writer
    """
    if format == "parquet":
        from pyarrow.parquet import ParquetWriter

        rows = _Parquet(source)
        with ParquetWriter(file, rows.schema) as rows.file:
            yield rows
        return
    # Names of labels may hold lone surrogates, which UTF-8 does not have. Lines end as the writers say.
    with io.TextIOWrapper(file, encoding="utf-8", errors="replace", newline="") as text:
        yield text_writer(text, format, source)


class _JsonLines:
    def __init__(self, file: TextIO, names: Mapping[str, str]) -> None:
        self.file, self.names = file, names

    def write(self, block: Block, found: Found) -> None:
        for record, labels in zip(block.records, found, strict=True):
            fields = {self.names[name]: value for name, value in record.items()}
            entry = fields | {LABELS: list(labels), PROBABILITIES: dict(labels)}
            print(_as_json(entry), file=self.file)


class _Table:
    def __init__(self, file: TextIO, names: Mapping[str, str], separator: str) -> None:
        self.names = names
        self.table = csv.writer(file, delimiter=separator, lineterminator="\n")
        self.table.writerow(map(_writable, [*names.values(), LABELS, PROBABILITIES]))

    def write(self, block: Block, found: Found) -> None:
        for record, labels in zip(block.records, found, strict=True):
            ends = BETWEEN.join(labels), BETWEEN.join(map(str, labels.values()))
            fields = [_field(record.get(name)) for name in self.names]
            self.table.writerow(map(_writable, [*fields, *ends]))


class _Parquet:
    file: Any

    def __init__(self, source: Survey) -> None:
        import pyarrow as pa

        names = kept_names(source.names)
        schema = source.schema or _schema_of(source.kinds)
        given = [column.with_name(_writable(names[column.name])) for column in schema]
        self.given = pa.schema(given, metadata=_renamed(schema.metadata, names))
        self.names = schema.names
        self.as_json = {name for name, kinds in source.kinds.items() if _kind_of_all(kinds) == "other"}
        self.labels, self.probabilities = pa.list_(pa.string()), pa.list_(pa.float64())
        self.schema = self.given.append(pa.field(LABELS, self.labels)).append(
            pa.field(PROBABILITIES, self.probabilities)
        )

    def write(self, block: Block, found: Found) -> None:
        import pyarrow as pa

        labels, probabilities = [], []
        for _, of_text in zip(block.texts, found, strict=True):
            labels.append(list(map(_writable, of_text)))
            probabilities.append(list(of_text.values()))
        if isinstance(block, ArrowBlock):
            columns = block.rows.columns
        else:
            columns = [
                pa.array([self._value(name, record.get(name)) for record in block.records], column.type)
                for name, column in zip(self.names, self.given, strict=True)
            ]
        ends = [pa.array(labels, self.labels), pa.array(probabilities, self.probabilities)]
        self.file.write_table(pa.table([*columns, *ends], schema=self.schema))

    def _value(self, name: str, value: Any) -> Any:
        if name in self.as_json:
            return None if value is None else _as_json(value)
        if isinstance(value, str):
            return _writable(value)
        return list(map(_writable, value)) if isinstance(value, list) else value


def _schema_of(kinds: Mapping[str, set[str]]) -> Any:
    """Return the columns of fields of text files."""
    import pyarrow as pa

    types = {
        "bool": pa.bool_(),
        "int": pa.int64(),
        "float": pa.float64(),
        "str": pa.string(),
        "strings": pa.list_(pa.string()),
        "other": pa.string(),
    }
    return pa.schema([(name, types[_kind_of_all(of_field)]) for name, of_field in kinds.items()])


def _renamed(
    metadata: Mapping[bytes, bytes] | None, names: Mapping[str, str]
) -> Mapping[bytes, bytes] | None:
    """Return the metadata of a parquet file; what pandas wrote about a column goes with its new name."""
    if metadata is None or OF_PANDAS not in metadata:
        return metadata
    of_pandas = json.loads(metadata[OF_PANDAS])
    for column in of_pandas["columns"]:
        for key in ("name", "field_name"):
            column[key] = names.get(column.get(key), column.get(key))
    return {**metadata, OF_PANDAS: json.dumps(of_pandas).encode()}


def _kind_of_all(kinds: set[str]) -> str:
    """Return the one kind of all values of a field, or "other"."""
    if not kinds:
        return "str"
    if kinds <= {"int", "large int"}:
        return "int"
    if kinds <= {"int", "float"}:
        return "float"
    return next(iter(kinds)) if len(kinds) == 1 else "other"


def kept_names(names: Sequence[str]) -> dict[str, str]:
    """Return the names that the fields of the input have in the output.

    Parameters
    ----------
    names : sequence of str
        Of the input.

    Returns
    -------
    dict of str to str
        Names that are needed get ``given_`` in front, so often that no two are the same.

    Examples
    --------
    >>> kept_names(["text", "labels", "given_labels"])
    {'text': 'text', 'labels': 'given_given_labels', 'given_labels': 'given_labels'}
    """
    kept: dict[str, str] = {}
    taken = {*names, LABELS, PROBABILITIES}
    for name in names:
        kept[name] = name
        if name in (LABELS, PROBABILITIES):
            while kept[name] in taken:
                kept[name] = GIVEN + kept[name]
            taken.add(kept[name])
    return kept


def _field(value: Any) -> str:
    """Return a field of json or parquet as text."""
    if value is None:
        return ""
    return value if isinstance(value, str) else _as_json(value)


def _writable(text: str) -> str:
    """Return a text without lone surrogates, which UTF-8 has no bytes for."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _as_json(value: Any) -> str:
    line = json.dumps(value, ensure_ascii=False, default=str)
    try:
        line.encode()
    except UnicodeEncodeError:
        # UTF-8 has no lone surrogates, but JSON has escapes for them.
        return json.dumps(value, default=str)
    return line
