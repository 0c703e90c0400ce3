"""A fit that was cut off goes on, and ends as if it had not been."""

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback
from toy_corpus import HIERARCHY, QUICK, make_corpus

from skhimatch import HiMatchClassifier
from skhimatch.scores import ensemble as evidence
from skhimatch.scores import shortlist
from skhimatch.scores.ngrams import NGramClassifier
from skhimatch.training import loop as training

TEXTS, LABEL_SETS = make_corpus(60)


class CutOff(Exception):
    """The machine goes off."""


class Stop(Callback):
    """Cuts training off in the middle of an epoch."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_batch_begin(self, net, training=False, **kwargs):
        if training and len(net.history) == self.epoch and len(net.history[-1, "batches"]) == 2:
            raise CutOff


def quick(**parameters):
    return HiMatchClassifier(HIERARCHY, **QUICK | {"max_epochs": 5} | parameters)


@pytest.fixture
def many_labels(monkeypatch):
    """Ten labels count as many, so that labels are drawn."""
    monkeypatch.setattr(evidence, "MANY_LABELS", 5)
    monkeypatch.setattr(evidence, "choose_shortlist_size", lambda targets: 6)
    monkeypatch.setattr(shortlist, "POOL_SIZE", 8)


@pytest.mark.parametrize("epoch", [1, 2, 4, 5])
@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"head": "dot"},
        {"schedule": "constant", "patience": 2},
        {"validation_fraction": 0, "lexical": None},
    ],
)
def test_bit_by_bit_as_without_an_interruption(tmp_path, many_labels, parameters, epoch):
    whole = quick(**parameters).fit(TEXTS, LABEL_SETS)
    if epoch <= whole.n_iter_:
        with pytest.raises(CutOff):
            quick(callbacks=[Stop(epoch)], **parameters).fit(TEXTS, LABEL_SETS, checkpoint=tmp_path / "fit")
    again = quick(**parameters).fit(TEXTS, LABEL_SETS, checkpoint=tmp_path / "fit")
    np.testing.assert_array_equal(again.predict_proba(TEXTS), whole.predict_proba(TEXTS))
    expected, found = whole.network_.state_dict(), again.network_.state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    timeless = [[epoch["train_loss"] for epoch in fitted.history_] for fitted in (whole, again)]
    assert timeless[0] == timeless[1]
    assert [epoch["epoch"] for epoch in again.history_] == list(range(1, whole.n_iter_ + 1))


@pytest.mark.parametrize("epoch", [2, 3, 4])
def test_the_best_epoch_and_patience_are_remembered(tmp_path, monkeypatch, epoch):
    def scripted(self, net, **kwargs):
        score = [0.5, 0.9, 0.3, 0.2, 0.1][len(net.history) - 1]
        for name, value in {"micro_f1": 0, "macro_f1": 0, "score": score}.items():
            net.history.record(f"valid_{name}", value)

    monkeypatch.setattr(training.ValidationF1, "on_epoch_end", scripted)
    whole = quick(patience=2).fit(TEXTS, LABEL_SETS)
    assert whole.n_iter_ == 4
    with pytest.raises(CutOff):
        quick(patience=2, callbacks=[Stop(epoch)]).fit(TEXTS, LABEL_SETS, checkpoint=tmp_path / "fit")
    again = quick(patience=2).fit(TEXTS, LABEL_SETS, checkpoint=tmp_path / "fit")
    assert again.n_iter_ == 4
    np.testing.assert_array_equal(again.predict_proba(TEXTS), whole.predict_proba(TEXTS))


def test_nothing_is_done_twice(tmp_path, monkeypatch):
    first = quick().fit(TEXTS, LABEL_SETS, checkpoint=tmp_path)
    trained = []
    whole = NGramClassifier.solved
    monkeypatch.setattr(
        NGramClassifier, "solved", lambda *args, **kwargs: trained.append(1) or whole(*args, **kwargs)
    )
    again = quick(verbose=0).fit(TEXTS, LABEL_SETS, checkpoint=tmp_path)
    # Only the last time, on all texts: for words, and for characters.
    assert len(trained) == 2
    assert again.history_ == first.history_
    np.testing.assert_array_equal(again.predict_proba(TEXTS), first.predict_proba(TEXTS))


@pytest.mark.parametrize(
    ("parameters", "texts"),
    [({"gamma": 0.3}, TEXTS), ({"random_state": 1}, TEXTS), ({}, [*TEXTS[:-1], "wave"])],
)
def test_another_fit_is_refused(tmp_path, parameters, texts):
    quick(max_epochs=1).fit(TEXTS, LABEL_SETS, checkpoint=tmp_path)
    with pytest.raises(ValueError, match="holds checkpoints of another fit"):
        quick(max_epochs=1, **parameters).fit(texts, LABEL_SETS, checkpoint=tmp_path)


@pytest.mark.parametrize("random_state", [None, np.random.RandomState(0)])
def test_two_fits_have_to_be_the_same(tmp_path, random_state):
    with pytest.raises(ValueError, match="checkpoint needs an integer random_state"):
        quick(random_state=random_state).fit(TEXTS, LABEL_SETS, checkpoint=tmp_path / "fit")
    assert not (tmp_path / "fit").exists()


def test_what_is_on_disk_is_whole(tmp_path):
    quick(max_epochs=2).fit(TEXTS, LABEL_SETS, checkpoint=tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        *("fit.txt", "epochs-words.pt"),
        *("ngrams-words-C-1.npz", "ngrams-words-C-3.npz", "ngrams-characters-C-1.npz"),
    }
    # Tensors and plain values only: nothing that could run.
    torch.load(tmp_path / "epochs-words.pt", weights_only=True)


def test_it_says_where_it_goes_on(tmp_path, capsys):
    quick(max_epochs=2).fit(TEXTS, LABEL_SETS, checkpoint=tmp_path)
    quick(max_epochs=2, verbose=1).fit(TEXTS, LABEL_SETS, checkpoint=tmp_path)
    assert "epochs-words.pt: going on after epoch 2" in capsys.readouterr().out
