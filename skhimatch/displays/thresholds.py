"""Precision, recall and F1 by threshold."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skhimatch.evaluation.displays import COLORS, axes_of
from skhimatch.evaluation.metrics import micro_macro_f1
from skhimatch.labels.formats import as_hierarchy
from skhimatch.labels.targets import encode_targets

__all__ = ["ThresholdDisplay"]

# Thresholds from 0.01 to 0.99.
N_THRESHOLDS = 50


class ThresholdDisplay:
    """Micro-averaged precision and recall, micro-F1 and macro-F1, by the threshold of all labels.

    Parameters
    ----------
    thresholds : float ndarray of shape (t,)
        Rising.
    precision, recall, micro_f1, macro_f1 : float ndarray of shape (t,)
        The scores if each label from the threshold on is predicted.

    Attributes
    ----------
    thresholds, precision, recall, micro_f1, macro_f1
        As given.
    ax_ : matplotlib.axes.Axes
        The axes of the last call of :meth:`plot`.
    figure_ : matplotlib.figure.Figure
        The figure of `ax_`.

    Examples
    --------
    >>> display = ThresholdDisplay.of([{"a"}, set()], [[0.9, 0.2], [0.3, 0.1]], {"a": ["b"]})
    >>> bool(display.micro_f1[display.thresholds > 0.5][0] == 1)
    True
    """

    def __init__(
        self,
        thresholds: NDArray[np.float64],
        precision: NDArray[np.float64],
        recall: NDArray[np.float64],
        micro_f1: NDArray[np.float64],
        macro_f1: NDArray[np.float64],
    ) -> None:
        self.thresholds = thresholds
        self.precision = precision
        self.recall = recall
        self.micro_f1 = micro_f1
        self.macro_f1 = macro_f1

    @classmethod
    def of(cls, y_true: Any, y_proba: Any, hierarchy: Any) -> ThresholdDisplay:
        """Compute the scores without plotting them.

        Parameters
        ----------
        y_true : labels of n texts
            In any format that `fit` takes.
        y_proba : float array-like of shape (n, L)
            The probabilities of all labels.
        hierarchy : LabelHierarchy, or any format that :func:`~skhimatch.as_hierarchy` accepts
            L labels.

        Returns
        -------
        ThresholdDisplay
            Not plotted yet.

        Raises
        ------
        ValueError
            If shapes differ.
        """
        probabilities = np.asarray(y_proba)
        true = encode_targets(y_true, as_hierarchy(hierarchy), len(probabilities))
        if probabilities.shape != true.shape:
            raise ValueError(f"y_proba has the shape {probabilities.shape}, not {true.shape}")
        thresholds = np.linspace(0.01, 0.99, N_THRESHOLDS)
        scores = []
        for threshold in thresholds:
            predicted = probabilities >= threshold
            hits = true.multiply(predicted).sum()
            micro, macro = micro_macro_f1(true, predicted)
            scores.append((hits / max(1, predicted.sum()), hits / max(1, true.sum()), micro, macro))
        return cls(thresholds, *np.array(scores).T)

    @classmethod
    def from_predictions(
        cls, y_true: Any, y_proba: Any, hierarchy: Any, *, ax: Any = None
    ) -> ThresholdDisplay:
        """Compute the scores and plot them.

        Parameters
        ----------
        y_true, y_proba, hierarchy : as in `of`
            See there.
        ax : matplotlib.axes.Axes, optional
            The axes to draw on. By default a new figure is made.

        Returns
        -------
        ThresholdDisplay
        """
        return cls.of(y_true, y_proba, hierarchy).plot(ax=ax)

    @classmethod
    def from_estimator(cls, estimator: Any, X: Any, y: Any, *, ax: Any = None) -> ThresholdDisplay:
        """Compute the probabilities of texts, and plot the scores.

        Parameters
        ----------
        estimator : HiMatchClassifier
            Fitted.
        X : sequence of n str
            Texts that it was not trained on.
        y : labels of n texts
            In any format that `fit` takes.
        ax : matplotlib.axes.Axes, optional
            The axes to draw on. By default a new figure is made.

        Returns
        -------
        ThresholdDisplay
        """
        return cls.from_predictions(y, estimator.predict_proba(X), estimator.hierarchy_, ax=ax)

    def plot(self, ax: Any = None) -> ThresholdDisplay:
        """Draw a line for each score, and mark where F1 is highest.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            The axes to draw on. By default a new figure is made.

        Returns
        -------
        ThresholdDisplay
            Itself, with `ax_` and `figure_` set.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        ax = axes_of("ThresholdDisplay", ax, (5.2, 3.6))
        lines = {
            "precision (micro)": (self.precision, COLORS[4], "--"),
            "recall (micro)": (self.recall, COLORS[3], "--"),
            "micro-F1": (self.micro_f1, COLORS[0], "-"),
            "macro-F1": (self.macro_f1, COLORS[1], "-"),
        }
        for name, (values, color, style) in lines.items():
            ax.plot(self.thresholds, values, color=color, linestyle=style, label=name)
            if name.endswith("F1"):
                best = int(values.argmax())
                ax.plot(self.thresholds[best], values[best], color=color, marker="o")
        ax.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="threshold")
        ax.spines[["top", "right"]].set_visible(False)
        ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, frameon=False)
        self.ax_, self.figure_ = ax, ax.figure
        return self
