"""Texts, targets and hierarchies in all their forms teach the same."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.metrics import accuracy_score
from skorch.callbacks import Callback
from toy_classifier import INDICATOR, LABEL_SETS, LABELS, RCNN, TEXTS, UNSEEN, assert_same_weights, quick
from toy_corpus import HIERARCHY, binarize, make_corpus

from skhimatch import LabelHierarchy, WordTokenizer
from skhimatch.network.heads import FlatHead, LabelwiseHead
from skhimatch.network.label_attention import LabelAttention, LabelProjection
from skhimatch.network.propagation import GatedPropagation, HierarchyGCN


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
