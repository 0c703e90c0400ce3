"""The paths of a hierarchy that texts can have, and probabilities of whole paths."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.storage.pickles import FieldsPickled

__all__ = ["LabelPaths", "paths_to"]


@dataclass(frozen=True, eq=False)
class LabelPaths(FieldsPickled):
    """Paths: a label that ends one, and its tagged ancestors.

    Attributes
    ----------
    hierarchy : LabelHierarchy
        L labels in column order.
    ends : int64 ndarray of shape (E,)
        The positions of the labels that end a path.
    tagged : bool ndarray of shape (L,)
        Whether a text with a path through this label has the label, too.

    Examples
    --------
    >>> hierarchy = LabelHierarchy([("science", "physics"), ("science", "biology")])
    >>> paths = LabelPaths(hierarchy, np.array([0, 1, 2]), np.ones(3, dtype=bool))
    >>> chosen = np.array([[0.1, 0.6, 0.2]])  # biology, physics, science only; nothing at all: 0.1
    >>> of_labels = paths.of_labels(chosen)
    >>> of_labels.round(1)
    array([[0.1, 0.6, 0.9]])
    >>> paths.of_paths(of_labels).round(1)
    array([[0.1, 0.6, 0.2]])
    """

    hierarchy: LabelHierarchy
    ends: NDArray[np.int64]
    tagged: NDArray[np.bool_]

    @cached_property
    def labels(self) -> csr_array:
        """The labels of each path, csr_array of shape (E, L), bool."""
        return csr_array(paths_to(self.hierarchy, self.tagged)[self.ends])

    @cached_property
    def above(self) -> csr_array:
        """One over the number of labels above the end, at these labels, csr_array of shape (E, L)."""
        labels = self.labels.astype(np.float32).tocoo()
        kept = labels.col != self.ends[labels.row]
        rows, columns = labels.row[kept], labels.col[kept]
        number = np.bincount(rows, minlength=len(self.ends)).astype(np.float32)
        return csr_array((1 / number[rows], (rows, columns)), shape=labels.shape)

    @cached_property
    def closed(self) -> bool:
        """Whether each path has all ancestors of its labels, so that there are none to be added."""
        return self.hierarchy.close(self.labels).nnz == self.labels.nnz

    @cached_property
    def inner(self) -> NDArray[np.bool_]:
        """Whether the end of a path has children, shape (E,)."""
        return np.diff(self.hierarchy.children[self.ends].indptr) > 0

    @cached_property
    def _children_of_inner(self) -> csr_array:
        """The children of the ends that have some, a csr_array of bool with L columns."""
        return self.hierarchy.children[self.ends[self.inner]]

    @cached_property
    def _with_label(self) -> csr_array:
        """The paths with each label, csr_array of shape (L, E), bool."""
        return self.labels.T.tocsr()

    @cached_property
    def _deeper(self) -> list[tuple[NDArray[np.int64], NDArray[np.int64], csr_array]]:
        """For each level above the deepest, the deepest first: paths that end there, and paths beyond them.

        The paths that end at the level, those that end deeper, and, with one row for each of the former,
        which of the latter have its end among their labels.
        """
        level = self.hierarchy.levels[self.ends]
        at_ends = self.labels[:, self.ends]
        found = []
        for depth in np.unique(level)[::-1][1:]:
            here, deeper = np.flatnonzero(level == depth), np.flatnonzero(level > depth)
            found.append((here, deeper, at_ends[deeper][:, here].T.tocsr()))
        return found

    def highest_of_children(self, scores: NDArray[Any]) -> NDArray[Any]:
        """Return the highest score of the children of each path's end, 0 if it has none.

        Parameters
        ----------
        scores : float array of shape (n, L)
            Scores of labels.

        Returns
        -------
        float array of shape (n, E)
        """
        found = np.zeros((len(scores), len(self.ends)), dtype=scores.dtype)
        places = np.flatnonzero(self.inner)
        if len(places):
            children = self._children_of_inner
            found[:, places] = np.maximum.reduceat(scores[:, children.indices], children.indptr[:-1], axis=1)
        return found

    def of_labels(self, probabilities: NDArray[Any]) -> NDArray[Any]:
        """Return the probability of each label from those of the paths.

        Parameters
        ----------
        probabilities : float array of shape (n, E)
            The probability of each path.

        Returns
        -------
        float array of shape (n, L)
            The sum over the paths with the label.
        """
        # For dense @ sparse, scipy transposes both, too, and makes a sparse array for that.
        return (self._with_label @ probabilities.T).T

    def of_paths(self, probabilities: NDArray[Any]) -> NDArray[Any]:
        """Return the probability of each path from those of the labels: the inverse of `of_labels`.

        Parameters
        ----------
        probabilities : float array of shape (n, L)
            The probability of each label.

        Returns
        -------
        float array of shape (n, E)
            What is left of the probability of a path's end when the paths beyond it are subtracted.
        """
        found = np.array(probabilities[:, self.ends])
        for here, deeper, beyond in self._deeper:
            found[:, here] -= (beyond @ found[:, deeper].T).T
        return found


def paths_to(hierarchy: LabelHierarchy, tagged: NDArray[np.bool_]) -> csr_array:
    """Return each label with its tagged ancestors.

    Parameters
    ----------
    hierarchy : LabelHierarchy
        L labels.
    tagged : bool ndarray of shape (L,)
        Whether a label is a target of at least one training text.

    Returns
    -------
    csr_array of shape (L, L), bool
    """
    label, ancestor = hierarchy.ancestors.nonzero()
    kept = tagged[ancestor]
    itself = np.arange(len(hierarchy))
    rows, columns = np.r_[itself, label[kept]], np.r_[itself, ancestor[kept]]
    paths = csr_array((np.ones(len(rows), dtype=bool), (rows, columns)), shape=hierarchy.ancestors.shape)
    paths.sort_indices()
    return paths
