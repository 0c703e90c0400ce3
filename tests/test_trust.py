"""docs/trust.md: each promise holds in a few cases, its tests exist, and the page is that of the results."""

import os
import random
import re
import signal
import sys
from pathlib import Path

import pytest
import torch
from saved_folders import files_of

from benchmarks.trust import __main__ as trust
from benchmarks.trust import classifiers, folders, inputs, page, stops
from benchmarks.trust.forks import (
    Moment,
    Moments,
    at_moment,
    failures_of,
    in_fork,
    interrupt,
    kill,
    moments_of,
)
from benchmarks.trust.promise import Outcome, Promise
from benchmarks.trust.promises import PROMISES
from skhimatch import HiMatchClassifier

ROOT = Path(__file__).parents[1]
# These have tests of their own, which try the same.
ELSEWHERE = ("random inputs", "formats", "references", "equal seeds", "pickles from a GPU")

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are watched in /proc")


@pytest.mark.parametrize(
    "promise",
    [promise for promise in PROMISES if promise.name not in ELSEWHERE],
    ids=lambda promise: promise.name,
)
def test_a_few_cases(promise):
    outcome = promise.attempt(promise.a_few)
    assert outcome.failures == []
    assert outcome.cases >= promise.a_few or outcome.not_tried


@pytest.mark.slow
@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.name)
def test_all_cases(promise):
    outcome = promise.attempt(promise.cases)
    assert outcome.failures == []
    assert outcome.cases >= promise.cases or outcome.not_tried


class TestPage:
    def test_it_is_that_of_the_results(self, monkeypatch, capsys):
        monkeypatch.setattr(sys, "argv", ["trust", "--check"])
        assert (trust.main(), capsys.readouterr().out) == (0, "\n")

    def test_each_promise_was_tried_without_failure(self):
        results = page.read()
        assert results.keys() == {promise.name for promise in PROMISES}
        for promise in PROMISES:
            result = results[promise.name]
            assert result["failures"] == [], promise.name
            assert result["cases"] or result["not_tried"], promise.name

    @pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.name)
    def test_its_tests_exist(self, promise, request):
        assert promise.tests
        for test in promise.tests:
            path, *names = test.split("::")
            source = (ROOT / path).read_text()
            for name in names:
                name, _, case = name.partition("[")
                assert re.search(rf"^ *(class|def) {name}\b", source, re.MULTILINE), test
                if case:
                    assert case == f"{promise.name}]", test

    def test_a_failure_and_what_was_not_tried_are_on_it(self):
        promises = [
            Promise(name, "It works.", ("tests/test_trust.py",), 10, 1, lambda cases: Outcome(cases))
            for name in ("one", "two", "three")
        ]
        result = {"cases": 1000, "failures": ["a"], "note": "quick", "not_tried": "", "commit": "0" * 12}
        result["commit"] += "-dirty"
        none = {"cases": 0, "failures": [], "note": "", "not_tried": "no GPU", "commit": "0" * 12}
        lines = page.render(promises, {"one": result, "two": none}).splitlines()
        assert "| **one**: It works. | `tests/test_trust.py` | 1,000 | 1 | quick | `0000000`* |" in lines
        assert (
            "| **two**: It works. | `tests/test_trust.py` | 0 |  | not tried: no GPU | `0000000` |" in lines
        )
        assert "| **three**: It works. | `tests/test_trust.py` | not tried yet | | | |" in lines


class TestResults:
    @pytest.fixture
    def tried(self, monkeypatch, tmp_path):
        """A promise, and the numbers of cases that it was tried on."""
        tried = []

        def attempt(cases):
            tried.append(cases)
            return Outcome(cases, ["no"] if cases == 7 else [])

        promise = Promise("one", "It works.", ("tests/test_trust.py",), 10, 1, attempt)
        monkeypatch.setattr(trust, "PROMISES", [promise])
        for module in (trust, page):
            monkeypatch.setattr(module, "RESULTS_FILE", tmp_path / "trust.json")
            monkeypatch.setattr(module, "PAGE", tmp_path / "trust.md")
        monkeypatch.setattr(page.read, "__defaults__", (tmp_path / "trust.json",))
        return tried

    @staticmethod
    def run(monkeypatch, *arguments):
        monkeypatch.setattr(sys, "argv", ["trust", *arguments])
        return trust.main()

    def test_what_was_tried_with_the_same_code_is_not_tried_again(self, tried, monkeypatch, tmp_path):
        assert self.run(monkeypatch) == 0
        assert self.run(monkeypatch, "--cases", "9") == 0
        assert tried == [10]
        assert "| 10 | 0 |" in (tmp_path / "trust.md").read_text()
        assert self.run(monkeypatch, "--cases", "11") == 0
        monkeypatch.setattr(trust, "code_digest", lambda: "another")
        assert self.run(monkeypatch, "--promise", "one") == 0
        assert tried == [10, 11, 10]

    def test_failures_are_tried_again(self, tried, monkeypatch, capsys):
        assert self.run(monkeypatch, "--cases", "7") == 1
        assert self.run(monkeypatch, "--cases", "7") == 1
        assert tried == [7, 7]
        assert "one: 7 cases, 1 failures" in capsys.readouterr().out


def test_cases_of_hypothesis_are_counted():
    """In the words of its versions."""
    found = ["    - 20 passing, 0 failing, and 3 invalid test cases", "    - 5 passing examples, 0 failing"]
    assert inputs.passing("\n\n".join(found)) == 25


class TestForks:
    """The cases would notice what they look for."""

    def test_what_it_returns(self):
        here = os.getpid()
        ended = in_fork(lambda: [os.getpid() != here, 3])
        assert (ended.value, ended.failure, ended.killed) == ([True, 3], "", False)

    @pytest.mark.parametrize(
        ("action", "failure"),
        [
            (lambda: os.kill(os.getpid(), signal.SIGSEGV), "ended by SIGSEGV"),
            (lambda: os._exit(0), "no answer"),
            (lambda: 1 / 0, "ZeroDivisionError"),
            (interrupt, "KeyboardInterrupt"),
            (lambda: sys.exit(0), "SystemExit"),
            (lambda: bytearray(10**9), "MemoryError"),
        ],
    )
    def test_what_went_wrong(self, action, failure):
        ended = in_fork(action, more_memory=5 * 10**8)
        assert failure in ended.failure
        assert not ended.killed

    def test_an_endless_loop_is_ended(self):
        def wait():
            signal.setitimer(signal.ITIMER_REAL, 1e-3)
            while True:
                pass

        assert in_fork(wait).failure == "ended by SIGALRM"

    def test_cases_that_fail_are_numbered(self):
        def case(number):
            assert number != 2, "two"

        [failure] = failures_of(case, range(4))
        assert failure.startswith("case 2: ")
        assert "AssertionError: two" in failure

    def test_moments_are_the_same_each_time(self):
        classifier = classifiers.fitted()

        def predict():
            return classifier.predict_proba(classifiers.UNSEEN)

        moments = moments_of(predict)
        assert moments == moments_of(predict)
        assert moments.number > 1_000
        assert moments.changes == 0
        for moment in (Moment(1), moments.draw(0)):
            with pytest.raises(KeyboardInterrupt), at_moment(moment, interrupt):
                predict()
            assert in_fork(lambda moment=moment: kill_at(moment, predict)).killed

    def test_many_moments_are_after_changes_of_the_disk(self, tmp_path):
        def change():
            for number in range(1_000):
                max(number, 1)
            (tmp_path / "a").mkdir()
            (tmp_path / "a").rmdir()

        assert moments_of(change).changes == 2
        assert in_fork(lambda: kill_at(Moment(1, of_changes=True), change)).killed
        assert (tmp_path / "a").is_dir()
        (tmp_path / "a").rmdir()
        drawn = [Moments(1_000, 2).draw(seed) for seed in range(100)]
        assert {moment.number for moment in drawn if moment.of_changes} == {1, 2}
        assert 40 < sum(moment.of_changes for moment in drawn) < 60

    def test_damage_that_is_not_noticed_is_a_failure(self, tmp_path, monkeypatch):
        """Here all files have the same digest."""
        path = tmp_path / "model"
        monkeypatch.setattr("skhimatch.storage.folder.digest_of_file", lambda path: "0")
        classifiers.fitted().save(path)

        def edit(path, rng):
            file = files_of(path) / "description.json"
            file.write_text(file.read_text() + " ")
            return "a space"

        [failure] = failures_of(lambda _: folders.load_damaged(path, edit, random.Random(0)), range(1))
        assert "a space: loaded with another digest" in failure

    @pytest.mark.parametrize("event", ["os.system", "subprocess.Popen"])
    def test_code_that_runs_is_a_failure(self, tmp_path, monkeypatch, event):
        path = tmp_path / "model"
        classifiers.fitted().save(path)
        monkeypatch.setattr(HiMatchClassifier, "load", lambda path: sys.audit(event) or classifiers.fitted())
        [failure] = failures_of(
            lambda _: folders.load_damaged(path, lambda path, rng: "nothing", random.Random(0)), range(1)
        )
        assert f"nothing: ['{event}']" in failure

    def test_an_interrupted_fit_that_spoils_the_classifier_is_a_failure(self, monkeypatch):
        def spoil(self, *args):
            with torch.no_grad():
                self.network_.head.weight += 1
            raise KeyboardInterrupt

        def case(_):
            HiMatchClassifier.fit = spoil
            stops.INTERRUPTED["fit"]("default", Moment(10**9), None, 0)

        classifiers.fitted()
        [failure] = failures_of(case, range(1))
        assert "other probabilities" in failure


def kill_at(moment, action):
    with at_moment(moment, kill):
        action()


def test_pickles_hold_networks_of_the_cpu(monkeypatch):
    """A network that says that it is on a GPU is copied to the CPU, and itself stays where it is."""
    scorer = classifiers.fitted().state_.ensemble.networks["words"]
    moved = []
    monkeypatch.setattr(type(scorer.network), "device", torch.device("cuda"))
    monkeypatch.setattr(type(scorer.network), "cpu", lambda network: moved.append(network) or network)
    state = scorer.__getstate__()
    assert [state["network"]] == moved
    assert state["network"] is not scorer.network
