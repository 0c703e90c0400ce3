"""Networks with initial weights: built from settings, then started from what is known of words and labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.labels.texts import label_words
from skhimatch.labels.weights import TextWeights
from skhimatch.network.base import InitialWeights, Network
from skhimatch.network.build import (
    NetworkSettings,
    WordNetworkSettings,
    build_pretrained_network,
    build_word_network,
)
from skhimatch.network.himatch import HiMatchNetwork
from skhimatch.network.initial_vectors import embedding_table, label_vectors, label_word_ids
from skhimatch.network.matching import MatchingNetwork
from skhimatch.network.objective import HiMatchLoss
from skhimatch.network.random_numbers import seeded_construction
from skhimatch.network.transformer import TransformerEncoder
from skhimatch.text.cooccurrence import cooccurrence_vectors
from skhimatch.text.sequences import SubwordSequences, TokenSequences
from skhimatch.text.word_vectors import as_word_vectors

__all__ = ["StartingPoint", "start_pretrained_network", "start_word_network"]

# Texts from which the scale of a pretrained network's initial head is computed, and the mean of texts.
TEXTS_AT_START = 256


@dataclass(frozen=True)
class StartingPoint:
    """What every network is started from.

    Attributes
    ----------
    hierarchy : LabelHierarchy
        L labels.
    targets : csr_array of shape (n, L)
        0/1 targets of the training texts.
    label_texts : mapping of str to str or list of str
        Texts that describe labels, for those that have any.
    criterion : HiMatchLoss
        Gives the best constant logits.
    seed : int
        Seeds all draws.
    device : torch.device
        Where the network is trained.
    weights : TextWeights or None
        The weights of the training texts.
    """

    hierarchy: LabelHierarchy
    targets: sp.csr_array
    label_texts: Mapping[str, str | list[str]]
    criterion: HiMatchLoss
    seed: int
    device: torch.device
    weights: TextWeights | None = None

    @property
    def frequencies(self) -> NDArray[np.floating[Any]]:
        """The share of texts with each label, smoothed so that it is never 0 or 1."""
        if self.weights is not None:
            return self.weights.frequencies(self.targets)
        return (self.targets.sum(axis=0) + 0.5) / (self.targets.shape[0] + 1)


def start_word_network(
    settings: WordNetworkSettings, texts: TokenSequences, start: StartingPoint, *, word_vectors: Any = None
) -> tuple[Network, WordNetworkSettings]:
    """Build a network of words; its word vectors are given, or learned from the texts.

    Parameters
    ----------
    settings : WordNetworkSettings
        What the network is built from. `label_words` and, with given word vectors, `embedding_dimension`
        are filled in here.
    texts : TokenSequences of n texts
        The training texts.
    start : StartingPoint
        Labels, targets and seed.
    word_vectors : path, WordVectors, mapping, KeyedVectors or None
        As `HiMatchClassifier` takes them.

    Returns
    -------
    network : Network
        With its initial weights, on the device.
    settings : WordNetworkSettings
        The completed settings, which build a network of the same shape.
    """
    hierarchy, label_texts = start.hierarchy, start.label_texts
    rng, vocabulary, vectors = np.random.RandomState(start.seed), texts.vocabulary, None
    if word_vectors is not None:
        known = {word for label in hierarchy.labels for word in label_words(label, label_texts.get(label))}
        vectors = as_word_vectors(word_vectors, {*vocabulary.words, *known})
        settings = replace(settings, embedding_dimension=vectors.dimension)
    if settings.head == "dot":
        settings = replace(settings, label_words=label_word_ids(hierarchy.labels, label_texts, vocabulary))
    with seeded_construction(start.seed):
        network = build_word_network(hierarchy, settings)
    if vectors is None:
        vectors = cooccurrence_vectors(texts, settings.embedding_dimension, rng)
    table = embedding_table(vocabulary, vectors, rng)
    network.start_from(
        _initial_weights(
            start,
            lambda: label_vectors(
                hierarchy.labels, label_texts, table, vocabulary, vectors, texts, start.targets, rng
            ),
            word_table=table,
        )
    )
    return network.to(start.device), settings


def start_pretrained_network(
    settings: NetworkSettings, encoder: TransformerEncoder, texts: SubwordSequences, start: StartingPoint
) -> HiMatchNetwork | MatchingNetwork:
    """Build a network on a pretrained encoder; its head starts from the encoded names of the labels.

    A `MatchingNetwork` puts the labels where the encoder puts their names. In other networks label vectors
    are the encoder's input embeddings of the words in the names, and a head on the encoder's own vectors
    starts from the encodings n_l of the names,

    w_l = a (n_l - mean of n).

    The scale a is the least-squares fit of the products of texts and names to the training targets. If names
    do not predict the targets, a is 0.

    Parameters
    ----------
    settings : NetworkSettings
        What the network is built from.
    encoder : TransformerEncoder
        The text encoder.
    texts : SubwordSequences of n texts
        The training texts.
    start : StartingPoint
        Labels, targets and seed.

    Returns
    -------
    MatchingNetwork, or HiMatchNetwork
    """
    labels = start.hierarchy.labels
    with seeded_construction(start.seed):
        network = build_pretrained_network(start.hierarchy, settings, encoder)
    names = [" ".join(label_words(label, start.label_texts.get(label))) for label in labels]
    network.start_from(_initial_weights(start, lambda: encoder.embed_names(names)))
    network.to(start.device)
    if network.reads_names:
        rows = np.random.RandomState(start.seed).permutation(len(texts))[:TEXTS_AT_START]
        rows = rows[np.argsort(texts.lengths[rows], kind="stable")]
        encoded_texts, encoded_names = encoder.encoded(texts.subwords[rows]), encoder.encoded_texts(names)
        if isinstance(network, MatchingNetwork):
            network.start_names(encoded_names, torch.from_numpy(encoded_texts.mean(axis=0)))
        else:
            missing = None if start.weights is None else start.weights.pick(rows).missing
            network.start_head(
                *_head_from_names(encoded_texts, encoded_names.numpy(), start.targets[rows], missing)
            )
    return network


def _initial_weights(
    start: StartingPoint, make_label_vectors: Any, word_table: NDArray[np.float32] | None = None
) -> InitialWeights:
    frequencies = start.frequencies
    return InitialWeights(
        edge_priors=start.hierarchy.edge_priors(
            start.targets,
            None if start.weights is None else start.weights.texts,
            None if start.weights is None else start.weights.missing,
        ),
        output_bias=start.criterion.best_constant(frequencies),
        shared_output_bias=float(start.criterion.best_constant(frequencies.mean())),
        make_label_vectors=make_label_vectors,
        word_table=word_table,
    )


def _head_from_names(
    texts: NDArray[np.float32],
    names: NDArray[np.float32],
    targets: sp.csr_array,
    missing: sp.csr_array | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return weights of shape (L, d), and what they add to the logits of the mean text, of shape (L,)."""
    names = names - names.mean(axis=0)
    mean_text = texts.mean(axis=0)
    products = (texts - mean_text) @ names.T
    # The squared hinge loss has targets 1 and -1, twice as far apart as 1 and 0.
    wanted = 2 * targets.toarray()
    mean_wanted = wanted.mean(axis=0)
    if missing is not None:
        known = ~missing.toarray()
        products = products * known
        mean_wanted = wanted.sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    covariance, variance = (products * (wanted - mean_wanted)).mean(), (products**2).mean()
    scale = max(0.0, float(covariance / variance)) if variance > 0 else 0.0
    weights = (scale * names).astype(np.float32)
    return weights, weights @ mean_text
