"""Words and word pairs of a text, and a linear classifier on n-grams."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.labels.rows import index_type
from skhimatch.labels.weights import TextWeights
from skhimatch.scores.state import ScorerState, sparse_from_arrays, sparse_to_arrays
from skhimatch.scores.svm import train_svms
from skhimatch.scores.tfidf import inverse_document_frequencies, weighted_counts
from skhimatch.storage.arrays import of_shape, positions
from skhimatch.text.key_table import KeyTable
from skhimatch.text.sequences import UNKNOWN_ID, Texts, TokenSequences, Vocabulary, words_of
from skhimatch.text.words import rare_words_count

__all__ = [
    "Exactly",
    "InSteps",
    "NGramClassifier",
    "NGramFeatures",
    "NGramTraining",
    "choose_epochs",
    "ways_to_train",
]

# An n-gram needs so many texts, and so does a pair of an n-gram and a label.
MIN_TEXTS = 2
# Texts, and n-grams, that are handled at a time, to bound the memory.
CHUNK_SIZE = 20_000
# 32 MB of codes and frequencies. Of millions of texts, the n-grams beyond are in a handful of texts each.
MAX_NGRAMS = 2_000_000
# A matrix is brought into the order of its columns, and back, if it has at least one entry for so many
# columns. This sorts its rows by counting, which takes time for each column, too. With 122,560 n-grams it is
# faster than sorting each row from about 70 abstracts on, and takes a third of the time for 1,000.
COLUMNS_PER_ENTRY = 8
BIAS_LEARNING_RATE = 0.1
# From this share of weights that are not zero, texts are scored by dense weights. They are kept if they are
# no more than this number, 128 MiB. On WOS, where the share is .32, the product then takes a tenth of the
# time that it takes if weights are made dense for each prediction.
MIN_DENSITY, MAX_DENSE_WEIGHTS = 0.1, 2**25
# Otherwise the weights of the n-grams of some texts at a time are made dense: as many texts as have so many
# weights, no more than 64. That takes a fifth of the time of the sparse product.
WEIGHTS_OF_PRODUCT, TEXTS_OF_PRODUCT = 2**22, 64
# The learning rates that are tried on held-out texts. The second is better where words tell labels clearly.
LEARNING_RATES = 10.0, 20.0
# The C of the support vector machines that are tried on held-out texts. Between 0.3 and 3 there was no more
# than a point of F1 on six corpora.
INVERSE_REGULARISATIONS = 1.0, 3.0
# Up to this number of multiplications for a pass over the texts, that is of entries of features times labels,
# the support vector machines are solved exactly: some 10 seconds. On 20 Newsgroups, words alone, micro-F1 is
# .880, and .867 by stochastic gradient descent.
MAX_MULTIPLICATIONS = 600_000_000
# Smaller weights are dropped. They change no score by more than a few thousandths.
MIN_WEIGHT = 0.003
# Ten epochs for up to 10,000 texts, fewer for more texts: five for 45,000 (measured on EURLEX57K).
MAX_EPOCHS, MIN_EPOCHS, TEXTS_FOR_MAX_EPOCHS = 10, 3, 10_000
BATCH_SIZE = 32
# Share of the steps in which the learning rate rises.
WARM_UP = 0.1


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
class NGramFeatures:
    """TF-IDF of words and word pairs: those of several training texts, or all if these have few words.

    A text is a row of length 1. Its entries are proportional to (1 + log count) * idf, where
    idf = 1 + log((1 + n) / (1 + number of texts with the n-gram)). Unknown words, and pairs with an
    unknown word, have no entry.

    Attributes
    ----------
    codes : int64 ndarray of shape (F,)
        The n-grams, sorted: ``id`` for a word, ``first * V + second`` for a pair, V the size of the
        vocabulary.
    idf : float32 ndarray of shape (F,)
        Their inverse document frequencies.

    Examples
    --------
    >>> from skhimatch.text.sequences import Vocabulary
    >>> vocabulary = Vocabulary(["wave", "field"])
    >>> texts = TokenSequences.from_lists([[2, 3], [2, 3], [2]], vocabulary)
    >>> ngrams = NGramFeatures.learn(texts)
    >>> ngrams.codes  # wave, field, wave field
    array([ 2,  3, 11])
    >>> ngrams(texts).toarray().round(2)
    array([[0.48, 0.62, 0.62],
           [0.48, 0.62, 0.62],
           [1.  , 0.  , 0.  ]], dtype=float32)
    """

    codes: NDArray[np.int64]
    idf: NDArray[np.float32]

    def readable(self, columns: Iterable[int], vocabulary: Vocabulary) -> list[str]:
        """Return n-grams as words.

        Parameters
        ----------
        columns : iterable of int
            Columns of the TF-IDF.
        vocabulary : Vocabulary
            That of the training texts.

        Returns
        -------
        list of str
            A pair is two words with a space between them.
        """
        words = (*vocabulary.special_words, *vocabulary.words)
        ids = (divmod(int(self.codes[column]), len(vocabulary)) for column in columns)
        return [words[second] if first == 0 else f"{words[first]} {words[second]}" for first, second in ids]

    @classmethod
    def learn(cls, texts: TokenSequences, max_ngrams: int | None = None) -> NGramFeatures:
        """Choose the n-grams of training texts.

        Parameters
        ----------
        texts : TokenSequences of n texts
            The training texts.
        max_ngrams : int, optional
            Keep at most this many n-grams, those that are in most texts; by default two millions.

        Returns
        -------
        NGramFeatures
            With the n-grams that at least two texts share, or with all if the texts have few words.
        """
        found, counts = zip(*(_document_frequencies(chunk) for chunk in _chunks(texts)), strict=True)
        kept, column = np.unique(np.concatenate(found), return_inverse=True)
        frequencies = np.bincount(column, weights=np.concatenate(counts), minlength=len(kept))
        chosen = np.flatnonzero(frequencies >= (1 if rare_words_count(len(texts.ids)) else MIN_TEXTS))
        max_ngrams = MAX_NGRAMS if max_ngrams is None else max_ngrams
        if len(chosen) > max_ngrams:
            chosen = np.sort(chosen[np.argsort(-frequencies[chosen], kind="stable")[:max_ngrams]])
        return cls(kept[chosen], inverse_document_frequencies(frequencies[chosen], len(texts)))

    def __len__(self) -> int:
        """F."""
        return len(self.codes)

    def state(self) -> ScorerState:
        """Return what `from_state` rebuilds the features from.

        Returns
        -------
        ScorerState
        """
        return ScorerState({}, {"codes": self.codes, "idf": self.idf})

    @classmethod
    def from_state(cls, state: ScorerState) -> NGramFeatures:
        """Rebuild the features from their `state`.

        Parameters
        ----------
        state : ScorerState
            As `state` returned it.

        Returns
        -------
        NGramFeatures
        """
        codes = positions(state.arrays, "codes", np.iinfo(np.int64).max)
        return cls(codes, of_shape(state.arrays, "idf", codes.shape))

    def __call__(self, texts: TokenSequences) -> sp.csr_array:
        """Return the TF-IDF of texts.

        Parameters
        ----------
        texts : TokenSequences of n texts
            Over the vocabulary of `learn`.

        Returns
        -------
        csr_array of shape (n, F), float32
        """
        return weighted_counts(self.counts(texts), self.idf)

    def counts(self, texts: TokenSequences) -> sp.csr_array:
        """Return how often each text has each n-gram.

        Parameters
        ----------
        texts : TokenSequences of n texts
            Over the vocabulary of `learn`.

        Returns
        -------
        csr_array of shape (n, F), float32
        """
        parts = [self._counts(chunk) for chunk in _chunks(texts)]
        return parts[0] if len(parts) == 1 else sp.vstack(parts, format="csr")

    def _counts(self, texts: TokenSequences) -> sp.csr_array:
        # Two columns for each token: that of the word, and that of its pair with the next word.
        of_token = np.full((len(texts.ids), 2), -1, dtype=np.int32)
        of_token[:, 0] = self._columns_of_words(len(texts.vocabulary))[texts.ids]
        pairs, codes = _pairs(texts)
        of_token[pairs, 1] = self._table.find(codes)
        columns = of_token.ravel()
        known = np.flatnonzero(columns >= 0)
        offsets = np.searchsorted(known, 2 * texts.offsets).astype(index_type(len(known)))
        counts = sp.csr_array(
            (np.ones(len(known), dtype=np.float32), columns[known], offsets),
            shape=(len(texts), len(self.codes)),
        )
        if len(known) * COLUMNS_PER_ENTRY > len(self.codes):
            counts = counts.tocsc().tocsr()
        # It sorts each row first, unless the rows are sorted.
        counts.sum_duplicates()
        return counts

    def _columns_of_words(self, n_words: int) -> NDArray[np.int32]:
        """Return the column of each word of the vocabulary, -1 for those without one."""
        if n_words not in self._columns_by_size:
            words = self.codes[: np.searchsorted(self.codes, n_words)]
            columns = np.full(n_words, -1, dtype=np.int32)
            columns[words] = np.arange(len(words))
            self._columns_by_size[n_words] = columns
        return self._columns_by_size[n_words]

    @cached_property
    def _columns_by_size(self) -> dict[int, NDArray[np.int32]]:
        """The columns of words, by the size of the vocabulary: for the one that was learned from."""
        return {}

    @cached_property
    def _table(self) -> KeyTable:
        return KeyTable(self.codes.astype(np.int64, copy=False))

    def __getstate__(self) -> dict[str, Any]:
        # What is kept for the next texts is made again faster than it is read.
        return {"codes": self.codes, "idf": self.idf}


@dataclass(frozen=True, eq=False)
class NGramClassifier:
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
    >>> from skhimatch.text.sequences import Vocabulary
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
        learning_rate: float = LEARNING_RATES[0],
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
        n_texts = features.shape[0]
        weight, bias = _with_entries_at(_associations(features, targets), self.weight), self.bias.copy()
        steps, done = epochs * -(-n_texts // BATCH_SIZE), 0
        rng = np.random.RandomState(seed)
        for _ in range(epochs):
            order = rng.permutation(n_texts)
            for start in range(0, len(order), BATCH_SIZE):
                rows = order[start : start + BATCH_SIZE]
                used, values = _used_columns(features[rows])
                entries, part = _rows(weight, used)
                # No adaptive learning rates: a rare pair needs steps as long as those of a frequent word.
                rate = np.float32(_warm_up_and_decay(done, steps))
                wanted = targets[rows].toarray().astype(np.float32)
                signs = 2 * wanted - 1
                margins = (part.T @ values).T + bias
                slopes = -2 * signs * np.maximum(0, 1 - signs * margins)
                if weights is None:
                    slopes /= len(rows)
                else:
                    of_batch = weights.pick(rows)
                    total = np.float32(of_batch.texts.sum())
                    # The step of a heavy text ends at its margin, as if it came several times in a row.
                    longest = total / np.float32(2 * learning_rate * rate)
                    slopes *= np.minimum(of_batch.in_loss(wanted), max(longest, total / len(rows)))
                    slopes /= total
                weight.data[entries] -= learning_rate * rate * _product_at(part, values, slopes)
                bias -= BIAS_LEARNING_RATE * rate * slopes.sum(axis=0)
                done += 1
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
            scores = _dense_product(features, self.weight)
        else:
            scores = _product_with_dense(features, self._dense_weight)
        scores += self.bias
        return scores

    @cached_property
    def _dense_weight(self) -> NDArray[np.float32] | None:
        """The weights as a dense array, if it is not much larger than the sparse one; made once."""
        n_weights = self.weight.shape[0] * self.weight.shape[1]
        if self.weight.nnz < MIN_DENSITY * n_weights or n_weights > MAX_DENSE_WEIGHTS:
            return None
        return self.weight.toarray()

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled: all but the dense weights."""
        return {name: value for name, value in vars(self).items() if name != "_dense_weight"}

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


@dataclass(frozen=True)
class Exactly:
    """Train n-gram classifiers by solving each label's support vector machine.

    Attributes
    ----------
    C : float
        Inverse strength of the regularisation.
    """

    C: float

    @property
    def name(self) -> str:
        """A name for files."""
        return f"C-{self.C:g}"

    def __call__(
        self,
        untrained: NGramClassifier,
        features: sp.csr_array,
        targets: sp.csr_array,
        seed: int,
        weights: TextWeights | None = None,
    ) -> NGramClassifier:
        """Return the trained classifier."""
        return untrained.solved(features, targets, C=self.C, seed=seed, weights=weights)


@dataclass(frozen=True)
class InSteps:
    """Train n-gram classifiers by stochastic gradient descent.

    Attributes
    ----------
    learning_rate : float
        The highest learning rate.
    """

    learning_rate: float

    @property
    def name(self) -> str:
        """A name for files."""
        return f"rate-{self.learning_rate:g}"

    def __call__(
        self,
        untrained: NGramClassifier,
        features: sp.csr_array,
        targets: sp.csr_array,
        seed: int,
        weights: TextWeights | None = None,
    ) -> NGramClassifier:
        """Return the trained classifier."""
        epochs = choose_epochs(features.shape[0])
        return untrained.trained(
            features, targets, epochs=epochs, seed=seed, learning_rate=self.learning_rate, weights=weights
        )


NGramTraining = Exactly | InSteps


def ways_to_train(n_entries: int, n_labels: int) -> tuple[NGramTraining, ...]:
    """Return the ways to train an n-gram classifier that are worth a trial, the usual one first.

    Parameters
    ----------
    n_entries : int
        The number of stored entries of the features of all training texts.
    n_labels : int
        L.

    Returns
    -------
    tuple of Exactly, or of InSteps
        The exact solution, unless it takes minutes.

    Examples
    --------
    >>> ways_to_train(1_000_000, 100)
    (Exactly(C=1.0), Exactly(C=3.0))
    >>> ways_to_train(20_000_000, 4_000)
    (InSteps(learning_rate=10.0), InSteps(learning_rate=20.0))
    """
    if n_entries * n_labels <= MAX_MULTIPLICATIONS:
        return tuple(map(Exactly, INVERSE_REGULARISATIONS))
    return tuple(map(InSteps, LEARNING_RATES))


def choose_epochs(n_texts: int) -> int:
    """Choose the number of epochs for n training texts: many texts need fewer epochs.

    Examples
    --------
    >>> choose_epochs(1_000), choose_epochs(45_000), choose_epochs(500_000)
    (10, 5, 3)
    """
    return max(MIN_EPOCHS, round(MAX_EPOCHS * min(1.0, (TEXTS_FOR_MAX_EPOCHS / max(1, n_texts)) ** 0.5)))


def _chunks(texts: TokenSequences) -> Iterator[TokenSequences]:
    """Cut texts into chunks whose word pairs fit into memory."""
    return (texts[start : start + CHUNK_SIZE] for start in range(0, len(texts), CHUNK_SIZE))


def _document_frequencies(texts: TokenSequences) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the n-grams of texts, and how many texts have each."""
    rows, codes = _ngrams(texts)
    kept, column = np.unique(codes, return_inverse=True)
    counts = sp.csr_array((np.ones(len(rows)), (rows, column)), shape=(len(texts), len(kept)))
    return kept, np.bincount(counts.indices, minlength=len(kept))


def _ngrams(texts: TokenSequences) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return the row and the code of every known word and of every pair of known words."""
    rows = np.repeat(np.arange(len(texts), dtype=np.int32), texts.lengths)
    known = texts.ids > UNKNOWN_ID
    pairs, codes = _pairs(texts)
    return np.concatenate([rows[known], rows[pairs]]), np.concatenate([texts.ids[known], codes])


def _pairs(texts: TokenSequences) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where every pair of known words begins, and its code."""
    known = texts.ids > UNKNOWN_ID
    paired = known[:-1] & known[1:]
    # The last word of a text and the first of the next one are no pair. Empty texts have neither.
    ends = texts.offsets[1:-1]
    paired[ends[(ends > 0) & (ends < len(known))] - 1] = False
    pairs = np.flatnonzero(paired)
    ids = texts.ids.astype(np.int64)
    return pairs, ids[pairs] * len(texts.vocabulary) + ids[pairs + 1]


def _associations(features: sp.csr_array, targets: sp.csr_array) -> sp.csr_array:
    """Find the pairs of an n-gram and a label that are together in several texts, more often than by chance.

    Returns a csr_array of shape (F, L), with ones at these pairs.
    """
    n_texts = features.shape[0]
    present = sp.csr_array((np.ones_like(features.data), features.indices, features.indptr), features.shape)
    present, labels = sp.csr_array(present.T), sp.csr_array(targets, dtype=np.float32)
    of_ngram, of_label = np.diff(present.indptr), labels.sum(axis=0)
    parts = [sp.csr_array((0, targets.shape[1]), dtype=np.float32)]
    for start in range(0, features.shape[1], CHUNK_SIZE):
        together = present[start : start + CHUNK_SIZE] @ labels
        row = start + np.repeat(np.arange(together.shape[0]), np.diff(together.indptr))
        # In double precision: the products are too large for exact single precision.
        by_chance = of_ngram[row] * of_label[together.indices].astype(np.float64) / n_texts
        kept = (together.data >= MIN_TEXTS) & (together.data >= by_chance)
        together.data = kept.astype(np.float32)
        together.eliminate_zeros()
        parts.append(together)
    return sp.vstack(parts, format="csr")


def _with_entries_at(pattern: sp.csr_array, weight: sp.csr_array) -> sp.csr_array:
    """Return a copy of weights of shape (F, L), with stored zeros where only the pattern has entries."""
    added, weight = pattern.tocoo(), weight.tocoo()
    data = np.concatenate([weight.data, np.zeros_like(added.data)])
    row, column = np.concatenate([weight.row, added.row]), np.concatenate([weight.col, added.col])
    return sp.coo_array((data, (row, column)), shape=weight.shape).tocsr()


def _dense_product(features: sp.csr_array, weight: sp.csr_array) -> NDArray[np.float32]:
    """Return features @ weight, dense, of shape (n, L)."""
    if weight.nnz < MIN_DENSITY * weight.shape[0] * weight.shape[1]:
        return (features @ weight).toarray()
    product = np.empty((features.shape[0], weight.shape[1]), dtype=np.float32)
    # By the longest text, whose weights have to be dense at once in any case.
    most = max(1, int(np.diff(features.indptr).max(initial=0)) * weight.shape[1])
    n_texts = min(TEXTS_OF_PRODUCT, max(1, WEIGHTS_OF_PRODUCT // most))
    for start in range(0, len(product), n_texts):
        part = features[start : start + n_texts]
        used, column = np.unique(part.indices, return_inverse=True)
        compact = sp.csr_array((part.data, column, part.indptr), shape=(part.shape[0], len(used)))
        product[start : start + n_texts] = compact @ weight[used].toarray()
    return product


def _product_with_dense(features: sp.csr_array, weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return features @ weight, of shape (n, L), three times as fast as scipy does."""
    # Only here and in a step of training: prediction with an exported file has to do without torch.
    import torch

    if features.nnz == 0:
        return np.zeros((features.shape[0], weight.shape[1]), dtype=np.float32)
    return torch.nn.functional.embedding_bag(
        torch.from_numpy(features.indices),
        torch.from_numpy(weight),
        torch.from_numpy(features.indptr),
        mode="sum",
        per_sample_weights=torch.from_numpy(features.data),
        include_last_offset=True,
    ).numpy()


def _used_columns(features: sp.csr_array) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the columns that are not all zero in B rows, and their values, dense, of shape (used, B)."""
    used, column = np.unique(features.indices, return_inverse=True)
    values = np.zeros((len(used), features.shape[0]), dtype=np.float32)
    values[column, np.repeat(np.arange(features.shape[0]), np.diff(features.indptr))] = features.data
    return used, values


def _rows(weight: sp.csr_array, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], sp.csr_array]:
    """Return some rows of a matrix, and the positions of their entries in its data."""
    start, length = weight.indptr[rows], np.diff(weight.indptr)[rows]
    pointers = np.concatenate([[0], np.cumsum(length)])
    entries = np.arange(pointers[-1]) + np.repeat(start - pointers[:-1], length)
    part = (weight.data[entries], weight.indices[entries], pointers)
    return entries, sp.csr_array(part, shape=(len(rows), weight.shape[1]))


def _product_at(
    pattern: sp.csr_array, left: NDArray[np.float32], right: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the entries of left @ right at the entries of a pattern, in its order."""
    # As in `_product_with_dense`.
    import torch

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta", UserWarning)
        entries = torch.sparse_csr_tensor(
            torch.from_numpy(pattern.indptr).long(),
            torch.from_numpy(pattern.indices).long(),
            torch.zeros(pattern.nnz),
            pattern.shape,
            check_invariants=False,
        )
    return (
        torch.sparse.sampled_addmm(entries, torch.from_numpy(left), torch.from_numpy(right)).values().numpy()
    )


def _warm_up_and_decay(step: int, steps: int) -> float:
    done = (step + 1) / (steps + 1)
    return min(done / WARM_UP, (1 - done) / (1 - WARM_UP))
