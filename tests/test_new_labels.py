"""Labels that are added to a fitted classifier without training, whatever its network."""

import copy

import numpy as np
import pytest
from toy_corpus import HIERARCHY, QUICK, SMALL, SMALL_GRU, SMALL_RCNN, SMALL_RCNN_WITH_NODES, make_corpus

from skhimatch import HiMatchClassifier, PretrainedEncoder
from skhimatch.network.predict import score_texts

TEXTS, LABEL_SETS = make_corpus(60)
UNSEEN, _ = make_corpus(20, seed=1)
NEW = {"fencing": "racket volley"}
EDGES = [("sport", "fencing")]
KINDS = {
    "default": {},
    "gru": {"encoder": "gru", "net_params": SMALL_GRU},
    "matching": {"head": "matching"},
    "gcn": {"propagation": "gcn"},
    "gated": {"propagation": "gated"},
    "matching, gcn": {"head": "matching", "propagation": "gcn"},
    "alone": {"lexical": None},
}


def fitted(**settings):
    settings = QUICK | {"net_params": SMALL} | settings
    return HiMatchClassifier(HIERARCHY, **settings).fit(TEXTS, LABEL_SETS)


@pytest.fixture(scope="module", params=KINDS)
def classifier(request):
    return fitted(**KINDS[request.param])


def test_what_was_learned_stays(classifier):
    more = copy.deepcopy(classifier).add_labels(EDGES, NEW)
    assert more.classes_.tolist() == [*classifier.classes_, "fencing"]
    before, after = (
        score_texts(which.network_, which.tokenizer_.transform(UNSEEN)) for which in (classifier, more)
    )
    assert after.shape == (20, 11)
    # Propagated nodes and meanings of the new label's parent and siblings depend on it.
    propagates = classifier.propagation is not None or classifier.head == "matching"
    near = {"sport", "tennis", "rowing"} if propagates else set()
    known = [column for column, label in enumerate(classifier.classes_) if label not in near]
    np.testing.assert_allclose(after[:, known], before[:, known], atol=1e-5)
    assert classifier.predict_proba(UNSEEN).shape == (20, 10)
    assert more.transform(UNSEEN).shape == classifier.transform(UNSEEN).shape
    assert more.label_embeddings_.shape == (11, classifier.label_embeddings_.shape[1])


def test_weights_of_its_own_say_nothing():
    classifier = fitted()
    more = copy.deepcopy(classifier).add_labels(EDGES, NEW)
    scores = score_texts(more.network_, more.tokenizer_.transform(UNSEEN))
    lowest = classifier.network_.head.bias.min().item()
    np.testing.assert_allclose(scores[:, 10], lowest, atol=1e-6)


def test_names_find_it():
    classifier = fitted().add_labels(EDGES, NEW)
    fencing, rowing = classifier.decision_function(["racket serve volley net", "oar boat river crew"])[:, -1]
    assert fencing > rowing


def test_twice_is_as_once(classifier):
    edges, texts = [*EDGES, ("fencing", "sabre")], {**NEW, "sabre": "volley"}
    once = copy.deepcopy(classifier).add_labels(edges, texts)
    twice = copy.deepcopy(classifier).add_labels(EDGES, NEW).add_labels(edges[1:], {"sabre": "volley"})
    np.testing.assert_allclose(once.predict_proba(UNSEEN), twice.predict_proba(UNSEEN), atol=1e-5)


def test_it_is_kept_and_learned(classifier, tmp_path):
    more = copy.deepcopy(classifier).add_labels(EDGES, NEW)
    more.save(tmp_path / "model")
    loaded = HiMatchClassifier.load(tmp_path / "model")
    np.testing.assert_allclose(loaded.predict_proba(UNSEEN), more.predict_proba(UNSEEN), atol=1e-6)
    text = ["racket volley foil epee"]
    before = loaded.predict_proba(text)[0, -1]
    for _ in range(3):
        loaded.partial_fit(text * 20, [{"sport", "fencing"}] * 20)
    assert loaded.predict_proba(text)[0, -1] > before


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"head": "flat"}, "head='flat' reads all labels at once"),
        ({"encoder": "rcnn", "net_params": SMALL_RCNN}, "head='flat' reads all labels at once"),
        (
            {"encoder": "rcnn", "propagation": "gcn", "net_params": SMALL_RCNN_WITH_NODES},
            "projections of one vector",
        ),
    ],
)
def test_networks_that_cannot(settings, message):
    classifier = fitted(**settings)
    before = classifier.predict_proba(UNSEEN)
    with pytest.raises(ValueError, match=f"add_labels.*({message}).*fit a new one"):
        classifier.add_labels(EDGES, NEW)
    np.testing.assert_array_equal(classifier.predict_proba(UNSEEN), before)
    assert len(classifier.classes_) == 10


@pytest.mark.parametrize("settings", [{"freeze": "all"}, {"pooling": "attention"}])
@pytest.mark.parametrize("lexical", [None, "words"])
def test_a_pretrained_encoder_reads_its_name(tiny_bert, settings, lexical, tmp_path):
    tree = {"science": ["physics", "biology"], "sport": ["tennis"]}
    texts = ["a quark and a gluon", "the cell divides", "a serve and a volley"] * 8
    label_sets = [{"science", "physics"}, {"science", "biology"}, {"sport", "tennis"}] * 8
    classifier = HiMatchClassifier(
        tree,
        encoder=PretrainedEncoder(tiny_bert, **settings),
        lexical=lexical,
        max_epochs=1,
        learning_rate=1e-6,
        random_state=0,
    ).fit(texts, label_sets)
    before = classifier.predict_proba(texts)
    with pytest.raises(ValueError, match="no new label"):
        classifier.add_labels()
    more = copy.deepcopy(classifier).add_labels([("science", "chemistry")], {"chemistry": texts[0]})
    scores = more.state_.ensemble.scores(
        more.tokenizer_.transform(["a quark and a gluon", "the cell divides"])
    )
    name = [*more.state_.ensemble.networks][-1]
    for source in (name, "meaning"):
        assert scores[source].shape == (2, 6), source
        assert scores[source][0, -1] > scores[source][1, -1] + 0.01, source
    more.save(tmp_path / "model")
    loaded = HiMatchClassifier.load(tmp_path / "model")
    np.testing.assert_allclose(loaded.predict_proba(texts), more.predict_proba(texts), atol=1e-6)
    np.testing.assert_array_equal(classifier.predict_proba(texts), before)
