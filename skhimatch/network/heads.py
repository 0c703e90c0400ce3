"""Classification heads: from label nodes S_t to logits (section 3.4 of the paper)."""

import torch
from torch import Tensor, nn

__all__ = ["FlatHead", "LabelwiseHead"]


class LabelwiseHead(nn.Module):
    """One linear classifier a label, on that label's node: logit_l = w_l · S_t[l] + b_l."""

    def __init__(self, n_labels: int, dimension: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_labels, dimension))
        self.bias = nn.Parameter(torch.zeros(n_labels))
        bound = dimension**-0.5
        nn.init.uniform_(self.weight, -bound, bound)

    def forward(self, nodes: Tensor, labels: Tensor | None = None) -> Tensor:
        """Map S_t of shape (B, L, d_t) to logits of shape (B, L).

        Parameters
        ----------
        nodes : float tensor of shape (B, L, d_t), or (B, K, d_t)
        labels : int64 tensor of shape (B, K), optional
            The labels of each text that the nodes belong to. All others get their bias for a logit,
            which is that of a text of which nothing is known.
        """
        if labels is None:
            return torch.einsum("bld,ld->bl", nodes, self.weight) + self.bias
        logits = torch.einsum("bkd,bkd->bk", nodes, self.weight[labels]) + self.bias[labels]
        return self.bias.expand(len(nodes), -1).scatter(1, labels, logits)


class FlatHead(nn.Module):
    """The paper's head: one linear layer on all nodes at once, L * L * d_t weights."""

    def __init__(self, n_labels: int, input_size: int) -> None:
        super().__init__()
        self.linear = nn.Linear(input_size, n_labels)

    @property
    def bias(self) -> Tensor:
        """The L output biases."""
        return self.linear.bias

    def forward(self, nodes: Tensor) -> Tensor:
        """Map S_t of shape (B, L, d_t) or (B, d) to logits of shape (B, L)."""
        return self.linear(nodes.flatten(1))
