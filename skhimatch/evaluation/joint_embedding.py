"""A picture of texts and labels in the joint space, with matplotlib (figure 4 of the paper)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.manifold import TSNE
from sklearn.utils import check_random_state

from skhimatch.evaluation.displays import COLORS, axes_of
from skhimatch.labels.targets import encode_targets

__all__ = ["JointEmbeddingDisplay"]

# With more labels than colours, the marks differ as well.
MARKS = "o^sDvP"
# Labels that are shown unless some are named.
DEFAULT_LABELS = 6
# Characters of the names in a row of the legend.
ROW_CHARACTERS = 66
# The usual perplexity of t-SNE. It has to be well below the number of points.
PERPLEXITY = 30


class JointEmbeddingDisplay:
    """Texts and labels of the joint space, projected onto a plane by t-SNE.

    Parameters
    ----------
    text_points : float ndarray of shape (n, 2)
        The texts.
    label_points : float ndarray of shape (m, 2)
        The labels.
    groups : sequence of n str
        The label of each text: one of `labels`.
    labels : sequence of m str
        The names of the labels.

    Attributes
    ----------
    text_points, label_points, groups, labels
        As given.
    ax_ : matplotlib.axes.Axes
        The axes of the last call of :meth:`plot`.
    figure_ : matplotlib.figure.Figure
        The figure of `ax_`.

    Examples
    --------
    >>> embeddings = np.eye(4, 3)
    >>> display = JointEmbeddingDisplay.from_embeddings(
    ...     embeddings, np.eye(2, 3), groups=["a", "b", "a", "b"], labels=["a", "b"]
    ... )
    >>> display.text_points.shape, display.label_points.shape
    ((4, 2), (2, 2))
    >>> display.plot().figure_.savefig("joint_space.png")  # doctest: +SKIP
    """

    def __init__(
        self,
        text_points: NDArray[np.floating[Any]],
        label_points: NDArray[np.floating[Any]],
        groups: Sequence[str],
        labels: Sequence[str],
    ) -> None:
        self.text_points = text_points
        self.label_points = label_points
        self.groups = list(groups)
        self.labels = list(labels)

    @classmethod
    def from_embeddings(
        cls,
        text_embeddings: NDArray[np.floating[Any]],
        label_embeddings: NDArray[np.floating[Any]],
        groups: Sequence[str],
        labels: Sequence[str],
        *,
        random_state: int | np.random.RandomState | None = 0,
    ) -> JointEmbeddingDisplay:
        """Project embeddings onto a plane.

        Parameters
        ----------
        text_embeddings : float ndarray of shape (n, d)
            Coordinates of texts in the joint space.
        label_embeddings : float ndarray of shape (m, d)
            Coordinates of labels in the same space.
        groups : sequence of n str
            The label of each text.
        labels : sequence of m str
            The names of the labels.
        random_state : int, RandomState or None, default=0
            Seeds t-SNE.

        Returns
        -------
        JointEmbeddingDisplay
            Not plotted yet.
        """
        points = np.vstack([text_embeddings, label_embeddings]).astype(np.float64)
        # Principal components need points that differ.
        differ = bool(np.ptp(points, axis=0).any())
        tsne = TSNE(
            perplexity=min(PERPLEXITY, max(1, (len(points) - 1) / 3)),
            init="pca" if differ else "random",
            random_state=check_random_state(random_state),
        ).set_output(transform="default")
        plane = tsne.fit_transform(points)
        return cls(plane[: len(text_embeddings)], plane[len(text_embeddings) :], groups, labels)

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        labels: Sequence[str] | None = None,
        max_texts: int = 500,
        random_state: int | np.random.RandomState | None = 0,
        ax: Any = None,
    ) -> JointEmbeddingDisplay:
        """Place texts and some of their labels in the joint space of a classifier, and plot them.

        Parameters
        ----------
        estimator : HiMatchClassifier
            Fitted.
        X : sequence of n str
            Texts.
        y : as `HiMatchClassifier.fit` takes it
            Their labels.
        labels : sequence of str, optional
            The labels to show. Texts without any of them are left out. By default the leaves with the most
            of these texts, and their parents.
        max_texts : int, default=500
            If there are more texts, this number of them is drawn.
        random_state : int, RandomState or None, default=0
            Draws the texts, and seeds t-SNE.
        ax : matplotlib.axes.Axes, default=None
            The axes to draw on. By default a new figure is made.

        Returns
        -------
        JointEmbeddingDisplay
            The display, with `ax_` and `figure_` set.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If a label is unknown, or no text has one of the labels.
        """
        X, hierarchy = list(X), estimator.hierarchy_
        targets = encode_targets(y, hierarchy, len(X)).toarray() > 0
        columns = _most_frequent(targets, hierarchy) if labels is None else hierarchy.positions(labels)
        # The deepest of the shown labels that a text has.
        depth = np.where(targets[:, columns], hierarchy.levels[columns], -1)
        rows = np.flatnonzero(depth.max(axis=1) >= 0)
        if not len(rows):
            raise ValueError("No text has one of the labels to show: name others by labels=[...].")
        if len(rows) > max_texts:
            rows = np.sort(check_random_state(random_state).permutation(rows)[:max_texts])
        names = [str(hierarchy.labels[column]) for column in columns]
        display = cls.from_embeddings(
            estimator.transform([X[row] for row in rows]),
            estimator.label_embeddings_[columns],
            [names[place] for place in depth[rows].argmax(axis=1)],
            names,
            random_state=random_state,
        )
        return display.plot(ax=ax)

    def plot(self, ax: Any = None) -> JointEmbeddingDisplay:
        """Draw a dot for each text in the colour of its label, and the labels with their names.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            The axes to draw on. By default a new figure is made.

        Returns
        -------
        JointEmbeddingDisplay
            Itself, with `ax_` and `figure_` set.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        ax = axes_of("JointEmbeddingDisplay", ax, (6.4, 5.6))
        groups = np.array(self.groups)
        for number, (name, point) in enumerate(zip(self.labels, self.label_points, strict=True)):
            color, mark = COLORS[number % len(COLORS)], MARKS[number // len(COLORS) % len(MARKS)]
            own = self.text_points[groups == name]
            ax.scatter(*own.T, s=14, color=color, marker=mark, alpha=0.5, linewidths=0)
            ax.scatter(*point, s=220, color=color, marker="*", edgecolors="black", zorder=3, label=name)
        ax.set(xticks=[], yticks=[])
        # As many columns as names of this length have room for.
        columns = max(1, min(3, ROW_CHARACTERS // max(map(len, self.labels), default=1)))
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, 0), ncols=columns, frameon=False, fontsize="small")
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _most_frequent(targets: NDArray[np.bool_], hierarchy: Any) -> NDArray[np.int64]:
    """Return the columns of the leaves with the most texts, and of their parents."""
    number = np.where(np.diff(hierarchy.children.indptr) == 0, targets.sum(axis=0), 0)
    leaves = np.argsort(-number, kind="stable")[:DEFAULT_LABELS]
    leaves = leaves[number[leaves] > 0]
    return np.union1d(leaves, hierarchy.parents[leaves].indices)
