"""The ensemble: n-grams, names of labels and networks, stacked into one log-odds for each text and label."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.network.label_attention import MANY_LABELS
from skhimatch.network.predict import in_chunks
from skhimatch.scores.names import LabelNames
from skhimatch.scores.networks import NetworkScorer
from skhimatch.scores.ngrams import NGramClassifier
from skhimatch.scores.shortlist import (
    SampledShortlist,
    SiblingsOfTargets,
    choose_shortlist_size,
    likeliest_by_margins,
    likeliest_labels,
)
from skhimatch.scores.stacking import StackingWeights
from skhimatch.text.sequences import Texts

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
# The word network's default weight is multiplied by m / (m + 10), where m is the median number of training
# texts of a label: with few texts the network overfits. The weight of names rises instead, by up to 0.25.
# Measured on WOS with 1, 4 and 16 texts for each leaf.
TEXTS_FOR_HALF_WEIGHT = 10
EXTRA_WEIGHT_OF_NAMES = 0.25
# The weight of a network without any other scorer.
WEIGHT_FOR_MARGINS, WEIGHT_FOR_LOG_ODDS = 3.0, 1.0
# The weight of the names beside the margins of the n-grams, when a shortlist is chosen.
NAMES_IN_SHORTLIST = 0.03
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
    networks : mapping of str to NetworkScorer
        "words", "pretrained" or both. They are trained in place.
    shortlist_size : int or None
        How many labels of a text a network scores that can use a shortlist; None if it scores all.
    stacking : StackingWeights
        The weights of "ngrams" and "names", if there are any, and of each network.
    score_offsets : mapping of str to float32 ndarray of shape (L,), or None
        By network, the mean score of each label over the held-out texts on whose shortlist it was. It is
        subtracted from the network's scores. With many labels, a network is trained on shortlists, and its
        scores of a label are lower the more rarely the label was on them. None with few labels.
    """

    ngrams: NGramClassifier | None
    names: LabelNames | None
    networks: Mapping[str, NetworkScorer]
    shortlist_size: int | None
    stacking: StackingWeights
    score_offsets: Mapping[str, NDArray[np.float32]] | None = None

    @classmethod
    def untrained(
        cls,
        ngrams: NGramClassifier | None,
        names: LabelNames | None,
        networks: Mapping[str, NetworkScorer],
        targets: sp.csr_array,
        *,
        margins: bool,
    ) -> Ensemble:
        """Put untrained scorers together, with default stacking weights.

        Parameters
        ----------
        ngrams, names, networks : as the attributes
            The scorers.
        targets : csr_array of shape (n, L)
            0/1 targets of the training texts.
        margins : bool
            Whether networks are trained for margins (squared hinge loss), and not for log-odds.

        Returns
        -------
        Ensemble
        """
        if ngrams is None:
            weight, intercept = (WEIGHT_FOR_MARGINS, 0.0) if margins else (WEIGHT_FOR_LOG_ODDS, 0.0)
            return cls(
                None, None, networks, None, StackingWeights(dict.fromkeys(networks, weight), intercept)
            )
        size = choose_shortlist_size(targets)
        shorter = size < targets.shape[1] and any(scorer.uses_shortlist for scorer in networks.values())
        defaults = DEFAULT_FOR_MARGINS if margins else DEFAULT_FOR_LOG_ODDS
        stacking = _adapted_to_few_texts(defaults[tuple(networks)], targets)
        return cls(ngrams, names, networks, size if shorter else None, stacking)

    @property
    def n_labels(self) -> int:
        """L."""
        return next(iter(self.networks.values())).network.n_labels

    def with_ngrams(self, ngrams: NGramClassifier) -> Ensemble:
        """Return a copy with another n-gram classifier.

        Parameters
        ----------
        ngrams : NGramClassifier
            The other one.

        Returns
        -------
        Ensemble
        """
        return replace(self, ngrams=ngrams)

    def without_networks(self) -> Ensemble:
        """Return a copy with n-grams and names only.

        Returns
        -------
        Ensemble
        """
        return replace(self, networks={}, stacking=self.stacking.only(("ngrams", "names")))

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
        return {"ngrams": self.ngrams.scores(texts), "names": self.names.scores(texts)}

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
        return scores | {name: scorer.scores(texts, shortlist) for name, scorer in self.networks.items()}

    def combine(self, scores: Scores) -> NDArray[np.float32]:
        """Return the weighted sum of scores.

        Parameters
        ----------
        scores : mapping of str to float arrays of shape (n, L)
            As `scores` returned them.

        Returns
        -------
        float32 ndarray of shape (n, L)
            Log-odds.
        """
        return self.stacking(self._without_offsets(scores))

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

    def stack(self, scores: Scores, targets: sp.csr_array) -> Ensemble:
        """Return a copy with stacking weights and score offsets learned from held-out texts.

        Parameters
        ----------
        scores : mapping of str to float arrays of shape (n, L)
            As `scores` returned them, of texts on which no scorer was trained.
        targets : csr_array of shape (n, L)
            Their 0/1 targets.

        Returns
        -------
        Ensemble
            Itself, if these texts do not help.
        """
        shortlist = self.shortlist_by(scores)
        offsets = None
        if shortlist is not None and targets.shape[1] > MANY_LABELS:
            offsets = {name: _mean_by_label(scores[name], shortlist) for name in self.networks}
        candidate = replace(self, score_offsets=offsets)
        stacking = StackingWeights.learn(candidate._without_offsets(scores), targets, shortlist)
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
        if not self.networks[network].uses_shortlist or n_labels <= MANY_LABELS:
            return None
        size = max(self.shortlist_size or 0, choose_shortlist_size(targets))
        if self.ngrams is None:
            return SampledShortlist(targets, size, SiblingsOfTargets(targets, hierarchy), seed)
        likeliest = likeliest_by_margins(
            n_texts, n_labels, lambda rows: _likelihood(self.word_scores(texts[rows]))
        )
        return SampledShortlist(targets, size, likeliest, seed)

    def _without_offsets(self, scores: Scores) -> Scores:
        """Subtract the score offsets on the shortlist; labels outside of it get the score 0."""
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
    """Raise the weight of names, and lower that of a word network, if labels have few training texts."""
    n_texts = targets.sum(axis=0)
    median = float(np.median(n_texts[n_texts > 0])) if targets.nnz else 0.0
    share = median / (median + TEXTS_FOR_HALF_WEIGHT)
    weights = dict(stacking.weights)
    weights["names"] += EXTRA_WEIGHT_OF_NAMES * (1 - share)
    if "words" in weights:
        weights["words"] *= share
    return StackingWeights(weights, stacking.intercept)


def _likelihood(scores: Scores) -> NDArray[np.float32]:
    """Return one number for each label of a text by n-grams and names, to order the labels."""
    return scores["ngrams"] + np.float32(NAMES_IN_SHORTLIST) * scores["names"]


def _mean_by_label(scores: NDArray[np.float32], shortlist: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return each label's mean score over the texts on whose shortlist it is, shrunk to the mean of all."""
    n_labels = scores.shape[1]
    scored = np.take_along_axis(scores, shortlist, axis=1).ravel()
    number = np.bincount(shortlist.ravel(), minlength=n_labels)
    total = np.bincount(shortlist.ravel(), scored, minlength=n_labels)
    return ((total + TEXTS_OF_PRIOR * scored.mean()) / (number + TEXTS_OF_PRIOR)).astype(np.float32)
