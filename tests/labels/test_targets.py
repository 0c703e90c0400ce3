import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.labels.targets import encode_targets, hold_out, is_indicator, label_names, to_label_sets

HIERARCHY = LabelHierarchy([("science", "physics"), ("science", "biology")])
DENSE = np.array([[0, 1, 1], [1, 0, 0], [0, 0, 0]])


@pytest.mark.parametrize(
    "y",
    [
        [{"physics", "science"}, {"biology"}, set()],
        [["science", "physics", "science"], ("biology",), []],
        (dict.fromkeys(labels, 1) for labels in (["physics", "science"], ["biology"], [])),
        np.array([{"physics", "science"}, {"biology"}, set()], dtype=object),
        DENSE,
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


def test_explicit_zeros_and_repeated_entries_are_no_labels():
    stored = sp.coo_array(([1, 0, 0], ([0, 0, 1], [1, 2, 0])), shape=(3, 3))
    encoded = encode_targets(stored, HIERARCHY)
    assert encoded.nnz == 1
    assert encoded.toarray().tolist() == [[0, 1, 0], [0, 0, 0], [0, 0, 0]]


def test_encoding_leaves_y_alone():
    y = sp.csr_array(([1.0, 0.0], ([0, 1], [1, 0])), shape=(3, 3))
    encode_targets(y, HIERARCHY)
    assert y.nnz == 2


@pytest.mark.parametrize(
    ("y", "error", "match"),
    [
        (None, ValueError, "y to be passed, but the target y is None"),
        (3, TypeError, "y is int, not one set of labels a text"),
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
        (DENSE[0], ValueError, "Unknown label type: y is one int64 a text"),
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
    assert all(map(is_indicator, [DENSE, sp.csr_array(DENSE), sp.csc_matrix(DENSE), pd.DataFrame(DENSE)]))
    assert not any(map(is_indicator, [[{"a"}], np.array(["a"]), pd.Series([{"a"}]), None, "a"]))


def test_label_names():
    assert label_names([{"b"}, ["c", "a", "b"], set()]) == ["a", "b", "c"]
    assert label_names(pd.DataFrame(DENSE, columns=["c", "a", 3])) == ["c", "a", "3"]
    assert label_names(DENSE) == label_names(sp.csr_array(DENSE)) == ["0", "1", "2"]
    with pytest.raises(ValueError, match="the target y is None"):
        label_names(None)


def test_to_label_sets_is_the_way_back():
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
        draws = np.random.default_rng(seed)
        dense = draws.uniform(size=(40, 20)) < draws.uniform(0.01, 0.2, size=20)
        train, validation = hold_out(sp.csr_array(dense.astype(np.float32)), 0.5, np.random.RandomState(seed))
        assert (dense[train].any(axis=0) == dense.any(axis=0)).all()
        assert len(validation) > 5

    def test_no_more_than_rare_labels_allow(self):
        train, validation = hold_out(sp.csr_array(np.eye(6, dtype=np.float32)), 0.5, np.random.RandomState(0))
        assert len(validation) == 0
        assert train.tolist() == list(range(6))

    def test_another_draw_another_part(self):
        targets = sp.csr_array(np.ones((50, 1), dtype=np.float32))
        first, again, other = (
            hold_out(targets, 0.2, np.random.RandomState(seed))[1].tolist() for seed in (0, 0, 1)
        )
        assert first == again != other

    def test_texts_without_labels_may_be_held_out(self):
        _, validation = hold_out(sp.csr_array((10, 3), dtype=np.float32), 0.5, np.random.RandomState(0))
        assert len(validation) == 5
