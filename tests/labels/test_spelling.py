import random
import string
import subprocess
import sys
import unicodedata

import pytest

from skhimatch import HiMatchClassifier, LabelHierarchy, as_hierarchy
from skhimatch.labels import spelling
from skhimatch.labels.spelling import suggestion

COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))


@pytest.mark.parametrize(
    ("one", "two", "difference"),
    [
        ("Physics", "physics", "'Physics' and 'physics' differ only by case"),
        ("physics", "physics ", "'physics' and 'physics ' differ only by spaces"),
        ("life science", "life  science", "differ only by spaces"),
        (DECOMPOSED, COMPOSED, r"'cafe\\u0301' and 'caf\\xe9' differ only by the Unicode form"),
        ("ÉCOLE", unicodedata.normalize("NFD", "école "), "differ only by case, spaces or the Unicode form"),
    ],
)
def test_labels_that_look_alike_are_named(one, two, difference):
    for make in (
        lambda: LabelHierarchy([(one, "x"), (two, "y")], labels=[one, two, "x", "y"]),
        lambda: LabelHierarchy.flat([one, two]),
        lambda: as_hierarchy({"top": [one, two]}),
        lambda: as_hierarchy([{"parent": "top", "child": one}, {"parent": "top", "child": two}]),
    ):
        with pytest.warns(UserWarning, match=difference) as warned:
            make()
        assert len(warned) == 1
    with pytest.warns(UserWarning, match="differ only by .*, and 1 more such pairs"):
        LabelHierarchy.flat([one, two, "x", "X"])


def test_other_labels_are_not_named():
    LabelHierarchy.flat(["physics", "physic", "phy sics", "café", "cafe", "x1", "x2"])


def test_the_warning_is_shown_once_in_a_process(tmp_path):
    code = """
from skhimatch import LabelHierarchy
for _ in range(2):
    LabelHierarchy.flat(["a", "A"])
LabelHierarchy([("a", "A")])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.count("'a' and 'A' differ only by case") == 1


def test_a_saved_model_is_loaded_without_a_second_warning(tmp_path):
    settings = {"max_epochs": 1, "random_state": 0, "net_params": {"module__embedding_dimension": 8}}
    with pytest.warns(UserWarning, match="'News' and 'news'"):
        classifier = HiMatchClassifier({"News": ["news"]}, **settings).fit(["a wave", "b"], [{"news"}, set()])
    classifier.save(tmp_path / "model")
    assert HiMatchClassifier.load(tmp_path / "model").hierarchy_ == classifier.hierarchy_


def test_the_other_form_of_a_label_is_suggested():
    assert suggestion("PHYSICS", ["phisics", "physics"]) == "'physics'"
    assert suggestion("A", ["a", "b"]) == "'a'"
    assert suggestion(DECOMPOSED, ["cafe", COMPOSED]) == r"'caf\xe9'"
    assert suggestion("phisics", ["physics", "physic", "sport"], n=3) == "'physics' or 'physic'"
    assert suggestion("zoo", ["physics"]) == ""


def test_among_many_labels_only_some_thousands_are_compared(monkeypatch):
    drawn = random.Random(0)
    labels = ["".join(drawn.choices(string.ascii_lowercase, k=drawn.randint(5, 60))) for _ in range(20_000)]
    compared = []

    def counted(name, known, n):
        compared.append(len(known))
        return find(name, known, n=n)

    find = spelling.get_close_matches
    monkeypatch.setattr(spelling, "get_close_matches", counted)
    for label in labels[:5]:
        middle = len(label) // 2
        for misspelt in (label[1:], label[:-1], f"{label[:middle]}{label[middle + 1 :]}", f"{label}s"):
            assert suggestion(misspelt, labels) == repr(label)
    assert max(compared) <= 3_000
    assert suggestion("physics", ["physics!"] * 4_000) == "'physics!'"
