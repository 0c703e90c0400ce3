"""The network before its first step: built from settings, started from what is known of words and labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.labels.texts import label_words
from skhimatch.network.build import Network, build_network, build_pretrained_network
from skhimatch.network.encodings import encode, encode_once
from skhimatch.network.himatch import HiMatchNetwork
from skhimatch.network.initial_vectors import embedding_table, label_vectors, label_word_ids
from skhimatch.network.label_text_network import LabelTextNetwork
from skhimatch.network.objective import HiMatchLoss
from skhimatch.network.random_numbers import seeded_construction
from skhimatch.network.transformer import TransformerEncoder
from skhimatch.text.cooccurrence import cooccurrence_vectors
from skhimatch.text.sequences import SubwordSequences, TokenSequences
from skhimatch.text.word_vectors import as_word_vectors

__all__ = ["network_of_words", "network_on"]

# Of the head's start: enough for one number.
TEXTS_FOR_THE_SLOPE = 256


def network_of_words(
    hierarchy: LabelHierarchy,
    settings: dict[str, Any],
    texts: TokenSequences,
    targets: sp.csr_array,
    *,
    label_texts: Mapping[str, str | list[str]],
    word_vectors: Any,
    criterion: HiMatchLoss,
    seed: int,
    device: torch.device,
) -> tuple[Network, dict[str, Any]]:
    """Build a network that starts from word vectors, be they given or learned from the texts.

    Parameters
    ----------
    hierarchy : LabelHierarchy
        L labels.
    settings : dict
        As `build_network` takes them, less what follows from the texts.
    texts : TokenSequences of n texts
        The training texts.
    targets : csr_array of shape (n, L)
        Their 0/1 targets.
    label_texts : mapping of str to str or list of str
        The texts that describe labels, where there are any.
    word_vectors : path, WordVectors, mapping, KeyedVectors or None
        As `HiMatchClassifier` takes them.
    criterion : HiMatchLoss
        Knows the best logits of a text of which nothing is known.
    seed : int
        Of all draws.
    device : torch.device
        Whose generator is seeded, too.

    Returns
    -------
    network, settings : HiMatchNetwork or LabelTextNetwork, dict
        The settings are complete: they build a network of the same shape.
    """
    draws, vocabulary, vectors = np.random.RandomState(seed), texts.vocabulary, None
    settings = {"vocabulary_size": len(vocabulary)} | settings
    if word_vectors is not None:
        known = {word for label in hierarchy.labels for word in label_words(label, label_texts.get(label))}
        vectors = as_word_vectors(word_vectors, {*vocabulary.words, *known})
        settings["embedding_dimension"] = vectors.dimension
    if settings["head"] == "dot":
        settings["label_words"] = label_word_ids(hierarchy.labels, label_texts, vocabulary)
    with seeded_construction(seed):
        network = build_network(hierarchy, **settings)
    if vectors is None:
        vectors = cooccurrence_vectors(texts, network.embedding_dimension, draws)
    table = embedding_table(vocabulary, vectors, draws)
    frequencies = _frequencies(targets)
    if isinstance(network, LabelTextNetwork):
        network.start_from(
            word_table=table,
            edge_priors=hierarchy.edge_priors(targets),
            output_bias=float(criterion.best_constant(frequencies.mean())),
        )
    else:
        network.start_from(
            word_table=table,
            label_vectors=label_vectors(
                hierarchy.labels, label_texts, table, vocabulary, vectors, texts, targets, draws
            ),
            edge_priors=hierarchy.edge_priors(targets),
            output_bias=criterion.best_constant(frequencies),
        )
    return network, settings


def network_on(
    encoder: TransformerEncoder,
    hierarchy: LabelHierarchy,
    settings: dict[str, Any],
    texts: SubwordSequences,
    targets: sp.csr_array,
    *,
    label_texts: Mapping[str, str | list[str]],
    criterion: HiMatchLoss,
    seed: int,
    device: torch.device,
) -> HiMatchNetwork:
    """Build a network on a pretrained encoder, which reads the labels' names before the first step.

    In the joint space labels start from the encoder's own vectors of the words in their names. The head
    starts from what the encoder makes of the names,

    w_l = a (n_l - mean of n),

    with the slope a by which the products of texts and names tell the training targets best, by least
    squares. Where names tell nothing, a is 0.

    Parameters
    ----------
    encoder : TransformerEncoder
        The text encoder to be.
    settings : dict
        As `build_pretrained_network` takes them.
    texts : SubwordSequences of n texts
        The training texts.
    hierarchy, targets, label_texts, criterion, seed, device
        As `network_of_words` takes them.

    Returns
    -------
    HiMatchNetwork
    """
    with seeded_construction(seed):
        network = build_pretrained_network(encoder, hierarchy, **settings)
    names = [" ".join(label_words(label, label_texts.get(label))) for label in hierarchy.labels]
    network.start_from(
        label_vectors=encoder.embed_names(names),
        edge_priors=hierarchy.edge_priors(targets),
        output_bias=criterion.best_constant(_frequencies(targets)),
    )
    if network.reads_vectors:
        rows = np.random.RandomState(seed).permutation(len(texts))[:TEXTS_FOR_THE_SLOPE]
        rows = rows[np.argsort(texts.lengths[rows], kind="stable")]
        network.to(device)
        read = encode_once if encoder.frozen else encode
        of_texts, of_names = read(encoder, texts.subwords[rows]), read(encoder, encoder.tokenize(names))
        network.start_head(*_head_from_names(of_texts, of_names, targets[rows]))
    return network


def _head_from_names(
    texts: NDArray[np.float32], names: NDArray[np.float32], targets: sp.csr_array
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return weights of shape (L, d), and what they add to the logits of the usual text, of shape (L,)."""
    names = names - names.mean(axis=0)
    usual = texts.mean(axis=0)
    products = (texts - usual) @ names.T
    # Of targets that are 1 and -1, as the squared hinge wants them.
    wanted = 2 * targets.toarray()
    covariance, variance = (products * (wanted - wanted.mean(axis=0))).mean(), (products**2).mean()
    slope = max(0.0, float(covariance / variance)) if variance > 0 else 0.0
    weights = (slope * names).astype(np.float32)
    return weights, weights @ usual


def _frequencies(targets: sp.csr_array) -> np.ndarray:
    """Return the share of texts with each label, never 0 or 1."""
    return (targets.sum(axis=0) + 0.5) / (targets.shape[0] + 1)
