"""Measure one worker against two: a search by Dask, and the prediction of a folder of parquet files.

    OMP_NUM_THREADS=1 python -m benchmarks.workers

writes ``benchmarks/results/workers.json``. The texts are those of the embedded corpus.
A worker is a process with one thread. The start of the search's workers and the
sending of texts do not count. The processes of the prediction are commands, so their start does. With
``--quick`` everything is small, to test that the measurement runs.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import joblib
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from dask.distributed import Client, LocalCluster
from sklearn.model_selection import GridSearchCV

from benchmarks.accuracy import code_digest, commit, device, versions
from benchmarks.tables import WORKERS
from skhimatch import HiMatchClassifier
from skhimatch.datasets import Corpus, load_api_docs
from skhimatch.labels.targets import encode_targets


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Attributes
    ----------
    texts : int
        The training texts of the search.
    grid : dict of str to list
        The parameters of the search.
    files : int
        The files that are predicted, at least one for each worker.
    rows : int
        The texts of a file.
    repeats : int
        How often each is measured.
    """

    texts: int
    grid: dict[str, list[float]]
    files: int
    rows: int
    repeats: int


FULL = Sizes(300, {"gamma": [0.02, 0.2], "lambda_match": [0.1, 1.0]}, 4, 1500, 3)
QUICK = Sizes(60, {"gamma": [0.02, 0.2]}, 2, 5, 1)
WORKER_NUMBERS = (1, 2)


def search_seconds(corpus: Corpus, sizes: Sizes, n_workers: int) -> list[float]:
    """Return the seconds of each search, cross-validated in two folds."""
    texts, label_sets = corpus.part("train")
    texts, label_sets = texts[: sizes.texts], label_sets[: sizes.texts]
    targets = encode_targets(label_sets, corpus.hierarchy).toarray().astype(np.int64)
    classifier = HiMatchClassifier(
        corpus.hierarchy, max_epochs=2, validation_fraction=0.1, lexical=None, random_state=0
    )
    seconds = []
    with (
        LocalCluster(
            n_workers=n_workers, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):
        client.wait_for_workers(n_workers)
        client.run(_import)
        # One context for all: Dask may lose data that are sent again while they are still being deleted.
        with joblib.parallel_config("dask", scatter=[texts, targets]):
            for _ in range(sizes.repeats):
                search = GridSearchCV(classifier, sizes.grid, scoring="f1_micro", cv=2, refit=False)
                started = time.perf_counter()
                search.fit(texts, targets)
                seconds.append(time.perf_counter() - started)
    return seconds


def _import() -> None:
    """Import the package before time is measured."""
    import skhimatch.classifier  # noqa: F401


def prediction_seconds(model: Path, texts: Sequence[str], sizes: Sizes, n_workers: int) -> list[float]:
    """Return the seconds of each prediction of all files; each worker has files of its own."""
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, f"part-{number}.parquet") for number in range(sizes.files)]
        draws = np.random.default_rng(0)
        for file in files:
            pq.write_table(pa.table({"text": draws.choice(texts, size=sizes.rows).tolist()}), file)
        command = [sys.executable, "-m", "skhimatch", "predict", "--model", str(model), "--input"]
        for repeat in range(sizes.repeats):
            output = Path(folder, f"out-{repeat}")
            started = time.perf_counter()
            running = [
                subprocess.Popen(
                    [*command, *map(str, files[worker::n_workers]), "--output", f"{output}/"],
                    stdout=subprocess.DEVNULL,
                )
                for worker in range(n_workers)
            ]
            assert [process.wait() for process in running] == [0] * n_workers
            seconds.append(time.perf_counter() - started)
            assert pq.read_table(output).num_rows == sizes.files * sizes.rows
    return seconds


def measure(corpus: Corpus, model: Path, sizes: Sizes) -> list[dict[str, Any]]:
    """Return the median seconds of search and prediction by the number of workers."""
    test, _ = corpus.part("test")
    n_fits = 2 * int(np.prod([len(values) for values in sizes.grid.values()]))
    works = (
        ("search", n_fits, lambda n: search_seconds(corpus, sizes, n)),
        ("prediction", sizes.files * sizes.rows, lambda n: prediction_seconds(model, test, sizes, n)),
    )
    measured = []
    for name, size, run in works:
        for n_workers in WORKER_NUMBERS:
            seconds = run(n_workers)
            measured.append(
                {
                    "work": name,
                    "size": size,
                    "workers": n_workers,
                    "seconds": seconds,
                    "median_seconds": median(seconds),
                }
            )
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small sizes; the figures have no meaning")
    quick = parser.parse_args().quick
    corpus = load_api_docs()
    classifier = HiMatchClassifier(corpus.hierarchy, max_epochs=1, validation_fraction=0.1, random_state=0)
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder, "model")
        classifier.fit(*corpus.part("train")).save(model)
        measured = measure(corpus, model, QUICK if quick else FULL)
    content = {
        "dataset": corpus.name,
        "quick": quick,
        "labels": len(corpus.hierarchy),
        "workers": measured,
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "device": device(),
        "versions": versions("himatch") | {name: version(name) for name in ("dask", "pyarrow")},
        "commit": commit(),
        "code": code_digest(),
    }
    WORKERS.parent.mkdir(exist_ok=True)
    WORKERS.write_text(json.dumps(content, indent=1) + "\n")
    for row in measured:
        print(row)


if __name__ == "__main__":
    main()
