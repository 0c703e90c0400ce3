"""What arrives in odd sizes and shapes: extreme rates, batches without labels, unknown words, many labels."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from toy_corpus import HIERARCHY, QUICK, SMALL_RCNN, make_corpus

from skhimatch import HiMatchClassifier
from skhimatch.training.net import NonFiniteLossError

TEXTS, LABEL_SETS = make_corpus(60)
UNSEEN, _ = make_corpus(20, seed=1)


def quick(**parameters):
    return HiMatchClassifier(HIERARCHY, **QUICK | parameters)


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("rate", [1e20, 1e30, 1e37])
@pytest.mark.parametrize(
    "network",
    [
        {},
        {"lexical": None},
        {"head": "dot"},
        {"head": "matching"},
        {"encoder": "rcnn", "net_params": SMALL_RCNN},
    ],
)
def test_one_step_at_an_absurd_rate(network, rate, method):
    """Weights can be finite and too large for finite outputs, and no loss follows the only step."""
    classifier = quick(learning_rate=rate, batch_size=64, max_epochs=1, validation_fraction=0, **network)
    with pytest.raises(NonFiniteLossError, match="no longer finite after the last batch of epoch 1: lower"):
        getattr(classifier, method)(TEXTS, LABEL_SETS)
    assert not hasattr(classifier, "state_")


def test_a_good_classifier_survives_an_absurd_rate():
    classifier = quick().partial_fit(TEXTS, LABEL_SETS)
    before = classifier.predict_proba(UNSEEN)
    with pytest.raises(NonFiniteLossError):
        classifier.set_params(learning_rate=1e30, batch_size=64).partial_fit(TEXTS, LABEL_SETS)
    np.testing.assert_array_equal(classifier.predict_proba(UNSEEN), before)


def test_a_first_batch_without_labels_is_refused():
    classifier = quick()
    with pytest.raises(ValueError, match=r"No text of the first batch has a label.*Begin with a batch"):
        classifier.partial_fit(TEXTS[:3], [set(), set(), set()])
    classifier.partial_fit(TEXTS, LABEL_SETS).partial_fit(TEXTS[:3], [set(), set(), set()])
    assert classifier.decision_.path_ends is not None
    predicted = classifier.predict(UNSEEN)
    assert (classifier.hierarchy_.close(predicted).toarray() == predicted).all()


def test_most_words_of_held_out_texts_are_unknown():
    held_out = ["quite other words here"] * 10
    with pytest.warns(UserWarning, match="100% of the words of the held-out texts.*token_pattern"):
        quick().fit(TEXTS, LABEL_SETS, X_val=held_out, y_val=LABEL_SETS[:10])


def test_a_few_unknown_words_say_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quick().fit(TEXTS, LABEL_SETS, X_val=["other words"] * 5, y_val=LABEL_SETS[:5])


def test_half_of_the_words_may_be_unknown():
    held_out = [f"{text} {' other' * len(text.split())}" for text in TEXTS[:10]]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quick().fit(TEXTS, LABEL_SETS, X_val=held_out, y_val=LABEL_SETS[:10])


def test_large_predictions_are_sparse(monkeypatch):
    classifier = quick().fit(TEXTS, LABEL_SETS)
    dense = classifier.predict(UNSEEN)
    assert isinstance(dense, np.ndarray)
    monkeypatch.setattr("skhimatch.predictor.MAX_DENSE", dense.size)
    assert isinstance(classifier.predict(UNSEEN), np.ndarray)
    monkeypatch.setattr("skhimatch.predictor.MAX_DENSE", dense.size - 1)
    sparse = classifier.predict(UNSEEN)
    assert sp.issparse(sparse)
    np.testing.assert_array_equal(sparse.toarray(), dense)
    assert 0 <= classifier.score(UNSEEN, LABEL_SETS[:20]) <= 1
