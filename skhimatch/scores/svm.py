"""A linear support vector machine for each label."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Lock
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.svm import LinearSVC

from skhimatch.labels.weights import TextWeights

__all__ = ["train_svms"]

# The solver has one generator of random numbers in a process, and two threads would draw from it in turns.
SOLVER = Lock()


def train_svms(
    features: Any,
    targets: sp.csr_array,
    *,
    C: float = 1.0,
    seed: int = 0,
    weights: TextWeights | None = None,
) -> Iterator[tuple[int, NDArray[np.float64], float]]:
    """Train a linear SVM for each label that some, but not all, of the texts have.

    Texts whose target is not known are left out.

    Parameters
    ----------
    features : sparse of shape (n, F)
        TF-IDF of the texts.
    targets : csr_array of shape (n, L)
        0/1 targets.
    C : float, default=1.0
        Inverse strength of the regularisation.
    seed : int, default=0
        Seeds the order of the texts.
    weights : TextWeights, optional
        They multiply C for each text and label.

    Yields
    ------
    label : int
        The column of the label.
    weights : float64 ndarray of shape (F,)
        The weights of its SVM.
    intercept : float
        The intercept of its SVM.
    """
    # In the form that the solver needs: otherwise all features are converted for each label, which takes
    # longer than the training itself. A copy, because sorting would move the indices of the caller's features
    # and not their numbers.
    features = sp.csr_array(features, dtype=np.float64, copy=True)
    features.sort_indices()
    parts = (features.data, features.indices.astype(np.int32), features.indptr.astype(np.int32))
    features = sp.csr_array(parts, shape=features.shape)
    by_label = targets.tocsc()
    n_texts, n_examples = targets.shape[0], np.diff(by_label.indptr)
    n_known = n_texts if weights is None else weights.number_known
    # scikit-learn's limit of 1,000 is too low for large weights.
    max_iter = 1_000 if weights is None else 10_000
    for label in np.flatnonzero((n_examples > 0) & (n_examples < n_known)):
        target = np.zeros(n_texts, dtype=bool)
        target[by_label.indices[by_label.indptr[label] : by_label.indptr[label + 1]]] = True
        of_texts = None if weights is None else weights.of_label(int(label), target)
        rows: Any = slice(None)
        if of_texts is not None and not of_texts.all():
            rows = np.flatnonzero(of_texts)
            of_texts = of_texts[rows]
        with SOLVER:
            svm = LinearSVC(C=C, dual=True, random_state=seed, max_iter=max_iter)
            svm.fit(features if isinstance(rows, slice) else features[rows], target[rows], of_texts)
        yield int(label), svm.coef_[0], float(svm.intercept_[0])
