"""Properties that hold for any texts, hierarchies, targets and parameters, tried on random ones.

The number of cases is small here. With SKHIMATCH_CASES=10000 in the environment there are more.
"""

import os
import tempfile
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from skhimatch import HiMatchClassifier, LabelHierarchy, WordTokenizer, as_hierarchy
from skhimatch.evaluation.decisions import DecisionRule
from skhimatch.evaluation.metrics import hierarchy_violation_rate
from skhimatch.labels.targets import encode_targets
from skhimatch.text.scripts import words_of_any_script
from skhimatch.text.sequences import UNKNOWN_ID

CASES = int(os.environ.get("SKHIMATCH_CASES", "100"))
# The same cases in every run. A fit takes a good part of a second.
RANDOM = {"derandomize": True, "deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
many, few = settings(max_examples=CASES, **RANDOM), settings(max_examples=max(1, CASES // 10), **RANDOM)

TINY = {
    "max_epochs": 1,
    "batch_size": 8,
    "random_state": 0,
    "validation_fraction": 0.2,
    "net_params": {
        "module__embedding_dimension": 4,
        "module__node_dimension": 4,
        "module__joint_dimension": 4,
    },
}
# Words, marks, emoji, scripts without spaces, halves of characters, and nothing.
texts_of_any_kind = st.text(max_size=60)


@st.composite
def edges_of_a_dag(draw, max_labels=40):
    """Each label but the first has parents among the labels before it, or none."""
    n_labels = draw(st.integers(2, max_labels))
    edges = []
    for child in range(1, n_labels):
        parents = draw(st.sets(st.integers(0, child - 1), max_size=2))
        edges += [(f"label {parent}", f"label {child}") for parent in sorted(parents)]
    return n_labels, edges


def hierarchy_of(drawn):
    n_labels, edges = drawn
    return LabelHierarchy(edges, [f"label {number}" for number in range(n_labels)])


class TestHierarchies:
    @many
    @given(edges_of_a_dag())
    def test_structure_is_that_of_a_graph(self, drawn):
        hierarchy, graph = hierarchy_of(drawn), nx.DiGraph(drawn[1])
        graph.add_nodes_from(hierarchy.labels)
        for column, label in enumerate(hierarchy.labels):
            above = {hierarchy.labels[place] for place in hierarchy.ancestors[[column]].indices}
            assert above == nx.ancestors(graph, label)
            below = {hierarchy.labels[place] for place in hierarchy.descendants[[column]].indices}
            assert below == nx.descendants(graph, label)
        leaves = {label for label in graph if not graph.out_degree(label)}
        assert {hierarchy.labels[leaf] for leaf in hierarchy.leaves} == leaves

    @many
    @given(edges_of_a_dag(), st.data())
    def test_closing_adds_ancestors_once(self, drawn, data):
        hierarchy = hierarchy_of(drawn)
        rows = data.draw(st.lists(st.lists(st.booleans(), min_size=drawn[0], max_size=drawn[0]), min_size=1))
        closed = hierarchy.close(np.array(rows, dtype=int))
        assert hierarchy_violation_rate(closed, hierarchy) == 0
        assert (hierarchy.close(closed) != closed).nnz == 0
        assert (closed.toarray() >= np.array(rows, dtype=bool)).all()

    @many
    @given(edges_of_a_dag())
    def test_pairs_graphs_and_frames_say_the_same(self, drawn):
        hierarchy = hierarchy_of(drawn)
        if not drawn[1]:
            return
        connected = {name for edge in drawn[1] for name in edge}
        expected = LabelHierarchy(drawn[1], sorted(connected))
        assert as_hierarchy(drawn[1]) == expected
        assert as_hierarchy(nx.DiGraph(drawn[1])) == expected
        pd = pytest.importorskip("pandas")
        assert as_hierarchy(pd.DataFrame(drawn[1], columns=["parent", "child"])) == expected
        assert len(hierarchy) >= len(expected)


class TestTargets:
    @many
    @given(edges_of_a_dag(), st.data())
    @pytest.mark.filterwarnings("ignore:.*lack an ancestor of one of their labels:UserWarning")
    def test_label_sets_are_rows_of_an_indicator(self, drawn, data):
        hierarchy = hierarchy_of(drawn)
        sets = data.draw(st.lists(st.sets(st.sampled_from(hierarchy.labels)), min_size=1, max_size=8))
        targets = encode_targets(sets, hierarchy)
        expected = [[label in labels for label in hierarchy.labels] for labels in sets]
        np.testing.assert_array_equal(targets.toarray() > 0, expected)
        for indicator in (np.array(expected, dtype=int), sp.csr_array(np.array(expected, dtype=int))):
            assert (encode_targets(indicator, hierarchy) != targets).nnz == 0


class TestTexts:
    @many
    @given(texts_of_any_kind)
    def test_words_are_parts_of_the_text(self, text):
        words = list(words_of_any_script(text))
        assert all(words)
        assert list(words_of_any_script(" ".join(words))) == words or not text.isascii()

    @many
    @given(st.lists(texts_of_any_kind, min_size=1, max_size=6))
    def test_each_text_has_the_same_ids_alone_and_in_a_batch(self, texts):
        tokenizer = WordTokenizer(min_count=1)
        fitted = tokenizer.fit_transform([*texts, "a word"])
        again = tokenizer.transform([*texts, "a word"])
        np.testing.assert_array_equal(fitted.ids, again.ids)
        assert not (fitted.ids == UNKNOWN_ID).any()
        for number, text in enumerate(texts):
            np.testing.assert_array_equal(tokenizer.transform([text])[0], again[number])


class TestDecisions:
    @many
    @given(edges_of_a_dag(12), st.integers(0, 2**16), st.sampled_from(["auto", "path", "threshold"]))
    def test_sets_keep_to_the_hierarchy_if_training_texts_do(self, drawn, seed, decoding):
        hierarchy, draws = hierarchy_of(drawn), np.random.default_rng(seed)
        targets = hierarchy.close(draws.integers(0, 2, (6, len(hierarchy))) * draws.integers(0, 2, (6, 1)))
        rule = DecisionRule.learn(targets, hierarchy, decoding=decoding, consistency="auto")
        predicted = rule(draws.random((20, len(hierarchy))))
        assert predicted.shape == (20, len(hierarchy))
        assert hierarchy_violation_rate(predicted, hierarchy) == 0

    @many
    @given(st.integers(1, 9), st.integers(0, 2**16))
    def test_a_number_of_labels(self, k, seed):
        hierarchy, draws = LabelHierarchy.flat([f"label {n}" for n in range(6)]), np.random.default_rng(seed)
        rule = DecisionRule.learn(np.eye(6, dtype=int), hierarchy, n_labels=k)
        # Equal probabilities are frequent.
        probabilities = draws.integers(0, 3, (10, 6)) / 3
        predicted = rule(probabilities).toarray()
        assert (predicted.sum(axis=1) == min(k, 6)).all()
        least = np.where(predicted, probabilities, np.inf).min(axis=1)
        most = np.where(predicted, -np.inf, probabilities).max(axis=1)
        assert (least >= most).all()


NETWORKS = [{}, {"head": "dot"}, {"lexical": None}, {"propagation": "gcn"}, {"head": "matching"}]
words = st.sampled_from(["quark", "cell", "serve", "goal", "गुरु", "北京", "wave", "field"])


@st.composite
def corpora(draw):
    """Some texts of a few words, each with one path, several, or none."""
    paths = [["a", "a1"], ["a", "a2"], ["b", "b1"], ["b"]]
    n_texts = draw(st.integers(5, 25))
    texts = [" ".join(draw(st.lists(words, max_size=6))) for _ in range(n_texts - 1)] + ["quark cell"]
    chosen = st.lists(st.sampled_from(paths), max_size=2)
    label_sets = [{label for path in draw(chosen) for label in path} for _ in range(n_texts - 1)]
    return texts, [*label_sets, {"a", "a1"}]


# The line search of scikit-learn's logistic regression fails on the scores of these texts.
NEARLY_SEPARATED = (
    [
        "",
        "",
        "field गुरु गुरु field cell",
        "wave field field 北京 北京 serve",
        "cell",
        "cell quark quark",
        "cell wave cell गुरु field गुरु",
        "field goal 北京 cell cell 北京",
        "quark",
        "北京 wave wave cell cell cell",
        "quark cell",
    ],
    [
        {"a", "a1"},
        set(),
        {"a", "a1", "b"},
        set(),
        set(),
        set(),
        {"a", "a2"},
        {"a", "a2", "b"},
        {"a", "a1", "a2"},
        set(),
        {"a", "a1"},
    ],
)


class TestClassifiers:
    TREE = (("a", "a1"), ("a", "a2"), ("b", "b1"))

    @few
    # No training text has b or b1.
    @example((["", "", "", "", "quark cell"], [set(), {"a", "a1"}, set(), set(), {"a", "a1"}]), {}, "macro")
    @example(NEARLY_SEPARATED, {}, "micro_macro")
    @given(
        corpora(),
        st.sampled_from(NETWORKS),
        st.sampled_from(["micro_macro", "macro", "hierarchical", "precision@2"]),
    )
    def test_what_holds_for_every_fit(self, corpus, network, optimize):
        texts, label_sets = corpus
        classifier = HiMatchClassifier(self.TREE, optimize=optimize, **TINY, **network).fit(texts, label_sets)
        unseen = [*texts[:3], "", "zzz qqq", "गुरु 北京 \ud800"]
        probabilities = classifier.predict_proba(unseen)
        assert np.isfinite(probabilities).all()
        assert ((probabilities > 0) & (probabilities < 1)).all()
        if network.get("lexical", "ngrams") is not None:
            # All training texts have the ancestors of their labels.
            for parent, child in classifier.hierarchy_.edges:
                assert (probabilities[:, child] <= probabilities[:, parent] + 1e-6).all()
        predicted = classifier.predict(unseen)
        if optimize != "precision@2":
            assert hierarchy_violation_rate(predicted, classifier.hierarchy_) == 0
        for row, text in enumerate(unseen):
            alone = classifier.predict_proba([text])[0]
            np.testing.assert_allclose(alone, probabilities[row], atol=1e-6)
        with tempfile.TemporaryDirectory() as folder:
            classifier.save(Path(folder) / "model")
            loaded = HiMatchClassifier.load(Path(folder) / "model")
        np.testing.assert_array_equal(loaded.predict_proba(unseen), probabilities)
        np.testing.assert_array_equal(loaded.predict(unseen), predicted)
        again = HiMatchClassifier(self.TREE, optimize=optimize, **TINY, **network).fit(texts, label_sets)
        np.testing.assert_array_equal(again.predict_proba(unseen), probabilities)
