"""`warm_start`: a second fit continues from the first."""

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback
from toy_corpus import HIERARCHY, QUICK, SMALL, SMALL_GRU, make_corpus

from skhimatch import HiMatchClassifier, WordTokenizer
from skhimatch.training.net import NonFiniteLossError

TEXTS, LABEL_SETS = make_corpus(60)
UNSEEN, UNSEEN_SETS = make_corpus(60, seed=1)
# So small a step leaves all weights where they are.
STILL = 1e-12
SETTINGS = {
    "default": {},
    "cross-fitted": {"validation_fraction": "auto"},
    "nothing held out": {"validation_fraction": 0},
    "alone": {"lexical": None},
    "gru": {"encoder": "gru", "net_params": SMALL_GRU},
    "dot": {"head": "dot"},
    "gcn": {"propagation": "gcn"},
    "matching": {"head": "matching"},
}


def quick(**parameters):
    return HiMatchClassifier(HIERARCHY, **QUICK | {"warm_start": True} | parameters)


def weights_of(classifier):
    return {name: tensor.clone() for name, tensor in classifier.network_.state_dict().items()}


def differences(one, other):
    return [float((one[name] - other[name]).abs().max()) for name in one if one[name].is_floating_point()]


@pytest.mark.parametrize("parameters", SETTINGS.values(), ids=SETTINGS)
class TestFit:
    def test_it_starts_from_the_fitted_weights(self, parameters):
        classifier = quick(**parameters).fit(TEXTS, LABEL_SETS)
        before = weights_of(classifier)
        classifier.set_params(learning_rate=STILL).fit(UNSEEN, UNSEEN_SETS)
        assert max(differences(before, weights_of(classifier))) < 1e-6
        classifier.set_params(learning_rate=0.01).fit(UNSEEN, UNSEEN_SETS)
        assert max(differences(before, weights_of(classifier))) > 1e-3

    def test_epochs_are_counted_on(self, parameters):
        classifier = quick(**parameters).fit(TEXTS, LABEL_SETS)
        first = classifier.history_
        classifier.set_params(max_epochs=3).fit(TEXTS, LABEL_SETS)
        assert [epoch["epoch"] for epoch in classifier.history_] == [1, 2, 3, 4, 5]
        assert classifier.history_[:2] == first
        assert classifier.n_iter_ == 5
        # What was learned is not lost.
        assert classifier.history_[2]["train_loss"] < first[0]["train_loss"]

    def test_a_saved_classifier_continues_like_another(self, parameters, tmp_path):
        classifier = quick(**parameters).fit(TEXTS, LABEL_SETS)
        classifier.save(tmp_path / "model")
        loaded = HiMatchClassifier.load(tmp_path / "model")
        assert loaded.warm_start
        for each in (loaded, classifier):
            each.fit(UNSEEN, UNSEEN_SETS)
        np.testing.assert_array_equal(loaded.predict_proba(TEXTS), classifier.predict_proba(TEXTS))

    def test_without_it_a_fit_begins_anew(self, parameters):
        classifier = quick(**parameters, **{"warm_start": False}).fit(TEXTS, LABEL_SETS)
        expected = classifier.predict_proba(TEXTS)
        np.testing.assert_array_equal(classifier.fit(TEXTS, LABEL_SETS).predict_proba(TEXTS), expected)
        # The first fit is like any other.
        first = quick(**parameters).fit(TEXTS, LABEL_SETS)
        np.testing.assert_array_equal(first.predict_proba(TEXTS), expected)
        assert len(classifier.history_) == 2


def test_the_vocabulary_remains():
    classifier = quick().fit(TEXTS, LABEL_SETS)
    words = classifier.vocabulary_.words
    classifier.fit([f"{text} novelty" for text in TEXTS], LABEL_SETS)
    assert classifier.vocabulary_.words == words
    assert "novelty" not in words


def test_n_grams_are_those_of_the_new_texts():
    classifier = quick(validation_fraction=0).fit(TEXTS, LABEL_SETS).fit(UNSEEN, UNSEEN_SETS)
    tokens = classifier.tokenizer_.transform(UNSEEN)
    pipeline = quick(validation_fraction=0, warm_start=False).fit(tokens, UNSEEN_SETS)
    np.testing.assert_array_equal(classifier.ngrams_.scores(tokens), pipeline.ngrams_.scores(tokens))


def test_the_same_texts_are_held_out():
    classifier = quick(random_state=None, patience=None).fit(TEXTS, LABEL_SETS)
    seed = classifier.state_.seed
    assert classifier.fit(TEXTS, LABEL_SETS).state_.seed == seed


def test_token_sequences():
    tokens = WordTokenizer().fit_transform(TEXTS)
    classifier = quick().fit(tokens, LABEL_SETS).fit(tokens, LABEL_SETS)
    assert classifier.n_iter_ == 4
    before = classifier.predict_proba(tokens)
    with pytest.raises(ValueError, match="TokenSequences over another vocabulary than in fit"):
        classifier.fit(WordTokenizer().fit_transform(UNSEEN[:9]), UNSEEN_SETS[:9])
    np.testing.assert_array_equal(classifier.predict_proba(tokens), before)


def test_after_partial_fit_and_calibrate():
    classifier = quick().partial_fit(TEXTS, LABEL_SETS).calibrate(UNSEEN, UNSEEN_SETS)
    classifier.fit(TEXTS, LABEL_SETS)
    assert classifier.calibration_ is None
    assert classifier.n_iter_ == 3


class TestErrors:
    @pytest.mark.parametrize(
        ("changed", "message"),
        [
            ({"hierarchy": {"science": ["optics"]}}, "other labels: 'biology' is missing.*warm_start=False"),
            ({"hierarchy": {**HIERARCHY, "art": ["music"]}}, "other labels: 'art' is new"),
            ({"hierarchy": {**HIERARCHY, "science": ["physics", "biology", "optics"]}}, "other"),
            ({"encoder": "gru", "net_params": SMALL_GRU}, "whose network 'words' had other weights: set enc"),
            ({"net_params": SMALL | {"module__node_dimension": 9}}, "had other weights"),
            ({"head": "matching"}, "had other weights"),
        ],
    )
    def test_what_has_to_be_the_same(self, changed, message):
        classifier = quick().fit(TEXTS, LABEL_SETS)
        before, state = classifier.predict_proba(TEXTS), classifier.state_
        sets = [labels & {"science", "optics"} for labels in LABEL_SETS]
        with pytest.raises(ValueError, match=message):
            classifier.set_params(**changed).fit(TEXTS, sets)
        assert classifier.state_ is state
        np.testing.assert_array_equal(classifier.predict_proba(TEXTS), before)

    def test_labels_in_another_order(self):
        classifier = quick().fit(TEXTS, LABEL_SETS)
        classifier.set_params(classes=list(classifier.classes_[::-1]))
        with pytest.raises(ValueError, match="the same labels in another order, or other edges"):
            classifier.fit(TEXTS, LABEL_SETS)

    def test_a_checkpoint(self, tmp_path):
        classifier = quick().fit(TEXTS, LABEL_SETS, checkpoint=tmp_path)
        with pytest.raises(ValueError, match="checkpoint does not keep what warm_start=True continues from"):
            classifier.fit(TEXTS, LABEL_SETS, checkpoint=tmp_path)

    def test_a_fit_that_fails_changes_nothing(self):
        class Breaks(Callback):
            def on_batch_begin(self, net, **kwargs):
                with torch.no_grad():
                    net.module_.head.bias.fill_(torch.nan)

        classifier = quick().fit(TEXTS, LABEL_SETS)
        before = classifier.predict_proba(TEXTS)
        with pytest.raises(NonFiniteLossError):
            classifier.set_params(callbacks=[Breaks()]).fit(TEXTS, LABEL_SETS)
        np.testing.assert_array_equal(classifier.predict_proba(TEXTS), before)
