"""Measure speed and memory of the defaults, the reference implementation and the linear baseline.

    python -m benchmarks.speed

writes ``benchmarks/results/speed.json``. Models that are compared run in turn,
in one process, on the same texts. Figures are medians. Memory is measured in
separate processes. Texts come from the Web of Science subset if SKHIMATCH_DATA
is set, else from the embedded corpus. With ``--quick`` everything is small, to
test that the measurement runs. No table contains these figures.
"""

import argparse
import copy
import multiprocessing
import os
import resource
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from math import isqrt
from statistics import median
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from joblib.externals.loky import get_reusable_executor
from sklearn.model_selection import GridSearchCV, ShuffleSplit
from skorch import NeuralNet
from skorch.callbacks import Callback
from torch import nn

from benchmarks import records
from benchmarks.accuracy import fit_himatch, fit_tfidf_svm, load_corpus
from benchmarks.reference import Reference
from benchmarks.speed_tables import SPEED
from skhimatch import HiMatchClassifier, WordTokenizer
from skhimatch.datasets import Corpus
from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.labels.targets import encode_targets
from skhimatch.network.batches import Batch, LengthBuckets, TextDataset
from skhimatch.network.build import WordNetworkSettings, build_word_network
from skhimatch.network.himatch import HiMatchNetwork
from skhimatch.network.label_attention import MANY_LABELS
from skhimatch.network.objective import HiMatchLoss
from skhimatch.parameters import BASE_LEARNING_RATE
from skhimatch.scores.shortlist import SampledShortlist, choose_training_shortlist_size, likeliest_by_margins
from skhimatch.text.sequences import TokenSequences, Vocabulary
from skhimatch.training.loop import TrainingSettings, build_training_net
from skhimatch.training.net import TrainingNet
from skhimatch.training.row_adam import RowAdam, word_tables

# One epoch is too short for good predictions, but their speed is the same.
ONE_EPOCH = {"max_epochs": 1, "device": "cpu"}
# Of the generated texts.
VOCABULARY_SIZE = 30_000
USUAL_WORDS, USUAL_LABELS, WORDS_OF_A_LABEL = 100, 100, 8


@dataclass(frozen=True)
class Sizes:
    """Sizes of the measurements.

    Attributes
    ----------
    training_texts, prediction_texts, latency_texts : int
        Texts for training, for prediction all at once, and for prediction one by one.
    steps, predictions : int
        Training steps and predictions of each model.
    words, labels, texts : tuple of int
        Where growth is measured: words of a text, labels, training texts.
    growth_steps : int
        Training steps for each of these numbers.
    search_texts : int
        Texts of the grid search.
    """

    training_texts: int = 6_000
    prediction_texts: int = 1_000
    latency_texts: int = 200
    steps: int = 30
    predictions: int = 5
    words: tuple[int, ...] = (50, 100, 200, 500, 1_000)
    labels: tuple[int, ...] = (100, 1_000, 4_271, 10_000, 50_000)
    texts: tuple[int, ...] = (1_000, 4_000, 16_000)
    growth_steps: int = 5
    search_texts: int = 1_000


QUICK = Sizes(
    training_texts=48,
    prediction_texts=16,
    latency_texts=4,
    steps=1,
    predictions=1,
    words=(50, 100),
    labels=(100, 300),
    texts=(12, 24),
    growth_steps=1,
    search_texts=48,
)


def corpus_name() -> str:
    return "wos" if "SKHIMATCH_DATA" in os.environ else "api-docs"


def load(sizes: Sizes) -> Corpus:
    """Return the corpus, reduced to the sizes."""
    corpus = load_corpus(corpus_name())
    most = {
        "train": sizes.training_texts,
        "validation": sizes.prediction_texts,
        "test": max(sizes.prediction_texts, sizes.latency_texts),
    }
    return replace(corpus, splits={part: corpus.splits[part][:number] for part, number in most.items()})


def in_own_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a new process, so that its peak memory is its own.

    The peak of a new process includes the memory of the process that starts it, which therefore has to be
    small.
    """
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def peak_rss_mb() -> int:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def in_turn(contenders: dict[str, Callable[[Any], object]], inputs: Iterable[Any]) -> dict[str, list[float]]:
    """Return the seconds of each function on each input, run in turn. A first round does not count."""
    first, *others = inputs
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for number, given in enumerate([first, first, *others]):
        for name, contender in contenders.items():
            started = time.perf_counter()
            contender(given)
            if number:
                seconds[name].append(time.perf_counter() - started)
    return seconds


class Stepper:
    """Runs single training steps as `HiMatchClassifier.fit` does.

    Parameters
    ----------
    network : HiMatchNetwork
        It is copied, so that several steppers can start from it.
    criterion : HiMatchLoss
        The objective.
    callbacks : skorch callbacks
        Called in each step.
    """

    def __init__(self, network: HiMatchNetwork, criterion: HiMatchLoss, *callbacks: Callback) -> None:
        defaults = HiMatchClassifier()
        self.net: TrainingNet = build_training_net(
            copy.deepcopy(network),
            criterion,
            TrainingSettings(
                max_epochs=1,
                batch_size=defaults.batch_size,
                learning_rate=BASE_LEARNING_RATE,
                callbacks=callbacks,
            ),
        )
        for table in word_tables(self.net.module_):
            table.sparse = isinstance(self.net.optimizer_, RowAdam)
        self.net.history.new_epoch()

    def __call__(self, batch: Batch) -> None:
        """Run one training step."""
        self.net.history.new_batch()
        self.net.train_step(batch)


class StepClock(Callback):
    """Measures the time of the parts of training steps."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self._last = time.perf_counter()

    def lap(self, part: str) -> None:
        """Add the time since the last lap to a part."""
        now = time.perf_counter()
        self.seconds[part] += now - self._last
        self._last = now

    def watch(self, part: str, *modules: nn.Module | None) -> None:
        """Measure the forward passes of these modules as a part."""
        for module in modules:
            if module is not None:
                module.register_forward_pre_hook(lambda *_: self.lap("rest"))
                module.register_forward_hook(lambda *_: self.lap(part))

    def on_grad_computed(self, net: NeuralNet, **kwargs: Any) -> None:
        """Count the time since the loss as the backward pass, with the clipping of gradients."""
        self.lap("backward")


def parts_of_a_step(
    network: HiMatchNetwork, criterion: HiMatchLoss, batches: list[Batch]
) -> dict[str, float]:
    """Return the share of each part of a step. The classification loss counts as matching objective."""
    clock = StepClock()
    stepper = Stepper(network, criterion, clock)
    network, criterion = stepper.net.module_, stepper.net.criterion_
    clock.watch("encoder", network.text_encoder)
    clock.watch("label_nodes", network.label_nodes, network.propagation)
    clock.watch("head", network.head)
    clock.watch(
        "matching_objective", network.text_projection, network.label_encoder, network.label_projection
    )
    clock.watch("matching_objective", criterion)

    def step(batch: Batch) -> None:
        stepper(batch)
        clock.lap("optimiser")

    step(batches[0])
    clock.seconds.clear()
    for batch in batches:
        step(batch)
    return {part: seconds / clock.seconds.total() for part, seconds in clock.seconds.items()}


def measure_models(sizes: Sizes) -> dict[str, Any]:
    """Fit the defaults, and compare their speed with the reference and the baseline."""
    corpus = load(sizes)
    texts, label_sets = corpus.part("train")
    new_texts, _ = corpus.part("test")
    started = time.perf_counter()
    classifier = fit_himatch(corpus, 0, ONE_EPOCH)
    fit_seconds = time.perf_counter() - started
    classifier.predict(new_texts)
    # Before other models use memory.
    memory = peak_rss_mb()
    alone = [[text] for text in new_texts[: sizes.latency_texts]]
    latencies = in_turn({"defaults": classifier.predict}, alone)["defaults"]

    tokenizer = classifier.tokenizer_
    encoded = encode_targets(label_sets, corpus.hierarchy)
    linear = fit_tfidf_svm(corpus, 0, {})
    reference = Reference(corpus.hierarchy, len(classifier.vocabulary_), encoded)
    predicting = in_turn(
        {
            "defaults": classifier.predict,
            "linear": linear.predict,
            "reference": lambda raw: reference.predict(tokenizer.transform(raw)),
        },
        [new_texts[: sizes.prediction_texts]] * sizes.predictions,
    )
    predict_seconds = {name: median(seconds) for name, seconds in predicting.items()}

    torch.manual_seed(0)
    sequences = tokenizer.transform(texts)
    # The labels that `fit` trains on.
    shortlist = classifier.state_.ensemble.training_shortlist(
        "words", sequences, encoded, corpus.hierarchy, seed=0
    )
    dataset = TextDataset(sequences, encoded, shortlist)
    batches = list(islice(LengthBuckets(dataset, classifier.batch_size), sizes.steps))
    network, criterion = classifier.network_, HiMatchLoss(corpus.hierarchy)
    without = HiMatchLoss(corpus.hierarchy, lambda_joint=0, lambda_match=0)
    stepping = in_turn(
        {
            "defaults": Stepper(network, criterion),
            "without_matching": Stepper(network, without),
            "reference": reference.training_step,
        },
        batches,
    )
    step_seconds = {name: median(seconds) for name, seconds in stepping.items()}
    return {
        "train_step_ratio_vs_reference": step_seconds["reference"] / step_seconds["defaults"],
        "predict_ratio_vs_reference": predict_seconds["reference"] / predict_seconds["defaults"],
        "predict_ratio_vs_linear": predict_seconds["linear"] / predict_seconds["defaults"],
        "latency_ms_p50": 1000 * float(np.percentile(latencies, 50)),
        "latency_ms_p99": 1000 * float(np.percentile(latencies, 99)),
        "matching_overhead": step_seconds["defaults"] / step_seconds["without_matching"],
        "fit_texts_per_second": len(texts) / fit_seconds,
        "epoch_texts_per_second": classifier.history_[-1]["docs_per_second"],
        "predict_texts_per_second": len(new_texts[: sizes.prediction_texts]) / predict_seconds["defaults"],
        "peak_rss_mb": memory,
        "step_seconds": step_seconds,
        "predict_seconds": predict_seconds,
        "parts": parts_of_a_step(network, criterion, batches),
        "batch_size": classifier.batch_size,
        "labels": len(corpus.hierarchy),
        "threads": torch.get_num_threads(),
    }


def measure_grid_search(sizes: Sizes) -> float:
    """Return the time of a grid search in one process divided by that in two processes."""
    corpus = load(sizes)
    texts, label_sets = corpus.part("train")
    texts, label_sets = texts[: sizes.search_texts], label_sets[: sizes.search_texts]
    sequences = WordTokenizer().fit_transform(texts)
    targets = encode_targets(label_sets, corpus.hierarchy).toarray().astype(int)
    classifier = HiMatchClassifier(corpus.hierarchy, random_state=0, **ONE_EPOCH)
    seconds = {}
    for n_jobs in (1, 2):
        search = GridSearchCV(
            classifier,
            {"gamma": [0.1, 0.2, 0.3, 0.4]},
            scoring="accuracy",
            cv=ShuffleSplit(1, test_size=0.2, random_state=0),
            refit=False,
            n_jobs=n_jobs,
        )
        # The first search starts the workers.
        for _ in range(2):
            started = time.perf_counter()
            search.fit(sequences, targets)
            seconds[n_jobs] = time.perf_counter() - started
    # Otherwise this process would wait at its end until the workers have been idle for five minutes.
    get_reusable_executor().shutdown()
    return seconds[1] / seconds[2]


def two_levels(n_labels: int) -> LabelHierarchy:
    """Make a tree with about as many parents as children of each parent."""
    n_parents = isqrt(n_labels)
    edges = [(f"parent {child % n_parents}", f"child {child}") for child in range(n_labels - n_parents)]
    return LabelHierarchy(edges)


def made_up(n_texts: int, n_words: int, hierarchy: LabelHierarchy) -> tuple[TokenSequences, sp.csr_array]:
    """Generate texts of one length, with frequent and rare words. The targets are a leaf and its parent."""
    draws = np.random.RandomState(0)
    vocabulary = Vocabulary(f"word{number}" for number in range(VOCABULARY_SIZE))
    words = 2 + (VOCABULARY_SIZE * draws.rand(n_texts * n_words) ** 3).astype(np.int32)
    texts = TokenSequences(words, np.arange(n_texts + 1) * n_words, vocabulary)
    leaves = draws.choice(hierarchy.leaves, n_texts)
    one_leaf = sp.csr_array(
        (np.ones(n_texts), leaves, np.arange(n_texts + 1)), shape=(n_texts, len(hierarchy))
    )
    return texts, hierarchy.close(one_leaf).astype(np.float32)


def measure_step(n_words: int, n_labels: int, n_steps: int, head: str = "auto") -> dict[str, float]:
    """Measure training steps of a network that reads whole texts."""
    torch.manual_seed(0)
    hierarchy = two_levels(n_labels)
    batch_size = HiMatchClassifier().batch_size
    texts, targets = made_up(batch_size, n_words, hierarchy)
    label_words = np.random.RandomState(0).randint(2, VOCABULARY_SIZE, (n_labels, WORDS_OF_A_LABEL))
    network = build_word_network(
        hierarchy,
        WordNetworkSettings(
            vocabulary_size=len(texts.vocabulary),
            head=head,
            max_length=None,
            label_words=label_words.tolist() if head == "dot" else None,
        ),
    )
    shortlist = None
    if n_labels > MANY_LABELS:
        # As `fit` does. The time does not depend on which labels are on the shortlist.
        margins = np.zeros((batch_size, n_labels), dtype=np.float32)
        likely = likeliest_by_margins(batch_size, n_labels, margins.__getitem__)
        shortlist = SampledShortlist(targets, choose_training_shortlist_size(targets), likely, seed=0)
    batch = TextDataset(texts, targets, shortlist).batch(np.arange(batch_size))
    seconds = in_turn({"step": Stepper(network, HiMatchLoss(hierarchy))}, [batch] * n_steps)["step"]
    return {
        "step_seconds": median(seconds),
        "peak_rss_mb": peak_rss_mb(),
        "parameters": sum(weight.numel() for weight in network.parameters()),
    }


def measure_fit(n_texts: int) -> dict[str, float]:
    """Measure a fit of one epoch and a prediction, from raw texts."""
    hierarchy = two_levels(USUAL_LABELS)
    sequences, targets = made_up(n_texts, USUAL_WORDS, hierarchy)
    texts = [" ".join(sequences.words(row)) for row in range(n_texts)]
    started = time.perf_counter()
    classifier = HiMatchClassifier(hierarchy, random_state=0, **ONE_EPOCH).fit(texts, targets)
    fitted = time.perf_counter()
    classifier.predict(texts)
    predicted = time.perf_counter()
    return {
        "fit_seconds": fitted - started,
        "predict_seconds": predicted - fitted,
        "peak_rss_mb": peak_rss_mb(),
    }


def measure_growth(sizes: Sizes) -> dict[str, dict[str, dict[str, float]]]:
    """Return time and memory by the number of words of a text, of labels and of texts."""
    return {
        "words": {
            str(number): in_own_process(measure_step, number, USUAL_LABELS, sizes.growth_steps)
            for number in sizes.words
        },
        "labels": {
            str(number): in_own_process(measure_step, USUAL_WORDS, number, sizes.growth_steps)
            for number in sizes.labels
        },
        "labels, dot head": {
            str(number): in_own_process(measure_step, USUAL_WORDS, number, sizes.growth_steps, "dot")
            for number in sizes.labels
        },
        "texts": {str(number): in_own_process(measure_fit, number) for number in sizes.texts},
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small sizes; the figures have no meaning")
    arguments = parser.parse_args()
    sizes, origin = QUICK if arguments.quick else Sizes(), records.origin()
    content = {
        **origin,
        "dataset": corpus_name(),
        "quick": arguments.quick,
        **in_own_process(measure_models, sizes),
        "grid_search_ratio_of_two_jobs": in_own_process(measure_grid_search, sizes),
        "growth": measure_growth(sizes),
    }
    records.write(SPEED, content)
    for name, value in content.items():
        if isinstance(value, float):
            print(f"{name:<30} {value:.4g}")


if __name__ == "__main__":
    main()
