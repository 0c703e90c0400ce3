"""Training of linear classifiers on n-grams by stochastic gradient descent."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from skhimatch.labels.rows import positions_of_rows
from skhimatch.labels.weights import TextWeights
from skhimatch.scores.sparse_products import product_at, subtract_at, used_columns

__all__ = ["descend"]

# A pair of an n-gram and a label needs so many texts.
MIN_TEXTS = 2
# N-grams that are handled at a time, to bound the memory.
CHUNK_SIZE = 20_000
BIAS_LEARNING_RATE = 0.1
BATCH_SIZE = 32
# Share of the steps in which the learning rate rises.
WARM_UP = 0.1


def descend(
    weight: sp.csr_array,
    bias: NDArray[np.float32],
    features: sp.csr_array,
    targets: sp.csr_array,
    *,
    epochs: int,
    seed: int,
    learning_rate: float,
    weights: TextWeights | None = None,
) -> tuple[sp.csr_array, NDArray[np.float32]]:
    """Train some more epochs on the squared hinge loss.

    Parameters
    ----------
    weight : csr_array of shape (F, L), float32
        The weights before. They and `bias` are not changed.
    bias : float32 ndarray of shape (L,)
        The biases before.
    features : csr_array of shape (n, F), float32
        The features of the training texts.
    targets : csr_array of shape (n, L)
        Their 0/1 targets.
    epochs : int
        Passes over the texts. The learning rate rises to its highest value, then decays to zero.
    seed : int
        Shuffles the texts.
    learning_rate : float
        The highest learning rate of the weights.
    weights : TextWeights, optional
        The loss of a batch is the mean that they weight.

    Returns
    -------
    weight : csr_array of shape (F, L), float32
        It also has entries for n-grams and labels that occur together in several of these texts, more often
        than chance predicts.
    bias : float32 ndarray of shape (L,)
        The biases.
    """
    n_texts = features.shape[0]
    weight, bias = _with_entries_at(_associations(features, targets), weight), bias.copy()
    steps, done = epochs * -(-n_texts // BATCH_SIZE), 0
    rng = np.random.RandomState(seed)
    for _ in range(epochs):
        order = rng.permutation(n_texts)
        for start in range(0, len(order), BATCH_SIZE):
            rows = order[start : start + BATCH_SIZE]
            used, values = used_columns(features[rows])
            part = weight[used]
            # No adaptive learning rates: a rare pair needs steps as long as those of a frequent word.
            rate = np.float32(_warm_up_and_decay(done, steps))
            wanted = targets[rows].toarray().astype(np.float32)
            signs = 2 * wanted - 1
            margins = (part.T @ values).T + bias
            slopes = -2 * signs * np.maximum(0, 1 - signs * margins)
            if weights is None:
                slopes /= len(rows)
            else:
                of_batch = weights.pick(rows)
                total = np.float32(of_batch.texts.sum())
                # The step of a heavy text ends at its margin, as if it came several times in a row.
                longest = total / np.float32(2 * learning_rate * rate)
                slopes *= np.minimum(of_batch.in_loss(wanted), max(longest, total / len(rows)))
                slopes /= total
            entries, _ = positions_of_rows(weight.indptr, used)
            subtract_at(weight.data, entries, product_at(part, values, slopes), float(learning_rate * rate))
            bias -= BIAS_LEARNING_RATE * rate * slopes.sum(axis=0)
            done += 1
    return weight, bias


def _associations(features: sp.csr_array, targets: sp.csr_array) -> sp.csr_array:
    """Find the pairs of an n-gram and a label that are together in several texts, more often than by chance.

    Returns a csr_array of shape (F, L), with ones at these pairs.
    """
    n_texts = features.shape[0]
    present = sp.csr_array((np.ones_like(features.data), features.indices, features.indptr), features.shape)
    present, labels = sp.csr_array(present.T), sp.csr_array(targets, dtype=np.float32)
    of_ngram, of_label = np.diff(present.indptr), labels.sum(axis=0)
    parts = [sp.csr_array((0, targets.shape[1]), dtype=np.float32)]
    for start in range(0, features.shape[1], CHUNK_SIZE):
        together = present[start : start + CHUNK_SIZE] @ labels
        row = start + np.repeat(np.arange(together.shape[0]), np.diff(together.indptr))
        # In double precision: the products are too large for exact single precision.
        by_chance = of_ngram[row] * of_label[together.indices].astype(np.float64) / n_texts
        kept = (together.data >= MIN_TEXTS) & (together.data >= by_chance)
        together.data = kept.astype(np.float32)
        together.eliminate_zeros()
        parts.append(together)
    return sp.vstack(parts, format="csr")


def _with_entries_at(pattern: sp.csr_array, weight: sp.csr_array) -> sp.csr_array:
    """Return a copy of weights of shape (F, L), with stored zeros where only the pattern has entries."""
    added, weight = pattern.tocoo(), weight.tocoo()
    data = np.concatenate([weight.data, np.zeros_like(added.data)])
    row, column = np.concatenate([weight.row, added.row]), np.concatenate([weight.col, added.col])
    return sp.coo_array((data, (row, column)), shape=weight.shape).tocsr()


def _warm_up_and_decay(step: int, steps: int) -> float:
    done = (step + 1) / (steps + 1)
    return min(done / WARM_UP, (1 - done) / (1 - WARM_UP))
