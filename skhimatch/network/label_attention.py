"""Every label's own view of a text, V_t: where propagation over the hierarchy starts."""

import torch
from torch import Tensor, nn

from skhimatch.network.batches import padding_mask

__all__ = ["MANY_LABELS", "LabelAttention", "LabelProjection", "SemanticAttention"]

# Above this many labels no weight may grow with L * d * d (let alone L * L * d).
MANY_LABELS = 200


class LabelAttention(nn.Module):
    """Let every label choose the words that it looks at.

    V_t[l] = sum_i a_li h_i with a_l = softmax_i(h_i · u_l), over the words i of the text.

    Parameters
    ----------
    dimension : int
        d_t, the width of a word's state and of a node.
    n_labels : int
        L, the number of queries u_l.
    """

    def __init__(self, dimension: int, n_labels: int) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(n_labels, dimension) * 0.05)

    def forward(self, states: Tensor, lengths: Tensor, labels: Tensor | None = None) -> Tensor:
        """Map states H of shape (B, n, d_t) to V_t of shape (B, L, d_t).

        Parameters
        ----------
        states : float tensor of shape (B, n, d_t)
        lengths : int64 tensor of shape (B,)
            Words in each text, behind which is padding. A text without words
            is taken for padding throughout, alike for all such texts.
        labels : int64 tensor of shape (B, K), optional
            The labels of each text that are to look, all by default.

        Returns
        -------
        float tensor of shape (B, L, d_t), or (B, K, d_t)
        """
        queries = self.queries if labels is None else self.queries[labels]
        return _attend(queries, states, states, lengths)


class SemanticAttention(nn.Module):
    """Let every label choose the words that it looks at, by what its own text says.

    d_l = sum_i a_li h_i with a_l = softmax_i(tanh(W h_i + b) · u_l), over the words i of the text.

    Parameters
    ----------
    dimension : int
        d_t, the width of a word's state.
    label_dimension : int
        The width of u_l.
    """

    def __init__(self, dimension: int, label_dimension: int) -> None:
        super().__init__()
        self.key = nn.Linear(dimension, label_dimension)

    def forward(self, states: Tensor, lengths: Tensor, queries: Tensor) -> Tensor:
        """Map states H of shape (B, n, d_t) to d of shape (B, M, d_t), or (B, K, d_t).

        Parameters
        ----------
        states, lengths
            As `LabelAttention` takes them.
        queries : float tensor of shape (M, label_dimension), or (B, K, label_dimension)
            u of some labels, or of those of each text.

        Returns
        -------
        float tensor of shape (B, M, d_t), or (B, K, d_t)
        """
        return _attend(queries, torch.tanh(self.key(states)), states, lengths)


def _attend(queries: Tensor, keys: Tensor, states: Tensor, lengths: Tensor) -> Tensor:
    padding = ~padding_mask(lengths, states.shape[1])[:, None]
    scores = queries @ keys.transpose(1, 2)
    # Not minus infinity: a text without words would have no weight to give.
    scores = scores.masked_fill(padding, torch.finfo(scores.dtype).min)
    return torch.softmax(scores, dim=-1) @ states


class LabelProjection(nn.Module):
    """Project one vector a text onto all labels: V_t = reshape(W_proj T).

    Up to a few hundred labels W_proj is as in the paper, L x d_T x d_t
    numbers. Above, it is factored into a projection that the labels share
    and a vector a label: V_t[l] = (A T + a) * e_l, d_T d_t + L d_t numbers.

    Parameters
    ----------
    text_dimension : int
        d_T, the width of T.
    n_labels : int
        L.
    dimension : int
        d_t, the width of a node.
    """

    def __init__(self, text_dimension: int, n_labels: int, dimension: int) -> None:
        super().__init__()
        self.shape = (n_labels, dimension)
        factored = n_labels > MANY_LABELS
        self.projection = nn.Linear(text_dimension, dimension if factored else n_labels * dimension)
        self.label_vectors = nn.Parameter(torch.randn(n_labels, dimension)) if factored else None

    def forward(self, text: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Map T of shape (B, d_T) to V_t of shape (B, L, d_t); the text's length plays no part."""
        projected = self.projection(text)
        if self.label_vectors is None:
            return projected.unflatten(1, self.shape)
        return projected[:, None] * self.label_vectors
