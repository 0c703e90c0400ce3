import copy
import pickle

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.preprocessing import MultiLabelBinarizer

from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.labels.indicators import as_indicator

NEWS = [("science", "physics"), ("science", "biology"), ("sport", "tennis")]


def names(hierarchy, positions):
    return {hierarchy.labels[position] for position in positions}


def pairs(hierarchy, relation):
    return {
        (hierarchy.labels[row], hierarchy.labels[column])
        for row, column in zip(*relation.nonzero(), strict=True)
    }


def edge_names(hierarchy):
    return {(hierarchy.labels[parent], hierarchy.labels[child]) for parent, child in hierarchy.edges}


def family(hierarchy, label):
    of, offsets, members = hierarchy.families
    number = of[hierarchy.index[label]]
    return members[offsets[number] : offsets[number + 1]]


@pytest.fixture
def diamond():
    """Return two roots, a label with two parents, a label below it, and a label without an edge."""
    edges = [("a", "c"), ("b", "c"), ("a", "d"), ("c", "e"), ("a", "e")]
    return LabelHierarchy(edges, labels=["e", "d", "c", "b", "a", "alone"])


def random_dag(seed, n_labels=40, n_edges=70):
    rng = np.random.default_rng(seed)
    order = rng.permutation(n_labels)
    ends = np.sort(rng.choice(n_labels, (n_edges, 2)), axis=1)
    edges = [(f"l{order[a]}", f"l{order[b]}") for a, b in ends if a != b]
    return LabelHierarchy(edges, [f"l{number}" for number in range(n_labels)])


def test_default_order_is_that_of_multilabelbinarizer():
    binarizer = MultiLabelBinarizer().fit(
        [{"science", "Éa", "Zoo"}, {"physics", "biology", "sport", "tennis"}]
    )
    hierarchy = LabelHierarchy([*NEWS, ("Zoo", "Éa")])
    assert hierarchy.labels == tuple(binarizer.classes_)


def test_labels_keep_the_given_order():
    assert LabelHierarchy([("a", "b")], labels=["z", "b", "a"]).labels == ("z", "b", "a")


# Structure


def test_structure_of_a_tree():
    hierarchy = LabelHierarchy(NEWS)
    assert hierarchy.labels == ("biology", "physics", "science", "sport", "tennis")
    np.testing.assert_array_equal(hierarchy.edges, [[2, 0], [2, 1], [3, 4]])
    np.testing.assert_array_equal(hierarchy.levels, [2, 2, 1, 1, 2])
    np.testing.assert_array_equal(hierarchy.roots, [2, 3])
    np.testing.assert_array_equal(hierarchy.leaves, [0, 1, 4])
    assert (len(hierarchy), hierarchy.depth, hierarchy.is_tree, hierarchy.is_flat) == (5, 2, True, False)
    assert "physics" in hierarchy
    assert "chemistry" not in hierarchy
    assert hierarchy.index["sport"] == 3
    assert list(hierarchy) == list(hierarchy.labels)
    assert pairs(hierarchy, hierarchy.siblings) == {
        ("physics", "biology"),
        ("biology", "physics"),
        ("science", "sport"),
        ("sport", "science"),
    }


def test_structure_of_a_dag(diamond):
    assert pairs(diamond, diamond.parents) == {("c", "a"), ("c", "b"), ("d", "a"), ("e", "c"), ("e", "a")}
    assert pairs(diamond, diamond.children) == {(b, a) for a, b in pairs(diamond, diamond.parents)}
    assert pairs(diamond, diamond.ancestors) == pairs(diamond, diamond.parents) | {("e", "b")}
    assert pairs(diamond, diamond.descendants) == {(b, a) for a, b in pairs(diamond, diamond.ancestors)}
    assert dict(zip(diamond.labels, diamond.levels.tolist(), strict=True)) == {
        "a": 1, "b": 1, "alone": 1, "c": 2, "d": 2, "e": 3,
    }  # fmt: skip
    assert names(diamond, diamond.roots) == {"a", "b", "alone"}
    assert names(diamond, diamond.leaves) == {"d", "e", "alone"}
    assert not diamond.is_tree


def test_edges_are_sorted_by_child_then_parent():
    hierarchy = random_dag(0)
    parent, child = hierarchy.edges.T
    np.testing.assert_array_equal(np.lexsort((parent, child)), np.arange(len(hierarchy.edges)))


def test_families_unite_the_children_of_all_parents(diamond):
    assert names(diamond, family(diamond, "c")) == {"c", "d", "e"}
    assert names(diamond, family(diamond, "d")) == {"c", "d", "e"}
    assert names(diamond, family(diamond, "e")) == {"c", "d", "e"}
    assert names(diamond, family(diamond, "a")) == {"a", "b", "alone"}
    assert diamond.families.of[diamond.index["a"]] == diamond.families.of[diamond.index["alone"]]


@pytest.mark.parametrize("seed", range(5))
def test_families_and_siblings_agree_with_a_loop(seed):
    hierarchy = random_dag(seed)
    parents = [set(np.flatnonzero(row)) for row in hierarchy.parents.toarray()]
    siblings = hierarchy.siblings.toarray()
    for label, name in enumerate(hierarchy.labels):
        alike = {
            other
            for other in range(len(hierarchy))
            if parents[label] & parents[other] or not (parents[label] or parents[other])
        }
        members = family(hierarchy, name)
        assert alike | {label} == set(members.tolist())
        assert np.all(np.diff(members) > 0)
        assert alike - {label} == set(np.flatnonzero(siblings[label]))


@pytest.mark.parametrize("seed", range(5))
def test_closure_and_levels_agree_with_networkx(seed):
    networkx = pytest.importorskip("networkx")
    hierarchy = random_dag(seed)
    graph = networkx.DiGraph()
    graph.add_nodes_from(hierarchy.labels)
    graph.add_edges_from(edge_names(hierarchy))
    for label, name in enumerate(hierarchy.labels):
        above = networkx.ancestors(graph, name)
        assert names(hierarchy, np.flatnonzero(hierarchy.ancestors.toarray()[label])) == above
        longest = networkx.dag_longest_path_length(graph.subgraph(above | {name}))
        assert hierarchy.levels[label] == 1 + longest
    assert hierarchy.depth == 1 + networkx.dag_longest_path_length(graph)


def test_flat_labels_have_no_siblings():
    flat = LabelHierarchy.flat(["spam", "ham"])
    assert flat.labels == ("spam", "ham")
    assert flat.is_flat
    assert flat.siblings.nnz == 0
    assert flat.ancestors.nnz == 0
    assert flat.edges.shape == (0, 2)
    np.testing.assert_array_equal(flat.families.of, [-1, -1])
    assert len(flat.families.members) == 0
    unrelated = LabelHierarchy([], labels=["spam", "ham"])
    assert unrelated.siblings.nnz == 2
    assert unrelated != flat


# Targets


def test_close_adds_all_ancestors(diamond):
    targets = np.eye(6, dtype=int)
    expected = np.eye(6, dtype=bool) | diamond.ancestors.toarray()
    for form in (
        targets,
        targets.astype(bool),
        sparse.csr_array(targets),
        sparse.coo_matrix(targets.astype(float)),
    ):
        closed = diamond.close(form)
        assert closed.dtype == bool
        assert closed.has_sorted_indices
        np.testing.assert_array_equal(closed.toarray(), expected)
    stored_zero = sparse.csr_array((np.array([0]), (np.array([0]), np.array([0]))), shape=(1, 6))
    assert diamond.close(stored_zero).nnz == 0


@pytest.mark.parametrize("seed", range(3))
def test_edge_priors_agree_with_counting(seed):
    hierarchy = random_dag(seed)
    rng = np.random.default_rng(seed)
    targets = rng.random((30, len(hierarchy))) < 0.02
    above = hierarchy.ancestors.toarray()
    texts = np.zeros(len(hierarchy))
    for row in targets:
        for label in range(len(hierarchy)):
            texts[label] += row[label] or bool((row & above[:, label]).any())
    priors = hierarchy.edge_priors(sparse.csr_array(targets))
    assert priors.shape == (len(hierarchy.edges),)
    assert priors.dtype == np.float64
    assert (texts == 0).any()
    for (parent, child), prior in zip(hierarchy.edges, priors, strict=True):
        below = (hierarchy.edges[:, 0] == parent).sum()
        expected = texts[child] / texts[parent] if texts[child] else 1 / (texts[parent] + below)
        assert prior == pytest.approx(expected)
        assert 0 < prior <= 1


def test_edge_priors_of_a_small_example():
    hierarchy = LabelHierarchy(NEWS)  # edges: science -> biology, science -> physics, sport -> tennis
    targets = [[0, 1, 0, 0, 0], [0, 1, 1, 0, 0], [0, 0, 1, 0, 0]]
    np.testing.assert_allclose(hierarchy.edge_priors(targets), [1 / 5, 2 / 3, 1 / 1])


def test_indicator_that_does_not_fit_is_refused():
    hierarchy = LabelHierarchy(NEWS)
    with pytest.raises(ValueError, match=r"shape \(n, 5\).*got shape \(2, 4\)"):
        hierarchy.close(np.zeros((2, 4)))
    with pytest.raises(ValueError, match=r"got shape \(5,\)"):
        hierarchy.close(np.zeros(5))
    with pytest.raises(ValueError, match="0 and 1 only"):
        hierarchy.close(np.full((1, 5), 0.3))
    with pytest.raises(ValueError, match="0 and 1 only"):
        hierarchy.close(np.full((1, 5), np.nan))


def test_as_indicator_does_not_change_its_argument():
    targets = sparse.csr_array((np.array([1, 0]), np.array([1, 0]), np.array([0, 2])), shape=(1, 2))
    assert as_indicator(targets).indices.tolist() == [1]
    assert targets.nnz == 2
    assert targets.indices.tolist() == [1, 0]


# restrict


def test_restrict_contracts_missing_labels(diamond):
    assert edge_names(diamond.restrict(["e", "b", "alone"])) == {("b", "e")}
    chain = LabelHierarchy([("a", "b"), ("b", "c"), ("c", "d"), ("d", "e")])
    assert edge_names(chain.restrict(["e", "a"])) == {("a", "e")}
    assert chain.restrict(["e", "a"]).labels == ("e", "a")


def test_restrict_drops_contracted_edges_that_are_implied():
    around = LabelHierarchy([("a", "x"), ("x", "b"), ("a", "c"), ("c", "b")])
    assert edge_names(around.restrict(["a", "b", "c"])) == {("a", "c"), ("c", "b")}
    direct = LabelHierarchy([("a", "b"), ("a", "c"), ("c", "b"), ("x", "b")])
    assert edge_names(direct.restrict(["a", "b", "c"])) == {("a", "b"), ("a", "c"), ("c", "b")}


@pytest.mark.parametrize("seed", range(5))
def test_restrict_keeps_reachability(seed):
    hierarchy = random_dag(seed)
    kept = np.random.default_rng(seed).permutation(len(hierarchy))[:20]
    smaller = hierarchy.restrict([hierarchy.labels[position] for position in kept])
    np.testing.assert_array_equal(
        smaller.ancestors.toarray(), hierarchy.ancestors.toarray()[np.ix_(kept, kept)]
    )
    # An edge is an original one, or the only path.
    inherited = hierarchy.parents.toarray()[np.ix_(kept, kept)]
    through = smaller.parents.toarray() @ smaller.ancestors.toarray()
    assert not (smaller.parents.toarray() & ~inherited & through).any()
    assert (smaller.parents.toarray() >= inherited).all()


def test_restrict_permutes(diamond):
    turned = diamond.restrict(diamond.labels[::-1])
    assert turned.labels == diamond.labels[::-1]
    assert edge_names(turned) == edge_names(diamond)
    assert turned.restrict(diamond.labels) == diamond
    assert diamond.restrict(diamond.labels) is diamond


def test_a_restricted_flat_hierarchy_is_flat():
    assert LabelHierarchy.flat(["a", "b", "c"]).restrict(["c", "a"]) == LabelHierarchy.flat(["c", "a"])


def test_restrict_names_the_unknown_label():
    with pytest.raises(ValueError, match=r"no label 'phisics'; did you mean 'physics'\?"):
        LabelHierarchy(NEWS).restrict(["phisics"])
    with pytest.raises(ValueError, match="no label 7"):
        LabelHierarchy(NEWS).positions([7])
    with pytest.raises(ValueError, match="'physics' is repeated"):
        LabelHierarchy(NEWS).restrict(["physics", "physics"])


# Text


def test_to_text_draws_the_tree():
    hierarchy = LabelHierarchy([("a", "b"), ("b", "c"), ("a", "d")], labels=list("abcde"))
    assert hierarchy.to_text().splitlines() == ["a", "├── b", "│   └── c", "└── d", "e"]
    assert hierarchy.to_text(max_labels=4).splitlines()[-1] == "… and 1 more label"


def test_to_text_shows_a_label_under_each_parent(diamond):
    assert diamond.to_text().splitlines() == [
        "b", "└── c", "    └── e", "a", "├── e", "├── d", "└── c …", "alone",
    ]  # fmt: skip


def test_repr():
    assert repr(LabelHierarchy(NEWS)) == "LabelHierarchy(5 labels, 2 roots, 3 leaves, depth 2, tree)"
    assert repr(random_dag(0)).endswith("DAG)")


# Immutable


def test_is_immutable(diamond):
    with pytest.raises(AttributeError, match="immutable"):
        diamond.labels = ("a",)
    with pytest.raises(AttributeError, match="immutable"):
        del diamond.edges
    for array in (diamond.edges, diamond.levels, diamond.roots, diamond.ancestors.data, *diamond.families):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


def test_copies_are_the_object_itself(diamond):
    assert clone(diamond) is diamond
    assert copy.copy(diamond) is diamond
    assert copy.deepcopy({"h": diamond})["h"] is diamond


def test_pickle_is_small_and_equal():
    hierarchy = random_dag(0, n_labels=2000, n_edges=4000)
    before = pickle.dumps(hierarchy)
    _ = hierarchy.siblings, hierarchy.families, hierarchy.ancestors, hierarchy.index
    after = pickle.dumps(hierarchy)
    assert len(after) == len(before)
    again = pickle.loads(after)
    assert again == hierarchy
    assert hash(again) == hash(hierarchy)
    assert not again.edges.flags.writeable
    assert (again.ancestors != hierarchy.ancestors).nnz == 0


def test_equality():
    assert LabelHierarchy(NEWS) == LabelHierarchy(NEWS[::-1])
    assert LabelHierarchy(NEWS) != LabelHierarchy(NEWS).restrict(LabelHierarchy(NEWS).labels[::-1])
    assert LabelHierarchy(NEWS) != "news"


# Bad input


@pytest.mark.parametrize(
    ("edges", "error", "message"),
    [
        ([("a", "b"), ("b", "c"), ("c", "a")], ValueError, "cycle: a -> b -> c -> a; remove"),
        ([("x", "a"), ("a", "b"), ("b", "a"), ("b", "y")], ValueError, "cycle: a -> b -> a"),
        ([("a", "b"), ("b", "b")], ValueError, "'b' is its own parent; remove the edge b -> b"),
        ([("a", "b"), ("a", " ")], ValueError, "the child of edge 1"),
        ([("a", "b"), (None, "a")], TypeError, "the parent of edge 1, .* is None"),
        ([("a", "b", "c")], TypeError, "edge 0 is .* a pair"),
        ([3], TypeError, "edge 0 is 3"),
        ([], ValueError, "no labels"),
    ],
)
def test_bad_edges_are_named(edges, error, message):
    with pytest.raises(error, match=message):
        LabelHierarchy(edges)


def test_bad_labels_are_named():
    with pytest.raises(ValueError, match="'a' is repeated"):
        LabelHierarchy([("a", "b")], labels=["a", "b", "a"])
    with pytest.raises(
        ValueError, match=r"'a' -> 'bb' names 'bb', which is not among labels; did you mean 'bbb'"
    ):
        LabelHierarchy([("a", "bb")], labels=["a", "bbb"])
    with pytest.raises(ValueError, match=r"labels\[1\] is empty"):
        LabelHierarchy.flat(["a", ""])
    with pytest.raises(TypeError, match="the string 'abc'"):
        LabelHierarchy.flat("abc")


def test_fifty_thousand_labels():
    rng = np.random.default_rng(0)
    parents = (rng.random(50_000) * np.arange(50_000)).astype(int)
    edges = [(f"l{parents[child]}", f"l{child}") for child in range(1, 50_000)]
    hierarchy = LabelHierarchy(edges)
    assert hierarchy.ancestors.nnz > len(edges)
    assert hierarchy.families.offsets[-1] == 50_000
    assert len(hierarchy.restrict(hierarchy.labels[::-1])) == len(
        hierarchy.restrict(sorted(hierarchy.labels))
    )
    assert len(hierarchy.restrict(hierarchy.labels[::2])) == 25_000
