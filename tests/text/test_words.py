import itertools
import pickle
import re
import tracemalloc
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.utils import get_tags

from skhimatch.text.sequences import UNKNOWN_ID
from skhimatch.text.words import WordTokenizer, check_texts

TEXTS = [
    "A wave is a wave.",
    "The field, and the wave of the field",
    "",
    "Tennis is no wave",
    "is Tennis 2 fields?",
]


def lists_of(sequences):
    return [ids.tolist() for ids in sequences]


class OnlyArray:
    """What numpy makes an array of, but what is no iterable."""

    def __init__(self, entries):
        self.entries = entries

    def __array__(self, dtype=None, copy=None):
        return np.array(self.entries, dtype=dtype)


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
            OnlyArray(["a b", "c"]),
            np.array([["a b"], ["c"]]),
            np.array([["a b"], ["c"]], dtype=object),
            pd.DataFrame({"text": ["a b", "c"]}, index=[7, 3]),
            pd.DataFrame([["a b"], ["c"]]),
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
            (np.array([["a", "b"]]), ValueError, r"Expected 1D.*\(1, 2\).*df\['text'\]"),
            (np.array([[["a"]]]), ValueError, r"Expected 1D.*\(1, 1, 1\)"),
            (np.array([[1.0], [2.0]]), TypeError, "Text 0 is of type float"),
            (sp.csr_array([[1.0], [2.0]]), TypeError, "got sparse numbers, which are no texts"),
            (
                pd.DataFrame({"title": ["a"], "text": ["b"]}),
                ValueError,
                r"Expected 1D.*DataFrame.*df\['text'\], or join the columns: df\['title'\] \+ ' '",
            ),
        ],
        ids=str,
    )
    def test_refuses(self, texts, error, message):
        with pytest.raises(error, match=message):
            check_texts(texts)


class TestWordTokenizer:
    @pytest.mark.parametrize("min_count", [1, 2])
    def test_vocabulary_is_counted_and_sorted(self, min_count):
        counts = Counter(itertools.chain.from_iterable(re.findall(r"\w+", text.lower()) for text in TEXTS))
        expected = sorted(
            (word for word in counts if counts[word] >= min_count), key=lambda w: (-counts[w], w)
        )
        tokenizer = WordTokenizer(min_count=min_count).fit(TEXTS)
        assert tokenizer.vocabulary_.words == tuple(expected)
        assert expected[0] == "wave"

    def test_rare_words_are_kept_if_there_are_few_words(self, monkeypatch):
        texts = ["once twice", "twice more more"]
        assert WordTokenizer().fit(texts).vocabulary_.words == ("more", "twice", "once")
        monkeypatch.setattr("skhimatch.text.words.FEW_WORDS", 4)
        assert WordTokenizer().fit(texts).vocabulary_.words == ("more", "twice")

    def test_counts_agree_with_count_vectorizer(self):
        tokenizer = WordTokenizer(min_count=1)
        sequences = tokenizer.fit_transform(TEXTS)
        counter = CountVectorizer(token_pattern=r"(?u)\b\w+\b")
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

    def test_a_long_text_is_tokenised_only_up_to_max_length(self):
        text = "word " * 2_000_000
        tracemalloc.start()
        assert WordTokenizer(max_length=8, lowercase=False).tokenize(text) == ["word"] * 8
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        # Two million words would take over 100 MB.
        assert peak < 1e5

    def test_no_frequent_word_leaves_all_unknown(self):
        assert lists_of(WordTokenizer(min_count=9).fit_transform(["a b"])) == [[UNKNOWN_ID, UNKNOWN_ID]]

    def test_case(self):
        assert WordTokenizer(lowercase=False).tokenize("A Wave") == ["A", "Wave"]
        assert WordTokenizer().tokenize(["A", "Wave, or two"]) == ["a", "wave, or two"]

    def test_token_lists_are_not_tokenised_again(self):
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
            ({"token_pattern": "("}, "is not a regular expression"),
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
        assert tags.input_tags.one_d_array
        assert not tags.input_tags.two_d_array
        assert tags.transformer_tags.preserves_dtype == []
        assert tags.requires_fit

    def test_pickles_small(self):
        words = [f"word{i:05d}" for i in range(10_000)]
        tokenizer = WordTokenizer(min_count=1, max_length=None).fit([" ".join(words)])
        tokenizer.transform(["word00001"])
        pickled = pickle.dumps(tokenizer)
        assert len(pickled) < 1.5 * sum(map(len, words))
        assert pickle.loads(pickled).transform(["word00001"]).words(0) == ["word00001"]
