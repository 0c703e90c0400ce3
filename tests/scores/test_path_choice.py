import numpy as np
import pytest
import scipy.sparse as sp
from scipy.special import softmax

from skhimatch import LabelHierarchy
from skhimatch.evaluation.paths import LabelPaths
from skhimatch.scores.path_choice import PathChoice
from skhimatch.scores.stacking import as_probabilities

HIERARCHY = LabelHierarchy([("a", "b"), ("a", "c"), ("c", "d"), ("c", "e"), ("f", "g")])
PATHS = LabelPaths(HIERARCHY, np.array([1, 2, 3, 4, 6]), np.ones(7, dtype=bool))  # b, c, d, e, g


def logits_of(scores, weights, above, beyond, inner, nothing):
    """The logits of the five paths and of nothing, one path at a time."""
    columns = []
    for end in PATHS.ends:
        ancestors = HIERARCHY.ancestors[[end]].indices
        children = HIERARCHY.children[[end]].indices
        column = np.zeros(len(scores["x"]))
        for name, score in scores.items():
            column += weights[name] * score[:, end]
            if len(ancestors):
                column += above[name] * score[:, ancestors].mean(axis=1)
            if len(children):
                column -= beyond[name] * score[:, children].max(axis=1)
        columns.append(column + inner * (len(children) > 0))
    return np.column_stack([*columns, np.full(len(columns[0]), nothing)])


TOLD = ({"x": 2.0, "y": 0.5}, {"x": 1.0, "y": 0.0}, {"x": 0.7, "y": 0.0}, 0.5, 1.0)


@pytest.fixture(scope="module")
def drawn():
    """Two scores, and targets drawn with the probabilities that they stand for."""
    draws = np.random.default_rng(0)
    scores = {name: draws.normal(size=(4000, 7)).astype(np.float32) for name in ("x", "y")}
    chosen = [draws.choice(6, p=row) for row in softmax(logits_of(scores, *TOLD), axis=1)]
    labels = sp.vstack([PATHS.labels, sp.csr_array((1, 7))], format="csr").astype(np.float32)
    return scores, labels[np.array(chosen)]


def test_the_weights_behind_the_targets_are_found(drawn):
    found = PathChoice.learn(*drawn, PATHS, unlabelled=True)
    for part, expected in zip((found.weights, found.above, found.beyond), TOLD[:3], strict=True):
        assert part == pytest.approx(expected, abs=0.15)
    assert found.inner == pytest.approx(0.5, abs=0.2)
    assert found.nothing == pytest.approx(1.0, abs=0.2)


def test_probabilities_are_sums_over_paths(drawn):
    scores, _ = drawn
    choice = PathChoice(PATHS, *TOLD)
    of_paths = softmax(logits_of(scores, *TOLD), axis=1)
    expected = of_paths[:, :5] @ PATHS.labels.toarray()
    found = as_probabilities(choice(scores))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    for parent, child in HIERARCHY.edges:
        assert (found[:, child] <= found[:, parent] + 1e-6).all()
    # A root and nothing: together they are everything.
    np.testing.assert_allclose(found[:, [0, 5]].sum(axis=1) + of_paths[:, 5], 1, atol=1e-5)


def test_a_score_that_misleads_has_no_say(drawn):
    scores, targets = drawn
    found = PathChoice.learn({"x": scores["x"], "y": -scores["y"]}, targets, PATHS, unlabelled=True)
    assert found.weights["y"] == 0
    assert PathChoice.learn({"x": -scores["x"]}, targets, PATHS, unlabelled=True) is None


def test_texts_with_other_labels_are_left_out(drawn):
    scores, targets = drawn
    two_paths = sp.csr_array(np.tile([1.0, 1, 0, 0, 0, 1, 1], (3, 1)))
    more = {name: np.concatenate([score, -9 * np.ones((3, 7))]) for name, score in scores.items()}
    found = PathChoice.learn(more, sp.vstack([targets, two_paths], format="csr"), PATHS, unlabelled=True)
    expected = PathChoice.learn(scores, targets, PATHS, unlabelled=True)
    assert found.weights == pytest.approx(expected.weights, abs=1e-4)
    assert found.above == pytest.approx(expected.above, abs=1e-4)
    assert PathChoice.learn({"x": np.ones((3, 7))}, two_paths, PATHS, unlabelled=True) is None


def test_without_texts_without_labels_nothing_is_impossible(drawn):
    scores, targets = drawn
    found = PathChoice.learn(scores, targets, PATHS, unlabelled=False)
    assert found.nothing is None
    np.testing.assert_allclose(as_probabilities(found(scores))[:, [0, 5]].sum(axis=1), 1, atol=1e-5)


def test_as_many_scores_as_weights(drawn):
    with pytest.raises(ValueError, match="scores of 'x', and weights for 'x', 'y'"):
        PathChoice(PATHS, *TOLD)({"x": drawn[0]["x"]})


def test_terms_are_the_difference_of_the_likeliest_paths(drawn):
    scores, _ = drawn
    choice = PathChoice(PATHS, *TOLD)
    logits = logits_of(scores, *TOLD)
    ends = [*PATHS.ends.tolist(), None]
    for row in range(50):
        of_text = {name: part[[row]] for name, part in scores.items()}
        for label in range(7):
            has_label = np.array([*(PATHS.labels[:, [label]].toarray()[:, 0]), False])
            terms = choice.terms(of_text, label)
            total = terms.constant + sum(terms.weights[name] @ of_text[name][0] for name in of_text)
            expected = logits[row][has_label].max() - logits[row][~has_label].max()
            assert total == pytest.approx(expected, abs=1e-4)
            rival = ends[int(np.where(has_label, -np.inf, logits[row]).argmax())]
            assert terms.rival == rival


def test_a_label_of_all_paths_is_compared_with_nothing():
    hierarchy = LabelHierarchy([("all", "a"), ("all", "b")])
    paths = LabelPaths(hierarchy, np.array([0, 2]), np.ones(3, dtype=bool))
    choice = PathChoice(paths, {"x": 1.0}, {"x": 0.0}, {"x": 0.0}, 0.0, None)
    scores = {"x": np.array([[1.0, 2.0, 3.0]], dtype=np.float32)}
    assert hierarchy.labels == ("a", "all", "b")
    for label, expected in ((0, [1, 0, -1]), (1, [0, 0, 0])):
        terms = choice.terms(scores, label)
        np.testing.assert_array_equal(terms.weights["x"], expected)
        assert terms.constant == 0
