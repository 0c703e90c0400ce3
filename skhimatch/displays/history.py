"""Loss and validation scores of each epoch of a fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from skhimatch.evaluation.displays import COLORS, axes_of

__all__ = ["FitHistoryDisplay"]


class FitHistoryDisplay:
    """The training loss of each epoch, and F1 on the held-out texts if there are any.

    Parameters
    ----------
    history : sequence of mappings
        A record for each epoch, as `HiMatchClassifier.history_`.

    Attributes
    ----------
    history : list of mappings
        As given.
    ax_ : matplotlib.axes.Axes
        The axes of F1 of the last call of :meth:`plot`; those of the loss without held-out texts.
    loss_ax_ : matplotlib.axes.Axes
        The axes of the loss.
    figure_ : matplotlib.figure.Figure
        The figure of both.

    Raises
    ------
    ValueError
        If there is no epoch.

    Examples
    --------
    >>> epochs = [{"epoch": 1, "train_loss": 2.5}, {"epoch": 2, "train_loss": 1.5}]
    >>> display = FitHistoryDisplay(epochs).plot()  # doctest: +SKIP
    """

    def __init__(self, history: Sequence[Mapping[str, Any]]) -> None:
        if not history:
            raise ValueError("there is no epoch to draw")
        self.history = list(history)

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None) -> FitHistoryDisplay:
        """Plot the epochs of a fitted classifier.

        Parameters
        ----------
        estimator : HiMatchClassifier
            Fitted.
        ax : matplotlib.axes.Axes, optional
            The axes to draw on. By default a new figure is made.

        Returns
        -------
        FitHistoryDisplay
        """
        return cls(estimator.history_).plot(ax=ax)

    def plot(self, ax: Any = None) -> FitHistoryDisplay:
        """Draw the loss, and F1 on an axis of its own.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            The axes to draw on. By default a new figure is made.

        Returns
        -------
        FitHistoryDisplay
            Itself, with `ax_`, `loss_ax_` and `figure_` set.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        ax = axes_of("FitHistoryDisplay", ax, (5.2, 3.4))
        epochs = [record["epoch"] for record in self.history]
        loss = [record["train_loss"] for record in self.history]
        has_scores = all("valid_micro_f1" in record for record in self.history)
        loss_ax = ax.twinx() if has_scores else ax
        lines = loss_ax.plot(epochs, loss, color="0.5", linestyle="--", marker=".", label="training loss")
        if has_scores:
            for name, color in (("micro", COLORS[0]), ("macro", COLORS[1])):
                values = [record[f"valid_{name}_f1"] for record in self.history]
                lines += ax.plot(epochs, values, color=color, marker="o", markersize=4, label=f"{name}-F1")
            ax.set(ylim=(0, 1), ylabel="F1 on held-out texts")
        loss_ax.set(ylabel="training loss")
        loss_ax.set_ylim(bottom=0)
        ax.set(xlabel="epoch", xticks=epochs if len(epochs) <= 12 else np.linspace(1, epochs[-1], 6).round())
        ax.spines["top"].set_visible(False)
        loss_ax.spines["top"].set_visible(False)
        ax.legend(handles=lines, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3, frameon=False)
        self.ax_, self.loss_ax_, self.figure_ = ax, loss_ax, ax.figure
        return self
