"""Rows of sparse arrays against scipy's own index."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from skhimatch.labels.rows import positions_of_rows, rows_of


@pytest.mark.parametrize("rows", [[2], [3, 0, 3, 3], [], range(6)])
@pytest.mark.parametrize("index_type", [np.int32, np.int64])
def test_rows_are_those_of_an_index(rows, index_type):
    draws = np.random.RandomState(0)
    matrix = csr_array(draws.rand(6, 9) * (draws.rand(6, 9) < 0.3))
    matrix.data[matrix.indptr[3] : matrix.indptr[4]] = 0
    matrix.eliminate_zeros()
    matrix.indices, matrix.indptr = matrix.indices.astype(index_type), matrix.indptr.astype(index_type)
    rows = np.array(rows, dtype=np.int64)
    found, expected = rows_of(matrix, rows), matrix[rows]
    assert found.shape == expected.shape == (len(rows), 9)
    assert found.indices.dtype == found.indptr.dtype == index_type
    assert found.has_canonical_format
    for part in ("data", "indices", "indptr"):
        np.testing.assert_array_equal(getattr(found, part), getattr(expected, part))
    found.data[:] = 0
    assert matrix.data.all()


def test_positions_are_those_of_a_loop():
    offsets, rows = np.array([0, 2, 2, 5, 9]), np.array([3, 1, 0, 3])
    positions, starts = positions_of_rows(offsets, rows)
    parts = [list(range(offsets[row], offsets[row + 1])) for row in rows]
    assert positions.tolist() == [position for part in parts for position in part]
    assert starts.tolist() == np.cumsum([0, *map(len, parts)]).tolist()
