"""What `fit` does, in order: hold out, build, train, stack, tune."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from numbers import Integral
from os import PathLike

import joblib

from skhimatch.fitting.cross_fit import cross_fit
from skhimatch.fitting.held_out import hold_out, parts_to_cross_fit
from skhimatch.fitting.identity import identity_of_fit
from skhimatch.fitting.labelled_texts import LabelledTexts
from skhimatch.fitting.networks import train_networks
from skhimatch.fitting.ngrams import in_one_process, train_ngrams, train_ngrams_on_all
from skhimatch.fitting.tokenize import tokenize
from skhimatch.fitting.tune import ScoredTexts, stack_and_tune
from skhimatch.fitting.untrained import untrained_state
from skhimatch.fitting.warm_start import check_same_labels, start_from, with_earlier_epochs
from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.network.predict import embed_labels
from skhimatch.parameters import Parameters
from skhimatch.state import FittedState
from skhimatch.text.sequences import UNKNOWN_ID, Texts, words_of
from skhimatch.training.checkpoints import Checkpoints
from skhimatch.training.processes import Processes
from skhimatch.warn_user import warn_user

__all__ = ["fit"]

# With a larger share of unknown words there is a warning, unless there are only a few words.
MOST, FEW = 0.5, 20


def fit(
    parameters: Parameters,
    hierarchy: LabelHierarchy,
    training: LabelledTexts,
    validation: LabelledTexts | None,
    *,
    seed: int,
    sparse_output: bool,
    checkpoint: str | PathLike[str] | None = None,
    before: FittedState | None = None,
) -> FittedState:
    """Fit everything that a classifier predicts with.

    Parameters
    ----------
    parameters : Parameters
        The classifier's parameters.
    hierarchy : LabelHierarchy
        The labels, in column order.
    training : LabelledTexts
        The training texts.
    validation : LabelledTexts or None
        An official validation set; None holds out a part of the training texts.
    seed : int
        Seeds all draws.
    sparse_output : bool
        Whether predictions are to be sparse.
    checkpoint : path, optional
        A folder that keeps what is done so far.
    before : FittedState, optional
        What to continue from: its vocabulary and the weights of its networks. It is not changed. Everything
        else is fitted anew; classifiers of a cross-fitting begin anew, too, because the weights of `before`
        know the texts that these classifiers must not know.

    Returns
    -------
    FittedState

    Raises
    ------
    ValueError
        If `before` has other labels or other networks.
    """
    if before is not None:
        check_same_labels(hierarchy, before)
        if checkpoint is not None:
            raise ValueError(
                "checkpoint does not keep what warm_start=True continues from: leave one of them out."
            )
    n_parts = parts_to_cross_fit(parameters, training, validation)
    training, held_out = hold_out(parameters, hierarchy, training, validation, n_parts, seed)
    processes = parameters.processes
    if processes is not None:
        parameters = _of_one_of(processes, parameters, hierarchy, training, held_out, checkpoint)
    checkpoints = None
    if checkpoint is not None:
        checkpoints = _checkpoints(checkpoint, parameters, hierarchy, training, held_out)
    state, tokenized = untrained_state(parameters, hierarchy, training, seed, sparse_output, before)
    if before is not None:
        start_from(state, before)
    if held_out is not None:
        held_out = replace(held_out, texts=tokenize(held_out.texts, state))
        if parameters.pretrained is None or parameters.lexical is not None:
            _warn_of_unknown_words(held_out.texts)
    out_of_fold = cross_fit(parameters, state, training, n_parts) if n_parts else None
    way = None if out_of_fold is None else out_of_fold.way
    ensemble, way = in_one_process(
        processes, state.ensemble, partial(train_ngrams, state, tokenized, held_out, checkpoints, way)
    )
    choices = replace(state.choices, cross_fitting_parts=n_parts, ngrams=None if way is None else repr(way))
    state = replace(state, ensemble=ensemble, choices=choices)
    state = train_networks(parameters, state, tokenized, held_out, checkpoints)
    scored = [] if out_of_fold is None else [out_of_fold.scored]
    if held_out is not None:
        scored.append(ScoredTexts.by(state, held_out))
    if scored:
        state = stack_and_tune(parameters, state, ScoredTexts.concatenated(scored))
    if held_out is not None and validation is None:
        on_all = partial(train_ngrams_on_all, state, tokenized, held_out, way)
        ensemble, _ = in_one_process(processes, state.ensemble, lambda: (on_all(), way))
        state = replace(state, ensemble=ensemble)
    if before is not None:
        state = with_earlier_epochs(state, before)
    return replace(state, label_embeddings=embed_labels(state.network))


def _of_one_of(
    processes: Processes,
    parameters: Parameters,
    hierarchy: LabelHierarchy,
    training: LabelledTexts,
    held_out: LabelledTexts | None,
    checkpoint: str | PathLike[str] | None,
) -> Parameters:
    """Check that all processes train the same. Return the parameters of this one: only the first prints."""
    if checkpoint is not None:
        raise ValueError("checkpoint is for one process: leave it out, or net_params['accelerate']")
    if not isinstance(parameters.random_state, Integral):
        raise ValueError(
            "processes that train together need an integer random_state, so that they draw the same numbers; "
            f"it is {parameters.random_state!r}."
        )
    processes.check_same(joblib.hash(identity_of_fit(parameters, hierarchy, training, held_out)))
    return parameters if processes.is_first else replace(parameters, verbose=0)


def _warn_of_unknown_words(texts: Texts) -> None:
    """Warn if most words of held-out texts are unknown, so that little can be learned from words."""
    unknown = words_of(texts).ids == UNKNOWN_ID
    if len(unknown) > FEW and unknown.mean() > MOST:
        warn_user(
            f"{unknown.mean():.0%} of the words of the held-out texts are not in the vocabulary of the "
            "training texts, so that little can be learned from words. Look at tokenizer_.tokenize(text): if "
            "texts are not split as you want, pass tokenizer=WordTokenizer(token_pattern=...), or lists of "
            "tokens.",
        )


def _checkpoints(
    folder: str | PathLike[str],
    parameters: Parameters,
    hierarchy: LabelHierarchy,
    training: LabelledTexts,
    held_out: LabelledTexts | None,
) -> Checkpoints:
    """Open the folder of a fit, which is identified by its data and parameters."""
    if not isinstance(parameters.random_state, Integral):
        raise ValueError(
            "checkpoint needs an integer random_state, so that a second fit repeats the first; "
            f"it is {parameters.random_state!r}."
        )
    return Checkpoints(folder, *identity_of_fit(parameters, hierarchy, training, held_out))
