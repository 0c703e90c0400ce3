"""What labels mean: one unit vector for each label, from its name and its place in the hierarchy (eq 2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.network.base import with_rows
from skhimatch.network.propagation import HierarchyGCN

__all__ = ["EncodedNames", "LabelMeanings", "PropagatedNames"]


class LabelMeanings(nn.Module):
    """Maps labels to unit vectors in the space of the text's nodes."""

    def forward(self, labels: Tensor | None = None) -> Tensor:
        """Return the meanings of some different labels, or of all.

        Parameters
        ----------
        labels : int64 tensor of shape (M,), optional
            Different labels, all by default.

        Returns
        -------
        float tensor of shape (M, d_t), or (L, d_t)
            Unit rows; zero for a label of which nothing is known.
        """
        raise NotImplementedError


class PropagatedNames(LabelMeanings):
    """The vectors of the labels' words, propagated over the hierarchy and projected into the nodes' space.

    m_l = normalise(W S_l + b), with S_l of eq 2.

    Parameters
    ----------
    hierarchy : LabelHierarchy
        L labels.
    label_dimension : int
        d_l, the width of a label vector V_l.
    dimension : int
        d_t, the width of a node.
    """

    def __init__(self, hierarchy: LabelHierarchy, label_dimension: int, dimension: int) -> None:
        super().__init__()
        self.label_vectors = nn.Parameter(torch.randn(len(hierarchy), label_dimension))
        self.label_encoder = HierarchyGCN(hierarchy, label_dimension)
        self.projection = nn.Linear(label_dimension, dimension)

    @torch.no_grad()
    def extend(self, old: LabelHierarchy, new: LabelHierarchy, vectors: Tensor) -> None:
        """Take more labels, behind the others, with the vectors of their words, of shape (M, d_l)."""
        self.label_vectors = with_rows(self.label_vectors, vectors)
        self.label_encoder.extend(old, new)

    def forward(self, labels: Tensor | None = None) -> Tensor:
        """Return the meanings of some different labels, or of all; as `LabelMeanings.forward`."""
        semantics = self.label_encoder.of_labels(self.label_vectors, labels)
        return nn.functional.normalize(self.projection(semantics), dim=-1)


class EncodedNames(LabelMeanings):
    """The labels' names as the text encoder reads them, without what all names have in common; not trained.

    Parameters
    ----------
    n_labels : int
        L.
    dimension : int
        The width of an encoded name, d_t.
    """

    names: Tensor
    common: Tensor

    def __init__(self, n_labels: int, dimension: int) -> None:
        super().__init__()
        self.register_buffer("names", torch.zeros(n_labels, dimension))
        self.register_buffer("common", torch.zeros(dimension))

    def start_from(self, encoded: Tensor) -> None:
        """Take the encoded names, of shape (L, d_t)."""
        common = encoded.mean(0)
        self.common.copy_(common)
        self.names.copy_(nn.functional.normalize(encoded - common, dim=-1))

    def extend(self, encoded: Tensor) -> None:
        """Take more labels, behind the others, with their encoded names, of shape (M, d_t)."""
        more = nn.functional.normalize(encoded.to(self.common) - self.common, dim=-1)
        self.names = torch.cat([self.names, more])

    def forward(self, labels: Tensor | None = None) -> Tensor:
        """Return the meanings of some different labels, or of all; as `LabelMeanings.forward`."""
        return self.names if labels is None else self.names[labels]
