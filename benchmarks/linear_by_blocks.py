"""The linear baseline where a weight for each n-gram and label would not fit into memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.svm import LinearSVC

from skhimatch.baseline import TFIDF

__all__ = ["margins_by_blocks"]

LABELS_AT_ONCE = 64


def margins_by_blocks(
    texts: Sequence[str], targets: sp.csr_array, others: dict[str, Sequence[str]], folder: Path
) -> dict[str, NDArray[np.float32]]:
    """Train the SVMs of `LinearBaseline` and keep only their margins on other texts.

    Parameters
    ----------
    texts : sequence of n str
        The training texts.
    targets : csr_array of shape (n, L)
        Their 0/1 targets.
    others : dict of sequences of m str
        The texts to be judged, by part.
    folder : Path
        Where the margins of each block of labels are written as they come. A second call goes on where
        the first was cut off; empty it when texts or targets change.

    Returns
    -------
    dict of float32 ndarrays of shape (m, L)
        The margins, by part; those of labels without a training text are minus infinity.
    """
    folder.mkdir(parents=True, exist_ok=True)
    n_texts, n_labels = targets.shape
    vectorizer, features, judged = None, None, {}
    by_label = targets.tocsc()
    margins = {part: np.full((len(rows), n_labels), -np.inf, np.float32) for part, rows in others.items()}
    for start in range(0, n_labels, LABELS_AT_ONCE):
        labels = range(start, min(start + LABELS_AT_ONCE, n_labels))
        block = folder / f"{start:06d}.npz"
        if not block.exists():
            if vectorizer is None:
                vectorizer = TfidfVectorizer(**TFIDF)
                # liblinear computes in double precision; converted once, not once a label.
                features = vectorizer.fit_transform(texts).astype(np.float64)
                judged = {part: vectorizer.transform(rows) for part, rows in others.items()}
            found = {part: margins[part][:, labels] for part in others}
            for place, label in enumerate(labels):
                positive = by_label.indices[by_label.indptr[label] : by_label.indptr[label + 1]]
                if not len(positive):
                    continue
                target = np.zeros(n_texts, dtype=bool)
                target[positive] = True
                svm = LinearSVC(dual=True, random_state=0).fit(features, target)
                for part in others:
                    found[part][:, place] = judged[part] @ svm.coef_[0].astype(np.float32) + svm.intercept_[0]
            unfinished = block.with_suffix(".part.npz")
            np.savez(unfinished, **found)
            unfinished.rename(block)
            print(f"labels to {labels[-1] + 1:,} of {n_labels:,}", flush=True)
        with np.load(block) as saved:
            for part in others:
                margins[part][:, labels] = saved[part]
    return margins
