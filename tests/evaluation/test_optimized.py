import numpy as np
import pytest
from scipy.sparse import csr_array

from skhimatch.evaluation.decisions import DecisionRule
from skhimatch.evaluation.optimized import METRICS, MetricOptions, number_of_labels, score_of_decision
from skhimatch.labels.hierarchy import LabelHierarchy

TREE = LabelHierarchy([("a", "a1"), ("a", "a2"), ("b", "b1"), ("b", "b2")])
LEAVES = ["a1", "a2", "b1", "b2"]


def leaf_rows(*names):
    return np.array([[label == name for label in TREE.labels] for name in names], dtype=int)


def test_hierarchical_f1_is_that_of_hiclass():
    draws = np.random.default_rng(0)
    true, found = draws.choice(LEAVES, 40), draws.choice(LEAVES, 40)
    hiclass = pytest.importorskip("hiclass.metrics")
    expected = hiclass.f1([[name[0], name] for name in true], [[name[0], name] for name in found])
    score = score_of_decision("hierarchical", leaf_rows(*true), leaf_rows(*found), TREE)
    assert score == pytest.approx(expected)
    assert score > score_of_decision("micro", leaf_rows(*true), leaf_rows(*found), TREE)


@pytest.mark.parametrize("optimize", [*METRICS, "precision@2"])
def test_a_weight_of_two_is_a_text_that_is_there_twice(optimize):
    draws = np.random.default_rng(1)
    true, found = draws.integers(0, 2, (2, 10, 6))
    twice = np.repeat(np.arange(10), draws.integers(1, 4, 10))
    weights = np.bincount(twice).astype(float)
    score = score_of_decision(optimize, true, found, TREE, weights)
    assert score == pytest.approx(score_of_decision(optimize, true[twice], found[twice], TREE))
    assert score != pytest.approx(score_of_decision(optimize, true, found, TREE))


def test_precision_at_k_counts_k_labels_of_each_text():
    true = np.array([[1, 1, 1, 0, 0, 0], [0, 0, 0, 0, 0, 0]])
    found = np.array([[1, 1, 0, 1, 0, 0], [1, 1, 1, 0, 0, 0]])
    assert score_of_decision("precision@3", true, found, TREE) == pytest.approx((2 / 3 + 0) / 2)


@pytest.mark.parametrize("k", [1, 3, 9])
@pytest.mark.parametrize("weighted", [False, True])
def test_precision_at_k_leaves_out_labels_whose_target_is_missing(k, weighted):
    draws = np.random.default_rng(3)
    true = draws.integers(0, 2, (40, 6))
    unknown = draws.random((40, 6)) < 0.4
    chosen = np.argsort(draws.random((40, 6)), axis=1)[:, :k]
    weights = draws.integers(0, 4, 40).astype(float) if weighted else np.ones(40)
    total = sum_of_weights = 0.0
    for row, columns in enumerate(chosen):
        known = [column for column in columns if not unknown[row, column]]
        if known:
            total += weights[row] * sum(true[row, column] for column in known) / len(known)
            sum_of_weights += weights[row]
    found = np.zeros((40, 6), dtype=int)
    np.put_along_axis(found, chosen, 1, axis=1)
    # 0 stands for a missing target, and 1 has to give the same.
    for filled in (np.where(unknown, 0, true), np.where(unknown, 1, true)):
        score = score_of_decision(
            f"precision@{k}", filled, found, TREE, weights if weighted else None, csr_array(unknown)
        )
        assert score == pytest.approx(total / sum_of_weights)
    nothing = csr_array(np.ones((40, 6), dtype=bool))
    assert score_of_decision(f"precision@{k}", true, found, TREE, None, nothing) == 0


@pytest.mark.parametrize(
    ("optimize", "k"), [("precision@1", 1), ("precision@12", 12), *((name, None) for name in METRICS)]
)
def test_names_of_metrics(optimize, k):
    assert number_of_labels(optimize) == k
    assert MetricOptions().is_satisfied_by(optimize)


@pytest.mark.parametrize(
    "optimize", ["precision@0", "precision@", "precision@1.5", "precision@k", "f1", 3, None]
)
def test_other_names(optimize):
    assert not MetricOptions().is_satisfied_by(optimize)
    assert "'precision@3'" in str(MetricOptions())


class TestMostProbableLabels:
    PROBABILITIES = np.array([[0.1, 0.3, 0.9, 0.2, 0.8, 0.3], [0.0, 0.0, 0.0, 0.0, 0.0, 0.0]])

    @pytest.mark.parametrize("k", [1, 2, 6, 7])
    def test_each_text_has_k_labels(self, k):
        rule = DecisionRule.learn(np.eye(6, dtype=int), TREE, n_labels=k)
        expected = np.zeros((2, 6), dtype=bool)
        for row, probabilities in enumerate(self.PROBABILITIES):
            expected[row, np.argsort(-probabilities, kind="stable")[:k]] = True
        np.testing.assert_array_equal(rule(self.PROBABILITIES).toarray(), expected)

    def test_ancestors_are_added_only_if_asked_for(self):
        targets = TREE.close(leaf_rows(*LEAVES))
        rule = DecisionRule.learn(targets, TREE, n_labels=1, consistency="auto")
        probabilities = np.array([[0.1, 0.1, 0.1, 0.1, 0.9, 0.1]])
        assert rule.closed
        assert rule(probabilities).sum() == 1
        rule = DecisionRule.learn(targets, TREE, n_labels=1, consistency="ancestors")
        assert rule(probabilities).sum() == len(TREE.ancestors[[4]].indices) + 1


def test_hierarchical_f1_wants_another_threshold_than_micro_f1():
    # Every true label is the sibling of the most probable one: worth nothing to micro-F1, and half to
    # hierarchical F1.
    targets = leaf_rows("a2", "b1", "a1")
    probabilities = np.full((3, 6), 0.01)
    for row, (sibling, chance) in enumerate([("a1", 0.3), ("b2", 0.3), ("a1", 0.6)]):
        probabilities[row, TREE.labels.index(sibling)] = chance
    rule = DecisionRule.learn(targets, TREE, decoding="threshold")
    hierarchical = rule.tuned(probabilities, targets, "hierarchical")
    micro = rule.tuned(probabilities, targets, "micro")
    assert hierarchical.threshold < 0.3 < micro.threshold
