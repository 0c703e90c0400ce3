"""The baseline: TF-IDF and a linear SVM for each label, with what is best on a validation set."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import product
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array, issparse
from sklearn.base import BaseEstimator, ClassifierMixin, _fit_context
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import accuracy_score
from sklearn.utils import Tags
from sklearn.utils._param_validation import Interval, RealNotInt, StrOptions
from sklearn.utils.validation import check_is_fitted

from skhimatch.estimator_tags import multilabel_text_tags
from skhimatch.evaluation.decisions import DecisionRule
from skhimatch.evaluation.margins import PARENT_WEIGHTS, MarginDecision, is_better
from skhimatch.evaluation.optimized import MetricOptions, number_of_labels
from skhimatch.fitting.checked_input import checked_labelled_texts
from skhimatch.fitting.labelled_texts import LabelledTexts
from skhimatch.labels.formats import as_hierarchy
from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.labels.missing import encode_known_targets, without_missing
from skhimatch.labels.targets import label_names, reusable, validation_pair
from skhimatch.scores.svm import train_svms
from skhimatch.text.words import check_texts

__all__ = ["FIXED", "TFIDF", "LinearBaseline", "LinearChoices"]

# Parameters of the TfidfVectorizer where nothing is chosen.
TFIDF: dict[str, Any] = {"ngram_range": (1, 2), "sublinear_tf": True, "min_df": 2, "dtype": np.float32}
# What "auto" tries, in this order. Without a validation set it is the first value.
CANDIDATES: dict[str, tuple[Any, ...]] = {
    "ngram_range": (TFIDF["ngram_range"], (1, 1)),
    "stop_words": (None, "english"),
    "min_df": (TFIDF["min_df"], 1, 3),
    "C": (1.0, 0.3, 3.0),
}
# The baseline with nothing to choose but the threshold.
FIXED: dict[str, Any] = {name: values[0] for name, values in CANDIDATES.items()} | {"parent_weight": 0.0}
# Labels per matrix product: the product copies the rows of the weights.
LABEL_CHUNK_SIZE = 64


@dataclass(frozen=True)
class LinearChoices:
    """What a `LinearBaseline` uses: what was chosen on the validation set, or given.

    Attributes
    ----------
    ngram_range : tuple of two int
        The shortest and the longest sequences of words that are features.
    stop_words : "english", list of str or None
        Words that are left out.
    min_df : int or float
        How many training texts, or which share of them, a feature needs.
    C : float
        Inverse strength of the SVM's regularisation.
    decoding : {"threshold", "path"}
        How labels are predicted.
    parent_weight : float
        If paths are predicted: the weight of the parent's margin.
    validation_score : float or None
        The F1 that was maximised, on the validation set or on the texts of `tune`. For "micro_macro" it is
        the sum of micro-F1 and macro-F1. None without such texts.

    Examples
    --------
    >>> LinearChoices((1, 2), None, 2, 1.0, "path", 0.3, 1.25).decoding
    'path'
    """

    ngram_range: tuple[int, int]
    stop_words: str | list[str] | None
    min_df: int | float
    C: float
    decoding: str
    parent_weight: float
    validation_score: float | None


@dataclass(frozen=True, eq=False)
class _Trained:
    """The SVMs of one choice of the parameters."""

    settings: dict[str, Any]
    vectorizer: TfidfVectorizer
    features: Any
    coef: NDArray[np.float32]
    intercept: NDArray[np.float32]


class LinearBaseline(ClassifierMixin, BaseEstimator):
    """TF-IDF of words and word pairs, and one linear SVM per label.

    It is the yardstick for `HiMatchClassifier`. If `fit` gets a validation set, each parameter that is "auto"
    gets the value that is best there. One parameter is chosen after the other: `ngram_range`, `stop_words`,
    `min_df`, `C`. For each value, the best threshold and `parent_weight` are chosen too. If paths and a
    threshold are possible, each has a search of its own, and the better result is kept.

    Parameters
    ----------
    hierarchy : dict, pairs, paths, DiGraph, path of a file, or LabelHierarchy, optional
        As for `HiMatchClassifier`. Its labels are the columns of indicators.
    C : float or "auto", default="auto"
        Inverse strength of the SVM's regularisation. "auto" tries 1, 0.3 and 3. Without a validation set it
        is 1.
    min_df : int, float or "auto", default="auto"
        A word or word pair is left out if fewer training texts have it (int), or a smaller share of them
        (float). "auto" tries 2, 1 and 3, but no more than there are texts. Without a validation set it is 2.
    stop_words : "auto", "english", list of str or None, default="auto"
        Words that are left out. "auto" tries None and "english". Without a validation set it is None.
    ngram_range : tuple of two int or "auto", default="auto"
        The shortest and the longest sequences of words that are features. "auto" tries (1, 2) and (1, 1).
        Without a validation set it is (1, 2).
    decoding : {"auto", "threshold", "path"}, default="auto"
        "threshold" predicts each label whose margin is high enough. "path" predicts the best path. If the
        targets of every training text are a single path, "auto" tries both; without a validation set it is
        "path" then. Otherwise "auto" is "threshold".
    parent_weight : float or "auto", default="auto"
        If paths are predicted, this times the margin of its parent is added to the margin of each label. Of
        several parents, the largest margin counts. "auto" tries 0 and 0.3. Without a validation set it is 0.
    optimize : {"micro_macro", "micro", "macro", "hierarchical"} or "precision@k", default="micro_macro"
        What to maximise on the validation set: the sum of micro-F1 and macro-F1, or one of them, or
        hierarchical F1. With "precision@3" each text gets the three labels of the highest margins.
    consistency : {"ancestors", "descendants"} or None, default=None
        As for `HiMatchClassifier`.

    Attributes
    ----------
    classes_ : ndarray of L str
        The labels, in column order.
    hierarchy_ : LabelHierarchy
        The hierarchy of these labels.
    choices_ : LinearChoices
        The parameters that are used.
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
    >>> chosen = baseline.fit(texts, label_sets, X_val=texts[:3], y_val=label_sets[:3]).choices_
    >>> chosen.ngram_range, chosen.decoding, chosen.validation_score
    ((1, 2), 'path', 2.0)
    """

    _parameter_constraints: dict = {  # noqa: RUF012 (scikit-learn's convention)
        "hierarchy": "no_validation",
        "C": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
        "min_df": [
            Interval(RealNotInt, 0, 1, closed="both"),
            Interval(Integral, 1, None, closed="left"),
            StrOptions({"auto"}),
        ],
        "stop_words": [StrOptions({"auto", "english"}), list, None],
        "ngram_range": [tuple, StrOptions({"auto"})],
        "decoding": [StrOptions({"auto", "threshold", "path"})],
        "parent_weight": [Interval(Real, 0, None, closed="left"), StrOptions({"auto"})],
        "optimize": [MetricOptions()],
        "consistency": [StrOptions({"ancestors", "descendants"}), None],
    }

    def __init__(
        self,
        hierarchy: Any = None,
        *,
        C: float | str = "auto",
        min_df: float | str = "auto",
        stop_words: str | list[str] | None = "auto",
        ngram_range: tuple[int, int] | str = "auto",
        decoding: str = "auto",
        parent_weight: float | str = "auto",
        optimize: str = "micro_macro",
        consistency: str | None = None,
    ) -> None:
        self.hierarchy = hierarchy
        self.C = C
        self.min_df = min_df
        self.stop_words = stop_words
        self.ngram_range = ngram_range
        self.decoding = decoding
        self.parent_weight = parent_weight
        self.optimize = optimize
        self.consistency = consistency

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: ArrayLike | None = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: ArrayLike | None = None,
        validation_data: tuple[Any, Any] | None = None,
    ) -> LinearBaseline:
        """Train an SVM for each label.

        Parameters
        ----------
        X : iterable of n str
            The texts.
        y : iterable of n iterables of str, iterable of n str, indicator of shape (n, L), or DataFrame
            The labels of each text, see `encode_targets`. NaN in an indicator, or in a DataFrame, says that
            it is not known whether the text has the label: the SVM of this label leaves the text out, and
            validation scores leave out the pair. Then no paths are predicted, since such a text may have
            several.
        sample_weight : array-like of shape (n,), optional
            Weights of the texts, from 0. A weight of 2 is the text twice in each SVM, and a text of weight 0
            is left out. Words and their document frequencies are counted without weights.
        X_val : iterable of str, optional
            The texts of a validation set, on which parameters, decoding and threshold are chosen.
        y_val : iterable of iterables of str, iterable of str, indicator, or DataFrame, optional
            The labels of `X_val`.
        sample_weight_val : array-like, optional
            Weights of the texts of `X_val`.
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
        _check_ngram_range(self.ngram_range)
        validation = validation_pair(X_val, y_val, validation_data)
        texts = _check_texts(X)
        y = reusable(y)
        hierarchy = (
            LabelHierarchy.flat(label_names(y)) if self.hierarchy is None else as_hierarchy(self.hierarchy)
        )
        training = checked_labelled_texts(texts, y, hierarchy, sample_weight=sample_weight)
        held_out = None
        if validation is None:
            if sample_weight_val is not None:
                raise ValueError(
                    "sample_weight_val is given but X_val is not: pass both, or only sample_weight."
                )
        else:
            held_out = checked_labelled_texts(
                _check_texts(validation[0]),
                validation[1],
                hierarchy,
                sample_weight=sample_weight_val,
                name_of_weights="sample_weight_val",
            )
        best, decision = self._search(training, hierarchy, held_out)
        self.hierarchy_ = hierarchy
        self.classes_ = np.asarray(hierarchy.labels, dtype=object)
        self.sparse_output_ = issparse(y)
        self.vectorizer_ = best.vectorizer
        self.coef_ = best.coef
        self.intercept_ = best.intercept
        self._use(decision, best.settings)
        return self

    def tune(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> LinearBaseline:
        """Choose decoding, threshold and weight of the parent's margin anew, without training.

        Use it for another `optimize`, `decoding` or `consistency`, or when texts have changed since the fit.

        Parameters
        ----------
        X, y : as in `fit`
            Texts and labels that were not trained on.
        sample_weight : array-like of shape (n,), optional
            Weights of these texts.

        Returns
        -------
        LinearBaseline
            Itself.

        Raises
        ------
        ValueError, TypeError
            As `fit`; nothing is changed then.

        Examples
        --------
        >>> from skhimatch.baseline import LinearBaseline
        >>> texts = ["a quark and a gluon", "the cell divides", "a serve and a volley"] * 2
        >>> label_sets = [{"physics"}, {"biology"}, {"tennis"}] * 2
        >>> baseline = LinearBaseline().fit(texts, label_sets)
        >>> baseline.set_params(optimize="macro").tune(texts[:3], label_sets[:3]).choices_.validation_score
        1.0
        """
        check_is_fitted(self)
        self._validate_params()
        held_out = checked_labelled_texts(_check_texts(X), y, self.hierarchy_, sample_weight=sample_weight)
        rule = replace(self.decision_, threshold=0.5, decoding=self.decoding, consistency=self.consistency)
        decision = self._choose(rule, self.decision_function(held_out.texts), held_out)
        self._use(decision, {name: getattr(self.choices_, name) for name in CANDIDATES})
        return self

    def _search(
        self,
        training: LabelledTexts,
        hierarchy: LabelHierarchy,
        held_out: LabelledTexts | None,
    ) -> tuple[_Trained, MarginDecision]:
        """Choose one parameter after the other. Nothing is trained twice, and only the best is kept."""
        rule = DecisionRule.learn(
            training.targets,
            hierarchy,
            missing=training.missing,
            decoding=self.decoding,
            consistency=self.consistency,
            n_labels=number_of_labels(self.optimize),
        )
        rules = [rule]
        if held_out is not None and self.decoding == "auto" and rule.ends is not None:
            # Two searches side by side: the parameters that are best for paths may not be for a threshold.
            rules = [replace(rule, decoding=decoding) for decoding in ("path", "threshold")]
        best: dict[int, tuple[_Trained, MarginDecision]] = {}

        def consider(settings: dict[str, Any], searches: list[int]) -> None:
            known = [trained for trained, _ in best.values()]
            trained = _train(training, settings, known)
            margins = None
            if held_out is not None:
                features = trained.vectorizer.transform(held_out.texts)
                margins = _margins(features, trained.coef, trained.intercept)
            for number in searches:
                decision = MarginDecision(rules[number], self._parent_weights[0])
                if held_out is not None and margins is not None:
                    decision = self._choose(rules[number], margins, held_out)
                if number not in best or is_better(decision, best[number][1]):
                    best[number] = trained, decision

        to_try = self._to_try(len(training), several=held_out is not None)
        first = {name: values[0] for name, values in to_try.items()}
        problem = None
        try:
            consider(first, list(range(len(rules))))
        except _NoWord as error:
            problem = error
        for name, values in to_try.items():
            # The best settings so far have the first value. Without any of them, the first ones are changed.
            starts: list[tuple[dict[str, Any], list[int]]] = []
            for number in range(len(rules)):
                settings = best[number][0].settings if best else first
                same = [searches for start, searches in starts if start == settings]
                if same:
                    same[0].append(number)
                else:
                    starts.append((settings, [number]))
            for (start, searches), value in product(starts, values[1:]):
                with suppress(_NoWord):
                    consider(start | {name: value}, searches)
        if not best:
            raise ValueError(str(problem)) from problem
        found = best[0]
        for other in best.values():
            if is_better(other[1], found[1]):
                found = other
        return found

    def _to_try(self, n_texts: int, *, several: bool) -> dict[str, list[Any]]:
        """Return the values of each parameter; only one if there is no validation set to choose on."""
        to_try = {}
        for name, values in CANDIDATES.items():
            given = getattr(self, name)
            if not _is_auto(given):
                to_try[name] = [given]
                continue
            possible = [min(value, n_texts) for value in values] if name == "min_df" else values
            to_try[name] = list(dict.fromkeys(possible if several else possible[:1]))
        return to_try

    @property
    def _parent_weights(self) -> tuple[float, ...]:
        return PARENT_WEIGHTS if _is_auto(self.parent_weight) else (float(self.parent_weight),)

    def _choose(
        self, rule: DecisionRule, margins: NDArray[np.float32], held_out: LabelledTexts
    ) -> MarginDecision:
        return MarginDecision.choose(
            rule,
            margins,
            held_out.targets,
            optimize=self.optimize,
            parent_weights=self._parent_weights,
            sample_weight=held_out.sample_weight,
            missing=held_out.missing,
        )

    def _use(self, decision: MarginDecision, settings: dict[str, Any]) -> None:
        self.decision_ = decision.rule
        self.choices_ = LinearChoices(
            **settings,
            decoding=decision.decoding,
            parent_weight=decision.parent_weight,
            validation_score=decision.score,
        )

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
        decision = MarginDecision(self.decision_, self.choices_.parent_weight)
        indicator = decision(margins).astype(np.int64)
        return indicator if self.sparse_output_ else indicator.toarray()

    def score(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> float:
        """Return the subset accuracy: the share of texts with exactly the right labels.

        Where targets are missing (NaN in an indicator), only the others count.

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
        known = encode_known_targets(y, self.hierarchy_, predicted.shape[0])
        found = csr_array(without_missing(predicted, known.missing)).astype(np.int64)
        return float(accuracy_score(known.targets.astype(np.int64), found, sample_weight=sample_weight))

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


class _NoWord(Exception):
    """No word is left for TF-IDF."""


def _is_auto(value: Any) -> bool:
    return isinstance(value, str) and value == "auto"


def _check_ngram_range(value: Any) -> None:
    if _is_auto(value):
        return
    if not (
        len(value) == 2
        and all(isinstance(number, Integral) for number in value)
        and 1 <= value[0] <= value[1]
    ):
        raise ValueError(
            f"ngram_range is {value!r}; pass the shortest and the longest number of words, such as (1, 2)"
        )


def _tfidf(texts: list[str], settings: dict[str, Any]) -> tuple[TfidfVectorizer, Any]:
    of_vectorizer = {name: value for name, value in settings.items() if name != "C"}
    vectorizer = TfidfVectorizer(**TFIDF | of_vectorizer)
    try:
        return vectorizer, vectorizer.fit_transform(texts)
    except ValueError as error:
        raise _NoWord(
            f"TF-IDF needs a word that {vectorizer.min_df} of the {len(texts)} texts have: {error}"
        ) from error


def _train(training: LabelledTexts, settings: dict[str, Any], known: list[_Trained]) -> _Trained:
    """Train an SVM for each label. Features are taken from what is known, if only C is another one."""
    for trained in known:
        if trained.settings | {"C": settings["C"]} == settings:
            vectorizer, features = trained.vectorizer, trained.features
            break
    else:
        vectorizer, features = _tfidf(training.texts, settings)
    targets = training.targets
    coef = np.zeros((targets.shape[1], features.shape[1]), dtype=np.float32)
    intercept = np.where(targets.sum(axis=0) > 0, np.inf, -np.inf).astype(np.float32)
    for label, weights, bias in train_svms(features, targets, C=settings["C"], weights=training.weights):
        coef[label], intercept[label] = weights, bias
    return _Trained(settings, vectorizer, features, coef, intercept)
