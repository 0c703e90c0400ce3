"""Initial word vectors and label vectors (section 3.2 of the paper)."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from skhimatch.labels.texts import label_words
from skhimatch.text.sequences import PADDING_ID, UNKNOWN_ID, TokenSequences, Vocabulary
from skhimatch.text.word_vectors import WordVectors

__all__ = ["embedding_table", "label_vectors", "label_word_ids"]

# The words from whose vectors a label without a known name starts.
CHARACTERISTIC_WORDS = 10
# The standard deviation of random vectors, if no word has a given vector.
SCALE_WITHOUT_VECTORS = 0.1


def embedding_table(
    vocabulary: Vocabulary, word_vectors: WordVectors, random_state: int | np.random.RandomState | None
) -> NDArray[np.float32]:
    """Return the initial embeddings of a vocabulary of V ids.

    Parameters
    ----------
    vocabulary : Vocabulary
        V - 2 words, behind padding and the unknown word.
    word_vectors : WordVectors
        Of dimension d. If a word has no vector, its lower-case and its capitalised form are looked up.
    random_state : int, RandomState or None
        Draws the rows of all other words from a normal distribution. Its standard deviation is that of
        the vectors that were found, or 0.1 without any.

    Returns
    -------
    ndarray of float32, shape (V, d)
        Row 0, the padding, is zero.

    Examples
    --------
    >>> word_vectors = WordVectors(["wave"], [[1, -1]])
    >>> table = embedding_table(Vocabulary(["tennis", "wave"]), word_vectors, random_state=0)
    >>> table[[0, 3]]
    array([[ 0.,  0.],
           [ 1., -1.]], dtype=float32)
    """
    table = np.zeros((len(vocabulary), word_vectors.dimension), dtype=np.float32)
    known = np.zeros(len(vocabulary), dtype=bool)
    known[PADDING_ID] = True
    for id, word in enumerate(vocabulary.words, start=UNKNOWN_ID + 1):
        vector = word_vectors.find(word)
        if vector is not None:
            table[id], known[id] = vector, True
    scale = table[known][1:].std() if known[1:].any() else SCALE_WITHOUT_VECTORS
    table[~known] = check_random_state(random_state).normal(0, scale, size=((~known).sum(), table.shape[1]))
    return table


def label_word_ids(
    labels: Sequence[str], label_texts: Mapping[str, str | Iterable[str]] | None, vocabulary: Vocabulary
) -> list[list[int]]:
    """Look up the words of labels.

    Parameters
    ----------
    labels : sequence of str, length L
        The names.
    label_texts : mapping of str to str or iterable of str, or None
        The texts that describe labels, in place of their names.
    vocabulary : Vocabulary
        The known words.

    Returns
    -------
    list of L lists of int
        The ids of the known words of each label.

    Examples
    --------
    >>> label_word_ids(["C15", "plane waves"], {"C15": "a wave"}, Vocabulary(["wave", "waves"]))
    [[2], [3]]
    """
    return [
        [
            vocabulary.index[word]
            for word in label_words(label, (label_texts or {}).get(label))
            if word in vocabulary
        ]
        for label in labels
    ]


def label_vectors(
    labels: Sequence[str],
    label_texts: Mapping[str, str | Iterable[str]] | None,
    table: NDArray[np.float32],
    vocabulary: Vocabulary,
    word_vectors: WordVectors,
    sequences: TokenSequences,
    targets: sp.csr_array,
    random_state: int | np.random.RandomState | None,
) -> NDArray[np.float32]:
    """Return the initial vectors of L labels (section 3.2).

    The vector of a label is the mean vector of its words: those of its text in `label_texts`, or else of its
    name. If no word is known, the ten most characteristic words of its training texts are taken, ordered by
    the share of the label's texts with the word times log(n / number of texts with the word). Without these,
    the vector is drawn from a normal distribution with the standard deviation of `table`.

    Parameters
    ----------
    labels : sequence of str, length L
        The names.
    label_texts : mapping of str to str or iterable of str, or None
        The texts that describe labels, if there are any.
    table : ndarray of float32, shape (V, d)
        The embeddings of the vocabulary.
    vocabulary : Vocabulary
        V ids. Its words are looked up if they are not in `word_vectors`.
    word_vectors : WordVectors
        Vectors of dimension d, looked up first.
    sequences : TokenSequences of shape (n,)
        The training texts, in ids of `vocabulary`.
    targets : sparse array, shape (n, L)
        Which text has which label.
    random_state : int, RandomState or None
        Draws the vectors of labels without any known word.

    Returns
    -------
    ndarray of float32, shape (L, d)

    Examples
    --------
    >>> vocabulary = Vocabulary(["wave", "field", "the"])
    >>> table = np.float32([[0, 0], [9, 9], [1, 0], [0, 1], [5, 5]])
    >>> sequences = TokenSequences.from_lists([[2, 3, 4], [4]], vocabulary)
    >>> targets = sp.csr_array([[1, 1], [0, 0]])
    >>> nothing = WordVectors([], np.empty((0, 2)))
    >>> label_vectors(["waves.wave", "c1"], None, table, vocabulary, nothing, sequences, targets, 0)
    array([[1. , 0. ],
           [0.5, 0.5]], dtype=float32)
    """
    label_texts = label_texts or {}
    vectors = np.empty((len(labels), table.shape[1]), dtype=np.float32)
    nameless = []
    for column, label in enumerate(labels):
        known = []
        for word in label_words(label, label_texts.get(label)):
            vector = word_vectors.find(word)
            if vector is None and word in vocabulary:
                vector = table[vocabulary.index[word]]
            if vector is not None:
                known.append(vector)
        if known:
            vectors[column] = np.mean(known, axis=0)
        else:
            nameless.append(column)
    if nameless:
        rng = check_random_state(random_state)
        scale = table[UNKNOWN_ID:].std()
        characteristic = _characteristic_words(sequences, targets[:, nameless])
        for column, ids in zip(nameless, characteristic, strict=True):
            vectors[column] = table[ids].mean(axis=0) if ids.size else rng.normal(0, scale, table.shape[1])
    return vectors


def _characteristic_words(sequences: TokenSequences, targets: sp.csr_array) -> list[np.ndarray]:
    """Rank the words of each label, a column of targets; ids of at most ten words a label."""
    n_texts, n_words = len(sequences), len(sequences.vocabulary)
    # A copy, because summing the duplicates sorts the ids in place.
    flat = (np.ones(sequences.ids.size), sequences.ids, sequences.offsets)
    occurs = sp.csr_array(flat, shape=(n_texts, n_words), copy=True)
    occurs.sum_duplicates()
    occurs.data[:] = 1
    frequency: NDArray[np.float64] = occurs.sum(axis=0)
    weight = np.log(n_texts / np.maximum(frequency, 1))
    weight[: UNKNOWN_ID + 1] = 0
    # Dividing by the number of the label's texts would not change the order of its words.
    scores = sp.csr_array(targets.T.astype(np.float64) @ occurs).multiply(weight).tocsr()
    ranked = []
    for row in range(scores.shape[0]):
        inside = slice(scores.indptr[row], scores.indptr[row + 1])
        ids, score = scores.indices[inside], scores.data[inside]
        order = np.lexsort((ids, -score))[:CHARACTERISTIC_WORDS]
        ranked.append(ids[order[score[order] > 0]])
    return ranked
