"""The small classifiers that the promises are tried with."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
from pretrained_models import write_tiny_bert
from toy_corpus import HIERARCHY, QUICK, SMALL_GRU, SMALL_RCNN, make_corpus

from skhimatch import HiMatchClassifier

TEXTS, LABEL_SETS = make_corpus(60)
UNSEEN, _ = make_corpus(20, seed=1)
# What is left out without transformers.
NO_TRANSFORMERS = "pretrained encoders"
# All kinds of networks of words. In the last one the scores are cross-fitted: several fits.
KINDS = {
    "default": {},
    "dot": {"head": "dot"},
    "matching": {"head": "matching"},
    "gated": {"propagation": "gated"},
    "gcn": {"propagation": "gcn", "encoder": "rcnn", "net_params": SMALL_RCNN},
    "gru": {"encoder": "gru", "net_params": SMALL_GRU},
    "network alone": {"lexical": None},
    "cross-fitted": {"validation_fraction": "auto"},
}


def unfitted(kind: str = "default", **parameters) -> HiMatchClassifier:
    return HiMatchClassifier(HIERARCHY, **QUICK | KINDS[kind] | parameters)


def fitted(kind: str = "default", seed: int = 0) -> HiMatchClassifier:
    """Return a fitted classifier, always the same one."""
    return _fitted(kind, seed)[0]


def expected(kind: str = "default", seed: int = 0) -> np.ndarray:
    """Return its probabilities."""
    return _fitted(kind, seed)[1]


@cache
def _fitted(kind: str, seed: int) -> tuple[HiMatchClassifier, np.ndarray]:
    classifier = unfitted(kind, random_state=seed).fit(TEXTS, LABEL_SETS)
    return classifier, classifier.predict_proba(UNSEEN)


def kind_of(number: int) -> str:
    """Return the kind of classifier of a case."""
    return list(KINDS)[number % len(KINDS)]


@contextmanager
def folder() -> Iterator[Path]:
    """Make an empty folder, and remove it afterwards."""
    with tempfile.TemporaryDirectory(prefix="skhimatch-trust-") as name:
        yield Path(name)


def assert_is(classifier: HiMatchClassifier, *wanted: np.ndarray) -> None:
    """Check that a classifier predicts, bit by bit, as one of several."""
    found = classifier.predict_proba(UNSEEN)
    assert any(np.array_equal(found, probabilities) for probabilities in wanted), "other probabilities"


def assert_valid(classifier: HiMatchClassifier) -> None:
    """Check that probabilities are probabilities."""
    found = classifier.predict_proba(UNSEEN)
    assert found.shape == expected().shape
    assert np.isfinite(found).all()
    assert found.min() >= 0
    assert found.max() <= 1


def tiny_bert(parent: Path) -> str | None:
    """Write the tiny encoder of the tests; None without transformers."""
    try:
        return write_tiny_bert(parent / "bert")
    except ImportError:
        return None
