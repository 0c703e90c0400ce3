import pickle
from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from skhimatch.evaluation.consistency import add_ancestors, drop_orphans
from skhimatch.evaluation.decisions import (
    DecisionRule,
    check_consistency,
    check_threshold,
    highest,
    predict_threshold,
)
from skhimatch.evaluation.path_decisions import path_ends, predict_path, predict_path_that_may_stop
from skhimatch.evaluation.paths import LabelPaths
from skhimatch.evaluation.thresholds import gain_of_predictions
from skhimatch.labels.hierarchy import LabelHierarchy

LABELS = ["a", "b", "a1", "a2", "b1", "a11"]
TREE = LabelHierarchy([("a", "a1"), ("a", "a2"), ("b", "b1"), ("a1", "a11")], labels=LABELS)
DAG = LabelHierarchy([("a", "c"), ("b", "c"), ("c", "d")])
EVERYWHERE = np.ones(6, dtype=bool)


def rows(*label_sets, hierarchy=TREE):
    indicator = np.zeros((len(label_sets), len(hierarchy)), dtype=int)
    for row, labels in enumerate(label_sets):
        indicator[row, hierarchy.positions(labels.split())] = 1
    return indicator


def names(positions, hierarchy=TREE):
    return None if positions is None else [hierarchy.labels[position] for position in positions]


def random_case(seed, n_labels=25):
    rng = np.random.default_rng(seed)
    ends = np.sort(rng.choice(n_labels, (40, 2)), axis=1)
    labels = [f"l{number}" for number in range(n_labels)]
    hierarchy = LabelHierarchy([(labels[a], labels[b]) for a, b in ends if a != b], labels)
    return hierarchy, rng.random((30, n_labels)) < 0.4


@pytest.mark.parametrize("levels", [1, 3, 1000])
@pytest.mark.parametrize("k", [1, 4, 25])
def test_highest_is_the_start_of_a_stable_sort(k, levels):
    scores = np.random.default_rng(k).integers(levels, size=(30, 25)) / levels
    np.testing.assert_array_equal(highest(scores, k), np.argsort(-scores, axis=1, kind="stable")[:, :k])


def test_threshold_is_reached_by_equality():
    probabilities = np.array([[0.5, 0.49, 0.9], [0.0, 1.0, 0.2]], dtype=np.float32)
    predicted = predict_threshold(probabilities, 0.5)
    assert sparse.issparse(predicted)
    assert predicted.dtype == bool
    np.testing.assert_array_equal(predicted.toarray(), [[1, 0, 1], [0, 1, 0]])
    by_label = predict_threshold(probabilities, np.array([0.6, 0.4, 0.2]))
    np.testing.assert_array_equal(by_label.toarray(), [[0, 1, 1], [0, 1, 1]])


def test_path_is_the_best_end_and_its_ancestors():
    ends = TREE.positions(["a11", "a2", "b1"])
    #                a    b    a1   a2   b1   a11
    probabilities = [[0.9, 0.1, 0.9, 0.2, 0.1, 0.3], [0.9, 0.1, 0.9, 0.2, 0.4, 0.3], [0.1] * 6]
    predicted = predict_path(np.array(probabilities), ends, TREE, EVERYWHERE)
    assert predicted.dtype == bool
    np.testing.assert_array_equal(predicted.toarray(), rows("a a1 a11", "b b1", "a a1 a11"))
    tagged = rows("a a11 a2 b1 b")[0].astype(bool)
    np.testing.assert_array_equal(
        predict_path(np.array(probabilities), ends, TREE, tagged).toarray(), rows("a a11", "b b1", "a a11")
    )


def test_path_of_a_dag_has_all_ancestors():
    ends = DAG.positions(["d"])
    predicted = predict_path(np.zeros((1, 4)), ends, DAG, np.ones(4, dtype=bool))
    np.testing.assert_array_equal(predicted.toarray(), [[1, 1, 1, 1]])


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        (rows("a a1 a11", "a a2", "b b1"), ["a2", "b1", "a11"]),
        (rows("a a1", "a a1 a11", "b"), ["b", "a1", "a11"]),
        (rows("a11", "a2", "b1", "b1"), ["a2", "b1", "a11"]),  # only leaves
        (rows("a1 a11", "a2", "b"), ["b", "a2", "a11"]),  # a is never tagged
        (rows("a a1", "a1"), None),  # a is tagged elsewhere
        (rows("a a1 a2"), None),
        (rows("a b"), None),
        (rows("a a1", ""), None),
        (rows("a11 a2"), None),
        (rows(), None),
    ],
)
def test_path_ends(targets, expected):
    assert names(path_ends(targets, TREE)) == expected
    assert names(path_ends(sparse.csr_array(targets), TREE)) == expected


def test_path_ends_in_a_dag_and_without_hierarchy():
    assert names(path_ends(rows("a b c d", "a", hierarchy=DAG), DAG), DAG) == ["a", "d"]
    assert path_ends(rows("a c d", "b", hierarchy=DAG), DAG) is None
    flat = LabelHierarchy.flat(LABELS)
    assert names(path_ends(rows("a", "b1", "a"), flat)) == ["a", "b1"]
    assert path_ends(rows("a", "a b1"), flat) is None


@pytest.mark.parametrize("seed", range(5))
def test_path_ends_agree_with_a_loop_and_predict_path_restores_them(seed):
    hierarchy, _ = random_case(seed)
    above = hierarchy.ancestors.toarray()
    tagged = np.random.default_rng(seed).random(len(hierarchy)) < 0.6
    ends = np.flatnonzero(tagged)
    targets = np.eye(len(hierarchy), dtype=bool)[ends] | (above[ends] & tagged)
    np.testing.assert_array_equal(path_ends(targets, hierarchy), ends)
    certain = np.eye(len(hierarchy))[ends]
    np.testing.assert_array_equal(predict_path(certain, ends, hierarchy, tagged).toarray(), targets)


@pytest.mark.parametrize("seed", range(5))
def test_consistency_agrees_with_a_loop(seed):
    hierarchy, predicted = random_case(seed)
    above = hierarchy.ancestors.toarray()
    added, dropped = predicted.copy(), predicted.copy()
    for row in range(len(predicted)):
        for label in np.flatnonzero(predicted[row]):
            added[row] |= above[label]
            dropped[row, label] = predicted[row][above[label]].all()
    for form in (predicted, sparse.csr_array(predicted)):
        np.testing.assert_array_equal(add_ancestors(form, hierarchy).toarray(), added)
        np.testing.assert_array_equal(drop_orphans(form, hierarchy).toarray(), dropped)
        np.testing.assert_array_equal(add_ancestors(dropped, hierarchy).toarray(), dropped)
    assert (dropped != predicted).any()


def test_drop_orphans_does_not_change_its_argument():
    predicted = sparse.csr_array(rows("a11").astype(bool))
    assert drop_orphans(predicted, TREE).nnz == 0
    assert predicted.nnz == 1


def test_rule_combines_decoding_and_consistency():
    probabilities = np.array([[0.2, 0.1, 0.7, 0.6, 0.1, 0.1], [0.9, 0.9, 0.1, 0.1, 0.8, 0.7]])

    def decide(**choices):
        rule = DecisionRule(
            **{"hierarchy": TREE, "threshold": 0.5, "path_ends": None, "tagged": EVERYWHERE} | choices
        )
        return pickle.loads(pickle.dumps(rule))(probabilities).toarray().astype(int).tolist()

    assert decide() == rows("a1 a2", "a b b1 a11").tolist()
    assert decide(threshold=np.full(6, 0.65)) == rows("a1", "a b b1 a11").tolist()
    assert decide(consistency="ancestors") == rows("a a1 a2", "a a1 a11 b b1").tolist()
    assert decide(consistency="descendants") == rows("", "a b b1").tolist()
    assert decide(path_ends=TREE.leaves) == rows("a a2", "b b1").tolist()


def test_untagged_ancestors_make_no_orphans():
    leaves_only = rows("a2 b1 a11")[0].astype(bool)
    probabilities = np.array([[0.1, 0.1, 0.1, 0.9, 0.1, 0.1]])
    rule = DecisionRule(TREE, 0.5, TREE.leaves, leaves_only, "descendants")
    np.testing.assert_array_equal(rule(probabilities).toarray(), rows("a2"))
    rule = DecisionRule(TREE, 0.5, None, leaves_only, "ancestors")
    np.testing.assert_array_equal(rule(probabilities).toarray(), rows("a a2"))


def test_check_threshold():
    assert check_threshold(1, LABELS) == 1.0
    assert isinstance(check_threshold(np.float32(0.5), LABELS), float)
    given = np.full(6, 0.5)
    checked = check_threshold(given, LABELS)
    given[0] = 7
    np.testing.assert_array_equal(checked, [0.5] * 6)


@pytest.mark.parametrize(
    ("threshold", "message"),
    [
        (1.5, r"threshold is 1.5; it must lie in \[0, 1\]"),
        (np.nan, "threshold is nan"),
        ([0.5] * 5, r"shape \(5,\); .* shape \(6,\)"),
        ([[0.5] * 6], r"shape \(1, 6\)"),
        ([0.5, -1, 0.5, 0.5, 0.5, 0.5], "threshold of label 'b' is -1.0"),
        ("high", "threshold is 'high'"),
        (None, "threshold is None; pass a number"),
    ],
)
def test_bad_thresholds_are_named(threshold, message):
    with pytest.raises(ValueError, match=message):
        check_threshold(threshold, LABELS)


def test_check_consistency():
    assert [check_consistency(value) for value in ("ancestors", "descendants", None)] == [
        "ancestors",
        "descendants",
        None,
    ]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            "ancestor",
            "consistency is 'ancestor'; did you mean 'ancestors'\\? Pass 'auto', 'ancestors'",
        ),
        ("all", "consistency is 'all'; pass 'auto', 'ancestors', 'descendants' or None"),
        (True, "consistency is True; pass"),
        (["ancestors"], r"consistency is \['ancestors'\]; pass"),
        (np.ones(2), r"consistency is array\(.*; pass"),
    ],
)
def test_bad_consistency_is_named(value, message):
    with pytest.raises(ValueError, match=message):
        check_consistency(value)
    rule = DecisionRule(TREE, 0.5, path_ends=None, tagged=EVERYWHERE)
    with pytest.raises(ValueError, match=message):
        replace(rule, consistency=value)
    with pytest.raises(ValueError, match=message):
        DecisionRule.learn(rows("a"), TREE, consistency=value)


def test_bad_decoding_is_named():
    with pytest.raises(
        ValueError, match=r"decoding is 'paths'; did you mean 'path'\? Pass 'auto', 'threshold' or"
    ):
        DecisionRule.learn(rows("a"), TREE, decoding="paths")


@pytest.mark.parametrize("consistency", [None, "ancestors", "descendants"])
def test_no_label_is_predicted_where_none_was_a_target(consistency):
    rule = DecisionRule.learn(rows("", ""), TREE, decoding="path", consistency=consistency)
    assert rule.ends.tolist() == []
    probabilities = np.random.default_rng(0).random((5, 6))
    tuned = rule.tuned(probabilities, rows("", "", "", "", "a"))
    for decide in (rule, tuned):
        predicted = decide(probabilities)
        assert predicted.shape == (5, 6)
        assert predicted.dtype == bool
        assert predicted.nnz == 0
        assert decide(probabilities[:0]).shape == (0, 6)
    # A label that is added later may end a path.
    more = LabelHierarchy(
        [("a", "a1"), ("a", "a2"), ("b", "b1"), ("a1", "a11"), ("b", "b2")], [*LABELS, "b2"]
    )
    extended = rule.with_labels(more)(np.full((1, 7), 0.5)).toarray()
    expected = "b b2" if consistency == "ancestors" else "b2"
    np.testing.assert_array_equal(extended, rows(expected, hierarchy=more))


def test_learn_finds_ends_and_tagged_labels():
    hierarchy = LabelHierarchy([("a", "b"), ("a", "c"), ("c", "d")])
    single = [[1, 1, 0, 0], [1, 0, 1, 0]]
    several = [[1, 1, 1, 0]]
    assert DecisionRule.learn(single, hierarchy).ends.tolist() == [1, 2]
    assert DecisionRule.learn(single, hierarchy).tagged.tolist() == [True, True, True, False]
    assert DecisionRule.learn(several, hierarchy).ends is None
    assert DecisionRule.learn(single, hierarchy, decoding="threshold").ends is None
    assert DecisionRule.learn(several, hierarchy, decoding="path").ends.tolist() == [1, 2]


def test_a_path_stops_early_only_if_no_child_is_probable():
    ends = TREE.positions(["a", "a1", "a11", "b1"])
    #                          a    b    a1   a2   b1   a11
    probabilities = np.array([[0.9, 0.1, 0.4, 0.3, 0.1, 0.2],
                              [0.9, 0.1, 0.7, 0.0, 0.1, 0.2],
                              [0.9, 0.1, 0.8, 0.0, 0.1, 0.6],
                              [0.4, 0.6, 0.0, 0.3, 0.5, 0.0]])  # fmt: skip
    # a: .9 x .6, a1: .4 x .8  |  a: .9 x .3, a1: .7 x .8  |  a1: .8 x .4, a11: .6  |  a: .4 x .7, b1: .5
    np.testing.assert_array_equal(
        predict_path(probabilities, ends, TREE, EVERYWHERE).toarray(),
        rows("a", "a a1", "a a1 a11", "b b1"),
    )


class TestTuned:
    HIERARCHY = LabelHierarchy([("a", "b"), ("a", "c")])
    EVERYWHERE = np.ones(3, dtype=bool)

    def test_threshold(self):
        rule = DecisionRule(self.HIERARCHY, 0.5, path_ends=None, tagged=self.EVERYWHERE)
        probabilities = np.array([[0.9, 0.31, 0.1], [0.8, 0.29, 0.35]])
        tuned = rule.tuned(probabilities, [[1, 1, 0], [1, 0, 1]])
        # Thresholds from 0.30 to 0.31 make no mistake.
        assert 0.29 < tuned.threshold <= 0.31
        assert (tuned.ends, tuned.consistency) == (None, None)

    def test_a_path_that_stops_too_early(self):
        # a may end a path. Each path continues, although no child has a probability of 0.5.
        rule = DecisionRule(self.HIERARCHY, 0.5, path_ends=np.array([0, 1, 2]), tagged=self.EVERYWHERE)
        probabilities = np.array([[0.9, 0.4, 0.1], [0.9, 0.1, 0.4], [0.9, 0.1, 0.1]])
        targets = [[1, 1, 0], [1, 0, 1], [1, 0, 0]]
        np.testing.assert_array_equal(rule(probabilities).toarray(), [[1, 0, 0]] * 3)
        np.testing.assert_array_equal(rule.tuned(probabilities, targets)(probabilities).toarray(), targets)

    def test_paths_to_leaves_need_no_threshold(self):
        rule = DecisionRule(self.HIERARCHY, 0.5, path_ends=np.array([1, 2]), tagged=self.EVERYWHERE)
        assert rule.tuned(np.array([[0.9, 0.4, 0.1]]), [[1, 1, 0]]) is rule

    def test_extreme_thresholds_and_probabilities(self):
        probabilities = np.array([[1.0, 0.0, 1e-30], [0.5, 0.5, 0.5]])
        for threshold in (0.0, 1.0, np.array([0.0, 0.5, 1.0])):
            rule = DecisionRule(
                self.HIERARCHY, threshold, path_ends=np.array([0, 1, 2]), tagged=self.EVERYWHERE
            )
            assert (rule(probabilities).toarray()[:, 0] == 1).all()


class TestPathThatMayStop:
    @pytest.mark.parametrize("hierarchy", [TREE, DAG])
    @pytest.mark.parametrize("at_least_one", [False, True])
    def test_no_other_beginning_gains_more(self, hierarchy, at_least_one):
        rng = np.random.default_rng(0)
        probabilities = rng.uniform(size=(200, len(hierarchy)))
        threshold = rng.uniform(0.2, 0.9, size=len(hierarchy))
        importance = rng.uniform(0.1, 2, size=len(hierarchy))
        ancestors = hierarchy.ancestors.toarray()
        beginnings = LabelPaths(hierarchy, np.arange(len(hierarchy)), np.ones(len(hierarchy), dtype=bool))
        found = predict_path_that_may_stop(
            probabilities, beginnings, threshold, importance, at_least_one=at_least_one
        ).toarray()
        empty = 0
        for row, of_text in zip(found, probabilities, strict=True):
            best, best_gain = np.zeros(len(hierarchy), dtype=bool), -np.inf if at_least_one else 0.0
            for end in range(len(hierarchy)):
                path = ancestors[end].astype(bool)
                path[end] = True
                gain = sum(
                    importance[label] * (of_text[label] - threshold[label]) for label in np.flatnonzero(path)
                )
                if gain > best_gain:
                    best, best_gain = path, gain
            assert (row == best).all()
            empty += not best.any()
        assert (empty == 0) == at_least_one

    def test_without_a_path(self):
        nothing = LabelPaths(TREE, np.zeros(0, dtype=np.int64), np.zeros(6, dtype=bool))
        found = predict_path_that_may_stop(np.ones((2, 6)), nothing, 0.5, np.ones(6), at_least_one=True)
        assert found.shape == (2, 6)
        assert found.nnz == 0

    def test_the_rule(self):
        """The first text's leaf is too uncertain; the thresholds are those of the probabilities."""
        targets = rows("a a1 a11", "a a2", "b b1")
        rule = replace(DecisionRule.learn(targets, TREE), one_path=True)
        probabilities = np.array([[0.9, 0.1, 0.4, 0.35, 0.1, 0.4], [0.1, 0.9, 0.05, 0.05, 0.9, 0.05]] * 50)
        whole = rule.with_best_thresholds(probabilities, "micro_macro")
        stopping = rule.with_best_thresholds(probabilities, "micro")
        stopping = stopping.with_paths_that_may_stop(probabilities, "micro")
        assert [len(row) for row in rule_rows(whole(probabilities[:2]))] == [3, 2]
        expected = (probabilities >= stopping.threshold)[:2]
        assert (stopping(probabilities[:2]).toarray() == expected).all()
        assert whole.importance is None

    def test_more_labels(self):
        rule = replace(DecisionRule.learn(rows("a a1 a11", "b b1"), TREE), one_path=True)
        probabilities = np.random.default_rng(0).uniform(size=(20, 6))
        rule = rule.with_best_thresholds(probabilities, "macro")
        rule = rule.with_paths_that_may_stop(probabilities, "macro")
        more = LabelHierarchy(
            [*[(TREE.labels[parent], TREE.labels[child]) for parent, child in TREE.edges], ("b", "b2")],
            labels=[*LABELS, "b2"],
        )
        wider = rule.with_labels(more)
        assert wider.importance.shape == (7,)
        assert wider.importance[6] == np.median(rule.importance)


def rule_rows(indicator):
    return [np.flatnonzero(row) for row in indicator.toarray()]


@pytest.mark.parametrize("optimize", ["micro", "macro", "micro_macro"])
def test_the_gain_of_a_prediction_is_the_change_of_the_expected_f1(optimize):
    """Numerically: one more prediction among very many changes the F1 by the gain."""
    rng = np.random.default_rng(0)
    probabilities = rng.beta(0.3, 2, size=(40_000, 4)) * [1, 0.5, 0.2, 0.9]
    threshold = np.array([0.35, 0.3, 0.2, 0.4])

    def expected_f1(predicted):
        right = 2 * (probabilities * predicted).sum(axis=0)
        size = probabilities.sum(axis=0) + predicted.sum(axis=0)
        micro, macro = right.sum() / size.sum(), (right / size).mean()
        return {"micro": micro, "macro": macro, "micro_macro": micro + macro}[optimize]

    predicted = probabilities >= threshold
    changes = np.empty((4, 2))
    for label in range(4):
        for number, probability in enumerate((0.05, 0.15)):
            row = np.argmin(np.abs(probabilities[:, label] - probability))
            more = predicted.copy()
            more[row, label] = True
            changes[label, number] = expected_f1(more) - expected_f1(predicted)
    slope = (changes[:, 1] - changes[:, 0]) / 0.1
    found = gain_of_predictions(probabilities, threshold, optimize)
    np.testing.assert_allclose(found, slope / slope.mean(), rtol=0.01)


@pytest.mark.parametrize(
    ("targets", "expected"),
    [(["a a1", "a a2", "a", "b b1 a"], "a a1"), (["a1", "a a2", "a", "b b1 a"], "a1")],
)
def test_ancestors_are_added_if_training_texts_have_them(targets, expected):
    rule = DecisionRule.learn(rows(*targets), TREE, consistency="auto")
    probabilities = np.array([[0.2, 0.1, 0.7, 0.1, 0.1, 0.1]])
    assert (rule(probabilities).toarray() == rows(expected)).all()


def test_ancestors_of_leaves_without_texts_are_on_their_paths():
    """Otherwise such a leaf would be more probable than its parent, which no training text has either."""
    hierarchy = LabelHierarchy([("a", "a1"), ("a", "a2"), ("b", "b1")])  # columns: a, a1, a2, b, b1
    rule = DecisionRule.learn([[1, 1, 0, 0, 0], [0, 0, 0, 0, 0]], hierarchy)
    paths = rule.paths.labels.toarray()
    assert paths.astype(int).tolist() == [[1, 1, 0, 0, 0], [1, 0, 1, 0, 0], [0, 0, 0, 1, 1]]
    # Texts that have leaves only say nothing of ancestors.
    of_leaves = DecisionRule.learn([[0, 1, 0, 0, 0], [0, 0, 0, 0, 0]], hierarchy)
    assert of_leaves.paths.labels.toarray().astype(int).tolist() == [
        [0, 1, 0, 0, 0],
        [0, 0, 1, 0, 0],
        [0, 0, 0, 0, 1],
    ]
