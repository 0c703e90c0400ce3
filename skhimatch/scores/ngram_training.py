"""How n-gram classifiers are trained: exactly, or in steps where there are too many texts and labels."""

from __future__ import annotations

from dataclasses import dataclass

import scipy.sparse as sp

from skhimatch.labels.weights import TextWeights
from skhimatch.scores.ngram_classifier import NGramClassifier

__all__ = ["Exactly", "InSteps", "NGramTraining", "choose_epochs", "ways_to_train"]

# The learning rates that are tried on held-out texts. The second is better where words tell labels clearly.
# On EURLEX57K, 40 has as high an F1 as 20, but ranks labels worse: recall at 5 is .770 in place of .780.
LEARNING_RATES = 10.0, 20.0
# The C of the support vector machines that are tried on held-out texts. Between 0.3 and 3 there was no more
# than a point of F1 on six corpora.
INVERSE_REGULARISATIONS = 1.0, 3.0
# Up to this number of multiplications for a pass over the texts, that is of entries of features times labels,
# the support vector machines are solved exactly: some 10 seconds. On 20 Newsgroups, words alone, micro-F1 is
# .880, and .867 by stochastic gradient descent.
MAX_MULTIPLICATIONS = 600_000_000
# Ten epochs for up to 10,000 texts, fewer for more texts: five for 45,000. With three, a fit on EURLEX57K has
# half a point less micro-F1 and a point less macro-F1.
MAX_EPOCHS, MIN_EPOCHS, TEXTS_FOR_MAX_EPOCHS = 10, 3, 10_000


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
