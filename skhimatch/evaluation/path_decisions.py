"""Decisions for one path of each text."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from skhimatch.evaluation.paths import LabelPaths, paths_to
from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.labels.indicators import as_indicator
from skhimatch.labels.rows import rows_of

__all__ = ["path_ends", "predict_most_probable_path", "predict_path", "predict_path_that_may_stop"]

Probabilities = npt.NDArray[np.floating[Any]]


def predict_path_that_may_stop(
    probabilities: Probabilities,
    beginnings: LabelPaths,
    threshold: float | npt.NDArray[np.float64],
    importance: npt.NDArray[np.float64],
    *,
    at_least_one: bool,
) -> csr_array:
    """Predict the path of each text whose labels have the highest sum of importance * (p - threshold).

    p is the probability of a label. So a path stops where its next label is less probable than the label's
    threshold, and of two paths the one with more to gain is predicted.

    Parameters
    ----------
    probabilities : ndarray of shape (n, L)
        Floats in [0, 1].
    beginnings : LabelPaths
        The paths, whole ones and those that stop early.
    threshold : float or ndarray of shape (L,)
        See :func:`best_thresholds`.
    importance : ndarray of shape (L,)
        Positive numbers, see :func:`gain_of_predictions`.
    at_least_one : bool
        Whether a text gets the best path even if its sum is negative, and not nothing.

    Returns
    -------
    csr_array of shape (n, L), bool
        The predicted labels.

    Examples
    --------
    >>> hierarchy = LabelHierarchy([("science", "physics"), ("science", "biology")])
    >>> beginnings = LabelPaths(hierarchy, np.array([0, 1, 2]), np.ones(3, dtype=bool))
    >>> probabilities = np.array([[0.1, 0.6, 0.8], [0.4, 0.3, 0.8], [0.1, 0.1, 0.2]])
    >>> equal = np.ones(3)
    >>> decide = predict_path_that_may_stop
    >>> decide(probabilities, beginnings, 0.5, equal, at_least_one=False).toarray().astype(int)
    array([[0, 1, 1],
           [0, 0, 1],
           [0, 0, 0]])
    """
    if not len(beginnings.ends):
        return csr_array(np.shape(probabilities), dtype=bool)
    gain = (np.asarray(probabilities, dtype=np.float64) - threshold) * importance
    of_paths = (beginnings.labels @ gain.T).T
    best = np.argmax(of_paths, axis=1)
    found = rows_of(beginnings.labels, best)
    if not at_least_one:
        worth = of_paths[np.arange(len(best)), best] > 0
        found.data = found.data & np.repeat(worth, np.diff(found.indptr))
        found.eliminate_zeros()
    return found


def path_ends(targets: Any, hierarchy: LabelHierarchy) -> npt.NDArray[np.int64] | None:
    """Find the labels that end a path, if every row of the targets is a single path.

    A row is a single path if it is one label with its tagged ancestors: those that are a target in some
    row. So a row with one leaf is a single path if no row has an inner label. In a flat hierarchy a
    single path is one label.

    Parameters
    ----------
    targets : array-like or sparse of shape (n, L)
        An indicator: 0 or 1.
    hierarchy : LabelHierarchy
        L labels in column order.

    Returns
    -------
    ndarray of shape (n_ends,), int64, or None
        Sorted positions. None if a row is not a single path; an all-zero row is not.

    Raises
    ------
    ValueError
        If `targets` is not a 0/1 array of L columns.

    Examples
    --------
    >>> hierarchy = LabelHierarchy([("science", "physics"), ("science", "biology")])
    >>> path_ends([[0, 1, 1], [1, 0, 1], [0, 1, 1]], hierarchy)
    array([0, 1])
    >>> path_ends([[0, 1, 1], [1, 1, 1]], hierarchy) is None
    True
    """
    indicator = as_indicator(targets, len(hierarchy))
    if not indicator.shape[0] or not np.diff(indicator.indptr).all():
        return None
    # The deepest label of each row. A row with two deepest labels is not a path, whichever is taken.
    depth_first = hierarchy.levels[indicator.indices] * len(hierarchy) + indicator.indices
    deepest = np.maximum.reduceat(depth_first, indicator.indptr[:-1]) % len(hierarchy)
    tagged = np.bincount(indicator.indices, minlength=len(hierarchy)) > 0
    paths = paths_to(hierarchy, tagged)[deepest]
    is_path = np.array_equal(indicator.indptr, paths.indptr) and np.array_equal(
        indicator.indices, paths.indices
    )
    return np.unique(deepest) if is_path else None


def predict_path(
    probabilities: Probabilities,
    candidates: npt.NDArray[np.int64],
    hierarchy: LabelHierarchy,
    tagged: npt.NDArray[np.bool_],
) -> csr_array:
    """Predict one path per text: the most probable end of the path, and its tagged ancestors.

    The probability that a label ends the path is p (1 - q), where p is the probability of the label and
    q the highest probability of its children.

    Parameters
    ----------
    probabilities : ndarray of shape (n, L)
        Floats in [0, 1].
    candidates : ndarray of shape (n_ends,), int64
        Positions of the labels that may end a path, see :func:`path_ends`. Of equally probable
        candidates, the first is taken. Without a candidate nothing is predicted.
    hierarchy : LabelHierarchy
        L labels in column order.
    tagged : ndarray of shape (L,), bool
        Whether a label is a target of at least one training text.

    Returns
    -------
    csr_array of shape (n, L), bool
        The predicted labels.

    Examples
    --------
    >>> hierarchy = LabelHierarchy([("science", "physics"), ("science", "biology")])
    >>> leaves = np.array([0, 1])  # biology, physics
    >>> everywhere = np.ones(3, dtype=bool)
    >>> predict_path(np.array([[0.1, 0.3, 0.2]]), leaves, hierarchy, everywhere).toarray().astype(int)
    array([[0, 1, 1]])
    >>> every = np.arange(3)  # science may end a path too
    >>> probabilities = np.array([[0.1, 0.3, 0.9], [0.1, 0.6, 0.9]])
    >>> predict_path(probabilities, every, hierarchy, everywhere).toarray().astype(int)
    array([[0, 0, 1],
           [0, 1, 1]])
    """
    probabilities = np.asarray(probabilities)
    if not len(candidates):
        return csr_array(probabilities.shape, dtype=bool)
    ending = probabilities[:, candidates]
    # A label is at least as probable as its children. Without the factor 1 - q, inner labels always win.
    children = hierarchy.children[candidates]
    inner = np.flatnonzero(np.diff(children.indptr))
    if inner.size:
        child_max = np.maximum.reduceat(probabilities[:, children.indices], children.indptr[inner], axis=1)
        ending[:, inner] *= 1 - child_max
    return rows_of(paths_to(hierarchy, tagged), candidates[np.argmax(ending, axis=1)])


def predict_most_probable_path(
    probabilities: Probabilities, paths: LabelPaths, minimum: float | npt.NDArray[np.float64] = 0.0
) -> csr_array:
    """Predict the most probable path of each text, or nothing if that is more probable.

    Parameters
    ----------
    probabilities : ndarray of shape (n, L)
        The probability of each label: the sum over the paths with the label. What all paths together lack
        to 1 is the probability that a text has no label.
    paths : LabelPaths
        The paths.
    minimum : float or ndarray of shape (L,)
        Labels of the path that are less probable are left out.

    Returns
    -------
    csr_array of shape (n, L), bool
        The predicted labels.

    Examples
    --------
    >>> hierarchy = LabelHierarchy([("science", "physics"), ("science", "biology")])
    >>> paths = LabelPaths(hierarchy, np.array([0, 1]), np.ones(3, dtype=bool))
    >>> probabilities = np.array([[0.2, 0.5, 0.7], [0.2, 0.3, 0.5]])  # nothing: 0.3, 0.5
    >>> predict_most_probable_path(probabilities, paths).toarray().astype(int)
    array([[0, 1, 1],
           [0, 0, 0]])
    """
    probabilities = np.asarray(probabilities, dtype=np.float64)
    if not len(paths.ends):
        return csr_array(probabilities.shape, dtype=bool)
    of_paths = paths.of_paths(probabilities)
    best = np.argmax(of_paths, axis=1)
    something = of_paths[np.arange(len(best)), best] >= 1 - of_paths.sum(axis=1)
    found = rows_of(paths.labels, best)
    row = np.repeat(np.arange(len(best)), np.diff(found.indptr))
    least = np.broadcast_to(minimum, probabilities.shape[1:])[found.indices]
    found.data = something[row] & (probabilities[row, found.indices] >= least)
    if not found.data.all():
        found.eliminate_zeros()
    return found
