"""The yardstick: TF-IDF and a linear SVM for each label, decided as the network is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, issparse
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.svm import LinearSVC
from sklearn.utils.validation import check_is_fitted

from skhimatch.evaluation.decisions import DecisionRule
from skhimatch.labels.formats import as_hierarchy
from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.labels.targets import encode_targets, label_names
from skhimatch.text.words import check_texts

__all__ = ["TFIDF", "LinearBaseline", "train_svms"]

# A word pair that occurs in one text only makes the model three times larger, and no better.
TFIDF: dict[str, Any] = {"ngram_range": (1, 2), "sublinear_tf": True, "min_df": 2, "dtype": np.float32}
# Margins are computed for so many labels at once: the product copies the weights it is given.
LABELS_AT_ONCE = 64


class LinearBaseline(ClassifierMixin, BaseEstimator):
    """TF-IDF of words and word pairs, and one linear SVM a label.

    Margins become labels by the same `DecisionRule` as `HiMatchClassifier`: the best path where all
    training targets are single paths, else a threshold.

    Parameters
    ----------
    hierarchy : dict, pairs, paths, DiGraph, path of a file, or LabelHierarchy, optional
        As for `HiMatchClassifier`; its labels are the columns of indicators.
    C : float, default=1.0
        Inverse strength of the SVM's regularisation.
    decoding : {"auto", "threshold", "path"}, default="auto"
        As for `HiMatchClassifier`.
    consistency : {"ancestors", "descendants"} or None, default=None
        As for `HiMatchClassifier`.

    Attributes
    ----------
    classes_ : ndarray of L str
        The labels, in column order.
    hierarchy_ : LabelHierarchy
        Over these labels.
    vectorizer_ : TfidfVectorizer
        Fitted on the training texts.
    coef_ : float32 ndarray of shape (L, n_features)
        A label that is on every training text, or on none, has only an intercept.
    intercept_ : float32 ndarray of shape (L,)
        Infinite for such a label.
    decision_ : DecisionRule
        Its threshold is on expit(margin), and tuned where there is validation data.

    Examples
    --------
    >>> from skhimatch.baseline import LinearBaseline
    >>> texts = ["a quark and a gluon", "the cell divides", "a serve and a volley"] * 2
    >>> label_sets = [{"science", "physics"}, {"science", "biology"}, {"sport", "tennis"}] * 2
    >>> baseline = LinearBaseline({"science": ["physics", "biology"], "sport": ["tennis"]})
    >>> predicted = baseline.fit(texts, label_sets).predict(["the cell", "a volley"])
    >>> [sorted(baseline.classes_[row.astype(bool)]) for row in predicted]
    [['biology', 'science'], ['sport', 'tennis']]
    """

    def __init__(
        self, hierarchy: Any = None, *, C: float = 1.0, decoding: str = "auto", consistency: str | None = None
    ) -> None:
        self.hierarchy = hierarchy
        self.C = C
        self.decoding = decoding
        self.consistency = consistency

    def fit(self, X: Any, y: Any, *, validation_data: tuple[Any, Any] | None = None) -> LinearBaseline:
        """Train an SVM for each label.

        Parameters
        ----------
        X : iterable of n str
            The texts.
        y : iterable of n iterables of str, indicator of shape (n, L), or DataFrame
            The labels of each text.
        validation_data : (X, y), optional
            Tunes the threshold, on micro-F1 + macro-F1.

        Returns
        -------
        LinearBaseline
            Itself.
        """
        texts = check_texts(X)
        hierarchy = (
            LabelHierarchy.flat(label_names(y)) if self.hierarchy is None else as_hierarchy(self.hierarchy)
        )
        encoded = encode_targets(y, hierarchy, len(texts))
        self.hierarchy_ = hierarchy
        self.classes_ = np.asarray(hierarchy.labels, dtype=object)
        self.sparse_output_ = issparse(y)
        self.vectorizer_ = TfidfVectorizer(**TFIDF)
        features = self.vectorizer_.fit_transform(texts)
        self.coef_ = np.zeros((len(hierarchy), features.shape[1]), dtype=np.float32)
        self.intercept_ = np.where(encoded.sum(axis=0) > 0, np.inf, -np.inf).astype(np.float32)
        for label, weights, intercept in train_svms(features, encoded, C=self.C):
            self.coef_[label], self.intercept_[label] = weights, intercept
        self.decision_ = DecisionRule.learn(
            encoded, hierarchy, decoding=self.decoding, consistency=self.consistency
        )
        if validation_data is not None:
            held_texts, held_targets = validation_data
            probabilities = expit(self.decision_function(held_texts))
            held = encode_targets(held_targets, hierarchy, len(probabilities))
            self.decision_ = self.decision_.tuned(probabilities, held)
        return self

    def decision_function(self, X: Any) -> NDArray[np.float32]:
        """Return the margins of all labels.

        Parameters
        ----------
        X : iterable of n str
            The texts.

        Returns
        -------
        float32 ndarray of shape (n, L)
        """
        check_is_fitted(self)
        features = self.vectorizer_.transform(check_texts(X))
        margins = np.tile(self.intercept_, (features.shape[0], 1))
        trained = np.flatnonzero(np.isfinite(self.intercept_))
        for start in range(0, len(trained), LABELS_AT_ONCE):
            labels = trained[start : start + LABELS_AT_ONCE]
            margins[:, labels] += features @ self.coef_[labels].T
        return margins

    def predict(self, X: Any) -> NDArray[np.int64] | csr_array:
        """Return the predicted labels as an indicator.

        Parameters
        ----------
        X : iterable of n str
            The texts.

        Returns
        -------
        int64 ndarray or csr_array of shape (n, L)
            Sparse where the baseline was taught with sparse targets. Columns are `classes_`.
        """
        margins = self.decision_function(X)
        indicator = self.decision_(expit(margins)).astype(np.int64)
        return indicator if self.sparse_output_ else indicator.toarray()


def train_svms(
    features: Any, targets: csr_array, *, C: float = 1.0
) -> Iterator[tuple[int, NDArray[np.float64], float]]:
    """Train a linear SVM for each label that some, but not all of the texts carry.

    Parameters
    ----------
    features : sparse of shape (n, F)
        TF-IDF of the texts.
    targets : csr_array of shape (n, L)
        0/1 targets.
    C : float
        Inverse strength of the regularisation.

    Yields
    ------
    label, weights, intercept : int, ndarray of shape (F,), float
    """
    by_label = targets.tocsc()
    n_texts, n_examples = targets.shape[0], np.diff(by_label.indptr)
    for label in np.flatnonzero((n_examples > 0) & (n_examples < n_texts)):
        target = np.zeros(n_texts, dtype=bool)
        target[by_label.indices[by_label.indptr[label] : by_label.indptr[label + 1]]] = True
        svm = LinearSVC(C=C, dual=True, random_state=0).fit(features, target)
        yield int(label), svm.coef_[0], float(svm.intercept_[0])
