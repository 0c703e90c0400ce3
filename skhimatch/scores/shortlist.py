"""Which labels of a text the network looks at: the likely ones by its n-grams, where labels are many."""

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from skhimatch.labels.hierarchy import LabelHierarchy

__all__ = [
    "SampledShortlist",
    "SiblingsOfTargets",
    "choose_shortlist_size",
    "likeliest_labels",
    "likely_by_margins",
]

# So many times the labels of a common text, or so many more than any text has.
USUAL_TIMES, BESIDE_THE_MOST = 8, 16
LEAST = 8
# Of the wrong labels that a text is trained on: how many of the likeliest they are drawn from, and the
# share of them drawn from all.
HARD_POOL = 100
RANDOM_SHARE = 0.25
NUMBERS_AT_ONCE = 2**24


def choose_shortlist_size(targets: sp.csr_array) -> int:
    """Choose how many labels of a text to look at.

    Parameters
    ----------
    targets : csr_array of shape (n, L)
        0/1 targets of the training texts.

    Returns
    -------
    int
        Room for all labels of any text, and for wrong ones in proportion to those of a common text.

    Examples
    --------
    >>> choose_shortlist_size(sp.csr_array(np.eye(100, dtype=int)))
    17
    """
    of_text = np.diff(targets.indptr)
    usual, most = (of_text.mean(), of_text.max()) if len(of_text) else (0, 0)
    return min(targets.shape[1], max(LEAST + round(USUAL_TIMES * usual), BESIDE_THE_MOST + int(most)))


def likeliest_labels(margins: NDArray[np.float32], number: int) -> NDArray[np.int64]:
    """Pick the labels of the largest margins.

    Parameters
    ----------
    margins : float array of shape (n, L)
    number : int
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
    picked = np.argpartition(-margins, number - 1, axis=1)[:, :number]
    return np.sort(picked, axis=1)


def likely_by_margins(
    n_texts: int, n_labels: int, margins: Callable[[slice], NDArray[np.floating[Any]]]
) -> NDArray[np.int32]:
    """List for each text the hundred labels of the largest margins.

    Parameters
    ----------
    n_texts, n_labels : int
        n and L.
    margins : callable
        A slice of texts to their margins, float of shape (rows, L).

    Returns
    -------
    int32 ndarray of shape (n, min(100, L))
        Columns, ascending in each row.
    """
    pool = min(HARD_POOL, n_labels)
    likely = np.empty((n_texts, pool), dtype=np.int32)
    at_once = max(1, NUMBERS_AT_ONCE // n_labels)
    for start in range(0, n_texts, at_once):
        rows = slice(start, start + at_once)
        likely[rows] = likeliest_labels(margins(rows), pool)
    return likely


class SiblingsOfTargets:
    """What is likely of a text where nothing else tells: the siblings of its labels.

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
        """Return the labels that share a family with a label of this text, int64."""
        own = self.targets.indices[self.targets.indptr[row] : self.targets.indptr[row + 1]]
        of, offsets, members = self.families
        families = np.unique(of[own])
        families = families[families >= 0]
        parts = [members[offsets[family] : offsets[family + 1]] for family in families]
        return np.concatenate([np.zeros(0, dtype=np.int64), *parts])


class SampledShortlist:
    """Labels to train on: a text's own, likely wrong ones, and random ones.

    Parameters
    ----------
    targets : csr_array of shape (n, L)
        0/1 targets.
    number : int
        K, at least as many as any text has labels.
    likely : int array of shape (n, pool), or SiblingsOfTargets
        Columns of the labels that a text could easily be taken for.
    seed : int
        Of the draws, which differ each time that a text comes up.
    """

    def __init__(
        self,
        targets: sp.csr_array,
        number: int,
        likely: NDArray[np.int32] | SiblingsOfTargets,
        seed: int,
    ) -> None:
        self.targets = targets
        self.number = number
        self.likely = likely
        self.rng = np.random.RandomState(seed)

    def select(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Draw the shortlist of some texts.

        Parameters
        ----------
        rows : int array of shape (B,)

        Returns
        -------
        labels : int64 ndarray of shape (B, K)
            Different ones in each row.
        label_weights : float32 ndarray of shape (B, K)
            How many labels each stands for: itself, and the random ones also for all that are left out, in
            equal parts. So a sum over shortlist, with these weights, tells what the one over all labels is.
        """
        n_labels = self.targets.shape[1]
        labels = np.empty((len(rows), self.number), dtype=np.int64)
        label_weights = np.ones((len(rows), self.number), dtype=np.float32)
        for place, row in enumerate(rows):
            own = self.targets.indices[self.targets.indptr[row] : self.targets.indptr[row + 1]]
            n_random = round(RANDOM_SHARE * (self.number - len(own)))
            anywhere = self.rng.randint(n_labels, size=n_random)
            wanted = np.concatenate([own, anywhere, self.rng.permutation(self.likely[row])])
            _, first = np.unique(wanted, return_index=True)
            first = np.sort(first)[: self.number]
            different = wanted[first]
            if len(different) < self.number:
                others = np.setdiff1d(np.arange(n_labels), different)
                more = self.rng.permutation(others)[: self.number - len(different)]
                different = np.concatenate([different, more])
                first = np.concatenate([first, np.full(len(more), len(own))])
            labels[place] = different
            random = (first >= len(own)) & (first < len(own) + n_random)
            if random.any():
                label_weights[place, random] += (n_labels - self.number) / random.sum()
        return labels, label_weights
