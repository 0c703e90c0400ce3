"""Batches of texts with similar lengths: padded token ids and dense targets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from skhimatch.labels.weights import TextWeights
from skhimatch.text.sequences import SubwordSequences, Texts

__all__ = ["FixedShortlist", "InOrder", "LengthBuckets", "Shortlist", "TextDataset", "padding_mask"]

Batch = tuple[dict[str, Tensor], Tensor]


class Shortlist(Protocol):
    """Chooses the labels of each text that the network scores, for networks that do not score all labels."""

    @property
    def rng(self) -> np.random.RandomState | None:
        """The rng that draws labels, or None if no labels are drawn. A checkpoint stores its state."""
        ...

    def select(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float32] | None]:
        """Return the labels of some texts, of shape (B, K), and the weight of each label in the loss."""
        ...


class FixedShortlist:
    """A shortlist that does not change: a text has the same labels in every batch.

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
    """Token sequences and sparse targets; only the targets of one batch are dense at a time.

    Parameters
    ----------
    sequences : TokenSequences or SubwordSequences of n texts
        The texts. For `SubwordSequences` a batch holds the ids of the subwords.
    targets : csr_array of shape (n, L), optional
        0/1 targets. There are none at prediction.
    shortlist : Shortlist, optional
        Chooses the labels of each text that the network scores. By default it scores all labels.
    weights : TextWeights, optional
        How much the texts count in the loss.
    """

    def __init__(
        self,
        sequences: Texts,
        targets: sp.csr_array | None = None,
        shortlist: Shortlist | None = None,
        weights: TextWeights | None = None,
    ) -> None:
        self.sequences = sequences
        self.targets = targets
        self.shortlist = shortlist
        self.weights = weights

    def __len__(self) -> int:
        return len(self.sequences)

    def batch(self, rows: np.ndarray, texts: Texts | None = None) -> Batch:
        """Return one batch: padded ids, lengths and dense targets.

        Parameters
        ----------
        rows : int array of shape (B,)
            The numbers of the texts.
        texts : TokenSequences or SubwordSequences of B texts, optional
            These texts, if they are at hand.

        Returns
        -------
        inputs : dict of str to tensor
            - ``ids``: int64 of shape (B, n), padded with 0 on the right. n is the length of the longest text,
              at least 1. For texts with encodings these take the place of the ids: float32 of shape (B, d).
            - ``lengths``: int64 of shape (B,).
            - ``shortlist``: int64 of shape (B, K), only if the dataset has a shortlist.
            - ``label_weights``: float32 of shape (B, K), only if the shortlist draws labels at random. The
              weight of each label in the loss.
            - ``text_weights``: float32 of shape (B,), and ``pair_weights``: float32 of shape (B, L), only if
              the dataset has weights. See `BatchWeights`.
        targets : float32 tensor of shape (B, L)
            Of shape (B, 0) if the dataset has no targets.
        """
        chosen = self.sequences[rows] if texts is None else texts
        inputs = {"ids": _network_input(chosen), "lengths": torch.from_numpy(chosen.lengths)}
        if self.shortlist is not None:
            labels, label_weights = self.shortlist.select(rows)
            inputs["shortlist"] = torch.from_numpy(labels)
            if label_weights is not None:
                inputs["label_weights"] = torch.from_numpy(label_weights)
        if self.targets is None:
            return inputs, torch.zeros(len(rows), 0)
        targets = self.targets[rows].toarray()
        if self.weights is not None:
            weights = self.weights.pick(rows)
            inputs["text_weights"] = torch.from_numpy(weights.texts.astype(np.float32))
            inputs["pair_weights"] = torch.from_numpy(weights.in_loss(targets))
        return inputs, torch.from_numpy(targets)


def _network_input(texts: Texts) -> Tensor:
    if isinstance(texts, SubwordSequences):
        if texts.encodings is not None:
            return torch.from_numpy(texts.encodings)
        texts = texts.subwords
    lengths = texts.lengths
    ids = np.zeros((len(texts), max(1, lengths.max())), dtype=np.int64)
    ids[np.arange(ids.shape[1]) < lengths[:, None]] = texts.ids
    return torch.from_numpy(ids)


def padding_mask(lengths: Tensor, width: int) -> Tensor:
    """Mark the real tokens of a padded batch.

    Parameters
    ----------
    lengths : int64 tensor of shape (B,)
        Number of tokens of each text.
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
    """Random training batches, each of texts with about the same length.

    Each pass shuffles the texts, cuts them into pools of `pool` batches, sorts each pool by length, cuts it
    into batches, and shuffles the batches of all pools.

    Parameters
    ----------
    dataset : TextDataset
        The training texts.
    batch_size : int
        Texts per batch. The last batch of the last pool may be smaller.
    pool : int
        Batches that are sorted together. A larger pool needs less padding, a smaller one is more random.
    generator : torch.Generator, optional
        Where the random numbers come from; torch's global generator by default.
    """

    def __init__(
        self,
        dataset: TextDataset,
        batch_size: int,
        pool: int = 32,
        generator: torch.Generator | None = None,
    ) -> None:
        self.dataset = dataset
        self.batch_size = batch_size
        self.pool = pool
        self.generator = generator

    def __len__(self) -> int:
        return -(-len(self.dataset) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        shuffled = torch.randperm(len(self.dataset), generator=self.generator).numpy()
        lengths = self.dataset.sequences.lengths
        pool_size = self.pool * self.batch_size
        batches: list[np.ndarray] = []
        for start in range(0, len(shuffled), pool_size):
            pool = shuffled[start : start + pool_size]
            pool = pool[np.argsort(lengths[pool], kind="stable")]
            batches += [pool[i : i + self.batch_size] for i in range(0, len(pool), self.batch_size)]
        for number in torch.randperm(len(batches), generator=self.generator).tolist():
            yield self.dataset.batch(batches[number])


class InOrder:
    """Prediction batches, sorted by length, the longest texts first.

    Parameters
    ----------
    dataset : TextDataset
        The texts.
    batch_size : int
        Texts per batch.

    Attributes
    ----------
    order : int64 array of shape (n,)
        ``order[i]`` is the number of the text that comes at place i. It serves to put results back into the
        order of the dataset.
    """

    def __init__(self, dataset: TextDataset, batch_size: int) -> None:
        self.dataset = dataset
        self.batch_size = batch_size
        # If a batch does not fit into memory, then the first one fails, and no time is lost.
        self.order = np.argsort(-dataset.sequences.lengths, kind="stable")

    def __len__(self) -> int:
        return -(-len(self.dataset) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        # Sorted all at once: then the texts of a batch are neighbours.
        texts = self.dataset.sequences[self.order]
        for start in range(0, len(self.order), self.batch_size):
            batch = slice(start, start + self.batch_size)
            yield self.dataset.batch(self.order[batch], texts[batch])
