"""The ids of the words of many texts at once, without a step for each word."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice, repeat

import numpy as np
from numpy.typing import NDArray

from skhimatch.text.scripts import (
    IN_WORDS,
    LONG_TEXT_LENGTH,
    SPECIAL,
    kinds_of_characters,
    words_of_any_script,
)
from skhimatch.text.sequences import UNKNOWN_ID, TokenSequences, Vocabulary
from skhimatch.text.word_table import PADDING, encoded

__all__ = ["MIN_CHARACTERS", "word_ids"]

# From so many characters on, `word_ids` is faster than one text after another, for one abstract or 120 short
# texts. For 2,000 characters it takes 1.4 times as long, for 10,000 two thirds of the time.
MIN_CHARACTERS = 5_000
# Characters of texts that are read at once, to bound the memory.
CHUNK_CHARACTERS = 2**20
# If one of the first so many characters of a text is special, the others are not looked at.
BEGINNING = 40
# By the byte, in UTF-8: 1 for letters, digits and the underscore of ASCII.
_ASCII_IN_WORDS = bytes(byte < 128 and (chr(byte).isalnum() or chr(byte) == "_") for byte in range(256))
# How many bytes a character has, by its first byte.
_WIDTHS = (2, 0xC0, 0xE0), (3, 0xE0, 0xF0), (4, 0xF0, 0xF8)


def word_ids(
    texts: Sequence[str],
    vocabulary: Vocabulary,
    *,
    lowercase: bool,
    max_length: int | None,
) -> TokenSequences:
    """Find the ids of the words of texts, as `words_of_any_script` splits them.

    Most texts are read at once. Those that are long or have marks, ideographs or scripts without spaces are
    split one by one.

    Parameters
    ----------
    texts : sequence of n str
        The texts.
    vocabulary : Vocabulary
        The known words.
    lowercase : bool
        Whether texts are converted to lower case.
    max_length : int or None
        The maximum number of words of a text.

    Returns
    -------
    TokenSequences of shape (n,)
        With unknown words.

    Examples
    --------
    >>> vocabulary = Vocabulary(["wave", "field"])
    >>> found = word_ids(["A wave", "", "field"], vocabulary, lowercase=True, max_length=None)
    >>> [ids.tolist() for ids in found], found.unknown_words.tolist()
    ([[1, 2], [], [3]], ['a'])
    """
    parts = [_of_chunk(chunk, vocabulary, lowercase, max_length) for chunk in _chunks(texts)]
    return TokenSequences(
        np.concatenate([part.ids for part in parts]),
        np.cumsum(np.concatenate([[0], *(part.lengths for part in parts)])),
        vocabulary,
        np.concatenate([part.unknown_words for part in parts]),
    )


@dataclass(frozen=True)
class _Found:
    """The ids of the words of some texts, how many each text has, and the unknown words."""

    ids: NDArray[np.int32]
    lengths: NDArray[np.int64]
    unknown_words: NDArray[np.object_]


def _chunks(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """Cut texts into chunks of about `CHUNK_CHARACTERS`, of at least one text each."""
    start = size = 0
    for position, text in enumerate(texts):
        if size >= CHUNK_CHARACTERS:
            yield texts[start:position]
            start, size = position, 0
        size += len(text)
    yield texts[start:]


def _of_chunk(
    texts: Sequence[str], vocabulary: Vocabulary, lowercase: bool, max_length: int | None
) -> _Found:
    texts = [text.lower() for text in texts] if lowercase else texts
    is_apart = np.array([len(text) >= LONG_TEXT_LENGTH for text in texts])
    if not all(map(str.isascii, texts)):
        # So texts of scripts that are special altogether are not read twice.
        is_apart |= _Lines.of(text[:BEGINNING] for text in texts).special
    lines = _Lines.of("" if apart else text for text, apart in zip(texts, is_apart.tolist(), strict=True))
    is_apart |= lines.special
    apart = np.flatnonzero(is_apart)
    for position in apart.tolist():
        lines.inside[lines.offsets[position] : lines.offsets[position + 1]] = False
    ends = np.flatnonzero(lines.inside[1:] != lines.inside[:-1]) + 1
    starts, lengths = ends[::2], ends[1::2] - ends[::2]
    first = np.searchsorted(starts, lines.offsets)
    number = np.diff(first)
    if max_length is not None and number.max() > max_length:
        kept = np.flatnonzero(np.arange(len(starts)) - np.repeat(first[:-1], number) < max_length)
        starts, lengths, number = starts[kept], lengths[kept], np.minimum(number, max_length)
    ids = vocabulary.table.find(lines.data, starts, lengths)
    unknown = np.flatnonzero(ids == UNKNOWN_ID)
    start, end = starts[unknown], starts[unknown] + lengths[unknown]
    words = [lines.data[place].decode() for place in map(slice, start.tolist(), end.tolist())]
    found = _Found(ids, number, np.array(words, dtype=object))
    if not len(apart):
        return found
    others = [list(islice(words_of_any_script(texts[at]), max_length)) for at in apart.tolist()]
    return _with_texts(found, apart, others, vocabulary)


@dataclass(frozen=True)
class _Lines:
    """Texts as lines of UTF-8, an empty one before them, `PADDING` after them. A text may have several.

    Text ``i`` begins at ``offsets[i]``. `inside` tells for each byte whether it is in a word, which is right
    for the texts that have no special character, as `special` tells for each text.
    """

    data: bytes
    offsets: NDArray[np.int64]
    inside: NDArray[np.bool_]
    special: NDArray[np.bool_]

    @classmethod
    def of(cls, texts: Iterable[str]) -> _Lines:
        lines = list(map(encoded, texts))
        data = b"\n".join([b"", *lines, PADDING])
        offsets = np.cumsum([1, *(len(line) + 1 for line in lines)])
        inside = np.array(np.frombuffer(data.translate(_ASCII_IN_WORDS), dtype=bool))
        special = np.zeros(len(lines), dtype=bool)
        if not data.isascii():
            numbers, kinds = np.frombuffer(data, dtype=np.uint8), kinds_of_characters()
            for width, least, end in _WIDTHS:
                starts = np.flatnonzero((numbers >= least) & (numbers < end))
                points = (numbers[starts] & (0x7F >> width)).astype(np.int32)
                for later in range(1, width):
                    points = (points << 6) | (numbers[starts + later] & 0x3F)
                kind = kinds[np.minimum(points, len(kinds) - 1)]
                for byte in range(width):
                    inside[starts + byte] = kind == IN_WORDS
                special |= np.diff(np.searchsorted(starts[kind == SPECIAL], offsets)) > 0
        return cls(data, offsets, inside, special)


def _with_texts(
    found: _Found, positions: NDArray[np.int64], others: list[list[str]], vocabulary: Vocabulary
) -> _Found:
    """Put the words of other texts at their positions, where texts without words have been."""
    words = list(chain.from_iterable(others))
    ids = np.array(list(map(vocabulary.index.get, words, repeat(UNKNOWN_ID))), dtype=np.int32)
    unknown = ids == UNKNOWN_ID
    lengths = found.lengths.copy()
    lengths[positions] = list(map(len, others))
    places = np.repeat((np.cumsum(found.lengths) - found.lengths)[positions], lengths[positions])
    n_unknown_before = np.concatenate([[0], np.cumsum(found.ids == UNKNOWN_ID)])
    return _Found(
        np.insert(found.ids, places, ids),
        lengths,
        np.insert(
            found.unknown_words, n_unknown_before[places[unknown]], np.array(words, dtype=object)[unknown]
        ),
    )
