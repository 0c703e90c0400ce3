"""Whether probabilities agree with frequencies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skhimatch.evaluation.displays import COLORS, axes_of
from skhimatch.labels.formats import as_hierarchy
from skhimatch.labels.targets import encode_targets

__all__ = ["ReliabilityDisplay"]

N_BINS = 10


class ReliabilityDisplay:
    """Reliability curve: how often labels are true, by the probability that they were given.

    Parameters
    ----------
    probability, frequency : float ndarray of shape (b,)
        The mean probability of each bin that is not empty, and the share of its pairs of a text and a label
        that are true.
    number : int ndarray of shape (b,)
        The number of pairs of each bin.
    name : str, optional
        The name of the model in the legend.

    Attributes
    ----------
    probability, frequency, number, name
        As given.
    error : float
        The expected calibration error: the mean difference of both, weighted by the number of pairs.
    ax_ : matplotlib.axes.Axes
        The axes of the last call of :meth:`plot`.
    figure_ : matplotlib.figure.Figure
        The figure of `ax_`.

    Examples
    --------
    >>> display = ReliabilityDisplay.of([{"a"}, set()], [[0.9, 0.2], [0.3, 0.1]], {"a": ["b"]}, n_bins=2)
    >>> display.probability, display.frequency, display.number
    (array([0.2, 0.9]), array([0., 1.]), array([3, 1]))
    >>> round(display.error, 3)
    0.175
    """

    def __init__(
        self,
        probability: NDArray[np.float64],
        frequency: NDArray[np.float64],
        number: NDArray[np.int64],
        name: str | None = None,
    ) -> None:
        self.probability = probability
        self.frequency = frequency
        self.number = number
        self.name = name

    @property
    def error(self) -> float:
        """The expected calibration error."""
        return float(np.average(abs(self.probability - self.frequency), weights=self.number))

    @classmethod
    def of(
        cls,
        y_true: Any,
        y_proba: Any,
        hierarchy: Any,
        *,
        labels: Sequence[str] | None = None,
        n_bins: int = N_BINS,
        name: str | None = None,
    ) -> ReliabilityDisplay:
        """Compare probabilities and frequencies without plotting them.

        Parameters
        ----------
        y_true : labels of n texts
            In any format that `fit` takes.
        y_proba : float array-like of shape (n, L)
            The probabilities of all labels.
        hierarchy : LabelHierarchy, or any format that :func:`~skhimatch.as_hierarchy` accepts
            L labels.
        labels : sequence of str, optional
            The labels to look at, all by default.
        n_bins : int, default=10
            The number of bins of equal width.
        name : str, optional
            The name of the model.

        Returns
        -------
        ReliabilityDisplay
            Not plotted yet.

        Raises
        ------
        ValueError
            If shapes differ, or a label is unknown.
        """
        hierarchy = as_hierarchy(hierarchy)
        probabilities = np.asarray(y_proba, dtype=np.float64)
        true = encode_targets(y_true, hierarchy, len(probabilities)).toarray() > 0
        if probabilities.shape != true.shape:
            raise ValueError(f"y_proba has the shape {probabilities.shape}, not {true.shape}")
        if labels is not None:
            columns = hierarchy.positions(labels)
            probabilities, true = probabilities[:, columns], true[:, columns]
        place = np.searchsorted(np.linspace(0, 1, n_bins + 1)[1:-1], probabilities.ravel())
        number = np.bincount(place, minlength=n_bins)
        full = number > 0
        means = [
            np.bincount(place, weights=values.ravel(), minlength=n_bins)[full] / number[full]
            for values in (probabilities, true)
        ]
        return cls(means[0], means[1], number[full], name)

    @classmethod
    def from_predictions(
        cls,
        y_true: Any,
        y_proba: Any,
        hierarchy: Any,
        *,
        labels: Sequence[str] | None = None,
        n_bins: int = N_BINS,
        name: str | None = None,
        ax: Any = None,
    ) -> ReliabilityDisplay:
        """Compare probabilities and frequencies, and plot them.

        Parameters
        ----------
        y_true, y_proba, hierarchy, labels, n_bins, name : as in `of`
            See there.
        ax : matplotlib.axes.Axes, optional
            The axes to draw on. By default a new figure is made.

        Returns
        -------
        ReliabilityDisplay
        """
        return cls.of(y_true, y_proba, hierarchy, labels=labels, n_bins=n_bins, name=name).plot(ax=ax)

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        labels: Sequence[str] | None = None,
        n_bins: int = N_BINS,
        name: str | None = None,
        ax: Any = None,
    ) -> ReliabilityDisplay:
        """Compute the probabilities of texts, and plot how reliable they are.

        Parameters
        ----------
        estimator : HiMatchClassifier
            Fitted.
        X : sequence of n str
            Texts that it was not trained on.
        y : labels of n texts
            In any format that `fit` takes.
        labels, n_bins, name : as in `of`
            See there.
        ax : matplotlib.axes.Axes, optional
            The axes to draw on. By default a new figure is made.

        Returns
        -------
        ReliabilityDisplay
        """
        probabilities = estimator.predict_proba(X)
        return cls.from_predictions(
            y, probabilities, estimator.hierarchy_, labels=labels, n_bins=n_bins, name=name, ax=ax
        )

    def plot(self, ax: Any = None) -> ReliabilityDisplay:
        """Draw the curve, and the diagonal of perfect calibration.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            The axes to draw on; several displays may share them. By default a new figure is made.

        Returns
        -------
        ReliabilityDisplay
            Itself, with `ax_` and `figure_` set.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        is_new = ax is None or not ax.lines
        ax = axes_of("ReliabilityDisplay", ax, (4.4, 4.2))
        if is_new:
            ax.plot([0, 1], [0, 1], color="0.6", linestyle=":", linewidth=1)
        color = COLORS[(len(ax.lines) - 1) % len(COLORS)]
        error = f"error {self.error:.3f}"
        label = error if self.name is None else f"{self.name} ({error})"
        ax.plot(self.probability, self.frequency, color=color, marker="o", markersize=4, label=label)
        ax.set(xlim=(0, 1), ylim=(0, 1), xlabel="probability", ylabel="share of true labels")
        ax.spines[["top", "right"]].set_visible(False)
        ax.legend(loc="upper left", frameon=False)
        self.ax_, self.figure_ = ax, ax.figure
        return self
