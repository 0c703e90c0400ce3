"""TF-IDF: what n-grams of words and of characters count in a text."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.utils.sparsefuncs_fast import inplace_csr_row_normalize_l2

__all__ = ["inverse_document_frequencies", "weighted_counts"]


def inverse_document_frequencies(number: NDArray[Any], n_texts: int) -> NDArray[np.float32]:
    """Return 1 + log((1 + n) / (1 + number of texts with the n-gram)).

    Parameters
    ----------
    number : array of shape (F,)
        How many training texts have each n-gram.
    n_texts : int
        n, the number of training texts.

    Returns
    -------
    float32 ndarray of shape (F,)

    Examples
    --------
    >>> inverse_document_frequencies(np.array([3, 1]), 3).round(2)
    array([1.  , 1.69], dtype=float32)
    """
    return (np.log((1 + n_texts) / (1 + number)) + 1).astype(np.float32)


def weighted_counts(counts: sp.csr_array, idf: NDArray[np.float32]) -> sp.csr_array:
    """Return rows of length 1 that are proportional to (1 + log count) * idf.

    Parameters
    ----------
    counts : csr_array of shape (n, F), float32
        How often each text has each n-gram. Its data are overwritten.
    idf : float32 array of shape (F,)
        The inverse document frequencies.

    Returns
    -------
    csr_array of shape (n, F), float32
    """
    counts.data = (1 + np.log(counts.data)) * idf[counts.indices]
    # What `normalize` of scikit-learn calls. Its checks of the input take longer than one text.
    inplace_csr_row_normalize_l2(counts)
    return counts
