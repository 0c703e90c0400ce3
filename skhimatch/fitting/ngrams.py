"""Training of the n-gram classifiers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from skhimatch.evaluation.metrics import micro_macro_f1
from skhimatch.fitting.labelled_texts import LabelledTexts
from skhimatch.fitting.tune import with_threshold
from skhimatch.fitting.untrained import untrained_ngrams
from skhimatch.labels.missing import without_missing
from skhimatch.scores.ensemble import Ensemble
from skhimatch.scores.ngram_classifier import NGramClassifier
from skhimatch.scores.ngram_training import Exactly, InSteps, NGramTraining, ways_to_train
from skhimatch.scores.stacking import as_probabilities
from skhimatch.state import FittedState
from skhimatch.text.sequences import TokenSequences, words_of
from skhimatch.training.checkpoints import Checkpoints
from skhimatch.training.processes import Processes

__all__ = ["in_one_process", "train_ngrams", "train_ngrams_on_all"]

# Learning rates are compared on so many texts, if there are more: all texts take minutes for each rate.
TEXTS_OF_A_TRIAL = 10_000
# How the classifier on character n-grams is trained. That takes longer than on words, so C is not searched.
TRAINING_OF_CHARACTERS = Exactly(1.0)


def in_one_process(
    processes: Processes | None,
    ensemble: Ensemble,
    train: Callable[[], tuple[Ensemble, NGramTraining | None]],
) -> tuple[Ensemble, NGramTraining | None]:
    """Train n-gram classifiers once, and not in each process.

    Parameters
    ----------
    processes : Processes or None
        The processes that train together. None means that this one is alone.
    ensemble : Ensemble
        It gets the classifiers.
    train : callable
        Trains them.

    Returns
    -------
    ensemble : Ensemble
        With the trained classifiers, and with its own networks.
    way : NGramTraining or None
        As `train` returned it.
    """
    if processes is None:
        return train()

    def make() -> tuple[NGramClassifier | None, NGramClassifier | None, NGramTraining | None]:
        """Train them; networks are not sent to other processes."""
        trained, way = train()
        return trained.ngrams, trained.characters, way

    ngrams, characters, way = processes.made_by_first(make)
    return (ensemble if ngrams is None else ensemble.with_ngrams(ngrams, characters)), way


def train_ngrams(
    state: FittedState,
    training: LabelledTexts,
    held_out: LabelledTexts | None,
    checkpoints: Checkpoints | None,
    way: NGramTraining | None = None,
) -> tuple[Ensemble, NGramTraining | None]:
    """Train the n-gram classifiers.

    Parameters
    ----------
    state : FittedState
        It has the untrained classifiers.
    training : LabelledTexts
        The training texts, tokenised.
    held_out : LabelledTexts or None
        Texts that choose how the classifier on words is trained. Without them it is the first way.
    checkpoints : Checkpoints or None
        Where each classifier is kept.
    way : NGramTraining, optional
        How the classifier on words is trained, if that is known already.

    Returns
    -------
    ensemble : Ensemble
        With the trained classifiers.
    way : NGramTraining or None
        How the classifier on words was trained.
    """
    ensemble = state.ensemble
    if ensemble.ngrams is None:
        return ensemble, None
    words, targets, weights = words_of(training.texts), training.targets, training.weights

    def train(
        name: str,
        untrained: NGramClassifier,
        features: sp.csr_array,
        way: NGramTraining,
        rows: NDArray[np.int64] | None = None,
    ) -> NGramClassifier:
        """Train one now, on all texts or on some, or read it from its checkpoint."""
        of_texts, wanted = weights, targets
        if rows is not None:
            features, wanted = features[rows], targets[rows]
            of_texts = None if weights is None else weights.pick(rows)
        now = partial(way, untrained, features, wanted, state.seed, of_texts)
        return now() if checkpoints is None else checkpoints.ngrams(f"{name}-{way.name}", untrained, now)

    characters = ensemble.characters
    if characters is not None:
        characters = train("characters", characters, characters.ngrams(words), TRAINING_OF_CHARACTERS)
    untrained = ensemble.ngrams
    features = untrained.ngrams(words)
    ways = ways_to_train(features.nnz, targets.shape[1]) if way is None else (way,)
    if held_out is None or len(ways) == 1:
        return ensemble.with_ngrams(train("words", untrained, features, ways[0]), characters), ways[0]
    name, rows = "words", None
    if isinstance(ways[0], InSteps) and len(training) > TEXTS_OF_A_TRIAL:
        name = "words-of-some"
        rows = np.random.RandomState(state.seed).permutation(len(training))[:TEXTS_OF_A_TRIAL]
    tried = []
    for way in ways:
        ngrams = train(name, untrained, features, way, rows)
        alone = ensemble.with_ngrams(ngrams, None).without_networks()
        scores = alone.scores(held_out.texts)
        sample_weight, missing = held_out.sample_weight, held_out.missing
        alone = alone.stack(scores, held_out.targets, sample_weight, missing)
        probabilities = as_probabilities(alone.combine(scores))
        decision = with_threshold(
            state.decision, alone, probabilities, held_out.targets, "micro_macro", sample_weight, missing
        )
        predicted = without_missing(decision(probabilities), missing)
        f1 = micro_macro_f1(held_out.targets, predicted, sample_weight)
        tried.append((sum(f1), way, ngrams))
    _, best_way, best = max(tried, key=lambda each: each[0])
    if rows is not None:
        best = train("words", untrained, features, best_way)
    return ensemble.with_ngrams(best, characters), best_way


def train_ngrams_on_all(
    state: FittedState, training: LabelledTexts, held_out: LabelledTexts, way: NGramTraining | None
) -> Ensemble:
    """Train the n-gram classifiers again, on the held-out texts, too, since it takes only seconds.

    Parameters
    ----------
    state : FittedState
        Its stacking weights are kept.
    training, held_out : LabelledTexts
        Tokenised texts.
    way : NGramTraining or None
        How to train the classifier on words; None changes nothing.

    Returns
    -------
    Ensemble
    """
    ensemble = state.ensemble
    if way is None:
        return ensemble
    words = TokenSequences.concatenated([words_of(training.texts), words_of(held_out.texts)])
    targets = sp.vstack([training.targets, held_out.targets], format="csr")
    weights = training.weights
    if weights is not None and held_out.weights is not None:
        weights = weights.followed_by(held_out.weights)
    ngrams, characters = untrained_ngrams(words, targets.shape[1], ensemble.characters is not None)
    if characters is not None:
        features = characters.ngrams(words)
        characters = TRAINING_OF_CHARACTERS(characters, features, targets, state.seed, weights)
    return ensemble.with_ngrams(way(ngrams, ngrams.ngrams(words), targets, state.seed, weights), characters)
