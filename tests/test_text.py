import itertools
import pickle
import re
import time
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.model_selection import KFold, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.utils import get_tags, resample

from skhimatch.text import PADDING_ID, UNKNOWN_ID, TokenSequences, Vocabulary, WordTokenizer, check_texts

TEXTS = [
    "A wave is a wave.",
    "The field, and the wave of the field",
    "",
    "Tennis is no wave",
    "is Tennis 2 fields?",
]


def lists_of(sequences):
    return [ids.tolist() for ids in sequences]


@pytest.fixture
def sequences():
    return TokenSequences.from_lists([[2, 3], [], [4, 1, 2], [3], [4, 4]], Vocabulary("abc"))


class TestVocabulary:
    def test_ids_start_after_padding_and_unknown(self):
        vocabulary = Vocabulary(["b", "a"])
        assert vocabulary.index == {"b": 2, "a": 3}
        assert {PADDING_ID, UNKNOWN_ID} == {0, 1}
        assert len(vocabulary) == 4
        assert "a" in vocabulary
        assert "c" not in vocabulary

    def test_equal_by_words_and_order(self):
        assert Vocabulary("ab") == Vocabulary(["a", "b"])
        assert hash(Vocabulary("ab")) == hash(Vocabulary(["a", "b"]))
        assert Vocabulary("ab") != Vocabulary("ba")
        assert Vocabulary("ab") != ("a", "b")

    def test_immutable_and_shared_by_clones(self):
        vocabulary = Vocabulary("ab")
        assert clone(vocabulary, safe=False) is vocabulary
        with pytest.raises(AttributeError):
            vocabulary.words = ("c",)

    def test_pickles_its_words_only(self):
        vocabulary = Vocabulary("ab")
        untouched = len(pickle.dumps(vocabulary))
        assert "a" in vocabulary
        assert len(pickle.dumps(vocabulary)) == untouched
        assert pickle.loads(pickle.dumps(vocabulary)) == vocabulary

    def test_errors_name_the_word(self):
        with pytest.raises(ValueError, match="'a' comes twice"):
            Vocabulary("aba")
        with pytest.raises(TypeError, match=r"Word 1 .* None"):
            Vocabulary(["a", None])


class TestTokenSequences:
    def test_looks_like_a_column(self, sequences):
        assert sequences.shape == (5,)
        assert sequences.ndim == 1
        assert len(sequences) == 5
        assert sequences.lengths.tolist() == [2, 0, 3, 1, 2]
        assert sequences.ids.dtype == np.int32
        assert sequences.offsets.dtype == np.int64
        assert "5 texts, 8 tokens" in repr(sequences)

    @pytest.mark.parametrize("position", [0, 1, 4, -1, -5, np.int64(2)])
    def test_an_integer_gives_a_text(self, sequences, position):
        expected = [[2, 3], [], [4, 1, 2], [3], [4, 4]][position]
        assert sequences[position].tolist() == expected
        assert sequences[position].dtype == np.int32

    @pytest.mark.parametrize(
        "key",
        [
            slice(None),
            slice(1, 4),
            slice(None, None, -2),
            [3, 0, 0, -1],
            [],
            np.array([4, 2], dtype=np.int32),
            np.array([True, False, True, False, True]),
            [True, False, False, False, True],
            pd.Series([2, 1]),
        ],
        ids=str,
    )
    def test_other_keys_give_sequences(self, sequences, key):
        expected = np.arange(5)[key].tolist()
        for chosen in (sequences[key], sequences[key, ...]):
            assert isinstance(chosen, TokenSequences)
            assert chosen.vocabulary is sequences.vocabulary
            assert lists_of(chosen) == [sequences[position].tolist() for position in expected]

    @pytest.mark.parametrize("key", [5, -6, [0, 5], np.array([True, False]), np.zeros((2, 2), int), (1, 2)])
    def test_out_of_range(self, sequences, key):
        with pytest.raises(IndexError):
            sequences[key]

    def test_indexing_many_matches_a_loop(self):
        rng = np.random.default_rng(0)
        lists = [rng.integers(0, 12, size=length).tolist() for length in rng.integers(0, 9, size=300)]
        sequences = TokenSequences.from_lists(lists, Vocabulary("abcdefghij"))
        rows = rng.integers(0, 300, size=500)
        assert lists_of(sequences[rows]) == [lists[row] for row in rows]

    def test_words(self, sequences):
        assert sequences.words(2) == ["c", "<unknown>", "a"]
        assert sequences.words(1) == []

    def test_pickle(self, sequences):
        again = pickle.loads(pickle.dumps(sequences))
        assert lists_of(again) == lists_of(sequences)
        assert again.vocabulary == sequences.vocabulary

    @pytest.mark.parametrize(
        ("ids", "offsets", "message"),
        [
            ([2, 3], [0, 1], "0 to the number of ids, 2"),
            ([2, 3], [0, 3, 2], "rise"),
            ([2, 3], [], "1-D"),
            ([[2, 3]], [0, 2], "1-D"),
            ([2, 9], [0, 2], "ids run from 2 to 9"),
            ([-1, 2], [0, 2], "ids run from -1"),
        ],
    )
    def test_bad_parts(self, ids, offsets, message):
        with pytest.raises(ValueError, match=message):
            TokenSequences(ids, offsets, Vocabulary("abc"))

    def test_train_test_split(self, sequences):
        rows = np.arange(5)
        train, test, train_rows, test_rows = train_test_split(sequences, rows, test_size=2, random_state=0)
        assert isinstance(train, TokenSequences)
        assert lists_of(train) == [sequences[row].tolist() for row in train_rows]
        assert lists_of(test) == [sequences[row].tolist() for row in test_rows]

    def test_cross_validation_and_resampling(self, sequences):
        lengths = sequences.lengths

        class Lengths(BaseEstimator):
            def fit(self, X, y):
                assert isinstance(X, TokenSequences)
                np.testing.assert_array_equal(X.lengths, y)
                return self

            def score(self, X, y):
                return float((X.lengths == y).mean())

        assert cross_val_score(Lengths(), sequences, lengths, cv=KFold(3)).tolist() == [1, 1, 1]
        drawn, drawn_lengths = resample(sequences, lengths, random_state=0)
        assert drawn.lengths.tolist() == drawn_lengths.tolist()


class TestCheckTexts:
    @pytest.mark.parametrize(
        "texts",
        [
            ["a b", "c"],
            ("a b", "c"),
            np.array(["a b", "c"]),
            np.array(["a b", "c"], dtype=object),
            pd.Series(["a b", "c"], index=[7, 3]),
            pd.Series(["a b", "c"], dtype=object),
            (text for text in ["a b", "c"]),
        ],
    )
    def test_accepts(self, texts):
        checked = check_texts(texts)
        assert checked == ["a b", "c"]
        assert {type(text) for text in checked} == {str}

    def test_token_lists(self):
        assert check_texts([["a", "b"], ("c",), np.array(["d"]), []]) == [["a", "b"], ["c"], ["d"], []]

    @pytest.mark.parametrize(
        ("texts", "error", "message"),
        [
            ("a b", TypeError, "single str; wrap it in a list"),
            (3, TypeError, "got a int"),
            (None, TypeError, "got a NoneType"),
            (np.array("a"), TypeError, "ndarray"),
            ({"a": "b"}, TypeError, "dict"),
            (["a", None], TypeError, "Text 1 is of type NoneType.* drop"),
            (["a", "b", float("nan")], TypeError, "Text 2 is of type float.* drop"),
            (pd.Series(["a", None]), TypeError, "Text 1 .* drop"),
            ([1, "a"], TypeError, "Text 0 is of type int"),
            (np.array([1.0, 2.0]), TypeError, "Text 0 is of type float"),
            (["a", b"b"], TypeError, "Text 1 is of type bytes.* decode"),
            ([["a"], "b"], TypeError, "Text 1 is a str, but text 0"),
            (["b", ["a"]], TypeError, "Text 1 is a list of tokens, but text 0"),
            ([["a"], ["b", 3]], TypeError, "Token 1 of text 1 is of type int"),
            ([], ValueError, "0 samples.* minimum of 1 is required"),
            (np.array([["a"], ["b"]]), ValueError, r"Expected 1D.*\(2, 1\).*df\['text'\]"),
            (pd.DataFrame({"text": ["a"]}), ValueError, r"Expected 1D.*DataFrame.*df\['text'\]"),
        ],
        ids=str,
    )
    def test_refuses(self, texts, error, message):
        with pytest.raises(error, match=message):
            check_texts(texts)


class TestWordTokenizer:
    def test_vocabulary_is_counted_and_sorted(self):
        counts = Counter(itertools.chain.from_iterable(re.findall(r"\w+", text.lower()) for text in TEXTS))
        expected = sorted((word for word in counts if counts[word] >= 2), key=lambda w: (-counts[w], w))
        tokenizer = WordTokenizer().fit(TEXTS)
        assert tokenizer.vocabulary_.words == tuple(expected)
        assert expected[0] == "wave"

    def test_counts_agree_with_count_vectorizer(self):
        tokenizer = WordTokenizer(min_count=1)
        sequences = tokenizer.fit_transform(TEXTS)
        counter = CountVectorizer(token_pattern=tokenizer.token_pattern)
        expected = counter.fit_transform(TEXTS).toarray()
        for row, ids in zip(expected, sequences, strict=True):
            found = np.bincount(ids, minlength=len(tokenizer.vocabulary_))
            columns = [tokenizer.vocabulary_.index[word] for word in counter.get_feature_names_out()]
            assert found[columns].tolist() == row.tolist()

    def test_fit_transform_is_fit_then_transform(self):
        tokenizer = WordTokenizer(max_length=4)
        once = tokenizer.fit_transform(TEXTS)
        twice = WordTokenizer(max_length=4).fit(TEXTS).transform(TEXTS)
        assert lists_of(once) == lists_of(twice)
        assert once.vocabulary is tokenizer.vocabulary_

    def test_transform_knows_training_words_only(self):
        tokenizer = WordTokenizer(min_count=1).fit(["a b b"])
        sequences = tokenizer.transform(["B new a", "", "..."])
        assert lists_of(sequences) == [[2, UNKNOWN_ID, 3], [], []]

    def test_max_vocabulary(self):
        assert WordTokenizer(max_vocabulary=1).fit(TEXTS).vocabulary_.words == ("wave",)
        assert len(WordTokenizer(max_vocabulary=None, min_count=1).fit(TEXTS).vocabulary_.words) == 11

    def test_words_past_max_length_are_not_counted(self):
        tokenizer = WordTokenizer(min_count=1, max_length=2).fit(["a b c c c", "a"])
        assert tokenizer.vocabulary_.words == ("a", "b")
        assert lists_of(tokenizer.transform(["c a b"])) == [[UNKNOWN_ID, 2]]
        assert WordTokenizer(min_count=1, max_length=None).fit_transform(["a " * 999]).lengths[0] == 999

    def test_a_long_text_is_not_read_to_its_end(self):
        text = "word " * 2_000_000
        start = time.perf_counter()
        assert WordTokenizer(max_length=8, lowercase=False).tokenize(text) == ["word"] * 8
        assert time.perf_counter() - start < 0.1

    def test_no_frequent_word_leaves_all_unknown(self):
        assert lists_of(WordTokenizer(min_count=9).fit_transform(["a b"])) == [[UNKNOWN_ID, UNKNOWN_ID]]

    def test_case(self):
        assert WordTokenizer(lowercase=False).tokenize("A Wave") == ["A", "Wave"]
        assert WordTokenizer().tokenize(["A", "Wave, or two"]) == ["a", "wave, or two"]

    def test_token_lists_are_taken_as_they_are(self):
        tokenizer = WordTokenizer(min_count=1, max_length=2)
        sequences = tokenizer.fit_transform([["New York", "is", "far"], []])
        assert sequences.words(0) == ["new york", "is"]
        assert tokenizer.transform([["IS"]]).words(0) == ["is"]

    def test_token_pattern(self):
        assert WordTokenizer(token_pattern=r"[a-z]+").tokenize("a1b") == ["a", "b"]
        assert WordTokenizer(token_pattern=r"<(\w+)>").tokenize("<a> b <c>") == ["a", "c"]
        assert WordTokenizer(token_pattern=r"\w*").tokenize("a b") == ["a", "b"]

    @pytest.mark.parametrize(
        ("params", "message"),
        [
            ({"token_pattern": "("}, "no regular expression"),
            ({"token_pattern": "(a)(b)"}, "2 groups"),
            ({"token_pattern": "@"}, "finds no token"),
            ({"min_count": 0}, "min_count"),
            ({"max_length": 0}, "max_length"),
            ({"max_vocabulary": 1.5}, "max_vocabulary"),
            ({"lowercase": "no"}, "lowercase"),
        ],
    )
    @pytest.mark.parametrize("method", ["fit", "fit_transform"])
    def test_bad_parameters(self, params, message, method):
        tokenizer = WordTokenizer(**params)
        with pytest.raises(ValueError, match=message):
            getattr(tokenizer, method)(TEXTS)
        assert not hasattr(tokenizer, "vocabulary_")

    @pytest.mark.parametrize("texts", ["a text", [], ["a", None]], ids=str)
    def test_bad_texts(self, texts):
        fitted = WordTokenizer().fit(TEXTS)
        for method in (WordTokenizer().fit, WordTokenizer().fit_transform, fitted.transform):
            with pytest.raises((TypeError, ValueError)):
                method(texts)

    def test_not_fitted(self):
        with pytest.raises(NotFittedError):
            WordTokenizer().transform(TEXTS)

    def test_clone_pipeline_and_tags(self):
        tokenizer = clone(WordTokenizer(max_length=3).fit(TEXTS))
        assert not hasattr(tokenizer, "vocabulary_")
        assert make_pipeline(tokenizer).fit_transform(TEXTS).lengths.max() == 3
        tags = get_tags(tokenizer)
        assert tags.input_tags.string
        assert not tags.input_tags.two_d_array
        assert tags.requires_fit

    def test_pickles_small(self):
        words = [f"word{i:05d}" for i in range(10_000)]
        tokenizer = WordTokenizer(min_count=1, max_length=None).fit([" ".join(words)])
        tokenizer.transform(["word00001"])
        pickled = pickle.dumps(tokenizer)
        assert len(pickled) < 1.5 * sum(map(len, words))
        assert pickle.loads(pickled).transform(["word00001"]).words(0) == ["word00001"]

    def test_fast(self):
        rng = np.random.default_rng(0)
        words = np.array([f"word{i}" for i in range(20_000)])
        texts = [" ".join(row) for row in words[rng.integers(0, 20_000, size=(5_000, 200))]]
        start = time.process_time()
        WordTokenizer().fit_transform(texts)
        assert time.process_time() - start < 2
