"""Lexical evidence: which words and word pairs a text has, weighed by a linear classifier."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from sklearn.preprocessing import normalize

from skhimatch.text.sequences import UNKNOWN_ID, TokenSequences

__all__ = ["LexicalClassifier", "NGramWeights", "enough_epochs"]

FEWEST_TEXTS = 2
TEXTS_AT_ONCE = NGRAMS_AT_ONCE = 20_000
# 32 MB of codes and frequencies; beyond them are n-grams of a handful of texts in millions.
MOST_NGRAMS = 2_000_000
LEARNING_RATE = 10.0
BIAS_LEARNING_RATE = 0.1
# Ten passes over up to 10,000 texts, and the fewer the more there are: 5 over 45,000.
MOST_EPOCHS, FEWEST_EPOCHS, TEXTS_FOR_MOST = 10, 3, 10_000
BATCH_SIZE = 32
WARM_UP = 0.1


@dataclass(frozen=True, eq=False)
class NGramWeights:
    """TF-IDF of the words and word pairs that several training texts share.

    A text is a row of unit length, its entries in proportion to (1 + log count) * idf, where
    idf = 1 + log((1 + n) / (1 + texts with it)). Unknown words, and pairs with one, have no entry.

    Attributes
    ----------
    codes : int64 ndarray of shape (F,)
        The n-grams, sorted: ``id`` for a word, ``first * V + second`` for a pair, V the size of the
        vocabulary.
    idf : float32 ndarray of shape (F,)
        Their inverse document frequencies.

    Examples
    --------
    >>> from skhimatch.text.sequences import Vocabulary
    >>> vocabulary = Vocabulary(["wave", "field"])
    >>> texts = TokenSequences.from_lists([[2, 3], [2, 3, 3], [2]], vocabulary)
    >>> ngrams = NGramWeights.learn(texts)
    >>> ngrams.codes  # wave, field, wave field; only one text has field field
    array([ 2,  3, 11])
    >>> ngrams(texts).toarray().round(2)
    array([[0.48, 0.62, 0.62],
           [0.37, 0.8 , 0.47],
           [1.  , 0.  , 0.  ]], dtype=float32)
    """

    codes: NDArray[np.int64]
    idf: NDArray[np.float32]

    @classmethod
    def learn(cls, texts: TokenSequences, most: int | None = None) -> NGramWeights:
        """Choose the n-grams of training texts.

        Parameters
        ----------
        texts : TokenSequences of n texts
            The training texts.
        most : int, optional
            Keep at most so many, those of most texts.

        Returns
        -------
        NGramWeights
            Of the n-grams that at least two texts share.
        """
        found, counts = zip(*(_document_frequencies(part) for part in _parts(texts)), strict=True)
        kept, column = np.unique(np.concatenate(found), return_inverse=True)
        frequencies = np.bincount(column, weights=np.concatenate(counts), minlength=len(kept))
        chosen = np.flatnonzero(frequencies >= FEWEST_TEXTS)
        if most is not None and len(chosen) > most:
            chosen = np.sort(chosen[np.argsort(-frequencies[chosen], kind="stable")[:most]])
        idf = np.log((1 + len(texts)) / (1 + frequencies[chosen])) + 1
        return cls(kept[chosen], idf.astype(np.float32))

    def __call__(self, texts: TokenSequences) -> sp.csr_array:
        """Weigh the n-grams of texts.

        Parameters
        ----------
        texts : TokenSequences of n texts
            Over the vocabulary of `learn`.

        Returns
        -------
        csr_array of shape (n, F), float32
        """
        return sp.vstack([self._weigh(part) for part in _parts(texts)], format="csr")

    def _weigh(self, texts: TokenSequences) -> sp.csr_array:
        rows, codes = _ngrams(texts)
        column = self._columns(codes, len(texts.vocabulary))
        known = column >= 0
        counts = sp.csr_array(
            (np.ones(known.sum(), dtype=np.float32), (rows[known], column[known])),
            shape=(len(texts), len(self.codes)),
        )
        counts.data = (1 + np.log(counts.data)) * self.idf[counts.indices]
        return normalize(counts, copy=False) if len(self.codes) else counts

    def _columns(self, codes: NDArray[np.int64], n_words: int) -> NDArray[np.int32]:
        """Find the columns of n-grams, -1 for those without one."""
        column = np.full(len(codes), -1, dtype=np.int32)
        # Looked up in a table, words take a tenth of the time of a search.
        words = self.codes[self.codes < n_words]
        table = np.full(n_words, -1, dtype=np.int32)
        table[words] = np.arange(len(words))
        single = codes < n_words
        column[single] = table[codes[single]]
        pairs = np.flatnonzero(~single)
        place = np.searchsorted(self.codes, codes[pairs])
        inside = place < len(self.codes)
        pairs, place = pairs[inside], place[inside]
        found = self.codes[place] == codes[pairs]
        column[pairs[found]] = place[found]
        return column


@dataclass(frozen=True, eq=False)
class LexicalClassifier:
    """A linear classifier a label on the n-grams of a text, trained by the squared hinge loss.

    margin_l = w_l · x + b_l, by stochastic gradient descent on the mean over texts of
    sum_l max(0, 1 - y_l margin_l)², y_l = ±1. An n-gram has a weight for a label only where the two meet
    in several training texts, and in more than chance would have it. That, and the small number of
    steps, keep it from overfitting.

    Attributes
    ----------
    ngrams : NGramWeights
        The features x.
    weight : csr_array of shape (F, L), float32
        A row an n-gram, a column a label.
    bias : float32 ndarray of shape (L,)

    Examples
    --------
    >>> from skhimatch.text.sequences import Vocabulary
    >>> vocabulary = Vocabulary(["quark", "cell", "the"])
    >>> texts = TokenSequences.from_lists([[4, 2], [4, 3], [2], [3, 4]] * 8, vocabulary)
    >>> targets = sp.csr_array([[1, 0], [0, 1], [1, 0], [0, 1]] * 8)
    >>> lexical = LexicalClassifier.fit(texts, targets, seed=0)
    >>> (lexical.margins(texts[:4]) > 0).astype(int)
    array([[1, 0],
           [0, 1],
           [1, 0],
           [0, 1]])
    """

    ngrams: NGramWeights
    weight: sp.csr_array
    bias: NDArray[np.float32]

    @classmethod
    def fit(
        cls, texts: TokenSequences, targets: sp.csr_array, *, seed: int, learning_rate: float = LEARNING_RATE
    ) -> LexicalClassifier:
        """Train on texts and their labels.

        Parameters
        ----------
        texts : TokenSequences of n texts
            The training texts.
        targets : csr_array of shape (n, L)
            0/1 targets.
        seed : int
            Shuffles the texts.
        learning_rate : float
            Of the weights, at its highest. The longer the steps, the closer the fit.

        Returns
        -------
        LexicalClassifier
        """
        blank = cls.untrained(texts, targets.shape[1])
        epochs = enough_epochs(len(texts))
        return blank.trained(texts, targets, epochs=epochs, seed=seed, learning_rate=learning_rate)

    @classmethod
    def untrained(cls, texts: TokenSequences, n_labels: int) -> LexicalClassifier:
        """Choose the n-grams, and know nothing of labels.

        Parameters
        ----------
        texts : TokenSequences of n texts
            The training texts.
        n_labels : int
            L.

        Returns
        -------
        LexicalClassifier
            Its margins are all -1, which is right for labels without any text.
        """
        ngrams = NGramWeights.learn(texts, most=MOST_NGRAMS)
        weight = sp.csr_array((len(ngrams.codes), n_labels), dtype=np.float32)
        return cls(ngrams, weight, np.full(n_labels, -1, dtype=np.float32))

    def trained(
        self,
        texts: TokenSequences,
        targets: sp.csr_array,
        *,
        epochs: int,
        seed: int,
        learning_rate: float = LEARNING_RATE,
    ) -> LexicalClassifier:
        """Return a copy, trained for some epochs more.

        Parameters
        ----------
        texts, targets, seed, learning_rate
            As in `fit`.
        epochs : int
            Passes over the texts, the learning rate rising to its highest and decaying to zero.

        Returns
        -------
        LexicalClassifier
            With weights also where n-grams and labels of these texts belong together.
        """
        features = self.ngrams(texts)
        weight, bias = _with_room_for(_associations(features, targets), self.weight), self.bias.copy()
        steps, done = epochs * -(-len(texts) // BATCH_SIZE), 0
        draws = np.random.RandomState(seed)
        for _ in range(epochs):
            order = draws.permutation(len(texts))
            for start in range(0, len(order), BATCH_SIZE):
                rows = order[start : start + BATCH_SIZE]
                used, values = _used_columns(features[rows])
                entries, part = _rows(weight, used)
                signs = 2 * targets[rows].toarray().astype(np.float32) - 1
                margins = (part.T @ values).T + bias
                slopes = -2 * signs * np.maximum(0, 1 - signs * margins) / len(rows)
                # A pair that few texts have needs a step as long as a word of many: no adaptive rates here.
                rate = np.float32(_warm_up_and_decay(done, steps))
                weight.data[entries] -= learning_rate * rate * _product_at(part, values, slopes)
                bias -= BIAS_LEARNING_RATE * rate * slopes.sum(axis=0)
                done += 1
        return LexicalClassifier(self.ngrams, weight, bias)

    def with_labels(self, n_labels: int) -> LexicalClassifier:
        """Return a copy that has more labels, and knows nothing of them.

        Parameters
        ----------
        n_labels : int
            L, of which the first are those of this one.

        Returns
        -------
        LexicalClassifier
        """
        parts = (self.weight.data, self.weight.indices, self.weight.indptr)
        bias = np.full(n_labels, -1, dtype=np.float32)
        bias[: len(self.bias)] = self.bias
        weight = sp.csr_array(parts, shape=(self.weight.shape[0], n_labels))
        return LexicalClassifier(self.ngrams, weight, bias)

    def margins(self, texts: TokenSequences) -> NDArray[np.float32]:
        """Return the margins of all labels.

        Parameters
        ----------
        texts : TokenSequences of n texts

        Returns
        -------
        float32 ndarray of shape (n, L)
        """
        return (self.ngrams(texts) @ self.weight).toarray() + self.bias


def enough_epochs(n_texts: int) -> int:
    """Choose how often to go through n training texts: more of them teach as much in fewer passes.

    Examples
    --------
    >>> enough_epochs(1_000), enough_epochs(45_000), enough_epochs(500_000)
    (10, 5, 3)
    """
    return max(FEWEST_EPOCHS, round(MOST_EPOCHS * min(1.0, (TEXTS_FOR_MOST / max(1, n_texts)) ** 0.5)))


def _parts(texts: TokenSequences) -> Iterator[TokenSequences]:
    """Cut many texts into as many as fit into memory with all their pairs."""
    return (texts[start : start + TEXTS_AT_ONCE] for start in range(0, len(texts), TEXTS_AT_ONCE))


def _document_frequencies(texts: TokenSequences) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """List every n-gram, and how many of the texts have it."""
    rows, codes = _ngrams(texts)
    kept, column = np.unique(codes, return_inverse=True)
    counts = sp.csr_array((np.ones(len(rows)), (rows, column)), shape=(len(texts), len(kept)))
    return kept, np.bincount(counts.indices, minlength=len(kept))


def _ngrams(texts: TokenSequences) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """List every known word and every pair of known words: the text's row, and the code."""
    ids = texts.ids.astype(np.int64)
    rows = np.repeat(np.arange(len(texts), dtype=np.int32), texts.lengths)
    known = ids > UNKNOWN_ID
    pairs = np.flatnonzero(known[:-1] & known[1:] & (rows[:-1] == rows[1:]))
    codes = ids[pairs] * len(texts.vocabulary) + ids[pairs + 1]
    return np.concatenate([rows[known], rows[pairs]]), np.concatenate([ids[known], codes])


def _associations(features: sp.csr_array, targets: sp.csr_array) -> sp.csr_array:
    """Find the n-grams and labels that meet in several texts and in more than chance would have it.

    Returns a csr_array of shape (F, L) with ones where they do.
    """
    n_texts = features.shape[0]
    present = sp.csr_array((np.ones_like(features.data), features.indices, features.indptr), features.shape)
    present, labels = sp.csr_array(present.T), sp.csr_array(targets, dtype=np.float32)
    of_ngram, of_label = np.diff(present.indptr), labels.sum(axis=0)
    parts = [sp.csr_array((0, targets.shape[1]), dtype=np.float32)]
    for start in range(0, features.shape[1], NGRAMS_AT_ONCE):
        together = present[start : start + NGRAMS_AT_ONCE] @ labels
        row = start + np.repeat(np.arange(together.shape[0]), np.diff(together.indptr))
        # In double precision: counts times texts pass what single precision tells apart.
        by_chance = of_ngram[row] * of_label[together.indices].astype(np.float64) / n_texts
        kept = (together.data >= FEWEST_TEXTS) & (together.data >= by_chance)
        together.data = kept.astype(np.float32)
        together.eliminate_zeros()
        parts.append(together)
    return sp.vstack(parts, format="csr")


def _with_room_for(pattern: sp.csr_array, weight: sp.csr_array) -> sp.csr_array:
    """Return a copy of weights of shape (F, L), with zeros where only the pattern has entries."""
    room, weight = pattern.tocoo(), weight.tocoo()
    data = np.concatenate([weight.data, np.zeros_like(room.data)])
    row, column = (np.concatenate(pair) for pair in zip(weight.coords, room.coords, strict=True))
    return sp.coo_array((data, (row, column)), shape=weight.shape).tocsr()


def _used_columns(features: sp.csr_array) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the columns of B rows that hold anything, and these columns, dense, of shape (used, B)."""
    used, column = np.unique(features.indices, return_inverse=True)
    values = np.zeros((len(used), features.shape[0]), dtype=np.float32)
    values[column, np.repeat(np.arange(features.shape[0]), np.diff(features.indptr))] = features.data
    return used, values


def _rows(weight: sp.csr_array, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], sp.csr_array]:
    """Return some rows of a matrix, and where in its data they lie."""
    start, length = weight.indptr[rows], np.diff(weight.indptr)[rows]
    pointers = np.concatenate([[0], np.cumsum(length)])
    entries = np.arange(pointers[-1]) + np.repeat(start - pointers[:-1], length)
    part = (weight.data[entries], weight.indices[entries], pointers)
    return entries, sp.csr_array(part, shape=(len(rows), weight.shape[1]))


def _product_at(
    pattern: sp.csr_array, left: NDArray[np.float32], right: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the entries of left @ right that the pattern has, in its order."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta", UserWarning)
        entries = torch.sparse_csr_tensor(
            torch.from_numpy(pattern.indptr).long(),
            torch.from_numpy(pattern.indices).long(),
            torch.zeros(pattern.nnz),
            pattern.shape,
            check_invariants=False,
        )
    return (
        torch.sparse.sampled_addmm(entries, torch.from_numpy(left), torch.from_numpy(right)).values().numpy()
    )


def _warm_up_and_decay(step: int, steps: int) -> float:
    done = (step + 1) / (steps + 1)
    return min(done / WARM_UP, (1 - done) / (1 - WARM_UP))
