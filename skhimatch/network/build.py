"""Networks built from plain settings."""

from collections.abc import Sequence
from typing import Any

from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.network.encoders import ConvolutionEncoder, GRUEncoder, RCNNEncoder
from skhimatch.network.himatch import HiMatchNetwork
from skhimatch.network.label_attention import LabelAttention, LabelProjection
from skhimatch.network.label_text_network import LabelTextNetwork
from skhimatch.network.transformer import TransformerEncoder

__all__ = ["Network", "build_network", "build_pretrained_network"]


Network = HiMatchNetwork | LabelTextNetwork


def build_network(
    hierarchy: LabelHierarchy,
    vocabulary_size: int,
    *,
    encoder: str = "attention",
    propagation: str | None = None,
    head: str = "labelwise",
    embedding_dimension: int = 300,
    node_dimension: int = 128,
    joint_dimension: int = 200,
    dropout: float = 0.3,
    max_length: int | None = 256,
    label_words: Sequence[Sequence[int]] | None = None,
    **encoder_settings: Any,
) -> Network:
    """Build a network from plain settings (the `module__` entries of `net_params`).

    Parameters
    ----------
    hierarchy : LabelHierarchy
        L labels.
    vocabulary_size : int
        Word ids, padding and unknown included.
    encoder : {"attention", "gru", "rcnn"}
        A convolution or a BiGRU, and an attention for every label; or the
        paper's RCNN and a projection onto the labels.
    propagation, joint_dimension, dropout, max_length
        As in `HiMatchNetwork`; `dropout` also reaches the encoder.
    head : {"flat", "labelwise", "auto", "dot"}
        As in `HiMatchNetwork`; "dot" is a `LabelTextNetwork`, which has no other.
    node_dimension : int
        Width of a node and of the convolution; behind a BiGRU nodes are as
        wide as its states.
    embedding_dimension : int
        Width of word and label vectors; with a pretrained encoder, its own.
    label_words : sequence of L sequences of int, optional
        The ids of the words of each label's text, for the dot head.
    **encoder_settings
        For the encoder: `kernel_size`, or for the GRU `hidden_size`, or for the
        RCNN `hidden_size`, `kernel_sizes`, `filters`, `top_k`.

    Returns
    -------
    HiMatchNetwork or LabelTextNetwork

    Raises
    ------
    ValueError
        When the dot head is to follow an encoder without a state a word, or propagation.

    Examples
    --------
    >>> import torch
    >>> h = LabelHierarchy([("science", "physics"), ("science", "biology")])
    >>> network = build_network(h, 10, node_dimension=4)
    >>> network(torch.tensor([[2, 3]]), torch.tensor([2])).logits.shape
    torch.Size([1, 3])
    """
    encoder_settings |= {"embedding_dimension": embedding_dimension, "dropout": dropout}
    shared: dict[str, Any] = {
        "joint_dimension": joint_dimension,
        "dropout": dropout,
        "max_length": max_length,
    }
    text_encoder: ConvolutionEncoder | GRUEncoder | RCNNEncoder
    label_nodes: LabelAttention | LabelProjection | None = None
    if encoder == "rcnn":
        text_encoder = RCNNEncoder(vocabulary_size, **encoder_settings)
        if propagation is not None:
            label_nodes = LabelProjection(text_encoder.output_size, len(hierarchy), node_dimension)
    else:
        if encoder == "gru":
            text_encoder = GRUEncoder(vocabulary_size, **encoder_settings)
            node_dimension = text_encoder.output_size
        else:
            text_encoder = ConvolutionEncoder(vocabulary_size, node_dimension, **encoder_settings)
        if head == "dot":
            if propagation is not None:
                raise ValueError(
                    f"head='dot' and propagation={propagation!r}: the dot head scores each label by itself; "
                    "leave propagation=None."
                )
            return LabelTextNetwork(
                text_encoder,
                hierarchy,
                [[]] * len(hierarchy) if label_words is None else label_words,
                embedding_dimension=embedding_dimension,
                **shared,
            )
        label_nodes = LabelAttention(node_dimension, len(hierarchy))
    if head == "dot":
        raise ValueError(
            f"head='dot' and encoder={encoder!r}: it looks at words; take encoder='attention' or 'gru'."
        )
    return HiMatchNetwork(
        text_encoder,
        hierarchy,
        label_nodes,
        propagation=propagation,
        head=head,
        node_dimension=node_dimension,
        label_dimension=embedding_dimension,
        **shared,
    )


def build_pretrained_network(
    encoder: TransformerEncoder,
    hierarchy: LabelHierarchy,
    *,
    propagation: str | None = None,
    head: str = "labelwise",
    node_dimension: int = 128,
    joint_dimension: int = 200,
    dropout: float = 0.3,
) -> HiMatchNetwork:
    """Build a network on a pretrained encoder, label vectors as wide as its states.

    Parameters
    ----------
    encoder : TransformerEncoder
        Gives T, on which the head is, or with propagation a projection onto the labels; or states, to which
        each label attends.
    hierarchy : LabelHierarchy
        L labels.
    propagation, head, node_dimension, joint_dimension, dropout
        As `build_network` takes them.

    Returns
    -------
    HiMatchNetwork

    Raises
    ------
    ValueError
        For the dot head, which needs a state a word.
    """
    if head == "dot":
        raise ValueError(
            f"head='dot' and the pretrained encoder {encoder.name!r}: it looks at words; take "
            "encoder='attention' or 'gru'."
        )
    width = encoder.output_size
    label_nodes: LabelAttention | LabelProjection | None = None
    if encoder.pooling == "attention":
        node_dimension, label_nodes = width, LabelAttention(width, len(hierarchy))
    elif propagation is not None:
        label_nodes = LabelProjection(width, len(hierarchy), node_dimension)
    return HiMatchNetwork(
        encoder,
        hierarchy,
        label_nodes,
        propagation=propagation,
        head=head,
        node_dimension=node_dimension,
        label_dimension=width,
        joint_dimension=joint_dimension,
        dropout=dropout,
        # How much is read is up to the encoder.
        max_length=None,
    )
