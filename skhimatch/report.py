"""All metrics of predictions, and a table that compares models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from skhimatch.evaluation.displays import text_bars
from skhimatch.evaluation.metrics import (
    HierarchicalScore,
    LevelScore,
    f1_by_level,
    hierarchical_precision_recall_f1,
    hierarchy_violation_rate,
    micro_macro_f1,
)
from skhimatch.labels.formats import as_hierarchy
from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.labels.indicators import as_indicator

__all__ = ["Report", "compare", "top_down"]


@dataclass(frozen=True)
class Report:
    """All metrics of predictions.

    Attributes
    ----------
    micro_f1 : float
        Micro-F1 of all labels.
    macro_f1 : float
        Macro-F1 of all labels.
    hierarchical : HierarchicalScore
        Precision, recall and F1 of labels counted with their ancestors.
    violations : float
        The share of texts whose predicted labels lack an ancestor.
    levels : list of LevelScore
        F1 on each level, from the roots down.
    """

    micro_f1: float
    macro_f1: float
    hierarchical: HierarchicalScore
    violations: float
    levels: list[LevelScore]

    @classmethod
    def of(cls, y_true: Any, y_pred: Any, hierarchy: Any) -> Report:
        """Compute the metrics of predictions.

        Parameters
        ----------
        y_true, y_pred : array-like or sparse of shape (n, L)
            Indicators: 0 or 1.
        hierarchy : LabelHierarchy, or any format that :func:`~skhimatch.as_hierarchy` accepts
            Its labels are the columns.

        Returns
        -------
        Report
            The metrics.

        Examples
        --------
        >>> hierarchy = {"science": ["physics", "biology"]}  # columns: biology, physics, science
        >>> Report.of([[0, 1, 1], [1, 0, 1]], [[0, 1, 1], [0, 1, 1]], hierarchy).micro_f1
        0.75
        """
        hierarchy = as_hierarchy(hierarchy)
        return cls(
            *micro_macro_f1(y_true, y_pred),
            hierarchical_precision_recall_f1(y_true, y_pred, hierarchy),
            hierarchy_violation_rate(y_pred, hierarchy),
            f1_by_level(y_true, y_pred, hierarchy),
        )


def compare(reports: Mapping[str, Report], fit_seconds: Mapping[str, float] | None = None) -> str:
    """Compare models in a table and a bar chart of F1 by level.

    Parameters
    ----------
    reports : mapping of str to Report
        The reports of one model or several, by name.
    fit_seconds : mapping of str to float, optional
        The training time of each model, in seconds.

    Returns
    -------
    str
        The table and the bar chart.

    Examples
    --------
    >>> hierarchy = {"science": ["physics", "biology"]}  # columns: biology, physics, science
    >>> report = Report.of([[0, 1, 1], [1, 0, 1]], [[0, 1, 1], [0, 1, 0]], hierarchy)
    >>> print(compare({"mine": report}))  # doctest: -NORMALIZE_WHITESPACE
                                              mine
    micro-F1                                 0.571
    macro-F1                                 0.444
    hierarchical precision                   0.750
    hierarchical recall                      0.750
    hierarchical F1                          0.750
    predictions that break the hierarchy    50.0 %
    <BLANKLINE>
    F1 by level
    level 1, 1 label
      mine  micro  ██████████████████████████▋               0.667
            macro  ██████████████████████████▋               0.667
    level 2, 2 labels
      mine  micro  ████████████████████                      0.500
            macro  █████████████▍                            0.333
    """
    values = reports.values()
    rows = {
        "micro-F1": [f"{report.micro_f1:.3f}" for report in values],
        "macro-F1": [f"{report.macro_f1:.3f}" for report in values],
        "hierarchical precision": [f"{report.hierarchical.precision:.3f}" for report in values],
        "hierarchical recall": [f"{report.hierarchical.recall:.3f}" for report in values],
        "hierarchical F1": [f"{report.hierarchical.f1:.3f}" for report in values],
        "predictions that break the hierarchy": [f"{100 * report.violations:.1f} %" for report in values],
    }
    if fit_seconds is not None:
        rows["seconds to fit"] = [f"{fit_seconds[name]:.0f}" for name in reports]
    margin = max(map(len, rows))
    widths = [max(8, len(name)) for name in reports]
    lines = [
        "  ".join(
            [f"{heading:<{margin}}", *(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True))]
        )
        for heading, row in {"": list(reports), **rows}.items()
    ]
    bars = text_bars({name: report.levels for name, report in reports.items()})
    return "\n".join([*lines, "", "F1 by level", bars])


def top_down(indicator: Any, probabilities: Any, hierarchy: LabelHierarchy) -> list[dict[str, float]]:
    """List the predicted labels of each text from the roots down, with their probabilities.

    Parameters
    ----------
    indicator : array-like or sparse of shape (n, L)
        The predicted labels: 0 or 1.
    probabilities : ndarray of shape (n, L)
        The probabilities of all labels.
    hierarchy : LabelHierarchy
        L labels in column order.

    Returns
    -------
    list of n dict of str to float
        The probability of each predicted label.

    Examples
    --------
    >>> import numpy as np
    >>> hierarchy = as_hierarchy({"science": ["physics", "biology"]})  # columns: biology, physics, science
    >>> top_down([[0, 1, 1]], np.array([[0.1, 0.75, 0.9]]), hierarchy)
    [{'science': 0.9, 'physics': 0.75}]
    """
    rows = as_indicator(indicator, len(hierarchy))
    found = []
    for row, (start, stop) in enumerate(pairwise(rows.indptr)):
        labels = hierarchy.top_down(rows.indices[start:stop])
        found.append(
            {hierarchy.labels[label]: round(float(probabilities[row, label]), 6) for label in labels}
        )
    return found
