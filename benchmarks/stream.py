"""Measure the peak memory of the command `predict` on files of more and more texts.

    OMP_NUM_THREADS=1 python -m benchmarks.stream

writes ``benchmarks/results/stream.json``. The classifier has the default settings, but one epoch. The texts
are short: twelve words in a row of a docstring of the embedded corpus, in one parquet file for each 100,000.
With ``--quick`` they are few.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import records
from benchmarks.speed import in_own_process
from benchmarks.speed_tables import STREAM
from skhimatch import HiMatchClassifier
from skhimatch.datasets import load_api_docs

NUMBERS, ROWS_OF_A_FILE = (10_000, 100_000, 1_000_000), 100_000
WORDS = 12


def write_texts(folder: Path, texts: list[str], n_texts: int) -> None:
    """Write some words in a row of random texts, at most 100,000 in a file."""
    draws = np.random.default_rng(0)
    words = [text.split() for text in texts]
    for start in range(0, n_texts, ROWS_OF_A_FILE):
        rows = []
        for number in draws.integers(len(words), size=min(ROWS_OF_A_FILE, n_texts - start)):
            first = draws.integers(max(1, len(words[number]) - WORDS))
            rows.append(" ".join(words[number][first : first + WORDS]))
        pq.write_table(pa.table({"text": rows}), folder / f"part-{start:08}.parquet")


def measure(model: Path, texts: list[str], n_texts: int) -> dict[str, Any]:
    """Run the command in a process of its own, and return its peak memory and its time.

    The peak includes the memory of the process that calls this, which therefore has to be small.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "in").mkdir()
        write_texts(folder / "in", texts, n_texts)
        command = [sys.executable, "-m", "skhimatch", "predict", "--model", str(model), "--input"]
        started = time.perf_counter()
        running = subprocess.Popen(
            [*command, *map(str, sorted((folder / "in").iterdir())), "--output", f"{folder / 'out'}/"],
            stdout=subprocess.DEVNULL,
        )
        _, status, usage = os.wait4(running.pid, 0)
        seconds = time.perf_counter() - started
        running.returncode = os.waitstatus_to_exitcode(status)
        assert running.returncode == 0
        assert pq.read_table(folder / "out").num_rows == n_texts
    return {"texts": n_texts, "seconds": seconds, "peak_rss_mb": round(usage.ru_maxrss / 1024)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few texts; the figures have no meaning")
    quick = parser.parse_args().quick
    origin, corpus = records.origin(), load_api_docs()
    texts, label_sets = corpus.part("train")
    n_training = 60 if quick else len(texts)
    classifier = HiMatchClassifier(corpus.hierarchy, max_epochs=1, validation_fraction=0.1, random_state=0)
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder, "model")
        classifier.fit(texts[:n_training], label_sets[:n_training]).save(model)
        numbers = (5,) if quick else NUMBERS
        measured = [in_own_process(measure, model, list(texts), number) for number in numbers]
    content = {
        "dataset": corpus.name,
        "quick": quick,
        "labels": len(corpus.hierarchy),
        "streams": measured,
        **origin,
    }
    records.write(STREAM, content)
    for row in measured:
        print(row)


if __name__ == "__main__":
    main()
