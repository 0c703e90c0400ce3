"""The decision of linear models: margins to labels, with what a validation set shows to be best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.special import expit

from skhimatch.evaluation.decisions import DecisionRule
from skhimatch.evaluation.optimized import number_of_labels, score_of_decision
from skhimatch.labels.hierarchy import LabelHierarchy

__all__ = ["PARENT_WEIGHTS", "MarginDecision", "add_parent_margins", "is_better"]

# Weights of the parent's margin that are tried for paths.
PARENT_WEIGHTS = (0.0, 0.3)


@dataclass(frozen=True, eq=False)
class MarginDecision:
    """A decision rule for margins, and the weight of the parent's margin in it.

    Attributes
    ----------
    rule : DecisionRule
        Applied to expit(margin).
    parent_weight : float
        If paths are predicted: how much of its parent's margin is added to the margin of a label.
    score : float or None
        What was maximised, on the validation set; None if there was none.

    Examples
    --------
    >>> hierarchy = LabelHierarchy([("science", "physics"), ("sport", "tennis")])
    >>> rule = DecisionRule.learn([[1, 1, 0, 0], [0, 0, 1, 1]], hierarchy)
    >>> margins = np.array([[-0.2, 0.5, -0.5, -0.1]])  # physics, science, sport, tennis
    >>> MarginDecision(rule)(margins).toarray().astype(int)
    array([[0, 0, 1, 1]])
    >>> MarginDecision(rule, parent_weight=0.3)(margins).toarray().astype(int)
    array([[1, 1, 0, 0]])
    """

    rule: DecisionRule
    parent_weight: float = 0.0
    score: float | None = None

    @property
    def decoding(self) -> str:
        """How labels are predicted: "threshold" or "path"."""
        return "threshold" if self.rule.ends is None else "path"

    def __call__(self, margins: NDArray[np.floating[Any]]) -> csr_array:
        """Return the predicted labels, a csr_array of shape (n, L), bool, of margins (n, L)."""
        if self.decoding == "path":
            margins = add_parent_margins(margins, self.rule.hierarchy, self.parent_weight)
        return self.rule(expit(margins))

    @classmethod
    def choose(
        cls,
        rule: DecisionRule,
        margins: NDArray[np.floating[Any]],
        targets: Any,
        *,
        optimize: str = "micro_macro",
        parent_weights: Sequence[float] = PARENT_WEIGHTS,
        sample_weight: NDArray[np.float64] | None = None,
        missing: csr_array | None = None,
    ) -> MarginDecision:
        """Choose decoding, threshold and weight of the parent's margin on a validation set.

        Parameters
        ----------
        rule : DecisionRule
            Its `decoding` is kept, unless it is "auto" and every training text has one path. Then paths and
            a threshold are tried.
        margins : float ndarray of shape (n, L)
            The margins of the validation texts.
        targets : array-like or sparse of shape (n, L)
            Their labels, an indicator.
        optimize : {"micro_macro", "micro", "macro", "hierarchical"} or "precision@k", default="micro_macro"
            What to maximise: the sum of micro-F1 and macro-F1, or one of them, or hierarchical F1. With
            "precision@3" each text gets the three labels of the highest margins.
        parent_weights : sequence of float, default=(0.0, 0.3)
            The weights that are tried for paths.
        sample_weight : float64 ndarray of shape (n,), optional
            The weights of the texts.
        missing : csr_array of shape (n, L), bool, optional
            Where targets are missing; they are 0 in `targets`.

        Returns
        -------
        MarginDecision
            The one with the highest F1. Of several best, the first: paths are before the threshold.
        """
        rule = replace(rule, n_labels=number_of_labels(optimize))
        tried: list[tuple[str, float]] = []
        if rule.ends is not None:
            tried += [("path", weight) for weight in parent_weights]
        if rule.ends is None or rule.decoding == "auto":
            tried.append(("threshold", 0.0))
        chosen = None
        for decoding, weight in tried:
            scores = add_parent_margins(margins, rule.hierarchy, weight)
            probabilities = expit(scores)
            tuned = replace(rule, decoding=decoding).tuned(
                probabilities, targets, optimize, sample_weight, missing
            )
            score = score_of_decision(
                optimize, targets, tuned(probabilities), rule.hierarchy, sample_weight, missing
            )
            found = cls(tuned, weight, score)
            if chosen is None or is_better(found, chosen):
                chosen = found
        assert chosen is not None
        return chosen


def is_better(found: MarginDecision, best: MarginDecision) -> bool:
    """Tell whether a decision has a higher F1, by more than rounding.

    Parameters
    ----------
    found, best : MarginDecision
        Two decisions that were chosen on the same texts.

    Returns
    -------
    bool
        False if they are equally good, so that the first of several is kept.

    Examples
    --------
    >>> rule = DecisionRule.learn([[1, 0], [0, 1]], LabelHierarchy.flat(["ham", "spam"]))
    >>> is_better(MarginDecision(rule, score=0.5), MarginDecision(rule, score=0.5))
    False
    """
    return (found.score or 0) > (best.score or 0) + 1e-12


def add_parent_margins(
    margins: NDArray[np.floating[Any]], hierarchy: LabelHierarchy, weight: float
) -> NDArray[np.floating[Any]]:
    """Add the weighted margin of its parent to the margin of each label.

    Parameters
    ----------
    margins : float ndarray of shape (n, L)
        The margins of all labels. Infinite ones belong to labels that all training texts have, or none. They
        say nothing about a text, so that they count as 0 for the children.
    hierarchy : LabelHierarchy
        L labels in column order.
    weight : float
        The weight of the parent's margin. Of several parents the largest margin counts. To a root nothing
        is added.

    Returns
    -------
    float ndarray of shape (n, L)
        The same array if nothing is added.

    Examples
    --------
    >>> hierarchy = LabelHierarchy([("science", "physics"), ("science", "biology")])
    >>> add_parent_margins(np.array([[0.5, -1.0, 1.0]]), hierarchy, 0.5)  # biology, physics, science
    array([[ 1. , -0.5,  1. ]])
    """
    parents = hierarchy.parents
    below = np.flatnonzero(np.diff(parents.indptr))
    if not weight or not below.size:
        return margins
    finite = np.where(np.isfinite(margins), margins, 0)
    largest = np.maximum.reduceat(finite[:, parents.indices], parents.indptr[below], axis=1)
    added = margins.copy()
    added[:, below] += (weight * largest).astype(margins.dtype)
    return added
