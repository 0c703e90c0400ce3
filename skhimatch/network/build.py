"""Networks built from settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.network.base import Network
from skhimatch.network.convolution import ConvolutionEncoder
from skhimatch.network.encoders import CNNEncoder, GRUEncoder, RCNNEncoder, TextEncoder
from skhimatch.network.himatch import HiMatchNetwork
from skhimatch.network.label_attention import LabelAttention, LabelNodes, LabelProjection
from skhimatch.network.label_text_network import LabelTextNetwork
from skhimatch.network.matching import MatchingNetwork
from skhimatch.network.pooling import AttentionPooling, MaxPooling, PooledEncoder, resolve_pooling
from skhimatch.network.transformer import TransformerEncoder

__all__ = ["NetworkSettings", "WordNetworkSettings", "build_pretrained_network", "build_word_network"]


@dataclass(frozen=True, kw_only=True)
class NetworkSettings:
    """What a network is built from, beside the hierarchy and a pretrained encoder.

    Attributes
    ----------
    propagation : {"gcn", "gated"} or None
        How nodes are propagated over the hierarchy (eq 1).
    head : {"auto", "matching", "labelwise", "flat", "dot"}
        The classifier. "matching" is a `MatchingNetwork`, "dot" a `LabelTextNetwork`, the others are a
        `HiMatchNetwork`. "auto" is "matching" on a pretrained encoder; in a network of words "labelwise" if
        labels have nodes, else "flat".
    node_dimension : int
        Width of a node and of the convolution's states. With a GRU, and with attention to a pretrained
        encoder's states, nodes are as wide as the states instead.
    joint_dimension : int
        d_phi, the width of the joint space.
    dropout : float
        Probability of dropping a feature: of word vectors, of states, and in the projections into the joint
        space.
    """

    propagation: str | None = None
    head: str = "auto"
    node_dimension: int = 128
    joint_dimension: int = 200
    dropout: float = 0.3


@dataclass(frozen=True, kw_only=True)
class WordNetworkSettings(NetworkSettings):
    """What a network of words is built from, beside the hierarchy.

    Attributes
    ----------
    vocabulary_size : int
        Number of word ids, those of padding and of unknown words included.
    encoder : {"attention", "gru", "cnn", "rcnn"}
        A convolution, a BiGRU, convolutions of several widths, or these behind a BiGRU.
    pooling : {"auto", "attention", "shared_attention", "max"}
        What becomes of the states. "attention": each label attends to them. "shared_attention": one attention
        makes them one vector T; "max": T has the largest values over time. T is projected onto the labels if
        there is propagation. "auto": "max" for "cnn" and "rcnn", else "attention".
    embedding_dimension : int
        Width of word vectors and label vectors.
    max_length : int or None
        Words that are read from the start of a text.
    label_words : list of L lists of int, optional
        The ids of the words of each label's text, for the dot head.
    kernel_size : int
        Of the convolution of encoder "attention".
    hidden_size : int
        Of each direction of the GRU, for encoders "gru" and "rcnn".
    kernel_sizes, filters
        Of the convolutions of encoders "cnn" and "rcnn".
    top_k : int
        Values of each feature that pooling "max" keeps.
    """

    vocabulary_size: int
    encoder: str = "attention"
    pooling: str = "auto"
    embedding_dimension: int = 300
    max_length: int | None = 256
    label_words: list[list[int]] | None = None
    kernel_size: int = 3
    hidden_size: int = 100
    kernel_sizes: tuple[int, ...] = (2, 3, 4)
    filters: int = 100
    top_k: int = 1

    @property
    def attends(self) -> bool:
        """Whether each label attends to the states."""
        return resolve_pooling(self.encoder, self.pooling) == "attention"


def build_word_network(hierarchy: LabelHierarchy, settings: WordNetworkSettings) -> Network:
    """Build a network that reads words.

    Parameters
    ----------
    hierarchy : LabelHierarchy
        L labels.
    settings : WordNetworkSettings
        Everything else.

    Returns
    -------
    Network
        As `NetworkSettings.head` says.

    Raises
    ------
    ValueError
        If head, encoder and propagation do not go together.

    Examples
    --------
    >>> import torch
    >>> h = LabelHierarchy([("science", "physics"), ("science", "biology")])
    >>> network = build_word_network(h, WordNetworkSettings(vocabulary_size=10, node_dimension=4))
    >>> network(torch.tensor([[2, 3]]), torch.tensor([2])).logits.shape
    torch.Size([1, 3])
    """
    encoder = _word_encoder(settings)
    if settings.head == "dot":
        return _label_text_network(encoder, hierarchy, settings)
    node_dimension = settings.node_dimension
    label_nodes: LabelNodes | None = None
    if settings.attends:
        node_dimension = encoder.output_size
        label_nodes = LabelAttention(node_dimension, len(hierarchy))
    elif settings.propagation is not None:
        label_nodes = LabelProjection(encoder.output_size, len(hierarchy), node_dimension)
    if settings.head == "matching":
        return MatchingNetwork(
            encoder,
            hierarchy,
            label_nodes,
            propagation=settings.propagation,
            node_dimension=encoder.output_size if label_nodes is None else node_dimension,
            label_dimension=settings.embedding_dimension,
            dropout=settings.dropout,
            max_length=settings.max_length,
        )
    return HiMatchNetwork(
        encoder,
        hierarchy,
        label_nodes,
        head=_resolve_head(settings.head, label_nodes, f"encoder={settings.encoder!r}"),
        propagation=settings.propagation,
        node_dimension=node_dimension,
        label_dimension=settings.embedding_dimension,
        joint_dimension=settings.joint_dimension,
        dropout=settings.dropout,
        max_length=settings.max_length,
    )


def build_pretrained_network(
    hierarchy: LabelHierarchy, settings: NetworkSettings, encoder: TransformerEncoder
) -> HiMatchNetwork | MatchingNetwork:
    """Build a network on a pretrained encoder; label vectors are as wide as its states.

    Parameters
    ----------
    hierarchy : LabelHierarchy
        L labels.
    settings : NetworkSettings
        Everything else.
    encoder : TransformerEncoder
        Returns states, to which each label attends; or vectors T, which the head reads, or, with
        propagation, which are projected onto the labels.

    Returns
    -------
    MatchingNetwork, or HiMatchNetwork
        As `NetworkSettings.head` says.

    Raises
    ------
    ValueError
        If head, encoder and propagation do not go together.
    """
    if settings.head == "dot":
        raise ValueError(
            f"head='dot' and the pretrained encoder {encoder.name!r}: the dot head compares word vectors; "
            "take encoder='attention' or 'gru'."
        )
    width = encoder.output_size
    node_dimension: int = settings.node_dimension
    label_nodes: LabelNodes | None = None
    if encoder.returns_states:
        node_dimension, label_nodes = width, LabelAttention(width, len(hierarchy))
    elif settings.propagation is not None:
        label_nodes = LabelProjection(width, len(hierarchy), node_dimension)
    if settings.head in ("auto", "matching"):
        return MatchingNetwork(
            encoder,
            hierarchy,
            label_nodes,
            propagation=settings.propagation,
            node_dimension=width if label_nodes is None else node_dimension,
            label_dimension=width,
            dropout=settings.dropout,
            # The encoder itself limits the length.
            max_length=None,
        )
    return HiMatchNetwork(
        encoder,
        hierarchy,
        label_nodes,
        head=_resolve_head(
            settings.head, label_nodes, f"the pretrained encoder's pooling={encoder.pooling!r}"
        ),
        propagation=settings.propagation,
        node_dimension=node_dimension,
        label_dimension=width,
        joint_dimension=settings.joint_dimension,
        dropout=settings.dropout,
        # The encoder itself limits the length.
        max_length=None,
    )


def _word_encoder(settings: WordNetworkSettings) -> TextEncoder:
    shared: dict[str, Any] = {
        "embedding_dimension": settings.embedding_dimension,
        "dropout": settings.dropout,
    }
    windows: dict[str, Any] = {"kernel_sizes": settings.kernel_sizes, "filters": settings.filters}
    encoder: TextEncoder
    if settings.encoder == "rcnn":
        encoder = RCNNEncoder(settings.vocabulary_size, hidden_size=settings.hidden_size, **windows, **shared)
    elif settings.encoder == "cnn":
        encoder = CNNEncoder(settings.vocabulary_size, **windows, **shared)
    elif settings.encoder == "gru":
        encoder = GRUEncoder(settings.vocabulary_size, hidden_size=settings.hidden_size, **shared)
    else:
        encoder = ConvolutionEncoder(
            settings.vocabulary_size, settings.node_dimension, kernel_size=settings.kernel_size, **shared
        )
    if settings.attends:
        return encoder
    if settings.pooling == "shared_attention":
        return PooledEncoder(encoder, AttentionPooling(encoder.output_size))
    return PooledEncoder(encoder, MaxPooling(encoder.output_size, settings.top_k))


def _label_text_network(
    encoder: TextEncoder, hierarchy: LabelHierarchy, settings: WordNetworkSettings
) -> LabelTextNetwork:
    if not settings.attends:
        raise ValueError(
            f"head='dot' and encoder={settings.encoder!r}: the dot head needs a state for each word; take "
            "net_params={'module__pooling': 'attention'}, or encoder='attention' or 'gru'."
        )
    if settings.propagation is not None:
        raise ValueError(
            f"head='dot' and propagation={settings.propagation!r}: the dot head scores each label "
            "separately; leave propagation=None."
        )
    return LabelTextNetwork(
        encoder,
        hierarchy,
        settings.label_words or [[]] * len(hierarchy),
        embedding_dimension=settings.embedding_dimension,
        joint_dimension=settings.joint_dimension,
        dropout=settings.dropout,
        max_length=settings.max_length,
    )


def _resolve_head(head: str, label_nodes: LabelNodes | None, encoder: str) -> str:
    """Return "labelwise" or "flat"; raise if there are no nodes for a labelwise head."""
    if head == "labelwise" and label_nodes is None:
        raise ValueError(
            f"head='labelwise' needs a node for each label, and {encoder} gives one vector for each text: "
            "take head='flat', or propagation='gcn'."
        )
    if head == "auto":
        return "flat" if label_nodes is None else "labelwise"
    return head
