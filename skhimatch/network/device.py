"""Where and with which numbers a network computes, and the random numbers that it draws."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["resolve_device", "resolve_precision", "seeded"]


def resolve_device(device: str | torch.device) -> torch.device:
    """Choose where to compute.

    Parameters
    ----------
    device : str
        "auto" is an NVIDIA GPU where there is one, else the CPU; anything
        else is a name that torch knows.

    Returns
    -------
    torch.device

    Raises
    ------
    ValueError
        When torch does not know the name, or the machine lacks the device.

    Examples
    --------
    >>> resolve_device("cpu")
    device(type='cpu')
    """
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
    """Choose the numbers that training computes with.

    Parameters
    ----------
    precision : {"auto", "float32", "bfloat16"}
        "auto" is bfloat16 on an NVIDIA GPU that computes with it, and for a pretrained encoder on a CPU that
        does, else float32: what the device can do decides, never how fast it was, so that refits stay equal.
    device : torch.device
        Where to train.
    pretrained : bool
        Whether there is a pretrained encoder, whose large products gain by it on a CPU as well.

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
    """Whether the CPU has products of bfloat16 numbers; torch emulates them at half the speed elsewhere."""
    tests = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, test, bool)() for test in tests)


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch for a while, and give the caller's random state back afterwards."""
    devices = [device.index or 0] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.random.default_generator.manual_seed(seed)
        if devices:
            torch.cuda.manual_seed(seed)
        yield
