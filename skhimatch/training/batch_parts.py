"""Parts of a training batch that take about the same time: one after the other, or in several processes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skhimatch.network.negatives import LabelPairs

__all__ = ["BatchPart", "balanced_slices", "parts_of_batch"]

# A text takes as long as so many tokens more than it has, since its labels are scored, too. Measured on
# api-docs: a step of 32 texts of n tokens takes 9 ms for the labels of the batch and .28 (n + 12) ms.
TOKENS_OF_A_TEXT = 12


@dataclass(frozen=True)
class BatchPart:
    """A part of a batch.

    Attributes
    ----------
    inputs : dict of str to tensor
        As `TextDataset.batch` returns them.
    targets : float tensor of shape (B, L)
        0/1 targets.
    pairs : LabelPairs or None
        Those pairs of the batch whose text is in this part.
    share_of_texts, share_of_pairs : float
        Shares of the whole batch, by weight. Without drawn pairs the matching loss is a mean over texts.
    """

    inputs: dict[str, Tensor]
    targets: Tensor
    pairs: LabelPairs | None
    share_of_texts: float
    share_of_pairs: float


def parts_of_batch(
    inputs: dict[str, Tensor], targets: Tensor, pairs: LabelPairs | None, number: int
) -> Iterator[BatchPart]:
    """Cut a batch into parts that take about the same time, without padding that a part does not need.

    Parameters
    ----------
    inputs : dict of str to tensor
        The inputs of B texts.
    targets : float tensor of shape (B, L)
        0/1 targets.
    pairs : LabelPairs or None
        The pairs of the batch.
    number : int
        The most parts. There may be fewer, if one text takes as long as many.

    Yields
    ------
    BatchPart
        In the order of the texts.
    """
    weights = inputs.get("text_weights", torch.ones(len(targets))).double()
    # Texts that a frozen encoder has read are vectors, all of the same size.
    have_tokens = not inputs["ids"].is_floating_point()
    lengths = inputs["lengths"].cpu().numpy() if have_tokens else np.ones(len(targets), dtype=np.int64)
    for rows in balanced_slices(lengths, number):
        part = {name: values[rows] for name, values in inputs.items()}
        if have_tokens:
            part["ids"] = part["ids"][:, : max(1, int(lengths[rows].max()))]
        share_of_texts = float(weights[rows].sum() / weights.sum())
        part_pairs, share_of_pairs = None, share_of_texts
        if pairs is not None:
            part_pairs = pairs.of_rows(rows.start, rows.stop)
            of_part = weights[rows][part_pairs.text.cpu()].sum()
            share_of_pairs = float(of_part / weights[pairs.text.cpu()].sum()) if len(pairs) else 0.0
        yield BatchPart(part, targets[rows], part_pairs, share_of_texts, share_of_pairs)


def balanced_slices(lengths: NDArray[np.int64], number: int) -> list[slice]:
    """Cut a batch into slices so that the slowest one is as quick as possible.

    A slice takes a time in proportion to its number of texts, times its longest text, to which all others are
    padded.

    Parameters
    ----------
    lengths : int64 array of shape (B,)
        The tokens of each text.
    number : int
        The most slices.

    Returns
    -------
    list of slice
        Without gaps, none of them empty.

    Examples
    --------
    >>> balanced_slices(np.array([10, 10, 10, 10, 50, 50]), 2)
    [slice(0, 4, None), slice(4, 6, None)]
    """
    costs = lengths.astype(np.int64) + TOKENS_OF_A_TEXT
    if len(costs) == 0:
        return []
    # The lowest bound of a slice's cost with which there are few enough slices, by bisection.
    low, high = int(costs.max()), int(costs.max()) * len(costs)
    while low < high:
        middle = (low + high) // 2
        if len(_slices_within(costs, middle)) <= number:
            high = middle
        else:
            low = middle + 1
    return _slices_within(costs, low)


def _slices_within(costs: NDArray[np.int64], bound: int) -> list[slice]:
    """Return the longest slices whose number of texts times their highest cost is at most a bound."""
    slices, start, highest = [], 0, 0
    for row, cost in enumerate(costs.tolist()):
        highest = max(highest, cost)
        if (row + 1 - start) * highest > bound:
            slices.append(slice(start, row))
            start, highest = row, cost
    return [*slices, slice(start, len(costs))]
