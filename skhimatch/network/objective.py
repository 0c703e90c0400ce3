"""The training objective: joint embedding loss (eq 5), matching loss (eq 6) and their sum (eq 8)."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.network.base import HiMatchOutput
from skhimatch.network.negatives import LabelPairs, NegativeSampler

__all__ = [
    "BatchWeights",
    "HiMatchLoss",
    "LossParts",
    "joint_distance_loss",
    "joint_embedding_loss",
    "matching_distance_loss",
    "matching_loss",
    "squared_hinge_loss",
]


@dataclass(frozen=True)
class LossParts:
    """The loss of eq 8 and its terms, scalars.

    Attributes
    ----------
    total : tensor
        L = L_cls + lambda_joint L_joint + lambda_match L_match.
    classification, joint, matching : tensor
        L_cls, L_joint and L_match, not multiplied by their weights.
    """

    total: Tensor
    classification: Tensor
    joint: Tensor
    matching: Tensor


@dataclass(frozen=True)
class BatchWeights:
    """How much the texts of a batch count in the loss. Each term is the weighted mean over the batch.

    Attributes
    ----------
    texts : float tensor of shape (B,)
        The weights in the joint embedding loss and in the matching loss.
    pairs : float tensor of shape (B, L)
        The weights in the classification loss: those of the texts times the class weights. They are 0 where a
        target is missing, so that it is not known whether the text has the label.
    """

    texts: Tensor
    pairs: Tensor

    @property
    def known(self) -> Tensor | None:
        """Where targets are known, bool of shape (B, L); None if all are."""
        known = self.pairs > 0
        return None if bool(known.all()) else known


def joint_embedding_loss(
    text_embedding: Tensor, label_embedding: Tensor, targets: Tensor, weights: Tensor | None = None
) -> Tensor:
    """Return the joint embedding loss, eq 5: the distance of texts to all their labels.

    L_joint = mean over texts of sum over p in P(y) of ||Phi_t - Phi_l^p||^2

    Parameters
    ----------
    text_embedding : float tensor of shape (B, d_phi)
        Phi_t, unit rows.
    label_embedding : float tensor of shape (L, d_phi)
        Phi_l, unit rows.
    targets : tensor of shape (B, L)
        0/1 targets.
    weights : float tensor of shape (B,), optional
        The weights of the texts.

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
    distances = (text_embedding[text] - label_embedding[label]).square()
    if weights is None:
        return distances.sum() / len(targets)
    return (weights[text, None] * distances).sum() / weights.sum()


def matching_loss(
    text_embedding: Tensor, label_embedding: Tensor, pairs: LabelPairs, weights: Tensor | None = None
) -> Tensor:
    """Return the matching loss, eq 6: positive labels should be closer to the text than negative ones.

    L_match = mean over pairs of max(0, D(Phi_t, Phi_l^p) - D(Phi_t, Phi_l^n) + margin),
    D the Euclidean distance of unit vectors.

    Parameters
    ----------
    text_embedding : float tensor of shape (B, d_phi)
        Phi_t, unit rows.
    label_embedding : float tensor of shape (L, d_phi)
        Phi_l, unit rows.
    pairs : LabelPairs
        The positive and negative labels of texts, and the margins of eq 7.
    weights : float tensor of shape (B,), optional
        The weights of the texts.

    Returns
    -------
    float tensor, scalar
        If there is no pair, zero with a gradient of zero.

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
        # There are more pairs than distances, so each distance is computed once. Matrix products would be
        # faster, but the square root of their result has an infinite gradient at zero.
        distances = torch.cdist(text_embedding, label_embedding, compute_mode="donot_use_mm_for_euclid_dist")
        near, far = distances[pairs.text, pairs.positive], distances[pairs.text, pairs.negative]
    else:
        text = text_embedding[pairs.text]
        near = torch.linalg.vector_norm(text - label_embedding[pairs.positive], dim=-1)
        far = torch.linalg.vector_norm(text - label_embedding[pairs.negative], dim=-1)
    losses = torch.relu(near - far + pairs.margin)
    if weights is None:
        return losses.mean()
    return (weights[pairs.text] * losses).sum() / weights[pairs.text].sum()


def joint_distance_loss(distances: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the joint embedding loss, eq 5, from distances.

    L_joint = mean over texts of sum over p in P(y) of D_p^2

    Parameters
    ----------
    distances : float tensor of shape (B, L)
        The distances of texts and labels; infinite for labels that were not scored.
    targets : tensor of shape (B, L)
        0/1 targets.
    weights : float tensor of shape (B,), optional
        The weights of the texts.

    Returns
    -------
    float tensor, scalar

    Examples
    --------
    >>> joint_distance_loss(torch.tensor([[0.5, 2.0, 1.0]]), torch.tensor([[1.0, 0.0, 1.0]]))
    tensor(1.2500)
    """
    text, label = ((targets > 0) & distances.isfinite()).nonzero(as_tuple=True)
    squared = distances[text, label].square()
    if weights is None:
        return squared.sum() / len(targets)
    return (weights[text] * squared).sum() / weights.sum()


def matching_distance_loss(distances: Tensor, pairs: LabelPairs, weights: Tensor | None = None) -> Tensor:
    """Return the matching loss, eq 6, from distances: a sum over pairs, like the classification loss.

    L_match = mean over texts of the sum over pairs of max(0, D_p - D_n + margin).

    Parameters
    ----------
    distances : float tensor of shape (B, L)
        The distances of texts and labels; finite for all labels of the pairs.
    pairs : LabelPairs
        The positive and negative labels of texts, and the margins of eq 7.
    weights : float tensor of shape (B,), optional
        The weights of the texts.

    Returns
    -------
    float tensor, scalar

    Examples
    --------
    >>> index = torch.tensor([0])
    >>> pairs = LabelPairs(index, index, index + 1, torch.tensor([0.25]))
    >>> matching_distance_loss(torch.tensor([[1.0, 1.125]]), pairs)
    tensor(0.1250)
    """
    near, far = distances[pairs.text, pairs.positive], distances[pairs.text, pairs.negative]
    losses = torch.relu(near - far + pairs.margin)
    if weights is None:
        return losses.sum() / len(distances)
    return (weights[pairs.text] * losses).sum() / weights.sum()


def squared_hinge_loss(logits: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the squared hinge loss: sum of max(0, 1 - y logit)^2, with y = 1 for targets, else -1.

    Parameters
    ----------
    logits : float tensor of shape (B, L)
        The logits of the labels.
    targets : tensor of shape (B, L)
        0/1 targets.
    weights : float tensor of shape (B, L), optional
        The weights of texts and labels.

    Returns
    -------
    float tensor, scalar
        The sum over texts and labels.

    Examples
    --------
    >>> squared_hinge_loss(torch.tensor([[0.5, -2.0]]), torch.tensor([[1.0, 0.0]]))
    tensor(0.2500)
    """
    losses = torch.relu(1 - (2 * targets - 1) * logits).square()
    return (losses if weights is None else weights * losses).sum()


class HiMatchLoss(nn.Module):
    """The overall objective, eq 8: L = L_cls + lambda_joint L_joint + lambda_match L_match.

    Parameters
    ----------
    hierarchy : LabelHierarchy
        L labels.
    gamma, alpha, beta, sampling : as in `NegativeSampler`
        The margins, and how negatives are drawn.
    lambda_joint, lambda_match : float
        Weights of eq 5 and of eq 6. A term with weight 0 is not computed.
    classification_loss : {"squared_hinge", "cross_entropy", "mean_cross_entropy"}
        The classification loss: the sum over labels, averaged over texts. "mean_cross_entropy" is that of
        the paper. It is averaged over labels too. It is then small in comparison with the matching loss, so
        that the classifier learns slowly.
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
        """Whether a term of the loss depends on the embeddings."""
        return self.lambda_joint > 0 or self.lambda_match > 0

    def draw_pairs(self, targets: Tensor, weights: BatchWeights | None = None) -> LabelPairs | None:
        """Draw the pairs of the matching loss.

        Parameters
        ----------
        targets : tensor of shape (B, L)
            0/1 targets.
        weights : BatchWeights, optional
            They say which targets are missing: these labels are in no pair.

        Returns
        -------
        LabelPairs or None
            None if the weight of the matching loss is 0.
        """
        if self.lambda_match == 0:
            return None
        return self.negatives(targets, None if weights is None else weights.known)

    def forward(
        self,
        output: HiMatchOutput,
        targets: Tensor,
        pairs: LabelPairs | None = None,
        weights: BatchWeights | None = None,
    ) -> LossParts:
        """Compute the loss of a batch and its terms.

        Parameters
        ----------
        output : HiMatchOutput
            Logits, and embeddings if a weight is not 0.
        targets : float tensor of shape (B, L)
            0/1 targets.
        pairs : LabelPairs, optional
            The pairs of the matching loss; by default they are drawn.
        weights : BatchWeights, optional
            How much the texts count; all the same by default.

        Returns
        -------
        LossParts
        """
        classification = self._classify(output.logits, targets, output.label_weights, weights)
        joint = matching = classification.new_zeros(())
        if output.distances is not None:
            of_texts = None if weights is None else weights.texts
            if self.lambda_joint > 0:
                joint = joint_distance_loss(output.distances, targets, of_texts)
            if self.lambda_match > 0:
                scored = output.distances.isfinite()
                known = None if weights is None else weights.known
                pairs = self.negatives(targets, scored if known is None else scored & known)
                matching = matching_distance_loss(output.distances, pairs, of_texts)
            return self.combine(classification, joint, matching)
        if output.text_embedding is not None and output.embed_labels is not None:
            if pairs is None:
                pairs = self.draw_pairs(targets, weights)
            labels, targets, pairs = _involved(targets, pairs)
            label_embedding = output.embed_labels(labels)
            of_texts = None if weights is None else weights.texts
            if self.lambda_joint > 0:
                joint = joint_embedding_loss(output.text_embedding, label_embedding, targets, of_texts)
            if pairs is not None:
                matching = matching_loss(output.text_embedding, label_embedding, pairs, of_texts)
        return self.combine(classification, joint, matching)

    def combine(self, classification: Tensor, joint: Tensor, matching: Tensor) -> LossParts:
        """Add up the terms by their weights, eq 8.

        Parameters
        ----------
        classification, joint, matching : tensor
            L_cls, L_joint and L_match, scalars.

        Returns
        -------
        LossParts
        """
        total = classification + self.lambda_joint * joint + self.lambda_match * matching
        return LossParts(total, classification, joint, matching)

    def _classify(
        self,
        logits: Tensor,
        targets: Tensor,
        label_weights: Tensor | None,
        weights: BatchWeights | None,
    ) -> Tensor:
        of_pairs = None if weights is None else weights.pairs
        n_texts = len(targets) if weights is None else weights.texts.sum()
        if self.classification_loss == "squared_hinge":
            # Label weights are not needed: most labels that were not drawn reach the margin and have no loss.
            return squared_hinge_loss(logits, targets, of_pairs) / n_texts
        if label_weights is not None:
            of_pairs = label_weights if of_pairs is None else label_weights * of_pairs
        entropy = nn.functional.binary_cross_entropy_with_logits(logits, targets, of_pairs, reduction="sum")
        n_labels = 1 if self.classification_loss == "cross_entropy" else targets.shape[1]
        return entropy / (n_texts * n_labels)

    def best_constant(self, frequencies: np.ndarray) -> np.ndarray:
        """Return the constant logits with the lowest classification loss.

        Parameters
        ----------
        frequencies : float array of shape (L,)
            Share of the texts that have each label, in (0, 1).

        Returns
        -------
        float array of shape (L,)
            The log-odds for cross-entropy, 2 f - 1 for the squared hinge.
        """
        if self.classification_loss == "squared_hinge":
            return 2 * frequencies - 1
        return np.log(frequencies) - np.log1p(-frequencies)


def _involved(targets: Tensor, pairs: LabelPairs | None) -> tuple[Tensor, Tensor, LabelPairs | None]:
    """Return the labels that a batch or its pairs contain; then targets and pairs over these labels only."""
    there = targets.any(dim=0)
    if pairs is not None:
        there[pairs.negative] = True
    labels = there.nonzero().squeeze(1)
    if pairs is not None:
        place = there.cumsum(0) - 1
        pairs = replace(pairs, positive=place[pairs.positive], negative=place[pairs.negative])
    return labels, targets[:, labels], pairs
