"""Which labels of a text the network looks at: the likely ones by its n-grams, where labels are many."""

from collections.abc import Callable

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

__all__ = ["TrainingCandidates", "likeliest_labels", "number_of_candidates"]

# So many times the labels of a common text, or so many more than any text has.
USUAL_TIMES, BESIDE_THE_MOST = 8, 16
LEAST = 8
# Of the wrong labels that a text is trained on: how many of the likeliest they are drawn from, and the
# share of them drawn from all.
HARD_POOL = 100
RANDOM_SHARE = 0.25
NUMBERS_AT_ONCE = 2**24


def number_of_candidates(targets: sp.csr_array) -> int:
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
    >>> number_of_candidates(sp.csr_array(np.eye(100, dtype=int)))
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


class TrainingCandidates:
    """Labels to train on: a text's own, wrong ones that its n-grams speak for, and random ones.

    Parameters
    ----------
    targets : csr_array of shape (n, L)
        0/1 targets.
    number : int
        K, at least as many as any text has labels.
    margins : callable
        A slice of texts to their margins, float of shape (rows, L).
    seed : int
        Of the draws, which differ each time that a text comes up.
    """

    def __init__(
        self,
        targets: sp.csr_array,
        number: int,
        margins: Callable[[slice], NDArray[np.float32]],
        seed: int,
    ) -> None:
        self.targets = targets
        self.number = number
        self.draws = np.random.RandomState(seed)
        n_texts, n_labels = targets.shape
        pool = min(HARD_POOL, n_labels)
        self.hard = np.empty((n_texts, pool), dtype=np.int32)
        at_once = max(1, NUMBERS_AT_ONCE // n_labels)
        for start in range(0, n_texts, at_once):
            rows = slice(start, start + at_once)
            self.hard[rows] = likeliest_labels(margins(rows), pool)

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Draw the candidates of some texts: int64 of shape (B, K), different labels in each row."""
        n_labels = self.targets.shape[1]
        drawn = np.empty((len(rows), self.number), dtype=np.int64)
        for place, row in enumerate(rows):
            own = self.targets.indices[self.targets.indptr[row] : self.targets.indptr[row + 1]]
            hard = self.draws.permutation(self.hard[row])
            n_random = round(RANDOM_SHARE * (self.number - len(own)))
            anywhere = self.draws.randint(n_labels, size=n_random)
            wanted = np.concatenate([own, anywhere, hard])
            _, first = np.unique(wanted, return_index=True)
            different = wanted[np.sort(first)][: self.number]
            if len(different) < self.number:
                others = np.setdiff1d(np.arange(n_labels), different)
                more = self.draws.permutation(others)[: self.number - len(different)]
                different = np.concatenate([different, more])
            drawn[place] = different
        return drawn
