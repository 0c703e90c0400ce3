"""What speaks for the labels of a text: its n-grams and the network, and both as one log-odds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.special import expit

from skhimatch.calibration import Calibration
from skhimatch.candidates import TrainingCandidates, likeliest_labels, number_of_candidates
from skhimatch.decisions import DecisionRule
from skhimatch.label_nodes import MANY_LABELS
from skhimatch.lexical import EPOCHS, LexicalClassifier
from skhimatch.metrics import micro_macro_f1
from skhimatch.network import HiMatchNetwork
from skhimatch.prediction import in_blocks, score_texts
from skhimatch.sequences import TokenSequences

__all__ = ["Evidence", "as_probabilities"]

# Of the lexical classifier. The second is for corpora whose words leave little doubt; held-out texts decide.
LEARNING_RATES = 10.0, 20.0
# Where nothing was held out to learn it from, for margins (True) and for log-odds: what it came to on the
# corpora at hand.
CALIBRATION_OF_BOTH = {True: Calibration((5.0, 1.5), 1.0), False: Calibration((4.0, 0.3), 1.3)}
CALIBRATION_OF_NETWORK = {True: Calibration((3.0,), 0.0), False: Calibration((1.0,), 0.0)}


@dataclass(frozen=True, eq=False)
class Evidence:
    """The models that score labels, and how their scores add up.

    Attributes
    ----------
    network : HiMatchNetwork
        Trained in place.
    lexical : LexicalClassifier or None
        The linear classifier on n-grams beside it.
    n_candidates : int or None
        How many labels of a text the network looks at, the likeliest by its n-grams; None is all.
    calibration : Calibration
        A weight for the lexical classifier, where there is one, and one for the network.
    """

    network: HiMatchNetwork
    lexical: LexicalClassifier | None
    n_candidates: int | None
    calibration: Calibration

    @classmethod
    def untrained(
        cls,
        network: HiMatchNetwork,
        texts: TokenSequences,
        targets: sp.csr_array,
        *,
        lexical: bool,
        margins: bool,
    ) -> Evidence:
        """Start from what is known before training.

        Parameters
        ----------
        network : HiMatchNetwork
            The network to be.
        texts : TokenSequences of n texts
            The training texts.
        targets : csr_array of shape (n, L)
            Their 0/1 targets.
        lexical : bool
            Whether n-grams are to speak, too.
        margins : bool
            Whether the network is trained for margins, not for log-odds.

        Returns
        -------
        Evidence
        """
        if not lexical:
            return cls(network, None, None, CALIBRATION_OF_NETWORK[margins])
        number = number_of_candidates(targets)
        leaves_out = network.takes_candidates and number < targets.shape[1]
        ngrams = LexicalClassifier.untrained(texts, targets.shape[1])
        return cls(network, ngrams, number if leaves_out else None, CALIBRATION_OF_BOTH[margins])

    def with_lexical(
        self, texts: TokenSequences, targets: sp.csr_array, *, learning_rate: float, seed: int
    ) -> Evidence:
        """Train the lexical classifier, where there is one, from the choice of its n-grams on.

        Parameters
        ----------
        texts, targets
            As in `untrained`.
        learning_rate, seed
            As in `LexicalClassifier.fit`.

        Returns
        -------
        Evidence
        """
        if self.lexical is None:
            return self
        return replace(
            self, lexical=LexicalClassifier.fit(texts, targets, seed=seed, learning_rate=learning_rate)
        )

    def with_lexical_epoch(self, texts: TokenSequences, targets: sp.csr_array, *, seed: int) -> Evidence:
        """Train the lexical classifier, where there is one, for one epoch more."""
        if self.lexical is None:
            return self
        return replace(self, lexical=self.lexical.trained(texts, targets, epochs=1, seed=seed))

    def best_learning_rate(
        self,
        texts: TokenSequences,
        targets: sp.csr_array,
        held_texts: TokenSequences,
        held_targets: sp.csr_array,
        decision: DecisionRule,
        *,
        seed: int,
    ) -> tuple[float, Evidence]:
        """Find the learning rate of the lexical classifier that serves held-out texts best.

        Parameters
        ----------
        texts, targets
            As in `untrained`.
        held_texts, held_targets
            Texts that are not trained on, with their targets.
        decision : DecisionRule
            What turns probabilities into labels; its threshold is tuned for each rate.
        seed : int
            As in `LexicalClassifier.fit`.

        Returns
        -------
        float, Evidence
            The rate, and what was trained at it. What is there must not be trained yet.
        """
        if self.lexical is None:
            return LEARNING_RATES[0], self
        scored = []
        for rate in LEARNING_RATES:
            lexical = self.lexical.trained(texts, targets, epochs=EPOCHS, seed=seed, learning_rate=rate)
            margins = lexical.margins(held_texts)
            calibration = Calibration.learn([margins], held_targets, self._likeliest(margins))
            probabilities = as_probabilities((calibration or CALIBRATION_OF_NETWORK[True])([margins]))
            decided = decision.tuned(probabilities, held_targets)(probabilities)
            scored.append((sum(micro_macro_f1(held_targets, decided)), rate, lexical))
        _, rate, lexical = max(scored, key=lambda score: score[0])
        return rate, replace(self, lexical=lexical)

    def calibrated(self, scores: list[NDArray[np.float32]], targets: sp.csr_array) -> Evidence:
        """Learn how much to believe of each score.

        Parameters
        ----------
        scores : list of float arrays of shape (n, L)
            Of texts that were not trained on, as `scores` returns them.
        targets : csr_array of shape (n, L)
            Their 0/1 targets.

        Returns
        -------
        Evidence
            Calibrated as before, where these texts tell nothing.
        """
        candidates = self._likeliest(scores[0])
        return replace(self, calibration=Calibration.learn(scores, targets, candidates) or self.calibration)

    def scores(self, texts: TokenSequences) -> list[NDArray[np.float32]]:
        """Return what the lexical classifier, where there is one, and the network say.

        Parameters
        ----------
        texts : TokenSequences of n texts

        Returns
        -------
        list of float32 ndarrays of shape (n, L)
            In the order of the calibration's weights.
        """
        if self.lexical is None:
            return [score_texts(self.network, texts)]
        margins = self.lexical.margins(texts)
        return [margins, score_texts(self.network, texts, self._likeliest(margins))]

    def log_odds(self, texts: TokenSequences, *, progress: bool = False) -> Iterator[NDArray[np.float32]]:
        """Yield the calibrated sum of the scores, float32 of shape (rows, L), a block of texts at a time."""
        n_labels = len(self.network.label_vectors)
        for block in in_blocks(texts, n_labels, progress=progress):
            yield self.calibration(self.scores(block))

    def candidates(self, texts: TokenSequences) -> NDArray[np.int64] | None:
        """Return the labels that the network looks at, int64 of shape (n, K); None where it is all."""
        if self.lexical is None or self.n_candidates is None:
            return None
        blocks = in_blocks(texts, len(self.network.label_vectors))
        return np.concatenate([self._likeliest(self.lexical.margins(block)) for block in blocks])

    def training_candidates(
        self, texts: TokenSequences, targets: sp.csr_array, *, seed: int
    ) -> TrainingCandidates | None:
        """Return the labels to train the network on; None where all of them are few enough."""
        lexical = self.lexical
        if lexical is None or self.n_candidates is None or targets.shape[1] <= MANY_LABELS:
            return None
        number = max(self.n_candidates, number_of_candidates(targets))
        return TrainingCandidates(targets, number, lambda rows: lexical.margins(texts[rows]), seed)

    def _likeliest(self, margins: NDArray[np.float32]) -> NDArray[np.int64] | None:
        return None if self.n_candidates is None else likeliest_labels(margins, self.n_candidates)


def as_probabilities(log_odds: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return 1 / (1 + exp(-log_odds)), which rounding may not push to 0 or 1.

    Examples
    --------
    >>> as_probabilities(np.float32([0, 200])) < 1
    array([ True,  True])
    """
    limits = np.finfo(np.float32)
    return np.clip(expit(log_odds), limits.tiny, 1 - limits.epsneg)
