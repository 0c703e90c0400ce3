"""The state of a fit before the first step."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.base import clone

from skhimatch.choices import Choices, described_decision, described_weights
from skhimatch.evaluation.decisions import DecisionRule, check_threshold
from skhimatch.fitting.labelled_texts import LabelledTexts
from skhimatch.fitting.tokenize import checked_tokens
from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.labels.texts import check_label_texts
from skhimatch.network.build import NetworkSettings, WordNetworkSettings
from skhimatch.network.device import resolve_device
from skhimatch.network.random_numbers import seeded_construction
from skhimatch.network.start import StartingPoint, start_pretrained_network, start_word_network
from skhimatch.network.transformer import TransformerEncoder
from skhimatch.parameters import Parameters
from skhimatch.scores.characters import CharacterFeatures, are_affordable
from skhimatch.scores.ensemble import Ensemble
from skhimatch.scores.names import LabelNames
from skhimatch.scores.networks import NetworkScorer
from skhimatch.scores.ngram_classifier import NGramClassifier
from skhimatch.scores.ngrams import NGramFeatures
from skhimatch.scores.training_labels import TrainingLabels
from skhimatch.state import FittedState
from skhimatch.text.sequences import Texts, TokenSequences, words_of
from skhimatch.text.subwords import SubwordTokenizer
from skhimatch.text.words import WordTokenizer, rare_words_count

__all__ = ["untrained_ngrams", "untrained_state"]


def untrained_state(
    parameters: Parameters,
    hierarchy: LabelHierarchy,
    training: LabelledTexts,
    seed: int,
    sparse_output: bool,
    before: FittedState | None = None,
) -> tuple[FittedState, LabelledTexts]:
    """Return the state before the first step, and the tokenised training texts.

    Parameters
    ----------
    parameters : Parameters
        The classifier's parameters.
    hierarchy : LabelHierarchy
        L labels.
    training : LabelledTexts
        The training texts.
    seed : int
        Seeds the initial weights.
    sparse_output : bool
        Whether predictions are to be sparse.
    before : FittedState, optional
        What training is to continue from: its tokenizer and vocabulary are used.

    Returns
    -------
    state : FittedState
        With initial weights.
    training : LabelledTexts
        The same texts as ids.
    """
    device = resolve_device(parameters.device)
    parameters.checked_net_params()
    start = StartingPoint(
        hierarchy,
        training.targets,
        check_label_texts(parameters.label_texts),
        parameters.criterion(hierarchy),
        seed,
        device,
        training.weights,
    )
    encoder = _load_encoder(parameters, start)
    tokenizer, texts = None, training.texts
    if before is not None:
        tokenizer, texts = before.tokenizer, checked_tokens(texts, before)
    elif not isinstance(texts, Texts):
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
        ngrams, characters = untrained_ngrams(words, len(hierarchy), with_characters)
    decision = DecisionRule.learn(
        training.targets,
        hierarchy,
        threshold=0.5
        if parameters.tunes_threshold
        else check_threshold(parameters.threshold, hierarchy.labels),
        decoding=parameters.decoding,
        consistency=parameters.consistency,
        n_labels=parameters.n_labels_of_a_text,
        missing=training.missing,
    )
    ensemble = Ensemble.untrained(
        ngrams,
        names,
        characters,
        networks,
        training.targets,
        TrainingLabels.of(training.targets, decision, training.sample_weight, training.missing),
        margins=parameters.margins,
    )
    epochs = parameters.epochs(*training.targets.shape)
    n_steps = epochs * parameters.steps_of_an_epoch(len(training))
    state = FittedState(
        hierarchy=hierarchy,
        tokenizer=tokenizer,
        vocabulary=words.vocabulary,
        ensemble=ensemble,
        decision=decision,
        label_embeddings=np.zeros((len(hierarchy), 0), dtype=np.float32),
        validation_f1=None,
        history=(),
        sparse_output=sparse_output,
        seed=seed,
        choices=Choices(
            held_out=0,
            cross_fitting_parts=0,
            rare_words=rare_words_count(len(words.ids)),
            ngrams=None,
            characters=characters is not None,
            shortlist=ensemble.shortlist_size,
            max_epochs=epochs,
            learning_rate=parameters.highest_learning_rate(n_steps),
            weights=described_weights(ensemble, learned=False),
            decision=described_decision(decision),
        ),
    )
    texts = state.network.text_encoder.input_of(texts, progress=bool(parameters.verbose))
    return state, replace(training, texts=texts)


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


def untrained_ngrams(
    words: TokenSequences, n_labels: int, with_characters: bool
) -> tuple[NGramClassifier, NGramClassifier | None]:
    """Return the untrained classifiers on the n-grams of words, and of characters if they are wanted.

    Parameters
    ----------
    words : TokenSequences
        The training texts.
    n_labels : int
        L.
    with_characters : bool
        Whether to return a classifier on character n-grams.

    Returns
    -------
    words : NGramClassifier
    characters : NGramClassifier or None
    """
    ngrams = NGramClassifier.untrained(NGramFeatures.learn(words), n_labels)
    if not with_characters:
        return ngrams, None
    return ngrams, NGramClassifier.untrained(CharacterFeatures.learn(words), n_labels)
