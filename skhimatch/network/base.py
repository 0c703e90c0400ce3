"""What every network has: how it reads texts, and what it hands to the objective."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from skhimatch.network.batches import padding_mask
from skhimatch.network.dropout import Dropout

__all__ = ["HiMatchOutput", "TextNetwork", "mean_state"]


@dataclass(frozen=True)
class HiMatchOutput:
    """What a network says of B texts and L labels.

    Attributes
    ----------
    logits : float tensor of shape (B, L)
        The classification scores before the sigmoid.
    text_embedding : float tensor of shape (B, d_phi) or None
        Phi_t of eq 3, unit rows; None where the joint space was not asked for.
    embed_labels : callable or None
        Labels, an int64 tensor of shape (M,), to their Phi_l of eq 4, unit rows of shape (M, d_phi): the
        loss looks at those of the batch and their negatives, not at thousands.
    label_weights : float tensor of shape (B, L) or None
        How many labels each stands for in training, where not all are looked at: none, itself, or, drawn
        at random, its share of all that are left out.
    """

    logits: Tensor
    text_embedding: Tensor | None = None
    embed_labels: Callable[[Tensor], Tensor] | None = None
    label_weights: Tensor | None = None


class TextNetwork(nn.Module):
    """How a network reads texts, whatever it knows of labels: a text encoder, dropout, and a limit."""

    text_encoder: Any
    dropout: Dropout
    max_length: int | None

    @property
    def embedding_dimension(self) -> int:
        """Width of a word vector."""
        return self.text_encoder.embedding.embedding_dim

    def encode(
        self,
        ids: Tensor,
        lengths: Tensor,
        text_encoder: Callable[[Tensor, Tensor], Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return H of shape (B, n, d_t), or T of shape (B, d_T), and how many words were read.

        Texts that come as numbers, of shape (B, d_T), are encoded already.
        """
        if ids.is_floating_point():
            return self.dropout(ids), lengths
        if self.max_length is not None:
            ids, lengths = ids[:, : self.max_length], lengths.clamp(max=self.max_length)
        return self.dropout((text_encoder or self.text_encoder)(ids, lengths)), lengths


def mean_state(states: Tensor, lengths: Tensor) -> Tensor:
    """Average the states of a text's words.

    Parameters
    ----------
    states : float tensor of shape (B, n, d)
    lengths : int64 tensor of shape (B,)
        Words in each text; without any the mean is 0.

    Returns
    -------
    float tensor of shape (B, d)
    """
    mask = padding_mask(lengths, states.shape[1])[..., None]
    return (states * mask).sum(1) / lengths[:, None].clamp(min=1)
