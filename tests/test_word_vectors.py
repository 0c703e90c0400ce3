import copy
import gzip
import math
import os
import pickle
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone

from skhimatch.text import Vocabulary, WordTokenizer
from skhimatch.word_vectors import (
    WordVectors,
    as_word_vectors,
    embedding_table,
    label_vectors,
    label_words,
    read_word_vectors,
)

GLOVE = "wave 1 0.5\nfield -2 1e-1\nthe 0 0\n"


@pytest.fixture
def glove(tmp_path):
    path = tmp_path / "glove.txt"
    path.write_text(GLOVE)
    return path


@pytest.fixture
def real_vectors():
    folder = os.environ.get("SKHIMATCH_DATA")
    if folder is None:
        pytest.skip("SKHIMATCH_DATA does not name the folder of real data")
    return Path(folder, "vectors", "glove.840B.300d.9910.txt")


class TestWordVectors:
    def test_lookup(self):
        vectors = WordVectors.from_mapping({"wave": [1, 2], "field": np.array([3.0, 4.0])})
        assert vectors.words == ("wave", "field")
        assert vectors.vectors.dtype == np.float32
        assert vectors.dimension == 2
        assert len(vectors) == 2
        assert "field" in vectors
        assert "tennis" not in vectors
        assert vectors["field"].tolist() == [3, 4]
        assert vectors.get("tennis") is None
        assert vectors.get("wave").tolist() == [1, 2]
        assert vectors.lookup(["field", "tennis", "wave"]).tolist() == [1, -1, 0]
        assert vectors.lookup([]).dtype == np.int64
        assert repr(vectors) == "<WordVectors: 2 words, 2 dimensions>"
        with pytest.raises(KeyError, match="tennis"):
            vectors["tennis"]

    def test_immutable_and_shared_by_clones(self):
        source = np.ones((1, 2), dtype=np.float32)
        vectors = WordVectors(["wave"], source)
        source[:] = 7
        assert vectors["wave"].tolist() == [1, 1]
        with pytest.raises(ValueError, match="read-only"):
            vectors.vectors[0, 0] = 3
        assert clone(vectors, safe=False) is vectors

    @pytest.mark.parametrize("again", [copy.deepcopy, lambda vectors: pickle.loads(pickle.dumps(vectors))])
    def test_copies(self, again):
        vectors = again(WordVectors(["wave", "field"], [[1, 2], [3, 4]]))
        assert vectors.words == ("wave", "field")
        assert vectors["field"].tolist() == [3, 4]
        assert not vectors.vectors.flags.writeable

    @pytest.mark.parametrize(
        ("words", "vectors", "message"),
        [
            (["a"], [[1], [2]], "1 words need"),
            (["a"], [1], "as many rows"),
            (["a", "b", "a"], [[1], [2], [3]], "'a' comes twice"),
            (["a", "b"], [[1], [np.nan]], "'b' holds NaN"),
            (["a", "b"], [[np.inf], [1]], "'a' holds NaN or infinite"),
        ],
    )
    def test_refuses(self, words, vectors, message):
        with pytest.raises(ValueError, match=message):
            WordVectors(words, vectors)

    def test_from_mapping_refuses(self):
        with pytest.raises(ValueError, match="empty"):
            WordVectors.from_mapping({})
        with pytest.raises(ValueError, match=r"'b' has shape \(3,\).*'a' has \(2,\)"):
            WordVectors.from_mapping({"a": [1, 2], "b": [1, 2, 3]})


class TestReadWordVectors:
    def test_all_words(self, glove):
        vectors = read_word_vectors(glove)
        assert vectors.words == ("wave", "field", "the")
        np.testing.assert_array_equal(vectors.vectors, np.float32([[1, 0.5], [-2, 0.1], [0, 0]]))

    @pytest.mark.parametrize("words", [{"field", "tennis"}, ["tennis", "field"], {"field": 3}])
    def test_only_some_words(self, glove, words):
        vectors = read_word_vectors(str(glove), words)
        assert vectors.words == ("field",)
        assert vectors["field"].tolist() == np.float32([-2, 0.1]).tolist()

    def test_no_word_known(self, glove):
        vectors = read_word_vectors(glove, {"tennis"})
        assert (len(vectors), vectors.dimension) == (0, 2)

    @pytest.mark.parametrize("text", [GLOVE, "3 2\n" + GLOVE, GLOVE.replace("\n", " \r\n"), GLOVE + "\n\n"])
    @pytest.mark.parametrize("zipped", [False, True])
    def test_layouts(self, tmp_path, glove, text, zipped):
        path = tmp_path / ("vectors.gz" if zipped else "vectors.txt")
        path.write_bytes(gzip.compress(text.encode()) if zipped else text.encode())
        vectors = read_word_vectors(path)
        assert vectors.words == ("wave", "field", "the")
        np.testing.assert_array_equal(vectors.vectors, read_word_vectors(glove).vectors)

    def test_words_with_blanks_and_odd_line_breaks(self, tmp_path):
        path = tmp_path / "vectors.txt"
        path.write_text("a 1 2\n. . . 3 4\nto name@domain.com 5 6\nx\x85y 7 8\n", encoding="utf-8")
        vectors = read_word_vectors(path)
        assert vectors.words == ("a", ". . .", "to name@domain.com", "x\x85y")
        assert vectors[". . ."].tolist() == [3, 4]

    def test_first_of_a_repeated_word(self, tmp_path):
        path = tmp_path / "vectors.txt"
        path.write_text("a 1 2\nb 3 4\na 5 6\n")
        assert read_word_vectors(path)["a"].tolist() == [1, 2]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "Line 1 of .*vectors.txt"),
            ("wave\n", "Line 1 of .*'wave'"),
            ("a 1 2\nb 3\n", "Line 2 of .*expected 2 numbers after the word, found 1"),
            ("a 1 2\nb 3 4 5\n", "Line 2 of .*found 3"),
            ("2 2\na 1 2\nb\n", "Line 3 of .*found 0"),
            ("a 1 2\nb 3 x\n", "Line 2 of .*'x'"),
            ("3 2\na 1 2\n", "promises 3 vectors but ends after 1"),
            ("a 1 nan\n", "'a' holds NaN"),
        ],
    )
    def test_bad_files(self, tmp_path, text, message):
        path = tmp_path / "vectors.txt"
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            read_word_vectors(path)

    def test_missing_file(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"nowhere\.txt; pass the path"):
            read_word_vectors(tmp_path / "nowhere.txt")

    def test_real_vectors(self, real_vectors):
        words = {"physics", "biology", "tennis", "qwertzuiop"}
        vectors = read_word_vectors(real_vectors, words)
        assert set(vectors.words) == words - {"qwertzuiop"}
        assert vectors.dimension == 300

        def cosine(a, b):
            return vectors[a] @ vectors[b] / np.linalg.norm(vectors[a]) / np.linalg.norm(vectors[b])

        assert cosine("physics", "biology") > 0.4 > 0.3 > cosine("physics", "tennis")


class TestAsWordVectors:
    MATRIX = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    INDEX = {"wave": 0, "Field": 1, "the": 2}  # noqa: RUF012

    @pytest.fixture(params=["path", "WordVectors", "mapping", "key_to_index", "index_to_key"])
    def source(self, request, tmp_path):
        if request.param == "path":
            path = tmp_path / "vectors.txt"
            path.write_text("wave 1 2\nField 3 4\nthe 5 6\n")
            return path
        if request.param == "WordVectors":
            return WordVectors(self.INDEX, self.MATRIX)
        if request.param == "mapping":
            return dict(zip(self.INDEX, self.MATRIX, strict=True))
        if request.param == "key_to_index":
            return SimpleNamespace(key_to_index=self.INDEX, vectors=self.MATRIX)
        return SimpleNamespace(index_to_key=list(self.INDEX), vectors=self.MATRIX)

    def test_every_source(self, source):
        vectors = as_word_vectors(source)
        assert vectors.words == ("wave", "Field", "the")
        np.testing.assert_array_equal(vectors.vectors, self.MATRIX)

    def test_restricted_with_other_forms(self, source):
        vectors = as_word_vectors(source, ["field", "tennis", "WAVE"])
        assert set(vectors.words) == {"Field", "wave"}
        assert vectors["Field"].tolist() == [3, 4]

    def test_no_word_known_keeps_the_dimension(self, source):
        assert as_word_vectors(source, ["tennis"]).dimension == 2

    @pytest.mark.parametrize("source", [3, [[1, 2]], np.ones((2, 2)), None])
    def test_refuses(self, source):
        with pytest.raises(TypeError, match=r"path .*WordVectors.*mapping.*KeyedVectors; got"):
            as_word_vectors(source, ["wave"])

    def test_bad_numbers_are_named(self):
        with pytest.raises(ValueError, match="'wave' holds NaN"):
            as_word_vectors({"wave": [np.nan], "the": [1]})


class TestEmbeddingTable:
    def test_known_words_keep_their_vectors(self):
        vectors = WordVectors(["wave", "Field", "us"], [[1, -1], [2, -2], [3, -3]])
        table = embedding_table(Vocabulary(["field", "tennis", "wave", "US"]), vectors, random_state=0)
        assert table.shape == (6, 2)
        assert table.dtype == np.float32
        np.testing.assert_array_equal(table[[0, 2, 4, 5]], [[0, 0], [2, -2], [1, -1], [3, -3]])
        assert (table[[1, 3]] != 0).all()

    def test_the_form_as_is_comes_first(self):
        vectors = WordVectors(["us", "US"], [[1], [2]])
        assert embedding_table(Vocabulary(["US"]), vectors, random_state=0)[2] == 2

    def test_other_rows_are_as_wide(self):
        rng = np.random.default_rng(0)
        known = [f"known{i}" for i in range(500)]
        vectors = WordVectors(known, rng.normal(0, 0.37, size=(500, 50)))
        unknown = [f"unknown{i}" for i in range(500)]
        table = embedding_table(Vocabulary(known + unknown), vectors, random_state=0)
        assert table[502:].std() == pytest.approx(0.37, rel=0.02)
        assert abs(table[502:].mean()) < 0.01

    def test_without_vectors(self):
        table = embedding_table(Vocabulary("abcdefgh"), None, random_state=0)
        assert table.shape == (10, 300)
        assert not table[0].any()
        assert table[1:].std() == pytest.approx(0.1, rel=0.05)
        assert embedding_table(Vocabulary("ab"), None, 0, dimension=7).shape == (4, 7)

    def test_repeatable_without_the_global_generator(self):
        before = np.random.get_state()[1].copy()  # noqa: NPY002
        tables = [embedding_table(Vocabulary("ab"), None, seed) for seed in (3, np.random.RandomState(3))]
        np.testing.assert_array_equal(*tables)
        np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("physics", ["physics"]),
        ("computer vision", ["computer", "vision"]),
        ("scipy.sparse.csr_array", ["scipy", "sparse", "csr", "array"]),
        ("LogisticRegressionCV", ["logistic", "regression", "cv"]),
        ("HTTPServer", ["http", "server"]),
        ("Signal-flow graph/2D", ["signal", "flow", "graph", "d"]),
        ("Parkinson's Disease", ["parkinson", "disease"]),
        ("Ökologie", ["ökologie"]),
        ("0.3", []),
    ],
)
def test_label_words(label, words):
    assert label_words(label) == words


def test_label_words_of_a_text():
    assert label_words("C15", "Annual results") == ["annual", "results"]
    assert label_words("C15", ["annual", "Results"]) == ["annual", "results"]


class TestLabelVectors:
    TEXTS = (
        "the quark and the lepton",
        "the quark field",
        "the cell and the gene",
        "the gene and the field",
        "the serve",
    )
    TARGETS = sp.csr_array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 0]])

    def start(self, labels, label_texts=None, word_vectors=None, random_state=0):
        tokenizer = WordTokenizer(min_count=1)
        sequences = tokenizer.fit_transform(self.TEXTS)
        vocabulary = tokenizer.vocabulary_
        table = embedding_table(vocabulary, word_vectors, random_state=1, dimension=5)
        rows = {word: table[id] for word, id in vocabulary.index.items()}
        vectors = label_vectors(
            labels, label_texts, table, vocabulary, word_vectors, sequences, self.TARGETS, random_state
        )
        assert vectors.shape == (3, table.shape[1])
        assert vectors.dtype == np.float32
        return vectors, rows

    def test_mean_of_the_words_of_the_name(self):
        vectors, rows = self.start(["quark_field", "gene", "the.unheard"])
        np.testing.assert_allclose(vectors[0], (rows["quark"] + rows["field"]) / 2, rtol=1e-6)
        np.testing.assert_array_equal(vectors[1], rows["gene"])
        np.testing.assert_array_equal(vectors[2], rows["the"])

    def test_texts_of_labels_come_first(self):
        vectors, rows = self.start(["quark", "gene", "serve"], {"quark": "a lepton", "gene": ["cell"]})
        np.testing.assert_array_equal(vectors, [rows["lepton"], rows["cell"], rows["serve"]])

    def test_word_vectors_come_before_the_table(self):
        word_vectors = WordVectors(["Physics", "gene"], [[1, 2, 3, 4, 5], [6, 7, 8, 9, 0]])
        vectors, rows = self.start(["physics", "gene", "quark"], word_vectors=word_vectors)
        np.testing.assert_array_equal(vectors[:2], word_vectors.vectors)
        np.testing.assert_array_equal(vectors[2], rows["quark"])

    def test_characteristic_words_match_a_loop(self):
        rng = np.random.default_rng(0)
        words = [f"w{'abcdefghijklmnopqrst'[i]}" for i in range(20)]
        texts = [" ".join(rng.choice(words, size=6)) for _ in range(40)]
        targets = rng.integers(0, 2, size=(40, 2))
        tokenizer = WordTokenizer(min_count=1)
        sequences = tokenizer.fit_transform(texts)
        table = embedding_table(tokenizer.vocabulary_, None, random_state=0, dimension=4)
        vectors = label_vectors(
            ["1", "2"], None, table, tokenizer.vocabulary_, None, sequences, sp.csr_array(targets), 0
        )
        assert [sequences.words(row) for row in range(40)] == [text.split() for text in texts]
        frequency = Counter(word for text in texts for word in set(text.split()))
        for label in range(2):
            own = [set(text.split()) for text, row in zip(texts, targets, strict=True) if row[label]]
            scores = {
                word: np.mean([word in text for text in own]) * math.log(40 / frequency[word])
                for word in words
            }
            best = sorted(words, key=lambda word: -scores[word])[:10]
            expected = np.mean([table[tokenizer.vocabulary_.index[word]] for word in best], axis=0)
            np.testing.assert_allclose(vectors[label], expected, atol=1e-6)

    def test_nameless_labels(self):
        vectors, rows = self.start(["1", "gene", "3"])
        # "the" is in every text and tells nothing.
        expected = np.mean([rows[word] for word in ("quark", "lepton", "and", "field")], axis=0)
        np.testing.assert_allclose(vectors[0], expected, rtol=1e-5)
        # The third label has no text either: a draw.
        assert 0 < np.abs(vectors[2]).max() < 0.5
        np.testing.assert_array_equal(vectors, self.start(["1", "gene", "3"])[0])
        assert (vectors[2] != self.start(["1", "gene", "3"], random_state=1)[0][2]).all()
