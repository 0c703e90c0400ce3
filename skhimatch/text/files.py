"""Reading texts and labels from files: json lines and tables."""

from __future__ import annotations

import csv
import difflib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from skhimatch.labels.hierarchy import LabelHierarchy

__all__ = ["read_texts"]

Entries = Iterator[tuple[int, Any, Any]]  # line, text, labels


def read_texts(
    path: str | os.PathLike[str], hierarchy: LabelHierarchy | None = None
) -> tuple[list[str], list[frozenset[str]] | None]:
    r"""Read texts, and their labels if the file has labels.

    Parameters
    ----------
    path : path-like
        A file in UTF-8. The suffix names the format:

        - ``.jsonl`` or ``.json``: a line is an object with ``text`` and ``labels``, a list. The names
          ``doc_token`` and ``doc_label`` are accepted too;
        - ``.csv`` or ``.tsv``: the header has the columns ``text`` and ``labels``. In ``labels``, ``|``
          separates several labels. Other columns are ignored.
    hierarchy : LabelHierarchy, optional
        The known labels. By default any label is accepted.

    Returns
    -------
    texts : list of str
        The texts.
    label_sets : list of frozenset of str, or None
        The labels of each text. None if the file has no labels.

    Raises
    ------
    ValueError
        If the suffix is not one of these, there is no text, or a line is not as described. The message
        names the file and the line.

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
    reader = {".jsonl": _json_lines, ".json": _json_lines, ".csv": _table, ".tsv": _table}.get(path.suffix)
    if reader is None:
        raise ValueError(
            f"{path} does not end in .jsonl, .json, .csv or .tsv: save it in one of these formats"
        )
    texts: list[str] = []
    label_sets: list[frozenset[str]] = []
    first_without_labels = 0
    try:
        for number, text, labels in reader(path):
            where = f"line {number} of {path}"
            if not isinstance(text, str):
                raise ValueError(f"{where} has no text")
            texts.append(text)
            if labels is None:
                first_without_labels = first_without_labels or number
            else:
                label_sets.append(_checked(labels, where, hierarchy))
            if first_without_labels and label_sets:
                raise ValueError(
                    f"line {first_without_labels} of {path} has no labels, but other lines have: "
                    "add labels, or [] for none"
                )
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not in UTF-8: save it in that encoding ({error})") from error
    if not texts:
        raise ValueError(f"{path} has no text")
    return texts, None if first_without_labels else label_sets


def _json_lines(path: Path) -> Entries:
    # Only "\n" ends a line. Texts may contain other line breaks.
    with path.open(encoding="utf-8-sig", newline="\n") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                entry = json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(f"line {number} of {path} is not JSON: {error}") from error
            if not isinstance(entry, dict):
                raise ValueError(
                    f'line {number} of {path} is not of the form {{"text": "...", "labels": [...]}}'
                )
            text = entry.get("text", entry.get("doc_token"))
            if isinstance(text, list):
                text = " ".join(map(str, text))
            yield number, text, entry.get("labels", entry.get("doc_label"))


def _table(path: Path) -> Entries:
    with path.open(encoding="utf-8-sig", newline="") as lines:
        rows = csv.DictReader(lines, delimiter="\t" if path.suffix == ".tsv" else ",", strict=True)
        try:
            if "text" not in (rows.fieldnames or ()):
                raise ValueError(f"line 1 of {path} has no column 'text': the header must be text,labels")
            for row in rows:
                labels = row.get("labels")
                yield rows.line_num, row["text"], labels if labels is None else _split_labels(labels)
        except csv.Error as error:
            raise ValueError(f"line {rows.reader.line_num} of {path} is not CSV: {error}") from error


def _split_labels(labels: str) -> list[str]:
    return [label.strip() for label in labels.split("|") if label.strip()]


def _checked(labels: Any, where: str, hierarchy: LabelHierarchy | None) -> frozenset[str]:
    names = [labels] if isinstance(labels, str) else labels
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"the labels in {where} are {labels!r}: write a list of strings")
    for name in names:
        if hierarchy is not None and name not in hierarchy:
            near = difflib.get_close_matches(name, hierarchy.labels, n=1)
            raise ValueError(
                f"label {name!r} in {where} is not among the {len(hierarchy)} known labels: "
                + (f"did you mean {near[0]!r}?" if near else "correct it, or add it to the hierarchy")
            )
    return frozenset(names)
