"""Where the words of a text are in the text as it was given, before it was normalised."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from skhimatch.text.scripts import spans_of_words
from skhimatch.text.words import WordTokenizer

__all__ = ["PlacedWord", "placed_words", "without_places"]


@dataclass(frozen=True)
class PlacedWord:
    """A word of a text, and where it is.

    Attributes
    ----------
    word : str
        As the tokenizer returns it: usually in lower case, in the normal form NFC.
    start, end : int
        ``text[start:end]`` is the word in the text as it was given.
    """

    word: str
    start: int
    end: int


def placed_words(text: str, tokenizer: WordTokenizer, *, all_words: bool = False) -> list[PlacedWord]:
    r"""Find the words of a text, and their places.

    Parameters
    ----------
    text : str
        The text.
    tokenizer : WordTokenizer
        It does not have to be fitted.
    all_words : bool, default=False
        Whether words beyond `max_length` are returned, too.

    Returns
    -------
    list of PlacedWord
        In the order of ``tokenizer.tokenize(text)``. Of scripts without spaces, neighbours overlap.

    Examples
    --------
    >>> placed_words("The WAVE!", WordTokenizer())
    [PlacedWord(word='the', start=0, end=3), PlacedWord(word='wave', start=4, end=8)]
    >>> placed_words("cafe\u0301 noir", WordTokenizer())[1]
    PlacedWord(word='noir', start=6, end=10)
    """
    read = text
    origin: Sequence[int] = range(len(text) + 1)
    if tokenizer.lowercase:
        read, origin = _lowered(text)
    if tokenizer.token_pattern is None:
        if not read.isascii():
            read, origin = _normalised(read, origin)
        spans = spans_of_words(read)
    else:
        pattern = tokenizer.compiled_pattern(tokenizer.token_pattern)
        spans = (match.span(pattern.groups) for match in pattern.finditer(read) if match[pattern.groups])
    kept = spans if all_words else islice(spans, tokenizer.max_length)
    # The end of a word is behind the original of its last character.
    return [PlacedWord(read[start:end], origin[start], _end(origin, end)) for start, end in kept]


def without_places(text: str, places: Sequence[tuple[int, int]]) -> str:
    """Leave parts out of a text, so that what is left does not grow together.

    Parameters
    ----------
    text : str
        The text.
    places : sequence of (start, end)
        The parts that are left out, in any order. They may overlap.

    Returns
    -------
    str
        Of spaces on both sides of a part, one is left out as well. Without any, one is put in.

    Examples
    --------
    >>> without_places("a light wave, seen", [(2, 7)])
    'a wave, seen'
    >>> without_places("left-hand side", [(4, 5)])
    'left hand side'
    """
    parts, last = [], 0
    for start, end in [*sorted(places), (len(text), len(text))]:
        parts.append(text[last : max(last, start)])
        last = max(last, end)
    kept = parts[0]
    for part in parts[1:]:
        spaces = kept[-1:].isspace() or not kept, part[:1].isspace() or not part
        if all(spaces):
            kept, part = (kept, part[1:]) if part else (kept[:-1], part)
        elif not any(spaces):
            kept += " "
        kept += part
    return kept


def _end(origin: Sequence[int], end: int) -> int:
    """Return the end in the given text; a character that became several ends with the last of them."""
    while origin[end] == origin[end - 1]:
        end += 1
    return origin[end]


def _lowered(text: str) -> tuple[str, Sequence[int]]:
    """Return the text in lower case, and the position in the text of each character, and of the end."""
    lowered = text.lower()
    if len(lowered) == len(text):
        return lowered, range(len(text) + 1)
    origin = [place for place, character in enumerate(text) for _ in character.lower()]
    return lowered, [*origin, len(text)]


def _normalised(text: str, origin: Sequence[int]) -> tuple[str, Sequence[int]]:
    """Return the text in NFC, with the positions of its characters in the original."""
    normalised = unicodedata.normalize("NFC", text)
    if normalised == text:
        return text, origin
    places: list[int] = []
    for start, part in _independent_parts(text):
        changed = unicodedata.normalize("NFC", part)
        if changed == part:
            places += origin[start : start + len(part)]
        else:
            # All characters begin where the part does: they were composed, or put into another order.
            places += [origin[start]] * len(changed)
    return normalised, [*places, origin[len(text)]]


def _independent_parts(text: str) -> Iterator[tuple[int, str]]:
    """Cut a text into parts whose normal forms, one after another, are the normal form of the text."""
    start = 0
    for place in range(1, len(text)):
        character = text[place]
        if unicodedata.combining(character):
            continue
        before = unicodedata.normalize("NFC", text[start:place])
        alone = unicodedata.normalize("NFC", character)
        if unicodedata.normalize("NFC", text[start : place + 1]) == before + alone:
            yield start, text[start:place]
            start = place
    if text:
        yield start, text[start:]
