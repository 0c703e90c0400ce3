"""Scorers for scikit-learn's searches and cross-validation: metrics of hierarchies and of rankings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import issparse
from sklearn.metrics import make_scorer

from skhimatch.evaluation.metrics import constrained_f1, micro_macro_f1
from skhimatch.evaluation.optimized import score_of_decision
from skhimatch.evaluation.ranking import ndcg_at_k, rprecision_at_k
from skhimatch.labels.formats import as_hierarchy, hierarchy_over
from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.labels.indicators import as_indicator
from skhimatch.labels.missing import KnownTargets, encode_known_targets, without_missing
from skhimatch.labels.spelling import suggestion

__all__ = ["METRICS", "hierarchical_scorer"]


def hierarchical_scorer(
    metric: str,
    hierarchy: Any,
    *,
    classes: Sequence[str] | None = None,
    level: int | None = None,
    k: int | None = None,
) -> Callable[..., float]:
    """Return a scorer for ``scoring=`` of `GridSearchCV`, `cross_val_score` and so on.

    It is made by :func:`sklearn.metrics.make_scorer`, so that it takes `sample_weight`, also by metadata
    routing. `y` may have any format that `fit` takes. NaN in an indicator is a missing target, which is
    neither right nor wrong.

    Parameters
    ----------
    metric : str
        One of

        - "hierarchical_f1": F1 after adding the ancestors of true and predicted labels;
        - "constrained_micro_f1", "constrained_macro_f1": a predicted label is right only if all its ancestors
          are, too (C-MicroF1 and C-MacroF1, see `constrained_f1`);
        - "level_micro_f1", "level_macro_f1": F1 of the labels on one level;
        - "rprecision", "ndcg": R-precision and nDCG of the k most probable labels.
    hierarchy : LabelHierarchy, or any format that :func:`~skhimatch.as_hierarchy` accepts
        As the classifier has it.
    classes : sequence of str, optional
        As the classifier has them: the labels in column order, by default sorted.
    level : int, optional
        For "level_micro_f1" and "level_macro_f1": 1 for the roots.
    k : int, optional
        For "rprecision" and "ndcg": the length of the ranking, 5 by default.

    Returns
    -------
    callable
        ``scorer(estimator, X, y, sample_weight=None)``, a float.

    Raises
    ------
    ValueError
        If there is no such metric or no such level, or if `level` or `k` has no effect.

    Examples
    --------
    >>> from sklearn.model_selection import cross_val_score
    >>> from skhimatch.baseline import LinearBaseline
    >>> texts = ["a quark and a gluon", "the cell divides", "a serve and a volley"] * 4
    >>> label_sets = [{"science", "physics"}, {"science", "biology"}, {"sport", "tennis"}] * 4
    >>> hierarchy = {"science": ["physics", "biology"], "sport": ["tennis"]}
    >>> scorer = hierarchical_scorer("level_macro_f1", hierarchy, level=2)
    >>> scorer(LinearBaseline(hierarchy).fit(texts, label_sets), texts, label_sets)
    1.0
    """
    if metric not in METRICS:
        near = suggestion(metric, list(METRICS)) if isinstance(metric, str) else None
        hint = f" Did you mean {near}?" if near else ""
        raise ValueError(f"metric is {metric!r}; take one of {', '.join(METRICS)}.{hint}")
    hierarchy = as_hierarchy(hierarchy)
    if classes is not None:
        hierarchy = hierarchy_over(hierarchy, classes)
    function, of_ranking = METRICS[metric]
    options: dict[str, Any] = {}
    if metric.startswith("level_"):
        if level is None or not 1 <= level <= hierarchy.depth:
            raise ValueError(f"level is {level}; take a number from 1 to {hierarchy.depth} for {metric!r}.")
        options["level"] = level
    elif level is not None:
        raise ValueError(f"level has no effect on {metric!r}: leave it out.")
    if of_ranking:
        options["k"] = 5 if k is None else k
    elif k is not None:
        raise ValueError(f"k has no effect on {metric!r}: leave it out.")
    response = ("decision_function", "predict_proba") if of_ranking else "predict"
    return make_scorer(function, response_method=response, hierarchy=hierarchy, **options)


def _hierarchical_f1(
    y_true: Any, y_pred: Any, *, hierarchy: LabelHierarchy, sample_weight: Any = None
) -> float:
    known, _, weights = _checked(y_true, y_pred, hierarchy, sample_weight)
    # A prediction says that its ancestors are predicted, too, also if its own target is missing.
    return score_of_decision("hierarchical", known.targets, y_pred, hierarchy, weights, known.missing)


def _constrained_micro_f1(
    y_true: Any, y_pred: Any, *, hierarchy: LabelHierarchy, sample_weight: Any = None
) -> float:
    known, predicted, weights = _checked(y_true, y_pred, hierarchy, sample_weight)
    return constrained_f1(known.targets, predicted, hierarchy, weights, known.missing).micro


def _constrained_macro_f1(
    y_true: Any, y_pred: Any, *, hierarchy: LabelHierarchy, sample_weight: Any = None
) -> float:
    known, predicted, weights = _checked(y_true, y_pred, hierarchy, sample_weight)
    return constrained_f1(known.targets, predicted, hierarchy, weights, known.missing).macro


def _level_micro_f1(
    y_true: Any, y_pred: Any, *, hierarchy: LabelHierarchy, level: int, sample_weight: Any = None
) -> float:
    known, predicted, weights = _checked(y_true, y_pred, hierarchy, sample_weight)
    here = np.flatnonzero(hierarchy.levels == level)
    return micro_macro_f1(known.targets[:, here], predicted[:, here], weights).micro


def _level_macro_f1(
    y_true: Any, y_pred: Any, *, hierarchy: LabelHierarchy, level: int, sample_weight: Any = None
) -> float:
    known, predicted, weights = _checked(y_true, y_pred, hierarchy, sample_weight)
    here = np.flatnonzero(hierarchy.levels == level)
    return micro_macro_f1(known.targets[:, here], predicted[:, here], weights).macro


def _rprecision(
    y_true: Any, y_score: Any, *, hierarchy: LabelHierarchy, k: int, sample_weight: Any = None
) -> float:
    known, scores = _ranked(y_true, y_score, hierarchy)
    return rprecision_at_k(known.targets, scores, k, sample_weight=sample_weight)


def _ndcg(
    y_true: Any, y_score: Any, *, hierarchy: LabelHierarchy, k: int, sample_weight: Any = None
) -> float:
    known, scores = _ranked(y_true, y_score, hierarchy)
    return ndcg_at_k(known.targets, scores, k, sample_weight=sample_weight)


# By name: the metric, and whether it is one of rankings.
METRICS: dict[str, tuple[Callable[..., float], bool]] = {
    "hierarchical_f1": (_hierarchical_f1, False),
    "constrained_micro_f1": (_constrained_micro_f1, False),
    "constrained_macro_f1": (_constrained_macro_f1, False),
    "level_micro_f1": (_level_micro_f1, False),
    "level_macro_f1": (_level_macro_f1, False),
    "rprecision": (_rprecision, True),
    "ndcg": (_ndcg, True),
}


def _checked(
    y_true: Any, y_pred: Any, hierarchy: LabelHierarchy, sample_weight: Any
) -> tuple[KnownTargets, Any, npt.NDArray[np.float64] | None]:
    """Return targets, predicted labels without those whose target is missing, and weights."""
    predicted = as_indicator(y_pred, len(hierarchy))
    known = encode_known_targets(y_true, hierarchy, predicted.shape[0])
    weights = None if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    return known, without_missing(predicted, known.missing), weights


def _ranked(
    y_true: Any, y_score: Any, hierarchy: LabelHierarchy
) -> tuple[KnownTargets, npt.NDArray[np.floating[Any]]]:
    """Return targets and scores; labels whose target is missing come last."""
    scores = y_score.toarray() if issparse(y_score) else np.asarray(y_score)
    known = encode_known_targets(y_true, hierarchy, len(scores))
    if known.missing is not None:
        scores = np.where(known.missing.toarray(), -np.inf, scores)
    return known, scores
