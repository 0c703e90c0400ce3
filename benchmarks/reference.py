"""A direct implementation of the paper's equations, with which `benchmarks.speed` compares the defaults.

Chen, Ma, Lin, Yan: Hierarchy-aware Label Semantics Matching Network for
Hierarchical Text Classification. ACL 2021. It follows the equations and is not
optimised for speed. It shares no tensor code with skhimatch.
"""

import random

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.text.sequences import TokenSequences

__all__ = ["Reference", "ReferenceNetwork"]

# Section 4.1.
MAX_LENGTH = 256
WIDTH = 300
HIDDEN_SIZE = 100
KERNEL_SIZES = (2, 3, 4)
FILTERS = 100
JOINT_WIDTH = 200
DROPOUT = 0.5
GAMMA, ALPHA, BETA = 0.2, 0.01, 0.5
LEARNING_RATE = 1e-4
BATCH_SIZE = 64


class GraphConvolution(nn.Module):
    """S = ReLU(E_down V W_down + E_up V W_up), eq 1 and 2, with dense L x L adjacencies."""

    downward: Tensor
    upward: Tensor

    def __init__(self, downward: Tensor, upward: Tensor) -> None:
        super().__init__()
        self.register_buffer("downward", downward)
        self.register_buffer("upward", upward)
        self.weight_down = nn.Linear(WIDTH, WIDTH, bias=False)
        self.weight_up = nn.Linear(WIDTH, WIDTH, bias=False)

    def forward(self, nodes: Tensor) -> Tensor:
        """Map nodes of shape (B, L, 300) to nodes of the same shape."""
        return torch.relu(
            self.downward @ self.weight_down(nodes) + self.upward @ self.weight_up(nodes),
        )


class ReferenceNetwork(nn.Module):
    """Text encoder, label encoder, joint space and flat head (sections 3.1 to 3.4).

    Parameters
    ----------
    hierarchy : LabelHierarchy
        L labels.
    vocabulary_size : int
        The number of word ids, with padding (0) and unknown (1).
    priors : array-like of shape (E,)
        P(child | parent), in the order of the hierarchy's edges.
    """

    def __init__(self, hierarchy: LabelHierarchy, vocabulary_size: int, priors: ArrayLike) -> None:
        super().__init__()
        n_labels = len(hierarchy)
        parents, children = torch.tensor(hierarchy.edges).T
        downward, upward = torch.eye(n_labels), torch.eye(n_labels)
        downward[children, parents] = torch.tensor(priors, dtype=torch.float32)
        upward[parents, children] = 1.0
        self.embedding = nn.Embedding(vocabulary_size, WIDTH, padding_idx=0)
        self.gru = nn.GRU(WIDTH, HIDDEN_SIZE, batch_first=True, bidirectional=True)
        self.convolutions = nn.ModuleList(nn.Conv1d(2 * HIDDEN_SIZE, FILTERS, size) for size in KERNEL_SIZES)
        self.dropout = nn.Dropout(DROPOUT)
        self.node_projection = nn.Linear(len(KERNEL_SIZES) * FILTERS, n_labels * WIDTH)
        self.text_graph = GraphConvolution(downward, upward)
        self.head = nn.Linear(n_labels * WIDTH, n_labels)
        self.label_vectors = nn.Parameter(torch.randn(n_labels, WIDTH))
        self.label_graph = GraphConvolution(downward, upward)
        self.text_projection = joint_projection(n_labels * WIDTH)
        self.label_projection = joint_projection(WIDTH)

    def text_semantics(self, ids: Tensor) -> Tensor:
        """Return S_t of eq 1, of shape (B, L, 300), from ids of shape (B, 256)."""
        states, _ = self.gru(self.dropout(self.embedding(ids)))
        states = self.dropout(states).transpose(1, 2)
        pooled = [torch.relu(convolution(states)).amax(dim=2) for convolution in self.convolutions]
        nodes = self.node_projection(torch.cat(pooled, dim=1))
        return self.text_graph(nodes.view(len(ids), -1, WIDTH))

    def classify(self, semantics: Tensor) -> Tensor:
        """Return logits of shape (B, L)."""
        return self.head(semantics.flatten(1))

    def embed_texts(self, semantics: Tensor) -> Tensor:
        """Return Phi_t of eq 3, of shape (B, 200)."""
        return nn.functional.normalize(self.text_projection(semantics.flatten(1)), dim=-1)

    def embed_labels(self, n_texts: int) -> Tensor:
        """Return Phi_l of eq 2 and 4 for each text, of shape (B, L, 200)."""
        nodes = self.label_graph(self.label_vectors.expand(n_texts, -1, -1))
        return nn.functional.normalize(self.label_projection(nodes), dim=-1)


class Reference:
    """The network, its objective and its optimiser.

    Parameters
    ----------
    hierarchy : LabelHierarchy
        L labels.
    vocabulary_size : int
        The number of word ids, with padding and unknown.
    targets : sparse or array-like of shape (n, L)
        0/1 targets of the training texts, from which P(child | parent) is counted.
    seed : int
        The seed of initial weights and negatives.
    """

    def __init__(
        self, hierarchy: LabelHierarchy, vocabulary_size: int, targets: ArrayLike, seed: int = 0
    ) -> None:
        torch.manual_seed(seed)
        self.draws = random.Random(seed)
        self.network = ReferenceNetwork(hierarchy, vocabulary_size, hierarchy.edge_priors(targets))
        self.optimizer = torch.optim.Adam(
            self.network.parameters(), lr=LEARNING_RATE, foreach=False, fused=False
        )
        self.ancestors, self.descendants, self.siblings = (
            [set(row.nonzero()[0].tolist()) for row in relation.toarray()]
            for relation in (hierarchy.ancestors, hierarchy.descendants, hierarchy.siblings)
        )

    def training_step(self, batch: tuple[dict[str, Tensor], Tensor]) -> float:
        """Train on one batch and return its loss, eq 8.

        Parameters
        ----------
        batch : ({"ids": int64 tensor of shape (B, n)}, float tensor of shape (B, L))
            Word ids, padded with 0, and 0/1 targets.

        Returns
        -------
        float
        """
        inputs, targets = batch
        self.network.train()
        self.optimizer.zero_grad()
        semantics = self.network.text_semantics(pad(inputs["ids"]))
        logits = self.network.classify(semantics)
        texts, labels = self.network.embed_texts(semantics), self.network.embed_labels(len(targets))
        loss = nn.functional.binary_cross_entropy_with_logits(logits, targets)
        loss = loss + joint_loss(texts, labels, targets) + self.matching_loss(texts, labels, targets)
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def matching_loss(self, texts: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
        """Return L_match of eq 6: mean of max(0, D(t, p) - D(t, n) + margin)."""
        triples = [
            (row, positive, negative, margin)
            for row, target in enumerate(targets)
            for positive, negative, margin in self.negatives(set(target.nonzero().flatten().tolist()))
        ]
        row, positive, negative = torch.tensor([triple[:3] for triple in triples]).reshape(-1, 3).T
        margin = torch.tensor([triple[3] for triple in triples])
        near = (texts[row] - labels[row, positive]).norm(dim=-1)
        far = (texts[row] - labels[row, negative]).norm(dim=-1)
        return torch.relu(near - far + margin).sum() / max(1, len(triples))

    def negatives(self, tagged: set[int]) -> list[tuple[int, int, float]]:
        """Draw the negatives of each fine-grained target, with the margins of eq 7."""
        barred = tagged.union(*(self.ancestors[label] for label in tagged))
        drawn = []
        for positive in tagged:
            if self.descendants[positive] & tagged:
                continue
            siblings = self.siblings[positive] - barred
            others = set(range(len(self.ancestors))) - self.siblings[positive] - barred
            drawn += [(positive, ancestor, ALPHA * GAMMA) for ancestor in self.ancestors[positive]]
            if siblings:
                drawn.append((positive, self.draws.choice(list(siblings)), BETA * GAMMA))
            if others:
                drawn.append((positive, self.draws.choice(list(others)), GAMMA))
        return drawn

    @torch.no_grad()
    def predict_proba(self, texts: TokenSequences) -> NDArray[np.float32]:
        """Return probabilities, of shape (n, L)."""
        self.network.eval()
        batches = []
        for start in range(0, len(texts), BATCH_SIZE):
            rows = [torch.tensor(ids, dtype=torch.int64) for ids in texts[start : start + BATCH_SIZE]]
            semantics = self.network.text_semantics(pad(nn.utils.rnn.pad_sequence(rows, batch_first=True)))
            batches.append(torch.sigmoid(self.network.classify(semantics)))
        return torch.cat(batches).numpy()

    def predict(self, texts: TokenSequences) -> NDArray[np.int64]:
        """Return the labels with a probability of at least 0.5, 0/1 of shape (n, L)."""
        return (self.predict_proba(texts) >= 0.5).astype(np.int64)


def joint_projection(width: int) -> nn.Sequential:
    """Make the projection into the joint space, two layers (eq 3 and 4)."""
    return nn.Sequential(
        nn.Linear(width, JOINT_WIDTH), nn.ReLU(), nn.Dropout(DROPOUT), nn.Linear(JOINT_WIDTH, JOINT_WIDTH)
    )


def joint_loss(texts: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """Return L_joint of eq 5: mean over texts of the sum over targets of D(t, p)^2."""
    squares = (texts[:, None] - labels).square().sum(-1)
    return (squares * targets).sum(1).mean()


def pad(ids: Tensor) -> Tensor:
    """Truncate or pad ids of shape (B, n) to 256 words for each text."""
    ids = ids[:, :MAX_LENGTH]
    return nn.functional.pad(ids, (0, MAX_LENGTH - ids.shape[1]))
