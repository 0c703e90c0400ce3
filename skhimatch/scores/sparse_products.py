"""Products of the sparse features of texts with the weights of labels."""

from __future__ import annotations

import warnings

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

__all__ = [
    "dense_weight",
    "product_at",
    "product_with_dense",
    "product_with_sparse",
    "subtract_at",
    "used_columns",
]

# From this share of weights that are not zero, texts are scored by dense weights. They are kept if they are
# no more than this number, 128 MiB. On WOS, where the share is .32, the product then takes a tenth of the
# time that it takes if weights are made dense for each prediction.
MIN_DENSITY, MAX_DENSE_WEIGHTS = 0.1, 2**25
# Otherwise the weights of the n-grams of some texts at a time are made dense: as many texts as have so many
# weights, no more than 64. That takes a fifth of the time of the sparse product.
WEIGHTS_OF_PRODUCT, TEXTS_OF_PRODUCT = 2**22, 64


def dense_weight(weight: sp.csr_array) -> NDArray[np.float32] | None:
    """Return weights as a dense array, or None if that would be much larger."""
    n_weights = weight.shape[0] * weight.shape[1]
    if weight.nnz < MIN_DENSITY * n_weights or n_weights > MAX_DENSE_WEIGHTS:
        return None
    return weight.toarray()


def product_with_sparse(features: sp.csr_array, weight: sp.csr_array) -> NDArray[np.float32]:
    """Return features @ weight, dense, of shape (n, L)."""
    if weight.nnz < MIN_DENSITY * weight.shape[0] * weight.shape[1]:
        return (features @ weight).toarray()
    product = np.empty((features.shape[0], weight.shape[1]), dtype=np.float32)
    # By the longest text, whose weights have to be dense at once in any case.
    most = max(1, int(np.diff(features.indptr).max(initial=0)) * weight.shape[1])
    n_texts = min(TEXTS_OF_PRODUCT, max(1, WEIGHTS_OF_PRODUCT // most))
    for start in range(0, len(product), n_texts):
        part = features[start : start + n_texts]
        used, column = np.unique(part.indices, return_inverse=True)
        compact = sp.csr_array((part.data, column, part.indptr), shape=(part.shape[0], len(used)))
        product[start : start + n_texts] = compact @ weight[used].toarray()
    return product


def product_with_dense(features: sp.csr_array, weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return features @ weight, of shape (n, L), three times as fast as scipy does."""
    # Only here and in a step of training: prediction with an exported file has to do without torch.
    import torch

    if features.nnz == 0:
        return np.zeros((features.shape[0], weight.shape[1]), dtype=np.float32)
    return torch.nn.functional.embedding_bag(
        torch.from_numpy(features.indices),
        torch.from_numpy(weight),
        torch.from_numpy(features.indptr),
        mode="sum",
        per_sample_weights=torch.from_numpy(features.data),
        include_last_offset=True,
    ).numpy()


def used_columns(features: sp.csr_array) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the columns that are not all zero in B rows, and their values, dense, of shape (used, B)."""
    used, column = np.unique(features.indices, return_inverse=True)
    values = np.zeros((len(used), features.shape[0]), dtype=np.float32)
    values[column, np.repeat(np.arange(features.shape[0]), np.diff(features.indptr))] = features.data
    return used, values


def product_at(
    pattern: sp.csr_array, left: NDArray[np.float32], right: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the entries of left @ right at the entries of a pattern, in its order."""
    # As in `product_with_dense`.
    import torch

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta", UserWarning)
        entries = torch.sparse_csr_tensor(
            torch.from_numpy(pattern.indptr).long(),
            torch.from_numpy(pattern.indices).long(),
            torch.zeros(pattern.nnz),
            pattern.shape,
            check_invariants=False,
        )
    return (
        torch.sparse.sampled_addmm(entries, torch.from_numpy(left), torch.from_numpy(right)).values().numpy()
    )


def subtract_at(
    data: NDArray[np.float32], positions: NDArray[np.int64], values: NDArray[np.float32], factor: float
) -> None:
    """Subtract multiples of values at different positions of an array, twice as fast as numpy does."""
    # As in `product_with_dense`.
    import torch

    torch.from_numpy(data).index_add_(0, torch.from_numpy(positions), torch.from_numpy(values), alpha=-factor)
