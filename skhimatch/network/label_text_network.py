"""The network that describes labels only by their texts (the paper's network for EURLEX57K)."""

import copy
from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.labels.texts import LabelTexts
from skhimatch.network.base import HiMatchOutput, InitialWeights, Network, mean_state
from skhimatch.network.dropout import Dropout
from skhimatch.network.encoders import TextEncoder, TextReader
from skhimatch.network.joint_space import JointProjection
from skhimatch.network.label_attention import SemanticAttention
from skhimatch.network.propagation import HierarchyGCN

__all__ = ["LabelTextNetwork", "LabelWords"]

# Labels are scored in chunks of so many numbers, 64 MiB, whatever the number of labels.
CHUNK_NUMBERS = 2**24
# Standard deviation of the initial output weights. With larger weights the loss of the first epoch on
# EURLEX57K was 103 on average, with this value 12.
INITIAL_DEVIATION = 0.01


class LabelWords(nn.Module):
    """The mean vector u_l of the words of each label's text; 0 for a label without known words.

    Parameters
    ----------
    words : sequence of L sequences of int
        Word ids.
    """

    ids: Tensor
    offsets: Tensor

    def __init__(self, words: Sequence[Sequence[int]]) -> None:
        super().__init__()
        lengths = np.array([0, *(len(of_label) for of_label in words)])
        flat = [word for of_label in words for word in of_label]
        # These are saved with the network's settings, not with its weights.
        self.register_buffer("ids", torch.tensor(flat, dtype=torch.int64), persistent=False)
        self.register_buffer("offsets", torch.from_numpy(lengths.cumsum()), persistent=False)

    def tolist(self) -> list[list[int]]:
        """Return the word ids of each label."""
        return [part.tolist() for part in self.ids.tensor_split(self.offsets[1:-1].cpu())]

    def forward(self, vectors: Tensor) -> Tensor:
        """Map word vectors of shape (V, d) to u, of shape (L, d)."""
        return nn.functional.embedding_bag(
            self.ids, vectors, self.offsets, mode="mean", include_last_offset=True
        )


class LabelTextNetwork(Network):
    """A network without any weights of a single label, so that labels without training texts are scored, too.

    With h_i the state of word i of a text, u_l the mean vector of the words of label l's text, and g_l
    its S_l of eq 2:

    - a_l = softmax_i(tanh(W h_i + b) · u_l), d_l = sum_i a_li h_i,
    - logit_l = ReLU(W_o d_l) · [u_l; g_l] + c,
    - Phi_t = FFN_t(mean of h_i) and Phi_l = FFN_l(g_l) in the joint space.

    The words of labels and the words of texts share their vectors.

    Parameters
    ----------
    text_encoder : TextEncoder
        Maps ids and lengths to a state for each word.
    hierarchy : LabelHierarchy
        L labels.
    label_words : sequence of L sequences of int
        The ids of the words of each label's text.
    embedding_dimension : int
        Width of word vectors, of u_l and of g_l.
    joint_dimension : int
        d_phi.
    dropout : float
        Probability of dropping a feature of a word's state, and within the projections into the joint
        space. Never on the logits.
    max_length : int or None
        Words read from the start of a text.
    """

    attends = True
    labels_read_words = True
    cached_semantics: Tensor | None

    def __init__(
        self,
        text_encoder: TextEncoder,
        hierarchy: LabelHierarchy,
        label_words: Sequence[Sequence[int]],
        *,
        embedding_dimension: int = 300,
        joint_dimension: int = 200,
        dropout: float = 0.3,
        max_length: int | None = 256,
    ) -> None:
        super().__init__()
        width = text_encoder.output_size
        self.n_labels = len(hierarchy)
        self.node_dimension = width
        self.text_encoder = text_encoder
        self.max_length = max_length
        self.dropout = Dropout(dropout)
        self.label_words = LabelWords(label_words)
        self.label_encoder = HierarchyGCN(hierarchy, embedding_dimension)
        self.label_nodes = SemanticAttention(width, embedding_dimension)
        self.output = nn.Linear(width, 2 * embedding_dimension, bias=False)
        # Labels with hundreds of children have large g_l. All logits have to start near c.
        nn.init.normal_(self.output.weight, std=INITIAL_DEVIATION)
        self.bias = nn.Parameter(torch.zeros(()))
        self.text_projection = JointProjection(width, joint_dimension, dropout)
        self.label_projection = JointProjection(embedding_dimension, joint_dimension, dropout)
        self.register_buffer("cached_semantics", None, persistent=False)
        # A function of the module, not a lambda: the network has to be pickled.
        self.register_load_state_dict_post_hook(_drop_cache)

    @property
    def scores_labels_separately(self) -> bool:
        """True: a label's logit does not depend on other labels."""
        return True

    @property
    def text_size(self) -> int:
        """How many numbers a text takes on its way into the joint space."""
        return self.node_dimension

    def train(self, mode: bool = True) -> "LabelTextNetwork":
        """Switch between training and evaluation; the cached label semantics are dropped."""
        self.drop_cache()
        return super().train(mode)

    def drop_cache(self) -> None:
        """Drop the label semantics that are cached for prediction."""
        self.cached_semantics = None

    def forward(
        self,
        ids: Tensor,
        lengths: Tensor,
        shortlist: Tensor | None = None,
        label_weights: Tensor | None = None,
        joint: bool = True,
        text_encoder: TextReader | None = None,
    ) -> HiMatchOutput:
        """Score texts against labels, as `Network.forward`; labels outside of the shortlist get c."""
        encoded, lengths = self.encode(ids, lengths, text_encoder)
        vectors = self.label_words(self.text_encoder.embedding.weight) if self.training else None
        if shortlist is None:
            logits = self._score_all(encoded, lengths, vectors)
        else:
            at_candidates = self.score(encoded, lengths, self._semantics_at(shortlist, vectors))
            logits = self.bias.expand(ids.shape[0], self.n_labels).scatter(1, shortlist, at_candidates)
            if label_weights is not None:
                label_weights = torch.zeros_like(logits).scatter(1, shortlist, label_weights)
        if not joint:
            return HiMatchOutput(logits, label_weights=label_weights)
        embed_labels = partial(self.embed_labels, vectors=vectors)
        return HiMatchOutput(logits, self.embed_text(encoded, lengths), embed_labels, label_weights)

    def semantics(self, labels: Tensor | None = None, vectors: Tensor | None = None) -> Tensor:
        """Return [u_l; g_l].

        Parameters
        ----------
        labels : int64 tensor of shape (M,), optional
            Different labels, all by default.
        vectors : float tensor of shape (L, embedding_dimension), optional
            u, if it is already computed. Without it, and outside of training, the semantics of all labels
            are computed once and cached.

        Returns
        -------
        float tensor of shape (M, 2 * embedding_dimension), or (L, 2 * embedding_dimension)
        """
        if self._uses_cache(vectors):
            if self.cached_semantics is None:
                # No inference tensor: later computations with gradients may use it.
                with torch.inference_mode(False), torch.no_grad():
                    self.cached_semantics = self.semantics(
                        vectors=self.label_words(self.text_encoder.embedding.weight)
                    )
            return self.cached_semantics if labels is None else self.cached_semantics[labels]
        if vectors is None:
            vectors = self.label_words(self.text_encoder.embedding.weight)
        of_words = vectors if labels is None else vectors[labels]
        return torch.cat([of_words, self.label_encoder.of_labels(vectors, labels)], dim=1)

    def _semantics_at(self, shortlist: Tensor, vectors: Tensor | None) -> Tensor:
        """Return [u_l; g_l] of labels of shape (B, K), of which several texts may have the same."""
        if self._uses_cache(vectors):
            return self.semantics(shortlist)
        labels, place = torch.unique(shortlist, return_inverse=True)
        return self.semantics(labels, vectors)[place]

    def _uses_cache(self, vectors: Tensor | None) -> bool:
        return vectors is None and not self.training and not torch.is_grad_enabled()

    def attention(self, encoded: Tensor, lengths: Tensor, labels: Tensor) -> Tensor:
        """Return how much some labels attend to the states of a text; as `Network.attention`.

        Parameters
        ----------
        encoded, lengths, labels : as for `Network.attention`
            A batch of texts, and M labels.

        Returns
        -------
        float tensor of shape (B, M, n)
        """
        queries, _ = self.semantics(labels).chunk(2, dim=-1)
        return self.label_nodes.weights(encoded, lengths, queries)

    def embed_text(self, encoded: Tensor, lengths: Tensor) -> Tensor:
        """Return Phi_t of eq 3, of shape (B, d_phi), of what `encode` returns."""
        return self.text_projection(mean_state(encoded, lengths))

    def embed_labels(self, labels: Tensor | None = None, vectors: Tensor | None = None) -> Tensor:
        """Return Phi_l of eq 4, of shape (M, d_phi) or (L, d_phi); parameters as `semantics` takes them."""
        _, graph = self.semantics(labels, vectors).chunk(2, dim=1)
        return self.label_projection(graph)

    @torch.no_grad()
    def with_labels(self, old: LabelHierarchy, new: LabelHierarchy, texts: LabelTexts) -> "LabelTextNetwork":
        """Return a copy with more labels, and the same weights; as `Network.with_labels`."""
        network = copy.deepcopy(self)
        network.drop_cache()
        network.n_labels = len(new)
        network.label_words = LabelWords([*self.label_words.tolist(), *texts.words])
        network.label_encoder.extend(old, new)
        return network.to(self.device)

    @torch.no_grad()
    def start_from(self, initial: InitialWeights) -> None:
        """Take what is known before training as initial weights.

        Parameters
        ----------
        initial : InitialWeights
            Word vectors, edge priors and the shared output bias; there are no label vectors.
        """
        self.text_encoder.embedding.weight.copy_(torch.as_tensor(initial.word_table))
        self.label_encoder.edges.prior.copy_(torch.as_tensor(initial.edge_priors))
        self.bias.fill_(initial.shared_output_bias)

    def score(self, encoded: Tensor, lengths: Tensor, semantics: Tensor) -> Tensor:
        """Return logits of B texts.

        Parameters
        ----------
        encoded, lengths : as `encode` returns them
            A batch of texts.
        semantics : float tensor of shape (M, 2 * embedding_dimension), or (B, K, 2 * embedding_dimension)
            [u_l; g_l] of M labels, or of K labels of each text.

        Returns
        -------
        float tensor of shape (B, M), or (B, K)
        """
        queries, _ = semantics.chunk(2, dim=-1)
        nodes = self.label_nodes(encoded, lengths, queries)
        return (torch.relu(self.output(nodes)) * semantics).sum(-1) + self.bias

    def _score_all(self, encoded: Tensor, lengths: Tensor, vectors: Tensor | None) -> Tensor:
        semantics = self.semantics(vectors=vectors)
        n_texts, n_words = encoded.shape[:2]
        chunk_size = max(1, CHUNK_NUMBERS // (n_texts * max(n_words, semantics.shape[1])))
        if self.training:
            # The gradients need all of them in memory anyway.
            chunk_size = self.n_labels
        return torch.cat([self.score(encoded, lengths, part) for part in semantics.split(chunk_size)], dim=1)


def _drop_cache(network: LabelTextNetwork, incompatible_keys: object) -> None:
    """After weights are loaded, drop the label semantics that were computed with the weights before."""
    network.drop_cache()
