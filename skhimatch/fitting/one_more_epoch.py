"""One more epoch on new texts."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from skhimatch.fitting.labelled_texts import LabelledTexts
from skhimatch.fitting.networks import parameters_of
from skhimatch.fitting.tokenize import tokenize
from skhimatch.fitting.untrained import untrained_state
from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.network.base import Network
from skhimatch.network.batches import TextDataset
from skhimatch.network.predict import embed_labels
from skhimatch.parameters import Parameters
from skhimatch.scores.ensemble import Ensemble
from skhimatch.scores.ngram_classifier import NGramClassifier
from skhimatch.state import EpochRecord, FittedState
from skhimatch.text.sequences import words_of
from skhimatch.training.callbacks import check_callbacks
from skhimatch.training.loop import TrainingSettings, build_training_net, train_one_epoch
from skhimatch.training.net import TrainingNet

__all__ = ["Trainers", "fit_more"]


@dataclass(frozen=True, eq=False)
class Trainer:
    """What trains a network one epoch at a time.

    Attributes
    ----------
    net : TrainingNet
        It holds the state of the optimiser.
    settings : TrainingSettings
        What it was built with, for a single epoch.
    loss_settings : dict
        The parameters of its objective.
    """

    net: TrainingNet
    settings: TrainingSettings
    loss_settings: Mapping[str, Any]


# By the network's name.
Trainers = Mapping[str, Trainer]


def fit_more(
    parameters: Parameters,
    state: FittedState | None,
    trainers: Trainers | None,
    hierarchy: LabelHierarchy,
    training: LabelledTexts,
    *,
    seed: int,
    sparse_output: bool,
) -> tuple[FittedState, Trainers]:
    """Train one more epoch on these texts only, at a constant learning rate.

    Parameters
    ----------
    parameters : Parameters
        The classifier's parameters.
    state : FittedState or None
        What to continue from; None starts from nothing. Its networks are trained in place; after any error
        they are as before.
    trainers : mapping of str to Trainer, or None
        What the last call returned; None starts a new optimiser, and so does a changed parameter.
    hierarchy : LabelHierarchy
        The labels, in column order.
    training : LabelledTexts
        The texts.
    seed : int
        Seeds all draws, if there is no state yet.
    sparse_output : bool
        Whether predictions are to be sparse.

    Returns
    -------
    state : FittedState
        Without validation scores, which would be those of other weights.
    trainers : mapping of str to Trainer
        For the next call.
    """
    if parameters.processes is not None:
        raise ValueError("partial_fit is for one process: leave out net_params['accelerate']")
    if state is None:
        if not training.targets.nnz:
            raise ValueError(
                "No text of the first batch has a label: how labels are decided is learned from this batch. "
                "Begin with a batch in which some texts have labels."
            )
        state, training = untrained_state(parameters, hierarchy, training, seed, sparse_output)
    else:
        training = replace(training, texts=tokenize(training.texts, state))
    # A calibration would be that of other scores.
    ensemble = replace(state.ensemble, calibration=None)
    networks = ensemble.networks
    trainers = {
        name: _trainer(
            parameters_of(name, parameters, state), scorer.network, hierarchy, (trainers or {}).get(name)
        )
        for name, scorer in networks.items()
    }
    # Each epoch has draws of its own, the same in every run.
    seed = state.seed + len(state.history)
    if ensemble.ngrams is not None:
        one_epoch = partial(_one_more_epoch, training=training, seed=seed)
        characters = None if ensemble.characters is None else one_epoch(ensemble.characters)
        ensemble = ensemble.with_ngrams(one_epoch(ensemble.ngrams), characters)
    epoch = _train_one_more_epoch(ensemble, trainers, hierarchy, training, seed)
    state = replace(
        state,
        ensemble=ensemble,
        label_embeddings=embed_labels(state.network),
        validation_f1=None,
        history=(*state.history, epoch | {"epoch": len(state.history) + 1}),
        choices=replace(state.choices, calibration=None),
        sparse_output=sparse_output,
    )
    return state, trainers


def _one_more_epoch(ngrams: NGramClassifier, training: LabelledTexts, seed: int) -> NGramClassifier:
    """Return an n-gram classifier after another epoch on these texts."""
    features = ngrams.ngrams(words_of(training.texts))
    return ngrams.trained(features, training.targets, epochs=1, seed=seed, weights=training.weights)


def _train_one_more_epoch(
    ensemble: Ensemble, trainers: Trainers, hierarchy: LabelHierarchy, training: LabelledTexts, seed: int
) -> EpochRecord:
    """Train all networks in place; return the record of the main one. After an error they are as before."""
    networks = {name: ensemble.networks[name].network for name in trainers}
    weights_before = {name: copy.deepcopy(network.state_dict()) for name, network in networks.items()}
    try:
        for name, network in networks.items():
            shortlist = ensemble.training_shortlist(
                name, training.texts, training.targets, hierarchy, seed=seed
            )
            texts = network.text_encoder.input_of(training.texts)
            dataset = TextDataset(texts, training.targets, shortlist, training.weights)
            epoch = train_one_epoch(trainers[name].net, dataset, seed=seed)
    except BaseException:
        for name, network in networks.items():
            network.load_state_dict(weights_before[name])
        raise
    return epoch


def _trainer(
    parameters: Parameters, network: Network, hierarchy: LabelHierarchy, before: Trainer | None
) -> Trainer:
    """Return what trains a network one epoch at a time: that of the last call, unless parameters changed."""
    settings, loss_settings = parameters.training_settings(network.device, 1, 1), parameters.loss_settings
    if before is not None and (before.settings, before.loss_settings) == (settings, loss_settings):
        return before
    check_callbacks(settings.callbacks, has_validation=False, schedule="constant")
    net = build_training_net(network, parameters.criterion(hierarchy), settings)
    return Trainer(net, settings, loss_settings)
