"""Measure time and memory of a fit on many made-up short texts.

    python -m benchmarks.large --texts 500000 --labels 1000

writes ``benchmarks/results/large.json``. A text has four of the twenty words of its leaf, and eight words of
all texts, frequent and rare ones. Its label is the leaf.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import records
from benchmarks.speed import VOCABULARY_SIZE, peak_rss_mb, two_levels
from skhimatch import HiMatchClassifier
from skhimatch.labels.hierarchy import LabelHierarchy

RESULT = Path(__file__).parent / "results" / "large.json"
# Words of a text: of its leaf, and of all texts. Words of a leaf, which are none of the most frequent ones.
OWN_WORDS, COMMON_WORDS, WORDS_OF_A_LEAF, FREQUENT_WORDS = 4, 8, 20, 2_000
PREDICTED = 20_000


def made_up_texts(n_texts: int, hierarchy: LabelHierarchy) -> tuple[list[str], list[set[str]]]:
    """Make short texts and their label sets."""
    draws = np.random.RandomState(0)
    own = draws.randint(FREQUENT_WORDS, VOCABULARY_SIZE, (len(hierarchy), WORDS_OF_A_LEAF))
    leaves = draws.choice(hierarchy.leaves, n_texts)
    texts = []
    for leaf in leaves:
        of_leaf = own[leaf][draws.randint(0, WORDS_OF_A_LEAF, OWN_WORDS)]
        common = (VOCABULARY_SIZE * draws.rand(COMMON_WORDS) ** 3).astype(int)
        texts.append(" ".join(f"word{word}" for word in (*of_leaf, *common)))
    return texts, [{hierarchy.labels[leaf]} for leaf in leaves]


def measure(n_texts: int, n_labels: int) -> dict[str, Any]:
    """Fit the defaults, and predict some of the texts."""
    hierarchy = two_levels(n_labels)
    texts, label_sets = made_up_texts(n_texts, hierarchy)
    before = peak_rss_mb()
    started = time.perf_counter()
    classifier = HiMatchClassifier(hierarchy, random_state=0, device="cpu", verbose=1).fit(texts, label_sets)
    fit_seconds = time.perf_counter() - started
    memory = peak_rss_mb()
    started = time.perf_counter()
    classifier.predict(texts[:PREDICTED])
    predict_seconds = time.perf_counter() - started
    return {
        "texts": n_texts,
        "labels": n_labels,
        "fit_seconds": fit_seconds,
        "peak_rss_mb": memory,
        "rss_of_texts_mb": before,
        "epochs": classifier.n_iter_,
        "validation": {
            "micro_f1": classifier.validation_f1_.micro,
            "macro_f1": classifier.validation_f1_.macro,
        },
        "predict_texts_per_second": len(texts[:PREDICTED]) / predict_seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--texts", type=int, default=500_000)
    parser.add_argument("--labels", type=int, default=1_000)
    arguments = parser.parse_args()
    origin = records.origin()
    content = measure(arguments.texts, arguments.labels) | origin
    records.write(RESULT, content)
    print(json.dumps(content, indent=1))


if __name__ == "__main__":
    main()
