"""Memory of a long stream of texts, and of many fits in one process."""

from collections.abc import Iterator

from benchmarks.trust.classifiers import LABEL_SETS, TEXTS, fitted, kind_of, unfitted
from benchmarks.trust.forks import in_fork, resident_megabytes
from benchmarks.trust.promise import Outcome, Promise

# The most that memory may grow, in megabytes.
GROWTH = 50
# Texts that are labelled at once.
CHUNK = 2_000
# An hour, which is far more than any of this takes.
SECONDS = 3_600


def stream(cases: int) -> Outcome:
    """Label texts in chunks; each has a word that no other text has."""
    classifier = fitted()

    def label() -> Iterator[int]:
        for start in range(0, cases, CHUNK):
            numbers = range(start, min(start + CHUNK, cases))
            classifier.predict([f"{TEXTS[number % len(TEXTS)]} word{number}" for number in numbers])
            yield numbers.stop

    return _of_growth(label, cases)


def many_fits(cases: int) -> Outcome:
    """Fit classifiers of all kinds, one after the other."""

    def fit() -> Iterator[int]:
        for number in range(cases):
            unfitted(kind_of(number), random_state=number).fit(TEXTS, LABEL_SETS)
            yield number + 1

    return _of_growth(fit, cases)


def _of_growth(steps, cases: int) -> Outcome:
    """Return how much memory grows after the first tenth of the cases, in a process of its own."""

    def growth() -> float:
        early = None
        for done in steps():
            if early is None and done >= cases / 10:
                early = resident_megabytes()
        return resident_megabytes() - early

    ended = in_fork(growth, seconds=SECONDS)
    if ended.failure:
        return Outcome(cases, [ended.failure])
    note = f"{max(0, ended.value):.0f} MB more than after the first tenth"
    return Outcome(cases, [note] if ended.value > GROWTH else [], note)


PROMISES = [
    Promise(
        "stream",
        f"While a million texts are labelled, {CHUNK:,} at a time, memory does not grow: less than {GROWTH} "
        "MB after the first tenth of them, although each text has a new word.",
        ("tests/test_trust.py::test_a_few_cases[stream]",),
        1_000_000,
        20_000,
        stream,
    ),
    Promise(
        "many fits",
        f"During hundreds of fits in one process memory does not grow: less than {GROWTH} MB after the first "
        "tenth of them.",
        ("tests/test_trust.py::test_a_few_cases[many fits]",),
        200,
        10,
        many_fits,
    ),
]
