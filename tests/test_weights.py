"""Weights of texts and of labels, in everything that learns from texts."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from sklearn import config_context
from sklearn.metrics import f1_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.svm import LinearSVC
from sklearn.utils.class_weight import compute_class_weight
from toy_corpus import HIERARCHY, QUICK, SMALL, SMALL_GRU, binarize, make_corpus

from skhimatch import HiMatchClassifier, LabelHierarchy, WordTokenizer, as_hierarchy
from skhimatch.evaluation.decisions import DecisionRule
from skhimatch.evaluation.metrics import micro_macro_f1
from skhimatch.evaluation.paths import LabelPaths
from skhimatch.evaluation.thresholds import best_thresholds, gain_of_predictions
from skhimatch.fitting.labelled_texts import LabelledTexts
from skhimatch.fitting.untrained import untrained_state
from skhimatch.labels.weights import TextWeights
from skhimatch.network.base import HiMatchOutput
from skhimatch.network.objective import BatchWeights, HiMatchLoss
from skhimatch.scores import ensemble
from skhimatch.scores.ngram_classifier import NGramClassifier
from skhimatch.scores.ngrams import NGramFeatures
from skhimatch.scores.path_choice import PathChoice
from skhimatch.scores.stacking import StackingWeights
from skhimatch.scores.training_labels import TrainingLabels

TREE = as_hierarchy(HIERARCHY)
TEXTS, LABEL_SETS = make_corpus(60)
TARGETS = sp.csr_array(binarize(LABEL_SETS).astype(np.float32))
SEQUENCES = WordTokenizer(min_count=1).fit(TEXTS).transform(TEXTS)
NGRAMS = NGramFeatures.learn(SEQUENCES)
FEATURES = NGRAMS(SEQUENCES)
UNTRAINED = NGramClassifier.untrained(NGRAMS, TARGETS.shape[1])
# Whole numbers, so that each text can be there as often.
NUMBERS = np.random.default_rng(0).integers(1, 4, size=60)
REPEATED = np.repeat(np.arange(60), NUMBERS)


def quick(**parameters):
    return HiMatchClassifier(HIERARCHY, **QUICK | parameters)


def text_weights(sample_weight=NUMBERS, class_weight=None):
    return TextWeights.of(
        TARGETS, TREE, sample_weight=np.asarray(sample_weight, dtype=float), class_weight=class_weight
    )


class TestChecks:
    @pytest.mark.parametrize(
        ("weights", "error", "message"),
        [
            ([1.0] * 59, ValueError, r"^sample_weight: .*\(59,\), expected \(60,\)! Pass one finite number"),
            (np.ones((60, 2)), ValueError, "^sample_weight: Sample weights must be 1D"),
            ([1.0] * 59 + [np.nan], ValueError, "^sample_weight: .*NaN"),
            ([1.0] * 59 + [np.inf], ValueError, "^sample_weight: .*infinity"),
            (["many"] * 60, ValueError, "^sample_weight: could not convert"),
            ([1.0] * 59 + [-2.0], ValueError, r"^sample_weight\[59\] is -2.0: take a number from 0"),
            (np.zeros(60), ValueError, "^sample_weight: .*zero|^sample_weight: all weights are 0"),
        ],
    )
    @pytest.mark.parametrize("method", ["fit", "partial_fit"])
    def test_sample_weight(self, method, weights, error, message):
        with pytest.raises(error, match=message):
            getattr(quick(), method)(TEXTS, LABEL_SETS, sample_weight=weights)

    def test_sample_weight_of_the_validation_set(self):
        with pytest.raises(ValueError, match=r"validation set .*sample_weight_val\[0\] is -1.0"):
            quick().fit(TEXTS, LABEL_SETS, X_val=TEXTS[:2], y_val=LABEL_SETS[:2], sample_weight_val=[-1, 1])
        with pytest.raises(ValueError, match="sample_weight_val is given but X_val is not: pass both"):
            quick().fit(TEXTS, LABEL_SETS, sample_weight_val=np.ones(60))

    @pytest.mark.parametrize(
        ("class_weight", "message"),
        [
            ({"optic": 2}, "'optic' is not among the 10 known labels. Did you mean 'optics'?"),
            ({"xyz": 2}, "'xyz' is not among the 10 known labels. Correct it"),
            ({"optics": 0}, r"class_weight\['optics'\] is 0: take a finite number above 0"),
            ({"optics": "2"}, r"class_weight\['optics'\] is '2': take"),
            ({"optics": np.nan}, r"class_weight\['optics'\] is nan: take"),
            ("balance", "The 'class_weight' parameter of HiMatchClassifier must be"),
        ],
    )
    def test_class_weight(self, class_weight, message):
        with pytest.raises(ValueError, match=message):
            quick(class_weight=class_weight).fit(TEXTS, LABEL_SETS)

    def test_partial_fit_cannot_balance(self):
        with pytest.raises(ValueError, match="partial_fit sees a part of them: set class_weight to a dict"):
            quick(class_weight="balanced").partial_fit(TEXTS, LABEL_SETS)


@pytest.mark.parametrize("sample_weight", [None, NUMBERS])
def test_balanced_as_scikit_learn_balances_each_label(sample_weight):
    targets = sp.csr_array([[1, 1, 0]] + [[0, 1, 0]] * 3)
    weights = None if sample_weight is None else sample_weight[:4].astype(float)
    found = TextWeights.of(
        targets, LabelHierarchy.flat(["a", "b", "c"]), sample_weight=weights, class_weight="balanced"
    )
    repeated = np.repeat([1, 0, 0, 0], 1 if weights is None else weights.astype(int))
    negative, positive = compute_class_weight("balanced", classes=np.array([0, 1]), y=repeated)
    # All texts have the second label, and none has the third.
    np.testing.assert_allclose(found.positives, [positive, 1, 1])
    np.testing.assert_allclose(found.negatives, [negative, 1, 1])


class TestNGrams:
    def coefficients(self, classifier):
        return np.vstack([classifier.weight.toarray(), classifier.bias])

    @pytest.mark.parametrize("class_weight", [None, "balanced"])
    def test_exactly_as_linear_svc(self, class_weight):
        weights = text_weights(class_weight=class_weight)
        found = self.coefficients(UNTRAINED.solved(FEATURES, TARGETS, C=1.0, seed=0, weights=weights))
        for label in range(TARGETS.shape[1]):
            target = TARGETS.toarray()[:, label] > 0
            # scikit-learn balances a repeated text like a weighted one.
            rows = REPEATED if class_weight else np.arange(60)
            svm = LinearSVC(C=1.0, random_state=0, class_weight=class_weight)
            svm.fit(FEATURES[rows], target[rows], None if class_weight else NUMBERS)
            expected = np.append(svm.coef_[0], svm.intercept_)
            np.testing.assert_allclose(found[:, label], expected, atol=0.01)

    def test_a_weight_of_two_is_the_text_twice(self):
        weighted = UNTRAINED.solved(FEATURES, TARGETS, C=1.0, seed=0, weights=text_weights())
        twice = UNTRAINED.solved(FEATURES[REPEATED], TARGETS[REPEATED], C=1.0, seed=0)
        alone = UNTRAINED.solved(FEATURES, TARGETS, C=1.0, seed=0)
        np.testing.assert_allclose(self.coefficients(weighted), self.coefficients(twice), atol=0.01)
        assert np.abs(self.coefficients(weighted) - self.coefficients(alone)).max() > 0.1

    def test_a_step_of_a_heavy_text_ends_at_its_margin(self):
        weights = text_weights(class_weight={"optics": 1e6})
        trained = UNTRAINED.trained(FEATURES, TARGETS, epochs=3, seed=0, weights=weights)
        margins = (FEATURES @ trained.weight).toarray() + trained.bias
        assert np.abs(margins).max() < 10

    @pytest.mark.parametrize("class_weight", [None, "balanced", {"optics": 5.0}])
    def test_a_step_of_gradient_descent(self, class_weight):
        rows = np.arange(30)
        features, targets = FEATURES[rows], TARGETS[rows]
        weights = TextWeights.of(
            targets, TREE, sample_weight=NUMBERS[rows].astype(float), class_weight=class_weight
        )
        steps = {"epochs": 1, "seed": 0, "learning_rate": 1.0}
        found = UNTRAINED.trained(features, targets, weights=weights, **steps)
        once = UNTRAINED.trained(features, targets, **steps)
        gradient, unweighted = np.zeros(found.weight.shape), np.zeros(found.weight.shape)
        for text in rows:
            for label in range(TARGETS.shape[1]):
                positive = targets[[text]].toarray()[0, label] > 0
                # All margins are -1 at first, so that only positive texts have a loss.
                slope = -4.0 if positive else 0.0
                part = slope * features[[text]].toarray()[0]
                of_label = weights.positives[label] if positive else weights.negatives[label]
                gradient[:, label] += NUMBERS[text] * of_label * part / NUMBERS[rows].sum()
                unweighted[:, label] += part / 30
        entries = once.weight.toarray() != 0
        # The step has the same length.
        rate = -(once.weight.toarray()[entries] / unweighted[entries]).mean()
        np.testing.assert_allclose(found.weight.toarray()[entries], -rate * gradient[entries], rtol=1e-4)

    def test_ones_change_no_bit(self):
        ones = text_weights(np.ones(60))
        for train in (
            lambda weights: UNTRAINED.solved(FEATURES, TARGETS, C=1.0, seed=0, weights=weights),
            lambda weights: UNTRAINED.trained(FEATURES, TARGETS, epochs=2, seed=0, weights=weights),
        ):
            np.testing.assert_array_equal(self.coefficients(train(ones)), self.coefficients(train(None)))


class TestObjective:
    """The losses against numpy loops."""

    def batch(self, dtype=torch.float64):
        draws = torch.Generator().manual_seed(0)
        logits, text, label = (
            torch.randn(*shape, generator=draws, dtype=dtype) for shape in ((7, 10), (7, 4), (10, 4))
        )
        text, label = (torch.nn.functional.normalize(rows, dim=1) for rows in (text, label))
        leaves = [part.requires_grad_() for part in (logits, text, label)]
        targets = torch.tensor(TARGETS[:7].toarray(), dtype=dtype)
        return leaves, HiMatchOutput(leaves[0], leaves[1], leaves[2].__getitem__), targets

    @pytest.mark.parametrize("classification_loss", ["squared_hinge", "cross_entropy", "mean_cross_entropy"])
    def test_weighted_means(self, classification_loss):
        (logits, text, label), output, targets = self.batch()
        objective = HiMatchLoss(TREE, sampling="all", classification_loss=classification_loss)
        pairs = objective.draw_pairs(targets)
        weights = text_weights(class_weight={"science": 3.0}).pick(np.arange(7))
        of_batch = BatchWeights(
            torch.tensor(weights.texts), torch.tensor(weights.in_loss(targets.numpy()), dtype=torch.float64)
        )
        parts = objective(output, targets, pairs, of_batch)
        classification = joint = matching = 0.0
        for i, w in enumerate(NUMBERS[:7]):
            for j, name in enumerate(TREE.labels):
                y, z = targets[i, j].item(), logits[i, j].item()
                of_label = 3.0 if name == "science" and y else 1.0
                p = 1 / (1 + np.exp(-z))
                loss = {
                    "squared_hinge": max(0, 1 - (2 * y - 1) * z) ** 2,
                    "cross_entropy": -np.log(p if y else 1 - p),
                    "mean_cross_entropy": -np.log(p if y else 1 - p) / 10,
                }[classification_loss]
                classification += w * of_label * loss
                joint += w * y * (text[i] - label[j]).square().sum().item()
        sum_of_pairs = 0
        for i, p, n, margin in zip(pairs.text, pairs.positive, pairs.negative, pairs.margin, strict=True):
            near, far = (text[i] - label[p]).norm().item(), (text[i] - label[n]).norm().item()
            matching += NUMBERS[i] * max(0, near - far + margin.item())
            sum_of_pairs += NUMBERS[i]
        total = NUMBERS[:7].sum()
        assert parts.classification.item() == pytest.approx(classification / total)
        assert parts.joint.item() == pytest.approx(joint / total)
        assert parts.matching.item() == pytest.approx(matching / sum_of_pairs)

    @pytest.mark.parametrize("classification_loss", ["squared_hinge", "cross_entropy", "mean_cross_entropy"])
    def test_ones_change_no_bit(self, classification_loss):
        found = []
        for weights in (None, BatchWeights(torch.ones(7), torch.ones(7, 10))):
            leaves, output, targets = self.batch(torch.float32)
            objective = HiMatchLoss(TREE, sampling="all", classification_loss=classification_loss)
            parts = objective(output, targets, weights=weights)
            parts.total.backward()
            found.append([parts.total, *(leaf.grad for leaf in leaves)])
        assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


class TestHeldOutTexts:
    """What is learned from weighted texts is learned from the same texts, each as often."""

    SCORES = np.random.default_rng(1).normal(size=(60, 10)).astype(np.float32)
    SCORES += 2 * TARGETS.toarray()
    PROBABILITIES = 1 / (1 + np.exp(1 - SCORES))
    WEIGHTS = NUMBERS.astype(float)

    @pytest.mark.parametrize("average", ["micro", "macro"])
    def test_f1(self, average):
        predicted = self.PROBABILITIES > 0.6
        expected = f1_score(TARGETS.toarray(), predicted, average=average, sample_weight=self.WEIGHTS / 10)
        found = micro_macro_f1(TARGETS, predicted, self.WEIGHTS / 10)
        assert getattr(found, average) == pytest.approx(expected)

    @pytest.mark.parametrize("optimize", ["micro", "macro", "micro_macro"])
    def test_thresholds(self, optimize):
        found = best_thresholds(self.PROBABILITIES, optimize, self.WEIGHTS)
        expected = best_thresholds(self.PROBABILITIES[REPEATED], optimize)
        np.testing.assert_allclose(found, expected, rtol=1e-5)
        assert np.abs(found - best_thresholds(self.PROBABILITIES, optimize)).max() > 1e-4
        np.testing.assert_allclose(
            gain_of_predictions(self.PROBABILITIES, found, optimize, self.WEIGHTS),
            gain_of_predictions(self.PROBABILITIES[REPEATED], found, optimize),
            rtol=1e-5,
        )

    def test_one_threshold_for_all(self):
        rule = DecisionRule.learn(TARGETS, TREE, decoding="threshold")
        found = rule.tuned(self.PROBABILITIES, TARGETS, "macro", self.WEIGHTS)
        assert (
            found.threshold == rule.tuned(self.PROBABILITIES[REPEATED], TARGETS[REPEATED], "macro").threshold
        )

    def test_stacking_weights(self):
        frequency = np.linspace(-1, 1, 10, dtype=np.float32)
        scores = {"ngrams": self.SCORES, "words": self.SCORES[::-1].copy()}
        found = StackingWeights.learn(scores, TARGETS, None, frequency, self.WEIGHTS)
        repeated = {name: part[REPEATED] for name, part in scores.items()}
        expected = StackingWeights.learn(repeated, TARGETS[REPEATED], None, frequency)
        assert found.weights == pytest.approx(expected.weights, rel=1e-3)
        assert found.intercept == pytest.approx(expected.intercept, rel=1e-3)
        assert found.slope == pytest.approx(expected.slope, rel=1e-2)
        assert found.slope != pytest.approx(
            StackingWeights.learn(scores, TARGETS, None, frequency).slope, rel=1e-2
        )

    def test_choice_of_a_path(self):
        paths = LabelPaths(TREE, TREE.leaves, np.ones(10, dtype=bool))
        found = PathChoice.learn(
            {"x": self.SCORES}, TARGETS, paths, unlabelled=False, sample_weight=self.WEIGHTS
        )
        expected = PathChoice.learn({"x": self.SCORES[REPEATED]}, TARGETS[REPEATED], paths, unlabelled=False)
        assert found.weights == pytest.approx(expected.weights, rel=1e-3)
        assert found.above == pytest.approx(expected.above, rel=1e-3)
        alone = PathChoice.learn({"x": self.SCORES}, TARGETS, paths, unlabelled=False)
        assert found.weights != pytest.approx(alone.weights, rel=1e-3)

    def test_score_offsets(self):
        shortlist = np.argsort(self.SCORES, axis=1)[:, :4]
        found = ensemble._mean_by_label(self.SCORES, shortlist, self.WEIGHTS)
        expected = ensemble._mean_by_label(self.SCORES[REPEATED], shortlist[REPEATED])
        np.testing.assert_allclose(found, expected, rtol=1e-5)

    def test_frequencies_and_priors(self):
        decision = DecisionRule.learn(TARGETS, TREE)
        found = TrainingLabels.of(TARGETS, decision, self.WEIGHTS)
        expected = TrainingLabels.of(TARGETS[REPEATED], decision)
        np.testing.assert_allclose(found.frequency, expected.frequency, rtol=1e-6)
        np.testing.assert_allclose(
            TREE.edge_priors(TARGETS, self.WEIGHTS), TREE.edge_priors(TARGETS[REPEATED])
        )
        counted = TARGETS[REPEATED].sum(axis=0)
        balanced = text_weights(class_weight="balanced").frequencies(TARGETS)
        np.testing.assert_allclose(balanced, 0.5, rtol=1e-6)
        np.testing.assert_allclose(
            text_weights().frequencies(TARGETS), (counted + 0.5) / (len(REPEATED) + 1), rtol=1e-6
        )

    def test_what_fit_starts_from(self):
        weighted = LabelledTexts(TEXTS, TARGETS, text_weights(class_weight={"optics": 9.0}))
        state, _ = untrained_state(quick()._parameters(), TREE, weighted, 0, sparse_output=False)
        frequencies = weighted.weights.frequencies(TARGETS)
        assert state.ensemble.labels.n_texts == NUMBERS.sum()
        np.testing.assert_allclose(state.ensemble.labels.number, TARGETS.T @ NUMBERS)
        np.testing.assert_allclose(
            state.network.head.bias.detach(), 2 * frequencies - 1, rtol=1e-5, atol=1e-6
        )

    @pytest.mark.parametrize("validation_fraction", [0.1, "auto"])
    def test_mean_scores(self, monkeypatch, validation_fraction):
        found = []

        def record(self, texts, seed, sample_weight=None):
            scores = self.networks["words"].scores(texts, self.shortlist("words", texts))
            again = whole(self, texts, seed, sample_weight)
            found.append((again.mean_scores["words"], np.average(scores, axis=0, weights=sample_weight)))
            assert sample_weight is not None
            return again

        whole = ensemble.Ensemble.with_mean_scores
        monkeypatch.setattr(ensemble.Ensemble, "with_mean_scores", record)
        quick(validation_fraction=validation_fraction).fit(TEXTS, LABEL_SETS, NUMBERS)
        assert len(found) == (6 if validation_fraction == "auto" else 1)
        for mean, expected in found:
            np.testing.assert_allclose(mean, expected, rtol=1e-4, atol=1e-6)

    def test_tune(self):
        classifier = quick().fit(TEXTS, LABEL_SETS)
        unseen, unseen_sets = make_corpus(40, seed=1)
        rows = np.repeat(np.arange(40), NUMBERS[:40])
        repeated = [unseen[row] for row in rows], [unseen_sets[row] for row in rows]
        expected = classifier.tune(*repeated).predict_proba(TEXTS)
        f1 = classifier.validation_f1_
        found = classifier.tune(unseen, unseen_sets, sample_weight=NUMBERS[:40])
        assert found.validation_f1_ == pytest.approx(f1)
        np.testing.assert_allclose(found.predict_proba(TEXTS), expected, atol=1e-3)


SETTINGS = {
    "default": {},
    "cross-fitted": {"validation_fraction": "auto"},
    "nothing held out": {"validation_fraction": 0},
    "alone": {"lexical": None},
    "cross-entropy": {"classification_loss": "cross_entropy"},
    "gru": {"encoder": "gru", "net_params": SMALL_GRU},
    "dot": {"head": "dot"},
    "gcn": {"propagation": "gcn"},
    "in parts": {"net_params": SMALL | {"accumulation": 3}},
}


@pytest.mark.parametrize("parameters", SETTINGS.values(), ids=SETTINGS)
class TestFit:
    def test_ones_change_no_bit(self, parameters):
        fitted, alone = (
            quick(**parameters).fit(TEXTS, LABEL_SETS, sample_weight=weights)
            for weights in (np.ones(60), None)
        )
        np.testing.assert_array_equal(fitted.predict_proba(TEXTS), alone.predict_proba(TEXTS))
        assert fitted.validation_f1_ == alone.validation_f1_

    def test_a_weight_of_zero_leaves_a_text_out(self, parameters):
        weights = np.repeat([0.0, 2.0], [20, 40])
        fitted = quick(**parameters).fit(TEXTS, LABEL_SETS, sample_weight=weights)
        alone = quick(**parameters).fit(TEXTS[20:], LABEL_SETS[20:], sample_weight=weights[20:])
        np.testing.assert_array_equal(fitted.predict_proba(TEXTS), alone.predict_proba(TEXTS))

    def test_a_heavy_text_wins_over_a_light_one(self, parameters):
        texts = ["lens light", "lens light", "oar boat", "net serve"] * 10
        label_sets = [{"optics"}, {"mechanics"}, {"rowing"}, {"tennis"}] * 10
        weights = np.tile([9.0, 1.0, 5.0, 5.0], 10)
        for first, names in ((weights, "optics mechanics"), (weights[[1, 0, 2, 3] * 10], "mechanics optics")):
            fitted = quick(**parameters).fit(texts, label_sets, sample_weight=first)
            likely, unlikely = (TREE.index[name] for name in names.split())
            probabilities = fitted.predict_proba(["lens light"])[0]
            assert probabilities[likely] > probabilities[unlikely]
            scores = fitted.state_.ensemble.scores(fitted.tokenizer_.transform(["lens light"]))
            # The names of labels have no known word, so that the dot head cannot tell labels apart.
            for name in scores.keys() - {"names", *(["words"] if "head" in parameters else [])}:
                assert scores[name][0, likely] > scores[name][0, unlikely], name

    @pytest.mark.parametrize("class_weight", [{"optics": 9.0}, "balanced"])
    def test_class_weight_raises_the_scores_of_a_label(self, parameters, class_weight):
        texts, label_sets = ["lens light"] * 40, [{"optics"}] * 8 + [{"rowing"}] * 32
        tokens = [WordTokenizer(min_count=1).fit(texts).transform(["lens light"])]
        lighter, heavier = (
            quick(class_weight=weight, **parameters).fit(texts, label_sets).state_.ensemble.scores(tokens[0])
            for weight in (None, class_weight)
        )
        for name in lighter.keys() - {"names"}:
            assert heavier[name][0, TREE.index["optics"]] > lighter[name][0, TREE.index["optics"]], name


def test_class_weight_raises_the_recall_of_a_rare_label():
    # Two words say nothing about the labels, of which one is rare.
    texts, label_sets = ["lens light"] * 60, [{"optics"}] * 12 + [{"rowing"}] * 48
    probabilities = []
    for weight in (None, "balanced", {"optics": 20.0}):
        fitted = quick(class_weight=weight, lexical=None, validation_fraction=0, decoding="threshold")
        fitted.set_params(max_epochs=20).fit(texts, label_sets)
        column = TREE.index["optics"]
        probabilities.append(fitted.predict_proba(texts[:1])[0, column])
        assert fitted.predict(texts[:1])[0, column] == (probabilities[-1] >= 0.5)
    never, balanced, always = probabilities
    # Balanced texts with the label and without it have the same weight.
    assert never < 0.3 < 0.4 < balanced < 0.6 < 0.8 < always


def test_a_trained_epoch_on_weighted_texts():
    first = quick().partial_fit(TEXTS[20:], LABEL_SETS[20:])
    weights = np.repeat([0.0, 1.0], [20, 40])
    again = quick().partial_fit(TEXTS, LABEL_SETS, sample_weight=weights)
    np.testing.assert_array_equal(again.predict_proba(TEXTS), first.predict_proba(TEXTS))
    before, after = (
        quick()
        .partial_fit(TEXTS[:20], LABEL_SETS[:20], classes=TREE.labels)
        .partial_fit(TEXTS[20:], LABEL_SETS[20:], sample_weight=pd.Series(weights))
        for weights in (np.ones(40), NUMBERS[20:])
    )
    tokens = before.tokenizer_.transform(TEXTS)
    scores, heavier = before.state_.ensemble.scores(tokens), after.state_.ensemble.scores(tokens)
    for name in scores.keys() - {"names"}:
        assert np.abs(heavier[name] - scores[name]).max() > 1e-3, name


def test_weights_are_left_as_they_are():
    weights = NUMBERS.astype(float)
    fits = [
        quick().fit(TEXTS, LABEL_SETS, given) for given in (weights, pd.Series(NUMBERS), NUMBERS.tolist())
    ]
    np.testing.assert_array_equal(weights, NUMBERS)
    for fitted in fits[1:]:
        np.testing.assert_array_equal(fitted.predict_proba(TEXTS), fits[0].predict_proba(TEXTS))


def test_labels_of_texts_that_are_left_out_are_known():
    fitted = HiMatchClassifier(**QUICK).fit(
        ["lens", "oar", "oar"], [["optics"], ["rowing"], ["rowing"]], [0, 1, 1]
    )
    assert fitted.classes_.tolist() == ["optics", "rowing"]
    assert "lens" not in fitted.vocabulary_.words


def test_validation_texts_have_weights():
    unseen, unseen_sets = make_corpus(30, seed=1)
    weights = np.repeat([0.0, 1.0], [10, 20])
    weighted = quick().fit(TEXTS, LABEL_SETS, X_val=unseen, y_val=unseen_sets, sample_weight_val=weights)
    rest = quick().fit(TEXTS, LABEL_SETS, X_val=unseen[10:], y_val=unseen_sets[10:])
    np.testing.assert_array_equal(weighted.predict_proba(TEXTS), rest.predict_proba(TEXTS))
    heavier = quick().fit(TEXTS, LABEL_SETS, X_val=unseen, y_val=unseen_sets, sample_weight_val=NUMBERS[:30])
    repeated = np.repeat(np.arange(30), NUMBERS[:30])
    again = quick().fit(
        TEXTS,
        LABEL_SETS,
        X_val=[unseen[row] for row in repeated],
        y_val=[unseen_sets[row] for row in repeated],
    )
    for one, other in zip(heavier.history_, again.history_, strict=True):
        assert one["valid_micro_f1"] == pytest.approx(other["valid_micro_f1"])
        assert one["valid_macro_f1"] == pytest.approx(other["valid_macro_f1"])


def test_search_in_a_pipeline_routes_weights():
    weights = np.repeat([0.0, 1.0], [20, 40])
    alone = quick().fit(TEXTS[20:], binarize(LABEL_SETS[20:]))
    with config_context(enable_metadata_routing=True):
        classifier = quick().set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        pipeline = Pipeline([("words", WordTokenizer()), ("classifier", classifier)])
        # With scikit-learn 1.7, a Pipeline asks for the weights of its score itself.
        if hasattr(pipeline, "set_score_request"):
            pipeline.set_score_request(sample_weight=True)
        search = GridSearchCV(pipeline, {"classifier__gamma": [0.1, 0.2]}, cv=2)
        search.fit(TEXTS, binarize(LABEL_SETS), sample_weight=weights)
        assert np.isfinite(search.cv_results_["mean_test_score"]).all()
        classifier.fit(TEXTS, binarize(LABEL_SETS), sample_weight=weights)
    np.testing.assert_array_equal(classifier.predict_proba(TEXTS), alone.predict_proba(TEXTS))


def test_a_checkpoint_of_other_weights_is_refused(tmp_path):
    quick().fit(TEXTS, LABEL_SETS, NUMBERS, checkpoint=tmp_path)
    again = quick().fit(TEXTS, LABEL_SETS, NUMBERS, checkpoint=tmp_path)
    alone = quick().fit(TEXTS, LABEL_SETS, NUMBERS)
    np.testing.assert_array_equal(again.predict_proba(TEXTS), alone.predict_proba(TEXTS))
    for class_weight, weights in ((None, None), (None, NUMBERS + 1), ("balanced", NUMBERS)):
        with pytest.raises(ValueError, match="holds checkpoints of another fit"):
            quick(class_weight=class_weight).fit(TEXTS, LABEL_SETS, weights, checkpoint=tmp_path)


@pytest.mark.parametrize("class_weight", ["balanced", {"optics": 2.5}, None])
def test_a_saved_classifier_keeps_its_weights(tmp_path, class_weight):
    fitted = quick(class_weight=class_weight).fit(TEXTS, LABEL_SETS, NUMBERS)
    fitted.save(tmp_path / "model")
    again = HiMatchClassifier.load(tmp_path / "model")
    assert again.class_weight == class_weight
    np.testing.assert_array_equal(again.predict_proba(TEXTS), fitted.predict_proba(TEXTS))
