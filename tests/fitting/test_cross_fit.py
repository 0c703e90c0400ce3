"""Cross-fitting: few texts are all trained on, and weights and thresholds are learned from all of them."""

import numpy as np
import pytest
from skorch.callbacks import Callback
from toy_corpus import HIERARCHY, QUICK, make_corpus

from skhimatch import HiMatchClassifier, PretrainedEncoder
from skhimatch.fitting import fit as fitting
from skhimatch.fitting.held_out import parts_to_cross_fit
from skhimatch.fitting.labelled_texts import LabelledTexts
from skhimatch.labels.formats import as_hierarchy
from skhimatch.labels.targets import encode_targets

LABELS = as_hierarchy(HIERARCHY)


def cross_fitted(**parameters):
    return HiMatchClassifier(HIERARCHY, **QUICK | {"validation_fraction": "auto"} | parameters)


@pytest.fixture
def learned_from(monkeypatch):
    """The scores from which each fit learns stacking weights and thresholds."""
    seen = []
    stack_and_tune = fitting.stack_and_tune

    def record(parameters, state, held_out):
        seen.append(held_out)
        return stack_and_tune(parameters, state, held_out)

    monkeypatch.setattr(fitting, "stack_and_tune", record)
    return seen


class TestFit:
    def test_all_texts_are_trained_on(self):
        texts, label_sets = make_corpus(60)
        auto = cross_fitted().fit(texts, label_sets)
        without = cross_fitted(validation_fraction=0).fit(texts, label_sets)
        for name, weight in auto.network_.state_dict().items():
            assert (weight == without.network_.state_dict()[name]).all(), name
        assert auto.vocabulary_ == without.vocabulary_

    def test_weights_are_learned_from_all_texts(self, learned_from):
        texts, label_sets = make_corpus(60)
        classifier = cross_fitted().fit(texts, label_sets)
        [scored] = learned_from
        assert scored.targets.shape == (60, 10)
        assert sorted(map(tuple, scored.targets.toarray())) == sorted(
            map(tuple, encode_targets(label_sets, LABELS).toarray())
        )
        assert {name: scores.shape for name, scores in scored.scores.items()} == dict.fromkeys(
            ("ngrams", "characters", "names", "words"), (60, 10)
        )
        assert classifier.validation_f1_ is not None

    def test_a_text_is_scored_by_classifiers_that_were_not_trained_on_it(self):
        """Labels are drawn at random: only a classifier that was trained on a text can know them."""
        rng = np.random.default_rng(0)
        texts = [" ".join(f"word{number}" for number in rng.integers(0, 400, size=12)) for _ in range(80)]
        labels = ["tennis", "rowing"] * 40
        rng.shuffle(labels)
        classifier = cross_fitted(max_epochs=8).fit(texts, [{"sport", label} for label in labels])
        known = encode_targets([{"sport", label} for label in labels], LABELS).toarray()
        own = classifier.ngrams_.scores(classifier._tokenized(texts))
        tennis = LABELS.index["tennis"]
        assert ((own[:, tennis] > 0) == known[:, tennis]).mean() > 0.95
        # "sport" is right for each text, and a leaf for every other one.
        assert classifier.validation_f1_.micro < 0.85

    def test_official_texts_are_used_too(self, learned_from):
        texts, label_sets = make_corpus(60)
        X_val, y_val = make_corpus(15, seed=1)
        cross_fitted().fit(texts, label_sets, X_val=X_val, y_val=y_val)
        [scored] = learned_from
        assert scored.targets.shape[0] == 75
        assert (scored.targets[60:].toarray() == encode_targets(y_val, LABELS).toarray()).all()

    def test_the_same_twice(self):
        texts, label_sets = make_corpus(60)
        first, again = (cross_fitted().fit(texts, label_sets).predict_proba(texts) for _ in range(2))
        assert (first == again).all()

    def test_verbose(self, capsys):
        cross_fitted(verbose=1, max_epochs=1).fit(*make_corpus(40))
        printed = capsys.readouterr().out
        assert "cross-fitting: part 1 of 5\n" in printed
        # The epochs of the parts are not listed.
        assert printed.count("epoch") == 1

    @pytest.mark.parametrize(
        "label_sets", [[set()] * 24, [{"sport", "tennis"}] * 24, [{"sport"}, set()] * 12]
    )
    def test_hardly_anything_to_learn(self, label_sets):
        classifier = cross_fitted().fit([f"match {number}" for number in range(24)], label_sets)
        assert classifier.predict(["match"]).shape == (1, 10)

    def test_labels_of_a_single_text(self):
        texts, label_sets = make_corpus(40)
        few = [row & {"science", "sport"} for row in label_sets]
        few[0] = label_sets[0]
        assert cross_fitted().fit(texts, few).predict(texts).shape == (40, 10)


def parts(n_texts=100, n_labels=10, validation=None, **parameters):
    classifier = cross_fitted(**parameters)
    targets = encode_targets(
        [{f"label {number % n_labels}"} for number in range(n_texts)],
        as_hierarchy({f"label {number}": [] for number in range(n_labels)}),
    )
    training = LabelledTexts([""] * n_texts, targets)
    official = None if validation is None else LabelledTexts([""] * validation, targets[:0])
    return parts_to_cross_fit(classifier._parameters(), training, official)


class TestParts:
    @pytest.mark.parametrize(
        ("n_texts", "expected"),
        [(19, 0), (20, 5), (300, 5), (301, 3), (1000, 3), (1001, 2), (2000, 2), (2001, 0)],
    )
    def test_by_the_number_of_texts(self, n_texts, expected):
        assert parts(n_texts) == expected

    @pytest.mark.parametrize("validation_fraction", [0, 0.1])
    def test_a_number_is_obeyed(self, validation_fraction):
        assert parts(validation_fraction=validation_fraction) == 0

    def test_enough_official_texts(self):
        assert parts(validation=499) == 5
        assert parts(validation=500) == 0

    def test_memory(self):
        assert parts(1000, 2000) == 3
        assert parts(1000, 2001) == 0

    def test_encoders(self):
        assert parts(encoder=PretrainedEncoder("some", freeze="all")) == 5
        assert parts(encoder=PretrainedEncoder("some")) == 0

    def test_callbacks(self):
        assert parts(callbacks=[Callback()]) == 0
        assert parts(callbacks=[]) == 5


@pytest.mark.parametrize(("n_texts", "expected"), [(2001, 400), (4000, 500), (6000, 600)])
def test_otherwise_a_share_is_held_out(learned_from, n_texts, expected):
    texts, label_sets = make_corpus(n_texts)
    cross_fitted(max_epochs=1, lexical=None, batch_size=1000).fit(texts, label_sets)
    [scored] = learned_from
    assert scored.targets.shape[0] == expected


def test_of_a_handful_of_texts_none_is_held_out():
    classifier = cross_fitted().fit(*make_corpus(19))
    assert classifier.choices_.held_out == 0
    assert classifier.validation_f1_ is None
    assert cross_fitted().fit(*make_corpus(20)).choices_.held_out == 20
