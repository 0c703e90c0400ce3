"""Files in which each text has a category that is a path, such as ``Electronics > Phones > Cases``."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skhimatch.input_files import format_of
from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.labels.paths import PathLabels, labels_from_levels, labels_from_paths
from skhimatch.text.columns import TEXT_AND_LABELS, Columns
from skhimatch.text.files import TABLES, Entry, read_entries

__all__ = ["TextsWithPaths", "read_texts_with_paths"]


@dataclass(frozen=True)
class TextsWithPaths:
    """The texts of a file, their labels, and the hierarchy of these.

    Attributes
    ----------
    texts : list of n str
        The texts, without those that are left out.
    label_sets : list of n frozensets of str
        The labels of each text, named by their paths, ancestors included.
    places : list of n str
        Where each text is, such as ``"line 3 of products.csv"``.
    hierarchy : LabelHierarchy
        All labels.
    label_texts : dict of str to str
        The last component of each label's path.
    path_separator, label_separator : str
        What separates the components of a path, and the labels of a text; "" for nothing.
    without_text, without_label : list of str
        The places of the rows that are left out.
    unlabelled : list of str
        The places of texts that are kept with an empty set of labels.
    """

    texts: list[str]
    label_sets: list[frozenset[str]]
    places: list[str]
    hierarchy: LabelHierarchy
    label_texts: dict[str, str]
    path_separator: str
    label_separator: str
    without_text: list[str]
    without_label: list[str]
    unlabelled: list[str]


def read_texts_with_paths(
    path: str | os.PathLike[str],
    columns: Columns = TEXT_AND_LABELS,
    path_separator: str | None = None,
    label_separator: str | None = None,
    encoding: str | None = None,
) -> TextsWithPaths:
    r"""Read texts and their labels from a file, and find the hierarchy in the labels.

    Rows without a text are left out. An empty field in a column ``labels`` means that no label applies: such
    texts are kept. In other columns it is a category that is missing, and the row is left out.

    Parameters
    ----------
    path : path-like
        A file as `read_texts` describes it.
    columns : Columns, optional
        The names of the columns. Several columns of labels are the levels of one path.
    path_separator, label_separator : str, optional
        As `labels_from_paths` takes them. In a column ``labels`` of a csv or tsv file, labels are separated
        by ``"|"`` by default.
    encoding : str, optional
        As in `read_texts`.

    Returns
    -------
    TextsWithPaths

    Raises
    ------
    ValueError
        If the file is not as described, or no row has a text and a label. The message names the line.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "products.csv")
    ...     _ = file.write_text("title,category\nA case,Phones > Cases\nA phone,Phones\nA hat,\n")
    ...     found = read_texts_with_paths(file, Columns("title", ("category",)))
    >>> found.texts, [sorted(labels) for labels in found.label_sets]
    (['A case', 'A phone'], [['Phones', 'Phones > Cases'], ['Phones']])
    >>> len(found.without_label)
    1
    """
    path = Path(path)
    texts: list[str] = []
    fields: list[tuple[Any, ...]] = []
    places: list[str] = []
    without_text = []
    for entry in read_entries(path, columns, encoding):
        if entry.text is None or (isinstance(entry.text, str) and not entry.text.strip()):
            without_text.append(entry.place)
            continue
        _check(entry)
        texts.append(entry.text)
        fields.append(entry.labels)
        places.append(entry.place)
    if not any(fields):
        raise ValueError(f"{path} has no {'text' if not texts else 'labels'}")
    is_default = columns.labels == TEXT_AND_LABELS.labels
    if () in fields:
        raise ValueError(
            f"{places[fields.index(())]} has no labels, but other lines have: add labels, or [] for none"
        )
    if label_separator is None and is_default and format_of(path) in TABLES:
        label_separator = "|"
    found: PathLabels
    if len(columns.labels) > 1:
        found = labels_from_levels(fields, places=places)
    else:
        found = labels_from_paths(
            [field[0] for field in fields], path_separator, label_separator, places=places
        )
    unlabelled = set(found.missing)
    kept = [row for row in range(len(texts)) if is_default or row not in unlabelled]
    of_unlabelled = [places[row] for row in found.missing]
    return TextsWithPaths(
        [texts[row] for row in kept],
        [found.label_sets[row] for row in kept],
        [places[row] for row in kept],
        found.hierarchy,
        found.label_texts,
        found.path_separator,
        found.label_separator,
        without_text,
        without_label=[] if is_default else of_unlabelled,
        unlabelled=of_unlabelled if is_default else [],
    )


def _check(entry: Entry) -> None:
    """Raise if a text or its labels are of another type than strings."""
    if not isinstance(entry.text, str):
        raise ValueError(f"{entry.place} has the text {entry.text!r}: write a string")
    for labels in entry.labels:
        names = labels if isinstance(labels, list) else [labels]
        if not all(name is None or isinstance(name, str) for name in names):
            raise ValueError(f"the labels in {entry.place} are {labels!r}: write a list of strings")
