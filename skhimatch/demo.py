"""The demo: HiMatch and a TF-IDF + linear SVM baseline on the embedded corpus."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from skhimatch.baseline import LinearBaseline
from skhimatch.classifier import HiMatchClassifier
from skhimatch.datasets import Corpus, load_api_docs
from skhimatch.evaluation.displays import LevelF1Display
from skhimatch.labels.targets import encode_targets
from skhimatch.persistence import check_folder
from skhimatch.report import Report, compare, top_down

__all__ = ["run"]

# Smaller than the defaults. The whole demo takes one to two minutes on two cores.
SETTINGS: dict[str, Any] = {
    "max_epochs": 6,
    "learning_rate": 8e-3,
    "net_params": {
        "module__embedding_dimension": 100,
        "module__node_dimension": 100,
        "module__max_length": 100,
    },
}
# What the baseline chooses on the validation set of this corpus. The search itself takes almost a minute.
OF_BASELINE: dict[str, Any] = {"ngram_range": (1, 2), "stop_words": "english", "min_df": 3, "C": 3.0}
HIMATCH, BASELINE = "HiMatch", "TF-IDF + SVM"


def run(output: Path, seed: int) -> None:
    """Train both models, compare them, classify three texts, and save the model and a chart.

    Parameters
    ----------
    output : Path
        The folder for the model and the chart.
    seed : int
        The `random_state` of `HiMatchClassifier`.
    """
    model = check_folder(output / "model")
    corpus = load_api_docs()
    train, validation, test = (corpus.part(name) for name in ("train", "validation", "test"))
    _introduce(corpus)

    _heading(HIMATCH)
    start = time.perf_counter()
    classifier = HiMatchClassifier(corpus.hierarchy, random_state=seed, verbose=1, **SETTINGS)
    classifier.fit(*train, X_val=validation[0], y_val=validation[1])
    seconds = {HIMATCH: time.perf_counter() - start}
    classifier.save(model)

    _heading(BASELINE)
    start = time.perf_counter()
    baseline = LinearBaseline(corpus.hierarchy, **OF_BASELINE)
    baseline.fit(*train, X_val=validation[0], y_val=validation[1])
    seconds[BASELINE] = time.perf_counter() - start
    words = len(baseline.vectorizer_.vocabulary_)
    print(f"{len(corpus.hierarchy):,} SVMs on {words:,} words and word pairs")

    _heading(f"Scores on {len(test[0]):,} test texts")
    expected = encode_targets(test[1], corpus.hierarchy)
    reports = {
        name: Report.of(expected, fitted.predict(test[0]), corpus.hierarchy)
        for name, fitted in ((HIMATCH, classifier), (BASELINE, baseline))
    }
    print(compare(reports, seconds))

    _heading(f"Predictions of {HIMATCH} for three test texts")
    rows = slice(None, None, -(-len(test[0]) // 3))
    _classify(classifier, test[0][rows], test[1][rows])

    _heading("Saved")
    print(f'{model}: HiMatchClassifier.load("{model.as_posix()}")')
    print(_picture(reports, output / "f1-by-level.png"))


def _introduce(corpus: Corpus) -> None:
    n_train, n_validation, n_test = (
        f"{len(corpus.splits[name]):,}" for name in ("train", "validation", "test")
    )
    libraries, *below = np.bincount(corpus.hierarchy.levels)[1:]
    print(
        f"{len(corpus):,} docstrings of {libraries} libraries: {n_train} for training, {n_validation} for "
        f"validation, {n_test} for testing.\n"
        f"The labels are library, subpackage and module: {len(corpus.hierarchy):,} labels, "
        f"{libraries} > {' > '.join(map(str, below))}."
    )


def _classify(classifier: HiMatchClassifier, texts: list[str], label_sets: list[frozenset[str]]) -> None:
    hierarchy = classifier.hierarchy_
    true = encode_targets(label_sets, hierarchy)
    probabilities = classifier.predict_proba(texts)
    for text, expected, found in zip(
        texts,
        top_down(true, true.toarray(), hierarchy),
        top_down(classifier.predict(texts), probabilities, hierarchy),
        strict=True,
    ):
        first_paragraph = text.partition("\n\n")[0]
        print(f'"{textwrap.shorten(first_paragraph, 90, placeholder=" ...")}"')
        print(f"  true       {' > '.join(expected)}")
        print(f"  predicted  {' > '.join(f'{label} {p:.2f}' for label, p in found.items()) or 'nothing'}")


def _picture(reports: Mapping[str, Report], path: Path) -> str:
    """Save a chart of F1 by level if matplotlib is installed. Return a line about the result."""
    try:
        display = LevelF1Display({name: report.levels for name, report in reports.items()}).plot()
    except ImportError as error:
        return f"no chart: {error}"
    display.figure_.savefig(path, dpi=150)
    return f"{path}: F1 by level"


def _heading(text: str) -> None:
    print(f"\n{text}\n{'─' * len(text)}", flush=True)
