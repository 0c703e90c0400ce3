"""Text encoders: from token ids to one state for each token, or to one vector for each text (section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from skhimatch.labels.texts import LabelTexts
from skhimatch.network.batches import padding_mask
from skhimatch.network.dropout import Dropout
from skhimatch.text.sequences import Texts, words_of

__all__ = [
    "BidirectionalGRU",
    "CNNEncoder",
    "Convolutions",
    "GRUEncoder",
    "RCNNEncoder",
    "TextEncoder",
    "TextReader",
]


class TextReader(Protocol):
    """Anything that encodes texts: an encoder, or what it precomputed for some texts."""

    def read(self, ids: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return the states or vectors of texts, and the number of states of each; see `TextEncoder.read`."""
        ...


class TextEncoder(nn.Module):
    """What all text encoders have in common.

    Attributes
    ----------
    output_size : int
        Width of a state or vector.
    pretrained : bool
        Whether the weights come from a pretrained model, which reads subwords in place of words.
    """

    output_size: int
    pretrained: bool = False
    embedding: nn.Embedding

    def read(self, ids: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encode a batch of texts.

        Parameters
        ----------
        ids : int64 tensor of shape (B, n)
            Token ids, padded on the right.
        lengths : int64 tensor of shape (B,)
            Tokens of each text.

        Returns
        -------
        encoded : float tensor of shape (B, n, output_size) or (B, output_size)
            A state for each token, or a vector T for each text, depending on the encoder.
        lengths : int64 tensor of shape (B,)
            The number of states of each text; for vectors as given.
        """
        return self(ids, lengths), lengths

    def input_of(self, texts: Texts, *, progress: bool = False) -> Texts:
        """Return the part of tokenised texts that this encoder reads: here, their words."""
        return words_of(texts)

    def input_to_predict(self, texts: Texts) -> Texts:
        """Return the same as `input_of`, for texts to predict, whose vectors may be stored already."""
        return self.input_of(texts)

    def input_once(self, texts: Texts) -> Texts:
        """Return the same as `input_of`, for texts that do not come again: nothing is stored or looked up."""
        return self.input_of(texts)

    def tokens_read(self, limit: int | None) -> int | None:
        """Return how many tokens of a text are read from its start, at most `limit`; None is all."""
        return limit

    def token_of_states(self, n_tokens: int) -> NDArray[np.int64]:
        """Return the token of each state of a text of n tokens; -1 for a state of a special token."""
        return np.arange(n_tokens)

    def check_input(self, texts: Texts) -> Texts:
        """Return `input_of` texts; raise a ValueError if they are in the tokens of another encoder."""
        return words_of(texts)

    def prepared_for(self, texts: Texts) -> TextReader:
        """Return an equal, possibly faster encoder for these texts only; not for training."""
        return self

    def label_vectors(self, texts: LabelTexts) -> Tensor:
        """Return V_l of M labels (eq 2): the mean word vector of each label's text, float of shape (M, d_l).

        Parameters
        ----------
        texts : LabelTexts
            A label without a known word gets zeros.

        Returns
        -------
        float tensor of shape (M, d_l)
        """
        table = self.embedding.weight.detach()
        zero = table.new_zeros(table.shape[1])
        return torch.stack([table[list(words)].mean(0) if words else zero for words in texts.words])

    def encoded_texts(self, texts: Sequence[str]) -> Tensor:
        """Return the vectors of n texts, float of shape (n, output_size).

        Parameters
        ----------
        texts : sequence of n str
            A few texts, such as the names of labels.

        Returns
        -------
        float tensor of shape (n, output_size)

        Raises
        ------
        TypeError
            If the encoder is not pretrained: it reads ids.
        """
        raise TypeError("Only a pretrained encoder reads texts; an encoder of words reads ids.")

    def parameter_learning_rates(self, rate: float, layer_decay: float) -> dict[str, float]:
        """Return the learning rates of parameters that do not learn at the rate of the rest of the network.

        Parameters
        ----------
        rate : float
            The learning rate of a pretrained encoder's last layer.
        layer_decay : float
            The learning rate of a layer divided by that of the layer above.

        Returns
        -------
        dict of str to float
            By the names of the encoder's parameters. It is empty unless the encoder is pretrained.
        """
        return {}


class BidirectionalGRU(nn.Module):
    """One-layer GRU in both directions, independent of padding.

    Equal to ``torch.nn.GRU(bidirectional=True)`` on packed sequences. Each
    text is reversed within its own length, so that padding is always behind
    the last token. Packed sequences would give the same states, but their
    backward pass is several times slower on a CPU.

    Parameters
    ----------
    input_size, hidden_size : int
        Width of the input, and of each direction's state.
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.forward_gru = nn.GRU(input_size, hidden_size, batch_first=True)
        self.backward_gru = nn.GRU(input_size, hidden_size, batch_first=True)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Return the states H, float of shape (B, n, 2 * hidden_size), zero at padding.

        Parameters
        ----------
        tokens : float tensor of shape (B, n, input_size)
            The vectors of the tokens.
        lengths : int64 tensor of shape (B,)
            The number of tokens of each text.
        """
        positions = torch.arange(tokens.shape[1], device=tokens.device).expand(tokens.shape[:2])
        mask = padding_mask(lengths, tokens.shape[1])
        mirrored = torch.where(mask, lengths[:, None] - 1 - positions, positions)
        ahead, _ = self.forward_gru(tokens)
        behind, _ = self.backward_gru(_take(tokens, mirrored))
        return torch.cat([ahead, _take(behind, mirrored)], dim=-1) * mask[..., None]


class Convolutions(nn.Module):
    """Convolutions over windows of several lengths, and ReLU: a state for each token.

    One window of each length begins at each token, with zeros behind the text. So a state does not depend on
    the other texts of the batch.

    Parameters
    ----------
    input_size : int
        Width of a token's vector.
    filters : int
        Filters of each length.
    kernel_sizes : sequence of int
        Words that a window spans.
    """

    def __init__(self, input_size: int, filters: int, kernel_sizes: tuple[int, ...]) -> None:
        super().__init__()
        self.kernel_sizes = tuple(kernel_sizes)
        self.convolutions = nn.ModuleList(nn.Conv1d(input_size, filters, size) for size in kernel_sizes)
        self.output_size = len(kernel_sizes) * filters

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Return the states, float of shape (B, n, len(kernel_sizes) * filters), zero at padding.

        Parameters
        ----------
        tokens : float tensor of shape (B, n, input_size)
            The vectors of the tokens, zero at padding.
        lengths : int64 tensor of shape (B,)
            The number of tokens of each text.
        """
        mask = padding_mask(lengths, tokens.shape[1])[:, None]
        tokens = tokens.transpose(1, 2)
        windows = [
            convolution(nn.functional.pad(tokens, (0, size - 1)))
            for size, convolution in zip(self.kernel_sizes, self.convolutions, strict=True)
        ]
        return (torch.relu(torch.cat(windows, dim=1)) * mask).transpose(1, 2)


class CNNEncoder(TextEncoder):
    """Convolutions of word vectors (Kim, 2014): a state for each word, which depends on those behind it.

    word vectors -> dropout -> convolutions -> ReLU -> H

    Parameters
    ----------
    vocabulary_size : int
        Rows of the word embedding, padding (0) and unknown (1) included.
    embedding_dimension : int
        Width of a word vector.
    kernel_sizes : sequence of int
        Words that a convolution spans.
    filters : int
        Filters a kernel size.
    dropout : float
        Probability of dropping an input of the convolutions.
    """

    def __init__(
        self,
        vocabulary_size: int,
        *,
        embedding_dimension: int = 300,
        kernel_sizes: tuple[int, ...] = (2, 3, 4),
        filters: int = 100,
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, embedding_dimension, padding_idx=0)
        self.convolutions = Convolutions(embedding_dimension, filters, kernel_sizes)
        self.dropout = Dropout(dropout)
        self.output_size = self.convolutions.output_size

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Return a state a word, H, float of shape (B, n, output_size), zero at padding.

        Parameters
        ----------
        ids : int64 tensor of shape (B, n)
            Token ids, 0 is padding.
        lengths : int64 tensor of shape (B,)
            Tokens in each text.
        """
        return self.convolutions(self.dropout(self.embedding(ids)), lengths)


class RCNNEncoder(TextEncoder):
    """BiGRU, then convolutions (the paper's encoder, with max-pooling behind it).

    word vectors -> dropout -> BiGRU -> dropout -> convolutions -> ReLU -> H

    Parameters
    ----------
    vocabulary_size : int
        Rows of the word embedding, padding (0) and unknown (1) included.
    embedding_dimension : int
        Width of a word vector.
    hidden_size : int
        Width of the GRU in each direction.
    kernel_sizes : sequence of int
        Words that a convolution spans.
    filters : int
        Filters a kernel size.
    dropout : float
        Probability of dropping an input of the GRU or of the convolutions.
    """

    def __init__(
        self,
        vocabulary_size: int,
        *,
        embedding_dimension: int = 300,
        hidden_size: int = 100,
        kernel_sizes: tuple[int, ...] = (2, 3, 4),
        filters: int = 100,
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, embedding_dimension, padding_idx=0)
        self.gru = BidirectionalGRU(embedding_dimension, hidden_size)
        self.convolutions = Convolutions(2 * hidden_size, filters, kernel_sizes)
        self.dropout = Dropout(dropout)
        self.output_size = self.convolutions.output_size

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Return a state a word, H, float of shape (B, n, output_size), zero at padding.

        Parameters
        ----------
        ids : int64 tensor of shape (B, n)
            Token ids, 0 is padding.
        lengths : int64 tensor of shape (B,)
            Tokens in each text.
        """
        states = self.gru(self.dropout(self.embedding(ids)), lengths)
        return self.convolutions(self.dropout(states), lengths)


class GRUEncoder(TextEncoder):
    """BiGRU: a state for each word, which depends on all words before and behind it.

    word vectors -> dropout -> BiGRU -> H

    Parameters
    ----------
    vocabulary_size : int
        Rows of the word embedding, padding (0) and unknown (1) included.
    embedding_dimension : int
        Width of a word vector.
    hidden_size : int
        Width of the GRU in each direction; a state is twice as wide.
    dropout : float
        Probability of dropping an input of the GRU.
    """

    def __init__(
        self,
        vocabulary_size: int,
        *,
        embedding_dimension: int = 300,
        hidden_size: int = 100,
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, embedding_dimension, padding_idx=0)
        self.gru = BidirectionalGRU(embedding_dimension, hidden_size)
        self.dropout = Dropout(dropout)
        self.output_size = 2 * hidden_size

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Return a state a word, H, float of shape (B, n, output_size), zero at padding.

        Parameters
        ----------
        ids : int64 tensor of shape (B, n)
            Token ids, 0 is padding.
        lengths : int64 tensor of shape (B,)
            Tokens in each text.
        """
        return self.gru(self.dropout(self.embedding(ids)), lengths)


def _take(values: Tensor, positions: Tensor) -> Tensor:
    """Return ``values[b, positions[b, t]]`` for all b and t."""
    return values.gather(1, positions[..., None].expand(-1, -1, values.shape[-1]))
