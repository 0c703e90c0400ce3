"""A hash table of integers, in which many are looked up at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["KeyTable"]

# 2**64 divided by the golden ratio: the highest bits of its products with neighbouring keys are far apart.
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
# At least so many slots for each key. With 1.5 instead, it takes twice as long to look up the 188,000 word
# pairs of 1,000 abstracts among 122,560 n-grams.
SLOTS_PER_KEY = 3


class KeyTable:
    """A hash table of distinct integers, with open addressing and linear probing.

    The slot of a key is the highest bits of its product with a constant. A key whose slot is taken by another
    one is in the next free slot. It is immutable, and threads may share it.

    Parameters
    ----------
    keys : int64 or uint64 ndarray of shape (n,)
        The keys, in any order. Each occurs once.

    Examples
    --------
    >>> table = KeyTable(np.array([30, -7, 2**62]))
    >>> table.find(np.array([2**62, 5, 30]))
    array([ 2, -1,  0], dtype=int32)
    """

    def __init__(self, keys: NDArray[np.integer[Any]]):
        self._keys = np.ascontiguousarray(keys)
        bits = max(1, int(SLOTS_PER_KEY * len(keys) - 1).bit_length())
        self._shift, self._last = np.uint64(64 - bits), (1 << bits) - 1
        # The position of the key in each slot, -1 in a free one.
        self._positions = np.full(1 << bits, -1, dtype=np.int32)
        pending, slots = np.arange(len(keys), dtype=np.int32), self._slots(self._keys)
        while len(pending):
            free = self._positions[slots] < 0
            # Of several keys with the same free slot, the last one gets it.
            self._positions[slots[free]] = pending[free]
            without = np.flatnonzero(self._positions[slots] != pending)
            pending, slots = pending[without], (slots[without] + 1) & self._last

    def find(self, wanted: NDArray[np.integer[Any]]) -> NDArray[np.int32]:
        """Find the positions of keys.

        Parameters
        ----------
        wanted : int64 or uint64 ndarray of shape (m,)
            Integers of the type of the keys. They may repeat.

        Returns
        -------
        int32 ndarray of shape (m,)
            Where each is among the keys, -1 if it is not.
        """
        if not len(self._keys):
            return np.full(len(wanted), -1, dtype=np.int32)
        slots = self._slots(np.ascontiguousarray(wanted))
        found = self._positions[slots]
        # A free slot ends the search. The key that -1 reads, the last one, does not matter.
        pending = np.flatnonzero((self._keys[found] != wanted) & (found >= 0))
        slots, wanted = slots[pending], wanted[pending]
        while len(pending):
            slots = (slots + 1) & self._last
            positions = self._positions[slots]
            found[pending] = positions
            others = np.flatnonzero((self._keys[positions] != wanted) & (positions >= 0))
            pending, slots, wanted = pending[others], slots[others], wanted[others]
        return found

    def _slots(self, keys: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
        """Return the slots at which the search for keys begins."""
        return ((keys.view(np.uint64) * MULTIPLIER) >> self._shift).view(np.int64)
