"""The linear baseline for so many labels that its weights would not fit into memory."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.feature_extraction.text import TfidfVectorizer

from skhimatch.baseline import TFIDF
from skhimatch.evaluation.decisions import DecisionRule
from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.labels.targets import encode_targets
from skhimatch.scores.svm import train_svms

__all__ = ["LinearByBlocks"]

LABELS_AT_ONCE = 64


class LinearByBlocks:
    """The SVMs of `LinearBaseline`. Only their margins on given texts are kept, not their weights.

    Parameters
    ----------
    hierarchy : LabelHierarchy
        L labels.
    folder : Path
        Where the margins of each block of labels are written. A second `fit` continues after an
        interruption of the first. Empty the folder if the corpus changes.
    """

    def __init__(self, hierarchy: LabelHierarchy, folder: Path) -> None:
        self.hierarchy = hierarchy
        self.folder = folder

    def fit(
        self, texts: Sequence[str], label_sets: Sequence[frozenset[str]], judged: dict[str, Sequence[str]]
    ) -> LinearByBlocks:
        """Train an SVM for each label, and apply it to the texts of each part in `judged`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.judged_ = judged
        targets = encode_targets(label_sets, self.hierarchy, len(texts))
        n_labels = len(self.hierarchy)
        self.margins_ = {part: np.empty((len(of), n_labels), np.float32) for part, of in judged.items()}
        self.seconds_ = 0.0
        vectorizer, features, others = None, None, {}
        for start in range(0, n_labels, LABELS_AT_ONCE):
            block = slice(start, min(start + LABELS_AT_ONCE, n_labels))
            path = self.folder / f"{start:06d}.npz"
            if not path.exists():
                if vectorizer is None:
                    vectorizer = TfidfVectorizer(**TFIDF)
                    # liblinear computes in double precision. Converted here once, not once for each label.
                    features = vectorizer.fit_transform(texts).astype(np.float64)
                    others = {part: vectorizer.transform(of) for part, of in judged.items()}
                started = time.perf_counter()
                found = _margins(features, targets[:, block], others)
                unfinished = path.with_suffix(".part.npz")
                np.savez(
                    unfinished, seconds=time.perf_counter() - started, n_ngrams=features.shape[1], **found
                )
                unfinished.rename(path)
                print(f"labels to {block.stop:,} of {n_labels:,}", flush=True)
            with np.load(path) as saved:
                self.seconds_ += float(saved["seconds"])
                n_ngrams = int(saved["n_ngrams"])
                for part in judged:
                    self.margins_[part][:, block] = saved[part]
        self.n_parameters_ = (n_ngrams + 1) * int((targets.sum(axis=0) > 0).sum())
        self.decision_ = DecisionRule.learn(targets, self.hierarchy, decoding="threshold")
        return self

    def tuned(self, part: str, label_sets: Sequence[frozenset[str]]) -> LinearByBlocks:
        """Find the threshold with the best F1 on a part."""
        targets = encode_targets(label_sets, self.hierarchy)
        self.decision_ = self.decision_.tuned(expit(self.margins_[part]), targets)
        return self

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the sigmoid of the margins of one of the parts."""
        part, *_ = [part for part, of in self.judged_.items() if of == texts]
        return expit(self.margins_[part])

    def predict(self, texts: Sequence[str]) -> sp.csr_array:
        """Return the predicted labels of one of the parts as an indicator."""
        return self.decision_(self.predict_proba(texts))


def _margins(
    features: sp.csr_matrix, targets: sp.csr_array, others: dict[str, sp.csr_matrix]
) -> dict[str, NDArray[np.float32]]:
    """Train the SVMs of some labels, and apply them."""
    # The margin of a label that no text has is minus infinity; if all texts have it, infinity (as in
    # `LinearBaseline`).
    everywhere = np.where(targets.sum(axis=0) > 0, np.inf, -np.inf).astype(np.float32)
    margins = {part: np.tile(everywhere, (of.shape[0], 1)) for part, of in others.items()}
    for label, weights, intercept in train_svms(features, targets):
        for part, of in others.items():
            margins[part][:, label] = of @ weights.astype(np.float32) + intercept
    return margins
