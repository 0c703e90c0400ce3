"""Words and word pairs of texts, and how often texts have them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from skhimatch.labels.rows import index_type
from skhimatch.scores.state import ScorerState
from skhimatch.scores.tfidf import inverse_document_frequencies, weighted_counts
from skhimatch.storage.arrays import of_shape, positions
from skhimatch.storage.pickles import FieldsPickled
from skhimatch.text.key_table import KeyTable
from skhimatch.text.sequences import UNKNOWN_ID, TokenSequences, Vocabulary
from skhimatch.text.words import rare_words_count

__all__ = ["NGramFeatures"]

# An n-gram needs so many texts.
MIN_TEXTS = 2
# Texts that are handled at a time, to bound the memory.
CHUNK_SIZE = 20_000
# 32 MB of codes and frequencies. Of millions of texts, the n-grams beyond are in a handful of texts each.
MAX_NGRAMS = 2_000_000
# A matrix is brought into the order of its columns, and back, if it has at least one entry for so many
# columns. This sorts its rows by counting, which takes time for each column, too. With 122,560 n-grams it is
# faster than sorting each row from about 70 abstracts on, and takes a third of the time for 1,000.
COLUMNS_PER_ENTRY = 8


@dataclass(frozen=True, eq=False)
class NGramFeatures(FieldsPickled):
    """TF-IDF of words and word pairs: those of several training texts, or all if these have few words.

    A text is a row of length 1. Its entries are proportional to (1 + log count) * idf, where
    idf = 1 + log((1 + n) / (1 + number of texts with the n-gram)). Unknown words, and pairs with an
    unknown word, have no entry.

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
    >>> texts = TokenSequences.from_lists([[2, 3], [2, 3], [2]], vocabulary)
    >>> ngrams = NGramFeatures.learn(texts)
    >>> ngrams.codes  # wave, field, wave field
    array([ 2,  3, 11])
    >>> ngrams(texts).toarray().round(2)
    array([[0.48, 0.62, 0.62],
           [0.48, 0.62, 0.62],
           [1.  , 0.  , 0.  ]], dtype=float32)
    """

    codes: NDArray[np.int64]
    idf: NDArray[np.float32]

    def readable(self, columns: Iterable[int], vocabulary: Vocabulary) -> list[str]:
        """Return n-grams as words.

        Parameters
        ----------
        columns : iterable of int
            Columns of the TF-IDF.
        vocabulary : Vocabulary
            That of the training texts.

        Returns
        -------
        list of str
            A pair is two words with a space between them.
        """
        words = (*vocabulary.special_words, *vocabulary.words)
        ids = (divmod(int(self.codes[column]), len(vocabulary)) for column in columns)
        return [words[second] if first == 0 else f"{words[first]} {words[second]}" for first, second in ids]

    @classmethod
    def learn(cls, texts: TokenSequences, max_ngrams: int | None = None) -> NGramFeatures:
        """Choose the n-grams of training texts.

        Parameters
        ----------
        texts : TokenSequences of n texts
            The training texts.
        max_ngrams : int, optional
            Keep at most this many n-grams, those that are in most texts; by default two millions.

        Returns
        -------
        NGramFeatures
            With the n-grams that at least two texts share, or with all if the texts have few words.
        """
        found, counts = zip(*(_document_frequencies(chunk) for chunk in _chunks(texts)), strict=True)
        kept, column = np.unique(np.concatenate(found), return_inverse=True)
        frequencies = np.bincount(column, weights=np.concatenate(counts), minlength=len(kept))
        chosen = np.flatnonzero(frequencies >= (1 if rare_words_count(len(texts.ids)) else MIN_TEXTS))
        max_ngrams = MAX_NGRAMS if max_ngrams is None else max_ngrams
        if len(chosen) > max_ngrams:
            chosen = np.sort(chosen[np.argsort(-frequencies[chosen], kind="stable")[:max_ngrams]])
        return cls(kept[chosen], inverse_document_frequencies(frequencies[chosen], len(texts)))

    def __len__(self) -> int:
        """F."""
        return len(self.codes)

    def state(self) -> ScorerState:
        """Return what `from_state` rebuilds the features from.

        Returns
        -------
        ScorerState
        """
        return ScorerState({}, {"codes": self.codes, "idf": self.idf})

    @classmethod
    def from_state(cls, state: ScorerState) -> NGramFeatures:
        """Rebuild the features from their `state`.

        Parameters
        ----------
        state : ScorerState
            As `state` returned it.

        Returns
        -------
        NGramFeatures
        """
        codes = positions(state.arrays, "codes", np.iinfo(np.int64).max)
        return cls(codes, of_shape(state.arrays, "idf", codes.shape))

    def __call__(self, texts: TokenSequences) -> sp.csr_array:
        """Return the TF-IDF of texts.

        Parameters
        ----------
        texts : TokenSequences of n texts
            Over the vocabulary of `learn`.

        Returns
        -------
        csr_array of shape (n, F), float32
        """
        return weighted_counts(self.counts(texts), self.idf)

    def counts(self, texts: TokenSequences) -> sp.csr_array:
        """Return how often each text has each n-gram.

        Parameters
        ----------
        texts : TokenSequences of n texts
            Over the vocabulary of `learn`.

        Returns
        -------
        csr_array of shape (n, F), float32
        """
        parts = [self._counts(chunk) for chunk in _chunks(texts)]
        return parts[0] if len(parts) == 1 else sp.vstack(parts, format="csr")

    def _counts(self, texts: TokenSequences) -> sp.csr_array:
        # Two columns for each token: that of the word, and that of its pair with the next word.
        of_token = np.full((len(texts.ids), 2), -1, dtype=np.int32)
        of_token[:, 0] = self._columns_of_words(len(texts.vocabulary))[texts.ids]
        pairs, codes = _pairs(texts)
        of_token[pairs, 1] = self._table.find(codes)
        columns = of_token.ravel()
        known = np.flatnonzero(columns >= 0)
        offsets = np.searchsorted(known, 2 * texts.offsets).astype(index_type(len(known)))
        counts = sp.csr_array(
            (np.ones(len(known), dtype=np.float32), columns[known], offsets),
            shape=(len(texts), len(self.codes)),
        )
        if len(known) * COLUMNS_PER_ENTRY > len(self.codes):
            counts = counts.tocsc().tocsr()
        # It sorts each row first, unless the rows are sorted.
        counts.sum_duplicates()
        return counts

    def _columns_of_words(self, n_words: int) -> NDArray[np.int32]:
        """Return the column of each word of the vocabulary, -1 for those without one."""
        if n_words not in self._columns_by_size:
            words = self.codes[: np.searchsorted(self.codes, n_words)]
            columns = np.full(n_words, -1, dtype=np.int32)
            columns[words] = np.arange(len(words))
            self._columns_by_size[n_words] = columns
        return self._columns_by_size[n_words]

    @cached_property
    def _columns_by_size(self) -> dict[int, NDArray[np.int32]]:
        """The columns of words, by the size of the vocabulary: for the one that was learned from."""
        return {}

    @cached_property
    def _table(self) -> KeyTable:
        return KeyTable(self.codes.astype(np.int64, copy=False))


def _chunks(texts: TokenSequences) -> Iterator[TokenSequences]:
    """Cut texts into chunks whose word pairs fit into memory."""
    return (texts[start : start + CHUNK_SIZE] for start in range(0, len(texts), CHUNK_SIZE))


def _document_frequencies(texts: TokenSequences) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the n-grams of texts, and how many texts have each."""
    rows, codes = _ngrams(texts)
    kept, column = np.unique(codes, return_inverse=True)
    counts = sp.csr_array((np.ones(len(rows)), (rows, column)), shape=(len(texts), len(kept)))
    return kept, np.bincount(counts.indices, minlength=len(kept))


def _ngrams(texts: TokenSequences) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return the row and the code of every known word and of every pair of known words."""
    rows = np.repeat(np.arange(len(texts), dtype=np.int32), texts.lengths)
    known = texts.ids > UNKNOWN_ID
    pairs, codes = _pairs(texts)
    return np.concatenate([rows[known], rows[pairs]]), np.concatenate([texts.ids[known], codes])


def _pairs(texts: TokenSequences) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where every pair of known words begins, and its code."""
    known = texts.ids > UNKNOWN_ID
    paired = known[:-1] & known[1:]
    # The last word of a text and the first of the next one are no pair. Empty texts have neither.
    ends = texts.offsets[1:-1]
    paired[ends[(ends > 0) & (ends < len(known))] - 1] = False
    pairs = np.flatnonzero(paired)
    ids = texts.ids.astype(np.int64)
    return pairs, ids[pairs] * len(texts.vocabulary) + ids[pairs + 1]
