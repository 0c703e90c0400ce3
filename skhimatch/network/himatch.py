"""The HiMatch network: encoders, propagation, heads and the joint space (sections 3.1 to 3.4)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.labels.texts import LabelTexts
from skhimatch.network.base import (
    HiMatchOutput,
    InitialWeights,
    mean_state,
    with_rows,
)
from skhimatch.network.encoders import TextEncoder, TextReader
from skhimatch.network.heads import FlatHead, LabelwiseHead
from skhimatch.network.joint_space import JointProjection
from skhimatch.network.label_attention import MANY_LABELS, LabelNodes
from skhimatch.network.node_network import NodeNetwork
from skhimatch.network.propagation import HierarchyGCN

__all__ = ["HiMatchNetwork"]


class HiMatchNetwork(NodeNetwork):
    """Text and label encoders that meet in a joint space (figure 2 of the paper).

    Parameters
    ----------
    text_encoder : TextEncoder
        Maps ids and lengths to a state for each token, or to one vector T for each text.
    hierarchy : LabelHierarchy
        L labels.
    label_nodes : LabelNodes or None
        Maps the encoded text and its lengths to V_t of shape (B, L, d_t). None, with an encoder that
        returns T: labels have no nodes, and S_t is T.
    head : {"labelwise", "flat"}
        The classifier on S_t; see `LabelwiseHead` and `FlatHead`.
    propagation : {"gcn", "gated"} or None
        How V_t is propagated over the hierarchy (eq 1). None: S_t is V_t.
    node_dimension : int
        d_t, the width of a node.
    label_dimension, joint_dimension : int
        d_l and d_phi.
    dropout : float
        Probability of dropping a feature of the encoded text, and within the
        projections into the joint space. Never on the logits.
    max_length : int or None
        Words read from the start of a text.
    """

    def __init__(
        self,
        text_encoder: TextEncoder,
        hierarchy: LabelHierarchy,
        label_nodes: LabelNodes | None,
        *,
        head: str,
        propagation: str | None = None,
        node_dimension: int = 128,
        label_dimension: int = 300,
        joint_dimension: int = 200,
        dropout: float = 0.3,
        max_length: int | None = 256,
    ) -> None:
        super().__init__(
            text_encoder,
            hierarchy,
            label_nodes,
            propagation=propagation,
            node_dimension=node_dimension,
            dropout=dropout,
            max_length=max_length,
        )
        n_labels = self.n_labels
        self.head: FlatHead | LabelwiseHead
        if head == "labelwise":
            self.head = LabelwiseHead(n_labels, node_dimension)
        else:
            nodes_size = text_encoder.output_size if label_nodes is None else n_labels * node_dimension
            self.head = FlatHead(n_labels, nodes_size)
        # With many labels the text's embedding comes from the mean node, for the sake of the weights' size.
        self.pooled = label_nodes is not None and n_labels > MANY_LABELS
        self.text_projection = JointProjection(self._semantics_size, joint_dimension, dropout)
        self.label_vectors = nn.Parameter(torch.randn(n_labels, label_dimension))
        self.label_encoder = HierarchyGCN(hierarchy, label_dimension)
        self.label_projection = JointProjection(label_dimension, joint_dimension, dropout)

    @property
    def _semantics_size(self) -> int:
        """Width of what the text's embedding is computed from."""
        if self.label_nodes is None:
            return self.text_encoder.output_size
        return self.node_dimension * (1 if self.attends or self.pooled else self.n_labels)

    @property
    def text_size(self) -> int:
        """How many numbers a text takes on its way into the joint space."""
        if self.label_nodes is None:
            return self.text_encoder.output_size
        return self.node_dimension * (1 if self.attends else self.n_labels)

    @property
    def scores_labels_separately(self) -> bool:
        """Whether a label's logit does not depend on other labels, so that a shortlist can be scored."""
        return self.attends and self.head.labelwise and self.propagation is None

    def forward(
        self,
        ids: Tensor,
        lengths: Tensor,
        shortlist: Tensor | None = None,
        label_weights: Tensor | None = None,
        joint: bool = True,
        text_encoder: TextReader | None = None,
    ) -> HiMatchOutput:
        """Score texts against labels; parameters as in `Network.forward`."""
        encoded, lengths = self.encode(ids, lengths, text_encoder)
        semantics = self.text_semantics(encoded, lengths, shortlist)
        logits = self.head(semantics) if shortlist is None else self.head(semantics, shortlist)
        if label_weights is not None and shortlist is not None:
            label_weights = torch.zeros_like(logits).scatter(1, shortlist, label_weights)
        if not joint:
            return HiMatchOutput(logits, label_weights=label_weights)
        text_embedding = self.embed_text(encoded, lengths, semantics)
        return HiMatchOutput(logits, text_embedding, self.embed_labels, label_weights)

    def embed_text(self, encoded: Tensor, lengths: Tensor, semantics: Tensor | None = None) -> Tensor:
        """Return Phi_t of eq 3, of shape (B, d_phi).

        Parameters
        ----------
        encoded, lengths : as `encode` returns them
            A batch of texts.
        semantics : float tensor, optional
            S_t, if it is already computed. Not used with attention: the embedding must not depend on the
            shortlist.
        """
        if self.attends:
            return self.text_projection(mean_state(encoded, lengths))
        if semantics is None:
            semantics = self.text_semantics(encoded, lengths)
        return self.text_projection(semantics.mean(1) if self.pooled else semantics.flatten(1))

    def embed_labels(self, labels: Tensor | None = None) -> Tensor:
        """Return Phi_l of eq 2 and 4.

        Parameters
        ----------
        labels : int64 tensor of shape (M,), optional
            Different labels, all by default.

        Returns
        -------
        float tensor of shape (M, d_phi), or (L, d_phi)
        """
        return self.label_projection(self.label_encoder.of_labels(self.label_vectors, labels))

    @torch.no_grad()
    def with_labels(self, old: LabelHierarchy, new: LabelHierarchy, texts: LabelTexts) -> HiMatchNetwork:
        """Return a copy with more labels, and the same weights; as `Network.with_labels`."""
        network = self._extended(old, new)
        network.label_vectors = with_rows(self.label_vectors, self.text_encoder.label_vectors(texts))
        network.label_encoder.extend(old, new)
        return network

    @torch.no_grad()
    def start_from(self, initial: InitialWeights) -> None:
        """Take what is known before training as initial weights; label vectors, too."""
        super().start_from(initial)
        self.label_vectors.copy_(torch.as_tensor(initial.label_vectors))

    @torch.no_grad()
    def start_head(self, weights: np.ndarray, shift: np.ndarray) -> None:
        """Start the head from given weights on T, the mean state of a text.

        Labels that attend to states start with equal attention to all of them, so that their nodes are T.

        Parameters
        ----------
        weights : float array of shape (L, d_T)
            The weights of the labels.
        shift : float array of shape (L,)
            What the weights add to the logits of the mean training text. It is subtracted from the biases.

        Raises
        ------
        TypeError
            If the head is neither on T nor on nodes that attend to the encoder's states.
        """
        if not self.reads_names:
            raise TypeError(
                "Only a head on T, or on nodes that attend to states, can start from weights on T."
            )
        if self.label_nodes is not None:
            self.label_nodes.attend_equally()
        self.head.set_weights(torch.as_tensor(weights))
        self.head.bias.sub_(torch.as_tensor(shift, device=self.device))

    @property
    def reads_names(self) -> bool:
        """Whether the head reads vectors of the encoder itself, and can start from encoded names."""
        return self.label_nodes is None or self.scores_labels_separately
