"""From probabilities to labels: thresholds, paths, and what is tuned."""

import copy
import json

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.base import clone
from sklearn.metrics import f1_score
from toy_classifier import INDICATOR, LABEL_SETS, LABELS, TEXTS, UNSEEN, UNSEEN_SETS, quick
from toy_corpus import HIERARCHY, PATHS, THOROUGH, binarize, make_corpus

from skhimatch import HiMatchClassifier
from skhimatch.cli import main
from skhimatch.evaluation.thresholds import best_thresholds
from skhimatch.network import predict as prediction
from skhimatch.scores import ensemble
from skhimatch.scores.stacking import StackingWeights


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


def test_a_number_that_gave_way_leaves_no_trace():
    classifier = quick(threshold=0.9).fit(TEXTS, LABEL_SETS)
    classifier.set_params(threshold="auto").tune(UNSEEN, UNSEEN_SETS)
    assert classifier.predict(UNSEEN).any(axis=1).all()
    assert classifier.decision_.path_minimum == 0
