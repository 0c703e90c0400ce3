"""Kills and Ctrl-C at random moments."""

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.trust.classifiers import (
    LABEL_SETS,
    TEXTS,
    UNSEEN,
    assert_is,
    assert_valid,
    expected,
    fitted,
    folder,
    kind_of,
    unfitted,
)
from benchmarks.trust.forks import Moment, at_moment, failures_of, in_fork, interrupt, kill, moments_of
from benchmarks.trust.promise import Outcome, Promise
from skhimatch import HiMatchClassifier


def kills_in_fit(cases: int) -> Outcome:
    """Kill fits with checkpoints, some of them twice, and continue."""
    kinds = [kind_of(number) for number in range(min(cases, 8))]
    with folder() as parent:
        # The first fit imports modules, which is not to be counted.
        unfitted().fit(TEXTS, LABEL_SETS, checkpoint=parent / "first")
        moments = {}
        for kind in kinds:
            expected(kind)
            moments[kind] = moments_of(
                lambda kind=kind: unfitted(kind).fit(TEXTS, LABEL_SETS, checkpoint=parent / kind)
            )

        def case(number: int) -> None:
            kind, checkpoint = kind_of(number), parent / str(number)
            for attempt in range(1 + number % 2):
                moment = moments[kind].draw(number + 10_000 * attempt)

                def fit_until_killed(moment: Moment = moment) -> None:
                    with at_moment(moment, kill):
                        unfitted(kind).fit(TEXTS, LABEL_SETS, checkpoint=checkpoint)

                ended = in_fork(fit_until_killed)
                # The second fit has less to do, and may be done before its moment.
                assert ended.killed or attempt, ended.failure or "not killed"
            assert_is(unfitted(kind).fit(TEXTS, LABEL_SETS, checkpoint=checkpoint), expected(kind))
            shutil.rmtree(checkpoint)

        return Outcome(cases, failures_of(case, range(cases)))


def kills_in_save(cases: int) -> Outcome:
    """Kill saves, with an old classifier in the folder or without."""
    old, new = expected(seed=0), expected(seed=1)
    with folder() as parent:
        # The first save imports modules, which is not to be counted.
        fitted(seed=0).save(parent / "old")
        moments = {}
        for replaces in (False, True):
            moments[replaces] = moments_of(lambda: fitted(seed=1).save(parent / "model"))

        def case(number: int) -> None:
            path, replaces = parent / str(number), bool(number % 4)
            if replaces:
                shutil.copytree(parent / "old", path)
            moment = moments[replaces].draw(number)
            ended = in_fork(lambda: _save_until(path, moment))
            assert ended.killed, ended.failure or "not killed"
            try:
                assert_is(HiMatchClassifier.load(path), *((old, new) if replaces else (new,)))
            except FileNotFoundError:
                assert not replaces
            _save_again(path)

        return Outcome(cases, failures_of(case, range(cases)))


def _save_until(path: Path, moment: Moment) -> None:
    with at_moment(moment, kill):
        fitted(seed=1).save(path)


def _save_again(path: Path) -> None:
    """Save over what a stopped save left, and clean up."""
    with warnings.catch_warnings():
        # Files of the stopped save are named, and not deleted.
        warnings.simplefilter("ignore", UserWarning)
        fitted(seed=1).save(path)
    assert_is(HiMatchClassifier.load(path), expected(seed=1))
    shutil.rmtree(path)


def interrupts(cases: int) -> Outcome:
    """Interrupt each method at random moments."""
    for seed in (0, 1):
        expected(seed=seed)
    kinds = {kind_of(number // len(INTERRUPTED)) for number in range(cases)}
    with folder() as parent:
        fitted().save(parent / "old")
        moments = {("load", "default"): moments_of(lambda: HiMatchClassifier.load(parent / "old"))}
        for kind in kinds:
            expected(kind)
            moments["predict", kind] = moments_of(lambda kind=kind: fitted(kind).predict_proba(UNSEEN))
            moments["fit", kind] = moments_of(lambda kind=kind: unfitted(kind).fit(TEXTS, LABEL_SETS))
        moments["partial_fit", "default"] = moments_of(lambda: unfitted().partial_fit(TEXTS, LABEL_SETS))
        moments["save", "default"] = moments_of(lambda: fitted(seed=1).save(parent / "new"))

        def case(number: int) -> None:
            name = list(INTERRUPTED)[number % len(INTERRUPTED)]
            kind = kind_of(number // len(INTERRUPTED))
            kind = kind if (name, kind) in moments else "default"
            draws = torch.get_rng_state()
            INTERRUPTED[name](kind, moments[name, kind].draw(number), parent, number)
            assert torch.equal(torch.get_rng_state(), draws), "torch's generator was changed"

        return Outcome(cases, failures_of(case, range(cases)))


def _interrupted(action: Callable[[], object], moment: Moment) -> bool:
    """Tell whether an action ended by the interrupt, or by an error that was caused by it.

    If Ctrl-C comes just before a file in a zip archive is closed, zipfile raises an error of its own.
    """
    try:
        with at_moment(moment, interrupt):
            action()
    except BaseException as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, KeyboardInterrupt):
            cause = cause.__context__
        if cause is None:
            raise
        return True
    return False


def _predict(kind: str, moment: Moment, parent: Path, number: int) -> None:
    _interrupted(lambda: fitted(kind).predict_proba(UNSEEN), moment)
    assert_is(fitted(kind), expected(kind))


def _fit(kind: str, moment: Moment, parent: Path, number: int) -> None:
    """A classifier that was fitted before is as it was, or has learned for fewer epochs."""
    classifier = fitted(kind)
    if _interrupted(lambda: classifier.fit(TEXTS, LABEL_SETS), moment):
        assert_is(classifier, expected(kind))
    assert_valid(classifier)
    assert_is(classifier.fit(TEXTS, LABEL_SETS), expected(kind))


def _partial_fit(kind: str, moment: Moment, parent: Path, number: int) -> None:
    classifier = unfitted().partial_fit(TEXTS, LABEL_SETS)
    before = classifier.predict_proba(UNSEEN)
    if _interrupted(lambda: classifier.partial_fit(TEXTS, LABEL_SETS), moment):
        assert_is(classifier, before)
    assert_valid(classifier.partial_fit(TEXTS, LABEL_SETS))


def _save(kind: str, moment: Moment, parent: Path, number: int) -> None:
    path = parent / str(number)
    shutil.copytree(parent / "old", path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        _interrupted(lambda: fitted(seed=1).save(path), moment)
    assert_is(HiMatchClassifier.load(path), expected(seed=0), expected(seed=1))
    _save_again(path)


def _load(kind: str, moment: Moment, parent: Path, number: int) -> None:
    _interrupted(lambda: HiMatchClassifier.load(parent / "old"), moment)
    assert_is(HiMatchClassifier.load(parent / "old"), expected())


INTERRUPTED = {"fit": _fit, "predict": _predict, "save": _save, "partial_fit": _partial_fit, "load": _load}

PROMISES = [
    Promise(
        "kills in fit",
        "A fit with `checkpoint=` that is killed at any moment, once or twice, continues, and its result is "
        "equal to that of a fit that was not killed, bit by bit.",
        (
            "tests/training/test_checkpoints.py::test_bit_by_bit_as_without_an_interruption",
            "tests/test_trust.py::test_a_few_cases[kills in fit]",
        ),
        300,
        2,
        kills_in_fit,
    ),
    Promise(
        "kills in save",
        "When `save` is killed at any moment, the folder holds the old classifier or the new one. The next "
        "`save` works.",
        (
            "tests/test_persistence.py::TestStoppedSaves",
            "tests/test_trust.py::test_a_few_cases[kills in save]",
        ),
        1_000,
        5,
        kills_in_save,
    ),
    Promise(
        "interrupts",
        "Ctrl-C at any moment of `fit`, `partial_fit`, `predict`, `save` or `load` leaves a classifier that "
        "predicts as before or, when Ctrl-C ended the training early, valid probabilities. The next call of "
        "each method is not disturbed.",
        ("tests/test_trust.py::test_a_few_cases[interrupts]",),
        1_000,
        5,
        interrupts,
    ),
]
