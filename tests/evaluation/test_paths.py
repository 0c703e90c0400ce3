import pickle
from dataclasses import replace

import numpy as np
import pytest

from skhimatch import LabelHierarchy
from skhimatch.evaluation.decisions import DecisionRule
from skhimatch.evaluation.path_decisions import predict_most_probable_path
from skhimatch.evaluation.paths import LabelPaths

TREE = LabelHierarchy([("a", "b"), ("a", "c"), ("c", "d"), ("c", "e"), ("f", "g")])
DAG = LabelHierarchy([("a", "b"), ("a", "c"), ("b", "d"), ("c", "d"), ("d", "e")])


@pytest.fixture(params=["tree", "dag", "flat"])
def paths(request):
    hierarchy = {"tree": TREE, "dag": DAG, "flat": LabelHierarchy.flat(["a", "b", "c"])}[request.param]
    every = np.ones(len(hierarchy), dtype=bool)
    return LabelPaths(hierarchy, np.arange(len(hierarchy)), every)


def closure(hierarchy, label):
    """A label and its ancestors, one parent at a time."""
    found, waiting = set(), [label]
    while waiting:
        found.add(waiting[-1])
        waiting += hierarchy.parents[[waiting.pop()]].indices.tolist()
    return found


def test_labels_of_paths_are_summed_and_paths_are_found_again(paths):
    draws = np.random.default_rng(0)
    of_paths = draws.dirichlet(np.ones(len(paths.ends) + 1), size=5)[:, :-1]
    expected = np.zeros((5, len(paths.hierarchy)))
    for path, end in enumerate(paths.ends):
        for label in closure(paths.hierarchy, end):
            expected[:, label] += of_paths[:, path]
    of_labels = paths.of_labels(of_paths)
    np.testing.assert_allclose(of_labels, expected, atol=1e-12)
    np.testing.assert_allclose(paths.of_paths(of_labels), of_paths, atol=1e-12)


def test_means_above_and_highest_beyond(paths):
    scores = np.random.default_rng(0).normal(size=(4, len(paths.hierarchy)))
    above, beyond = scores @ paths.above.toarray().T, paths.highest_of_children(scores)
    for path, end in enumerate(paths.ends):
        ancestors = sorted(closure(paths.hierarchy, end) - {end})
        mean = scores[:, ancestors].mean(axis=1) if ancestors else 0
        np.testing.assert_allclose(above[:, path], mean, atol=1e-6)
        children = paths.hierarchy.children[[end]].indices
        highest = scores[:, children].max(axis=1) if len(children) else 0
        np.testing.assert_allclose(beyond[:, path], highest, atol=1e-12)
        assert paths.inner[path] == (len(children) > 0)


def test_what_is_kept_for_the_next_texts_is_in_no_pickle(paths):
    before = pickle.dumps(paths)
    of_labels = paths.of_labels(np.full((1, len(paths.ends)), 0.1))
    of_paths = paths.of_paths(of_labels)
    paths.highest_of_children(of_labels)
    assert paths.closed
    assert pickle.dumps(paths) == before
    np.testing.assert_array_equal(pickle.loads(before).of_paths(of_labels), of_paths)


@pytest.mark.parametrize(
    ("untagged", "left_out", "path"), [("", "", "acd"), ("c", "", "ad"), ("", "a", "cd"), ("c", "a", "d")]
)
def test_ancestors_are_added_wherever_a_path_lacks_them(untagged, left_out, path):
    tagged, minimum = (
        np.array([label in names for label in TREE.labels])
        for names in (set("abcdefg") - {untagged}, left_out)
    )
    ends = np.array([TREE.index["d"], TREE.index["g"]])
    rule = DecisionRule(TREE, 0.5, ends, tagged, one_path=True, path_minimum=minimum * 1.0)
    probabilities = rule.paths.of_labels(np.array([[0.6, 0.1]]))
    assert "".join(TREE.labels[label] for label in rule(probabilities).indices) == path
    found = replace(rule, consistency="ancestors")(probabilities)
    assert "".join(TREE.labels[label] for label in found.indices) == "acd"


class TestMostProbablePath:
    paths = LabelPaths(TREE, np.array([1, 3, 4, 6]), np.ones(7, dtype=bool))  # b, d, e, g

    def predicted(self, of_paths, minimum=0.0):
        indicator = predict_most_probable_path(
            self.paths.of_labels(np.array([of_paths])), self.paths, minimum
        )
        return "".join(TREE.labels[label] for label in indicator.indices)

    def test_the_path_not_the_label(self):
        # c is more probable than b, but no path with c is.
        assert self.predicted([0.4, 0.3, 0.3, 0.0]) == "ab"

    def test_nothing_if_that_is_more_probable(self):
        assert self.predicted([0.2, 0.2, 0.2, 0.0]) == ""
        assert self.predicted([0.3, 0.2, 0.2, 0.1]) == "ab"

    @pytest.mark.parametrize(("minimum", "expected"), [(0.3, "acd"), (0.5, "ac"), (0.65, "a"), (1.0, "")])
    def test_less_probable_labels_of_the_path_are_left_out(self, minimum, expected):
        assert self.predicted([0.15, 0.4, 0.2, 0.1], minimum) == expected

    def test_a_minimum_for_each_label(self):
        assert self.predicted([0.15, 0.4, 0.2, 0.1], np.array([0, 0, 0.7, 0, 0, 0, 0])) == "ad"


class TestRule:
    def test_texts_without_labels_do_not_hide_the_paths(self):
        targets = [[1, 1, 0, 0, 0, 0, 0], [0] * 7, [1, 0, 1, 1, 0, 0, 0]]
        rule = DecisionRule.learn(targets, TREE)
        np.testing.assert_array_equal(rule.path_ends, [1, 3])
        assert rule.unlabelled
        # Independent probabilities cannot tell how probable nothing is.
        assert rule.ends is None
        # e and g have no text, and may end a path, too.
        np.testing.assert_array_equal(rule.paths.ends, [1, 3, 4, 6])

    def test_several_paths(self):
        assert DecisionRule.learn([[1, 1, 1, 1, 0, 0, 0]], TREE).paths is None
