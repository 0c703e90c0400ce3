"""The formats a hierarchy may be given in: dictionaries, pairs, paths, graphs and taxonomy files."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Set
from typing import Any

from skhimatch.input_files import format_of, open_text
from skhimatch.labels.checked_names import check_label, shown
from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.labels.spelling import suggestion
from skhimatch.labels.taxonomy import read_taxonomy
from skhimatch.labels.trees import hierarchy_of_tree, place
from skhimatch.warn_user import warn_user

__all__ = [
    "as_hierarchy",
    "hierarchy_from_dict",
    "hierarchy_from_networkx",
    "hierarchy_from_paths",
    "hierarchy_over",
]


def as_hierarchy(source: Any, encoding: str | None = None) -> LabelHierarchy:
    """Make a :class:`~skhimatch.LabelHierarchy` of any accepted format.

    Parameters
    ----------
    source : LabelHierarchy, mapping, iterable of pairs, records or paths, DataFrame, DiGraph or file
        One of

        - a hierarchy, which is returned as it is;
        - a mapping, see :func:`hierarchy_from_dict`;
        - pairs (parent, child);
        - records ``{"parent": ..., "child": ...}``, or a DataFrame with these columns. If the parent is
          missing or empty, the child is a root;
        - strings such as ``"a/b/c"``, or ``"a > b > c"``, see :func:`hierarchy_from_paths`;
        - a networkx graph, see :func:`hierarchy_from_networkx`;
        - the path of a taxonomy file, see :func:`read_taxonomy`, or of a ``.json`` file that holds any
          of the other formats.
    encoding : str, optional
        The encoding of a file without a byte order mark, such as "cp1252", "shift_jis" or "gb18030". By
        default UTF-8.

    Returns
    -------
    LabelHierarchy
        The hierarchy.

    Raises
    ------
    TypeError
        If `source` has none of these formats, or is a set or tuple of names without a parent.
    ValueError
        If the hierarchy itself is invalid.

    Examples
    --------
    >>> as_hierarchy(["science/physics", "sport/tennis"])
    LabelHierarchy(4 labels, 2 roots, 2 leaves, depth 2, tree)
    >>> as_hierarchy([("science", "physics"), ("sport", "tennis")]) == _
    True
    """
    if isinstance(source, LabelHierarchy):
        return source
    if isinstance(source, Mapping):
        return hierarchy_from_dict(source)
    if isinstance(source, os.PathLike) or (isinstance(source, str) and os.path.isfile(source)):
        if format_of(source) == ".json":
            return _read_json(source, encoding)
        return read_taxonomy(source, encoding=encoding)
    if hasattr(source, "edges") and hasattr(source, "nodes"):
        return hierarchy_from_networkx(source)
    formats = (
        "a dict, (parent, child) pairs, paths such as 'a/b/c', a DataFrame with the columns parent and "
        "child, a networkx DiGraph or a taxonomy file"
    )
    if isinstance(source, str):
        raise TypeError(f"the hierarchy is the string {source!r}, not an existing file; pass {formats}")
    if hasattr(source, "columns"):
        if not {"parent", "child"} <= set(source.columns):
            raise TypeError(
                "the hierarchy is a DataFrame without the columns 'parent' and 'child': rename its columns"
            )
        return _hierarchy_of_columns(source["parent"], source["child"])
    if not isinstance(source, Iterable):
        raise TypeError(
            f"{type(source).__name__!r} is not a hierarchy; pass {formats}, "
            "or LabelHierarchy.flat(labels) for labels without a hierarchy"
        )
    items = list(source)
    if items and all(isinstance(item, Mapping) for item in items):
        return _hierarchy_of_records(items)
    strings = sum(isinstance(item, str) for item in items)
    if 0 < strings < len(items):
        raise TypeError("the hierarchy mixes paths with (parent, child) pairs; use one format")
    if not strings:
        return LabelHierarchy(items)
    separator = " > " if any(" > " in path for path in items) else "/"
    if isinstance(source, tuple | Set) and not any(separator in path for path in items):
        raise TypeError(
            "the hierarchy consists of names, of which none is the parent of another; pass pairs "
            "[(parent, child)], or LabelHierarchy.flat(labels)"
        )
    return hierarchy_from_paths(items, separator)


def hierarchy_from_dict(mapping: Mapping[str, Any]) -> LabelHierarchy:
    """Read a mapping of parents to children.

    Parameters
    ----------
    mapping : mapping of str to iterable of str, mapping or None
        Either a list of children for each parent, or nested dictionaries of any depth. In the first
        format a child may also be a key, and it may have several parents. Nested dictionaries end in
        lists, empty dictionaries or None, and must be a tree.

    Returns
    -------
    LabelHierarchy
        The hierarchy. Its labels are sorted.

    Raises
    ------
    TypeError
        If a label is not a string, or the children are not a collection.
    ValueError
        If a label occurs in two places of a nested mapping.

    Examples
    --------
    >>> hierarchy_from_dict({"science": ["physics", "biology"], "sport": ["tennis"]})
    LabelHierarchy(5 labels, 2 roots, 3 leaves, depth 2, tree)
    >>> hierarchy_from_dict({"science": {"physics": ["optics"], "biology": None}})
    LabelHierarchy(4 labels, 1 root, 2 leaves, depth 3, tree)
    """
    if any(isinstance(below, Mapping) and below for below in mapping.values()):
        return hierarchy_of_tree(_nested_parents(mapping))
    edges = []
    names = {check_label(parent, "a key of the hierarchy") for parent in mapping}
    for parent, below in mapping.items():
        for child in _children_of(parent, below):
            names.add(check_label(child, f"a child of {parent!r}"))
            edges.append((parent, child))
    return LabelHierarchy(edges, sorted(names))


def hierarchy_from_paths(paths: Iterable[str], sep: str = "/") -> LabelHierarchy:
    """Read paths from a root down, such as ``"science/physics/optics"``.

    Parameters
    ----------
    paths : iterable of str
        The paths. Each component is a label. Inner labels need no path of their own.
    sep : str, default="/"
        The separator of the components.

    Returns
    -------
    LabelHierarchy
        The hierarchy. Its labels are sorted.

    Raises
    ------
    TypeError
        If `paths` is a single string, or a path is not a string.
    ValueError
        If a component or `sep` is empty, or a label occurs under two parents.

    Examples
    --------
    >>> print(hierarchy_from_paths(["science/physics", "science/biology", "sport"]).to_text())
    science
    ├── biology
    └── physics
    sport
    """
    if isinstance(paths, str):
        raise TypeError(f"paths is the string {paths!r}; pass a list of paths")
    if not sep:
        raise ValueError("sep is empty; pass what separates the components of a path, such as '/'")
    parents: dict[str, str | None] = {}
    for path in paths:
        above = None
        for component in check_label(path, "a path").split(sep):
            place(parents, check_label(component, f"a component of the path {path!r}"), above)
            above = component
    return hierarchy_of_tree(parents)


def hierarchy_from_networkx(graph: Any) -> LabelHierarchy:
    """Read a :class:`networkx.DiGraph` with edges from parent to child.

    Parameters
    ----------
    graph : networkx.DiGraph
        The graph, or another object with ``edges``, ``nodes`` and ``is_directed()``. Nodes without an
        edge are labels too.

    Returns
    -------
    LabelHierarchy
        The hierarchy. Its labels are sorted.

    Raises
    ------
    TypeError
        If the graph is not directed, or a node is not a string.
    """
    if not graph.is_directed():
        raise TypeError("the graph is undirected; pass a DiGraph whose edges go from parent to child")
    nodes = sorted(check_label(node, "a node of the graph") for node in graph.nodes)
    return LabelHierarchy(graph.edges(), nodes)


def hierarchy_over(hierarchy: LabelHierarchy, classes: Iterable[str]) -> LabelHierarchy:
    """Reduce or extend a hierarchy to exactly these classes, in this order.

    A class without an edge, which the hierarchy therefore does not know, becomes a root. See
    :meth:`LabelHierarchy.restrict` for labels that are not among the classes.

    Parameters
    ----------
    hierarchy : LabelHierarchy
        The known labels and their edges.
    classes : iterable of str
        The labels in column order.

    Returns
    -------
    LabelHierarchy
        Over `classes`.

    Raises
    ------
    TypeError
        If a class is not a string.
    ValueError
        If a class is unknown and its name is close to that of a known label, no class is known,
        the hierarchy is flat and lacks a class, or a class is empty or repeated.

    Warns
    -----
    UserWarning
        If a class becomes a root.

    Examples
    --------
    >>> hierarchy = LabelHierarchy([("science", "physics")], labels=["science", "physics", "other"])
    >>> hierarchy_over(hierarchy, ["other", "physics", "science"]).labels
    ('other', 'physics', 'science')
    """
    if isinstance(classes, str):
        raise TypeError(f"classes is the string {classes!r}; pass a list of labels")
    names = [check_label(name, f"classes[{place}]") for place, name in enumerate(classes)]
    unknown = [name for name in dict.fromkeys(names) if name not in hierarchy]
    if not unknown:
        return hierarchy.restrict(names)
    if hierarchy.is_flat or len(unknown) == len(set(names)):
        hierarchy.positions(unknown)  # raises, with a suggestion
    for name in unknown:
        near = suggestion(name, hierarchy.labels)
        if near:
            raise ValueError(
                f"the hierarchy has no label {name!r}; did you mean {near}? If {name!r} is another "
                "label, name it in LabelHierarchy(edges, labels=[...])"
            )
    shown = ", ".join(map(repr, unknown[:3]))
    if len(unknown) > 3:
        shown += f" and {len(unknown) - 3} more"
    warn_user(
        f"{len(unknown)} of {len(names)} classes have no edge in the hierarchy and become roots: {shown}. "
        "To do so on purpose, name all labels: hierarchy=LabelHierarchy(edges, labels=[...]).",
    )
    edges = [(hierarchy.labels[parent], hierarchy.labels[child]) for parent, child in hierarchy.edges]
    return LabelHierarchy(edges, [*hierarchy.labels, *unknown]).restrict(names)


def _read_json(path: str | os.PathLike[str], encoding: str | None) -> LabelHierarchy:
    with open_text(path, encoding=encoding) as file:
        try:
            source = json.load(file, object_pairs_hook=_with_unique_keys)
            # In Python, a list of names is a list of roots. As a file it has hardly been meant so.
            return as_hierarchy(tuple(source) if isinstance(source, list) else source)
        except RecursionError as error:
            raise ValueError(
                f'{path} is nested too deeply for JSON: write a list of pairs, [["parent", "child"], ...]'
            ) from error
        except UnicodeError:
            raise
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path} does not hold a hierarchy: {error}") from error


def _hierarchy_of_records(records: list[Mapping[str, Any]]) -> LabelHierarchy:
    for row, record in enumerate(records):
        if not {"parent", "child"} <= set(record):
            raise TypeError(
                f"edge {row} is {shown(record)}; an edge is a pair (parent, child), or a record with the "
                "keys 'parent' and 'child'"
            )
    return _hierarchy_of_columns([r["parent"] for r in records], [r["child"] for r in records])


def _with_unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) < len(pairs):
        twice = next(key for key, times in Counter(key for key, _ in pairs).items() if times > 1)
        raise ValueError(f"the key {twice!r} occurs twice in an object; put all its children under one key")
    return entries


def _is_missing(value: Any) -> bool:
    # Without an import of pandas. A NaN is not equal to itself.
    return value is None or type(value).__name__ == "NAType" or (isinstance(value, float) and value != value)


def _hierarchy_of_columns(parents: Iterable[Any], children: Iterable[Any]) -> LabelHierarchy:
    edges: list[tuple[str, str]] = []
    names: set[str] = set()
    for row, (parent, child) in enumerate(zip(parents, children, strict=True)):
        names.add(check_label(child, f"the child of row {row}"))
        if parent == "" if isinstance(parent, str) else _is_missing(parent):
            continue
        names.add(check_label(parent, f"the parent of row {row}"))
        edges.append((parent, child))
    return LabelHierarchy(edges, sorted(names))


def _children_of(parent: str, below: Any) -> Iterable[Any]:
    if below is None:
        return ()
    if isinstance(below, str) or not isinstance(below, Iterable):
        raise TypeError(f"the children of {parent!r} are {shown(below)}; pass a list, a dict or None")
    return below


def _nested_parents(mapping: Mapping[str, Any]) -> dict[str, str | None]:
    parents: dict[str, str | None] = {}
    waiting: list[tuple[str | None, Any]] = [(None, mapping)]
    while waiting:
        parent, below = waiting.pop()
        for child in below:
            what = "a key of the hierarchy" if parent is None else f"a child of {parent!r}"
            place(parents, check_label(child, what), parent)
            if isinstance(below, Mapping):
                waiting.append((child, _children_of(child, below[child])))
    return parents
