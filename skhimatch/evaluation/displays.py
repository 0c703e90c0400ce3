"""Bar charts of F1 by level, with matplotlib or as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from skhimatch.evaluation.metrics import LevelScore, f1_by_level

__all__ = ["COLORS", "LevelF1Display", "axes_of", "text_bars"]

Scores = Mapping[str, Sequence[LevelScore]]

# One colour per model, suitable for colour-blind readers (Okabe and Ito, 2008).
COLORS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00"]
# Blocks of 0 to 7 eighths of a character.
EIGHTHS = " ▏▎▍▌▋▊▉"


class LevelF1Display:
    """Bar chart of micro- and macro-F1 on each level of the hierarchy, for one model or several.

    Parameters
    ----------
    scores : mapping of str to sequence of LevelScore
        The scores of each model, see :func:`~skhimatch.evaluation.metrics.f1_by_level`.

    Attributes
    ----------
    scores : dict of str to list of LevelScore
        The scores of each model.
    ax_ : matplotlib.axes.Axes
        The axes of the last call of :meth:`plot`.
    figure_ : matplotlib.figure.Figure
        The figure of `ax_`.

    Raises
    ------
    ValueError
        If there are no scores, or the models were not scored on the same levels.

    Examples
    --------
    >>> from skhimatch.evaluation.metrics import f1_by_level
    >>> hierarchy = {"science": ["physics", "biology"]}  # columns: biology, physics, science
    >>> y = [[0, 1, 1], [1, 0, 1]]
    >>> models = {"exact": y, "coarse": [[0, 0, 1], [0, 0, 1]]}
    >>> scores = {name: f1_by_level(y, y_pred, hierarchy) for name, y_pred in models.items()}
    >>> display = LevelF1Display(scores).plot()  # doctest: +SKIP
    >>> display.figure_.savefig("f1_by_level.png")  # doctest: +SKIP
    """

    def __init__(self, scores: Scores):
        self.scores = _checked(scores)

    @classmethod
    def from_predictions(
        cls, y_true: Any, y_pred: Any, hierarchy: Any, *, name: str | None = None, ax: Any = None
    ) -> LevelF1Display:
        """Score predictions and plot them.

        Parameters
        ----------
        y_true, y_pred : array-like or sparse of shape (n, L)
            Indicators: 0 or 1.
        hierarchy : LabelHierarchy, or any format that :func:`~skhimatch.labels.formats.as_hierarchy` accepts
            Its labels are the columns.
        name : str, default=None
            The name of the model in the legend.
        ax : matplotlib.axes.Axes, default=None
            The axes to draw on. By default a new figure is made.

        Returns
        -------
        LevelF1Display
            The display, with `ax_` and `figure_` set.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If an argument is not an indicator, or shapes differ.
        """
        return cls({name or "": f1_by_level(y_true, y_pred, hierarchy)}).plot(ax=ax)

    def plot(self, ax: Any = None) -> LevelF1Display:
        """Draw a group of bars for each level.

        Each model has one colour. Bars of micro-F1 are opaque, bars of macro-F1 are transparent.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            The axes to draw on. By default a new figure is made.

        Returns
        -------
        LevelF1Display
            Itself, with `ax_` and `figure_` set.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        levels = next(iter(self.scores.values()))
        bars = 2 * len(self.scores)
        ax = axes_of("LevelF1Display", ax, (max(4.8, 1 + 0.5 * bars * len(levels)), 3.6))
        places = np.arange(len(levels))
        width = 0.84 / bars
        for nth, (name, scores) in enumerate(self.scores.items()):
            color = COLORS[nth % len(COLORS)]
            for side, average in enumerate(("micro", "macro")):
                drawn = ax.bar(
                    places + (2 * nth + side - (bars - 1) / 2) * width,
                    [getattr(score, f"{average}_f1") for score in scores],
                    0.94 * width,
                    label=f"{name} {average}".strip(),
                    facecolor=(color, 0.4 if side else 1.0),
                )
                ax.bar_label(drawn, fmt="%.2f", padding=2, fontsize="small")
        ax.set_xticks(places, [f"level {score.level}\n{_labels(score)}" for score in levels])
        ax.tick_params("x", length=0)
        ax.set(ylim=(0, 1.08), ylabel="F1", yticks=np.linspace(0, 1, 6))
        ax.spines[["top", "right"]].set_visible(False)
        ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, frameon=False)
        self.ax_, self.figure_ = ax, ax.figure
        return self


def axes_of(display: str, ax: Any, figsize: tuple[float, float]) -> Any:
    """Return the axes that a display draws on.

    Parameters
    ----------
    display : str
        The name of the display, for the error.
    ax : matplotlib.axes.Axes or None
        Given axes. None makes a new figure.
    figsize : tuple of two floats
        The size of a new figure in inches.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(f'{display} needs matplotlib: python -m pip install "skhimatch[plot]"') from error
    return plt.subplots(figsize=figsize, layout="constrained")[1] if ax is None else ax


def text_bars(scores: Scores | Sequence[LevelScore], width: int = 40) -> str:
    """Draw F1 by level as text.

    Parameters
    ----------
    scores : sequence of LevelScore, or mapping of str to sequence of LevelScore
        The scores of one model, or of several models by name.
    width : int, default=40
        The number of characters of a bar of F1 = 1.

    Returns
    -------
    str
        The bar chart.

    Raises
    ------
    ValueError
        If there are no scores, or the models were not scored on the same levels.

    Examples
    --------
    >>> print(text_bars([LevelScore(1, 7, 90, 0.875, 0.8), LevelScore(2, 134, 90, 0.75, 0.5)], width=20))
    level 1, 7 labels
      micro  █████████████████▌    0.875
      macro  ████████████████      0.800
    level 2, 134 labels
      micro  ███████████████       0.750
      macro  ██████████            0.500
    """
    models = _checked(scores if isinstance(scores, Mapping) else {"": scores})
    margin = max(map(len, models))
    lines = []
    for level in zip(*models.values(), strict=True):
        lines.append(f"level {level[0].level}, {_labels(level[0])}")
        for name, score in zip(models, level, strict=True):
            for average, value, shown in (("micro", score.micro_f1, name), ("macro", score.macro_f1, "")):
                heading = f"{shown:<{margin}}  {average}" if margin else average
                lines.append(f"  {heading}  {_bar(value, width):<{width}}  {value:.3f}")
    return "\n".join(lines)


def _bar(value: float, width: int) -> str:
    full, rest = divmod(round(8 * width * value), 8)
    return ("█" * full + EIGHTHS[rest]).rstrip()


def _labels(score: LevelScore) -> str:
    return f"{score.labels} label{'' if score.labels == 1 else 's'}"


def _checked(scores: Scores) -> dict[str, list[LevelScore]]:
    models = {name: list(levels) for name, levels in scores.items()}
    shapes = {name: [score.level for score in levels] for name, levels in models.items()}
    if not any(shapes.values()):
        raise ValueError("there are no scores to draw; pass {name: f1_by_level(y_true, y_pred, hierarchy)}")
    (first, expected), *others = shapes.items()
    for name, levels in others:
        if levels != expected:
            raise ValueError(
                f"{name!r} was scored on levels {levels} and {first!r} on {expected}; score all models "
                "on the same hierarchy"
            )
    return models
