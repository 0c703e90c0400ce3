"""Labels with similar names: suggestions for unknown labels, and labels that look like one."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterable
from difflib import get_close_matches
from heapq import nsmallest

from skhimatch.warn_user import warn_user

__all__ = ["suggestion", "unknown_label", "warn_of_labels_that_look_alike"]

# difflib compares a name with some thousands of others in a tenth of a second.
_MOST_COMPARED = 3_000


def suggestion(name: str, known: Collection[str], n: int = 1) -> str:
    """Name the known labels that an unknown label was probably meant to be.

    With many labels, only those are compared that begin or end like the name, or are about as long.

    Parameters
    ----------
    name : str
        The unknown label.
    known : collection of str
        The known labels.
    n : int, default=1
        The maximum number of labels.

    Returns
    -------
    str
        The labels in quotes, the most similar one first. Empty if none is similar.

    Examples
    --------
    >>> suggestion("phisics", ["physics", "sport"])
    "'physics'"
    >>> suggestion("tennis", ["physics", "sport"])
    ''
    """
    folded = _folded(name)
    near = [label for label in known if _folded(label) == folded][:n]
    if not near:
        near = get_close_matches(name, _candidates(name, known), n=n)
    return " or ".join(_shown_beside(label, name) for label in near)


def unknown_label(label: str, place: str, known: Collection[str], otherwise: str) -> str:
    """Say that a label is unknown, and name the known one that was probably meant.

    Parameters
    ----------
    label : str
        The unknown label.
    place : str
        Where it is.
    known : collection of str
        The known labels.
    otherwise : str
        What to do if none is similar.

    Returns
    -------
    str
        The message of an error.

    Examples
    --------
    >>> unknown_label("phisics", "line 2 of a.csv", ["physics", "sport"], "correct it")
    "label 'phisics' in line 2 of a.csv is not among the 2 known labels: did you mean 'physics'?"
    """
    near = suggestion(label, known)
    remedy = f"did you mean {near}?" if near else otherwise
    return f"label {label!r} in {place} is not among the {len(known)} known labels: {remedy}"


def warn_of_labels_that_look_alike(labels: Iterable[str]) -> None:
    """Warn if two labels differ only by case, spaces or the Unicode form of their characters.

    Parameters
    ----------
    labels : iterable of str
        Different labels.

    Warns
    -----
    UserWarning
        If there are such labels. The message names two of them.

    Examples
    --------
    >>> warn_of_labels_that_look_alike(["physics", "sport"])
    """
    first: dict[str, str] = {}
    pairs = []
    for label in labels:
        other = first.setdefault(_folded(label), label)
        if other != label:
            pairs.append((other, label))
    if not pairs:
        return
    one, two = pairs[0]
    more = "" if len(pairs) == 1 else f", and {len(pairs) - 1} more such pairs"
    warn_user(
        f"the labels {_shown_beside(one, two)} and {_shown_beside(two, one)} differ only by "
        f"{_difference(one, two)}{more}. They are different labels: if they should be one, write it in "
        "one way everywhere.",
    )


def _folded(label: str) -> str:
    """Return what labels that look alike have in common."""
    if not label.isascii():
        label = unicodedata.normalize("NFC", unicodedata.normalize("NFC", label).casefold())
    return " ".join(label.lower().split())


def _candidates(name: str, known: Collection[str]) -> Collection[str]:
    if len(known) <= _MOST_COMPARED:
        return known
    start, end, length = name[:3], name[-3:], len(name)
    return nsmallest(
        _MOST_COMPARED,
        known,
        key=lambda label: (not label.startswith(start) and not label.endswith(end), abs(len(label) - length)),
    )


def _shown_beside(label: str, other: str) -> str:
    """Quote a label. If the other one would look the same, as escapes."""
    same = unicodedata.normalize("NFC", label) == unicodedata.normalize("NFC", other)
    return ascii(label) if same else repr(label)


def _difference(one: str, two: str) -> str:
    if one.split() == two.split():
        return "spaces"
    if unicodedata.normalize("NFC", one) == unicodedata.normalize("NFC", two):
        return "the Unicode form of their characters"
    if one.casefold() == two.casefold():
        return "case"
    return "case, spaces or the Unicode form of their characters"
