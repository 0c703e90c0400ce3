"""The columns of a file that hold texts and labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from skhimatch.labels.spelling import suggestion

__all__ = ["TEXT_AND_LABELS", "Columns"]

TEXT, LABELS = "text", "labels"


@dataclass(frozen=True)
class Columns:
    """The names of the columns of a table, or of the fields of json records, that hold texts and labels.

    Capital letters and spaces around names make no difference in the header of a csv or tsv file.

    Attributes
    ----------
    text : str
        The column of the texts.
    labels : tuple of str
        The column of the labels. Several columns are the levels of one path, from the root down. Empty if
        labels are not read.

    Examples
    --------
    >>> Columns("title", ("category",)).positions(["id", "title", "category"], "line 1 of products.csv")
    (1, (2,))
    """

    text: str = TEXT
    labels: tuple[str, ...] = (LABELS,)

    def are_in(self, names: Sequence[str]) -> bool:
        """Tell whether a header has all columns that have to be there.

        Parameters
        ----------
        names : sequence of str
            All columns.

        Returns
        -------
        bool
        """
        return set(map(_folded, self._needed)) <= set(map(_folded, names))

    def positions(self, names: Sequence[str], place: str, separator: str = "") -> tuple[int, tuple[int, ...]]:
        """Return the numbers of the columns, counted from 0.

        Parameters
        ----------
        names : sequence of str
            All columns.
        place : str
            Where they are, for messages.
        separator : str
            What separates them, for messages.

        Returns
        -------
        text : int
            The column of the texts.
        labels : tuple of int
            The columns of the labels. Without a column "labels" there are none, unless another was asked for.

        Raises
        ------
        ValueError
            If a column is not there, or is there several times. The message names those that are.
        """
        folded = list(map(_folded, names))
        for name in self._needed:
            if _folded(name) not in folded:
                raise ValueError(f"{place} has no column {name!r}: {self._remedy(name, names, separator)}")
        wanted = [name for name in map(_folded, (self.text, *self.labels)) if name in folded]
        for name in wanted:
            if folded.count(name) > 1:
                raise ValueError(f"{place} has several columns {name!r}: keep one of them")
        return folded.index(wanted[0]), tuple(folded.index(name) for name in wanted[1:])

    @property
    def _needed(self) -> tuple[str, ...]:
        return (self.text,) if self.labels == (LABELS,) else (self.text, *self.labels)

    def _remedy(self, name: str, names: Sequence[str], separator: str) -> str:
        near = suggestion(name, names)
        if near:
            return f"did you mean {near}?"
        kind = {",": ", separated by commas", ";": ", separated by semicolons", "\t": ", separated by tabs"}
        found = f"its columns are {', '.join(map(repr, names))}{kind.get(separator, '')}"
        option = "--text-column" if name == self.text else "--label-column"
        return f"{found}; name the right one ({option})"


# The columns that a file has if nothing else is said.
TEXT_AND_LABELS = Columns()


def _folded(name: str) -> str:
    return name.strip().lower()
