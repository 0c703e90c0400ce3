import numpy as np
import pytest
from scipy import sparse
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.multiclass import OneVsRestClassifier
from sklearn.svm import LinearSVC
from sklearn.utils._param_validation import InvalidParameterError
from toy_corpus import HIERARCHY, PATHS, binarize, make_corpus

from skhimatch.baseline import LinearBaseline
from skhimatch.evaluation.metrics import micro_macro_f1


def test_margins_are_those_of_one_vs_rest():
    texts, label_sets = make_corpus(80)
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2)
    reference = OneVsRestClassifier(LinearSVC(random_state=0))
    reference.fit(vectorizer.fit_transform(texts), binarize(label_sets))
    baseline = LinearBaseline(HIERARCHY).fit(texts, label_sets)
    new = make_corpus(20, seed=1)[0]
    np.testing.assert_allclose(
        baseline.decision_function(new), reference.decision_function(vectorizer.transform(new)), atol=1e-4
    )


def test_it_predicts_whole_paths_if_the_targets_are_paths():
    baseline = LinearBaseline(HIERARCHY).fit(*make_corpus(120))
    texts, label_sets = make_corpus(60, seed=1)
    predicted = baseline.predict(texts)
    assert micro_macro_f1(binarize(label_sets), predicted).micro > 0.9
    assert (baseline.hierarchy_.close(predicted).toarray() == predicted).all()


def test_the_threshold_is_tuned_on_validation_data():
    texts, label_sets = make_corpus(60, paths=2)
    validation = make_corpus(60, seed=1, paths=2)
    plain = LinearBaseline(HIERARCHY).fit(texts, label_sets)
    tuned = LinearBaseline(HIERARCHY).fit(texts, label_sets, X_val=validation[0], y_val=validation[1])
    assert plain.decision_.ends is None
    assert plain.decision_.threshold == 0.5
    true = binarize(validation[1])
    scores = [sum(micro_macro_f1(true, model.predict(validation[0]))) for model in (plain, tuned)]
    assert scores[1] > scores[0]


def test_labels_on_all_texts_or_on_none_are_constant():
    texts = ["a wave", "a field", "a wave"]
    baseline = LinearBaseline({"a": ["b", "c", "d"]}).fit(texts, [{"a", "b"}, {"a", "c"}, {"a", "b", "c"}])
    np.testing.assert_array_equal(baseline.intercept_[[0, 3]], [np.inf, -np.inf])
    np.testing.assert_array_equal(baseline.predict(["a wave"])[:, [0, 3]], [[1, 0]])


def test_margins_do_not_depend_on_how_many_labels_are_computed_at_once(monkeypatch):
    fitted = LinearBaseline(HIERARCHY).fit(*make_corpus(80))
    whole = fitted.decision_function(["a lens", "a leaf"])
    monkeypatch.setattr("skhimatch.baseline.LABEL_CHUNK_SIZE", 3)
    np.testing.assert_allclose(fitted.decision_function(["a lens", "a leaf"]), whole, rtol=1e-6)


def test_predictions_are_sparse_if_the_targets_were():
    texts, label_sets = make_corpus(40)
    indicator = binarize(label_sets)
    assert isinstance(LinearBaseline(HIERARCHY).fit(texts, indicator).predict(texts), np.ndarray)
    fitted = LinearBaseline(HIERARCHY).fit(texts, sparse.csr_array(indicator))
    assert sparse.issparse(fitted.predict(texts))
    assert LinearBaseline().fit(texts, label_sets).hierarchy_.is_flat


def test_the_former_argument_for_validation_data():
    texts, label_sets = make_corpus(60, paths=2)
    X_val, y_val = make_corpus(60, seed=1, paths=2)
    tuned = LinearBaseline(HIERARCHY).fit(texts, label_sets, X_val=X_val, y_val=y_val)
    with pytest.warns(FutureWarning, match="validation_data.*pass X_val=X, y_val=y") as caught:
        former = LinearBaseline(HIERARCHY).fit(texts, label_sets, validation_data=(X_val, y_val))
    assert former.decision_.threshold == tuned.decision_.threshold
    # The warning points at the line that calls fit.
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"X_val": ["a"]}, ValueError, "X_val is given but y_val is not"),
        ({"y_val": [{"sport"}]}, ValueError, "y_val is given but X_val is not"),
        (
            {"X_val": ["a"], "y_val": [{"sport"}], "validation_data": (["a"], [{"sport"}])},
            ValueError,
            "Both validation_data and X_val, y_val are given",
        ),
        ({"X_val": ["a"], "y_val": [{"sprot"}]}, ValueError, r"Label 'sprot' in y\[0\]"),
        ({"X_val": ["a"], "y_val": [{"sport"}] * 2}, ValueError, "1 texts in X and 2 rows in y"),
        ({"X_val": [3], "y_val": [{"sport"}]}, TypeError, "Text 0 is of type int"),
    ],
)
def test_bad_validation_data_leaves_nothing_fitted(arguments, error, match):
    baseline = LinearBaseline(HIERARCHY)
    with pytest.raises(error, match=match):
        baseline.fit(*make_corpus(20), **arguments)
    assert not [name for name in vars(baseline) if name.endswith("_")]


@pytest.mark.parametrize(
    ("parameters", "match"),
    [
        ({"C": 0}, "The 'C' parameter"),
        ({"decoding": "paths"}, "The 'decoding' parameter"),
        ({"consistency": "ancestor"}, "The 'consistency' parameter"),
    ],
)
def test_bad_parameters_are_named(parameters, match):
    with pytest.raises(InvalidParameterError, match=match):
        LinearBaseline(HIERARCHY, **parameters).fit(*make_corpus(20))


def test_targets_in_every_format():
    texts, label_sets = make_corpus(40)
    ends = [next(end for end in PATHS if end in labels) for labels in label_sets]
    indicator = binarize(label_sets)
    expected = LinearBaseline(HIERARCHY).fit(texts, label_sets).decision_function(texts)
    for y in (ends, ["/".join(PATHS[end]) for end in ends], indicator.tolist(), iter(label_sets)):
        np.testing.assert_array_equal(
            LinearBaseline(HIERARCHY).fit(texts, y).decision_function(texts), expected
        )
    assert LinearBaseline().fit(texts, iter(ends)).classes_.tolist() == sorted(PATHS)


def test_score_is_the_share_of_texts_with_exactly_the_right_labels():
    texts, label_sets = make_corpus(60)
    baseline = LinearBaseline(HIERARCHY).fit(texts, label_sets)
    new, expected = make_corpus(40, seed=1)
    right = (baseline.predict(new) == binarize(expected)).all(axis=1)
    assert 0 < right.mean() < 1
    assert baseline.score(new, expected) == baseline.score(new, binarize(expected)) == right.mean()
    weights = np.arange(40)
    assert baseline.score(new, expected, weights) == pytest.approx(np.average(right, weights=weights))


def test_without_any_target_nothing_is_predicted():
    texts = make_corpus(20)[0]
    for decoding in ("auto", "path", "threshold"):
        assert LinearBaseline(HIERARCHY, decoding=decoding).fit(texts, [()] * 20).predict(texts).sum() == 0


def test_texts_without_a_common_word():
    with pytest.raises(ValueError, match="needs a word that 2 of the 3 texts have"):
        LinearBaseline(HIERARCHY).fit(["lens", "oar", "fish"], ["optics", "rowing", "zoology"])
    only = LinearBaseline(HIERARCHY).fit(["the lens"], ["optics"])
    assert only.predict(["oar"]).sum() == 3


def test_texts_are_whole():
    with pytest.raises(TypeError, match="Text 0 is a list of tokens; pass whole texts"):
        LinearBaseline(HIERARCHY).fit([["a", "lens"]] * 2, [{"sport"}] * 2)


def test_it_cannot_predict_before_fit():
    with pytest.raises(NotFittedError):
        LinearBaseline().predict(["a wave"])
