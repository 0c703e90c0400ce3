"""`choices_` says what `fit` chose."""

import numpy as np
import pytest
from toy_corpus import HIERARCHY, QUICK, make_corpus

from skhimatch import HiMatchClassifier
from skhimatch.choices import Choices

TEXTS, LABEL_SETS = make_corpus(60)


def fitted(label_sets=LABEL_SETS, **parameters):
    return HiMatchClassifier(HIERARCHY, **QUICK | parameters).fit(TEXTS, label_sets)


def test_all_choices():
    classifier = fitted(max_epochs="auto", batch_size=30, learning_rate="auto", validation_fraction="auto")
    assert classifier.choices_ == Choices(
        held_out=60,
        cross_fitting_parts=5,
        rare_words=True,
        ngrams=classifier.choices_.ngrams,
        characters=True,
        shortlist=None,
        max_epochs=20,
        learning_rate=0.004,
        weights="for paths",
        decision="path",
    )
    assert classifier.choices_.ngrams in ("Exactly(C=1.0)", "Exactly(C=3.0)")


def test_held_out_texts():
    assert (fitted().choices_.held_out, fitted().choices_.cross_fitting_parts) == (6, 0)
    nothing = fitted(validation_fraction=0)
    assert (nothing.choices_.held_out, nothing.choices_.weights) == (0, "default")
    assert nothing.tune(TEXTS[:20], LABEL_SETS[:20]).choices_.held_out == 20
    assert nothing.choices_.weights == "for paths"


def test_a_network_alone():
    alone = fitted(lexical=None).choices_
    assert (alone.ngrams, alone.characters) == (None, False)


def test_several_paths():
    several = [labels | {"sport", "tennis"} for labels in LABEL_SETS]
    assert fitted(several).choices_.weights == "by frequency"
    assert fitted(several).choices_.decision == "thresholds"
    assert fitted(several, threshold=0.3).choices_.decision == "threshold"


def test_rare_words(monkeypatch):
    monkeypatch.setattr("skhimatch.text.words.FEW_WORDS", 10)
    assert not fitted().choices_.rare_words


@pytest.mark.parametrize("may_stop", [False, True])
def test_paths_that_may_stop(monkeypatch, may_stop, tmp_path):
    """Held-out texts decide; what they decide is kept in a saved model."""
    monkeypatch.setattr("skhimatch.fitting.tune.MIN_GAIN_OF_STOPPING", -2 if may_stop else 2)
    classifier = fitted(max_epochs=1)
    assert classifier.choices_.decision == ("path that may stop" if may_stop else "path")
    classifier.save(tmp_path / "model")
    again = HiMatchClassifier.load(tmp_path / "model")
    assert again.choices_ == classifier.choices_
    unseen = ["", "lens", "boat lens cell", *make_corpus(30, seed=1)[0]]
    np.testing.assert_array_equal(again.predict(unseen), classifier.predict(unseen))
    lengths = {int(row.sum()) for row in classifier.predict(unseen)}
    assert lengths <= ({1, 2, 3} if may_stop else {2, 3})
