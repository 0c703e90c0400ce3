import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.labels.indicators import as_indicator
from skhimatch.labels.targets import (
    divide,
    encode_targets,
    hold_out,
    is_indicator,
    label_names,
    to_label_sets,
    validation_pair,
    warn_of_broken_rows,
)

HIERARCHY = LabelHierarchy([("science", "physics"), ("science", "biology")])
DENSE = np.array([[0, 1, 1], [1, 0, 0], [0, 0, 0]])


@pytest.mark.parametrize(
    "y",
    [
        [{"physics", "science"}, {"biology"}, set()],
        [["science", "physics", "science"], ("biology",), []],
        (dict.fromkeys(labels, 1) for labels in (["physics", "science"], ["biology"], [])),
        np.array([{"physics", "science"}, {"biology"}, set()], dtype=object),
        pd.Series([{"physics", "science"}, {"biology"}, set()], index=[7, 8, 9]),
        pd.Series([["physics", "science"], ["biology"], []]),
        pd.Series([("physics", "science"), np.array(["biology"]), ()]),
        DENSE,
        DENSE.tolist(),
        list(DENSE),
        tuple(map(tuple, DENSE.astype(bool))),
        DENSE.astype(float).tolist(),
        iter(DENSE.tolist()),
        pd.Series(DENSE.tolist()),
        pd.Series(list(DENSE)).to_numpy(),
        DENSE.astype(bool),
        DENSE.astype(np.float64),
        sp.csr_array(DENSE),
        sp.coo_matrix(DENSE),
        pd.DataFrame(DENSE, columns=["biology", "physics", "science"], index=[7, 8, 9]),
        pd.DataFrame(DENSE[:, [2, 0, 1]], columns=["science", "biology", "physics"]),
    ],
)
def test_encode(y):
    encoded = encode_targets(y, HIERARCHY, 3)
    assert isinstance(encoded, sp.csr_array)
    assert encoded.dtype == np.float32
    assert encoded.toarray().tolist() == DENSE.tolist()


class TestDivide:
    def test_each_text_is_in_one_part(self):
        targets = sp.csr_array((np.random.default_rng(0).uniform(size=(101, 5)) < 0.3).astype(np.float32))
        parts = divide(targets, 4, np.random.RandomState(0))
        assert sorted(np.concatenate(parts)) == list(range(101))
        assert all((np.diff(part) > 0).all() for part in parts)
        assert max(map(len, parts)) - min(map(len, parts)) <= 3

    @pytest.mark.parametrize("seed", range(5))
    def test_labels_are_spread_evenly(self, seed):
        """Each single label of a text is as frequent in each part as possible, and so are no labels."""
        rng = np.random.default_rng(seed)
        label = rng.choice(8, size=90, p=np.arange(1, 9) / 36)
        # The last of the eight stands for no label.
        targets = sp.csr_array(np.eye(8, dtype=np.float32)[label][:, :7])
        parts = divide(targets, 3, np.random.RandomState(seed))
        counts = np.array([np.bincount(label[part], minlength=8) for part in parts])
        assert (counts.max(axis=0) - counts.min(axis=0)).max() <= 1

    def test_rare_labels_beside_frequent_ones(self):
        rng = np.random.default_rng(0)
        dense = rng.uniform(size=(300, 20)) < np.linspace(0.02, 0.4, 20)
        parts = divide(sp.csr_array(dense.astype(np.float32)), 3, np.random.RandomState(0))
        counts = np.array([dense[part].sum(axis=0) for part in parts])
        # A random division misses a label with six texts altogether in a quarter of the cases.
        assert (counts >= np.maximum(1, dense.sum(axis=0) // 3 - 6)).all()

    def test_another_seed_divides_otherwise(self):
        targets = sp.csr_array(np.ones((50, 1), dtype=np.float32))
        first, again, other = (
            [part.tolist() for part in divide(targets, 3, np.random.RandomState(seed))] for seed in (0, 0, 1)
        )
        assert first == again != other


@pytest.mark.parametrize(
    "form",
    [
        list,
        tuple,
        iter,
        np.array,
        lambda y: np.array(y, dtype=object),
        pd.Series,
        lambda y: pd.Series(y, dtype="category"),
        lambda y: pd.Series(y, dtype="string"),
    ],
)
def test_one_string_per_text_names_the_end_of_a_path(form):
    names = ["physics", "science", "biology", "physics"]
    expected = [[0, 1, 1], [0, 0, 1], [1, 0, 1], [0, 1, 1]]
    assert encode_targets(form(names), HIERARCHY, 4).toarray().tolist() == expected
    flat = LabelHierarchy.flat(HIERARCHY.labels)
    expected = [[0, 1, 0], [0, 0, 1], [1, 0, 0], [0, 1, 0]]
    assert encode_targets(form(names), flat, 4).toarray().tolist() == expected
    assert label_names(form(names)) == ["biology", "physics", "science"]


class TestPaths:
    DEEP = LabelHierarchy([("a", "b"), ("b", "c"), ("z", "c"), ("a", "x/y"), ("a", "b/c")])

    def labels(self, path, hierarchy=DEEP, **options):
        return to_label_sets(encode_targets([path], hierarchy, **options), hierarchy.labels)[0]

    def test_the_parts_of_a_path_are_its_labels(self):
        assert self.labels("a/b/c") == {"a", "b", "c"}
        assert self.labels("a") == {"a"}
        # The other parent of c belongs to the label, not to this path.
        assert self.labels("c") == {"a", "b", "c", "z"}
        assert self.labels("z/c") == {"z", "c"}
        assert self.labels("a > b", sep=" > ") == {"a", "b"}

    def test_a_label_with_the_separator_wins(self):
        assert self.labels("b/c") == {"a", "b/c"}
        assert self.labels("x/y") == {"a", "x/y"}

    def test_paths_and_labels_in_one_y(self):
        encoded = encode_targets(["science/physics", "biology", "science"], HIERARCHY)
        assert encoded.toarray().tolist() == [[0, 1, 1], [1, 0, 1], [0, 0, 1]]

    def test_nothing_is_split_without_a_hierarchy(self):
        assert label_names(["a/b", "a"]) == ["a", "a/b"]
        flat = LabelHierarchy.flat(["a", "b", "a/b"])
        assert self.labels("a/b", flat) == {"a/b"}
        with pytest.raises(ValueError, match=r"Label 'b/a' in y\[0\]"):
            self.labels("b/a", flat)

    @pytest.mark.parametrize(
        ("path", "match"),
        [
            ("science/physic", r"'physic' in the path 'science/physic' of y\[0\].*Did you mean 'physics'"),
            ("sciense/physics", r"'sciense' in the path 'sciense/physics' of y\[0\].*'science'"),
            ("science/", r"Label '' in the path 'science/' of y\[0\]"),
            (
                "physics/science",
                r"y\[0\] is 'physics/science', but 'physics' is not an ancestor of 'science'",
            ),
            ("biology/physics", "'biology' is not an ancestor of 'physics'.*a set of labels"),
            ("physic", r"Label 'physic' in y\[0\] is not among.*Did you mean 'physics'"),
            ("", r"Label '' in y\[0\]"),
        ],
    )
    def test_refused(self, path, match):
        with pytest.raises(ValueError, match=match):
            encode_targets([path], HIERARCHY)

    def test_a_misspelt_label_that_has_the_separator(self):
        with pytest.raises(ValueError, match=r"Label 'x/z' in y\[0\].*Did you mean 'x/y'"):
            self.labels("x/z")


@pytest.mark.parametrize("form", [np.array, lambda y: np.array(y, dtype=object)])
def test_an_array_of_names_with_one_row_per_text(form):
    # numpy makes two dimensions of lists of one length.
    y = form([["science", "physics"], ["science", "biology"]])
    assert encode_targets(y, HIERARCHY).toarray().tolist() == [[0, 1, 1], [1, 0, 1]]
    assert label_names(y) == ["biology", "physics", "science"]


def test_empty_rows_are_label_sets():
    for y in ([[], []], ((), ()), np.empty((2, 0), dtype=object), pd.Series([[], []])):
        assert not is_indicator(y)
        assert encode_targets(y, HIERARCHY, 2).toarray().tolist() == [[0, 0, 0]] * 2


def test_explicit_zeros_and_repeated_entries_are_no_labels():
    stored = sp.coo_array(([1, 0, 0], ([0, 0, 1], [1, 2, 0])), shape=(3, 3))
    encoded = encode_targets(stored, HIERARCHY)
    assert encoded.nnz == 1
    assert encoded.toarray().tolist() == [[0, 1, 0], [0, 0, 0], [0, 0, 0]]


def test_encoding_does_not_change_y():
    y = sp.csr_array(([1.0, 0.0], ([0, 1], [1, 0])), shape=(3, 3))
    encode_targets(y, HIERARCHY)
    assert y.nnz == 2


@pytest.mark.parametrize(
    ("y", "error", "match"),
    [
        (None, ValueError, "y to be passed, but the target y is None"),
        (3, TypeError, "y is int, not one set of labels per text"),
        (
            [{"science"}, {"Physics"}],
            ValueError,
            r"'Physics' in y\[1\].*3 known labels.*Did you mean 'physics'",
        ),
        ([{"qqq"}], ValueError, r"known labels\. Add it to `hierarchy`"),
        (DENSE[:, :2], ValueError, "y has 2 columns but there are 3 labels"),
        (DENSE[:2], ValueError, "3 texts in X and 2 rows in y"),
        (DENSE * 3, ValueError, "row 0 of y holds 3 in the column of 'physics'"),
        (sp.csr_array(-DENSE), ValueError, "row 0 of y holds -1 in the column of 'physics'"),
        (np.where(DENSE, np.inf, 0), ValueError, "NaN or infinity, first at row 0, column 1"),
        (DENSE.astype(str), ValueError, "an indicator holds 0 and 1, not <U"),
        ([[0, 1, 1], [1, 0]], ValueError, r"y\[1\] has 2 entries and y\[0\] has 3.*one column per label"),
        ([[0, 1, 1], []], ValueError, r"y\[1\] has 0 entries and y\[0\] has 3"),
        ([[0, 1], [1, 0]], ValueError, "y has 2 columns but there are 3 labels"),
        ([[0, 2, 1]], TypeError, r"y\[0\] holds 0 of type int: label names are strings, and an indicator"),
        ([{0, 1}], TypeError, r"y\[0\] holds 0 of type int: label names are strings"),
        ({"physics", "science"}, TypeError, "y is set, which has no order"),
        ({"physics": 1}, TypeError, "y is dict, which has no order"),
        ("physics", TypeError, "y is str, not one set of labels per text"),
        (np.array("physics"), TypeError, "y is ndarray, not one set of labels per text"),
        (np.array([b"physics"]), TypeError, r"y\[0\] is .*b'physics'.*, not a collection of label names"),
        (["physics", {"physics"}], TypeError, r"y\[1\] is {'physics'}, but y\[0\] is a string"),
        ([{"physics"}, "physics"], TypeError, r"y\[1\] is 'physics', but y\[0\] is not a string"),
        (["physics", None], TypeError, r"y\[1\] is None, but y\[0\] is a string"),
        (pd.Series([{"physics"}, np.nan]), TypeError, r"y\[1\] is nan, not a collection of label names"),
        ([{"physics"}, {None}], TypeError, r"y\[1\] holds None of type NoneType: label names are strings"),
        (DENSE[0].tolist(), TypeError, r"y\[0\] is 0, not a collection of label names"),
        (DENSE[0], ValueError, "Unknown label type: y is one int64 per text"),
        (
            pd.DataFrame(DENSE, columns=["biology", "physics", "physics"]),
            ValueError,
            "lacks a column for label 'science'",
        ),
        (
            pd.DataFrame(DENSE[:, [0, 1, 2, 2]], columns=["biology", "physics", "science", "science"]),
            ValueError,
            "y has 4 columns for 3 labels: a name occurs twice",
        ),
    ],
)
def test_refused(y, error, match):
    with pytest.raises(error, match=match):
        encode_targets(y, HIERARCHY, 3)


def test_is_indicator():
    frame = pd.DataFrame(DENSE)
    assert all(map(is_indicator, [DENSE, sp.csr_array(DENSE), sp.csc_matrix(DENSE), frame, DENSE.tolist()]))
    others = [[{"a"}], np.array(["a"]), pd.Series([{"a"}]), None, "a", 3, DENSE[0], [0, 1], [[0, "a"]]]
    assert not any(map(is_indicator, others))


def test_label_names():
    assert label_names([{"b"}, ["c", "a", "b"], set()]) == ["a", "b", "c"]
    assert label_names(pd.DataFrame(DENSE, columns=["c", "a", 3])) == ["c", "a", "3"]
    assert label_names(DENSE) == label_names(sp.csr_array(DENSE)) == ["0", "1", "2"]
    assert label_names(DENSE.tolist()) == label_names(pd.Series(DENSE.tolist())) == ["0", "1", "2"]
    assert {type(name) for name in label_names(np.array(["b", "a"]))} == {str}
    with pytest.raises(ValueError, match="the target y is None"):
        label_names(None)


class TestBrokenRows:
    TREE = LabelHierarchy([("a", "a1"), ("a", "a2"), ("b", "b1"), ("b", "b2"), ("a1", "a11")])

    def encode(self, *rows):
        return encode_targets([row.split() for row in rows], self.TREE)

    def quiet(self, y, hierarchy=TREE):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            encode_targets(y, hierarchy)
            warn_of_broken_rows(sp.csr_array(y), hierarchy)

    def test_reversed_columns(self):
        y = self.encode("a a1 a11", "a a2", "b b1", "b b2", "a a1", "").toarray()
        # a, a1, a11, a2, b, b1, b2 become b2, b1, b, a2, a11, a1, a: the first row becomes a whole path.
        for reversed_y in (y[:, ::-1], y[:, ::-1].tolist(), sp.csr_array(y[:, ::-1])):
            with pytest.warns(UserWarning, match=r"80 % of the rows.*classes=mlb\.classes_"):
                encode_targets(reversed_y, self.TREE)
        self.quiet(y)

    def test_the_share_is_of_the_rows_with_a_label(self):
        y = self.encode("a1 a11", "a2 b", "a11 b", "a2", "b b1", "a a1", "", "").toarray()
        with pytest.warns(UserWarning, match="67 % of the rows"):
            encode_targets(y, self.TREE)
        half = self.encode("a1 a11", "a2 b", "a a1", "b b1").toarray()
        self.quiet(half)

    def test_targets_of_only_leaves_break_no_row(self):
        self.quiet(self.encode("a11 a2", "b1", "b1 b2", "a2 b2").toarray())

    def test_a_level_that_is_never_tagged(self):
        self.quiet(self.encode("a1 a11", "a2 b1", "a1").toarray())

    def test_paths_that_stop_early(self):
        self.quiet(self.encode("a", "a a1", "b", "a a1 a11 b", "").toarray())

    def test_one_label_per_text_may_be_the_most_specific_one(self):
        self.quiet(self.encode("a", "a1", "a11", "b2", "a11").toarray())

    def test_nothing_is_checked_with_names_or_without_edges(self):
        y = self.encode("a a1 a11", "a a2", "b b1").toarray()[:, ::-1]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            encode_targets(pd.DataFrame(y, columns=self.TREE.labels), self.TREE)
            self.encode("a1 b", "a11 a2", "b1 b2 a")
        self.quiet(y, LabelHierarchy.flat(self.TREE.labels))
        self.quiet(y, LabelHierarchy([], self.TREE.labels))
        self.quiet(np.zeros((3, 7)))


class TestValidationPair:
    def test_none_or_both(self):
        texts, labels = ["a"], [{"b"}]
        assert validation_pair(None, None, None) is None
        assert validation_pair(texts, labels, None) == (texts, labels)

    def test_the_former_argument(self):
        with pytest.warns(FutureWarning, match="validation_data.*deprecated: pass X_val=X, y_val=y"):
            assert validation_pair(None, None, (["a"], [{"b"}])) == (["a"], [{"b"}])
        with pytest.warns(FutureWarning), pytest.raises(ValueError, match="not a pair"):
            validation_pair(None, None, (["a"],))

    @pytest.mark.parametrize(
        ("arguments", "match"),
        [
            ((["a"], None, None), "X_val is given but y_val is not"),
            ((None, [{"b"}], None), "y_val is given but X_val is not"),
            ((["a"], [{"b"}], (["a"], [{"b"}])), "Both validation_data and X_val, y_val"),
            ((["a"], None, (["a"], [{"b"}])), "Both validation_data and X_val, y_val"),
        ],
    )
    def test_refused(self, arguments, match):
        with pytest.raises(ValueError, match=match):
            validation_pair(*arguments)


def test_to_label_sets_inverts_the_encoding():
    labels = list(HIERARCHY.labels)
    expected = [{"physics", "science"}, {"biology"}, set()]
    for indicator in (DENSE, DENSE.astype(bool), sp.csr_array(DENSE), sp.csc_matrix(DENSE)):
        assert to_label_sets(indicator, labels) == expected
    stored = sp.csr_array(([1, 0], ([0, 0], [1, 2])), shape=(1, 3))
    assert to_label_sets(stored, labels) == [{"physics"}]
    with pytest.raises(ValueError, match=r"shape \(3, 3\) does not fit 2 labels"):
        to_label_sets(DENSE, labels[:2])


class TestHoldOut:
    def test_parts(self):
        targets = sp.csr_array((np.random.default_rng(0).uniform(size=(100, 5)) < 0.5).astype(np.float32))
        train, validation = hold_out(targets, 0.2, np.random.RandomState(0))
        assert len(validation) == 20
        assert sorted([*train, *validation]) == list(range(100))
        assert (np.diff(train) > 0).all()
        assert (np.diff(validation) > 0).all()

    @pytest.mark.parametrize("seed", range(5))
    def test_every_label_keeps_a_training_text(self, seed):
        rng = np.random.default_rng(seed)
        dense = rng.uniform(size=(40, 20)) < rng.uniform(0.01, 0.2, size=20)
        train, validation = hold_out(sp.csr_array(dense.astype(np.float32)), 0.5, np.random.RandomState(seed))
        assert (dense[train].any(axis=0) == dense.any(axis=0)).all()
        assert len(validation) > 5

    def test_no_text_is_held_out_if_each_label_has_one_text(self):
        train, validation = hold_out(sp.csr_array(np.eye(6, dtype=np.float32)), 0.5, np.random.RandomState(0))
        assert len(validation) == 0
        assert train.tolist() == list(range(6))

    def test_another_seed_holds_out_other_texts(self):
        targets = sp.csr_array(np.ones((50, 1), dtype=np.float32))
        first, again, other = (
            hold_out(targets, 0.2, np.random.RandomState(seed))[1].tolist() for seed in (0, 0, 1)
        )
        assert first == again != other

    def test_texts_without_labels_may_be_held_out(self):
        _, validation = hold_out(sp.csr_array((10, 3), dtype=np.float32), 0.5, np.random.RandomState(0))
        assert len(validation) == 5


@pytest.mark.parametrize(
    "form",
    [
        lambda frame: frame.astype("Int64"),
        lambda frame: frame.astype("boolean"),
        lambda frame: frame.astype({"physics": bool}),
        lambda frame: frame.to_numpy().astype(object),
    ],
)
def test_indicators_of_numbers_in_objects(form):
    frame = pd.DataFrame([[0, 1, 1], [1, 0, 1]], columns=["biology", "physics", "science"])
    assert encode_targets(form(frame), HIERARCHY).toarray().tolist() == frame.to_numpy().tolist()


@pytest.mark.parametrize("entry", [pd.NA, None, "1"])
def test_an_object_in_an_indicator_is_named(entry):
    y = np.array([[0, 1, 1], [1, entry, 1]], dtype=object)
    with pytest.raises(
        ValueError, match=rf"row 1 of y holds {entry!r} in column 1; .* only the numbers 0 and 1"
    ):
        encode_targets(y, HIERARCHY)


class TestExactZerosAndOnes:
    @pytest.mark.parametrize("value", [1 + 1e-9, 1 - 1e-9, 1e-50, -1e-9])
    @pytest.mark.parametrize(
        "form", [np.array, sp.csr_array, sp.coo_matrix, lambda y: pd.DataFrame(y, columns=HIERARCHY.labels)]
    )
    def test_what_is_only_nearly_0_or_1_is_named(self, form, value):
        y = form([[0, 1, 1], [1, value, 0]])
        with pytest.raises(ValueError, match=rf"row 1 of y holds {value} in the column of 'physics'"):
            encode_targets(y, HIERARCHY)

    @pytest.mark.parametrize(
        "data",
        [
            np.array([2, -1], np.int64),
            np.array([2.0, -1.0], np.float32),
            np.array([3, -2, 0], np.int8),
            np.array([0.5, 0.5]),
            np.array([1, 1], np.float32),
            np.array([255, 2], np.uint8),
            np.ones(257, np.uint8),
        ],
    )
    def test_values_that_are_stored_several_times(self, data):
        y = sp.csr_array((data, np.ones(len(data), dtype=int), [0, 0, len(data)]), shape=(2, 3))
        before = y.data.copy()
        for check in (lambda: encode_targets(y, HIERARCHY), lambda: as_indicator(y)):
            with pytest.raises(ValueError, match=r"row 1|0 and 1 only"):
                check()
        assert (y.data == before).all()
        assert y.nnz == len(data)

    @pytest.mark.parametrize("form", [sp.csr_array, sp.coo_array, sp.csc_array])
    def test_stored_zeros_beside_a_one(self, form):
        y = form(sp.coo_array(([1, 0, 1.0], ([0, 0, 1], [1, 1, 2])), shape=(2, 3)))
        for encoded in (encode_targets(y, HIERARCHY), as_indicator(y)):
            assert encoded.toarray().tolist() == [[0, 1, 0], [0, 0, 1]]
            assert encoded.nnz == 2

    def test_a_bool_is_true_however_often_it_is_stored(self):
        y = sp.csr_array((np.array([True, True]), [1, 1], [0, 2]), shape=(1, 3))
        assert encode_targets(y, HIERARCHY).toarray().tolist() == [[0, 1, 0]]

    @pytest.mark.parametrize("dtype", [bool, np.int8, np.uint64, np.float16, np.float32, np.longdouble])
    def test_every_type_of_number_is_read(self, dtype):
        y = np.array([[0, 1, 1]], dtype)
        assert encode_targets(y, HIERARCHY).toarray().tolist() == [[0, 1, 1]]
        assert as_indicator(y).toarray().tolist() == [[0, 1, 1]]

    def test_complex_numbers_are_refused(self):
        for form in (np.array, sp.csr_array):
            with pytest.raises(ValueError, match="not complex128 entries"):
                encode_targets(form([[0, 1, 1j]]), HIERARCHY)


def test_a_sparse_array_of_one_dimension_is_refused():
    try:
        y = sp.coo_array(np.array([1, 0, 1]))
        assert y.ndim == 1
    except (ValueError, AssertionError):
        pytest.skip("this scipy has no sparse arrays of one dimension")
    for check in (lambda: encode_targets(y, HIERARCHY), lambda: label_names(y)):
        with pytest.raises(ValueError, match=r"sparse array of shape \(3,\): pass .* shape \(n, L\)"):
            check()


@pytest.mark.parametrize("pair", [(), [], (["a"],), (["a"], [{"b"}], 3), {}, {"X": 1, "y": 2}, "ab", 5])
def test_validation_data_of_another_shape_is_refused(pair):
    with (
        pytest.warns(FutureWarning, match="validation_data"),
        pytest.raises(ValueError, match=r"not a pair \(X, y\): pass X_val=X, y_val=y"),
    ):
        validation_pair(None, None, pair)


@pytest.mark.parametrize("array", [np.empty(0), np.array([["a"], ["b"]])])
def test_an_array_is_no_validation_data(array):
    with (
        pytest.warns(FutureWarning, match="validation_data"),
        pytest.raises(ValueError, match=r"not a pair"),
    ):
        validation_pair(None, None, array)
