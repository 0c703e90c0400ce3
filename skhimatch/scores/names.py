"""Evidence that needs no training text of a label: how much of its name a text has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.labels.texts import label_words
from skhimatch.text.sequences import UNKNOWN_ID, TokenSequences, Vocabulary

__all__ = ["LabelNames", "StemStatistics"]

# Words that begin alike are mostly forms of one word, in many languages.
LETTERS = 6
# A word that a text has so often counts half of what it could at most.
HALF_COUNT = 3
# Keeps names of words that hardly any training text has from counting without bounds.
LEAST_VARIANCE = 0.002
NUMBERS_AT_ONCE = 2**22
TEXTS_AT_ONCE = 10_000


@dataclass(frozen=True, eq=False)
class StemStatistics:
    """How often training texts have words that begin alike; a stem is a word's first six letters.

    A text that has a stem c times has the strength c / (c + 3) of it.

    Attributes
    ----------
    of_word : int32 ndarray of shape (V,)
        The stem of each word of the vocabulary; stem 0 is that of padding and of unknown words.
    idf : float32 ndarray of shape (S,)
        log((n + 1) / (texts with the stem + 1)); that of stem 0 as of a word in no text.
    mean, variance : float32 ndarrays of shape (S,)
        Of the strengths, over the n training texts; 0 for stem 0.

    Examples
    --------
    >>> vocabulary = Vocabulary(["fishing", "vessel", "vessels"])
    >>> texts = TokenSequences.from_lists([[2, 3, 3, 4], [4]], vocabulary)
    >>> stems = StemStatistics.learn(texts)
    >>> stems.of_word
    array([0, 0, 1, 2, 2], dtype=int32)
    >>> stems.mean  # vessel, vessels: 3 / (3 + 3) and 1 / (1 + 3)
    array([0.   , 0.125, 0.375], dtype=float32)
    """

    of_word: NDArray[np.int32]
    idf: NDArray[np.float32]
    mean: NDArray[np.float32]
    variance: NDArray[np.float32]

    @classmethod
    def learn(cls, texts: TokenSequences) -> StemStatistics:
        """Count stems in n training texts."""
        numbers: dict[str, int] = {}
        of_word = np.zeros(len(texts.vocabulary), dtype=np.int32)
        for word_id, word in enumerate(texts.vocabulary.words, start=UNKNOWN_ID + 1):
            of_word[word_id] = 1 + numbers.setdefault(_stem(word), len(numbers))
        n_stems = 1 + len(numbers)
        zeros = np.zeros(n_stems, dtype=np.float32)
        stems = cls(of_word, zeros, zeros, zeros)
        texts_with, total, squares = np.zeros(n_stems), np.zeros(n_stems), np.zeros(n_stems)
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            strengths = stems.strengths(texts[start : start + TEXTS_AT_ONCE])
            texts_with += np.bincount(strengths.indices, minlength=n_stems)
            total += np.bincount(strengths.indices, strengths.data, minlength=n_stems)
            squares += np.bincount(strengths.indices, strengths.data**2, minlength=n_stems)
        mean = total / max(1, len(texts))
        return cls(
            of_word,
            np.log((len(texts) + 1) / (texts_with + 1)).astype(np.float32),
            mean.astype(np.float32),
            (squares / max(1, len(texts)) - mean**2).astype(np.float32),
        )

    def strengths(self, texts: TokenSequences) -> sp.csr_array:
        """Return how strongly n texts have each stem, csr_array of shape (n, S), float32."""
        stems = self.of_word[texts.ids]
        known = stems > 0
        rows = np.repeat(np.arange(len(texts)), texts.lengths)[known]
        counts = sp.csr_array(
            (np.ones(len(rows), dtype=np.float32), (rows, stems[known])), shape=(len(texts), len(self.idf))
        )
        counts.data /= counts.data + HALF_COUNT
        return counts

    def by_name(self, vocabulary: Vocabulary) -> dict[str, int]:
        """Return the number of each stem that a word of the vocabulary has."""
        return {
            _stem(word): int(self.of_word[word_id])
            for word_id, word in enumerate(vocabulary.words, start=UNKNOWN_ID + 1)
        }


@dataclass(frozen=True, eq=False)
class LabelNames:
    """What the names of labels have in common with a text.

    The share of a name that a text has is share = sum_s w_s strength_s over the name's stems s, with
    w_s = idf_s / sum of the name's idf. A label scores by its best name: how many standard deviations
    the share is above its mean over the training texts,

    score = max over names of (share - mean) / sqrt(variance + 0.002),

    the variance as if stems came independently. A label whose names have no known word takes the mean score
    of those of its parents and children that have one, or 0.

    Attributes
    ----------
    stems : StemStatistics
        Of the training texts.
    names : csr_array of shape (N, S), float32
        Each name's weights w_s; names of one label lie together.
    label : int64 ndarray of shape (N,)
        Whose names they are, ascending.
    neighbours : csr_array of shape (L, L), float32
        For labels without a name, the weights of the labels beside them.

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

    stems: StemStatistics
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
        """Count words in training texts, and look up names.

        Parameters
        ----------
        texts : TokenSequences of n texts
            The training texts.
        hierarchy : LabelHierarchy
            L labels.
        label_texts : mapping of str to str or iterable of str, optional
            Other names than the labels themselves.

        Returns
        -------
        LabelNames
        """
        return cls.of(StemStatistics.learn(texts), texts.vocabulary, hierarchy, label_texts)

    @classmethod
    def of(
        cls,
        stems: StemStatistics,
        vocabulary: Vocabulary,
        hierarchy: LabelHierarchy,
        label_texts: Mapping[str, str | Iterable[str]] | None = None,
    ) -> LabelNames:
        """Look up the names of labels in what was counted before.

        Parameters
        ----------
        stems : StemStatistics
            Of the training texts.
        vocabulary : Vocabulary
            Theirs.
        hierarchy, label_texts
            As in `learn`.

        Returns
        -------
        LabelNames
        """
        return cls._beside(
            stems, hierarchy, *_look_up(stems, vocabulary, enumerate(hierarchy.labels), label_texts)
        )

    def with_labels(
        self,
        hierarchy: LabelHierarchy,
        vocabulary: Vocabulary,
        label_texts: Mapping[str, str | Iterable[str]] | None = None,
    ) -> LabelNames:
        """Return a copy that knows more labels.

        Parameters
        ----------
        hierarchy : LabelHierarchy
            L labels, of which the first are those of this one.
        vocabulary : Vocabulary
            Of the training texts.
        label_texts : mapping of str to str or iterable of str, optional
            Other names of the other labels than these themselves.

        Returns
        -------
        LabelNames
        """
        others = list(enumerate(hierarchy.labels))[self.neighbours.shape[0] :]
        names, label = _look_up(self.stems, vocabulary, others, label_texts)
        return self._beside(
            self.stems,
            hierarchy,
            sp.vstack([self.names, names], format="csr"),
            np.concatenate([self.label, label]),
        )

    @classmethod
    def _beside(
        cls, stems: StemStatistics, hierarchy: LabelHierarchy, names: sp.csr_array, label: NDArray[np.int64]
    ) -> LabelNames:
        """Share each nameless label among its parents and children with a name."""
        named = np.zeros(len(hierarchy), dtype=bool)
        named[label] = True
        beside = (hierarchy.parents + hierarchy.children).astype(np.float32).tocoo()
        wanted = ~named[beside.row] & named[beside.col]
        rows, columns = beside.row[wanted], beside.col[wanted]
        number = np.bincount(rows, minlength=len(hierarchy)).astype(np.float32)
        return cls(stems, names, label, sp.csr_array((1 / number[rows], (rows, columns)), shape=beside.shape))

    @property
    def known(self) -> bool:
        """Whether any label has a name of which a word is known."""
        return len(self.label) > 0

    @cached_property
    def _by_stem(self) -> sp.csr_array:
        return self.names.T.tocsr()

    @cached_property
    def _usual_shares(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Mean and standard deviation of each name's share, of shape (N,)."""
        squared = self.names.copy()
        squared.data **= 2
        variance = squared @ self.stems.variance + np.float32(LEAST_VARIANCE)
        return self.names @ self.stems.mean, np.sqrt(variance)

    def scores(self, texts: TokenSequences) -> NDArray[np.float32]:
        """Return how much each text has of each label's name, against the usual text.

        Parameters
        ----------
        texts : TokenSequences of n texts

        Returns
        -------
        float32 ndarray of shape (n, L)
        """
        scores = np.zeros((len(texts), self.neighbours.shape[0]), dtype=np.float32)
        if not self.known:
            return scores
        mean, deviation = self._usual_shares
        labels, first = np.unique(self.label, return_index=True)
        strengths = self.stems.strengths(texts)
        at_once = max(1, NUMBERS_AT_ONCE // len(self.label))
        for start in range(0, len(texts), at_once):
            shares = (strengths[start : start + at_once] @ self._by_stem).toarray()
            shares -= mean
            shares /= deviation
            scores[start : start + at_once, labels] = np.maximum.reduceat(shares, first, axis=1)
        nameless = np.flatnonzero(np.diff(self.neighbours.indptr))
        scores[:, nameless] = scores @ self.neighbours[nameless].T
        return scores


def _stem(word: str) -> str:
    return word.lower()[:LETTERS]


def _names_of(label: str, label_texts: Mapping[str, str | Iterable[str]] | None) -> Iterator[str]:
    text = (label_texts or {}).get(label, label)
    yield from [text] if isinstance(text, str) else text


def _look_up(
    stems: StemStatistics,
    vocabulary: Vocabulary,
    labels: Iterable[tuple[int, str]],
    label_texts: Mapping[str, str | Iterable[str]] | None,
) -> tuple[sp.csr_array, NDArray[np.int64]]:
    """Weigh the stems of the names of numbered labels, and say whose names they are."""
    number = stems.by_name(vocabulary)
    weights, columns, offsets, owners = [], [], [0], []
    for position, label in labels:
        for name in _names_of(label, label_texts):
            found = np.array(
                sorted({number.get(_stem(word), 0) for word in label_words(name)}), dtype=np.int64
            )
            # An unknown word takes its part of the name with it.
            idf, kept = stems.idf[found], found > 0
            if idf[kept].sum() > 0:
                weights.append(idf[kept] / idf.sum())
                columns.append(found[kept])
                offsets.append(offsets[-1] + int(kept.sum()))
                owners.append(position)
    nothing = [np.zeros(0)]
    parts = (np.concatenate(nothing + weights), np.concatenate(nothing + columns), np.array(offsets))
    names = sp.csr_array(parts, shape=(len(owners), len(stems.idf)), dtype=np.float32)
    return names, np.array(owners, dtype=np.int64)
