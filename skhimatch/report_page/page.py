"""A report as one file of HTML that needs no network."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Callable, Iterable, Sequence
from html import escape
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from skhimatch.displays import (
    FitHistoryDisplay,
    FrequencyF1Display,
    JointEmbeddingDisplay,
    LevelF1Display,
    ReliabilityDisplay,
    SiblingConfusionDisplay,
    ThresholdDisplay,
)
from skhimatch.displays.label_scores import LabelScores
from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.labels.targets import encode_targets
from skhimatch.report import Report
from skhimatch.storage.replacing import replacing

__all__ = ["report_html", "write_report"]

# Texts that are shown with an explanation, and characters of each.
N_ERRORS, N_CHARACTERS = 10, 600
# Texts that are placed in the joint space: t-SNE takes a second for some hundreds.
N_POINTS = 300
# Probabilities closer to 0 or 1 are as wrong as these.
CLOSEST = 1e-6


def write_report(
    classifier: Any,
    X: Sequence[str],
    y: Any,
    path: str | os.PathLike[str],
    *,
    title: str = "Report",
    n_errors: int = N_ERRORS,
) -> Path:
    """Write a report of a classifier on texts with known labels: one page of HTML.

    Parameters
    ----------
    classifier : HiMatchClassifier
        Fitted.
    X : sequence of n str
        Texts that it was not trained on.
    y : labels of n texts
        In any format that `fit` takes.
    path : path-like
        The file. If it exists, it is replaced at the end, and is as before after an error.
    title : str, default="Report"
        The heading.
    n_errors : int, default=10
        How many of the most wrong texts are shown, with explanations.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If the labels do not fit the classifier.

    Examples
    --------
    >>> path = write_report(clf, texts, label_sets, "report.html")  # doctest: +SKIP
    """
    page = report_html(classifier, X, y, title=title, n_errors=n_errors)
    path = Path(path)
    with replacing(path) as unfinished:
        unfinished.write_text(page, encoding="utf-8", errors="replace")
    return path


def report_html(
    classifier: Any, X: Sequence[str], y: Any, *, title: str = "Report", n_errors: int = N_ERRORS
) -> str:
    """Return the page that `write_report` writes.

    Parameters
    ----------
    classifier, X, y, title, n_errors : as in `write_report`
        See there.

    Returns
    -------
    str
        HTML with its style and its pictures. It refers to nothing outside.
    """
    texts, hierarchy = list(X), classifier.hierarchy_
    true = encode_targets(y, hierarchy, len(texts))
    probabilities = classifier.predict_proba(texts)
    predicted = sp.csr_array(classifier.decide(probabilities))
    scores = LabelScores.of(true, predicted, hierarchy)
    sections = {
        "Summary": _summary(classifier, Report.of(true, predicted, hierarchy), len(texts)),
        "Pictures": _pictures(classifier, texts, true, predicted, probabilities),
        "Labels": _tree(scores, true, predicted),
        "Errors": _errors(classifier, texts, true, predicted, probabilities, n_errors),
    }
    links = "".join(f'<li><a href="#{name.lower()}">{name}</a></li>' for name in sections)
    body = "".join(
        f'<section id="{name.lower()}"><h2>{name}</h2>{content}</section>'
        for name, content in sections.items()
    )
    style = files("skhimatch.report_page").joinpath("style.css").read_text(encoding="utf-8")
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{style}</style></head><body>"
        f'<header><h1>{escape(title)}</h1><nav aria-label="sections"><ul>{links}</ul></nav></header>'
        f"<main>{body}</main></body></html>\n"
    )


def _summary(classifier: Any, report: Report, n_texts: int) -> str:
    hierarchical = report.hierarchical
    rows = {
        "micro-F1": f"{report.micro_f1:.3f}",
        "macro-F1": f"{report.macro_f1:.3f}",
        "hierarchical precision": f"{hierarchical.precision:.3f}",
        "hierarchical recall": f"{hierarchical.recall:.3f}",
        "hierarchical F1": f"{hierarchical.f1:.3f}",
        "predictions that break the hierarchy": f"{100 * report.violations:.1f} %",
    }
    levels = [
        (f"level {level.level}", f"{level.labels:,}", f"{level.micro_f1:.3f}", f"{level.macro_f1:.3f}")
        for level in report.levels
    ]
    hierarchy = classifier.hierarchy_
    return (
        f"<p>{n_texts:,} texts, {len(hierarchy):,} labels on {hierarchy.depth} "
        f"level{'s' * (hierarchy.depth > 1)}. Decision: {escape(classifier.choices_.decision)}.</p>"
        + _table(None, rows.items())
        + _table(("", "labels", "micro-F1", "macro-F1"), levels)
    )


def _table(head: Sequence[str] | None, rows: Iterable[Sequence[str]]) -> str:
    heading = "" if head is None else f"<tr>{''.join(f'<th>{escape(name)}</th>' for name in head)}</tr>"
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="wide"><table>{heading}{body}</table></div>'


def _pictures(
    classifier: Any,
    texts: list[str],
    true: sp.csr_array,
    predicted: sp.csr_array,
    probabilities: NDArray[np.floating[Any]],
) -> str:
    hierarchy = classifier.hierarchy_
    n_train = classifier.state_.ensemble.labels.number
    pictures: dict[str, Callable[[], Any]] = {
        "F1 on each level": lambda: LevelF1Display.from_predictions(true, predicted, hierarchy),
        "Macro-F1 of rare and of frequent labels": lambda: FrequencyF1Display.from_predictions(
            true, predicted, hierarchy, n_train=n_train
        ),
        "Precision, recall and F1 by threshold": lambda: ThresholdDisplay.from_predictions(
            true, probabilities, hierarchy
        ),
        "Probabilities and shares of true labels; below the diagonal, probabilities are too high": (
            lambda: ReliabilityDisplay.from_predictions(true, probabilities, hierarchy)
        ),
    }
    if classifier.history_:
        pictures["Loss, and F1 of the network alone, in each epoch"] = lambda: (
            FitHistoryDisplay.from_estimator(classifier)
        )
    if len(hierarchy.roots) > 1 or (np.diff(hierarchy.children.indptr) > 1).any():
        pictures["The siblings that are confused most often, in numbers of texts"] = lambda: (
            SiblingConfusionDisplay.from_predictions(true, predicted, hierarchy)
        )
    if classifier.has_joint_space:
        pictures["Texts (dots) and labels (stars) in the joint space"] = lambda: (
            JointEmbeddingDisplay.from_estimator(classifier, texts, true, max_texts=N_POINTS)
        )
    drawn = "".join(_figure(caption, make()) for caption, make in pictures.items())
    return f'<div class="pictures">{drawn}</div>'


def _figure(caption: str, display: Any) -> str:
    caption = escape(caption)
    return f'<figure><img alt="{caption}" src="{_svg(display)}"><figcaption>{caption}</figcaption></figure>'


def _svg(display: Any) -> str:
    """Return a picture as a data URL, and free its figure."""
    import matplotlib.pyplot as plt

    picture = io.BytesIO()
    # The same picture has the same bytes.
    with plt.rc_context({"svg.hashsalt": "skhimatch"}):
        display.figure_.savefig(picture, format="svg", metadata={"Date": None})
    plt.close(display.figure_)
    return f"data:image/svg+xml;base64,{base64.b64encode(picture.getvalue()).decode()}"


def _tree(scores: LabelScores, true: sp.csr_array, predicted: sp.csr_array) -> str:
    """Render the tree of labels; each can be opened. A label with several parents is below each of them."""
    hierarchy = scores.hierarchy
    instead = _taken_for(hierarchy, true, predicted)
    note = (
        '<p class="soft">F1, precision and recall of each label, and its number of texts. Open a label for '
        "its children and for the siblings that were predicted instead.</p>"
    )
    return note + "".join(
        _branch(root, scores, instead, opened=len(hierarchy.roots) < 8) for root in hierarchy.roots
    )


def _branch(label: int, scores: LabelScores, instead: dict[int, str], *, opened: bool) -> str:
    """Render a label and those below it. The depth of recursion is that of the hierarchy."""
    hits, support, number = (int(side[label]) for side in (scores.hits, scores.support, scores.predicted))
    f1 = scores.f1[label]
    summary = (
        f'<span class="label"><strong>{escape(scores.hierarchy.labels[label])}</strong>'
        f'<span class="bar"><span style="width:{100 * f1:.0f}%"></span></span>'
        f"<span>F1 {f1:.2f}</span>"
        f'<span class="soft">precision {_share(hits, number)}, recall {_share(hits, support)}, {support:,} '
        f"text{'s' * (support != 1)}</span></span>"
    )
    children = np.sort(scores.hierarchy.children[[label]].indices).tolist()
    below = "".join(_branch(child, scores, instead, opened=False) for child in children)
    taken = instead.get(label)
    more = f'<p class="soft">Predicted instead: {taken}.</p>' if taken else ""
    return f"<details{' open' * opened}><summary>{summary}</summary>{more}{below}</details>"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.2f}" if whole else "–"


def _taken_for(hierarchy: LabelHierarchy, true: sp.csr_array, predicted: sp.csr_array) -> dict[int, str]:
    """Return, for labels that were missed, the siblings that were wrongly predicted, most often first."""
    hits = true.multiply(predicted)
    missed, wrong = sp.csr_array(true - hits), sp.csr_array(predicted.astype(np.float32) - hits)
    counts = sp.coo_array(missed.T @ wrong)
    # `hierarchy.siblings` would have all pairs of a large family, and few are confused.
    together = hierarchy.parents[counts.row].multiply(hierarchy.parents[counts.col]).sum(axis=1) > 0
    if not hierarchy.is_flat:
        together |= np.isin(counts.row, hierarchy.roots) & np.isin(counts.col, hierarchy.roots)
    pairs = counts.row[together], counts.col[together]
    counts = sp.csr_array((counts.data[together], pairs), shape=counts.shape)
    counts.sort_indices()
    found = {}
    for label, (start, stop) in enumerate(pairwise(counts.indptr)):
        order = np.argsort(-counts.data[start:stop], kind="stable")[:3]
        named = [
            f"{escape(hierarchy.labels[counts.indices[start + place]])} ({counts.data[start + place]:,.0f})"
            for place in order
            if counts.data[start + place] > 0
        ]
        if named:
            found[label] = ", ".join(named)
    return found


def _errors(
    classifier: Any,
    texts: list[str],
    true: sp.csr_array,
    predicted: sp.csr_array,
    probabilities: NDArray[np.floating[Any]],
    n_errors: int,
) -> str:
    """Show the texts whose true labels were least probable in all, where something else was predicted."""
    expected = true.toarray() > 0
    likely = np.clip(probabilities.astype(np.float64), CLOSEST, 1 - CLOSEST)
    loss = -np.where(expected, np.log(likely), np.log1p(-likely)).sum(axis=1)
    is_wrong: NDArray[np.bool_] = ((predicted.toarray() > 0) != expected).sum(axis=1) > 0
    rows = [row for row in np.argsort(-loss, kind="stable").tolist() if is_wrong[row]]
    share = f"<p>{len(rows):,} of {len(texts):,} texts have a wrong or a missing label."
    if not rows:
        return share + "</p>"
    shown = rows[:n_errors]
    return f"{share} The most surprising {len(shown)}:</p>" + "".join(
        _error(classifier, texts[row], expected[row], predicted[[row]].indices, row) for row in shown
    )


def _error(
    classifier: Any, text: str, expected: NDArray[np.bool_], predicted: NDArray[np.integer[Any]], row: int
) -> str:
    hierarchy = classifier.hierarchy_
    true = np.flatnonzero(expected)
    by_level = [hierarchy.top_down(labels) for labels in (true, predicted)]
    named = [
        ", ".join(
            f'<span class="{"right" if label in other else "wrong"}">{escape(hierarchy.labels[label])}</span>'
            for label in labels.tolist()
        )
        or "none"
        for labels, other in zip(by_level, (set(predicted.tolist()), set(true.tolist())), strict=True)
    ]
    cut = text if len(text) <= N_CHARACTERS else text[:N_CHARACTERS] + " …"
    labels = [hierarchy.labels[label] for label in np.union1d(true, predicted)]
    explained = classifier.explain(text, labels=labels) if labels else None
    why = "" if explained is None else f"<details><summary>Why?</summary>{explained.to_html()}</details>"
    return (
        f'<article class="error"><p>{escape(cut)}</p><p><strong>True:</strong> {named[0]}</p>'
        f'<p><strong>Predicted:</strong> {named[1]}</p><p class="soft">Text {row + 1:,}</p>{why}</article>'
    )
