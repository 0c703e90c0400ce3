"""Label nodes V_t: a vector of the text for each label, the input of the propagation."""

import torch
from torch import Tensor, nn

from skhimatch.network.base import with_rows
from skhimatch.network.batches import padding_mask

__all__ = ["MANY_LABELS", "LabelAttention", "LabelNodes", "LabelProjection", "SemanticAttention"]

# With more labels than this, no weight has a size of L * d * d or L * L * d, and networks are trained on
# shortlists.
MANY_LABELS = 200


class LabelNodes(nn.Module):
    """Maps an encoded text to one node for each label.

    Attributes
    ----------
    attends : bool
        Whether each node is computed from the text's states by an attention of its label.
    """

    attends: bool

    def attend_equally(self) -> None:
        """Let all labels attend to all states equally, if they attend at all."""

    def weights(self, states: Tensor, lengths: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return how much each label attends to each state, of shape (B, L, n) or (B, K, n).

        Parameters
        ----------
        states : float tensor of shape (B, n, d_t)
            The states of the tokens.
        lengths : int64 tensor of shape (B,)
            The number of states of each text.
        labels : int64 tensor of shape (B, K), optional
            The labels, all by default.

        Returns
        -------
        float tensor of shape (B, L, n) or (B, K, n)
            They sum to 1 over the states of a text.

        Raises
        ------
        TypeError
            If labels do not attend to states.
        """
        raise TypeError("Only labels that attend to states have weights; these are projections of a vector.")

    def extend(self, n_more: int) -> None:
        """Take more labels, behind the others; without gradients.

        Parameters
        ----------
        n_more : int
            How many.

        Raises
        ------
        ValueError
            If nodes do not attend.
        """
        raise ValueError(
            "add_labels needs labels that attend to the states of a text, or no nodes at all; here nodes are "
            "projections of one vector: fit a new one, with the larger hierarchy."
        )


class LabelAttention(LabelNodes):
    """An attention over the states of a text for each label, with a trained query.

    V_t[l] = sum_i a_li h_i with a_l = softmax_i(h_i · u_l), over the states i of the text.

    Parameters
    ----------
    dimension : int
        d_t, the width of a word's state and of a node.
    n_labels : int
        L, the number of queries u_l.
    """

    attends = True

    def __init__(self, dimension: int, n_labels: int) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(n_labels, dimension) * 0.05)

    @torch.no_grad()
    def attend_equally(self) -> None:
        """Set all queries to zero, so that all states have equal weights."""
        self.queries.zero_()

    @torch.no_grad()
    def extend(self, n_more: int) -> None:
        """Take more labels, behind the others, which attend to all states equally."""
        self.queries = with_rows(self.queries, torch.zeros(n_more, self.queries.shape[1]))

    def forward(self, states: Tensor, lengths: Tensor, labels: Tensor | None = None) -> Tensor:
        """Map states H of shape (B, n, d_t) to V_t of shape (B, L, d_t).

        Parameters
        ----------
        states : float tensor of shape (B, n, d_t)
            The states of the tokens.
        lengths : int64 tensor of shape (B,)
            The number of states of each text; behind them is padding. A text
            without states gets the mean over its padding.
        labels : int64 tensor of shape (B, K), optional
            The labels of each text whose nodes are wanted, all by default.

        Returns
        -------
        float tensor of shape (B, L, d_t), or (B, K, d_t)
        """
        return _attend(self._queries_of(labels), states, lengths)

    def weights(self, states: Tensor, lengths: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return a, of shape (B, L, n) or (B, K, n); parameters as for a call."""
        return _weights(self._queries_of(labels), states, lengths)

    def _queries_of(self, labels: Tensor | None) -> Tensor:
        # Four times as fast as indexing.
        return self.queries if labels is None else nn.functional.embedding(labels, self.queries)


class SemanticAttention(nn.Module):
    """An attention over the states of a text for each label, with a query from the label's own text.

    d_l = sum_i a_li h_i with a_l = softmax_i(tanh(W h_i + b) · u_l), over the states i of the text.

    Parameters
    ----------
    dimension : int
        d_t, the width of a state.
    label_dimension : int
        The width of u_l.
    """

    def __init__(self, dimension: int, label_dimension: int) -> None:
        super().__init__()
        self.key = nn.Linear(dimension, label_dimension)

    def forward(self, states: Tensor, lengths: Tensor, queries: Tensor) -> Tensor:
        """Map states H of shape (B, n, d_t) to d of shape (B, M, d_t), or (B, K, d_t).

        Parameters
        ----------
        states, lengths : as in `LabelAttention`
            A batch of texts.
        queries : float tensor of shape (M, label_dimension), or (B, K, label_dimension)
            u of M labels, or of K labels of each text.

        Returns
        -------
        float tensor of shape (B, M, d_t), or (B, K, d_t)
        """
        return self.weights(states, lengths, queries) @ states

    def weights(self, states: Tensor, lengths: Tensor, queries: Tensor) -> Tensor:
        """Return a, of shape (B, M, n) or (B, K, n); parameters as for a call."""
        return _weights(queries, torch.tanh(self.key(states)), lengths)


def _attend(queries: Tensor, states: Tensor, lengths: Tensor) -> Tensor:
    """Return the mean states by the weights of `_weights`, of shape (B, L, d) or (B, K, d)."""
    # The padding of a text without states: they are all equal, and without any there would be no mean.
    mask = padding_mask(lengths.clamp(min=1), states.shape[1])[:, None, None]
    queries = queries.expand(len(states), -1, -1)[:, None]
    # With one head; the weights of all labels are never in memory together.
    heads = states[:, None]
    attended = nn.functional.scaled_dot_product_attention(queries, heads, heads, attn_mask=mask, scale=1.0)
    return attended[:, 0]


def _weights(queries: Tensor, keys: Tensor, lengths: Tensor) -> Tensor:
    padding = ~padding_mask(lengths, keys.shape[1])[:, None]
    scores = queries @ keys.transpose(1, 2)
    # Not minus infinity, which would give NaN for a text without states.
    scores = scores.masked_fill(padding, torch.finfo(scores.dtype).min)
    return torch.softmax(scores, dim=-1)


class LabelProjection(LabelNodes):
    """A projection of one vector T for each text onto all labels: V_t = reshape(W_proj T).

    With up to 200 labels W_proj has L x d_T x d_t numbers, as in the paper. With more labels it is
    factored into a projection that the labels share, and one vector for each label:
    V_t[l] = (A T + a) * e_l, which has d_T d_t + L d_t numbers.

    Parameters
    ----------
    text_dimension : int
        d_T, the width of T.
    n_labels : int
        L.
    dimension : int
        d_t, the width of a node.
    """

    attends = False

    def __init__(self, text_dimension: int, n_labels: int, dimension: int) -> None:
        super().__init__()
        self.shape = (n_labels, dimension)
        factored = n_labels > MANY_LABELS
        self.projection = nn.Linear(text_dimension, dimension if factored else n_labels * dimension)
        self.label_vectors = nn.Parameter(torch.randn(n_labels, dimension)) if factored else None

    def forward(self, text: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Map T of shape (B, d_T) to V_t of shape (B, L, d_t); the lengths are not used."""
        projected = self.projection(text)
        if self.label_vectors is None:
            return projected.unflatten(1, self.shape)
        return projected[:, None] * self.label_vectors
