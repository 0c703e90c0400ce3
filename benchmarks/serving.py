"""Measure the HTTP service: clients that send requests, all at once, one after the other.

    python -m benchmarks.serving

writes ``benchmarks/results/serving.json``. The classifier is that of the demo, on
the embedded corpus. The service is a process of its own, and the clients are
threads of this one. With ``--quick`` everything is small, to test that the
measurement runs. No table contains these figures.
"""

import argparse
import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import records
from benchmarks.speed_tables import SERVING
from skhimatch import HiMatchClassifier
from skhimatch.datasets import load_api_docs
from skhimatch.demo import SETTINGS


@dataclass(frozen=True)
class Load:
    """How many requests are sent.

    Attributes
    ----------
    clients : int
        How many clients send requests at the same time.
    texts : int
        The number of texts of a request.
    requests : int
        How many requests each client sends, one after the other.
    """

    clients: int
    texts: int
    requests: int


LOADS = (Load(1, 1, 400), Load(16, 1, 150), Load(1, 32, 60), Load(16, 32, 30))
QUICK = (Load(1, 1, 2), Load(2, 3, 2))


@contextmanager
def serving(model: Path) -> Iterator[tuple[str, int]]:
    """Serve a saved classifier in a process of its own. Yield its host and port."""
    command = [sys.executable, "-m", "skhimatch", "serve", str(model), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        host, _, port = process.stdout.readline().rpartition("http://")[2].strip().rpartition(":")
        try:
            yield host, int(port)
        finally:
            process.terminate()


def latencies(address: tuple[str, int], load: Load, texts: list[str]) -> tuple[list[float], float]:
    """Return the seconds of each request, and the seconds of all together. First requests do not count."""
    ready = threading.Barrier(load.clients + 1)

    def client(number: int) -> list[float]:
        # Each client has texts of its own, in another order.
        own = cycle(np.random.default_rng(number).permutation(texts).tolist())
        bodies = [json.dumps({"texts": list(islice(own, load.texts))}) for _ in range(load.requests + 1)]
        seconds = []
        with closing(http.client.HTTPConnection(*address)) as connection:
            for place, body in enumerate(bodies):
                if place == 1:
                    ready.wait()
                started = time.perf_counter()
                connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
                answer = json.loads(connection.getresponse().read())
                seconds.append(time.perf_counter() - started)
                assert len(answer["predictions"]) == load.texts
        return seconds[1:]

    with ThreadPoolExecutor(load.clients) as clients:
        running = [clients.submit(client, number) for number in range(load.clients)]
        ready.wait()
        started = time.perf_counter()
        found = [seconds for future in running for seconds in future.result()]
        return found, time.perf_counter() - started


def measure(model: Path, loads: tuple[Load, ...], texts: list[str]) -> list[dict[str, Any]]:
    """Return the times of requests of each load."""
    measured = []
    with serving(model) as address:
        for load in loads:
            seconds, together = latencies(address, load, texts)
            measured.append(
                {
                    "clients": load.clients,
                    "texts": load.texts,
                    "requests": len(seconds),
                    "latency_ms_p50": 1000 * float(np.percentile(seconds, 50)),
                    "latency_ms_p99": 1000 * float(np.percentile(seconds, 99)),
                    "texts_per_second": load.texts * len(seconds) / together,
                }
            )
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small sizes; the figures have no meaning")
    quick = parser.parse_args().quick
    origin, corpus = records.origin("fastapi", "uvicorn"), load_api_docs()
    train, validation, test = (corpus.part(name) for name in ("train", "validation", "test"))
    settings = SETTINGS | ({"max_epochs": 1, "lexical": None} if quick else {})
    classifier = HiMatchClassifier(corpus.hierarchy, random_state=0, **settings)
    classifier.fit(*train, X_val=validation[0], y_val=validation[1])
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder, "model")
        classifier.save(model)
        loads = measure(model, QUICK if quick else LOADS, test[0])
    content = {
        "dataset": corpus.name,
        "quick": quick,
        "labels": len(corpus.hierarchy),
        "loads": loads,
        "cores": os.cpu_count(),
        **origin,
    }
    records.write(SERVING, content)
    for load in loads:
        print(load)


if __name__ == "__main__":
    main()
