"""What networks with a node for each label have in common: the text as each label sees it (eq 1)."""

from __future__ import annotations

import copy
from typing import Any, Self

import torch
from torch import Tensor

from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.network.base import InitialWeights, Network
from skhimatch.network.dropout import Dropout
from skhimatch.network.encoders import TextEncoder
from skhimatch.network.label_attention import LabelNodes
from skhimatch.network.propagation import PROPAGATIONS, GatedPropagation, HierarchyGCN, WithPriors

__all__ = ["NodeNetwork"]


class NodeNetwork(Network):
    """A network that computes S_t, a node for each label, and hands it to a head.

    Parameters
    ----------
    text_encoder : TextEncoder
        Maps ids and lengths to a state for each token, or to one vector T for each text.
    hierarchy : LabelHierarchy
        L labels.
    label_nodes : LabelNodes or None
        Maps the encoded text and its lengths to V_t of shape (B, L, d_t). None, with an encoder that
        returns T: labels have no nodes, and S_t is T.
    propagation : {"gcn", "gated"} or None
        How V_t is propagated over the hierarchy (eq 1). None: S_t is V_t.
    node_dimension : int
        d_t, the width of a node.
    dropout : float
        Probability of dropping a feature of the encoded text.
    max_length : int or None
        Words read from the start of a text.

    Attributes
    ----------
    head : module
        The classifier, with a bias for each label.
    attends : bool
        Whether labels attend to the states of a text.
    """

    head: Any

    def __init__(
        self,
        text_encoder: TextEncoder,
        hierarchy: LabelHierarchy,
        label_nodes: LabelNodes | None,
        *,
        propagation: str | None,
        node_dimension: int,
        dropout: float,
        max_length: int | None,
    ) -> None:
        super().__init__()
        self.n_labels = len(hierarchy)
        self.text_encoder = text_encoder
        self.label_nodes = label_nodes
        self.node_dimension = node_dimension
        self.dropout = Dropout(dropout)
        self.max_length = max_length
        self.propagation: HierarchyGCN | GatedPropagation | None = (
            PROPAGATIONS[propagation](hierarchy, node_dimension) if propagation else None
        )
        self.attends = label_nodes is not None and label_nodes.attends

    def text_semantics(self, encoded: Tensor, lengths: Tensor, shortlist: Tensor | None = None) -> Tensor:
        """Return S_t.

        Parameters
        ----------
        encoded, lengths : as `encode` returns them
            A batch of texts.
        shortlist : int64 tensor of shape (B, K), optional
            The labels of each text whose nodes are wanted, all by default.

        Returns
        -------
        float tensor of shape (B, L, d_t) or (B, K, d_t)
            Or T itself, of shape (B, d_T), if labels have no nodes.
        """
        if self.label_nodes is None:
            return encoded
        chosen = () if shortlist is None else (shortlist,)
        nodes = self.label_nodes(encoded, lengths, *chosen)
        return nodes if self.propagation is None else self.propagation(nodes)

    def attention(self, encoded: Tensor, lengths: Tensor, labels: Tensor) -> Tensor:
        """Return how much some labels attend to the states of a text; as `Network.attention`.

        Parameters
        ----------
        encoded, lengths, labels : as for `Network.attention`
            A batch of texts, and M labels.

        Returns
        -------
        float tensor of shape (B, M, n)

        Raises
        ------
        TypeError
            If labels do not attend to states.
        """
        if self.label_nodes is None:
            raise TypeError("Labels have no nodes here, and do not attend to the states of a text.")
        return self.label_nodes.weights(encoded, lengths, labels.expand(len(encoded), -1))

    def _extended(self, old: LabelHierarchy, new: LabelHierarchy) -> Self:
        """Return a copy with the nodes and the head of more labels."""
        network, n_more = copy.deepcopy(self), len(new) - len(old)
        network.n_labels = len(new)
        network.head.extend(n_more)
        if network.label_nodes is not None:
            network.label_nodes.extend(n_more)
        if network.propagation is not None:
            network.propagation.extend(old, new)
        return network

    @torch.no_grad()
    def start_from(self, initial: InitialWeights) -> None:
        """Take what is known before training as initial weights.

        Parameters
        ----------
        initial : InitialWeights
            Word vectors, edge priors and output biases.
        """
        if initial.word_table is not None:
            self.text_encoder.embedding.weight.copy_(torch.as_tensor(initial.word_table))
        priors = torch.as_tensor(initial.edge_priors)
        for module in self.modules():
            if isinstance(module, WithPriors):
                module.set_priors(priors)
        self.head.bias.copy_(torch.as_tensor(initial.output_bias))
