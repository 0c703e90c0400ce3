"""How much of a label's name a text contains: a score that needs no training text of the label."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.labels.rows import index_type
from skhimatch.labels.texts import label_words
from skhimatch.scores.state import ScorerState, sparse_from_arrays, sparse_to_arrays
from skhimatch.storage.arrays import of_shape, positions
from skhimatch.storage.pickles import FieldsPickled
from skhimatch.storage.values import check
from skhimatch.text.sequences import UNKNOWN_ID, Texts, TokenSequences, Vocabulary, words_of

__all__ = ["LabelNames", "PrefixStatistics"]

# Words with the same first letters are mostly forms of one word, in many languages.
PREFIX_LENGTH = 6
# A prefix that a text has three times has half of the highest strength.
HALF_COUNT = 3
# Added to each variance, so that names of very rare words do not get scores without bounds.
MIN_VARIANCE = 0.002
# Numbers in a chunk of shares: 2 MiB, which fit into the processor's cache. For 1,000 texts and 4,271 names,
# chunks of 16 MiB take 1.6 times as long.
CHUNK_NUMBERS = 2**19
# Texts in a chunk of counts, to bound the memory.
CHUNK_SIZE = 10_000


@dataclass(frozen=True, eq=False)
class PrefixStatistics:
    """How often training texts have words with the same prefix, the first six letters.

    If a text has a prefix c times, the strength of the prefix in the text is c / (c + 3).

    Attributes
    ----------
    prefix_of_word : int32 ndarray of shape (V,)
        The id of each word's prefix. Padding and unknown words have the prefix id 0.
    idf : float32 ndarray of shape (S,)
        log((n + 1) / (number of texts with the prefix + 1)). For prefix 0 as if no text had it.
    mean, variance : float32 ndarrays of shape (S,)
        Mean and variance of the strengths over the n training texts; 0 for prefix 0.

    Examples
    --------
    >>> vocabulary = Vocabulary(["fishing", "vessel", "vessels"])
    >>> texts = TokenSequences.from_lists([[2, 3, 3, 4], [4]], vocabulary)
    >>> prefixes = PrefixStatistics.learn(texts)
    >>> prefixes.prefix_of_word
    array([0, 0, 1, 2, 2], dtype=int32)
    >>> prefixes.mean  # vessel, vessels: 3 / (3 + 3) and 1 / (1 + 3)
    array([0.   , 0.125, 0.375], dtype=float32)
    """

    prefix_of_word: NDArray[np.int32]
    idf: NDArray[np.float32]
    mean: NDArray[np.float32]
    variance: NDArray[np.float32]

    @classmethod
    def learn(cls, texts: TokenSequences) -> PrefixStatistics:
        """Count prefixes in n training texts."""
        numbers: dict[str, int] = {}
        prefix_of_word = np.zeros(len(texts.vocabulary), dtype=np.int32)
        for word_id, word in enumerate(texts.vocabulary.words, start=UNKNOWN_ID + 1):
            prefix_of_word[word_id] = 1 + numbers.setdefault(_prefix(word), len(numbers))
        n_prefixes = 1 + len(numbers)
        zeros = np.zeros(n_prefixes, dtype=np.float32)
        prefixes = cls(prefix_of_word, zeros, zeros, zeros)
        texts_with, total, squares = np.zeros(n_prefixes), np.zeros(n_prefixes), np.zeros(n_prefixes)
        for start in range(0, len(texts), CHUNK_SIZE):
            strengths = prefixes.strengths(texts[start : start + CHUNK_SIZE])
            texts_with += np.bincount(strengths.indices, minlength=n_prefixes)
            total += np.bincount(strengths.indices, strengths.data, minlength=n_prefixes)
            squares += np.bincount(strengths.indices, strengths.data**2, minlength=n_prefixes)
        mean = total / max(1, len(texts))
        return cls(
            prefix_of_word,
            np.log((len(texts) + 1) / (texts_with + 1)).astype(np.float32),
            mean.astype(np.float32),
            (squares / max(1, len(texts)) - mean**2).astype(np.float32),
        )

    def strengths(self, texts: TokenSequences) -> sp.csr_array:
        """Return the strength of each prefix in n texts, csr_array of shape (n, S), float32."""
        prefixes = self.prefix_of_word[texts.ids]
        kept = np.flatnonzero(prefixes)
        offsets = np.searchsorted(kept, texts.offsets).astype(index_type(len(kept)))
        counts = sp.csr_array(
            (np.ones(len(kept), dtype=np.float32), prefixes[kept], offsets), shape=(len(texts), len(self.idf))
        )
        counts.sum_duplicates()
        counts.data /= counts.data + HALF_COUNT
        return counts

    def ids_by_prefix(self, vocabulary: Vocabulary) -> dict[str, int]:
        """Return the id of each prefix that a word of the vocabulary has."""
        return {
            _prefix(word): int(self.prefix_of_word[word_id])
            for word_id, word in enumerate(vocabulary.words, start=UNKNOWN_ID + 1)
        }


class _Tables(NamedTuple):
    """What all scores need, about the W prefixes that occur in a name."""

    # The place of each word's prefix among them, W if it is in no name: int64 ndarray of shape (V,).
    place_of_word: NDArray[np.int64]
    # The weights of each name, each row in ascending order: csr_array of shape (N, W).
    names: sp.csr_array
    # The labels with a name, and the first name of each.
    labels: NDArray[np.int64]
    first: NDArray[np.int64]
    # The labels that get scores of neighbours, and the rows of `neighbours`.
    nameless: NDArray[np.int64]
    neighbours: sp.csr_array


@dataclass(frozen=True, eq=False)
class LabelNames(FieldsPickled):
    """Scores labels by how much of their names a text contains.

    The share of a name in a text is share = sum_s w_s strength_s over the prefixes s of the name, with
    w_s = idf_s / sum of the name's idf. The score of a label is that of its best name: the number of
    standard deviations of the share above its mean over the training texts,

    score = max over names of (share - mean) / sqrt(variance + 0.002).

    The variance is computed as if prefixes were independent. If no word of a label's names is known, its
    score is the mean score of its parents and children with a known name, or 0 if there are none.

    Attributes
    ----------
    prefixes : PrefixStatistics
        Counted in the training texts.
    names : csr_array of shape (N, S), float32
        The weights w_s of each name. The names of a label are in consecutive rows.
    label : int64 ndarray of shape (N,)
        The label of each name, ascending.
    neighbours : csr_array of shape (L, L), float32
        For labels without a known name, the weights of their parents and children.

    Examples
    --------
    >>> vocabulary = Vocabulary(["fishing", "vessel", "milk"])
    >>> texts = TokenSequences.from_lists([[2, 3], [4], [4, 4], [3]], vocabulary)
    >>> hierarchy = LabelHierarchy([("food", "c1"), ("food", "c2")])
    >>> texts_of = {"c1": "vessels", "c2": ["milk", "dairy"], "food": ""}
    >>> names = LabelNames.learn(texts, hierarchy, texts_of)
    >>> names.scores(texts).round(1)  # c1, c2, food
    array([[ 0.9, -0.9,  0. ],
           [-0.9,  0.5, -0.2],
           [-0.9,  1.3,  0.2],
           [ 0.9, -0.9,  0. ]], dtype=float32)
    """

    prefixes: PrefixStatistics
    names: sp.csr_array
    label: NDArray[np.int64]
    neighbours: sp.csr_array

    @classmethod
    def learn(
        cls,
        texts: TokenSequences,
        hierarchy: LabelHierarchy,
        label_texts: Mapping[str, str | Iterable[str]] | None = None,
    ) -> LabelNames:
        """Count words in training texts, and look up the words of the names.

        Parameters
        ----------
        texts : TokenSequences of n texts
            The training texts.
        hierarchy : LabelHierarchy
            L labels.
        label_texts : mapping of str to str or iterable of str, optional
            Names to use in place of the labels themselves.

        Returns
        -------
        LabelNames
        """
        return cls.from_statistics(PrefixStatistics.learn(texts), texts.vocabulary, hierarchy, label_texts)

    @classmethod
    def from_statistics(
        cls,
        prefixes: PrefixStatistics,
        vocabulary: Vocabulary,
        hierarchy: LabelHierarchy,
        label_texts: Mapping[str, str | Iterable[str]] | None = None,
    ) -> LabelNames:
        """Look up the words of the names, with given counts.

        Parameters
        ----------
        prefixes : PrefixStatistics
            Of the training texts.
        vocabulary : Vocabulary
            The words of these texts.
        hierarchy, label_texts : as in `learn`
            The labels and their names.

        Returns
        -------
        LabelNames
        """
        return cls._with_neighbours(
            prefixes, hierarchy, *_look_up(prefixes, vocabulary, enumerate(hierarchy.labels), label_texts)
        )

    def with_labels(
        self,
        hierarchy: LabelHierarchy,
        vocabulary: Vocabulary,
        label_texts: Mapping[str, str | Iterable[str]] | None = None,
    ) -> LabelNames:
        """Return a copy with more labels.

        Parameters
        ----------
        hierarchy : LabelHierarchy
            L labels; the first are those of this object.
        vocabulary : Vocabulary
            Of the training texts.
        label_texts : mapping of str to str or iterable of str, optional
            Names to use for the new labels in place of the labels themselves.

        Returns
        -------
        LabelNames
        """
        others = list(enumerate(hierarchy.labels))[self.neighbours.shape[0] :]
        names, label = _look_up(self.prefixes, vocabulary, others, label_texts)
        return self._with_neighbours(
            self.prefixes,
            hierarchy,
            sp.vstack([self.names, names], format="csr"),
            np.concatenate([self.label, label]),
        )

    @classmethod
    def _with_neighbours(
        cls,
        prefixes: PrefixStatistics,
        hierarchy: LabelHierarchy,
        names: sp.csr_array,
        label: NDArray[np.int64],
    ) -> LabelNames:
        """Give each label without a known name the weights of its parents and children."""
        named = np.zeros(len(hierarchy), dtype=bool)
        named[label] = True
        related = (hierarchy.parents + hierarchy.children).astype(np.float32).tocoo()
        wanted = ~named[related.row] & named[related.col]
        rows, columns = related.row[wanted], related.col[wanted]
        number = np.bincount(rows, minlength=len(hierarchy)).astype(np.float32)
        return cls(
            prefixes, names, label, sp.csr_array((1 / number[rows], (rows, columns)), shape=related.shape)
        )

    @property
    def known(self) -> bool:
        """Whether any label has a name with a known word."""
        return len(self.label) > 0

    @cached_property
    def _tables(self) -> _Tables:
        wanted = np.unique(self.names.indices)
        place = np.full(len(self.prefixes.idf), len(wanted))
        place[wanted] = np.arange(len(wanted))
        # Padding and unknown words.
        place[:1] = len(wanted)
        names = self.names[:, wanted]
        names.sort_indices()
        labels, first = np.unique(self.label, return_index=True)
        nameless = np.flatnonzero(np.diff(self.neighbours.indptr))
        place_of_word = place[self.prefixes.prefix_of_word]
        return _Tables(place_of_word, names, labels, first, nameless, self.neighbours[nameless])

    @cached_property
    def share_statistics(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Mean and standard deviation of each name's share, of shape (N,)."""
        squared = self.names.copy()
        squared.data **= 2
        variance = squared @ self.prefixes.variance + np.float32(MIN_VARIANCE)
        return self.names @ self.prefixes.mean, np.sqrt(variance)

    def scores(self, texts: Texts) -> NDArray[np.float32]:
        """Return how much of each label's name each text contains, relative to the training texts.

        Parameters
        ----------
        texts : TokenSequences or SubwordSequences of n texts
            The texts.

        Returns
        -------
        float32 ndarray of shape (n, L)
        """
        scores = np.zeros((len(texts), self.neighbours.shape[0]), dtype=np.float32)
        if not self.known:
            return scores
        mean, deviation = self.share_statistics
        tables = self._tables
        chunk_size = max(1, CHUNK_NUMBERS // max(tables.names.shape))
        for start in range(0, len(texts), chunk_size):
            shares = tables.names @ self._strengths(words_of(texts[start : start + chunk_size]))
            shares -= mean[:, None]
            shares /= deviation[:, None]
            best = np.maximum.reduceat(shares, tables.first, axis=0)
            scores[start : start + chunk_size, tables.labels] = best.T
        if len(tables.nameless):
            scores[:, tables.nameless] = (tables.neighbours @ scores.T).T
        return scores

    def _strengths(self, texts: TokenSequences) -> NDArray[np.float32]:
        """Return the strengths of the W prefixes that occur in a name, of shape (W, n)."""
        n_wanted = self._tables.names.shape[1]
        places = self._tables.place_of_word[texts.ids]
        # Of the words of a text, few are in any name.
        kept = np.flatnonzero(places < n_wanted)
        text = np.repeat(np.arange(len(texts)), np.diff(np.searchsorted(kept, texts.offsets)))
        counts = np.bincount(places[kept] * len(texts) + text, minlength=n_wanted * len(texts))
        strengths = counts.reshape(n_wanted, len(texts)).astype(np.float32)
        strengths /= strengths + HALF_COUNT
        return strengths

    def words_of_name(self, text: TokenSequences, label: int) -> NDArray[np.int64]:
        """Return which words of a text are in the name of a label, of several names the one that counts.

        Parameters
        ----------
        text : TokenSequences of one text
            The text.
        label : int
            The position of the label.

        Returns
        -------
        int64 ndarray
            Positions of words in the text, ascending. Words match by their first letters.
        """
        rows = np.flatnonzero(self.label == label)
        if not len(rows):
            return np.zeros(0, dtype=np.int64)
        mean, deviation = self.share_statistics
        shares = self._tables.names[rows] @ self._strengths(text)[:, 0]
        best = rows[((shares - mean[rows]) / deviation[rows]).argmax()]
        return np.flatnonzero(np.isin(self.prefixes.prefix_of_word[text[0]], self.names[[best]].indices))

    def state(self) -> ScorerState:
        """Return what `from_state` rebuilds the scorer from.

        Returns
        -------
        ScorerState
        """
        prefixes = self.prefixes
        arrays: dict[str, NDArray[Any]] = {
            "prefixes.prefix_of_word": prefixes.prefix_of_word,
            "prefixes.idf": prefixes.idf,
            "prefixes.mean": prefixes.mean,
            "prefixes.variance": prefixes.variance,
            "label": self.label,
        }
        arrays |= sparse_to_arrays("names", self.names) | sparse_to_arrays("neighbours", self.neighbours)
        return ScorerState({}, arrays)

    @classmethod
    def from_state(cls, state: ScorerState, hierarchy: LabelHierarchy) -> LabelNames:
        """Rebuild a scorer from its `state`.

        Parameters
        ----------
        state : ScorerState
            As `state` returned it.
        hierarchy : LabelHierarchy
            L labels.

        Returns
        -------
        LabelNames
        """
        arrays, n_labels = state.arrays, len(hierarchy)
        idf = of_shape(arrays, "prefixes.idf", (-1,))
        variance = of_shape(arrays, "prefixes.variance", idf.shape)
        # By rounding, a variance may be a little below 0.
        check("prefixes.variance", bool((variance > -MIN_VARIANCE / 2).all()), "holds negative numbers")
        prefix_of_word = of_shape(arrays, "prefixes.prefix_of_word", (-1,), "i")
        inside = (prefix_of_word >= 0).all() and (prefix_of_word < len(idf)).all()
        check("prefixes.prefix_of_word", bool(inside), "holds numbers that no prefix has")
        prefixes = PrefixStatistics(
            prefix_of_word, idf, of_shape(arrays, "prefixes.mean", idf.shape), variance
        )
        label = positions(arrays, "label", n_labels, repeated=True)
        names = sparse_from_arrays("names", arrays, (len(label), len(idf)))
        neighbours = sparse_from_arrays("neighbours", arrays, (n_labels, n_labels))
        return cls(prefixes, names, label, neighbours)


def _prefix(word: str) -> str:
    return word.lower()[:PREFIX_LENGTH]


def _names_of(label: str, label_texts: Mapping[str, str | Iterable[str]] | None) -> Iterator[str]:
    text = (label_texts or {}).get(label, label)
    yield from [text] if isinstance(text, str) else text


def _look_up(
    prefixes: PrefixStatistics,
    vocabulary: Vocabulary,
    labels: Iterable[tuple[int, str]],
    label_texts: Mapping[str, str | Iterable[str]] | None,
) -> tuple[sp.csr_array, NDArray[np.int64]]:
    """Return the weights of the names of some labels, and the label of each name."""
    number = prefixes.ids_by_prefix(vocabulary)
    weights, columns, offsets, owners = [], [], [0], []
    for position, label in labels:
        for name in _names_of(label, label_texts):
            found = np.array(
                sorted({number.get(_prefix(word), 0) for word in label_words(name)}), dtype=np.int64
            )
            # The part of an unknown word is lost: the weights then sum to less than 1.
            idf, kept = prefixes.idf[found], found > 0
            if idf[kept].sum() > 0:
                weights.append(idf[kept] / idf.sum())
                columns.append(found[kept])
                offsets.append(offsets[-1] + int(kept.sum()))
                owners.append(position)
    nothing = [np.zeros(0)]
    parts = (np.concatenate(nothing + weights), np.concatenate(nothing + columns), np.array(offsets))
    names = sp.csr_array(parts, shape=(len(owners), len(prefixes.idf)), dtype=np.float32)
    return names, np.array(owners, dtype=np.int64)
