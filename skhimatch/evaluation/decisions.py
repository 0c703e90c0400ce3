"""Decision rules from probabilities to labels: thresholds, best paths and consistency."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cached_property
from math import prod
from numbers import Integral
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array, vstack
from scipy.special import expit, logit

from skhimatch.evaluation.consistency import add_ancestors, drop_orphans
from skhimatch.evaluation.optimized import score_of_decision
from skhimatch.evaluation.path_decisions import (
    path_ends,
    predict_most_probable_path,
    predict_path,
    predict_path_that_may_stop,
)
from skhimatch.evaluation.paths import LabelPaths
from skhimatch.evaluation.thresholds import best_thresholds, gain_of_predictions
from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.labels.indicators import as_indicator
from skhimatch.labels.missing import without_missing

__all__ = [
    "MAX_DENSE",
    "DecisionRule",
    "check_consistency",
    "check_decoding",
    "check_k",
    "check_threshold",
    "highest",
    "predict_most_probable",
    "predict_threshold",
    "stacked_decisions",
]

Probabilities = npt.NDArray[np.floating[Any]]

# Predictions with more numbers are sparse, whatever the targets were. Dense, they would take 160 MB.
MAX_DENSE = 20_000_000


@dataclass(frozen=True, eq=False)
class DecisionRule:
    """A rule that turns probabilities into labels, learned from the training targets.

    Attributes
    ----------
    hierarchy : LabelHierarchy
        L labels in column order.
    threshold : float or ndarray of shape (L,)
        The minimum probability of a predicted label. If paths are predicted from probabilities that are
        independent, a path is as likely to continue to a label of this probability as to stop before it.
    path_ends : ndarray of int64 or None
        If the labels of every training text that has any are a single path: the positions of the labels
        that end one, see :func:`path_ends`.
    tagged : ndarray of shape (L,), bool
        Whether a label is a target of at least one training text.
    consistency : {"auto", "ancestors", "descendants"} or None
        "ancestors" adds the missing ancestors of predicted labels, and so does "auto" if `closed`.
        "descendants" drops predicted labels that lack a tagged ancestor; other ancestors are not required,
        because they are never predicted.
    decoding : {"auto", "threshold", "path"}
        "threshold" predicts by threshold. "auto" predicts a path if there are `path_ends`, and by
        threshold otherwise. "path" always predicts a path.
    lowest : ndarray of int64 or None
        The labels that may end a path if there are no `path_ends`. By default the tagged labels without a
        tagged descendant.
    unlabelled : bool
        Whether some training texts have no label, so that "auto" may predict none.
    one_path : bool
        Whether the probabilities are those of a choice of one path or none, so that they determine the
        probability of each path. The most probable path is predicted then, or nothing if that is more
        probable.
    path_minimum : float or ndarray of shape (L,)
        If `one_path`, the labels of the path that are less probable are left out.
    importance : ndarray of shape (L,) or None
        If `one_path`, and this is given, the path may stop early, see :func:`predict_path_that_may_stop`.
    closed : bool
        Whether every training text has all ancestors of its labels.
    n_labels : int or None
        If given, each text gets this number of labels, the most probable ones, whatever the threshold. With
        ``consistency="auto"`` no ancestors are added then.

    Examples
    --------
    >>> hierarchy = LabelHierarchy([("science", "physics"), ("science", "biology")])
    >>> hierarchy.labels
    ('biology', 'physics', 'science')
    >>> everywhere = np.ones(3, dtype=bool)
    >>> rule = DecisionRule(hierarchy, 0.5, path_ends=None, tagged=everywhere, consistency="ancestors")
    >>> rule(np.array([[0.1, 0.8, 0.3], [0.1, 0.2, 0.4]])).toarray().astype(int)
    array([[0, 1, 1],
           [0, 0, 0]])
    """

    hierarchy: LabelHierarchy
    threshold: float | npt.NDArray[np.float64]
    path_ends: npt.NDArray[np.int64] | None
    tagged: npt.NDArray[np.bool_]
    consistency: str | None = None
    decoding: str = "auto"
    lowest: npt.NDArray[np.int64] | None = None
    unlabelled: bool = False
    one_path: bool = False
    path_minimum: float | npt.NDArray[np.float64] = 0.0
    importance: npt.NDArray[np.float64] | None = None
    closed: bool = False
    n_labels: int | None = None

    def __post_init__(self) -> None:
        check_consistency(self.consistency)
        check_decoding(self.decoding)

    @property
    def ends(self) -> npt.NDArray[np.int64] | None:
        """The positions of the labels that may end a path; None if labels are predicted by threshold."""
        if self.n_labels is not None:
            return None
        several = self.path_ends is None or (self.unlabelled and not self.one_path)
        if self.decoding == "threshold" or (self.decoding == "auto" and several):
            return None
        if self.path_ends is not None:
            return self.path_ends
        return _lowest(self.tagged, self.hierarchy) if self.lowest is None else self.lowest

    @classmethod
    def learn(
        cls,
        targets: Any,
        hierarchy: LabelHierarchy,
        *,
        threshold: float | npt.NDArray[np.float64] = 0.5,
        decoding: str = "auto",
        consistency: str | None = None,
        n_labels: int | None = None,
        missing: csr_array | None = None,
    ) -> DecisionRule:
        """Learn from training targets which labels may end a path.

        Parameters
        ----------
        targets : array-like or sparse of shape (n, L)
            An indicator: 0 or 1.
        hierarchy : LabelHierarchy
            L labels in column order.
        threshold : float or ndarray of shape (L,), default=0.5
            The attribute of this name.
        decoding : {"auto", "threshold", "path"}, default="auto"
            The attribute of this name.
        consistency : {"auto", "ancestors", "descendants"} or None, default=None
            The attribute of this name.
        n_labels : int, optional
            The attribute of this name.
        missing : csr_array of shape (n, L), bool, optional
            Where targets are missing; they are 0 in `targets`. There are no `path_ends` then, because such a
            text may have several paths. A missing ancestor is not one that the text lacks.

        Returns
        -------
        DecisionRule
            The rule.

        Raises
        ------
        ValueError
            If `targets` is not an indicator, or `decoding` or `consistency` is not one of the options.

        Examples
        --------
        >>> hierarchy = LabelHierarchy([("science", "physics"), ("science", "biology")])
        >>> DecisionRule.learn([[0, 1, 1], [0, 0, 1]], hierarchy).ends  # physics, science
        array([1, 2])
        """
        indicator = as_indicator(targets, len(hierarchy))
        tagged = np.bincount(indicator.indices, minlength=len(hierarchy)) > 0
        labelled = np.diff(indicator.indptr) > 0
        complete = missing is None or not missing.nnz
        known = labelled if missing is None else labelled | (np.diff(missing.indptr) > 0)
        return cls(
            hierarchy,
            threshold,
            path_ends=path_ends(indicator[np.flatnonzero(labelled)], hierarchy) if complete else None,
            tagged=tagged,
            consistency=consistency,
            decoding=decoding,
            unlabelled=not known.all(),
            closed=without_missing(hierarchy.close(indicator), missing).nnz == indicator.nnz,
            n_labels=n_labels,
        )

    @cached_property
    def paths(self) -> LabelPaths | None:
        """The paths of training texts, and those to leaves without texts, if each text has one or none."""
        if self.path_ends is None:
            return None
        without_texts = self.hierarchy.leaves[~self.tagged[self.hierarchy.leaves]]
        tagged = self.tagged
        if self.closed:
            # Where all texts have the ancestors of their labels, so has a text of such a leaf.
            above = self.hierarchy.ancestors[without_texts].indices
            tagged = tagged | (np.bincount(above, minlength=len(tagged)) > 0)
        return LabelPaths(self.hierarchy, np.union1d(self.path_ends, without_texts), tagged)

    @cached_property
    def beginnings(self) -> LabelPaths | None:
        """The same paths, and all that begin like one of them but stop before."""
        if self.paths is None:
            return None
        return replace(self.paths, ends=np.union1d(self.paths.ends, np.flatnonzero(self.tagged)))

    def with_best_thresholds(
        self,
        probabilities: Probabilities,
        optimize: str,
        sample_weight: npt.NDArray[np.float64] | None = None,
    ) -> DecisionRule:
        """Return the rule with a threshold for each label, at which the expected F1 is highest.

        Parameters
        ----------
        probabilities : ndarray of shape (n, L)
            Calibrated probabilities for texts that are not training texts.
        optimize : {"micro_macro", "micro", "macro", "hierarchical"}
            See `best_thresholds`.
        sample_weight : ndarray of shape (n,), optional
            The weights of the texts.

        Returns
        -------
        DecisionRule
            It predicts whole paths, if it predicts paths.
        """
        threshold = best_thresholds(probabilities, optimize, sample_weight)
        return replace(self, threshold=threshold, path_minimum=0.0, importance=None)

    def with_paths_that_may_stop(
        self,
        probabilities: Probabilities,
        optimize: str,
        sample_weight: npt.NDArray[np.float64] | None = None,
    ) -> DecisionRule:
        """Return the rule whose paths stop where the expected F1 would fall.

        Parameters
        ----------
        probabilities, optimize, sample_weight : as for `with_best_thresholds`
            The thresholds of this rule have to be the best ones for them.

        Returns
        -------
        DecisionRule
        """
        importance = gain_of_predictions(probabilities, self.threshold, optimize, sample_weight)
        return replace(self, importance=importance)

    def tuned(
        self,
        probabilities: Probabilities,
        targets: Any,
        optimize: str = "micro_macro",
        sample_weight: npt.NDArray[np.float64] | None = None,
        missing: csr_array | None = None,
    ) -> DecisionRule:
        """Return the rule with the single threshold that has the best F1 on these texts.

        Parameters
        ----------
        probabilities : ndarray of shape (n, L)
            Probabilities for texts that are not training texts.
        targets : array-like or sparse of shape (n, L)
            The labels of these texts, an indicator.
        optimize : {"micro_macro", "micro", "macro", "hierarchical"}
            The F1 to maximise: the sum of micro-F1 and macro-F1, or one of them, or hierarchical F1.
        sample_weight : ndarray of shape (n,), optional
            The weights of the texts.
        missing : csr_array of shape (n, L), bool, optional
            Where targets are missing.

        Returns
        -------
        DecisionRule
            The rule with the highest F1 among the thresholds 0.05, 0.06, ..., 0.7. Of
            several best thresholds, the middle one is taken.
        """
        ends = self.ends
        only_leaves = ends is not None and self.hierarchy.children[ends].nnz == 0
        if only_leaves or self.n_labels is not None:
            # The threshold has no effect: every path ends at a leaf, or the number of labels is given.
            return self
        rules = [replace(self, threshold=round(0.01 * percent, 2)) for percent in range(5, 71)]
        scores = np.array(
            [
                score_of_decision(
                    optimize, targets, rule(probabilities), self.hierarchy, sample_weight, missing
                )
                for rule in rules
            ]
        )
        best = np.flatnonzero(scores >= scores.max() - 1e-12)
        return rules[best[len(best) // 2]]

    def with_labels(self, hierarchy: LabelHierarchy) -> DecisionRule:
        """Return the rule for more labels. They have no training text, but may end a path.

        Parameters
        ----------
        hierarchy : LabelHierarchy
            L labels. The first ones are the labels of this rule. If each label has its own threshold,
            the new labels get the median.

        Returns
        -------
        DecisionRule
            The rule for all L labels.
        """
        others = np.arange(len(self.hierarchy), len(hierarchy))
        lowest = _lowest(self.tagged, self.hierarchy) if self.lowest is None else self.lowest
        threshold, importance = self.threshold, self.importance
        if isinstance(threshold, np.ndarray) and threshold.ndim:
            threshold = np.append(threshold, np.full(len(others), np.median(threshold)))
        if importance is not None:
            importance = np.append(importance, np.full(len(others), np.median(importance)))
        return replace(
            self,
            hierarchy=hierarchy,
            threshold=threshold,
            importance=importance,
            path_ends=None if self.path_ends is None else np.append(self.path_ends, others),
            lowest=np.append(lowest, others),
            tagged=np.append(self.tagged, np.zeros(len(others), dtype=bool)),
        )

    def __call__(self, probabilities: Probabilities) -> csr_array:
        """Return the predicted labels, a csr_array of shape (n, L), bool, of probabilities (n, L)."""
        ends, consistency = self.ends, self.consistency
        if consistency == "auto":
            consistency = "ancestors" if self.closed and self.n_labels is None else None
        if self.n_labels is not None:
            indicator = predict_most_probable(probabilities, self.n_labels)
        elif ends is None:
            indicator = predict_threshold(probabilities, self.threshold)
        elif self.one_path and self.importance is not None and self.beginnings is not None:
            indicator = predict_path_that_may_stop(
                probabilities,
                self.beginnings,
                self.threshold,
                self.importance,
                at_least_one=not self.unlabelled,
            )
        elif self.one_path and self.paths is not None:
            indicator = predict_most_probable_path(probabilities, self.paths, self.path_minimum)
            if self.paths.closed and not np.any(self.path_minimum):
                # No label of a path is left out, and it has all ancestors.
                return indicator
        else:
            relative = _relative_to(probabilities, self.threshold)
            indicator = predict_path(relative, ends, self.hierarchy, self.tagged)
        if consistency == "ancestors":
            return add_ancestors(indicator, self.hierarchy)
        if consistency == "descendants":
            return drop_orphans(indicator, self.hierarchy, self.tagged)
        return indicator


def _relative_to(probabilities: Probabilities, threshold: float | npt.NDArray[np.float64]) -> Probabilities:
    """Shift the log-odds so that the threshold becomes 0.5."""
    smallest = np.finfo(np.float64).eps
    numbers = np.clip(np.asarray(probabilities, dtype=np.float64), smallest, 1 - smallest)
    return expit(logit(numbers) - logit(np.clip(threshold, smallest, 1 - smallest)))


def check_threshold(threshold: Any, classes: Any) -> float | npt.NDArray[np.float64]:
    """Check a threshold against the labels.

    Parameters
    ----------
    threshold : float or array-like of shape (L,)
        One threshold for all labels, or one per label.
    classes : sequence of length L
        The labels.

    Returns
    -------
    float or ndarray of shape (L,), float64
        The threshold.

    Raises
    ------
    ValueError
        If the shape does not match the labels, or a number is not in [0, 1].

    Examples
    --------
    >>> check_threshold([0.5, 0.3], ["ham", "spam"])
    array([0.5, 0.3])
    """
    try:
        if threshold is None:
            raise TypeError
        numbers = np.array(threshold, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"threshold is {threshold!r}; pass a number or one number per label") from None
    if numbers.shape not in [(), (len(classes),)]:
        raise ValueError(
            f"threshold has shape {numbers.shape}; pass a number, or an array of shape ({len(classes)},): "
            "one per label in the order of classes_"
        )
    bad = np.flatnonzero(~((numbers >= 0) & (numbers <= 1)))
    if bad.size:
        where = f"threshold of label {str(classes[bad[0]])!r}" if numbers.ndim else "threshold"
        raise ValueError(f"the {where} is {numbers.flat[bad[0]]}; it must lie in [0, 1]")
    return numbers if numbers.ndim else float(numbers)


def check_consistency(value: Any) -> str | None:
    """Check a choice of how predictions are made consistent with the hierarchy.

    Parameters
    ----------
    value : {"auto", "ancestors", "descendants"} or None
        The choice, see :class:`DecisionRule`.

    Returns
    -------
    {"auto", "ancestors", "descendants"} or None
        The choice itself.

    Raises
    ------
    ValueError
        If it is anything else.

    Examples
    --------
    >>> check_consistency("ancestor")
    Traceback (most recent call last):
        ...
    ValueError: consistency is 'ancestor'; did you mean 'ancestors'? Pass 'auto', ...
    """
    return _check_option("consistency", value, ("auto", "ancestors", "descendants", None))


def check_decoding(value: Any) -> str:
    """Check the way in which probabilities become labels.

    Parameters
    ----------
    value : {"auto", "threshold", "path"}
        The value to check.

    Returns
    -------
    str
        The value.

    Raises
    ------
    ValueError
        If it is none of these; a similar one is suggested.

    Examples
    --------
    >>> check_decoding("path")
    'path'
    """
    return _check_option("decoding", value, ("auto", "threshold", "path"))


def _lowest(tagged: npt.NDArray[np.bool_], hierarchy: LabelHierarchy) -> npt.NDArray[np.int64]:
    """Return the positions of the tagged labels without a tagged descendant."""
    below = hierarchy.descendants.astype(np.int64) @ tagged.astype(np.int64)
    return np.flatnonzero(tagged & (below == 0))


def _check_option(parameter: str, value: Any, options: tuple[str | None, ...]) -> Any:
    if value is None or isinstance(value, str):
        if value in options:
            return value
        near = get_close_matches(value or "", [option for option in options if option], n=1)
    else:
        near = []
    hint = f"did you mean {near[0]!r}? Pass " if near else "pass "
    *first, last = map(repr, options)
    raise ValueError(f"{parameter} is {value!r}; {hint}{', '.join(first)} or {last}")


def check_k(k: int, n_labels: int) -> None:
    """Check how many of the most probable labels are asked for.

    Parameters
    ----------
    k : int
        The number of labels.
    n_labels : int
        How many there are.

    Raises
    ------
    ValueError
        If it is no integer from 1 to `n_labels`.

    Examples
    --------
    >>> check_k(11, 10)
    Traceback (most recent call last):
        ...
    ValueError: k is 11; ask for 1 to 10 labels, as many as there are.
    """
    if not isinstance(k, Integral) or not 1 <= k <= n_labels:
        raise ValueError(f"k is {k!r}; ask for 1 to {n_labels} labels, as many as there are.")


def highest(scores: Probabilities, k: int) -> npt.NDArray[np.int64]:
    """Find the columns of the k highest scores of each text.

    Parameters
    ----------
    scores : ndarray of shape (n, L)
        Probabilities or log-odds.
    k : int
        The number of columns, from 1 to L.

    Returns
    -------
    ndarray of shape (n, k), int64
        The columns, the highest score first. Columns of equal scores are in ascending order.

    Examples
    --------
    >>> highest(np.array([[0.1, 0.7, 0.7, 0.4]]), 3)
    array([[1, 2, 3]])
    """
    kth_score = np.partition(scores, -k, axis=1)[:, -k, None]
    found = np.empty((len(scores), k), dtype=np.int64)
    for row, above in enumerate(scores >= kth_score):
        columns = np.flatnonzero(above)
        found[row] = columns[np.argsort(-scores[row, columns], kind="stable")][:k]
    return found


def predict_threshold(probabilities: Probabilities, threshold: float | npt.NDArray[np.float64]) -> csr_array:
    """Predict every label whose probability is at least the threshold.

    Parameters
    ----------
    probabilities : ndarray of shape (n, L)
        Floats in [0, 1].
    threshold : float or ndarray of shape (L,)
        See :func:`check_threshold`.

    Returns
    -------
    csr_array of shape (n, L), bool
        The predicted labels.

    Examples
    --------
    >>> predict_threshold(np.array([[0.5, 0.4]]), 0.5).toarray()
    array([[ True, False]])
    """
    return csr_array(np.asarray(probabilities) >= threshold)


def predict_most_probable(probabilities: Probabilities, k: int) -> csr_array:
    """Predict the k most probable labels.

    Parameters
    ----------
    probabilities : ndarray of shape (n, L)
        Floats in [0, 1].
    k : int
        The number of labels, from 1. All labels are predicted if there are no more than k.

    Returns
    -------
    csr_array of shape (n, L), bool
        The predicted labels.

    Examples
    --------
    >>> predict_most_probable(np.array([[0.5, 0.4, 0.1]]), 2).toarray()
    array([[ True,  True, False]])
    """
    n_texts, n_labels = np.shape(probabilities)
    k = min(k, n_labels)
    columns = np.sort(highest(np.asarray(probabilities), k), axis=1)
    starts = np.arange(0, n_texts * k + 1, k)
    return csr_array((np.ones(n_texts * k, dtype=bool), columns.ravel(), starts), shape=(n_texts, n_labels))


def stacked_decisions(
    chunks: Iterable[csr_array], *, sparse: bool, max_dense: int = MAX_DENSE
) -> npt.NDArray[np.int64] | csr_array:
    """Put decisions about several parts of the texts together, as `predict` returns them.

    Parameters
    ----------
    chunks : iterable of csr_array of shape (rows, L), bool
        What a `DecisionRule` returned for each part.
    sparse : bool
        Whether the result is sparse however small it is.
    max_dense : int
        The result is sparse, too, if it has more numbers than this.

    Returns
    -------
    int64 ndarray or csr_array of shape (n, L)

    Examples
    --------
    >>> stacked_decisions([csr_array([[True, False]]), csr_array([[True, True]])], sparse=False)
    array([[1, 0],
           [1, 1]])
    """
    parts = list(chunks)
    indicator = parts[0] if len(parts) == 1 else vstack(parts, format="csr")
    is_sparse = sparse or prod(indicator.shape) > max_dense
    return csr_array(indicator, dtype=np.int64) if is_sparse else indicator.toarray().astype(np.int64)
