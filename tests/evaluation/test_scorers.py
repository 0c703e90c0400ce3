"""Scorers for scikit-learn's searches, against scikit-learn, hiclass and sets of labels."""

import pickle

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import f1_score, ndcg_score
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score, cross_validate
from sklearn.pipeline import Pipeline
from toy_corpus import HIERARCHY, QUICK, binarize, make_corpus

from skhimatch import HiMatchClassifier, WordTokenizer, as_hierarchy, hierarchy_from_paths
from skhimatch.baseline import LinearBaseline
from skhimatch.evaluation.metrics import constrained_f1, hierarchical_precision_recall_f1
from skhimatch.evaluation.ranking import recall_at_k
from skhimatch.evaluation.scorers import METRICS, hierarchical_scorer

TREE = as_hierarchy(HIERARCHY)
TEXTS, LABEL_SETS = make_corpus(60)
INDICATOR = binarize(LABEL_SETS)
DRAWS = np.random.default_rng(0)
SCORES = DRAWS.normal(size=(60, 10)) + 2 * INDICATOR
PREDICTED = (SCORES > 1.2).astype(int)
NUMBERS = DRAWS.integers(0, 4, size=60)
REPEATED = np.repeat(np.arange(60), NUMBERS)
UNKNOWN = DRAWS.random((60, 10)) < 0.3
OPTIONS = {"level_micro_f1": {"level": 2}, "level_macro_f1": {"level": 3}, "ndcg": {"k": 3}}


class Fixed(ClassifierMixin, BaseEstimator):
    """Predicts what it was given, for the rows that X names."""

    classes_ = np.array(TREE.labels, dtype=object)

    def __init__(self, predicted=PREDICTED, scores=SCORES):
        self.predicted, self.scores = predicted, scores

    def predict(self, X):
        return self.predicted[X]

    def decision_function(self, X):
        return self.scores[X]


def scorer(metric, hierarchy=TREE):
    return hierarchical_scorer(metric, hierarchy, **OPTIONS.get(metric, {}))


def score(metric, y=INDICATOR, rows=None, estimator=None, **given):
    rows = np.arange(60) if rows is None else rows
    y = y[rows] if isinstance(y, np.ndarray) else y
    return scorer(metric)(estimator or Fixed(), rows, y, **given)


def constrained(true, predicted):
    """Return hits, number of true and of predicted labels, each of shape (L,), by sets."""
    counts = np.zeros((3, 10))
    above = [set(np.flatnonzero(row)) for row in TREE.ancestors.toarray()]
    for t, p in zip(true, predicted, strict=True):
        hits = set(np.flatnonzero(t)) & set(np.flatnonzero(p))
        counts[0, [label for label in hits if above[label] <= hits]] += 1
        counts[1] += t
        counts[2] += p
    return counts


class TestMetrics:
    def test_hierarchical_f1(self):
        expected = hierarchical_precision_recall_f1(INDICATOR, PREDICTED, TREE).f1
        assert score("hierarchical_f1") == pytest.approx(expected)

    def test_hierarchical_f1_is_that_of_hiclass(self):
        hiclass = pytest.importorskip("hiclass.metrics")
        paths = [["a", "a1", "a11"], ["a", "a1", "a12"], ["a", "a2", "a21"], ["b", "b1", "b11"]]
        tree = hierarchy_from_paths("/".join(path) for path in paths)
        true, predicted = (np.array(paths)[DRAWS.integers(4, size=60)] for _ in range(2))
        indicator = np.eye(len(tree), dtype=int)[tree.positions(predicted[:, -1].tolist())]
        found = scorer("hierarchical_f1", tree)(
            Fixed(indicator), np.arange(60), ["/".join(path) for path in true]
        )
        assert found == pytest.approx(hiclass.f1(true, predicted))

    @pytest.mark.parametrize("sample_weight", [None, NUMBERS])
    def test_constrained_f1(self, sample_weight):
        rows = np.arange(60) if sample_weight is None else REPEATED
        hits, true, predicted = constrained(INDICATOR[rows], PREDICTED[rows])
        micro, macro = constrained_f1(INDICATOR, PREDICTED, TREE, sample_weight)
        assert micro == pytest.approx(2 * hits.sum() / (true + predicted).sum())
        assert macro == pytest.approx((2 * hits / np.maximum(true + predicted, 1)).mean())
        assert micro < f1_score(INDICATOR, PREDICTED, average="micro", sample_weight=sample_weight)
        given = {} if sample_weight is None else {"sample_weight": sample_weight}
        assert score("constrained_micro_f1", **given) == pytest.approx(micro)
        assert score("constrained_macro_f1", **given) == pytest.approx(macro)

    def test_constrained_f1_is_f1_of_whole_paths(self):
        closed = TREE.close(PREDICTED)
        micro, macro = constrained_f1(INDICATOR, closed, TREE)
        assert micro == pytest.approx(f1_score(INDICATOR, closed, average="micro"))
        assert macro == pytest.approx(f1_score(INDICATOR, closed, average="macro"))

    @pytest.mark.parametrize("average", ["micro", "macro"])
    @pytest.mark.parametrize("level", [1, 2, 3])
    def test_f1_on_a_level(self, average, level):
        here = TREE.levels == level
        found = hierarchical_scorer(f"level_{average}_f1", TREE, level=level)(
            Fixed(), np.arange(60), INDICATOR, sample_weight=NUMBERS
        )
        expected = f1_score(
            INDICATOR[:, here], PREDICTED[:, here], average=average, sample_weight=NUMBERS, zero_division=0
        )
        assert found == pytest.approx(expected)

    @pytest.mark.parametrize("k", [1, 3, 10])
    def test_rankings(self, k):
        found = {
            metric: hierarchical_scorer(metric, TREE, k=k)(
                Fixed(), np.arange(60), INDICATOR, sample_weight=NUMBERS
            )
            for metric in ("ndcg", "rprecision")
        }
        assert found["ndcg"] == pytest.approx(ndcg_score(INDICATOR, SCORES, k=k, sample_weight=NUMBERS))
        first = np.argsort(-SCORES, axis=1)[:, :k]
        hits = np.take_along_axis(INDICATOR, first, axis=1).sum(axis=1)
        precision = hits / np.minimum(k, INDICATOR.sum(axis=1))
        assert found["rprecision"] == pytest.approx(np.average(precision, weights=NUMBERS))
        recall = np.average(hits / INDICATOR.sum(axis=1), weights=NUMBERS)
        assert recall_at_k(INDICATOR, SCORES, k, sample_weight=NUMBERS) == pytest.approx(recall)

    def test_weights_of_another_length(self):
        with pytest.raises(ValueError, match=r"sample_weight has shape \(59,\); pass one number for each"):
            recall_at_k(INDICATOR, SCORES, sample_weight=np.ones(59))


@pytest.mark.parametrize("metric", METRICS)
class TestScorers:
    def test_weights_are_repetitions(self, metric):
        assert score(metric, sample_weight=NUMBERS) == pytest.approx(score(metric, rows=REPEATED))
        assert score(metric, sample_weight=np.ones(60)) == score(metric)

    @pytest.mark.parametrize(
        "y",
        [LABEL_SETS, sp.csr_array(INDICATOR), pd.DataFrame(INDICATOR[:, ::-1], columns=TREE.labels[::-1])],
    )
    def test_formats_of_y(self, metric, y):
        assert score(metric, y) == score(metric)
        sparse = Fixed(sp.csr_array(PREDICTED), SCORES)
        assert score(metric, y, estimator=sparse) == score(metric)

    def test_missing_targets(self, metric):
        # Wrong predictions, and hidden targets, of the missing pairs have no effect.
        y = np.where(UNKNOWN, np.nan, INDICATOR)
        other = Fixed(np.where(UNKNOWN, 1 - PREDICTED, PREDICTED), np.where(UNKNOWN, 9.0, SCORES))
        if metric == "hierarchical_f1":
            # The ancestors of a predicted label are predicted, too, also if the label is missing.
            sides = np.where(UNKNOWN, 0, INDICATOR), PREDICTED
            pairs = [TREE.close(side).toarray()[~UNKNOWN] for side in sides]
            assert score(metric, y) == pytest.approx(f1_score(*pairs))
        else:
            assert score(metric, y, estimator=other) == pytest.approx(score(metric, y))
        assert score(metric, y) != score(metric)

    def test_a_perfect_prediction_of_what_is_known(self, metric):
        y = np.where(UNKNOWN, np.nan, INDICATOR)
        known = UNKNOWN | (INDICATOR > 0)
        perfect = Fixed(np.where(UNKNOWN, 0, INDICATOR), np.where(known, 2.0 * INDICATOR, -1.0))
        assert score(metric, y, estimator=perfect) == pytest.approx(1)

    def test_it_can_be_pickled_and_shown(self, metric):
        again = pickle.loads(pickle.dumps(scorer(metric)))
        assert again(Fixed(), np.arange(60), INDICATOR) == score(metric)
        assert metric in repr(again)


def test_a_search_by_several_metrics():
    scoring = {metric: scorer(metric) for metric in METRICS}
    pipeline = Pipeline([("words", WordTokenizer()), ("match", HiMatchClassifier(HIERARCHY, **QUICK))])
    folds = KFold(2, shuffle=True, random_state=0)
    search = GridSearchCV(pipeline, {"match__gamma": [0.1, 0.2]}, scoring=scoring, cv=folds, refit="ndcg")
    search.fit(TEXTS, LABEL_SETS)
    for metric in METRICS:
        scores = search.cv_results_[f"mean_test_{metric}"]
        assert ((scores > 0) & (scores <= 1)).all(), metric
    assert search.score(TEXTS, LABEL_SETS) == scoring["ndcg"](search, TEXTS, LABEL_SETS)


@pytest.mark.parametrize("metric", sorted(set(METRICS)))
def test_any_classifier_of_texts(metric):
    scores = cross_val_score(LinearBaseline(HIERARCHY), TEXTS, INDICATOR, scoring=scorer(metric), cv=2)
    assert np.isfinite(scores).all()


def test_weights_are_routed():
    folds = KFold(2)
    with config_context(enable_metadata_routing=True):
        scoring = {
            metric: scorer(metric).set_score_request(sample_weight=True)
            for metric in ("ndcg", "hierarchical_f1")
        }
        weights = np.where(np.arange(60) % 2, 1.0, 0.0)
        estimator = HiMatchClassifier(HIERARCHY, **QUICK).set_fit_request(sample_weight=True)
        found = cross_validate(
            estimator, TEXTS, INDICATOR, scoring=scoring, cv=folds, params={"sample_weight": weights}
        )
    rows = np.arange(1, 60, 2)
    first = HiMatchClassifier(HIERARCHY, **QUICK).fit([TEXTS[row] for row in rows[15:]], INDICATOR[rows[15:]])
    for metric in scoring:
        expected = scorer(metric)(first, [TEXTS[row] for row in rows[:15]], INDICATOR[rows[:15]])
        assert found[f"test_{metric}"][0] == pytest.approx(expected)


def test_labels_in_another_order():
    classes = list(TREE.labels[::-1])
    estimator = HiMatchClassifier(HIERARCHY, classes=classes, **QUICK).fit(TEXTS, LABEL_SETS)
    found = hierarchical_scorer("level_macro_f1", HIERARCHY, classes=classes, level=3)(
        estimator, TEXTS, LABEL_SETS
    )
    plain = HiMatchClassifier(HIERARCHY, **QUICK)
    plain.state_ = estimator.state_
    order = [estimator.hierarchy_.index[label] for label in TREE.labels]
    predicted = estimator.predict(TEXTS)[:, order]
    here = TREE.levels == 3
    assert found == pytest.approx(f1_score(INDICATOR[:, here], predicted[:, here], average="macro"))


@pytest.mark.parametrize(
    ("metric", "options", "message"),
    [
        ("hierarchical", {}, "metric is 'hierarchical'; take one of hierarchical_f1, .*Did you mean"),
        ("hierarchical_f1", {"level": 2}, "level has no effect on 'hierarchical_f1': leave it out"),
        ("level_micro_f1", {}, "level is None; take a number from 1 to 3"),
        ("level_micro_f1", {"level": 4}, "level is 4; take a number from 1 to 3"),
        ("level_micro_f1", {"level": 1, "k": 3}, "k has no effect on 'level_micro_f1'"),
    ],
)
def test_errors(metric, options, message):
    with pytest.raises(ValueError, match=message):
        hierarchical_scorer(metric, HIERARCHY, **options)
