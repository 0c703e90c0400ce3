"""Measure what users take today beside the defaults: time, memory, size on disk, and accuracy.

    python -m benchmarks.peers --dataset wos

writes ``benchmarks/results/peers-wos.json`` and draws ``docs/peers-wos.png``, accuracy over the time
of a fit.
Each peer runs in a process of its own, one after the other, on the same texts and the same number of threads
(OMP_NUM_THREADS). Its choices are made on the validation part. fastText and omikuji are in the extra
``benchmark``. Frozen vectors are encoded within the measured time and not stored.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Protocol

import joblib
import numpy as np
import scipy.sparse as sp
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer

from benchmarks import records
from benchmarks.accuracy import load_corpus, minilm_l6
from benchmarks.local_classifiers import LocalClassifiers
from benchmarks.sentence_vectors import SentenceVectors
from benchmarks.speed import peak_rss_mb
from skhimatch import HiMatchClassifier, PretrainedEncoder
from skhimatch.baseline import TFIDF, LinearBaseline
from skhimatch.datasets import Corpus
from skhimatch.evaluation.decisions import DecisionRule
from skhimatch.evaluation.margins import MarginDecision, is_better
from skhimatch.evaluation.metrics import micro_macro_f1
from skhimatch.labels.targets import encode_targets

ROOT = Path(__file__).parents[1]
# Texts that are predicted one by one.
N_ALONE = 100
# Tried on the validation part for fastText: learning rates and epochs.
RATES, EPOCHS = (0.5, 1.0), (10, 25)


class Fitted(Protocol):
    """A fitted peer."""

    def predict(self, texts: list[str]) -> Any:
        """Return an indicator of shape (n, L)."""
        ...

    def save(self, folder: Path) -> None:
        """Write everything that prediction needs."""
        ...


@dataclass(frozen=True)
class Pickled:
    """A peer that is written by joblib."""

    model: Any

    def predict(self, texts: list[str]) -> Any:
        """Return an indicator."""
        return self.model.predict(texts)

    def save(self, folder: Path) -> None:
        """Write the pickle."""
        joblib.dump(self.model, folder / "model.joblib")


@dataclass(frozen=True)
class EncodedAgain(Pickled):
    """Sentence vectors, which are not kept from one prediction to the next."""

    def predict(self, texts: list[str]) -> Any:
        """Return an indicator."""
        self.model.vectors_.known.clear()
        return self.model.predict(texts)

    def save(self, folder: Path) -> None:
        """Write the pickle without vectors."""
        self.model.vectors_.known.clear()
        super().save(folder)


@dataclass(frozen=True)
class Saved(Pickled):
    """A classifier of this package, which writes a folder."""

    def save(self, folder: Path) -> None:
        """Write the folder."""
        self.model.save(folder / "model")


class FastText:
    """fastText with a loss for each label and word pairs; the decision is chosen on the validation part."""

    def __init__(self, corpus: Corpus) -> None:
        self.n_labels = len(corpus.hierarchy)
        texts, label_sets = corpus.part("train")
        held, held_sets = corpus.part("validation")
        targets = encode_targets(label_sets, corpus.hierarchy)
        expected = encode_targets(held_sets, corpus.hierarchy)
        best: MarginDecision | None = None
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "train.txt"
            lines = (
                " ".join([*(f"__label__{label}" for label in labels), _one_line(text)])
                for text, labels in zip(texts, targets.tolil().rows, strict=True)
            )
            file.write_text("\n".join(lines) + "\n", encoding="utf-8")
            for rate in RATES:
                for epochs in EPOCHS:
                    model = _train_fasttext(str(file), rate, epochs)
                    found = _decision(corpus, targets, self._scores(model, held), expected)
                    if best is None or is_better(found, best):
                        best, self.model, self.decision = found, model, found

    def _scores(self, model: Any, texts: Sequence[str]) -> NDArray[np.float32]:
        scores = np.zeros((len(texts), self.n_labels), dtype=np.float32)
        for row, text in enumerate(texts):
            # Not `model.predict`, which does not work with numpy 2.
            for probability, label in model.f.predict(_one_line(text) + "\n", self.n_labels, 0.0, "strict"):
                scores[row, int(label.removeprefix("__label__"))] = probability
        return scores

    def predict(self, texts: list[str]) -> Any:
        """Return an indicator."""
        return self.decision(self._scores(self.model, texts))

    def save(self, folder: Path) -> None:
        """Write fastText's own file."""
        self.model.save_model(str(folder / "model.bin"))


def _one_line(text: str) -> str:
    return " ".join(text.lower().split())


def _train_fasttext(file: str, rate: float, epochs: int) -> Any:
    import fasttext

    threads = int(os.environ.get("OMP_NUM_THREADS", "1"))
    return fasttext.train_supervised(
        file, loss="ova", lr=rate, epoch=epochs, wordNgrams=2, minCount=2, thread=threads, verbose=0
    )


class Omikuji:
    """Parabel trees of omikuji on TF-IDF; the decision is chosen on the validation part."""

    def __init__(self, corpus: Corpus) -> None:
        import omikuji

        self.n_labels = len(corpus.hierarchy)
        texts, label_sets = corpus.part("train")
        held, held_sets = corpus.part("validation")
        self.vectorizer = TfidfVectorizer(**TFIDF)
        features = self.vectorizer.fit_transform(texts)
        targets = encode_targets(label_sets, corpus.hierarchy)
        # It reads no texts without a label or a feature.
        labelled = np.flatnonzero(np.diff(targets.indptr) * np.diff(features.indptr))
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "train.txt"
            with file.open("w") as lines:
                lines.write(f"{len(labelled)} {features.shape[1]} {self.n_labels}\n")
                for labels, pairs in zip(
                    targets[labelled].tolil().rows, _pairs(features[labelled]), strict=True
                ):
                    values = " ".join(f"{column}:{value:.6g}" for column, value in pairs)
                    lines.write(f"{','.join(map(str, labels))} {values}\n")
            parameters = omikuji.Model.default_hyper_param()
            threads = int(os.environ.get("OMP_NUM_THREADS", "1"))
            self.model = omikuji.Model.train_on_data(str(file), parameters, n_threads=threads)
        expected = encode_targets(held_sets, corpus.hierarchy)
        self.decision = _decision(corpus, targets, self._scores(held), expected)

    def _scores(self, texts: Sequence[str]) -> NDArray[np.float32]:
        scores = np.zeros((len(texts), self.n_labels), dtype=np.float32)
        for row, pairs in enumerate(_pairs(self.vectorizer.transform(texts))):
            for label, score in self.model.predict(pairs, top_k=self.n_labels):
                scores[row, label] = score
        return scores

    def predict(self, texts: list[str]) -> Any:
        """Return an indicator."""
        return self.decision(self._scores(texts))

    def save(self, folder: Path) -> None:
        """Write the trees and the vectoriser."""
        self.model.save(str(folder / "trees"))
        joblib.dump(self.vectorizer, folder / "vectorizer.joblib")


def _decision(
    corpus: Corpus, targets: sp.csr_array, held: NDArray[np.float32], expected: sp.csr_array
) -> MarginDecision:
    """Choose thresholds or paths on the validation part, as for the linear yardstick."""
    return MarginDecision.choose(
        DecisionRule.learn(targets, corpus.hierarchy), held, expected, optimize="micro_macro"
    )


def _pairs(features: Any) -> list[list[tuple[int, float]]]:
    rows = sp.csr_array(features)
    bounds = zip(rows.indptr[:-1], rows.indptr[1:], strict=True)
    return [
        list(zip(rows.indices[start:stop].tolist(), rows.data[start:stop].tolist(), strict=True))
        for start, stop in bounds
    ]


def _himatch(corpus: Corpus, **settings: Any) -> Saved:
    X_val, y_val = corpus.part("validation")
    classifier = HiMatchClassifier(corpus.hierarchy, random_state=0, device="cpu", **settings)
    return Saved(classifier.fit(*corpus.part("train"), X_val=X_val, y_val=y_val))


def _linear(corpus: Corpus) -> Pickled:
    X_val, y_val = corpus.part("validation")
    return Pickled(LinearBaseline(corpus.hierarchy).fit(*corpus.part("train"), X_val=X_val, y_val=y_val))


def _sentence_vectors(corpus: Corpus) -> Pickled:
    model = SentenceVectors(corpus.hierarchy, minilm_l6())
    return EncodedAgain(model.fit(*corpus.part("train"), *corpus.part("validation")))


def _minilm(corpus: Corpus) -> Saved:
    encoder = PretrainedEncoder(minilm_l6(), freeze="all", vector_store="never")
    return _himatch(corpus, encoder=encoder)


def _hiclass(corpus: Corpus) -> Pickled:
    return Pickled(LocalClassifiers(corpus.hierarchy).fit(*corpus.part("train")))


PEERS: dict[str, tuple[str, Callable[[Corpus], Fitted]]] = {
    "linear": ("TF-IDF + linear SVM, chosen", _linear),
    "hiclass": ("hiclass, a linear SVM for each parent", _hiclass),
    "fasttext": ("fastText, a loss for each label, word pairs", FastText),
    "omikuji": ("omikuji (Parabel) on TF-IDF", Omikuji),
    "himatch": ("HiMatchClassifier", _himatch),
    "sentence-vectors": ("MiniLM + logistic regression", _sentence_vectors),
    "minilm-frozen": ("HiMatchClassifier on frozen MiniLM", _minilm),
}


def measure(dataset: str, name: str) -> dict[str, Any]:
    """Fit one peer, and measure it."""
    corpus = load_corpus(dataset)
    texts, label_sets = corpus.part("test")
    before = peak_rss_mb()
    started = time.perf_counter()
    fitted = PEERS[name][1](corpus)
    fit_seconds = time.perf_counter() - started
    fitted.predict(texts[:N_ALONE])
    started = time.perf_counter()
    predicted = fitted.predict(texts)
    predict_seconds = time.perf_counter() - started
    alone = []
    for text in texts[:N_ALONE]:
        started = time.perf_counter()
        fitted.predict([text])
        alone.append(time.perf_counter() - started)
    memory = peak_rss_mb()
    with tempfile.TemporaryDirectory() as folder:
        fitted.save(Path(folder))
        size = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
    expected = encode_targets(label_sets, corpus.hierarchy)
    return {
        **f1_by_name(micro_macro_f1(expected, sp.csr_array(predicted).astype(np.int64))),
        "fit_seconds": fit_seconds,
        "predict_texts_per_second": len(texts) / predict_seconds,
        "one_text_ms": 1000 * median(alone),
        "peak_rss_mb": memory,
        "rss_before_mb": before,
        "size_mb": size / 1e6,
    }


def f1_by_name(f1: Any) -> dict[str, float]:
    """Return micro-F1 and macro-F1 by their names."""
    return {"micro_f1": float(f1.micro), "macro_f1": float(f1.macro)}


def draw(content: dict[str, Any]) -> Figure:
    """Draw accuracy over the time of a fit."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    for axes, metric in zip(figure.subplots(1, 2), ("micro_f1", "macro_f1"), strict=True):
        for name, found in content["peers"].items():
            own = name in ("himatch", "minilm-frozen")
            axes.scatter(
                found["fit_seconds"],
                found[metric],
                marker="o" if own else "^",
                s=36,
                color="#0072b2" if own else "#000000",
            )
            axes.annotate(
                name,
                (found["fit_seconds"], found[metric]),
                xytext=(5, 4),
                textcoords="offset points",
                fontsize=8,
            )
        axes.set_xscale("log")
        axes.set_xlabel("seconds of a fit")
        axes.set_ylabel(metric.replace("_f1", "-F1"))
        axes.margins(x=0.25, y=0.12)
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(f"{content['dataset']}, threads: {content['threads']}")
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", default="wos", help="a corpus of benchmarks.accuracy")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    arguments = parser.parse_args()
    path = ROOT / "benchmarks" / "results" / f"peers-{arguments.dataset}.json"
    content: dict[str, Any] = {"peers": {}}
    if path.exists():
        content = json.loads(path.read_text())
    for name in arguments.peers:
        commit = records.commit()
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            try:
                found = pool.submit(measure, arguments.dataset, name).result()
            except (ValueError, ModuleNotFoundError) as error:
                print(f"{name}: left out: {error}", flush=True)
                continue
        content["peers"][name] = found | {"commit": commit}
        content |= {
            "dataset": arguments.dataset,
            "threads": records.threads(),
            "versions": records.versions(),
        }
        records.write(path, content)
        print(name, found, flush=True)
    draw(content).savefig(ROOT / "docs" / f"peers-{arguments.dataset}.png", dpi=150)


if __name__ == "__main__":
    main()
