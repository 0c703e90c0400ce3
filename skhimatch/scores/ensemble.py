"""What speaks for the labels of a text: its n-grams, their names and networks, as one log-odds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.special import expit

from skhimatch.evaluation.decisions import DecisionRule
from skhimatch.evaluation.metrics import micro_macro_f1
from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.network.build import Network
from skhimatch.network.label_attention import MANY_LABELS
from skhimatch.network.predict import in_blocks, score_texts
from skhimatch.network.transformer import TransformerEncoder
from skhimatch.scores.names import LabelNames
from skhimatch.scores.ngrams import LexicalClassifier, enough_epochs
from skhimatch.scores.shortlist import (
    SampledShortlist,
    SiblingsOfTargets,
    choose_shortlist_size,
    likeliest_labels,
    likely_by_margins,
)
from skhimatch.scores.stacking import Calibration
from skhimatch.text.sequences import Texts, words_of

__all__ = ["Evidence", "as_probabilities"]

# Of the lexical classifier. The second is for corpora whose words leave little doubt; held-out texts decide.
LEARNING_RATES = 10.0, 20.0
# Where nothing was held out to learn it from, by the networks' encoders: what it came to on the corpora at
# hand, with many texts a label, for networks that are trained for margins and for others.
USUAL_OF_MARGINS = {
    ("words",): Calibration((5.0, 0.1, 1.5), 1.0),
    ("pretrained",): Calibration((3.0, 0.1, 3.0), 1.0),
    ("words", "pretrained"): Calibration((3.0, 0.1, 1.2, 3.0), 1.0),
}
USUAL_OF_LOG_ODDS = {
    ("words",): Calibration((4.0, 0.1, 0.3), 1.3),
    ("pretrained",): Calibration((2.5, 0.1, 0.6), 1.3),
    ("words", "pretrained"): Calibration((2.5, 0.1, 0.3, 0.6), 1.3),
}
# A network of words is worth half of that with so many texts a label. What it has not learned it makes up,
# and nothing stops it in time; names then have to say so much more.
TEXTS_THAT_TEACH_HALF = 10
NAMES_BESIDE_THE_UNTAUGHT = 0.25
CALIBRATION_OF_NETWORK = {True: Calibration((3.0,), 0.0), False: Calibration((1.0,), 0.0)}
# What a standard deviation more of a label's name weighs, in margins of the n-grams, where labels are picked
# for the network to look at.
MARGIN_OF_NAMES = 0.03
# A label's usual score is that of all labels, until it was seen in about so many texts.
TEXTS_OF_DOUBT = 20


@dataclass(frozen=True, eq=False)
class Evidence:
    """The models that score labels, and how their scores add up.

    Attributes
    ----------
    networks : tuple of one or two HiMatchNetwork or LabelTextNetwork
        Trained in place. The last one is that of the encoder that was asked for; beside a pretrained encoder
        the first one may be a network of words.
    lexical : LexicalClassifier or None
        The linear classifier on n-grams beside them.
    names : LabelNames or None
        How much of the labels' names a text has; None where there is no lexical classifier.
    shortlist_size : int or None
        How many labels of a text are looked at by a network that can leave some out, the likeliest by its
        n-grams and their names; None is all.
    calibration : Calibration
        Weights for the lexical classifier and for the names, where there are any, and one a network.
    usual_scores : float32 ndarray of shape (N, L) or None
        Mean scores of each label over held-out texts where such a network looked at it; those of other
        networks are not used. What counts is how far a score is above it: a network that is trained on a few
        labels of each text knows a label the less, the more rarely it was among them. None with few labels,
        where it is trained on all.
    """

    networks: tuple[Network, ...]
    lexical: LexicalClassifier | None
    names: LabelNames | None
    shortlist_size: int | None
    calibration: Calibration
    usual_scores: NDArray[np.float32] | None = None

    @classmethod
    def untrained(
        cls,
        networks: tuple[Network, ...],
        texts: Texts,
        targets: sp.csr_array,
        names: LabelNames | None,
        *,
        margins: bool,
    ) -> Evidence:
        """Start from what is known before training.

        Parameters
        ----------
        networks : tuple of HiMatchNetwork or LabelTextNetwork
            The networks to be; without names it is one.
        texts : TokenSequences or SubwordSequences of n texts
            The training texts.
        targets : csr_array of shape (n, L)
            Their 0/1 targets.
        names : LabelNames or None
            The labels' names; None if neither they nor n-grams are to speak, too.
        margins : bool
            Whether networks are trained for margins, not for log-odds.

        Returns
        -------
        Evidence
        """
        if names is None:
            return cls(networks, None, None, None, CALIBRATION_OF_NETWORK[margins])
        number = choose_shortlist_size(targets)
        scores_labels_separately = any(network.scores_labels_separately for network in networks)
        leaves_out = scores_labels_separately and number < targets.shape[1]
        ngrams = LexicalClassifier.untrained(words_of(texts), targets.shape[1])
        usual = USUAL_OF_MARGINS if margins else USUAL_OF_LOG_ODDS
        calibration = _usual_calibration(networks, targets, usual)
        return cls(networks, ngrams, names, number if leaves_out else None, calibration)

    @property
    def network(self) -> Network:
        """The network of the encoder that was asked for."""
        return self.networks[-1]

    def with_lexical(
        self, texts: Texts, targets: sp.csr_array, *, learning_rate: float, seed: int
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
        lexical = LexicalClassifier.fit(words_of(texts), targets, seed=seed, learning_rate=learning_rate)
        return replace(self, lexical=lexical)

    def with_lexical_epoch(self, texts: Texts, targets: sp.csr_array, *, seed: int) -> Evidence:
        """Train the lexical classifier, where there is one, for one epoch more."""
        if self.lexical is None:
            return self
        return replace(self, lexical=self.lexical.trained(words_of(texts), targets, epochs=1, seed=seed))

    def best_learning_rate(
        self,
        texts: Texts,
        targets: sp.csr_array,
        held_texts: Texts,
        held_targets: sp.csr_array,
        decision: DecisionRule,
        *,
        seed: int,
        checkpoints: Any = None,
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
        checkpoints : Checkpoints, optional
            Keeps what is trained at each rate.

        Returns
        -------
        float, Evidence
            The rate, and what was trained at it. What is there must not be trained yet.
        """
        if self.lexical is None:
            return LEARNING_RATES[0], self
        tried, epochs = [], enough_epochs(len(texts))
        for rate in LEARNING_RATES:
            train = partial(
                self.lexical.trained, words_of(texts), targets, epochs=epochs, seed=seed, learning_rate=rate
            )
            lexical = (
                train() if checkpoints is None else checkpoints.lexical(f"{rate:g}", self.lexical, train)
            )
            evidence = replace(self, lexical=lexical)
            scores = evidence._lexical_scores(held_texts)
            calibration = Calibration.learn(scores, held_targets, evidence._likeliest(scores))
            if calibration is None:
                calibration = Calibration(self.calibration.weights[: len(scores)], self.calibration.intercept)
            probabilities = as_probabilities(calibration(scores))
            decided = decision.tuned(probabilities, held_targets)(probabilities)
            tried.append((sum(micro_macro_f1(held_targets, decided)), rate, evidence))
        _, rate, evidence = max(tried, key=lambda each: each[0])
        return rate, evidence

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
        shortlist = self._likeliest(scores)
        usual = None
        if shortlist is not None and targets.shape[1] > MANY_LABELS:
            of_networks = scores[-len(self.networks) :]
            usual = np.stack([_mean_by_label(score, shortlist) for score in of_networks])
        evidence = replace(self, usual_scores=usual)
        calibration = Calibration.learn(evidence._relative(scores), targets, shortlist)
        return self if calibration is None else replace(evidence, calibration=calibration)

    def scores(self, texts: Texts) -> list[NDArray[np.float32]]:
        """Return what the lexical classifier and the names, where there are any, and the networks say.

        Parameters
        ----------
        texts : TokenSequences or SubwordSequences of n texts

        Returns
        -------
        list of float32 ndarrays of shape (n, L)
            In the order of the calibration's weights; together they are what `combined` makes of them.
        """
        scores = self._lexical_scores(texts)
        shortlist = self._likeliest(scores)
        return scores + [
            score_texts(network, texts, shortlist if network.scores_labels_separately else None)
            for network in self.networks
        ]

    def log_odds(self, texts: Texts, *, progress: bool = False) -> Iterator[NDArray[np.float32]]:
        """Yield the calibrated sum of the scores, float32 of shape (rows, L), a block of texts at a time."""
        n_labels = self.network.n_labels
        for block in in_blocks(texts, n_labels, progress=progress):
            yield self.combined(self.scores(block))

    def combined(self, scores: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Add up what `scores` returns, each as much as it is worth: log-odds, float32 of shape (n, L)."""
        return self.calibration(self._relative(scores))

    def shortlist(self, network: Network, texts: Texts) -> NDArray[np.int64] | None:
        """Return the labels that a network looks at, int64 of shape (n, K); None where it is all."""
        if not network.scores_labels_separately or self.shortlist_size is None:
            return None
        blocks = in_blocks(texts, network.n_labels)
        return np.concatenate([self._likeliest(self._lexical_scores(block)) for block in blocks])

    def training_shortlist(
        self, network: Network, texts: Texts, targets: sp.csr_array, hierarchy: LabelHierarchy, *, seed: int
    ) -> SampledShortlist | None:
        """Return the labels to train a network on; None where all of them are few enough."""
        if not network.scores_labels_separately or targets.shape[1] <= MANY_LABELS:
            return None
        number = max(self.shortlist_size or 0, choose_shortlist_size(targets))
        likely: NDArray[np.int32] | SiblingsOfTargets
        if self.lexical is None:
            likely = SiblingsOfTargets(targets, hierarchy)
        else:
            n_texts, n_labels = targets.shape
            likely = likely_by_margins(
                n_texts, n_labels, lambda rows: _likelihood(self._lexical_scores(texts[rows]))
            )
        return SampledShortlist(targets, number, likely, seed)

    def _lexical_scores(self, texts: Texts) -> list[NDArray[np.float32]]:
        """Return what words alone say: margins of the n-grams, and scores of the names."""
        if self.lexical is None or self.names is None:
            return []
        words = words_of(texts)
        return [self.lexical.margins(words), self.names.scores(words)]

    def _relative(self, scores: list[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        """Take usual scores from those of networks that leave out labels; as usual is what they leave out."""
        shortlist = None if self.usual_scores is None else self._likeliest(scores)
        if self.usual_scores is None or shortlist is None:
            return scores
        relative = list(scores)
        for place, (network, usual) in enumerate(
            zip(self.networks, self.usual_scores, strict=True), start=-len(self.networks)
        ):
            if network.scores_labels_separately:
                above = np.take_along_axis(scores[place], shortlist, axis=1) - usual[shortlist]
                relative[place] = np.zeros_like(scores[place])
                np.put_along_axis(relative[place], shortlist, above, axis=1)
        return relative

    def _likeliest(self, scores: list[NDArray[np.float32]]) -> NDArray[np.int64] | None:
        return (
            None
            if self.shortlist_size is None
            else likeliest_labels(_likelihood(scores), self.shortlist_size)
        )


def _usual_calibration(
    networks: tuple[Network, ...],
    targets: sp.csr_array,
    of_many_texts: Mapping[tuple[str, ...], Calibration],
) -> Calibration:
    """Believe the names more and a network of words less, the fewer texts the labels have."""
    kinds = tuple(
        "pretrained" if isinstance(network.text_encoder, TransformerEncoder) else "words"
        for network in networks
    )
    n_texts = targets.sum(axis=0)
    of_a_label = float(np.median(n_texts[n_texts > 0])) if targets.nnz else 0.0
    taught = of_a_label / (of_a_label + TEXTS_THAT_TEACH_HALF)
    usual = of_many_texts[kinds]
    ngrams, names, *of_networks = usual.weights
    believed = (
        taught * weight if kind == "words" else weight
        for kind, weight in zip(kinds, of_networks, strict=True)
    )
    return replace(usual, weights=(ngrams, names + NAMES_BESIDE_THE_UNTAUGHT * (1 - taught), *believed))


def _likelihood(scores: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Put the labels of each text in one order, by its n-grams and by their names."""
    margins, names, *_ = scores
    return margins + np.float32(MARGIN_OF_NAMES) * names


def _mean_by_label(scores: NDArray[np.float32], shortlist: NDArray[np.int64]) -> NDArray[np.float32]:
    """Average each label's scores over the texts where it is a candidate, drawn to the mean of all."""
    n_labels = scores.shape[1]
    looked_at = np.take_along_axis(scores, shortlist, axis=1).ravel()
    number = np.bincount(shortlist.ravel(), minlength=n_labels)
    total = np.bincount(shortlist.ravel(), looked_at, minlength=n_labels)
    return ((total + TEXTS_OF_DOUBT * looked_at.mean()) / (number + TEXTS_OF_DOUBT)).astype(np.float32)


def as_probabilities(log_odds: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return 1 / (1 + exp(-log_odds)), which rounding may not push to 0 or 1.

    Examples
    --------
    >>> as_probabilities(np.float32([0, 200])) < 1
    array([ True,  True])
    """
    limits = np.finfo(np.float32)
    return np.clip(expit(log_odds), limits.tiny, 1 - limits.epsneg)
