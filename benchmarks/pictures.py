"""Draw docs/learning-curves.png from benchmarks/results/*.json.

    python -m benchmarks.pictures

One column for each corpus that was resampled, micro-F1 in the first row and macro-F1 in the second.
Yardsticks are drawn with the decision that is better for the score, as in the tables. The other models are
drawn with their default decision.
"""

from dataclasses import dataclass
from pathlib import Path
from statistics import mean, pstdev
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from benchmarks.accuracy import split_name
from benchmarks.tables import ROOT, YARDSTICKS, operating_point, read_resampled, read_results, same_code

PICTURE = ROOT / "docs" / "learning-curves.png"
# Colours for colour-blind readers (Okabe and Ito, 2008). Markers and dashes tell lines apart without colours.
STYLES: dict[str, dict[str, Any]] = {
    "himatch": {"color": "#0072b2", "marker": "o", "linestyle": "-"},
    "minilm-frozen": {"color": "#d55e00", "marker": "s", "linestyle": "-"},
    "linear": {"color": "#000000", "marker": "^", "linestyle": "--"},
    "sentence-vectors": {"color": "#009e73", "marker": "v", "linestyle": "--"},
}
METRICS = {"micro_f1": "micro-F1", "macro_f1": "macro-F1"}
INCHES_OF_A_COLUMN, INCHES_OF_A_ROW, LEGEND_INCHES = 2.5, 2.3, 0.9


@dataclass(frozen=True)
class Point:
    """A score by the number of training texts: mean and standard deviation over seeds."""

    n_texts: int
    mean: float
    deviation: float


def curves(
    resampled: list[dict[str, Any]], wholes: list[dict[str, Any]]
) -> dict[str, dict[str, dict[str, list[Point]]]]:
    """Return the points of each line, by corpus, metric and model; in the order of their numbers of texts.

    All texts of a corpus are a point too, if one of its files says how many training texts there are. Runs of
    other code than the first resampled ones of a corpus are left out.
    """
    corpora = sorted({split_name(content["dataset"])[0] for content in resampled})
    n_all = {
        content["dataset"]: run["training_texts"]
        for content in wholes
        for run in content["runs"]
        if "training_texts" in run
    }
    found: dict[str, dict[str, dict[str, list[Point]]]] = {}
    for corpus in corpora:
        of_corpus = [
            content for content in [*resampled, *wholes] if split_name(content["dataset"])[0] == corpus
        ]
        of_corpus = [content for content in of_corpus if same_code(content, of_corpus[0])]
        found[corpus] = {metric: {model: [] for model in STYLES} for metric in METRICS}
        for content in of_corpus:
            n_texts = split_name(content["dataset"])[1] or n_all.get(corpus)
            if content["model"] not in STYLES or n_texts is None:
                continue
            for metric in METRICS:
                if content["model"] in YARDSTICKS:
                    scores = list(operating_point(content, metric).values())
                else:
                    scores = [run["test"][metric] for run in content["runs"]]
                point = Point(n_texts, mean(scores), pstdev(scores))
                found[corpus][metric][content["model"]].append(point)
        for of_metric in found[corpus].values():
            for points in of_metric.values():
                points.sort(key=lambda point: point.n_texts)
    return found


def draw(found: dict[str, dict[str, dict[str, list[Point]]]]) -> Figure:
    """Draw the lines of all corpora."""
    size = INCHES_OF_A_COLUMN * max(2, len(found)), INCHES_OF_A_ROW * len(METRICS) + LEGEND_INCHES
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(METRICS), len(found), squeeze=False, sharex="col")
    for column, (corpus, by_metric) in enumerate(found.items()):
        for row, (metric, by_model) in enumerate(by_metric.items()):
            _draw_panel(axes[row, column], by_model)
            if column == 0:
                axes[row, column].set_ylabel(METRICS[metric])
        axes[0, column].set_title(corpus)
        axes[-1, column].set_xlabel("training texts")
    figure.align_xlabels()
    handles: dict[str, Any] = {}
    for panel in axes.flat:
        handles |= dict(zip(*reversed(panel.get_legend_handles_labels()), strict=True))
    labels = [model for model in STYLES if model in handles]
    figure.legend(
        [handles[model] for model in labels], labels, loc="outside upper center", ncols=4, frameon=False
    )
    return figure


def _draw_panel(panel: Axes, by_model: dict[str, list[Point]]) -> None:
    numbers = sorted({point.n_texts for points in by_model.values() for point in points})
    for model, points in by_model.items():
        if points:
            panel.errorbar(
                [point.n_texts for point in points],
                [point.mean for point in points],
                [point.deviation for point in points],
                label=model,
                markersize=4,
                linewidth=1.2,
                capsize=2,
                **STYLES[model],
            )
    panel.set_xscale("log")
    panel.xaxis.set_major_locator(FixedLocator(numbers))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.xaxis.set_major_formatter(FuncFormatter(lambda number, _: f"{number:,.0f}"))
    panel.tick_params(axis="x", labelrotation=45)
    for label in panel.get_xticklabels():
        label.set(horizontalalignment="right", rotation_mode="anchor")
    panel.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    panel.yaxis.set_major_formatter(FuncFormatter(lambda score, _: f"{score:.2f}"))
    panel.grid(axis="y", color="0.85", linewidth=0.6)
    panel.spines[["top", "right"]].set_visible(False)


def main(path: Path = PICTURE) -> None:
    found = curves(read_resampled(), read_results())
    if not found:
        raise SystemExit("There is no result of a resampled corpus, such as aapd@300-himatch.json.")
    draw(found).savefig(path, dpi=150)
    print(f"{path} written")


if __name__ == "__main__":
    main()
