"""Repeat the paper's table 6: a grid search over gamma, alpha and beta.

    python -m benchmarks.margins --dataset clinc150 --seeds 0 1 2

writes ``benchmarks/results/clinc150-margins.json``. Each row is a fit of HiMatch as in ``benchmarks/configs``
on the training part, scored on the validation part by scikit-learn's `GridSearchCV`.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.model_selection import GridSearchCV, PredefinedSplit

from benchmarks import records
from benchmarks.accuracy import CORPORA, GLOVE, data_folder, load_corpus
from benchmarks.configs import PREFIX, read_configs
from benchmarks.paper import PUBLISHED
from skhimatch import HiMatchClassifier
from skhimatch.labels.targets import encode_targets
from skhimatch.text.words import WordTokenizer


def grid() -> list[dict[str, list[float]]]:
    """Return the seven rows of the table, as `GridSearchCV` takes them."""
    rows = json.loads(PUBLISHED.read_text())["table 6"]["rows"]
    return [{name: [row[name]] for name in ("gamma", "alpha", "beta")} for row in rows]


def search(dataset: str, seed: int) -> list[dict[str, float]]:
    """Fit each row once, and return micro- and macro-F1 on the validation part in the order of the table."""
    corpus = load_corpus(dataset)
    parts = [corpus.part(part) for part in ("train", "validation")]
    texts = [text for part, _ in parts for text in part]
    targets = sp.vstack([encode_targets(sets, corpus.hierarchy, len(part)) for part, sets in parts])
    fold = np.repeat([-1, 0], [len(part) for part, _ in parts])
    settings = read_configs()[f"{PREFIX}himatch"].settings | {"validation_fraction": 0, "patience": None}
    if CORPORA[dataset][1] is GLOVE:
        settings["word_vectors"] = data_folder() / GLOVE["word_vectors"]
    found = GridSearchCV(
        HiMatchClassifier(corpus.hierarchy, label_texts=corpus.label_texts, random_state=seed, **settings),
        grid(),
        scoring={"micro_f1": "f1_micro", "macro_f1": "f1_macro"},
        cv=PredefinedSplit(fold),
        refit=False,
        verbose=3,
    ).fit(WordTokenizer().fit_transform(texts), targets.toarray().astype(int))
    return [
        {name: float(found.cv_results_[f"mean_test_{name}"][row]) for name in ("micro_f1", "macro_f1")}
        for row in range(len(grid()))
    ]


def write(path: Path, dataset: str, runs: list[dict[str, Any]]) -> None:
    """Write a results file."""
    content = {
        "dataset": dataset,
        "part": "validation",
        "seeds": [run["seed"] for run in runs],
        "runs": runs,
        "versions": records.versions(),
        "commit": records.commit(),
    }
    records.write(path, content)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", required=True, choices=CORPORA)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    path = records.RESULTS / f"{arguments.dataset}-margins.json"
    runs: list[dict[str, Any]] = []
    code = records.code_digest()
    if path.exists():
        runs = [run for run in json.loads(path.read_text())["runs"] if run["code"] == code]
    for seed in arguments.seeds:
        if seed not in [run["seed"] for run in runs]:
            of_code = records.of_code()
            runs.append({"seed": seed, "rows": search(arguments.dataset, seed)} | of_code)
            write(path, arguments.dataset, sorted(runs, key=lambda run: run["seed"]))


if __name__ == "__main__":
    main()
