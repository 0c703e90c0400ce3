"""scikit-learn's contract: its common checks on texts and indicators, and its tools around the classifier."""

import os
import pickle
import subprocess
import sys
import warnings
from functools import partial
from numbers import Number
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin, clone, is_classifier
from sklearn.compose import ColumnTransformer
from sklearn.datasets import make_blobs
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import average_precision_score, f1_score, get_scorer, get_scorer_names, roc_auc_score
from sklearn.model_selection import GridSearchCV, KFold, ShuffleSplit, cross_val_predict, cross_val_score
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils import estimator_checks, get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks
from toy_corpus import HIERARCHY, QUICK, binarize, make_corpus

import skhimatch
from skhimatch import (
    HiMatchClassifier,
    LabelHierarchy,
    TokenSequences,
    WordTokenizer,
    WordVectors,
    as_hierarchy,
)
from skhimatch.baseline import LinearBaseline
from skhimatch.estimator_tags import SCORERS_TAKE_ANY_ESTIMATOR
from skhimatch.evaluation.joint_embedding import JointEmbeddingDisplay

TEXTS, LABEL_SETS = make_corpus(90)
INDICATOR = binarize(LABEL_SETS)


def indicator_for(estimator, y):
    """Stand in for the function that fits y to an estimator's tags."""
    if np.asarray(y).dtype.kind == "f" and not np.isfinite(y).all():
        return np.tile(np.asarray(y)[:, None], 2)
    return y if np.ndim(y) == 2 else (np.asarray(y)[:, None] == np.unique(y)).astype(int)


@pytest.fixture
def _indicators(monkeypatch):
    monkeypatch.setattr(estimator_checks, "_enforce_estimator_tags_y", indicator_for)


def as_texts(X):
    """Write each row of a 2-D array of finite numbers as a text, one word a number: a502 b498 ..."""
    rows = np.asarray(X) if hasattr(X, "__array__") or isinstance(X, list) else X
    if not isinstance(rows, np.ndarray) or rows.ndim != 2 or not rows.size or rows.dtype.kind not in "biufO":
        return X
    if rows.dtype.kind == "f" and not np.isfinite(rows).all():
        return X
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    return [
        " ".join(
            f"{letter}{500 + round(5 * float(entry)) if isinstance(entry, Number) else entry}"
            for letter, entry in zip(letters, row, strict=False)
        )
        for row in rows
    ]


class Checked:
    """Tag an estimator as one for 2-D arrays of numbers: the checks leave out all others.

    Its methods make texts of them.
    """

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        tags.input_tags.one_d_array = False
        return tags


class CheckedClassifier(Checked, HiMatchClassifier):
    def fit(self, X, y, sample_weight=None):
        return super().fit(as_texts(X), y, sample_weight)

    def partial_fit(self, X, y, classes=None, sample_weight=None):
        return super().partial_fit(as_texts(X), y, classes, sample_weight)

    def decision_function(self, X):
        return super().decision_function(as_texts(X))

    def predict(self, X):
        return super().predict(as_texts(X))

    def score(self, X, y, sample_weight=None):
        return super().score(as_texts(X), y, sample_weight)

    def transform(self, X):
        return super().transform(as_texts(X))


class CheckedBaseline(Checked, LinearBaseline):
    def fit(self, X, y, sample_weight=None):
        return super().fit(as_texts(X), y, sample_weight)

    def decision_function(self, X):
        return super().decision_function(as_texts(X))


class CheckedTokenizer(Checked, WordTokenizer):
    def fit(self, X, y=None):
        return super().fit(as_texts(X), y)

    def fit_transform(self, X, y=None):
        return super().fit_transform(as_texts(X), y)

    def transform(self, X):
        return super().transform(as_texts(X))


# They feed numbers that cannot be written as texts, or count the columns of numbers.
NOT_FOR_TEXTS = {
    "check_complex_data": "feeds complex numbers and wants their name in the error",
    "check_estimators_empty_data_messages": "feeds a 2-D array without columns; see test_empty",
    "check_estimators_nan_inf": "feeds a 2-D array with NaN; see test_what_is_no_text",
    "check_fit1d": "feeds 1-D numbers and wants a ValueError; ours is a TypeError, see test_what_is_no_text",
    "check_fit2d_predict1d": "predicts a row of numbers and wants 'Reshape your data'; see test_bare_string",
    "check_n_features_in": "wants n_features_in_; a text is no row of features",
    "check_n_features_in_after_fitting": "wants n_features_in_; a text is no row of features",
    "check_transformer_general": (
        "wants an error for fewer columns; for the classifier see test_checks_of_one_class_for_each_text"
    ),
}
# They teach one class for each text.
FOR_ONE_CLASS = "has one class for each text; see test_checks_of_one_class_for_each_text"
ONE_CLASS = {
    "check_classifiers_one_label_sample_weights": FOR_ONE_CLASS,
    "check_sample_weights_not_an_array": FOR_ONE_CLASS,
    "check_sample_weights_pandas_series": FOR_ONE_CLASS,
    "check_sample_weight_equivalence_on_dense_data": (
        "wants what repeated texts give to seven digits; words are counted without weights, and batches of "
        "repeated texts are others, see tests/test_weights.py and tests/test_baseline.py"
    ),
    "check_classifiers_classes": FOR_ONE_CLASS,
    "check_classifiers_one_label": FOR_ONE_CLASS,
    "check_classifiers_train": FOR_ONE_CLASS,
}
LEFT_OUT = {
    CheckedClassifier: NOT_FOR_TEXTS
    | ONE_CLASS
    | {
        "check_class_weight_classifiers": (
            "wants other predictions by class weights; ours keep probabilities, see tests/test_weights.py"
        ),
        "check_classifier_multioutput": "wants classes_ to be 0 and 1; see test_an_indicator",
        "check_decision_proba_consistency": FOR_ONE_CLASS,
        "check_estimators_partial_fit_n_features": FOR_ONE_CLASS,
        "check_transformer_data_not_an_array": FOR_ONE_CLASS,
    },
    CheckedBaseline: NOT_FOR_TEXTS
    | ONE_CLASS
    | {"check_classifier_multioutput": "wants decision_function > 0; ours is chosen on held-out texts"},
    CheckedTokenizer: NOT_FOR_TEXTS
    | {"check_transformer_preserve_dtypes": "casts X to float types; ids are integers"},
}


@parametrize_with_checks(
    [CheckedClassifier(**QUICK | {"max_epochs": 1}), CheckedBaseline(), CheckedTokenizer()],
    expected_failed_checks=lambda estimator: LEFT_OUT[type(estimator)],
)
@pytest.mark.usefixtures("_indicators")
def test_common_checks(estimator, check):
    try:
        check(estimator)
    except Exception as error:
        if estimator_checks._check_name(check) not in LEFT_OUT[type(estimator)]:
            raise
        # Rendering a traceback through scikit-learn's sources takes longer than the check itself.
        raise error.with_traceback(None) from None


class OneClassForEachText(ClassifierMixin, TransformerMixin, BaseEstimator):
    """Give an estimator the names of classes, and return its one label for each text as a class."""

    def __init__(self, estimator):
        self.estimator = estimator

    def fit(self, X, y, sample_weight=None):
        self.fitted_ = clone(self.estimator)
        return self._learn(self.fitted_.fit, X, y, np.unique(np.asarray(y)), sample_weight)

    def _learn(self, learn, X, y, classes, sample_weight):
        y = np.asarray(y)
        names = y if y.dtype.kind == "f" and (y % 1).any() else y.astype(str)
        learn(as_texts(X), names, **({} if sample_weight is None else {"sample_weight": sample_weight}))
        assert self.fitted_.classes_.tolist() == sorted(map(str, classes))
        self.classes_ = classes
        self.n_features_in_ = np.asarray(X).shape[1]
        return self

    def _texts(self, X):
        # The last step of some checks: an error for other columns.
        if np.asarray(X).shape[1:] != (self.n_features_in_,):
            raise ValueError("other columns than in fit")
        return as_texts(X)

    def predict(self, X):
        indicator = self.fitted_.predict(self._texts(X))
        assert (indicator.sum(axis=1) == 1).all()
        return self.classes_[indicator.argmax(axis=1)]

    def decision_function(self, X):
        log_odds = self.fitted_.decision_function(self._texts(X))
        return log_odds[:, 1] if len(self.classes_) == 2 else log_odds


class OneClassAndProbabilities(OneClassForEachText):
    def partial_fit(self, X, y, classes, sample_weight=None):
        if not hasattr(self, "fitted_"):
            self.fitted_ = clone(self.estimator)
        learn = partial(self.fitted_.partial_fit, classes=[str(name) for name in classes])
        return self._learn(learn, X, y, classes, sample_weight)

    def predict_proba(self, X):
        return self.fitted_.predict_proba(self._texts(X))

    def transform(self, X):
        return self.fitted_.transform(self._texts(X))


CHECKS_OF_ONE_CLASS = [
    estimator_checks.check_classifier_data_not_an_array,
    estimator_checks.check_classifiers_classes,
    estimator_checks.check_classifiers_one_label,
    estimator_checks.check_classifiers_one_label_sample_weights,
    estimator_checks.check_classifiers_regression_target,
    estimator_checks.check_classifiers_train,
    estimator_checks.check_sample_weights_not_an_array,
    estimator_checks.check_sample_weights_pandas_series,
]


@pytest.mark.parametrize(
    ("check", "estimator"),
    [(check, OneClassForEachText(LinearBaseline())) for check in CHECKS_OF_ONE_CLASS]
    + [
        (check, OneClassAndProbabilities(HiMatchClassifier(**QUICK | {"max_epochs": 1})))
        for check in [
            *CHECKS_OF_ONE_CLASS,
            estimator_checks.check_decision_proba_consistency,
            estimator_checks.check_transformer_data_not_an_array,
            estimator_checks.check_transformer_general,
        ]
    ],
    ids=lambda case: getattr(case, "__name__", None) or type(case.estimator).__name__,
)
def test_checks_of_one_class_for_each_text(check, estimator):
    check(type(estimator).__name__, estimator)


def test_partial_fit_on_classes():
    X, y = make_blobs(n_samples=50, random_state=1)
    estimator = OneClassAndProbabilities(HiMatchClassifier(**QUICK))
    for _ in range(20):
        estimator.partial_fit(X, y, classes=np.unique(y))
    assert estimator.score(X, y) > 0.9


def test_an_indicator():
    """scikit-learn's check takes 0 and 1 for the classes, and wants a threshold of 0.5."""

    class Numbered(CheckedClassifier):
        classes_ = np.arange(3)

    settings = QUICK | {"threshold": 0.5, "decoding": "threshold", "consistency": None}
    estimator_checks.check_classifier_multioutput("Numbered", Numbered(**settings))


@pytest.mark.parametrize("names", [list, np.array, pd.Series, lambda y: pd.Series(y, dtype="category")])
@pytest.mark.parametrize("estimator", [HiMatchClassifier(**QUICK), LinearBaseline()])
def test_one_name_for_each_text(estimator, names):
    ends = [max(labels, key=lambda label: (len(label), label)) for labels in LABEL_SETS]
    by_name = clone(estimator).fit(TEXTS, names(ends))
    by_set = clone(estimator).fit(TEXTS, [{name} for name in ends])
    assert by_name.classes_.tolist() == sorted(set(ends))
    found = by_name.predict(TEXTS)
    np.testing.assert_array_equal(found, by_set.predict(TEXTS))
    assert (found.sum(axis=1) == 1).all()
    assert by_name.score(TEXTS, names(ends)) == by_set.score(TEXTS, [{name} for name in ends])


@pytest.mark.parametrize(
    "y", [np.arange(90) % 3, np.arange(90) / 3, pd.Series(np.arange(90) % 2), [True] * 90]
)
@pytest.mark.parametrize("estimator", [HiMatchClassifier(**QUICK), LinearBaseline()])
def test_numbers_are_no_names(estimator, y):
    with pytest.raises((ValueError, TypeError), match=r"\[str\(label\) for label in y\]"):
        estimator.fit(TEXTS, y)


@pytest.fixture(scope="module")
def fitted():
    return HiMatchClassifier(HIERARCHY, **QUICK).fit(TEXTS, LABEL_SETS)


@pytest.mark.parametrize("estimator", [HiMatchClassifier(), LinearBaseline()])
def test_tags(estimator):
    tags = get_tags(estimator)
    assert tags.estimator_type == "classifier"
    assert tags.classifier_tags.multi_label
    assert tags.target_tags.multi_output
    assert tags.target_tags.required
    assert tags.input_tags.string
    assert not tags.input_tags.two_d_array
    assert not tags.input_tags.sparse


def test_probabilities_rank_like_logits(fitted):
    logits, probabilities = fitted.decision_function(TEXTS), fitted.predict_proba(TEXTS)
    order = logits.argsort(axis=0)
    assert (np.diff(np.take_along_axis(probabilities, order, axis=0), axis=0) >= 0).all()
    np.testing.assert_allclose(probabilities, 1 / (1 + np.exp(-logits.astype(float))), rtol=1e-5)


def test_fit_transform(fitted):
    coordinates = clone(fitted).fit_transform(TEXTS, LABEL_SETS)
    np.testing.assert_array_equal(coordinates, fitted.transform(TEXTS))


class TestParameters:
    VECTORS = WordVectors(["energy", "leaf"], np.eye(2, 16))
    TREE = as_hierarchy(HIERARCHY)

    def test_clone_shares_what_is_immutable(self):
        original = HiMatchClassifier(
            self.TREE,
            word_vectors=self.VECTORS,
            tokenizer=WordTokenizer(),
            net_params={"module__kernel_size": 5},
        )
        copy = clone(original)
        assert copy.word_vectors is self.VECTORS
        assert copy.hierarchy is self.TREE
        assert copy.tokenizer is not original.tokenizer
        assert copy.net_params == original.net_params

    def test_clone_of_a_fitted_classifier_is_not_fitted(self, fitted):
        assert not hasattr(clone(fitted), "network_")
        assert clone(fitted).get_params() == fitted.get_params()

    def test_round_trip(self):
        original = HiMatchClassifier(self.TREE, word_vectors=self.VECTORS, **QUICK)
        params = original.get_params(deep=False)
        assert {"hierarchy", "tokenizer", "classes", "label_texts", "net_params", "verbose"} <= set(params)
        for again in (HiMatchClassifier(**params), HiMatchClassifier().set_params(**params)):
            assert again.get_params(deep=False) == params

    def test_unknown_parameter(self):
        with pytest.raises(ValueError, match="Invalid parameter 'gama'"):
            HiMatchClassifier().set_params(gama=1)

    def test_parameters_of_the_tokenizer(self):
        classifier = HiMatchClassifier(HIERARCHY, tokenizer=WordTokenizer(max_length=9), **QUICK)
        assert classifier.get_params()["tokenizer__max_length"] == 9
        search = GridSearchCV(classifier, {"tokenizer__max_length": [1, 30]}, cv=2, scoring="f1_micro")
        search.fit(TEXTS[:40], INDICATOR[:40])
        chosen = search.best_params_["tokenizer__max_length"]
        assert search.best_estimator_.tokenizer_.max_length == chosen
        one_word, many_words = search.cv_results_["mean_test_score"]
        assert one_word != many_words
        assert classifier.tokenizer.max_length == 9


class TestModelSelection:
    def test_grid_search_in_a_pipeline(self):
        settings = QUICK | {"max_epochs": 4, "learning_rate": 0.05, "batch_size": 8, "validation_fraction": 0}
        settings |= {"lexical": None, "lambda_match": 10}
        pipeline = Pipeline([("words", WordTokenizer()), ("match", HiMatchClassifier(HIERARCHY, **settings))])
        grid = {"match__gamma": [0.02, 2], "match__alpha": [0.01, 0.5], "match__beta": [0.01, 0.5]}
        folds = ShuffleSplit(1, test_size=50, random_state=0)
        search = GridSearchCV(pipeline, grid, scoring="f1_macro", cv=folds, n_jobs=2)
        with joblib.parallel_config("loky", inner_max_num_threads=1):
            search.fit(TEXTS, INDICATOR)
        scores = search.cv_results_["mean_test_score"]
        assert scores.shape == (8,)
        assert (scores > 0).all()
        assert len(set(scores)) > 1
        # A candidate's score is what the same settings give here, in one process.
        pipeline.set_params(**search.cv_results_["params"][7])
        alone = cross_val_score(pipeline, TEXTS, INDICATOR, scoring="f1_macro", cv=folds)
        assert scores[7] == pytest.approx(alone[0], abs=1e-6)
        best = search.best_estimator_["match"]
        assert {f"match__{name}": getattr(best, name) for name in ("gamma", "alpha", "beta")} == (
            search.best_params_
        )
        assert search.predict(TEXTS[:3]).shape == (3, 10)

    @pytest.mark.parametrize("tokenised", [False, True])
    def test_cross_val_predict(self, tokenised):
        X = WordTokenizer().fit_transform(TEXTS) if tokenised else np.array(TEXTS, dtype=object)
        classifier = HiMatchClassifier(HIERARCHY, **QUICK)
        folds = KFold(3, shuffle=True, random_state=0)
        found = cross_val_predict(classifier, X, INDICATOR, cv=folds, method="predict_proba")
        assert found.shape == INDICATOR.shape
        train, test = next(folds.split(TEXTS))
        expected = clone(classifier).fit(X[train], INDICATOR[train]).predict_proba(X[test])
        np.testing.assert_allclose(found[test], expected, atol=1e-6)

    def test_cross_val_score(self):
        classifier = HiMatchClassifier(HIERARCHY, **QUICK)
        scores = cross_val_score(classifier, TEXTS, INDICATOR, cv=KFold(2), scoring="f1_samples")
        expected = classifier.fit(TEXTS[45:], INDICATOR[45:]).predict(TEXTS[:45])
        assert scores[0] == pytest.approx(f1_score(INDICATOR[:45], expected, average="samples"), abs=1e-6)
        # The default scorer is `score`, which takes label sets too.
        subset = cross_val_score(classifier, TEXTS, INDICATOR, cv=KFold(2))
        assert subset[0] == pytest.approx((expected == INDICATOR[:45]).all(axis=1).mean())

    def test_pipeline_is_the_same_as_the_classifier_alone(self, fitted):
        pipeline = make_pipeline(WordTokenizer(), HiMatchClassifier(HIERARCHY, **QUICK))
        pipeline.fit(TEXTS, LABEL_SETS)
        classifier = pipeline[-1]
        assert classifier.tokenizer_ is None
        unseen = make_corpus(20, 1)[0]
        assert pipeline.predict_proba(unseen).shape == (20, 10)
        np.testing.assert_array_equal(
            pipeline.predict_proba(unseen), classifier.predict_proba(pipeline[0].transform(unseen))
        )
        assert pipeline.score(TEXTS, LABEL_SETS) == classifier.score(pipeline[0].transform(TEXTS), LABEL_SETS)
        # The pipeline's vocabulary knows the texts that the classifier then holds out as well.
        assert set(fitted.vocabulary_.words) <= set(classifier.vocabulary_.words)


class TestColumns:
    FRAME = pd.DataFrame({"price": np.arange(90.0), "text": TEXTS}, index=np.arange(90)[::-1])

    @pytest.mark.parametrize("output", ["default", "pandas"])
    def test_a_text_column_passed_through(self, fitted, output):
        only_texts = ColumnTransformer([("text", "passthrough", ["text"])], verbose_feature_names_out=False)
        pipeline = make_pipeline(only_texts.set_output(transform=output), clone(fitted))
        pipeline.fit(self.FRAME, LABEL_SETS)
        np.testing.assert_array_equal(pipeline.predict_proba(self.FRAME), fitted.predict_proba(TEXTS))
        assert pipeline.score(self.FRAME, LABEL_SETS) == fitted.score(TEXTS, LABEL_SETS)

    def test_a_text_column_with_a_tokenizer(self, fitted):
        only_texts = ColumnTransformer([("text", "passthrough", ["text"])])
        pipeline = make_pipeline(only_texts, WordTokenizer(), clone(fitted)).fit(self.FRAME, LABEL_SETS)
        alone = make_pipeline(WordTokenizer(), clone(fitted)).fit(TEXTS, LABEL_SETS)
        np.testing.assert_array_equal(pipeline.predict_proba(self.FRAME), alone.predict_proba(TEXTS))

    @pytest.mark.parametrize("column", ["text", ["text"]])
    def test_coordinates_beside_other_columns(self, fitted, column):
        union = ColumnTransformer(
            [("text", clone(fitted), column), ("price", "passthrough", ["price"])], sparse_threshold=0
        )
        found = union.fit_transform(self.FRAME, LABEL_SETS)
        np.testing.assert_allclose(found[:, :-1], fitted.transform(TEXTS), atol=1e-6)
        np.testing.assert_array_equal(found[:, -1], self.FRAME["price"])

    def test_the_baseline(self):
        pipeline = make_pipeline(ColumnTransformer([("text", "passthrough", ["text"])]), LinearBaseline())
        expected = LinearBaseline().fit(TEXTS, LABEL_SETS).predict(TEXTS)
        np.testing.assert_array_equal(pipeline.fit(self.FRAME, LABEL_SETS).predict(self.FRAME), expected)


class TestSetOutput:
    """`set_output` and `get_feature_names_out`, alone and in scikit-learn's tools."""

    FRAME = TestColumns.FRAME

    def test_names(self, fitted):
        names = fitted.get_feature_names_out()
        assert names.tolist() == [
            f"himatchclassifier{column}" for column in range(fitted.label_embeddings_.shape[1])
        ]
        assert names.dtype == object
        with pytest.raises(NotFittedError):
            HiMatchClassifier().get_feature_names_out()

    @pytest.mark.parametrize("column", ["text", ["text"]])
    def test_a_frame_has_the_index_of_its_texts(self, fitted, column):
        copy = clone(fitted).set_output(transform="pandas")
        found = copy.fit_transform(self.FRAME[column], LABEL_SETS)
        expected = pd.DataFrame(
            fitted.transform(TEXTS), index=self.FRAME.index, columns=fitted.get_feature_names_out()
        )
        pd.testing.assert_frame_equal(found, expected)
        pd.testing.assert_frame_equal(copy.transform(self.FRAME[column]), expected)
        assert isinstance(clone(copy).fit(TEXTS, LABEL_SETS).transform(TEXTS), pd.DataFrame)
        assert isinstance(copy.set_output(transform="default").transform(TEXTS), np.ndarray)

    def test_predictions_remain_arrays(self, fitted):
        with config_context(transform_output="pandas"):
            again = clone(fitted).fit(TEXTS, LABEL_SETS)
            assert isinstance(again.transform(TEXTS), pd.DataFrame)
            for method in ("predict", "predict_proba", "decision_function"):
                found = getattr(again, method)(TEXTS)
                assert isinstance(found, np.ndarray)
                np.testing.assert_array_equal(found, getattr(fitted, method)(TEXTS))
            display = JointEmbeddingDisplay.from_embeddings(
                again.transform(TEXTS), again.label_embeddings_, np.zeros(90, dtype=int), list(again.classes_)
            )
            baseline = LinearBaseline().fit(TEXTS, LABEL_SETS).predict(TEXTS)
        assert isinstance(display.text_points, np.ndarray)
        np.testing.assert_array_equal(baseline, LinearBaseline().fit(TEXTS, LABEL_SETS).predict(TEXTS))

    def test_polars(self, fitted):
        polars = pytest.importorskip("polars", reason="polars is not needed otherwise")
        found = clone(fitted).set_output(transform="polars").fit_transform(TEXTS, LABEL_SETS)
        assert isinstance(found, polars.DataFrame)
        assert found.columns == fitted.get_feature_names_out().tolist()
        np.testing.assert_array_equal(found.to_numpy(), fitted.transform(TEXTS))
        pipeline = make_pipeline(WordTokenizer(), clone(fitted)).set_output(transform="polars")
        assert isinstance(pipeline.fit_transform(TEXTS, LABEL_SETS), polars.DataFrame)

    def test_a_pipeline(self, fitted):
        pipeline = make_pipeline(WordTokenizer(), clone(fitted))
        expected = pipeline.fit(TEXTS, LABEL_SETS).transform(TEXTS)
        pipeline.set_output(transform="pandas")
        np.testing.assert_array_equal(pipeline.fit(TEXTS, LABEL_SETS).predict(TEXTS), fitted.predict(TEXTS))
        found = pipeline.transform(self.FRAME["text"])
        assert found.columns.tolist() == pipeline.get_feature_names_out().tolist()
        assert found.columns.tolist() == fitted.get_feature_names_out().tolist()
        np.testing.assert_array_equal(found, expected)

    @pytest.mark.parametrize("column", ["text", ["text"]])
    @pytest.mark.parametrize("tokenised", [False, True])
    def test_columns(self, fitted, column, tokenised):
        texts = make_pipeline(WordTokenizer(), clone(fitted)) if tokenised else clone(fitted)
        union = ColumnTransformer([("text", texts, column), ("price", "passthrough", ["price"])])
        found = union.set_output(transform="pandas").fit_transform(self.FRAME, LABEL_SETS)
        names = [f"text__{name}" for name in fitted.get_feature_names_out()]
        assert found.columns.tolist() == [*names, "price__price"] == union.get_feature_names_out().tolist()
        pd.testing.assert_series_equal(found["price__price"], self.FRAME["price"], check_names=False)
        alone = clone(texts).set_output(transform="default").fit(TEXTS, LABEL_SETS).transform(TEXTS)
        np.testing.assert_array_equal(found[names], alone)
        some = self.FRAME.iloc[5:20]
        np.testing.assert_allclose(union.transform(some)[names], found.loc[some.index, names], atol=1e-6)

    def test_a_union(self, fitted):
        union = FeatureUnion(
            [("a", clone(fitted)), ("b", make_pipeline(WordTokenizer(), clone(fitted)))]
        ).set_output(transform="pandas")
        found = union.fit_transform(TEXTS, LABEL_SETS)
        names = fitted.get_feature_names_out()
        assert found.columns.tolist() == [f"{part}__{name}" for part in "ab" for name in names]
        assert found.columns.tolist() == union.get_feature_names_out().tolist()

    @pytest.mark.parametrize("output", ["pandas", "polars", "default"])
    def test_tokenizers_return_sequences(self, output):
        class OwnTokenizer(WordTokenizer):
            def transform(self, X):
                return super().transform(X)

        for tokenizer in (WordTokenizer(), OwnTokenizer()):
            with config_context(transform_output=output):
                assert tokenizer.set_output(transform=output) is tokenizer
                assert isinstance(tokenizer.fit_transform(TEXTS), TokenSequences)
                assert isinstance(tokenizer.transform(TEXTS), TokenSequences)
        assert WordTokenizer().get_feature_names_out(["text"]).tolist() == ["wordtokenizer0"]


class TestPickling:
    def test_joblib_from_one_process_to_another(self, fitted, tmp_path):
        joblib.dump(fitted, tmp_path / "classifier.joblib")
        unseen = make_corpus(20, 1)[0]
        joblib.dump(unseen, tmp_path / "texts.joblib")
        code = (
            "import joblib, numpy as np, torch; torch.set_num_threads(1);"
            "clf = joblib.load('classifier.joblib');"
            "np.save('probabilities.npy', clf.predict_proba(joblib.load('texts.joblib')))"
        )
        root = str(Path(skhimatch.__file__).parents[1])
        environment = os.environ | {"PYTHONPATH": root, "OMP_NUM_THREADS": "1"}
        subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=tmp_path, env=environment, check=True)
        np.testing.assert_array_equal(np.load(tmp_path / "probabilities.npy"), fitted.predict_proba(unseen))

    def test_neither_texts_nor_optimiser_travel(self, fitted):
        wide = QUICK | {"max_epochs": 1, "net_params": {"module__node_dimension": 100}}
        large = HiMatchClassifier(HIERARCHY, **wide).fit(TEXTS[:20], LABEL_SETS[:20])
        weights = sum(tensor.nbytes for tensor in large.network_.state_dict().values())
        for classifier in (large.ngrams_, large.characters_):
            weight = classifier.weight
            arrays = [weight.data, weight.indices, weight.indptr, *classifier.ngrams.state().arrays.values()]
            weights += sum(array.nbytes for array in arrays)
        weights += sum(len(pickle.dumps(ngram)) for ngram in large.characters_.ngrams.ngrams)
        size = len(pickle.dumps(large))
        assert weights < size < 1.05 * weights
        # What is kept for the next texts stays here, too.
        large.predict(TEXTS)
        # Sparse arrays remember whether they are sorted.
        assert len(pickle.dumps(large)) < size + 200
        few = HiMatchClassifier(HIERARCHY, **QUICK | {"validation_fraction": 0}).fit(
            TEXTS * 2, LABEL_SETS * 2
        )
        many = clone(few).fit(TEXTS * 8, LABEL_SETS * 8)
        assert many.vocabulary_ == few.vocabulary_
        size = len(pickle.dumps(few))
        assert len(pickle.dumps(many)) < size + 100
        assert len(pickle.dumps(many.partial_fit(TEXTS, LABEL_SETS))) < size + 1_000

    def test_a_pickled_classifier_goes_on_learning(self, fitted):
        again = pickle.loads(pickle.dumps(fitted))
        before = again.predict_proba(TEXTS[:5])
        again.partial_fit(TEXTS, LABEL_SETS)
        assert again.n_iter_ == fitted.n_iter_ + 1
        assert (again.predict_proba(TEXTS[:5]) != before).any()
        np.testing.assert_array_equal(fitted.predict_proba(TEXTS[:5]), before)


def test_hierarchy_shared_from_parameter_to_fitted_attribute():
    tree = LabelHierarchy([("a", "b")])
    fitted = HiMatchClassifier(tree, **QUICK).fit(["x y"] * 4, [{"a", "b"}] * 4)
    assert fitted.hierarchy_ is tree


def test_a_pipeline_tokenizes_the_validation_texts():
    unseen, unseen_sets = make_corpus(20, seed=1)
    y_val = binarize(unseen_sets)
    alone = HiMatchClassifier(HIERARCHY, **QUICK).fit(TEXTS, INDICATOR, X_val=unseen, y_val=y_val)
    with config_context(enable_metadata_routing=True):
        classifier = HiMatchClassifier(HIERARCHY, **QUICK).set_fit_request(X_val=True, y_val=True)
        pipeline = Pipeline(
            [("words", WordTokenizer()), ("classifier", classifier)], transform_input=["X_val"]
        )
        pipeline.fit(TEXTS, INDICATOR, X_val=unseen, y_val=y_val)
        np.testing.assert_array_equal(pipeline.predict_proba(unseen), alone.predict_proba(unseen))
    assert pipeline[-1].validation_f1_ == alone.validation_f1_


@pytest.mark.skipif(
    not SCORERS_TAKE_ANY_ESTIMATOR, reason="scikit-learn's own scorers refuse this before version 1.9"
)
class TestScorersOfFewLabels:
    """scikit-learn's scorers must not take one or two labels for the classes of a binary problem."""

    LABELS = (["optics"], ["optics", "science"], ["science", "sport"])

    def indicator(self, labels):
        return np.array([[label in labels_of for label in labels] for labels_of in LABEL_SETS]).astype(int)

    def fitted(self, labels, *, baseline=False):
        flat = LabelHierarchy.flat(labels)
        classifier = LinearBaseline(flat) if baseline else HiMatchClassifier(flat, **QUICK)
        return classifier.fit(TEXTS, self.indicator(labels))

    @pytest.mark.parametrize("labels", LABELS, ids=" ".join)
    def test_every_scorer_that_a_tree_manages(self, labels):
        y = self.indicator(labels)
        tree = make_pipeline(TfidfVectorizer(), DecisionTreeClassifier()).fit(TEXTS, y)
        classifier = self.fitted(labels)
        managed = 0
        for name in get_scorer_names():
            with warnings.catch_warnings():
                # Some warn of probabilities that do not sum to one, also those of the tree.
                warnings.simplefilter("ignore")
                try:
                    by_tree = get_scorer(name)(tree, TEXTS, y)
                except (ValueError, AttributeError, TypeError):
                    continue
                if np.isfinite(by_tree):
                    managed += 1
                    assert np.isfinite(get_scorer(name)(classifier, TEXTS, y)), name
        assert managed >= 20

    @pytest.mark.parametrize("labels", LABELS, ids=" ".join)
    @pytest.mark.parametrize("baseline", [False, True])
    def test_values(self, labels, baseline):
        y, classifier = self.indicator(labels), self.fitted(labels, baseline=baseline)
        margins = classifier.decision_function(TEXTS)
        for name, metric in (("roc_auc", roc_auc_score), ("average_precision", average_precision_score)):
            assert get_scorer(name)(classifier, TEXTS, y) == pytest.approx(metric(y, margins))
        assert roc_auc_score(y, margins) > 0

    def test_more_labels_are_those_of_a_classifier(self):
        assert is_classifier(HiMatchClassifier())
        assert is_classifier(self.fitted(["optics", "science", "sport"]))
