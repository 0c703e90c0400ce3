"""Networks compute in bfloat16 what they compute in float32, up to its rounding."""

from itertools import product

import numpy as np
import pytest
import torch

from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.network.build import WordNetworkSettings, build_word_network
from skhimatch.network.label_attention import MANY_LABELS
from skhimatch.network.objective import HiMatchLoss

FEW = LabelHierarchy([(f"r{i % 3}", f"l{i}") for i in range(9)])
# With more labels than MANY_LABELS, only the labels of the shortlist are propagated.
MANY = LabelHierarchy([(f"r{i % 7}", f"l{i}") for i in range(MANY_LABELS + 10)])
POOLED = "rcnn", "cnn"


def combinations():
    """Yield encoder, head and propagation of all networks of words that can be built."""
    for encoder, propagation in product(("attention", "gru", *POOLED), (None, "gcn", "gated")):
        yield encoder, "matching", propagation
        if encoder in POOLED or propagation is None:
            yield encoder, "flat", propagation
        if encoder not in POOLED or propagation is not None:
            yield encoder, "labelwise", propagation
    yield from ((encoder, "dot", None) for encoder in ("attention", "gru"))


def step(network, hierarchy, precision, shortlisted):
    """Return the logits and the loss of a batch, and the gradients of the weights."""
    torch.manual_seed(0)
    ids, lengths = torch.randint(2, 30, (4, 6)), torch.tensor([6, 5, 3, 6])
    ids[torch.arange(6) >= lengths[:, None]] = 0
    leaf = torch.arange(4) * 2
    targets = torch.zeros(4, len(hierarchy))
    for row, label in enumerate(leaf.tolist()):
        name = f"l{label}"
        targets[row, [hierarchy.index[name], *hierarchy.ancestors[[hierarchy.index[name]]].indices]] = 1
    shortlist = None
    # The others need the nodes of all labels.
    if shortlisted and network.scores_labels_separately:
        wanted = [np.flatnonzero(row)[:2] for row in targets.numpy()]
        others = [np.setdiff1d(np.arange(8), row)[:4] for row in wanted]
        shortlist = torch.tensor(
            np.array([np.concatenate(pair) for pair in zip(wanted, others, strict=True)])
        )
    loss = HiMatchLoss(hierarchy)
    pairs = loss.draw_pairs(targets)
    network.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
        output = network(ids, lengths, shortlist)
    parts = loss(output, targets, pairs)
    parts.total.backward()
    gradients = [weight.grad for weight in network.parameters() if weight.grad is not None]
    return output.logits.float().detach(), parts.total.item(), gradients


@pytest.mark.parametrize("shortlisted", [False, True], ids=["all labels", "shortlist"])
@pytest.mark.parametrize("hierarchy", [FEW, MANY], ids=["few labels", "many labels"])
@pytest.mark.parametrize(("encoder", "head", "propagation"), list(combinations()))
def test_a_step_in_bfloat16_is_that_in_float32(encoder, head, propagation, hierarchy, shortlisted):
    torch.manual_seed(0)
    settings = WordNetworkSettings(
        vocabulary_size=30,
        encoder=encoder,
        head=head,
        propagation=propagation,
        embedding_dimension=8,
        node_dimension=8,
        joint_dimension=8,
        hidden_size=4,
        filters=4,
        dropout=0.0,
        label_words=[[2 + label % 28] for label in range(len(hierarchy))] if head == "dot" else None,
    )
    network = build_word_network(hierarchy, settings)
    short, full = (step(network, hierarchy, kind, shortlisted) for kind in ("bfloat16", "float32"))
    # bfloat16 has eight significant bits, and logits are sums.
    assert (short[0] - full[0]).abs().max() < 0.05 * full[0].abs().max()
    assert short[1] == pytest.approx(full[1], rel=0.05, abs=0.05)
    assert all(gradient.isfinite().all() for gradient in short[2])
    assert len(short[2]) == len(full[2])
