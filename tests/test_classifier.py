import copy
import functools
import json
import pickle
import random
import re
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import accuracy_score, f1_score
from sklearn.pipeline import make_pipeline
from sklearn.utils.validation import check_is_fitted
from skorch.callbacks import Callback
from toy_corpus import (
    HIERARCHY,
    PATHS,
    QUICK,
    SMALL,
    SMALL_RCNN,
    SMALL_RCNN_WITH_NODES,
    THOROUGH,
    WORDS,
    binarize,
    make_corpus,
)

from skhimatch import HiMatchClassifier, LabelHierarchy, WordTokenizer, WordVectors
from skhimatch.cli import main
from skhimatch.evaluation.thresholds import best_thresholds
from skhimatch.network import predict as prediction
from skhimatch.network.heads import FlatHead, LabelwiseHead
from skhimatch.network.label_attention import LabelAttention, LabelProjection
from skhimatch.network.predict import score_texts
from skhimatch.network.propagation import GatedPropagation, HierarchyGCN
from skhimatch.scores import ensemble
from skhimatch.scores.characters import CharacterFeatures
from skhimatch.scores.ngram_classifier import NGramClassifier
from skhimatch.scores.ngram_training import Exactly, InSteps
from skhimatch.scores.ngrams import NGramFeatures
from skhimatch.scores.shortlist import likeliest_labels
from skhimatch.scores.stacking import StackingWeights
from skhimatch.training.net import NonFiniteLossError

LABELS = sorted(WORDS)
TEXTS, LABEL_SETS = make_corpus(60)
INDICATOR = binarize(LABEL_SETS)
UNSEEN, UNSEEN_SETS = make_corpus(40, seed=1)
RCNN = {"encoder": "rcnn", "net_params": SMALL_RCNN}


def quick(hierarchy=HIERARCHY, **parameters):
    """Return an unfitted classifier that trains in a fraction of a second."""
    return HiMatchClassifier(hierarchy, **QUICK | parameters)


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


def assert_same_weights(left, right):
    left, right = left.network_.state_dict(), right.network_.state_dict()
    assert left.keys() == right.keys()
    for name in left:
        assert torch.equal(left[name], right[name]), name


class TestTargets:
    @pytest.mark.parametrize(
        "y",
        [
            INDICATOR,
            INDICATOR.astype(bool),
            INDICATOR.astype(float),
            sp.csr_array(INDICATOR),
            sp.csc_matrix(INDICATOR),
            pd.DataFrame(INDICATOR, columns=LABELS),
            pd.DataFrame(INDICATOR, columns=LABELS).iloc[:, ::-1],
            [sorted(labels) for labels in LABEL_SETS],
            pd.Series([tuple(labels) for labels in LABEL_SETS]),
            (labels for labels in LABEL_SETS),
        ],
        ids=[
            "int",
            "bool",
            "float",
            "csr",
            "csc matrix",
            "frame",
            "other columns",
            "lists",
            "Series",
            "generator",
        ],
    )
    def test_every_form_teaches_the_same(self, fitted, y):
        other = quick().fit(TEXTS, y)
        assert_same_weights(fitted, other)
        assert other.classes_.tolist() == LABELS

    @pytest.mark.parametrize(
        ("y", "container"),
        [
            (LABEL_SETS, np.ndarray),
            (INDICATOR, np.ndarray),
            (pd.DataFrame(INDICATOR, columns=LABELS), np.ndarray),
            (sp.csr_array(INDICATOR), sp.csr_array),
            (sp.csr_matrix(INDICATOR), sp.csr_array),
        ],
    )
    def test_predict_returns_the_container_it_was_taught_with(self, fitted, y, container):
        predicted = quick().fit(TEXTS, y).predict(UNSEEN)
        assert type(predicted) is container
        assert predicted.dtype == np.int64
        dense = predicted if container is np.ndarray else predicted.toarray()
        np.testing.assert_array_equal(dense, fitted.predict(UNSEEN))
        assert set(np.unique(dense)) <= {0, 1}

    def test_classes_set_the_order_of_columns(self):
        order = LABELS[::-1]
        by_name = quick(classes=order).fit(TEXTS, LABEL_SETS)
        by_column = quick(classes=order).fit(TEXTS, INDICATOR[:, ::-1])
        assert by_name.classes_.tolist() == order
        assert_same_weights(by_name, by_column)
        texts_of_rowing = np.flatnonzero(INDICATOR[:, LABELS.index("rowing")])
        assert by_name.decision_.tagged.all()
        assert by_name.to_label_sets(INDICATOR[:, ::-1])[texts_of_rowing[0]] == {"sport", "rowing"}

    def test_classes_restrict_the_hierarchy(self):
        kept = ["sport", "science", "tennis", "rowing", "optics", "mechanics", "botany", "zoology"]
        label_sets = [labels - {"physics", "biology"} for labels in LABEL_SETS]
        classifier = quick(classes=kept).fit(TEXTS, label_sets)
        assert classifier.classes_.tolist() == kept
        names = {(kept[parent], kept[child]) for parent, child in classifier.hierarchy_.edges}
        assert ("science", "optics") in names
        assert len(names) == 6
        assert classifier.predict_proba(UNSEEN).shape == (40, 8)
        with pytest.raises(ValueError, match=r"Label 'physics' in y.* is not among the 8 known labels"):
            quick(classes=kept).fit(TEXTS, [{"science"}] * 59 + [{"physics"}])

    @pytest.mark.parametrize(
        ("y", "classes", "expected"),
        [
            (LABEL_SETS, None, LABELS),
            (iter(LABEL_SETS), None, LABELS),
            (LABEL_SETS, [*LABELS, "chess"], [*LABELS, "chess"]),
            (pd.DataFrame(INDICATOR, columns=LABELS).iloc[:, ::-1], None, LABELS[::-1]),
            (INDICATOR, None, [str(column) for column in range(10)]),
            (INDICATOR, LABELS, LABELS),
        ],
    )
    def test_no_hierarchy_means_flat(self, y, classes, expected):
        classifier = quick(None, classes=classes).fit(TEXTS, y)
        assert classifier.classes_.tolist() == expected
        assert classifier.hierarchy_.is_flat
        assert not len(classifier.hierarchy_.edges)
        assert classifier.predict_proba(UNSEEN).shape == (40, len(expected))

    def test_a_single_label(self):
        for y in (np.ones((60, 1)), [{"all"}] * 60):
            classifier = quick(None).fit(TEXTS, y)
            np.testing.assert_array_equal(classifier.predict(UNSEEN), np.ones((40, 1)))

    def test_score_is_subset_accuracy(self):
        settings = {"max_epochs": 8, "learning_rate": 0.02, "decoding": "threshold", "lexical": None}
        classifier = quick(**settings).fit(TEXTS, LABEL_SETS)
        expected, predicted = binarize(LABEL_SETS), classifier.predict(TEXTS)
        for weights in (None, np.arange(60)):
            accuracy = accuracy_score(expected, predicted, sample_weight=weights)
            assert 0 < accuracy < 1
            for y in (LABEL_SETS, expected, sp.csr_array(expected)):
                assert classifier.score(TEXTS, y, sample_weight=weights) == pytest.approx(accuracy)

    def test_to_label_sets(self, fitted):
        assert fitted.to_label_sets(INDICATOR) == LABEL_SETS
        assert fitted.to_label_sets(sp.csr_array(INDICATOR)) == LABEL_SETS
        with pytest.raises(ValueError, match=r"shape \(60, 9\) does not fit 10 labels"):
            fitted.to_label_sets(INDICATOR[:, 1:])


class TestTexts:
    @pytest.mark.parametrize(
        "texts",
        [
            tuple(TEXTS),
            np.array(TEXTS),
            np.array(TEXTS, dtype=object),
            pd.Series(TEXTS, index=range(100, 160)),
            (text for text in TEXTS),
            [text.split() for text in TEXTS],
        ],
        ids=["tuple", "str array", "object array", "Series", "generator", "tokens"],
    )
    def test_every_form_teaches_the_same(self, fitted, texts):
        assert_same_weights(fitted, quick().fit(texts, LABEL_SETS))

    def test_token_sequences(self, fitted):
        sequences = WordTokenizer().fit_transform(TEXTS)
        classifier = quick(validation_fraction=0).fit(sequences, LABEL_SETS)
        assert classifier.tokenizer_ is None
        assert classifier.vocabulary_ is sequences.vocabulary
        assert_same_weights(classifier, quick(validation_fraction=0).fit(TEXTS, LABEL_SETS))

    def test_the_vocabulary_is_of_the_training_texts_only(self):
        unheard = "zyzzyva zyzzyva zyzzyva"
        validation = [unheard], [{"sport"}]
        classifier = quick().fit(TEXTS, LABEL_SETS, X_val=validation[0], y_val=validation[1])
        assert "zyzzyva" not in classifier.vocabulary_
        assert (
            "zyzzyva" in quick(validation_fraction=0).fit([*TEXTS, unheard], [*LABEL_SETS, set()]).vocabulary_
        )

    def test_texts_without_a_known_word(self, fitted):
        probabilities = fitted.predict_proba(["", "...", "qwertz", "asdfg", TEXTS[0]])
        assert np.isfinite(probabilities).all()
        np.testing.assert_array_equal(probabilities[0], probabilities[1])
        # Of unknown words, only a few characters are known: no leaf is likely.
        leaves = fitted.hierarchy_.leaves
        assert probabilities[:4, leaves].max() < 0.5
        assert np.abs(probabilities[0] - probabilities[4]).max() > 1e-3
        coordinates = fitted.transform(["", "qwertz"])
        np.testing.assert_allclose(np.linalg.norm(coordinates, axis=1), 1, atol=1e-5)

    def test_teaching_such_texts(self):
        twice = WordTokenizer(min_count=2)
        classifier = quick(tokenizer=twice, validation_fraction=0)
        classifier.fit(["", "hapax", *TEXTS], [{"sport"}, set(), *LABEL_SETS])
        assert np.isfinite(classifier.predict_proba(["", "hapax"])).all()
        # No word occurs twice: an empty vocabulary.
        lonely = quick(tokenizer=twice).fit(["lens", "prism", "leaf"], [{"optics"}, {"optics"}, {"botany"}])
        assert len(lonely.vocabulary_) == 2
        assert np.isfinite(lonely.predict_proba(["lens", ""])).all()

    def test_a_single_text(self):
        classifier = quick().fit(["lens prism lens"], [{"optics"}])
        assert classifier.predict_proba(["lens"]).shape == (1, 10)


class TestHierarchies:
    def test_dag(self):
        dag = {"science": ["optics"], "craft": ["optics", "weaving"]}
        texts = ["lens prism lens", "loom yarn loom", "prism lens"] * 6
        label_sets = [
            {"science", "craft", "optics"},
            {"craft", "weaving"},
            {"science", "craft", "optics"},
        ] * 6
        classifier = quick(dag, consistency="ancestors", decoding="threshold", threshold=0.01).fit(
            texts, label_sets
        )
        assert len(classifier.hierarchy_.edges) == 3
        predicted = classifier.to_label_sets(classifier.predict(texts))
        assert all({"science", "craft"} <= labels for labels in predicted if "optics" in labels)
        assert any("optics" in labels for labels in predicted)

    def test_labels_without_parents_and_without_texts(self):
        forest = LabelHierarchy([("science", "physics")], ["chess", "go", "physics", "science"])
        classifier = quick(forest).fit(
            ["quark lepton", "king pawn", "pawn queen"] * 5,
            [{"science", "physics"}, {"chess"}, {"chess"}] * 5,
        )
        assert classifier.decision_.tagged.tolist() == [True, False, True, True]
        assert (classifier.predict_proba(["stones"])[:, 1] < 0.5).all()

    @pytest.mark.parametrize("head", ["labelwise", "dot"])
    def test_a_label_of_which_nothing_is_known(self, head):
        hierarchy = HIERARCHY | {"craft": ["origami"], "alone": ["nameless"]}
        texts_of = {"origami": "", "craft": "lens and mirror", "alone": "", "nameless": []}
        classifier = quick(hierarchy, head=head, label_texts=texts_of).fit(TEXTS, LABEL_SETS)
        scores = classifier.label_names_.scores(classifier.tokenizer_.transform(TEXTS))
        column = classifier.classes_.tolist().index
        # As its parent; and as nothing at all.
        np.testing.assert_array_equal(scores[:, column("origami")], scores[:, column("craft")])
        assert not scores[:, [column("alone"), column("nameless")]].any()
        assert (classifier.predict_proba(TEXTS)[:, column("nameless")] < 0.5).all()

    def test_texts_with_coarse_labels_only_or_several_paths(self):
        texts, label_sets = make_corpus(40, paths=2)
        classifier = quick().fit([*texts, "match team"], [*label_sets, {"sport"}])
        assert classifier.decision_.ends is None
        assert np.isfinite(classifier.history_[-1]["train_loss"])

    def test_all_zero_rows_are_negative_examples_of_each_label(self):
        texts = ["racket serve", "the of", "the of the"] * 10
        settings = {"max_epochs": 15, "learning_rate": 0.05, "validation_fraction": 0}
        classifier = quick({"sport": ["tennis"]}, **settings).fit(
            texts, [{"sport", "tennis"}, set(), set()] * 10
        )
        tennis, nothing = classifier.predict_proba(["racket serve", "the of"])
        assert (tennis > 0.5).all()
        assert (nothing < 0.5).all()
        assert classifier.to_label_sets(classifier.predict(["the of"])) == [set()]

    @pytest.mark.parametrize("decoding", ["auto", "path", "threshold"])
    def test_without_any_target_nothing_is_predicted(self, decoding):
        classifier = quick(decoding=decoding).fit(TEXTS, [set()] * 60)
        assert classifier.predict(UNSEEN).sum() == 0

    @pytest.mark.parametrize(
        ("propagation", "room"), [("gcn", HierarchyGCN), ("gated", GatedPropagation), (None, type(None))]
    )
    @pytest.mark.parametrize(
        ("head", "layer"), [("flat", FlatHead), ("labelwise", LabelwiseHead), ("auto", LabelwiseHead)]
    )
    @pytest.mark.parametrize(
        ("encoder", "nodes"), [(RCNN, LabelProjection), ({"encoder": "attention"}, LabelAttention)]
    )
    def test_parameters_reach_the_network(self, propagation, room, head, layer, encoder, nodes):
        classifier = quick(propagation=propagation, head=head, max_epochs=1, **encoder)
        if encoder is RCNN and propagation is None and head == "labelwise":
            with pytest.raises(ValueError, match="head='labelwise' needs a node for each label"):
                classifier.fit(TEXTS, LABEL_SETS)
            return
        network = classifier.fit(TEXTS, LABEL_SETS).network_
        assert type(network.propagation) is room
        if encoder is RCNN and propagation is None:
            assert network.label_nodes is None
            assert type(network.head) is FlatHead
        else:
            assert type(network.label_nodes) is nodes
            assert type(network.head) is layer

    def test_margins_and_weights_reach_the_objective(self):
        class Spy(Callback):
            def on_train_begin(self, net, **kwargs):
                found.append(net.criterion_)

        found = []
        numbers = {"gamma": 0.3, "alpha": 0.1, "beta": 0.6, "sampling": "all"}
        weights = {"lambda_joint": 0.25, "lambda_match": 4.0}
        loss = {"classification_loss": "cross_entropy"}
        quick(callbacks=[Spy()], **numbers, **weights, **loss).fit(TEXTS, LABEL_SETS)
        [criterion] = found
        assert {name: getattr(criterion.negatives, name) for name in numbers} == numbers
        assert {name: getattr(criterion, name) for name in weights} == weights
        assert criterion.classification_loss == "cross_entropy"


class TestDecisions:
    def test_auto_predicts_paths_where_targets_are_paths(self, fitted):
        labels = fitted.to_label_sets(fitted.predict(UNSEEN))
        assert all(found in [set(path) for path in PATHS.values()] for found in labels)
        probabilities = fitted.predict_proba(UNSEEN)
        ends = [LABELS.index(label) for label in PATHS]
        best = [LABELS[ends[column]] for column in probabilities[:, ends].argmax(axis=1)]
        assert all(end in found for end, found in zip(best, labels, strict=True))

    def test_auto_takes_the_threshold_elsewhere(self):
        classifier = quick(threshold=0.4).fit([*TEXTS, "match"], [*LABEL_SETS, {"sport", "physics"}])
        np.testing.assert_array_equal(classifier.predict(UNSEEN), classifier.predict_proba(UNSEEN) >= 0.4)

    def test_threshold(self, learned):
        classifier = clone(learned).set_params(decoding="threshold", threshold=0.5, max_epochs=3)
        classifier.fit(*make_corpus(60))
        probabilities = classifier.predict_proba(UNSEEN)
        np.testing.assert_array_equal(classifier.predict(UNSEEN), probabilities >= 0.5)
        # It may change after fit, label by label.
        each = np.linspace(0.05, 0.95, 10)
        np.testing.assert_array_equal(
            classifier.set_params(threshold=each, consistency=None).predict(UNSEEN), probabilities >= each
        )
        assert classifier.set_params(threshold=0).predict(UNSEEN).all()
        with pytest.raises(ValueError, match=r"threshold has shape \(3,\).*shape \(10,\)"):
            classifier.set_params(threshold=[0.1, 0.2, 0.3]).predict(UNSEEN)

    def test_path_although_targets_are_none(self):
        texts, label_sets = make_corpus(40, paths=2)
        predicted = quick(decoding="path").fit(texts, label_sets).predict(UNSEEN)
        assert {
            tuple(sorted(labels)) for labels in quick().fit(texts, label_sets).to_label_sets(predicted)
        } <= {tuple(sorted(path)) for path in PATHS.values()}

    def test_consistency(self, fitted):
        chance = np.random.default_rng(0).uniform(size=10)
        settings = {"decoding": "threshold", "threshold": chance}
        classifier = quick(**settings, consistency=None).fit(TEXTS, LABEL_SETS)
        parent, child = classifier.hierarchy_.edges.T
        plain = classifier.predict(UNSEEN)
        assert (plain[:, parent] < plain[:, child]).any()
        for consistency, order in (
            ("auto", np.greater_equal),
            ("ancestors", np.greater_equal),
            ("descendants", np.less_equal),
        ):
            repaired = classifier.set_params(consistency=consistency).predict(UNSEEN)
            assert (repaired[:, parent] >= repaired[:, child]).all()
            assert order(repaired, plain).all()
            assert (repaired != plain).any()

    def test_probabilities_stay_within_bounds(self, fitted):
        network = fitted.network_
        sure = clone(fitted).fit(TEXTS, LABEL_SETS)
        with torch.no_grad():
            sure.network_.head.bias.fill_(200.0)
            sure.network_.head.bias[0] = -200.0
        probabilities = sure.predict_proba(UNSEEN)
        assert probabilities.dtype == np.float32
        assert ((probabilities > 0) & (probabilities < 1)).all()
        assert network is not sure.network_


class TestManyTexts:
    """What is said of many texts comes in blocks, and is the same."""

    @pytest.fixture
    def in_small_blocks(self, monkeypatch):
        monkeypatch.setattr(prediction, "CHUNK_NUMBERS", 70)
        monkeypatch.setattr(prediction, "MIN_CHUNK_SIZE", 3)

    def test_probabilities(self, fitted, in_small_blocks):
        blocks = list(fitted.iter_predict_proba(UNSEEN))
        assert [len(block) for block in blocks] == [7, 7, 7, 7, 7, 5]
        np.testing.assert_allclose(np.concatenate(blocks), fitted.predict_proba(UNSEEN), atol=1e-6)

    def test_the_same_as_at_once(self, fitted, request):
        methods = ("predict", "predict_proba", "transform")
        at_once = [getattr(fitted, method)(UNSEEN) for method in methods]
        request.getfixturevalue("in_small_blocks")
        for expected, method in zip(at_once, methods, strict=True):
            np.testing.assert_allclose(getattr(fitted, method)(UNSEEN), expected, atol=1e-6)

    def test_no_block_of_a_sparse_prediction_is_dense_for_long(self, in_small_blocks, monkeypatch):
        classifier = quick().fit(TEXTS, sp.csr_array(INDICATOR))
        expected = classifier.predict_proba(UNSEEN)
        monkeypatch.setattr(HiMatchClassifier, "predict_proba", None)
        monkeypatch.setattr(HiMatchClassifier, "decision_function", None)
        predicted = classifier.predict(UNSEEN)
        assert sp.issparse(predicted)
        np.testing.assert_array_equal(predicted.toarray(), classifier.decision_(expected).toarray())

    @pytest.mark.parametrize("official", [True, False])
    def test_no_more_texts_are_held_out_than_fit_into_memory(self, monkeypatch, official):
        monkeypatch.setattr("skhimatch.fitting.held_out.MAX_HELD_OUT_NUMBERS", 60)
        monkeypatch.setattr("skhimatch.fitting.held_out.MIN_HELD_OUT", 5)
        held = []
        stack = ensemble.Ensemble.stack

        def record(self, scores, targets, *weights):
            if "words" in scores:
                held.append(targets.shape)
            return stack(self, scores, targets, *weights)

        monkeypatch.setattr(ensemble.Ensemble, "stack", record)
        if official:
            quick().fit(TEXTS, LABEL_SETS, X_val=UNSEEN, y_val=UNSEEN_SETS)
        else:
            quick(validation_fraction=0.5).fit(TEXTS, LABEL_SETS)
        assert held == [(6, 10)]

    def test_topk(self, fitted, in_small_blocks):
        labels, probabilities = fitted.predict_topk(UNSEEN, 3)
        every = fitted.predict_proba(UNSEEN)
        assert labels.shape == (40, 3)
        np.testing.assert_allclose(probabilities, -np.sort(-every, axis=1)[:, :3], atol=1e-6)
        columns = [[LABELS.index(label) for label in row] for row in labels]
        np.testing.assert_allclose(probabilities, np.take_along_axis(every, np.array(columns), 1), atol=1e-6)

    @pytest.mark.parametrize("k", [0, 11, "3", 2.0])
    def test_topk_of_too_few_or_too_many(self, fitted, k):
        with pytest.raises(ValueError, match=f"k is {k!r}; ask for 1 to 10 labels"):
            fitted.predict_topk(UNSEEN, k)

    def test_what_is_wrong_is_said_at_once(self, fitted):
        with pytest.raises(TypeError, match="Text 0 is of type int"):
            fitted.iter_predict_proba([3])


class TestJointSpace:
    @pytest.mark.parametrize(
        "parameters", [{}, {"propagation": None}, {"lambda_joint": 0, "lambda_match": 0}]
    )
    def test_unit_rows(self, parameters):
        classifier = quick(**parameters).fit(TEXTS, LABEL_SETS)
        texts, labels = classifier.transform(UNSEEN), classifier.label_embeddings_
        assert (texts.shape, labels.shape) == ((40, 8), (10, 8))
        assert texts.dtype == labels.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(texts, axis=1), 1, atol=1e-5)
        np.testing.assert_allclose(np.linalg.norm(labels, axis=1), 1, atol=1e-5)

    def test_label_embeddings_are_those_of_the_trained_network(self, fitted):
        with torch.inference_mode():
            expected = fitted.network_.eval().embed_labels().numpy()
        np.testing.assert_array_equal(fitted.label_embeddings_, expected)


class TestLearning:
    def test_held_out_texts(self, learned):
        texts, label_sets = make_corpus(200, seed=5)
        assert f1_score(binarize(label_sets), learned.predict(texts), average="micro") > 0.9
        losses = [epoch["train_loss"] for epoch in learned.history_]
        assert losses[-1] < losses[0] / 10

    def test_texts_lie_nearest_to_their_fine_grained_label(self, learned):
        texts, label_sets = make_corpus(200, seed=5)
        fine = [LABELS.index(next(iter(labels & set(PATHS)))) for labels in label_sets]
        untaught = clone(learned).set_params(lambda_joint=0, lambda_match=0).fit(*make_corpus(300))

        def share_nearest(classifier):
            distances = np.linalg.norm(
                classifier.transform(texts)[:, None] - classifier.label_embeddings_, axis=2
            )
            return (distances.argmin(axis=1) == fine).mean()

        assert share_nearest(learned) > 0.6
        assert share_nearest(untaught) < 0.4

    def test_matching_ranks_ancestors_before_strangers(self, learned):
        texts, label_sets = make_corpus(200, seed=5)
        distances = np.linalg.norm(learned.transform(texts)[:, None] - learned.label_embeddings_, axis=2)
        own = binarize(label_sets).astype(bool)
        assert distances[own].mean() < distances[~own].mean() / 2


BATCH_SETTINGS = [
    {},
    {"propagation": "gated"},
    {"propagation": "gcn"},
    {"head": "flat"},
    {"lexical": None},
    {"net_params": SMALL | {"module__kernel_size": 5, "module__max_length": 30}},
    RCNN,
    RCNN | {"propagation": "gcn"},
    RCNN | {"net_params": SMALL_RCNN | {"module__top_k": 2, "module__kernel_sizes": (2, 5)}},
]


class TestBatches:
    LONG = tuple(" ".join(TEXTS[start : start + 20]) for start in range(0, 40, 5))

    def assert_rows_are_their_own(self, classifier):
        texts = [UNSEEN[0], "lens", "", UNSEEN[1], *self.LONG]
        for method in (classifier.predict_proba, classifier.transform):
            together = method(texts)
            alone = np.concatenate([method([text]) for text in texts])
            np.testing.assert_allclose(together, alone, atol=1e-6, rtol=0)
            order = np.random.default_rng(0).permutation(len(texts))
            np.testing.assert_allclose(
                method([texts[row] for row in order]), together[order], atol=1e-6, rtol=0
            )
            assert np.abs(together - together[0]).max() > 1e-3

    @pytest.mark.parametrize("settings", BATCH_SETTINGS)
    def test_a_row_never_depends_on_its_batch(self, settings):
        self.assert_rows_are_their_own(quick(**settings).fit(TEXTS, LABEL_SETS))

    @pytest.mark.parametrize("propagation", ["gcn", "gated"])
    def test_many_labels(self, propagation):
        hierarchy = {f"area {area}": [f"topic {area}.{topic}" for topic in range(9)] for area in range(21)}
        label_sets = [{f"area {row % 21}", f"topic {row % 21}.{row % 9}"} for row in range(60)]
        settings = {"propagation": propagation, "head": "auto", "learning_rate": 0.02}
        settings |= RCNN | {"net_params": SMALL_RCNN_WITH_NODES}
        classifier = quick(hierarchy, **settings).fit(TEXTS, label_sets)
        assert len(classifier.classes_) == 210
        assert type(classifier.network_.head) is LabelwiseHead
        assert classifier.network_.label_nodes.label_vectors.shape == (210, 8)
        self.assert_rows_are_their_own(classifier)


class TestReproducibility:
    def test_refits_are_equal_bit_by_bit(self, fitted):
        again = clone(fitted).fit(TEXTS, LABEL_SETS)
        assert_same_weights(fitted, again)
        assert_same_weights(fitted, again.fit(TEXTS, LABEL_SETS))
        np.testing.assert_array_equal(fitted.predict_proba(UNSEEN), again.predict_proba(UNSEEN))
        other = quick(random_state=1).fit(TEXTS, LABEL_SETS)
        assert (fitted.predict_proba(UNSEEN) != other.predict_proba(UNSEEN)).any()

    def test_global_generators_are_left_alone(self):
        def state():
            numpy = np.random.get_state()  # noqa: NPY002 (what is tested)
            return torch.get_rng_state().tolist(), numpy[1].tolist(), numpy[2:], random.getstate()

        before = state()
        classifier = quick().fit(TEXTS, LABEL_SETS)
        classifier.partial_fit(TEXTS, LABEL_SETS)
        classifier.predict(UNSEEN)
        classifier.transform(UNSEEN)
        assert state() == before
        assert_same_weights(quick().fit(TEXTS, LABEL_SETS), quick().fit(TEXTS, LABEL_SETS))

    def test_global_generators_have_no_say(self, fitted):
        with torch.random.fork_rng():
            torch.manual_seed(1234)
            assert_same_weights(fitted, quick().fit(TEXTS, LABEL_SETS))

    def test_random_state_instance(self):
        first, second = (quick(random_state=np.random.RandomState(5)) for _ in range(2))
        assert_same_weights(first.fit(TEXTS, LABEL_SETS), second.fit(TEXTS, LABEL_SETS))
        # An instance goes on drawing.
        before = first.predict_proba(UNSEEN)
        assert (first.fit(TEXTS, LABEL_SETS).predict_proba(UNSEEN) != before).any()

    def test_clone_of_a_loaded_vocabulary_does_not_change_the_fit(self, fitted):
        tokenizer = WordTokenizer()
        assert_same_weights(fitted, quick(tokenizer=tokenizer).fit(TEXTS, LABEL_SETS))
        assert not hasattr(tokenizer, "vocabulary_")


class TestPartialFit:
    def test_first_call(self):
        classifier = quick().partial_fit(TEXTS, LABEL_SETS)
        assert classifier.n_iter_ == 1
        assert classifier.classes_.tolist() == LABELS
        assert "valid_score" not in classifier.history_[0]
        assert classifier.history_[0]["docs_per_second"] > 0

    def test_classes(self):
        classifier = quick(None).partial_fit(TEXTS[:5], [{"sport"}] * 5, classes=LABELS)
        classifier.partial_fit(TEXTS, LABEL_SETS)
        assert classifier.classes_.tolist() == LABELS
        assert quick(None).partial_fit(TEXTS, LABEL_SETS).classes_.tolist() == LABELS

    def test_classes_that_are_not_the_known_ones(self):
        classifier = quick(None).partial_fit(TEXTS, LABEL_SETS, classes=LABELS)
        classifier.partial_fit(TEXTS, LABEL_SETS, classes=LABELS)
        for classes in (["other"], LABELS[::-1]):
            with pytest.raises(ValueError, match="`classes` are not the 10 labels that are known already"):
                classifier.partial_fit(TEXTS, LABEL_SETS, classes=classes)
        assert classifier.n_iter_ == 2
        with pytest.raises(ValueError, match="`classes` are not the 10 labels"):
            quick(None, classes=LABELS).partial_fit(TEXTS, LABEL_SETS, classes=LABELS[:3])

    @pytest.mark.parametrize(
        "changed",
        [{"gamma": 5.0}, {"learning_rate": 0.2}, {"batch_size": 5}, {"net_params__optimizer": "sgd"}],
    )
    def test_changed_parameters_take_effect(self, changed):
        one, other, without_memory = (quick().partial_fit(TEXTS, LABEL_SETS) for _ in range(3))
        without_memory = pickle.loads(pickle.dumps(without_memory))
        one.partial_fit(TEXTS, LABEL_SETS)
        other.set_params(**changed).partial_fit(TEXTS, LABEL_SETS)
        without_memory.set_params(**changed).partial_fit(TEXTS, LABEL_SETS)
        assert (one.predict_proba(UNSEEN) != other.predict_proba(UNSEEN)).any()
        assert_same_weights(other, without_memory)

    def test_calls_add_up(self):
        classifier = quick(learning_rate=0.03)
        for _ in range(6):
            classifier.partial_fit(TEXTS, LABEL_SETS)
        assert classifier.n_iter_ == len(classifier.history_) == 6
        assert [epoch["epoch"] for epoch in classifier.history_] == [1, 2, 3, 4, 5, 6]
        losses = [epoch["train_loss"] for epoch in classifier.history_]
        assert losses[-1] < 0.8 * losses[0]

    def test_repeatable(self):
        one, other = quick(), quick()
        for _ in range(3):
            one.partial_fit(TEXTS, LABEL_SETS)
            other.partial_fit(TEXTS, LABEL_SETS)
        assert_same_weights(one, other)

    def test_after_fit(self):
        classifier = quick().fit(TEXTS, LABEL_SETS)
        before = classifier.predict_proba(UNSEEN)
        embeddings = classifier.label_embeddings_
        classifier.partial_fit(TEXTS, LABEL_SETS)
        assert classifier.n_iter_ == 3
        assert [epoch["epoch"] for epoch in classifier.history_] == [1, 2, 3]
        after = classifier.predict_proba(UNSEEN)
        # One epoch on: not a fresh start, nor the same.
        assert 0 < np.abs(after - before).max() < 0.5
        assert (classifier.label_embeddings_ != embeddings).any()

    @pytest.mark.parametrize("first", ["fit", "partial_fit"])
    def test_the_optimiser_remembers(self, first):
        class Optimisers(Callback):
            def on_train_begin(self, net, **kwargs):
                found.append(net.optimizer_)

        found = []
        classifier = getattr(quick(callbacks=[Optimisers()]), first)(TEXTS, LABEL_SETS)
        for _ in range(2):
            classifier.partial_fit(TEXTS, LABEL_SETS)
        assert len(found) == 3
        assert found[1] is found[2]
        # After fit it is a new one: the last one's learning rate went down to nothing.
        assert (found[0] is found[1]) == (first == "partial_fit")

    def test_after_load(self, fitted, tmp_path):
        fitted.save(tmp_path / "model")
        loaded = HiMatchClassifier.load(tmp_path / "model")
        loaded.partial_fit(TEXTS, LABEL_SETS)
        assert loaded.n_iter_ == 3
        here = clone(fitted).fit(TEXTS, LABEL_SETS).partial_fit(TEXTS, LABEL_SETS)
        assert_same_weights(loaded, here)

    def test_fit_starts_anew(self, fitted):
        classifier = quick().partial_fit(TEXTS, LABEL_SETS).fit(TEXTS, LABEL_SETS)
        assert_same_weights(classifier, fitted)
        assert classifier.n_iter_ == 2

    @pytest.mark.parametrize("first", [False, True])
    def test_unknown_label_leaves_it_as_it_was(self, first):
        classifier = quick()
        if not first:
            classifier.partial_fit(TEXTS, LABEL_SETS)
            before = classifier.predict_proba(UNSEEN)
        with pytest.raises(ValueError, match=r"Label 'tenis' in y\[1\].*Did you mean 'tennis'"):
            classifier.partial_fit(TEXTS[:2], [{"sport"}, {"tenis"}])
        if first:
            assert_unfitted(classifier)
        else:
            np.testing.assert_array_equal(classifier.predict_proba(UNSEEN), before)
            assert classifier.n_iter_ == 1

    @pytest.mark.parametrize("error", [NonFiniteLossError, RuntimeError, KeyboardInterrupt])
    def test_an_error_on_the_way_leaves_it_as_it_was(self, error):
        trouble = Trouble(error, epoch=2, batch=3)
        classifier = quick(callbacks=[trouble]).partial_fit(TEXTS, LABEL_SETS)
        before = classifier.predict_proba(UNSEEN)
        with pytest.raises(error):
            classifier.partial_fit(TEXTS, LABEL_SETS)
        np.testing.assert_array_equal(classifier.predict_proba(UNSEEN), before)
        assert classifier.n_iter_ == 1
        fresh = quick(callbacks=[Trouble(error, epoch=1, batch=2)])
        with pytest.raises(error):
            fresh.partial_fit(TEXTS, LABEL_SETS)
        assert_unfitted(fresh)


class TestHistory:
    def test_one_record_an_epoch(self):
        classifier = quick(lambda_joint=0.25, lambda_match=2).fit(TEXTS, LABEL_SETS)
        assert classifier.n_iter_ == len(classifier.history_) == 2
        for number, epoch in enumerate(classifier.history_, start=1):
            assert epoch["epoch"] == number
            # Eq 8, of terms that are recorded before they are weighted.
            total = epoch["classification_loss"] + 0.25 * epoch["joint_loss"] + 2 * epoch["matching_loss"]
            assert epoch["train_loss"] == pytest.approx(total, rel=1e-5)
            assert min(epoch["joint_loss"], epoch["matching_loss"]) > 0
            assert epoch["valid_score"] == epoch["valid_micro_f1"] + epoch["valid_macro_f1"]
            assert epoch["docs_per_second"] > 0
            assert "batches" not in epoch

    @pytest.mark.parametrize("decoding", ["path", "threshold"])
    def test_validation_data_is_what_the_scores_are_of(self, decoding):
        held = UNSEEN, sp.csr_array(binarize(UNSEEN_SETS))
        network = {"lexical": None, "classification_loss": "cross_entropy"}
        classifier = quick(decoding=decoding, threshold=0.2, max_epochs=6, learning_rate=0.03, **network)
        classifier.fit(TEXTS, LABEL_SETS, X_val=held[0], y_val=held[1])
        best = max(classifier.history_, key=lambda epoch: epoch["valid_score"])
        expected, predicted = binarize(UNSEEN_SETS), classifier.predict(UNSEEN)
        assert best["valid_micro_f1"] == pytest.approx(f1_score(expected, predicted, average="micro"))
        assert best["valid_macro_f1"] == pytest.approx(f1_score(expected, predicted, average="macro"))
        # No training text is held out besides.
        everything = quick(max_epochs=1, validation_fraction=0).fit(TEXTS, LABEL_SETS)
        assert classifier.vocabulary_ == everything.vocabulary_

    def test_every_label_keeps_a_training_text(self):
        texts = [*TEXTS, "king pawn king"]
        label_sets = [*LABEL_SETS, {"chess"}]
        hierarchy = LabelHierarchy(
            [(p, c) for path in PATHS.values() for p, c in pairwise(path)],
            [*LABELS, "chess"],
        )
        for seed in range(4):
            classifier = quick(hierarchy, validation_fraction=0.5, random_state=seed, max_epochs=1)
            classifier.fit(texts, label_sets)
            assert classifier.decision_.tagged.all()
            assert "king" in classifier.vocabulary_

    def test_one_line_an_epoch(self, capsys):
        quick(verbose=1).fit(TEXTS, LABEL_SETS)
        lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch")]
        number = r"\d+\.\d{3}"
        line = (
            rf"epoch   \d/2 \| loss {number}: classification {number}, joint {number}, matching {number} "
            rf"\| validation F1 {number} micro, {number} macro \| \d+ docs/s"
        )
        assert len(lines) == 2
        assert all(re.fullmatch(line, found) for found in lines)
        quick(verbose=1, validation_fraction=0).fit(TEXTS, LABEL_SETS)
        assert "validation" not in capsys.readouterr().out

    def test_all_evidence_is_scored_in_the_end(self, capsys):
        classifier = quick(verbose=1).fit(TEXTS, LABEL_SETS, X_val=UNSEEN, y_val=UNSEEN_SETS)
        expected, predicted = binarize(UNSEEN_SETS), classifier.predict(UNSEEN)
        micro, macro = (f1_score(expected, predicted, average=mean) for mean in ("micro", "macro"))
        assert classifier.validation_f1_ == pytest.approx((micro, macro))
        line = f"all scores together | validation F1 {micro:.3f} micro, {macro:.3f} macro"
        assert line in capsys.readouterr().out.splitlines()
        assert quick(validation_fraction=0).fit(TEXTS, LABEL_SETS).validation_f1_ is None

    def test_scores_of_other_weights_are_dropped(self):
        classifier = quick().fit(TEXTS, LABEL_SETS)
        assert classifier.validation_f1_ is not None
        assert classifier.partial_fit(TEXTS, LABEL_SETS).validation_f1_ is None

    def test_silent_by_default(self, capsys):
        quick(max_epochs=3, patience=1).fit(TEXTS, LABEL_SETS).predict(TEXTS)
        captured = capsys.readouterr()
        assert captured.out == captured.err == ""


class TestWordVectors:
    WORDS = ("lens", "leaf", "zither")
    VECTORS = WordVectors(WORDS, np.arange(15).reshape(3, 5))
    # As good as no training: each step of Adam moves a weight by the learning rate at most.
    STILL = {"learning_rate": 1e-9, "max_epochs": 1}  # noqa: RUF012 (never written)

    def rows(self, classifier):
        table = classifier.network_.text_encoder.embedding.weight.detach().numpy()
        return {word: table[id] for word, id in classifier.vocabulary_.index.items()}

    @pytest.mark.parametrize("as_mapping", [False, True])
    def test_through_the_constructor(self, as_mapping):
        vectors = dict(zip(self.WORDS, self.VECTORS.vectors, strict=True)) if as_mapping else self.VECTORS
        classifier = quick(word_vectors=vectors, **self.STILL).fit(TEXTS, LABEL_SETS)
        rows = self.rows(classifier)
        assert rows["lens"] == pytest.approx([0, 1, 2, 3, 4], abs=1e-6)
        assert rows["leaf"] == pytest.approx([5, 6, 7, 8, 9], abs=1e-6)
        assert "zither" not in rows
        assert np.abs(rows["mirror"]).max() > 0.1

    def test_through_a_pipeline(self, tmp_path):
        path = tmp_path / "vectors.txt"
        path.write_text("lens 0 1 2 3 4\nleaf 5 6 7 8 9\n")
        pipeline = make_pipeline(WordTokenizer(), quick(word_vectors=str(path), **self.STILL))
        pipeline.fit(TEXTS, LABEL_SETS)
        rows = self.rows(pipeline[-1])
        assert rows["lens"] == pytest.approx([0, 1, 2, 3, 4], abs=1e-6)
        assert rows["leaf"] == pytest.approx([5, 6, 7, 8, 9], abs=1e-6)

    def test_label_texts_start_label_vectors(self):
        texts = {"optics": "lens, leaf", "rowing": ["Zither"]}
        classifier = quick(word_vectors=self.VECTORS, label_texts=texts, **self.STILL).fit(TEXTS, LABEL_SETS)
        start = classifier.network_.label_vectors.detach().numpy()
        assert start[LABELS.index("optics")] == pytest.approx([2.5, 3.5, 4.5, 5.5, 6.5], abs=1e-6)
        # A word of a label's text is kept although no training text has it.
        assert start[LABELS.index("rowing")] == pytest.approx([10, 11, 12, 13, 14], abs=1e-6)

    def test_labels_start_from_their_names(self):
        classifier = quick(**self.STILL).fit(
            ["sport tennis sport", "tennis"] * 3, [{"sport", "tennis"}, {"tennis"}] * 3
        )
        start, rows = classifier.network_.label_vectors.detach().numpy(), self.rows(classifier)
        np.testing.assert_allclose(start[LABELS.index("sport")], rows["sport"], atol=1e-6)
        np.testing.assert_allclose(start[LABELS.index("tennis")], rows["tennis"], atol=1e-6)

    @pytest.mark.parametrize(
        "settings", [{"propagation": "gcn"}, {"head": "matching"}, {"head": "dot"}, {"lambda_joint": 1.0}]
    )
    def test_shares_of_children_start_the_propagation(self, settings):
        classifier = quick(validation_fraction=0, **self.STILL, **settings).fit(TEXTS, LABEL_SETS)
        expected = classifier.hierarchy_.edge_priors(sp.csr_array(INDICATOR))
        assert len(np.unique(expected)) > 1
        state = classifier.network_.state_dict()
        found = [value.numpy() for name, value in state.items() if name.endswith("edges.prior")]
        assert found
        for prior in found:
            np.testing.assert_allclose(prior, expected, atol=1e-6)

    def test_output_starts_at_the_log_odds_of_the_labels(self):
        settings = {"validation_fraction": 0, "classification_loss": "cross_entropy", **self.STILL}
        classifier = quick(**settings).fit(TEXTS, LABEL_SETS)
        share = (INDICATOR.sum(axis=0) + 0.5) / 61
        expected = np.log(share / (1 - share))
        np.testing.assert_allclose(classifier.network_.head.bias.detach().numpy(), expected, atol=1e-5)


class Trouble(Callback):
    """Raise an error before a batch, or poison the weights so that its loss is NaN."""

    def __init__(self, error, epoch, batch):
        self.error = error
        self.epoch = epoch
        self.batch = batch

    def on_batch_begin(self, net, training=False, **kwargs):
        if training and (len(net.history), len(net.history[-1, "batches"])) == (self.epoch, self.batch):
            if self.error is not NonFiniteLossError:
                raise self.error("trouble")
            with torch.no_grad():
                net.module_.head.bias.fill_(torch.nan)


def assert_unfitted(classifier):
    with pytest.raises(NotFittedError):
        check_is_fitted(classifier)
    with pytest.raises(NotFittedError):
        classifier.predict(UNSEEN)
    assert not [name for name in vars(classifier) if name.endswith("_")]


@functools.cache
def taught():
    return quick(max_epochs=1).fit(TEXTS, LABEL_SETS)


def assert_refused(error, match, X=TEXTS, y=LABEL_SETS, X_val=None, y_val=None, **parameters):
    """Neither a fresh nor a fitted classifier takes anything from a fit that fails."""
    fresh = quick(**parameters)
    with pytest.raises(error, match=match):
        fresh.fit(X, y, X_val=X_val, y_val=y_val)
    assert_unfitted(fresh)
    fitted = copy.deepcopy(taught())
    before = fitted.predict_proba(UNSEEN)
    usual = {name: getattr(fitted, name) for name in parameters}
    with pytest.raises(error, match=match):
        fitted.set_params(**parameters).fit(X, y, X_val=X_val, y_val=y_val)
    np.testing.assert_array_equal(fitted.set_params(**usual).predict_proba(UNSEEN), before)
    assert fitted.n_iter_ == 1


@pytest.mark.parametrize(
    ("X_val", "y_val", "error", "match"),
    [
        (TEXTS[:2], [{"sport"}, {"tenis"}], ValueError, r"Label 'tenis' in y\[1\].*Did you mean 'tennis'"),
        (TEXTS[:3], LABEL_SETS[:2], ValueError, "3 texts in X and 2 rows in y"),
        ([TEXTS[0], None], LABEL_SETS[:2], TypeError, "Text 1 is of type NoneType"),
    ],
)
def test_errors_in_the_validation_set_name_it(X_val, y_val, error, match):
    assert_refused(error, rf"validation set \(X_val as X, y_val as y\): .*{match}", X_val=X_val, y_val=y_val)


@pytest.mark.parametrize("y", [[set()] * 60, np.zeros((60, 0))])
def test_no_label_at_all(y):
    assert_refused(
        ValueError, "no label: y is empty, and neither `hierarchy` nor `classes`", y=y, hierarchy=None
    )


def test_a_tokenizer_of_another_kind():
    assert_refused(TypeError, "take one that returns TokenSequences", tokenizer=TfidfVectorizer())


def test_decide_names_a_wrong_shape(fitted):
    for wrong in (np.ones((2, 3)), np.ones(10)):
        with pytest.raises(ValueError, match=r"probabilities have the shape .*, not \(n, 10\)"):
            fitted.decide(wrong)


class TestBadTexts:
    def test_bare_string(self, fitted):
        match = "Expected several texts, got a single str; wrap it in a list"
        assert_refused(TypeError, match, X="a lens", y=[{"optics"}])
        for method in (fitted.predict, fitted.predict_proba, fitted.decision_function, fitted.transform):
            with pytest.raises(TypeError, match=match):
                method("a lens")

    @pytest.mark.parametrize(
        ("stranger", "kind"), [(None, "NoneType"), (np.nan, "float"), (7, "int"), (b"lens", "bytes")]
    )
    def test_what_is_no_text(self, fitted, stranger, kind):
        texts = [*TEXTS[:17], stranger, *TEXTS[18:]]
        match = f"Text 17 is of type {kind}, not str; (fill or drop missing texts|decode it) first"
        assert_refused(TypeError, match, X=texts)
        assert_refused(TypeError, match, X=np.array(texts, dtype=object))
        with pytest.raises(TypeError, match=match):
            fitted.predict(texts)

    @pytest.mark.parametrize("empty", [[], np.array([], dtype=object), pd.Series([], dtype=object)])
    def test_empty(self, fitted, empty):
        match = "Found 0 samples in .* while a minimum of 1 is required"
        assert_refused(ValueError, match, X=empty, y=[])
        with pytest.raises(ValueError, match=match):
            fitted.predict(empty)

    def test_empty_token_sequences(self, fitted):
        sequences = fitted.tokenizer_.transform(TEXTS)[:0]
        match = "Found 0 samples in .* while a minimum of 1 is required"
        assert_refused(ValueError, match, X=sequences, y=[])
        with pytest.raises(ValueError, match=match):
            fitted.predict(sequences)

    def test_two_dimensions(self, fitted):
        match = (
            r"Expected 1D texts, got a DataFrame of shape \(60, 2\); pass one column, such as df\['text'\]"
        )
        assert_refused(ValueError, match, X=pd.DataFrame({"title": TEXTS, "text": TEXTS}))

    def test_no_token_at_all(self):
        assert_refused(ValueError, "finds no token in any of the 54 texts", X=["..."] * 60)

    def test_another_vocabulary(self, fitted):
        sequences = WordTokenizer().fit_transform(UNSEEN)
        match = "TokenSequences over another vocabulary than in fit"
        for method in (fitted.predict, fitted.transform):
            with pytest.raises(ValueError, match=match):
                method(sequences)
        before = fitted.predict_proba(UNSEEN)
        with pytest.raises(ValueError, match=match):
            fitted.partial_fit(sequences, UNSEEN_SETS)
        np.testing.assert_array_equal(fitted.predict_proba(UNSEEN), before)
        assert_refused(ValueError, match, X_val=sequences, y_val=UNSEEN_SETS)

    def test_texts_where_ids_were_taught(self):
        sequences = WordTokenizer().fit_transform(TEXTS)
        classifier = quick().fit(sequences, LABEL_SETS)
        match = "was fitted on TokenSequences and got raw texts.*Pipeline"
        with pytest.raises(ValueError, match=match):
            classifier.predict(TEXTS)
        assert_refused(ValueError, match, X=sequences, X_val=UNSEEN, y_val=UNSEEN_SETS)


class TestBadTargets:
    @pytest.mark.parametrize(
        ("y", "error", "match"),
        [
            (None, ValueError, "requires y to be passed, but the target y is None: pass one set of labels"),
            ("sport", TypeError, "y is str, not one set of labels per text"),
            (LABEL_SETS[:-1], ValueError, "60 texts in X and 59 rows in y. Pass one row of targets per text"),
            (INDICATOR[:-1], ValueError, "60 texts in X and 59 rows in y"),
            (["sprot"] * 60, ValueError, r"Label 'sprot' in y\[0\] is not among.*Did you mean 'sport'"),
            (["sport"] * 59 + [{"sport"}], TypeError, r"y\[59\] is {'sport'}, but y\[0\] is a string"),
            ([{"sport"}] * 59 + ["sport"], TypeError, r"y\[59\] is 'sport', but y\[0\] is not a string"),
            (np.arange(60), ValueError, "Unknown label type: y is one int64 per text: pass one set"),
            ([{"sport"}] * 59 + [{3}], TypeError, r"y\[59\] holds 3 of type int: label names are strings"),
            ([{"sport"}] * 59 + [None], TypeError, r"y\[59\] is None, not a collection of label names"),
            (
                [{"sport"}] * 59 + [{"opticks"}],
                ValueError,
                r"Label 'opticks' in y\[59\] is not among the 10 known labels. Did you mean 'optics'\?",
            ),
            (INDICATOR[:, 1:], ValueError, r"y has 9 columns but there are 10 labels \(biology, .*classes="),
            (sp.csr_array(INDICATOR[:, :3]), ValueError, "y has 3 columns but there are 10 labels"),
            (INDICATOR * 2, ValueError, "row 0 of y holds 2 in the column of .*only 0 and 1"),
            (np.where(INDICATOR, np.inf, 0.0), ValueError, "y contains NaN or infinity, first at row 0"),
            (
                np.full(INDICATOR.shape, np.nan),
                ValueError,
                "y: no text of a weight above 0 has a known target",
            ),
            (INDICATOR.astype(str), ValueError, "an indicator holds 0 and 1, not <U"),
            (
                pd.DataFrame(INDICATOR, columns=[*LABELS[:-1], "zoo"]),
                ValueError,
                "Label 'zoo' in the columns of y is not among.*",
            ),
            (
                pd.DataFrame(INDICATOR[:, 1:], columns=LABELS[1:]),
                ValueError,
                "y lacks a column for label 'biology'",
            ),
        ],
    )
    def test_refused(self, y, error, match):
        assert_refused(error, match, y=y)

    def test_validation_data(self):
        assert_refused(ValueError, "Label 'chess' in y", X_val=UNSEEN[:1], y_val=[{"chess"}])
        assert_refused(TypeError, "Text 0 is of type NoneType", X_val=[None], y_val=[{"sport"}])

    def test_a_pair_of_validation_data_is_deprecated(self):
        with pytest.warns(FutureWarning, match=r"deprecated: pass X_val=X, y_val=y"):
            old = quick().fit(TEXTS, LABEL_SETS, validation_data=(UNSEEN, UNSEEN_SETS))
        new = quick().fit(TEXTS, LABEL_SETS, X_val=UNSEEN, y_val=UNSEEN_SETS)
        np.testing.assert_array_equal(old.predict_proba(UNSEEN), new.predict_proba(UNSEEN))
        assert_refused(ValueError, "X_val is given but y_val is not", X_val=UNSEEN)

    def test_no_label_at_all(self):
        fresh = quick(None)
        with pytest.raises(ValueError, match="no label"):
            fresh.fit(TEXTS, [set()] * 60)
        assert_unfitted(fresh)

    def test_score(self, fitted):
        with pytest.raises(ValueError, match="40 texts in X and 39 rows in y"):
            fitted.score(UNSEEN, UNSEEN_SETS[:-1])


class TestBadParameters:
    @pytest.mark.parametrize(
        ("parameters", "error", "match"),
        [
            ({"gamma": -0.1}, ValueError, r"The 'gamma' parameter .* must be a float in the range \[0"),
            ({"alpha": -1}, ValueError, "The 'alpha' parameter"),
            ({"beta": "big"}, ValueError, "The 'beta' parameter"),
            ({"lambda_match": -1}, ValueError, "The 'lambda_match' parameter"),
            ({"propagation": "gnn"}, ValueError, "The 'propagation' parameter .*'gated'"),
            ({"head": "round"}, ValueError, "The 'head' parameter"),
            ({"sampling": "some"}, ValueError, "The 'sampling' parameter"),
            ({"max_epochs": 0}, ValueError, "The 'max_epochs' parameter"),
            ({"learning_rate": 0}, ValueError, "The 'learning_rate' parameter"),
            ({"validation_fraction": 1}, ValueError, "The 'validation_fraction' parameter"),
            ({"decoding": "beam"}, ValueError, "The 'decoding' parameter"),
            ({"consistency": "all"}, ValueError, "The 'consistency' parameter"),
            ({"threshold": 1.5}, ValueError, "The 'threshold' parameter"),
            ({"threshold": [0.5] * 9}, ValueError, r"threshold has shape \(9,\).*\(10,\)"),
            ({"threshold": [0.5] * 9 + [2]}, ValueError, "the threshold of label 'zoology' is 2"),
            ({"device": "abacus"}, ValueError, "device='abacus' is no device that torch knows"),
            ({"hierarchy": {"a": ["b"], "b": ["c"], "c": ["a"]}}, ValueError, "a -> b -> c -> a"),
            ({"hierarchy": {"a": ["a"]}}, ValueError, "'a'"),
            ({"hierarchy": 3}, TypeError, "int"),
            ({"classes": ["sport", "tenis"]}, ValueError, "no label 'tenis'; did you mean 'tennis'"),
            ({"word_vectors": "nowhere.txt"}, FileNotFoundError, "nowhere.txt"),
            ({"label_texts": [("optics", "lens")]}, ValueError, "The 'label_texts' parameter"),
            ({"net_params": {"module__color": 1}}, ValueError, "net_params: unknown entry 'module__color'"),
            ({"net_params": {"lr": 0.1}}, ValueError, "'lr'.*use its `learning_rate`"),
            ({"net_params": {"batch_size": 8}}, ValueError, "use its `batch_size`"),
        ],
    )
    def test_refused(self, parameters, error, match):
        assert_refused(error, match, **parameters)

    @pytest.mark.parametrize(
        "method", ["predict", "predict_proba", "decision_function", "transform", "to_label_sets"]
    )
    def test_before_fit(self, method):
        with pytest.raises(NotFittedError, match="not fitted yet"):
            getattr(quick(), method)(TEXTS)

    def test_score_and_save_before_fit(self, tmp_path):
        with pytest.raises(NotFittedError):
            quick().score(TEXTS, LABEL_SETS)
        with pytest.raises(NotFittedError):
            quick().save(tmp_path / "model")
        assert not (tmp_path / "model").exists()


class TestNonFiniteLoss:
    def test_before_an_epoch_is_complete(self):
        huge = WordVectors(["sport"], np.full((1, 16), 3e38))
        match = r"training loss is (nan|inf) in epoch 1, batch 1 .*lower `learning_rate`.*`word_vectors`"
        assert_refused(NonFiniteLossError, match, word_vectors=huge)

    @pytest.mark.parametrize("batch", [1, 3])
    def test_names_the_batch(self, batch):
        trouble = Trouble(NonFiniteLossError, epoch=1, batch=batch)
        assert_refused(
            NonFiniteLossError, f"training loss is nan in epoch 1, batch {batch} ", callbacks=[trouble]
        )

    @pytest.mark.parametrize("validation_fraction", [0, 0.2])
    def test_after_a_good_epoch(self, validation_fraction):
        settings = {"validation_fraction": validation_fraction, "schedule": "constant"}
        classifier = quick(
            callbacks=[Trouble(NonFiniteLossError, epoch=3, batch=2)], max_epochs=5, **settings
        )
        with pytest.warns(
            ConvergenceWarning, match=r"epoch 3, batch 2 .* best of 2 complete epochs were restored"
        ):
            classifier.fit(TEXTS, LABEL_SETS)
        assert classifier.n_iter_ == len(classifier.history_) == 2
        assert np.isfinite(classifier.predict_proba(UNSEEN)).all()
        never = Trouble(NonFiniteLossError, epoch=9, batch=2)
        expected = quick(callbacks=[never], max_epochs=2, **settings).fit(TEXTS, LABEL_SETS)
        assert_same_weights(classifier, expected)

    def test_weights_that_break_in_the_last_step(self):
        # No loss sees them: the epoch ends there.
        class Breaks(Callback):
            def on_batch_end(self, net, training=False, **kwargs):
                if training and (len(net.history), len(net.history[-1, "batches"])) == (self.epoch, 4):
                    with torch.no_grad():
                        net.module_.head.bias.fill_(torch.inf)

        Breaks.epoch = 1
        match = r"weights head\..*bias are no longer finite after the last batch of epoch 1"
        assert_refused(NonFiniteLossError, match, callbacks=[Breaks()], validation_fraction=0)
        Breaks.epoch = 2
        with pytest.warns(ConvergenceWarning, match="epoch 2.* best of 1 complete epochs"):
            classifier = quick(callbacks=[Breaks()], validation_fraction=0).fit(TEXTS, LABEL_SETS)
        assert np.isfinite(classifier.predict_proba(UNSEEN)).all()

    def test_in_validation(self):
        class Breaks(Callback):
            def on_batch_begin(self, net, training=False, **kwargs):
                if not training:
                    with torch.no_grad():
                        net.module_.head.bias.fill_(torch.nan)

        assert_refused(
            NonFiniteLossError, "validation loss is nan in epoch 1, batch 1 ", callbacks=[Breaks()]
        )


class TestInterrupt:
    def test_before_an_epoch_is_complete(self):
        assert_refused(
            KeyboardInterrupt, "before an epoch was complete", callbacks=[Trouble(KeyboardInterrupt, 1, 2)]
        )

    def test_after_an_epoch(self):
        settings = {"max_epochs": 4, "schedule": "constant", "validation_fraction": 0}
        classifier = quick(callbacks=[Trouble(KeyboardInterrupt, epoch=2, batch=2)], **settings)
        classifier.fit(TEXTS, LABEL_SETS)
        assert classifier.n_iter_ == 1
        never = Trouble(KeyboardInterrupt, epoch=9, batch=2)
        expected = quick(callbacks=[never], **settings | {"max_epochs": 1}).fit(TEXTS, LABEL_SETS)
        assert_same_weights(classifier, expected)


COLOURS = "crimson", "yellow", "purple", "orange", "silver"
THINGS = "marble", "feather", "lantern", "pebble", "ribbon"


def towards_the_mean(classifier, sequences, scores):
    """Scores of the network of words, nearer to its mean scores the fewer words of a text are known."""
    known = np.array([np.mean(ids > 1) if len(ids) else 0 for ids in sequences])
    mean = classifier.state_.ensemble.mean_scores["words"]
    return mean + known[:, None] * (scores - mean)


class TestLexicalEvidence:
    def test_all_kinds_of_evidence_count(self, fitted):
        logits = fitted.decision_function(UNSEEN)
        sequences = fitted.tokenizer_.transform(UNSEEN)
        scores = {
            "ngrams": fitted.ngrams_.scores(sequences),
            "names": fitted.label_names_.scores(sequences),
            "characters": fitted.characters_.scores(sequences),
            "words": towards_the_mean(fitted, sequences, score_texts(fitted.network_, sequences)),
        }
        weights = fitted.stacking_weights_.weights
        assert min(weights["ngrams"], weights["characters"], weights["words"]) > 0
        np.testing.assert_allclose(logits, fitted.stacking_weights_(scores), atol=1e-4)

    def test_names_alone_speak_for_a_label_without_texts(self):
        texts, label_sets = make_corpus(300)
        # Half of the texts name their labels, and some name one that no text here carries.
        texts = [
            f"{text} {' '.join(labels)}" if number % 2 else f"{text} origami" if number % 50 == 0 else text
            for number, (text, labels) in enumerate(zip(texts, label_sets, strict=True))
        ]
        hierarchy = HIERARCHY | {"craft": ["origami"]}
        classifier = HiMatchClassifier(hierarchy, **THOROUGH, decoding="threshold").fit(texts, label_sets)
        column = classifier.classes_.tolist().index("origami")
        without, with_it = classifier.predict_proba([UNSEEN[0], f"{UNSEEN[0]} origami"])[:, column]
        assert classifier.ngrams_.bias[column] == -1
        assert with_it > 2 * without

    @pytest.mark.parametrize(("copies", "taught"), [(1, 1 / 11), (10, 1 / 2), (90, 9 / 10)])
    def test_with_few_texts_a_label_names_count_more_and_the_network_less(self, copies, taught):
        texts, label_sets = (
            ["quark", "cell", "volley"] * copies,
            [{"physics"}, {"biology"}, {"tennis"}] * copies,
        )
        fitted = HiMatchClassifier(validation_fraction=0, max_epochs=1, net_params=SMALL).fit(
            texts, label_sets
        )
        expected = dict.fromkeys(("ngrams", "characters"), 2.5 * taught)
        expected |= {"names": 0.1 + 0.25 * (1 - taught), "words": 1.5 * taught}
        assert fitted.stacking_weights_.weights == pytest.approx(expected)

    def test_one_text_a_label_is_enough_where_names_tell(self):
        # What a network knows by heart of one text each is of no use: all else has to be heard.
        draws = np.random.default_rng(0)
        labels = [f"{colour} {thing}" for colour in COLOURS for thing in THINGS]
        filler = [f"word{number}" for number in range(200)]

        def write(label):
            words = [*draws.choice(filler, 40), *label.split()]
            return " ".join(draws.permutation(words))

        classifier = HiMatchClassifier(random_state=0)
        classifier.fit([write(label) for label in labels], [{label} for label in labels])
        new = labels * 4
        predicted = classifier.to_label_sets(classifier.predict([write(label) for label in new]))
        assert np.mean([found == {label} for found, label in zip(predicted, new, strict=True)]) > 0.9

    def test_none_leaves_the_network_alone(self):
        classifier = quick(lexical=None, classification_loss="cross_entropy").fit(TEXTS, LABEL_SETS)
        assert classifier.ngrams_ is None
        assert classifier.stacking_weights_ == StackingWeights({"words": 1.0}, 0.0)
        scores = score_texts(classifier.network_, classifier.tokenizer_.transform(UNSEEN))
        np.testing.assert_array_equal(classifier.decision_function(UNSEEN), scores)

    def test_the_margins_of_a_network_alone_are_calibrated(self):
        classifier = quick(lexical=None, max_epochs=8).fit(TEXTS, LABEL_SETS)
        [weight] = classifier.stacking_weights_.weights.values()
        assert weight > 1

    def test_held_out_texts_are_learned_in_the_end(self, fitted):
        everything = fitted.tokenizer_.transform(TEXTS)
        learned = NGramFeatures.learn(everything)
        np.testing.assert_array_equal(fitted.ngrams_.ngrams.codes, learned.codes)
        np.testing.assert_array_equal(fitted.ngrams_.ngrams.idf, learned.idf)
        assert fitted.characters_.ngrams.ngrams == CharacterFeatures.learn(everything).ngrams

    def test_an_official_validation_set_is_not_learned(self, monkeypatch):
        monkeypatch.setattr(
            "skhimatch.fitting.ngrams.ways_to_train", lambda n_entries, n_labels: [Exactly(1.0)]
        )
        with_it = quick(max_epochs=8).fit(TEXTS, LABEL_SETS, X_val=UNSEEN, y_val=UNSEEN_SETS)
        without = quick(max_epochs=8, validation_fraction=0).fit(TEXTS, LABEL_SETS)
        np.testing.assert_array_equal(with_it.ngrams_.weight.data, without.ngrams_.weight.data)
        assert with_it.stacking_weights_ != without.stacking_weights_

    def test_partial_fit_goes_on(self):
        classifier = quick().partial_fit(TEXTS[:30], LABEL_SETS[:30])
        first = classifier.ngrams_
        classifier.partial_fit(TEXTS[30:], LABEL_SETS[30:])
        assert (classifier.ngrams_.weight != first.weight).nnz
        np.testing.assert_array_equal(classifier.ngrams_.ngrams.codes, first.ngrams.codes)


@pytest.fixture
def many_labels(monkeypatch):
    """Let ten labels be so many that the network looks at six of a text."""
    monkeypatch.setattr(ensemble, "MANY_LABELS", 8)
    monkeypatch.setattr(ensemble, "choose_shortlist_size", lambda targets: 6)
    monkeypatch.setattr(ensemble, "choose_training_shortlist_size", lambda targets: 6)


@pytest.mark.usefixtures("many_labels")
class TestCandidates:
    def test_the_network_looks_at_what_the_n_grams_suggest(self, monkeypatch):
        monkeypatch.setattr(ensemble, "MANY_LABELS", 10)
        classifier = quick().fit(TEXTS, LABEL_SETS)
        assert classifier.shortlist_size_ == 6
        sequences = classifier.tokenizer_.transform(UNSEEN)
        margins, names = classifier.ngrams_.scores(sequences), classifier.label_names_.scores(sequences)
        order = margins + 0.03 * names
        likely = order >= np.sort(order, axis=1)[:, [-6]]
        scores = score_texts(classifier.network_, sequences)
        scores = np.where(likely, scores, classifier.network_.head.bias.detach().numpy())
        expected = classifier.stacking_weights_(
            {
                "ngrams": margins,
                "names": names,
                "characters": classifier.characters_.scores(sequences),
                "words": towards_the_mean(classifier, sequences, scores),
            }
        )
        np.testing.assert_allclose(classifier.decision_function(UNSEEN), expected, atol=1e-4)

    def test_what_counts_is_more_than_usual_where_labels_are_many(self, monkeypatch):
        monkeypatch.setattr(ensemble, "TEXTS_OF_PRIOR", 2)
        monkeypatch.setattr(ensemble, "MANY_LABELS", 5)
        classifier = quick().fit(TEXTS, LABEL_SETS, X_val=UNSEEN, y_val=UNSEEN_SETS)
        sequences = classifier.tokenizer_.transform(UNSEEN)
        all_scores = classifier.state_.ensemble.scores(sequences)
        scores = all_scores["words"]
        shortlist = classifier.state_.ensemble.shortlist("words", sequences)
        looked_at = np.zeros(scores.shape, dtype=bool)
        np.put_along_axis(looked_at, shortlist, True, axis=1)
        mean = scores[looked_at].mean()
        usual = [
            (scores[of_label, label].sum() + 2 * mean) / (of_label.sum() + 2)
            for label, of_label in enumerate(looked_at.T)
        ]
        np.testing.assert_allclose(classifier.score_offsets_["words"], usual, atol=1e-5)
        expected = classifier.stacking_weights_(
            all_scores | {"words": np.where(looked_at, scores - usual, 0)}
        )
        np.testing.assert_allclose(classifier.decision_function(UNSEEN), expected, atol=1e-4)
        again = pickle.loads(pickle.dumps(classifier))
        np.testing.assert_array_equal(again.decision_function(UNSEEN), classifier.decision_function(UNSEEN))

    def test_few_labels_count_as_they_are(self, monkeypatch):
        monkeypatch.setattr(ensemble, "MANY_LABELS", 10)
        assert quick().fit(TEXTS, LABEL_SETS).score_offsets_ is None

    def test_names_suggest_labels_too(self, monkeypatch):
        monkeypatch.setattr(ensemble, "NAMES_IN_SHORTLIST", 0.5)
        texts_of = {label: words.split() for label, words in WORDS.items()}
        classifier = quick(label_texts=texts_of).fit(TEXTS, LABEL_SETS)
        sequences = classifier.tokenizer_.transform(UNSEEN)
        margins, names = classifier.ngrams_.scores(sequences), classifier.label_names_.scores(sequences)
        found = classifier.state_.ensemble.shortlist("words", sequences)
        np.testing.assert_array_equal(found, likeliest_labels(margins + np.float32(0.5) * names, 6))
        assert (found != likeliest_labels(margins, 6)).any()

    def test_it_learns_as_well(self):
        texts, label_sets = make_corpus(300)
        classifier = HiMatchClassifier(HIERARCHY, **THOROUGH).fit(texts, label_sets)
        margins = classifier.ngrams_.scores(classifier.tokenizer_.transform(UNSEEN))
        scores = score_texts(
            classifier.network_, classifier.tokenizer_.transform(UNSEEN), likeliest_labels(margins, 6)
        )
        true = binarize(UNSEEN_SETS)
        assert f1_score(true, classifier.predict(UNSEEN), average="micro") > 0.9
        assert f1_score(true, scores > 0, average="micro") > 0.8

    def test_training_looks_at_no_others(self, monkeypatch):
        shapes = []
        forward = LabelAttention.forward

        def count(nodes, states, lengths, labels=None):
            shapes.append(None if labels is None else labels.shape[1])
            return forward(nodes, states, lengths, labels)

        monkeypatch.setattr(LabelAttention, "forward", count)
        classifier = quick(max_epochs=2).fit(TEXTS, LABEL_SETS)
        classifier.partial_fit(TEXTS, LABEL_SETS)
        assert set(shapes) == {6}

    @pytest.mark.parametrize(
        "settings",
        [{"lexical": None}, {"propagation": "gcn"}, {"head": "flat"}, RCNN],
        ids=["no n-grams", "propagation", "flat head", "rcnn"],
    )
    def test_where_labels_cannot_be_left_out(self, settings):
        classifier = quick(max_epochs=1, **settings).fit(TEXTS, LABEL_SETS)
        assert classifier.shortlist_size_ is None
        assert np.isfinite(classifier.decision_function(UNSEEN)).all()

    @pytest.mark.parametrize("many", [5, 200])
    def test_saved_and_loaded(self, tmp_path, monkeypatch, many):
        monkeypatch.setattr(ensemble, "MANY_LABELS", many)
        classifier = quick(max_epochs=2).fit(TEXTS, LABEL_SETS)
        assert (classifier.score_offsets_ is None) == (many == 200)
        classifier.save(tmp_path / "saved")
        again = HiMatchClassifier.load(tmp_path / "saved")
        np.testing.assert_array_equal(again.decision_function(UNSEEN), classifier.decision_function(UNSEEN))

    def test_equal_seeds(self):
        first, again = (quick(max_epochs=2).fit(TEXTS, LABEL_SETS) for _ in range(2))
        assert_same_weights(first, again)


@pytest.mark.parametrize("ways", [(Exactly(1e-6), Exactly(1.0)), (InSteps(1e-4), InSteps(10.0))])
class TestChoiceOfTheLexicalClassifier:
    def test_the_better_way_on_held_out_texts(self, monkeypatch, ways):
        monkeypatch.setattr("skhimatch.fitting.ngrams.ways_to_train", lambda n_entries, n_labels: ways)
        chosen = quick(max_epochs=1).fit(TEXTS, LABEL_SETS, X_val=UNSEEN, y_val=UNSEEN_SETS)
        monkeypatch.setattr("skhimatch.fitting.ngrams.ways_to_train", lambda n_entries, n_labels: ways[1:])
        alone = quick(max_epochs=1).fit(TEXTS, LABEL_SETS, X_val=UNSEEN, y_val=UNSEEN_SETS)
        np.testing.assert_array_equal(chosen.ngrams_.weight.data, alone.ngrams_.weight.data)

    def test_learning_rates_are_compared_on_some_texts(self, monkeypatch, ways):
        monkeypatch.setattr("skhimatch.fitting.ngrams.ways_to_train", lambda n_entries, n_labels: ways)
        monkeypatch.setattr("skhimatch.fitting.ngrams.TEXTS_OF_A_TRIAL", 30)
        numbers = []

        def counted(self, features, *arguments, train=NGramClassifier.trained, **options):
            numbers.append(features.shape[0])
            return train(self, features, *arguments, **options)

        monkeypatch.setattr(NGramClassifier, "trained", counted)
        weight = np.linspace(1, 2, len(TEXTS))
        chosen = quick(max_epochs=1).fit(
            TEXTS, LABEL_SETS, sample_weight=weight, X_val=UNSEEN, y_val=UNSEEN_SETS
        )
        assert numbers == ([30, 30, len(TEXTS)] if isinstance(ways[0], InSteps) else [])
        assert chosen.choices_.ngrams == repr(ways[1])

    def test_the_same_way_for_all_texts_in_the_end(self, monkeypatch, ways):
        monkeypatch.setattr("skhimatch.fitting.ngrams.ways_to_train", lambda n_entries, n_labels: ways)
        fitted = quick(max_epochs=1).fit(TEXTS, LABEL_SETS)
        everything = fitted.tokenizer_.transform(TEXTS)
        assert np.abs(fitted.ngrams_.scores(everything) + 1).max() > 0.5


def test_an_iterator_of_label_texts_is_refused():
    message = "label_texts has an iterator for 'optics', which can be read only once: pass a list"
    with pytest.raises(TypeError, match=message):
        quick(label_texts={"optics": iter(["lens"])}).fit(TEXTS, LABEL_SETS)


@pytest.mark.parametrize("name", ["classes_", "network_", "history_", "n_iter_", "label_embeddings_"])
def test_attributes_before_fit(name):
    assert not hasattr(quick(), name)
    with pytest.raises(NotFittedError, match="HiMatchClassifier instance is not fitted yet"):
        getattr(quick(), name)


class TestSetAfterFit:
    """What is set after `fit` takes effect in the next prediction, or is an error there."""

    @pytest.fixture
    def classifier(self, learned):
        return copy.copy(learned)

    def test_decoding(self, classifier):
        probabilities = classifier.predict_proba(UNSEEN)
        paths = classifier.predict(UNSEEN)
        assert (paths.sum(axis=1) > 1).all()
        classifier.set_params(decoding="threshold", threshold=0.9)
        np.testing.assert_array_equal(classifier.predict(UNSEEN), probabilities >= 0.9)
        classifier.set_params(decoding="path", threshold="auto")
        np.testing.assert_array_equal(classifier.predict(UNSEEN), paths)

    def test_paths_where_training_texts_have_several(self):
        texts, label_sets = make_corpus(80, paths=2)
        classifier = quick().fit(texts, label_sets).set_params(decoding="path")
        expected = quick(decoding="path").fit(texts, label_sets)
        np.testing.assert_array_equal(classifier.predict(UNSEEN), expected.predict(UNSEEN))

    def test_the_command_line_decides_as_predict(self, classifier, tmp_path, capsys):
        classifier.set_params(decoding="threshold", threshold=0.99, consistency="ancestors")
        classifier.save(tmp_path / "model")
        with (tmp_path / "new.jsonl").open("w") as file:
            file.writelines(json.dumps({"text": text}) + "\n" for text in UNSEEN)
        arguments = ["--model", str(tmp_path / "model"), "--input", str(tmp_path / "new.jsonl")]
        assert main(["predict", *arguments]) == 0
        found = [set(json.loads(line)["labels"]) for line in capsys.readouterr().out.splitlines()]
        assert found == classifier.to_label_sets(classifier.predict(UNSEEN))
        assert found != learned_paths(classifier)

    @pytest.mark.parametrize(
        ("parameter", "value", "message"),
        [
            ("threshold", "autoo", "threshold is 'autoo'; pass 'auto', a number or one number per label"),
            ("threshold", 1.5, "threshold is 1.5; it must lie in"),
            ("threshold", [0.5], r"threshold has shape \(1,\)"),
            ("decoding", "paths", "decoding is 'paths'; did you mean 'path'"),
            ("consistency", "ancestor", "consistency is 'ancestor'; did you mean 'ancestors'"),
        ],
    )
    def test_bad_values(self, classifier, parameter, value, message):
        classifier.set_params(**{parameter: value})
        with pytest.raises(ValueError, match=message):
            classifier.predict(UNSEEN)


def learned_paths(classifier):
    paths = copy.copy(classifier).set_params(decoding="path", threshold="auto", consistency=None)
    return paths.to_label_sets(paths.predict(UNSEEN))


@pytest.fixture(scope="module")
def tuned():
    """A classifier for several paths a text, its validation texts and their targets."""
    texts, label_sets = make_corpus(80, paths=2)
    held, held_sets = make_corpus(40, seed=7, paths=2)
    return quick().fit(texts, label_sets, X_val=held, y_val=held_sets), held, binarize(held_sets)


class TestThresholdTuning:
    def test_auto_is_a_threshold_for_each_label(self, tuned):
        classifier, held, expected = tuned
        probabilities = classifier.predict_proba(held)
        found = classifier.decision_.threshold
        np.testing.assert_allclose(found, best_thresholds(probabilities, "micro_macro"))

        def score(threshold):
            predicted = probabilities >= threshold
            return sum(f1_score(expected, predicted, average=mean) for mean in ("micro", "macro"))

        assert score(found) > max(score(t) for t in np.arange(0.05, 0.7, 0.01)) - 0.02

    def test_it_gives_way_to_a_number_and_comes_back(self, tuned):
        classifier, held, _ = tuned
        probabilities = classifier.predict_proba(held)
        for threshold in (0.9, "auto"):
            limit = classifier.decision_.threshold if threshold == "auto" else threshold
            np.testing.assert_array_equal(
                classifier.set_params(threshold=threshold).predict(held), probabilities >= limit
            )

    def test_a_half_without_held_out_texts(self):
        classifier = quick(decoding="threshold", validation_fraction=0).fit(TEXTS, LABEL_SETS)
        assert classifier.decision_.threshold == 0.5

    def test_a_number_is_left_as_it_is(self):
        assert quick(decoding="threshold", threshold=0.3).fit(TEXTS, LABEL_SETS).decision_.threshold == 0.3


@pytest.mark.parametrize(
    ("n_texts", "n_labels", "batch_size", "epochs"),
    [
        (60, 5, 1, 17),
        (60, 5, 16, 20),
        (1000, 200, 1, 4),
        (1, 5, 1, 20),
        (1000, 201, 1, 10),
        (60, 201, 1, 17),
        (45_000, 4_271, 32, 10),
        (100_000, 1_000, 32, 5),
        (500_000, 1_000, 32, 4),
    ],
)
def test_epochs_until_a_thousand_steps_and_no_more_than_twenty(n_texts, n_labels, batch_size, epochs):
    assert HiMatchClassifier(batch_size=batch_size)._parameters().epochs(n_texts, n_labels) == epochs


class TestDotHead:
    """Labels known by their words: scored without training texts, and added without training."""

    def test_it_learns(self, by_words):
        found = by_words.predict(UNSEEN)
        assert f1_score(binarize(UNSEEN_SETS), found, average="micro") > 0.9
        scores = score_texts(by_words.network_, by_words.tokenizer_.transform(UNSEEN))
        assert f1_score(binarize(UNSEEN_SETS), scores > 0, average="micro") > 0.8

    def test_added_labels_are_found_by_their_words(self, by_words):
        classifier = copy.deepcopy(by_words)
        before = classifier.predict_proba(UNSEEN)
        classifier.add_labels([("sport", "fencing")], {"fencing": "racket volley"})
        assert classifier.classes_.tolist() == [*LABELS, "fencing"]
        texts = ["racket serve volley net", "oar boat river crew"]
        fencing, rowing = classifier.decision_function(texts)[:, -1]
        assert fencing > rowing
        # The new path takes probability from the others, in the same proportion. Another child also changes
        # what its parent is, and so the scores above the parent's children.
        family = {"sport", *HIERARCHY["sport"]}
        others = [column for column, label in enumerate(LABELS) if label not in family]
        after = classifier.predict_proba(UNSEEN)
        assert after.shape == (40, 11)
        assert (after[:, others] <= before[:, others] + 1e-5).all()
        leaves = [LABELS.index(label) for label in ("optics", "botany", "zoology")]
        share = after[:, leaves] / before[:, leaves]
        np.testing.assert_allclose(share, np.broadcast_to(share[:, :1], share.shape), rtol=1e-3)
        assert classifier.label_embeddings_.shape == (11, 64)
        assert classifier.predict_topk(UNSEEN, 11).labels.shape == (40, 11)

    def test_a_path_may_end_at_an_added_label(self, by_words):
        classifier = copy.deepcopy(by_words).add_labels([("sport", "fencing")], {"fencing": "volley"})
        assert classifier.decision_.ends[-1] == 10
        assert classifier.predict(UNSEEN).shape == (40, 11)

    def test_twice_is_as_once(self, by_words):
        edges = [("sport", "fencing"), ("fencing", "sabre")]
        texts_of = {"fencing": "racket", "sabre": "volley"}
        once = copy.deepcopy(by_words).add_labels(edges, texts_of)
        twice = copy.deepcopy(by_words).add_labels(edges[:1], {"fencing": "racket"})
        twice.add_labels(edges[1:], {"sabre": "volley"})
        assert once.hierarchy_ == twice.hierarchy_
        np.testing.assert_allclose(once.predict_proba(UNSEEN), twice.predict_proba(UNSEEN), atol=1e-5)

    def test_saved_with_its_added_labels(self, by_words, tmp_path):
        classifier = copy.deepcopy(by_words).add_labels([("sport", "fencing")], {"fencing": "racket"})
        classifier.save(tmp_path / "model")
        loaded = HiMatchClassifier.load(tmp_path / "model")
        expected = classifier.predict_proba(UNSEEN)
        np.testing.assert_allclose(loaded.predict_proba(UNSEEN), expected, atol=1e-6)
        loaded.add_labels([("sport", "golf")], {"golf": "net"})
        assert loaded.predict_proba(UNSEEN).shape == (40, 12)

    def test_training_goes_on_with_added_labels(self, by_words):
        classifier = copy.deepcopy(by_words).add_labels([("sport", "fencing")], {"fencing": "racket"})
        classifier.partial_fit(["racket volley"] * 20, [{"sport", "fencing"}] * 20)
        assert np.isfinite(classifier.predict_proba(UNSEEN)).all()

    def test_training_that_had_begun_goes_on_with_the_larger_network(self, by_words):
        classifier = copy.deepcopy(by_words).partial_fit(TEXTS, LABEL_SETS)
        classifier.add_labels([("sport", "fencing")], {"fencing": "racket"})
        before = classifier.network_.output.weight.clone()
        classifier.partial_fit(["racket volley"] * 20, [{"sport", "fencing"}] * 20)
        assert not torch.equal(classifier.network_.output.weight, before)

    def test_without_words_the_neighbours_tell(self, by_words):
        classifier = copy.deepcopy(by_words).add_labels([("tennis", "qqq"), ("rowing", "zzz")])
        sequences = classifier.tokenizer_.transform(["racket serve volley net", "oar boat river crew"])
        scores = score_texts(classifier.network_, sequences)
        assert scores[0, 10] > scores[1, 10]
        assert scores[0, 11] < scores[1, 11]

    @pytest.mark.parametrize(
        ("edges", "texts_of", "message"),
        [
            ([], {}, "There is no new label"),
            ([("sport", "tennis")], {}, "There is no new label"),
            (
                [("sport", "golf")],
                {"tennis": "net"},
                "label_texts has the label 'tennis', which is known already",
            ),
            ([("tennis", "golf"), ("golf", "sport")], {}, "cycle"),
            ([], {"qqq": "zzz"}, "Nothing is known of the label 'qqq'"),
        ],
    )
    def test_refused_labels_leave_all_as_it_was(self, by_words, edges, texts_of, message):
        classifier = copy.deepcopy(by_words)
        before = classifier.predict_proba(UNSEEN)
        with pytest.raises(ValueError, match=message):
            classifier.add_labels(edges, texts_of)
        assert classifier.classes_.tolist() == LABELS
        np.testing.assert_array_equal(classifier.predict_proba(UNSEEN), before)

    @pytest.mark.parametrize(
        ("texts_of", "message"),
        [
            ("net", "label_texts is a str; pass a mapping"),
            ({"golf": 3}, r"label_texts has 'golf': 3; pass a string, or"),
            ({"golf": ["net", None]}, r"label_texts has 'golf': \['net', None\]"),
            ({3: "net"}, "label_texts has 3: 'net'"),
        ],
    )
    def test_texts_of_labels_that_are_none(self, by_words, texts_of, message):
        with pytest.raises(TypeError, match=message):
            copy.deepcopy(by_words).add_labels(label_texts=texts_of)
        if isinstance(texts_of, dict):
            with pytest.raises(TypeError, match=message):
                quick(label_texts=texts_of).fit(TEXTS, LABEL_SETS)

    def test_before_fit(self):
        with pytest.raises(NotFittedError):
            quick(head="dot").add_labels([("sport", "golf")])

    @pytest.mark.parametrize("settings", [RCNN, {"propagation": "gcn"}])
    def test_what_it_cannot_go_with(self, settings):
        with pytest.raises(ValueError, match="head='dot' and"):
            quick(head="dot", **settings).fit(TEXTS, LABEL_SETS)

    def test_many_labels_without_n_grams(self):
        many = {"all": [f"label {number}" for number in range(300)]} | HIERARCHY
        sizes = {"module__embedding_dimension": 16, "module__hidden_size": 4}
        classifier = quick(many, head="dot", encoder="gru", lexical=None, net_params=sizes)
        classifier.set_params(classification_loss="cross_entropy").fit(TEXTS, LABEL_SETS)
        assert classifier.predict_proba(UNSEEN).shape == (40, 311)


OTHER_WORDS = ["invoice", "refund", "parcel", "courier", "receipt", "voucher", "warranty", "checkout"]


class TestTextsWithoutLabels:
    """Texts out of scope are texts without a label, and remain without one."""

    @pytest.fixture(scope="module")
    @staticmethod
    def scoped():
        texts, label_sets = make_corpus(200)
        draws = np.random.default_rng(0)
        others = [" ".join(draws.choice(OTHER_WORDS, 8)) for _ in range(60)]
        return HiMatchClassifier(HIERARCHY, **THOROUGH).fit(texts + others, label_sets + [set()] * 60)

    def test_they_stay_without_one_and_the_others_keep_their_paths(self, scoped):
        draws = np.random.default_rng(1)
        others = [" ".join(draws.choice(OTHER_WORDS, 8)) for _ in range(20)]
        assert scoped.predict(others).sum() == 0
        found = scoped.predict(UNSEEN)
        assert f1_score(binarize(UNSEEN_SETS), found, average="micro") > 0.9

    def test_no_label_is_more_probable_than_its_parent(self, scoped):
        probabilities = scoped.predict_proba([*UNSEEN, "", "zzz qqq"])
        for parent, child in scoped.hierarchy_.edges:
            assert (probabilities[:, child] <= probabilities[:, parent] + 1e-6).all()

    def test_a_path_does_not_begin_below_the_threshold(self, scoped):
        classifier = copy.copy(scoped).set_params(threshold=1.0)
        assert classifier.predict([*UNSEEN, ""]).sum() == 0
        probabilities = scoped.predict_proba(UNSEEN)
        classifier.set_params(threshold=0.6)
        np.testing.assert_array_equal(
            classifier.predict(UNSEEN), scoped.predict(UNSEEN) * (probabilities >= 0.6)
        )


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_made_up_words_are_no_reason_to_be_certain(seed):
    texts, label_sets = make_corpus(200)
    classifier = HiMatchClassifier(HIERARCHY, **THOROUGH | {"random_state": seed}).fit(texts, label_sets)
    leaves = classifier.hierarchy_.leaves
    assert classifier.predict_proba(["zzz qqq", "", "0x0"])[:, leaves].max() < 0.5
    assert np.median(classifier.predict_proba(UNSEEN)[:, leaves].max(axis=1)) > 0.9


def test_several_paths_keep_to_the_hierarchy():
    texts, label_sets = make_corpus(80, paths=2)
    classifier = quick().fit(texts, label_sets)
    probabilities = classifier.predict_proba(UNSEEN)
    for parent, child in classifier.hierarchy_.edges:
        assert (probabilities[:, child] <= probabilities[:, parent]).all()


class TestTune:
    def test_as_in_fit_with_these_held_out_texts(self, tuned):
        classifier, held, _ = tuned
        texts, label_sets = make_corpus(80, paths=2)
        _, held_sets = make_corpus(40, seed=7, paths=2)
        without = quick(validation_fraction=0, patience=None).fit(texts, label_sets)
        assert without.decision_.threshold == 0.5
        assert without.tune(held, held_sets).stacking_weights_ != StackingWeights({}, 0.0)
        np.testing.assert_allclose(
            without.decision_.threshold, best_thresholds(without.predict_proba(held), "micro_macro")
        )
        before = classifier.predict_proba(held)
        again = copy.copy(classifier).tune(held, held_sets)
        np.testing.assert_allclose(again.predict_proba(held), before, atol=1e-6)

    @pytest.mark.parametrize("optimize", ["micro", "macro"])
    def test_for_another_metric(self, tuned, optimize):
        classifier, held, _ = tuned
        _, held_sets = make_corpus(40, seed=7, paths=2)
        again = copy.copy(classifier).set_params(optimize=optimize).tune(held, held_sets)
        np.testing.assert_allclose(
            again.decision_.threshold, best_thresholds(again.predict_proba(held), optimize)
        )
        assert len(set(again.decision_.threshold)) == (1 if optimize == "micro" else 10)

    def test_hierarchical_f1_is_micro_f1_where_texts_have_all_ancestors(self, tuned):
        classifier, held, _ = tuned
        _, held_sets = make_corpus(40, seed=7, paths=2)
        rules = [
            copy.copy(classifier).set_params(optimize=optimize).tune(held, held_sets).decision_
            for optimize in ("hierarchical", "micro")
        ]
        np.testing.assert_array_equal(rules[0].threshold, rules[1].threshold)

    def test_a_number_of_labels_for_each_text(self, tuned, tmp_path):
        classifier, held, _ = tuned
        _, held_sets = make_corpus(40, seed=7, paths=2)
        again = copy.copy(classifier).set_params(optimize="precision@3").tune(held, held_sets)
        rows = np.arange(len(held))[:, None]
        columns = np.argsort(-again.predict_proba(held), axis=1, kind="stable")[:, :3]
        expected = np.zeros((len(held), 10), dtype=int)
        expected[rows, columns] = 1
        np.testing.assert_array_equal(again.predict(held), expected)
        assert again.choices_.decision == "most probable labels"
        again.save(tmp_path / "model")
        np.testing.assert_array_equal(HiMatchClassifier.load(tmp_path / "model").predict(held), expected)
        # A number in place of "auto" is a threshold again, and so is another metric.
        by_threshold = copy.copy(again).set_params(threshold=0.5)
        np.testing.assert_array_equal(by_threshold.predict(held), again.predict_proba(held) >= 0.5)
        restored = copy.copy(again).set_params(optimize="micro_macro").tune(held, held_sets)
        np.testing.assert_array_equal(restored.predict(held), classifier.predict(held))

    def test_a_number_of_labels_needs_no_held_out_texts(self):
        classifier = quick(optimize="precision@2", validation_fraction=0, patience=None)
        classifier.fit(TEXTS, LABEL_SETS)
        assert (classifier.predict(UNSEEN).sum(axis=1) == 2).all()

    def test_wrong_labels_change_nothing(self, tuned):
        classifier, held, _ = tuned
        again = copy.copy(classifier)
        with pytest.raises(ValueError, match="chess"):
            again.tune(held[:1], [{"chess"}])
        assert again.state_ is classifier.state_


def test_a_leaf_without_texts_can_get_a_child():
    hierarchy = HIERARCHY | {"craft": ["origami"]}
    classifier = quick(hierarchy, head="dot").fit(TEXTS, LABEL_SETS)
    classifier.add_labels([("origami", "crane")], {"crane": "lens"})
    state = classifier.state_
    # What the probabilities of paths are summed over, and what they are found again by.
    np.testing.assert_array_equal(state.ensemble.stacking.paths.ends, state.decision.paths.ends)
    paths = state.decision.paths
    of_paths = paths.of_paths(classifier.predict_proba(UNSEEN).astype(float))
    np.testing.assert_allclose(of_paths.sum(axis=1), 1, atol=1e-5)


def test_a_number_that_gave_way_leaves_no_trace():
    classifier = quick(threshold=0.9).fit(TEXTS, LABEL_SETS)
    classifier.set_params(threshold="auto").tune(UNSEEN, UNSEEN_SETS)
    assert classifier.predict(UNSEEN).any(axis=1).all()
    assert classifier.decision_.path_minimum == 0
