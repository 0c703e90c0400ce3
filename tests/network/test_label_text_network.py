"""The network that knows labels by their texts, against loops; what is kept; labels that come later."""

import copy

import numpy as np
import pytest
import torch

from skhimatch import LabelHierarchy
from skhimatch.labels.texts import LabelTexts
from skhimatch.network import label_text_network, propagation
from skhimatch.network.build import WordNetworkSettings, build_word_network
from skhimatch.network.encoders import GRUEncoder
from skhimatch.network.label_text_network import LabelTextNetwork, LabelWords

HIERARCHY = LabelHierarchy([("a", "b"), ("a", "c"), ("d", "c")])  # c has two parents
WORDS = [[2, 3], [4], [], [5, 5, 6]]
IDS = torch.tensor([[2, 3, 4, 7], [5, 6, 0, 0], [0, 0, 0, 0]])
LENGTHS = torch.tensor([4, 2, 0])


@pytest.fixture(autouse=True)
def _seed():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def network(encoder="attention", hierarchy=HIERARCHY, words=WORDS, **settings):
    settings = {"embedding_dimension": 6, "joint_dimension": 3, "node_dimension": 4} | settings
    if encoder == "gru":
        settings["hidden_size"] = 2
    built = build_word_network(
        hierarchy,
        WordNetworkSettings(vocabulary_size=9, encoder=encoder, head="dot", label_words=words, **settings),
    )
    with torch.no_grad():
        built.label_encoder.edges.prior.copy_(torch.tensor([0.5, 0.3, 0.2]))
        built.bias.fill_(0.7)
        # Padding's own row would be zero, whatever it did.
        built.text_encoder.embedding.weight[0] = 3.0
    return built


def by_loops(net):
    """Compute the logits of IDS in numpy, one text, label and word at a time."""
    weights = {name: value.detach().numpy().astype(float) for name, value in net.state_dict().items()}
    vectors = weights["text_encoder.embedding.weight"]
    u = np.array(
        [np.mean([vectors[word] for word in of_label] or [np.zeros(6)], axis=0) for of_label in WORDS]
    )
    down, up = np.eye(4), np.eye(4)
    for (parent, child), prior in zip(HIERARCHY.edges, [0.5, 0.3, 0.2], strict=True):
        down[child, parent], up[parent, child] = prior, 1
    g = np.maximum(0, down @ u @ weights["label_encoder.down"] + up @ u @ weights["label_encoder.up"])
    states, _ = net.encode(IDS, LENGTHS)
    logits = np.empty((3, 4))
    for text, length in enumerate([4, 2, 4]):  # a text without words is padding throughout
        h = states[text, :length].detach().numpy().astype(float)
        keys = np.tanh(h @ weights["label_nodes.key.weight"].T + weights["label_nodes.key.bias"])
        for label in range(4):
            attention = np.exp(keys @ u[label])
            d = (attention / attention.sum()) @ h
            projected = np.maximum(0, weights["output.weight"] @ d)
            logits[text, label] = projected @ np.concatenate([u[label], g[label]]) + 0.7
    return logits, g


@pytest.mark.parametrize("encoder", ["attention", "gru"])
@pytest.mark.parametrize("training", [True, False])
def test_logits(encoder, training):
    net = network(encoder, dropout=0.0).train(training)
    expected, _ = by_loops(net)
    np.testing.assert_allclose(net(IDS, LENGTHS).logits.detach(), expected, atol=1e-4)


@pytest.mark.parametrize("training", [True, False])
def test_joint_space(training):
    net = network(dropout=0.0).train(training)
    _, g = by_loops(net)
    output = net(IDS, LENGTHS)
    labels = torch.tensor([3, 0])
    expected = net.label_projection(torch.tensor(g, dtype=torch.float32))
    torch.testing.assert_close(output.embed_labels(labels), expected[labels], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(net.embed_labels(), expected, atol=1e-5, rtol=1e-4)
    states, _ = net.encode(IDS, LENGTHS)
    mean = torch.stack([states[0].mean(0), states[1, :2].mean(0), torch.zeros(4)])
    torch.testing.assert_close(output.text_embedding, net.text_projection(mean))


@pytest.mark.parametrize("many", [3, 200])
@pytest.mark.parametrize("training", [True, False])
def test_candidates_get_their_own_logits_and_the_others_the_bias(monkeypatch, many, training):
    monkeypatch.setattr(propagation, "MANY_LABELS", many)
    net = network(dropout=0.0).train(training)
    shortlist = torch.tensor([[0, 2], [3, 1], [1, 2]])
    label_weights = torch.tensor([[1.0, 2.5], [1.0, 1.0], [3.0, 1.0]])
    output = net(IDS, LENGTHS, shortlist=shortlist, label_weights=label_weights)
    every = net(IDS, LENGTHS).logits
    for text, chosen in enumerate(shortlist.tolist()):
        for label in range(4):
            expected = every[text, label] if label in chosen else torch.tensor(0.7)
            torch.testing.assert_close(output.logits[text, label], expected)
    expected = torch.tensor([[1, 0, 2.5, 0], [0, 1, 0, 1], [0, 3, 1, 0]])
    torch.testing.assert_close(output.label_weights, expected)


def test_labels_a_few_at_a_time_in_prediction(monkeypatch):
    net = network().eval()
    expected, seen = net(IDS, LENGTHS).logits, []
    monkeypatch.setattr(label_text_network, "CHUNK_NUMBERS", 2 * 3 * 12)
    monkeypatch.setattr(
        net.label_nodes,
        "forward",
        lambda h, n, q, f=net.label_nodes.forward: seen.append(len(q)) or f(h, n, q),
    )
    torch.testing.assert_close(net(IDS, LENGTHS).logits, expected)
    assert seen == [2, 2]


def test_no_weight_belongs_to_a_label():
    sizes = [
        {name: weight.shape for name, weight in network(words=words, hierarchy=hierarchy).named_parameters()}
        for words, hierarchy in [
            (WORDS, HIERARCHY),
            (
                [[2]] * 50,
                LabelHierarchy([("a", "b"), ("a", "c"), ("d", "c")], [*"abcd", *map(str, range(46))]),
            ),
        ]
    ]
    assert sizes[0] == sizes[1]


def test_semantics_are_kept_in_prediction_and_never_stale(monkeypatch):
    net, times = network().eval(), []
    forward = net.label_encoder.forward
    monkeypatch.setattr(net.label_encoder, "forward", lambda u: times.append(1) or forward(u))
    with torch.inference_mode():
        first = net(IDS, LENGTHS).logits
        net(IDS, LENGTHS, shortlist=torch.tensor([[0], [1], [2]]))
    assert len(times) == 1
    # What was kept can be computed with, and gradients reach the words where they are asked for.
    net(IDS, LENGTHS).logits.sum().backward()
    assert net.text_encoder.embedding.weight.grad[8].abs().sum() == 0
    assert net.text_encoder.embedding.weight.grad[3].abs().sum() > 0
    # Other weights: by training, or from a state.
    other = network().eval()
    assert not torch.allclose(other(IDS, LENGTHS).logits, first)
    net.load_state_dict(other.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(net(IDS, LENGTHS).logits, other(IDS, LENGTHS).logits)
    net.train()
    with torch.no_grad():
        net.output.weight.mul_(2)
        net.text_encoder.embedding.weight.mul_(2)
    net.eval()
    fresh = copy.deepcopy(net)
    fresh.drop_cache()
    with torch.no_grad():
        torch.testing.assert_close(net(IDS, LENGTHS).logits, fresh(IDS, LENGTHS).logits)


def test_both_texts_and_labels_move_a_word():
    net = network()
    net(IDS, LENGTHS).logits.sum().backward()
    moved = net.text_encoder.embedding.weight.grad.abs().sum(1) > 0
    # 7 is in a text only, 8 nowhere.
    assert moved.tolist() == [False, False, True, True, True, True, True, True, False]
    net.zero_grad()
    net.semantics().sum().backward()
    moved = net.text_encoder.embedding.weight.grad.abs().sum(1) > 0
    assert moved.tolist() == [False, False, True, True, True, True, True, False, False]


def test_more_labels_change_nothing_for_those_there_were():
    # e is a root of its own, so that no known label has another neighbour.
    net = network().eval()
    longer = LabelHierarchy([("a", "b"), ("a", "c"), ("d", "c"), ("e", "f")], [*"abcd", "f", "e"])
    more = net.with_labels(HIERARCHY, longer, LabelTexts([[7], [3]], [])).eval()
    found = more(IDS, LENGTHS).logits
    assert found.shape == (3, 6)
    torch.testing.assert_close(found[:, :4], net(IDS, LENGTHS).logits)
    assert not torch.allclose(found[:, 4], found[:, 5])
    assert net.n_labels == 4
    assert more.label_words.tolist() == [*WORDS, [7], [3]]


def test_priors_of_more_edges():
    longer = LabelHierarchy(
        [("a", "b"), ("a", "c"), ("d", "c"), ("a", "e"), ("b", "f"), ("b", "g")], [*"abcd", *"efg"]
    )
    more = network().with_labels(HIERARCHY, longer, LabelTexts([[], [], []], []))
    found = {
        (longer.labels[parent], longer.labels[child]): round(prior, 3)
        for (parent, child), prior in zip(
            longer.edges.tolist(), more.label_encoder.edges.prior.tolist(), strict=True
        )
    }
    # As before; as the lightest beside it; evenly among the first children.
    assert found == {
        ("a", "b"): 0.5,
        ("a", "c"): 0.3,
        ("d", "c"): 0.2,
        ("a", "e"): 0.3,
        ("b", "f"): 0.5,
        ("b", "g"): 0.5,
    }


def test_label_words():
    vectors = torch.arange(18.0).reshape(9, 2)
    words = LabelWords(WORDS)
    expected = torch.tensor([[5.0, 6.0], [8.0, 9.0], [0.0, 0.0], [32 / 3, 35 / 3]])
    torch.testing.assert_close(words(vectors), expected)
    assert words.tolist() == WORDS
    assert LabelWords([[]]).tolist() == [[]]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"encoder": "rcnn"}, "head='dot' and encoder='rcnn'"),
        ({"propagation": "gcn"}, "head='dot' and propagation='gcn'"),
    ],
)
def test_what_the_dot_head_cannot_do(settings, message):
    with pytest.raises(ValueError, match=message):
        build_word_network(
            HIERARCHY, WordNetworkSettings(vocabulary_size=9, head="dot", label_words=WORDS, **settings)
        )


def test_the_gru_behind_other_heads():
    net = build_word_network(
        HIERARCHY, WordNetworkSettings(vocabulary_size=9, encoder="gru", embedding_dimension=6, hidden_size=2)
    ).eval()
    assert isinstance(net.text_encoder, GRUEncoder)
    assert net.node_dimension == 4
    together = net(IDS, LENGTHS).logits
    alone = net(IDS[1:2, :2], LENGTHS[1:2]).logits
    torch.testing.assert_close(together[1:2], alone)


def test_max_length():
    net = network(max_length=2).eval()
    torch.testing.assert_close(net(IDS, LENGTHS).logits, net(IDS[:, :2], LENGTHS.clamp(max=2)).logits)
    assert isinstance(net, LabelTextNetwork)
