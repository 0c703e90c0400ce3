"""What `fit` chooses by itself."""

from __future__ import annotations

from dataclasses import dataclass

from skhimatch.evaluation.decisions import DecisionRule
from skhimatch.scores.ensemble import Ensemble

__all__ = ["Choices", "described_decision", "described_weights"]


@dataclass(frozen=True)
class Choices:
    """What `fit` chose by the training texts and the held-out texts.

    Attributes
    ----------
    held_out : int
        The number of texts from which weights and thresholds were learned; 0 for the default weights.
    cross_fitting_parts : int
        Into how many parts the training texts were divided, to be scored by classifiers that were trained on
        the others; 0 without cross-fitting.
    rare_words : bool
        Whether the training texts have so few words that words and n-grams that occur once count. A
        tokenizer with a number as `min_count` obeys the number.
    ngrams : str or None
        How the classifier on words and word pairs was trained; None without one.
    characters : bool
        Whether there is a classifier on character n-grams.
    shortlist : int or None
        How many labels of a text the network scores; None if it scores all.
    max_epochs : int
        The maximum number of epochs of the main network.
    learning_rate : float
        Its highest learning rate.
    weights : {"default", "for all labels", "by frequency", "for paths"}
        How the scores are weighted: by the default weights, by weights for all labels or by the frequency of
        a label, or for the choice of a path.
    decision : {"threshold", "thresholds", "path", "path that may stop", "most probable labels"}
        How labels are predicted: by one threshold, by a threshold for each label, as one path, or a fixed
        number of labels for each text.
    calibration : {"isotonic", "sigmoid", "temperature"} or None
        The method of `calibrate`, which also chose the thresholds anew.
    """

    held_out: int
    cross_fitting_parts: int
    rare_words: bool
    ngrams: str | None
    characters: bool
    shortlist: int | None
    max_epochs: int
    learning_rate: float
    weights: str
    decision: str
    calibration: str | None = None


def described_weights(ensemble: Ensemble, *, learned: bool) -> str:
    """Describe how the scores of an ensemble are weighted, as `Choices.weights`."""
    if not learned:
        return "default"
    if ensemble.stacking.one_path:
        return "for paths"
    return "by frequency" if ensemble.stacking.calibrated else "for all labels"


def described_decision(decision: DecisionRule) -> str:
    """Describe how labels are predicted, as `Choices.decision`."""
    if decision.n_labels is not None:
        return "most probable labels"
    if decision.ends is None:
        return "threshold" if isinstance(decision.threshold, float) else "thresholds"
    return "path" if decision.importance is None else "path that may stop"
