"""The displays of `skhimatch.displays`: their numbers, and what they draw."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import confusion_matrix, f1_score, precision_recall_fscore_support
from toy_corpus import HIERARCHY, QUICK, make_corpus

from skhimatch import HiMatchClassifier, as_hierarchy
from skhimatch.displays import (
    FitHistoryDisplay,
    FrequencyF1Display,
    HierarchyF1Display,
    ReliabilityDisplay,
    SiblingConfusionDisplay,
    ThresholdDisplay,
)
from skhimatch.displays.label_scores import LabelScores
from skhimatch.labels.targets import encode_targets

TREE = as_hierarchy({"a": ["a1", "a2", "a3"], "b": ["b1"]})  # columns: a, a1, a2, a3, b, b1


@pytest.fixture
def plt():
    plt = pytest.importorskip("matplotlib.pyplot")
    yield plt
    plt.close("all")


@pytest.fixture(scope="module")
def fitted():
    texts, label_sets = make_corpus(60)
    held, held_sets = make_corpus(30, seed=1)
    classifier = HiMatchClassifier(HIERARCHY, **QUICK).fit(texts, label_sets, X_val=held, y_val=held_sets)
    return classifier, held, held_sets


@pytest.fixture
def random_labels():
    draws = np.random.RandomState(0)
    true, predicted = (draws.rand(2, 200, len(TREE)) < 0.3).astype(int)
    # Predictions may lack ancestors.
    return (TREE.close(true).toarray().astype(int), predicted), draws.rand(200, len(TREE)).round(3)


def as_sets(indicator):
    return [{TREE.labels[column] for column in np.flatnonzero(row)} for row in indicator]


def test_scores_of_labels_are_those_of_scikit_learn(random_labels):
    (true, predicted), _ = random_labels
    expected = precision_recall_fscore_support(true, predicted, zero_division=0)
    for y_true, y_pred in ((true, predicted), (as_sets(true), as_sets(predicted))):
        scores = LabelScores.of(y_true, y_pred, TREE)
        np.testing.assert_allclose(scores.f1, expected[2])
        np.testing.assert_array_equal(scores.support, expected[3])


def test_bands_of_frequency(plt, random_labels):
    (true, predicted), _ = random_labels
    true[:, 5] = 0
    n_train = [0, 5, 9, 10, 60, 70]
    display = FrequencyF1Display.from_predictions(true, predicted, TREE, n_train=n_train, name="model")
    f1 = f1_score(true, predicted, average=None, zero_division=0)
    assert [band.name for band in display.bands] == ["0", "1-9", "10-49", "50 or more"]
    # The last label is true for no text.
    assert [band.labels for band in display.bands] == [1, 2, 1, 1]
    found = [band.macro_f1 for band in display.bands]
    np.testing.assert_allclose(found, [f1[0], f1[1:3].mean(), f1[3], f1[4]])
    assert [bar.get_height() for bar in display.ax_.patches] == found
    with pytest.raises(ValueError, match="pass a number for each of the 6 labels"):
        FrequencyF1Display.from_predictions(true, predicted, TREE, n_train=[1, 2])


def test_a_band_without_labels_has_no_bar(plt):
    display = FrequencyF1Display.from_predictions([{"a"}], [{"a"}], TREE, n_train=[5] * 6, starts=(1, 2, 9))
    assert [band.name for band in display.bands] == ["1", "2-8", "9 or more"]
    assert np.isnan([band.macro_f1 for band in display.bands]).tolist() == [True, False, True]
    assert [text.get_text() for text in display.ax_.texts] == ["", "1.00", ""]


def test_the_tree_is_drawn_from_the_root_down(plt, random_labels):
    (true, predicted), _ = random_labels
    display = HierarchyF1Display.from_predictions(true, predicted, TREE)
    names = [text.get_text() for text in display.ax_.get_yticklabels()]
    assert [name.strip() for name in names] == ["a", "a1", "a2", "a3", "b", "b1"]
    assert [len(name) - len(name.lstrip()) for name in names] == [0, 4, 4, 4, 0, 4]
    f1 = f1_score(true, predicted, average=None)
    assert [bar.get_width() for bar in display.ax_.patches] == pytest.approx(f1.tolist())
    shown = [text.get_text() for text in display.ax_.texts]
    assert shown == [f"{value:.2f}  ({number})" for value, number in zip(f1, true.sum(0), strict=True)]


def test_of_a_large_tree_the_most_frequent_labels_and_their_ancestors_are_shown():
    y = [{"a", "a2"}] * 5 + [{"b", "b1"}] * 3 + [{"a", "a1"}]
    display = HierarchyF1Display(LabelScores.of(y, y, TREE), max_labels=4)
    assert [(TREE.labels[column], depth) for column, depth in display.shown] == [
        ("a", 0),
        ("a2", 1),
        ("b", 0),
        ("b1", 1),
    ]


def test_in_a_graph_a_label_is_shown_once():
    graph = as_hierarchy([("a", "c"), ("b", "c"), ("c", "d")])
    display = HierarchyF1Display(LabelScores.of([{"d"}], [{"d"}], graph))
    assert [(graph.labels[column], depth) for column, depth in display.shown] == [
        ("a", 0),
        ("c", 1),
        ("d", 2),
        ("b", 0),
    ]


def test_confusions_of_one_label_a_text_are_the_confusion_matrix(plt):
    draws = np.random.RandomState(0)
    true, predicted = draws.randint(3, size=(2, 100))
    names = np.array(["a1", "a2", "a3"])
    y_true, y_pred = ([{"a", name} for name in names[side]] for side in (true, predicted))
    display = SiblingConfusionDisplay.from_predictions(y_true, y_pred, TREE, parent="a")
    np.testing.assert_array_equal(display.counts[:, :3], confusion_matrix(true, predicted))
    assert (display.counts[:, 3] == 0).all()
    assert display.ax_.get_title() == "children of a"
    drawn = {int(text.get_text()) for text in display.ax_.texts}
    assert drawn == set(display.counts[display.counts > 0].tolist())


def test_confusions_of_several_labels_a_text():
    y_true = [{"a1", "a2"}, {"a1"}, {"a3"}, {"a1"}]
    y_pred = [{"a1", "a3"}, {"a2", "a3"}, set(), {"a1", "a2"}]
    display = SiblingConfusionDisplay.count(y_true, y_pred, TREE)
    assert display.parent == "a"
    # A wrong label counts where a true one is missing, and not beside a true one that was found.
    np.testing.assert_array_equal(display.counts, [[2, 1, 1, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    assert SiblingConfusionDisplay.count(y_true, y_pred, TREE, max_labels=2).labels == ["a1", "a2"]


def test_the_family_with_the_most_confusions_is_the_default():
    y_true, y_pred = [{"a", "a1"}] * 3, [{"b", "b1"}] * 3
    display = SiblingConfusionDisplay.count(y_true, y_pred, TREE)
    assert (display.parent, display.labels) == (None, ["a", "b"])
    with pytest.raises(ValueError, match="parent='b' is no label with two children or more"):
        SiblingConfusionDisplay.count(y_true, y_pred, TREE, parent="b")
    with pytest.raises(ValueError, match="no label has siblings"):
        SiblingConfusionDisplay.count([{"x"}], [{"x"}], as_hierarchy([("x", "y")]))


@pytest.mark.parametrize("labels", [None, ["a1", "b"]])
def test_reliability_is_that_of_scikit_learn(plt, random_labels, labels):
    (true, _), probabilities = random_labels
    display = ReliabilityDisplay.from_predictions(true, probabilities, TREE, labels=labels, name="model")
    columns = slice(None) if labels is None else [1, 4]
    frequency, probability = calibration_curve(
        true[:, columns].ravel(), probabilities[:, columns].ravel(), n_bins=10
    )
    np.testing.assert_allclose(display.frequency, frequency)
    np.testing.assert_allclose(display.probability, probability)
    assert display.number.sum() == true[:, columns].size
    assert "model (error 0." in display.ax_.get_legend().get_texts()[0].get_text()
    with pytest.raises(ValueError, match=r"y_proba has the shape \(200, 2\), not \(200, 6\)"):
        ReliabilityDisplay.of(true, probabilities[:, :2], TREE)


def test_two_reliability_curves_share_axes(plt, random_labels):
    (true, _), probabilities = random_labels
    first = ReliabilityDisplay.from_predictions(true, probabilities, TREE, name="first")
    second = ReliabilityDisplay.from_predictions(true, probabilities**2, TREE, name="second", ax=first.ax_)
    assert second.ax_ is first.ax_
    # The diagonal is drawn once.
    assert len(first.ax_.lines) == 3
    assert len({line.get_color() for line in first.ax_.lines}) == 3


def test_scores_by_threshold_are_those_of_scikit_learn(plt, random_labels):
    (true, _), probabilities = random_labels
    display = ThresholdDisplay.from_predictions(as_sets(true), probabilities, TREE)
    for number in (0, 20, 49):
        predicted = probabilities >= display.thresholds[number]
        expected = precision_recall_fscore_support(true, predicted, average="micro", zero_division=0)
        found = display.precision[number], display.recall[number], display.micro_f1[number]
        assert found == pytest.approx(expected[:3])
        assert display.macro_f1[number] == pytest.approx(
            f1_score(true, predicted, average="macro", zero_division=0)
        )
    assert len(display.ax_.lines) == 6


@pytest.mark.parametrize("held_out", [True, False])
def test_the_history_of_a_fit(plt, fitted, held_out):
    classifier, _, _ = fitted
    history = classifier.history_
    if not held_out:
        history = [{name: record[name] for name in ("epoch", "train_loss")} for record in history]
    display = FitHistoryDisplay(history).plot()
    [loss] = display.loss_ax_.lines
    assert loss.get_ydata().tolist() == [record["train_loss"] for record in history]
    assert (display.ax_ is display.loss_ax_) == (not held_out)
    if held_out:
        micro = next(line for line in display.ax_.lines if line.get_label() == "micro-F1")
        assert micro.get_ydata().tolist() == [record["valid_micro_f1"] for record in history]
    with pytest.raises(ValueError, match="no epoch"):
        FitHistoryDisplay([])


@pytest.mark.parametrize(
    "display",
    [FrequencyF1Display, HierarchyF1Display, SiblingConfusionDisplay, ReliabilityDisplay, ThresholdDisplay],
)
def test_from_an_estimator_as_from_its_predictions(plt, fitted, tmp_path, display):
    classifier, texts, label_sets = fitted
    figure, ax = plt.subplots()
    drawn = display.from_estimator(classifier, texts, label_sets, ax=ax)
    assert drawn.ax_ is ax
    assert drawn.figure_ is figure
    hierarchy = classifier.hierarchy_
    if display in (ReliabilityDisplay, ThresholdDisplay):
        same = display.from_predictions(label_sets, classifier.predict_proba(texts), hierarchy)
    elif display is FrequencyF1Display:
        n_train = encode_targets(make_corpus(60)[1], hierarchy).sum(axis=0)
        same = display.from_predictions(label_sets, classifier.predict(texts), hierarchy, n_train=n_train)
    else:
        same = display.from_predictions(label_sets, classifier.predict(texts), hierarchy)
    for name, value in vars(same).items():
        if not name.endswith("_") and not isinstance(value, LabelScores):
            assert repr(getattr(drawn, name)) == repr(value)
    figure.savefig(tmp_path / "picture.png")
