import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skhimatch.text.key_table import MULTIPLIER, KeyTable

# The keys 1, 2, 3, ... times this number share the first slot, until their product with it is 2**60.
SHARING = pow(int(MULTIPLIER), -1, 2**64)
KEYS = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-5, 5),
    st.sampled_from([-(2**63), -(2**63) + 1, 2**63 - 1, 2**63 - 2]),
    st.integers(0, 99).map(lambda number: np.uint64(number * SHARING % 2**64).astype(np.int64).item()),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(KEYS, unique=True, max_size=120), st.lists(KEYS, max_size=40), st.booleans())
def test_equal_to_a_dict(keys, others, unsigned):
    dtype = np.uint64 if unsigned else np.int64
    table = KeyTable(np.array(keys, dtype=np.int64).view(dtype))
    position = {key: at for at, key in enumerate(keys)}
    wanted = [*others, *keys, *others]
    found = table.find(np.array(wanted, dtype=np.int64).view(dtype))
    assert found.dtype == np.int32
    assert found.tolist() == [position.get(key, -1) for key in wanted]


def test_keys_that_share_their_slots():
    # All begin at slot 0, or at the last one, and go on at the first.
    for share in (np.arange(1, 200), -np.arange(1, 200)):
        keys = share.astype(np.uint64) * np.uint64(SHARING)
        table = KeyTable(keys)
        assert table.find(keys[::-1]).tolist() == list(range(198, -1, -1))
        assert table.find(np.arange(200, 300, dtype=np.uint64) * np.uint64(SHARING)).max() == -1


@pytest.mark.parametrize("n_keys", [0, 1, 2, 3])
def test_few_keys(n_keys):
    table = KeyTable(np.arange(n_keys))
    assert table.find(np.arange(-1, 5)).tolist() == [-1, *range(n_keys), *[-1] * (5 - n_keys)]
    assert table.find(np.zeros(0, dtype=np.int64)).tolist() == []


def test_many_keys_of_any_layout():
    draws = np.random.default_rng(0)
    keys = draws.permutation(200_000)[:50_000].astype(np.int64) - 100_000
    table = KeyTable(keys[::2])
    expected = np.full(200_000, -1)
    expected[keys[::2] + 100_000] = np.arange(25_000)
    wanted = draws.integers(-100_000, 100_000, 30_000)
    np.testing.assert_array_equal(table.find(wanted[::3]), expected[wanted[::3] + 100_000])
