import numpy as np
import pytest
from toy_corpus import make_corpus

from skhimatch import WordTokenizer
from skhimatch.text import cooccurrence
from skhimatch.text.cooccurrence import cooccurrence_vectors
from skhimatch.text.sequences import TokenSequences, Vocabulary

TOKENIZER = WordTokenizer(min_count=1).fit(make_corpus(80)[0])
SEQUENCES = TOKENIZER.transform(make_corpus(80)[0])


def information(texts):
    """Positive pointwise mutual information, word by word."""
    size = len(texts.vocabulary) - 2
    counts = np.zeros((size, size))
    for ids in texts:
        for i, first in enumerate(ids):
            for j, second in enumerate(ids):
                if i != j and abs(i - j) <= 5 and min(first, second) > 1:
                    counts[first - 2, second - 2] += 1 / abs(i - j)
    p = counts.sum(1) ** 0.75
    p /= p.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.log(counts / counts.sum(1, keepdims=True) / p)
    return np.where(np.isfinite(found), np.maximum(0, found), 0)


class TestCooccurrenceVectors:
    def test_against_the_definition(self):
        expected = information(SEQUENCES)
        size = len(expected)
        vectors = cooccurrence_vectors(SEQUENCES, size, random_state=0)
        assert vectors.words == TOKENIZER.vocabulary_.words
        # With all singular vectors, the Gram matrix is the square root of M M^T.
        left, singular, _ = np.linalg.svd(expected)
        gram = (left * singular) @ left.T
        scale = 0.35 * np.sqrt(size) / np.median(np.sqrt(np.diag(gram)))
        found = vectors.vectors @ vectors.vectors.T
        np.testing.assert_allclose(found, scale**2 * gram, atol=1e-3 * np.abs(gram).max() * scale**2)

    def test_words_with_the_same_contexts(self):
        texts, _ = make_corpus(400)
        sequences = WordTokenizer(min_count=1).fit_transform(texts)
        vectors = cooccurrence_vectors(sequences, 20, random_state=0)
        unit = vectors.vectors / np.linalg.norm(vectors.vectors, axis=1, keepdims=True)
        nearness = unit @ unit.T
        of = {word: row for row, word in enumerate(vectors.words)}
        assert nearness[of["lens"], of["prism"]] > nearness[of["lens"]].mean() + 0.2

    def test_words_of_different_texts_do_not_co_occur(self):
        vocabulary = Vocabulary(["a", "b", "c"])
        texts = TokenSequences.from_lists([[2, 3], [4], [2, 3, 1], [1, 4, 1]], vocabulary)
        assert set(cooccurrence_vectors(texts, 3, 0).words) == {"a", "b"}

    @pytest.mark.parametrize("lists", [[], [[]], [[2], [3]], [[1, 2], []]])
    def test_nothing_in_common(self, lists):
        texts = TokenSequences.from_lists(lists, Vocabulary(["a", "b"]))
        vectors = cooccurrence_vectors(texts, 4, 0)
        assert vectors.words == ()
        assert vectors.vectors.shape == (0, 4)

    def test_few_words(self):
        texts = TokenSequences.from_lists([[2, 3, 4], [3, 4]], Vocabulary(["a", "b", "c"]))
        vectors = cooccurrence_vectors(texts, 10, 0).vectors
        assert vectors.shape == (3, 10)
        assert not vectors[:, 3:].any()
        assert np.median(np.linalg.norm(vectors, axis=1)) == pytest.approx(0.35 * np.sqrt(10), rel=1e-5)

    def test_seeds(self):
        first, again = (cooccurrence_vectors(SEQUENCES, 10, random_state=3) for _ in range(2))
        np.testing.assert_array_equal(first.vectors, again.vectors)

    def test_of_many_texts_every_kth_is_used(self, monkeypatch):
        monkeypatch.setattr(cooccurrence, "MAX_TOKENS", -(-len(SEQUENCES.ids) // 3))
        found = cooccurrence_vectors(SEQUENCES, 10, random_state=0)
        monkeypatch.undo()
        expected = cooccurrence_vectors(SEQUENCES[::3], 10, random_state=0)
        assert found.words == expected.words
        np.testing.assert_array_equal(found.vectors, expected.vectors)
