"""Trees from the places of their labels, where a label has one place only."""

from __future__ import annotations

from collections.abc import Mapping

from skhimatch.labels.hierarchy import LabelHierarchy

__all__ = ["hierarchy_of_tree", "place"]


def place(parents: dict[str, str | None], label: str, parent: str | None) -> None:
    """Record the only parent that a label has in a tree.

    Parameters
    ----------
    parents : dict of str to str or None
        The parent of each label so far. None means a root. The label is added.
    label : str
        The label.
    parent : str or None
        Its parent.

    Raises
    ------
    ValueError
        If the label already has another place.

    Examples
    --------
    >>> parents = {"science": None}
    >>> place(parents, "physics", "science")
    >>> parents
    {'science': None, 'physics': 'science'}
    """
    known = parents.setdefault(label, parent)
    if known != parent:
        first, second = ("at the top" if name is None else f"under {name!r}" for name in (known, parent))
        raise ValueError(
            f"label {label!r} occurs both {first} and {second}, but a label occurs once in a tree; use two "
            "unique names, or pass (parent, child) pairs if one label has several parents"
        )


def hierarchy_of_tree(parents: Mapping[str, str | None]) -> LabelHierarchy:
    """Make the hierarchy of a tree.

    Parameters
    ----------
    parents : mapping of str to str or None
        The parent of each label. None means a root.

    Returns
    -------
    LabelHierarchy
        The hierarchy. Its labels are sorted.

    Examples
    --------
    >>> hierarchy_of_tree({"science": None, "physics": "science"})
    LabelHierarchy(2 labels, 1 root, 1 leaf, depth 2, tree)
    """
    edges = [(parent, label) for label, parent in parents.items() if parent is not None]
    return LabelHierarchy(edges, sorted(parents))
