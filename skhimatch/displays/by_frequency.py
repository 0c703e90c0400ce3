"""F1 of rare and of frequent labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skhimatch.displays.label_scores import LabelScores
from skhimatch.evaluation.displays import COLORS, axes_of

__all__ = ["Band", "FrequencyF1Display"]

# Where bands begin: labels without training texts, rare, less rare, and frequent ones.
STARTS = (0, 1, 10, 50)


@dataclass(frozen=True)
class Band:
    """Labels with similar numbers of training texts.

    Attributes
    ----------
    name : str
        The numbers of training texts, such as "10-49".
    labels : int
        The number of labels that are true for at least one text.
    macro_f1 : float
        Their mean F1; NaN if there are none.
    """

    name: str
    labels: int
    macro_f1: float


class FrequencyF1Display:
    """Bar chart of macro-F1 by the number of training texts of a label.

    Parameters
    ----------
    bands : sequence of Band
        From rare to frequent labels.
    name : str, optional
        The name of the model in the legend.

    Attributes
    ----------
    bands, name
        As given.
    ax_ : matplotlib.axes.Axes
        The axes of the last call of :meth:`plot`.
    figure_ : matplotlib.figure.Figure
        The figure of `ax_`.

    Examples
    --------
    >>> hierarchy = {"science": ["physics", "biology"]}  # columns: biology, physics, science
    >>> y_true = [{"science", "physics"}, {"science", "biology"}]
    >>> display = FrequencyF1Display.from_predictions(
    ...     y_true, [{"science"}, {"science", "biology"}], hierarchy, n_train=[20, 3, 90]
    ... )  # doctest: +SKIP
    """

    def __init__(self, bands: Sequence[Band], name: str | None = None) -> None:
        self.bands = list(bands)
        self.name = name

    @classmethod
    def from_predictions(
        cls,
        y_true: Any,
        y_pred: Any,
        hierarchy: Any,
        *,
        n_train: NDArray[np.integer[Any]] | Sequence[int],
        starts: Sequence[int] = STARTS,
        name: str | None = None,
        ax: Any = None,
    ) -> FrequencyF1Display:
        """Score predictions and plot them.

        Parameters
        ----------
        y_true, y_pred : labels of n texts
            In any format that `fit` takes.
        hierarchy : LabelHierarchy, or any format that :func:`~skhimatch.as_hierarchy` accepts
            L labels.
        n_train : int array-like of shape (L,)
            The number of training texts of each label.
        starts : sequence of int, default=(0, 1, 10, 50)
            The lowest number of texts of each band, rising.
        name : str, optional
            The name of the model.
        ax : matplotlib.axes.Axes, optional
            The axes to draw on. By default a new figure is made.

        Returns
        -------
        FrequencyF1Display

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If there are not L numbers of training texts.
        """
        scores = LabelScores.of(y_true, y_pred, hierarchy)
        numbers = np.asarray(n_train)
        if numbers.shape != (len(scores.hierarchy),):
            raise ValueError(
                f"n_train has the shape {numbers.shape}: pass a number for each of the "
                f"{len(scores.hierarchy)} labels"
            )
        bands = []
        for start, end in zip(starts, [*starts[1:], np.inf], strict=True):
            within = (numbers >= start) & (numbers < end) & (scores.support > 0)
            shown = (
                f"{start} or more"
                if end == np.inf
                else f"{start}-{end - 1}"
                if end > start + 1
                else f"{start}"
            )
            macro = float(scores.f1[within].mean()) if within.any() else float("nan")
            bands.append(Band(shown, int(within.sum()), macro))
        return cls(bands, name).plot(ax=ax)

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, y: Any, *, starts: Sequence[int] = STARTS, ax: Any = None
    ) -> FrequencyF1Display:
        """Predict the labels of texts, and plot their F1 by how many training texts they had.

        Parameters
        ----------
        estimator : HiMatchClassifier
            Fitted.
        X : sequence of n str
            Texts.
        y : labels of n texts
            In any format that `fit` takes.
        starts : sequence of int, default=(0, 1, 10, 50)
            The lowest number of texts of each band, rising.
        ax : matplotlib.axes.Axes, optional
            The axes to draw on. By default a new figure is made.

        Returns
        -------
        FrequencyF1Display
        """
        numbers = estimator.state_.ensemble.labels.number
        return cls.from_predictions(
            y, estimator.predict(X), estimator.hierarchy_, n_train=numbers, starts=starts, ax=ax
        )

    def plot(self, ax: Any = None) -> FrequencyF1Display:
        """Draw a bar for each band.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            The axes to draw on. By default a new figure is made.

        Returns
        -------
        FrequencyF1Display
            Itself, with `ax_` and `figure_` set.
        """
        ax = axes_of("FrequencyF1Display", ax, (5.2, 3.4))
        places = np.arange(len(self.bands))
        drawn = ax.bar(places, [band.macro_f1 for band in self.bands], 0.7, color=COLORS[0], label=self.name)
        ax.bar_label(drawn, fmt=lambda value: f"{value:.2f}" if np.isfinite(value) else "", padding=2)
        ax.set_xticks(
            places,
            [f"{band.name}\n{band.labels} label{'s' * (band.labels != 1)}" for band in self.bands],
        )
        ax.tick_params("x", length=0)
        ax.set(ylim=(0, 1.08), ylabel="macro-F1", xlabel="training texts of a label")
        ax.spines[["top", "right"]].set_visible(False)
        if self.name is not None:
            ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1), frameon=False)
        self.ax_, self.figure_ = ax, ax.figure
        return self
