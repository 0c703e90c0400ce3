"""Fitted classifiers, one of each kind for a module of tests."""

import pytest
from toy_classifier import LABEL_SETS, TEXTS, quick
from toy_corpus import HIERARCHY, THOROUGH, WORDS, make_corpus

from skhimatch import HiMatchClassifier


@pytest.fixture(scope="module")
def fitted():
    return quick().fit(TEXTS, LABEL_SETS)


@pytest.fixture(scope="module")
def learned():
    return HiMatchClassifier(HIERARCHY, **THOROUGH).fit(*make_corpus(300))


@pytest.fixture(scope="module")
def by_words():
    """Labels known by their words."""
    texts_of = {label: words.split() for label, words in WORDS.items()}
    classifier = HiMatchClassifier(HIERARCHY, head="dot", label_texts=texts_of, **THOROUGH)
    return classifier.fit(*make_corpus(300))
