"""Ranking metrics: recall, R-precision and nDCG at k, overall and by label frequency in training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array, issparse

from skhimatch.labels.indicators import as_indicator

__all__ = [
    "RankingScore",
    "frequency_groups",
    "ndcg_at_k",
    "ranking_by_frequency",
    "recall_at_k",
    "rprecision_at_k",
]

# Scores per chunk of texts: 64 MiB in float32.
CHUNK_SCORES = 2**24


@dataclass(frozen=True)
class RankingScore:
    """Ranking metrics of a group of labels.

    Attributes
    ----------
    labels : int
        The number of labels that are ranked.
    texts : int
        The number of texts with at least one of them. The metrics are means over these texts.
    recall : float
        See `recall_at_k`.
    rprecision : float
        See `rprecision_at_k`.
    ndcg : float
        See `ndcg_at_k`.
    """

    labels: int
    texts: int
    recall: float
    rprecision: float
    ndcg: float


def recall_at_k(
    y_true: Any,
    y_score: Any,
    k: int = 5,
    *,
    labels: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
) -> float:
    """Compute recall at k: the share of true labels among the k highest scores, mean over texts.

    R@k = (true labels among the first k) / (true labels). Ties are broken at random, and the result is
    the expected value.

    Parameters
    ----------
    y_true : array-like or sparse of shape (n, L)
        An indicator: 0 or 1.
    y_score : ndarray or sparse of shape (n, L)
        Scores. A higher score means a more probable label. Scores that a sparse array does not store
        are 0.
    k : int, default=5
        The length of the ranking.
    labels : array-like of int, optional
        The columns to rank. By default all. Texts without a true label among them are left out.
    sample_weight : array-like of shape (n,), optional
        Weights of the texts.

    Returns
    -------
    float
        In [0, 1]. It is nan if all texts are left out.

    Raises
    ------
    ValueError
        If `y_true` is not an indicator, shapes differ, a score is NaN, or k is not positive.

    Examples
    --------
    >>> recall_at_k([[1, 0, 1], [0, 0, 1]], np.array([[0.9, 0.5, 0.1], [0.2, 0.7, 0.7]]), k=1)
    0.5
    """
    return _score(y_true, y_score, k, labels, sample_weight).recall


def rprecision_at_k(
    y_true: Any,
    y_score: Any,
    k: int = 5,
    *,
    labels: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
) -> float:
    """Compute R-precision at k: recall at k divided by its maximum, mean over texts.

    RP@k = (true labels among the first k) / min(k, true labels).

    Parameters
    ----------
    y_true : array-like or sparse of shape (n, L)
        An indicator: 0 or 1.
    y_score : ndarray or sparse of shape (n, L)
        Scores, as in `recall_at_k`. Ties are handled in the same way.
    k : int, default=5
        The length of the ranking.
    labels : array-like of int, optional
        The columns to rank, as in `recall_at_k`.
    sample_weight : array-like of shape (n,), optional
        Weights of the texts.

    Returns
    -------
    float
        In [0, 1]. It is nan if all texts are left out.

    Raises
    ------
    ValueError
        As `recall_at_k`.

    Examples
    --------
    >>> rprecision_at_k([[1, 0, 1]], np.array([[0.9, 0.5, 0.1]]), k=1)
    1.0
    """
    return _score(y_true, y_score, k, labels, sample_weight).rprecision


def ndcg_at_k(
    y_true: Any,
    y_score: Any,
    k: int = 5,
    *,
    labels: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
) -> float:
    """Compute the normalised discounted cumulative gain of the first k labels, mean over texts.

    nDCG@k = sum of 1 / log2(1 + r) over the true labels of rank r <= k, divided by the maximum of this
    sum. It equals :func:`sklearn.metrics.ndcg_score`, also with ties, except that texts without a true
    label are left out.

    Parameters
    ----------
    y_true : array-like or sparse of shape (n, L)
        An indicator: 0 or 1.
    y_score : ndarray or sparse of shape (n, L)
        Scores, as in `recall_at_k`.
    k : int, default=5
        The length of the ranking.
    labels : array-like of int, optional
        The columns to rank, as in `recall_at_k`.
    sample_weight : array-like of shape (n,), optional
        Weights of the texts.

    Returns
    -------
    float
        In [0, 1]. It is nan if all texts are left out.

    Raises
    ------
    ValueError
        As `recall_at_k`.

    Examples
    --------
    >>> ndcg_at_k([[0, 1, 0]], np.array([[0.9, 0.5, 0.1]]), k=2)  # 1 / log2(3)
    0.6309...
    """
    return _score(y_true, y_score, k, labels, sample_weight).ndcg


def frequency_groups(y_train: Any, *, frequent: int = 50) -> dict[str, npt.NDArray[np.int64]]:
    """Group labels by their number of training texts, as EURLEX57K does.

    Parameters
    ----------
    y_train : array-like or sparse of shape (n, L)
        The training targets, an indicator.
    frequent : int, default=50
        A label with more texts than this is frequent.

    Returns
    -------
    dict of str to ndarray of int64
        The columns of each group: ``"frequent"``, ``"few"`` (at least one text) and ``"zero"`` (no text).

    Examples
    --------
    >>> groups = frequency_groups([[1, 0, 1], [1, 0, 0]], frequent=1)
    >>> {group: columns.tolist() for group, columns in groups.items()}
    {'frequent': [0], 'few': [2], 'zero': [1]}
    """
    indicator = as_indicator(y_train)
    n_texts = np.bincount(indicator.indices, minlength=indicator.shape[1])
    return {
        "frequent": np.flatnonzero(n_texts > frequent),
        "few": np.flatnonzero((n_texts > 0) & (n_texts <= frequent)),
        "zero": np.flatnonzero(n_texts == 0),
    }


def ranking_by_frequency(y_true: Any, y_score: Any, y_train: Any, k: int = 5) -> dict[str, RankingScore]:
    """Compute the ranking metrics overall and by the number of training texts of the labels.

    In each group, only the labels of the group are ranked, on the texts that have one of them.

    Parameters
    ----------
    y_true : array-like or sparse of shape (n, L)
        An indicator: 0 or 1.
    y_score : ndarray or sparse of shape (n, L)
        Scores, as in `recall_at_k`.
    y_train : array-like or sparse of shape (n_train, L)
        The training targets, an indicator.
    k : int, default=5
        The length of the ranking.

    Returns
    -------
    dict of str to RankingScore
        The metrics of ``"frequent"``, ``"few"`` and ``"zero"``, see `frequency_groups`, and
        ``"overall"``.

    Raises
    ------
    ValueError
        As `recall_at_k`.

    Examples
    --------
    >>> scores = ranking_by_frequency([[1, 1]], np.array([[0.9, 0.1]]), [[1, 0]], k=1)
    >>> scores["zero"].recall, scores["overall"].recall, scores["frequent"].texts
    (1.0, 0.5, 0)
    """
    groups: dict[str, Any] = {**frequency_groups(y_train), "overall": None}
    return {group: _score(y_true, y_score, k, columns) for group, columns in groups.items()}


def _score(
    y_true: Any,
    y_score: Any,
    k: int,
    labels: npt.ArrayLike | None,
    sample_weight: npt.ArrayLike | None = None,
) -> RankingScore:
    true = as_indicator(y_true)
    scores = csr_array(y_score) if issparse(y_score) else np.asarray(y_score)
    if true.shape != scores.shape:
        raise ValueError(f"y_true has shape {true.shape} and y_score {scores.shape}; they must be equal")
    if k < 1:
        raise ValueError(f"k is {k}; it must be at least 1")
    if np.isnan(scores.data if issparse(scores) else scores).any():
        raise ValueError("y_score contains NaN; every label needs a score")
    if labels is not None:
        columns = np.asarray(labels, dtype=np.int64)
        true, scores = true[:, columns], scores[:, columns]
    n_true = np.diff(true.indptr)
    weights = np.ones(len(n_true)) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    if weights.shape != n_true.shape:
        raise ValueError(f"sample_weight has shape {weights.shape}; pass one number for each text")
    counted = np.flatnonzero((n_true > 0) & (weights > 0))
    if not len(counted):
        return RankingScore(true.shape[1], 0, np.nan, np.nan, np.nan)
    n_true, weights = n_true[counted], weights[counted]
    before, tied = _ranks(true[counted], scores[counted])
    text = np.repeat(np.arange(len(counted)), n_true)
    hits = np.bincount(text, weights=_gain(before, tied, np.ones(k)))
    discounts = 1 / np.log2(np.arange(2, k + 2))
    gains = np.bincount(text, weights=_gain(before, tied, discounts))
    max_hits = np.minimum(n_true, k)
    return RankingScore(
        true.shape[1],
        len(counted),
        recall=float(np.average(hits / n_true, weights=weights)),
        rprecision=float(np.average(hits / max_hits, weights=weights)),
        ndcg=float(np.average(gains / np.cumsum(discounts)[max_hits - 1], weights=weights)),
    )


def _ranks(true: csr_array, scores: Any) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Count, for each true label, the labels of a higher score and those of the same score.

    The label itself is one of those of the same score.
    """
    n_texts, n_labels = true.shape
    before = np.empty(true.nnz, dtype=np.int64)
    tied = np.empty(true.nnz, dtype=np.int64)
    chunk_size = max(1, CHUNK_SCORES // n_labels)
    for start in range(0, n_texts, chunk_size):
        chunk = scores[start : start + chunk_size]
        chunk = chunk.toarray() if issparse(chunk) else chunk
        for row, text_scores in enumerate(chunk, start):
            entries = slice(true.indptr[row], true.indptr[row + 1])
            true_scores = text_scores[true.indices[entries], None]
            before[entries] = (text_scores > true_scores).sum(axis=1)
            tied[entries] = (text_scores == true_scores).sum(axis=1)
    return before, tied


def _gain(
    before: npt.NDArray[np.int64], tied: npt.NDArray[np.int64], discounts: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return the mean discount over the ranks that a label may have. Ranks above k have discount 0."""
    k = len(discounts)
    total = np.concatenate([[0.0], np.cumsum(discounts)])
    return (total[np.minimum(before + tied, k)] - total[np.minimum(before, k)]) / tied
