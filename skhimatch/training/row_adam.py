"""Adam whose cost for a table of words depends on the words of a batch, not on the size of the table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from skorch import NeuralNet
from skorch.callbacks import Callback
from torch import Tensor, nn
from torch.optim.adam import adam

from skhimatch.network.base import Network

__all__ = [
    "ClipGradients",
    "RowAdam",
    "catch_up_words",
    "sparse_word_gradients",
    "updates_rows",
    "word_tables",
]

# The arguments of Adam with which late updates are the same as updates in time.
ARGUMENTS = {"lr", "betas", "eps", "fused"}
# The callbacks of skorch that are called between the steps of an epoch.
WITHIN_AN_EPOCH = ("on_batch_begin", "on_batch_end", "on_grad_computed")

# The updates of a row without gradients become smaller by b1 / sqrt(b2) in each step, which is .9005 by
# default. After so many steps they are not followed any more: of .92 less than 1e-10 is left.
STEPS_OF_MOMENTUM, LONGEST_MOMENTUM = 300, 0.92


@dataclass
class _Pending:
    """What the rows of a table have missed since they were brought up to date.

    Attributes
    ----------
    last : int64 tensor of shape (V,)
        The step up to which each row is up to date.
    first : int
        The first of the steps that `missed` begins with.
    missed : float64 ndarray
        For a row that is up to date with step ``first + i``, the sum of what multiplies m / sqrt(v) in all
        later steps.
    """

    last: Tensor
    first: int
    missed: NDArray[np.float64] = field(default_factory=lambda: np.zeros(1))


class RowAdam(torch.optim.Adam):
    """Adam with late updates of those rows of a table that have no gradient.

    Adam moves every weight in every step, also without a gradient, because its momentum lasts for dozens of
    steps. For a table of words most of this work is for words that are not in the batch. Here such a row
    is moved when it is read next, by all that it has missed at once: if m and v were the moments at step t,

    w -= m / (sqrt(v) + eps') sum_{j > t} lr_j sqrt(1 - b2^j) / (1 - b1^j) (b1 / sqrt(b2))^(j - t).

    This is what Adam does in these steps, but for eps', which is that of the first of them. Weights whose
    gradients are not sparse are updated by ``torch.optim.Adam``.

    Parameters
    ----------
    params : iterable of tensors, or of dicts
        As ``torch.optim.Adam`` takes them.
    **arguments
        Those of ``torch.optim.Adam``. Weight decay and the variants are not for sparse gradients.

    Examples
    --------
    >>> table = nn.Embedding(1000, 3, sparse=True)
    >>> adam = RowAdam(table.parameters(), lr=0.1)
    >>> table(torch.tensor([5])).sum().backward()
    >>> adam.step()
    >>> adam.zero_grad()
    >>> table(torch.tensor([8])).sum().backward()
    >>> adam.step()
    >>> before = table.weight[5].clone()
    >>> adam.catch_up(table.weight)
    >>> (table.weight[5] < before).all()
    tensor(True)
    """

    def __init__(self, params: Any, **arguments: Any) -> None:
        super().__init__(params, **arguments)
        self._pending: dict[Tensor, _Pending] = {}

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update all weights that have a gradient.

        Parameters
        ----------
        closure : callable, optional
            Computes the gradients, and returns the loss.

        Returns
        -------
        object
            What the closure returns.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        tables = []
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None and weight.grad.is_sparse:
                    tables.append((group, weight, weight.grad.coalesce()))
                    weight.grad = None
        super().step()
        for group, weight, gradient in tables:
            self._step_of_rows(group, weight, gradient.indices()[0], gradient.values())
            weight.grad = gradient
        return loss

    @torch.no_grad()
    def catch_up(self, weight: Tensor, rows: Tensor | None = None) -> None:
        """Move rows of a table by what they have missed.

        Parameters
        ----------
        weight : Tensor of shape (V, d)
            The table.
        rows : int64 tensor, optional
            Different rows; all by default.
        """
        pending = self._pending.get(weight)
        if pending is None:
            return
        state, [group] = self.state[weight], [g for g in self.param_groups if _holds(g, weight)]
        now = int(state["step"])
        all_rows = rows is None
        rows = torch.arange(len(weight), device=weight.device) if rows is None else rows
        last = pending.last[rows]
        late = last < now
        if bool(late.any()):
            rows, last = rows[late], last[late]
            first, second = group["betas"]
            gap = (now - last).double()
            missed = torch.from_numpy(pending.missed).to(weight.device)[last - pending.first]
            # index_select is five times as fast as indexing.
            mean, square = (state[name].index_select(0, rows) for name in ("exp_avg", "exp_avg_sq"))
            # What eps is multiplied by in the first of these steps, which is the largest one.
            of_eps = ((1 - second ** (last + 1.0)) / second).sqrt().to(mean.dtype)[:, None]
            moved = mean / (square.sqrt() + of_eps * group["eps"])
            weight.index_add_(0, rows, moved.mul_(missed.to(mean.dtype)[:, None]), alpha=-1)
            state["exp_avg"].index_copy_(0, rows, mean.mul_((first**gap).to(mean.dtype)[:, None]))
            state["exp_avg_sq"].index_copy_(0, rows, square.mul_((second**gap).to(mean.dtype)[:, None]))
            pending.last[rows] = now
        if all_rows:
            pending.first, pending.missed = now, np.zeros(1)

    @torch.no_grad()
    def _step_of_rows(self, group: dict[str, Any], weight: Tensor, rows: Tensor, gradient: Tensor) -> None:
        """Make a step of Adam in some rows, and note what the others miss."""
        state = self.state[weight]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32)
            state["exp_avg"] = torch.zeros_like(weight)
            state["exp_avg_sq"] = torch.zeros_like(weight)
        if weight not in self._pending:
            now = int(state["step"])
            self._pending[weight] = _Pending(torch.full((len(weight),), now, device=weight.device), now)
        self.catch_up(weight, rows)
        pending = self._pending[weight]
        state["step"] += 1
        now = int(state["step"])
        (first, second), rate = group["betas"], float(group["lr"])
        step_size, root = rate / (1 - first**now), (1 - second**now) ** 0.5
        table = weight, state["exp_avg"], state["exp_avg_sq"]
        parts = [values.index_select(0, rows) for values in table]
        adam(
            [parts[0]],
            [gradient],
            [parts[1]],
            [parts[2]],
            [],
            [state["step"] - 1],
            fused=bool(group["fused"]),
            amsgrad=False,
            beta1=first,
            beta2=second,
            lr=rate,
            weight_decay=0,
            eps=group["eps"],
            maximize=False,
        )
        for values, part in zip(table, parts, strict=True):
            values.index_copy_(0, rows, part)
        # All other rows miss this step.
        start = max(0, len(pending.missed) - STEPS_OF_MOMENTUM)
        gap = now - pending.first - np.arange(start, len(pending.missed))
        pending.missed[start:] += step_size * root * (first / second**0.5) ** gap
        pending.missed = np.append(pending.missed, 0.0)
        pending.last[rows] = now

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a state. It has to be of a time when all rows were up to date.

        Parameters
        ----------
        state_dict : dict
            What ``state_dict`` returned.
        """
        super().load_state_dict(state_dict)
        self._pending = {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._pending = {}


def _holds(group: dict[str, Any], weight: Tensor) -> bool:
    return any(other is weight for other in group["params"])


def updates_rows(optimizer: Any, arguments: Mapping[str, Any], callbacks: Sequence[Any]) -> bool:
    """Tell whether `RowAdam` may take the place of an optimizer.

    Parameters
    ----------
    optimizer : class
        The optimizer that is asked for.
    arguments : mapping of str to object
        Its arguments by name.
    callbacks : sequence of skorch callbacks
        The user's, in any form that skorch takes.

    Returns
    -------
    bool
        False also if the momentum lasts too long, and if a callback is called within an epoch: it may read
        weights, which have to be up to date then, work on gradients, which it expects to be dense, or change
        the momentum.
    """
    if optimizer is not torch.optim.Adam or not ARGUMENTS.issuperset(arguments):
        return False
    first, second = arguments.get("betas", (0.9, 0.999))
    if not 0 < second < 1 or first / second**0.5 > LONGEST_MOMENTUM:
        return False
    plain = [callback[1] if isinstance(callback, tuple) else callback for callback in callbacks]
    kinds: list[Any] = [callback if isinstance(callback, type) else type(callback) for callback in plain]
    return all(getattr(kind, name) is getattr(Callback, name) for kind in kinds for name in WITHIN_AN_EPOCH)


def word_tables(network: Network) -> list[nn.Embedding]:
    """Return the tables of word vectors of which a batch reads some rows: one, or none.

    Parameters
    ----------
    network : Network
        Any network.

    Returns
    -------
    list of torch.nn.Embedding
        Empty for a pretrained encoder, and for labels whose words are read in every step.
    """
    encoder: Any = network.text_encoder
    return [] if encoder.pretrained or network.labels_read_words else [encoder.embedding]


@contextmanager
def sparse_word_gradients(net: NeuralNet) -> Iterator[None]:
    """Let the gradients of word vectors be sparse until the context ends, if the optimizer is a `RowAdam`.

    Parameters
    ----------
    net : NeuralNet
        The net.
    """
    tables = word_tables(net.module_) if isinstance(net.optimizer_, RowAdam) else []
    for table in tables:
        table.sparse = True
    try:
        yield
    finally:
        # Other optimizers, with which a user may train the network on, take dense ones only.
        for table in tables:
            table.sparse = False


def catch_up_words(net: NeuralNet, ids: Tensor | None = None) -> None:
    """Bring the vectors of words up to date, before they are read.

    Parameters
    ----------
    net : NeuralNet
        If its optimizer is another than `RowAdam`, all rows are always up to date.
    ids : int64 tensor, optional
        The words, all by default.
    """
    if isinstance(net.optimizer_, RowAdam):
        for table in word_tables(net.module_):
            net.optimizer_.catch_up(table.weight, None if ids is None else torch.unique(ids))


class ClipGradients(Callback):
    """Scale the gradients of each step down to a greatest norm; some of them may be sparse.

    Parameters
    ----------
    norm : float
        The greatest Euclidean norm of all gradients together.
    """

    def __init__(self, norm: float) -> None:
        self.norm = norm

    def on_grad_computed(self, net: NeuralNet, named_parameters: Any = (), **kwargs: Any) -> None:
        """Scale the gradients."""
        parts = []
        for _, weight in named_parameters:
            if weight.grad is None:
                continue
            if weight.grad.is_sparse:
                weight.grad = weight.grad.coalesce()
                parts.append(weight.grad.values())
            else:
                parts.append(weight.grad)
        total = nn.utils.get_total_norm(parts)
        torch._foreach_mul_(parts, (self.norm / (total + 1e-6)).clamp(max=1.0))
