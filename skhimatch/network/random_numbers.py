"""Random numbers of one fit: it has its own generators, which no other thread and no caller draws from."""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

__all__ = [
    "CONSTRUCTION",
    "Generators",
    "InjectedGenerators",
    "RandomModule",
    "contexts_of_recomputation",
    "draw_from",
    "seeded_construction",
]


class Generators:
    """One random number generator per device, all with the same seed.

    Parameters
    ----------
    seed : int
        A generator of this seed draws the same numbers as torch's global generator after
        ``torch.manual_seed(seed)``.

    Examples
    --------
    >>> cpu = torch.device("cpu")
    >>> first, second = Generators(0), Generators(0)
    >>> torch.equal(torch.rand(3, generator=first.on(cpu)), torch.rand(3, generator=second.on(cpu)))
    True
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._of_device: dict[torch.device, torch.Generator] = {}

    def on(self, device: torch.device) -> torch.Generator:
        """Return the generator of a device; the first call creates and seeds it."""
        if device.type == "cuda" and device.index is None:
            device = torch.device("cuda", torch.cuda.current_device())
        if device not in self._of_device:
            self._of_device[device] = torch.Generator(device).manual_seed(self.seed)
        return self._of_device[device]


class RandomModule(nn.Module):
    """A module that draws random numbers in its forward pass.

    Attributes
    ----------
    generators : Generators or None
        Where the numbers come from; None means torch's global generators. `draw_from` sets them. They are in
        no pickle and in no copy of the module.
    """

    generators: Generators | None = None

    def generator(self, device: torch.device) -> torch.Generator | None:
        """Return the generator to draw from on a device; None means torch's global one."""
        return None if self.generators is None else self.generators.on(device)

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        state.pop("generators", None)
        return state


@contextmanager
def draw_from(generators: Generators, *modules: nn.Module) -> Iterator[None]:
    """Let modules draw their random numbers from given generators until the context ends.

    Parameters
    ----------
    generators : Generators
        Where the numbers come from.
    *modules : torch.nn.Module
        Every `RandomModule` among these and their submodules draws from `generators`.
    """
    random = [part for module in modules for part in module.modules() if isinstance(part, RandomModule)]
    before = [part.generators for part in random]
    for part in random:
        part.generators = generators
    try:
        yield
    finally:
        for part, earlier in zip(random, before, strict=True):
            part.generators = earlier


# Functions of torch that draw random numbers and have a parameter `generator`.
DRAWING = {
    *(torch.rand, torch.randn, torch.randint, torch.randperm, torch.normal, torch.multinomial),
    *(torch.bernoulli, torch.poisson, torch.binomial),
    *(torch.Tensor.uniform_, torch.Tensor.normal_, torch.Tensor.random_, torch.Tensor.exponential_),
    *(torch.Tensor.geometric_, torch.Tensor.log_normal_, torch.Tensor.cauchy_, torch.Tensor.bernoulli_),
    *(torch.Tensor.bernoulli, torch.Tensor.multinomial),
    # They are passed on as a whole to a mode. All others of `nn.init` call the methods above.
    *(nn.init.uniform_, nn.init.normal_, nn.init.kaiming_uniform_),
}


class InjectedGenerators(TorchFunctionMode):
    """Within this context torch's random functions draw from given generators, in this thread only.

    It is meant for code that takes no generator: constructors of ``torch.nn`` modules, and pretrained models
    of transformers. A generator that the caller passes is kept. Attention with dropout inside one fused
    operation (``scaled_dot_product_attention(..., dropout_p=0.1)``) takes no generator in torch, and still
    draws from the global one.

    Parameters
    ----------
    generators : Generators
        Where the numbers come from.

    Examples
    --------
    >>> with InjectedGenerators(Generators(3)):
    ...     layer = torch.nn.Linear(2, 2)
    >>> with InjectedGenerators(Generators(3)):
    ...     again = torch.nn.Linear(2, 2)
    >>> torch.equal(layer.weight, again.weight)
    True
    """

    def __init__(self, generators: Generators) -> None:
        super().__init__()
        self.generators = generators

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call `func` with a generator where it draws random numbers."""
        kwargs = kwargs or {}
        if func not in DRAWING and func not in WITHOUT_GENERATOR:
            return func(*args, **kwargs)
        device = _device_of(args, kwargs)
        if device.type == "meta" or kwargs.get("generator") is not None:
            return func(*args, **kwargs)
        generator = self.generators.on(device)
        if func in DRAWING:
            return func(*args, **kwargs | {"generator": generator})
        return WITHOUT_GENERATOR[func](generator, *args, **kwargs)


def _device_of(args: Any, kwargs: dict[str, Any]) -> torch.device:
    """Return the device on which a function will draw."""
    if kwargs.get("device") is not None:
        return torch.device(kwargs["device"])
    tensors = (value for value in (*args, *kwargs.values()) if isinstance(value, Tensor))
    first = next(tensors, None)
    return torch.get_default_device() if first is None else first.device


def _rand_like(generator: torch.Generator, input: Tensor, **kwargs: Any) -> Tensor:
    kwargs.pop("generator", None)
    return torch.empty_like(input, **kwargs).uniform_(generator=generator)


def _randn_like(generator: torch.Generator, input: Tensor, **kwargs: Any) -> Tensor:
    kwargs.pop("generator", None)
    return torch.empty_like(input, **kwargs).normal_(generator=generator)


def _randint_like(
    generator: torch.Generator, input: Tensor, low: int, high: int | None = None, **kwargs: Any
) -> Tensor:
    kwargs.pop("generator", None)
    low, high = (0, low) if high is None else (low, high)
    return torch.empty_like(input, **kwargs).random_(low, high, generator=generator)


def _dropout(
    generator: torch.Generator,
    input: Tensor,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
) -> Tensor:
    if not training or p == 0:
        return input
    if p == 1:
        return input.mul_(0) if inplace else input * 0
    scaled_mask = torch.empty_like(input).bernoulli_(1 - p, generator=generator).div_(1 - p)
    return input.mul_(scaled_mask) if inplace else input * scaled_mask


# Functions of torch that draw random numbers and have no parameter `generator`, at least in older versions.
WITHOUT_GENERATOR: dict[Any, Callable[..., Any]] = {
    torch.rand_like: _rand_like,
    torch.randn_like: _randn_like,
    torch.randint_like: _randint_like,
    nn.functional.dropout: _dropout,
}


# While transformers loads a model, it replaces functions of ``torch.nn.init`` for the whole process. No other
# thread may construct a network or load a model at that time.
CONSTRUCTION = threading.RLock()


@contextmanager
def seeded_construction(seed: int) -> Iterator[None]:
    """Build networks with weights that depend on the seed alone, until the context ends.

    The weights are those that ``torch.manual_seed(seed)`` would lead to, while torch's global generators are
    neither read nor changed. Only one thread at a time is in this context; the others wait.

    Parameters
    ----------
    seed : int
        The seed of all draws within the context.
    """
    with CONSTRUCTION, InjectedGenerators(Generators(seed)):
        yield


def contexts_of_recomputation(
    generators: Generators, device: torch.device
) -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
    """Return contexts for a forward pass and for its recomputation, which draws the same numbers again.

    For ``torch.utils.checkpoint.checkpoint``, as its parameter `context_fn`. That function restores the state
    of torch's global generators only, and the backward pass runs in another thread on a GPU.

    Parameters
    ----------
    generators : Generators
        Where the forward pass draws from.
    device : torch.device
        Where it draws.

    Returns
    -------
    forward : context manager
        For the forward pass.
    recomputation : context manager
        For its recomputation.
    """
    generator = generators.on(device)
    return nullcontext(), _repeated_draws(generators, generator, generator.get_state())


@contextmanager
def _repeated_draws(generators: Generators, generator: torch.Generator, state: Tensor) -> Iterator[None]:
    now = generator.get_state()
    generator.set_state(state)
    try:
        with InjectedGenerators(generators):
            yield
    finally:
        generator.set_state(now)
