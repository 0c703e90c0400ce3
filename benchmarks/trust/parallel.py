"""Several threads and processes with one classifier, or with one folder."""

import os
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from benchmarks.trust.classifiers import UNSEEN, assert_is, expected, fitted, folder, kind_of
from benchmarks.trust.forks import failures_of
from benchmarks.trust.promise import Outcome, Promise
from skhimatch import HiMatchClassifier

THREADS = 8
# The workers that start from nothing; each imports torch.
SPAWNED = 4


def threads(cases: int) -> Outcome:
    """Predict by eight threads at once, with each kind of classifier."""
    failures = []
    for number in range(0, cases, THREADS):
        kind = kind_of(number // THREADS)
        alone = _results(fitted(kind))
        with ThreadPoolExecutor(THREADS) as pool:
            found = list(pool.map(_results, [fitted(kind)] * THREADS))
        failures += [f"{kind}: another result" for results in found if results != alone]
    return Outcome(-(-cases // THREADS) * THREADS, failures)


def _results(classifier: HiMatchClassifier) -> tuple[bytes, ...]:
    methods = (classifier.predict_proba, classifier.predict, classifier.transform)
    return tuple(np.ascontiguousarray(method(UNSEEN)).tobytes() for method in methods)


def processes(cases: int) -> Outcome:
    """Let forked workers predict with a classifier of their parent, and with one that they load."""
    failures = []
    with folder() as parent:
        for kind in {kind_of(number) for number in range(cases)}:
            expected(kind)
            fitted(kind).save(parent / kind)
        # A parent that has loaded, and has not predicted.
        loaded = {path.name: HiMatchClassifier.load(path) for path in parent.iterdir()}

        def case(number: int) -> None:
            kind = kind_of(number)
            assert_is(loaded[kind], expected(kind))
            assert_is(HiMatchClassifier.load(parent / kind), expected(kind))

        failures += failures_of(case, range(cases))
        if spawned := cases // 10:
            with ProcessPoolExecutor(SPAWNED, mp_context=get_context("spawn")) as pool:
                kinds = [kind_of(number) for number in range(spawned)]
                found = pool.map(_probabilities_of, [parent / kind for kind in kinds])
                failures += [
                    f"{kind}: other probabilities in a spawned process"
                    for kind, probabilities in zip(kinds, found, strict=True)
                    if not np.array_equal(probabilities, expected(kind))
                ]
    note = f"{cases} in forked workers, {spawned} in {SPAWNED} spawned ones" if spawned else ""
    return Outcome(cases + spawned, failures, note)


def _probabilities_of(path: Path) -> np.ndarray:
    return HiMatchClassifier.load(path).predict_proba(UNSEEN)


def saves_while_loading(cases: int) -> Outcome:
    """Load a classifier while another process saves two of them in turn."""
    both = [expected(seed=seed) for seed in (0, 1)]
    failures, loads, found = [], 0, set()
    with folder() as parent:
        path = parent / "model"
        fitted(seed=0).save(path)
        saving = os.fork()
        if saving == 0:
            status = 1
            try:
                for number in range(cases):
                    fitted(seed=(number + 1) % 2).save(path)
                status = 0
            finally:
                os._exit(status)
        while (ended := os.waitpid(saving, os.WNOHANG)) == (0, 0):
            try:
                classifier = HiMatchClassifier.load(path)
                assert_is(classifier, *both)
                found.add(classifier.predict_proba(UNSEEN).tobytes())
            except Exception as error:
                failures.append(f"load {loads}: {error!r}")
            loads += 1
        if ended[1]:
            failures.append("the saving process failed")
    return Outcome(cases + loads, failures, f"{cases} saves, {loads} loads, of {len(found)} classifiers")


PROMISES = [
    Promise(
        "threads",
        "Eight threads that predict with one classifier at once get what one thread gets, bit by bit.",
        ("tests/test_trust.py::test_a_few_cases[threads]", "tests/training/test_threads.py"),
        800,
        16,
        threads,
    ),
    Promise(
        "processes",
        "Forked and spawned workers predict the same, bit by bit, with a classifier that they load or that "
        "their parent has loaded.",
        (
            "tests/training/test_threads.py::test_a_loaded_classifier_may_be_forked",
            "tests/test_trust.py::test_a_few_cases[processes]",
        ),
        200,
        4,
        processes,
    ),
    Promise(
        "saves while loading",
        "While one process saves, each load of another one is of one whole save.",
        (
            "tests/test_persistence.py::TestConcurrentSaves",
            "tests/test_trust.py::test_a_few_cases[saves while loading]",
        ),
        1_000,
        10,
        saves_while_loading,
    ),
]
