"""Which siblings are taken for each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skhimatch.displays.label_scores import encode_predictions
from skhimatch.evaluation.displays import axes_of
from skhimatch.labels.formats import as_hierarchy
from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.labels.spelling import suggestion
from skhimatch.labels.targets import encode_targets

__all__ = ["SiblingConfusionDisplay"]

NONE = "none of them"
# With more siblings, names and numbers are too small to read.
MAX_LABELS = 20


class SiblingConfusionDisplay:
    """For each true label of a family of siblings: which of them was predicted instead.

    Parameters
    ----------
    counts : int ndarray of shape (m, m + 1)
        Row: the true label. Column: the predicted one. On the diagonal are texts for which the true label was
        predicted. If it was not, the text counts for each sibling that was wrongly predicted, or in the last
        column if none was.
    labels : sequence of m str
        The siblings.
    parent : str or None
        Their parent. None for the roots.

    Attributes
    ----------
    counts, labels, parent
        As given.
    ax_ : matplotlib.axes.Axes
        The axes of the last call of :meth:`plot`.
    figure_ : matplotlib.figure.Figure
        The figure of `ax_`.

    Examples
    --------
    >>> hierarchy = {"science": ["physics", "biology"]}
    >>> y_true = [{"science", "physics"}, {"science", "biology"}]
    >>> SiblingConfusionDisplay.count(
    ...     y_true, [{"science", "biology"}, {"science"}], hierarchy, parent="science"
    ... ).counts
    array([[0, 0, 1],
           [1, 0, 0]])
    """

    def __init__(self, counts: NDArray[np.int64], labels: Sequence[str], parent: str | None) -> None:
        self.counts = counts
        self.labels = list(labels)
        self.parent = parent

    @classmethod
    def count(
        cls,
        y_true: Any,
        y_pred: Any,
        hierarchy: Any,
        *,
        parent: str | None = None,
        max_labels: int = MAX_LABELS,
    ) -> SiblingConfusionDisplay:
        """Count confusions without plotting them.

        Parameters
        ----------
        y_true, y_pred : labels of n texts
            In any format that `fit` takes.
        hierarchy : LabelHierarchy, or any format that :func:`~skhimatch.as_hierarchy` accepts
            Its labels are the columns.
        parent : str, optional
            The parent of the siblings. By default the one whose children are confused most often; the roots,
            if they are.
        max_labels : int, default=20
            If there are more siblings, those that are true for the most texts.

        Returns
        -------
        SiblingConfusionDisplay
            Not plotted yet.

        Raises
        ------
        ValueError
            If the parent is unknown, or has fewer than two children.
        """
        hierarchy = as_hierarchy(hierarchy)
        true = encode_targets(y_true, hierarchy)
        predicted = encode_predictions(y_pred, hierarchy, true.shape[0])
        families = _families(hierarchy)
        if parent is not None:
            if parent not in families:
                near = suggestion(parent, [name for name in families if name is not None])
                raise ValueError(
                    f"parent={parent!r} is no label with two children or more"
                    + (f": did you mean {near}?" if near else "")
                )
            families = {parent: families[parent]}
        if not families:
            raise ValueError("no label has siblings")
        found = []
        for name, siblings in families.items():
            number = true[:, siblings].sum(axis=0)
            kept = np.sort(siblings[np.argsort(-number, kind="stable")[:max_labels]])
            counts = _counts(true[:, kept].toarray() > 0, predicted[:, kept].toarray() > 0)
            found.append(cls(counts, [hierarchy.labels[label] for label in kept], name))
        return max(found, key=lambda display: display.counts[:, :-1].sum() - np.trace(display.counts))

    @classmethod
    def from_predictions(
        cls,
        y_true: Any,
        y_pred: Any,
        hierarchy: Any,
        *,
        parent: str | None = None,
        max_labels: int = MAX_LABELS,
        ax: Any = None,
    ) -> SiblingConfusionDisplay:
        """Count confusions and plot them.

        Parameters
        ----------
        y_true, y_pred, hierarchy, parent, max_labels : as in `count`
            See there.
        ax : matplotlib.axes.Axes, optional
            The axes to draw on. By default a new figure is made.

        Returns
        -------
        SiblingConfusionDisplay
        """
        return cls.count(y_true, y_pred, hierarchy, parent=parent, max_labels=max_labels).plot(ax=ax)

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        parent: str | None = None,
        max_labels: int = MAX_LABELS,
        ax: Any = None,
    ) -> SiblingConfusionDisplay:
        """Predict the labels of texts, and plot the confusions.

        Parameters
        ----------
        estimator : HiMatchClassifier
            Fitted.
        X : sequence of n str
            Texts.
        y : labels of n texts
            In any format that `fit` takes.
        parent, max_labels : as in `count`
            See there.
        ax : matplotlib.axes.Axes, optional
            The axes to draw on. By default a new figure is made.

        Returns
        -------
        SiblingConfusionDisplay
        """
        predicted = estimator.predict(X)
        return cls.from_predictions(
            y, predicted, estimator.hierarchy_, parent=parent, max_labels=max_labels, ax=ax
        )

    def plot(self, ax: Any = None) -> SiblingConfusionDisplay:
        """Draw a matrix, shaded by the share of the true label's texts.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            The axes to draw on. By default a new figure is made.

        Returns
        -------
        SiblingConfusionDisplay
            Itself, with `ax_` and `figure_` set.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        size = 2.0 + 0.42 * len(self.labels)
        ax = axes_of("SiblingConfusionDisplay", ax, (size + 1.2, size + 0.4))
        share = self.counts / np.maximum(1, self.counts.sum(axis=1, keepdims=True))
        ax.imshow(share, cmap="Blues", vmin=0, vmax=1)
        for (row, column), number in np.ndenumerate(self.counts):
            if number:
                color = "white" if share[row, column] > 0.6 else "black"
                ax.text(column, row, f"{number:,}", ha="center", va="center", fontsize="small", color=color)
        columns = [*self.labels, NONE]
        ax.set_xticks(np.arange(len(columns)), columns, rotation=45, ha="right", fontsize="small")
        ax.set_yticks(np.arange(len(self.labels)), self.labels, fontsize="small")
        ax.set(xlabel="predicted", ylabel="true")
        ax.set_title("roots" if self.parent is None else f"children of {self.parent}", fontsize="medium")
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _families(hierarchy: LabelHierarchy) -> dict[str | None, NDArray[np.int64]]:
    """Return the children of each parent, and the roots, where there are at least two."""
    families: dict[str | None, NDArray[np.int64]] = {None: hierarchy.roots}
    for label in range(len(hierarchy)):
        families[hierarchy.labels[label]] = np.sort(hierarchy.children[[label]].indices)
    return {name: siblings for name, siblings in families.items() if len(siblings) > 1}


def _counts(true: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Count predictions by true label; both are of shape (n, m)."""
    missed, wrong = true & ~predicted, predicted & ~true
    among = missed.T.astype(np.int64) @ wrong.astype(np.int64)
    among[np.diag_indices_from(among)] = (true & predicted).sum(axis=0)
    nothing = (missed & ~wrong.any(axis=1, keepdims=True)).sum(axis=0)
    return np.column_stack([among, nothing])
