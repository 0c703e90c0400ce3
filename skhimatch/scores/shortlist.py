"""Shortlists: the labels of a text that a network scores, where there are too many labels to score all."""

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.network.label_attention import MANY_LABELS

__all__ = [
    "SampledShortlist",
    "SiblingsOfTargets",
    "choose_shortlist_size",
    "choose_training_shortlist_size",
    "likeliest_by_margins",
    "likeliest_labels",
]

# The size of a shortlist: 8 + 8 times the mean number of targets of a text, at least 16 more than the highest
# number of targets. This is 24 of the 141 labels on WOS, where two labels are targets of each text.
LABELS_PER_TARGET, MIN_OTHERS = 8, 16
MIN_SIZE = 8
# In prediction, shortlists of labels that are not many have half of the size. On WOS, api-docs and CLINC150
# the validation F1 was the same to .002 with a third of the size to twice the size.
SHARE_TO_PREDICT = 0.5
# The likeliest labels of a text from which wrong labels are drawn in training, and the share of the wrong
# labels that are drawn from all labels instead.
POOL_SIZE = 100
RANDOM_SHARE = 0.25
# Numbers in a chunk of margins, to bound the memory.
CHUNK_NUMBERS = 2**24


def choose_training_shortlist_size(targets: sp.csr_array) -> int:
    """Choose how many labels of a text a network is trained on.

    Parameters
    ----------
    targets : csr_array of shape (n, L)
        0/1 targets of the training texts.

    Returns
    -------
    int
        Enough for all targets of any text, and for wrong labels in proportion to the mean number of targets.

    Examples
    --------
    >>> choose_training_shortlist_size(sp.csr_array(np.eye(100, dtype=int)))
    17
    """
    return _training_size(*_numbers_of_targets(targets), targets.shape[1])


def choose_shortlist_size(targets: sp.csr_array) -> int:
    """Choose how many labels of a text a network scores in prediction.

    Parameters
    ----------
    targets : csr_array of shape (n, L)
        0/1 targets of the training texts.

    Returns
    -------
    int
        As `choose_training_shortlist_size`, or half of it if there are more labels than that, up to 200. In
        any case enough for all targets of any training text.

    Examples
    --------
    >>> choose_shortlist_size(sp.csr_array(np.eye(100, dtype=int)))
    8
    """
    mean, maximum = _numbers_of_targets(targets)
    size = _training_size(mean, maximum, targets.shape[1])
    if not size < targets.shape[1] <= MANY_LABELS:
        return size
    return max(round(SHARE_TO_PREDICT * size), maximum)


def _training_size(mean: float, maximum: int, n_labels: int) -> int:
    return min(n_labels, max(MIN_SIZE + round(LABELS_PER_TARGET * mean), MIN_OTHERS + maximum))


def _numbers_of_targets(targets: sp.csr_array) -> tuple[float, int]:
    """Return the mean number of targets of a text, and the largest one."""
    number = np.diff(targets.indptr)
    return (float(number.mean()), int(number.max())) if len(number) else (0.0, 0)


def likeliest_labels(margins: NDArray[np.float32], size: int) -> NDArray[np.int64]:
    """Return the labels with the largest margins; of equal ones the first.

    Parameters
    ----------
    margins : float array of shape (n, L)
        The margins of the labels.
    size : int
        K, at most L.

    Returns
    -------
    int64 ndarray of shape (n, K)
        Columns, ascending in each row.

    Examples
    --------
    >>> likeliest_labels(np.array([[0.1, -1.0, 0.7]]), 2)
    array([[0, 2]])
    """
    ordered = np.argpartition(-margins, size - 1, axis=1)[:, :size]
    columns = np.sort(ordered, axis=1)
    lowest = np.take_along_axis(margins, ordered[:, -1:], axis=1)
    # A partition takes any of the labels that are as likely as the last one. Texts without words have many.
    tied = np.flatnonzero((margins >= lowest).sum(axis=1) > size)
    columns[tied] = np.sort(np.argsort(-margins[tied], axis=1, kind="stable")[:, :size], axis=1)
    return columns


def likeliest_by_margins(
    n_texts: int, n_labels: int, margins: Callable[[slice], NDArray[np.floating[Any]]]
) -> NDArray[np.int32]:
    """Return the hundred labels with the largest margins for each text, a chunk of texts at a time.

    Parameters
    ----------
    n_texts, n_labels : int
        n and L.
    margins : callable
        Maps a slice of texts to their margins, float of shape (rows, L).

    Returns
    -------
    int32 ndarray of shape (n, min(100, L))
        Columns, ascending in each row.
    """
    pool_size = min(POOL_SIZE, n_labels)
    likeliest = np.empty((n_texts, pool_size), dtype=np.int32)
    chunk_size = max(1, CHUNK_NUMBERS // n_labels)
    for start in range(0, n_texts, chunk_size):
        rows = slice(start, start + chunk_size)
        likeliest[rows] = likeliest_labels(margins(rows), pool_size)
    return likeliest


class SiblingsOfTargets:
    """The siblings of a text's targets, as its likeliest wrong labels where no margins are known.

    Parameters
    ----------
    targets : csr_array of shape (n, L)
        0/1 targets.
    hierarchy : LabelHierarchy
        L labels.
    """

    def __init__(self, targets: sp.csr_array, hierarchy: LabelHierarchy) -> None:
        self.targets = targets
        self.families = hierarchy.families

    def __getitem__(self, row: int) -> NDArray[np.int64]:
        """Return the labels that have the same parents as a target of this text, int64."""
        own = self.targets.indices[self.targets.indptr[row] : self.targets.indptr[row + 1]]
        of, offsets, members = self.families
        families = np.unique(of[own])
        families = families[families >= 0]
        parts = [members[offsets[family] : offsets[family + 1]] for family in families]
        return np.concatenate([np.zeros(0, dtype=np.int64), *parts])


class SampledShortlist:
    """Labels to train on: the targets of a text, likely wrong labels, and random labels.

    Parameters
    ----------
    targets : csr_array of shape (n, L)
        0/1 targets.
    size : int
        K, at least the number of targets of any text.
    likeliest : int array of shape (n, pool), or SiblingsOfTargets
        Columns of the labels from which wrong ones are drawn.
    seed : int
        Seeds the draws, which differ each time that a text comes up.
    """

    def __init__(
        self,
        targets: sp.csr_array,
        size: int,
        likeliest: NDArray[np.int32] | SiblingsOfTargets,
        seed: int,
    ) -> None:
        self.targets = targets
        self.size = size
        self.likeliest = likeliest
        self.rng = np.random.RandomState(seed)

    def select(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Draw the shortlists of some texts.

        Parameters
        ----------
        rows : int array of shape (B,)
            The positions of the texts.

        Returns
        -------
        labels : int64 ndarray of shape (B, K)
            Without repetition in a row.
        label_weights : float32 ndarray of shape (B, K)
            The number of labels for which each stands: itself, and for a random label also an equal share
            of all labels that are left out. The weighted sum over a shortlist then estimates the sum over
            all labels.
        """
        n_labels = self.targets.shape[1]
        labels = np.empty((len(rows), self.size), dtype=np.int64)
        label_weights = np.ones((len(rows), self.size), dtype=np.float32)
        for place, row in enumerate(rows):
            own = self.targets.indices[self.targets.indptr[row] : self.targets.indptr[row + 1]]
            n_random = round(RANDOM_SHARE * (self.size - len(own)))
            anywhere = self.rng.randint(n_labels, size=n_random)
            wanted = np.concatenate([own, anywhere, self.rng.permutation(self.likeliest[row])])
            _, first = np.unique(wanted, return_index=True)
            first = np.sort(first)[: self.size]
            different = wanted[first]
            if len(different) < self.size:
                others = np.setdiff1d(np.arange(n_labels), different)
                more = self.rng.permutation(others)[: self.size - len(different)]
                different = np.concatenate([different, more])
                first = np.concatenate([first, np.full(len(more), len(own))])
            labels[place] = different
            random = (first >= len(own)) & (first < len(own) + n_random)
            if random.any():
                label_weights[place, random] += (n_labels - self.size) / random.sum()
        return labels, label_weights
