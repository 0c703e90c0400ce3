"""Calibration of a fitted classifier."""

from __future__ import annotations

from dataclasses import replace

from skhimatch.fitting.labelled_texts import LabelledTexts
from skhimatch.fitting.tokenize import tokenize
from skhimatch.fitting.tune import ScoredTexts, choose_decision
from skhimatch.parameters import Parameters
from skhimatch.scores.calibration import check_method, learn_calibration
from skhimatch.state import FittedState

__all__ = ["calibrate"]


def calibrate(
    parameters: Parameters, state: FittedState, held_out: LabelledTexts, method: str
) -> FittedState:
    """Calibrate the probabilities of each label, and choose the threshold for them anew.

    Parameters
    ----------
    parameters : Parameters
        The classifier's parameters.
    state : FittedState
        What was trained. A calibration that it has already is replaced.
    held_out : LabelledTexts
        Texts that were not trained on.
    method : {"isotonic", "sigmoid", "temperature"}
        See `learn_calibration`.

    Returns
    -------
    FittedState

    Raises
    ------
    ValueError
        If there is no such method.
    """
    method = check_method(method)
    scored = ScoredTexts.by(state, replace(held_out, texts=tokenize(held_out.texts, state)))
    ensemble = replace(state.ensemble, calibration=None)
    calibration = learn_calibration(
        method, ensemble.combine(scored.scores), scored.targets, scored.sample_weight, scored.missing
    )
    state = replace(
        state,
        ensemble=replace(ensemble, calibration=calibration),
        choices=replace(state.choices, calibration=method),
    )
    return choose_decision(parameters, state, scored)
