"""Missing targets: NaN in an indicator, in everything that learns from texts."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from toy_corpus import HIERARCHY, QUICK, SMALL, SMALL_GRU, binarize, make_corpus

from skhimatch import HiMatchClassifier, LabelHierarchy, WordTokenizer, as_hierarchy
from skhimatch.evaluation.decisions import DecisionRule
from skhimatch.evaluation.optimized import score_of_decision
from skhimatch.labels.missing import encode_known_targets, without_missing
from skhimatch.labels.weights import TextWeights
from skhimatch.network.base import HiMatchOutput
from skhimatch.network.objective import BatchWeights, HiMatchLoss
from skhimatch.network.start import _head_from_names
from skhimatch.scores.ngram_classifier import NGramClassifier
from skhimatch.scores.ngrams import NGramFeatures
from skhimatch.scores.stacking import StackingWeights
from skhimatch.scores.training_labels import TrainingLabels
from skhimatch.training.callbacks import ValidationF1

TREE = as_hierarchy(HIERARCHY)
TEXTS, LABEL_SETS = make_corpus(60)
INDICATOR = binarize(LABEL_SETS).astype(float)
UNKNOWN = np.random.default_rng(0).random(INDICATOR.shape) < 0.3
# One row is complete, and one has no known target.
UNKNOWN[:2] = [[False] * 10, [True] * 10]
WITH_NAN = np.where(UNKNOWN, np.nan, INDICATOR)
MISSING = sp.csr_array(UNKNOWN)
TARGETS = sp.csr_array(np.where(UNKNOWN, 0, INDICATOR).astype(np.float32))
SEQUENCES = WordTokenizer(min_count=1).fit(TEXTS).transform(TEXTS)
NGRAMS = NGramFeatures.learn(SEQUENCES)
FEATURES = NGRAMS(SEQUENCES)
UNTRAINED = NGramClassifier.untrained(NGRAMS, 10)
NUMBERS = np.random.default_rng(1).integers(1, 4, size=60).astype(float)


def quick(**parameters):
    return HiMatchClassifier(HIERARCHY, **QUICK | parameters)


def weights_of(missing=MISSING, targets=TARGETS, **given):
    return TextWeights.of(targets, TREE, missing=missing, **given)


class TestFormats:
    HIERARCHY = LabelHierarchy([("science", "physics")])
    Y = np.array([[1, 1], [np.nan, 1], [0, 0]])

    @pytest.mark.parametrize(
        "make",
        [
            lambda y: y,
            lambda y: y.astype(np.float16),
            lambda y: y.astype(object),
            lambda y: y.tolist(),
            lambda y: tuple(map(tuple, y)),
            sp.csr_array,
            sp.lil_array,
            sp.coo_matrix,
            lambda y: pd.DataFrame(y[:, ::-1], columns=["science", "physics"]),
            lambda y: pd.DataFrame(y, columns=["physics", "science"]).astype("Int64"),
            lambda y: pd.DataFrame({"physics": [True, None, False], "science": [True, True, False]}),
        ],
    )
    def test_nan_is_missing(self, make):
        found = encode_known_targets(make(self.Y), self.HIERARCHY)
        np.testing.assert_array_equal(found.targets.toarray(), [[1, 1], [0, 1], [0, 0]])
        np.testing.assert_array_equal(found.missing.toarray(), np.isnan(self.Y))

    @pytest.mark.parametrize(
        "y", [[[1, 1], [0, 1]], [{"physics"}, set()], np.ones((2, 2)), sp.csr_array(np.eye(2))]
    )
    def test_nothing_is_missing(self, y):
        assert encode_known_targets(y, self.HIERARCHY).missing is None

    def test_a_missing_ancestor_is_no_sign_of_columns_in_another_order(self):
        tree = LabelHierarchy([("science", "physics"), ("physics", "optics")])  # optics, physics, science
        encode_known_targets(np.array([[1, np.nan, 1]] * 3 + [[1, 1, 1]]), tree)
        with pytest.warns(UserWarning, match="may be in another order"):
            encode_known_targets(np.array([[1, 0, 1]] * 3 + [[np.nan, 1, 1], [1, 1, 1]]), tree)

    def test_infinity_is_refused(self):
        with pytest.raises(ValueError, match="NaN or infinity, first at row 2, column 1"):
            encode_known_targets(np.array([[1, 1], [np.nan, 1], [0, np.inf]]), self.HIERARCHY)


@pytest.mark.parametrize("sample_weight", [None, NUMBERS])
def test_balanced_over_the_known_targets(sample_weight):
    found = weights_of(class_weight="balanced", sample_weight=sample_weight)
    for label in range(10):
        known = ~UNKNOWN[:, label]
        sample = np.ones(60) if sample_weight is None else sample_weight
        alone = TextWeights.of(
            TARGETS[known][:, [label]],
            LabelHierarchy.flat(["x"]),
            sample_weight=sample[known],
            class_weight="balanced",
        )
        np.testing.assert_allclose(found.positives[label], alone.positives[0])
        np.testing.assert_allclose(found.negatives[label], alone.negatives[0])
        assert found.frequencies(TARGETS)[label] == pytest.approx(
            alone.frequencies(TARGETS[known][:, [label]])[0]
        )


def test_weights_of_texts_one_after_the_other():
    together = weights_of().pick(np.arange(20)).followed_by(weights_of().pick(np.arange(20, 60)))
    np.testing.assert_array_equal(together.missing.toarray(), UNKNOWN)
    known = weights_of(None, sample_weight=NUMBERS).followed_by(weights_of())
    np.testing.assert_array_equal(known.missing.toarray(), np.vstack([np.zeros((60, 10)), UNKNOWN]))


class TestNGrams:
    @pytest.mark.parametrize("given", [{}, {"sample_weight": NUMBERS}, {"class_weight": {"optics": 3.0}}])
    def test_each_label_learns_from_the_texts_of_which_it_is_known(self, given):
        found = UNTRAINED.solved(FEATURES, TARGETS, C=1.0, seed=0, weights=weights_of(**given))
        for label in range(10):
            rows = np.flatnonzero(~UNKNOWN[:, label])
            weights = weights_of(None, **given)
            alone = UNTRAINED.solved(
                FEATURES[rows],
                TARGETS[rows],
                C=1.0,
                seed=0,
                weights=None if weights is None else weights.pick(rows),
            )
            np.testing.assert_array_equal(
                found.weight[:, [label]].toarray(), alone.weight[:, [label]].toarray()
            )
            assert found.bias[label] == alone.bias[label]

    def test_a_label_that_all_known_texts_have(self):
        unknown = np.zeros((60, 10), dtype=bool)
        unknown[:, 0] = INDICATOR[:, 0] == 0
        unknown[:, 1] = True
        targets = sp.csr_array(np.where(unknown, 0, INDICATOR).astype(np.float32))
        weights = weights_of(sp.csr_array(unknown), targets)
        found = UNTRAINED.solved(FEATURES, targets, C=1.0, seed=0, weights=weights)
        assert found.bias[:2].tolist() == [1, -1]
        assert found.weight[:, :2].nnz == 0

    def test_steps_do_not_depend_on_missing_pairs(self):
        # Label 0 of the last 30 texts is missing: it learns from the first 30 alone.
        unknown = np.zeros((60, 10), dtype=bool)
        unknown[30:, 0] = unknown[:, 1] = True
        targets = sp.csr_array(np.where(unknown, 0, INDICATOR).astype(np.float32))
        weights = weights_of(sp.csr_array(unknown), targets)
        found = UNTRAINED.trained(FEATURES, targets, epochs=2, seed=0, weights=weights)
        assert found.bias[1] == -1
        assert not found.weight[:, [1]].toarray().any()
        # With a weight of almost 0, the same texts are as good as left out for label 0.
        light = np.where(unknown, 1e-12, 1.0)
        expected = UNTRAINED.trained(
            FEATURES, targets, epochs=2, seed=0, weights=_Light(light, weights.texts, np.arange(60))
        )
        np.testing.assert_allclose(found.bias, expected.bias, atol=1e-6)
        np.testing.assert_allclose(found.weight.toarray(), expected.weight.toarray(), atol=1e-5)


class _Light:
    """Weights of pairs, given one by one."""

    def __init__(self, pairs, texts, rows):
        self.pairs, self.all_texts, self.rows = pairs, texts, rows
        self.texts = texts[rows]

    def pick(self, rows):
        return _Light(self.pairs, self.all_texts, rows)

    def in_loss(self, targets):
        return self.pairs[self.rows].astype(np.float32)


class TestObjective:
    def batch(self):
        rows = np.arange(2, 9)
        draws = torch.Generator().manual_seed(0)
        logits, text, label = (
            torch.randn(*shape, generator=draws, dtype=torch.float64)
            for shape in ((len(rows), 10), (len(rows), 4), (10, 4))
        )
        text, label = (torch.nn.functional.normalize(part, dim=1) for part in (text, label))
        leaves = [part.requires_grad_() for part in (logits, text, label)]
        targets = TARGETS[rows].toarray().astype(float)
        weights = weights_of().pick(rows)
        of_batch = BatchWeights(
            torch.tensor(weights.texts), torch.tensor(weights.in_loss(targets), dtype=torch.float64)
        )
        return leaves, torch.tensor(targets), of_batch, torch.tensor(UNKNOWN[rows])

    @pytest.mark.parametrize("classification_loss", ["squared_hinge", "cross_entropy", "mean_cross_entropy"])
    def test_the_sum_over_known_pairs(self, classification_loss):
        (logits, *_), targets, weights, unknown = self.batch()
        objective = HiMatchLoss(TREE, classification_loss=classification_loss, lambda_match=0, lambda_joint=0)
        found = objective(HiMatchOutput(logits), targets, weights=weights).classification
        expected = 0.0
        for i, j in zip(*np.nonzero(~unknown.numpy()), strict=True):
            y, z = targets[i, j].item(), logits[i, j].item()
            p = 1 / (1 + np.exp(-z))
            expected += {
                "squared_hinge": max(0, 1 - (2 * y - 1) * z) ** 2,
                "cross_entropy": -np.log(p if y else 1 - p),
                "mean_cross_entropy": -np.log(p if y else 1 - p) / 10,
            }[classification_loss]
        assert found.item() == pytest.approx(expected / len(targets))
        found.backward()
        assert (logits.grad[unknown] == 0).all()
        # What the hidden target is has no effect.
        hidden = torch.where(unknown, 1 - targets, targets)
        again = objective(HiMatchOutput(logits), hidden, weights=weights).classification
        assert again.item() == found.item()

    @pytest.mark.parametrize("sampling", ["hierarchy", "random", "all"])
    def test_missing_labels_are_in_no_pair(self, sampling):
        _, targets, weights, unknown = self.batch()
        objective = HiMatchLoss(TREE, sampling=sampling)
        pairs = objective.draw_pairs(targets, weights)
        assert len(pairs)
        for side in (pairs.positive, pairs.negative):
            assert not unknown[pairs.text, side].any()
        without = objective.draw_pairs(targets)
        assert unknown[without.text, without.negative].any()

    @pytest.mark.parametrize("as_distances", [False, True])
    def test_the_joint_space(self, as_distances):
        (logits, text, label), targets, weights, unknown = self.batch()
        objective = HiMatchLoss(TREE, sampling="all")
        if as_distances:
            distances = torch.cdist(text, label)
            distances.retain_grad()
            output = HiMatchOutput(logits, distances=distances)
        else:
            output = HiMatchOutput(logits, text, label.__getitem__)
        parts = objective(output, targets, weights=weights)
        assert parts.matching > 0
        parts.matching.backward()
        if as_distances:
            assert (distances.grad[unknown] == 0).all()
            assert distances.grad.any()
        pairs = objective.draw_pairs(targets, weights)
        near = (text[pairs.text] - label[pairs.positive]).norm(dim=1)
        far = (text[pairs.text] - label[pairs.negative]).norm(dim=1)
        losses = torch.relu(near - far + pairs.margin)
        expected = losses.sum() / len(targets) if as_distances else losses.mean()
        assert parts.matching.item() == pytest.approx(expected.item())


class TestHeldOutTexts:
    SCORES = np.random.default_rng(1).normal(size=(60, 10)).astype(np.float32) + 2 * INDICATOR.astype(
        np.float32
    )
    # The same, but for the pairs whose target is missing.
    OTHER = np.where(UNKNOWN, np.random.default_rng(2).normal(size=(60, 10)), SCORES).astype(np.float32)
    HIDDEN = sp.csr_array(np.where(UNKNOWN, 1 - INDICATOR, INDICATOR).astype(np.float32))

    @pytest.mark.parametrize("optimize", ["micro", "macro"])
    def test_f1(self, optimize):
        predicted = self.SCORES > 1
        found = score_of_decision(optimize, TARGETS, predicted, TREE, NUMBERS, MISSING)
        assert found == score_of_decision(optimize, self.HIDDEN, predicted ^ UNKNOWN, TREE, NUMBERS, MISSING)
        known = [~UNKNOWN[:, label] for label in range(10)]
        if optimize == "macro":
            expected = np.mean(
                [
                    f1_score(INDICATOR[rows, j], predicted[rows, j], sample_weight=NUMBERS[rows])
                    for j, rows in enumerate(known)
                ]
            )
        else:
            of_pairs = np.repeat(NUMBERS[:, None], 10, axis=1)[~UNKNOWN]
            expected = f1_score(INDICATOR[~UNKNOWN], predicted[~UNKNOWN], sample_weight=of_pairs)
        assert found == pytest.approx(expected)

    @pytest.mark.parametrize("sample_weight", [None, NUMBERS])
    def test_stacking_weights(self, sample_weight):
        frequency = np.linspace(-1, 1, 10, dtype=np.float32)
        found = StackingWeights.learn({"x": self.SCORES}, TARGETS, None, frequency, sample_weight, MISSING)
        again = StackingWeights.learn({"x": self.OTHER}, self.HIDDEN, None, frequency, sample_weight, MISSING)
        assert found == again
        columns = self.SCORES, self.SCORES * frequency, np.broadcast_to(frequency, (60, 10))
        regression = LogisticRegression(tol=1e-6, max_iter=1000).fit(
            np.column_stack([column[~UNKNOWN] for column in columns]),
            INDICATOR[~UNKNOWN],
            None if sample_weight is None else np.repeat(sample_weight[:, None], 10, axis=1)[~UNKNOWN],
        )
        assert found.weights["x"] == pytest.approx(regression.coef_[0, 0])
        assert found.slope == pytest.approx(regression.coef_[0, 2])

    def test_stacking_weights_on_a_shortlist(self):
        shortlist = np.argsort(self.SCORES, axis=1)[:, :4]
        kept = StackingWeights.learn({"x": self.SCORES}, TARGETS, shortlist, missing=MISSING)
        again = StackingWeights.learn({"x": self.SCORES}, self.HIDDEN, shortlist, missing=MISSING)
        assert kept == again
        assert kept != StackingWeights.learn({"x": self.SCORES}, TARGETS, shortlist)

    def test_one_threshold_for_all(self):
        rule = DecisionRule.learn(TARGETS, TREE, decoding="threshold", missing=MISSING)
        probabilities = 1 / (1 + np.exp(1 - self.SCORES))
        found = rule.tuned(probabilities, TARGETS, "micro", NUMBERS, MISSING)
        hidden = rule.tuned(probabilities, self.HIDDEN, "micro", NUMBERS, MISSING)
        assert found.threshold == hidden.threshold


class TestTrainingTargets:
    def test_what_a_decision_learns(self):
        tree = LabelHierarchy([("science", "physics"), ("science", "biology")])  # biology, physics, science
        y = np.array([[0, 1, np.nan], [1, 0, 1], [0, 0, np.nan]])
        known = encode_known_targets(y, tree)
        rule = DecisionRule.learn(known.targets, tree, missing=known.missing)
        assert rule.closed
        assert not rule.unlabelled
        assert rule.path_ends is None
        complete = DecisionRule.learn(known.targets, tree)
        assert not complete.closed
        assert complete.unlabelled

    def test_a_text_with_missing_targets_may_have_several_paths(self):
        tree = LabelHierarchy([("science", "physics"), ("science", "biology")])
        known = encode_known_targets(np.array([[0, 1, 1], [1, 0, 1], [np.nan, 1, 1]]), tree)
        assert DecisionRule.learn(known.targets, tree).path_ends is not None
        assert DecisionRule.learn(known.targets, tree, missing=known.missing).path_ends is None

    @pytest.mark.parametrize("sample_weight", [None, NUMBERS])
    def test_priors_and_frequencies(self, sample_weight):
        weights = np.ones(60) if sample_weight is None else sample_weight
        labels = TrainingLabels.of(
            TARGETS, DecisionRule.learn(TARGETS, TREE, missing=MISSING), sample_weight, MISSING
        )
        closed = TREE.close(TARGETS).toarray()
        priors = TREE.edge_priors(TARGETS, sample_weight, MISSING)
        for label in range(10):
            known = ~UNKNOWN[:, label]
            share = weights[known] @ INDICATOR[known, label] / weights[known].sum()
            assert labels.number[label] == pytest.approx(share * weights.sum())
        for (parent, child), prior in zip(TREE.edges, priors, strict=True):
            known = ~UNKNOWN[:, child] | closed[:, child]
            both = weights @ closed[:, child]
            assert prior == pytest.approx(both / (weights[known] @ closed[known, parent]))

    def test_a_head_from_names(self):
        draws = np.random.default_rng(0)
        texts, names = draws.normal(size=(60, 4)), draws.normal(size=(10, 4))
        found, _ = _head_from_names(texts, names, TARGETS, MISSING)
        products = (texts - texts.mean(axis=0)) @ (names - names.mean(axis=0)).T
        targets = np.where(UNKNOWN, np.nan, 2 * INDICATOR)
        deviation = targets - np.nanmean(targets, axis=0)
        scale = (products * deviation)[~UNKNOWN].sum() / (products[~UNKNOWN] ** 2).sum()
        np.testing.assert_allclose(found, max(0, scale) * (names - names.mean(axis=0)), rtol=1e-5)


SETTINGS = {
    "default": {},
    "cross-fitted": {"validation_fraction": "auto"},
    "nothing held out": {"validation_fraction": 0},
    "alone": {"lexical": None},
    "cross-entropy": {"classification_loss": "cross_entropy"},
    "gru": {"encoder": "gru", "net_params": SMALL_GRU},
    "gcn": {"propagation": "gcn"},
    "in parts": {"net_params": SMALL | {"accumulation": 3}},
}


@pytest.mark.parametrize("parameters", SETTINGS.values(), ids=SETTINGS)
class TestFit:
    def test_a_text_without_known_targets_is_left_out(self, parameters):
        fitted = quick(**parameters).fit(TEXTS, WITH_NAN)
        rest = np.r_[0, 2:60]
        alone = quick(**parameters).fit([TEXTS[row] for row in rest], WITH_NAN[rest])
        np.testing.assert_array_equal(fitted.predict_proba(TEXTS), alone.predict_proba(TEXTS))
        assert np.isfinite(fitted.decision_function(TEXTS)).all()

    def test_a_missing_target_is_no_negative_one(self, parameters):
        # Of most texts about optics it is not known that they are.
        rows = np.flatnonzero(INDICATOR[:, TREE.index["optics"]])[2:]
        y = INDICATOR.copy()
        y[rows, TREE.index["optics"]] = 0
        wrong = quick(**parameters).fit(TEXTS, y)
        y[rows, TREE.index["optics"]] = np.nan
        missing = quick(**parameters).fit(TEXTS, y)
        for name in missing.state_.ensemble.scores(missing.tokenizer_.transform(TEXTS)).keys() - {"names"}:
            of_missing, of_wrong = (
                fitted.state_.ensemble.scores(fitted.tokenizer_.transform(TEXTS))[name][
                    rows, TREE.index["optics"]
                ].mean()
                for fitted in (missing, wrong)
            )
            assert of_missing > of_wrong, name


def test_a_batch_in_parts_has_the_same_gradients():
    # Pairs are drawn for the whole batch, and each part gets its own.
    settings = {"sampling": "all", "lambda_match": 10.0, "lexical": None, "validation_fraction": 0}
    whole, in_parts = (
        quick(net_params=SMALL | {"module__dropout": 0.0, "accumulation": number}, **settings).fit(
            TEXTS, WITH_NAN
        )
        for number in (1, 3)
    )
    for name in ("matching_loss", "classification_loss"):
        found, expected = ([epoch[name] for epoch in each.history_] for each in (in_parts, whole))
        np.testing.assert_allclose(found, expected, rtol=1e-3)


def test_validation_scores_of_the_network():
    callback = ValidationF1(lambda probabilities: sp.csr_array(probabilities >= 0.5))
    callback.on_epoch_begin(None)
    logits = torch.from_numpy(np.where(INDICATOR, 1.0, -1.0))
    logits[torch.from_numpy(UNKNOWN)] *= -1
    weights = {
        "text_weights": torch.ones(60),
        "pair_weights": torch.from_numpy(weights_of().in_loss(TARGETS.toarray())),
    }
    callback.on_batch_end(None, (weights, torch.from_numpy(TARGETS.toarray())), y_pred=logits)
    recorded = {}
    callback.on_epoch_end(SimpleNamespace(history=SimpleNamespace(record=recorded.__setitem__)))
    assert recorded["valid_micro_f1"] == 1


def test_other_labels_are_learned_as_before():
    y = INDICATOR.copy()
    y[:40, 3] = np.nan
    before, after = (quick(validation_fraction=0).fit(TEXTS, given).ngrams_ for given in (INDICATOR, y))
    others = np.arange(10) != 3
    np.testing.assert_array_equal(before.weight.toarray()[:, others], after.weight.toarray()[:, others])
    assert np.abs(before.weight.toarray()[:, 3] - after.weight.toarray()[:, 3]).max() > 0.01


def test_partial_fit_and_tune():
    fitted = quick().partial_fit(TEXTS, WITH_NAN)
    rest = np.r_[0, 2:60]
    alone = quick().partial_fit([TEXTS[row] for row in rest], WITH_NAN[rest])
    np.testing.assert_array_equal(fitted.predict_proba(TEXTS), alone.predict_proba(TEXTS))
    unseen, unseen_sets = make_corpus(40, seed=1)
    y = np.where(UNKNOWN[:40], np.nan, binarize(unseen_sets))
    tuned = quick().fit(TEXTS, LABEL_SETS).tune(unseen, y)
    predicted = tuned.predict(unseen)
    micro = f1_score(binarize(unseen_sets)[~UNKNOWN[:40]], predicted[~UNKNOWN[:40]])
    assert tuned.validation_f1_.micro == pytest.approx(micro)


def test_a_choice_of_paths_is_tuned_on_complete_texts():
    fitted = quick().fit(TEXTS, LABEL_SETS)
    assert fitted.stacking_weights_.one_path
    unseen, unseen_sets = make_corpus(40, seed=1)
    y = binarize(unseen_sets).astype(float)
    y[30:, 4] = np.nan
    found = fitted.tune(unseen, y).stacking_weights_
    expected = fitted.tune(unseen[:30], unseen_sets[:30]).stacking_weights_
    # The size of a batch decides how the scores of a text are rounded.
    for name in ("weights", "above", "beyond"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-5)
    assert (found.inner, found.nothing) == (pytest.approx(expected.inner, rel=1e-5), expected.nothing)


def test_validation_texts():
    unseen, unseen_sets = make_corpus(40, seed=1)
    y = np.where(UNKNOWN[:40], np.nan, binarize(unseen_sets))
    fitted = quick(patience=None).fit(TEXTS, WITH_NAN, X_val=unseen, y_val=y)
    rest = [0, *range(2, 40)]
    known = [unseen[row] for row in rest]
    hidden = quick(patience=None).fit(TEXTS, WITH_NAN, X_val=known, y_val=y[rest])
    assert fitted.validation_f1_ == hidden.validation_f1_
    predicted = fitted.predict(unseen)
    micro = f1_score(binarize(unseen_sets)[~UNKNOWN[:40]], predicted[~UNKNOWN[:40]])
    assert fitted.validation_f1_.micro == pytest.approx(micro)


def test_the_score_counts_known_targets():
    fitted = quick().fit(TEXTS, LABEL_SETS)
    predicted = fitted.predict(TEXTS)
    y = np.where(predicted != INDICATOR, np.nan, INDICATOR)
    assert fitted.score(TEXTS, y) == 1
    assert fitted.score(TEXTS, WITH_NAN) == ((predicted == INDICATOR) | UNKNOWN).all(axis=1).mean()


def test_checkpoints_know_what_is_missing(tmp_path):
    fitted = quick().fit(TEXTS, WITH_NAN, checkpoint=tmp_path)
    again = quick().fit(TEXTS, WITH_NAN, checkpoint=tmp_path)
    np.testing.assert_array_equal(fitted.predict_proba(TEXTS), again.predict_proba(TEXTS))
    with pytest.raises(ValueError, match="holds checkpoints of another fit"):
        quick().fit(TEXTS, np.nan_to_num(WITH_NAN), checkpoint=tmp_path)


def test_labels_whose_target_is_missing_are_removed():
    found = without_missing(np.ones((60, 10)), MISSING)
    np.testing.assert_array_equal(found.toarray(), ~UNKNOWN)
