"""One text, its words, and the same text without some of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from skhimatch.fitting.tokenize import checked_tokens
from skhimatch.state import FittedState
from skhimatch.text.places import placed_words, without_places
from skhimatch.text.sequences import UNKNOWN_ID, SubwordSequences, Texts, TokenSequences
from skhimatch.text.subwords import SubwordTokenizer, places_of_pieces
from skhimatch.text.words import WordTokenizer

__all__ = ["EncodedText", "ReadText", "TokenList", "WholeText", "names_of_words", "read_text"]


class ReadText:
    """A text that words can be left out of.

    Attributes
    ----------
    text : str
        The text as it is shown.
    words : tuple of str
        Its words, as the tokenizer returns them.
    places : tuple of (start, end)
        Where each word is in `text`.
    n_words : int
        The number of words, with those that the tokenizer drops at the end.
    """

    text: str
    words: tuple[str, ...]
    places: tuple[tuple[int, int], ...]
    n_words: int

    def without(self, left_out: Sequence[Collection[int]]) -> Texts:
        """Return the text as often as wanted, each time without some words.

        Parameters
        ----------
        left_out : sequence of n collections of int
            The positions of the words that are left out.

        Returns
        -------
        TokenSequences or SubwordSequences of n texts
        """
        raise NotImplementedError

    def places_of_subwords(self) -> list[tuple[int, int]] | None:
        """Return where the subwords of a pretrained encoder are in the text; None if it is not known."""
        return None

    @cached_property
    def different_words(self) -> dict[str, list[int]]:
        """The positions of each different word, in the order of the text."""
        found: dict[str, list[int]] = {}
        for position, word in enumerate(self.words):
            found.setdefault(word, []).append(position)
        return found


class WholeText(ReadText):
    """A text as a string.

    Parameters
    ----------
    text : str
        The text.
    state : FittedState
        Its tokenizer is used. Words of a tokenizer of another class have no known places; then the words of
        `WordTokenizer` are left out.
    """

    def __init__(self, text: str, state: FittedState) -> None:
        self.text = text
        self._state = state
        of_words = state.tokenizer
        if isinstance(of_words, SubwordTokenizer):
            of_words = of_words.words_
        if type(of_words) is not WordTokenizer:
            of_words = WordTokenizer()
        placed = placed_words(text, of_words, all_words=True)
        self.n_words = len(placed)
        placed = placed[: of_words.max_length]
        self.words = tuple(word.word for word in placed)
        self.places = tuple((word.start, word.end) for word in placed)

    def without(self, left_out: Sequence[Collection[int]]) -> Texts:
        """Return the tokens of the text without some words; parameters as in `ReadText.without`."""
        texts = [without_places(self.text, [self.places[place] for place in part]) for part in left_out]
        return self._state.network.text_encoder.input_once(self._state.tokenizer.transform(texts))

    def places_of_subwords(self) -> list[tuple[int, int]] | None:
        """Return where the subwords of a pretrained encoder are in the text; None if it is not known."""
        return places_of_pieces(self.text, self._state.tokenizer.tokenizer_)


class TokenList(ReadText):
    """A text as a list of tokens.

    Parameters
    ----------
    tokens : sequence of str
        The text.
    state : FittedState
        Its tokenizer is used.
    """

    def __init__(self, tokens: Sequence[str], state: FittedState) -> None:
        self._tokens = list(tokens)
        self._state = state
        limit = getattr(state.tokenizer, "max_length", None)
        self.n_words = len(self._tokens)
        self.text, self.places = _joined(self._tokens)
        lower = getattr(state.tokenizer, "lowercase", False)
        self.words = tuple(token.lower() if lower else token for token in self._tokens[:limit])
        self.places = self.places[:limit]

    def without(self, left_out: Sequence[Collection[int]]) -> Texts:
        """Return the text without some tokens; parameters as in `ReadText.without`."""
        texts = [
            [token for place, token in enumerate(self._tokens) if place not in part]
            for part in map(frozenset, left_out)
        ]
        return checked_tokens(texts, self._state)


class EncodedText(ReadText):
    """A text as ids of words.

    Parameters
    ----------
    tokens : TokenSequences of one text
        Over the fitted vocabulary.
    """

    def __init__(self, tokens: TokenSequences) -> None:
        self._tokens = tokens
        words = names_of_words(tokens)
        self.words, self.n_words = tuple(words), len(words)
        self.text, self.places = _joined(words)

    def without(self, left_out: Sequence[Collection[int]]) -> Texts:
        """Return the text without some ids; parameters as in `ReadText.without`."""
        ids, is_unknown = self._tokens[0], self._tokens[0] == UNKNOWN_ID
        lists, unknown_words = [], []
        for part in left_out:
            kept = np.ones(len(ids), dtype=bool)
            kept[list(part)] = False
            lists.append(ids[kept].tolist())
            if self._tokens.unknown_words is not None:
                unknown_words += self._tokens.unknown_words[kept[is_unknown]].tolist()
        known = None if self._tokens.unknown_words is None else unknown_words
        return TokenSequences.from_lists(lists, self._tokens.vocabulary, known)


def read_text(text: Any, state: FittedState) -> ReadText:
    """Check one text, and find its words.

    Parameters
    ----------
    text : str, sequence of str, or TokenSequences of one text
        A text, its tokens, or their ids.
    state : FittedState
        What reads it.

    Returns
    -------
    ReadText

    Raises
    ------
    TypeError
        If it is not one text, or if only its subwords are given.
    ValueError
        If it is in tokens that the classifier does not read.

    Examples
    --------
    >>> read_text(["a wave", "a field"], None)
    Traceback (most recent call last):
        ...
    TypeError: Expected one text, got a list of 2; pass one of them, such as text[0].
    """
    if isinstance(text, str):
        if state.tokenizer is None:
            checked_tokens([text], state)  # raises
        return WholeText(text, state)
    if isinstance(text, TokenSequences):
        if len(text) != 1:
            raise TypeError(f"Expected one text, got {len(text)}; pass one of them, such as texts[:1].")
        tokens = checked_tokens(text, state)
        assert isinstance(tokens, TokenSequences)
        return EncodedText(tokens)
    if isinstance(text, (list, tuple, np.ndarray)):
        tokens_of_text = list(text)
        if not all(isinstance(token, str) for token in tokens_of_text):
            raise TypeError("Expected one text: a str, or a list of its tokens, which are str.")
        if any(len(token.split()) > 1 for token in tokens_of_text):
            raise TypeError(
                f"Expected one text, got a {type(text).__name__} of {len(text)}; pass one of them, such as "
                "text[0]."
            )
        checked_tokens([tokens_of_text], state)
        return TokenList(tokens_of_text, state)
    if isinstance(text, SubwordSequences):
        raise TypeError(
            "Subwords of a pretrained encoder have no words that could be left out: fit the classifier on "
            "texts, and pass the text."
        )
    raise TypeError(f"Expected one text: a str, or a list of its tokens; got {type(text).__name__}.")


def names_of_words(tokens: TokenSequences) -> list[str]:
    """Return the words of a text, with those outside of the vocabulary if they are known.

    Parameters
    ----------
    tokens : TokenSequences of one text
        The text.

    Returns
    -------
    list of str
    """
    names = tokens.words(0)
    if tokens.unknown_words is not None:
        places = np.flatnonzero(tokens[0] == UNKNOWN_ID).tolist()
        for place, word in zip(places, tokens.unknown_words.tolist(), strict=True):
            names[place] = word
    return names


def _joined(words: Sequence[str]) -> tuple[str, tuple[tuple[int, int], ...]]:
    """Return words with spaces between them, and their places."""
    ends = np.cumsum([len(word) + 1 for word in words], dtype=np.int64).tolist()
    places = tuple((end - 1 - len(word), end - 1) for word, end in zip(words, ends, strict=True))
    return " ".join(words), places
