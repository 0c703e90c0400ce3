"""What a saved classifier says about itself: a page of Markdown in its folder."""

from __future__ import annotations

import sys
from importlib.metadata import version

import skhimatch
from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.state import FittedState

__all__ = ["model_card"]

# Labels that the page shows.
MAX_LABELS = 60
# Labels with fewer training texts are named among the limits.
FEW_TEXTS = 10
PACKAGES = ("torch", "skorch", "scikit-learn", "numpy", "scipy")


def model_card(state: FittedState, classifier: str) -> str:
    """Describe a fitted classifier.

    Parameters
    ----------
    state : FittedState
        What was learned.
    classifier : str
        Its `repr`, with the parameters that are not the defaults.

    Returns
    -------
    str
        Markdown: how to load it, its labels, how it was trained, its scores and its limits. Two equal fits
        with the same versions have the same page.
    """
    parts = {
        "Use": _use(),
        "Labels": _labels(state.hierarchy),
        "Training": _training(state, classifier),
        "Scores": _scores(state),
        "Limits": _limits(state),
    }
    sections = "\n\n".join(f"## {title}\n\n{text}" for title, text in parts.items())
    return f"# A hierarchical text classifier\n\n{sections}\n"


def _use() -> str:
    return (
        f"Saved by `HiMatchClassifier.save` of skhimatch {skhimatch.__version__}. Copy the whole folder, and "
        "load the folder that holds `classifier.json`:\n\n"
        "```python\n"
        "from skhimatch import HiMatchClassifier\n\n"
        'classifier = HiMatchClassifier.load("model")\n'
        'labels = classifier.to_label_sets(classifier.predict(["a text"]))\n'
        "```"
    )


def _labels(hierarchy: LabelHierarchy) -> str:
    kind = "a tree" if hierarchy.is_tree else "some labels have several parents"
    if hierarchy.is_flat:
        kind = "without a hierarchy"
    drawn = "\n".join(f"    {line}" for line in hierarchy.to_text(MAX_LABELS).splitlines())
    return (
        f"{len(hierarchy):,} labels on {hierarchy.depth} level{'s' * (hierarchy.depth > 1)}, {kind}, "
        f"{len(hierarchy.leaves):,} of them without children.\n\n{drawn}"
    )


def _training(state: FittedState, classifier: str) -> str:
    choices = state.choices
    number = state.ensemble.labels.number
    rows = {
        "training texts": f"{state.ensemble.labels.n_texts:,.0f}",
        "training texts of a label": f"{number.min():,.0f} to {number.max():,.0f}",
        "texts from which weights and thresholds were learned": f"{choices.held_out:,}",
        "epochs of the network": f"{len(state.history)}",
        "random seed": f"{state.seed}",
        "known words": f"{len(state.vocabulary):,}",
        "decision": choices.decision,
        "calibration": choices.calibration or "none",
    }
    for package in PACKAGES:
        rows[package] = version(package)
    rows["Python"] = ".".join(map(str, sys.version_info[:3]))
    table = "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())])
    return table + "\n\n" + "\n".join(f"    {line}" for line in classifier.splitlines())


def _scores(state: FittedState) -> str:
    if state.validation_f1 is None:
        return "No texts were held out, so there are no scores."
    micro, macro = state.validation_f1
    return (
        f"Micro-F1 {micro:.3f} and macro-F1 {macro:.3f}, on the texts from "
        "which weights and thresholds were learned. On other texts they may be somewhat lower: "
        "`skhimatch evaluate` scores a test set."
    )


def _limits(state: FittedState) -> str:
    rare = int((state.ensemble.labels.number < FEW_TEXTS).sum())
    limits = [
        "It knows the labels above, and gives some of them to texts that none of them fits, unless texts "
        "without labels were among the training texts.",
        "Scores on texts of another kind, time or language are lower.",
        "What is systematic in the training labels, such as errors or one group's view, is learned, too.",
    ]
    if rare:
        few = f"{rare:,} labels have fewer than {FEW_TEXTS} training texts, and are less reliable."
        limits.insert(1, few)
    return "\n".join(f"- {limit}" for limit in limits)
