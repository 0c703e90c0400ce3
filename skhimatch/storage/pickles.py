"""Pickles of dataclasses: their fields, and nothing else."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

__all__ = ["FieldsPickled"]


class FieldsPickled:
    """A dataclass that keeps results for the next texts, as cached properties, and pickles its fields only.

    What is kept is made again faster than it is read.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> from functools import cached_property
    >>> @dataclass(frozen=True)
    ... class Word(FieldsPickled):
    ...     letters: str
    ...
    ...     @cached_property
    ...     def length(self):
    ...         return len(self.letters)
    >>> word = Word("cell")
    >>> word.length, word.__getstate__()
    (4, {'letters': 'cell'})
    """

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled."""
        # Only dataclasses derive from this class, which mypy cannot know.
        return {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]
