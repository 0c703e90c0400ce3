"""Taxonomy files: which shape they have, and what they say."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable
from typing import NamedTuple

from skhimatch.input_files import format_of, open_text
from skhimatch.labels.checked_names import check_label
from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.labels.trees import hierarchy_of_tree, place

__all__ = ["read_taxonomy"]

_SHAPES = (
    "the shapes of a taxonomy file are: lines of a parent and its children, separated by tabs; a csv table "
    "with the header parent,child; paths such as science > physics or science/physics; a tree indented with "
    "tabs or spaces; or a .json file with a hierarchy"
)
_HEADER_WORDS = {
    "category",
    "child",
    "code",
    "description",
    "id",
    "label",
    "level",
    "name",
    "parent",
    "parent_id",
    "title",
}
_OTHER_FORMATS = {".owl", ".rdf", ".skos", ".ttl", ".xls", ".xlsx", ".xml", ".yaml", ".yml"}


class _Line(NamedTuple):
    where: str
    text: str


def read_taxonomy(
    path: str | os.PathLike[str], root: str = "Root", encoding: str | None = None
) -> LabelHierarchy:
    r"""Read a taxonomy file.

    Parameters
    ----------
    path : str or path-like
        The file, in UTF-8, in UTF-16 with a byte order mark, or in another `encoding`. It may be compressed
        with gzip. It has one of these shapes:

        - a line is ``parent<TAB>child<TAB>child...``;
        - a table whose header has the columns ``parent`` and ``child``, separated by commas, semicolons or
          tabs. If the parent is empty, the child is a root;
        - a line is a path from a root down: ``science > physics``, or ``science/physics`` if no line has
          a ``>`` between spaces;
        - a line is a label, and is indented, with tabs or with spaces, farther than its parent above it.
    root : str, default="Root"
        The virtual node above all labels. It is dropped.
    encoding : str, optional
        The encoding of a file without a byte order mark, such as "cp1252", "shift_jis" or "gb18030". By
        default UTF-8.

    Returns
    -------
    LabelHierarchy
        The hierarchy. Its labels are sorted.

    Raises
    ------
    ValueError
        If the file has none of these shapes, a field is empty, `root` is a child, or the file is in another
        encoding. The message names the line.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder) / "news.taxonomy"
    ...     _ = file.write_text("Root\tscience\tsport\nscience\tphysics\n")
    ...     print(read_taxonomy(file).to_text())
    science
    └── physics
    sport
    """
    if format_of(path) in _OTHER_FORMATS:
        raise ValueError(f"{path} is not a taxonomy file: convert it; {_SHAPES}")
    with open_text(path, newline=None, encoding=encoding) as file:
        numbered = ((number, line.rstrip("\n")) for number, line in enumerate(file, start=1))
        lines = [_Line(f"line {number} of {path}", text) for number, text in numbered if text.strip()]
    if not lines:
        raise ValueError(f"{path} has no labels; {_SHAPES}")
    _refuse_other_formats(lines, path)
    separator = _separator_of_pairs(lines[0].text)
    if separator is not None:
        return _read_pairs(lines, separator, root)
    _refuse_other_tables(lines, path)
    if any("\t" in line.text.strip() for line in lines):
        return _read_children(lines, root)
    if any(line.text[0].isspace() for line in lines):
        return _read_indented(lines, root)
    for separator in (" > ", "/"):
        if any(separator in line.text for line in lines):
            return _read_paths(lines, separator, root)
    raise ValueError(f"no line of {path} has a parent and a child; {_SHAPES}")


def _refuse_other_formats(lines: list[_Line], path: str | os.PathLike[str]) -> None:
    where, first = lines[0]
    if "\t" not in first and first.lstrip().startswith(("<", "{", "[", "@prefix", "---")):
        raise ValueError(f"{where} is {first[:40]!r}, which begins another format: convert it; {_SHAPES}")
    for where, text in lines:
        if any(mark in text for mark in "├└│"):
            raise ValueError(f"{where} is a drawing of a tree: indent with spaces only; {_SHAPES}")


def _refuse_other_tables(lines: list[_Line], path: str | os.PathLike[str]) -> None:
    """Refuse tables that are read as parents and children but mean something else."""
    where, first = lines[0]
    for separator in "\t,;":
        words = [word.strip().strip('"').lower() for word in first.split(separator)]
        if len(words) > 1 and _HEADER_WORDS.issuperset(words):
            raise ValueError(
                f"{where} looks like the header of a table, {first!r}, but it lacks the columns parent and "
                f"child; {_SHAPES}"
            )
    rows = [line.text.split("\t") for line in lines]
    codes = {row[0] for row in rows}
    names = {row[-1] for row in rows}
    if (
        len(rows) > 2
        and all(len(row) == 2 for row in rows)
        and len(codes) == len(names) == len(rows)
        and not codes & names
    ):
        raise ValueError(
            f"{path} looks like a table of codes and names, since each line has another parent with a single "
            "child, and no child is a parent: write which label is the parent of which. If it is a "
            f"hierarchy, add the header parent<TAB>child; {_SHAPES}"
        )


def _separator_of_pairs(header: str) -> str | None:
    """Return what separates the columns of a table with the columns parent and child."""
    for separator in ",;\t":
        if {"parent", "child"} <= set(_names(header, separator)):
            return separator
    return None


def _names(header: str, separator: str) -> list[str]:
    return [name.strip().lower() for name in next(csv.reader([header], delimiter=separator))]


def _read_pairs(lines: list[_Line], separator: str, root: str) -> LabelHierarchy:
    header, *others = lines
    names = _names(header.text, separator)
    column_of_parent, column_of_child = names.index("parent"), names.index("child")
    edges: list[tuple[str, str]] = []
    roots: set[str] = set()
    for where, text in others:
        row = next(csv.reader([text], delimiter=separator))
        if len(row) != len(names):
            raise ValueError(
                f"{where} has {len(row)} fields, but the header has {len(names)}: put quotes around a label "
                f"that contains {separator!r}"
            )
        parent, child = (
            row[column_of_parent].strip(),
            check_label(row[column_of_child], f"the child in {where}"),
        )
        _check_not_root(child.strip(), root, parent, where)
        if parent in ("", root):
            roots.add(child.strip())
        else:
            edges.append((parent, child.strip()))
    return _hierarchy(edges, roots)


def _read_children(lines: list[_Line], root: str) -> LabelHierarchy:
    edges: list[tuple[str, str]] = []
    roots: set[str] = set()
    for where, text in lines:
        # Spreadsheets write tabs up to the longest line.
        fields = text.rstrip("\t").split("\t")
        parent, *below = [check_label(field, f"a field in {where}") for field in fields]
        for child in below:
            _check_not_root(child, root, parent, where)
        if parent == root:
            roots.update(below)
        else:
            roots.add(parent)
            edges += [(parent, child) for child in below]
    return _hierarchy(edges, roots)


def _read_paths(lines: list[_Line], separator: str, root: str) -> LabelHierarchy:
    parents: dict[str, str | None] = {}
    for where, text in lines:
        parts = [part.strip() for part in text.strip().split(separator)]
        if parts[0] == root:
            del parts[0]
        above = None
        for part in parts:
            _place(parents, part, above, root, where)
            above = part
    return hierarchy_of_tree(parents)


def _read_indented(lines: list[_Line], root: str) -> LabelHierarchy:
    parents: dict[str, str | None] = {}
    above: list[tuple[int, str]] = []
    used = ""
    for where, text in lines:
        label = text.strip()
        indent = text[: len(text) - len(text.lstrip())]
        used += "".join(set(indent) - set(used))
        if len(used) > 1:
            raise ValueError(f"{where} is indented with {used!r}: use tabs only, or spaces only")
        deeper = above[-1][0] if above else len(indent)
        while above and above[-1][0] >= len(indent):
            deeper, _ = above.pop()
        if deeper > len(indent):
            raise ValueError(
                f"{where}, {label!r}, is indented by {len(indent)}, but no label above it is: indent the "
                "children of a label equally"
            )
        if label != root or above:
            _place(parents, label, above[-1][1] if above and above[-1][1] != root else None, root, where)
        above.append((len(indent), label))
    return hierarchy_of_tree(parents)


def _place(parents: dict[str, str | None], label: str, parent: str | None, root: str, where: str) -> None:
    check_label(label, f"a label in {where}")
    _check_not_root(label, root, parent, where)
    try:
        place(parents, label, parent)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def _check_not_root(child: str, root: str, parent: str | None, where: str) -> None:
    if child == root:
        raise ValueError(
            f"{where} places the virtual node {root!r} under {parent!r}; "
            "pass the name of the virtual node as root="
        )


def _hierarchy(edges: list[tuple[str, str]], roots: Iterable[str]) -> LabelHierarchy:
    return LabelHierarchy(edges, sorted({*roots, *(name for edge in edges for name in edge)}))
