"""The default encoder of words: one convolution, computed once for each different word of a batch."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from skhimatch.network.dropout import Dropout
from skhimatch.network.encoders import TextEncoder, TextReader
from skhimatch.text.sequences import PADDING_ID, Texts, words_of

__all__ = ["ConvolutionEncoder", "TabulatedConvolution"]


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
