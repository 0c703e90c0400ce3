"""The page that `save` writes for people."""

import pytest
from toy_corpus import HIERARCHY, QUICK, make_corpus

from skhimatch import HiMatchClassifier


def saved_card(folder, classifier):
    classifier.save(folder)
    [path] = folder.glob("saved-*/README.md")
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def classifier():
    texts, label_sets = make_corpus(60)
    held = texts[:20], label_sets[:20]
    return HiMatchClassifier(HIERARCHY, **QUICK).fit(texts, label_sets, X_val=held[0], y_val=held[1])


def test_it_says_what_the_classifier_is(classifier, tmp_path):
    card = saved_card(tmp_path / "model", classifier)
    assert "10 labels on 3 levels, a tree, 6 of them without children." in card
    assert "    science\n    ├── biology\n    │   ├── botany" in card
    assert "| training texts | 60 |" in card
    number = classifier.state_.ensemble.labels.number
    assert f"| training texts of a label | {number.min():.0f} to {number.max():.0f} |" in card
    assert "| texts from which weights and thresholds were learned | 20 |" in card
    f1 = classifier.validation_f1_
    assert f"Micro-F1 {f1.micro:.3f} and macro-F1 {f1.macro:.3f}, on the texts from which" in card
    for line in repr(classifier).splitlines():
        assert f"    {line}\n" in card


def test_the_code_on_it_runs(classifier, tmp_path, monkeypatch):
    card = saved_card(tmp_path / "model", classifier)
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(card.partition("```python\n")[2].partition("```")[0], names)
    assert names["labels"] == classifier.to_label_sets(classifier.predict(["a text"]))


def test_equal_fits_have_equal_cards_and_a_loaded_one_has_the_same(classifier, tmp_path):
    first = saved_card(tmp_path / "first", classifier)
    assert saved_card(tmp_path / "second", classifier) == first
    loaded = saved_card(tmp_path / "third", HiMatchClassifier.load(tmp_path / "first"))
    assert loaded.partition("## Scores")[2] == first.partition("## Scores")[2]


def test_without_held_out_texts_and_hierarchy(tmp_path):
    settings = QUICK | {"max_epochs": 1, "validation_fraction": 0}
    classifier = HiMatchClassifier(**settings).fit(["a b", "c \ud83d d"] * 10, [{"x`|\ud83d"}, {"z"}] * 10)
    card = saved_card(tmp_path / "model", classifier)
    assert "2 labels on 1 level, without a hierarchy, 2 of them without children." in card
    assert "No texts were held out, so there are no scores." in card
    assert "fewer than" not in card
    assert HiMatchClassifier.load(tmp_path / "model").classes_.tolist() == ["x`|\ud83d", "z"]
