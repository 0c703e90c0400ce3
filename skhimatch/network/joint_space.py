"""The projection of texts and labels into the joint space (eq 3, 4)."""

import torch
from torch import Tensor, nn

from skhimatch.network.dropout import Dropout

__all__ = ["JointProjection"]


class JointProjection(nn.Module):
    """Project texts (eq 3) or labels (eq 4) into the joint space, onto the unit sphere.

    Phi = normalise(W_2 dropout(ReLU(W_1 s + b_1)) + b_2); distances lie in [0, 2].
    """

    def __init__(self, input_size: int, dimension: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(input_size, dimension), nn.ReLU(), Dropout(dropout), nn.Linear(dimension, dimension)
        )

    def forward(self, semantics: Tensor) -> Tensor:
        """Map s of shape (N, input_size) to Phi of shape (N, dimension)."""
        projected = self.layers(semantics)
        # Distances on the sphere are differences of near numbers, too fine for bfloat16.
        exact = torch.promote_types(projected.dtype, torch.float32)
        return nn.functional.normalize(projected.to(exact), dim=-1)
