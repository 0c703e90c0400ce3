"""How texts and labels lie in the joint space: the nearest leaf of a text, and the order of its labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from skhimatch import HiMatchClassifier
from skhimatch.evaluation.metrics import micro_macro_f1
from skhimatch.fitting.tokenize import tokenize
from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.labels.targets import encode_targets
from skhimatch.network.predict import distances_to_labels

__all__ = ["describe_joint_space", "distances_of", "order_of_labels"]

# The labels of a text by how near they should be: its fine-grained labels, their ancestors, wrong siblings of
# the fine-grained labels, and all others.
KINDS = ("fine", "ancestors", "siblings", "others")


def describe_joint_space(
    classifier: HiMatchClassifier, texts: Sequence[str], label_sets: Sequence[Any]
) -> dict[str, Any] | None:
    """Return the nearest leaf's F1, the mean distance of each kind of label, and the share of texts in order.

    Parameters
    ----------
    classifier : HiMatchClassifier
        Fitted.
    texts : sequence of n str
        Texts that it was not trained on.
    label_sets : sequence of n label sets
        Their labels.

    Returns
    -------
    dict or None
        None if nothing has trained the joint space.
    """
    distances = distances_of(classifier, texts)
    if distances is None:
        return None
    hierarchy, targets = classifier.hierarchy_, encode_targets(label_sets, classifier.hierarchy_, len(texts))
    leaves = np.diff(hierarchy.children.indptr) == 0
    nearest = np.where(leaves, distances, np.inf).argmin(axis=1)
    rows = np.arange(len(texts))
    predicted = sp.csr_array((np.ones(len(texts)), (rows, nearest)), shape=targets.shape)
    predicted = predicted + predicted @ hierarchy.ancestors
    f1 = micro_macro_f1(targets, predicted.astype(bool))
    means = order_of_labels(distances, targets, hierarchy)
    known = means[~np.isnan(means).any(axis=1)]
    return {
        "nearest_leaf": {"micro_f1": f1.micro, "macro_f1": f1.macro},
        "distances": dict(zip(KINDS, known.mean(axis=0).tolist(), strict=True)),
        "in_order": float((np.diff(known, axis=1) > 0).all(axis=1).mean()),
        "texts": len(known),
    }


def distances_of(classifier: HiMatchClassifier, texts: Sequence[str]) -> NDArray[np.float64] | None:
    """Return the distances D of texts and labels, of shape (n, L); None if no loss depends on them."""
    network = classifier.network_
    if not network.ranks_distances and not classifier.has_joint_space:
        return None
    return distances_to_labels(network, tokenize(texts, classifier.state_)).astype(np.float64)


def order_of_labels(
    distances: NDArray[np.float64], targets: sp.csr_array, hierarchy: LabelHierarchy
) -> NDArray[np.float64]:
    """Return the mean distance of each text to each kind of label.

    Parameters
    ----------
    distances : float64 ndarray of shape (n, L)
        As `distances_of` returns them.
    targets : csr_array of shape (n, L)
        0/1 targets.
    hierarchy : LabelHierarchy
        L labels.

    Returns
    -------
    float64 ndarray of shape (n, 4)
        In the order of `KINDS`; NaN where a text has no label of a kind.
    """
    tagged = targets.toarray() > 0
    above = (targets @ hierarchy.ancestors).toarray() > 0
    fine = tagged & ~above
    families = hierarchy.families
    of_family = sp.csr_array(
        (np.ones(len(families.members)), families.members, families.offsets),
        shape=(len(families.offsets) - 1, len(hierarchy)),
    ).toarray()
    known = families.of >= 0
    siblings = np.zeros((len(hierarchy), len(hierarchy)))
    siblings[known] = of_family[families.of[known]]
    near = (fine.astype(float) @ siblings > 0) & ~tagged & ~above
    kinds = (fine, above, near, ~tagged & ~above & ~near)
    with np.errstate(invalid="ignore"):
        return np.stack([(distances * kind).sum(axis=1) / kind.sum(axis=1) for kind in kinds], axis=1)
