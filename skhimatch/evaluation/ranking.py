"""How high the right labels rank: recall, R-precision and nDCG at k, overall and by frequency in training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array, issparse

from skhimatch.labels.hierarchy import as_indicator

__all__ = [
    "RankingScore",
    "frequency_groups",
    "ndcg_at_k",
    "ranking_by_frequency",
    "recall_at_k",
    "rprecision_at_k",
]

# Scores are looked at in blocks of so many numbers: 64 MiB of single precision.
NUMBERS_AT_ONCE = 2**24


@dataclass(frozen=True)
class RankingScore:
    """How high the right labels rank, among some labels.

    Attributes
    ----------
    labels : int
        Number of labels that are ranked.
    texts : int
        Number of texts that carry at least one of them; the scores are means over these.
    recall, rprecision, ndcg : float
        As `recall_at_k`, `rprecision_at_k` and `ndcg_at_k` have them.
    """

    labels: int
    texts: int
    recall: float
    rprecision: float
    ndcg: float


def recall_at_k(y_true: Any, y_score: Any, k: int = 5, *, labels: npt.ArrayLike | None = None) -> float:
    """Compute the share of a text's labels that are among the k best-scored ones, mean over texts.

    R@k = |right labels among the first k| / |right labels|. Labels of equal score share their ranks: each
    counts with the chance that it comes among the first k when ties are broken at random.

    Parameters
    ----------
    y_true : array-like or sparse of shape (n, L)
        An indicator: 0 or 1.
    y_score : ndarray or sparse of shape (n, L)
        The higher, the likelier; what a sparse array does not store is 0.
    k : int, default=5
        The number of labels looked at.
    labels : array-like of int, optional
        Rank these columns only; by default all. Texts without any of them as a right label do not count.

    Returns
    -------
    float
        In [0, 1]; nan where no text counts.

    Raises
    ------
    ValueError
        If `y_true` is no indicator, shapes differ, a score is NaN, or k is not positive.

    Examples
    --------
    >>> recall_at_k([[1, 0, 1], [0, 0, 1]], np.array([[0.9, 0.5, 0.1], [0.2, 0.7, 0.7]]), k=1)
    0.5
    """
    return _score(y_true, y_score, k, labels).recall


def rprecision_at_k(y_true: Any, y_score: Any, k: int = 5, *, labels: npt.ArrayLike | None = None) -> float:
    """Compute recall at k relative to the best that k labels can have, mean over texts.

    RP@k = |right labels among the first k| / min(k, |right labels|).

    Parameters
    ----------
    y_true, y_score, k, labels
        As in `recall_at_k`; ties, too.

    Returns
    -------
    float
        In [0, 1]; nan where no text counts.

    Raises
    ------
    ValueError
        As `recall_at_k`.

    Examples
    --------
    >>> rprecision_at_k([[1, 0, 1]], np.array([[0.9, 0.5, 0.1]]), k=1)
    1.0
    """
    return _score(y_true, y_score, k, labels).rprecision


def ndcg_at_k(y_true: Any, y_score: Any, k: int = 5, *, labels: npt.ArrayLike | None = None) -> float:
    """Compute the normalised discounted cumulative gain of the first k labels, mean over texts.

    nDCG@k = sum over right labels of rank r <= k of 1 / log2(1 + r), divided by the same sum were they
    ranked first. Those of :func:`sklearn.metrics.ndcg_score`, ties included, but texts without any right
    label do not count, and it can look at some of the labels.

    Parameters
    ----------
    y_true, y_score, k, labels
        As in `recall_at_k`.

    Returns
    -------
    float
        In [0, 1]; nan where no text counts.

    Raises
    ------
    ValueError
        As `recall_at_k`.

    Examples
    --------
    >>> ndcg_at_k([[0, 1, 0]], np.array([[0.9, 0.5, 0.1]]), k=2)  # 1 / log2(3)
    0.6309...
    """
    return _score(y_true, y_score, k, labels).ndcg


def frequency_groups(y_train: Any, *, frequent: int = 50) -> dict[str, npt.NDArray[np.int64]]:
    """Group labels by their number of training texts, as EURLEX57K does.

    Parameters
    ----------
    y_train : array-like or sparse of shape (n, L)
        The training targets, an indicator.
    frequent : int, default=50
        A label of more texts than that is frequent.

    Returns
    -------
    dict
        The columns of the labels that are ``"frequent"``, ``"few"`` (one text or more) and ``"zero"`` (none).

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
    """Score rankings overall and by the labels' number of training texts.

    Each group ranks its own labels only, over the texts that carry one of them.

    Parameters
    ----------
    y_true, y_score, k
        As in `recall_at_k`.
    y_train : array-like or sparse of shape (n_train, L)
        The training targets, an indicator.

    Returns
    -------
    dict of str to RankingScore
        ``"frequent"``, ``"few"`` and ``"zero"``, as of `frequency_groups`, and ``"overall"``.

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


def _score(y_true: Any, y_score: Any, k: int, labels: npt.ArrayLike | None) -> RankingScore:
    true = as_indicator(y_true)
    scores = csr_array(y_score) if issparse(y_score) else np.asarray(y_score)
    if true.shape != scores.shape:
        raise ValueError(f"y_true has shape {true.shape} and y_score {scores.shape}; they must be alike")
    if k < 1:
        raise ValueError(f"k is {k}; look at one label at least")
    if np.isnan(scores.data if issparse(scores) else scores).any():
        raise ValueError("y_score holds NaN; a label without a score cannot be ranked")
    if labels is not None:
        columns = np.asarray(labels, dtype=np.int64)
        true, scores = true[:, columns], scores[:, columns]
    n_right = np.diff(true.indptr)
    counted = np.flatnonzero(n_right)
    if not len(counted):
        return RankingScore(true.shape[1], 0, np.nan, np.nan, np.nan)
    n_right = n_right[counted]
    before, tied = _ranks(true[counted], scores[counted])
    text = np.repeat(np.arange(len(counted)), n_right)
    hits = np.bincount(text, weights=_gain(before, tied, np.ones(k)))
    discounts = 1 / np.log2(np.arange(2, k + 2))
    gained = np.bincount(text, weights=_gain(before, tied, discounts))
    most = np.minimum(n_right, k)
    return RankingScore(
        true.shape[1],
        len(counted),
        recall=float((hits / n_right).mean()),
        rprecision=float((hits / most).mean()),
        ndcg=float((gained / np.cumsum(discounts)[most - 1]).mean()),
    )


def _ranks(true: csr_array, scores: Any) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Count for each right label those of a higher score, and those of its own, itself included."""
    n_texts, n_labels = true.shape
    before = np.empty(true.nnz, dtype=np.int64)
    tied = np.empty(true.nnz, dtype=np.int64)
    at_once = max(1, NUMBERS_AT_ONCE // n_labels)
    for start in range(0, n_texts, at_once):
        block = scores[start : start + at_once]
        block = block.toarray() if issparse(block) else block
        for row, of_text in enumerate(block, start):
            entries = slice(true.indptr[row], true.indptr[row + 1])
            right = of_text[true.indices[entries], None]
            before[entries] = (of_text > right).sum(axis=1)
            tied[entries] = (of_text == right).sum(axis=1)
    return before, tied


def _gain(
    before: npt.NDArray[np.int64], tied: npt.NDArray[np.int64], discounts: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return the mean discount over the ranks that a label may have; 0 behind the last discount."""
    k = len(discounts)
    total = np.concatenate([[0.0], np.cumsum(discounts)])
    return (total[np.minimum(before + tied, k)] - total[np.minimum(before, k)]) / tied
