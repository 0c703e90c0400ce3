"""Several processes that train one network, started by Hugging Face Accelerate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

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

    def add_up(self, weights: Sequence[Tensor], numbers: Tensor) -> Tensor:
        """Add up the gradients of all processes, in one message.

        Parameters
        ----------
        weights : sequence of tensors
            Each gets the sum of its gradients. Without a gradient in any process it stays without one.
        numbers : float tensor
            Further numbers, such as losses.

        Returns
        -------
        float tensor
            The sum of the numbers.
        """
        from accelerate.utils import reduce

        device = weights[0].device
        has_gradient = torch.tensor([float(weight.grad is not None) for weight in weights], device=device)
        gradients = [
            torch.zeros_like(weight).flatten() if weight.grad is None else weight.grad.flatten()
            for weight in weights
        ]
        sums = reduce(torch.cat([numbers.to(device), has_gradient, *gradients]), reduction="sum")
        lengths = [len(numbers), len(weights), *(weight.numel() for weight in weights)]
        numbers, has_gradient, *gradients = sums.split(lengths)
        for weight, some, gradient in zip(weights, has_gradient.tolist(), gradients, strict=True):
            if some:
                weight.grad = gradient.view_as(weight)
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
