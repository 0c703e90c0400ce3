"""The tree of labels, with the F1 and the number of texts of each."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skhimatch.displays.label_scores import LabelScores
from skhimatch.evaluation.displays import COLORS, axes_of
from skhimatch.labels.hierarchy import LabelHierarchy

__all__ = ["HierarchyF1Display"]

# Labels that are shown, unless another number is asked for: as many as a page holds.
MAX_LABELS = 40
INCHES_OF_A_LABEL = 0.24
INDENT = "    "


class HierarchyF1Display:
    """The labels as an indented tree, with a bar of F1 and the number of texts for each.

    Parameters
    ----------
    scores : LabelScores
        What was true and predicted of each label.
    max_labels : int, default=40
        If there are more labels, those with the most texts are shown, and their ancestors.

    Attributes
    ----------
    scores : LabelScores
        As given.
    shown : list of (int, int)
        The columns of the labels that are shown from top to bottom, and how deep each is indented. In a
        hierarchy that is no tree, a label is shown below its first parent.
    ax_ : matplotlib.axes.Axes
        The axes of the last call of :meth:`plot`.
    figure_ : matplotlib.figure.Figure
        The figure of `ax_`.

    Examples
    --------
    >>> hierarchy = {"science": ["physics", "biology"], "sport": ["tennis"]}
    >>> y_true = [{"science", "physics"}, {"sport", "tennis"}]
    >>> scores = LabelScores.of(y_true, [{"science"}, {"sport", "tennis"}], hierarchy)
    >>> [(scores.hierarchy.labels[column], depth) for column, depth in HierarchyF1Display(scores).shown]
    [('science', 0), ('biology', 1), ('physics', 1), ('sport', 0), ('tennis', 1)]
    """

    def __init__(self, scores: LabelScores, max_labels: int = MAX_LABELS) -> None:
        self.scores = scores
        self.shown = _top_down(scores.hierarchy, _most_frequent(scores, max_labels))

    @classmethod
    def from_predictions(
        cls, y_true: Any, y_pred: Any, hierarchy: Any, *, max_labels: int = MAX_LABELS, ax: Any = None
    ) -> HierarchyF1Display:
        """Score predictions and plot them.

        Parameters
        ----------
        y_true, y_pred : labels of n texts
            In any format that `fit` takes.
        hierarchy : LabelHierarchy, or any format that :func:`~skhimatch.as_hierarchy` accepts
            Its labels are the columns.
        max_labels : int, default=40
            If there are more labels, those with the most texts are shown, and their ancestors.
        ax : matplotlib.axes.Axes, optional
            The axes to draw on. By default a new figure is made.

        Returns
        -------
        HierarchyF1Display
        """
        return cls(LabelScores.of(y_true, y_pred, hierarchy), max_labels).plot(ax=ax)

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, y: Any, *, max_labels: int = MAX_LABELS, ax: Any = None
    ) -> HierarchyF1Display:
        """Predict the labels of texts, and plot the scores.

        Parameters
        ----------
        estimator : HiMatchClassifier
            Fitted.
        X : sequence of n str
            Texts.
        y : labels of n texts
            In any format that `fit` takes.
        max_labels : int, default=40
            If there are more labels, those with the most texts are shown, and their ancestors.
        ax : matplotlib.axes.Axes, optional
            The axes to draw on. By default a new figure is made.

        Returns
        -------
        HierarchyF1Display
        """
        return cls.from_predictions(
            y, estimator.predict(X), estimator.hierarchy_, max_labels=max_labels, ax=ax
        )

    def plot(self, ax: Any = None) -> HierarchyF1Display:
        """Draw a bar for each label.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            The axes to draw on. By default a new figure is made.

        Returns
        -------
        HierarchyF1Display
            Itself, with `ax_` and `figure_` set.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        height = 0.9 + INCHES_OF_A_LABEL * len(self.shown)
        ax = axes_of("HierarchyF1Display", ax, (6.4, max(2.0, height)))
        columns = np.array([column for column, _ in self.shown], dtype=np.int64)
        places = np.arange(len(columns))
        levels = np.array([depth for _, depth in self.shown])
        f1, support = self.scores.f1[columns], self.scores.support[columns]
        colors = [COLORS[depth % len(COLORS)] for depth in levels]
        ax.barh(places, f1, 0.72, color=colors)
        for place, value, number in zip(places, f1, support, strict=True):
            ax.text(value + 0.01, place, f"{value:.2f}  ({number:,})", va="center", fontsize="small")
        names = [INDENT * depth + self.scores.hierarchy.labels[column] for column, depth in self.shown]
        ax.set_yticks(places, names, ha="left", fontsize="small")
        ax.set(
            xlim=(0, 1.2),
            ylim=(len(columns) - 0.4, -0.6),
            xlabel="F1 (number of texts)",
            xticks=np.linspace(0, 1, 6),
        )
        ax.tick_params("y", length=0)
        # Labels are aligned on the left, so that their indentation shows.
        ax.figure.canvas.draw()
        widest = max((text.get_window_extent().width for text in ax.get_yticklabels()), default=0)
        ax.tick_params("y", pad=widest * 72 / ax.figure.dpi + 4)
        ax.spines[["top", "right"]].set_visible(False)
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _most_frequent(scores: LabelScores, max_labels: int) -> NDArray[np.bool_]:
    """Return which labels are shown: those with the most texts, and their ancestors."""
    shown = np.zeros(len(scores.hierarchy), dtype=bool)
    for label in np.argsort(-scores.support, kind="stable"):
        wanted = shown.copy()
        wanted[label] = True
        wanted[scores.hierarchy.ancestors[[label]].indices] = True
        if wanted.sum() > max_labels:
            break
        shown = wanted
    return shown


def _top_down(hierarchy: LabelHierarchy, shown: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return shown labels below their first parents, and how deep each is."""
    first_parent = {
        label: int(hierarchy.parents[[label]].indices.min(initial=len(hierarchy)))
        for label in np.flatnonzero(shown).tolist()
    }
    below: dict[int, list[int]] = {}
    for label, parent in sorted(first_parent.items()):
        below.setdefault(parent, []).append(label)
    found, waiting = [], [(label, 0) for label in reversed(below.get(len(hierarchy), []))]
    while waiting:
        label, depth = waiting.pop()
        found.append((label, depth))
        waiting += [(child, depth + 1) for child in reversed(below.get(label, []))]
    return found
