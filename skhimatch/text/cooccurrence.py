"""Word vectors learned from the training texts: words with similar contexts get similar vectors."""

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.utils.extmath import randomized_svd

from skhimatch.text.sequences import UNKNOWN_ID, TokenSequences
from skhimatch.text.word_vectors import WordVectors

__all__ = ["cooccurrence_vectors"]

# Maximum distance, in tokens, of words that co-occur.
WINDOW = 5
# Exponent of the word counts, as in word2vec. It lowers the mutual information of rare words.
SMOOTHING = 0.75
# Root mean square of the components of a vector, about that of GloVe vectors.
SCALE = 0.35
# Maximum number of tokens that are counted. More tokens take longer and hardly change the vectors.
MAX_TOKENS = 5_000_000


def cooccurrence_vectors(
    texts: TokenSequences, dimension: int, random_state: int | np.random.RandomState | None
) -> WordVectors:
    """Learn vectors for the words of texts.

    Words at a distance of at most five tokens co-occur. A pair at distance k counts 1 / k. The vectors
    come from a truncated singular value decomposition of the positive pointwise mutual information
    max(0, log P(v | w) / P(v)): the left singular vectors, each times the root of its singular value.

    Parameters
    ----------
    texts : TokenSequences of n texts
        The texts. If they have more than five million tokens, every k-th text is taken.
    dimension : int
        The length d of a vector. With fewer than d words, the other components are zero.
    random_state : int, RandomState or None
        The seed or rng of the decomposition.

    Returns
    -------
    WordVectors
        The vectors of the words that co-occur with others, scaled to a median norm of 0.35 sqrt(d).

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
    information = _positive_information(_counts(_every_kth(texts)))
    found = np.zeros((len(words), dimension), dtype=np.float32)
    rank = min(dimension, len(words))
    if information.nnz:
        left, singular, _ = randomized_svd(information, rank, n_iter=3, random_state=random_state)
        found[:, :rank] = left * np.sqrt(singular)
    lengths = np.linalg.norm(found, axis=1)
    # Vectors that are only rounding errors are dropped.
    known = np.flatnonzero(lengths > 1e-3 * lengths.max(initial=0))
    if len(known):
        found *= SCALE * np.sqrt(dimension) / np.median(lengths[known])
    return WordVectors([words[position] for position in known], found[known])


def _every_kth(texts: TokenSequences) -> TokenSequences:
    """Take every k-th text if there are too many tokens."""
    return texts[:: max(1, -(-len(texts.ids) // MAX_TOKENS))]


def _counts(texts: TokenSequences) -> sp.csr_array:
    """Count co-occurrences in both directions: csr_array of shape (V - 2, V - 2)."""
    size = len(texts.vocabulary) - UNKNOWN_ID - 1
    words = texts.ids - UNKNOWN_ID - 1
    row = np.repeat(np.arange(len(texts)), texts.lengths)
    counts = sp.csr_array((size, size), dtype=np.float32)
    for distance in range(1, WINDOW + 1):
        first, second = words[:-distance], words[distance:]
        kept = (row[:-distance] == row[distance:]) & (first >= 0) & (second >= 0)
        weight = np.full(kept.sum(), 1 / distance, dtype=np.float32)
        counts = counts + sp.csr_array((weight, (first[kept], second[kept])), shape=(size, size))
    return counts + counts.T


def _positive_information(counts: sp.csr_array) -> sp.csr_array:
    """Return max(0, log P(v | w) / P(v)) with smoothed P(v), in the shape of the counts."""
    if not counts.nnz:
        return counts
    word_counts: NDArray[np.float32] = counts.sum(axis=1)
    smoothed = word_counts**SMOOTHING
    smoothed /= smoothed.sum()
    pairs = counts.tocoo()
    row, column = pairs.row, pairs.col
    information = np.log(pairs.data / (word_counts[row] * smoothed[column]))
    kept = information > 0
    return sp.csr_array((information[kept].astype(np.float32), (row[kept], column[kept])), shape=counts.shape)
