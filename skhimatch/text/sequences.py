"""Texts as sequences of ids of unequal length, which scikit-learn can split, index and clone."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import chain
from numbers import Integral
from operator import index as as_integer
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skhimatch.labels.rows import positions_of_rows
from skhimatch.text.word_table import WordTable

__all__ = [
    "PADDING_ID",
    "UNKNOWN_ID",
    "SubwordSequences",
    "SubwordVocabulary",
    "Texts",
    "TokenSequences",
    "Vocabulary",
    "words_of",
]

PADDING_ID = 0
UNKNOWN_ID = 1
SPECIAL_WORDS = ("<padding>", "<unknown>")


class Vocabulary:
    """The known words and their ids. It is immutable, so clones and pipelines share it.

    Parameters
    ----------
    words : iterable of str
        The known words in the order of their ids, which start at 2. Id 0 is padding, and id 1 is any
        unknown word.

    Raises
    ------
    TypeError
        If a word is not a str.
    ValueError
        If a word occurs twice.

    Examples
    --------
    >>> vocabulary = Vocabulary(["wave", "field"])
    >>> len(vocabulary), vocabulary.index["field"], "tennis" in vocabulary
    (4, 3, False)
    """

    special_words: tuple[str, ...] = SPECIAL_WORDS

    def __init__(self, words: Iterable[str]):
        self._words = tuple(words)
        for position, word in enumerate(self._words):
            if not isinstance(word, str):
                raise TypeError(f"Word {position} of the vocabulary is {word!r}; words are str.")
        if len(set(self._words)) < len(self._words):
            [(twice, _)] = Counter(self._words).most_common(1)
            raise ValueError(f"The word {twice!r} occurs twice in the vocabulary; each word has one id.")

    @property
    def words(self) -> tuple[str, ...]:
        """Return the known words in the order of their ids, without the special words."""
        return self._words

    @cached_property
    def index(self) -> dict[str, int]:
        """Return the id of each known word."""
        return {word: id for id, word in enumerate(self._words, start=len(self.special_words))}

    @cached_property
    def table(self) -> WordTable:
        """Return the ids of the known words, for many words at once."""
        return WordTable(self.index, UNKNOWN_ID)

    def __len__(self) -> int:
        return len(self.special_words) + len(self._words)

    def __contains__(self, word: object) -> bool:
        return word in self.index

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Vocabulary) or type(self) is not type(other):
            return False
        if self._words is other._words:
            return True
        equal = self._words == other._words
        if equal:
            # So that the next comparison, at the next prediction, does not look at each word again.
            other._words = self._words
        return equal

    def __hash__(self) -> int:
        return hash(self._words)

    def __reduce__(self) -> tuple[type, tuple[tuple[str, ...]]]:
        return type(self), (self._words,)

    def __sklearn_clone__(self) -> "Vocabulary":
        return self

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {len(self._words)} words>"


class SubwordVocabulary(Vocabulary):
    """The subwords of a pretrained tokenizer, including padding and other special ones.

    The id of a subword is its position.

    Examples
    --------
    >>> SubwordVocabulary(["[PAD]", "wave", "##let"]).index["##let"]
    2
    """

    special_words = ()


class TokenSequences:
    """Texts as word ids, in one flat array with offsets.

    It has the shape of a column of texts, so scikit-learn can split and index it. An integer index
    returns the ids of one text. A slice, a mask or an array of integers returns `TokenSequences` with
    the same vocabulary.

    Parameters
    ----------
    ids : array-like of int, shape (n_tokens,)
        The ids of all texts, one text after another.
    offsets : array-like of int, shape (n_texts + 1,)
        Text ``i`` is ``ids[offsets[i]:offsets[i + 1]]``.
    vocabulary : Vocabulary
        The words of the ids.
    unknown_words : array-like of str, shape (n_unknown,), optional
        What the tokens are whose id is 1, in their order. Character n-grams are found in them, too.

    Attributes
    ----------
    ids : ndarray of int32, shape (n_tokens,)
        The ids of all texts.
    offsets : ndarray of int64, shape (n_texts + 1,)
        The start of each text in `ids`, then the number of ids.
    vocabulary : Vocabulary
        The words of the ids.
    unknown_words : ndarray of str, shape (n_unknown,), or None
        The words outside of the vocabulary, if they are known.
    index : pandas.Index or None
        The names of the rows, where the texts are from a DataFrame or a Series. Parts have none.

    Raises
    ------
    ValueError
        If the offsets do not split `ids` into texts, or an id is not in the vocabulary.

    Examples
    --------
    >>> vocabulary = Vocabulary(["wave", "field"])
    >>> sequences = TokenSequences.from_lists([[2, 3], [], [3, 1, 2]], vocabulary)
    >>> sequences[2]
    array([3, 1, 2], dtype=int32)
    >>> sequences.words(2)
    ['field', '<unknown>', 'wave']
    >>> sequences[[2, 0]].lengths
    array([3, 2])
    """

    ndim = 1
    index: Any = None

    def __init__(
        self,
        ids: ArrayLike,
        offsets: ArrayLike,
        vocabulary: Vocabulary,
        unknown_words: ArrayLike | None = None,
    ):
        self.ids: NDArray[np.int32] = np.asarray(ids, dtype=np.int32)
        self.offsets: NDArray[np.int64] = np.asarray(offsets, dtype=np.int64)
        self.vocabulary = vocabulary
        if self.ids.ndim != 1 or self.offsets.ndim != 1 or self.offsets.size == 0:
            raise ValueError(
                f"ids and offsets are 1-D and offsets start with 0; got shapes {self.ids.shape} "
                f"and {self.offsets.shape}."
            )
        if self.offsets[0] != 0 or self.offsets[-1] != self.ids.size or (self.lengths < 0).any():
            raise ValueError(
                f"offsets must rise from 0 to the number of ids, {self.ids.size}; "
                f"got {self.offsets[0]} to {self.offsets[-1]}."
            )
        if self.ids.size and not 0 <= self.ids.min() <= self.ids.max() < len(vocabulary):
            raise ValueError(
                f"ids run from {self.ids.min()} to {self.ids.max()}, "
                f"but this vocabulary has the ids 0 to {len(vocabulary) - 1}."
            )
        self.unknown_words: NDArray[np.object_] | None = None
        if unknown_words is not None:
            self.unknown_words = np.asarray(unknown_words, dtype=object)
            n_unknown = int((self.ids == UNKNOWN_ID).sum())
            if self.unknown_words.shape != (n_unknown,):
                raise ValueError(
                    f"unknown_words has the shape {self.unknown_words.shape}, but {n_unknown} ids are "
                    f"{UNKNOWN_ID}, an unknown word."
                )

    @classmethod
    def from_lists(
        cls,
        lists: Iterable[Sequence[int]],
        vocabulary: Vocabulary,
        unknown_words: ArrayLike | None = None,
    ) -> "TokenSequences":
        """Make `TokenSequences` from one list of ids per text.

        Parameters
        ----------
        lists : iterable of sequences of int
            The ids of each text.
        vocabulary : Vocabulary
            The words of the ids.
        unknown_words : array-like of str, optional
            The attribute of this name.

        Returns
        -------
        TokenSequences
            The texts.
        """
        lists = list(lists)
        offsets = np.cumsum([0, *map(len, lists)])
        ids = np.fromiter(chain.from_iterable(lists), dtype=np.int32, count=offsets[-1])
        return cls(ids, offsets, vocabulary, unknown_words)

    @classmethod
    def concatenated(cls, parts: Sequence["TokenSequences"]) -> "TokenSequences":
        """Concatenate texts with equal vocabularies.

        Parameters
        ----------
        parts : sequence of TokenSequences
            One or more parts.

        Returns
        -------
        TokenSequences
            The texts of all parts.
        """
        offsets = np.cumsum(np.concatenate([[0], *(part.lengths for part in parts)]))
        unknown_words = None
        if all(part.unknown_words is not None for part in parts):
            unknown_words = np.concatenate([part.unknown_words for part in parts])
        ids = np.concatenate([part.ids for part in parts])
        return cls(ids, offsets, parts[0].vocabulary, unknown_words)

    @property
    def shape(self) -> tuple[int]:
        """Return ``(n_texts,)``."""
        return (len(self),)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Return the number of tokens of each text, shape (n_texts,)."""
        return np.diff(self.offsets)

    def words(self, position: int) -> list[str]:
        """Return the words of one text.

        Parameters
        ----------
        position : int
            The position of the text.

        Returns
        -------
        list of str
            The words. An unknown word is ``"<unknown>"``.
        """
        names = self.vocabulary.special_words + self.vocabulary.words
        return [names[id] for id in self[position].tolist()]

    def __len__(self) -> int:
        return self.offsets.size - 1

    def __iter__(self) -> Iterator[NDArray[np.int32]]:
        return (self[position] for position in range(len(self)))

    @overload
    def __getitem__(self, key: int | np.integer) -> NDArray[np.int32]: ...

    @overload
    def __getitem__(self, key: Any) -> "TokenSequences": ...

    def __getitem__(self, key: Any) -> "NDArray[np.int32] | TokenSequences":
        # scikit-learn indexes objects that have a shape as container[key, ...].
        if isinstance(key, tuple):
            key, *rest = key
            if rest != [Ellipsis]:
                raise IndexError(f"TokenSequences have one dimension; got {1 + len(rest)} indices.")
        if isinstance(key, Integral):
            return self._text(as_integer(key))
        if isinstance(key, slice) and key.step in (None, 1):
            return self._slice(*key.indices(len(self))[:2])
        every = np.arange(len(self))
        rows = every[key]
        if rows.ndim != 1:
            raise IndexError(f"TokenSequences are indexed by a 1-D array; got {rows.ndim} dimensions.")
        if np.array_equal(rows, every):
            return self
        tokens, offsets = positions_of_rows(self.offsets, rows)
        unknown_words = self.unknown_words
        if unknown_words is not None:
            unknown_words = unknown_words[positions_of_rows(self._unknown_offsets, rows)[0]]
        return self._part(self.ids[tokens], offsets, unknown_words)

    def _slice(self, start: int, stop: int) -> "TokenSequences":
        """Return neighbouring texts. Their tokens are not copied."""
        stop = max(start, stop)
        if (start, stop) == (0, len(self)):
            return self
        offsets = self.offsets[start : stop + 1]
        unknown_words = self.unknown_words
        if unknown_words is not None:
            unknown_words = unknown_words[self._unknown_offsets[start] : self._unknown_offsets[stop]]
        return self._part(self.ids[offsets[0] : offsets[-1]], offsets - offsets[0], unknown_words)

    def _part(
        self,
        ids: NDArray[np.int32],
        offsets: NDArray[np.int64],
        unknown_words: NDArray[np.object_] | None,
    ) -> "TokenSequences":
        """Return some of these texts. They are not checked again."""
        part = TokenSequences.__new__(TokenSequences)
        part.ids, part.offsets, part.vocabulary = ids, offsets, self.vocabulary
        part.unknown_words = unknown_words
        return part

    @cached_property
    def _unknown_offsets(self) -> NDArray[np.int64]:
        """The start of each text in `unknown_words`, then their number."""
        return np.concatenate([[0], np.cumsum(self.ids == UNKNOWN_ID)])[self.offsets]

    def _text(self, position: int) -> NDArray[np.int32]:
        if not -len(self) <= position < len(self):
            raise IndexError(f"There is no text {position} among {len(self)} texts.")
        position %= len(self)
        return self.ids[self.offsets[position] : self.offsets[position + 1]]

    def __repr__(self) -> str:
        return f"<TokenSequences: {len(self)} texts, {self.ids.size} tokens, {self.vocabulary!r}>"


class SubwordSequences:
    """Texts as subwords for a pretrained encoder and as words for the other models.

    Like `TokenSequences`, it has the shape of a column of texts and can be split and indexed.

    Parameters
    ----------
    subwords : TokenSequences of n texts
        The subwords, with a `SubwordVocabulary`.
    words : TokenSequences of n texts
        The words of the same texts.
    encodings : float32 ndarray of shape (n, d), optional
        The vector of each text from an encoder that is not trained.

    Attributes
    ----------
    index : pandas.Index or None
        As in `TokenSequences`.

    Raises
    ------
    ValueError
        If the numbers of texts differ.

    Examples
    --------
    >>> subwords = TokenSequences.from_lists([[1, 2], [1]], SubwordVocabulary(["[PAD]", "wave", "##let"]))
    >>> words = TokenSequences.from_lists([[2], [3]], Vocabulary(["wavelet", "wave"]))
    >>> texts = SubwordSequences(subwords, words)
    >>> texts[[1]].words.words(0), texts.lengths
    (['wave'], array([2, 1]))
    """

    ndim = 1
    index: Any = None

    def __init__(
        self,
        subwords: TokenSequences,
        words: TokenSequences,
        encodings: NDArray[np.float32] | None = None,
    ):
        numbers = {len(subwords), len(words), len(subwords if encodings is None else encodings)}
        if len(numbers) > 1:
            raise ValueError(
                f"subwords, words and encodings have {sorted(numbers)} texts; the numbers must be equal."
            )
        self.subwords = subwords
        self.words = words
        self.encodings = encodings

    @property
    def shape(self) -> tuple[int]:
        """Return ``(n_texts,)``."""
        return (len(self),)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Return the number of subwords of each text, shape (n_texts,)."""
        return self.subwords.lengths

    def __len__(self) -> int:
        return len(self.subwords)

    @overload
    def __getitem__(self, key: int | np.integer) -> NDArray[np.int32]: ...

    @overload
    def __getitem__(self, key: Any) -> "SubwordSequences": ...

    def __getitem__(self, key: Any) -> "NDArray[np.int32] | SubwordSequences":
        subwords = self.subwords[key]
        if not isinstance(subwords, TokenSequences):
            return subwords
        encodings = self.encodings
        if encodings is not None:
            encodings = encodings[key[0] if isinstance(key, tuple) else key]
        return SubwordSequences(subwords, self.words[key], encodings)

    def __repr__(self) -> str:
        return f"<SubwordSequences: {self.subwords!r}, {self.words!r}>"


Texts = TokenSequences | SubwordSequences


def words_of(texts: Texts) -> TokenSequences:
    """Return the words of texts.

    Parameters
    ----------
    texts : TokenSequences or SubwordSequences of n texts
        The texts, with or without subwords.

    Returns
    -------
    TokenSequences of shape (n,)
        The words of each text.
    """
    return texts.words if isinstance(texts, SubwordSequences) else texts
