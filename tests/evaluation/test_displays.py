import sys
from itertools import pairwise

import numpy as np
import pytest

from skhimatch.evaluation.displays import LevelF1Display, text_bars
from skhimatch.evaluation.metrics import LevelScore, f1_by_level

HIERARCHY = {"a": ["a1", "a2"], "b": ["b1"]}  # columns: a, a1, a2, b, b1
TRUE = np.array([[1, 1, 0, 0, 0], [1, 0, 1, 0, 0], [0, 0, 0, 1, 1]])
PREDICTED = np.array([[1, 0, 1, 0, 0], [1, 0, 1, 0, 0], [0, 0, 0, 1, 0]])


@pytest.fixture
def plt():
    plt = pytest.importorskip("matplotlib.pyplot")
    yield plt
    plt.close("all")


def heights(ax):
    return [[bar.get_height() for bar in bars] for bars in ax.containers]


def test_bars_are_the_scores(plt):
    display = LevelF1Display.from_predictions(TRUE, PREDICTED, HIERARCHY, name="model")
    scores = f1_by_level(TRUE, PREDICTED, HIERARCHY)
    assert display.scores == {"model": scores}
    assert display.figure_ is display.ax_.figure
    assert heights(display.ax_) == [[s.micro_f1 for s in scores], [s.macro_f1 for s in scores]]
    assert [text.get_text() for text in display.ax_.get_legend().get_texts()] == [
        "model micro",
        "model macro",
    ]
    ticks = [text.get_text() for text in display.ax_.get_xticklabels()]
    assert ticks == ["level 1\n2 labels", "level 2\n3 labels"]


def test_several_models_on_given_axes(plt, tmp_path):
    figure, ax = plt.subplots()
    scores = {
        "himatch": f1_by_level(TRUE, TRUE, HIERARCHY),
        "tf-idf": f1_by_level(TRUE, PREDICTED, HIERARCHY),
    }
    display = LevelF1Display(scores).plot(ax=ax)
    assert display.ax_ is ax
    assert display.figure_ is figure
    assert len(ax.containers) == 4
    edges = sorted((bar.get_x(), bar.get_x() + bar.get_width()) for bars in ax.containers for bar in bars)
    assert all(left[1] <= right[0] for left, right in pairwise(edges))
    figure.savefig(tmp_path / "f1.png")
    assert (tmp_path / "f1.png").stat().st_size > 1000


def test_without_a_name(plt):
    display = LevelF1Display.from_predictions(TRUE, PREDICTED, HIERARCHY)
    assert [text.get_text() for text in display.ax_.get_legend().get_texts()] == ["micro", "macro"]


def test_text_bars_are_as_long_as_the_scores():
    scores = [LevelScore(1, 1, 3, 1.0, 0.0), LevelScore(2, 3, 3, 0.5, 0.53125)]
    assert text_bars(scores, width=8).splitlines() == [
        "level 1, 1 label",
        "  micro  ████████  1.000",
        "  macro            0.000",
        "level 2, 3 labels",
        "  micro  ████      0.500",
        "  macro  ████▎     0.531",
    ]


def test_text_bars_name_the_models():
    scores = [LevelScore(1, 2, 3, 1.0, 0.5)]
    assert text_bars({"himatch": scores, "svm": scores}, width=4).splitlines() == [
        "level 1, 2 labels",
        "  himatch  micro  ████  1.000",
        "           macro  ██    0.500",
        "  svm      micro  ████  1.000",
        "           macro  ██    0.500",
    ]


def test_bad_scores_are_named():
    one, two = [LevelScore(1, 2, 3, 1.0, 0.5)], [LevelScore(2, 2, 3, 1.0, 0.5)]
    with pytest.raises(ValueError, match=r"'b' was scored on levels \[2\] and 'a' on \[1\]"):
        text_bars({"a": one, "b": two})
    for nothing in ({}, {"a": []}, []):
        with pytest.raises(ValueError, match="no scores"):
            text_bars(nothing)
    with pytest.raises(ValueError, match="no scores"):
        LevelF1Display({})


def test_missing_matplotlib_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"skhimatch\[plot\]"):
        LevelF1Display.from_predictions(TRUE, PREDICTED, HIERARCHY)
