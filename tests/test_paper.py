r"""Equations 1 to 8 against numpy loops, on a hierarchy of six labels in two paths.

  a           d
 / \          |
b   c         e
              |
              f
"""

import numpy as np
import pytest
import torch

from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.network import propagation as propagation_module
from skhimatch.network.base import HiMatchOutput, InitialWeights
from skhimatch.network.build import WordNetworkSettings, build_word_network
from skhimatch.network.convolution import ConvolutionEncoder
from skhimatch.network.encoders import BidirectionalGRU, CNNEncoder, GRUEncoder, RCNNEncoder
from skhimatch.network.himatch import HiMatchNetwork
from skhimatch.network.joint_space import JointProjection
from skhimatch.network.label_attention import LabelAttention, LabelProjection
from skhimatch.network.negatives import LabelPairs, NegativeSampler
from skhimatch.network.objective import HiMatchLoss, joint_embedding_loss, matching_loss
from skhimatch.network.pooling import AttentionPooling, MaxPooling, PooledEncoder
from skhimatch.network.propagation import GatedPropagation, HierarchyGCN

HIERARCHY = LabelHierarchy([("a", "b"), ("a", "c"), ("d", "e"), ("e", "f")])
A, B, C, D, E, F = range(6)
PARENT_OF = {B: A, C: A, E: D, F: E}

# Three texts: two paths, one path, a coarse target only.
TARGETS = np.array([[1, 1, 0, 1, 1, 1], [1, 0, 1, 0, 0, 0], [0, 0, 0, 1, 0, 0]], dtype=float)

# Counted by hand on TARGETS: N = (2, 1, 1, 2, 1, 1).
PRIOR = {(A, B): 1 / 2, (A, C): 1 / 2, (D, E): 1 / 2, (E, F): 1 / 1}


@pytest.fixture(autouse=True)
def _seed():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def adjacency():
    """E_down and E_up of eq 1, dense, with their self-loops."""
    down, up = np.eye(6), np.eye(6)
    for (parent, child), prior in PRIOR.items():
        down[child, parent] = prior
        up[parent, child] = 1
    return down, up


def with_priors(module):
    with torch.no_grad():
        module.edges.prior.copy_(torch.tensor(HIERARCHY.edge_priors(TARGETS)))
    return module


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def embeddings(n_texts=3, dimension=4, requires_grad=False):
    generator = np.random.RandomState(0)
    text = torch.tensor(unit(generator.randn(n_texts, dimension)), requires_grad=requires_grad)
    label = torch.tensor(unit(generator.randn(6, dimension)), requires_grad=requires_grad)
    return text, label


def test_edge_priors_are_shares_of_closed_targets():
    found = {
        tuple(edge): prior
        for edge, prior in zip(HIERARCHY.edges, HIERARCHY.edge_priors(TARGETS), strict=True)
    }
    assert found == pytest.approx(PRIOR)


def test_equation_1_propagation():
    gcn = with_priors(HierarchyGCN(HIERARCHY, 5).double())
    nodes = torch.randn(3, 6, 5, dtype=torch.float64)
    down, up = adjacency()
    for text in range(3):
        v = nodes[text].numpy()
        expected = np.maximum(0, down @ v @ gcn.down.detach().numpy() + up @ v @ gcn.up.detach().numpy())
        np.testing.assert_allclose(gcn(nodes)[text].detach().numpy(), expected, atol=1e-12)


def test_equation_1_by_hand():
    """Identity weights and one feature: what each label hears is its own, its parent's and its children's."""
    gcn = with_priors(HierarchyGCN(HIERARCHY, 1).double())
    with torch.no_grad():
        gcn.down.fill_(1)
        gcn.up.fill_(1)
    nodes = torch.tensor([1.0, 2.0, 4.0, 8.0, 16.0, 32.0], dtype=torch.float64)[:, None]
    # a: 1 + 1 + (2 + 4); b: 2 + 1/2 + 2; c: 4 + 1/2 + 4; d: 8 + 8 + 16; e: 16 + 4 + 16 + 32; f: 32 + 16 + 32
    assert gcn(nodes).squeeze().tolist() == [8.0, 4.5, 8.5, 32.0, 68.0, 80.0]


def test_equation_1_node_inputs_are_a_reshaped_projection():
    nodes = LabelProjection(text_dimension=4, n_labels=6, dimension=5)
    text = torch.randn(2, 4)
    weight, bias = nodes.projection.weight.detach(), nodes.projection.bias.detach()
    for label in range(6):
        rows = slice(5 * label, 5 * label + 5)
        expected = text @ weight[rows].T + bias[rows]
        torch.testing.assert_close(nodes(text)[:, label], expected)


def test_equation_1_gated():
    gated = GatedPropagation(HIERARCHY, 2).double()
    with torch.no_grad():
        gated.down_weight.copy_(torch.tensor(HIERARCHY.edge_priors(TARGETS)))
        gated.down_bias.normal_()
        gated.up_bias.normal_()
    nodes = torch.randn(3, 6, 2, dtype=torch.float64)
    down, up = (matrix - np.eye(6) for matrix in adjacency())
    v = nodes.numpy()
    gates = 1 / (1 + np.exp(-(v @ gated.gates.weight.detach().numpy().T + gated.gates.bias.detach().numpy())))
    expected = np.zeros_like(v)
    for text in range(3):
        for label in range(6):
            from_parent = down[label] @ v[text] + gated.down_bias.detach().numpy()[label]
            from_children = up[label] @ v[text] + gated.up_bias.detach().numpy()[label]
            g = gates[text, label]
            expected[text, label] = g[0] * from_parent + g[1] * from_children + g[2] * v[text, label]
    np.testing.assert_allclose(gated(nodes).detach().numpy(), np.maximum(0, expected), atol=1e-12)


@pytest.mark.parametrize("labels", [[2], [5, 0], [1, 4, 3], [0, 1, 2, 3, 4, 5], []])
def test_equation_2_at_some_labels(labels):
    gcn = with_priors(HierarchyGCN(HIERARCHY, 5).double())
    nodes = torch.randn(6, 5, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(len(labels), 5, dtype=torch.float64)
    gradients = []
    for rows in (gcn(nodes)[labels], gcn.at(nodes, torch.tensor(labels, dtype=torch.int64))):
        gradients.append(
            torch.autograd.grad((rows * weights).sum(), [nodes, gcn.down, gcn.up], retain_graph=True)
        )
        torch.testing.assert_close(rows, gcn(nodes)[labels])
    torch.testing.assert_close(*gradients)


def test_labels_are_embedded_alike_be_they_few_or_many(monkeypatch):
    network = build_word_network(
        HIERARCHY, WordNetworkSettings(vocabulary_size=10, embedding_dimension=4, node_dimension=3)
    ).eval()
    labels = torch.tensor([4, 1, 2])
    expected = network.embed_labels()[labels]
    torch.testing.assert_close(network.embed_labels(labels), expected)
    monkeypatch.setattr(propagation_module, "MANY_LABELS", 5)
    torch.testing.assert_close(network.embed_labels(labels), expected)


def test_equation_2_label_encoder():
    network = build_word_network(
        HIERARCHY, WordNetworkSettings(vocabulary_size=10, embedding_dimension=4, node_dimension=3)
    )
    with_priors(network.label_encoder)
    down, up = adjacency()
    v, w3, w4 = (
        tensor.detach().numpy()
        for tensor in (network.label_vectors, network.label_encoder.down, network.label_encoder.up)
    )
    expected = np.maximum(0, down @ v @ w3 + up @ v @ w4)
    np.testing.assert_allclose(network.label_encoder(network.label_vectors).detach(), expected, atol=1e-5)


@pytest.mark.parametrize("input_size", [6 * 3, 4])
def test_equations_3_and_4_projections(input_size):
    projection = JointProjection(input_size, 7, dropout=0.5).double().eval()
    semantics = torch.randn(2, input_size, dtype=torch.float64)
    w1, b1, w2, b2 = (parameter.detach().numpy() for parameter in projection.parameters())
    for row in range(2):
        phi = w2 @ np.maximum(0, w1 @ semantics[row].numpy() + b1) + b2
        expected = phi / np.sqrt((phi**2).sum())
        np.testing.assert_allclose(projection(semantics)[row].detach(), expected, atol=1e-12)


def test_equation_3_sees_all_nodes_at_once():
    sizes = {"embedding_dimension": 4, "node_dimension": 3, "filters": 2, "hidden_size": 2}
    network = build_word_network(
        HIERARCHY, WordNetworkSettings(vocabulary_size=10, encoder="rcnn", propagation="gcn", **sizes)
    ).eval()
    semantics = torch.randn(2, 6, 3)
    found = network.embed_text(torch.empty(2, 2), torch.tensor([1, 1]), semantics)
    torch.testing.assert_close(found, network.text_projection(semantics.reshape(2, 18)))


def test_attention_places_a_text_by_its_mean_word():
    network = build_word_network(
        HIERARCHY, WordNetworkSettings(vocabulary_size=10, embedding_dimension=4, node_dimension=3)
    ).eval()
    states = torch.randn(3, 4, 3)
    found = network.embed_text(states, torch.tensor([4, 2, 0]))
    mean = torch.stack([states[0].mean(0), states[1, :2].mean(0), torch.zeros(3)])
    torch.testing.assert_close(found, network.text_projection(mean))


def test_equation_5_joint_embedding():
    text, label = embeddings()
    expected = 0.0
    for t in range(3):
        for p in range(6):
            if TARGETS[t, p]:
                expected += ((text[t] - label[p]).numpy() ** 2).sum()
    assert joint_embedding_loss(text, label, torch.tensor(TARGETS)).item() == pytest.approx(expected / 3)


def test_equation_6_matching():
    text, label = embeddings()
    triples = [(0, B, A, 0.1), (0, F, C, 0.5), (1, C, F, 0.2), (2, D, A, 3.0)]
    expected = np.mean(
        [
            max(0.0, np.linalg.norm(text[t] - label[p]) - np.linalg.norm(text[t] - label[n]) + margin)
            for t, p, n, margin in triples
        ]
    )
    columns = [torch.tensor(column) for column in zip(*triples, strict=True)]
    assert matching_loss(text, label, LabelPairs(*columns)).item() == pytest.approx(expected, rel=1e-6)


def test_equation_6_takes_the_same_distances_when_pairs_outnumber_them():
    text, label = embeddings()
    few = [torch.tensor(column) for column in zip((0, B, A, 0.1), (1, C, F, 0.2), strict=True)]
    many = [column.repeat(50) for column in few]
    assert matching_loss(text, label, LabelPairs(*many)).item() == pytest.approx(
        matching_loss(text, label, LabelPairs(*few)).item()
    )


def draw(sampling="hierarchy", targets=TARGETS, hierarchy=HIERARCHY):
    sampler = NegativeSampler(hierarchy, gamma=0.2, alpha=0.01, beta=0.5, sampling=sampling)
    pairs = sampler(torch.tensor(targets))
    return list(
        zip(
            pairs.text.tolist(),
            pairs.positive.tolist(),
            pairs.negative.tolist(),
            np.round(pairs.margin.tolist(), 6),
            strict=True,
        )
    )


def test_equation_7_margins_and_negatives():
    """Text 0 is tagged a > b and d > e > f: its fine-grained targets are b and f."""
    for _ in range(20):
        pairs = draw()
        assert {(t, p) for t, p, _, _ in pairs} == {(0, B), (0, F), (1, C), (2, D)}
        # Ancestors, margin alpha * gamma.
        assert {(t, p, n) for t, p, n, m in pairs if m == 0.002} == {
            (0, B, A),
            (0, F, D),
            (0, F, E),
            (1, C, A),
        }
        # One sibling, margin beta * gamma: c for b, b for c, none for f, and a for d.
        assert {(t, p, n) for t, p, n, m in pairs if m == 0.1} == {(0, B, C), (1, C, B), (2, D, A)}
        # One other, margin gamma, outside targets, ancestors and siblings; for text 0 and b only c is left.
        others = {(t, p): n for t, p, n, m in pairs if m == 0.2}
        assert others[0, B] == C
        assert others[0, F] == C
        assert others[1, C] in (D, E, F)
        assert others[2, D] in (B, C, E, F)
        assert len(pairs) == 4 + 3 + 4


@pytest.mark.parametrize("sampling", ["hierarchy", "all"])
def test_a_sibling_that_is_a_target_is_no_negative(sampling):
    tree = LabelHierarchy([("a", "b"), ("a", "c"), ("a", "d")])
    for _ in range(10):
        pairs = draw(sampling, np.array([[0, 1, 1, 0.0]]), tree)
        assert {(p, n) for _, p, n, m in pairs if m == 0.1} == {(1, 3), (2, 3)}
        assert {n for *_, n, _ in pairs} == {0, 3}


@pytest.mark.parametrize("propagation", ["gcn", "gated"])
@pytest.mark.parametrize(
    "kind",
    [
        {"head": "matching"},
        {"head": "labelwise"},
        {"head": "flat"},
        {"head": "flat", "encoder": "rcnn"},
        {"head": "matching", "encoder": "gru"},
    ],
)
def test_equation_1_is_between_nodes_and_head(kind, propagation):
    """S_t, which the head reads, are the propagated nodes, and priors reach the propagation."""
    sizes = {"embedding_dimension": 5, "hidden_size": 4, "filters": 3, "node_dimension": 6}
    settings = WordNetworkSettings(vocabulary_size=10, propagation=propagation, **kind | sizes)
    network = build_word_network(HIERARCHY, settings).eval()
    network.start_from(initial_weights(5))
    read = []
    module = network.head if not hasattr(network.head, "cosines") else None
    if module is not None:
        module.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]))
    else:
        cosines = network.head.cosines
        network.head.cosines = lambda nodes, labels=None: (read.append(nodes), cosines(nodes, labels))[1]
    ids, lengths = torch.tensor([[2, 3, 4], [5, 6, 0]]), torch.tensor([3, 2])
    with torch.no_grad():
        network(ids, lengths, joint=False)
        nodes = network.label_nodes(*network.encode(ids, lengths))
        fresh = type(network.propagation)(HIERARCHY, nodes.shape[-1])
        fresh.load_state_dict(network.propagation.state_dict())
        of_edges = fresh.down_weight if propagation == "gated" else fresh.edges.prior
        of_edges.copy_(torch.tensor(list(PRIOR.values())))
        expected = fresh(nodes)
    np.testing.assert_allclose(read[0], expected, atol=1e-6)
    assert not torch.allclose(read[0], nodes)


def initial_weights(width):
    """What is known before training, with label vectors that no random draw gives."""
    return InitialWeights(
        edge_priors=HIERARCHY.edge_priors(TARGETS),
        output_bias=np.arange(6) / 10,
        shared_output_bias=0.5,
        make_label_vectors=lambda: np.arange(6 * width, dtype=float).reshape(6, width),
        word_table=np.ones((10, width), dtype=np.float32),
    )


@pytest.mark.parametrize("kind", [{"head": "matching"}, {"head": "labelwise"}, {"encoder": "rcnn"}])
def test_networks_start_from_what_is_known(kind):
    settings = WordNetworkSettings(vocabulary_size=10, embedding_dimension=5, propagation="gcn", **kind)
    network = build_word_network(HIERARCHY, settings)
    network.start_from(initial_weights(5))
    state = network.state_dict()
    [label_vectors] = [value for name, value in state.items() if name.endswith("label_vectors")]
    np.testing.assert_allclose(label_vectors, np.arange(30).reshape(6, 5))
    np.testing.assert_allclose(network.head.bias.detach(), np.arange(6) / 10, atol=1e-6)
    priors = [value for name, value in state.items() if name.endswith("edges.prior")]
    # Those of texts (eq 1) and of labels (eq 2).
    assert len(priors) == 2
    for prior in priors:
        np.testing.assert_allclose(prior, list(PRIOR.values()))


def test_random_labels_are_uniform_over_what_is_allowed():
    seen = [n for _ in range(300) for t, p, n, m in draw() if (t, p) == (2, D) and m == 0.2]
    counts = np.bincount(seen, minlength=6)
    assert counts[[A, D]].sum() == 0
    assert counts[[B, C, E, F]].min() > 45  # 75 expected of each, standard deviation 7.5


def test_sampling_all_takes_every_label_once():
    pairs = [(n, m) for t, p, n, m in draw("all") if (t, p) == (1, C)]
    assert sorted(pairs) == [(A, 0.002), (B, 0.1), (D, 0.2), (E, 0.2), (F, 0.2)]


def test_sampling_random_keeps_the_number_and_loses_the_hierarchy():
    pairs = draw("random")
    assert {m for *_, m in pairs} == {0.2}
    for text, positive, count in ((0, B, 3), (0, F, 3), (1, C, 3), (2, D, 2)):
        negatives = [n for t, p, n, _ in pairs if (t, p) == (text, positive)]
        assert len(negatives) == count
        assert not TARGETS[text, negatives].any()


def test_untagged_ancestors_still_are_negatives():
    """A corpus that tags leaves only: ancestors keep margin alpha * gamma and are never drawn otherwise."""
    leaf_only = np.array([[0, 0, 0, 0, 0, 1.0]])
    pairs = [(n, m) for _, _, n, m in draw("all", leaf_only)]
    assert sorted(pairs) == [(A, 0.2), (B, 0.2), (C, 0.2), (D, 0.002), (E, 0.002)]


def test_labels_of_a_dag_are_siblings_through_any_parent():
    #  a   b
    #  |\ /|
    #  c d e
    dag = LabelHierarchy([("a", "c"), ("a", "d"), ("b", "d"), ("b", "e")])
    pairs = [(n, m) for _, _, n, m in draw("all", np.array([[1, 1, 0, 1.0, 0]]), dag)]
    # c shares a, e shares b; only siblings are left, so they also are the random labels.
    assert sorted(pairs) == [(0, 0.002), (1, 0.002), (2, 0.1), (2, 0.2), (4, 0.1), (4, 0.2)]


def test_a_flat_hierarchy_has_no_siblings():
    assert {m for *_, m in draw(targets=np.eye(6), hierarchy=LabelHierarchy.flat([*"abcdef"]))} == {0.2}


@pytest.mark.parametrize("targets", [np.zeros((2, 6)), np.ones((2, 6))[:0], np.eye(1)])
@pytest.mark.parametrize("sampling", ["hierarchy", "random", "all"])
def test_no_valid_pair_is_zero_not_nan(targets, sampling):
    hierarchy = HIERARCHY if targets.shape[1] == 6 else LabelHierarchy.flat(["only"])
    pairs = NegativeSampler(hierarchy, sampling=sampling)(torch.tensor(targets))
    text = torch.ones(len(targets), 3, requires_grad=True)
    loss = matching_loss(text, torch.ones(targets.shape[1], 3), pairs)
    loss.backward()
    assert len(pairs.text) == 0
    assert loss.item() == 0
    assert (text.grad == 0).all()


def test_the_gradient_is_finite_where_text_and_label_coincide():
    text = torch.tensor([[1.0, 0.0]], requires_grad=True)
    label = torch.tensor([[1.0, 0.0], [0.0, 1.0]], requires_grad=True)
    index = torch.tensor([0])
    for copies in (1, 10):
        pairs = LabelPairs(*(x.repeat(copies) for x in (index, index, index + 1, torch.tensor([2.0]))))
        matching_loss(text, label, pairs).backward()
        assert torch.isfinite(text.grad).all()
        assert torch.isfinite(label.grad).all()


@pytest.mark.parametrize("classification_loss", ["squared_hinge", "cross_entropy", "mean_cross_entropy"])
def test_equation_8_overall_objective(classification_loss):
    text, label = embeddings()
    logits = np.random.RandomState(1).randn(3, 6)
    loss = HiMatchLoss(
        HIERARCHY,
        sampling="all",
        lambda_joint=0.7,
        lambda_match=0.3,
        classification_loss=classification_loss,
    )
    parts = loss(HiMatchOutput(torch.tensor(logits), text, label.__getitem__), torch.tensor(TARGETS))
    p = 1 / (1 + np.exp(-logits))
    entropy = -(TARGETS * np.log(p) + (1 - TARGETS) * np.log(1 - p)).sum(1).mean()
    missing = np.where(TARGETS == 1, np.maximum(0, 1 - logits), np.maximum(0, 1 + logits))
    classification = {
        "squared_hinge": (missing**2).sum(1).mean(),
        "cross_entropy": entropy,
        "mean_cross_entropy": entropy / 6,
    }[classification_loss]
    assert parts.classification.item() == pytest.approx(classification)
    assert parts.joint.item() == pytest.approx(
        joint_embedding_loss(text, label, torch.tensor(TARGETS)).item()
    )
    assert parts.matching.item() == pytest.approx(
        matching_loss(text, label, loss.negatives(torch.tensor(TARGETS))).item()
    )
    expected = classification + 0.7 * parts.joint.item() + 0.3 * parts.matching.item()
    assert parts.total.item() == pytest.approx(expected)


@pytest.mark.parametrize("classification_loss", ["squared_hinge", "cross_entropy", "mean_cross_entropy"])
def test_a_label_counts_for_those_that_it_stands_for(classification_loss):
    logits = np.random.RandomState(1).randn(3, 6)
    label_weights = np.array([[1, 0, 4, 0, 1, 0], [1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 6.0]])
    loss = HiMatchLoss(HIERARCHY, lambda_joint=0, lambda_match=0, classification_loss=classification_loss)
    output = HiMatchOutput(torch.tensor(logits), label_weights=torch.tensor(label_weights))
    p = 1 / (1 + np.exp(-logits))
    entropy = -(label_weights * (TARGETS * np.log(p) + (1 - TARGETS) * np.log(1 - p))).sum(1).mean()
    missing = np.where(TARGETS == 1, np.maximum(0, 1 - logits), np.maximum(0, 1 + logits))
    expected = {
        "squared_hinge": (missing**2).sum(1).mean(),
        "cross_entropy": entropy,
        "mean_cross_entropy": entropy / 6,
    }[classification_loss]
    assert loss(output, torch.tensor(TARGETS)).total.item() == pytest.approx(expected)


def test_the_objective_asks_for_no_more_labels_than_it_needs():
    text, label = embeddings()
    asked = []

    def embed(labels):
        asked.append(labels.tolist())
        return label[labels]

    targets = torch.zeros(3, 6)
    targets[:, 2] = 1
    HiMatchLoss(HIERARCHY, lambda_match=0)(HiMatchOutput(torch.zeros(3, 6), text, embed), targets)
    assert asked == [[2]]


def test_labels_that_a_batch_leaves_out_change_nothing():
    text, label = embeddings()
    targets = torch.tensor([[0, 0, 0, 0, 1, 0], [0, 0, 0, 0, 1, 0], [0, 0, 0, 0, 1, 0]])
    loss = HiMatchLoss(HIERARCHY)
    for seed in range(5):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            pairs = loss.negatives(targets)
            torch.manual_seed(seed)
            parts = loss(HiMatchOutput(torch.zeros(3, 6), text, label.__getitem__), targets.float())
        assert len(torch.unique(torch.cat([pairs.positive, pairs.negative]))) < 6
        torch.testing.assert_close(parts.matching, matching_loss(text, label, pairs))
        torch.testing.assert_close(parts.joint, joint_embedding_loss(text, label, targets))


def test_a_weight_of_zero_leaves_its_term_out():
    loss = HiMatchLoss(HIERARCHY, lambda_joint=0, lambda_match=0, classification_loss="cross_entropy")
    text, label = embeddings()
    parts = loss(
        HiMatchOutput(torch.zeros(3, 6, dtype=torch.float64), text, label.__getitem__), torch.tensor(TARGETS)
    )
    assert (parts.joint.item(), parts.matching.item()) == (0, 0)
    assert parts.total.item() == pytest.approx(6 * np.log(2))
    assert not loss.needs_joint_space


def test_gradients_of_the_objective():
    text, label = embeddings(requires_grad=True)
    logits = torch.randn(3, 6, dtype=torch.float64, requires_grad=True)
    loss = HiMatchLoss(HIERARCHY, sampling="all").double()

    def total(logits, text, label):
        return loss(HiMatchOutput(logits, text, label.__getitem__), torch.tensor(TARGETS)).total

    assert torch.autograd.gradcheck(total, (logits, text, label))


@pytest.mark.parametrize("propagation", [HierarchyGCN, GatedPropagation])
def test_gradients_of_propagation(propagation):
    module = propagation(HIERARCHY, 3).double()
    nodes = torch.randn(2, 6, 3, dtype=torch.float64, requires_grad=True)
    parameters = dict(module.named_parameters())

    def propagate(nodes, *values):
        return torch.func.functional_call(module, dict(zip(parameters, values, strict=True)), (nodes,))

    assert torch.autograd.gradcheck(propagate, (nodes, *parameters.values()))


def test_gradients_of_projection_and_encoder():
    projection = JointProjection(3, 4, dropout=0).double()
    assert torch.autograd.gradcheck(projection, torch.randn(2, 3, dtype=torch.float64, requires_grad=True))
    gru = BidirectionalGRU(3, 2).double()
    tokens = torch.randn(2, 4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda tokens: gru(tokens, torch.tensor([4, 2])), tokens)


def test_the_gru_equals_torch_on_packed_sequences():
    ours, theirs = BidirectionalGRU(5, 3), torch.nn.GRU(5, 3, batch_first=True, bidirectional=True)
    theirs.load_state_dict(
        dict(ours.forward_gru.named_parameters())
        | {f"{name}_reverse": p for name, p in ours.backward_gru.named_parameters()}
    )
    tokens, lengths = torch.randn(4, 6, 5), torch.tensor([6, 1, 3, 5])
    packed = torch.nn.utils.rnn.pack_padded_sequence(tokens, lengths, batch_first=True, enforce_sorted=False)
    expected, _ = torch.nn.utils.rnn.pad_packed_sequence(theirs(packed)[0], batch_first=True)
    torch.testing.assert_close(ours(tokens, lengths), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("recurrent", [True, False])
@pytest.mark.parametrize("top_k", [1, 3])
def test_the_encoder_keeps_each_filters_largest_n_grams(top_k, recurrent):
    """A numpy loop over windows that begin at a token, zeros behind the last one."""
    sizes = {"embedding_dimension": 4, "filters": 2, "kernel_sizes": (2, 3), "dropout": 0}
    words = RCNNEncoder(9, hidden_size=3, **sizes) if recurrent else CNNEncoder(9, **sizes)
    encoder = PooledEncoder(words, MaxPooling(words.output_size, top_k))
    ids = torch.tensor([[3, 4, 5, 6, 7], [8, 2, 0, 0, 0]])
    lengths = torch.tensor([5, 2])
    vectors = words.embedding(ids)
    states = (words.gru(vectors, lengths) if recurrent else vectors).detach().numpy()
    found = encoder(ids, lengths).detach().numpy()
    assert found.shape == (2, encoder.output_size)
    for row, length in enumerate(lengths.tolist()):
        expected = []
        for convolution in words.convolutions.convolutions:
            weight, bias = convolution.weight.detach().numpy(), convolution.bias.detach().numpy()
            span = weight.shape[2]
            padded = np.vstack([states[row, :length], np.zeros((span, states.shape[2]))])
            windows = [
                np.maximum(0, np.einsum("tc,fct->f", padded[start : start + span], weight) + bias)
                for start in range(length)
            ]
            windows += [np.zeros(2)] * top_k
            expected.append(np.sort(windows, axis=0)[::-1][:top_k].T.ravel())
        np.testing.assert_allclose(found[row], np.concatenate(expected), atol=1e-6)


def test_the_largest_states_of_a_gru_may_be_negative():
    """Padding is no state, so its zeros do not count; what is missing of the largest values is 0."""
    words = GRUEncoder(9, embedding_dimension=4, hidden_size=3, dropout=0)
    ids, lengths = torch.tensor([[3, 4, 5, 6], [8, 2, 0, 0], [0, 0, 0, 0]]), torch.tensor([4, 2, 0])
    states = words(ids, lengths).detach().numpy()
    found = PooledEncoder(words, MaxPooling(6, top_k=3))(ids, lengths).detach().numpy()
    assert states[1, :2].max(axis=0).min() < 0
    for row, length in enumerate(lengths.tolist()):
        largest = np.sort(states[row, :length], axis=0)[::-1][:3]
        expected = np.vstack([largest, np.zeros((3 - len(largest), 6))])
        np.testing.assert_allclose(found[row], expected.T.ravel(), atol=1e-6)


def test_one_attention_for_all_labels():
    words = GRUEncoder(9, embedding_dimension=4, hidden_size=3, dropout=0)
    pooling = AttentionPooling(6)
    ids, lengths = torch.tensor([[3, 4, 5, 6], [8, 2, 0, 0]]), torch.tensor([4, 2])
    states = words(ids, lengths).detach().numpy()
    found = PooledEncoder(words, pooling)(ids, lengths).detach().numpy()
    weight, bias = pooling.key.weight.detach().numpy(), pooling.key.bias.detach().numpy()
    for row, length in enumerate(lengths.tolist()):
        scores = np.tanh(states[row, :length] @ weight.T + bias) @ pooling.query.detach().numpy()
        attention = np.exp(scores) / np.exp(scores).sum()
        np.testing.assert_allclose(found[row], attention @ states[row, :length], atol=1e-6)


def test_the_output_starts_at_the_best_constant():
    network: HiMatchNetwork = build_word_network(
        HIERARCHY, WordNetworkSettings(vocabulary_size=4, embedding_dimension=2, node_dimension=2)
    )
    frequencies = np.array([0.5, 0.1, 0.2, 0.3, 0.9, 0.01])
    network.start_from(
        InitialWeights(
            edge_priors=HIERARCHY.edge_priors(TARGETS),
            output_bias=frequencies,
            shared_output_bias=0.5,
            make_label_vectors=lambda: np.zeros((6, 2)),
            word_table=np.zeros((4, 2)),
        )
    )
    np.testing.assert_allclose(network.head.bias.detach(), frequencies, rtol=1e-6)
    np.testing.assert_allclose(network.label_encoder.edges.prior, HIERARCHY.edge_priors(TARGETS))


@pytest.mark.parametrize("classification_loss", ["squared_hinge", "cross_entropy", "mean_cross_entropy"])
def test_the_best_constant_is_the_minimum_of_the_loss(classification_loss):
    loss = HiMatchLoss(HIERARCHY, lambda_joint=0, lambda_match=0, classification_loss=classification_loss)
    targets = torch.tensor(np.random.RandomState(0).uniform(size=(40, 6)) < 0.3, dtype=torch.float64)
    logits = torch.tensor(loss.best_constant(targets.mean(0).numpy()), requires_grad=True)
    loss(HiMatchOutput(logits.expand(40, 6)), targets).total.backward()
    np.testing.assert_allclose(logits.grad, 0, atol=1e-12)


def test_label_attention_by_hand():
    attention = LabelAttention(3, 2)
    states = torch.randn(2, 4, 3)
    nodes = attention(states, torch.tensor([4, 2])).detach().numpy()
    for text, length in enumerate((4, 2)):
        words = states[text, :length].numpy()
        for label in range(2):
            scores = words @ attention.queries[label].detach().numpy()
            shares = np.exp(scores) / np.exp(scores).sum()
            np.testing.assert_allclose(nodes[text, label], shares @ words, atol=1e-6)


@pytest.mark.parametrize("labels", [None, torch.tensor([[4, 0], [1, 3]])])
def test_label_attention_is_the_mean_by_its_weights(labels):
    attention = LabelAttention(8, 5).double()
    states, lengths = torch.randn(2, 6, 8, dtype=torch.float64, requires_grad=True), torch.tensor([6, 3])
    found = attention(states, lengths, labels)
    expected = attention.weights(states, lengths, labels) @ states
    torch.testing.assert_close(found, expected)
    inputs = [states, attention.queries]
    of_found = torch.autograd.grad(found.square().sum(), inputs)
    of_expected = torch.autograd.grad(expected.square().sum(), inputs)
    torch.testing.assert_close(of_found, of_expected)


def test_texts_without_words_are_all_alike():
    network = build_word_network(
        HIERARCHY, WordNetworkSettings(vocabulary_size=9, embedding_dimension=4, node_dimension=3)
    ).eval()
    alone = network(torch.tensor([[0]]), torch.tensor([0]))
    beside = network(torch.tensor([[0, 0, 0], [3, 4, 5]]), torch.tensor([0, 3]))
    torch.testing.assert_close(alone.logits[0], beside.logits[0])
    torch.testing.assert_close(alone.text_embedding[0], beside.text_embedding[0])


def test_the_convolution_sees_its_neighbours_and_no_padding():
    encoder = ConvolutionEncoder(9, 2, embedding_dimension=4, kernel_size=3, dropout=0)
    ids = torch.tensor([[3, 4, 5, 0], [6, 7, 8, 2]])
    states = encoder(ids, torch.tensor([3, 4])).detach().numpy()
    table = encoder.embedding.weight.detach().numpy()
    weight, bias = encoder.weight.detach().numpy(), encoder.bias.detach().numpy()
    for text, length in enumerate((3, 4)):
        words = np.zeros((length + 2, 4))
        words[1:-1] = table[ids[text, :length]]
        for place in range(length):
            window = words[place : place + 3]
            expected = np.tanh(sum(window[i] @ weight[i] for i in range(3)) + bias)
            np.testing.assert_allclose(states[text, place], expected, atol=1e-6)


def test_a_network_reads_no_further_than_it_may():
    network = build_word_network(
        HIERARCHY,
        WordNetworkSettings(vocabulary_size=9, embedding_dimension=4, node_dimension=3, max_length=2),
    ).eval()
    long, short = torch.tensor([[3, 4, 5, 6]]), torch.tensor([[3, 4]])
    torch.testing.assert_close(
        network(long, torch.tensor([4])).logits, network(short, torch.tensor([2])).logits
    )


def test_even_kernels_are_refused():
    with pytest.raises(ValueError, match="kernel_size=4: take an odd number"):
        build_word_network(HIERARCHY, WordNetworkSettings(vocabulary_size=9, kernel_size=4))


def test_the_convolution_is_torchs():
    encoder = ConvolutionEncoder(9, 4, embedding_dimension=5, kernel_size=5, dropout=0).double()
    with torch.no_grad():
        encoder.bias.normal_()
    ids = torch.randint(1, 9, (3, 7))
    convolution = torch.nn.Conv1d(5, 4, 5, padding=2).double()
    with torch.no_grad():
        convolution.weight.copy_(encoder.weight.permute(2, 1, 0))
        convolution.bias.copy_(encoder.bias)
    found = encoder(ids, torch.full((3,), 7))
    words = encoder.embedding(ids).detach().requires_grad_()
    expected = torch.tanh(convolution(words.transpose(1, 2))).transpose(1, 2)
    torch.testing.assert_close(found, expected)
    # And so are its gradients.
    toward = torch.randn_like(found)
    (found * toward).sum().backward()
    (expected * toward).sum().backward()
    torch.testing.assert_close(encoder.weight.grad.permute(2, 1, 0), convolution.weight.grad)
    by_word = torch.zeros(9, 5).double().index_add(0, ids.flatten(), words.grad.flatten(0, 1))
    torch.testing.assert_close(encoder.embedding.weight.grad, by_word)
