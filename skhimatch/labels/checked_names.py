"""The names of labels, checked: errors say which one is wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from reprlib import Repr
from typing import Any

__all__ = ["check_label", "checked_edge", "checked_labels", "shown"]

_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = 100


def check_label(name: Any, what: str) -> str:
    """Check the name of a label.

    Parameters
    ----------
    name : str
        The name.
    what : str
        How the error message calls it, such as ``"labels[3]"``.

    Returns
    -------
    str
        The name.

    Raises
    ------
    TypeError
        If the name is not a string.
    ValueError
        If the name is empty.
    """
    if not isinstance(name, str):
        raise TypeError(f"{what} is {shown(name)}; a label is a non-empty string")
    if not name.strip():
        raise ValueError(f"{what} is empty ({name!r}); a label is a non-empty string")
    return str(name)


def shown(value: Any) -> str:
    """Show an object in an error message, shortened if it is long or deeply nested.

    Parameters
    ----------
    value : object
        Anything.

    Returns
    -------
    str
        Its representation.

    Examples
    --------
    >>> shown(list(range(100)))
    '[0, 1, 2, 3, 4, 5, ...]'
    """
    return _SHORT.repr(value)


def checked_edge(edge: Any, place: int) -> tuple[str, str]:
    """Check an edge of a hierarchy.

    Parameters
    ----------
    edge : pair of str
        The parent and the child.
    place : int
        Which edge it is, for errors.

    Returns
    -------
    tuple of two str
        The names of parent and child.

    Raises
    ------
    TypeError, ValueError
        If it is no pair of two labels, which are strings that are not empty.
    """
    # Sets and mappings have no order.
    pair = list(edge) if isinstance(edge, Iterable) and not isinstance(edge, str | Set | Mapping) else []
    if len(pair) != 2:
        raise TypeError(f"edge {place} is {shown(edge)}; an edge is a pair (parent, child)")
    parent, child = pair
    return (
        check_label(parent, f"the parent of edge {place}, {shown(edge)},"),
        check_label(child, f"the child of edge {place}, {shown(edge)},"),
    )


def checked_labels(labels: Sequence[str]) -> tuple[str, ...]:
    """Check the labels of a hierarchy.

    Parameters
    ----------
    labels : sequence of str
        The names.

    Returns
    -------
    tuple of str
        The names.

    Raises
    ------
    TypeError, ValueError
        If one is no string, is empty, or is repeated.
    """
    if isinstance(labels, str):
        raise TypeError(f"labels is the string {labels!r}; pass a list of labels")
    names = tuple(check_label(name, f"labels[{place}]") for place, name in enumerate(labels))
    if len(set(names)) < len(names):
        repeated = next(name for name, times in Counter(names).items() if times > 1)
        raise ValueError(f"label {repeated!r} is repeated in labels; give each label once")
    return names
