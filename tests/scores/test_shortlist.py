import numpy as np
import pytest
import scipy.sparse as sp

from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.scores import shortlist
from skhimatch.scores.shortlist import (
    SampledShortlist,
    SiblingsOfTargets,
    choose_shortlist_size,
    choose_training_shortlist_size,
    likeliest_by_margins,
    likeliest_labels,
)

DRAWS = np.random.default_rng(0)


class TestNumberOfCandidates:
    @pytest.mark.parametrize(
        ("of_texts", "number"),
        # 8 and eight times the usual number, or 16 more than the most that a text has.
        [
            ([1, 1], 17),
            ([5, 5], 48),
            ([1, 1, 1, 97], 208),
            ([1, 1, 1, 1, 1, 96], 143),
            ([0, 0], 16),
            ([], 16),
        ],
    )
    def test_room_for_right_and_wrong_labels(self, of_texts, number):
        targets = np.zeros((len(of_texts), 500), dtype=int)
        for row, n_labels in enumerate(of_texts):
            targets[row, :n_labels] = 1
        assert choose_training_shortlist_size(sp.csr_array(targets)) == number
        assert choose_shortlist_size(sp.csr_array(targets)) == number

    @pytest.mark.parametrize(("of_texts", "number"), [([1, 1], 8), ([5, 5], 24), ([1, 1, 1, 97], 200)])
    def test_half_as_many_of_few_labels_in_prediction(self, of_texts, number):
        targets = np.zeros((len(of_texts), 200), dtype=int)
        for row, n_labels in enumerate(of_texts):
            targets[row, :n_labels] = 1
        assert choose_shortlist_size(sp.csr_array(targets)) == number
        # All targets of any text have a place.
        assert choose_shortlist_size(sp.csr_array(np.ones((1, 60), dtype=int))) == 60
        # All labels are scored where a shortlist to train on would have all of them.
        assert choose_shortlist_size(sp.csr_array(np.eye(17, dtype=int))) == 17
        assert choose_shortlist_size(sp.csr_array(np.eye(18, dtype=int))) == 8

    def test_no_more_than_there_are(self):
        assert choose_training_shortlist_size(sp.csr_array(np.eye(10, dtype=int))) == 10


def test_of_equally_likely_labels_the_first_are_taken():
    margins = DRAWS.integers(-2, 2, size=(50, 60)).astype(np.float32)
    for size in (1, 7, 59, 60):
        expected = [sorted(np.lexsort((np.arange(60), -row))[:size].tolist()) for row in margins]
        assert likeliest_labels(margins, size).tolist() == expected


def test_likeliest_labels():
    margins = DRAWS.normal(size=(30, 40)).astype(np.float32)
    found = likeliest_labels(margins, 7)
    assert found.shape == (30, 7)
    for row, columns in zip(margins, found, strict=True):
        assert columns.tolist() == sorted(np.argsort(-row)[:7].tolist())
    np.testing.assert_array_equal(likeliest_labels(margins, 40), np.tile(np.arange(40), (30, 1)))


class TestTrainingCandidates:
    TARGETS = sp.csr_array((DRAWS.random((50, 300)) < 0.02).astype(int))
    MARGINS = DRAWS.normal(size=(50, 300)).astype(np.float32)

    def draw(self, seed=0, number=40, times=1):
        drawn = self.shortlist(seed, number)
        return [drawn.select(np.arange(50))[0] for _ in range(times)]

    def shortlist(self, seed=0, number=40):
        likely = likeliest_by_margins(50, 300, lambda rows: self.MARGINS[rows])
        return SampledShortlist(self.TARGETS, number, likely, seed)

    def test_the_random_ones_stand_for_all_that_are_left_out(self):
        labels, label_weights = self.shortlist().select(np.arange(50))
        np.testing.assert_allclose(label_weights.sum(axis=1), 300, rtol=1e-5)
        for row, (drawn, weights) in enumerate(zip(labels, label_weights, strict=True)):
            own = np.isin(drawn, self.TARGETS[[row]].indices)
            assert (weights[own] == 1).all()
            # A random quarter, less those that came twice or are the text's own.
            assert 3 <= (weights > 1).sum() <= round((40 - own.sum()) / 4)

    def test_weighted_sums_are_those_over_all_labels_on_average(self):
        # Likely labels differ from the others, as they do in a loss.
        values = np.where(self.MARGINS > 1.5, 5.0, 1.0) + DRAWS.random((50, 300))
        drawn, means = self.shortlist(), []
        for _ in range(200):
            labels, label_weights = drawn.select(np.arange(50))
            means.append((np.take_along_axis(values, labels, 1) * label_weights).sum(axis=1))
        found, expected = np.mean(means), values.sum(axis=1).mean()
        # The random ones may be likely, too: they are then counted for more than they are.
        assert found == pytest.approx(expected, rel=0.05)

    def test_siblings_where_no_margins_tell(self):
        children = [f"{parent}{number}" for parent in "abc" for number in range(6)]
        hierarchy = LabelHierarchy([(child[0], child) for child in children])
        targets = np.zeros((3, 21), dtype=int)
        targets[0, hierarchy.positions(["a1", "b2"])] = 1
        targets[1, hierarchy.positions(["c"])] = 1
        siblings = SiblingsOfTargets(sp.csr_array(targets), hierarchy)
        of_text = [sorted(hierarchy.labels[label] for label in siblings[row]) for row in range(3)]
        assert of_text == [
            [f"{parent}{number}" for parent in "ab" for number in range(6)],
            ["a", "b", "c"],
            [],
        ]
        labels, _ = SampledShortlist(sp.csr_array(targets), 12, siblings, 0).select(np.array([0, 2]))
        # Two of its own, two random ones or three, and siblings.
        assert np.isin(labels[0], siblings[0]).sum() >= 8
        assert len(set(labels[1].tolist())) == 12

    def test_different_labels_with_all_of_the_texts_own(self):
        [drawn] = self.draw()
        assert drawn.shape == (50, 40)
        assert drawn.dtype == np.int64
        for row, labels in enumerate(drawn):
            assert len(set(labels.tolist())) == 40
            assert set(self.TARGETS[[row]].indices.tolist()) <= set(labels.tolist())

    def test_most_wrong_ones_are_likely(self):
        shares = []
        for drawn in self.draw(times=20):
            for row, labels in enumerate(drawn):
                wrong = np.setdiff1d(labels, self.TARGETS[[row]].indices)
                ranks = (self.MARGINS[row] > self.MARGINS[row, wrong][:, None]).sum(1)
                shares.append((ranks < 100).mean())
        # A third of the random quarter is among the likeliest 100 of 300, too.
        assert np.mean(shares) == pytest.approx(0.75 + 0.25 / 3, abs=0.02)

    def test_every_label_has_its_turn(self):
        seen = np.unique(np.concatenate(self.draw(times=30)))
        assert len(seen) == 300

    def test_each_time_others_yet_repeatable(self):
        first, again = self.draw(times=2), self.draw(times=2)
        assert (first[0] != first[1]).any()
        np.testing.assert_array_equal(first, again)
        assert (self.draw(seed=1)[0] != first[0]).any()

    def test_nearly_all_labels(self):
        # Random and likely ones together may leave too few different ones.
        [drawn] = self.draw(number=299)
        assert all(len(set(labels.tolist())) == 299 for labels in drawn)

    def test_margins_are_asked_for_part_by_part(self, monkeypatch):
        expected = self.draw()
        monkeypatch.setattr(shortlist, "CHUNK_NUMBERS", 300 * 7)
        np.testing.assert_array_equal(self.draw(), expected)
