import numpy as np
import pytest
import torch

from skhimatch import LabelHierarchy, WordTokenizer
from skhimatch.network import predict as prediction
from skhimatch.network.build import WordNetworkSettings, build_word_network
from skhimatch.network.predict import embed_labels, embed_texts, in_chunks, score_texts

HIERARCHY = LabelHierarchy([("a", "b"), ("a", "c"), ("d", "e")])
TEXTS = ["one", "one two three four", "", "two two", "three one two", "four"] * 3


@pytest.fixture
def sequences():
    return WordTokenizer(min_count=1).fit_transform(TEXTS)


@pytest.fixture
def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build_word_network(
            HIERARCHY,
            WordNetworkSettings(
                vocabulary_size=6, embedding_dimension=6, node_dimension=4, joint_dimension=3
            ),
        )


def test_rows_come_back_in_order(network, sequences):
    network.eval()
    scores, places = score_texts(network, sequences), embed_texts(network, sequences)
    assert (scores.shape, places.shape) == ((18, 5), (18, 3))
    assert scores.dtype == places.dtype == np.float32
    for row, ids in enumerate(sequences):
        padded = torch.tensor([ids.tolist() or [0]])
        with torch.no_grad():
            alone = network(padded, torch.tensor([len(ids)]))
        np.testing.assert_allclose(scores[row], alone.logits[0].numpy(), atol=1e-6)
        np.testing.assert_allclose(places[row], alone.text_embedding[0].numpy(), atol=1e-6)


def test_dropout_rests(network, sequences):
    network.train()
    first, labels = score_texts(network, sequences), embed_labels(network)
    network.train()
    np.testing.assert_array_equal(first, score_texts(network, sequences))
    network.train()
    np.testing.assert_array_equal(labels, embed_labels(network))
    assert not network.training


def test_label_places_are_unit_rows(network):
    places = embed_labels(network)
    assert places.shape == (5, 3)
    np.testing.assert_allclose(np.linalg.norm(places, axis=1), 1, atol=1e-6)


def test_scores_never_touch_the_joint_space(network, sequences, monkeypatch):
    expected = score_texts(network, sequences)
    monkeypatch.setattr(network, "embed_text", None)
    monkeypatch.setattr(network, "embed_labels", None)
    np.testing.assert_array_equal(score_texts(network, sequences), expected)


def test_candidates_alone_are_scored(network, sequences):
    with torch.no_grad():
        network.head.bias.copy_(torch.arange(5.0))
    everything = score_texts(network, sequences)
    shortlist = np.array([[0, 3], [2, 4], [1, 2]] * 6)
    scores = score_texts(network, sequences, shortlist)
    chosen = np.zeros(scores.shape, dtype=bool)
    np.put_along_axis(chosen, shortlist, True, axis=1)
    np.testing.assert_allclose(scores[chosen], everything[chosen], atol=1e-6)
    np.testing.assert_array_equal(scores[~chosen], np.broadcast_to(np.arange(5), scores.shape)[~chosen])


@pytest.mark.parametrize("encoder", ["attention", "rcnn"])
def test_many_texts_are_prepared_part_by_part(sequences, monkeypatch, encoder):
    network = build_word_network(
        HIERARCHY,
        WordNetworkSettings(vocabulary_size=6, encoder=encoder, embedding_dimension=6, node_dimension=4),
    )
    expected = score_texts(network, sequences)
    monkeypatch.setattr(prediction, "MAX_BATCH_SIZE", 2)
    monkeypatch.setattr(prediction, "TEXTS_PER_TABLE", 4)
    np.testing.assert_allclose(score_texts(network, sequences), expected, atol=1e-6)


@pytest.mark.parametrize(("numbers", "sizes"), [(2**24, [18]), (5 * 4 * 7, [7, 7, 4]), (1, [1] * 18)])
def test_batches_fit_into_memory(network, sequences, monkeypatch, numbers, sizes):
    expected = score_texts(network, sequences)
    found = []
    forward = network.forward
    monkeypatch.setattr(prediction, "BATCH_NUMBERS", numbers)
    monkeypatch.setattr(
        network,
        "forward",
        lambda ids, lengths, **rest: found.append(len(ids)) or forward(ids, lengths, **rest),
    )
    np.testing.assert_allclose(score_texts(network, sequences), expected, atol=1e-6)
    assert found == sizes


@pytest.mark.parametrize(
    ("wanted", "least", "shown"), [(True, 18, True), (True, 19, False), (False, 1, False)]
)
def test_progress_bar(network, sequences, monkeypatch, capsys, wanted, least, shown):
    monkeypatch.setattr(prediction, "PROGRESS_BAR_FROM", least)
    blocks = list(in_chunks(sequences, 7, progress=wanted))
    assert sum(map(len, blocks)) == 18
    captured = capsys.readouterr()
    assert ("predict" in captured.err and "18/18" in captured.err) == shown
    assert captured.out == ""
