import copy
import pickle
import threading

import numpy as np
import pytest
import torch

from skhimatch.network import convolution
from skhimatch.network.convolution import ConvolutionEncoder, SummedRows
from skhimatch.text.sequences import TokenSequences, Vocabulary

VOCABULARY = Vocabulary(f"word{number}" for number in range(18))
LISTS = [[2, 3, 4], [5, 5, 1, 19], [7], [3, 2, 9, 9, 9, 12]]


def texts(lists):
    return TokenSequences.from_lists(lists, VOCABULARY)


def padded(lists):
    width = max(map(len, lists))
    return torch.tensor([[*ids, *[0] * (width - len(ids))] for ids in lists]), torch.tensor(
        [len(ids) for ids in lists]
    )


@pytest.fixture(params=[2**25, 1], ids=["kept", "not kept"])
def encoder(request, monkeypatch):
    monkeypatch.setattr(convolution, "MAX_TABLE_NUMBERS", request.param)
    monkeypatch.setattr(convolution, "WORDS_OF_A_BLOCK", 3)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = ConvolutionEncoder(len(VOCABULARY), 6, embedding_dimension=5, kernel_size=3).eval()
        torch.nn.init.normal_(made.bias)
    return made


def check_states(encoder, lists):
    """The states by a table are those of the encoder itself."""
    ids, lengths = padded(lists)
    with torch.inference_mode():
        states, same = encoder.prepared_for(texts(lists)).read(ids, lengths)
        expected = encoder(ids, lengths)
    torch.testing.assert_close(states, expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(same, lengths)


def test_texts_after_texts_with_other_words(encoder):
    for lists in (LISTS[:1], LISTS, LISTS[:1], [[17, 2]]):
        check_states(encoder, lists)


def test_only_blocks_with_new_words_are_multiplied(encoder, monkeypatch):
    seen = []
    products = ConvolutionEncoder.products

    def counted(self, words):
        seen.append(words.tolist())
        return products(self, words)

    monkeypatch.setattr(ConvolutionEncoder, "products", counted)
    for lists in (LISTS[:1], LISTS[:2], LISTS[:2]):
        encoder.prepared_for(texts(lists))
    if convolution.MAX_TABLE_NUMBERS == 1:
        assert seen == [[0, 2, 3, 4], [0, 1, 2, 3, 4, 5, 19], [0, 1, 2, 3, 4, 5, 19]]
    else:
        # The last block is shorter.
        assert seen == [[0, 1, 2], [3, 4, 5], [18, 19]]


def test_bits_do_not_depend_on_the_texts_before():
    draws = np.random.RandomState(0)
    vocabulary = Vocabulary(f"word{number}" for number in range(998))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = ConvolutionEncoder(1000, 128).eval()
    lists = [draws.randint(1000, size=50).tolist() for _ in range(20)]
    ids, lengths = padded(lists)

    def states(parts):
        """Return the states of all texts, after prediction of parts of them."""
        encoder.kept = None
        for part in (*parts, lists):
            prepared = encoder.prepared_for(TokenSequences.from_lists(part, vocabulary))
        with torch.inference_mode():
            return prepared.read(ids, lengths)[0]

    expected = states([])
    for parts in ([lists[:1], lists[:3]], [[each] for each in lists]):
        assert torch.equal(states(parts), expected)


def test_products_follow_the_weights(encoder):
    check_states(encoder, LISTS)
    for weight in encoder.parameters():
        with torch.no_grad():
            weight.mul_(2)
        check_states(encoder, LISTS)
    # A fused optimizer changes weights without counting it.
    adam = torch.optim.Adam(encoder.train().parameters(), fused=True)
    for weight in encoder.parameters():
        weight.grad = torch.ones_like(weight)
    adam.step()
    encoder.eval()
    check_states(encoder, LISTS)
    encoder.weight = torch.nn.Parameter(encoder.weight.detach() * 3)
    check_states(encoder, LISTS)
    other = ConvolutionEncoder(len(VOCABULARY), 6, embedding_dimension=5, kernel_size=3)
    encoder.load_state_dict(other.state_dict())
    check_states(encoder, LISTS)
    ids, lengths = padded(LISTS)
    states, _ = encoder.double().prepared_for(texts(LISTS)).read(ids, lengths)
    torch.testing.assert_close(states, encoder(ids, lengths))


def test_weights_that_were_made_in_inference_mode(encoder):
    with torch.inference_mode():
        made = ConvolutionEncoder(len(VOCABULARY), 6, embedding_dimension=5, kernel_size=3).eval()
    for lists in (LISTS, LISTS[:2]):
        check_states(made, lists)


def test_products_are_not_pickled(encoder):
    before = len(pickle.dumps(encoder))
    check_states(encoder, LISTS)
    assert len(pickle.dumps(encoder)) == before
    for other in (pickle.loads(pickle.dumps(encoder)), copy.deepcopy(encoder)):
        assert other.kept is None
        check_states(other, LISTS)
    assert encoder.state_dict().keys() == {"embedding.weight", "weight", "bias"}


def test_several_threads(encoder):
    lists = [[number % 18 + 2, (5 * number) % 18 + 2] for number in range(40)]
    ids, lengths = padded(lists)
    with torch.inference_mode():
        expected = encoder(ids, lengths)
    wrong = []

    def read(start):
        for row in range(start, start + 40):
            row %= 40
            with torch.inference_mode():
                states, _ = encoder.prepared_for(texts(lists[row : row + 1])).read(
                    ids[row : row + 1], lengths[row : row + 1]
                )
            if (states - expected[row]).abs().max() > 1e-6:
                wrong.append(row)

    threads = [threading.Thread(target=read, args=(start,)) for start in (0, 10, 20, 30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_sums_of_rows_and_their_gradient():
    draws = np.random.RandomState(0)
    matrix = torch.tensor(draws.randn(7, 4), requires_grad=True)
    rows = torch.tensor(draws.randint(6, size=(11, 3)))
    found = SummedRows.apply(matrix, rows)
    np.testing.assert_allclose(
        found.detach(), [sum(matrix.detach().numpy()[row] for row in three) for three in rows.tolist()]
    )
    assert torch.autograd.gradcheck(lambda values: SummedRows.apply(values, rows), matrix)
    # No sum has the last row.
    found.sum().backward()
    assert matrix.grad[6].eq(0).all()
    assert matrix.grad[:6].sum() == pytest.approx(11 * 3 * 4)
