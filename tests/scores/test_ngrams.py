import pickle
from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.feature_extraction.text import TfidfVectorizer
from toy_corpus import binarize, make_corpus

from skhimatch import WordTokenizer
from skhimatch.scores.ngrams import NGramFeatures
from skhimatch.text.sequences import TokenSequences, Vocabulary

TEXTS, LABEL_SETS = make_corpus(80)
UNSEEN, UNSEEN_SETS = make_corpus(80, seed=1)
TARGETS = sp.csr_array(binarize(LABEL_SETS))
TOKENIZER = WordTokenizer(min_count=1).fit(TEXTS)
SEQUENCES = TOKENIZER.transform(TEXTS)
FEATURES = NGramFeatures.learn(SEQUENCES)(SEQUENCES)


def names(ngrams, vocabulary):
    """Spell n-grams out."""
    words = ["", "", *vocabulary.words]
    size = len(vocabulary)
    return [
        words[code] if code < size else f"{words[code // size]} {words[code % size]}"
        for code in ngrams.codes.tolist()
    ]


class TestNGramWeights:
    @pytest.mark.parametrize(("few_words", "min_df"), [(200_000, 1), (10, 2)])
    def test_equal_to_scikit_learns_tfidf(self, monkeypatch, few_words, min_df):
        monkeypatch.setattr("skhimatch.text.words.FEW_WORDS", few_words)
        vectorizer = TfidfVectorizer(
            ngram_range=(1, 2), sublinear_tf=True, min_df=min_df, token_pattern=r"(?u)\b\w+\b"
        ).fit(TEXTS)
        ngrams = NGramFeatures.learn(SEQUENCES)
        columns = [vectorizer.vocabulary_[name] for name in names(ngrams, TOKENIZER.vocabulary_)]
        assert sorted(columns) == list(range(len(vectorizer.vocabulary_)))
        # Words of unseen texts that no training text has part their neighbours in scikit-learn's eyes, too.
        for texts in (TEXTS, UNSEEN, ["", "qwertz", "lens qwertz prism", "the the the lens"]):
            found = ngrams(TOKENIZER.transform(texts))
            assert found.dtype == np.float32
            expected = vectorizer.transform(texts)[:, columns].toarray()
            np.testing.assert_allclose(found.toarray(), expected, atol=1e-6)

    def test_pairs_do_not_cross_texts_or_unknown_words(self):
        vocabulary = Vocabulary(["a", "b"])
        texts = TokenSequences.from_lists([[2], [3], [2, 1, 3], [2], [3], [2, 1, 3]], vocabulary)
        assert names(NGramFeatures.learn(texts), vocabulary) == ["a", "b"]

    def test_the_commonest_are_kept(self):
        vocabulary = Vocabulary(["a", "b", "c"])
        texts = TokenSequences.from_lists([[2, 3]] * 3 + [[3, 4]] * 2 + [[3]], vocabulary)
        assert names(NGramFeatures.learn(texts, max_ngrams=3), vocabulary) == ["a", "b", "a b"]
        assert len(NGramFeatures.learn(texts, max_ngrams=5).codes) == 5

    @pytest.mark.parametrize("at_once", [1, 7, 80])
    def test_many_texts_are_taken_in_parts(self, at_once, monkeypatch):
        whole = NGramFeatures.learn(SEQUENCES)
        monkeypatch.setattr("skhimatch.scores.ngrams.CHUNK_SIZE", at_once)
        parts = NGramFeatures.learn(SEQUENCES)
        np.testing.assert_array_equal(parts.codes, whole.codes)
        np.testing.assert_array_equal(parts.idf, whole.idf)
        np.testing.assert_array_equal(parts(SEQUENCES).toarray(), whole(SEQUENCES).toarray())

    @pytest.mark.parametrize("columns_per_entry", [0, 10**6], ids=["sorted rows", "counting"])
    def test_equal_bits_to_a_search_one_by_one(self, columns_per_entry, monkeypatch):
        monkeypatch.setattr("skhimatch.scores.ngrams.COLUMNS_PER_ENTRY", columns_per_entry)
        ngrams = NGramFeatures.learn(SEQUENCES[:40])
        size, column = len(TOKENIZER.vocabulary_), {code: at for at, code in enumerate(ngrams.codes.tolist())}
        # Empty texts are first, in the middle and last; unknown words begin and end texts.
        texts = TOKENIZER.transform(["", *UNSEEN[:30], "", "", "qwertz the lens qwertz", *TEXTS, "the", ""])
        rows, columns = [], []
        for row, ids in enumerate(texts):
            found = [
                *(word for word in ids.tolist() if word != 1),
                *(int(a) * size + int(b) for a, b in pairwise(ids) if 1 not in (a, b)),
            ]
            columns += [column[code] for code in found if code in column]
            rows += [row] * (len(columns) - len(rows))
        places = np.array([rows, columns], dtype=np.int32)
        expected = sp.csr_array((np.ones(len(rows), dtype=np.float32), places), (len(texts), len(ngrams)))
        counts = ngrams.counts(texts)
        assert counts.has_canonical_format
        for name in ("data", "indices", "indptr"):
            np.testing.assert_array_equal(getattr(counts, name), getattr(expected, name), strict=True)
        assert counts.data.max() > 1

    def test_the_table_is_made_once_and_is_in_no_pickle(self):
        ngrams = NGramFeatures.learn(SEQUENCES)
        before = pickle.dumps(ngrams)
        ngrams(SEQUENCES)
        table = ngrams._table
        ngrams(SEQUENCES[:3])
        assert ngrams._table is table
        assert pickle.dumps(ngrams) == before
        read = pickle.loads(before)
        np.testing.assert_array_equal(read(SEQUENCES).toarray(), ngrams(SEQUENCES).toarray())

    def test_no_shared_n_gram(self, monkeypatch):
        monkeypatch.setattr("skhimatch.text.words.FEW_WORDS", 1)
        vocabulary = Vocabulary(["a", "b"])
        texts = TokenSequences.from_lists([[2], [3], []], vocabulary)
        ngrams = NGramFeatures.learn(texts)
        assert ngrams(texts).shape == (3, 0)

    def test_n_grams_are_bounded(self, monkeypatch):
        monkeypatch.setattr("skhimatch.scores.ngrams.MAX_NGRAMS", 50)
        assert len(NGramFeatures.learn(SEQUENCES)) == 50


def test_ngrams_are_readable():
    vocabulary = Vocabulary(["quark", "cell"])
    texts = TokenSequences.from_lists([[2, 3, 2], [2, 3, 2]], vocabulary)
    ngrams = NGramFeatures.learn(texts)
    assert ngrams.readable(range(len(ngrams)), vocabulary) == ["quark", "cell", "quark cell", "cell quark"]
