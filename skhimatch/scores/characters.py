"""The character n-grams of a text's words: for compounds, inflections, misspellings and unknown words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.feature_extraction.text import CountVectorizer

from skhimatch.scores.state import ScorerState
from skhimatch.scores.tfidf import inverse_document_frequencies, weighted_counts
from skhimatch.storage.arrays import of_shape
from skhimatch.storage.values import check, from_json
from skhimatch.text.sequences import UNKNOWN_ID, TokenSequences, Vocabulary
from skhimatch.text.words import rare_words_count

__all__ = ["CharacterFeatures", "are_affordable"]

# Lengths of the n-grams. From 2 to 5 was no better on four corpora, and takes a third more time.
LENGTHS = (3, 5)
# An n-gram needs so many texts.
MIN_TEXTS = 3
# Characters are used up to this number of entries, half a gigabyte, and up to this number of entries times
# labels, some 30 seconds of training.
MAX_ENTRIES, MAX_MULTIPLICATIONS = 40_000_000, 1_000_000_000


@dataclass(frozen=True, eq=False)
class CharacterFeatures:
    """TF-IDF of character n-grams: those of several training texts, or all if these have few words.

    An n-gram has three to five characters of one word; the ends of words count as spaces. A text is a row of
    length 1. Its entries are proportional to (1 + log count) * idf, where
    idf = 1 + log((1 + n) / (1 + number of texts with the n-gram)). Words outside of the vocabulary count,
    too, if the texts know them.

    Attributes
    ----------
    ngrams : tuple of F str
        Sorted.
    idf : float32 ndarray of shape (F,)
        Their inverse document frequencies.

    Examples
    --------
    >>> from skhimatch.text.sequences import Vocabulary
    >>> texts = TokenSequences.from_lists([[2], [2], [2]], Vocabulary(["wave"]))
    >>> CharacterFeatures.learn(texts).ngrams
    (' wa', ' wav', ' wave', 'ave', 'ave ', 've ', 'wav', 'wave', 'wave ')
    """

    ngrams: tuple[str, ...]
    idf: NDArray[np.float32]

    @classmethod
    def learn(cls, texts: TokenSequences) -> CharacterFeatures:
        """Choose the n-grams of training texts.

        Parameters
        ----------
        texts : TokenSequences of n texts
            The training texts.

        Returns
        -------
        CharacterFeatures
            With the n-grams that at least three texts share, or with all if the texts have few words.
        """
        index: dict[str, int] = {}
        counts = _counts(texts, lambda ngram: index.setdefault(ngram, len(index)), lambda: len(index))
        frequencies = np.bincount(counts.indices, minlength=len(index))
        names = np.array(list(index), dtype=object)
        chosen = np.flatnonzero(frequencies >= (1 if rare_words_count(len(texts.ids)) else MIN_TEXTS))
        chosen = chosen[np.argsort(names[chosen], kind="stable")]
        return cls(tuple(names[chosen]), inverse_document_frequencies(frequencies[chosen], len(texts)))

    def __len__(self) -> int:
        """F."""
        return len(self.ngrams)

    def readable(self, columns: Iterable[int], vocabulary: Vocabulary) -> list[str]:
        """Return n-grams as they are stored.

        Parameters
        ----------
        columns : iterable of int
            Columns of the TF-IDF.
        vocabulary : Vocabulary
            Not used.

        Returns
        -------
        list of str
            A space is an end of a word.
        """
        return [self.ngrams[column] for column in columns]

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
        return _counts(texts, self._index.get, lambda: len(self))

    @cached_property
    def _index(self) -> Mapping[str, int]:
        return {ngram: column for column, ngram in enumerate(self.ngrams)}

    def state(self) -> ScorerState:
        """Return what `from_state` rebuilds the features from.

        Returns
        -------
        ScorerState
        """
        return ScorerState({"ngrams": self.ngrams}, {"idf": self.idf})

    @classmethod
    def from_state(cls, state: ScorerState) -> CharacterFeatures:
        """Rebuild the features from their `state`.

        Parameters
        ----------
        state : ScorerState
            As `state` returned it.

        Returns
        -------
        CharacterFeatures
        """
        ngrams = from_json(tuple[str, ...], state.values["ngrams"], "ngrams")
        check("ngrams", len(set(ngrams)) == len(ngrams), "holds one of them twice")
        return cls(ngrams, of_shape(state.arrays, "idf", (len(ngrams),)))


def are_affordable(texts: TokenSequences, n_labels: int) -> bool:
    """Tell whether training on the character n-grams of texts takes seconds, not minutes.

    Parameters
    ----------
    texts : TokenSequences of n texts
        The training texts.
    n_labels : int
        L.

    Returns
    -------
    bool
    """
    words, counts = _words(texts)
    # A word of m characters has 3 m - 3 n-grams.
    of_word = np.array([max(1, 3 * len(word) - 3) for word in words], dtype=np.int64)
    entries = int(of_word[counts.indices].sum()) if counts.nnz else 0
    return entries <= MAX_ENTRIES and entries * n_labels <= MAX_MULTIPLICATIONS


def _words(texts: TokenSequences) -> tuple[list[str], sp.csr_array]:
    """Return W different words of texts, and how often each text has each: csr_array of shape (n, W)."""
    rows = np.repeat(np.arange(len(texts)), texts.lengths)
    known = texts.ids > UNKNOWN_ID
    ids, column = np.unique(texts.ids[known], return_inverse=True)
    names = texts.vocabulary.words
    words = [names[id - UNKNOWN_ID - 1] for id in ids.tolist()]
    rows_of, columns = [rows[known]], [column]
    if texts.unknown_words is not None:
        others, column = np.unique(texts.unknown_words, return_inverse=True)
        rows_of.append(rows[texts.ids == UNKNOWN_ID])
        columns.append(len(words) + column)
        words += others.tolist()
    places = np.concatenate(rows_of), np.concatenate(columns)
    ones = np.ones(len(places[0]), dtype=np.float32)
    return words, sp.csr_array((ones, places), shape=(len(texts), len(words)))


def _counts(
    texts: TokenSequences, find: Callable[[str], int | None], width: Callable[[], int]
) -> sp.csr_array:
    """Count the n-grams in each text: csr_array of shape (n, width), float32."""
    words, in_texts = _words(texts)
    split = CountVectorizer(analyzer="char_wb", ngram_range=LENGTHS, lowercase=False).build_analyzer()
    columns, pointers = [], [0]
    for word in words:
        columns += [column for ngram in split(word) if (column := find(ngram)) is not None]
        pointers.append(len(columns))
    ones = np.ones(len(columns), dtype=np.float32)
    of_words = sp.csr_array((ones, np.array(columns, dtype=np.int32), pointers), (len(words), width()))
    counts = sp.csr_array(in_texts @ of_words)
    counts.sort_indices()
    return counts
