import numpy as np
import pytest
import scipy.sparse as sp
import torch

from skhimatch import LabelHierarchy
from skhimatch.encodings import encode
from skhimatch.initial_network import _head_from_names, network_on
from skhimatch.objective import HiMatchLoss
from skhimatch.subwords import SubwordTokenizer
from skhimatch.transformer_encoder import TransformerEncoder

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


@pytest.mark.parametrize("freeze", [None, "all"])
def test_the_usual_text_keeps_the_logits_that_are_best_of_it(tiny_bert, freeze):
    texts = SubwordTokenizer(tiny_bert).fit_transform(TEXTS)
    encoder = TransformerEncoder(tiny_bert, freeze=freeze)
    leaf = [HIERARCHY.labels.index(name) for name in ("physics", "biology", "tennis")] * 4
    targets = sp.csr_array((np.ones(12), (np.arange(12), leaf)), shape=(12, 5))
    criterion = HiMatchLoss(HIERARCHY)
    network = network_on(
        encoder,
        HIERARCHY,
        {},
        texts,
        targets,
        label_texts=dict(zip(("physics", "biology", "tennis"), TEXTS, strict=False)),
        criterion=criterion,
        seed=0,
        device=torch.device("cpu"),
    )
    assert network.head.linear.weight.abs().max() > 0.01
    usual = torch.from_numpy(encode(encoder, texts.subwords).mean(0))
    with torch.no_grad():
        logits = network.eval()(usual[None], torch.tensor([1])).logits[0].numpy()
    frequencies = (targets.sum(axis=0) + 0.5) / 13
    np.testing.assert_allclose(logits, criterion.best_constant(frequencies), atol=1e-4)
