"""The device that a network computes on, and the type of the numbers that it computes with."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["one_thread", "resolve_device", "resolve_precision"]


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute on one thread until the context ends.

    Threads that torch has started do not survive a fork, and the forked process waits for them forever.
    """
    number = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(number)


def resolve_device(device: str | torch.device) -> torch.device:
    """Choose the device to compute on.

    Parameters
    ----------
    device : str or torch.device
        "auto" is an NVIDIA GPU if there is one, else the CPU. Any other string is a name that torch knows.

    Returns
    -------
    torch.device

    Raises
    ------
    TypeError
        If `device` is neither a string nor a ``torch.device``.
    ValueError
        If torch does not know the name, or if this machine does not have the device.

    Examples
    --------
    >>> resolve_device("cpu")
    device(type='cpu')
    """
    if not isinstance(device, str | torch.device):
        raise TypeError(
            f"device={device!r} is of type {type(device).__name__}: pass a string, such as 'auto', 'cpu' or "
            "'cuda:0', or a torch.device."
        )
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"device={device!r} is no device that torch knows: {error}") from None
    if resolved.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device={device!r} but torch sees no CUDA device: use device='auto' or 'cpu'.")
    return resolved


def resolve_precision(precision: str, device: torch.device, pretrained: bool = False) -> torch.dtype:
    """Choose the type of the numbers that training computes with.

    Parameters
    ----------
    precision : {"auto", "float32", "bfloat16"}
        "auto" is bfloat16 on an NVIDIA GPU that supports it. With a pretrained encoder it is bfloat16 also on
        a CPU that supports it. Otherwise it is float32. The choice depends on what the device supports and
        not on measured speed, so that a second fit makes the same choice.
    device : torch.device
        Where to train.
    pretrained : bool
        Whether the network has a pretrained encoder. Its matrix products are large enough to be faster in
        bfloat16 on a CPU too.

    Returns
    -------
    torch.dtype

    Examples
    --------
    >>> resolve_precision("auto", torch.device("cpu"))
    torch.float32
    """
    if precision == "auto":
        if device.type == "cuda":
            able = torch.cuda.is_bf16_supported(including_emulation=False)
        else:
            able = pretrained and device.type == "cpu" and _cpu_has_bfloat16()
        return torch.bfloat16 if able else torch.float32
    return torch.bfloat16 if precision == "bfloat16" else torch.float32


def _cpu_has_bfloat16() -> bool:
    """Whether the CPU multiplies bfloat16 numbers itself; otherwise torch emulates it, at half the speed."""
    tests = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, test, bool)() for test in tests)
