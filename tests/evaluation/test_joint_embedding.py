import sys

import numpy as np
import pytest
from toy_corpus import HIERARCHY, QUICK, make_corpus

from skhimatch import HiMatchClassifier
from skhimatch.evaluation.joint_embedding import JointEmbeddingDisplay


@pytest.fixture
def plt():
    plt = pytest.importorskip("matplotlib.pyplot")
    yield plt
    plt.close("all")


@pytest.fixture(scope="module")
def fitted():
    return HiMatchClassifier(HIERARCHY, **QUICK).fit(*make_corpus(60))


def two_clusters():
    draws = np.random.default_rng(0)
    centres = np.repeat(np.eye(2, 8), 20, axis=0)
    texts = centres + 0.1 * draws.normal(size=centres.shape)
    return texts, np.eye(2, 8), ["a"] * 20 + ["b"] * 20


def test_texts_lie_near_their_label():
    texts, labels, groups = two_clusters()
    display = JointEmbeddingDisplay.from_embeddings(texts, labels, groups, ["a", "b"])
    assert display.text_points.shape == (40, 2)
    distances = np.linalg.norm(display.text_points[:, None] - display.label_points, axis=2)
    assert (distances.argmin(axis=1) == np.repeat([0, 1], 20)).all()


def test_the_same_seed_gives_the_same_picture():
    texts, labels, groups = two_clusters()
    first, second = (
        JointEmbeddingDisplay.from_embeddings(texts, labels, groups, ["a", "b"], random_state=1)
        for _ in range(2)
    )
    np.testing.assert_array_equal(first.text_points, second.text_points)


def test_few_points():
    display = JointEmbeddingDisplay.from_embeddings(np.eye(1, 3), np.eye(1, 3), ["a"], ["a"])
    assert np.isfinite(display.text_points).all()


def test_of_an_estimator(plt, fitted):
    texts, label_sets = make_corpus(40, seed=1)
    display = JointEmbeddingDisplay.from_estimator(fitted, texts, label_sets, labels=["science", "physics"])
    assert display.labels == ["science", "physics"]
    shown = [labels for labels in label_sets if labels & {"science", "physics"}]
    # The deepest of the shown labels.
    assert display.groups == ["physics" if "physics" in labels else "science" for labels in shown]
    assert display.text_points.shape == (len(shown), 2)
    assert display.figure_ is display.ax_.figure
    assert [text.get_text() for text in display.ax_.get_legend().get_texts()] == ["science", "physics"]


def test_the_most_frequent_leaves_and_their_parents(plt, fitted):
    texts, label_sets = make_corpus(40, seed=1)
    display = JointEmbeddingDisplay.from_estimator(fitted, texts, label_sets, max_texts=10)
    assert len(display.groups) == 10
    hierarchy = fitted.hierarchy_
    columns = hierarchy.positions(display.labels)
    leaves = columns[np.diff(hierarchy.children[columns].indptr) == 0]
    assert len(leaves) == min(6, len(hierarchy.leaves))
    assert set(columns) == set(leaves) | set(hierarchy.parents[leaves].indices)


def test_on_given_axes(plt):
    texts, labels, groups = two_clusters()
    _, ax = plt.subplots()
    display = JointEmbeddingDisplay.from_embeddings(texts, labels, groups, ["a", "b"])
    assert display.plot(ax=ax).ax_ is ax


def test_without_a_text(fitted):
    texts, label_sets = make_corpus(40, seed=1)
    kept = [row for row, labels in enumerate(label_sets) if "science" not in labels]
    with pytest.raises(ValueError, match="No text has one of the labels to show"):
        JointEmbeddingDisplay.from_estimator(
            fitted, [texts[row] for row in kept], [label_sets[row] for row in kept], labels=["science"]
        )


def test_an_unknown_label(fitted):
    with pytest.raises(ValueError, match="the hierarchy has no label 'sience'; did you mean 'science'"):
        JointEmbeddingDisplay.from_estimator(fitted, *make_corpus(4), labels=["sience"])


def test_matplotlib_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r'pip install "skhimatch\[plot\]"'):
        JointEmbeddingDisplay(np.zeros((1, 2)), np.zeros((1, 2)), ["a"], ["a"]).plot()
