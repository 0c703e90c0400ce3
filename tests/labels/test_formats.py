import gzip
import json

import numpy as np
import pandas as pd
import pytest

from skhimatch import LabelHierarchy, as_hierarchy, read_taxonomy
from skhimatch.labels.formats import hierarchy_from_paths, hierarchy_over

NEWS = {"science": ["physics", "biology"], "sport": ["tennis"]}
NEWS_EDGES = [("science", "physics"), ("science", "biology"), ("sport", "tennis")]


def edge_names(hierarchy):
    return {(hierarchy.labels[parent], hierarchy.labels[child]) for parent, child in hierarchy.edges}


def test_every_format_gives_the_same_hierarchy(tmp_path):
    networkx = pytest.importorskip("networkx")
    file = tmp_path / "news.taxonomy"
    file.write_text("Root\tscience\tsport\nscience\tphysics\tbiology\n\nsport\ttennis\n", encoding="utf-8")
    as_json = tmp_path / "news.json"
    as_json.write_text(json.dumps(NEWS), encoding="utf-8")
    formats = [
        LabelHierarchy(NEWS_EDGES),
        NEWS,
        {"science": {"physics": None, "biology": {}}, "sport": ["tennis"]},
        NEWS_EDGES,
        np.array(NEWS_EDGES),
        iter([*NEWS_EDGES, NEWS_EDGES[0]]),
        ["science/physics", "science/biology", "science", "sport/tennis"],
        networkx.DiGraph(NEWS_EDGES),
        file,
        str(file),
        as_json,
    ]
    for source in formats:
        assert as_hierarchy(source) == formats[0]
    assert as_hierarchy(formats[0]) is formats[0]


def test_isolated_labels_are_kept():
    networkx = pytest.importorskip("networkx")
    graph = networkx.DiGraph([("a", "b")])
    graph.add_node("z")
    assert as_hierarchy(graph).labels == ("a", "b", "z")
    assert as_hierarchy({"a": ["b"], "z": []}).labels == ("a", "b", "z")
    assert as_hierarchy({"a": None, "z": {}}).labels == ("a", "z")


def test_a_plain_dict_may_be_a_dag_and_a_nested_dict_may_be_deep():
    dag = as_hierarchy({"a": ["c"], "b": {"c"}, "c": ["d"]})
    assert edge_names(dag) == {("a", "c"), ("b", "c"), ("c", "d")}
    assert not dag.is_tree
    nested: dict = {}
    for number in reversed(range(3000)):
        nested = {f"{number:04d}": nested}
    assert as_hierarchy(nested).depth == 3000


def test_another_separator_and_another_root(tmp_path):
    assert edge_names(hierarchy_from_paths(["a > b/c"], sep=" > ")) == {("a", "b/c")}
    file = tmp_path / "taxonomy"
    file.write_text("top\ta\tb\na\tc d\n", encoding="utf-8")
    assert read_taxonomy(file, root="top").labels == ("a", "b", "c d")


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ({"x": ["a"], "a": ["b"], "b": ["a", "y"]}, ValueError, "cycle: a -> b -> a"),
        ([("a", "b"), "cd"], TypeError, "mixes paths"),
        ({}, ValueError, "no labels"),
        ({"a": "bc"}, TypeError, "children of 'a' are 'bc'"),
        ({"a": 3}, TypeError, "children of 'a' are 3"),
        ({"a": [3]}, TypeError, "a child of 'a' is 3"),
        (
            {"a": {"b": ["c"]}, "d": {"c": None}},
            ValueError,
            "label 'c' occurs both under 'd' and under 'b'",
        ),
        ({"a": {"b": ["a"]}}, ValueError, "label 'a' occurs both at the top and under 'b'"),
        ({"a": {"b": [{"c": None}]}}, TypeError, "a child of 'b' is"),
        (["a/c", "b/c"], ValueError, "label 'c' occurs both under 'a' and under 'b'.*unique names.*pairs"),
        (["a/b", "b"], ValueError, "label 'b' occurs both under 'a' and at the top"),
        (["a//b"], ValueError, "component of the path 'a//b' is empty"),
        ("no such file", TypeError, "'no such file', not an existing file"),
        (3, TypeError, "'int' is not a hierarchy.*flat"),
        (None, TypeError, "not a hierarchy"),
    ],
)
def test_bad_hierarchies_are_named(source, error, message):
    with pytest.raises(error, match=message):
        as_hierarchy(source)


def test_bad_graphs_and_files_are_named(tmp_path):
    networkx = pytest.importorskip("networkx")
    with pytest.raises(TypeError, match="undirected"):
        as_hierarchy(networkx.Graph([("a", "b")]))
    with pytest.raises(TypeError, match="node of the graph is 1"):
        as_hierarchy(networkx.DiGraph([(1, 2)]))
    file = tmp_path / "taxonomy"
    file.write_text("Root\ta\na\tb\t\tc\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"line 2 of .* is empty"):
        as_hierarchy(file)
    file.write_text("Root\ta\na\tRoot\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"line 2 .* virtual node 'Root' under 'a'"):
        as_hierarchy(file)
    file.write_bytes("Root\tÉa\n".encode("latin-1"))
    with pytest.raises(ValueError, match="taxonomy is not in UTF-8"):
        as_hierarchy(file)


def test_a_byte_order_mark_is_not_part_of_a_label(tmp_path):
    file = tmp_path / "news.taxonomy"
    file.write_text("Root\tscience\nscience\tphysics\n", encoding="utf-8-sig")
    assert as_hierarchy(file).labels == ("physics", "science")
    file = tmp_path / "news.json"
    file.write_text(json.dumps(NEWS), encoding="utf-8-sig")
    assert as_hierarchy(file) == as_hierarchy(NEWS)


class TestHierarchyOver:
    TREE = as_hierarchy(NEWS)

    def test_known_classes_are_restricted_without_a_warning(self):
        assert hierarchy_over(self.TREE, self.TREE.labels) is self.TREE
        classes = ["tennis", "physics", "science"]
        assert hierarchy_over(self.TREE, np.array(classes)) == self.TREE.restrict(classes)

    def test_a_class_without_an_edge_is_a_root(self):
        classes = ["zoo", "physics", "science", "tennis", "queue"]
        with pytest.warns(UserWarning, match=r"2 of 5 classes .* become roots: 'zoo', 'queue'\. .*labels=\["):
            hierarchy = hierarchy_over(self.TREE, classes)
        assert hierarchy.labels == tuple(classes)
        assert edge_names(hierarchy) == {("science", "physics")}
        on_purpose = LabelHierarchy(NEWS_EDGES, ["zoo", "queue", *self.TREE.labels])
        assert hierarchy_over(on_purpose, classes) == hierarchy

    def test_only_the_first_are_named(self):
        with pytest.warns(UserWarning, match=r"4 of 5 .*: 'q0', 'q1', 'q2' and 1 more\. To"):
            hierarchy_over(self.TREE, ["science", "q0", "q1", "q2", "q3"])

    @pytest.mark.parametrize(
        ("classes", "error", "message"),
        [
            (["science", "phisics"], ValueError, "no label 'phisics'; did you mean 'physics'.*labels="),
            ([*TREE.labels, "scienc"], ValueError, "no label 'scienc'; did you mean 'science'"),
            (["0", "1"], ValueError, "the hierarchy has no label '0'"),
            (["science", "zoo", "science"], ValueError, "'science' is repeated"),
            (["science", "zoo", "zoo"], ValueError, "'zoo' is repeated"),
            (["science", 3], TypeError, r"classes\[1\] is 3"),
            (["science", " "], ValueError, r"classes\[1\] is empty"),
            ("science", TypeError, "classes is the string 'science'"),
        ],
    )
    @pytest.mark.filterwarnings("ignore:1 of .* classes:UserWarning")
    def test_refused(self, classes, error, message):
        with pytest.raises(error, match=message):
            hierarchy_over(self.TREE, classes)

    def test_a_flat_hierarchy_names_all_its_labels(self):
        flat = LabelHierarchy.flat(["ham", "spam"])
        assert hierarchy_over(flat, ["spam", "ham"]).labels == ("spam", "ham")
        with pytest.raises(ValueError, match="the hierarchy has no label 'zoo'"):
            hierarchy_over(flat, ["spam", "zoo"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"a": ["b"],\n}', "line 2"),
        ('{"a": ["b"], "b": ["a"]}', "cycle"),
        ('"a"', "the string 'a'"),
        ('["a", "b"]', "consists of names"),
        ('[{"id": 1, "name": "a"}]', "edge 0 is"),
        ('{"name": "a", "children": [{"name": "b"}]}', "children of 'name' are 'a'"),
    ],
)
def test_bad_json_is_named(tmp_path, content, message):
    file = tmp_path / "news.json"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=rf"news\.json does not hold a hierarchy: .*{message}"):
        as_hierarchy(file)


def test_forms_without_an_order_of_parent_and_child_are_refused():
    frame = pd.DataFrame({"above": ["science"], "below": ["physics"]})
    with pytest.raises(TypeError, match="DataFrame without the columns 'parent' and 'child'"):
        as_hierarchy(frame)
    for edge in ({"science", "physics"}, {"text": "a", "labels": []}):
        with pytest.raises(TypeError, match=r"edge 0 is .*an edge is a pair"):
            as_hierarchy([edge])
    for edges in ({frozenset({"science", "physics"})}, [frozenset({"science", "physics"})]):
        with pytest.raises(TypeError, match=r"edge 0 is .*an edge is a pair"):
            as_hierarchy(edges)
    for names in ({"science", "physics"}, ("science", "physics"), frozenset({"a", "b", "c"})):
        with pytest.raises(TypeError, match=r"consists of names, of which none is the parent .*; pass pairs"):
            as_hierarchy(names)


@pytest.mark.parametrize("root", [None, float("nan"), pd.NA, ""])
def test_tables_of_parents_and_children(root):
    pairs = [(root, "science"), ("science", "physics"), (root, "sport")]
    rows = [{"parent": parent, "child": child, "id": 3} for parent, child in pairs]
    expected = LabelHierarchy([("science", "physics")], ["physics", "science", "sport"])
    assert as_hierarchy(rows) == expected
    assert as_hierarchy(iter(rows)) == expected
    assert as_hierarchy(pd.DataFrame(rows)) == expected
    assert as_hierarchy(pd.DataFrame(rows, index=[3, 3, 1])[["child", "parent"]]) == expected


def test_the_row_of_a_bad_record_is_named():
    rows = [{"parent": "a", "child": "b"}, {"parent": 3, "child": "c"}]
    with pytest.raises(TypeError, match="the parent of row 1 is 3"):
        as_hierarchy(rows)
    with pytest.raises(TypeError, match="the child of row 0 is None"):
        as_hierarchy(pd.DataFrame({"parent": ["a"], "child": [None]}, dtype=object))
    with pytest.raises(
        TypeError, match=r"edge 1 is \{'id': 3\}; .* a record with the keys 'parent' and 'child'"
    ):
        as_hierarchy([rows[0], {"id": 3}])


def test_a_set_of_pairs_or_of_paths_is_read():
    assert as_hierarchy(set(NEWS_EDGES)) == LabelHierarchy(NEWS_EDGES)
    assert as_hierarchy({"/".join(edge) for edge in NEWS_EDGES}) == LabelHierarchy(NEWS_EDGES)


def test_paths_with_another_usual_separator(tmp_path):
    paths = [" > ".join(edge) for edge in NEWS_EDGES]
    assert as_hierarchy(paths) == LabelHierarchy(NEWS_EDGES)
    assert as_hierarchy(["a > CD/DVD"]) == LabelHierarchy([("a", "CD/DVD")])
    file = tmp_path / "news.json"
    file.write_text(json.dumps(paths), encoding="utf-8")
    assert as_hierarchy(file) == LabelHierarchy(NEWS_EDGES)


def test_paths_are_a_list():
    with pytest.raises(TypeError, match="paths is the string 'a/b'"):
        hierarchy_from_paths("a/b")
    with pytest.raises(ValueError, match="sep is empty"):
        hierarchy_from_paths(["a/b"], sep="")


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_json_of_every_encoding(tmp_path, compress, encoding):
    file = tmp_path / ("news.json.gz" if compress is gzip.compress else "news.json")
    file.write_bytes(compress(json.dumps(NEWS).encode(encoding)))
    assert as_hierarchy(file) == as_hierarchy(NEWS)


@pytest.mark.parametrize(
    "content",
    ['{"a": ["b"], "c": [], "a": ["d"]}', '[{"x": {"a": 1, "a": 2}}]', '{"x": {"a": {}, "a": {}}}'],
)
def test_a_key_that_occurs_twice_is_named(tmp_path, content):
    file = tmp_path / "news.json"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=r"news\.json .*: the key 'a' occurs twice"):
        as_hierarchy(file)


def test_deep_nesting_is_an_error_that_says_what_to_do(tmp_path):
    file = tmp_path / "news.json"
    for content in ('{"a": ' * 100_000, "[" * 100_000):
        file.write_text(content, encoding="utf-8")
        with pytest.raises(ValueError, match=r"news\.json is nested too deeply .* list of pairs"):
            as_hierarchy(file)
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    for source in ({"a": deep}, {"a": {"b": deep}}, [deep], [["a", deep]], [{"parent": "a", "child": deep}]):
        with pytest.raises(TypeError, match=r"\.\.\."):
            as_hierarchy(source)
