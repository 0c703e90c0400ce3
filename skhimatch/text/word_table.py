"""The ids of known words, for many words at once that are given as places in encoded texts."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from skhimatch.text.key_table import KeyTable

__all__ = ["PADDING", "WordTable", "encoded"]

# Words of up to so many bytes are compared as integers. On 1,000 English abstracts, one word of 850 is longer
# than 16 bytes, and none is longer than 32.
WIDTHS = 16, 32
# Has to follow the encoded texts: bytes after the end of a word are read, too.
PADDING = bytes(max(WIDTHS))
# Odd, so that the product of different numbers is different. Where the keys of two known words are equal all
# the same, the next odd number is taken.
MULTIPLIER = 0xD6E8FEB86659FD93


def encoded(text: str) -> bytes:
    r"""Return a text in UTF-8. Lone surrogates, too, are three bytes.

    Parameters
    ----------
    text : str
        The text.

    Returns
    -------
    bytes

    Examples
    --------
    >>> encoded("caf\xe9")
    b'caf\xc3\xa9'
    """
    return text.encode("utf-8", "surrogatepass")


class WordTable:
    """The ids of known words. It is immutable, and threads may share it.

    Words are looked up by a key, which is computed from their bytes, and then all bytes are compared. So the
    ids are exact.

    Parameters
    ----------
    index : mapping of str to int
        The id of each known word.
    unknown : int
        The id of all other words.

    Examples
    --------
    >>> table = WordTable({"wave": 2, "field": 3}, unknown=1)
    >>> table.find(b"a wave, a field" + PADDING, np.array([0, 2, 10]), np.array([1, 4, 5]))
    array([1, 2, 3], dtype=int32)
    """

    def __init__(self, index: Mapping[str, int], unknown: int):
        self._unknown = unknown
        # No word that is looked up has the character NUL, which integers do not tell from the end of a word.
        ids = {encoded(word): number for word, number in index.items() if "\0" not in word}
        self._by_width = [
            _WordsOfWidth({word: ids[word] for word in ids if above < len(word) <= width}, width, unknown)
            for above, width in pairwise([0, *WIDTHS])
        ]
        self._longer = {word: number for word, number in ids.items() if len(word) > WIDTHS[-1]}

    def find(self, data: bytes, starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int32]:
        """Find the ids of words.

        Parameters
        ----------
        data : bytes
            Texts in UTF-8, and `PADDING` after them.
        starts, lengths : int64 ndarrays of shape (n,)
            Where each word is in `data`, in bytes. Words have one byte or more, and no character NUL.

        Returns
        -------
        int32 ndarray of shape (n,)
            The id of each word.
        """
        ids = self._by_width[0].find(data, starts, lengths)
        for above, words in pairwise(self._by_width):
            rows = np.flatnonzero(lengths > above.width)
            ids[rows] = words.find(data, starts[rows], lengths[rows])
        for row in np.flatnonzero(lengths > WIDTHS[-1]).tolist():
            word = data[starts[row] : starts[row] + lengths[row]]
            ids[row] = self._longer.get(word, self._unknown)
        return ids


class _WordsOfWidth:
    """Known words that have at most `width` bytes, as rows of unsigned integers of 8 bytes."""

    def __init__(self, ids: Mapping[bytes, int], width: int, unknown: int):
        self.width, self._unknown = width, unknown
        self._bytes_of_length = _ones_then_zeros(width)
        lengths = np.fromiter(map(len, ids), dtype=np.int64, count=len(ids))
        self._words = self._padded(b"".join(ids) + PADDING, np.cumsum(lengths) - lengths, lengths)
        self._multiplier = MULTIPLIER
        while not _all_different(keys := self._keys(self._words)):
            self._multiplier += 2
        self._table = KeyTable(keys)
        # Position -1 reads the last one.
        self._ids = np.array([*ids.values(), unknown], dtype=np.int32)

    def find(self, data: bytes, starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int32]:
        """Find the ids of words as `WordTable` does; of longer words, only the first bytes are read."""
        words = self._padded(data, starts, lengths)
        positions = self._table.find(self._keys(words))
        ids = self._ids[positions]
        if len(self._words):
            # Eight times as fast as indexing by an array.
            known = self._words.take(positions, axis=0)
            for column in range(self.width // 8):
                ids[words[:, column] != known[:, column]] = self._unknown
        return ids

    def _padded(
        self, data: bytes, starts: NDArray[np.int64], lengths: NDArray[np.int64]
    ) -> NDArray[np.uint64]:
        """Return words as rows of integers, with zeros after the last byte of each."""
        everywhere: NDArray[np.void] = np.ndarray(
            (len(data) - self.width + 1,), f"V{self.width}", data, strides=(1,)
        )
        words = everywhere[starts].view(np.uint64)
        words &= self._bytes_of_length[np.minimum(lengths, self.width)].view(np.uint64)
        return words.reshape(-1, self.width // 8)

    def _keys(self, words: NDArray[np.uint64]) -> NDArray[np.uint64]:
        multiplier = np.uint64(self._multiplier % 2**64)
        keys = words[:, 0] * multiplier
        for column in range(1, self.width // 8):
            # Without this, the last letters of both integers would only change the highest bits.
            keys ^= keys >> np.uint64(32)
            keys += words[:, column]
            keys *= multiplier
        return keys


def _ones_then_zeros(width: int) -> NDArray[np.void]:
    """Return for each length up to a width so many bytes of ones, then zeros."""
    ones = np.arange(width) < np.arange(width + 1)[:, None]
    return np.where(ones, np.uint8(255), np.uint8(0)).view(f"V{width}").ravel()


def _all_different(keys: NDArray[np.uint64]) -> bool:
    ordered = np.sort(keys)
    return not (ordered[1:] == ordered[:-1]).any()
