"""The network that matches texts with labels: distances in the joint space are its logits (3.3 and 3.4)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.labels.texts import LabelTexts
from skhimatch.network.base import HiMatchOutput, InitialWeights, with_rows
from skhimatch.network.encoders import TextEncoder, TextReader
from skhimatch.network.label_attention import LabelNodes
from skhimatch.network.label_meanings import EncodedNames, LabelMeanings, PropagatedNames
from skhimatch.network.node_network import NodeNetwork

__all__ = ["MatchingHead", "MatchingNetwork", "distance"]

# The initial factor between a cosine and a logit. It is trained; on 1,000 texts of WOS it became 5.2.
INITIAL_SCALE = 5.0
# The initial length of o_l, beside a meaning of length 1. Not 0: a label without a meaning needs a direction.
INITIAL_NORM = 0.1
# Vectors shorter than this have no direction: texts without words, and labels of which nothing is known.
MIN_NORM = 1e-6
# Squared distances below this count as this: the gradient of the square root is infinite at 0.
MIN_SQUARED_DISTANCE = 1e-4


class MatchingHead(nn.Module):
    """Logits from the cosines of nodes with the labels' points: logit_l = s cos(S_t[l], Phi_l) + b_l.

    Phi_l = normalise(o_l + m_l), where o_l is trained for each label and starts near 0, and m_l is the
    label's meaning. So a label with few training texts stays near its meaning, and one with many goes where
    its texts are.

    Parameters
    ----------
    n_labels : int
        L.
    dimension : int
        d_t, the width of a node.
    meanings : LabelMeanings
        m_l.
    """

    cached: Tensor | None

    def __init__(self, n_labels: int, dimension: int, meanings: LabelMeanings) -> None:
        super().__init__()
        self.own = nn.Parameter(torch.randn(n_labels, dimension) * INITIAL_NORM * dimension**-0.5)
        self.meanings = meanings
        self.scale = nn.Parameter(torch.tensor(INITIAL_SCALE))
        self.bias = nn.Parameter(torch.zeros(n_labels))
        self.register_buffer("cached", None, persistent=False)
        # A function of the module, not a lambda: the network has to be pickled.
        self.register_load_state_dict_post_hook(_drop_cache)

    def train(self, mode: bool = True) -> MatchingHead:
        """Switch between training and prediction; cached points are dropped."""
        self.drop_cache()
        return super().train(mode)

    def drop_cache(self) -> None:
        """Drop the points that are cached for prediction."""
        self.cached = None

    def forward(self, cosines: Tensor, labels: Tensor | None = None) -> Tensor:
        """Map cosines to logits.

        Parameters
        ----------
        cosines : float tensor of shape (B, L), or (B, K)
            As `cosines` returns them.
        labels : int64 tensor of shape (B, K), optional
            The labels of the cosines. The logits of all other labels are their biases.

        Returns
        -------
        float tensor of shape (B, L)
        """
        if labels is None:
            return self.scale * cosines + self.bias
        logits = self.scale * cosines + self.bias[labels]
        return self.bias.expand(cosines.shape[0], -1).scatter(1, labels, logits)

    @torch.no_grad()
    def extend(self, n_more: int) -> None:
        """Take more labels, behind the others, at their meanings and with the lowest bias."""
        self.drop_cache()
        self.own = with_rows(self.own, torch.zeros(n_more, self.own.shape[1]))
        self.bias = with_rows(self.bias, self.bias.min().expand(n_more))

    def cosines(self, nodes: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the cosines of nodes with the points of their labels.

        Parameters
        ----------
        nodes : float tensor of shape (B, L, d_t), (B, K, d_t), or (B, d_t) if all labels see the same
            The nodes of the labels.
        labels : int64 tensor of shape (B, K), optional
            The labels of the nodes, all by default.

        Returns
        -------
        float tensor of shape (B, L), or (B, K)
        """
        if labels is None:
            return _cosines(nodes, self.points())
        if self._uses_cache:
            return _cosines(nodes, self.points(labels))
        different, place = torch.unique(labels, return_inverse=True)
        return _cosines(nodes, self.points(different)[place])

    def points(self, labels: Tensor | None = None) -> Tensor:
        """Return Phi_l.

        Parameters
        ----------
        labels : int64 tensor of shape (M,), optional
            Different labels, all by default. In prediction all points are computed once and cached.

        Returns
        -------
        float tensor of shape (M, d_t), or (L, d_t)
            Unit rows.
        """
        if self._uses_cache:
            if self.cached is None:
                # No inference tensor: later computations with gradients may use it.
                with torch.inference_mode(False), torch.no_grad():
                    self.cached = self._points(None)
            return self.cached if labels is None else self.cached[labels]
        return self._points(labels)

    @property
    def _uses_cache(self) -> bool:
        return not self.training and not torch.is_grad_enabled()

    def _points(self, labels: Tensor | None) -> Tensor:
        own = self.own if labels is None else self.own[labels]
        return nn.functional.normalize(own + self.meanings(labels), dim=-1)


class MatchingNetwork(NodeNetwork):
    """A network whose logits are distances between texts and labels in one space.

    With S_t[l] the node of label l, that is the text as the label sees it:

    - Phi_t^l = normalise(S_t[l]), the text's point for the label,
    - Phi_l = normalise(o_l + m_l), the label's point, see `MatchingHead`,
    - D_l = ||Phi_t^l - Phi_l||, in [0, 2],
    - logit_l = s (1 - D_l^2 / 2) + b_l, with a trained factor s for all labels, and a bias for each.

    The matching loss (eq 6, 7) ranks the same distances, so what it changes is what is predicted.

    Parameters
    ----------
    text_encoder : TextEncoder
        Maps ids and lengths to a state for each token, or to one vector T for each text.
    hierarchy : LabelHierarchy
        L labels.
    label_nodes : LabelNodes or None
        Maps the encoded text and its lengths to V_t of shape (B, L, d_t). None, with an encoder that
        returns T: all labels see T.
    propagation : {"gcn", "gated"} or None
        How V_t is propagated over the hierarchy (eq 1). None: S_t is V_t.
    node_dimension : int
        d_t, the width of a node.
    label_dimension : int
        d_l, the width of the vectors of the labels' words. Not used if the encoder itself reads the names.
    dropout : float
        Probability of dropping a feature of the encoded text.
    max_length : int or None
        Words read from the start of a text.
    """

    ranks_distances = True
    centre: Tensor | None

    def __init__(
        self,
        text_encoder: TextEncoder,
        hierarchy: LabelHierarchy,
        label_nodes: LabelNodes | None,
        *,
        propagation: str | None = None,
        node_dimension: int = 128,
        label_dimension: int = 300,
        dropout: float = 0.3,
        max_length: int | None = 256,
    ) -> None:
        super().__init__(
            text_encoder,
            hierarchy,
            label_nodes,
            propagation=propagation,
            node_dimension=node_dimension,
            dropout=dropout,
            max_length=max_length,
        )
        n_labels = self.n_labels
        # Whether the encoder maps names into the space of the nodes.
        self.reads_names = self.scores_meaning = text_encoder.pretrained and (
            label_nodes is None or self.attends
        )
        meanings: LabelMeanings
        if self.reads_names:
            meanings = EncodedNames(n_labels, node_dimension)
        else:
            meanings = PropagatedNames(hierarchy, label_dimension, node_dimension)
        self.head = MatchingHead(n_labels, node_dimension, meanings)
        # The mean of encoded texts. Pretrained encoders map all texts into a narrow cone around it.
        self.register_buffer("centre", torch.zeros(node_dimension) if self.reads_names else None)

    @property
    def text_size(self) -> int:
        """How many numbers a text takes on its way into the joint space."""
        return self.node_dimension * (1 if self.label_nodes is None else self.n_labels)

    @property
    def scores_labels_separately(self) -> bool:
        """Whether a label's logit does not depend on other labels, so that a shortlist can be scored."""
        return self.attends and self.propagation is None

    def encode(
        self, ids: Tensor, lengths: Tensor, text_encoder: TextReader | None = None
    ) -> tuple[Tensor, Tensor]:
        """Encode texts as `Network.encode`; what all texts have in common is subtracted before dropout."""
        if self.centre is None:
            return super().encode(ids, lengths, text_encoder)
        if not ids.is_floating_point():
            ids, lengths = (text_encoder or self.text_encoder).read(ids, lengths)
        return self.dropout(ids - self.centre), lengths

    def forward(
        self,
        ids: Tensor,
        lengths: Tensor,
        shortlist: Tensor | None = None,
        label_weights: Tensor | None = None,
        joint: bool = True,
        text_encoder: TextReader | None = None,
    ) -> HiMatchOutput:
        """Score texts against labels; parameters as in `Network.forward`."""
        encoded, lengths = self.encode(ids, lengths, text_encoder)
        nodes = self.text_semantics(encoded, lengths, shortlist)
        cosines = self.head.cosines(nodes, shortlist)
        logits = self.head(cosines, shortlist)
        if label_weights is not None and shortlist is not None:
            label_weights = torch.zeros_like(logits).scatter(1, shortlist, label_weights)
        if not joint:
            return HiMatchOutput(
                logits, label_weights=label_weights, meaning=self._meaning_cosines(nodes, shortlist)
            )
        distances = distance(cosines)
        if shortlist is not None:
            # Labels that were not scored are infinitely far, and take no part in the matching loss.
            distances = torch.full_like(logits, torch.inf).scatter(1, shortlist, distances)
        return HiMatchOutput(logits, label_weights=label_weights, distances=distances)

    def embed_text(self, encoded: Tensor, lengths: Tensor) -> Tensor:
        """Return one point for each text: the mean of its points for all labels, the nearest labels first.

        Phi_t = normalise(sum_l a_l Phi_t^l) with a = softmax(s (1 - D^2 / 2)).

        Parameters
        ----------
        encoded, lengths : as `encode` returns them
            A batch of texts.

        Returns
        -------
        float tensor of shape (B, d_t)
            Unit rows.
        """
        nodes = self.text_semantics(encoded, lengths)
        if nodes.ndim == 2:
            return nn.functional.normalize(nodes, dim=-1)
        nearness = torch.softmax(self.head.scale * self.head.cosines(nodes), dim=-1)
        mean = torch.einsum("bl,bld->bd", nearness, nn.functional.normalize(nodes, dim=-1))
        return nn.functional.normalize(mean, dim=-1)

    def embed_labels(self, labels: Tensor | None = None) -> Tensor:
        """Return Phi_l of some different labels, or of all: shape (M, d_t) or (L, d_t)."""
        return self.head.points(labels)

    @torch.no_grad()
    def with_labels(self, old: LabelHierarchy, new: LabelHierarchy, texts: LabelTexts) -> MatchingNetwork:
        """Return a copy with more labels, and the same weights; as `Network.with_labels`.

        On a pretrained encoder a new label is where its encoded name is.
        """
        network = self._extended(old, new)
        meanings = network.head.meanings
        if isinstance(meanings, EncodedNames):
            meanings.extend(network.text_encoder.encoded_texts(texts.names))
        elif isinstance(meanings, PropagatedNames):
            meanings.extend(old, new, network.text_encoder.label_vectors(texts))
        return network

    @torch.no_grad()
    def start_from(self, initial: InitialWeights) -> None:
        """Take what is known before training as initial weights; vectors of the labels' words, too."""
        super().start_from(initial)
        if isinstance(self.head.meanings, PropagatedNames):
            self.head.meanings.label_vectors.copy_(torch.as_tensor(initial.label_vectors))

    @torch.no_grad()
    def start_names(self, names: Tensor, centre: Tensor) -> None:
        """Start from encoded names, so that untrained labels are where their names are.

        Labels that attend to states start with equal attention to all of them.

        Parameters
        ----------
        names : float tensor of shape (L, d_t)
            The encoded names of the labels.
        centre : float tensor of shape (d_t,)
            The mean of encoded texts.

        Raises
        ------
        TypeError
            If the encoder cannot read names into the space of the nodes.
        """
        if not isinstance(self.head.meanings, EncodedNames) or self.centre is None:
            raise TypeError(
                "Only a network on a pretrained encoder's own vectors can start from encoded names."
            )
        self.head.meanings.start_from(names)
        self.centre.copy_(centre)
        if self.label_nodes is not None:
            self.label_nodes.attend_equally()

    def _meaning_cosines(self, nodes: Tensor, shortlist: Tensor | None = None) -> Tensor | None:
        """Return the cosines with the meanings of labels alone, if the network reads names, in prediction."""
        if not self.scores_meaning or self.training:
            return None
        if shortlist is None:
            return _cosines(nodes, self.head.meanings())
        cosines = _cosines(nodes, self.head.meanings()[shortlist])
        return cosines.new_zeros(nodes.shape[0], self.n_labels).scatter(1, shortlist, cosines)


def distance(cosines: Tensor) -> Tensor:
    """Return the distance D of unit vectors with given cosines: sqrt(2 - 2 cos), but at least 0.01.

    Parameters
    ----------
    cosines : float tensor
        In [-1, 1].

    Returns
    -------
    float tensor of the same shape

    Examples
    --------
    >>> distance(torch.tensor([1.0, 0.0, -1.0]))
    tensor([0.0100, 1.4142, 2.0000])
    """
    return (2 - 2 * cosines).clamp(min=MIN_SQUARED_DISTANCE).sqrt()


def _cosines(nodes: Tensor, points: Tensor) -> Tensor:
    """Return the cosines of nodes, (B, L, d) or (B, d), with unit points, (L, d) or (B, L, d): (B, L)."""
    norms = torch.linalg.vector_norm(nodes, dim=-1).clamp(min=MIN_NORM)
    if nodes.ndim == 2:
        products, norms = nodes @ points.T, norms[:, None]
    else:
        products = (nodes * points).sum(-1)
    return products.to(torch.promote_types(products.dtype, torch.float32)) / norms


def _drop_cache(head: MatchingHead, incompatible_keys: object) -> None:
    """After weights are loaded, drop the points that were computed with the weights before."""
    head.drop_cache()
