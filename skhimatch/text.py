"""Texts become ragged sequences of word ids that scikit-learn can split, index and clone."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from functools import cached_property
from itertools import chain, islice
from numbers import Integral
from operator import index as as_integer
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context
from sklearn.utils import Tags
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

__all__ = ["PADDING_ID", "UNKNOWN_ID", "TokenSequences", "Vocabulary", "WordTokenizer", "check_texts"]

PADDING_ID = 0
UNKNOWN_ID = 1
SPECIAL_WORDS = ("<padding>", "<unknown>")


class Vocabulary:
    """The known words and their ids; immutable, so clones and pipelines share it.

    Parameters
    ----------
    words : iterable of str
        The known words in the order of their ids, which start at 2: id 0 is padding and
        id 1 any unknown word.

    Raises
    ------
    TypeError
        If a word is not a str.
    ValueError
        If a word comes twice.

    Examples
    --------
    >>> vocabulary = Vocabulary(["wave", "field"])
    >>> len(vocabulary), vocabulary.index["field"], "tennis" in vocabulary
    (4, 3, False)
    """

    def __init__(self, words: Iterable[str]):
        self._words = tuple(words)
        for position, word in enumerate(self._words):
            if not isinstance(word, str):
                raise TypeError(f"Word {position} of the vocabulary is {word!r}; words are str.")
        if len(set(self._words)) < len(self._words):
            [(twice, _)] = Counter(self._words).most_common(1)
            raise ValueError(f"The word {twice!r} comes twice in the vocabulary; each word has one id.")

    @property
    def words(self) -> tuple[str, ...]:
        """The known words; ``words[i]`` has the id ``i + 2``."""
        return self._words

    @cached_property
    def index(self) -> dict[str, int]:
        """The id of each known word."""
        return {word: id for id, word in enumerate(self._words, start=len(SPECIAL_WORDS))}

    def __len__(self) -> int:
        return len(SPECIAL_WORDS) + len(self._words)

    def __contains__(self, word: object) -> bool:
        return word in self.index

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self._words == other._words

    def __hash__(self) -> int:
        return hash(self._words)

    def __reduce__(self) -> tuple[type, tuple[tuple[str, ...]]]:
        return Vocabulary, (self._words,)

    def __sklearn_clone__(self) -> "Vocabulary":
        return self

    def __repr__(self) -> str:
        return f"<Vocabulary: {len(self._words)} words>"


class TokenSequences:
    """Texts as word ids: one flat array, cut at offsets.

    It has the shape of a column of texts, so scikit-learn splits and indexes it like one: an integer
    gives the ids of that text, and a slice, mask or array of integers gives `TokenSequences` that
    share the vocabulary.

    Parameters
    ----------
    ids : array-like of int, shape (n_tokens,)
        The ids of all texts, one text after another.
    offsets : array-like of int, shape (n_texts + 1,)
        Text ``i`` is ``ids[offsets[i]:offsets[i + 1]]``.
    vocabulary : Vocabulary
        What the ids mean.

    Attributes
    ----------
    ids : ndarray of int32, shape (n_tokens,)
    offsets : ndarray of int64, shape (n_texts + 1,)
    vocabulary : Vocabulary

    Raises
    ------
    ValueError
        If the offsets do not cut `ids` into texts, or an id lies outside the vocabulary.

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

    def __init__(self, ids: ArrayLike, offsets: ArrayLike, vocabulary: Vocabulary):
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

    @classmethod
    def from_lists(cls, lists: Iterable[Sequence[int]], vocabulary: Vocabulary) -> "TokenSequences":
        """Join one list of ids a text.

        Parameters
        ----------
        lists : iterable of sequences of int
            The ids of each text.
        vocabulary : Vocabulary
            What the ids mean.

        Returns
        -------
        TokenSequences
        """
        lists = list(lists)
        offsets = np.cumsum([0, *map(len, lists)])
        ids = np.fromiter(chain.from_iterable(lists), dtype=np.int32, count=offsets[-1])
        return cls(ids, offsets, vocabulary)

    @property
    def shape(self) -> tuple[int]:
        """``(n_texts,)``."""
        return (len(self),)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Number of tokens of each text, shape (n_texts,)."""
        return np.diff(self.offsets)

    def words(self, position: int) -> list[str]:
        """The words of one text, ``"<unknown>"`` where the vocabulary lacks the word.

        Parameters
        ----------
        position : int
            Which text.

        Returns
        -------
        list of str
        """
        known = self.vocabulary.words
        return [SPECIAL_WORDS[id] if id <= UNKNOWN_ID else known[id - 2] for id in self[position].tolist()]

    def __len__(self) -> int:
        return self.offsets.size - 1

    def __iter__(self) -> Iterator[NDArray[np.int32]]:
        return (self[position] for position in range(len(self)))

    @overload
    def __getitem__(self, key: int | np.integer) -> NDArray[np.int32]: ...

    @overload
    def __getitem__(self, key: Any) -> "TokenSequences": ...

    def __getitem__(self, key: Any) -> "NDArray[np.int32] | TokenSequences":
        # scikit-learn indexes whatever has a shape as container[key, ...].
        if isinstance(key, tuple):
            key, *rest = key
            if rest != [Ellipsis]:
                raise IndexError(f"TokenSequences have one dimension; got {1 + len(rest)} indices.")
        if isinstance(key, Integral):
            return self._text(as_integer(key))
        rows = np.arange(len(self))[key]
        if rows.ndim != 1:
            raise IndexError(f"TokenSequences are indexed by a 1-D array; got {rows.ndim} dimensions.")
        lengths = self.lengths[rows]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        tokens = np.arange(offsets[-1]) + np.repeat(self.offsets[rows] - offsets[:-1], lengths)
        return TokenSequences(self.ids[tokens], offsets, self.vocabulary)

    def _text(self, position: int) -> NDArray[np.int32]:
        if not -len(self) <= position < len(self):
            raise IndexError(f"There is no text {position} among {len(self)} texts.")
        position %= len(self)
        return self.ids[self.offsets[position] : self.offsets[position + 1]]

    def __repr__(self) -> str:
        return f"<TokenSequences: {len(self)} texts, {self.ids.size} tokens, {self.vocabulary!r}>"


def check_texts(texts: Iterable[Any]) -> list[str] | list[list[str]]:
    """Return texts as a list of str or, where they come cut into tokens, of lists of str.

    Parameters
    ----------
    texts : iterable of str, or of sequences of str
        A list, tuple, 1-D array, pandas Series, generator, ...

    Returns
    -------
    list of str or list of list of str

    Raises
    ------
    TypeError
        If `texts` is a single string or no ordered iterable, or one of the texts (named by its
        position) is missing, a number, bytes or of another kind than the first.
    ValueError
        If there is no text at all, or `texts` has two dimensions.

    Examples
    --------
    >>> check_texts(("a wave", "a field"))
    ['a wave', 'a field']
    >>> check_texts(["a wave", None])
    Traceback (most recent call last):
        ...
    TypeError: Text 1 is of type NoneType, not str; fill or drop missing texts first.
    """
    if isinstance(texts, (str, bytes)):
        raise TypeError(f"Expected several texts, got a single {type(texts).__name__}; wrap it in a list.")
    shape = getattr(texts, "shape", None)
    if isinstance(shape, tuple) and len(shape) > 1:
        raise ValueError(
            f"Expected 1D texts, got a {type(texts).__name__} of shape {shape}; "
            "pass one column, such as df['text']."
        )
    if not isinstance(texts, Iterable) or isinstance(texts, (Mapping, Set)) or shape == ():
        raise TypeError(
            f"Expected a list of texts or another ordered iterable, got a {type(texts).__name__}."
        )
    # An array's own scalars (numpy.str_) are slower than str and do not belong in a vocabulary.
    checked = list(texts.tolist() if isinstance(texts, np.ndarray) else texts)
    if not checked:
        raise ValueError("Found 0 samples in the texts while a minimum of 1 is required.")
    first_is_str = isinstance(checked[0], str)
    for position, text in enumerate(checked):
        if isinstance(text, str):
            if not first_is_str:
                raise TypeError(
                    f"Text {position} is a str, but text 0 is a list of tokens; pass one kind for all."
                )
        elif not isinstance(text, (list, tuple, np.ndarray)):
            remedy = "decode it first" if isinstance(text, bytes) else "fill or drop missing texts first"
            raise TypeError(f"Text {position} is of type {type(text).__name__}, not str; {remedy}.")
        elif first_is_str:
            raise TypeError(
                f"Text {position} is a list of tokens, but text 0 is a str; pass one kind for all."
            )
        else:
            checked[position] = _check_tokens(text, position)
    return checked


def _check_tokens(tokens: Sequence[Any] | NDArray, position: int) -> list[str]:
    tokens = tokens.tolist() if isinstance(tokens, np.ndarray) else list(tokens)
    for place, token in enumerate(tokens):
        if not isinstance(token, str):
            raise TypeError(
                f"Token {place} of text {position} is of type {type(token).__name__}; tokens are str."
            )
    return tokens


class WordTokenizer(TransformerMixin, BaseEstimator):
    r"""Turn texts into sequences of word ids over the vocabulary of the training texts.

    Parameters
    ----------
    min_count : int, default=2
        A word must occur this often in the training texts to be known.
    max_vocabulary : int or None, default=50_000
        Keep at most this many words, the most frequent ones; None keeps all.
    max_length : int or None, default=256
        Keep this many tokens from the start of each text, also when words are counted; None keeps all.
    lowercase : bool, default=True
        Whether "Wave" and "wave" are the same word.
    token_pattern : str, default=r"(?u)\b\w+\b"
        Regular expression of a token, or with one group, of which the group is the token.
        Texts that come as lists of tokens are taken as they are.

    Attributes
    ----------
    vocabulary_ : Vocabulary
        The known words, by falling count and then by alphabet.

    See Also
    --------
    TokenSequences : What `transform` returns.

    Examples
    --------
    >>> tokenizer = WordTokenizer(min_count=1).fit(["A wave, a field.", "the field"])
    >>> tokenizer.vocabulary_.words
    ('a', 'field', 'the', 'wave')
    >>> sequences = tokenizer.transform(["The wave!", "An old field", ""])
    >>> [ids.tolist() for ids in sequences]
    [[4, 5], [1, 1, 3], []]
    """

    _parameter_constraints: dict = {  # noqa: RUF012 - scikit-learn's convention
        "min_count": [Interval(Integral, 1, None, closed="left")],
        "max_vocabulary": [Interval(Integral, 1, None, closed="left"), None],
        "max_length": [Interval(Integral, 1, None, closed="left"), None],
        "lowercase": ["boolean"],
        "token_pattern": [str],
    }

    def __init__(
        self,
        *,
        min_count: int = 2,
        max_vocabulary: int | None = 50_000,
        max_length: int | None = 256,
        lowercase: bool = True,
        token_pattern: str = r"(?u)\b\w+\b",
    ):
        self.min_count = min_count
        self.max_vocabulary = max_vocabulary
        self.max_length = max_length
        self.lowercase = lowercase
        self.token_pattern = token_pattern

    def fit(self, X: Iterable[Any], y: object = None) -> "WordTokenizer":
        """Learn the vocabulary.

        Parameters
        ----------
        X : iterable of str, or of sequences of str, length n_texts
            The training texts.
        y : object, default=None
            Ignored.

        Returns
        -------
        WordTokenizer
            Itself.

        Raises
        ------
        TypeError, ValueError
            As `check_texts`; also if a parameter is out of its range, `token_pattern` is no regular
            expression, or none of the texts has a token.
        """
        self.fit_transform(X)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def fit_transform(self, X: Iterable[Any], y: object = None) -> TokenSequences:
        """Learn the vocabulary and return the same texts as ids, tokenised once.

        Parameters
        ----------
        X : iterable of str, or of sequences of str, length n_texts
            The training texts.
        y : object, default=None
            Ignored.

        Returns
        -------
        TokenSequences of shape (n_texts,)

        Raises
        ------
        TypeError, ValueError
            As `fit`.
        """
        # Every word gets an id when it is first seen; the final ids follow from the counts.
        first_seen: defaultdict[str, int] = defaultdict()
        first_seen.default_factory = first_seen.__len__
        lists = [
            np.fromiter(map(first_seen.__getitem__, self.tokenize(text)), dtype=np.int32)
            for text in check_texts(X)
        ]
        ids = np.concatenate(lists)
        if ids.size == 0:
            raise ValueError(
                f"token_pattern={self.token_pattern!r} finds no token in any of the {len(lists)} texts."
            )
        counts = np.bincount(ids).tolist()
        common = [word for word, count in zip(first_seen, counts, strict=True) if count >= self.min_count]
        common.sort(key=lambda word: (-counts[first_seen[word]], word))
        self.vocabulary_ = Vocabulary(common[: self.max_vocabulary])
        final = np.full(len(counts), UNKNOWN_ID, dtype=np.int32)
        final[[first_seen[word] for word in self.vocabulary_.words]] = list(self.vocabulary_.index.values())
        offsets = np.cumsum([0, *map(len, lists)])
        return TokenSequences(final[ids], offsets, self.vocabulary_)

    def transform(self, X: Iterable[Any]) -> TokenSequences:
        """Return texts as ids.

        Parameters
        ----------
        X : iterable of str, or of sequences of str, length n_texts
            The texts; one without any token becomes an empty sequence.

        Returns
        -------
        TokenSequences of shape (n_texts,)

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before `fit`.
        TypeError, ValueError
            As `check_texts`.
        """
        check_is_fitted(self)
        ids = self.vocabulary_.index
        return TokenSequences.from_lists(
            [[ids.get(token, UNKNOWN_ID) for token in self.tokenize(text)] for text in check_texts(X)],
            self.vocabulary_,
        )

    def tokenize(self, text: str | Sequence[str]) -> list[str]:
        """Cut one text into its first `max_length` tokens.

        Parameters
        ----------
        text : str or sequence of str
            A text, or its tokens.

        Returns
        -------
        list of str

        Raises
        ------
        ValueError
            If `token_pattern` is no regular expression or has several groups.

        Examples
        --------
        >>> WordTokenizer(max_length=3).tokenize("The wave equation, solved.")
        ['the', 'wave', 'equation']
        """
        if not isinstance(text, str):
            kept = text[: self.max_length]
            return [token.lower() for token in kept] if self.lowercase else list(kept)
        pattern = self._pattern()
        matches = pattern.finditer(text.lower() if self.lowercase else text)
        tokens = (match[pattern.groups] for match in matches)
        return list(islice(filter(None, tokens), self.max_length))

    def _pattern(self) -> re.Pattern[str]:
        try:
            pattern = re.compile(self.token_pattern)
        except re.error as error:
            raise ValueError(
                f"token_pattern={self.token_pattern!r} is no regular expression: {error}."
            ) from error
        if pattern.groups > 1:
            raise ValueError(
                f"token_pattern={self.token_pattern!r} has {pattern.groups} groups, so the token is unclear; "
                "write all but one as (?:...)."
            )
        return pattern

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        return tags
