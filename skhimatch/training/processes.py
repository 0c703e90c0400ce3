"""Several processes that train one network, started by Hugging Face Accelerate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

__all__ = ["Processes", "running_processes"]

Made = TypeVar("Made")


class Processes:
    """The processes that ``accelerate launch`` has started, seen from one of them.

    All of them have the same texts, weights and random numbers, and each computes the gradients of its part
    of a batch.

    Attributes
    ----------
    number : int
        How many there are.
    own : int
        Which one this is, from 0.
    """

    def __init__(self, number: int, own: int) -> None:
        self.number = number
        self.own = own

    @property
    def is_first(self) -> bool:
        """Whether this process prints and trains n-grams."""
        return self.own == 0

    def add_up(
        self, weights: Sequence[Tensor], numbers: Tensor, tables: Sequence[nn.Embedding] = ()
    ) -> Tensor:
        """Add up the gradients of all processes.

        Parameters
        ----------
        weights : sequence of tensors
            Each gets the sum of its gradients. Without a gradient in any process it stays without one.
        numbers : float tensor
            Further numbers, such as losses.
        tables : sequence of torch.nn.Embedding
            Of their gradients only those rows are sent that are not zero in some process: a batch has few of
            the words of a language. These gradients are sparse if the table says so.

        Returns
        -------
        float tensor
            The sum of the numbers.
        """
        from accelerate.utils import reduce

        device = weights[0].device
        of_weight = {table.weight: table for table in tables}
        has_gradient = torch.tensor([float(weight.grad is not None) for weight in weights], device=device)
        own_rows = [_rows_with_gradient(weight) for weight in weights if weight in of_weight]
        sums = reduce(torch.cat([numbers.to(device), has_gradient, *own_rows]), reduction="sum")
        numbers, has_gradient, *counts = sums.split([len(numbers), len(weights), *map(len, own_rows)])
        count = iter(counts)
        rows = [next(count).nonzero()[:, 0] if weight in of_weight else None for weight in weights]
        sent = [
            (weight, weight_rows, _gradient_of(weight, weight_rows).flatten())
            for weight, some, weight_rows in zip(weights, has_gradient.tolist(), rows, strict=True)
            if some
        ]
        gradients = [gradient for _, _, gradient in sent]
        sums = reduce(torch.cat(gradients), reduction="sum")
        for (weight, weight_rows, _), gradient in zip(sent, sums.split([*map(len, gradients)]), strict=True):
            if weight_rows is None:
                weight.grad = gradient.view_as(weight)
                continue
            of_rows = gradient.view(len(weight_rows), weight.shape[1])
            if of_weight[weight].sparse:
                weight.grad = torch.sparse_coo_tensor(
                    weight_rows[None], of_rows, weight.shape, is_coalesced=True, check_invariants=False
                )
            else:
                weight.grad = torch.zeros_like(weight) if weight.grad is None else weight.grad
                weight.grad[weight_rows] = of_rows
        return numbers.cpu()

    def made_by_first(self, make: Callable[[], Made]) -> Made:
        """Let the first process make something, and send it to the others.

        Parameters
        ----------
        make : callable
            Called in the first process.

        Returns
        -------
        object
            What it returned.
        """
        from accelerate.utils import broadcast_object_list

        [made] = broadcast_object_list([make() if self.is_first else None])
        return made

    def check_same(self, what: Any) -> None:
        """Raise a ValueError in all processes if an object is not equal in all of them."""
        from accelerate.utils import gather_object

        if len(set(gather_object([what]))) > 1:
            raise ValueError(
                "the processes have different data or parameters: load the same texts and labels in the same "
                "order in each of them"
            )


def _rows_with_gradient(table: Tensor) -> Tensor:
    """Return 1 for each row of a table that has a gradient, else 0, as floats."""
    if table.grad is None:
        return torch.zeros(len(table), device=table.device)
    if not table.grad.is_sparse:
        return (table.grad != 0).any(dim=1).float()
    table.grad = table.grad.coalesce()
    return torch.zeros(len(table), device=table.device).index_fill_(0, table.grad.indices()[0], 1.0)


def _gradient_of(weight: Tensor, rows: Tensor | None) -> Tensor:
    """Return the gradient of a weight, or of some rows of a table, zero where there is none."""
    gradient = weight.grad
    if rows is None:
        return torch.zeros_like(weight) if gradient is None else gradient
    if gradient is not None and not gradient.is_sparse:
        return gradient[rows]
    of_rows = torch.zeros(len(rows), weight.shape[1], device=weight.device)
    if gradient is not None:
        of_rows[torch.searchsorted(rows, gradient.indices()[0])] = gradient.values()
    return of_rows


def running_processes() -> Processes | None:
    """Return the processes that ``accelerate launch`` has started; None if there is only this one.

    Returns
    -------
    Processes or None

    Raises
    ------
    ImportError
        If accelerate is not installed.
    ValueError
        If there are several processes, and the script did not connect them.
    """
    try:
        from accelerate import PartialState
        from accelerate.utils import get_int_from_env, parse_flag_from_env
    except ImportError as error:
        raise ImportError(
            "net_params: 'accelerate' needs Hugging Face Accelerate: "
            'python -m pip install "skhimatch[distributed]"'
        ) from error
    # Without a GPU, processes are found only if this is said.
    state = PartialState(cpu=not torch.cuda.is_available() or parse_flag_from_env("ACCELERATE_USE_CPU"))
    if state.num_processes == 1 and get_int_from_env(["WORLD_SIZE"], 1) > 1:
        raise ValueError(
            "Accelerate was first used in a way that does not connect the processes: without GPUs, begin the "
            "script with Accelerator(cpu=True)"
        )
    return Processes(state.num_processes, state.process_index) if state.num_processes > 1 else None
