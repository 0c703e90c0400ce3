"""Stacking weights and thresholds, learned from texts that were not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from skhimatch.choices import described_decision, described_weights
from skhimatch.evaluation.decisions import DecisionRule, check_threshold
from skhimatch.evaluation.metrics import MicroMacroF1, micro_macro_f1
from skhimatch.evaluation.optimized import score_of_decision
from skhimatch.fitting.labelled_texts import LabelledTexts
from skhimatch.fitting.tokenize import tokenize
from skhimatch.labels.missing import without_missing
from skhimatch.parameters import Parameters
from skhimatch.progress import say
from skhimatch.scores.ensemble import Ensemble, Scores
from skhimatch.scores.stacking import as_probabilities
from skhimatch.state import FittedState

__all__ = ["ScoredTexts", "choose_decision", "stack_and_tune", "tune", "with_threshold"]


# Paths stop early only if that raises the F1 on held-out texts by more than this. Less is noise, and training
# texts have whole paths.
MIN_GAIN_OF_STOPPING = 0.005


@dataclass(frozen=True)
class ScoredTexts:
    """The scores of texts that the scorers were not trained on.

    Attributes
    ----------
    scores : mapping of str to float32 arrays of shape (n, L)
        By the scorers' names.
    targets : csr_array of shape (n, L)
        The 0/1 targets of the texts.
    sample_weight : float64 ndarray of shape (n,), or None
        The weights of the texts.
    missing : csr_array of shape (n, L), bool, or None
        Where targets are missing.
    """

    scores: Scores
    targets: sp.csr_array
    sample_weight: NDArray[np.float64] | None = None
    missing: sp.csr_array | None = None

    @classmethod
    def by(cls, state: FittedState, texts: LabelledTexts) -> ScoredTexts:
        """Score tokenised texts."""
        return cls(state.ensemble.scores(texts.texts), texts.targets, texts.sample_weight, texts.missing)

    @classmethod
    def concatenated(cls, parts: Sequence[ScoredTexts]) -> ScoredTexts:
        """Put the scores of several parts of the texts together, in the order of the parts."""
        scores = {name: np.concatenate([part.scores[name] for part in parts]) for name in parts[0].scores}
        targets = sp.vstack([part.targets for part in parts], format="csr")
        if all(part.sample_weight is None for part in parts):
            return cls(scores, targets)
        weights = [
            np.ones(part.targets.shape[0]) if part.sample_weight is None else part.sample_weight
            for part in parts
        ]
        if all(part.missing is None for part in parts):
            return cls(scores, targets, np.concatenate(weights))
        of_parts = [
            sp.csr_array(part.targets.shape, dtype=bool) if part.missing is None else part.missing
            for part in parts
        ]
        return cls(scores, targets, np.concatenate(weights), sp.vstack(of_parts, format="csr"))


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
    # A calibration would be that of other log-odds.
    state = replace(
        state,
        ensemble=replace(state.ensemble, calibration=None),
        choices=replace(state.choices, cross_fitting_parts=0, calibration=None),
    )
    held_out = replace(held_out, texts=tokenize(held_out.texts, state))
    return stack_and_tune(parameters, state, ScoredTexts.by(state, held_out))


def stack_and_tune(parameters: Parameters, state: FittedState, held_out: ScoredTexts) -> FittedState:
    """Learn stacking weights and the threshold from held-out texts, and score the decisions on them.

    Parameters
    ----------
    parameters : Parameters
        The classifier's parameters.
    state : FittedState
        What was trained.
    held_out : ScoredTexts
        The scores of texts that were not trained on.

    Returns
    -------
    FittedState
    """
    ensemble = state.ensemble
    # The logits of a single network that is trained with cross-entropy are log-odds already.
    if ensemble.ngrams is not None or parameters.margins:
        ensemble = ensemble.stack(held_out.scores, held_out.targets, held_out.sample_weight, held_out.missing)
    weights = described_weights(ensemble, learned=ensemble is not state.ensemble)
    choices = replace(state.choices, weights=weights, held_out=held_out.targets.shape[0])
    state = replace(state, ensemble=ensemble, choices=choices)
    return choose_decision(parameters, state, held_out)


def choose_decision(parameters: Parameters, state: FittedState, held_out: ScoredTexts) -> FittedState:
    """Choose the threshold for the probabilities of held-out texts, and score the decisions on them.

    Parameters
    ----------
    parameters : Parameters
        The classifier's parameters.
    state : FittedState
        With learned stacking weights.
    held_out : ScoredTexts
        The scores of texts that were not trained on.

    Returns
    -------
    FittedState
    """
    ensemble, decision = state.ensemble, state.decision
    probabilities = as_probabilities(ensemble.combine(held_out.scores))
    decision = replace(decision, n_labels=parameters.n_labels_of_a_text)
    if parameters.n_labels_of_a_text is None and parameters.tunes_threshold:
        decision = with_threshold(
            decision,
            ensemble,
            probabilities,
            held_out.targets,
            parameters.optimize,
            held_out.sample_weight,
            held_out.missing,
        )
    else:
        decision = replace(decision, one_path=ensemble.stacking.one_path, path_minimum=decision.threshold)
    validation_f1: MicroMacroF1 = micro_macro_f1(
        held_out.targets,
        without_missing(decision(probabilities), held_out.missing),
        held_out.sample_weight,
    )
    say(
        f"all scores together | validation F1 {validation_f1.micro:.3f} micro, "
        f"{validation_f1.macro:.3f} macro",
        shown=bool(parameters.verbose),
    )
    choices = replace(
        state.choices,
        decision=described_decision(decision),
    )
    return replace(state, decision=decision, validation_f1=validation_f1, choices=choices)


def with_threshold(
    decision: DecisionRule,
    ensemble: Ensemble,
    probabilities: NDArray[np.float32],
    targets: sp.csr_array,
    optimize: str,
    sample_weight: NDArray[np.float64] | None = None,
    missing: sp.csr_array | None = None,
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
    optimize : {"micro_macro", "micro", "macro", "hierarchical"}
        What to maximise.
    sample_weight : float64 ndarray of shape (n,), optional
        The weights of the texts.
    missing : csr_array of shape (n, L), bool, optional
        Where targets are missing.

    Returns
    -------
    DecisionRule
    """
    decision = replace(decision, one_path=ensemble.stacking.one_path)
    by_label = ensemble.calibrated and (decision.ends is None or decision.one_path)
    # Where training texts lack ancestors, hierarchical F1 counts labels that have no probability.
    if not by_label or (optimize == "hierarchical" and not decision.closed):
        return decision.tuned(probabilities, targets, optimize, sample_weight, missing)
    best = decision.with_best_thresholds(probabilities, optimize, sample_weight)
    if decision.ends is None:
        return best
    may_stop = best.with_paths_that_may_stop(probabilities, optimize, sample_weight)
    whole, stopping = (
        score_of_decision(optimize, targets, rule(probabilities), decision.hierarchy, sample_weight, missing)
        for rule in (best, may_stop)
    )
    return may_stop if stopping > whole + MIN_GAIN_OF_STOPPING else best
