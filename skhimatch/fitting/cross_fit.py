"""Cross-fitting: scores of training texts by scorers that were trained on the others."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from skhimatch.fitting.labelled_texts import LabelledTexts
from skhimatch.fitting.networks import train_networks
from skhimatch.fitting.ngrams import in_one_process, train_ngrams
from skhimatch.fitting.tokenize import tokenize
from skhimatch.fitting.tune import ScoredTexts
from skhimatch.fitting.untrained import untrained_state
from skhimatch.labels.targets import divide
from skhimatch.parameters import Parameters
from skhimatch.progress import say
from skhimatch.scores.ngram_training import NGramTraining
from skhimatch.state import FittedState

__all__ = ["OutOfFold", "cross_fit"]


@dataclass(frozen=True)
class OutOfFold:
    """What the parts of a cross-fitting found together.

    Attributes
    ----------
    scored : ScoredTexts
        All training texts, each scored by scorers that were not trained on its part.
    way : NGramTraining or None
        The way to train the n-grams of words that was the best in most parts.
    """

    scored: ScoredTexts
    way: NGramTraining | None


def cross_fit(
    parameters: Parameters,
    whole: FittedState,
    training: LabelledTexts,
    n_parts: int,
) -> OutOfFold:
    """Score each part of the training texts by scorers that were trained on the other parts.

    Stacking weights and thresholds need texts that were not trained on. Where there are few texts, all of
    them can be used so, and all are trained on, too.

    Parameters
    ----------
    parameters : Parameters
        The classifier's parameters.
    whole : FittedState
        Untrained, for all training texts.
    training : LabelledTexts
        The training texts, not tokenised yet: the vocabulary is that of the other parts, too.
    n_parts : int
        At least 2.

    Returns
    -------
    OutOfFold
    """
    parameters_of_parts = replace(parameters, callbacks=None, verbose=0)
    scored: list[ScoredTexts] = []
    ways: list[NGramTraining | None] = []
    parts = divide(training.targets, n_parts, np.random.RandomState(whole.seed))
    for number, rows in enumerate(parts, start=1):
        say(f"cross-fitting: part {number} of {n_parts}", shown=bool(parameters.verbose))
        others = np.setdiff1d(np.arange(len(training)), rows)
        state, rest = untrained_state(
            parameters_of_parts, whole.hierarchy, training.pick(others), whole.seed, sparse_output=False
        )
        state = replace(state, ensemble=state.ensemble.with_scorers_of(whole.ensemble))
        part = training.pick(rows)
        part = replace(part, texts=tokenize(part.texts, state))
        ensemble, way = in_one_process(
            parameters.processes, state.ensemble, partial(train_ngrams, state, rest, part, None)
        )
        state = train_networks(parameters_of_parts, replace(state, ensemble=ensemble), rest, None, None)
        scored.append(ScoredTexts.by(state, part))
        ways.append(way)
    [(best_way, _)] = Counter(ways).most_common(1)
    return OutOfFold(ScoredTexts.concatenated(scored), best_way)
