"""Words are found where they are in the text as it was given, whatever its script and normal form."""

import unicodedata

import numpy as np
import pytest

from skhimatch import WordTokenizer
from skhimatch.text.places import placed_words, without_places

# Letters that compose, decompose, get longer in lower case, or are written without spaces.
CHARACTERS = [
    *"aZß9_-. \t",
    "\u0301",
    "\u0323",
    "\u0345",
    "é",
    "Å",
    "\u212b",
    "İ",
    "Σ",
    "\u0915",
    "\u093c",
    "\u093f",
    "\u09c7",
    "\u09be",
    "北",
    "\ufa1e",
    "\uf900",
    "ก",
    "\u0e33",
    "า",
    "か",
    "\u3099",
    "\u1100",
    "\u1161",
    "\u11a8",
    "한",
    "\U0001d15e",
    "\ud800",
    "😀",
]


def random_texts(number, seed=0):
    draws = np.random.default_rng(seed)
    return ["".join(draws.choice(CHARACTERS, size=draws.integers(0, 12))) for _ in range(number)]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"lowercase": False},
        {"token_pattern": r"(?u)\b\w\w+\b"},
        {"token_pattern": r"<?(\w*)>?"},
        {"max_length": 2},
    ],
)
def test_words_are_those_of_the_tokenizer(settings):
    tokenizer = WordTokenizer(**settings)
    for text in random_texts(3000):
        assert [placed.word for placed in placed_words(text, tokenizer)] == tokenizer.tokenize(text), ascii(
            text
        )


def test_the_place_of_a_word_holds_the_word():
    tokenizer = WordTokenizer()
    for text in random_texts(3000, seed=1):
        for placed in placed_words(text, tokenizer):
            there = unicodedata.normalize("NFC", text[placed.start : placed.end].lower())
            # A sigma is another letter at the end of a word.
            assert placed.word.replace("ς", "σ") in there.replace("ς", "σ"), ascii(text)


def test_places_are_counted_in_the_given_text():
    text = "e\u0301e\u0301 \u212bngström İstanbul cafe\u0301 北京"
    found = [(text[word.start : word.end], word.word) for word in placed_words(text, WordTokenizer())]
    assert found == [
        ("e\u0301e\u0301", "éé"),
        ("\u212bngström", "ångström"),
        ("İstanbul", "i\u0307stanbul"),
        ("cafe\u0301", "café"),
        ("北", "北"),
        ("京", "京"),
    ]


def test_a_part_of_a_character_is_the_whole_character():
    # In lower case it is two characters, of which the pattern takes one.
    [placed] = placed_words("\u0130", WordTokenizer(token_pattern="[a-z]"))
    assert (placed.word, placed.start, placed.end) == ("i", 0, 1)


def test_all_words_are_found_beyond_the_length_that_is_read():
    tokenizer = WordTokenizer(max_length=2)
    assert len(placed_words("a b c d", tokenizer)) == 2
    assert len(placed_words("a b c d", tokenizer, all_words=True)) == 4


@pytest.mark.parametrize(
    ("text", "places", "expected"),
    [
        ("a light wave", [(2, 7)], "a wave"),
        ("a light wave", [(0, 1)], "light wave"),
        ("a light wave", [(8, 12)], "a light"),
        ("a light wave", [(8, 12), (0, 1)], "light"),
        ("a light wave", [(0, 1), (2, 7), (8, 12)], ""),
        ("light-wave", [(0, 5)], "-wave"),
        ("12AB34", [(2, 4)], "12 34"),
        ("กขคง", [(0, 2), (1, 3)], "ง"),
        ("กขคง", [(1, 3)], "ก ง"),
        ("one", [], "one"),
        (" one ", [], " one "),
    ],
)
def test_what_is_left_does_not_grow_together(text, places, expected):
    assert without_places(text, places) == expected


def test_leaving_out_a_word_leaves_out_its_token_alone():
    tokenizer = WordTokenizer()
    text = "The wave-field, (seen) at 北京 once."
    words = placed_words(text, tokenizer)
    for left_out in range(len(words)):
        shorter = without_places(text, [(words[left_out].start, words[left_out].end)])
        expected = [word.word for place, word in enumerate(words) if place != left_out]
        assert tokenizer.tokenize(shorter) == expected
