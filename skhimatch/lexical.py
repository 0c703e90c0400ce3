"""Lexical evidence: which words and word pairs a text has, weighed by a linear classifier."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from sklearn.preprocessing import normalize
from torch import nn

from skhimatch.objective import squared_hinge_loss
from skhimatch.sequences import UNKNOWN_ID, TokenSequences

__all__ = ["LexicalClassifier", "NGramWeights"]

# Weights of the classifier, 400 MB: with thousands of labels only the commonest n-grams are kept.
MOST_WEIGHTS = 100_000_000
FEWEST_TEXTS = 2
TEXTS_AT_ONCE = 20_000
LEARNING_RATE = 5.0
BIAS_LEARNING_RATE = 0.1
EPOCHS = 10
BATCH_SIZE = 32
WARM_UP = 0.1


@dataclass(frozen=True, eq=False)
class NGramWeights:
    """TF-IDF of the words and word pairs that several training texts share.

    A text is a row of unit length, its entries in proportion to (1 + log count) * idf, where
    idf = 1 + log((1 + n) / (1 + texts with it)). Unknown words, and pairs with one, have no entry.

    Attributes
    ----------
    codes : int64 ndarray of shape (F,)
        The n-grams, sorted: ``id`` for a word, ``first * V + second`` for a pair, V the size of the
        vocabulary.
    idf : float32 ndarray of shape (F,)
        Their inverse document frequencies.

    Examples
    --------
    >>> from skhimatch.sequences import Vocabulary
    >>> vocabulary = Vocabulary(["wave", "field"])
    >>> texts = TokenSequences.from_lists([[2, 3], [2, 3, 3], [2]], vocabulary)
    >>> ngrams = NGramWeights.learn(texts)
    >>> ngrams.codes  # wave, field, wave field; only one text has field field
    array([ 2,  3, 11])
    >>> ngrams(texts).toarray().round(2)
    array([[0.48, 0.62, 0.62],
           [0.37, 0.8 , 0.47],
           [1.  , 0.  , 0.  ]], dtype=float32)
    """

    codes: NDArray[np.int64]
    idf: NDArray[np.float32]

    @classmethod
    def learn(cls, texts: TokenSequences, most: int | None = None) -> NGramWeights:
        """Choose the n-grams of training texts.

        Parameters
        ----------
        texts : TokenSequences of n texts
            The training texts.
        most : int, optional
            Keep at most so many, those of most texts.

        Returns
        -------
        NGramWeights
            Of the n-grams that at least two texts share.
        """
        found, counts = zip(*(_document_frequencies(part) for part in _parts(texts)), strict=True)
        kept, column = np.unique(np.concatenate(found), return_inverse=True)
        frequencies = np.bincount(column, weights=np.concatenate(counts), minlength=len(kept))
        chosen = np.flatnonzero(frequencies >= FEWEST_TEXTS)
        if most is not None and len(chosen) > most:
            chosen = np.sort(chosen[np.argsort(-frequencies[chosen], kind="stable")[:most]])
        idf = np.log((1 + len(texts)) / (1 + frequencies[chosen])) + 1
        return cls(kept[chosen], idf.astype(np.float32))

    def __call__(self, texts: TokenSequences) -> sp.csr_array:
        """Weigh the n-grams of texts.

        Parameters
        ----------
        texts : TokenSequences of n texts
            Over the vocabulary of `learn`.

        Returns
        -------
        csr_array of shape (n, F), float32
        """
        return sp.vstack([self._weigh(part) for part in _parts(texts)], format="csr")

    def _weigh(self, texts: TokenSequences) -> sp.csr_array:
        rows, codes = _ngrams(texts)
        column = np.searchsorted(self.codes, codes)
        known = column < len(self.codes)
        known[known] = self.codes[column[known]] == codes[known]
        counts = sp.csr_array(
            (np.ones(known.sum(), dtype=np.float32), (rows[known], column[known].astype(np.int32))),
            shape=(len(texts), len(self.codes)),
        )
        counts.data = (1 + np.log(counts.data)) * self.idf[counts.indices]
        return normalize(counts, copy=False) if len(self.codes) else counts


@dataclass(frozen=True, eq=False)
class LexicalClassifier:
    """A linear classifier a label on the n-grams of a text, trained by the squared hinge loss.

    margin_l = w_l · x + b_l, by stochastic gradient descent on the mean over texts of
    sum_l max(0, 1 - y_l margin_l)², y_l = ±1. What keeps it from overfitting is the small number of steps.

    Attributes
    ----------
    ngrams : NGramWeights
        The features x.
    weight : float32 ndarray of shape (F, L)
        A column a label.
    bias : float32 ndarray of shape (L,)

    Examples
    --------
    >>> from skhimatch.sequences import Vocabulary
    >>> vocabulary = Vocabulary(["quark", "cell", "the"])
    >>> texts = TokenSequences.from_lists([[4, 2], [4, 3], [2], [3, 4]] * 8, vocabulary)
    >>> targets = sp.csr_array([[1, 0], [0, 1], [1, 0], [0, 1]] * 8)
    >>> lexical = LexicalClassifier.fit(texts, targets, seed=0)
    >>> (lexical.margins(texts[:4]) > 0).astype(int)
    array([[1, 0],
           [0, 1],
           [1, 0],
           [0, 1]])
    """

    ngrams: NGramWeights
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]

    @classmethod
    def fit(
        cls, texts: TokenSequences, targets: sp.csr_array, *, seed: int, device: str | torch.device = "cpu"
    ) -> LexicalClassifier:
        """Train on texts and their labels.

        Parameters
        ----------
        texts : TokenSequences of n texts
            The training texts.
        targets : csr_array of shape (n, L)
            0/1 targets.
        seed : int
            Shuffles the texts.
        device : str or torch.device
            Where to train.

        Returns
        -------
        LexicalClassifier
        """
        blank = cls.untrained(texts, targets.shape[1])
        return blank.trained(texts, targets, epochs=EPOCHS, seed=seed, device=device)

    @classmethod
    def untrained(cls, texts: TokenSequences, n_labels: int) -> LexicalClassifier:
        """Choose the n-grams, and know nothing of labels.

        Parameters
        ----------
        texts : TokenSequences of n texts
            The training texts.
        n_labels : int
            L.

        Returns
        -------
        LexicalClassifier
            Its margins are all -1, which is right for labels without any text.
        """
        ngrams = NGramWeights.learn(texts, most=max(1, MOST_WEIGHTS // n_labels))
        weight = np.zeros((len(ngrams.codes), n_labels), dtype=np.float32)
        return cls(ngrams, weight, np.full(n_labels, -1, dtype=np.float32))

    def trained(
        self,
        texts: TokenSequences,
        targets: sp.csr_array,
        *,
        epochs: int,
        seed: int,
        device: str | torch.device = "cpu",
    ) -> LexicalClassifier:
        """Return a copy, trained for some epochs more.

        Parameters
        ----------
        texts, targets, seed, device
            As in `fit`.
        epochs : int
            Passes over the texts, the learning rate rising to its highest and decaying to zero.

        Returns
        -------
        LexicalClassifier
        """
        features = self.ngrams(texts)
        weight = torch.tensor(self.weight, device=device, requires_grad=True)
        bias = torch.tensor(self.bias, device=device, requires_grad=True)
        # A pair that few texts have needs a step as long as a word of many: no adaptive rates here.
        optimizer = torch.optim.SGD(
            [{"params": [weight], "lr": LEARNING_RATE}, {"params": [bias], "lr": BIAS_LEARNING_RATE}]
        )
        steps = epochs * -(-len(texts) // BATCH_SIZE)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _warm_up_and_decay(step, steps))
        draws = np.random.RandomState(seed)
        for _ in range(epochs):
            order = draws.permutation(len(texts))
            for start in range(0, len(order), BATCH_SIZE):
                rows = order[start : start + BATCH_SIZE]
                margins = _weighted_sums(features[rows], weight) + bias
                wanted = torch.from_numpy(targets[rows].toarray().astype(np.float32)).to(device)
                optimizer.zero_grad()
                (squared_hinge_loss(margins, wanted) / len(rows)).backward()
                optimizer.step()
                schedule.step()
        return LexicalClassifier(self.ngrams, weight.detach().cpu().numpy(), bias.detach().cpu().numpy())

    def margins(self, texts: TokenSequences) -> NDArray[np.float32]:
        """Return the margins of all labels.

        Parameters
        ----------
        texts : TokenSequences of n texts

        Returns
        -------
        float32 ndarray of shape (n, L)
        """
        return self.ngrams(texts) @ self.weight + self.bias


def _parts(texts: TokenSequences) -> Iterator[TokenSequences]:
    """Cut many texts into as many as fit into memory with all their pairs."""
    return (texts[start : start + TEXTS_AT_ONCE] for start in range(0, len(texts), TEXTS_AT_ONCE))


def _document_frequencies(texts: TokenSequences) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """List every n-gram, and how many of the texts have it."""
    rows, codes = _ngrams(texts)
    kept, column = np.unique(codes, return_inverse=True)
    counts = sp.csr_array((np.ones(len(rows)), (rows, column)), shape=(len(texts), len(kept)))
    return kept, np.bincount(counts.indices, minlength=len(kept))


def _ngrams(texts: TokenSequences) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """List every known word and every pair of known words: the text's row, and the code."""
    ids = texts.ids.astype(np.int64)
    rows = np.repeat(np.arange(len(texts), dtype=np.int32), texts.lengths)
    known = ids > UNKNOWN_ID
    pairs = np.flatnonzero(known[:-1] & known[1:] & (rows[:-1] == rows[1:]))
    codes = ids[pairs] * len(texts.vocabulary) + ids[pairs + 1]
    return np.concatenate([rows[known], rows[pairs]]), np.concatenate([ids[known], codes])


def _weighted_sums(features: sp.csr_array, weight: torch.Tensor) -> torch.Tensor:
    """Multiply sparse features with weights, whose gradient is sparse too."""
    indices, offsets, values = (
        torch.from_numpy(part).to(weight.device)
        for part in (features.indices.astype(np.int64), features.indptr.astype(np.int64), features.data)
    )
    return nn.functional.embedding_bag(
        indices,
        weight,
        offsets,
        mode="sum",
        sparse=True,
        per_sample_weights=values,
        include_last_offset=True,
    )


def _warm_up_and_decay(step: int, steps: int) -> float:
    done = (step + 1) / (steps + 1)
    return min(done / WARM_UP, (1 - done) / (1 - WARM_UP))
