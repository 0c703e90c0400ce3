"""Reading texts and labels from files: json lines, arrays of records, tables and parquet."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skhimatch.input_files import format_of, open_text
from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.labels.spelling import unknown_label
from skhimatch.text.columns import TEXT_AND_LABELS, Columns
from skhimatch.text.parquet import open_parquet, rows_of_a_batch
from skhimatch.text.tables import read_table

__all__ = ["Entry", "read_entries", "read_records", "read_texts"]

# The formats in which a field holds several labels.
TABLES = (".csv", ".tsv")
# The names of HiAGM's files, which are accepted beside "text" and "labels".
OF_HIAGM = ("doc_token", "doc_label")


@dataclass(frozen=True)
class Entry:
    """A row of a table, or a record, as it is in the file.

    Attributes
    ----------
    place : str
        Where it is, such as ``"line 3 of news.csv"``.
    text : object
        A string, if the file is as it should be.
    labels : tuple
        The fields of the labels, one for each column. Empty if the file has none.
    record : dict of str to object
        The fields that were read, by name.
    """

    place: str
    text: Any
    labels: tuple[Any, ...]
    record: dict[str, Any]


def read_texts(
    path: str | os.PathLike[str],
    hierarchy: LabelHierarchy | None = None,
    columns: Columns = TEXT_AND_LABELS,
    label_separator: str = "|",
    encoding: str | None = None,
) -> tuple[list[str], list[frozenset[str]] | None]:
    r"""Read texts, and their labels if the file has labels.

    Parameters
    ----------
    path : path-like
        A file in UTF-8, in UTF-16 with a byte order mark, or in another `encoding`. It may be compressed with
        gzip. The suffix, without ``.gz``, names the format:

        - ``.jsonl`` or ``.json``: a line is an object with ``text`` and ``labels``, a list; or the whole
          file is one array of such objects. The names ``doc_token`` and ``doc_label`` are accepted too;
        - ``.csv`` or ``.tsv``: the header has the columns ``text`` and ``labels``. Commas, semicolons or
          tabs separate the columns. In ``labels``, ``|`` separates several labels. A label that contains
          ``|`` is recognised if the `hierarchy` has it. Other columns are ignored;
        - ``.parquet``: the columns ``text`` and ``labels``, a list of strings or one string. It needs
          pyarrow.
    hierarchy : LabelHierarchy, optional
        The known labels. By default any label is accepted.
    columns : Columns, optional
        Other names than ``text`` and ``labels``, with one column of labels at most.
    label_separator : str, default="|"
        What separates the labels of a text in csv and tsv files; "" if a field is one label.
    encoding : str, optional
        The encoding of a text file without a byte order mark, such as "cp1252", "shift_jis" or "gb18030". By
        default UTF-8.

    Returns
    -------
    texts : list of str
        The texts.
    label_sets : list of frozenset of str, or None
        The labels of each text. None if the file has no labels.

    Raises
    ------
    ValueError
        If the suffix is not one of these, the file is in another encoding, there is no text, or a line is
        not as described. The message names the file and the line.
    ImportError
        If a parquet file is read without pyarrow.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "news.csv")
    ...     _ = file.write_text("text,labels\na wave,science|physics\n")
    ...     texts, label_sets = read_texts(file)
    >>> texts, [sorted(labels) for labels in label_sets]
    (['a wave'], [['physics', 'science']])
    """
    path = Path(path)
    texts: list[str] = []
    label_sets: list[frozenset[str]] = []
    first_without_labels = ""
    is_table = format_of(path) in TABLES
    # The labels that contain the separator are kept whole.
    whole = (
        None if hierarchy is None or not any(label_separator in label for label in hierarchy) else hierarchy
    )
    for entry in read_entries(path, columns, encoding):
        if not isinstance(entry.text, str):
            raise ValueError(f"{entry.place} has no text")
        texts.append(entry.text)
        if entry.labels:
            [labels] = entry.labels
            if is_table:
                labels = _split_labels(labels, label_separator, entry.place, whole)
            label_sets.append(_checked(labels, entry.place, hierarchy))
        else:
            first_without_labels = first_without_labels or entry.place
        if first_without_labels and label_sets:
            raise ValueError(
                f"{first_without_labels} has no labels, but other lines have: add labels, or [] for none"
            )
    if not texts:
        raise ValueError(f"{path} has no text")
    return texts, None if first_without_labels else label_sets


def read_entries(
    path: Path, columns: Columns = TEXT_AND_LABELS, encoding: str | None = None
) -> Iterator[Entry]:
    """Read texts and labels as they are in a file, one at a time.

    Parameters
    ----------
    path : Path
        A file as `read_texts` describes it.
    columns : Columns, optional
        What holds the texts and the labels.
    encoding : str, optional
        As in `read_texts`.

    Yields
    ------
    Entry

    Raises
    ------
    ValueError
        If the suffix is not known, the file is in another encoding, a column is missing, or a line is not
        as its format demands.
    ImportError
        If a parquet file is read without pyarrow.
    """
    return _read(path, columns, encoding, with_others=False)


def read_records(
    path: Path, columns: Columns = TEXT_AND_LABELS, encoding: str | None = None
) -> Iterator[Entry]:
    """Read texts with all fields of their rows, one at a time.

    `read_entries` may leave out the other columns of a parquet file.

    Parameters
    ----------
    path : Path
        A file as `read_texts` describes it.
    columns : Columns, optional
        What holds the texts and the labels.
    encoding : str, optional
        As in `read_texts`.

    Yields
    ------
    Entry

    Raises
    ------
    ValueError, ImportError
        As in `read_entries`.
    """
    return _read(path, columns, encoding, with_others=True)


def _read(path: Path, columns: Columns, encoding: str | None, with_others: bool) -> Iterator[Entry]:
    suffix = format_of(path)
    if suffix in (".jsonl", ".json"):
        return _read_json(path, columns, encoding)
    if suffix in TABLES:
        return (Entry(*row) for row in read_table(path, columns, encoding))
    if suffix == ".parquet":
        return _read_parquet(path, columns, with_others)
    if suffix in (".xlsx", ".xlsm", ".xls", ".ods"):
        raise ValueError(f"{path} is a spreadsheet: save it in the spreadsheet program as 'CSV UTF-8'")
    raise ValueError(
        f"{path} does not end in .jsonl, .json, .csv, .tsv or .parquet (.gz may follow): save it in one of "
        "these formats; a table with tabs is a .tsv file"
    )


def _read_json(path: Path, columns: Columns, encoding: str | None) -> Iterator[Entry]:
    """Read json lines, a line at a time, or one array of records."""
    is_first = True
    # Only "\n" ends a line. Texts may contain other line breaks.
    with open_text(path, encoding=encoding) as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            if is_first and line.lstrip().startswith("["):
                # The blank lines keep the line numbers of errors right.
                array = _parsed("\n" * (number - 1) + line + lines.read(), str(path))
                for nth, entry in enumerate(array, start=1):
                    place = f"record {nth} of {path}"
                    yield _record(entry, place, columns)
                return
            is_first = False
            place = f"line {number} of {path}"
            yield _record(_parsed(line, place), place, columns)


def _split_labels(field: str, separator: str, place: str, hierarchy: LabelHierarchy | None) -> list[str]:
    """Split a field at the separator. The labels of a hierarchy that contain it are kept whole."""
    parts = field.split(separator) if separator else [field]
    if hierarchy is None:
        return [part.strip() for part in parts if part.strip()]
    # The ways to read the parts from each one on as known labels. Two of them are enough to refuse.
    ways: list[list[list[str]]] = [[] for _ in parts] + [[[]]]
    for start in reversed(range(len(parts))):
        for stop in range(start + 1, len(parts) + 1):
            label = separator.join(parts[start:stop]).strip()
            if not label or label in hierarchy:
                ways[start] += [[label, *rest] if label else rest for rest in ways[stop]]
        ways[start] = ways[start][:2]
    if len(ways[0]) > 1:
        raise ValueError(
            f"the labels {field!r} in {place} can be read as {ways[0][0]} and as {ways[0][1]}, since some "
            f"labels contain {separator!r}: save the texts as json lines, with a list of labels"
        )
    return ways[0][0] if ways[0] else [part.strip() for part in parts if part.strip()]


def _parsed(content: str, place: str) -> Any:
    try:
        return json.loads(content)
    except json.JSONDecodeError as error:
        raise ValueError(f"{place} is not JSON: {error}") from error
    except RecursionError as error:
        raise ValueError(f"{place} is nested too deeply: write a text and a list of labels") from error


def _record(entry: Any, place: str, columns: Columns) -> Entry:
    if not isinstance(entry, dict):
        raise ValueError(f'{place} is not of the form {{"text": "...", "labels": [...]}}')
    names = [columns.text, OF_HIAGM[0]] if columns.text == TEXT_AND_LABELS.text else [columns.text]
    text = next((entry[name] for name in names if name in entry), None)
    if isinstance(text, list):
        text = " ".join(map(str, text))
    if columns.labels == TEXT_AND_LABELS.labels:
        labels = tuple(entry[name] for name in (*columns.labels, OF_HIAGM[1]) if entry.get(name) is not None)
        return Entry(place, text, labels[:1], entry)
    missing = [name for name in columns.labels if name not in entry]
    if missing:
        raise ValueError(f"{place} has no {missing[0]!r}, but {', '.join(map(repr, entry))}")
    return Entry(place, text, tuple(entry[name] for name in columns.labels), entry)


def _read_parquet(path: Path, columns: Columns, with_others: bool) -> Iterator[Entry]:
    """Read the rows of a parquet file, a batch at a time."""
    with open_parquet(path) as file:
        names = file.schema_arrow.names
        text, labels = columns.positions(names, str(path))
        number = 0
        wanted = None if with_others else [names[column] for column in (text, *labels)]
        for batch in file.iter_batches(rows_of_a_batch(file), columns=wanted):
            for row in batch.to_pylist():
                number += 1
                of_labels = tuple(row[names[column]] for column in labels)
                known = () if of_labels == (None,) and columns.labels == TEXT_AND_LABELS.labels else of_labels
                yield Entry(f"row {number} of {path}", row[names[text]], known, row)


def _checked(labels: Any, where: str, hierarchy: LabelHierarchy | None) -> frozenset[str]:
    names = [labels] if isinstance(labels, str) else labels
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"the labels in {where} are {labels!r}: write a list of strings")
    for name in names:
        if hierarchy is not None and name not in hierarchy:
            otherwise = "correct it, or add it to the hierarchy"
            raise ValueError(unknown_label(name, where, hierarchy.labels, otherwise))
    return frozenset(names)
