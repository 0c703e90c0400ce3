"""What `fit` does, in order: hold out, build, train, stack, tune."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from numbers import Integral
from os import PathLike
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.base import clone

import skhimatch
from skhimatch.evaluation.decisions import DecisionRule, check_threshold
from skhimatch.evaluation.metrics import MicroMacroF1, micro_macro_f1
from skhimatch.labels import targets as label_targets
from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.labels.texts import check_label_texts
from skhimatch.network.base import Network
from skhimatch.network.batches import FixedShortlist, TextDataset
from skhimatch.network.build import NetworkSettings, WordNetworkSettings
from skhimatch.network.device import resolve_device
from skhimatch.network.predict import embed_labels
from skhimatch.network.random_numbers import seeded_construction
from skhimatch.network.start import StartingPoint, start_pretrained_network, start_word_network
from skhimatch.network.transformer import TransformerEncoder
from skhimatch.parameters import Parameters
from skhimatch.scores.characters import CharacterFeatures, are_affordable
from skhimatch.scores.ensemble import Ensemble
from skhimatch.scores.names import LabelNames
from skhimatch.scores.networks import NetworkScorer
from skhimatch.scores.ngrams import Exactly, NGramClassifier, NGramFeatures, NGramTraining, ways_to_train
from skhimatch.scores.stacking import as_probabilities
from skhimatch.scores.training_labels import TrainingLabels
from skhimatch.state import EpochRecord, FittedState
from skhimatch.text.sequences import Texts, TokenSequences, words_of
from skhimatch.text.subwords import SubwordTokenizer
from skhimatch.text.words import WordTokenizer
from skhimatch.training.callbacks import check_callbacks
from skhimatch.training.checkpoints import Checkpoints
from skhimatch.training.loop import TrainingSettings, build_training_net, train, train_one_epoch
from skhimatch.training.net import TrainingNet

__all__ = ["LabelledTexts", "Trainers", "fit", "fit_more", "tokenize", "tune"]

# How the classifier on character n-grams is trained. That takes longer than on words, so C is not searched.
TRAINING_OF_CHARACTERS = Exactly(1.0)
# Training texts over which the mean scores of the network of words are taken.
TEXTS_FOR_MEAN_SCORES = 1000
# All scores of the held-out texts are compared at once: at most 2^27 numbers, half a GiB for each scorer, but
# at least 1,000 texts. With 50,000 labels that is 2,684 texts.
MAX_HELD_OUT_NUMBERS, MIN_HELD_OUT = 2**27, 1000


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


@dataclass(frozen=True)
class LabelledTexts:
    """Texts and their targets.

    Attributes
    ----------
    texts : list of str, list of lists of str, TokenSequences or SubwordSequences
        n texts.
    targets : csr_array of shape (n, L), float32
        Their 0/1 targets.
    """

    texts: Any
    targets: sp.csr_array

    def __len__(self) -> int:
        return len(self.texts)

    def pick(self, rows: NDArray[np.int64]) -> LabelledTexts:
        """Return some of them, in the order of `rows`."""
        texts = self.texts
        picked = texts[rows] if isinstance(texts, Texts) else [texts[row] for row in rows]
        return LabelledTexts(picked, self.targets[rows])


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
    training, held_out = _hold_out(parameters, hierarchy, training, validation, seed)
    checkpoints = None
    if checkpoint is not None:
        checkpoints = _checkpoints(checkpoint, parameters, training, held_out)
    state, training = _start(parameters, hierarchy, training, seed, sparse_output)
    if held_out is not None:
        held_out = replace(held_out, texts=tokenize(held_out.texts, state))
    ensemble, ngram_training = _train_ngrams(state, training, held_out, checkpoints)
    state = replace(state, ensemble=ensemble)
    state = _train_networks(parameters, state, training, held_out, checkpoints)
    if state.ensemble.ngrams is not None:
        some = np.random.RandomState(seed).permutation(len(training))[:TEXTS_FOR_MEAN_SCORES]
        state = replace(state, ensemble=state.ensemble.with_mean_scores(training.texts[some]))
    if held_out is not None:
        state = _stack_and_tune(parameters, state, held_out)
        if not official:
            ensemble = _train_ngrams_on_all(state, training, held_out, ngram_training)
            state = replace(state, ensemble=ensemble)
    return replace(state, label_embeddings=embed_labels(state.network))


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
    if state is None:
        state, training = _start(parameters, hierarchy, training, seed, sparse_output)
    else:
        training = replace(training, texts=tokenize(training.texts, state))
    ensemble, networks = state.ensemble, state.ensemble.networks
    trainers = {
        name: _trainer(
            _parameters_of(name, parameters, state), scorer.network, hierarchy, (trainers or {}).get(name)
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
        sparse_output=sparse_output,
    )
    return state, trainers


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
    return _stack_and_tune(parameters, state, replace(held_out, texts=tokenize(held_out.texts, state)))


def tokenize(texts: Any, state: FittedState) -> Texts:
    """Tokenise checked texts for prediction.

    Parameters
    ----------
    texts : list of str, list of lists of str, TokenSequences or SubwordSequences
        The texts.
    state : FittedState
        Its tokenizer and vocabulary are used.

    Returns
    -------
    TokenSequences or SubwordSequences of shape (n,)

    Raises
    ------
    ValueError
        When ids are of another vocabulary, or texts come where the training texts came as ids.
    """
    if not isinstance(texts, Texts):
        if state.tokenizer is None:
            raise ValueError(
                "The classifier was fitted on TokenSequences and got raw texts: tokenize them with the same "
                "fitted tokenizer, or put both in a Pipeline."
            )
        texts = state.tokenizer.transform(texts)
    encoder = state.network.text_encoder
    texts = encoder.check_input(texts)
    if words_of(texts).vocabulary != state.vocabulary:
        raise ValueError(
            "X are TokenSequences over another vocabulary than in fit: use the tokenizer fitted then."
        )
    return encoder.input_of(texts)


def _hold_out(
    parameters: Parameters,
    hierarchy: LabelHierarchy,
    training: LabelledTexts,
    validation: LabelledTexts | None,
    seed: int,
) -> tuple[LabelledTexts, LabelledTexts | None]:
    """Return the texts to train on, and those to validate on, if any."""
    max_texts = max(MIN_HELD_OUT, MAX_HELD_OUT_NUMBERS // len(hierarchy))
    rng = np.random.RandomState(seed)
    if validation is not None:
        if len(validation) > max_texts:
            validation = validation.pick(np.sort(rng.permutation(len(validation))[:max_texts]))
        return training, validation
    if parameters.validation_fraction == 0:
        return training, None
    fraction = min(parameters.validation_fraction, max_texts / len(training))
    kept, held_out = label_targets.hold_out(training.targets, fraction, rng)
    return training.pick(kept), training.pick(held_out) if len(held_out) else None


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


def _start(
    parameters: Parameters,
    hierarchy: LabelHierarchy,
    training: LabelledTexts,
    seed: int,
    sparse_output: bool,
) -> tuple[FittedState, LabelledTexts]:
    """Return the state before the first step, and the tokenised training texts."""
    device = resolve_device(parameters.device)
    parameters.checked_net_params()
    start = StartingPoint(
        hierarchy,
        training.targets,
        check_label_texts(parameters.label_texts),
        parameters.criterion(hierarchy),
        seed,
        device,
    )
    encoder = _load_encoder(parameters, start)
    tokenizer, texts = None, training.texts
    if not isinstance(texts, Texts):
        tokenizer = _unfitted_tokenizer(parameters)
        texts = tokenizer.fit_transform(texts)
        if not isinstance(texts, Texts):
            raise TypeError(
                f"tokenizer={tokenizer!r} turns texts into {type(texts).__name__}: take one that returns "
                "TokenSequences, such as WordTokenizer."
            )
    texts = words_of(texts) if encoder is None else encoder.check_input(texts)
    words = words_of(texts)
    networks = _untrained_networks(parameters, encoder, texts, start)
    ngrams = names = characters = None
    if parameters.lexical is not None:
        names = LabelNames.learn(words, hierarchy, start.label_texts)
        with_characters = are_affordable(words, len(hierarchy))
        ngrams, characters = _untrained_ngrams(words, len(hierarchy), with_characters)
    decision = DecisionRule.learn(
        training.targets,
        hierarchy,
        threshold=0.5
        if parameters.tunes_threshold
        else check_threshold(parameters.threshold, hierarchy.labels),
        decoding=parameters.decoding,
        consistency=parameters.consistency,
    )
    state = FittedState(
        hierarchy=hierarchy,
        tokenizer=tokenizer,
        vocabulary=words.vocabulary,
        ensemble=Ensemble.untrained(
            ngrams,
            names,
            characters,
            networks,
            training.targets,
            TrainingLabels.of(training.targets, decision),
            margins=parameters.margins,
        ),
        decision=decision,
        label_embeddings=np.zeros((len(hierarchy), 0), dtype=np.float32),
        validation_f1=None,
        history=(),
        sparse_output=sparse_output,
        seed=seed,
    )
    texts = state.network.text_encoder.input_of(texts)
    return state, LabelledTexts(texts, training.targets)


def _load_encoder(parameters: Parameters, start: StartingPoint) -> TransformerEncoder | None:
    """Load the pretrained encoder, if there is one."""
    pretrained = parameters.pretrained
    if pretrained is None:
        return None
    if parameters.word_vectors is not None and parameters.lexical != "words":
        raise ValueError(
            f"word_vectors are for a network of words; {str(pretrained.name)!r} is pretrained, and "
            f"lexical={parameters.lexical!r} has no word network beside it: leave word_vectors=None, or "
            "lexical='words'."
        )
    with seeded_construction(start.seed):
        return TransformerEncoder(pretrained)


def _unfitted_tokenizer(parameters: Parameters) -> Any:
    """Return the tokenizer that `fit` is to fit."""
    tokenizer, pretrained = parameters.tokenizer, parameters.pretrained
    if pretrained is not None and not isinstance(tokenizer, SubwordTokenizer):
        return SubwordTokenizer(pretrained.name, words=tokenizer)
    return WordTokenizer() if tokenizer is None else clone(tokenizer)


def _untrained_networks(
    parameters: Parameters, encoder: TransformerEncoder | None, texts: Any, start: StartingPoint
) -> dict[str, NetworkScorer]:
    """Return a network of words, one on the pretrained encoder, or both, with their initial weights."""
    networks: dict[str, NetworkScorer] = {}
    words = words_of(texts)
    if encoder is None or parameters.lexical == "words":
        of_words = parameters if encoder is None else parameters.for_word_network()
        word_settings = WordNetworkSettings(
            vocabulary_size=len(words.vocabulary),
            encoder=of_words.encoder,
            propagation=of_words.propagation,
            head=of_words.head,
            **of_words.checked_net_params().module,
        )
        networks["words"] = NetworkScorer(
            *start_word_network(word_settings, words, start, word_vectors=parameters.word_vectors)
        )
    if encoder is not None:
        settings = NetworkSettings(
            propagation=parameters.propagation,
            head=parameters.head,
            **parameters.checked_net_params().module,
        )
        networks["pretrained"] = NetworkScorer(
            start_pretrained_network(settings, encoder, texts, start), settings
        )
    return networks


def _train_ngrams(
    state: FittedState,
    training: LabelledTexts,
    held_out: LabelledTexts | None,
    checkpoints: Checkpoints | None,
) -> tuple[Ensemble, NGramTraining | None]:
    """Train the n-gram classifiers; return, too, the way that is best for words on the held-out texts."""
    ensemble = state.ensemble
    if ensemble.ngrams is None:
        return ensemble, None
    words, targets = words_of(training.texts), training.targets

    def train(
        name: str, untrained: NGramClassifier, features: sp.csr_array, way: NGramTraining
    ) -> NGramClassifier:
        """Train one now, or read it from its checkpoint."""
        now = partial(way, untrained, features, targets, state.seed)
        return now() if checkpoints is None else checkpoints.ngrams(f"{name}-{way.name}", untrained, now)

    characters = ensemble.characters
    if characters is not None:
        characters = train("characters", characters, characters.ngrams(words), TRAINING_OF_CHARACTERS)
    untrained = ensemble.ngrams
    features = untrained.ngrams(words)
    ways = ways_to_train(features.nnz, targets.shape[1])
    if held_out is None:
        return ensemble.with_ngrams(train("words", untrained, features, ways[0]), characters), ways[0]
    tried = []
    for way in ways:
        ngrams = train("words", untrained, features, way)
        alone = ensemble.with_ngrams(ngrams, None).without_networks()
        scores = alone.scores(held_out.texts)
        alone = alone.stack(scores, held_out.targets)
        probabilities = as_probabilities(alone.combine(scores))
        decision = _with_threshold(state.decision, alone, probabilities, held_out.targets, "micro_macro")
        decided = decision(probabilities)
        tried.append((sum(micro_macro_f1(held_out.targets, decided)), way, ngrams))
    _, best_way, best = max(tried, key=lambda each: each[0])
    return ensemble.with_ngrams(best, characters), best_way


def _train_ngrams_on_all(
    state: FittedState, training: LabelledTexts, held_out: LabelledTexts, way: NGramTraining | None
) -> Ensemble:
    """Train the n-gram classifiers again, on the held-out texts, too, since it takes only seconds."""
    ensemble = state.ensemble
    if way is None:
        return ensemble
    words = TokenSequences.concatenated([words_of(training.texts), words_of(held_out.texts)])
    targets = sp.vstack([training.targets, held_out.targets], format="csr")
    ngrams, characters = _untrained_ngrams(words, targets.shape[1], ensemble.characters is not None)
    if characters is not None:
        characters = TRAINING_OF_CHARACTERS(characters, characters.ngrams(words), targets, state.seed)
    return ensemble.with_ngrams(way(ngrams, ngrams.ngrams(words), targets, state.seed), characters)


def _untrained_ngrams(
    words: TokenSequences, n_labels: int, with_characters: bool
) -> tuple[NGramClassifier, NGramClassifier | None]:
    """Return the untrained classifiers on the n-grams of words, and of characters if they are wanted."""
    ngrams = NGramClassifier.untrained(NGramFeatures.learn(words), n_labels)
    if not with_characters:
        return ngrams, None
    return ngrams, NGramClassifier.untrained(CharacterFeatures.learn(words), n_labels)


def _one_more_epoch(ngrams: NGramClassifier, training: LabelledTexts, seed: int) -> NGramClassifier:
    """Return an n-gram classifier after another epoch on these texts."""
    features = ngrams.ngrams(words_of(training.texts))
    return ngrams.trained(features, training.targets, epochs=1, seed=seed)


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
            dataset = TextDataset(network.text_encoder.input_of(training.texts), training.targets, shortlist)
            epoch = train_one_epoch(trainers[name].net, dataset, seed=seed)
    except BaseException:
        for name, network in networks.items():
            network.load_state_dict(weights_before[name])
        raise
    return epoch


def _train_networks(
    parameters: Parameters,
    state: FittedState,
    training: LabelledTexts,
    held_out: LabelledTexts | None,
    checkpoints: Checkpoints | None,
) -> FittedState:
    """Train all networks in place, one after the other; keep the history of the main one."""
    history: list[EpochRecord] = []
    for name in state.ensemble.networks:
        if parameters.verbose and len(state.ensemble.networks) > 1:
            print(f"network {name!r}:", flush=True)
        history = _train_network(
            name, _parameters_of(name, parameters, state), state, training, held_out, checkpoints
        )
    return replace(state, history=tuple(history))


def _parameters_of(network: str, parameters: Parameters, state: FittedState) -> Parameters:
    """Return the parameters that a network is trained with."""
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
            read(held_out.texts), held_out.targets, None if fixed is None else FixedShortlist(fixed)
        )
    shortlist = ensemble.training_shortlist(
        name, training.texts, training.targets, state.hierarchy, seed=state.seed
    )
    epochs = parameters.epochs(*training.targets.shape)
    n_steps = epochs * -(-len(training) // parameters.batch_size)
    return train(
        network,
        parameters.criterion(state.hierarchy),
        TextDataset(read(training.texts), training.targets, shortlist),
        validation,
        parameters.training_settings(network.device, epochs, n_steps),
        decide=state.decision,
        seed=state.seed,
        checkpoint=None if checkpoints is None else checkpoints.epochs(name),
    )


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


def _stack_and_tune(parameters: Parameters, state: FittedState, held_out: LabelledTexts) -> FittedState:
    """Learn stacking weights and the threshold from the held-out texts, and score them."""
    ensemble, decision = state.ensemble, state.decision
    scores = ensemble.scores(held_out.texts)
    # The logits of a single network that is trained with cross-entropy are log-odds already.
    if ensemble.ngrams is not None or parameters.margins:
        ensemble = ensemble.stack(scores, held_out.targets)
    probabilities = as_probabilities(ensemble.combine(scores))
    if parameters.tunes_threshold:
        decision = _with_threshold(decision, ensemble, probabilities, held_out.targets, parameters.optimize)
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


def _with_threshold(
    decision: DecisionRule,
    ensemble: Ensemble,
    probabilities: NDArray[np.float32],
    targets: sp.csr_array,
    optimize: str,
) -> DecisionRule:
    """Choose a threshold for each label where probabilities are calibrated, else the best one for all."""
    decision = replace(decision, one_path=ensemble.stacking.one_path)
    if ensemble.stacking.calibrated and (decision.ends is None or decision.one_path):
        return decision.with_best_thresholds(probabilities, optimize)
    return decision.tuned(probabilities, targets, optimize)
