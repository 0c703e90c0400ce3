"""The network that matches texts with labels: its distances, its logits and the loss that ranks them."""

import copy
import pickle

import numpy as np
import pytest
import torch
from toy_corpus import HIERARCHY as TREE

from skhimatch import LabelHierarchy
from skhimatch.labels.formats import as_hierarchy
from skhimatch.network.build import NetworkSettings, WordNetworkSettings, build_word_network
from skhimatch.network.matching import MatchingNetwork, distance
from skhimatch.network.negatives import NegativeSampler
from skhimatch.network.objective import HiMatchLoss, matching_distance_loss
from skhimatch.network.predict import embed_texts, score_meaning_too, score_texts
from skhimatch.network.start import StartingPoint, start_pretrained_network
from skhimatch.network.transformer import TransformerEncoder
from skhimatch.text.pretrained import PretrainedEncoder
from skhimatch.text.subwords import SubwordTokenizer

HIERARCHY = as_hierarchy(TREE)
N_LABELS = len(HIERARCHY)
WIDTH = 6


def make_network(**settings):
    torch.manual_seed(0)
    sizes = {"vocabulary_size": 12, "node_dimension": WIDTH, "embedding_dimension": 5}
    return build_word_network(HIERARCHY, WordNetworkSettings(head="matching", **sizes | settings))


@pytest.fixture
def network():
    return make_network().eval()


@pytest.fixture
def batch():
    return {"ids": torch.tensor([[2, 5, 7], [3, 4, 0]]), "lengths": torch.tensor([3, 2])}


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


@torch.no_grad()
def expected_distances(network, batch):
    """Distances of the definition, with numpy's norms: (B, L)."""
    encoded, lengths = network.encode(**batch)
    texts = unit(network.text_semantics(encoded, lengths).double().numpy())
    meanings = network.head.meanings().double().numpy()
    labels = unit(network.head.own.double().numpy() + meanings)
    if texts.ndim == 2:
        texts = texts[:, None]
    return np.linalg.norm(texts - labels, axis=-1)


@pytest.mark.parametrize("propagation", [None, "gcn"])
def test_logits_are_the_distances(batch, propagation):
    network = make_network(propagation=propagation).eval()
    with torch.no_grad():
        network.head.bias.copy_(torch.arange(N_LABELS) / 10)
        output = network(**batch)
    expected = expected_distances(network, batch)
    np.testing.assert_allclose(output.distances, expected, atol=1e-5)
    np.testing.assert_allclose(
        output.logits, 5.0 * (1 - expected**2 / 2) + np.arange(N_LABELS) / 10, atol=1e-5
    )


def test_a_shortlist_gives_the_same_distances(network, batch):
    shortlist = torch.tensor([[1, 4, 0], [2, 3, 5]])
    weights = torch.tensor([[1.0, 1.0, 3.0], [1.0, 2.0, 1.0]])
    with torch.no_grad():
        network.head.bias.copy_(torch.arange(N_LABELS) / 10)
        whole, short = network(**batch), network(**batch, shortlist=shortlist, label_weights=weights)
    on_it = torch.zeros(2, N_LABELS, dtype=torch.bool).scatter(1, shortlist, True)
    np.testing.assert_allclose(short.logits[on_it], whole.logits[on_it], atol=1e-6)
    np.testing.assert_allclose(short.distances[on_it], whole.distances[on_it], atol=1e-6)
    assert short.distances[~on_it].isinf().all()
    np.testing.assert_array_equal(short.logits[~on_it], (torch.arange(N_LABELS) / 10).expand(2, -1)[~on_it])
    np.testing.assert_array_equal(short.label_weights.gather(1, shortlist), weights)


def pairs_by_loops(targets, distances, gamma, alpha, beta):
    """The loss of sampling="all", straight from the text of section 3.3.2."""
    ancestors = HIERARCHY.ancestors.toarray() > 0
    parents = HIERARCHY.parents.toarray() > 0
    total = 0.0
    for tagged, of_text in zip(targets, distances, strict=True):
        own = set(np.flatnonzero(tagged))
        above = {a for p in own for a in np.flatnonzero(ancestors[p])}
        for p in own - above:
            if not np.isfinite(of_text[p]):
                continue
            for n in range(N_LABELS):
                siblings = (parents[n] & parents[p]).any() or not (parents[n].any() or parents[p].any())
                if ancestors[p, n]:
                    margin = alpha * gamma
                elif n in own | above:
                    continue
                else:
                    margin = beta * gamma if siblings else gamma
                if np.isfinite(of_text[n]):
                    total += max(0.0, of_text[p] - of_text[n] + margin)
    return total / len(targets)


@pytest.mark.parametrize("scored", [1.0, 0.6])
@pytest.mark.parametrize("paths", [1, 2])
def test_the_loss_ranks_all_labels(scored, paths):
    draws = np.random.default_rng(0)
    targets = np.zeros((40, N_LABELS))
    leaves = np.flatnonzero(np.diff(HIERARCHY.children.indptr) == 0)
    for row in targets:
        row[draws.choice(leaves, size=paths, replace=False)] = 1
    targets[::2] += targets[::2] @ HIERARCHY.ancestors.toarray()
    targets = (targets > 0).astype(np.float32)
    distances = draws.uniform(0, 2, size=targets.shape).astype(np.float32)
    distances[draws.random(targets.shape) > scored] = np.inf
    distances = torch.from_numpy(distances)
    sampler = NegativeSampler(HIERARCHY, gamma=0.7, alpha=0.2, beta=0.5, sampling="all")
    pairs = sampler(torch.from_numpy(targets), distances.isfinite())
    found = matching_distance_loss(distances, pairs)
    expected = pairs_by_loops(targets, distances.numpy(), 0.7, 0.2, 0.5)
    assert expected > 1
    assert found.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("sampling", ["hierarchy", "random"])
def test_sampled_pairs_are_scored_ones(sampling):
    targets = torch.zeros(30, N_LABELS)
    targets[torch.arange(30), torch.arange(30) % N_LABELS] = 1
    scored = torch.rand(30, N_LABELS, generator=torch.Generator().manual_seed(0)) > 0.5
    pairs = NegativeSampler(HIERARCHY, sampling=sampling)(targets, scored)
    assert len(pairs) > 10
    assert scored[pairs.text, pairs.positive].all()
    assert scored[pairs.text, pairs.negative].all()


def test_the_losses_move_what_is_predicted_with(network, batch):
    targets = torch.zeros(2, N_LABELS)
    targets[0, 1] = targets[1, 4] = 1
    network.train()
    for weights in ({"lambda_match": 1.0, "lambda_joint": 0.0}, {"lambda_match": 0.0, "lambda_joint": 1.0}):
        network.zero_grad()
        output = network(**batch)
        parts = HiMatchLoss(HIERARCHY, sampling="all", gamma=1.0, **weights)(output, targets)
        (parts.total - parts.classification).backward()
        assert parts.total > parts.classification
        for name in ("head.own", "head.meanings.label_vectors", "label_nodes.queries", "text_encoder.weight"):
            assert network.get_parameter(name).grad.abs().sum() > 0, name


def test_the_joint_loss_is_the_squared_distance_to_all_targets(network, batch):
    targets = torch.zeros(2, N_LABELS)
    targets[0, [1, 2]] = targets[1, 4] = 1
    loss = HiMatchLoss(HIERARCHY, lambda_match=0, lambda_joint=1)
    with torch.no_grad():
        joint = loss(network(**batch), targets).joint
    squared = expected_distances(network, batch) ** 2
    assert joint.item() == pytest.approx((squared[0, 1] + squared[0, 2] + squared[1, 4]) / 2, rel=1e-5)


def test_gradients_are_finite_where_text_and_label_meet():
    cosines = torch.tensor([1.0, 1.0 + 1e-7, 0.3, -1.0], requires_grad=True)
    distance(cosines).sum().backward()
    assert cosines.grad.isfinite().all()


def test_a_text_without_words_and_a_label_without_a_meaning_do_no_harm(network, batch):
    with torch.no_grad():
        network.head.meanings.projection.weight.zero_()
        network.head.meanings.projection.bias.zero_()
    network.train()
    output = network(batch["ids"], torch.tensor([3, 0]))
    targets = torch.zeros(2, N_LABELS)
    targets[:, 0] = 1
    HiMatchLoss(HIERARCHY, sampling="all")(output, targets).total.backward()
    gradients = [weight.grad for weight in network.parameters() if weight.grad is not None]
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert network.head.own.grad.norm() < 1e3


def test_points_are_computed_once_and_never_stale(network, batch):
    with torch.no_grad():
        before = network(**batch).logits
        assert network.head.cached is not None
        other = copy.deepcopy(network).train()
        assert other.head.cached is None
        other.head.own.mul_(-3)
        after = other.eval()(**batch).logits
        network.load_state_dict(other.state_dict())
        np.testing.assert_array_equal(network(**batch).logits, after)
    assert not torch.allclose(before, after)
    assert pickle.loads(pickle.dumps(network)).n_labels == N_LABELS


TEXTS = ["a quark and a gluon", "the cell divides", "a serve and a volley"] * 4
SMALL_TREE = LabelHierarchy([("science", "physics"), ("science", "biology"), ("sport", "tennis")])
LABEL_TEXTS = dict(zip(("physics", "biology", "tennis"), TEXTS, strict=False))


@pytest.fixture
def texts(tiny_bert):
    return SubwordTokenizer(tiny_bert).fit_transform(TEXTS)


@pytest.fixture(params=["mean", "attention"])
def pretrained(request, tiny_bert, texts):
    import scipy.sparse as sp

    leaf = [SMALL_TREE.labels.index(name) for name in ("physics", "biology", "tennis")] * 4
    targets = sp.csr_array((np.ones(12), (np.arange(12), leaf)), shape=(12, 5))
    encoder = TransformerEncoder(PretrainedEncoder(tiny_bert, pooling=request.param))
    criterion = HiMatchLoss(SMALL_TREE)
    start = StartingPoint(SMALL_TREE, targets, LABEL_TEXTS, criterion, seed=0, device=torch.device("cpu"))
    return start_pretrained_network(NetworkSettings(), encoder, texts, start).eval()


def test_untrained_labels_are_where_their_names_are(pretrained, texts):
    assert isinstance(pretrained, MatchingNetwork)
    columns = [SMALL_TREE.labels.index(name) for name in LABEL_TEXTS]
    logits, meaning = score_meaning_too(pretrained, texts)
    # The names are the texts themselves.
    np.testing.assert_array_equal(logits[:, columns].argmax(1), [0, 1, 2] * 4)
    np.testing.assert_array_equal(meaning[:, columns].argmax(1), [0, 1, 2] * 4)
    np.testing.assert_array_equal(score_texts(pretrained, texts), logits)


def test_the_meaning_alone_is_not_trained(pretrained, texts):
    _, before = score_meaning_too(pretrained, texts)
    with torch.no_grad():
        pretrained.head.own.normal_()
        pretrained.train().eval()
    logits, after = score_meaning_too(pretrained, texts)
    np.testing.assert_array_equal(after, before)
    assert np.abs(after).max() <= 1 + 1e-6
    assert np.abs(logits - pretrained.head.bias.detach().numpy() - 5 * after).max() > 0.1


def test_a_shortlist_gives_the_same_meaning(pretrained, texts):
    if not pretrained.scores_labels_separately:
        pytest.skip("All labels see one vector, and are scored at once.")
    shortlist = np.tile([0, 3], (12, 1))
    _, whole = score_meaning_too(pretrained, texts)
    _, short = score_meaning_too(pretrained, texts, shortlist)
    np.testing.assert_allclose(short[:, [0, 3]], whole[:, [0, 3]], atol=1e-6)
    assert (short[:, [1, 2, 4]] == 0).all()


def test_texts_have_one_point_each(network, pretrained, texts, batch):
    points = embed_texts(pretrained, texts)
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 1, atol=1e-5)
    with torch.no_grad():
        encoded, lengths = network.encode(**batch)
        found = network.embed_text(encoded, lengths).numpy()
        nodes = unit(network.text_semantics(encoded, lengths).numpy())
    nearness = 5 * (1 - expected_distances(network, batch) ** 2 / 2)
    weights = np.exp(nearness) / np.exp(nearness).sum(1, keepdims=True)
    np.testing.assert_allclose(found, unit(np.einsum("bl,bld->bd", weights, nodes)), atol=1e-5)


def test_only_encoded_names_can_start_it(network):
    with pytest.raises(TypeError, match="pretrained encoder's own vectors"):
        network.start_names(torch.zeros(N_LABELS, WIDTH), torch.zeros(WIDTH))
