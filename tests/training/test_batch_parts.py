"""Parts of a batch: how it is cut, and what each part holds."""

from itertools import combinations

import numpy as np
import pytest
import torch

from skhimatch import LabelHierarchy
from skhimatch.network.negatives import LabelPairs
from skhimatch.network.objective import HiMatchLoss
from skhimatch.network.random_numbers import Generators, draw_from
from skhimatch.training.batch_parts import TOKENS_OF_A_TEXT, balanced_slices, parts_of_batch


def slowest(lengths, slices):
    """The time of the slowest slice: its texts, padded to the longest one."""
    return max((each.stop - each.start) * (max(lengths[each]) + TOKENS_OF_A_TEXT) for each in slices)


class TestBalancedSlices:
    @pytest.mark.parametrize("seed", range(12))
    def test_no_other_way_to_cut_is_quicker(self, seed):
        draws = np.random.default_rng(seed)
        lengths = draws.integers(0, 60, size=draws.integers(1, 9))
        if seed % 2:
            lengths = np.sort(lengths)
        for number in range(1, 6):
            best = min(
                slowest(
                    lengths, [slice(*ends) for ends in zip((0, *cuts), (*cuts, len(lengths)), strict=True)]
                )
                for n_cuts in range(min(number, len(lengths)))
                for cuts in combinations(range(1, len(lengths)), n_cuts)
            )
            assert slowest(lengths, balanced_slices(lengths, number)) == best

    @pytest.mark.parametrize("lengths", [[5], [7, 7, 7, 7, 7], [1, 2, 3, 400], [400, 1, 1, 1], [0, 0, 0]])
    @pytest.mark.parametrize("number", [1, 2, 3, 100])
    def test_slices_hold_each_text_once(self, lengths, number):
        slices = balanced_slices(np.array(lengths), number)
        assert [row for each in slices for row in range(each.start, each.stop)] == list(range(len(lengths)))
        assert all(each.stop > each.start for each in slices)
        assert len(slices) <= number

    def test_a_batch_without_texts(self):
        assert balanced_slices(np.zeros(0, dtype=np.int64), 2) == []

    def test_texts_of_equal_lengths_are_cut_evenly(self):
        assert balanced_slices(np.full(32, 40), 2) == [slice(0, 16), slice(16, 32)]


def test_vectors_are_cut_by_their_number():
    """Texts that a frozen encoder has read take the same time, however long they were."""
    inputs = {"ids": torch.zeros(4, 3), "lengths": torch.tensor([1, 1, 1, 500])}
    parts = list(parts_of_batch(inputs, torch.zeros(4, 5), None, 2))
    assert [part.inputs["ids"].shape for part in parts] == [(2, 3), (2, 3)]


def test_a_text_as_long_as_all_others_is_a_part_of_its_own():
    inputs = {"ids": torch.ones(5, 200, dtype=torch.int64), "lengths": torch.tensor([9, 9, 9, 9, 200])}
    parts = list(parts_of_batch(inputs, torch.zeros(5, 3), None, 2))
    assert [part.inputs["ids"].shape for part in parts] == [(4, 9), (1, 200)]
    assert [part.share_of_texts for part in parts] == [0.8, pytest.approx(0.2)]


class TestPartsOfBatch:
    def test_parts_have_different_numbers_of_pairs(self):
        """A mean of the parts' means is another number."""
        hierarchy = LabelHierarchy([("a", "a1"), ("a", "a2"), ("b", "b1"), ("b1", "c")])
        criterion = HiMatchLoss(hierarchy)
        targets = torch.zeros(4, len(hierarchy))
        for row, labels in enumerate([["c"], ["a1"], [], ["a1", "c", "a2"]]):
            for label in labels:
                targets[row, hierarchy.labels.index(label)] = 1
        with draw_from(Generators(0), criterion):
            pairs = criterion.draw_pairs(targets)
        inputs = {"ids": torch.ones(4, 2, dtype=torch.int64), "lengths": torch.tensor([2, 1, 1, 2])}
        parts = list(parts_of_batch(inputs, targets, pairs, 2))
        assert [part.share_of_texts for part in parts] == [0.5, 0.5]
        assert sum(part.share_of_pairs for part in parts) == 1
        assert parts[0].share_of_pairs != 0.5
        for part, start in zip(parts, (0, 2), strict=True):
            mask = (pairs.text >= start) & (pairs.text < start + 2)
            assert part.pairs.text.tolist() == (pairs.text[mask] - start).tolist()
            for name in ("positive", "negative", "margin"):
                assert torch.equal(getattr(part.pairs, name), getattr(pairs, name)[mask])

    def test_a_part_without_pairs(self):
        pairs = LabelPairs(*(torch.zeros(0, dtype=torch.int64) for _ in range(4)))
        inputs = {"ids": torch.ones(3, 2, dtype=torch.int64), "lengths": torch.tensor([2, 1, 1])}
        parts = list(parts_of_batch(inputs, torch.zeros(3, 5), pairs, 100))
        assert [part.share_of_pairs for part in parts] == [0, 0, 0]
        assert [part.inputs["ids"].shape for part in parts] == [(1, 2), (1, 1), (1, 1)]
