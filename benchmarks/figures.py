"""Draw figures 4 and 5 of the paper.

    python -m benchmarks.figures --figure 4 --dataset wos
    python -m benchmarks.figures --figure 5 --dataset wos

Figure 4 fits HiMatch with and without the matching loss, keeps the points of one branch in
``benchmarks/results/wos-points.json``, and draws ``docs/joint-space.png``. If the points are there already,
they are only drawn. Figure 5 draws ``docs/levels.png`` from the results of `benchmarks.accuracy`.
"""

import argparse
import json
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from benchmarks import records
from benchmarks.accuracy import CORPORA, MODELS, load_corpus
from benchmarks.configs import PREFIX, read_configs
from benchmarks.paper import BY_LEVEL, IN_THE_JOINT_SPACE
from benchmarks.tables import ROOT, read_results
from skhimatch.evaluation.displays import LevelF1Display
from skhimatch.evaluation.joint_embedding import JointEmbeddingDisplay
from skhimatch.evaluation.metrics import LevelScore

JOINT_SPACE, LEVELS = ROOT / "docs" / "joint-space.png", ROOT / "docs" / "levels.png"
# Leaves of the branch that are shown, those with the most test texts.
LEAVES = 5


def branch(corpus: Any) -> list[str]:
    """Return the root with the most test texts, and those of its children that have the most."""
    hierarchy = corpus.hierarchy
    counts = dict.fromkeys(hierarchy.labels, 0)
    for labels in corpus.part("test")[1]:
        for label in labels:
            counts[label] += 1
    roots = [hierarchy.labels[root] for root in np.flatnonzero(hierarchy.levels == 1)]
    root = max(roots, key=counts.get)
    children = hierarchy.children[[hierarchy.index[root]]].indices
    names = sorted((hierarchy.labels[child] for child in children), key=counts.get, reverse=True)
    return [root, *names[:LEAVES]]


def points(dataset: str, seed: int = 0) -> dict[str, Any]:
    """Fit each model, and return the points of the branch's texts and labels on a plane."""
    of_code = records.of_code()
    corpus = load_corpus(dataset)
    labels = branch(corpus)
    models, found = read_configs(), {}
    for name in IN_THE_JOINT_SPACE:
        fit, takes_vectors, settings = MODELS[PREFIX + name]
        if takes_vectors:
            settings = CORPORA[dataset][1] | settings
        display = JointEmbeddingDisplay.from_estimator(
            fit(corpus, seed, settings), *corpus.part("test"), labels=labels
        )
        found[models[PREFIX + name].title] = {
            "text_points": display.text_points.round(2).tolist(),
            "label_points": display.label_points.round(2).tolist(),
            "groups": display.groups,
        }
    return {"dataset": dataset, "seed": seed, "labels": labels, "spaces": found} | of_code


def draw_joint_spaces(content: dict[str, Any]) -> Figure:
    """Draw the spaces side by side."""
    figure = Figure(figsize=(6 * len(content["spaces"]), 5.4), layout="constrained")
    axes = figure.subplots(1, len(content["spaces"]), squeeze=False)[0]
    for ax, (title, space) in zip(axes, content["spaces"].items(), strict=True):
        display = JointEmbeddingDisplay(
            np.array(space["text_points"]),
            np.array(space["label_points"]),
            space["groups"],
            content["labels"],
        )
        display.plot(ax=ax)
        ax.set_title(title)
    return figure


def draw_levels(dataset: str) -> Figure | None:
    """Draw F1 by level of three models; None if one of them has no results."""
    results = {content["model"]: content for content in read_results() if content["dataset"] == dataset}
    models = {name: read_configs()[PREFIX + name] for name in BY_LEVEL}
    if any(model.name not in results for model in models.values()):
        return None
    scores = {}
    for model in models.values():
        by_level = zip(*(run["test"]["levels"] for run in results[model.name]["runs"]), strict=True)
        scores[model.title] = [
            LevelScore(
                level[0]["level"],
                level[0]["labels"],
                level[0]["support"],
                mean(run["micro_f1"] for run in level),
                mean(run["macro_f1"] for run in level),
            )
            for level in by_level
        ]
    return LevelF1Display(scores).plot().figure_


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--figure", required=True, choices=["4", "5"])
    parser.add_argument("--dataset", default="wos", choices=CORPORA)
    arguments = parser.parse_args()
    if arguments.figure == "5":
        figure, path = draw_levels(arguments.dataset), LEVELS
        if figure is None:
            raise SystemExit("Run benchmarks.accuracy with the models " + ", ".join(BY_LEVEL) + " first.")
    else:
        stored: Path = records.RESULTS / f"{arguments.dataset}-points.json"
        if not stored.exists():
            stored.write_text(json.dumps(points(arguments.dataset)) + "\n")
        figure, path = draw_joint_spaces(json.loads(stored.read_text())), JOINT_SPACE
    figure.savefig(path, dpi=110)
    print(f"{path} written")


if __name__ == "__main__":
    main()
