import numpy as np
import pytest
import scipy.sparse as sp
import torch

from skhimatch import LabelHierarchy
from skhimatch.network.batches import TextDataset
from skhimatch.network.build import NetworkSettings
from skhimatch.network.encodings import encode
from skhimatch.network.label_attention import LabelAttention
from skhimatch.network.objective import HiMatchLoss
from skhimatch.network.start import StartingPoint, _head_from_names, start_pretrained_network
from skhimatch.network.transformer import TransformerEncoder
from skhimatch.text.pretrained import PretrainedEncoder
from skhimatch.text.subwords import SubwordTokenizer

HIERARCHY = LabelHierarchy([("science", "physics"), ("science", "biology"), ("sport", "tennis")])
TEXTS = ["a quark and a gluon", "the cell divides", "a serve and a volley"] * 4


def test_names_that_tell_the_targets_are_the_least_squares_start():
    draws = np.random.RandomState(0)
    names = draws.normal(size=(5, 8)).astype(np.float32)
    targets = np.eye(5)[draws.randint(5, size=200)]
    texts = (targets @ names + 0.1 * draws.normal(size=(200, 8)) + 3).astype(np.float32)
    weights, usual = _head_from_names(texts, names, sp.csr_array(targets))
    # The oracle: one slope for all labels, each with an intercept of its own.
    products = (texts - texts.mean(0)) @ (names - names.mean(0)).T
    wanted = (2 * targets - 1) - (2 * targets - 1).mean(0)
    slope = np.linalg.lstsq(products.reshape(-1, 1), wanted.ravel(), rcond=None)[0].item()
    assert slope > 0
    np.testing.assert_allclose(weights, slope * (names - names.mean(0)), rtol=1e-4)
    np.testing.assert_allclose(usual, weights @ texts.mean(0), rtol=1e-4)
    assert ((texts @ weights.T - usual).argmax(1) == targets.argmax(1)).mean() > 0.95


@pytest.mark.parametrize("names", [-np.eye(3), np.zeros((3, 3)), np.ones((3, 3))])
def test_names_that_mislead_or_say_nothing_are_not_believed(names):
    targets = sp.csr_array(np.eye(3))
    weights, usual = _head_from_names(np.eye(3, dtype=np.float32), names.astype(np.float32), targets)
    assert (weights == 0).all()
    assert (usual == 0).all()


LEAVES = "physics", "biology", "tennis"
CRITERION = HiMatchLoss(HIERARCHY)


@pytest.fixture
def targets():
    leaf = [HIERARCHY.labels.index(name) for name in LEAVES] * 4
    return sp.csr_array((np.ones(12), (np.arange(12), leaf)), shape=(12, 5))


@pytest.fixture
def texts(tiny_bert):
    return SubwordTokenizer(tiny_bert).fit_transform(TEXTS)


def network_before_training(encoder, texts, targets, settings=None):
    label_texts = dict(zip(LEAVES, TEXTS, strict=False))
    start = StartingPoint(HIERARCHY, targets, label_texts, CRITERION, seed=0, device=torch.device("cpu"))
    return start_pretrained_network(NetworkSettings(**settings or {}), encoder, texts, start).eval()


@pytest.mark.parametrize("freeze", [None, "all"])
def test_the_usual_text_keeps_the_logits_that_are_best_of_it(tiny_bert, texts, targets, freeze):
    encoder = TransformerEncoder(PretrainedEncoder(tiny_bert, freeze=freeze, pooling="mean"))
    network = network_before_training(encoder, texts, targets, {"head": "flat"})
    assert network.head.linear.weight.abs().max() > 0.01
    usual = torch.from_numpy(encode(encoder, texts.subwords).mean(0))
    with torch.no_grad():
        logits = network(usual[None], torch.tensor([1])).logits[0].numpy()
    frequencies = (targets.sum(axis=0) + 0.5) / 13
    np.testing.assert_allclose(logits, CRITERION.best_constant(frequencies), atol=1e-4)


def test_labels_that_attend_start_from_the_mean(tiny_bert, texts, targets):
    of_mean, of_attention = (
        network_before_training(
            TransformerEncoder(PretrainedEncoder(tiny_bert, pooling=pooling)), texts, targets, {"head": head}
        )
        for pooling, head in (("mean", "flat"), ("attention", "labelwise"))
    )
    assert isinstance(of_attention.label_nodes, LabelAttention)
    inputs, _ = TextDataset(texts).batch(np.arange(3))
    with torch.no_grad():
        expected, found = of_mean(**inputs).logits, of_attention(**inputs).logits
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert expected.std(0).max() > 1e-4


def test_where_labels_mix_the_start_is_a_random_one(tiny_bert, texts, targets):
    encoder = TransformerEncoder(PretrainedEncoder(tiny_bert, pooling="attention"))
    network = network_before_training(encoder, texts, targets, {"propagation": "gcn", "head": "labelwise"})
    assert network.label_nodes.queries.abs().max() > 0
    with pytest.raises(TypeError, match="Only a head on T"):
        network_before_training(
            TransformerEncoder(PretrainedEncoder(tiny_bert, pooling="mean")),
            texts,
            targets,
            {"propagation": "gcn", "head": "labelwise"},
        ).start_head(np.zeros((5, 32)), np.zeros(5))
