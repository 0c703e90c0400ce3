"""Word vectors from the training texts themselves: words that keep the same company lie close together."""

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.utils.extmath import randomized_svd

from skhimatch.text.sequences import UNKNOWN_ID, TokenSequences
from skhimatch.text.word_vectors import WordVectors

__all__ = ["cooccurrence_vectors"]

WINDOW = 5
# Rare words meet anything more often than chance; as in word2vec, a power below one counts them down.
SMOOTHING = 0.75
# Root mean square of the numbers of a vector: as wide as GloVe's.
SCALE = 0.35
# More tell the same story at a higher price.
MOST_TOKENS = 5_000_000


def cooccurrence_vectors(
    texts: TokenSequences, dimension: int, random_state: int | np.random.RandomState | None
) -> WordVectors:
    """Learn vectors for the words of texts.

    Words at most five apart co-occur, the nearer the more: a pair at distance k counts 1 / k. Of
    max(0, log P(v | w) / P(v)), the positive pointwise mutual information, the singular vectors of the
    largest singular values s are taken, each times sqrt(s).

    Parameters
    ----------
    texts : TokenSequences of n texts
        Some of them, spread evenly, where there are millions of words.
    dimension : int
        The length d of a vector; behind as many numbers as there are words it is zero.
    random_state : int, RandomState or None
        Starts the search for the singular vectors.

    Returns
    -------
    WordVectors
        Of the words that occur near others, scaled to a median length of 0.35 sqrt(d).

    Examples
    --------
    >>> from skhimatch.text.sequences import Vocabulary
    >>> vocabulary = Vocabulary(["red", "blue", "car", "house"])
    >>> texts = TokenSequences.from_lists([[2, 4], [3, 4], [2, 5], [3, 5]], vocabulary)
    >>> vectors = cooccurrence_vectors(texts, 2, random_state=0)
    >>> bool(np.allclose(vectors["red"], vectors["blue"], atol=1e-4))
    True
    """
    words = texts.vocabulary.words
    information = _positive_information(_counts(_spread(texts)))
    found = np.zeros((len(words), dimension), dtype=np.float32)
    rank = min(dimension, len(words))
    if information.nnz:
        left, singular, _ = randomized_svd(information, rank, n_iter=3, random_state=random_state)
        found[:, :rank] = left * np.sqrt(singular)
    lengths = np.linalg.norm(found, axis=1)
    # What the leading vectors leave of an isolated pair of words is rounding, and no place to start from.
    known = np.flatnonzero(lengths > 1e-3 * lengths.max(initial=0))
    if len(known):
        found *= SCALE * np.sqrt(dimension) / np.median(lengths[known])
    return WordVectors([words[position] for position in known], found[known])


def _spread(texts: TokenSequences) -> TokenSequences:
    """Take every k-th text, where all of them have too many words."""
    return texts[:: max(1, -(-len(texts.ids) // MOST_TOKENS))]


def _counts(texts: TokenSequences) -> sp.csr_array:
    """Count which words stand near which, in both directions: csr_array of shape (V - 2, V - 2)."""
    size = len(texts.vocabulary) - UNKNOWN_ID - 1
    words = texts.ids - UNKNOWN_ID - 1
    row = np.repeat(np.arange(len(texts)), texts.lengths)
    counts = sp.csr_array((size, size), dtype=np.float32)
    for apart in range(1, WINDOW + 1):
        first, second = words[:-apart], words[apart:]
        kept = (row[:-apart] == row[apart:]) & (first >= 0) & (second >= 0)
        weight = np.full(kept.sum(), 1 / apart, dtype=np.float32)
        counts = counts + sp.csr_array((weight, (first[kept], second[kept])), shape=(size, size))
    return counts + counts.T


def _positive_information(counts: sp.csr_array) -> sp.csr_array:
    """Return max(0, log P(v | w) / P(v)), P(v) smoothed, of the same shape as the counts."""
    if not counts.nnz:
        return counts
    of_word: NDArray[np.float32] = counts.sum(axis=1)
    smoothed = of_word**SMOOTHING
    smoothed /= smoothed.sum()
    pairs = counts.tocoo()
    row, column = pairs.coords
    information = np.log(pairs.data / (of_word[row] * smoothed[column]))
    kept = information > 0
    return sp.csr_array((information[kept].astype(np.float32), (row[kept], column[kept])), shape=counts.shape)
