"""The baseline: TF-IDF and a linear SVM for each label, with the same decision rule as the network."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array, issparse
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin, _fit_context
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import accuracy_score
from sklearn.utils import Tags
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from skhimatch.estimator_tags import multilabel_text_tags
from skhimatch.evaluation.decisions import DecisionRule
from skhimatch.labels.formats import as_hierarchy
from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.labels.targets import encode_targets, label_names, validation_pair
from skhimatch.scores.svm import train_svms
from skhimatch.text.words import check_texts

__all__ = ["TFIDF", "LinearBaseline"]

# Parameters of the TfidfVectorizer. With min_df=1 the model is three times larger and no better.
TFIDF: dict[str, Any] = {"ngram_range": (1, 2), "sublinear_tf": True, "min_df": 2, "dtype": np.float32}
# Labels per matrix product: the product copies the rows of the weights.
LABEL_CHUNK_SIZE = 64


class LinearBaseline(ClassifierMixin, BaseEstimator):
    """TF-IDF of words and word pairs, and one linear SVM per label.

    A `DecisionRule` turns margins into labels, as in `HiMatchClassifier`: the best path if all training
    targets are single paths, else a threshold.

    Parameters
    ----------
    hierarchy : dict, pairs, paths, DiGraph, path of a file, or LabelHierarchy, optional
        As for `HiMatchClassifier`. Its labels are the columns of indicators.
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
        The hierarchy of these labels.
    vectorizer_ : TfidfVectorizer
        Fitted on the training texts.
    coef_ : float32 ndarray of shape (L, n_features)
        The weights. They are zero for a label that all training texts have, or none.
    intercept_ : float32 ndarray of shape (L,)
        The intercepts. They are infinite for such a label.
    decision_ : DecisionRule
        Applied to expit(margin). Its threshold is tuned if there is a validation set.

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

    _parameter_constraints: dict = {  # noqa: RUF012 (scikit-learn's convention)
        "hierarchy": "no_validation",
        "C": [Interval(Real, 0, None, closed="neither")],
        "decoding": [StrOptions({"auto", "threshold", "path"})],
        "consistency": [StrOptions({"ancestors", "descendants"}), None],
    }

    def __init__(
        self, hierarchy: Any = None, *, C: float = 1.0, decoding: str = "auto", consistency: str | None = None
    ) -> None:
        self.hierarchy = hierarchy
        self.C = C
        self.decoding = decoding
        self.consistency = consistency

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: Any,
        y: Any,
        *,
        X_val: Any = None,
        y_val: Any = None,
        validation_data: tuple[Any, Any] | None = None,
    ) -> LinearBaseline:
        """Train an SVM for each label.

        Parameters
        ----------
        X : iterable of n str
            The texts.
        y : iterable of n iterables of str, iterable of n str, indicator of shape (n, L), or DataFrame
            The labels of each text, see `encode_targets`.
        X_val : iterable of str, optional
            The texts of a validation set, which tunes the threshold for micro-F1 + macro-F1.
        y_val : iterable of iterables of str, iterable of str, indicator, or DataFrame, optional
            The labels of `X_val`.
        validation_data : (X, y), optional
            Deprecated: pass `X_val` and `y_val`.

        Returns
        -------
        LinearBaseline
            Itself.

        Raises
        ------
        ValueError, TypeError
            If texts, labels, hierarchy or parameters are not as described. Nothing is fitted then.
        """
        validation = validation_pair(X_val, y_val, validation_data)
        texts = _check_texts(X)
        y = list(y) if isinstance(y, Iterator) else y
        hierarchy = (
            LabelHierarchy.flat(label_names(y)) if self.hierarchy is None else as_hierarchy(self.hierarchy)
        )
        targets = encode_targets(y, hierarchy, len(texts))
        if validation is not None:
            held_texts = _check_texts(validation[0])
            held_targets = encode_targets(validation[1], hierarchy, len(held_texts))
        vectorizer = TfidfVectorizer(**TFIDF | {"min_df": min(TFIDF["min_df"], len(texts))})
        try:
            features = vectorizer.fit_transform(texts)
        except ValueError as error:
            raise ValueError(
                f"TF-IDF needs a word that {vectorizer.min_df} of the {len(texts)} texts have: {error}"
            ) from error
        coef = np.zeros((len(hierarchy), features.shape[1]), dtype=np.float32)
        intercept = np.where(targets.sum(axis=0) > 0, np.inf, -np.inf).astype(np.float32)
        for label, weights, bias in train_svms(features, targets, C=self.C):
            coef[label], intercept[label] = weights, bias
        decision = DecisionRule.learn(
            targets, hierarchy, decoding=self.decoding, consistency=self.consistency
        )
        if validation is not None:
            margins = _margins(vectorizer.transform(held_texts), coef, intercept)
            decision = decision.tuned(expit(margins), held_targets)
        self.hierarchy_ = hierarchy
        self.classes_ = np.asarray(hierarchy.labels, dtype=object)
        self.sparse_output_ = issparse(y)
        self.vectorizer_ = vectorizer
        self.coef_ = coef
        self.intercept_ = intercept
        self.decision_ = decision
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
            The columns are `classes_`.
        """
        check_is_fitted(self)
        return _margins(self.vectorizer_.transform(_check_texts(X)), self.coef_, self.intercept_)

    def predict(self, X: Any) -> NDArray[np.int64] | csr_array:
        """Return the predicted labels as an indicator.

        Parameters
        ----------
        X : iterable of n str
            The texts.

        Returns
        -------
        int64 ndarray or csr_array of shape (n, L)
            The columns are `classes_`. Sparse if the targets in `fit` were sparse.
        """
        margins = self.decision_function(X)
        indicator = self.decision_(expit(margins)).astype(np.int64)
        return indicator if self.sparse_output_ else indicator.toarray()

    def score(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> float:
        """Return the subset accuracy: the share of texts with exactly the right labels.

        Parameters
        ----------
        X : iterable of n str
            The texts.
        y : iterable of n iterables of str, iterable of n str, indicator of shape (n, L), or DataFrame
            The labels of each text, as in `fit`.
        sample_weight : array-like of shape (n,), optional
            Weights of the texts.

        Returns
        -------
        float
            In [0, 1].
        """
        predicted = csr_array(self.predict(X))
        expected = encode_targets(y, self.hierarchy_, predicted.shape[0])
        return float(accuracy_score(expected.astype(np.int64), predicted, sample_weight=sample_weight))

    def __sklearn_tags__(self) -> Tags:
        return multilabel_text_tags(super().__sklearn_tags__(), getattr(self, "classes_", None))


def _check_texts(X: Any) -> list[Any]:
    texts = check_texts(X)
    if isinstance(texts[0], list):
        raise TypeError("Text 0 is a list of tokens; pass whole texts: TfidfVectorizer finds the words.")
    return texts


def _margins(features: Any, coef: NDArray[np.float32], intercept: NDArray[np.float32]) -> NDArray[np.float32]:
    margins = np.tile(intercept, (features.shape[0], 1))
    trained = np.flatnonzero(np.isfinite(intercept))
    for start in range(0, len(trained), LABEL_CHUNK_SIZE):
        labels = trained[start : start + LABEL_CHUNK_SIZE]
        margins[:, labels] += features @ coef[labels].T
    return margins
