"""From the states of a text to one vector T."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from skhimatch.network.batches import padding_mask
from skhimatch.network.encoders import TextEncoder

__all__ = ["AttentionPooling", "MaxPooling", "PooledEncoder", "resolve_pooling"]


class MaxPooling(nn.Module):
    """The largest values of each feature over all states of a text.

    Parameters
    ----------
    input_size : int
        Width of a state.
    top_k : int
        Values kept of each feature.
    """

    def __init__(self, input_size: int, top_k: int = 1) -> None:
        super().__init__()
        self.top_k = top_k
        self.output_size = input_size * top_k

    def forward(self, states: Tensor, lengths: Tensor) -> Tensor:
        """Map H of shape (B, n, d) to T of shape (B, d * top_k).

        Parameters
        ----------
        states : float tensor of shape (B, n, d)
            The states of the tokens.
        lengths : int64 tensor of shape (B,)
            The number of states of each text. What is missing of the largest values is 0.
        """
        padding = ~padding_mask(lengths, states.shape[1])[..., None]
        values = states.masked_fill(padding, -torch.inf).transpose(1, 2)
        missing = max(0, self.top_k - values.shape[-1])
        largest = nn.functional.pad(values, (0, missing), value=-torch.inf).topk(self.top_k)[0]
        return largest.masked_fill(largest == -torch.inf, 0).flatten(1)


class AttentionPooling(nn.Module):
    """One attention over the states of a text, for all labels.

    T = sum_i a_i h_i with a = softmax_i(tanh(W h_i + b) · u), over the states i of the text.

    Parameters
    ----------
    input_size : int
        Width of a state, and of T.
    """

    def __init__(self, input_size: int) -> None:
        super().__init__()
        self.key = nn.Linear(input_size, input_size)
        self.query = nn.Parameter(torch.randn(input_size) * 0.05)
        self.output_size = input_size

    def forward(self, states: Tensor, lengths: Tensor) -> Tensor:
        """Map H of shape (B, n, d) to T of shape (B, d).

        Parameters
        ----------
        states : float tensor of shape (B, n, d)
            The states of the tokens.
        lengths : int64 tensor of shape (B,)
            The number of states of each text. Without any, T is the mean over the padding.
        """
        scores = torch.tanh(self.key(states)) @ self.query
        padding = ~padding_mask(lengths, states.shape[1])
        # Not minus infinity, which would give NaN for a text without states.
        weights = torch.softmax(scores.masked_fill(padding, torch.finfo(scores.dtype).min), dim=1)
        return (weights[:, None] @ states).squeeze(1)


class PooledEncoder(TextEncoder):
    """An encoder of words whose states become one vector T for each text.

    Parameters
    ----------
    states : TextEncoder
        Returns a state for each word.
    pooling : MaxPooling or AttentionPooling
        Maps the states and lengths to T.
    """

    def __init__(self, states: TextEncoder, pooling: MaxPooling | AttentionPooling) -> None:
        super().__init__()
        self.states = states
        self.pooling = pooling
        self.output_size = pooling.output_size

    # A property, since a module under two names would be saved twice. mypy wants what can be assigned.
    @property
    def embedding(self) -> nn.Embedding:  # type: ignore[override]
        """The word vectors."""
        return self.states.embedding

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Return T, float of shape (B, output_size).

        Parameters
        ----------
        ids : int64 tensor of shape (B, n)
            Token ids, 0 is padding.
        lengths : int64 tensor of shape (B,)
            Tokens in each text.
        """
        states, lengths = self.states.read(ids, lengths)
        return self.pooling(states, lengths)


def resolve_pooling(encoder: str, pooling: str) -> str:
    """Return the pooling of an encoder's states; "auto" is replaced.

    Parameters
    ----------
    encoder : {"attention", "gru", "cnn", "rcnn"}
        The encoder of words.
    pooling : {"auto", "attention", "shared_attention", "max"}
        As given. "auto" is that of the published networks.

    Returns
    -------
    {"attention", "shared_attention", "max"}

    Examples
    --------
    >>> resolve_pooling("rcnn", "auto"), resolve_pooling("gru", "auto"), resolve_pooling("gru", "max")
    ('max', 'attention', 'max')
    """
    if pooling == "auto":
        return "max" if encoder in ("cnn", "rcnn") else "attention"
    return pooling
