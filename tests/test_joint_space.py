"""Where texts and labels lie in the joint space, as the benchmarks describe it."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from toy_corpus import HIERARCHY, QUICK, SMALL, make_corpus

from benchmarks.joint_space import describe_joint_space, distances_of, order_of_labels
from skhimatch import HiMatchClassifier, LabelHierarchy
from skhimatch.network.batches import TextDataset

TREE = LabelHierarchy([("a", "a1"), ("a", "a2"), ("b", "b1"), ("b", "b2")])


def test_kinds_of_labels():
    # a, a1, a2, b, b1, b2
    targets = sp.csr_array([[1, 1, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0]])
    distances = np.array([[2.0, 1.0, 3.0, 4.0, 5.0, 6.0], [2.0, 1.0, 3.0, 4.0, 5.0, 9.0]])
    found = order_of_labels(distances, targets, TREE)
    np.testing.assert_allclose(found, [[1, 2, 3, 5], [3, 2, 1, 6]])


def test_a_kind_without_labels_is_unknown():
    found = order_of_labels(np.ones((1, 6)), sp.csr_array([[1, 0, 0, 0, 0, 0]]), TREE)
    # a has a sibling, b, but no ancestor.
    assert np.isnan(found[0]).tolist() == [False, True, False, False]


@pytest.fixture(scope="module")
def matching():
    settings = QUICK | {"head": "matching", "lexical": None, "max_epochs": 25, "net_params": SMALL}
    return HiMatchClassifier(HIERARCHY, **settings | {"learning_rate": 0.02}).fit(*make_corpus(200))


def test_distances_are_those_that_the_losses_rank(matching):
    texts, _ = make_corpus(7, seed=5)
    inputs, _ = TextDataset(matching.tokenizer_.transform(texts)).batch(np.arange(7))
    with torch.no_grad():
        expected = matching.network_.eval()(**inputs, joint=True).distances
    np.testing.assert_allclose(distances_of(matching, texts), expected, atol=1e-3)


def test_a_learned_space_is_in_order(matching):
    described = describe_joint_space(matching, *make_corpus(100, seed=5))
    assert described["nearest_leaf"]["micro_f1"] > 0.8
    assert described["distances"]["fine"] < described["distances"]["siblings"]
    assert described["texts"] == 100
    assert 0 <= described["in_order"] <= 1


def test_other_heads_have_distances_of_embeddings():
    settings = QUICK | {"net_params": SMALL, "max_epochs": 1}
    other = HiMatchClassifier(HIERARCHY, **settings).fit(*make_corpus(60))
    texts, label_sets = make_corpus(5, seed=5)
    gaps = other.transform(texts)[:, None] - other.label_embeddings_
    np.testing.assert_allclose(distances_of(other, texts), np.linalg.norm(gaps, axis=2), atol=1e-6)
    assert describe_joint_space(other, texts, label_sets)["texts"] == 5


def test_a_space_that_nothing_has_trained():
    settings = QUICK | {"net_params": SMALL, "max_epochs": 1, "lambda_match": 0, "lambda_joint": 0}
    other = HiMatchClassifier(HIERARCHY, **settings).fit(*make_corpus(60))
    assert describe_joint_space(other, *make_corpus(5, seed=5)) is None
