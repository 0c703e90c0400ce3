"""What the targets of the training texts say about the labels to predict."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from skhimatch.evaluation.decisions import DecisionRule
from skhimatch.evaluation.paths import LabelPaths
from skhimatch.labels.hierarchy import LabelHierarchy

__all__ = ["TrainingLabels"]

# The frequency of a label is 0 if one text in 55 has it, and falls by 1 for each factor of 20.
MEAN_LOG_ODDS, UNIT = -4.0, 3.0


@dataclass(frozen=True, eq=False)
class TrainingLabels:
    """What the targets of the training texts say about the labels.

    Attributes
    ----------
    hierarchy : LabelHierarchy
        L labels.
    number : int64 or float64 ndarray of shape (L,)
        How many training texts have each label; the sum of their weights if they have weights.
    n_texts : int or float
        How many training texts there are, or the sum of their weights.
    closed : bool
        Whether every training text has all ancestors of its labels, so that no label can be more probable
        than its parents.
    paths : LabelPaths or None
        The paths of training texts, and those to leaves without texts, if every training text has one path or
        none.
    unlabelled : bool
        Whether some training texts have no label.
    """

    hierarchy: LabelHierarchy
    number: NDArray[np.int64] | NDArray[np.float64]
    n_texts: float
    closed: bool
    paths: LabelPaths | None
    unlabelled: bool

    @classmethod
    def of(
        cls,
        targets: sp.csr_array,
        decision: DecisionRule,
        sample_weight: NDArray[np.float64] | None = None,
        missing: sp.csr_array | None = None,
    ) -> TrainingLabels:
        """Read targets.

        Parameters
        ----------
        targets : csr_array of shape (n, L)
            0/1 targets of the training texts.
        decision : DecisionRule
            What it learned from the same targets, about L labels.
        sample_weight : float64 ndarray of shape (n,), optional
            The weights of the texts.
        missing : csr_array of shape (n, L), bool, optional
            Where targets are missing. The number of texts of a label is then what it would be if the label
            were as frequent among all texts as among those whose target is known.

        Returns
        -------
        TrainingLabels

        Examples
        --------
        >>> hierarchy = LabelHierarchy([("science", "physics"), ("science", "biology")])
        >>> targets = sp.csr_array([[0, 1, 1], [0, 0, 0]])
        >>> labels = TrainingLabels.of(targets, DecisionRule.learn(targets, hierarchy))
        >>> labels.closed, labels.paths.ends, labels.unlabelled
        (True, array([0, 1]), True)
        """
        number: NDArray[Any] = np.asarray(targets.sum(axis=0), dtype=np.int64).ravel()
        n_texts: float = targets.shape[0]
        if sample_weight is not None:
            number, n_texts = targets.T.astype(np.float64) @ sample_weight, float(sample_weight.sum())
        if missing is not None:
            of_texts = np.ones(targets.shape[0]) if sample_weight is None else sample_weight
            known = n_texts - missing.T.astype(np.float64) @ of_texts
            number = number * n_texts / np.where(known > 0, known, 1)
        return cls.counted(number, n_texts, decision)

    @classmethod
    def counted(
        cls, number: NDArray[np.int64] | NDArray[np.float64], n_texts: float, decision: DecisionRule
    ) -> TrainingLabels:
        """Put known numbers of texts, and what a decision rule learned from the targets, together.

        Parameters
        ----------
        number : int64 or float64 ndarray of shape (L,)
            The attribute of this name.
        n_texts : int or float
            The attribute of this name.
        decision : DecisionRule
            For L labels.

        Returns
        -------
        TrainingLabels
        """
        return cls(decision.hierarchy, number, n_texts, decision.closed, decision.paths, decision.unlabelled)

    @cached_property
    def frequency(self) -> NDArray[np.float32]:
        """The log-odds of each label in the training texts, centred and scaled, shape (L,)."""
        odds = (self.number + 0.5) / (np.maximum(self.n_texts - self.number, 0) + 0.5)
        return ((np.log(odds) - MEAN_LOG_ODDS) / UNIT).astype(np.float32)

    def with_labels(self, decision: DecisionRule) -> TrainingLabels:
        """Return a copy with more labels, which no training text has, and which may end a path.

        Parameters
        ----------
        decision : DecisionRule
            For L labels; the first are those of this object.

        Returns
        -------
        TrainingLabels
        """
        n_new = len(decision.hierarchy) - len(self.hierarchy)
        number: NDArray[Any] = np.append(self.number, np.zeros(n_new, dtype=self.number.dtype))
        return self.counted(number, self.n_texts, decision)

    def at_most_parents(self, values: NDArray[Any]) -> NDArray[Any]:
        """Lower values of labels to those of their parents, if training texts have all ancestors.

        Parameters
        ----------
        values : float array of shape (n, L)
            Log-odds or probabilities.

        Returns
        -------
        float array of shape (n, L)
            A new array, or the same one if nothing is to be lowered.
        """
        if not self.closed or not len(self.hierarchy.edges):
            return values
        values = values.copy()
        for parent, child in self._edges_from_the_roots:
            np.minimum(values[:, child], values[:, parent], out=values[:, child])
        return values

    @cached_property
    def _edges_from_the_roots(self) -> NDArray[np.int64]:
        """The edges in an order in which each parent comes as a child before."""
        edges = self.hierarchy.edges
        return edges[np.argsort(self.hierarchy.levels[edges[:, 0]], kind="stable")]
