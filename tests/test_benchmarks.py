"""The harness writes the one shape of results, resumes, and fills the pages' tables."""

import json
import sys

import numpy as np
import pytest

from benchmarks import accuracy, tables
from skhimatch.datasets import Corpus
from skhimatch.hierarchy import LabelHierarchy

TEXTS = ["a quark and a gluon", "the cell divides", "a serve and a volley"] * 12
LABELS = [
    frozenset(labels) for labels in (("science", "physics"), ("science", "biology"), ("sport", "tennis"))
] * 12
CORPUS = Corpus(
    "toy",
    TEXTS,
    LABELS,
    LabelHierarchy([("science", "physics"), ("science", "biology"), ("sport", "tennis")]),
    {"train": np.arange(24), "validation": np.arange(24, 30), "test": np.arange(30, 36)},
)
SMALL = {"max_epochs": 1, "net_params": {"module__node_dimension": 4, "module__embedding_dimension": 8}}


@pytest.fixture
def toy(monkeypatch, tmp_path):
    """One corpus, small models, this process instead of one a run."""

    class Here:
        def __init__(self, *args, **kwargs): ...

        def __enter__(self):
            return self

        def __exit__(self, *args): ...

        def submit(self, function, *args):
            outcome = function(*args)
            return type("Done", (), {"result": lambda self: outcome})()

    monkeypatch.setattr(accuracy, "CORPORA", {"toy": (lambda: CORPUS, {})})
    monkeypatch.setattr(
        accuracy, "MODELS", accuracy.MODELS | {"himatch": (accuracy.fit_himatch, True, SMALL)}
    )
    monkeypatch.setattr(accuracy, "ProcessPoolExecutor", Here)
    monkeypatch.setattr(accuracy, "RESULTS", tmp_path / "results")
    return tmp_path / "results"


def measure(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["accuracy", "--dataset", "toy", *arguments])
    accuracy.main()


@pytest.mark.parametrize("model", ["himatch", "tfidf-svm", "tfidf-svm-path"])
def test_a_run_is_written_and_not_repeated(toy, monkeypatch, capsys, model):
    measure(monkeypatch, "--model", model, "--seeds", "3")
    content = json.loads((toy / f"toy-{model}.json").read_text())
    assert content["seeds"] == [3]
    [run] = content["runs"]
    assert [level["level"] for level in run["test"]["levels"]] == [1, 2]
    assert content["mean"]["test"]["micro_f1"] == run["test"]["micro_f1"]
    assert content["std"]["test"]["micro_f1"] == 0
    assert run["parameters"] > 0
    if model != "himatch":
        assert run["test"]["micro_f1"] == 1
    capsys.readouterr()
    measure(monkeypatch, "--model", model, "--seeds", "3", "4")
    assert "seed 3" not in capsys.readouterr().out
    assert json.loads((toy / f"toy-{model}.json").read_text())["seeds"] == [3, 4]


def test_other_settings_start_afresh(toy, monkeypatch):
    measure(monkeypatch, "--model", "tfidf-svm", "--seeds", "0")
    kind, vectors, settings = accuracy.MODELS["tfidf-svm"]
    monkeypatch.setattr(accuracy, "MODELS", {"tfidf-svm": (kind, vectors, settings | {"C": 2.0})})
    measure(monkeypatch, "--model", "tfidf-svm", "--seeds", "1")
    assert json.loads((toy / "toy-tfidf-svm.json").read_text())["seeds"] == [1]


def test_tables_fill_each_pair_of_marks_in_turn():
    page = f"a\n{tables.BEGIN}\nold\n{tables.END}\nb\n{tables.BEGIN}\n{tables.END}\nc\n"
    filled = tables.with_tables(page, ["first", "second"])
    assert filled == f"a\n{tables.BEGIN}\nfirst\n{tables.END}\nb\n{tables.BEGIN}\nsecond\n{tables.END}\nc\n"
    assert tables.with_tables(filled, ["first", "second"]) == filled
