"""The training objective: joint embedding (eq 5), matching (eq 6, 7), and all in all (eq 8)."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.network.base import HiMatchOutput

__all__ = [
    "HiMatchLoss",
    "LabelPairs",
    "LossParts",
    "NegativeSampler",
    "joint_embedding_loss",
    "matching_loss",
    "squared_hinge_loss",
]


@dataclass(frozen=True)
class LabelPairs:
    """M triples of a text, a label it should be close to and one it should be farther from.

    Attributes
    ----------
    text, positive, negative : int64 tensors of shape (M,)
        Row of the batch, column of p and column of n.
    margin : float tensor of shape (M,)
        How much farther n has to be.
    """

    text: Tensor
    positive: Tensor
    negative: Tensor
    margin: Tensor


@dataclass(frozen=True)
class LossParts:
    """The terms of eq 8, scalars.

    Attributes
    ----------
    total : tensor
        L = L_cls + lambda_joint L_joint + lambda_match L_match.
    classification, joint, matching : tensor
        The terms before weighting.
    """

    total: Tensor
    classification: Tensor
    joint: Tensor
    matching: Tensor


def joint_embedding_loss(text_embedding: Tensor, label_embedding: Tensor, targets: Tensor) -> Tensor:
    """Pull texts towards all their labels, eq 5.

    L_joint = mean over texts of sum over p in P(y) of ||Phi_t - Phi_l^p||^2

    Parameters
    ----------
    text_embedding : float tensor of shape (B, d_phi)
        Phi_t, unit rows.
    label_embedding : float tensor of shape (L, d_phi)
        Phi_l, unit rows.
    targets : tensor of shape (B, L)
        0/1 targets.

    Returns
    -------
    float tensor, scalar

    Examples
    --------
    >>> phi_t, phi_l = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    >>> joint_embedding_loss(phi_t, phi_l, torch.tensor([[1.0, 1.0]]))
    tensor(2.)
    """
    text, label = targets.nonzero(as_tuple=True)
    return (text_embedding[text] - label_embedding[label]).square().sum() / len(targets)


def matching_loss(text_embedding: Tensor, label_embedding: Tensor, pairs: LabelPairs) -> Tensor:
    """Rank labels by their distance to the text, eq 6.

    L_match = mean over pairs of max(0, D(Phi_t, Phi_l^p) - D(Phi_t, Phi_l^n) + margin),
    D the Euclidean distance of unit vectors.

    Parameters
    ----------
    text_embedding : float tensor of shape (B, d_phi)
        Phi_t, unit rows.
    label_embedding : float tensor of shape (L, d_phi)
        Phi_l, unit rows.
    pairs : LabelPairs
        What to rank, and the margins of eq 7.

    Returns
    -------
    float tensor, scalar
        Zero, with a graph, where there is no pair.

    Examples
    --------
    >>> phi_t, phi_l = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    >>> index = torch.tensor([0])
    >>> matching_loss(phi_t, phi_l, LabelPairs(index, index, index + 1, torch.tensor([0.2])))
    tensor(1.6142)
    """
    if not len(pairs.text):
        return text_embedding.sum() * 0.0
    if len(pairs.text) > text_embedding.shape[0] * label_embedding.shape[0]:
        # More pairs than distances: take each distance once. Not by way of a
        # product, whose square root has an infinite gradient at zero.
        distances = torch.cdist(text_embedding, label_embedding, compute_mode="donot_use_mm_for_euclid_dist")
        near, far = distances[pairs.text, pairs.positive], distances[pairs.text, pairs.negative]
    else:
        text = text_embedding[pairs.text]
        near = torch.linalg.vector_norm(text - label_embedding[pairs.positive], dim=-1)
        far = torch.linalg.vector_norm(text - label_embedding[pairs.negative], dim=-1)
    return torch.relu(near - far + pairs.margin).mean()


def squared_hinge_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Ask of every label a margin of one: sum of max(0, 1 - y logit)^2, y = 1 for targets, else -1.

    Parameters
    ----------
    logits : float tensor of shape (B, L)
    targets : tensor of shape (B, L)
        0/1 targets.

    Returns
    -------
    float tensor, scalar
        Summed over texts and labels.

    Examples
    --------
    >>> squared_hinge_loss(torch.tensor([[0.5, -2.0]]), torch.tensor([[1.0, 0.0]]))
    tensor(0.2500)
    """
    return torch.relu(1 - (2 * targets - 1) * logits).square().sum()


class NegativeSampler(nn.Module):
    """Choose for every fine-grained target what it has to beat (section 3.3.2).

    Positives p are the targets that have no descendant among the text's
    targets. With ``sampling="hierarchy"`` the negatives of p are

    - all its ancestors, tagged or not, with margin alpha * gamma,
    - one sibling, margin beta * gamma,
    - one random label, margin gamma,

    sibling and random label drawn uniformly from outside the targets and
    their ancestors, the random one from outside p's siblings too where any
    label remains. What does not exist gives no pair.

    Parameters
    ----------
    hierarchy : LabelHierarchy
        L labels.
    gamma, alpha, beta : float
        Margins of eq 7. alpha < beta keeps siblings farther than ancestors.
    sampling : {"hierarchy", "random", "all"}
        "random" is the ablation: as many negatives of each p, drawn from the
        non-targets, all with margin gamma. "all" takes every ancestor, every
        sibling and every other label outside the targets and their ancestors.
    """

    ancestor_offsets: Tensor
    ancestor_members: Tensor
    ancestor_owner: Tensor
    family_of: Tensor
    family_offsets: Tensor
    family_members: Tensor

    def __init__(
        self,
        hierarchy: LabelHierarchy,
        *,
        gamma: float = 0.2,
        alpha: float = 0.01,
        beta: float = 0.5,
        sampling: str = "hierarchy",
    ) -> None:
        super().__init__()
        self.gamma, self.alpha, self.beta, self.sampling = gamma, alpha, beta, sampling
        ancestors, families = hierarchy.ancestors, hierarchy.families
        tables = {
            "ancestor_offsets": ancestors.indptr,
            "ancestor_members": ancestors.indices,
            "ancestor_owner": np.repeat(np.arange(len(hierarchy)), np.diff(ancestors.indptr)),
            "family_of": families.of,
            "family_offsets": families.offsets,
            "family_members": families.members,
        }
        for name, table in tables.items():
            self.register_buffer(name, torch.from_numpy(np.array(table, dtype=np.int64)), persistent=False)

    def forward(self, targets: Tensor) -> LabelPairs:
        """Draw pairs with torch's current generator.

        Parameters
        ----------
        targets : tensor of shape (B, L)
            0/1 targets.

        Returns
        -------
        LabelPairs
        """
        tagged = targets > 0
        below = targets[:, self.ancestor_owner]
        above = torch.zeros_like(targets).index_add(1, self.ancestor_members, below) > 0
        text, positive = (tagged & ~above).nonzero(as_tuple=True)
        barred = (tagged | above)[text]
        family = self._families(positive, targets.shape[1])
        siblings, others = family & ~barred, ~family & ~barred
        # Where only siblings are left, the random label may be one of them.
        others = torch.where(others.any(1, keepdim=True), others, ~barred)
        if self.sampling != "all":
            siblings, others = _one_of_each(siblings), _one_of_each(others)
        pairs, negatives = zip(
            _expand(self.ancestor_offsets, self.ancestor_members, positive),
            siblings.nonzero(as_tuple=True),
            others.nonzero(as_tuple=True),
            strict=True,
        )
        # Eq 7.
        margins = torch.tensor([self.alpha * self.gamma, self.beta * self.gamma, self.gamma])
        margin = margins.repeat_interleave(torch.tensor([len(pair) for pair in pairs])).to(targets.device)
        pair, negative = torch.cat(pairs), torch.cat(negatives)
        if self.sampling == "random":
            pair, negative = _redraw(pair, ~tagged[text])
            margin = torch.full(pair.shape, self.gamma, device=targets.device)
        return LabelPairs(text[pair], positive[pair], negative, margin)

    def _families(self, labels: Tensor, n_labels: int) -> Tensor:
        """Return a bool matrix: row i marks ``labels[i]`` and its siblings."""
        family = self.family_of[labels]
        known = (family >= 0).nonzero().squeeze(1)
        row, member = _expand(self.family_offsets, self.family_members, family[known])
        marked = torch.zeros(len(labels), n_labels, dtype=torch.bool, device=labels.device)
        marked[known[row], member] = True
        return marked


class HiMatchLoss(nn.Module):
    """The overall objective, eq 8: L = L_cls + lambda_joint L_joint + lambda_match L_match.

    Parameters
    ----------
    hierarchy : LabelHierarchy
        L labels.
    gamma, alpha, beta, sampling
        As in `NegativeSampler`.
    lambda_joint, lambda_match : float
        Weights of eq 5 and of eq 6; a weight of 0 leaves its term out.
    classification_loss : {"squared_hinge", "cross_entropy", "mean_cross_entropy"}
        The classification loss, a mean over texts of a sum over labels. The
        last one is the paper's: it is averaged over labels too, which
        starves the classifier beside the matching loss.
    """

    def __init__(
        self,
        hierarchy: LabelHierarchy,
        *,
        gamma: float = 0.2,
        alpha: float = 0.01,
        beta: float = 0.5,
        sampling: str = "hierarchy",
        lambda_joint: float = 0.1,
        lambda_match: float = 1.0,
        classification_loss: str = "squared_hinge",
    ) -> None:
        super().__init__()
        self.negatives = NegativeSampler(hierarchy, gamma=gamma, alpha=alpha, beta=beta, sampling=sampling)
        self.lambda_joint = lambda_joint
        self.lambda_match = lambda_match
        self.classification_loss = classification_loss

    @property
    def needs_joint_space(self) -> bool:
        """Whether any term looks at the embeddings."""
        return self.lambda_joint > 0 or self.lambda_match > 0

    def forward(self, output: HiMatchOutput, targets: Tensor) -> LossParts:
        """Weigh the terms up.

        Parameters
        ----------
        output : HiMatchOutput
            Logits and, where a weight is not 0, embeddings.
        targets : float tensor of shape (B, L)
            0/1 targets.

        Returns
        -------
        LossParts
        """
        classification = self._classify(output.logits, targets, output.label_weights)
        joint = matching = classification.new_zeros(())
        if output.text_embedding is not None and output.embed_labels is not None:
            pairs = self.negatives(targets) if self.lambda_match > 0 else None
            labels, targets, pairs = _involved(targets, pairs)
            label_embedding = output.embed_labels(labels)
            if self.lambda_joint > 0:
                joint = joint_embedding_loss(output.text_embedding, label_embedding, targets)
            if pairs is not None:
                matching = matching_loss(output.text_embedding, label_embedding, pairs)
        total = classification + self.lambda_joint * joint + self.lambda_match * matching
        return LossParts(total, classification, joint, matching)

    def _classify(self, logits: Tensor, targets: Tensor, label_weights: Tensor | None) -> Tensor:
        if self.classification_loss == "squared_hinge":
            # A margin that is met costs nothing, so nobody has to stand for labels that are far off.
            return squared_hinge_loss(logits, targets) / len(targets)
        entropy = nn.functional.binary_cross_entropy_with_logits(
            logits, targets, label_weights, reduction="sum"
        )
        number = len(targets) if self.classification_loss == "cross_entropy" else targets.numel()
        return entropy / number

    def best_constant(self, frequencies: np.ndarray) -> np.ndarray:
        """Return the logits that are best before anything is known of a text.

        Parameters
        ----------
        frequencies : float array of shape (L,)
            Share of the texts tagged with each label, in (0, 1).

        Returns
        -------
        float array of shape (L,)
            The log-odds for cross-entropy, 2 f - 1 for the squared hinge.
        """
        if self.classification_loss == "squared_hinge":
            return 2 * frequencies - 1
        return np.log(frequencies) - np.log1p(-frequencies)


def _involved(targets: Tensor, pairs: LabelPairs | None) -> tuple[Tensor, Tensor, LabelPairs | None]:
    """List the labels of a batch and of its pairs; both come back over these labels only."""
    there = targets.any(dim=0)
    if pairs is not None:
        there[pairs.negative] = True
    labels = there.nonzero().squeeze(1)
    if pairs is not None:
        place = there.cumsum(0) - 1
        pairs = replace(pairs, positive=place[pairs.positive], negative=place[pairs.negative])
    return labels, targets[:, labels], pairs


def _expand(offsets: Tensor, members: Tensor, owners: Tensor) -> tuple[Tensor, Tensor]:
    """List the members of each owner: positions in `owners`, repeated, and the members beside them."""
    starts, counts = offsets[owners], offsets[owners + 1] - offsets[owners]
    position = torch.repeat_interleave(torch.arange(len(owners), device=owners.device), counts)
    before = counts.cumsum(0) - counts
    within = torch.arange(len(position), device=owners.device) - before[position]
    return position, members[starts[position] + within]


def _one_of_each(allowed: Tensor) -> Tensor:
    """Keep one True of each row that has any, uniformly at random."""
    chosen = ((1 + torch.rand(allowed.shape, device=allowed.device)) * allowed).argmax(1)
    kept = torch.zeros_like(allowed)
    return kept.scatter(1, chosen[:, None], allowed.any(1, keepdim=True))


def _redraw(rows: Tensor, allowed: Tensor) -> tuple[Tensor, Tensor]:
    """Draw for each entry of `rows` one allowed column of that row; drop rows without any."""
    rows = rows[allowed.any(1)[rows]]
    if not len(rows):
        return rows, rows
    return rows, torch.multinomial(allowed[rows].to(torch.float32), 1).squeeze(1)
