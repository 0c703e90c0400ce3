import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.metrics import f1_score
from sklearn.svm import LinearSVC
from toy_corpus import binarize, make_corpus

from skhimatch import WordTokenizer
from skhimatch.scores.ngram_classifier import MIN_WEIGHT, NGramClassifier
from skhimatch.scores.ngram_training import Exactly, InSteps, ways_to_train
from skhimatch.scores.ngrams import NGramFeatures
from skhimatch.scores.sparse_products import product_with_sparse
from skhimatch.text.sequences import TokenSequences, Vocabulary

TEXTS, LABEL_SETS = make_corpus(80)
UNSEEN, UNSEEN_SETS = make_corpus(80, seed=1)
TARGETS = sp.csr_array(binarize(LABEL_SETS))
TOKENIZER = WordTokenizer(min_count=1).fit(TEXTS)
SEQUENCES = TOKENIZER.transform(TEXTS)
FEATURES = NGramFeatures.learn(SEQUENCES)(SEQUENCES)


def associated(features, rows=slice(None)):
    """Where n-grams and labels meet in two texts, and no less often than by chance; one by one."""
    present, labels = features > 0, TARGETS.toarray()[rows] > 0
    found = np.zeros((present.shape[1], labels.shape[1]), dtype=bool)
    for ngram, label in np.ndindex(found.shape):
        together = (present[:, ngram] & labels[:, label]).sum()
        by_chance = present[:, ngram].mean() * labels[:, label].sum()
        found[ngram, label] = together >= 2 and together >= by_chance - 1e-9
    return found


def entries(weight):
    """Where a sparse matrix holds anything, be it a zero."""
    return sp.csr_array(
        (np.ones(weight.nnz, dtype=bool), weight.indices, weight.indptr), weight.shape
    ).toarray()


def untrained(texts=SEQUENCES, n_labels=10):
    """A classifier on all n-grams of the texts."""
    return NGramClassifier.untrained(NGramFeatures.learn(texts), n_labels)


def trained(texts=SEQUENCES, targets=TARGETS, seed=0, learning_rate=10.0):
    """A classifier after ten epochs of gradient descent."""
    blank = untrained(texts, targets.shape[1])
    return InSteps(learning_rate)(blank, blank.ngrams(texts), targets, seed)


class TestExactClassifier:
    @pytest.mark.parametrize("C", [0.3, 3.0])
    def test_equal_to_scikit_learns_machines(self, C):
        classifier = untrained().solved(FEATURES, TARGETS, C=C, seed=0)
        unseen = TOKENIZER.transform(UNSEEN)
        features = classifier.ngrams(SEQUENCES)
        expected = np.column_stack(
            [
                LinearSVC(C=C, random_state=0, tol=1e-8, max_iter=100_000)
                .fit(features, column)
                .decision_function(classifier.ngrams(unseen))
                for column in binarize(LABEL_SETS).T
            ]
        )
        np.testing.assert_allclose(classifier.scores(unseen), expected, atol=0.02)
        assert np.abs(classifier.weight.data).min() >= MIN_WEIGHT

    def test_labels_of_all_texts_and_of_none(self):
        targets = sp.csr_array(np.tile([1.0, 0.0], (80, 1)))
        margins = untrained(n_labels=2).solved(FEATURES, targets, C=1.0, seed=0).scores(SEQUENCES)
        np.testing.assert_array_equal(margins, targets.toarray() * 2 - 1)

    def test_no_feature_at_all(self):
        texts = TokenSequences.from_lists([[], []], Vocabulary(["a", "b"]))
        classifier = untrained(texts, 2)
        features = classifier.ngrams(texts)
        classifier = classifier.solved(features, sp.csr_array(np.eye(2)), C=1.0, seed=0)
        np.testing.assert_array_equal(classifier.scores(texts), -np.ones((2, 2)))

    def test_large_problems_are_trained_in_steps(self):
        assert {type(way) for way in ways_to_train(6_000_000, 100)} == {Exactly}
        assert {type(way) for way in ways_to_train(6_000_001, 100)} == {InSteps}


class TestTrainingInSteps:
    def test_as_good_as_a_support_vector_machine(self):
        classifier = trained()
        found = classifier.scores(TOKENIZER.transform(UNSEEN)) > 0
        ngrams = classifier.ngrams
        features, unseen = ngrams(SEQUENCES), ngrams(TOKENIZER.transform(UNSEEN))
        expected = np.column_stack(
            [
                LinearSVC(random_state=0).fit(features, column).predict(unseen)
                for column in binarize(LABEL_SETS).T
            ]
        )
        true = binarize(UNSEEN_SETS)
        best = f1_score(true, expected, average="micro")
        assert best > 0.9
        assert f1_score(true, found, average="micro") > best - 0.02

    def test_the_gradient_is_that_of_the_squared_hinge(self, monkeypatch):
        # One batch of all texts, one step at a known rate, from zero.
        monkeypatch.setattr("skhimatch.scores.gradient_descent.BATCH_SIZE", 80)
        start = untrained()
        stepped = start.trained(FEATURES, TARGETS, epochs=1, seed=0, learning_rate=5.0)
        features = start.ngrams(SEQUENCES).toarray()
        signs = 2 * TARGETS.toarray() - 1
        slopes = -2 * signs * np.maximum(0, 1 + signs) / 80
        # Half of the one step is done when it is taken: past the warm-up, on the way down.
        rate = 0.5 / 0.9
        weight, bias = -5.0 * rate * features.T @ slopes, -1 - 0.1 * rate * slopes.sum(0)
        np.testing.assert_allclose(stepped.weight.toarray(), weight * associated(features), atol=1e-5)
        np.testing.assert_allclose(stepped.bias, bias, atol=1e-5)

    def test_weights_are_where_n_grams_and_labels_belong_together(self, monkeypatch):
        expected = associated(untrained().ngrams(SEQUENCES).toarray())
        assert 0.05 < expected.mean() < 0.5
        for at_once in (20_000, 7):
            monkeypatch.setattr("skhimatch.scores.gradient_descent.CHUNK_SIZE", at_once)
            classifier = trained()
            np.testing.assert_array_equal(entries(classifier.weight), expected)

    def test_other_texts_bring_other_weights(self):
        half = untrained().trained(FEATURES[:40], TARGETS[:40], epochs=2, seed=0)
        more = half.trained(FEATURES[40:], TARGETS[40:], epochs=1, seed=1)
        features = half.ngrams(SEQUENCES).toarray()
        parts = [associated(features[rows], rows) for rows in (slice(40), slice(40, 80))]
        np.testing.assert_array_equal(entries(half.weight), parts[0])
        np.testing.assert_array_equal(entries(more.weight), parts[0] | parts[1])
        assert (half.weight.toarray()[~parts[0]] == 0).all()
        assert (more.weight.toarray()[parts[1] & ~parts[0]] != 0).any()

    def test_seeds(self):
        first, again, other = (trained(seed=seed) for seed in (0, 0, 1))
        np.testing.assert_array_equal(first.weight.data, again.weight.data)
        assert (first.weight.data != other.weight.data).any()

    def test_longer_steps_fit_closer(self):
        signs = 2 * TARGETS.toarray() - 1
        losses = []
        for learning_rate in (1.0, 5.0, 20.0):
            classifier = trained(learning_rate=learning_rate)
            losses.append(np.square(np.maximum(0, 1 - signs * classifier.scores(SEQUENCES))).sum())
        assert losses == sorted(losses, reverse=True)

    def test_training_more_leaves_the_first_as_it_was(self):
        first = trained()
        before = first.weight.data.copy(), first.bias.copy()
        more = first.trained(FEATURES, TARGETS, epochs=1, seed=1)
        np.testing.assert_array_equal(first.weight.data, before[0])
        np.testing.assert_array_equal(first.bias, before[1])
        assert (more.weight.data != before[0]).any()

    def test_a_label_without_texts_stays_at_minus_one(self):
        empty = sp.hstack([TARGETS, sp.csr_array((80, 1))], format="csr")
        margins = trained(targets=empty).scores(SEQUENCES)
        np.testing.assert_allclose(margins[:, -1], -1, atol=1e-5)

    def test_no_feature_at_all(self):
        texts = TokenSequences.from_lists([[], []], Vocabulary(["a", "b"]))
        classifier = trained(texts, sp.csr_array(np.eye(2)))
        assert classifier.weight.shape == (0, 2)
        assert np.isfinite(classifier.scores(texts)).all()


def test_contributions_of_ngrams_sum_to_the_weighted_scores():
    vocabulary = Vocabulary(["quark", "cell", "the"])
    texts = TokenSequences.from_lists([[4, 2], [4, 3], [2], [3, 4]] * 8, vocabulary)
    targets = sp.csr_array([[1, 0], [0, 1], [1, 0], [0, 1]] * 8)
    ngrams = NGramFeatures.learn(texts)
    classifier = NGramClassifier.untrained(ngrams, 2).solved(ngrams(texts), targets, C=1.0, seed=0)
    for weights in (np.array([1.0, 0.0]), np.array([0.5, -2.0])):
        for row in range(4):
            found = classifier.contributions(texts[[row]], weights).toarray()[0]
            # From the dense weights, one n-gram at a time.
            expected = [
                value * sum(weights[label] * classifier.weight.toarray()[column, label] for label in range(2))
                for column, value in enumerate(ngrams(texts[[row]]).toarray()[0])
            ]
            np.testing.assert_allclose(found, expected, atol=1e-6)
            total = found.sum() + weights @ classifier.bias
            assert total == pytest.approx(classifier.scores(texts[[row]])[0] @ weights, abs=1e-5)


def test_the_dense_product_takes_little_memory_for_long_texts(monkeypatch):
    draws = np.random.RandomState(0)
    dense = draws.rand(450, 400).astype(np.float32) * (draws.rand(450, 400) < 0.5)
    features, weight = sp.csr_array(dense[:50]), sp.csr_array(dense[50:, :30])
    monkeypatch.setattr("skhimatch.scores.sparse_products.WEIGHTS_OF_PRODUCT", 1500)
    shapes = []
    unique = np.unique

    def counted(values, **options):
        shapes.append(len(unique(values)))
        return unique(values, **options)

    monkeypatch.setattr(np, "unique", counted)
    found = product_with_sparse(features, weight)
    monkeypatch.undo()
    np.testing.assert_allclose(found, (features @ weight).toarray(), rtol=1e-5, atol=1e-5)
    # One text at a time: its n-grams alone have more weights.
    assert len(shapes) == 50
    assert found.dtype == np.float32


@pytest.mark.parametrize(("share", "kept"), [(0.05, False), (0.5, True)])
def test_dense_weights_give_the_same_scores(monkeypatch, share, kept):
    draws = np.random.RandomState(0)
    vocabulary = Vocabulary(f"word{number}" for number in range(30))
    texts = TokenSequences.from_lists([draws.randint(1, 32, size=size) for size in (9, 0, 1, 40)], vocabulary)
    ngrams = NGramFeatures.learn(texts)
    dense = draws.randn(len(ngrams), 6).astype(np.float32) * (draws.rand(len(ngrams), 6) < share)
    bias = draws.randn(6).astype(np.float32)
    classifier = NGramClassifier(ngrams, sp.csr_array(dense), bias)
    expected = ngrams(texts).toarray() @ dense + bias
    np.testing.assert_allclose(classifier.scores(texts), expected, rtol=0, atol=1e-6)
    assert (classifier._dense_weight is not None) == kept
    again = pickle.loads(pickle.dumps(classifier))
    assert "_dense_weight" not in vars(again)
    np.testing.assert_array_equal(again.scores(texts), classifier.scores(texts))
    np.testing.assert_array_equal(classifier.scores(texts[[1]]), bias[None])
    monkeypatch.setattr("skhimatch.scores.sparse_products.MAX_DENSE_WEIGHTS", 5)
    assert NGramClassifier(ngrams, sp.csr_array(dense), bias)._dense_weight is None
