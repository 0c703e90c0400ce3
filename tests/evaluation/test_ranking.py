"""Ranking metrics compared with scikit-learn's nDCG, with loops over all orders, and with small examples."""

from itertools import permutations
from math import log2

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.metrics import ndcg_score

from skhimatch.evaluation import ranking
from skhimatch.evaluation.ranking import (
    frequency_groups,
    ndcg_at_k,
    ranking_by_frequency,
    recall_at_k,
    rprecision_at_k,
)


def made_up(seed, n_texts=40, n_labels=30, levels=None):
    rng = np.random.RandomState(seed)
    true = (rng.rand(n_texts, n_labels) < 0.15).astype(int)
    true[:, 0] |= true.sum(axis=1) == 0
    scores = rng.randn(n_texts, n_labels)
    return true, scores if levels is None else np.round(scores * levels) / levels


@pytest.mark.parametrize("levels", [None, 2])
@pytest.mark.parametrize("k", [1, 5, 30, 50])
def test_ndcg_is_that_of_scikit_learn_ties_included(k, levels):
    true, scores = made_up(k, levels=levels)
    assert ndcg_at_k(true, scores, k) == pytest.approx(ndcg_score(true, scores, k=k))


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_ties_count_as_the_mean_over_all_orders(k):
    true = np.array([[1, 0, 1, 1, 0]])
    scores = np.array([[0.5, 0.5, 0.9, 0.5, 0.1]])
    recalls, precisions, gains = [], [], []
    best = sum(1 / log2(2 + rank) for rank in range(min(k, 3)))
    for order in permutations(range(5)):
        if list(scores[0, list(order)]) != sorted(scores[0], reverse=True):
            continue
        first = true[0, list(order)][:k]
        recalls.append(first.sum() / 3)
        precisions.append(first.sum() / min(k, 3))
        gains.append(sum(hit / log2(2 + rank) for rank, hit in enumerate(first)) / best)
    assert len(recalls) == 6
    assert recall_at_k(true, scores, k) == pytest.approx(np.mean(recalls))
    assert rprecision_at_k(true, scores, k) == pytest.approx(np.mean(precisions))
    assert ndcg_at_k(true, scores, k) == pytest.approx(np.mean(gains))


def test_a_small_example():
    true = [[1, 1, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]]
    scores = np.array([[0.9, 0.2, 0.5, 0.1], [0.1, 0.2, 0.3, 0.4], [0.4, 0.3, 0.2, 0.1]])
    # True labels at ranks 1 and 3; at rank 1; none, so the text is left out.
    assert recall_at_k(true, scores, 2) == pytest.approx((1 / 2 + 1) / 2)
    assert rprecision_at_k(true, scores, 1) == 1
    assert ndcg_at_k(true, scores, 3) == pytest.approx(((1 + 1 / 2) / (1 + 1 / log2(3)) + 1) / 2)


def test_a_group_ranks_its_own_columns_over_its_own_texts():
    true = np.array([[1, 0, 1], [0, 1, 0], [0, 0, 1]])
    scores = np.array([[0.9, 0.8, 0.7], [0.9, 0.2, 0.1], [0.1, 0.9, 0.2]])
    # The first of columns 1 and 2 is wrong, true and wrong for texts 0, 1 and 2.
    assert recall_at_k(true, scores, 1, labels=[1, 2]) == pytest.approx(1 / 3)
    train = np.array([[1, 1, 0]] + [[1, 0, 0]] * 50)
    scored = ranking_by_frequency(true, scores, train, k=1)
    assert {group: (score.labels, score.texts) for group, score in scored.items()} == {
        "frequent": (1, 1),
        "few": (1, 1),
        "zero": (1, 2),
        "overall": (3, 3),
    }
    assert scored["overall"].recall == recall_at_k(true, scores, 1)
    assert scored["overall"].ndcg == ndcg_at_k(true, scores, 1)


def test_the_limits_of_the_groups():
    counts = [0, 1, 50, 51]
    train = np.array([[text < count for count in counts] for text in range(60)])
    assert {group: labels.tolist() for group, labels in frequency_groups(train).items()} == {
        "frequent": [3],
        "few": [1, 2],
        "zero": [0],
    }


def test_sparse_scores_are_zero_where_nothing_is_stored(monkeypatch):
    true, scores = made_up(3)
    scores[scores < 0.5] = 0
    monkeypatch.setattr(ranking, "CHUNK_SCORES", 70)
    for metric in (recall_at_k, rprecision_at_k, ndcg_at_k):
        assert metric(true, sp.csr_array(scores)) == metric(sp.csr_array(true), scores)


def test_metrics_without_texts_are_nan():
    assert np.isnan(recall_at_k([[0, 1]], np.array([[0.2, 0.1]]), labels=[0]))


@pytest.mark.parametrize(
    ("true", "scores", "k", "message"),
    [
        ([[0, 1]], [[0.1, 0.2, 0.3]], 5, r"y_true has shape \(1, 2\) and y_score \(1, 3\)"),
        ([[0, 2]], [[0.1, 0.2]], 5, "an indicator holds 0 and 1 only"),
        ([[0, 1]], [[0.1, np.nan]], 5, "y_score contains NaN"),
        ([[0, 1]], [[0.1, 0.2]], 0, "k is 0"),
    ],
)
def test_refused(true, scores, k, message):
    with pytest.raises(ValueError, match=message):
        recall_at_k(true, np.array(scores), k)
