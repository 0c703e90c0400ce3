"""Ragged texts and sparse targets, cut into batches of like length."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from skhimatch.text.sequences import SubwordSequences, Texts

__all__ = ["FixedShortlist", "InOrder", "LengthBuckets", "Shortlist", "TextDataset", "padding_mask"]

Batch = tuple[dict[str, Tensor], Tensor]


class Shortlist(Protocol):
    """Chooses the labels of each text that a network scores, where it does not score all of them."""

    @property
    def rng(self) -> np.random.RandomState | None:
        """What it draws labels with, if it draws any; a checkpoint keeps its state."""
        ...

    def select(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float32] | None]:
        """Return the labels of some texts, (B, K), and how many labels each stands for in the loss."""
        ...


class FixedShortlist:
    """The same labels each time that a text comes up.

    Parameters
    ----------
    labels : int64 ndarray of shape (n, K)
        Columns of the labels of each text.
    """

    rng: np.random.RandomState | None = None

    def __init__(self, labels: NDArray[np.int64]) -> None:
        self.labels = labels

    def select(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], None]:
        """Return the labels of some texts, int64 of shape (B, K); None for their weights."""
        return self.labels[rows], None


class TextDataset(Dataset):
    """Token sequences with sparse targets, made dense a batch at a time.

    Parameters
    ----------
    sequences : TokenSequences or SubwordSequences of n texts
        The texts; of those with subwords, these are what a batch holds.
    targets : csr_array of shape (n, L), optional
        0/1 targets; absent at prediction.
    shortlist : Shortlist, optional
        Chooses the labels of each text that the network scores; absent where it scores all.
    """

    def __init__(
        self,
        sequences: Texts,
        targets: sp.csr_array | None = None,
        shortlist: Shortlist | None = None,
    ) -> None:
        self.sequences = sequences
        self.targets = targets
        self.shortlist = shortlist

    def __len__(self) -> int:
        return len(self.sequences)

    def batch(self, rows: np.ndarray) -> Batch:
        """Collate `rows` into padded ids, lengths and dense targets.

        Parameters
        ----------
        rows : int array of shape (B,)
            Which texts.

        Returns
        -------
        inputs : dict
            ``ids``, int64 of shape (B, n) with n the longest text's length
            (at least 1), padded with 0 on the right, or the encodings, float32 of shape (B, d), of texts
            that have them; ``lengths``, int64 of shape (B,); where there are any, ``shortlist``, int64 of
            shape (B, K); and where they are drawn, ``label_weights``, float32 of shape (B, K): how many
            labels each stands for in the loss.
        targets : float32 tensor of shape (B, L)
            (B, 0) where the dataset has none.
        """
        chosen = self.sequences[rows]
        lengths = torch.from_numpy(chosen.lengths.astype(np.int64))
        inputs = {"ids": _network_input(chosen, lengths), "lengths": lengths}
        if self.shortlist is not None:
            labels, label_weights = self.shortlist.select(rows)
            inputs["shortlist"] = torch.from_numpy(labels)
            if label_weights is not None:
                inputs["label_weights"] = torch.from_numpy(label_weights)
        if self.targets is None:
            return inputs, torch.zeros(len(rows), 0)
        return inputs, torch.from_numpy(self.targets[rows].toarray())


def _network_input(texts: Texts, lengths: Tensor) -> Tensor:
    if isinstance(texts, SubwordSequences):
        if texts.encodings is not None:
            return torch.from_numpy(texts.encodings)
        texts = texts.subwords
    ids = torch.zeros(len(texts), max(1, int(lengths.max())), dtype=torch.int64)
    ids[padding_mask(lengths, ids.shape[1])] = torch.from_numpy(texts.ids.astype(np.int64))
    return ids


def padding_mask(lengths: Tensor, width: int) -> Tensor:
    """Mark the real tokens of a padded batch.

    Parameters
    ----------
    lengths : int64 tensor of shape (B,)
        Tokens in each text.
    width : int
        The padded length n.

    Returns
    -------
    bool tensor of shape (B, n)
        True at tokens, False at padding.

    Examples
    --------
    >>> padding_mask(torch.tensor([2, 0]), 3).int()
    tensor([[1, 1, 0],
            [0, 0, 0]], dtype=torch.int32)
    """
    return torch.arange(width, device=lengths.device) < lengths[:, None]


class LengthBuckets:
    """Training batches: random, yet each of texts of about one length.

    Every pass shuffles the texts, sorts pools of `pool` batches by length,
    cuts them and shuffles the batches, with torch's current generator.

    Parameters
    ----------
    dataset : TextDataset
        The training texts.
    batch_size : int
        Texts a batch (the last one may be smaller).
    pool : int
        Batches sorted together: more of them save padding, fewer mix more.
    """

    def __init__(self, dataset: TextDataset, batch_size: int, pool: int = 32) -> None:
        self.dataset = dataset
        self.batch_size = batch_size
        self.pool = pool

    def __len__(self) -> int:
        return -(-len(self.dataset) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        shuffled = torch.randperm(len(self.dataset)).numpy()
        lengths = self.dataset.sequences.lengths
        pool_size = self.pool * self.batch_size
        batches: list[np.ndarray] = []
        for start in range(0, len(shuffled), pool_size):
            pool = shuffled[start : start + pool_size]
            pool = pool[np.argsort(lengths[pool], kind="stable")]
            batches += [pool[i : i + self.batch_size] for i in range(0, len(pool), self.batch_size)]
        for number in torch.randperm(len(batches)).tolist():
            yield self.dataset.batch(batches[number])


class InOrder:
    """Prediction batches: by length, longest first; `order` undoes it.

    Parameters
    ----------
    dataset : TextDataset
        The texts.
    batch_size : int
        Texts a batch.

    Attributes
    ----------
    order : int64 array of shape (n,)
        ``order[i]`` is the text that comes out as number i.
    """

    def __init__(self, dataset: TextDataset, batch_size: int) -> None:
        self.dataset = dataset
        self.batch_size = batch_size
        # Longest first: what does not fit into memory fails at once, not after an hour.
        self.order = np.argsort(-dataset.sequences.lengths, kind="stable")

    def __len__(self) -> int:
        return -(-len(self.dataset) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        for start in range(0, len(self.order), self.batch_size):
            yield self.dataset.batch(self.order[start : start + self.batch_size])
