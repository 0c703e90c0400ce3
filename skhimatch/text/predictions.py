"""Writing texts and their predicted labels, as json lines and as tables."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TextIO

__all__ = ["FORMATS", "check_names", "write_predictions"]

LABELS, PROBABILITIES = "labels", "probabilities"
# What a field of the input is called that has the name of a new one.
GIVEN = "given_"
# Between the labels of a text in a table, as in the tables that are read.
BETWEEN = "|"
# The separator of each format; json lines have none.
FORMATS: dict[str, str | None] = {"jsonl": None, "csv": ",", "tsv": "\t"}


def check_names(labels: Iterable[str], format: str) -> None:
    """Raise if the labels cannot be written in a format.

    Parameters
    ----------
    labels : iterable of str
        All labels.
    format : {"jsonl", "csv", "tsv"}
        The format.

    Raises
    ------
    ValueError
        In a table, if a label contains what separates labels.
    """
    if FORMATS[format] is None:
        return
    for label in labels:
        if BETWEEN in label:
            raise ValueError(
                f"the label {label!r} contains {BETWEEN!r}, which separates the labels of a text in a table: "
                "write json lines"
            )


def write_predictions(
    file: TextIO,
    records: Sequence[Mapping[str, Any]],
    found: Iterable[Mapping[str, float]],
    format: str,
) -> None:
    r"""Write the fields of each input row, and behind them its labels and their probabilities.

    Parameters
    ----------
    file : text file
        Open, with ``newline=""`` for tables.
    records : sequence of n mappings
        The fields of each row of the input by name.
    found : iterable of n mappings of str to float
        The probability of each predicted label. Rows are written as they come.
    format : {"jsonl", "csv", "tsv"}
        Json lines with a list of labels and an object of probabilities, or a table in which ``|`` separates
        both. Fields that a row does not have are empty in a table.

    Examples
    --------
    >>> import sys
    >>> records = [{"id": "7", "text": "a wave"}]
    >>> write_predictions(sys.stdout, records, [{"science": 0.9, "physics": 0.75}], "csv")
    id,text,labels,probabilities
    7,a wave,science|physics,0.9|0.75
    """
    separator = FORMATS[format]
    rows = zip(map(_kept, records), found, strict=True)
    if separator is None:
        for fields, labels in rows:
            entry = fields | {LABELS: list(labels), PROBABILITIES: dict(labels)}
            print(_as_json(entry), file=file)
        return
    table = csv.writer(file, delimiter=separator, lineterminator="\n")
    names = dict.fromkeys(name for record in records for name in _kept(record))
    table.writerow(map(_writable, [*names, LABELS, PROBABILITIES]))
    for fields, labels in rows:
        ends = BETWEEN.join(labels), BETWEEN.join(map(str, labels.values()))
        table.writerow(map(_writable, [*(_field(fields.get(name)) for name in names), *ends]))


def _kept(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of the input; those whose names are needed have others."""
    return {GIVEN + name if name in (LABELS, PROBABILITIES) else name: value for name, value in given.items()}


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
