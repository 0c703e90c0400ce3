"""Propagation of text features (eq 1) and label features (eq 2) over the hierarchy."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.network.base import with_rows
from skhimatch.network.label_attention import MANY_LABELS

__all__ = ["PROPAGATIONS", "GatedPropagation", "HierarchyEdges", "HierarchyGCN", "WithPriors"]


class WithPriors(nn.Module):
    """A module that starts from P(child | parent) of the training targets."""

    def set_priors(self, priors: Tensor) -> None:
        """Take P(child | parent), of shape (E,), in the order of the hierarchy's edges; without gradients."""
        raise NotImplementedError


def extended_priors(old: LabelHierarchy, new: LabelHierarchy, priors: Tensor) -> Tensor:
    """Return P(child | parent) of the edges of a larger hierarchy.

    Parameters
    ----------
    old, new : LabelHierarchy
        The labels of `new` are those of `old`, followed by others.
    priors : float tensor of shape (E,)
        In the order of the edges of `old`.

    Returns
    -------
    float tensor of shape (E',)
        In the order of the edges of `new`. The prior of a new edge is the lowest one among its parent's
        edges, or, if the parent had no child, equal for all children.
    """
    known = {
        (old.labels[parent], old.labels[child]): prior
        for (parent, child), prior in zip(old.edges.tolist(), priors.tolist(), strict=True)
    }
    lowest: dict[str, float] = {}
    for (name, _), prior in known.items():
        lowest[name] = min(prior, lowest.get(name, 1.0))
    n_children = np.diff(new.children.indptr)
    extended = []
    for parent, child in new.edges.tolist():
        names = new.labels[parent], new.labels[child]
        extended.append(known.get(names, lowest.get(names[0], 1 / int(n_children[parent]))))
    return priors.new_tensor(extended)


class HierarchyEdges(WithPriors):
    """The two adjacencies of eq 1 and 2, as gather and scatter over the edges.

    E_down[child, parent] = P(child | parent) and E_up[parent, child] = 1.
    The self-loops of both are an addition, which the caller does. Without
    them a leaf would not get its own features.

    Parameters
    ----------
    hierarchy : LabelHierarchy
        L labels and their E edges.
    """

    parent: Tensor
    child: Tensor
    prior: Tensor

    def __init__(self, hierarchy: LabelHierarchy) -> None:
        super().__init__()
        # A copy: torch shares memory with numpy, and a hierarchy is read-only.
        edges = torch.from_numpy(hierarchy.edges.astype(np.int64, copy=True)).reshape(-1, 2)
        self.register_buffer("parent", edges[:, 0].contiguous())
        self.register_buffer("child", edges[:, 1].contiguous())
        self.register_buffer("prior", torch.ones(len(edges)))

    def set_priors(self, priors: Tensor) -> None:
        """Replace P(child | parent), of shape (E,); without gradients."""
        self.prior.copy_(priors)

    def with_labels(self, old: LabelHierarchy, new: LabelHierarchy) -> HierarchyEdges:
        """Return the edges of a larger hierarchy, with priors as `extended_priors` returns them."""
        edges = HierarchyEdges(new).to(self.prior.device)
        edges.prior = extended_priors(old, new, self.prior)
        return edges

    def downward(self, nodes: Tensor, weight: Tensor | None = None) -> Tensor:
        """Return E_down V without the self-loops, of shape (..., L, d)."""
        weight = self.prior if weight is None else weight
        return self.summed(nodes.index_select(-2, self.parent) * weight[:, None], self.child, nodes)

    def upward(self, nodes: Tensor, weight: Tensor | None = None) -> Tensor:
        """Return E_up V without the self-loops, of shape (..., L, d)."""
        messages = nodes.index_select(-2, self.child)
        if weight is not None:
            messages = messages * weight[:, None]
        return self.summed(messages, self.parent, nodes)

    def summed(self, messages: Tensor, at: Tensor, nodes: Tensor) -> Tensor:
        """Return the sums of messages, of shape (..., E, d), at their labels, of the shape of the nodes."""
        return messages.new_zeros(nodes.shape).index_add(-2, at, messages)


class HierarchyGCN(nn.Module):
    """Graph convolution over the hierarchy, eq 1 (texts) and eq 2 (labels).

    S = ReLU(E_down V W_g1 + E_up V W_g2), where E_down holds P(child | parent)
    and E_up holds ones, both with self-loops. Sparse: O(edges), never L x L.

    Parameters
    ----------
    hierarchy : LabelHierarchy
        L labels.
    dimension : int
        Width d of a node, in and out.
    """

    def __init__(self, hierarchy: LabelHierarchy, dimension: int) -> None:
        super().__init__()
        self.edges = HierarchyEdges(hierarchy)
        self.down = nn.Parameter(torch.empty(dimension, dimension))
        self.up = nn.Parameter(torch.empty(dimension, dimension))
        nn.init.xavier_uniform_(self.down)
        nn.init.xavier_uniform_(self.up)

    def extend(self, old: LabelHierarchy, new: LabelHierarchy) -> None:
        """Take more labels, behind the others; without gradients."""
        self.edges = self.edges.with_labels(old, new)

    def forward(self, nodes: Tensor) -> Tensor:
        """Map V of shape (..., L, d) to S of shape (..., L, d)."""
        # (E V) W = E (V W), and one product with both weights is faster than two.
        down, up = (nodes @ torch.cat([self.down, self.up], dim=1)).chunk(2, dim=-1)
        return torch.relu(down + self.edges.downward(down) + up + self.edges.upward(up))

    def of_labels(self, nodes: Tensor, labels: Tensor | None) -> Tensor:
        """Return the rows of S of some different labels, or of all, as fast as their number allows.

        Parameters
        ----------
        nodes : float tensor of shape (L, d)
            V.
        labels : int64 tensor of shape (M,), or None
            None means all.

        Returns
        -------
        float tensor of shape (M, d), or (L, d)
        """
        if labels is None:
            return self(nodes)
        return self.at(nodes, labels) if len(nodes) > MANY_LABELS else self(nodes)[labels]

    def at(self, nodes: Tensor, labels: Tensor) -> Tensor:
        """Return the rows of S of some labels; only these labels and their neighbours are computed.

        Parameters
        ----------
        nodes : float tensor of shape (L, d)
            V.
        labels : int64 tensor of shape (M,)
            Different labels.

        Returns
        -------
        float tensor of shape (M, d)
        """
        parent, child, prior = self.edges.parent, self.edges.child, self.edges.prior
        row = torch.full((len(nodes),), -1, device=labels.device)
        row[labels] = torch.arange(len(labels), device=labels.device)
        downward, upward = (row[child] >= 0).nonzero().squeeze(1), (row[parent] >= 0).nonzero().squeeze(1)
        itself = nodes[labels]
        from_parents = nodes[parent[downward]] * prior[downward][:, None]
        down = itself.index_add(0, row[child[downward]], from_parents)
        up = itself.index_add(0, row[parent[upward]], nodes[child[upward]])
        # The product comes last: these labels are fewer than their neighbours.
        return torch.relu(torch.cat([down, up], dim=1) @ torch.cat([self.down, self.up]))


class GatedPropagation(WithPriors):
    """The gated variant of eq 1: scalar gates in place of weight matrices.

    S = ReLU(g_down (E_down V + b_down) + g_up (E_up V + b_up) + g_loop V) with
    gates g = sigmoid(V w + b), one number for each node and direction. The edge
    weights are trained; E_down starts from the priors, E_up from ones. The loop
    has its own gate, so there are no self-loops in E_down and E_up.

    Parameters
    ----------
    hierarchy : LabelHierarchy
        L labels.
    dimension : int
        Width d of a node, in and out.
    """

    def __init__(self, hierarchy: LabelHierarchy, dimension: int) -> None:
        super().__init__()
        self.edges = HierarchyEdges(hierarchy)
        self.down_weight = nn.Parameter(self.edges.prior.clone())
        self.up_weight = nn.Parameter(torch.ones_like(self.edges.prior))
        self.down_bias = nn.Parameter(torch.zeros(len(hierarchy), dimension))
        self.up_bias = nn.Parameter(torch.zeros(len(hierarchy), dimension))
        self.gates = nn.Linear(dimension, 3)

    def set_priors(self, priors: Tensor) -> None:
        """Start the downward edge weights from P(child | parent), of shape (E,); without gradients."""
        self.down_weight.copy_(priors)

    def extend(self, old: LabelHierarchy, new: LabelHierarchy) -> None:
        """Take more labels, behind the others, without biases; without gradients."""
        n_more = len(new) - len(old)
        self.down_weight = nn.Parameter(extended_priors(old, new, self.down_weight.detach()))
        self.up_weight = nn.Parameter(extended_priors(old, new, self.up_weight.detach()))
        self.edges = self.edges.with_labels(old, new)
        no_biases = torch.zeros(n_more, self.down_bias.shape[1])
        self.down_bias = with_rows(self.down_bias, no_biases)
        self.up_bias = with_rows(self.up_bias, no_biases)

    def forward(self, nodes: Tensor) -> Tensor:
        """Map V of shape (..., L, d) to S of shape (..., L, d)."""
        down_gate, up_gate, loop_gate = torch.sigmoid(self.gates(nodes)).split(1, dim=-1)
        down = self.edges.downward(nodes, self.down_weight) + self.down_bias
        up = self.edges.upward(nodes, self.up_weight) + self.up_bias
        return torch.relu(down_gate * down + up_gate * up + loop_gate * nodes)


PROPAGATIONS: dict[str, type[HierarchyGCN] | type[GatedPropagation]] = {
    "gcn": HierarchyGCN,
    "gated": GatedPropagation,
}
