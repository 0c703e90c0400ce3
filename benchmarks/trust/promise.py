"""A promise, and what came out when it was tried."""

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Outcome:
    """What came out.

    Attributes
    ----------
    cases : int
        The number of cases that were tried.
    failures : list of str
        What went wrong, one string for each case that failed.
    note : str
        What was measured, for the page.
    not_tried : str
        Why some cases, or all, could not be tried here.
    """

    cases: int
    failures: list[str] = field(default_factory=list)
    note: str = ""
    not_tried: str = ""


@dataclass(frozen=True)
class Promise:
    """What users may rely on.

    Attributes
    ----------
    name : str
        For the command line.
    says : str
        What is promised, in a sentence for the page.
    tests : tuple of str
        The tests that show it, as ``tests/test_x.py::test_y``.
    cases : int
        How many cases to try.
    a_few : int
        How many of them the suite of tests tries, in a second or two.
    attempt : callable
        Gets the number of cases, and returns an `Outcome`.
    """

    name: str
    says: str
    tests: tuple[str, ...]
    cases: int
    a_few: int
    attempt: Callable[[int], Outcome]
