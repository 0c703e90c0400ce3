"""The ensemble: n-grams, names of labels and networks, stacked into one log-odds for each text and label."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.network.label_attention import MANY_LABELS
from skhimatch.network.predict import in_chunks
from skhimatch.scores.calibration import Calibration, LinearCalibration
from skhimatch.scores.names import LabelNames
from skhimatch.scores.networks import NetworkScorer
from skhimatch.scores.ngram_classifier import NGramClassifier
from skhimatch.scores.path_choice import PathChoice
from skhimatch.scores.shortlist import (
    SampledShortlist,
    SiblingsOfTargets,
    choose_shortlist_size,
    choose_training_shortlist_size,
    likeliest_by_margins,
    likeliest_labels,
)
from skhimatch.scores.stacking import MAX_PAIRS, StackingWeights
from skhimatch.scores.terms import Terms
from skhimatch.scores.training_labels import TrainingLabels
from skhimatch.text.sequences import UNKNOWN_ID, Texts, words_of

__all__ = ["Ensemble", "Scores"]

Scores = Mapping[str, NDArray[np.float32]]

# Stacking weights for texts without held-out texts, by the names of the networks; for networks that are
# trained with the squared hinge loss and with cross-entropy. They are what was learned on WOS and api-docs,
# with many training texts for each label.
DEFAULT_FOR_MARGINS = {
    ("words",): StackingWeights({"ngrams": 5.0, "names": 0.1, "words": 1.5}, 1.0),
    ("pretrained",): StackingWeights({"ngrams": 3.0, "names": 0.1, "pretrained": 3.0}, 1.0),
    ("words", "pretrained"): StackingWeights(
        {"ngrams": 3.0, "names": 0.1, "words": 1.2, "pretrained": 3.0}, 1.0
    ),
}
DEFAULT_FOR_LOG_ODDS = {
    ("words",): StackingWeights({"ngrams": 4.0, "names": 0.1, "words": 0.3}, 1.3),
    ("pretrained",): StackingWeights({"ngrams": 2.5, "names": 0.1, "pretrained": 0.6}, 1.3),
    ("words", "pretrained"): StackingWeights(
        {"ngrams": 2.5, "names": 0.1, "words": 0.3, "pretrained": 0.6}, 1.3
    ),
}
# The default weights of the word network and of the n-grams are multiplied by m / (m + 10), where m is the
# median number of training texts of a label: with few texts they overfit. The weight of names rises instead,
# by up to 0.25. Measured for the network on WOS with 1, 4 and 16 texts for each leaf.
TEXTS_FOR_HALF_WEIGHT = 10
EXTRA_WEIGHT_OF_NAMES = 0.25
# The share of the n-grams' default weight that characters get. The weights that were learned on AAPD,
# GermEval, CLINC150 and 20 Newsgroups are between a quarter and three quarters.
SHARE_OF_CHARACTERS = 0.5
# The weight of a network without any other scorer.
WEIGHT_FOR_MARGINS, WEIGHT_FOR_LOG_ODDS = 3.0, 1.0
# The weight of the names beside the margins of the n-grams, when a shortlist is chosen.
NAMES_IN_SHORTLIST = 0.03
# The source of scores by the meanings of labels alone, and its default weight, which multiplies a cosine. The
# weights that were learned with 300 and 1,000 texts of WOS and CLINC150 are between 1 and 5.
MEANING = "meaning"
WEIGHT_OF_MEANING = 3.0
# With so many labels for each place of a shortlist, networks are trained on shortlists, which takes a quarter
# less time than on all labels. It was tried with 141 labels (WOS, api-docs) and 160 (CLINC150).
LABELS_PER_PLACE = 4
# Training texts over which the mean scores of the network of words are taken.
TEXTS_FOR_MEAN_SCORES = 1000
# A label's score offset is shrunk towards the mean of all labels, as if this many texts had that mean.
TEXTS_OF_PRIOR = 20


@dataclass(frozen=True, eq=False)
class Ensemble:
    """All scorers of a classifier, and how their scores are added.

    Attributes
    ----------
    ngrams : NGramClassifier or None
        A linear classifier on words and word pairs.
    names : LabelNames or None
        How much of each label's name a text contains; None if and only if `ngrams` is.
    characters : NGramClassifier or None
        A linear classifier on character n-grams; None without `ngrams`, or if it takes too long to train.
    networks : mapping of str to NetworkScorer
        "words", "pretrained" or both. They are trained in place.
    labels : TrainingLabels
        What the training targets say about the labels.
    shortlist_size : int or None
        How many labels of a text a network scores that can use a shortlist; None if it scores all.
    stacking : StackingWeights or PathChoice
        The weights of "ngrams", "characters" and "names", if there are any, of each network, and of "meaning"
        if a network on a pretrained encoder compares texts with the encoded names alone. It is a
        choice among paths if every training text has one path or none, and weights were learned.
    score_offsets : mapping of str to float32 ndarray of shape (L,), or None
        By network, the mean score of each label over the held-out texts on whose shortlist it was. It is
        subtracted from the network's scores. With many labels, a network is trained on shortlists, and its
        scores of a label are lower the more rarely the label was on them. None with few labels.
    mean_scores : mapping of str to float32 ndarray of shape (L,), or None
        By network of words, the mean score of each label over training texts. The fewer words of a text are
        known, the closer are the network's scores to it: an unknown word has no vector that was trained, and
        the network would be as certain as ever. None before training.
    calibration : LinearCalibration, IsotonicCalibration or None
        Changes the log-odds of each label, so that probabilities agree with frequencies. None if there is
        none.
    """

    ngrams: NGramClassifier | None
    names: LabelNames | None
    characters: NGramClassifier | None
    networks: Mapping[str, NetworkScorer]
    labels: TrainingLabels
    shortlist_size: int | None
    stacking: StackingWeights | PathChoice
    score_offsets: Mapping[str, NDArray[np.float32]] | None = None
    mean_scores: Mapping[str, NDArray[np.float32]] | None = None
    calibration: Calibration | None = None

    @classmethod
    def untrained(
        cls,
        ngrams: NGramClassifier | None,
        names: LabelNames | None,
        characters: NGramClassifier | None,
        networks: Mapping[str, NetworkScorer],
        targets: sp.csr_array,
        labels: TrainingLabels,
        *,
        margins: bool,
    ) -> Ensemble:
        """Put untrained scorers together, with default stacking weights.

        Parameters
        ----------
        ngrams, names, characters, networks : as the attributes
            The scorers.
        targets : csr_array of shape (n, L)
            0/1 targets of the training texts.
        labels : TrainingLabels
            What these targets say about the labels.
        margins : bool
            Whether networks are trained for margins (squared hinge loss), and not for log-odds.

        Returns
        -------
        Ensemble
        """
        with_meaning = any(scorer.scores_meaning for scorer in networks.values())
        if ngrams is None:
            weight = WEIGHT_FOR_MARGINS if margins else WEIGHT_FOR_LOG_ODDS
            alone = StackingWeights(dict.fromkeys(networks, weight), 0.0)
            if with_meaning:
                alone = _with_meaning(alone)
            return cls(None, None, None, networks, labels, None, alone)
        size = choose_shortlist_size(targets)
        shorter = size < targets.shape[1] and any(scorer.uses_shortlist for scorer in networks.values())
        defaults = DEFAULT_FOR_MARGINS if margins else DEFAULT_FOR_LOG_ODDS
        stacking = _adapted_to_few_texts(defaults[tuple(networks)], targets)
        if characters is not None:
            stacking = _with_characters(stacking)
        if with_meaning:
            stacking = _with_meaning(stacking)
        return cls(ngrams, names, characters, networks, labels, size if shorter else None, stacking)

    @property
    def n_labels(self) -> int:
        """L."""
        return next(iter(self.networks.values())).network.n_labels

    def with_ngrams(self, ngrams: NGramClassifier, characters: NGramClassifier | None) -> Ensemble:
        """Return a copy with other n-gram classifiers.

        Parameters
        ----------
        ngrams, characters : as the attributes
            The other ones.

        Returns
        -------
        Ensemble
        """
        return replace(self, ngrams=ngrams, characters=characters)

    def without_networks(self) -> Ensemble:
        """Return a copy with n-grams and names only.

        Returns
        -------
        Ensemble
        """
        names = [name for name in self.stacking.weights if name not in {*self.networks, MEANING}]
        if self.characters is None and "characters" in names:
            names.remove("characters")
        return replace(self, networks={}, stacking=self.stacking.only(names))

    def word_scores(self, texts: Texts) -> dict[str, NDArray[np.float32]]:
        """Return the scores that need no network: those of n-grams and names, if there are any.

        Parameters
        ----------
        texts : TokenSequences or SubwordSequences of n texts
            The texts.

        Returns
        -------
        dict of str to float32 ndarray of shape (n, L)
        """
        if self.ngrams is None or self.names is None:
            return {}
        scores = {"ngrams": self.ngrams.scores(texts), "names": self.names.scores(texts)}
        if self.characters is not None:
            scores["characters"] = self.characters.scores(texts)
        return scores

    def scores(self, texts: Texts) -> dict[str, NDArray[np.float32]]:
        """Return the scores of all scorers, by name.

        Parameters
        ----------
        texts : TokenSequences or SubwordSequences of n texts
            The texts.

        Returns
        -------
        dict of str to float32 ndarray of shape (n, L)
        """
        scores = self.word_scores(texts)
        shortlist = self.shortlist_by(scores)
        for name, scorer in self.networks.items():
            if scorer.scores_meaning:
                scores[name], scores[MEANING] = scorer.scores_with_meaning(texts, shortlist)
            else:
                scores[name] = scorer.scores(texts, shortlist)
            if self.mean_scores is not None and name in self.mean_scores:
                mean = self.mean_scores[name]
                scores[name] = mean + _share_of_known_words(texts)[:, None] * (scores[name] - mean)
        return scores

    def with_scorers_of(self, other: Ensemble) -> Ensemble:
        """Return a copy that has character n-grams, and shortlists of the same size, if another one has.

        Both depend on the number of texts, and the scores of the two are to be put together.

        Parameters
        ----------
        other : Ensemble
            The other one.

        Returns
        -------
        Ensemble
        """
        characters = None if other.characters is None else self.characters
        return replace(self, characters=characters, shortlist_size=other.shortlist_size)

    def with_mean_scores(
        self, texts: Texts, seed: int, sample_weight: NDArray[np.float64] | None = None
    ) -> Ensemble:
        """Return a copy with the mean scores of the network of words, over some of the training texts.

        Parameters
        ----------
        texts : TokenSequences or SubwordSequences of n texts
            The training texts.
        seed : int
            Seeds the choice of texts.
        sample_weight : float64 ndarray of shape (n,), optional
            The weights of the texts.

        Returns
        -------
        Ensemble
            Itself without such a network, or if it is alone: its scores are not calibrated then.
        """
        if "words" not in self.networks or self.ngrams is None:
            return self
        rows = np.random.RandomState(seed).permutation(len(texts))[:TEXTS_FOR_MEAN_SCORES]
        some = texts[rows]
        scores = self.networks["words"].scores(some, self.shortlist("words", some))
        weights = None if sample_weight is None else sample_weight[rows].astype(np.float32)
        return replace(self, mean_scores={"words": np.average(scores, axis=0, weights=weights)})

    def combine(self, scores: Scores) -> NDArray[np.float32]:
        """Return the weighted sum of scores.

        Parameters
        ----------
        scores : mapping of str to float arrays of shape (n, L)
            As `scores` returned them.

        Returns
        -------
        float32 ndarray of shape (n, L)
            Log-odds. No label is more probable than its parents if training texts have all ancestors.
        """
        log_odds = self.stacking(self.without_offsets(scores))
        if not self.stacking.one_path:
            log_odds = self.labels.at_most_parents(log_odds)
        return (
            log_odds if self.calibration is None else self.labels.at_most_parents(self.calibration(log_odds))
        )

    @property
    def calibrated(self) -> bool:
        """Whether the probabilities of all labels were learned, and not only of those on shortlists."""
        return self.calibration is not None or self.stacking.calibrated

    def log_odds(self, texts: Texts, *, progress: bool = False) -> Iterator[NDArray[np.float32]]:
        """Yield the log-odds of a chunk of texts at a time, float32 of shape (rows, L).

        Parameters
        ----------
        texts : TokenSequences or SubwordSequences of n texts
            The texts.
        progress : bool
            Show a progress bar if there are thousands of texts.

        Yields
        ------
        float32 ndarray of shape (rows, L)
        """
        for chunk in in_chunks(texts, self.n_labels, progress=progress):
            yield self.combine(self.scores(chunk))

    def stack(
        self,
        scores: Scores,
        targets: sp.csr_array,
        sample_weight: NDArray[np.float64] | None = None,
        missing: sp.csr_array | None = None,
    ) -> Ensemble:
        """Return a copy with stacking weights and score offsets learned from held-out texts.

        Parameters
        ----------
        scores : mapping of str to float arrays of shape (n, L)
            As `scores` returned them, of texts on which no scorer was trained.
        targets : csr_array of shape (n, L)
            Their 0/1 targets.
        sample_weight : float64 ndarray of shape (n,), optional
            Their weights.
        missing : csr_array of shape (n, L), bool, optional
            Where targets are missing. A choice among paths is learned from the texts without any.

        Returns
        -------
        Ensemble
            Itself, if these texts do not help.
        """
        shortlist = self.shortlist_by(scores)
        offsets = None
        if shortlist is not None and targets.shape[1] > MANY_LABELS:
            offsets = {name: _mean_by_label(scores[name], shortlist, sample_weight) for name in self.networks}
        frequency = None
        if targets.shape[0] * targets.shape[1] <= MAX_PAIRS:
            # All labels of all texts are learned from, so that probabilities outside the shortlist are right.
            shortlist, frequency = None, self.labels.frequency
        candidate, labels = replace(self, score_offsets=offsets), self.labels
        comparable = candidate.without_offsets(scores)
        stacking: StackingWeights | PathChoice | None = None
        if labels.paths is not None:
            complete: Any = np.s_[:] if missing is None else np.flatnonzero(np.diff(missing.indptr) == 0)
            stacking = PathChoice.learn(
                {name: part[complete] for name, part in comparable.items()},
                targets[complete],
                labels.paths,
                unlabelled=labels.unlabelled,
                sample_weight=None if sample_weight is None else sample_weight[complete],
            )
        if stacking is None:
            stacking = StackingWeights.learn(
                comparable, targets, shortlist, frequency, sample_weight, missing
            )
        return self if stacking is None else replace(candidate, stacking=stacking)

    def shortlist_by(self, scores: Scores) -> NDArray[np.int64] | None:
        """Return the likeliest labels by n-grams and names.

        Parameters
        ----------
        scores : mapping of str to float arrays of shape (n, L)
            Those of n-grams and names, and possibly others.

        Returns
        -------
        int64 ndarray of shape (n, K), or None
            None if networks score all labels.
        """
        return (
            None
            if self.shortlist_size is None
            else likeliest_labels(_likelihood(scores), self.shortlist_size)
        )

    def shortlist(self, network: str, texts: Texts) -> NDArray[np.int64] | None:
        """Return the labels of each text that a network scores.

        Parameters
        ----------
        network : str
            The network's name.
        texts : TokenSequences or SubwordSequences of n texts
            The texts.

        Returns
        -------
        int64 ndarray of shape (n, K), or None if it scores all
        """
        if not self.networks[network].uses_shortlist or self.shortlist_size is None:
            return None
        chunks = in_chunks(texts, self.n_labels)
        return np.concatenate([self.shortlist_by(self.word_scores(chunk)) for chunk in chunks])

    def training_shortlist(
        self, network: str, texts: Texts, targets: sp.csr_array, hierarchy: LabelHierarchy, *, seed: int
    ) -> SampledShortlist | None:
        """Return the labels of each text on which a network is trained.

        Parameters
        ----------
        network : str
            The network's name.
        texts : TokenSequences or SubwordSequences of n texts
            The training texts.
        targets : csr_array of shape (n, L)
            Their 0/1 targets.
        hierarchy : LabelHierarchy
            L labels.
        seed : int
            Seeds the draws.

        Returns
        -------
        SampledShortlist, or None if it is trained on all labels
        """
        n_texts, n_labels = targets.shape
        scorer, size = self.networks[network], choose_training_shortlist_size(targets)
        most = MANY_LABELS
        # A loss that ranks distances compares a text with all labels, if they are not too many.
        if self.ngrams is not None and not scorer.network.ranks_distances:
            most = min(most, LABELS_PER_PLACE * size)
        if not scorer.uses_shortlist or n_labels <= most:
            return None
        if self.ngrams is None:
            return SampledShortlist(targets, size, SiblingsOfTargets(targets, hierarchy), seed)
        likeliest = likeliest_by_margins(
            n_texts, n_labels, lambda rows: _likelihood(self.word_scores(texts[rows]))
        )
        return SampledShortlist(targets, size, likeliest, seed)

    def terms(self, scores: Scores, label: int) -> Terms:
        """Return what the log-odds of a label in one text are the sum of.

        Parameters
        ----------
        scores : mapping of str to float arrays of shape (1, L)
            As `without_offsets` returned them.
        label : int
            The position of the label.

        Returns
        -------
        Terms
            With the slope and the intercept of a linear calibration. What they leave out: limits by the
            parents' probabilities, other paths than two, and a calibration that is not linear.
        """
        terms = self.stacking.terms(scores, label)
        if isinstance(self.calibration, LinearCalibration):
            slope, intercept = self.calibration.slope[label], self.calibration.intercept[label]
            return terms.scaled(float(slope), float(intercept))
        return terms

    def without_offsets(self, scores: Scores) -> Scores:
        """Subtract the score offsets of networks: what is multiplied by the stacking weights.

        Parameters
        ----------
        scores : mapping of str to float arrays of shape (n, L)
            As `scores` returned them.

        Returns
        -------
        mapping of str to float arrays of shape (n, L)
            Where there are offsets, labels outside of the shortlist get the score 0.
        """
        shortlist = None if self.score_offsets is None else self.shortlist_by(scores)
        if self.score_offsets is None or shortlist is None:
            return scores
        centred = dict(scores)
        for name, offsets in self.score_offsets.items():
            if self.networks[name].uses_shortlist:
                above = np.take_along_axis(scores[name], shortlist, axis=1) - offsets[shortlist]
                centred[name] = np.zeros_like(scores[name])
                np.put_along_axis(centred[name], shortlist, above, axis=1)
        return centred


def _adapted_to_few_texts(stacking: StackingWeights, targets: sp.csr_array) -> StackingWeights:
    """Raise the weight of names, and lower those of words, if labels have few training texts."""
    n_texts = targets.sum(axis=0)
    median = float(np.median(n_texts[n_texts > 0])) if targets.nnz else 0.0
    share = median / (median + TEXTS_FOR_HALF_WEIGHT)
    weights = dict(stacking.weights)
    weights["names"] += EXTRA_WEIGHT_OF_NAMES * (1 - share)
    if "words" in weights:
        weights["words"] *= share
    weights["ngrams"] *= share
    # A label without any evidence has the margin -1, and remains as improbable as before.
    return StackingWeights(weights, stacking.intercept - stacking.weights["ngrams"] * (1 - share))


def _with_characters(stacking: StackingWeights) -> StackingWeights:
    """Share the weight of the n-grams of words with those of characters."""
    weights = dict(stacking.weights)
    shared = weights["ngrams"] * SHARE_OF_CHARACTERS
    return StackingWeights(
        weights | {"ngrams": weights["ngrams"] - shared, "characters": shared}, stacking.intercept
    )


def _with_meaning(stacking: StackingWeights) -> StackingWeights:
    """Add the default weight of the meanings of labels."""
    return StackingWeights({**stacking.weights, MEANING: WEIGHT_OF_MEANING}, stacking.intercept)


def _share_of_known_words(texts: Texts) -> NDArray[np.float32]:
    """Return the share of each text's words that are in the vocabulary, 0 for a text without a word."""
    words = words_of(texts)
    known = np.concatenate([[0], np.cumsum(words.ids > UNKNOWN_ID)])[words.offsets]
    return (np.diff(known) / np.maximum(1, words.lengths)).astype(np.float32)


def _likelihood(scores: Scores) -> NDArray[np.float32]:
    """Return one number for each label of a text by n-grams and names, to order the labels."""
    return scores["ngrams"] + np.float32(NAMES_IN_SHORTLIST) * scores["names"]


def _mean_by_label(
    scores: NDArray[np.float32],
    shortlist: NDArray[np.int64],
    sample_weight: NDArray[np.float64] | None = None,
) -> NDArray[np.float32]:
    """Return each label's mean score over the texts on whose shortlist it is, shrunk to the mean of all."""
    n_labels = scores.shape[1]
    scored = np.take_along_axis(scores, shortlist, axis=1).ravel()
    of_pair = None if sample_weight is None else np.repeat(sample_weight, shortlist.shape[1])
    number = np.bincount(shortlist.ravel(), of_pair, minlength=n_labels)
    weighted = scored if of_pair is None else of_pair * scored
    total = np.bincount(shortlist.ravel(), weighted, minlength=n_labels)
    mean = np.average(scored, weights=of_pair)
    return ((total + TEXTS_OF_PRIOR * mean) / (number + TEXTS_OF_PRIOR)).astype(np.float32)
