"""Calibration of log-odds, and of a fitted classifier."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from saved_folders import read_arrays, write_arrays
from scipy.special import expit
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, log_loss
from toy_corpus import HIERARCHY, QUICK, binarize, make_corpus

from skhimatch import HiMatchClassifier, ModelFormatError
from skhimatch.scores.calibration import METHODS, calibration_from_arrays, learn_calibration

DRAWS = np.random.default_rng(0)
TRUTH = DRAWS.normal(-1, 2, size=(4000, 3))
TARGETS = sp.csr_array((DRAWS.random((4000, 3)) < expit(TRUTH)).astype(np.float32))
# Too certain, and in the second label too probable, too.
LOG_ODDS = (2.5 * TRUTH + [0, 3, 0]).astype(np.float32)
TEXTS, LABEL_SETS = make_corpus(90)
UNSEEN, UNSEEN_SETS = make_corpus(120, seed=1)
SEVERAL = [one | other for one, other in zip(LABEL_SETS, LABEL_SETS[7:] + LABEL_SETS[:7], strict=True)]
UNSEEN_SEVERAL = [
    one | other for one, other in zip(UNSEEN_SETS, UNSEEN_SETS[7:] + UNSEEN_SETS[:7], strict=True)
]


class TestLearn:
    @pytest.mark.parametrize("method", METHODS)
    def test_probabilities_agree_with_frequencies(self, method):
        train, test = np.arange(2000), np.arange(2000, 4000)
        calibration = learn_calibration(method, LOG_ODDS[train], TARGETS[train])
        found = expit(calibration(LOG_ODDS[test]))
        target = TARGETS[test].toarray()
        for label in range(3):
            best = log_loss(target[:, label], expit(TRUTH[test, label]))
            before = log_loss(target[:, label], expit(LOG_ODDS[test, label]))
            after = log_loss(target[:, label], found[:, label])
            # A temperature cannot shift log-odds.
            share = 0.6 if method == "temperature" and label == 1 else 0.15
            assert after < best + share * (before - best)

    @pytest.mark.parametrize("method", METHODS)
    def test_the_order_remains(self, method):
        calibration = learn_calibration(method, LOG_ODDS, TARGETS)
        rising = np.linspace(-8, 8, 50, dtype=np.float32)[:, None].repeat(3, axis=1)
        assert (np.diff(calibration(rising), axis=0) > 0).all()
        assert np.isfinite(calibration(10 * rising)).all()

    def test_sigmoid_is_logistic_regression(self):
        found = learn_calibration("sigmoid", LOG_ODDS, TARGETS)
        for label in range(3):
            regression = LogisticRegression(C=np.inf, tol=1e-8)
            regression.fit(LOG_ODDS[:, [label]], TARGETS[:, [label]].toarray().ravel())
            assert found.slope[label] == pytest.approx(regression.coef_[0, 0], rel=0.01)
            assert found.intercept[label] == pytest.approx(regression.intercept_[0], rel=0.02, abs=0.01)
        temperature = learn_calibration("temperature", LOG_ODDS, TARGETS)
        without = LogisticRegression(C=np.inf, tol=1e-8, fit_intercept=False)
        without.fit(LOG_ODDS[:, :1], TARGETS[:, [0]].toarray().ravel())
        assert temperature.slope[0] == pytest.approx(without.coef_[0, 0], rel=0.01)
        assert not temperature.intercept.any()

    def test_isotonic_is_a_mixture(self):
        found = learn_calibration("isotonic", LOG_ODDS[:60], TARGETS[:60])
        for label in range(3):
            target = TARGETS[:60, [label]].toarray().ravel()
            isotonic = IsotonicRegression(out_of_bounds="clip").fit(LOG_ODDS[:60, label], target)
            m = min(target.sum(), 60 - target.sum())
            rising, before = isotonic.predict(LOG_ODDS[60:, label]), expit(LOG_ODDS[60:, label])
            expected = (m * rising + 10 * before) / (m + 10)
            np.testing.assert_allclose(expit(found(LOG_ODDS[60:])[:, label]), expected, atol=1e-5)

    @pytest.mark.parametrize("method", METHODS)
    def test_labels_that_no_text_has_or_all_remain(self, method):
        targets = sp.csr_array(np.column_stack([np.zeros(50), np.ones(50), np.arange(50) % 2]))
        found = learn_calibration(method, LOG_ODDS[:50], targets)(LOG_ODDS)
        np.testing.assert_array_equal(found[:, :2], LOG_ODDS[:, :2])
        assert np.abs(found[:, 2] - LOG_ODDS[:, 2]).max() > 0.1

    @pytest.mark.parametrize("method", METHODS)
    def test_few_texts_change_little(self, method):
        # Alone, these four texts would say that the label is certain above 0, and impossible below.
        targets = sp.csr_array([[1], [1], [0], [0]])
        log_odds = np.float32([[1.5], [0.5], [-0.5], [-1.5]])
        few, many = (
            learn_calibration(
                method, log_odds.repeat(number, axis=0), targets[np.repeat(np.arange(4), number)]
            )
            for number in (1, 500)
        )
        change, larger = (expit(each(log_odds)) - expit(log_odds) for each in (few, many))
        assert np.abs(change).max() < 0.15
        assert (np.sign(change) == np.sign(larger)).all()
        assert (np.abs(larger) > 1.2 * np.abs(change)).all()

    @pytest.mark.parametrize("method", METHODS)
    def test_a_weight_of_two_is_the_text_twice(self, method):
        numbers = DRAWS.integers(0, 4, size=300)
        rows = np.repeat(np.arange(300), numbers)
        found = learn_calibration(method, LOG_ODDS[:300], TARGETS[:300], numbers.astype(float))
        expected = learn_calibration(method, LOG_ODDS[rows], TARGETS[rows])
        np.testing.assert_allclose(found(LOG_ODDS), expected(LOG_ODDS), atol=1e-3)

    @pytest.mark.parametrize("method", METHODS)
    def test_missing_targets(self, method):
        unknown = DRAWS.random((300, 3)) < 0.4
        known = sp.csr_array(np.where(unknown, 0, TARGETS[:300].toarray()))
        found = learn_calibration(method, LOG_ODDS[:300], known, missing=sp.csr_array(unknown))
        for label in range(3):
            rows = np.flatnonzero(~unknown[:, label])
            alone = learn_calibration(method, LOG_ODDS[rows], TARGETS[rows])
            np.testing.assert_array_equal(found(LOG_ODDS)[:, label], alone(LOG_ODDS)[:, label])

    @pytest.mark.parametrize("method", METHODS)
    def test_more_labels(self, method):
        found = learn_calibration(method, LOG_ODDS, TARGETS)
        more = np.hstack([LOG_ODDS, LOG_ODDS[:, :2]])
        extended = found.with_labels(5)
        np.testing.assert_array_equal(extended(more), np.hstack([found(LOG_ODDS), LOG_ODDS[:, :2]]))
        again = calibration_from_arrays(extended.arrays(), 5)
        np.testing.assert_array_equal(again(more), extended(more))


@pytest.fixture(scope="module", params=["paths", "several"])
def fitted(request):
    # Far too uncertain: the weights of a single network trained on little.
    sets = LABEL_SETS if request.param == "paths" else SEVERAL
    return HiMatchClassifier(HIERARCHY, **QUICK | {"validation_fraction": 0}).fit(TEXTS, sets)


def unseen_sets(fitted):
    return UNSEEN_SETS if fitted.decision_.path_ends is not None else UNSEEN_SEVERAL


def copy_of(fitted):
    copied = HiMatchClassifier(**fitted.get_params(deep=False))
    copied.state_ = fitted.state_
    return copied


@pytest.mark.parametrize("method", METHODS)
class TestClassifier:
    def test_probabilities_get_better(self, fitted, method):
        calibrated = copy_of(fitted).calibrate(UNSEEN[:60], unseen_sets(fitted)[:60], method=method)
        assert calibrated.choices_.calibration == method
        target = binarize(unseen_sets(fitted)[60:])
        before, after = (
            brier_score_loss(target.ravel(), each.predict_proba(UNSEEN[60:]).ravel())
            for each in (fitted, calibrated)
        )
        assert after < before
        np.testing.assert_allclose(
            calibrated.predict_proba(UNSEEN), expit(calibrated.decision_function(UNSEEN)), rtol=1e-5
        )

    def test_no_label_is_more_probable_than_its_parents(self, fitted, method):
        # Calibration alone would make some so: of half the texts, only the leaves are known.
        y = binarize(unseen_sets(fitted)).astype(float)
        tree = fitted.hierarchy_
        y[::2, np.diff(tree.children.indptr) > 0] = np.nan
        y[1::2, np.diff(tree.children.indptr) > 0] = 0
        calibrated = copy_of(fitted).calibrate(UNSEEN, y, method=method)
        probabilities = calibrated.predict_proba(UNSEEN)
        parent, child = tree.edges.T
        assert (probabilities[:, child] <= probabilities[:, parent]).all()
        ensemble = calibrated.state_.ensemble
        raw = ensemble.calibration(fitted.decision_function(UNSEEN))
        assert (raw[:, child] > raw[:, parent]).any()

    def test_saved_and_loaded(self, fitted, method, tmp_path):
        calibrated = copy_of(fitted).calibrate(UNSEEN, unseen_sets(fitted), method=method)
        calibrated.save(tmp_path / "model")
        again = HiMatchClassifier.load(tmp_path / "model")
        np.testing.assert_array_equal(again.predict_proba(TEXTS), calibrated.predict_proba(TEXTS))
        np.testing.assert_array_equal(again.predict(TEXTS), calibrated.predict(TEXTS))
        assert again.choices_ == calibrated.choices_

    def test_what_ends_a_calibration(self, fitted, method):
        calibrated = copy_of(fitted).calibrate(UNSEEN, unseen_sets(fitted), method=method)
        tuned, expected = (
            copy_of(each).tune(UNSEEN, unseen_sets(fitted)).predict_proba(TEXTS)
            for each in (calibrated, fitted)
        )
        np.testing.assert_array_equal(tuned, expected)
        twice = copy_of(calibrated).calibrate(UNSEEN, unseen_sets(fitted), method=method)
        np.testing.assert_array_equal(twice.predict_proba(TEXTS), calibrated.predict_proba(TEXTS))
        more = copy_of(calibrated).add_labels([("sport", "chess")])
        assert more.calibration_ is not None
        np.testing.assert_array_equal(
            more.calibration_(more.decision_function(TEXTS))[:, -1], more.decision_function(TEXTS)[:, -1]
        )


def test_thresholds_are_for_the_calibrated_probabilities(fitted):
    calibrated = copy_of(fitted).calibrate(UNSEEN, unseen_sets(fitted), method="sigmoid")
    assert calibrated.validation_f1_.micro == pytest.approx(
        _micro(calibrated.predict(UNSEEN), binarize(unseen_sets(fitted)))
    )
    fixed = copy_of(fitted).set_params(threshold=0.5, decoding="threshold", consistency=None)
    fixed.calibrate(UNSEEN, unseen_sets(fitted), method="sigmoid")
    np.testing.assert_array_equal(fixed.predict(TEXTS), fixed.predict_proba(TEXTS) >= 0.5)


def _micro(predicted, target):
    return 2 * (predicted * target).sum() / (predicted.sum() + target.sum())


def test_partial_fit_ends_a_calibration():
    once = HiMatchClassifier(HIERARCHY, **QUICK).partial_fit(TEXTS, LABEL_SETS)
    once.calibrate(UNSEEN, UNSEEN_SETS).partial_fit(TEXTS, LABEL_SETS)
    assert once.calibration_ is None
    assert once.choices_.calibration is None


def test_errors(fitted):
    before = fitted.state_
    with pytest.raises(
        ValueError, match="method is 'platt'; take one of 'isotonic', 'sigmoid', 'temperature'"
    ):
        fitted.calibrate(UNSEEN, unseen_sets(fitted), method="platt")
    with pytest.raises(ValueError, match="120 texts in X and 119 rows in y"):
        fitted.calibrate(UNSEEN, unseen_sets(fitted)[:-1])
    assert fitted.state_ is before


@pytest.mark.parametrize(
    ("method", "name", "forge", "message"),
    [
        ("sigmoid", "slope", lambda slope: -slope, "slope is not above 0"),
        ("sigmoid", "slope", lambda slope: slope[1:], "slope"),
        ("sigmoid", "intercept", None, "intercept"),
        ("isotonic", "share", lambda share: share + 1, r"share is not in \[0, 1\)"),
        ("isotonic", "values", lambda values: values + 1, r"values are not in \[0, 1\]"),
        ("isotonic", "knots", lambda knots: knots[::-1].copy(), "knots do not rise within a label"),
        ("isotonic", "pointers", lambda pointers: pointers[::-1].copy(), "pointers does not ascend"),
        ("isotonic", "pointers", lambda pointers: pointers + 1, "pointers does not ascend"),
    ],
)
def test_a_damaged_calibration_is_named(fitted, tmp_path, method, name, forge, message):
    copy_of(fitted).calibrate(UNSEEN, unseen_sets(fitted), method=method).save(tmp_path / "model")
    arrays = read_arrays(tmp_path / "model")
    array = arrays.pop(f"calibration.{name}")
    if forge is not None:
        arrays[f"calibration.{name}"] = forge(array)
    write_arrays(tmp_path / "model", arrays)
    with warnings.catch_warnings(), pytest.raises(ModelFormatError, match=message):
        HiMatchClassifier.load(tmp_path / "model")
