"""What every network has in common: how it encodes texts, and what it returns to the objective."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.labels.texts import LabelTexts
from skhimatch.network.batches import padding_mask
from skhimatch.network.dropout import Dropout
from skhimatch.network.encoders import TextEncoder, TextReader

__all__ = ["HiMatchOutput", "InitialWeights", "Network", "mean_state", "with_rows"]


@dataclass(frozen=True)
class HiMatchOutput:
    """What a network returns for B texts and L labels.

    Attributes
    ----------
    logits : float tensor of shape (B, L)
        The classification scores before the sigmoid.
    text_embedding : float tensor of shape (B, d_phi) or None
        Phi_t of eq 3, unit rows; None if the joint space was not asked for.
    embed_labels : callable or None
        Maps labels, an int64 tensor of shape (M,), to their Phi_l of eq 4, unit rows of shape (M, d_phi).
        The loss needs only the labels of the batch and their negatives, not thousands.
    label_weights : float tensor of shape (B, L) or None
        If the network scored a shortlist: for how many labels each label stands in the loss. 0 for labels
        outside of the shortlist; for randomly drawn labels more than 1.
    distances : float tensor of shape (B, L) or None
        The distances of texts and labels in the joint space, if the logits are computed from them; there are
        no embeddings then. Infinite for labels outside of the shortlist.
    meaning : float tensor of shape (B, L) or None
        In prediction, by a network that reads names: the cosines of each text with the meaning of each label
        alone. 0 for labels outside of the shortlist.
    """

    logits: Tensor
    text_embedding: Tensor | None = None
    embed_labels: Callable[[Tensor], Tensor] | None = None
    label_weights: Tensor | None = None
    distances: Tensor | None = None
    meaning: Tensor | None = None


@dataclass(frozen=True)
class InitialWeights:
    """What is known about words and labels before training.

    Attributes
    ----------
    edge_priors : float array of shape (E,)
        P(child | parent), in the order of the hierarchy's edges.
    output_bias : float array of shape (L,)
        The best constant logit of each label.
    shared_output_bias : float
        The best constant logit if all labels share one bias.
    make_label_vectors : callable
        Returns the initial V_l of eq 2, float of shape (L, d_l). Not every network has label vectors.
    word_table : float array of shape (V, embedding_dimension) or None
        Initial word vectors; None for a pretrained encoder, which has its own.
    """

    edge_priors: NDArray[np.floating]
    output_bias: NDArray[np.floating]
    shared_output_bias: float
    make_label_vectors: Callable[[], NDArray[np.floating]]
    word_table: NDArray[np.floating] | None = None

    @cached_property
    def label_vectors(self) -> NDArray[np.floating]:
        """Initial V_l of eq 2, float of shape (L, d_l)."""
        return self.make_label_vectors()


class Network(nn.Module):
    """A network that scores texts against labels, and embeds both in one space.

    Attributes
    ----------
    text_encoder : TextEncoder
    n_labels : int
        L.
    node_dimension : int
        Width of a label's node.
    dropout : Dropout
        Applied to the encoded text.
    max_length : int or None
        Tokens that are read from the start of a text.
    ranks_distances : bool
        Whether the losses get distances, and not embeddings.
    scores_meaning : bool
        Whether texts are compared with the meanings of labels alone, beside the logits.
    attends : bool
        Whether labels attend to the states of a text.
    labels_read_words : bool
        Whether a step reads the vectors of the words of labels, beside those of the words of texts.
    """

    ranks_distances: bool = False
    labels_read_words: bool = False
    scores_meaning: bool = False
    attends: bool = False
    text_encoder: TextEncoder
    n_labels: int
    node_dimension: int
    dropout: Dropout
    max_length: int | None

    @abstractmethod
    def with_labels(self, old: LabelHierarchy, new: LabelHierarchy, texts: LabelTexts) -> Network:
        """Return a copy with more labels, and the same weights.

        Parameters
        ----------
        old : LabelHierarchy
            The labels of this network.
        new : LabelHierarchy
            The same labels, followed by new ones.
        texts : LabelTexts
            What describes the new labels.

        Returns
        -------
        Network
            A new label has no weights of its own where other labels have them. Its bias is the lowest one.

        Raises
        ------
        ValueError
            If the weights of a label depend on all labels.
        """

    @abstractmethod
    def forward(
        self,
        ids: Tensor,
        lengths: Tensor,
        shortlist: Tensor | None = None,
        label_weights: Tensor | None = None,
        joint: bool = True,
        text_encoder: TextReader | None = None,
    ) -> HiMatchOutput:
        """Score texts against labels.

        Parameters
        ----------
        ids : int64 tensor of shape (B, n)
            Or float of shape (B, d_T): the vectors T of texts that are already encoded.
        lengths : int64 tensor of shape (B,)
            The number of tokens of each text.
        shortlist : int64 tensor of shape (B, K), optional
            The labels to score for each text, all by default; only if `scores_labels_separately`. The
            logits of all other labels are their biases.
        label_weights : float tensor of shape (B, K), optional
            For how many labels each label of the shortlist stands in the loss.
        joint : bool
            Whether to compute the text's embedding in the joint space, which only training needs.
        text_encoder : TextReader, optional
            Encodes the texts in place of the network's own encoder.

        Returns
        -------
        HiMatchOutput
        """

    @abstractmethod
    def embed_text(self, encoded: Tensor, lengths: Tensor) -> Tensor:
        """Return Phi_t of eq 3, of shape (B, d_phi), of what `encode` returned."""

    @abstractmethod
    def embed_labels(self, labels: Tensor | None = None) -> Tensor:
        """Return Phi_l of eq 2 and 4 of some different labels, or of all: shape (M, d_phi) or (L, d_phi)."""

    @abstractmethod
    def attention(self, encoded: Tensor, lengths: Tensor, labels: Tensor) -> Tensor:
        """Return how much some labels attend to the states of a text, if they do (`attends`).

        Parameters
        ----------
        encoded, lengths : as `encode` returned them
            A batch of texts, and the number of states of each.
        labels : int64 tensor of shape (M,)
            Different labels.

        Returns
        -------
        float tensor of shape (B, M, n)
            They sum to 1 over the states of a text.
        """

    @abstractmethod
    def start_from(self, initial: InitialWeights) -> None:
        """Take what is known before training as initial weights."""

    @property
    @abstractmethod
    def scores_labels_separately(self) -> bool:
        """Whether a label's logit does not depend on other labels, so that a shortlist can be scored."""

    @property
    @abstractmethod
    def text_size(self) -> int:
        """How many numbers a text takes on its way into the joint space."""

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    @property
    def embedding_dimension(self) -> int:
        """Width of a word vector."""
        return self.text_encoder.embedding.embedding_dim

    def encode(
        self, ids: Tensor, lengths: Tensor, text_encoder: TextReader | None = None
    ) -> tuple[Tensor, Tensor]:
        """Encode texts, with dropout.

        Parameters
        ----------
        ids, lengths, text_encoder : as in `forward`
            A batch of texts, and what encodes it.

        Returns
        -------
        encoded : float tensor
            States H of shape (B, n, d_t), or vectors T of shape (B, d_T).
        lengths : int64 tensor of shape (B,)
            The number of states of each text.
        """
        if ids.is_floating_point():
            return self.dropout(ids), lengths
        if self.max_length is not None:
            ids, lengths = ids[:, : self.max_length], lengths.clamp(max=self.max_length)
        encoded, lengths = (text_encoder or self.text_encoder).read(ids, lengths)
        return self.dropout(encoded), lengths


def with_rows(weight: nn.Parameter, rows: Tensor) -> nn.Parameter:
    """Return a parameter with more rows, in the order of the arguments."""
    return nn.Parameter(torch.cat([weight.detach(), rows.to(weight)]), requires_grad=weight.requires_grad)


def mean_state(states: Tensor, lengths: Tensor) -> Tensor:
    """Return the mean of the states of each text.

    Parameters
    ----------
    states : float tensor of shape (B, n, d)
        The states of the tokens.
    lengths : int64 tensor of shape (B,)
        The number of states of each text; without any the mean is 0.

    Returns
    -------
    float tensor of shape (B, d)
    """
    mask = padding_mask(lengths, states.shape[1])[..., None]
    return (states * mask).sum(1) / lengths[:, None].clamp(min=1)
