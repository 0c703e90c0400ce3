"""Training of the networks."""

from __future__ import annotations

from dataclasses import replace

from skhimatch.fitting.labelled_texts import LabelledTexts
from skhimatch.network.batches import FixedShortlist, TextDataset
from skhimatch.parameters import Parameters
from skhimatch.progress import say
from skhimatch.state import EpochRecord, FittedState
from skhimatch.training.checkpoints import Checkpoints
from skhimatch.training.loop import train

__all__ = ["parameters_of", "train_networks"]


def train_networks(
    parameters: Parameters,
    state: FittedState,
    training: LabelledTexts,
    held_out: LabelledTexts | None,
    checkpoints: Checkpoints | None,
) -> FittedState:
    """Train all networks in place, one after the other, and find the mean scores of that of words.

    Parameters
    ----------
    parameters : Parameters
        The classifier's parameters.
    state : FittedState
        It has the networks, and the trained n-grams.
    training : LabelledTexts
        The training texts, tokenised.
    held_out : LabelledTexts or None
        Texts that choose the best epoch.
    checkpoints : Checkpoints or None
        Where each epoch is kept.

    Returns
    -------
    FittedState
        With the history of the main network, and with mean scores.
    """
    history: list[EpochRecord] = []
    for name in state.ensemble.networks:
        if len(state.ensemble.networks) > 1:
            say(f"network {name!r}:", shown=bool(parameters.verbose))
        history = _train_network(
            name, parameters_of(name, parameters, state), state, training, held_out, checkpoints
        )
    ensemble = state.ensemble.with_mean_scores(training.texts, state.seed, training.sample_weight)
    return replace(state, ensemble=ensemble, history=tuple(history))


def parameters_of(network: str, parameters: Parameters, state: FittedState) -> Parameters:
    """Return the parameters for the network "words" or "pretrained"; a second one has its own."""
    beside_another = len(state.ensemble.networks) > 1
    return parameters.for_word_network() if network == "words" and beside_another else parameters


def _train_network(
    name: str,
    parameters: Parameters,
    state: FittedState,
    training: LabelledTexts,
    held_out: LabelledTexts | None,
    checkpoints: Checkpoints | None,
) -> list[EpochRecord]:
    """Train one network in place, and return its history."""
    ensemble, network = state.ensemble, state.ensemble.networks[name].network
    read = network.text_encoder.input_of
    validation = None
    if held_out is not None:
        fixed = ensemble.shortlist(name, held_out.texts)
        validation = TextDataset(
            read(held_out.texts),
            held_out.targets,
            None if fixed is None else FixedShortlist(fixed),
            held_out.weights,
        )
    shortlist = ensemble.training_shortlist(
        name, training.texts, training.targets, state.hierarchy, seed=state.seed
    )
    epochs = parameters.epochs(*training.targets.shape)
    n_steps = epochs * parameters.steps_of_an_epoch(len(training))
    return train(
        network,
        parameters.criterion(state.hierarchy),
        TextDataset(read(training.texts), training.targets, shortlist, training.weights),
        validation,
        parameters.training_settings(network.device, epochs, n_steps),
        decide=state.decision,
        seed=state.seed,
        checkpoint=None if checkpoints is None else checkpoints.epochs(name),
    )
