"""Text encoders: from token ids to one state for each token, or to one vector for each text (section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from skhimatch.labels.texts import LabelTexts
from skhimatch.network.batches import padding_mask
from skhimatch.network.dropout import Dropout
from skhimatch.text.sequences import PADDING_ID, Texts, words_of

__all__ = [
    "BidirectionalGRU",
    "ConvolutionEncoder",
    "GRUEncoder",
    "RCNNEncoder",
    "TabulatedConvolution",
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

    def input_of(self, texts: Texts) -> Texts:
        """Return the part of tokenised texts that this encoder reads: here, their words."""
        return words_of(texts)

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


class RCNNEncoder(TextEncoder):
    """BiGRU, then convolutions with top-k max-pooling over time (the paper's encoder).

    word vectors -> dropout -> BiGRU -> dropout -> Conv1d -> ReLU -> top-k
    over time -> T. Padding is set to zero before the convolution and before
    the pooling. Since the activations are not negative, zeros do not change the
    maximum. So a text's vector does not depend on the other texts of its batch.

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
    top_k : int
        Largest activations kept of each filter.
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
        top_k: int = 1,
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, embedding_dimension, padding_idx=0)
        self.gru = BidirectionalGRU(embedding_dimension, hidden_size)
        self.kernel_sizes = tuple(kernel_sizes)
        self.convolutions = nn.ModuleList(nn.Conv1d(2 * hidden_size, filters, size) for size in kernel_sizes)
        self.dropout = Dropout(dropout)
        self.top_k = top_k
        self.output_size = len(kernel_sizes) * filters * top_k

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Return the text features T, float of shape (B, output_size).

        Parameters
        ----------
        ids : int64 tensor of shape (B, n)
            Token ids, 0 is padding.
        lengths : int64 tensor of shape (B,)
            Tokens in each text; 0 is allowed and gives T = 0.
        """
        states = self.gru(self.dropout(self.embedding(ids)), lengths)
        states = self.dropout(states).transpose(1, 2)
        mask = padding_mask(lengths, ids.shape[1])[:, None]
        pooled = []
        for size, convolution in zip(self.kernel_sizes, self.convolutions, strict=True):
            # One window begins at each token, regardless of the padding.
            windows = convolution(nn.functional.pad(states, (0, size - 1)))
            activations = torch.relu(windows) * mask
            missing = max(0, self.top_k - activations.shape[-1])
            pooled.append(nn.functional.pad(activations, (0, missing)).topk(self.top_k)[0].flatten(1))
        return torch.cat(pooled, dim=1)


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


class ConvolutionEncoder(TextEncoder):
    """One convolution: a state for each word, which depends on the words next to it.

    word vectors -> dropout -> convolution -> tanh -> H. A state is a sum of one product for each place of
    the window, and a product depends only on the word at that place. So each different word of a batch is
    multiplied once, and the products are looked up for every token. This is several times faster than a
    usual convolution. Outside of a text are zeros, so its states do not depend on the rest of the batch.

    Parameters
    ----------
    vocabulary_size : int
        Rows of the word embedding, padding (0) and unknown (1) included.
    output_size : int
        Width d of a state.
    embedding_dimension : int
        Width of a word vector.
    kernel_size : odd int
        Words that the convolution spans.
    dropout : float
        Probability of dropping a feature of a word, in all its places in the batch.
    """

    def __init__(
        self,
        vocabulary_size: int,
        output_size: int,
        *,
        embedding_dimension: int = 300,
        kernel_size: int = 3,
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        if kernel_size % 2 == 0:
            raise ValueError(
                f"kernel_size={kernel_size}: take an odd number, which has a word in the middle."
            )
        self.embedding = nn.Embedding(vocabulary_size, embedding_dimension, padding_idx=0)
        self.weight = nn.Parameter(torch.empty(kernel_size, embedding_dimension, output_size))
        self.bias = nn.Parameter(torch.zeros(output_size))
        bound = (kernel_size * embedding_dimension) ** -0.5
        nn.init.uniform_(self.weight, -bound, bound)
        self.dropout = Dropout(dropout)
        self.output_size = output_size

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Return a state a word, H, float of shape (B, n, output_size).

        Parameters
        ----------
        ids : int64 tensor of shape (B, n)
            Token ids; 0 is padding, and its states have no meaning.
        lengths : int64 tensor of shape (B,)
            Tokens in each text; not used.
        """
        reach = len(self.weight) // 2
        words, places = torch.unique(nn.functional.pad(ids, (reach, reach)), return_inverse=True)
        states = self.bias.expand(*ids.shape, -1).clone()
        for offset, products in enumerate(self.products(words)):
            states += products[places[:, offset : offset + ids.shape[1]]]
        return states.tanh_()

    def products(self, words: Tensor) -> Tensor:
        """Multiply words of shape (U,) with every place of a window: (kernel_size, U, output_size)."""
        return self.dropout(self.embedding(words)) @ self.weight

    def prepared_for(self, texts: Texts) -> TextReader:
        """Return the products of the words of these texts in a table, which gives equal states faster."""
        words = np.union1d(words_of(texts).ids, [PADDING_ID]).astype(np.int64)
        return self.tabulated(torch.from_numpy(words).to(self.weight.device))

    def tabulated(self, words: Tensor) -> TabulatedConvolution:
        """Return an encoder for texts that consist of these words only.

        Parameters
        ----------
        words : int64 tensor of shape (U,)
            Different ids, padding (0) among them.
        """
        return TabulatedConvolution(words, self.products(words), self.bias)


class TabulatedConvolution:
    """A trained convolution for texts of given words: all products are looked up in a table.

    Parameters
    ----------
    words : int64 tensor of shape (U,)
        Different ids, padding (0) among them.
    products : float tensor of shape (kernel_size, U, d)
        Of these words with every place of a window.
    bias : float tensor of shape (d,)
        Added to every state.
    """

    def __init__(self, words: Tensor, products: Tensor, bias: Tensor) -> None:
        self.row = torch.zeros(int(words.max()) + 1, dtype=torch.int64, device=words.device)
        self.row[words] = torch.arange(len(words), device=words.device)
        self.first_row = torch.arange(len(products), device=words.device) * len(words)
        self.products = 2 * products.flatten(0, 1)
        self.bias = 2 * bias

    def read(self, ids: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return the states H, float of shape (B, n, d), of ids of shape (B, n), and the lengths."""
        reach = len(self.first_row) // 2
        rows = self.row[nn.functional.pad(ids, (reach, reach))]
        windows = rows.unfold(1, len(self.first_row), 1) + self.first_row
        summed = nn.functional.embedding_bag(windows.flatten(0, 1), self.products, mode="sum")
        # tanh x = 2 sigmoid(2 x) - 1, which torch computes several times faster.
        return summed.unflatten(0, ids.shape).add_(self.bias).sigmoid_().mul_(2).sub_(1), lengths


def _take(values: Tensor, positions: Tensor) -> Tensor:
    """Return ``values[b, positions[b, t]]`` for all b and t."""
    return values.gather(1, positions[..., None].expand(-1, -1, values.shape[-1]))
