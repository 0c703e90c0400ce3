import numpy as np
import pytest
import scipy.sparse as sp

from skhimatch import LabelHierarchy
from skhimatch.evaluation.decisions import DecisionRule
from skhimatch.scores.training_labels import TrainingLabels

HIERARCHY = LabelHierarchy([("a", "b"), ("b", "c"), ("d", "c"), ("a", "e")])


def labels_of(targets):
    targets = sp.csr_array(np.array(targets, dtype=np.float32))
    return TrainingLabels.of(targets, DecisionRule.learn(targets, HIERARCHY))


CLOSED = [[1, 1, 1, 1, 0], [1, 0, 0, 0, 1], [1, 1, 0, 0, 0]]


def test_no_label_is_more_than_its_parents():
    values = np.random.default_rng(0).normal(size=(50, 5)).astype(np.float32)
    found, before = labels_of(CLOSED).at_most_parents(values), values.copy()
    a, b, c, d, e = values.T
    expected = np.column_stack([a, np.minimum(a, b), np.min([a, b, c, d], axis=0), d, np.minimum(a, e)])
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(values, before)


def test_not_where_texts_lack_ancestors():
    values = np.array([[0.0, 1, 2, 3, 4]])
    assert labels_of([*CLOSED, [0, 1, 0, 0, 0]]).at_most_parents(values) is values


def test_frequency_is_the_log_odds():
    labels = labels_of(CLOSED)
    for number, found in zip([3, 2, 1, 1, 1], labels.frequency, strict=True):
        assert found == pytest.approx((np.log((number + 0.5) / (3 - number + 0.5)) + 4) / 3)


def test_one_path_or_none():
    labels = labels_of([[1, 1, 0, 0, 0], [1, 0, 0, 0, 1], [0, 0, 0, 0, 0]])
    assert labels.unlabelled
    # c has no text.
    np.testing.assert_array_equal(labels.paths.ends, [1, 2, 4])
    assert labels_of([[1, 1, 0, 0, 1]]).paths is None
    assert not labels_of([[1, 1, 0, 0, 1]]).unlabelled


def test_more_labels():
    more = LabelHierarchy([("a", "b"), ("b", "c"), ("d", "c"), ("a", "e"), ("e", "z")], [*"abcdez"])
    decision = DecisionRule.learn(CLOSED[1:], HIERARCHY).with_labels(more)
    labels = labels_of(CLOSED[1:]).with_labels(decision)
    assert labels.number.tolist() == [2, 1, 0, 0, 1, 0]
    assert labels.paths.ends.tolist()[-1] == 5
    assert labels.frequency[5] == labels.frequency[2]
