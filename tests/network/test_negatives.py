"""Negative labels are drawn from the right ones, each of them alike; the oracle is a loop over sets."""

from collections import Counter

import numpy as np
import pytest
import torch

from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.network.negatives import NegativeSampler
from skhimatch.network.random_numbers import Generators, draw_from

# A DAG: "d" has two parents, and so its siblings are the children of both.
EDGES = [*(("a", name) for name in "bcd"), *(("e", name) for name in "dfghij"), ("f", "k"), ("f", "l")]
HIERARCHY = LabelHierarchy(EDGES)
LABELS = HIERARCHY.labels
TARGETS = [{"a", "b"}, {"e", "d", "a", "f", "k"}, {"c"}, {"e", "g", "h"}, set()]


def indicator(label_sets, labels=LABELS):
    return torch.tensor([[float(label in names) for label in labels] for names in label_sets])


def ancestors_of(label, edges=EDGES):
    parents = {parent for parent, child in edges if child == label}
    return parents.union(*(ancestors_of(parent, edges) for parent in parents))


def siblings_of(label, edges=EDGES):
    parents = {parent for parent, child in edges if child == label}
    roots = {name for edge in edges for name in edge} - {child for _, child in edges}
    return ({child for parent, child in edges if parent in parents} if parents else roots) - {label}


def allowed(targets):
    """Return the siblings and the other labels that each fine target of a text may be paired with."""
    above = set().union(*map(ancestors_of, targets))
    fine, free = targets - above, set(LABELS) - targets - above
    found = {}
    for label in fine:
        siblings = siblings_of(label) & free
        found[label] = siblings, (free - siblings) or free
    return found


def drawn(n_draws, sampling="hierarchy", scored=None):
    """Return how often each label was drawn for each text and target, by the margin."""
    sampler = NegativeSampler(HIERARCHY, gamma=3.0, alpha=1 / 3, beta=2 / 3, sampling=sampling)
    counts = {}
    with draw_from(Generators(0), sampler):
        for _ in range(n_draws):
            pairs = sampler(indicator(TARGETS), scored)
            for text, positive, negative, margin in zip(
                *(values.tolist() for values in (pairs.text, pairs.positive, pairs.negative, pairs.margin)),
                strict=True,
            ):
                kind = round(margin) - 1
                counts.setdefault((text, LABELS[positive], kind), Counter())[LABELS[negative]] += 1
    return counts


N_DRAWS = 600


@pytest.fixture(scope="module")
def counts():
    return drawn(N_DRAWS)


class TestHierarchy:
    def test_one_sibling_and_one_other_for_each_fine_target(self, counts):
        expected = {}
        for text, targets in enumerate(TARGETS):
            for label, labels in allowed(targets).items():
                ancestors = ancestors_of(label)
                for kind, names in enumerate((ancestors, *labels)):
                    if names:
                        expected[text, label, kind] = names
        assert {key: set(found) for key, found in counts.items()} == expected
        for (_, _, kind), found in counts.items():
            assert found.total() == N_DRAWS * (len(found) if kind == 0 else 1)

    def test_all_allowed_labels_are_drawn_equally_often(self, counts):
        for (_, _, kind), found in counts.items():
            if kind:
                mean = N_DRAWS / len(found)
                deviation = (mean * (1 - 1 / len(found))) ** 0.5
                assert all(abs(number - mean) <= 4.5 * deviation for number in found.values())

    @pytest.mark.parametrize("draws", [1, 64])
    def test_the_number_of_tries_changes_nothing(self, monkeypatch, draws, counts):
        monkeypatch.setattr("skhimatch.network.negatives.DRAWS", draws)
        again = drawn(N_DRAWS)
        assert {key: set(found) for key, found in again.items()} == {
            key: set(found) for key, found in counts.items()
        }
        for (text, label, kind), found in again.items():
            if kind == 2:
                mean = N_DRAWS / len(found)
                assert max(found.values()) <= mean + 4.5 * mean**0.5, (text, label)

    def test_only_scored_labels_are_drawn(self):
        scored = indicator([set("abcdefk")] * len(TARGETS)) > 0
        for (text, label, kind), found in drawn(50, scored=scored).items():
            assert set(found) <= set("abcdefk"), (text, label, kind)


def test_all_negatives():
    counts = drawn(1, "all")
    for text, targets in enumerate(TARGETS):
        for label, (siblings, others) in allowed(targets).items():
            assert set(counts.get((text, label, 1), ())) == siblings
            assert set(counts[text, label, 2]) == others


def test_thousands_of_labels():
    draws = np.random.RandomState(0)
    hierarchy = LabelHierarchy([(f"{child % 60}", f"child {child}") for child in range(3000)])
    targets = torch.zeros(16, len(hierarchy))
    for row in range(16):
        targets[row, draws.choice(hierarchy.leaves, 5, replace=False)] = 1
    sampler = NegativeSampler(hierarchy, gamma=3.0, alpha=1 / 3, beta=2 / 3)
    with draw_from(Generators(1), sampler):
        pairs = sampler(targets)
    kind = pairs.margin.round().int() - 1
    # Each target is a leaf with one parent, 49 siblings, and thousands of other labels.
    assert torch.bincount(kind).tolist() == [80, 80, 80]
    family = torch.tensor(hierarchy.families.of.tolist())
    same = family[pairs.positive] == family[pairs.negative]
    assert same[kind == 1].all()
    assert not same[kind == 2].any()
    assert not targets[pairs.text, pairs.negative].any()
    parents = {child: parent for parent, child in hierarchy.edges.tolist()}
    for text, negative in zip(
        pairs.text[kind == 2].tolist(), pairs.negative[kind == 2].tolist(), strict=True
    ):
        assert negative not in {parents[label] for label in targets[text].nonzero()[:, 0].tolist()}
