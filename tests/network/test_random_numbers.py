"""Own generators give the numbers of torch's global ones, and neither read nor change these."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.network.batches import LengthBuckets
from skhimatch.network.build import WordNetworkSettings, build_word_network
from skhimatch.network.dropout import Dropout
from skhimatch.network.negatives import NegativeSampler
from skhimatch.network.random_numbers import (
    Generators,
    InjectedGenerators,
    RandomModule,
    contexts_of_recomputation,
    draw_from,
    seeded_construction,
)

CPU = torch.device("cpu")
HIERARCHY = LabelHierarchy([("a", "a1"), ("a", "a2"), ("a", "a3"), ("b", "b1"), ("b", "b2")])
HALVES = torch.full((40,), 0.5)


def many(draw):
    """Draw several times in a row: the numbers between are those of one generator, too."""
    return [draw() for _ in range(3)]


CONSTRUCTIONS = {
    "rand": lambda: torch.rand(40),
    "randn": lambda: torch.randn(3, 13),
    "randint": lambda: torch.randint(5, 90, (40,)),
    "randperm": lambda: torch.randperm(40),
    "normal": lambda: torch.normal(0.0, 2.0, (40,)),
    "multinomial": lambda: torch.multinomial(HALVES, 7),
    "bernoulli": lambda: torch.bernoulli(HALVES),
    "poisson": lambda: torch.poisson(HALVES),
    "binomial": lambda: torch.binomial(HALVES * 20, HALVES),
    "uniform_": lambda: torch.empty(40).uniform_(-1, 1),
    "normal_": lambda: torch.empty(40).normal_(),
    "random_": lambda: torch.empty(40, dtype=torch.int64).random_(-(2**63), None),
    "exponential_": lambda: torch.empty(40).exponential_(),
    "geometric_": lambda: torch.empty(40).geometric_(0.3),
    "log_normal_": lambda: torch.empty(40).log_normal_(),
    "cauchy_": lambda: torch.empty(40).cauchy_(),
    "bernoulli_": lambda: torch.empty(40).bernoulli_(0.3),
    "Tensor.bernoulli": lambda: HALVES.bernoulli(),
    "Tensor.multinomial": lambda: HALVES.multinomial(7),
    "rand_like": lambda: torch.rand_like(HALVES),
    "randn_like": lambda: torch.randn_like(HALVES),
    "randint_like": lambda: torch.randint_like(HALVES, 9),
    "randint_like from": lambda: torch.randint_like(HALVES, 3, 9),
    "dropout": lambda: nn.functional.dropout(torch.ones(40), 0.3),
    "nn.Dropout": lambda: nn.Dropout(0.3)(torch.ones(40)),
    "nn.Dropout in place": lambda: nn.Dropout(0.3, inplace=True)(torch.ones(40)),
    "nn.Linear": lambda: nn.Linear(5, 7).weight,
    "nn.Embedding": lambda: nn.Embedding(5, 7, padding_idx=0).weight,
    "nn.GRU": lambda: nn.GRU(5, 7).bias_hh_l0,
    "nn.Conv1d": lambda: nn.Conv1d(5, 7, 3).weight,
    **{
        name: lambda name=name: getattr(nn.init, name)(torch.empty(6, 8))
        for name in (
            *("uniform_", "normal_", "trunc_normal_", "xavier_uniform_", "xavier_normal_"),
            *("kaiming_uniform_", "kaiming_normal_", "orthogonal_"),
        )
    },
    "nn.init.sparse_": lambda: nn.init.sparse_(torch.empty(6, 8), 0.4),
}


@pytest.mark.parametrize("name", CONSTRUCTIONS)
def test_injected_numbers_are_those_of_the_seed(name):
    with torch.random.fork_rng():
        torch.manual_seed(7)
        expected = many(CONSTRUCTIONS[name])
    before = torch.get_rng_state()
    with InjectedGenerators(Generators(7)):
        found = many(CONSTRUCTIONS[name])
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
    with InjectedGenerators(Generators(8)):
        other = many(CONSTRUCTIONS[name])
    assert not all(torch.equal(one, another) for one, another in zip(found, other, strict=True))


def test_no_dropout_draws_nothing():
    generators = Generators(0)
    before = generators.on(CPU).get_state()
    features = torch.ones(5)
    with InjectedGenerators(generators):
        assert nn.functional.dropout(features, 0.5, training=False) is features
        assert nn.functional.dropout(features, 0.0) is features
        assert not nn.functional.dropout(features, 1.0).any()
    assert torch.equal(generators.on(CPU).get_state(), before)


def test_a_generator_of_the_caller_is_kept():
    expected = torch.rand(4, generator=torch.Generator().manual_seed(3))
    with seeded_construction(7):
        found = torch.rand(4, generator=torch.Generator().manual_seed(3))
    assert torch.equal(found, expected)


def test_tensors_without_numbers():
    with seeded_construction(7):
        assert nn.Linear(3, 4, device="meta").weight.is_meta
        with torch.device("meta"):
            assert torch.randn(3).is_meta


def test_the_context_ends_with_an_error():
    with pytest.raises(ZeroDivisionError), seeded_construction(3):
        torch.rand(1 // 0)
    before = torch.get_rng_state()
    torch.rand(1)
    assert not torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("encoder", ["attention", "gru", "rcnn"])
def test_networks_have_the_weights_of_the_seed(encoder):
    settings = {"encoder": encoder, "propagation": "gcn", "embedding_dimension": 6, "node_dimension": 4}
    built_from = WordNetworkSettings(vocabulary_size=30, **settings)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        expected = build_word_network(HIERARCHY, built_from).state_dict()
    before = torch.get_rng_state()
    with seeded_construction(5):
        found = build_word_network(HIERARCHY, built_from).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


TARGETS = torch.tensor([[1.0, 1, 0, 0, 0, 0, 0], [0, 0, 1, 0, 0, 1, 0]])[:, : len(HIERARCHY)]
MODULES = {
    "dropout": (Dropout(0.4), lambda module: module(torch.ones(30))),
    "negatives": (NegativeSampler(HIERARCHY), lambda module: module(TARGETS).negative),
    "random negatives": (
        NegativeSampler(HIERARCHY, sampling="random"),
        lambda module: module(TARGETS).negative,
    ),
}


@pytest.mark.parametrize("name", MODULES)
class TestRandomModules:
    def test_they_draw_the_numbers_of_the_seed(self, name):
        module, draw = MODULES[name]
        with torch.random.fork_rng():
            torch.manual_seed(9)
            expected = [draw(module) for _ in range(20)]
        before = torch.get_rng_state()
        with draw_from(Generators(9), nn.Sequential(module)):
            found = [draw(module) for _ in range(20)]
        assert torch.equal(torch.get_rng_state(), before)
        assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))

    def test_afterwards_they_draw_from_the_global_generator(self, name):
        module, draw = MODULES[name]
        with pytest.raises(ZeroDivisionError), draw_from(Generators(9), module):
            draw(1 // 0)
        assert module.generators is None
        before = torch.get_rng_state()
        draw(module)
        assert not torch.equal(torch.get_rng_state(), before)

    def test_generators_are_in_no_copy(self, name):
        module, _ = MODULES[name]
        with draw_from(Generators(9), module):
            assert module.generators is not None
            for copied in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
                assert copied.generators is None
                assert "generators" not in vars(copied)
            assert not any("generator" in key for key in module.state_dict())


def test_batches_draw_from_their_generator():
    class Texts:
        lengths = torch.arange(50).numpy()

    class Rows:
        sequences = Texts

        def __len__(self):
            return 50

        def batch(self, rows):
            return rows.tolist()

    with torch.random.fork_rng():
        torch.manual_seed(4)
        expected = [list(LengthBuckets(Rows(), 8, pool=2)) for _ in range(1)]
    before = torch.get_rng_state()
    buckets = LengthBuckets(Rows(), 8, pool=2, generator=torch.Generator().manual_seed(4))
    assert list(buckets) == expected[0]
    assert list(buckets) != expected[0]
    assert torch.equal(torch.get_rng_state(), before)


class Layer(RandomModule):
    """A layer with all kinds of dropout; it counts its forward passes."""

    def __init__(self):
        super().__init__()
        self.ours, self.linear, self.passes = Dropout(0.5), nn.Linear(16, 16), 0

    def forward(self, features):
        self.passes += 1
        return torch.tanh(self.linear(nn.functional.dropout(self.ours(features), 0.3)))


def test_a_recomputed_pass_draws_the_same_masks():
    with seeded_construction(0):
        layers = nn.ModuleList([Layer(), Layer()])

    def gradients(checkpoint):
        generators, features = Generators(1), torch.ones(4, 16, requires_grad=True)
        before = torch.get_rng_state()
        layers.zero_grad()
        states = features
        with draw_from(generators, layers), InjectedGenerators(generators):
            for layer in layers:
                states = checkpoint(layer, states, generators)
        state = generators.on(CPU).get_state()
        with draw_from(generators, layers):
            states.square().sum().backward()
        # The backward pass draws nothing that later draws would miss.
        assert torch.equal(generators.on(CPU).get_state(), state)
        assert torch.equal(torch.get_rng_state(), before)
        return [features.grad, *(parameter.grad.clone() for parameter in layers.parameters())]

    def plain(layer, states, generators):
        return layer(states)

    def checkpointed(layer, states, generators):
        return checkpoint(
            layer,
            states,
            use_reentrant=False,
            preserve_rng_state=False,
            context_fn=lambda: contexts_of_recomputation(generators, CPU),
        )

    expected = gradients(plain)
    assert [layer.passes for layer in layers] == [1, 1]
    found = gradients(checkpointed)
    assert [layer.passes for layer in layers] == [3, 3]
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
