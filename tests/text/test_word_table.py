import numpy as np
import pytest

from skhimatch.text import word_table
from skhimatch.text.word_table import PADDING, WordTable, encoded

# Of each length up to 40 bytes, with ends and beginnings in common.
ASCII = [("abcdefghij" * 4)[:length] for length in range(1, 41)]
WORDS = [*ASCII, *(word[:-1] + "_" for word in ASCII), *("é" * n for n in range(1, 20)), "\ud800", "a\ud800"]


def places(words):
    """Put encoded words one after another, with a letter before each, and return them with their places."""
    lines = [encoded(word) for word in words]
    lengths = np.array([len(line) for line in lines], dtype=np.int64)
    starts = np.cumsum(lengths + 1) - lengths
    return b"x".join([b"", *lines, b"xx"]) + PADDING, starts, lengths


@pytest.mark.parametrize("multiplier", [word_table.MULTIPLIER, 1])
@pytest.mark.parametrize("known", [WORDS, WORDS[::2], WORDS[:16], WORDS[20:], ASCII[35:], []], ids=len)
def test_equal_to_a_dict(known, multiplier, monkeypatch):
    monkeypatch.setattr(word_table, "MULTIPLIER", multiplier)
    index = {word: number for number, word in enumerate(known, start=2)}
    wanted = [*WORDS, *reversed(WORDS), "0", "abcdefgh_", "abcdefghij" * 5]
    found = WordTable(index, unknown=1).find(*places(wanted))
    assert found.dtype == np.int32
    assert found.tolist() == [index.get(word, 1) for word in wanted]
    assert WordTable(index, unknown=7).find(*places([])).tolist() == []


def test_words_with_equal_keys(monkeypatch):
    # With 1 as the multiplier, the second integer makes up for the difference of the first.
    monkeypatch.setattr(word_table, "MULTIPLIER", 1)
    first, second = "aaaaaaaadaaabaaa", "aaaabaaaaaaaaaaa"
    short = WordTable({first: 2}, unknown=1)._by_width[0]
    data, starts, lengths = places([first, second])
    keys = short._keys(short._padded(data, starts, lengths))
    assert keys[0] == keys[1]
    # One of them is known.
    for known, expected in ((first, [2, 1]), (second, [1, 2])):
        assert WordTable({known: 2}, unknown=1).find(data, starts, lengths).tolist() == expected
    # Both are: another multiplier is taken.
    assert WordTable({first: 2, second: 3}, unknown=1).find(data, starts, lengths).tolist() == [2, 3]


def test_words_with_nul_are_not_looked_up():
    table = WordTable({"a\0": 2, "a": 3, "\0": 4, "a\0\0": 5}, unknown=1)
    assert table.find(*places(["a", "b"])).tolist() == [3, 1]
