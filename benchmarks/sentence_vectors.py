"""The baseline of frozen sentence vectors: a logistic regression for each label."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import normalize

from skhimatch.evaluation.decisions import DecisionRule
from skhimatch.evaluation.margins import MarginDecision, is_better
from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.labels.targets import encode_targets
from skhimatch.network.encodings import EncodingStore, encode
from skhimatch.network.transformer import TransformerEncoder
from skhimatch.text.pretrained import PretrainedEncoder

__all__ = ["SentenceVectors", "TextVectors"]

# Inverse strengths of the regularisation that are tried on the validation part.
STRENGTHS = (1.0, 10.0, 100.0)
MAX_ITERATIONS = 1_000


class SentenceVectors(BaseEstimator):
    """Sentence vectors of a pretrained encoder that is not trained, and a logistic regression per label.

    Decisions are those of `LinearBaseline`.

    Parameters
    ----------
    hierarchy : LabelHierarchy
        L labels.
    encoder : str
        The folder of the encoder.
    store : Path, optional
        The folder where vectors are kept. Without it, they are kept in memory.
    optimize : {"micro_macro", "micro", "macro", "hierarchical"} or "precision@k", default="micro_macro"
        The F1 to maximise on the validation texts.
    """

    def __init__(
        self,
        hierarchy: LabelHierarchy,
        encoder: str,
        store: Path | None = None,
        optimize: str = "micro_macro",
    ) -> None:
        self.hierarchy = hierarchy
        self.encoder = encoder
        self.store = store
        self.optimize = optimize

    def fit(
        self,
        texts: Sequence[str],
        label_sets: Iterable[Iterable[str]],
        X_val: Sequence[str],
        y_val: Iterable[Iterable[str]],
    ) -> SentenceVectors:
        """Train a logistic regression for each label. Choose C and the decision on validation texts."""
        self.vectors_ = TextVectors(self.encoder, self.store)
        targets = encode_targets(label_sets, self.hierarchy, len(texts))
        held_targets = encode_targets(y_val, self.hierarchy, len(X_val))
        vectors, held_vectors = self.vectors_(texts), self.vectors_(X_val)
        rule = DecisionRule.learn(targets, self.hierarchy)
        best: MarginDecision | None = None
        for C in STRENGTHS:
            coef, intercept = _train(vectors, targets, C)
            margins = held_vectors @ coef.T + intercept
            decision = MarginDecision.choose(rule, margins, held_targets, optimize=self.optimize)
            if best is None or is_better(decision, best):
                best, self.C_, self.coef_, self.intercept_ = decision, C, coef, intercept
        self.decision_ = best
        return self

    def tune(self, texts: Sequence[str], label_sets: Iterable[Iterable[str]]) -> SentenceVectors:
        """Choose the decision anew for the current `optimize`, without training."""
        targets = encode_targets(label_sets, self.hierarchy, len(texts))
        rule = replace(self.decision_.rule, threshold=0.5, decoding="auto")
        margins = self.decision_function(texts)
        self.decision_ = MarginDecision.choose(rule, margins, targets, optimize=self.optimize)
        return self

    def decision_function(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the log-odds of all labels, of shape (n, L)."""
        return self.vectors_(texts) @ self.coef_.T + self.intercept_

    def predict(self, texts: Sequence[str]) -> sp.csr_array:
        """Return the predicted labels as an indicator."""
        return self.decision_(self.decision_function(texts))


class TextVectors:
    """One vector of length 1 for each text: the mean of the states of its tokens.

    Parameters
    ----------
    encoder : str
        The folder of the encoder.
    store : Path, optional
        The folder where vectors are kept by the text and the encoder. Without it, they are kept in memory.
    """

    def __init__(self, encoder: str, store: Path | None = None) -> None:
        self.encoder = TransformerEncoder(PretrainedEncoder(encoder, pooling="mean", freeze="all"))
        self.digest = self.encoder.digest()
        self.store = None if store is None else EncodingStore(store)
        self.known: dict[bytes, NDArray[np.float32]] = {}

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the vectors of n texts, of shape (n, d). Each text is encoded only once."""
        of_text = {hashlib.sha256(self.digest + text.encode()).digest(): text for text in texts}
        # Longest first: batches have little padding.
        keys = sorted(of_text.keys() - self.known.keys(), key=lambda key: (-len(of_text[key]), key))

        def make(rows: NDArray[np.int64]) -> NDArray[np.float32]:
            return encode(self.encoder, self.encoder.tokenize([of_text[keys[row]] for row in rows]))

        if keys:
            found = make(np.arange(len(keys))) if self.store is None else self.store.get(keys, make)
            self.known |= dict(zip(keys, normalize(found), strict=True))
        return np.stack([self.known[hashlib.sha256(self.digest + text.encode()).digest()] for text in texts])


def _train(
    vectors: NDArray[np.float32], targets: sp.csr_array, C: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return weights and intercepts; the intercepts of labels that all texts have, or none, are infinite."""
    coef = np.zeros((targets.shape[1], vectors.shape[1]), dtype=np.float32)
    n_examples = targets.sum(axis=0)
    intercept = np.where(n_examples > 0, np.inf, -np.inf).astype(np.float32)
    by_label = targets.tocsc()
    for label in np.flatnonzero((n_examples > 0) & (n_examples < len(vectors))):
        target = by_label[:, [label]].toarray()[:, 0] > 0
        fitted = LogisticRegression(C=C, max_iter=MAX_ITERATIONS).fit(vectors, target)
        coef[label], intercept[label] = fitted.coef_[0], fitted.intercept_[0]
    return coef, intercept
