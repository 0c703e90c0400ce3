import math
from collections import Counter

import numpy as np
import pytest
import scipy.sparse as sp

from skhimatch.labels.texts import label_words
from skhimatch.network.initial_vectors import embedding_table, label_vectors
from skhimatch.text.sequences import Vocabulary
from skhimatch.text.word_vectors import WordVectors
from skhimatch.text.words import WordTokenizer


def nothing(dimension):
    """Vectors of no word."""
    return WordVectors([], np.empty((0, dimension)))


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
        table = embedding_table(Vocabulary("abcdefgh"), nothing(300), random_state=0)
        assert table.shape == (10, 300)
        assert not table[0].any()
        assert table[1:].std() == pytest.approx(0.1, rel=0.05)

    def test_repeatable_without_the_global_generator(self):
        before = np.random.get_state()[1].copy()  # noqa: NPY002 (what is tested)
        tables = [
            embedding_table(Vocabulary("ab"), nothing(7), seed) for seed in (3, np.random.RandomState(3))
        ]
        np.testing.assert_array_equal(*tables)
        np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002 (what is tested)


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
        word_vectors = nothing(5) if word_vectors is None else word_vectors
        table = embedding_table(vocabulary, word_vectors, random_state=1)
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
        table = embedding_table(tokenizer.vocabulary_, nothing(4), random_state=0)
        vectors = label_vectors(
            ["1", "2"], None, table, tokenizer.vocabulary_, nothing(4), sequences, sp.csr_array(targets), 0
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
