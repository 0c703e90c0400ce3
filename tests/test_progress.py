import logging

import pytest
from toy_corpus import HIERARCHY, QUICK, make_corpus

from skhimatch import HiMatchClassifier
from skhimatch.network import encodings
from skhimatch.progress import progress_bar, say
from skhimatch.training import callbacks


@pytest.mark.parametrize("shown", [False, True])
def test_messages_are_logged_and_printed_if_shown(caplog, capsys, shown):
    with caplog.at_level(logging.INFO, logger="skhimatch"):
        say("a message", shown=shown)
    assert [(record.name, record.message) for record in caplog.records] == [("skhimatch", "a message")]
    assert capsys.readouterr().out == "a message\n" * shown


def test_a_hidden_bar_writes_nothing(capsys):
    with progress_bar(3, "count", shown=False) as bar:
        bar.update(bar.n + 2)
        bar.close()
    assert capsys.readouterr() == ("", "")


def test_a_message_does_not_break_a_bar(capsys):
    with progress_bar(3, "count", shown=True) as bar:
        bar.update(3)
        say("a message", shown=True)
    captured = capsys.readouterr()
    assert captured.out == "a message\n"
    assert "3/3" in captured.err


@pytest.mark.parametrize("verbose", [0, 1])
def test_a_fit_says_the_same_to_the_log_whether_it_prints_or_not(caplog, capsys, verbose):
    texts, label_sets = make_corpus(40)
    classifier = HiMatchClassifier(HIERARCHY, **QUICK | {"max_epochs": 2, "verbose": verbose})
    with caplog.at_level(logging.INFO, logger="skhimatch"):
        classifier.fit(texts, label_sets, X_val=texts[:10], y_val=label_sets[:10])
    messages = [record.message for record in caplog.records if record.name == "skhimatch"]
    assert [message.split("/")[0] for message in messages[:2]] == ["epoch   1", "epoch   2"]
    assert messages[-1].startswith("all scores together | validation F1 ")
    assert capsys.readouterr().out == "".join(message + "\n" for message in messages) * verbose


def test_the_bar_of_training_counts_the_texts_of_all_epochs(monkeypatch, capsys):
    monkeypatch.setattr(callbacks, "on_screen", lambda: True)
    texts, label_sets = make_corpus(40)
    settings = QUICK | {"max_epochs": 3, "verbose": 1, "validation_fraction": 0}
    HiMatchClassifier(HIERARCHY, **settings).fit(texts, label_sets)
    captured = capsys.readouterr()
    assert "train: 100%" in captured.err
    assert "120/120" in captured.err
    assert captured.out.count("epoch ") == 3


def test_the_bar_of_encodings_leaps_over_stored_vectors(tiny_bert, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SKHIMATCH_CACHE", str(tmp_path))
    monkeypatch.setattr(encodings, "CHUNK_SIZE", 4)
    from skhimatch import PretrainedEncoder
    from skhimatch.network.transformer import TransformerEncoder

    encoder = TransformerEncoder(PretrainedEncoder(tiny_bert, freeze="all"))
    texts = encoder.tokenize([" ".join(["a"] * length) for length in range(1, 12)])
    half = encodings.encode_once(encoder, texts[:6], progress=False)
    assert capsys.readouterr().err == ""
    whole = encodings.encode_once(encoder, texts, progress=True)
    assert (whole[:6] == half).all()
    assert "encode: " in capsys.readouterr().err
