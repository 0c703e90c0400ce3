import numpy as np
import pytest
from scipy import sparse
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.multiclass import OneVsRestClassifier
from sklearn.svm import LinearSVC
from toy_corpus import HIERARCHY, binarize, make_corpus

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


def test_it_predicts_whole_paths_where_it_learned_them():
    baseline = LinearBaseline(HIERARCHY).fit(*make_corpus(120))
    texts, label_sets = make_corpus(60, seed=1)
    predicted = baseline.predict(texts)
    assert micro_macro_f1(binarize(label_sets), predicted).micro > 0.9
    assert (baseline.hierarchy_.close(predicted).toarray() == predicted).all()


def test_the_threshold_is_tuned_on_validation_data():
    texts, label_sets = make_corpus(60, paths=2)
    validation = make_corpus(60, seed=1, paths=2)
    plain = LinearBaseline(HIERARCHY).fit(texts, label_sets)
    tuned = LinearBaseline(HIERARCHY).fit(texts, label_sets, validation_data=validation)
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
    monkeypatch.setattr("skhimatch.baseline.LABELS_AT_ONCE", 3)
    np.testing.assert_allclose(fitted.decision_function(["a lens", "a leaf"]), whole, rtol=1e-6)


def test_it_returns_the_container_it_was_taught_with():
    texts, label_sets = make_corpus(40)
    indicator = binarize(label_sets)
    assert isinstance(LinearBaseline(HIERARCHY).fit(texts, indicator).predict(texts), np.ndarray)
    taught = LinearBaseline(HIERARCHY).fit(texts, sparse.csr_array(indicator))
    assert sparse.issparse(taught.predict(texts))
    assert LinearBaseline().fit(texts, label_sets).hierarchy_.is_flat


def test_it_cannot_predict_before_fit():
    with pytest.raises(NotFittedError):
        LinearBaseline().predict(["a wave"])
