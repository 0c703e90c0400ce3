"""Networks make all tensors on the device of their inputs, and do not wait for the device within a step.

No GPU is needed: a tensor that is made without a device lands on another one than the inputs here, so that
the next operation on both fails, as it would with inputs on a GPU.
"""

import pytest
import torch
from test_precision import FEW, MANY, combinations
from torch.utils._python_dispatch import TorchDispatchMode

from skhimatch.network.build import WordNetworkSettings, build_word_network
from skhimatch.network.objective import HiMatchLoss
from skhimatch.network.transformer import TransformerEncoder
from skhimatch.text.pretrained import PretrainedEncoder

SIZES = {
    "vocabulary_size": 30,
    "embedding_dimension": 8,
    "node_dimension": 8,
    "joint_dimension": 8,
    "hidden_size": 4,
    "filters": 4,
}


class CountWaits(TorchDispatchMode):
    """Counts operations whose result Python has to wait for, such as ``.item()`` and ``.tolist()``."""

    def __init__(self):
        super().__init__()
        self.number = 0

    def __torch_dispatch__(self, function, types, arguments=(), named=None):
        self.number += function is torch.ops.aten._local_scalar_dense.default
        return function(*arguments, **(named or {}))


def batch(hierarchy):
    """Return ids, lengths, and the targets of four texts."""
    ids, lengths = torch.randint(2, 30, (4, 6)), torch.tensor([6, 5, 3, 6])
    ids[torch.arange(6) >= lengths[:, None]] = 0
    targets = torch.zeros(4, len(hierarchy))
    for row in range(4):
        label = hierarchy.index[f"l{2 * row}"]
        targets[row, [label, *hierarchy.ancestors[[label]].indices]] = 1
    return ids, lengths, targets


def step(network, loss, ids, lengths, targets, shortlist):
    """Make a training step, and return the logits, the loss and the gradients."""
    torch.manual_seed(0)
    network.train()
    network.zero_grad()
    output = network(ids, lengths, shortlist)
    total = loss(output, targets).total
    total.backward()
    return output.logits, total, [weight.grad for weight in network.parameters() if weight.grad is not None]


@pytest.mark.parametrize("shortlisted", [False, True], ids=["all labels", "shortlist"])
@pytest.mark.parametrize("hierarchy", [FEW, MANY], ids=["few labels", "many labels"])
@pytest.mark.parametrize(("encoder", "head", "propagation"), list(combinations()))
def test_a_step_makes_no_tensor_elsewhere(encoder, head, propagation, hierarchy, shortlisted):
    torch.manual_seed(0)
    label_words = [[2 + label % 28] for label in range(len(hierarchy))] if head == "dot" else None
    settings = WordNetworkSettings(
        **SIZES, encoder=encoder, head=head, propagation=propagation, label_words=label_words
    )
    network, loss = build_word_network(hierarchy, settings), HiMatchLoss(hierarchy)
    ids, lengths, targets = batch(hierarchy)
    shortlist = None
    if shortlisted and network.scores_labels_separately:
        shortlist = torch.topk(targets + torch.linspace(0.5, 0, len(hierarchy)), 8).indices
    expected = step(network, loss, ids, lengths, targets, shortlist)
    with torch.device("meta"):
        found = step(network, loss, ids, lengths, targets, shortlist)
        network.eval()
        network(ids, lengths, shortlist)
    torch.testing.assert_close(found, expected)


# Recurrent layers and pooling cut texts by their lengths, for which they wait.
@pytest.mark.parametrize(
    ("encoder", "head", "propagation"), [kind for kind in combinations() if kind[0] == "attention"]
)
def test_a_step_waits_for_no_result(encoder, head, propagation):
    label_words = [[2 + label % 28] for label in range(len(FEW))] if head == "dot" else None
    settings = WordNetworkSettings(
        **SIZES, encoder=encoder, head=head, propagation=propagation, label_words=label_words
    )
    network, loss = build_word_network(FEW, settings), HiMatchLoss(FEW)
    ids, lengths, targets = batch(FEW)
    with CountWaits() as waits:
        step(network, loss, ids, lengths, targets, None)
    assert waits.number == 0


@pytest.mark.parametrize("long_text", ["truncate", "stride"])
@pytest.mark.parametrize("pooling", ["cls", "mean", "attention"])
def test_a_pretrained_encoder_makes_no_tensor_elsewhere(tiny_bert, pooling, long_text):
    settings = PretrainedEncoder(tiny_bert, pooling=pooling, long_text=long_text, max_length=8)
    encoder = TransformerEncoder(settings).eval()
    texts = encoder.tokenize(["a quark and a gluon", "the cell", "a serve and a volley and the set again"])
    lengths = torch.from_numpy(texts.lengths)
    ids = torch.zeros(3, int(lengths.max()), dtype=torch.int64)
    for row, text in enumerate(texts):
        ids[row, : len(text)] = torch.from_numpy(text)
    expected = encoder.read(ids, lengths)
    with torch.device("meta"):
        found = encoder.read(ids, lengths)
    torch.testing.assert_close(found, expected)
