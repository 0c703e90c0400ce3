"""What the targets of the training texts say about the labels to predict."""

from __future__ import annotations

from dataclasses import dataclass, replace
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
    number : int64 ndarray of shape (L,)
        How many training texts have each label.
    n_texts : int
        How many training texts there are.
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
    number: NDArray[np.int64]
    n_texts: int
    closed: bool
    paths: LabelPaths | None
    unlabelled: bool

    @classmethod
    def of(cls, targets: sp.csr_array, hierarchy: LabelHierarchy) -> TrainingLabels:
        """Read targets.

        Parameters
        ----------
        targets : csr_array of shape (n, L)
            0/1 targets of the training texts.
        hierarchy : LabelHierarchy
            L labels.

        Returns
        -------
        TrainingLabels

        Examples
        --------
        >>> hierarchy = LabelHierarchy([("science", "physics"), ("science", "biology")])
        >>> labels = TrainingLabels.of(sp.csr_array([[0, 1, 1], [0, 0, 0]]), hierarchy)
        >>> labels.closed, labels.paths.ends, labels.unlabelled
        (True, array([0, 1]), True)
        """
        rule = DecisionRule.learn(targets, hierarchy)
        number = np.asarray(targets.sum(axis=0), dtype=np.int64).ravel()
        closed = hierarchy.close(targets).nnz == targets.nnz
        return cls(hierarchy, number, targets.shape[0], closed, rule.paths, rule.unlabelled)

    @cached_property
    def frequency(self) -> NDArray[np.float32]:
        """The log-odds of each label in the training texts, centred and scaled, shape (L,)."""
        odds = (self.number + 0.5) / (self.n_texts - self.number + 0.5)
        return ((np.log(odds) - MEAN_LOG_ODDS) / UNIT).astype(np.float32)

    def with_labels(self, hierarchy: LabelHierarchy) -> TrainingLabels:
        """Return a copy with more labels, which no training text has, and which may end a path.

        Parameters
        ----------
        hierarchy : LabelHierarchy
            L labels; the first are those of this object.

        Returns
        -------
        TrainingLabels
        """
        more = np.arange(len(self.hierarchy), len(hierarchy))
        number = np.append(self.number, np.zeros(len(more), dtype=np.int64))
        paths = None
        if self.paths is not None:
            ends = np.append(self.paths.ends, more)
            paths = LabelPaths(hierarchy, ends, np.append(self.paths.tagged, np.zeros(len(more), dtype=bool)))
        return replace(self, hierarchy=hierarchy, number=number, paths=paths)

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
        edges = self.hierarchy.edges
        if not self.closed or not len(edges):
            return values
        values = values.copy()
        level = self.hierarchy.levels
        for parent, child in edges[np.argsort(level[edges[:, 0]], kind="stable")]:
            np.minimum(values[:, child], values[:, parent], out=values[:, child])
        return values
