import numpy as np
import pytest
import scipy.sparse as sp
import torch

from skhimatch.network.batches import InOrder, LengthBuckets, TextDataset, padding_mask
from skhimatch.text.sequences import TokenSequences, Vocabulary

VOCABULARY = Vocabulary([f"word{i}" for i in range(98)])


def dataset(lengths, with_targets=True):
    """Return texts of these lengths; the first token and the targets of a text tell its number."""
    lists = [[2 + row % 98] * length for row, length in enumerate(lengths)]
    targets = sp.csr_array(np.eye(len(lengths), dtype=np.float32)) if with_targets else None
    return TextDataset(TokenSequences.from_lists(lists, VOCABULARY), targets)


@pytest.fixture(autouse=True)
def _seed():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def numbers(batch):
    """Tell by the targets which texts a batch holds."""
    return batch[1].argmax(1).tolist()


def padding(batches):
    """Return the share of a pass that is padding."""
    inputs = [inputs for inputs, _ in batches]
    real = sum(int(batch["lengths"].sum()) for batch in inputs)
    return 1 - real / sum(batch["ids"].numel() for batch in inputs)


def test_a_batch_is_padded_on_the_right():
    inputs, targets = dataset([2, 0, 3]).batch(np.array([2, 1, 0]))
    assert inputs["ids"].tolist() == [[4, 4, 4], [0, 0, 0], [2, 2, 0]]
    assert inputs["ids"].dtype == torch.int64
    assert inputs["lengths"].tolist() == [3, 0, 2]
    assert targets.tolist() == [[0, 0, 1], [0, 1, 0], [1, 0, 0]]
    assert targets.dtype == torch.float32


def test_a_batch_of_empty_texts_is_one_wide():
    inputs, targets = dataset([0, 0], with_targets=False).batch(np.array([0, 1]))
    assert inputs["ids"].tolist() == [[0], [0]]
    assert targets.shape == (2, 0)


def test_padding_mask():
    assert padding_mask(torch.tensor([0, 2, 3]), 3).tolist() == [
        [False, False, False],
        [True, True, False],
        [True, True, True],
    ]


class TestLengthBuckets:
    LENGTHS = np.random.default_rng(0).integers(0, 200, size=90)

    @pytest.mark.parametrize(("batch_size", "pool"), [(1, 32), (7, 2), (16, 1), (16, 32), (90, 32), (100, 3)])
    def test_every_text_comes_once_in_each_pass(self, batch_size, pool):
        batches = LengthBuckets(dataset(self.LENGTHS), batch_size, pool=pool)
        for _ in range(2):
            found = [numbers(batch) for batch in batches]
            assert sorted(row for batch in found for row in batch) == list(range(90))
            assert len(found) == len(batches)
            assert max(map(len, found)) <= batch_size

    def test_tokens_and_targets_stay_together(self):
        for inputs, targets in LengthBuckets(dataset(self.LENGTHS), 8):
            for ids, length, row in zip(inputs["ids"], inputs["lengths"], targets.argmax(1), strict=True):
                assert length == self.LENGTHS[row]
                assert (ids[:length] == 2 + row).all()
                assert not ids[length:].any()

    def test_little_padding(self):
        texts = dataset(np.random.default_rng(1).integers(1, 200, size=600), with_targets=False)
        assert padding(LengthBuckets(texts, 16)) < 0.06
        assert padding(LengthBuckets(texts, 16, pool=1)) > 0.3

    def test_passes_differ(self):
        batches = LengthBuckets(dataset(self.LENGTHS), 8)
        first, second = ([numbers(batch) for batch in batches] for _ in range(2))
        assert first != second
        # Not only in the order of the batches.
        assert {tuple(sorted(batch)) for batch in first} != {tuple(sorted(batch)) for batch in second}
        # Short texts do not all come first.
        lengths = [np.mean(self.LENGTHS[batch]) for batch in first]
        assert lengths != sorted(lengths)

    def test_torch_draws(self):
        batches = LengthBuckets(dataset(self.LENGTHS), 8)
        torch.manual_seed(3)
        first = [numbers(batch) for batch in batches]
        torch.manual_seed(3)
        assert first == [numbers(batch) for batch in batches]


class TestInOrder:
    @pytest.mark.parametrize("batch_size", [1, 4, 9, 20])
    def test_the_order_undoes_itself(self, batch_size):
        lengths = [3, 9, 0, 5, 5, 1, 8, 2, 5]
        batches = InOrder(dataset(lengths), batch_size)
        found = np.array([row for batch in batches for row in numbers(batch)])
        assert len(list(batches)) == len(batches)
        assert batches.order.tolist() == found.tolist()
        restored = np.empty(9, dtype=int)
        restored[batches.order] = found
        assert restored.tolist() == list(range(9))

    def test_longest_first(self):
        batches = InOrder(dataset([3, 9, 0, 5, 5, 1]), 2)
        lengths = [inputs["lengths"].tolist() for inputs, _ in batches]
        assert lengths == [[9, 5], [5, 3], [1, 0]]

    def test_draws_nothing(self):
        before = torch.get_rng_state()
        list(InOrder(dataset([3, 9, 0]), 2))
        assert torch.equal(torch.get_rng_state(), before)
