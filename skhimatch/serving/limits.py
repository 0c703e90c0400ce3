"""How much a service accepts."""

from __future__ import annotations

from dataclasses import dataclass, fields

__all__ = ["Limits"]


@dataclass(frozen=True)
class Limits:
    """How much a service accepts in one request and in all that wait.

    Attributes
    ----------
    body_bytes : int
        The size of the body of a request.
    texts : int
        The number of texts of a request.
    characters : int
        The length of a text.
    waiting_texts : int
        The number of texts of all requests that wait for a prediction, at least `texts`.
    waiting_explanations : int
        The number of explanations that are computed or wait.

    Raises
    ------
    TypeError, ValueError
        When a limit is no integer, or less than 1, or when `waiting_texts` is less than `texts`.

    Examples
    --------
    >>> Limits(texts=32).characters
    100000
    """

    body_bytes: int = 10_000_000
    texts: int = 1_000
    characters: int = 100_000
    waiting_texts: int = 5_000
    waiting_explanations: int = 20

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, int) or isinstance(value, bool):
                raise TypeError(f"the limit {field.name} is {value!r}; pass an integer")
            if value < 1:
                raise ValueError(f"the limit {field.name} is {value}; pass 1 or more")
        if self.waiting_texts < self.texts:
            raise ValueError(
                f"the limit waiting_texts is {self.waiting_texts}, so a request of {self.texts} texts would "
                "never be accepted: raise it, or lower the limit texts"
            )
