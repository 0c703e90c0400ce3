"""Fits in concurrent threads are equal to fits one after the other, and leave all global generators alone."""

import os
import random
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pytest
import torch
from joblib import Parallel, delayed, parallel_config
from sklearn.model_selection import GridSearchCV
from toy_corpus import HIERARCHY, QUICK, SMALL_GRU, SMALL_RCNN_WITH_NODES, binarize, make_corpus

from skhimatch import HiMatchClassifier, PretrainedEncoder
from skhimatch.network import transformer
from skhimatch.network.random_numbers import CONSTRUCTION, seeded_construction
from skhimatch.network.transformer import TransformerEncoder

TEXTS, LABEL_SETS = make_corpus(60)
SEEDS = range(4)
SETTINGS = {
    "attention": {},
    "rcnn": {"encoder": "rcnn", "propagation": "gcn", "head": "flat", "net_params": SMALL_RCNN_WITH_NODES},
    "gru": {"encoder": "gru", "net_params": SMALL_GRU},
    "dot": {"head": "dot"},
    "random": {"sampling": "random"},
    "pretrained": {"net_params": {"module__joint_dimension": 8}, "precision": "float32"},
}


def probabilities(seed=0, partial=False, **parameters):
    classifier = HiMatchClassifier(HIERARCHY, **QUICK | {"random_state": seed} | parameters)
    if partial:
        classifier.partial_fit(TEXTS, LABEL_SETS).partial_fit(TEXTS, LABEL_SETS)
    else:
        classifier.fit(TEXTS, LABEL_SETS)
    return classifier.predict_proba(TEXTS)


def global_state():
    numpy = np.random.get_state()  # noqa: NPY002 (what is tested)
    return torch.get_rng_state().tolist(), numpy[1].tolist(), numpy[2:], random.getstate()


@pytest.fixture
def draws():
    """Another thread that draws from all global generators, as fast as it can."""
    stop, started = threading.Event(), threading.Event()

    def draw():
        while not stop.is_set():
            torch.rand(100)
            torch.manual_seed(1)
            np.random.rand(100)  # noqa: NPY002 (what is tested)
            random.random()
            started.set()

    thread = threading.Thread(target=draw)
    thread.start()
    started.wait()
    yield
    stop.set()
    thread.join()


@pytest.fixture
def settings(request):
    """The parameters of a kind of classifier."""
    encoder = {"encoder": request.getfixturevalue("tiny_bert")} if request.param == "pretrained" else {}
    return SETTINGS[request.param] | encoder


@pytest.mark.parametrize("settings", ["attention", "pretrained"], indirect=True)
@pytest.mark.parametrize("partial", [False, True])
def test_threads_do_not_disturb_each_other(settings, partial, request):
    expected = [probabilities(seed, partial, **settings) for seed in SEEDS]
    request.getfixturevalue("draws")
    with ThreadPoolExecutor(len(SEEDS)) as pool:
        found = list(pool.map(lambda seed: probabilities(seed, partial, **settings), SEEDS))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    assert (expected[0] != expected[1]).any()


@pytest.mark.parametrize("settings", SETTINGS, indirect=True)
def test_a_fit_leaves_global_generators_alone(settings):
    before = global_state()
    probabilities(**settings)
    probabilities(partial=True, **settings)
    assert global_state() == before


def test_a_resumed_fit_leaves_global_generators_alone(tmp_path):
    before = global_state()
    for _ in range(2):
        HiMatchClassifier(HIERARCHY, **QUICK).fit(TEXTS, LABEL_SETS, checkpoint=tmp_path)
    assert global_state() == before


def test_joblib_with_threads():
    expected = [probabilities(seed) for seed in SEEDS]
    before = global_state()
    found = Parallel(n_jobs=4, backend="threading")(delayed(probabilities)(seed) for seed in SEEDS)
    assert global_state() == before
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_grid_search_with_threads(draws):
    def score(classifier, X, y):
        return -np.mean((y - classifier.predict_proba(X)) ** 2)

    def search(n_jobs):
        grid = {"gamma": [0.1, 0.3], "random_state": [0, 1]}
        classifier = HiMatchClassifier(HIERARCHY, **QUICK)
        with parallel_config("threading", n_jobs=n_jobs):
            searched = GridSearchCV(classifier, grid, scoring=score, cv=2, refit=False)
            return searched.fit(TEXTS, binarize(LABEL_SETS)).cv_results_

    one_by_one, together = search(1), search(4)
    for name in ("split0_test_score", "split1_test_score"):
        np.testing.assert_array_equal(together[name], one_by_one[name])
        assert len(set(together[name])) > 1


class TestConstruction:
    """While transformers loads a model, functions of torch.nn.init are others, for all threads."""

    @staticmethod
    def others_wait():
        def wait():
            if CONSTRUCTION.acquire(blocking=False):
                CONSTRUCTION.release()
                return False
            return True

        with ThreadPoolExecutor(1) as pool:
            return pool.submit(wait).result()

    def test_networks_are_built_one_at_a_time(self):
        with seeded_construction(0), seeded_construction(1):
            assert self.others_wait()
        assert not self.others_wait()

    def test_models_are_loaded_one_at_a_time(self, monkeypatch, tiny_bert):
        waited = []
        load = transformer.load_model
        monkeypatch.setattr(
            transformer,
            "load_model",
            lambda *args, **kwargs: waited.append(self.others_wait()) or load(*args, **kwargs),
        )
        TransformerEncoder(PretrainedEncoder(tiny_bert))
        assert waited == [True]


class TestRecomputation:
    """Gradient checkpointing, which is for GPUs that are too small, forced on a CPU."""

    @pytest.fixture
    def parameters(self, tiny_bert):
        return SETTINGS["pretrained"] | {"encoder": tiny_bert, "lexical": None}

    @pytest.mark.parametrize("functional", [False, True])
    def test_a_fit_is_the_same(self, monkeypatch, parameters, functional):
        if functional:
            # Dropout as the model has it, which takes no generator.
            monkeypatch.setattr("skhimatch.network.transformer._replace_dropouts", lambda body: None)
        expected, before = probabilities(**parameters), global_state()
        passes = []
        body = TransformerEncoder.states

        def count(encoder, *args):
            passes.append(encoder.body.is_activation_checkpointing)
            return body(encoder, *args)

        monkeypatch.setattr(TransformerEncoder, "states", count)
        monkeypatch.setattr(TransformerEncoder, "_needs_recomputation", lambda self, tokens: self.training)
        # The backward pass does not set a global generator, not even for a moment.
        monkeypatch.setattr(torch, "set_rng_state", None)
        found = probabilities(**parameters)
        assert any(passes)
        np.testing.assert_array_equal(found, expected)
        assert global_state() == before


FORK = """
import os
import sys
import joblib
import numpy as np
from skhimatch import HiMatchClassifier

load = {load}
assert {threads} == __import__("torch").get_num_threads()
classifier = load({path!r})
assert {threads} == __import__("torch").get_num_threads()
child = os.fork()
if child == 0:
    classifier.predict_proba(["a lens and a prism"] * 2000)
    os._exit(7)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
@pytest.mark.parametrize("load", ["HiMatchClassifier.load", "joblib.load"])
def test_a_loaded_classifier_may_be_forked(tmp_path, load):
    """Threads that `load` started would not be there in the forked process, which would wait for them."""
    # Wide enough that torch would copy the weights by several threads.
    wide = {"module__embedding_dimension": 300, "module__node_dimension": 128}
    classifier = HiMatchClassifier(HIERARCHY, **QUICK | {"max_epochs": 1, "net_params": wide})
    classifier.fit(TEXTS, LABEL_SETS)
    path = str(tmp_path / "model")
    if load == "joblib.load":
        joblib.dump(classifier, path)
    else:
        classifier.save(path)
    script = FORK.format(load=load, path=path, threads=2)
    # The limit only ends a test that fails: the fork is done in a second, or never.
    ended = subprocess.run(
        [sys.executable, "-c", script], env=os.environ | {"OMP_NUM_THREADS": "2"}, timeout=300, check=False
    )
    assert ended.returncode == 7
