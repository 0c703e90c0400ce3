import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.model_selection import KFold, cross_val_score, train_test_split
from sklearn.utils import resample

from skhimatch import WordTokenizer
from skhimatch.text.sequences import PADDING_ID, UNKNOWN_ID, TokenSequences, Vocabulary


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
        with pytest.raises(ValueError, match="'a' occurs twice"):
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

    @pytest.mark.parametrize("key", [slice(1, 4), slice(0, 1), slice(3, 1), slice(-2, None), slice(1, 4, 2)])
    def test_slices_are_those_of_an_array(self, key):
        sequences = TokenSequences(
            [2, 1, 1, 3, 1, 4], [0, 2, 2, 3, 5, 6], Vocabulary("abc"), np.array(["w", "x", "y"], dtype=object)
        )
        part, same = sequences[key], sequences[np.arange(5)[key]]
        assert lists_of(part) == lists_of(same)
        assert part.offsets.tolist() == same.offsets.tolist()
        assert part.unknown_words.tolist() == same.unknown_words.tolist()
        assert lists_of(part[1:]) == lists_of(same)[1:]

    def test_a_pickled_slice_holds_only_its_texts(self):
        sequences = TokenSequences.from_lists([[2] * 1000] * 100, Vocabulary("abc"))
        assert len(pickle.dumps(sequences[:1])) < len(pickle.dumps(sequences)) / 20

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


class TestUnknownWords:
    VOCABULARY = Vocabulary(["wave"])
    TEXTS = TokenSequences([1, 2, 1, 2, 1], [0, 3, 3, 4, 5], VOCABULARY, ["a", "b", "c"])

    @pytest.mark.parametrize(
        ("rows", "expected"),
        [
            (slice(None), ["a", "b", "c"]),
            (slice(1, 3), []),
            ([3, 0, 3], ["c", "a", "b", "c"]),
            (np.array([True, False, False, False]), ["a", "b"]),
        ],
    )
    def test_each_text_keeps_its_own(self, rows, expected):
        part = self.TEXTS[rows]
        assert part.unknown_words.tolist() == expected
        assert part[:].unknown_words.tolist() == expected

    def test_parts_are_put_together(self):
        both = TokenSequences.concatenated([self.TEXTS[[3]], self.TEXTS])
        assert both.unknown_words.tolist() == ["c", "a", "b", "c"]
        without = TokenSequences([1], [0, 1], self.VOCABULARY)
        assert TokenSequences.concatenated([self.TEXTS, without]).unknown_words is None

    def test_as_many_as_unknown_ids(self):
        with pytest.raises(ValueError, match=r"unknown_words has the shape \(1,\), but 2 ids are 1"):
            TokenSequences([1, 2, 1], [0, 3], self.VOCABULARY, ["a"])

    def test_a_tokenizer_knows_them(self):
        tokenizer = WordTokenizer(min_count=2)
        trained = tokenizer.fit_transform(["Wave wave field", "", "lens wave"])
        assert trained.unknown_words.tolist() == ["field", "lens"]
        assert tokenizer.transform(["a wave", "Prism"]).unknown_words.tolist() == ["a", "prism"]
