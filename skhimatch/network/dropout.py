"""Dropout that draws one random byte a feature."""

import torch
from torch import Tensor, nn

from skhimatch.network.random_numbers import RandomModule

__all__ = ["Dropout"]


class Dropout(RandomModule, nn.Dropout):
    """Set features to zero at random in training, and scale the others up.

    It does the same as ``torch.nn.Dropout``, which takes a tenth of a training step on a CPU. This class is
    several times faster there: it draws one random number of 64 bits for eight features.

    Parameters
    ----------
    p : float in [0, 1)
        Probability that a feature becomes zero, rounded to a multiple of 1/256.

    Raises
    ------
    ValueError
        If `p` is not in that range.

    Examples
    --------
    >>> from skhimatch.network.random_numbers import Generators, draw_from
    >>> dropout = Dropout(0.5)
    >>> with draw_from(Generators(0), dropout):
    ...     dropout(torch.ones(8))
    tensor([0., 2., 2., 2., 2., 0., 0., 2.])
    """

    def __init__(self, p: float) -> None:
        dropped = round(p * 256)
        if not 0 <= dropped < 256:
            raise ValueError(f"dropout={p}: take a probability from 0 to 0.99.")
        super().__init__(p)
        self.dropped = dropped

    def forward(self, features: Tensor) -> Tensor:
        """Map a float tensor of any shape to one of the same shape."""
        if not self.training or not self.dropped:
            return features
        device = features.device
        numbers = torch.empty(-(-features.numel() // 8), dtype=torch.int64, device=device)
        numbers.random_(-(2**63), None, generator=self.generator(device))
        mask = numbers.view(torch.uint8)[: features.numel()].view(features.shape) >= self.dropped
        return features * (mask * (256 / (256 - self.dropped))).to(features.dtype)
