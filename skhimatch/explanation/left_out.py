"""What changes without some words: the measure of how much each word counts."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from skhimatch.evaluation.decisions import DecisionRule
from skhimatch.explanation.read_text import ReadText
from skhimatch.scores.ensemble import Ensemble
from skhimatch.scores.stacking import as_probabilities

__all__ = ["LeftOut", "log_odds_without", "words_that_decide"]

# Different words that are left out one by one, the first ones of the text.
MAX_DIFFERENT_WORDS = 1_000
# Words of all shorter texts that are in memory at once.
MAX_WORDS_AT_ONCE = 2_000_000
# How many words together are tried to change a decision.
MAX_WORDS_TOGETHER = 10


class LeftOut:
    """The log-odds of a text, and those without each of its different words.

    Parameters
    ----------
    read : ReadText
        The text.
    ensemble : Ensemble
        Scores it.
    decision : DecisionRule
        Decides on labels.

    Attributes
    ----------
    words : list of W str
        The different words.
    positions : list of W lists of int
        Where each is among the words of the text.
    log_odds : float32 ndarray of shape (L,)
        Those of the whole text.
    effects : float32 ndarray of shape (W, L)
        By how much the log-odds fall if all occurrences of a word are left out.
    decided : ndarray of shape (L,), bool
        The labels of the whole text.
    decided_without : csr_array of shape (W, L), bool
        The labels without each word.
    """

    def __init__(self, read: ReadText, ensemble: Ensemble, decision: DecisionRule) -> None:
        different = dict(list(read.different_words.items())[:MAX_DIFFERENT_WORDS])
        self.words, self.positions = list(different), list(different.values())
        log_odds = log_odds_without(read, ensemble, [[], *self.positions])
        self.log_odds = log_odds[0]
        self.effects = self.log_odds - log_odds[1:]
        decided = decision(as_probabilities(log_odds))
        self.decided: NDArray[np.bool_] = decided[[0]].toarray()[0]
        self.decided_without: sp.csr_array = decided[1:]


def log_odds_without(
    read: ReadText, ensemble: Ensemble, left_out: Sequence[Collection[int]]
) -> NDArray[np.float32]:
    """Return the log-odds of a text without some words, in one pass through all scorers.

    Only of very long texts, not all shorter texts are in memory at once.

    Parameters
    ----------
    read : ReadText
        The text.
    ensemble : Ensemble
        Scores it.
    left_out : sequence of n collections of int
        The positions of the words that are left out.

    Returns
    -------
    float32 ndarray of shape (n, L)
    """
    size = max(1, MAX_WORDS_AT_ONCE // max(1, len(read.words)))
    parts = (left_out[start : start + size] for start in range(0, len(left_out), size))
    return np.concatenate([chunk for part in parts for chunk in ensemble.log_odds(read.without(part))])


def words_that_decide(
    left_out: LeftOut,
    labels: NDArray[np.int64],
    read: ReadText,
    ensemble: Ensemble,
    decision: DecisionRule,
) -> list[tuple[str, ...]]:
    """Return words without which the decision on each label is another.

    First each word is left out alone, then the strongest ones together: those that speak for the label if it
    is predicted, and those that speak against it if it is not.

    Parameters
    ----------
    left_out : LeftOut
        What each word does.
    labels : int64 ndarray of shape (M,)
        The positions of the labels.
    read, ensemble, decision : as for `LeftOut`
        The text, and what scores it and decides.

    Returns
    -------
    list of M tuples of str
        The fewest words that were found; empty if up to ten words together change nothing.
    """
    found: list[tuple[str, ...]] = []
    together: list[list[int]] = []
    for label in labels.tolist():
        signed = left_out.effects[:, label] * (1 if left_out.decided[label] else -1)
        order = np.argsort(-signed, kind="stable")
        without = left_out.decided_without[:, [label]].toarray()[:, 0]
        alone = [number for number in order.tolist() if without[number] != left_out.decided[label]]
        found.append((left_out.words[alone[0]],) if alone else ())
        helpful = [] if alone else [number for number in order.tolist() if signed[number] > 0]
        together.append(helpful[:MAX_WORDS_TOGETHER])
    groups = [
        (place, numbers[:size])
        for place, numbers in enumerate(together)
        for size in range(2, len(numbers) + 1)
    ]
    if not groups:
        return found
    places = [[place for number in numbers for place in left_out.positions[number]] for _, numbers in groups]
    decided = decision(as_probabilities(log_odds_without(read, ensemble, places)))
    for row, (place, numbers) in enumerate(groups):
        label = int(labels[place])
        if not found[place] and bool(decided[row, label]) != bool(left_out.decided[label]):
            found[place] = tuple(left_out.words[number] for number in numbers)
    return found
