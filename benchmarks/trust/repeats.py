"""The same results: in any batch, for equal seeds, with labels in any order, from a GPU to a CPU."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import joblib
import numpy as np
import torch

from benchmarks.tables import ROOT
from benchmarks.trust.classifiers import (
    KINDS,
    LABEL_SETS,
    NO_TRANSFORMERS,
    TEXTS,
    UNSEEN,
    expected,
    fitted,
    folder,
    kind_of,
    tiny_bert,
    unfitted,
)
from benchmarks.trust.promise import Outcome, Promise
from skhimatch import HiMatchClassifier, PretrainedEncoder

TOLERANCE = 1e-6
THREAD_COUNTS = (1, 2, 4)


def batches(cases: int) -> Outcome:
    """Predict texts alone, in another order, and in batches of several sizes."""
    failures, largest, equal = [], 0.0, 0
    classifiers = {kind: fitted(kind) for kind in KINDS}
    # The last ones, and only if there are enough cases: transformers takes seconds to import.
    pretrained = _pretrained() if cases > len(classifiers) else {}
    classifiers |= pretrained
    for number in range(cases):
        draws = np.random.default_rng(number)
        kind = list(classifiers)[number % len(classifiers)]
        predict_proba = classifiers[kind].predict_proba
        # From one word to hundreds: batches pad texts to the longest one.
        words = " ".join(TEXTS).split()
        texts = [" ".join(draws.choice(words, int(size))) for size in draws.geometric(0.05, 30)]
        texts[:4] = ["", "zebra", "गुरु 北京", " ".join(words[:400])]
        together = predict_proba(texts)
        order, size = draws.permutation(len(texts)), int(draws.integers(1, 12))
        found = np.empty_like(together)
        for start in range(0, len(texts), size):
            rows = order[start : start + size]
            found[rows] = predict_proba([texts[row] for row in rows])
        difference = float(np.abs(found - together).max())
        largest, equal = max(largest, difference), equal + (difference == 0)
        if not difference <= TOLERANCE:
            failures.append(f"case {number}, {kind}: {difference:.1e}")
    note = f"bit by bit in {equal} of {cases} cases; largest difference {largest:.2g}"
    return Outcome(cases, failures, note, "" if pretrained else NO_TRANSFORMERS)


def _pretrained() -> dict[str, HiMatchClassifier]:
    """Return classifiers with pretrained encoders; none without transformers."""
    classifiers = {}
    with folder() as parent:
        bert = tiny_bert(parent)
        for freeze in () if bert is None else (None, "all"):
            encoder = PretrainedEncoder(bert, freeze=freeze, long_text="stride")
            classifier = unfitted(encoder=encoder, net_params={"module__joint_dimension": 8})
            classifiers[f"pretrained, freeze={freeze}"] = classifier.fit(TEXTS, LABEL_SETS)
    return classifiers


SEEDED = """
import sys
import numpy as np
import torch
from benchmarks.trust.repeats import seeded_fits
torch.set_num_threads({threads})
np.savez(sys.argv[1], **seeded_fits())
"""


def seeded_fits() -> dict[str, np.ndarray]:
    """Return the probabilities of small fits, and of one whose matrices torch divides among threads."""
    wide = {"module__embedding_dimension": 300, "module__node_dimension": 128}
    found = {kind: unfitted(kind).fit(TEXTS, LABEL_SETS).predict_proba(UNSEEN) for kind in KINDS}
    found["wide"] = unfitted(net_params=wide).fit(TEXTS * 5, LABEL_SETS * 5).predict_proba(UNSEEN)
    return found


def equal_seeds(cases: int) -> Outcome:
    """Fit twice in processes with one thread, two and four."""
    of_count: dict[int, dict[str, np.ndarray]] = {}
    failures, tried = [], 0
    for threads in THREAD_COUNTS[: max(1, cases // (2 * (len(KINDS) + 1)))]:
        first, second = _in_a_process(threads), _in_a_process(threads)
        of_count[threads] = first
        tried += 2 * len(first)
        failures += [
            f"{kind}: {threads} threads" for kind in first if not np.array_equal(first[kind], second[kind])
        ]
    notes = []
    for threads, found in of_count.items():
        if threads == 1:
            continue
        differences = {kind: float(np.abs(found[kind] - of_count[1][kind]).max()) for kind in found}
        differing = {kind: difference for kind, difference in differences.items() if difference}
        notes.append(
            f"{threads} threads and one: "
            + (
                f"{len(differing)} of {len(found)} kinds of fits differ, by up to "
                f"{max(differing.values()):.0e}"
                if differing
                else "equal"
            )
        )
    return Outcome(tried, failures, "; ".join(notes))


def _in_a_process(threads: int) -> dict[str, np.ndarray]:
    with tempfile.TemporaryDirectory() as parent:
        path = Path(parent) / "found.npz"
        subprocess.run(
            [sys.executable, "-c", SEEDED.format(threads=threads), path],
            cwd=ROOT,
            env=os.environ | {"OMP_NUM_THREADS": str(threads)},
            check=True,
        )
        with np.load(path) as found:
            return dict(found)


def order_of_labels(cases: int) -> Outcome:
    """Shuffle `classes=`, and what has no order: the hierarchy and the label sets."""
    labels, failures = fitted().classes_.tolist(), []
    edges = [(labels[parent], labels[child]) for parent, child in fitted().hierarchy_.edges]
    for number in range(cases):
        draws, kind = np.random.default_rng(number), kind_of(number)
        shuffled = [edges[place] for place in draws.permutation(len(edges))]
        lists = [list(draws.permutation(sorted(label_set))) for label_set in LABEL_SETS]
        found = unfitted(kind).set_params(hierarchy=shuffled).fit(TEXTS, lists)
        if not np.array_equal(found.predict_proba(UNSEEN), expected(kind)):
            failures.append(f"case {number}, {kind}: edges in another order")
        order = [labels[place] for place in draws.permutation(len(labels))]
        by_name = unfitted(kind, classes=order).fit(TEXTS, LABEL_SETS)
        indicator = np.array([[label in label_set for label in order] for label_set in LABEL_SETS], dtype=int)
        by_column = unfitted(kind, classes=order).fit(TEXTS, indicator)
        if by_name.classes_.tolist() != order:
            failures.append(f"case {number}, {kind}: other classes_")
        if not np.array_equal(by_name.predict_proba(UNSEEN), by_column.predict_proba(UNSEEN)):
            failures.append(f"case {number}, {kind}: columns and names say something else")
    return Outcome(cases, failures)


ON_A_CPU = """
import sys
import joblib
import numpy as np
import torch
assert not torch.cuda.is_available()
np.savez(sys.argv[2], probabilities=joblib.load(sys.argv[1]).predict_proba({texts!r}))
"""


def gpu_pickles(cases: int) -> Outcome:
    """Fit and pickle on a GPU, and predict in a process that sees none."""
    if not torch.cuda.is_available():
        return Outcome(0, [], "", "this machine has no GPU")
    failures = []
    with folder() as parent:
        for number in range(cases):
            kind, path = kind_of(number), parent / f"{number}.joblib"
            classifier = unfitted(kind, device="cuda").fit(TEXTS, LABEL_SETS)
            joblib.dump(classifier, path)
            script = ON_A_CPU.format(texts=UNSEEN)
            subprocess.run(
                [sys.executable, "-c", script, path, parent / "found.npz"],
                env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
                check=True,
            )
            with np.load(parent / "found.npz") as found:
                difference = np.abs(found["probabilities"] - classifier.predict_proba(UNSEEN)).max()
            if not difference < 1e-4:
                failures.append(f"{kind}: {difference:.1e}")
    return Outcome(cases, failures)


PROMISES = [
    Promise(
        "batches",
        "A text has the same probabilities alone, in any batch and in any order of texts, to 1e-6. They are "
        "not always equal bit by bit: the products of a batch are rounded in an order that depends on its "
        "size.",
        (
            "tests/classifier/test_fit_training.py::TestBatches::test_a_row_never_depends_on_its_batch",
            "tests/test_trust.py::test_a_few_cases[batches]",
        ),
        400,
        8,
        batches,
    ),
    Promise(
        "equal seeds",
        "Two fits with the same integer `random_state`, texts and parameters are equal bit by bit on one "
        "machine with the same versions and the same number of threads (`OMP_NUM_THREADS`). With another "
        "number of threads, sums may be rounded in another order.",
        ("tests/classifier/test_fit_training.py::TestReproducibility::test_refits_are_equal_bit_by_bit",),
        2 * len(THREAD_COUNTS) * (len(KINDS) + 1),
        0,
        equal_seeds,
    ),
    Promise(
        "order of labels",
        "`classes=` sets the order of columns, in indicators, in `classes_` and in all results; without it, "
        "labels are sorted. The order of edges, and of the labels of a text, has no effect. Another order of "
        "`classes=` is another fit, with other random numbers.",
        (
            "tests/classifier/test_fit_inputs.py::TestTargets::test_classes_set_the_order_of_columns",
            "tests/test_trust.py::test_a_few_cases[order of labels]",
        ),
        80,
        3,
        order_of_labels,
    ),
    Promise(
        "pickles from a GPU",
        "A classifier that was fitted and pickled on a GPU predicts on a machine without one.",
        ("tests/test_trust.py::test_pickles_hold_networks_of_the_cpu",),
        8,
        1,
        gpu_pickles,
    ),
]
