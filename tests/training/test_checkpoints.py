"""A fit that was cut off goes on, and ends as if it had not been."""

import json
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from toy_corpus import HIERARCHY, QUICK, SMALL, make_corpus

from skhimatch import HiMatchClassifier, PretrainedEncoder
from skhimatch.scores import ensemble as evidence
from skhimatch.scores import shortlist
from skhimatch.scores.ngram_classifier import NGramClassifier
from skhimatch.training import loop as training
from skhimatch.training.checkpoints import CheckpointError, read_checked
from skhimatch.training.net import TrainingNet

TEXTS, LABEL_SETS = make_corpus(60)
# The width of word vectors is that of the file.
SMALL_WITHOUT_WIDTH = {name: value for name, value in SMALL.items() if name != "module__embedding_dimension"}


class CutOff(Exception):
    """The machine goes off."""


@contextmanager
def cut_off_in(epoch):
    """Cut training off in the middle of an epoch, at the time of its third step."""
    step = TrainingNet.train_step_single

    def cut_off(net, *arguments, **named):
        if len(net.history) == epoch and len(net.history[-1, "batches"]) == 3:
            raise CutOff
        return step(net, *arguments, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainingNet, "train_step_single", cut_off)
        with pytest.raises(CutOff):
            yield


def quick(**parameters):
    return HiMatchClassifier(HIERARCHY, **QUICK | {"max_epochs": 5} | parameters)


@pytest.fixture
def many_labels(monkeypatch):
    """Ten labels count as many, so that labels are drawn."""
    monkeypatch.setattr(evidence, "MANY_LABELS", 5)
    monkeypatch.setattr(evidence, "choose_shortlist_size", lambda targets: 6)
    monkeypatch.setattr(evidence, "choose_training_shortlist_size", lambda targets: 6)
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
        with cut_off_in(epoch):
            quick(**parameters).fit(TEXTS, LABEL_SETS, checkpoint=tmp_path / "fit")
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
    with cut_off_in(epoch):
        quick(patience=2).fit(TEXTS, LABEL_SETS, checkpoint=tmp_path / "fit")
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
    torch.load(read_checked(tmp_path / "epochs-words.pt"), weights_only=True)


FILES = ("epochs-words.pt", "ngrams-words-C-1.npz", "ngrams-characters-C-1.npz")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["flipped", "truncated", "empty", "swapped"])
def test_a_damaged_file_is_named_and_repeated(tmp_path, name, damage):
    whole = quick(max_epochs=2).fit(TEXTS, LABEL_SETS, checkpoint=tmp_path)
    content = bytearray((tmp_path / name).read_bytes())
    if damage == "flipped":
        content[len(content) // 2] ^= 1
    elif damage == "truncated":
        del content[-10:]
    elif damage == "empty":
        content.clear()
    else:
        content[:32] = (tmp_path / FILES[FILES.index(name) - 1]).read_bytes()[:32]
    (tmp_path / name).write_bytes(content)
    others = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(CheckpointError, match=rf"{name} is damaged\. Delete this file"):
        quick(max_epochs=2).fit(TEXTS, LABEL_SETS, checkpoint=tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == others
    (tmp_path / name).unlink()
    again = quick(max_epochs=2).fit(TEXTS, LABEL_SETS, checkpoint=tmp_path)
    np.testing.assert_array_equal(again.predict_proba(TEXTS), whole.predict_proba(TEXTS))


@pytest.mark.parametrize("name", FILES)
def test_files_of_an_unknown_fit_are_not_trusted(tmp_path, name):
    quick(max_epochs=1).fit(TEXTS, LABEL_SETS, checkpoint=tmp_path)
    for path in tmp_path.iterdir():
        if path.name != name:
            path.unlink()
    with pytest.raises(CheckpointError, match=rf"holds {name} but no fit\.txt, so that it is unknown"):
        quick(max_epochs=1).fit(TEXTS, LABEL_SETS, checkpoint=tmp_path)


@pytest.mark.parametrize("name", ["fit.txt", *FILES])
def test_a_full_disk_leaves_no_incomplete_file(tmp_path, monkeypatch, name):
    fsync = os.fsync

    def full(descriptor):
        if os.readlink(f"/proc/self/fd/{descriptor}").endswith(f"{name}.unfinished"):
            raise OSError(28, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        quick(max_epochs=2).fit(TEXTS, LABEL_SETS, checkpoint=tmp_path)
    assert not (tmp_path / name).exists()
    assert not list(tmp_path.glob("*.unfinished"))
    monkeypatch.undo()
    again = quick(max_epochs=2).fit(TEXTS, LABEL_SETS, checkpoint=tmp_path)
    whole = quick(max_epochs=2).fit(TEXTS, LABEL_SETS)
    np.testing.assert_array_equal(again.predict_proba(TEXTS), whole.predict_proba(TEXTS))


def test_changed_word_vectors_behind_the_same_path(tmp_path):
    vectors = tmp_path / "vectors.txt"
    vectors.write_text("lens 1 2\nleaf 2 1\n")
    settings = {"max_epochs": 1, "word_vectors": vectors, "net_params": SMALL_WITHOUT_WIDTH}
    quick(**settings).fit(TEXTS, LABEL_SETS, checkpoint=tmp_path / "fit")
    quick(**settings).fit(TEXTS, LABEL_SETS, checkpoint=tmp_path / "fit")
    vectors.write_text("lens 1 2\nleaf 2 3\n")
    with pytest.raises(CheckpointError, match=r"another fit: its .* files or version"):
        quick(**settings).fit(TEXTS, LABEL_SETS, checkpoint=tmp_path / "fit")


def test_a_changed_taxonomy_behind_the_same_path(tmp_path):
    taxonomy = tmp_path / "taxonomy.json"
    taxonomy.write_text(json.dumps(HIERARCHY))
    settings = QUICK | {"max_epochs": 1}
    HiMatchClassifier(taxonomy, **settings).fit(TEXTS, LABEL_SETS, checkpoint=tmp_path / "fit")
    taxonomy.write_text(json.dumps(HIERARCHY | {"craft": ["origami"]}))
    with pytest.raises(CheckpointError, match="another fit: its texts, targets, hierarchy"):
        HiMatchClassifier(taxonomy, **settings).fit(TEXTS, LABEL_SETS, checkpoint=tmp_path / "fit")


def test_a_changed_encoder_behind_the_same_path(tmp_path, tiny_bert):
    folder = tmp_path / "bert"
    shutil.copytree(tiny_bert, folder)
    settings = {"max_epochs": 1, "lexical": None, "net_params": {"module__joint_dimension": 8}}
    settings["encoder"] = PretrainedEncoder(folder)
    quick(**settings).fit(TEXTS, LABEL_SETS, checkpoint=tmp_path / "fit")
    configuration = folder / "config.json"
    content = json.loads(configuration.read_text())
    configuration.write_text(json.dumps(content | {"hidden_dropout_prob": 0.3}))
    with pytest.raises(CheckpointError, match="another fit"):
        quick(**settings).fit(TEXTS, LABEL_SETS, checkpoint=tmp_path / "fit")


SETS = """
import sys
sys.path.insert(0, {tests!r})
from toy_corpus import QUICK, make_corpus
from skhimatch import HiMatchClassifier
texts, label_sets = make_corpus(60)
hierarchy = {{"science": frozenset(["physics", "biology"]), "sport": frozenset(["tennis", "rowing"])}}
label_texts = {{"tennis": frozenset(["racket", "serve", "net"])}}
kept = [frozenset(labels) & {{"science", "physics", "biology", "sport", "tennis"}} for labels in label_sets]
HiMatchClassifier(hierarchy, label_texts=label_texts, **QUICK | {{"max_epochs": 1}}).fit(
    texts, kept, checkpoint={folder!r}
)
"""


def test_sets_are_the_same_in_every_process(tmp_path):
    """The order of a set depends on PYTHONHASHSEED."""
    script = SETS.format(tests=str(Path(__file__).parents[1]), folder=str(tmp_path / "fit"))
    for seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": seed}
        subprocess.run([sys.executable, "-c", script], check=True, env=environment)


def test_it_says_where_it_goes_on(tmp_path, capsys):
    quick(max_epochs=2).fit(TEXTS, LABEL_SETS, checkpoint=tmp_path)
    quick(max_epochs=2, verbose=1).fit(TEXTS, LABEL_SETS, checkpoint=tmp_path)
    assert "epochs-words.pt: going on after epoch 2" in capsys.readouterr().out
