import numpy as np
import pytest
from scipy import sparse
from sklearn.metrics import f1_score

from skhimatch.evaluation.metrics import (
    LevelScore,
    f1_by_level,
    hierarchical_precision_recall_f1,
    hierarchy_violation_rate,
    micro_macro_f1,
)
from skhimatch.labels.formats import hierarchy_from_paths
from skhimatch.labels.hierarchy import LabelHierarchy

EDGES = [("a", "a1"), ("a", "a2"), ("b", "b1"), ("a1", "a11"), ("b", "a11")]
DAG = LabelHierarchy(EDGES, labels=["a11", "b1", "a2", "a1", "b", "a", "alone"])
FORMS = [np.asarray, sparse.csr_array, sparse.csc_matrix, lambda y: y.astype(float).tolist()]


@pytest.fixture(params=range(4))
def indicators(request):
    """Return indicators with labels that are never true, never predicted, or neither."""
    rng = np.random.default_rng(request.param)
    true, predicted = rng.random((2, 40, 7)) < 0.3
    true[:, 1] = predicted[:, 2] = true[:, 3] = predicted[:, 3] = False
    return true.astype(int), predicted.astype(int)


@pytest.mark.parametrize("form", FORMS)
def test_micro_macro_f1_equals_sklearn(indicators, form):
    true, predicted = indicators
    scores = micro_macro_f1(form(true), form(predicted))
    assert scores.micro == pytest.approx(f1_score(true, predicted, average="micro", zero_division=0))
    assert scores.macro == pytest.approx(f1_score(true, predicted, average="macro", zero_division=0))


@pytest.mark.parametrize("form", FORMS)
def test_f1_by_level_equals_sklearn_on_columns(indicators, form):
    true, predicted = indicators
    levels = {1: ["a", "b", "alone"], 2: ["a1", "a2", "b1"], 3: ["a11"]}
    scores = f1_by_level(form(true), form(predicted), DAG)
    assert [score.level for score in scores] == [1, 2, 3]
    for score in scores:
        columns = DAG.positions(levels[score.level])
        assert score.labels == len(columns)
        assert score.support == true[:, columns].sum()
        for average, value in [("micro", score.micro_f1), ("macro", score.macro_f1)]:
            # For scikit-learn, one column is a binary task.
            average = "binary" if len(columns) == 1 else average
            expected = f1_score(true[:, columns], predicted[:, columns], average=average, zero_division=0)
            assert value == pytest.approx(expected)


def test_level_scores_are_plain_numbers():
    (score, _) = f1_by_level([[1, 1]], [[1, 0]], [("a", "b")])
    assert score == LevelScore(level=1, labels=1, support=1, micro_f1=1.0, macro_f1=1.0)
    assert {type(value) for value in vars(score).values()} == {int, float}


@pytest.mark.parametrize("form", FORMS)
def test_hierarchical_scores_agree_with_sets(indicators, form):
    true, predicted = indicators
    above = [set(np.flatnonzero(row)) for row in DAG.ancestors.toarray()]

    def augmented(row):
        return {label for tag in np.flatnonzero(row) for label in {tag} | above[tag]}

    sides = [(augmented(t), augmented(p)) for t, p in zip(true, predicted, strict=True)]
    hits = sum(len(t & p) for t, p in sides)
    precision = hits / sum(len(p) for _, p in sides)
    recall = hits / sum(len(t) for t, _ in sides)
    scores = hierarchical_precision_recall_f1(form(true), form(predicted), DAG)
    assert scores == pytest.approx((precision, recall, 2 * precision * recall / (precision + recall)))


def test_hierarchical_scores_equal_hiclass_on_paths():
    hiclass = pytest.importorskip("hiclass.metrics")
    paths = [
        ["a", "a1", "a11"],
        ["a", "a1", "a12"],
        ["a", "a2", "a21"],
        ["b", "b1", "b11"],
        ["b", "b2", "b21"],
    ]
    hierarchy = hierarchy_from_paths("/".join(path) for path in paths)
    rng = np.random.default_rng(0)
    true, predicted = (np.array(paths)[rng.integers(len(paths), size=50)] for _ in range(2))

    def ends(rows):
        return np.eye(len(hierarchy), dtype=int)[hierarchy.positions(rows[:, -1].tolist())]

    scores = hierarchical_precision_recall_f1(ends(true), ends(predicted), hierarchy)
    assert scores.precision == pytest.approx(hiclass.precision(true, predicted))
    assert scores.recall == pytest.approx(hiclass.recall(true, predicted))
    assert scores.f1 == pytest.approx(hiclass.f1(true, predicted))


def test_violation_rate_counts_texts():
    texts = ["", "a", "a1", "a a1", "a1 a11", "a a1 a11", "a b a1 a11", "alone b1 a2"]
    predicted = np.array([[label in text.split() for label in DAG.labels] for text in texts])
    for form in (predicted, sparse.csr_array(predicted)):
        assert hierarchy_violation_rate(form, DAG) == 4 / 8
    assert hierarchy_violation_rate(DAG.close(predicted), DAG) == 0
    assert hierarchy_violation_rate(predicted, LabelHierarchy.flat(DAG.labels)) == 0


def test_perfect_and_empty_predictions(indicators):
    true, _ = indicators
    nothing = np.zeros_like(true)
    assert hierarchical_precision_recall_f1(true, true, DAG) == (1, 1, 1)
    assert hierarchical_precision_recall_f1(true, nothing, DAG) == (0, 0, 0)
    assert hierarchical_precision_recall_f1(nothing, nothing, DAG) == (0, 0, 0)
    assert micro_macro_f1(true, nothing) == (0, 0)
    assert hierarchy_violation_rate(nothing[:0], DAG) == 0


def test_shapes_are_named():
    with pytest.raises(ValueError, match=r"y_true has shape \(3, 7\) and y_pred \(2, 7\)"):
        micro_macro_f1(np.zeros((3, 7)), np.zeros((2, 7)))
    with pytest.raises(ValueError, match=r"have shape \(3, 6\), but the hierarchy has 7 labels"):
        f1_by_level(np.zeros((3, 6)), np.zeros((3, 6)), DAG)
    with pytest.raises(ValueError, match=r"have shape \(3, 6\), but the hierarchy has 7 labels"):
        hierarchical_precision_recall_f1(np.zeros((3, 6)), np.zeros((3, 6)), DAG)
    with pytest.raises(ValueError, match=r"shape \(n, 7\).*shape \(3, 6\)"):
        hierarchy_violation_rate(np.zeros((3, 6)), DAG)
    with pytest.raises(ValueError, match="threshold"):
        micro_macro_f1(np.zeros((1, 2)), np.full((1, 2), 0.4))
