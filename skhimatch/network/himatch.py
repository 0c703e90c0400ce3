"""The HiMatch network: encoders, propagation, heads and the joint space (sections 3.1 to 3.4)."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.network.base import HiMatchOutput, TextNetwork, mean_state
from skhimatch.network.dropout import Dropout
from skhimatch.network.encoders import ConvolutionEncoder, GRUEncoder, RCNNEncoder
from skhimatch.network.heads import FlatHead, LabelwiseHead
from skhimatch.network.joint_space import JointProjection
from skhimatch.network.label_attention import MANY_LABELS, LabelAttention, LabelProjection
from skhimatch.network.propagation import PROPAGATIONS, GatedPropagation, HierarchyEdges, HierarchyGCN
from skhimatch.network.transformer import TransformerEncoder

__all__ = ["HiMatchNetwork"]

ENCODERS = ("attention", "gru", "rcnn")


class HiMatchNetwork(TextNetwork):
    """Text and label encoders that meet in a joint space (figure 2 of the paper).

    Parameters
    ----------
    text_encoder : ConvolutionEncoder, GRUEncoder, RCNNEncoder or TransformerEncoder
        (ids, lengths) to a state a word, or to one vector T a text.
    hierarchy : LabelHierarchy
        L labels.
    label_nodes : LabelAttention, LabelProjection or None
        What the encoder returns, and lengths, to V_t of shape (B, L, d_t).
        None, behind an encoder of T only: no label has a node of its own,
        and S_t is T.
    propagation : {"gcn", "gated"} or None
        How V_t spreads over the hierarchy (eq 1); None leaves it out and
        S_t is V_t.
    head : {"flat", "labelwise", "auto"}
        The classifier on S_t; "auto" is "flat" up to a few hundred labels.
        Where no label has a node the two are the same linear layer.
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
        text_encoder: ConvolutionEncoder | GRUEncoder | RCNNEncoder | TransformerEncoder,
        hierarchy: LabelHierarchy,
        label_nodes: LabelAttention | LabelProjection | None,
        *,
        propagation: str | None = None,
        head: str = "labelwise",
        node_dimension: int = 128,
        label_dimension: int = 300,
        joint_dimension: int = 200,
        dropout: float = 0.3,
        max_length: int | None = 256,
    ) -> None:
        super().__init__()
        self.n_labels = n_labels = len(hierarchy)
        many = n_labels > MANY_LABELS
        self.text_encoder = text_encoder
        self.label_nodes = label_nodes
        self.node_dimension = node_dimension
        self.dropout = Dropout(dropout)
        self.max_length = max_length
        self.propagation = PROPAGATIONS[propagation](hierarchy, node_dimension) if propagation else None
        self.head: FlatHead | LabelwiseHead
        self.pooled = many
        if label_nodes is None:
            self.head = FlatHead(n_labels, text_encoder.output_size)
            self.pooled = False
            semantics_dimension = text_encoder.output_size
        else:
            if head == "labelwise" or (head == "auto" and many):
                self.head = LabelwiseHead(n_labels, node_dimension)
            else:
                self.head = FlatHead(n_labels, n_labels * node_dimension)
            semantics_dimension = node_dimension if self.pooled else n_labels * node_dimension
        if isinstance(label_nodes, LabelAttention):
            semantics_dimension = node_dimension
        self.text_projection = JointProjection(semantics_dimension, joint_dimension, dropout)
        self.label_vectors = nn.Parameter(torch.randn(n_labels, label_dimension))
        self.label_encoder = HierarchyGCN(hierarchy, label_dimension)
        self.label_projection = JointProjection(label_dimension, joint_dimension, dropout)

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return self.label_vectors.device

    @property
    def text_size(self) -> int:
        """Numbers that a text comes to on its way into the joint space."""
        if self.label_nodes is None:
            return self.text_encoder.output_size
        attentive = isinstance(self.label_nodes, LabelAttention)
        return self.node_dimension * (1 if attentive else self.n_labels)

    @property
    def scores_labels_separately(self) -> bool:
        """Whether each label scores a text by itself, so that some can be left out."""
        attentive = isinstance(self.label_nodes, LabelAttention) and isinstance(self.head, LabelwiseHead)
        return attentive and self.propagation is None

    def forward(
        self,
        ids: Tensor,
        lengths: Tensor,
        shortlist: Tensor | None = None,
        label_weights: Tensor | None = None,
        joint: bool = True,
        text_encoder: Callable[[Tensor, Tensor], Tensor] | None = None,
    ) -> HiMatchOutput:
        """Score texts against labels.

        Parameters
        ----------
        ids : int64 tensor of shape (B, n)
            Or float of shape (B, d_T): T of texts that are encoded already.
        lengths : int64 tensor of shape (B,)
        shortlist : int64 tensor of shape (B, K), optional
            The labels to look at, all by default; only where `scores_labels_separately`. The logits of the
            others are their biases.
        label_weights : float tensor of shape (B, K), optional
            How many labels each candidate stands for in the loss.
        joint : bool
            Whether to visit the joint space, which only training needs.
        text_encoder : callable, optional
            What to encode the texts with in place of the network's own encoder.

        Returns
        -------
        HiMatchOutput
        """
        encoded, lengths = self.encode(ids, lengths, text_encoder)
        semantics = self.text_semantics(encoded, lengths, shortlist)
        logits = self.head(semantics) if shortlist is None else self.head(semantics, shortlist)
        if label_weights is not None and shortlist is not None:
            label_weights = torch.zeros_like(logits).scatter(1, shortlist, label_weights)
        if not joint:
            return HiMatchOutput(logits, label_weights=label_weights)
        text_embedding = self.embed_text(encoded, lengths, semantics)
        return HiMatchOutput(logits, text_embedding, self.embed_labels, label_weights)

    def encode(
        self,
        ids: Tensor,
        lengths: Tensor,
        text_encoder: Callable[[Tensor, Tensor], Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return H of shape (B, n, d_t), or T of shape (B, d_T), and how many states or words there are."""
        if isinstance(self.text_encoder, TransformerEncoder) and isinstance(self.label_nodes, LabelAttention):
            states, lengths = self.text_encoder.states(ids, lengths)
            return self.dropout(states), lengths
        return super().encode(ids, lengths, text_encoder)

    def text_semantics(self, encoded: Tensor, lengths: Tensor, shortlist: Tensor | None = None) -> Tensor:
        """Return S_t, of shape (B, L, d_t) or (B, K, d_t), or T itself where labels have no nodes."""
        if self.label_nodes is None:
            return encoded
        chosen = () if shortlist is None else (shortlist,)
        nodes = self.label_nodes(encoded, lengths, *chosen)
        return nodes if self.propagation is None else self.propagation(nodes)

    def embed_text(self, encoded: Tensor, lengths: Tensor, semantics: Tensor | None = None) -> Tensor:
        """Return Phi_t of eq 3, of shape (B, d_phi).

        Parameters
        ----------
        encoded, lengths
            As `encode` returns them.
        semantics : float tensor, optional
            S_t, where it is there already. With attention it plays no part: which labels look at a text
            must not decide where it lies.
        """
        if isinstance(self.label_nodes, LabelAttention):
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
        if labels is None:
            return self.label_projection(self.label_encoder(self.label_vectors))
        if len(self.label_vectors) > MANY_LABELS:
            return self.label_projection(self.label_encoder.at(self.label_vectors, labels))
        return self.label_projection(self.label_encoder(self.label_vectors)[labels])

    @torch.no_grad()
    def start_from(
        self,
        *,
        label_vectors: np.ndarray,
        edge_priors: np.ndarray,
        output_bias: np.ndarray,
        word_table: np.ndarray | None = None,
    ) -> None:
        """Take what is known before training: vectors, priors, and what to predict of any text.

        Parameters
        ----------
        label_vectors : float array of shape (L, d_l)
            Initial V_l of eq 2.
        edge_priors : float array of shape (E,)
            P(child | parent), in the order of the hierarchy's edges.
        output_bias : float array of shape (L,)
            The logits of a text of which nothing is known yet.
        word_table : float array of shape (V, embedding_dimension), optional
            Initial word vectors; a pretrained encoder has its own.
        """
        if word_table is not None:
            self.text_encoder.embedding.weight.copy_(torch.as_tensor(word_table))
        self.label_vectors.copy_(torch.as_tensor(label_vectors))
        priors = torch.as_tensor(edge_priors)
        for module in self.modules():
            if isinstance(module, HierarchyEdges):
                module.prior.copy_(priors)
            if isinstance(module, GatedPropagation):
                module.down_weight.copy_(priors)
        self.head.bias.copy_(torch.as_tensor(output_bias))

    @torch.no_grad()
    def start_head(self, weights: np.ndarray, usual: np.ndarray) -> None:
        """Let a head on T, or on what labels see of its states, start from weights of the labels.

        Labels that attend to states look at all of them alike, before they learn better: at T.

        Parameters
        ----------
        weights : float array of shape (L, d_T)
        usual : float array of shape (L,)
            What these add to the logits of the usual text, which stay as they are.

        Raises
        ------
        TypeError
            Where labels have nodes of another kind.
        """
        if isinstance(self.label_nodes, LabelAttention) and isinstance(self.head, LabelwiseHead):
            self.label_nodes.queries.zero_()
            self.head.weight.copy_(torch.as_tensor(weights))
        elif self.label_nodes is None and isinstance(self.head, FlatHead):
            self.head.linear.weight.copy_(torch.as_tensor(weights))
        else:
            raise TypeError("Only a head on T, or on states by an attention, starts from weights on T.")
        self.head.bias.sub_(torch.as_tensor(usual, device=self.device))

    @property
    def reads_vectors(self) -> bool:
        """Whether each label's weights are on vectors of the encoder itself, so that `start_head` applies."""
        pretrained = isinstance(self.text_encoder, TransformerEncoder)
        return pretrained and (self.label_nodes is None or self.scores_labels_separately)
