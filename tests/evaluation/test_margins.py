"""Margins become labels by what is best on a validation set."""

import numpy as np
import pytest
from scipy.special import expit

from skhimatch.evaluation.decisions import DecisionRule
from skhimatch.evaluation.margins import MarginDecision, add_parent_margins, is_better
from skhimatch.labels.hierarchy import LabelHierarchy

# Columns: physics, science, sport, tennis.
TWO_PATHS = LabelHierarchy([("science", "physics"), ("sport", "tennis")])
ONE_PATH_EACH = np.array([[1, 1, 0, 0], [0, 0, 1, 1]])


def test_of_several_parents_the_largest_margin_is_added():
    hierarchy = LabelHierarchy([("a", "c"), ("b", "c"), ("c", "d")])
    margins = np.array([[1.0, -2.0, 0.5, 0.25], [-1.0, 3.0, -0.5, 0.0]], dtype=np.float32)
    added = add_parent_margins(margins, hierarchy, 0.5)
    np.testing.assert_array_equal(added, [[1, -2, 0.5 + 0.5, 0.25 + 0.25], [-1, 3, -0.5 + 1.5, -0.25]])
    assert added.dtype == np.float32
    assert add_parent_margins(margins, hierarchy, 0) is margins


def test_infinite_margins_of_parents_count_as_zero():
    margins = np.array([[0.5, np.inf, -np.inf, -0.25], [-0.5, np.inf, -np.inf, -np.inf]])
    np.testing.assert_array_equal(add_parent_margins(margins, TWO_PATHS, 0.3), margins)


def test_a_flat_hierarchy_has_no_parents():
    margins = np.array([[0.5, 0.25]])
    np.testing.assert_array_equal(
        add_parent_margins(margins, LabelHierarchy.flat(["ham", "spam"]), 0.3), margins
    )


class TestChoose:
    rule = DecisionRule.learn(ONE_PATH_EACH, TWO_PATHS)

    def test_the_weight_of_the_parent(self):
        # The leaves alone say tennis, with the parents it is physics; .1 is too little for that.
        margins = np.array([[-0.2, 0.3, -0.3, -0.1], [-0.5, -0.2, 0.2, 0.5]])
        chosen = MarginDecision.choose(self.rule, margins, ONE_PATH_EACH)
        assert (chosen.decoding, chosen.parent_weight, chosen.score) == ("path", 0.3, 2)
        np.testing.assert_array_equal(chosen(margins).toarray(), ONE_PATH_EACH)
        without = MarginDecision.choose(self.rule, margins, ONE_PATH_EACH, parent_weights=(0.0, 0.1))
        assert without.parent_weight == 0
        assert without.score < 2

    def test_paths_without_a_weight_come_first(self):
        margins = np.array([[1.0, 1.0, -1.0, -1.0], [-1.0, -1.0, 1.0, 1.0]])
        chosen = MarginDecision.choose(self.rule, margins, ONE_PATH_EACH)
        assert (chosen.decoding, chosen.parent_weight, chosen.score) == ("path", 0, 2)

    def test_a_threshold_where_it_is_better(self):
        margins = np.array([[1.0, 1.0, -1.0, -1.0], [1.0, 1.0, 1.0, 1.0]])
        targets = np.array([[1, 1, 0, 0], [1, 1, 1, 1]])
        chosen = MarginDecision.choose(self.rule, margins, targets, optimize="micro")
        assert (chosen.decoding, chosen.parent_weight, chosen.score) == ("threshold", 0, 1)
        np.testing.assert_array_equal(chosen(margins).toarray(), targets)

    @pytest.mark.parametrize("decoding", ["path", "threshold"])
    def test_a_given_decoding_stays(self, decoding):
        rule = DecisionRule.learn(ONE_PATH_EACH, TWO_PATHS, decoding=decoding)
        margins = np.array([[1.0, 1.0, 1.0, 1.0]])
        for targets in ([[1, 1, 0, 0]], [[1, 1, 1, 1]]):
            assert MarginDecision.choose(rule, margins, targets).decoding == decoding

    def test_without_single_paths_it_is_a_threshold(self):
        rule = DecisionRule.learn([[1, 1, 1, 1]], TWO_PATHS)
        margins = np.array([[0.25, 1.0, -1.0, -1.5]])
        chosen = MarginDecision.choose(rule, margins, [[1, 1, 0, 0]])
        assert (chosen.decoding, chosen.score) == ("threshold", 1 + 0.5)
        assert expit(-1.0) < chosen.rule.threshold <= expit(0.25)

    def test_the_score_is_that_of_the_metric(self):
        # Tennis is never predicted and physics always: micro-F1 is 2/3, macro-F1 (0.8 + 0) / 2.
        flat = LabelHierarchy.flat(["physics", "tennis"])
        rule = DecisionRule.learn([[1, 0], [0, 1]], flat, decoding="path")
        margins, targets = np.array([[1.0, -1.0]] * 3), np.array([[1, 0], [1, 0], [0, 1]])
        scores = {
            optimize: MarginDecision.choose(rule, margins, targets, optimize=optimize).score
            for optimize in ("micro", "macro", "micro_macro")
        }
        assert scores == {
            "micro": pytest.approx(2 / 3),
            "macro": pytest.approx(0.4),
            "micro_macro": pytest.approx(2 / 3 + 0.4),
        }


def test_rounding_is_no_improvement():
    rule = DecisionRule.learn(ONE_PATH_EACH, TWO_PATHS)
    scored = {score: MarginDecision(rule, score=score) for score in (0.5, 0.5 + 1e-15, 0.6)}
    assert not is_better(scored[0.5 + 1e-15], scored[0.5])
    assert is_better(scored[0.6], scored[0.5])
