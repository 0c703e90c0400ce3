"""Dropout that draws one random byte a feature."""

import torch
from torch import Tensor, nn

__all__ = ["Dropout"]


class Dropout(nn.Dropout):
    """Zero features at random while training, and scale the others up.

    As ``torch.nn.Dropout``, several times faster on a CPU, where that spends a tenth of a training
    step: eight features share one random number.

    Parameters
    ----------
    p : float in [0, 1)
        Probability of dropping a feature, rounded to a multiple of 1/256.

    Examples
    --------
    >>> with torch.random.fork_rng():
    ...     _ = torch.manual_seed(0)
    ...     Dropout(0.5)(torch.ones(8))
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
        numbers = torch.empty(-(-features.numel() // 8), dtype=torch.int64, device=features.device)
        drawn = numbers.random_(-(2**63), None).view(torch.uint8)[: features.numel()]
        kept = drawn.view(features.shape) >= self.dropped
        return features * kept * (256 / (256 - self.dropped))
