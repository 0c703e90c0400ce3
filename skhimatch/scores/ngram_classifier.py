"""A linear classifier for each label, on n-grams of any kind."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.labels.weights import TextWeights
from skhimatch.scores.gradient_descent import descend
from skhimatch.scores.sparse_products import dense_weight, product_with_dense, product_with_sparse
from skhimatch.scores.state import ScorerState, sparse_from_arrays, sparse_to_arrays
from skhimatch.scores.svm import train_svms
from skhimatch.storage.arrays import of_shape
from skhimatch.storage.pickles import FieldsPickled
from skhimatch.text.sequences import Texts, TokenSequences, Vocabulary, words_of

__all__ = ["NGramClassifier"]

# Smaller weights are dropped. They change no score by more than a few thousandths.
MIN_WEIGHT = 0.003


class Features(Protocol):
    """What turns texts into the features of a linear classifier."""

    @property
    def idf(self) -> NDArray[np.float32]:
        """The inverse document frequencies, of shape (F,)."""
        ...

    def counts(self, texts: TokenSequences) -> sp.csr_array:
        """Return how often each text has each feature, csr_array of shape (n, F), float32."""
        ...

    def __call__(self, texts: TokenSequences) -> sp.csr_array:
        """Return one row for each text, csr_array of shape (n, F), float32."""
        ...

    def __len__(self) -> int:
        """F."""
        ...

    def readable(self, columns: Iterable[int], vocabulary: Vocabulary) -> list[str]:
        """Return some of the features as a user reads them."""
        ...

    def state(self) -> ScorerState:
        """Return what the features are rebuilt from."""
        ...


@dataclass(frozen=True, eq=False)
class NGramClassifier(FieldsPickled):
    """A linear classifier for each label on the n-grams of a text, trained by the squared hinge loss.

    margin_l = w_l · x + b_l. Up to some size of the problem, each label's support vector machine is solved
    exactly: it minimises ||w_l||² / 2 + C sum over texts of max(0, 1 - y_l margin_l)², y_l = ±1. Beyond, all
    labels are trained together by stochastic gradient descent on the mean over texts of the same loss.
    An n-gram then has a weight for a label only if the two occur together in several training texts, and
    more often than chance predicts. This, and the small number of steps, prevent overfitting.

    Attributes
    ----------
    ngrams : NGramFeatures or CharacterFeatures
        The features x.
    weight : csr_array of shape (F, L), float32
        One row for each n-gram, one column for each label.
    bias : float32 ndarray of shape (L,)

    Examples
    --------
    >>> from skhimatch.scores.ngrams import NGramFeatures
    >>> from skhimatch.text.sequences import TokenSequences, Vocabulary
    >>> vocabulary = Vocabulary(["quark", "cell", "the"])
    >>> texts = TokenSequences.from_lists([[4, 2], [4, 3], [2], [3, 4]] * 8, vocabulary)
    >>> targets = sp.csr_array([[1, 0], [0, 1], [1, 0], [0, 1]] * 8)
    >>> ngrams = NGramFeatures.learn(texts)
    >>> classifier = NGramClassifier.untrained(ngrams, 2).solved(ngrams(texts), targets, C=1.0, seed=0)
    >>> (classifier.scores(texts[:4]) > 0).astype(int)
    array([[1, 0],
           [0, 1],
           [1, 0],
           [0, 1]])
    """

    ngrams: Features
    weight: sp.csr_array
    bias: NDArray[np.float32]

    @classmethod
    def untrained(cls, ngrams: Features, n_labels: int) -> NGramClassifier:
        """Return a classifier whose weights are all zero.

        Parameters
        ----------
        ngrams : NGramFeatures or CharacterFeatures
            The features.
        n_labels : int
            L.

        Returns
        -------
        NGramClassifier
            All of its margins are -1, which is right for labels without any text.
        """
        weight = sp.csr_array((len(ngrams), n_labels), dtype=np.float32)
        return cls(ngrams, weight, np.full(n_labels, -1, dtype=np.float32))

    def solved(
        self,
        features: sp.csr_array,
        targets: sp.csr_array,
        *,
        C: float,
        seed: int,
        weights: TextWeights | None = None,
    ) -> NGramClassifier:
        """Return a copy with the exact solution for these texts.

        Parameters
        ----------
        features : csr_array of shape (n, F), float32
            The features of the training texts: what `ngrams` returns for them.
        targets : csr_array of shape (n, L)
            Their 0/1 targets.
        C : float
            Inverse strength of the regularisation.
        seed : int
            Seeds the order of the texts, which the last digits of the solution depend on.
        weights : TextWeights, optional
            They multiply C for each text and label, so that a weight of 2 is the text twice.

        Returns
        -------
        NGramClassifier
            All margins of a label are 1 if all texts have it, and -1 if none has; texts whose target is not
            known are left out.
        """
        n_labels = targets.shape[1]
        number = np.asarray(targets.sum(axis=0)).ravel()
        n_known = targets.shape[0] if weights is None else weights.number_known
        bias = np.where((number > 0) & (number == n_known), 1, -1).astype(np.float32)
        rows, columns, data = [], [], []
        if len(self.ngrams):
            for label, found, intercept in train_svms(features, targets, C=C, seed=seed, weights=weights):
                kept = np.flatnonzero(np.abs(found) >= MIN_WEIGHT)
                rows.append(kept)
                columns.append(np.full(len(kept), label))
                data.append(found[kept].astype(np.float32))
                bias[label] = intercept
        weight = sp.csr_array((len(self.ngrams), n_labels), dtype=np.float32)
        if data:
            places = np.concatenate(rows), np.concatenate(columns)
            weight = sp.coo_array((np.concatenate(data), places), shape=weight.shape).tocsr()
        return NGramClassifier(self.ngrams, weight, bias)

    def trained(
        self,
        features: sp.csr_array,
        targets: sp.csr_array,
        *,
        epochs: int,
        seed: int,
        learning_rate: float = 10.0,
        weights: TextWeights | None = None,
    ) -> NGramClassifier:
        """Return a copy that is trained for some more epochs, by stochastic gradient descent.

        Parameters
        ----------
        features, targets : as in `solved`
            The features of the training texts, and their targets.
        epochs : int
            Passes over the texts. The learning rate rises to its highest value, then decays to zero.
        seed : int
            Shuffles the texts.
        learning_rate : float
            The highest learning rate of the weights.
        weights : TextWeights, optional
            The loss of a batch is the mean that they weight.

        Returns
        -------
        NGramClassifier
            It also has weights for n-grams and labels that occur together in these texts.
        """
        weight, bias = descend(
            self.weight,
            self.bias,
            features,
            targets,
            epochs=epochs,
            seed=seed,
            learning_rate=learning_rate,
            weights=weights,
        )
        return NGramClassifier(self.ngrams, weight, bias)

    def with_labels(self, n_labels: int) -> NGramClassifier:
        """Return a copy that has more labels, with zero weights.

        Parameters
        ----------
        n_labels : int
            L; the first labels are those of this classifier.

        Returns
        -------
        NGramClassifier
        """
        parts = (self.weight.data, self.weight.indices, self.weight.indptr)
        bias = np.full(n_labels, -1, dtype=np.float32)
        bias[: len(self.bias)] = self.bias
        weight = sp.csr_array(parts, shape=(self.weight.shape[0], n_labels))
        return NGramClassifier(self.ngrams, weight, bias)

    def scores(self, texts: Texts) -> NDArray[np.float32]:
        """Return the margins of all labels.

        Parameters
        ----------
        texts : TokenSequences or SubwordSequences of n texts
            The texts.

        Returns
        -------
        float32 ndarray of shape (n, L)
        """
        features = self.ngrams(words_of(texts))
        if self._dense_weight is None:
            scores = product_with_sparse(features, self.weight)
        else:
            scores = product_with_dense(features, self._dense_weight)
        scores += self.bias
        return scores

    @cached_property
    def _dense_weight(self) -> NDArray[np.float32] | None:
        return dense_weight(self.weight)

    def contributions(self, text: TokenSequences, weights: NDArray[np.float64]) -> sp.csr_array:
        """Return what each n-gram of a text adds to a weighted sum of the labels' scores.

        Parameters
        ----------
        text : TokenSequences of one text
            The text.
        weights : float64 ndarray of shape (L,)
            What each label's score is multiplied by. With 1 for a label and 0 for the others, the sum is the
            score of this label.

        Returns
        -------
        csr_array of shape (1, F), float64
            Together with ``weights @ bias`` they sum to the weighted sum of the scores.
        """
        found = self.ngrams(text).astype(np.float64)
        found.data *= self.weight[found.indices].astype(np.float64) @ weights
        return found

    def state(self) -> ScorerState:
        """Return what `from_state` rebuilds the classifier from.

        Returns
        -------
        ScorerState
        """
        features = self.ngrams.state()
        arrays = {**features.arrays, "bias": self.bias, **sparse_to_arrays("weight", self.weight)}
        return ScorerState(features.values, arrays)

    @classmethod
    def from_state(cls, state: ScorerState, ngrams: Features, hierarchy: LabelHierarchy) -> NGramClassifier:
        """Rebuild a classifier from its `state`.

        Parameters
        ----------
        state : ScorerState
            As `state` returned it.
        ngrams : NGramFeatures or CharacterFeatures
            The features, rebuilt from the same state.
        hierarchy : LabelHierarchy
            L labels.

        Returns
        -------
        NGramClassifier
        """
        bias = of_shape(state.arrays, "bias", (len(hierarchy),))
        return cls(ngrams, sparse_from_arrays("weight", state.arrays, (len(ngrams), len(hierarchy))), bias)
