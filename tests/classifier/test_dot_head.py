"""The joint space, and labels that are known by their words."""

import copy

import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError
from sklearn.metrics import f1_score
from toy_classifier import LABEL_SETS, LABELS, RCNN, TEXTS, UNSEEN, UNSEEN_SETS, quick
from toy_corpus import HIERARCHY, binarize

from skhimatch import HiMatchClassifier
from skhimatch.network.predict import score_texts


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
