"""Tables of texts and labels: csv and tsv files, their separators and their quotes."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from skhimatch.input_files import format_of, open_text
from skhimatch.text.columns import Columns

__all__ = ["read_table"]

_FIELD = r'(?:[^"\t\r\n]*|"[^"]*(?:""[^"]*)*")'
_ROW = re.compile(rf"{_FIELD}(?:\t{_FIELD})*[\r\n]*")
_SEPARATORS = {".csv": ",;\t", ".tsv": "\t;,"}


def read_table(
    path: Path, columns: Columns, encoding: str | None = None
) -> Iterator[tuple[str, str, tuple[str, ...], dict[str, str]]]:
    r"""Read the columns of texts and labels of a csv or tsv file, a row at a time.

    The header tells what separates the columns: a comma, a semicolon or a tab. A csv file follows the usual
    rules of quotes. In a table with tabs, quotes are read as such only if every quote of the file keeps to
    these rules. Otherwise they are characters of the texts.

    Parameters
    ----------
    path : Path
        The file.
    columns : Columns
        The names of the columns.
    encoding : str, optional
        As `open_text` takes it.

    Yields
    ------
    place : str
        Where the row begins, such as ``"line 3 of news.csv"``.
    text : str
        The text.
    labels : tuple of str
        The fields of the labels. Empty if the table has no such column.
    record : dict of str to str
        All fields by the names of their columns, as the header writes them.

    Raises
    ------
    ValueError
        If a column is missing or occurs twice, a row and the header differ in their number of fields, quotes
        are not closed, or it is not clear what the quotes of a table with tabs mean. The message names the
        line.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "news.tsv")
    ...     _ = file.write_text('text\tlabels\na 5" pipe\tnews\n"Yes," she said\tnews\n')
    ...     for _, text, labels, _ in read_table(file, Columns()):
    ...         print(text, *labels)
    a 5" pipe news
    "Yes," she said news
    """
    # Texts are longer than the 128 KiB that the csv module allows by default. Its limit is global.
    csv.field_size_limit(max(csv.field_size_limit(), 2**31 - 1))
    with open_text(path, newline="", encoding=encoding) as lines:
        first = lines.readline()
        # Excel writes such a line when it is told which separator to use.
        n_skipped = int(first.lower().startswith("sep="))
        if n_skipped:
            first = lines.readline()
    separator, names = _header(first, path, columns)
    quoted = separator != "\t" or _has_quotes(path, n_skipped, len(names), encoding)
    text, labels = columns.positions(names, f"line {n_skipped + 1} of {path}", separator)
    with open_text(path, newline="", encoding=encoding) as lines:
        for _ in range(n_skipped + 1):
            lines.readline()
        rows = _reader(lines, separator, quoted)
        # A stray quote may join many lines. It is in the first of them.
        start = n_skipped + 2
        try:
            for row in rows:
                place = f"line {start} of {path}"
                start = rows.line_num + n_skipped + 2
                if not row:
                    continue
                if len(row) != len(names):
                    raise ValueError(f"{place} {_wrong_number(row, names, separator, quoted)}")
                of_labels = tuple(row[column] for column in labels)
                yield place, row[text], of_labels, dict(zip(names, row, strict=True))
        except csv.Error as error:
            raise ValueError(
                f"line {start} of {path} is not CSV: {error}; a field with quotes is in quotes, and its own "
                'quotes are doubled: "she said ""no"""'
            ) from error


def _header(first: str, path: Path, columns: Columns) -> tuple[str, list[str]]:
    """Return the separator and the names of the columns.

    The separator is the first one that makes all columns of the header. If none does, it is the one that
    makes the most columns.
    """
    headers = []
    for separator in _SEPARATORS[format_of(path)]:
        row = next(csv.reader([first], delimiter=separator), [])
        names = [name.strip() for name in row]
        if columns.are_in(names):
            return separator, names
        headers.append((separator, names))
    return max(headers, key=lambda header: len(header[1]))


def _has_quotes(path: Path, n_skipped: int, n_columns: int, encoding: str | None) -> bool:
    """Tell whether the quotes in a table with tabs enclose fields. The alternative is that they are text."""
    any_quote, as_text = False, True
    with open_text(path, newline="", encoding=encoding) as lines:
        for number, line in enumerate(lines, start=1):
            if number <= n_skipped or not line.strip("\r\n"):
                continue
            fields = line.rstrip("\r\n").split("\t")
            any_quote = any_quote or any(field.startswith('"') for field in fields)
            as_text = as_text and len(fields) == n_columns
    within = _enclose_fields(path, n_skipped, n_columns, encoding) if any_quote else None
    if within is None:
        return False
    if as_text and within:
        raise ValueError(
            f"line {within} of {path} ends within quotes, or the quotes are part of the texts: both are "
            "possible. Save the table as .csv with quotes around all texts, or as json lines"
        )
    return True


def _enclose_fields(path: Path, n_skipped: int, n_columns: int, encoding: str | None) -> int | None:
    """Find the first line that ends within quotes. 0 if none does, None if the quotes do not enclose fields.

    Where quotes enclose fields, each row has a field for each column, and each field that contains quotes is
    in quotes itself.
    """
    first = 0
    row: list[str] = []
    is_open = False
    with open_text(path, newline="", encoding=encoding) as lines:
        for number, line in enumerate(lines, start=1):
            if number <= n_skipped:
                continue
            row.append(line)
            is_open ^= line.count('"') % 2 == 1
            if is_open:
                first = first or number
                continue
            if not _ROW.fullmatch("".join(row)):
                return None
            fields = next(csv.reader(row, delimiter="\t"), [])
            if fields and len(fields) != n_columns:
                return None
            row.clear()
    return None if is_open else first


def _reader(lines: Any, separator: str, quoted: bool) -> Any:
    if quoted:
        return csv.reader(lines, delimiter=separator, strict=True)
    return csv.reader(lines, delimiter=separator, quoting=csv.QUOTE_NONE)


def _wrong_number(row: list[str], names: list[str], separator: str, quoted: bool) -> str:
    """Say how a row and the header differ, and what to do."""
    found, wanted = len(row), len(names)
    fields = f"has {found} field{'' if found == 1 else 's'}, but the header has {wanted}"
    if found < wanted:
        return f"{fields}: write all fields, also empty ones"
    kind = {",": "a comma", ";": "a semicolon", "\t": "a tab"}[separator]
    remedy = "put quotes around it" if quoted else "replace it by a space"
    return f"{fields}: if a text contains {kind}, {remedy}"
