"""Stacking weights and thresholds, learned from texts that were not trained on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from skhimatch.evaluation.decisions import DecisionRule, check_threshold
from skhimatch.evaluation.metrics import MicroMacroF1, micro_macro_f1
from skhimatch.fitting.labelled_texts import LabelledTexts
from skhimatch.fitting.tokenize import tokenize
from skhimatch.parameters import Parameters
from skhimatch.scores.ensemble import Ensemble
from skhimatch.scores.stacking import as_probabilities
from skhimatch.state import FittedState

__all__ = ["stack_and_tune", "tune", "with_threshold"]


def tune(parameters: Parameters, state: FittedState, held_out: LabelledTexts) -> FittedState:
    """Learn stacking weights and the threshold anew, without training.

    Parameters
    ----------
    parameters : Parameters
        The classifier's parameters.
    state : FittedState
        What was trained.
    held_out : LabelledTexts
        Texts that were not trained on.

    Returns
    -------
    FittedState
    """
    if not parameters.tunes_threshold:
        threshold = check_threshold(parameters.threshold, state.hierarchy.labels)
        state = replace(state, decision=replace(state.decision, threshold=threshold))
    return stack_and_tune(parameters, state, replace(held_out, texts=tokenize(held_out.texts, state)))


def stack_and_tune(parameters: Parameters, state: FittedState, held_out: LabelledTexts) -> FittedState:
    """Learn stacking weights and the threshold from the held-out texts, and score them.

    Parameters
    ----------
    parameters : Parameters
        The classifier's parameters.
    state : FittedState
        What was trained.
    held_out : LabelledTexts
        Tokenised texts that were not trained on.

    Returns
    -------
    FittedState
    """
    ensemble, decision = state.ensemble, state.decision
    scores = ensemble.scores(held_out.texts)
    # The logits of a single network that is trained with cross-entropy are log-odds already.
    if ensemble.ngrams is not None or parameters.margins:
        ensemble = ensemble.stack(scores, held_out.targets)
    probabilities = as_probabilities(ensemble.combine(scores))
    if parameters.tunes_threshold:
        decision = with_threshold(decision, ensemble, probabilities, held_out.targets, parameters.optimize)
    else:
        decision = replace(decision, one_path=ensemble.stacking.one_path, path_minimum=decision.threshold)
    validation_f1: MicroMacroF1 = micro_macro_f1(held_out.targets, decision(probabilities))
    if parameters.verbose:
        print(
            f"all scores together | validation F1 {validation_f1.micro:.3f} micro, "
            f"{validation_f1.macro:.3f} macro",
            flush=True,
        )
    return replace(state, ensemble=ensemble, decision=decision, validation_f1=validation_f1)


def with_threshold(
    decision: DecisionRule,
    ensemble: Ensemble,
    probabilities: NDArray[np.float32],
    targets: sp.csr_array,
    optimize: str,
) -> DecisionRule:
    """Choose a threshold for each label where probabilities are calibrated, else the best one for all.

    Parameters
    ----------
    decision : DecisionRule
        What it learned from the training targets.
    ensemble : Ensemble
        It says whether its probabilities are calibrated.
    probabilities : float32 ndarray of shape (n, L)
        For the held-out texts.
    targets : csr_array of shape (n, L)
        Their 0/1 targets.
    optimize : {"micro_macro", "micro", "macro"}
        What to maximise.

    Returns
    -------
    DecisionRule
    """
    decision = replace(decision, one_path=ensemble.stacking.one_path)
    if ensemble.stacking.calibrated and (decision.ends is None or decision.one_path):
        return decision.with_best_thresholds(probabilities, optimize)
    return decision.tuned(probabilities, targets, optimize)
