"""What `fit` does, in order: hold out, build, train, stack, tune."""

from __future__ import annotations

from dataclasses import replace
from numbers import Integral
from os import PathLike

import numpy as np

import skhimatch
from skhimatch.fitting.held_out import hold_out
from skhimatch.fitting.labelled_texts import LabelledTexts
from skhimatch.fitting.networks import train_networks
from skhimatch.fitting.ngrams import train_ngrams, train_ngrams_on_all
from skhimatch.fitting.tokenize import tokenize
from skhimatch.fitting.tune import stack_and_tune
from skhimatch.fitting.untrained import untrained_state
from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.network.predict import embed_labels
from skhimatch.parameters import Parameters
from skhimatch.state import FittedState
from skhimatch.training.checkpoints import Checkpoints

__all__ = ["fit"]

# Training texts over which the mean scores of the network of words are taken.
TEXTS_FOR_MEAN_SCORES = 1000


def fit(
    parameters: Parameters,
    hierarchy: LabelHierarchy,
    training: LabelledTexts,
    validation: LabelledTexts | None,
    *,
    seed: int,
    sparse_output: bool,
    checkpoint: str | PathLike[str] | None = None,
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

    Returns
    -------
    FittedState
    """
    official = validation is not None
    training, held_out = hold_out(parameters, hierarchy, training, validation, seed)
    checkpoints = None
    if checkpoint is not None:
        checkpoints = _checkpoints(checkpoint, parameters, training, held_out)
    state, training = untrained_state(parameters, hierarchy, training, seed, sparse_output)
    if held_out is not None:
        held_out = replace(held_out, texts=tokenize(held_out.texts, state))
    ensemble, ngram_training = train_ngrams(state, training, held_out, checkpoints)
    state = replace(state, ensemble=ensemble)
    state = train_networks(parameters, state, training, held_out, checkpoints)
    if state.ensemble.ngrams is not None:
        some = np.random.RandomState(seed).permutation(len(training))[:TEXTS_FOR_MEAN_SCORES]
        state = replace(state, ensemble=state.ensemble.with_mean_scores(training.texts[some]))
    if held_out is not None:
        state = stack_and_tune(parameters, state, held_out)
        if not official:
            ensemble = train_ngrams_on_all(state, training, held_out, ngram_training)
            state = replace(state, ensemble=ensemble)
    return replace(state, label_embeddings=embed_labels(state.network))


def _checkpoints(
    folder: str | PathLike[str],
    parameters: Parameters,
    training: LabelledTexts,
    held_out: LabelledTexts | None,
) -> Checkpoints:
    """Open the folder of a fit, which is identified by its data and parameters."""
    if not isinstance(parameters.random_state, Integral):
        raise ValueError(
            "checkpoint needs an integer random_state, so that a second fit repeats the first; "
            f"it is {parameters.random_state!r}."
        )
    # These do not change the result.
    relevant = {**vars(parameters), "callbacks": None, "verbose": 0}
    return Checkpoints(folder, skhimatch.__version__, relevant, training, held_out)
