"""The default encoder of words: one convolution, computed once for each different word of a batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from skhimatch.network.dropout import Dropout
from skhimatch.network.encoders import TextEncoder
from skhimatch.text.sequences import PADDING_ID, Texts, words_of

__all__ = ["ConvolutionEncoder", "TabulatedConvolution"]

# The products of all words of a vocabulary are kept for prediction if they are no more than so many numbers,
# 128 MiB: for 87,000 words by default.
MAX_TABLE_NUMBERS = 2**25
# They are computed for so many words at once. The size of a matrix product decides how its sums are rounded.
# So equal texts get equal bits, whatever texts came before.
WORDS_OF_A_BLOCK = 64


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

    # Of the class: networks that were pickled by an earlier version do not have it.
    kept: KeptProducts | None = None

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
        kernel_size = len(self.weight)
        padded = nn.functional.pad(ids, (kernel_size // 2, kernel_size // 2))
        words, places = torch.unique(padded, return_inverse=True)
        windows = _windows(places, kernel_size)
        # Sums of bfloat16 numbers are slow on processors, and less exact.
        products = self.products(words).flatten(0, 1).to(self.bias.dtype)
        # In place before the last change of the shape: changes of a view would be copied.
        states = SummedRows.apply(products, windows.flatten(0, 1)).add_(self.bias).tanh_()
        return states.unflatten(0, ids.shape)

    def products(self, words: Tensor) -> Tensor:
        """Multiply words of shape (U,) with every place of a window: (U, kernel_size, output_size)."""
        # One matrix product, whose result needs no copy.
        weight = self.weight.transpose(0, 1).flatten(1)
        return (self.dropout(self.embedding(words)) @ weight).unflatten(1, (len(self.weight), -1))

    def train(self, mode: bool = True) -> ConvolutionEncoder:
        """Switch between training and prediction; the products kept for prediction are dropped."""
        # Optimizers that update all weights in one operation do not count the changes of a weight.
        self.kept = None
        return super().train(mode)

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled: all but the products kept for prediction."""
        return {**super().__getstate__(), "kept": None}

    def prepared_for(self, texts: Texts) -> TabulatedConvolution:
        """Return an encoder of these texts that looks up all products in a table: equal states, but faster.

        The table is kept for the next texts, as long as the weights are the same. It has a row for each word
        of the vocabulary. The rows of words seen so far are filled.

        Parameters
        ----------
        texts : TokenSequences or SubwordSequences of n texts
            The texts.

        Returns
        -------
        TabulatedConvolution
            Of all words of these texts.
        """
        ids = words_of(texts).ids
        n_words, device = self.embedding.num_embeddings, self.weight.device
        if n_words * self.weight[:, 0].numel() > MAX_TABLE_NUMBERS:
            words = np.union1d(ids, [PADDING_ID]).astype(np.int64)
            row = np.zeros(n_words, dtype=np.int64)
            row[words] = np.arange(len(words))
            products = self._doubled(torch.from_numpy(words).to(device))
            return TabulatedConvolution(products, torch.from_numpy(row).to(device))
        of_weights = self.embedding.weight, self.weight, self.bias
        kept, weights = self.kept, tuple(map(_identity, of_weights))
        # No inference tensors: they could not be filled outside of inference mode.
        with torch.inference_mode(False), torch.no_grad():
            if kept is None or kept.weights != weights:
                shape = n_words, len(self.weight), self.output_size
                kept = KeptProducts(weights, self.weight.new_empty(shape), np.zeros(n_words, dtype=bool))
                self._fill(kept, PADDING_ID)
                self.kept = kept
            new = ids[~kept.filled[ids]]
            for block in np.unique(new // WORDS_OF_A_BLOCK) if len(new) else ():
                self._fill(kept, int(block) * WORDS_OF_A_BLOCK)
        return TabulatedConvolution(kept.products)

    @torch.no_grad()
    def _doubled(self, words: Tensor) -> Tensor:
        """Return twice the products of words, with the bias at the middle place: each state has one."""
        products = self.products(words)
        products[:, len(self.weight) // 2] += self.bias
        return products.mul_(2)

    def _fill(self, kept: KeptProducts, start: int) -> None:
        """Compute the products of a block of words, the first of which is `start`."""
        block = slice(start, start + WORDS_OF_A_BLOCK)
        rows = torch.arange(len(kept.filled), device=kept.products.device)[block]
        kept.products[block] = self._doubled(rows)
        # Last: another thread may read the table meanwhile.
        kept.filled[block] = True


class SummedRows(torch.autograd.Function):
    """Sums of some rows of a matrix; several times faster than indexing, forward and backward.

    Its gradient is a sum of some rows as well: of those of the sums that a row is part of.
    """

    @staticmethod
    def forward(ctx: Any, matrix: Tensor, rows: Tensor) -> Tensor:
        """Return sum_k matrix[rows[:, k]].

        Parameters
        ----------
        ctx : autograd context
            Keeps the rows.
        matrix : float tensor of shape (U, d)
            The matrix.
        rows : int64 tensor of shape (n, K)
            Which rows are summed.

        Returns
        -------
        float tensor of shape (n, d)
        """
        ctx.save_for_backward(rows)
        ctx.n_rows = len(matrix)
        return nn.functional.embedding_bag(rows, matrix, mode="sum")

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """Return the gradient of the matrix, of shape (U, d), and none of the rows."""
        (rows,) = ctx.saved_tensors
        flat = rows.flatten()
        number = torch.bincount(flat, minlength=ctx.n_rows)
        sums = flat.argsort() // rows.shape[1]
        starts = number.cumsum(0) - number
        return nn.functional.embedding_bag(sums, gradient.contiguous(), starts, mode="sum"), None


@dataclass
class KeptProducts:
    """Products of words with every place of a window, as `TabulatedConvolution` takes them, if needed so far.

    Attributes
    ----------
    weights : tuple
        What tells whether the weights are still those that the products are of.
    products : float tensor of shape (V, kernel_size, d)
        One row for each word of the vocabulary.
    filled : bool ndarray of shape (V,)
        Which rows are filled.
    """

    weights: tuple[Any, ...]
    products: Tensor
    filled: NDArray[np.bool_]


class TabulatedConvolution:
    """A trained convolution for texts of given words: all products are looked up in a table.

    Parameters
    ----------
    products : float tensor of shape (U, kernel_size, d)
        Twice the product of each word with every place of a window; twice the bias is added at the middle.
    row : int64 tensor of shape (V,), optional
        The row of each word in `products`; by default its id.
    """

    def __init__(self, products: Tensor, row: Tensor | None = None) -> None:
        self.kernel_size = products.shape[1]
        self.products = products.flatten(0, 1)
        self.row = row

    def read(self, ids: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return the states H, float of shape (B, n, d), of ids of shape (B, n), and the lengths."""
        reach = self.kernel_size // 2
        words = nn.functional.pad(ids, (reach, reach))
        rows = words if self.row is None else self.row[words]
        windows = _windows(rows, self.kernel_size)
        summed = nn.functional.embedding_bag(windows.flatten(0, 1), self.products, mode="sum")
        # tanh x = 2 sigmoid(2 x) - 1, which torch computes several times faster.
        half = summed.sigmoid_()
        states = torch.add(half.new_tensor(-1.0), half, alpha=2, out=half)
        return states.unflatten(0, ids.shape), lengths


def _identity(weight: Tensor) -> tuple[Any, ...]:
    """Return what changes when a weight is changed in place, replaced or moved."""
    # Tensors that are made in inference mode do not count their changes.
    version = None if weight.is_inference() else weight._version
    return weight.data_ptr(), weight.dtype, weight.device, version


def _windows(rows: Tensor, kernel_size: int) -> Tensor:
    """Return the rows of products that each state is the sum of.

    Parameters
    ----------
    rows : int64 tensor of shape (B, n + kernel_size - 1)
        The row of each word, padded on both sides, in products of shape (U, kernel_size, d).
    kernel_size : int
        Words of a window.

    Returns
    -------
    int64 tensor of shape (B, n, kernel_size)
        Rows of the same products as a matrix of shape (U * kernel_size, d).
    """
    places = torch.arange(kernel_size, device=rows.device)
    return (rows * kernel_size).unfold(1, kernel_size, 1) + places
