"""The report as a page of HTML."""

import errno
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest
import scipy.sparse as sp
from toy_corpus import HIERARCHY, QUICK, make_corpus

from skhimatch import HiMatchClassifier, LabelHierarchy
from skhimatch.cli import main
from skhimatch.report import Report
from skhimatch.report_page.page import _taken_for, report_html, write_report

pytest.importorskip("matplotlib")

VOID = {"meta", "img", "br", "hr", "input", "link"}
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


class Tags(HTMLParser):
    """The elements of a page, and whether all are closed in the right order."""

    def __init__(self, page):
        super().__init__()
        self.open, self.attributes, self.text = [], [], []
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.attributes.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.attributes if name == tag]


@pytest.fixture(scope="module")
def fitted():
    texts, label_sets = make_corpus(60)
    held, held_sets = make_corpus(30, seed=1)
    classifier = HiMatchClassifier(HIERARCHY, **QUICK | {"max_epochs": 2}).fit(
        texts, label_sets, X_val=held[:10], y_val=held_sets[:10]
    )
    # The toy classifier makes no errors, so the last labels are shifted by one text.
    return classifier, held, [*held_sets[:20], *held_sets[21:], held_sets[20]]


@pytest.fixture(scope="module")
def page(fitted):
    return report_html(*fitted, title="Toys & <trains>")


def test_it_is_one_page_that_refers_to_nothing_outside(page):
    tags = Tags(page)
    assert not tags.all("script")
    assert not tags.all("link")
    sources = [attributes["src"] for attributes in tags.all("img")]
    assert len(sources) == 7
    assert all(source.startswith("data:image/svg+xml;base64,") for source in sources)
    targets = [attributes["href"] for attributes in tags.all("a")]
    ids = {f"#{attributes['id']}" for _, attributes in tags.attributes if "id" in attributes}
    assert set(targets) <= ids
    assert "@import" not in page
    assert "url(" not in page


def test_it_can_be_read_without_seeing_the_pictures(page):
    tags = Tags(page)
    assert all(attributes["alt"] for attributes in tags.all("img"))
    [html] = tags.all("html")
    assert html["lang"] == "en"
    assert [level for level, _ in tags.attributes if re.fullmatch("h[1-6]", level)][:2] == ["h1", "h2"]


def test_its_numbers_are_those_of_the_predictions(fitted, page):
    classifier, texts, label_sets = fitted
    found = "".join(Tags(page).text)
    predicted = classifier.predict(texts)
    report = Report.of(_indicator(classifier, label_sets), predicted, HIERARCHY)
    assert f"micro-F1{report.micro_f1:.3f}macro-F1{report.macro_f1:.3f}" in found
    assert f"hierarchical F1{report.hierarchical.f1:.3f}" in found
    wrong = (predicted != _indicator(classifier, label_sets)).any(axis=1).sum()
    assert wrong > 0
    assert f"{wrong} of 30 texts have a wrong or a missing label." in found
    assert page.count("<article") == min(10, wrong)
    for label in classifier.classes_:
        assert f"<strong>{label}</strong>" in page


def _indicator(classifier, label_sets):
    return np.array([[label in labels for label in classifier.classes_] for labels in label_sets]).astype(int)


def test_the_same_classifier_has_the_same_page(fitted, page):
    assert report_html(*fitted, title="Toys & <trains>") == page
    assert "<title>Toys &amp; &lt;trains&gt;</title>" in page


def test_texts_and_labels_are_escaped(tmp_path):
    texts = ["<script>alert('a')</script> & b", "c \ud83d d"] * 10
    label_sets = [{"<b>x</b>"}, {'"z"'}] * 10
    settings = QUICK | {"max_epochs": 1, "validation_fraction": 0}
    classifier = HiMatchClassifier(**settings).fit(texts, label_sets)
    path = write_report(classifier, texts[:4], label_sets[1:5], tmp_path / "report.html", n_errors=4)
    page = path.read_text(encoding="utf-8")
    tags = Tags(page)
    assert not tags.all("script")
    assert "<b>x</b>" not in page
    assert "&lt;script&gt;" in page


@pytest.mark.parametrize(
    ("hierarchy", "label_sets"),
    [
        (None, [{"a"}, {"b"}, set()]),
        ([("a", "c"), ("b", "c"), ("a", "d")], [{"a", "b", "c"}, {"a", "d"}, {"b"}]),
        ([("a", "b")], [{"a", "b"}, {"a"}, {"a"}]),
    ],
    ids=["flat", "graph", "chain"],
)
def test_other_hierarchies(hierarchy, label_sets):
    texts, sets = ["one two", "three four", "five six"] * 8, label_sets * 8
    settings = QUICK | {"max_epochs": 1, "validation_fraction": 0, "lambda_match": 0}
    classifier = HiMatchClassifier(hierarchy, **settings).fit(texts, sets)
    page = report_html(classifier, texts[:6], sets[:6], n_errors=2)
    tags = Tags(page)
    # A graph has its shared label twice in the tree.
    assert len(re.findall("<strong>c</strong>", page)) == (2 if hierarchy and len(hierarchy) == 3 else 0)
    # No joint space was trained, and a chain has no siblings.
    assert len(tags.all("img")) == (5 if hierarchy == [("a", "b")] else 6)


@pytest.mark.parametrize(
    "hierarchy",
    [
        LabelHierarchy([("a", "c"), ("a", "d"), ("b", "d"), ("b", "e"), ("c", "f")]),
        LabelHierarchy.flat(list("abcdef")),
    ],
    ids=["graph", "flat"],
)
def test_only_siblings_are_predicted_instead(hierarchy):
    true, predicted = (np.random.RandomState(0).rand(2, 40, 6) < 0.4).astype(np.float32)
    found = _taken_for(hierarchy, sp.csr_array(true), sp.csr_array(predicted))
    counts = (true * (1 - predicted)).T @ (predicted * (1 - true)) * hierarchy.siblings.toarray()
    expected = {}
    for label, row in enumerate(counts):
        order = np.argsort(-row, kind="stable")[:3]
        named = [f"{hierarchy.labels[other]} ({row[other]:.0f})" for other in order if row[other]]
        if named:
            expected[label] = ", ".join(named)
    assert found == expected


def test_without_errors(fitted):
    classifier, texts, _ = fitted
    predicted = classifier.predict(texts)
    page = report_html(classifier, texts, predicted)
    assert "<p>0 of 30 texts have a wrong or a missing label.</p>" in page
    assert "<article" not in page


def test_the_command(fitted, tmp_path, capsys):
    classifier, texts, label_sets = fitted
    classifier.save(tmp_path / "model")
    rows = (f"{text};{'|'.join(sorted(labels))}\n" for text, labels in zip(texts, label_sets, strict=True))
    source, output = tmp_path / "test.csv", tmp_path / "report.html"
    source.write_text("title;topic\n" + "".join(rows), encoding="utf-8")
    command = ["report", "--model", str(tmp_path / "model"), "--input", str(source), "--output", str(output)]
    columns = ["--text-column", "title", "--label-column", "topic", "--errors", "1"]
    assert main([*command, *columns]) == 0
    assert f"{output} written" in capsys.readouterr().out
    page = output.read_text(encoding="utf-8")
    assert "<h1>model on test.csv</h1>" in page
    assert page.count("<article") == 1
    assert main([*command[:-1], str(source), *columns]) == 2
    assert "are the same file" in capsys.readouterr().err


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")
@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_shows_it_without_scrolling_sideways(page, tmp_path, width):
    measured = page.replace(
        "</body>",
        "<script>for (const part of document.querySelectorAll('details')) part.open = true;"
        "document.title = [...document.images].every(image => image.naturalWidth > 0) + ' ' "
        "+ (document.documentElement.scrollWidth <= innerWidth);</script></body>",
    )
    file = tmp_path / "report.html"
    file.write_text(measured, encoding="utf-8")
    command = [
        CHROMIUM,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={tmp_path / 'profile'}",
    ]
    done = subprocess.run(
        [*command, f"--window-size={width},900", "--virtual-time-budget=5000", "--dump-dom", file.as_uri()],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "<title>true true</title>" in done.stdout


def test_a_full_disk_leaves_the_old_page(fitted, tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    path = tmp_path / "report.html"
    path.write_text("old")
    with pytest.raises(OSError, match="No space left"):
        write_report(*fitted, path, n_errors=0)
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("report.html", "old")]
