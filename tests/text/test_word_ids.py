import pickle
import tracemalloc
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skhimatch import WordTokenizer
from skhimatch.text import word_ids as module
from skhimatch.text import words
from skhimatch.text.scripts import LONG_TEXT_LENGTH, SPECIAL, kinds_of_characters, words_of_any_script
from skhimatch.text.sequences import TokenSequences, Vocabulary
from skhimatch.text.word_ids import word_ids

TEXTS = {
    "ASCII": "The wave_1 of 2 fields, don't\t99x THE\n_ __ a" + "b" * 40 + " " + "c" * 17,
    "letters whose lower case is longer": "\u0130stanbul STRASSE Stra\xdfe \u1e9e",
    "a final sigma": "\u039f\u0394\u039f\u03a3 \u03a3 \u03a3\u0391\u03a3\u03a3",
    "Latin": "na\xefve caf\xe9 \xaa\xba\xb2\xb5 \xd7\xf7 \u0141\xf3d\u017a " + "\xe9" * 17,
    "Cyrillic": "Москва и река, 15 км" + "ж" * 9 + " " + "ж" * 17,
    "Greek": "η θάλασσα και το κύμα",
    "Arabic": "السلام عليكم، ١٢٣",
    "Hebrew": "שלום עולם",
    "Hangul": "한국어 문장, 두 번째",
    "digits": "٣٤ ५६ \U0001d7d8\U0001d7d9 ½ Ⅷ ⑧",
    "marks": "cafe\u0301 a\u0323\u0307 \u0301 e\u0301",
    "vowel signs": "हिन्दी भाषा में",
    "vowelled": "بِسْمِ اللَّهِ",
    "a joiner": "می\u200cخواهم کتاب",
    "parts of syllables": "\u1112\u1161\u11ab \u1112 \ud558\u11ab",
    "other than NFC": "\u212bngstr\xf6m \u2126 \u0340 \uf900 \u0958",
    "Thai": "ภาษาไทย",
    "Japanese": "東京タワー",
    "Chinese": "我爱北京 iPhone15",
    "rare ideographs": "\U00020000\U0002a6d6 a \U00030000",
    "emoji": "\U0001f600 wave\U0001f30a\U0001f30a ❤\ufe0f love",
    "other planes": "\U00010400\U00010428 \U0001d400 \U0001f130 \U000e0101 \U0010ffff",
    "surrogates": "wave\ud800field \udfff a\udc80",
    "NUL": "wave\0field \0\0",
    "nothing": "",
    "spaces": "  \n\u2003 ",
    "punctuation": "... \u2014 ---",
}


def one_by_one(tokenizer, texts):
    """Look up what `tokenize` finds, word by word."""
    index, tokens = tokenizer.vocabulary_.index, [tokenizer.tokenize(text) for text in texts]
    unknown = [word for words in tokens for word in words if word not in index]
    return [[index.get(word, 1) for word in words] for words in tokens], unknown


def check(tokenizer, texts):
    found = word_ids(
        texts,
        tokenizer.vocabulary_,
        lowercase=tokenizer.lowercase,
        max_length=tokenizer.max_length,
    )
    expected, unknown = one_by_one(tokenizer, texts)
    assert [ids.tolist() for ids in found] == expected
    assert found.unknown_words.tolist() == unknown
    assert (found.ids.dtype, found.offsets.dtype) == (np.int32, np.int64)


@pytest.fixture(scope="module", params=[True, False], ids=["lower case", "case"])
def tokenizer(request):
    """It knows every second word of the texts."""
    fitted = WordTokenizer(min_count=1, lowercase=request.param).fit(TEXTS.values())
    known = sorted(fitted.vocabulary_.words)[::2]
    return WordTokenizer(min_count=1, lowercase=request.param).fit([known])


@pytest.mark.parametrize("name", TEXTS)
def test_each_kind_of_text(name, tokenizer):
    text = TEXTS[name]
    check(tokenizer, [text])
    check(tokenizer, [text, "wave", text, text, ""])


def test_all_kinds_at_once(tokenizer, monkeypatch):
    texts = list(TEXTS.values())
    for size in (2**20, 30):
        monkeypatch.setattr(module, "CHUNK_CHARACTERS", size)
        check(tokenizer, texts)
        check(tokenizer, texts[::-1])
    check(tokenizer, ["", "", " "])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.lists(st.sampled_from([*" \n_aB\0", *map("".join, TEXTS.values())]) | st.characters(), max_size=8)
    ),
    st.sampled_from([None, 1, 3]),
    st.booleans(),
)
def test_mixed_texts(texts, max_length, lowercase):
    texts = [*map("".join, texts), "a wave"]
    tokenizer = WordTokenizer(min_count=1, lowercase=lowercase).fit([*texts[::2], "a wave"])
    check(tokenizer.set_params(max_length=max_length), texts)


@pytest.mark.parametrize("max_length", [1, 5, 6, None])
def test_each_text_is_cut(max_length):
    texts = ["a b c d e f", "", "g", "é a b c d e f g", "東 a b c d e f", "a " * 4]
    check(WordTokenizer(min_count=1, max_length=max_length).fit(["a c é"]), texts)


def test_every_character_that_is_not_special(monkeypatch):
    characters = [chr(number) for number in np.flatnonzero(kinds_of_characters() != SPECIAL).tolist()]
    assert len(characters) > 50_000
    assert not any(map(unicodedata.combining, characters))
    # None changes in NFC, alone or after a letter that something may be added to.
    for letter in "aeo\u03c9\u0435\ud558\u0627":
        assert unicodedata.is_normalized("NFC", letter.join(characters))
    texts = [
        "".join(f"a{one}b {one} " for one in characters[at : at + 3000])
        for at in range(0, len(characters), 3000)
    ]
    index = {"ab": 2, "a": 3, "b": 4, "a_b": 5}
    expected = [list(words_of_any_script(text)) for text in texts]
    # All of them are read at once.
    monkeypatch.setattr(module, "words_of_any_script", None)
    found = word_ids(texts, Vocabulary(index), lowercase=False, max_length=None)
    assert [ids.tolist() for ids in found] == [[index.get(word, 1) for word in row] for row in expected]
    assert found.unknown_words.tolist() == [word for row in expected for word in row if word not in index]


class TestTokenizer:
    """Which texts `transform` reads at once."""

    @pytest.fixture
    def calls(self, monkeypatch):
        found = []
        monkeypatch.setattr(
            words, "word_ids", lambda *args, **kwargs: found.append(1) or word_ids(*args, **kwargs)
        )
        return found

    @pytest.mark.parametrize(
        ("length", "at_once"), [(module.MIN_CHARACTERS - 1, 0), (module.MIN_CHARACTERS, 1)]
    )
    def test_many_characters(self, length, at_once, calls):
        text = ("a wave in a field " * 1000)[:length]
        tokenizer = WordTokenizer(min_count=1, max_length=None).fit(["a field wave"])
        for texts in ([text], [text[:100], text[100:]]):
            calls.clear()
            found = tokenizer.transform(texts)
            expected, unknown = one_by_one(tokenizer, texts)
            assert [ids.tolist() for ids in found] == expected
            assert found.unknown_words.tolist() == unknown
            assert len(calls) == at_once

    @pytest.mark.parametrize("tokens", [True, False])
    def test_tokens_and_patterns_are_taken_one_by_one(self, tokens, calls):
        texts = [("A wave " * 1000).split()] if tokens else ["A wave " * 1000]
        tokenizer = WordTokenizer(min_count=1, token_pattern=None if tokens else r"\w").fit(texts)
        assert tokenizer.transform(texts).ids.size == 1000
        assert not calls

    def test_a_class_with_words_of_its_own(self, calls):
        class Letters(WordTokenizer):
            def tokenize(self, text):
                return list(text)

        assert Letters(min_count=1).fit(["ab"]).transform(["ab" * 5000]).ids.size == 10_000
        assert not calls

    def test_the_table_is_in_no_pickle(self):
        tokenizer = WordTokenizer(min_count=1).fit(["a wave"])
        before = pickle.dumps(tokenizer)
        tokenizer.transform(["a wave " * 1000])
        assert "table" in vars(tokenizer.vocabulary_)
        assert pickle.dumps(tokenizer) == before
        assert pickle.loads(before).transform(["a wave " * 1000]).ids.max() == 3


def test_long_texts_are_read_up_to_max_length():
    texts = ["word " * 200_000, "a word", "\xe9 " * LONG_TEXT_LENGTH]
    tokenizer = WordTokenizer(max_length=8, min_count=1, lowercase=False).fit(["a word"])
    tokenizer.vocabulary_.table  # noqa: B018 - it is made before
    tracemalloc.start()
    found = tokenizer.transform(texts)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.lengths.tolist() == [8, 2, 8]
    assert peak < 2e5


def test_memory_is_bounded():
    """That of the texts at a time, not of all texts."""
    tokenizer = WordTokenizer(min_count=1).fit(["a word"])
    texts = ["a word " * 1000] * 600
    tokenizer.transform(texts[:10])
    tracemalloc.start()
    found = tokenizer.transform(texts)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert isinstance(found, TokenSequences)
    assert found.ids.size == 600_000
    assert peak < 60e6
