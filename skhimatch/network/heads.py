"""Classification heads: from label nodes S_t to logits (section 3.4 of the paper)."""

import torch
from torch import Tensor, nn

from skhimatch.network.base import with_rows

__all__ = ["FlatHead", "LabelwiseHead"]


class LabelwiseHead(nn.Module):
    """One linear classifier for each label, on that label's node: logit_l = w_l · S_t[l] + b_l.

    Parameters
    ----------
    n_labels : int
        L.
    dimension : int
        d_t, the width of a node.
    """

    labelwise = True

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
            The nodes of the labels.
        labels : int64 tensor of shape (B, K), optional
            The labels of the nodes. The logits of all other labels are their biases.

        Returns
        -------
        float tensor of shape (B, L)
        """
        if labels is None:
            # Six times as fast as torch.einsum, which makes a matrix product for each label of it.
            return (nodes * self.weight).sum(-1) + self.bias
        # Four times as fast as indexing.
        weights = nn.functional.embedding(labels, self.weight)
        logits = (nodes * weights).sum(-1) + self.bias[labels]
        return self.bias.expand(nodes.shape[0], -1).scatter(1, labels, logits)

    def set_weights(self, weights: Tensor) -> None:
        """Replace the weights, of shape (L, d_t); without gradients."""
        self.weight.copy_(weights)

    @torch.no_grad()
    def extend(self, n_more: int) -> None:
        """Take more labels, behind the others, with weights of zero and the lowest bias."""
        self.weight = with_rows(self.weight, torch.zeros(n_more, self.weight.shape[1]))
        self.bias = with_rows(self.bias, self.bias.min().expand(n_more))


class FlatHead(nn.Module):
    """One linear layer on all nodes at once, with L * L * d_t weights (the paper's head), or on T.

    Parameters
    ----------
    n_labels : int
        L.
    input_size : int
        L * d_t, or the width of T.
    """

    labelwise = False

    def __init__(self, n_labels: int, input_size: int) -> None:
        super().__init__()
        self.linear = nn.Linear(input_size, n_labels)

    @property
    def bias(self) -> Tensor:
        """The output biases, of shape (L,)."""
        return self.linear.bias

    def forward(self, nodes: Tensor) -> Tensor:
        """Map S_t of shape (B, L, d_t) or (B, d) to logits of shape (B, L)."""
        return self.linear(nodes.flatten(1))

    def set_weights(self, weights: Tensor) -> None:
        """Replace the weights, of shape (L, input_size); without gradients."""
        self.linear.weight.copy_(weights)

    def extend(self, n_more: int) -> None:
        """Raise a ValueError: the layer reads all labels at once."""
        raise ValueError(
            "add_labels: head='flat' reads all labels at once, and cannot take others later: fit a new one, "
            "with the larger hierarchy, or take another head."
        )
