import sqlite3
import threading

import numpy as np
import pytest

from skhimatch.network import encodings
from skhimatch.network.encodings import EncodingStore, encode, encode_once, store_folder
from skhimatch.network.transformer import TransformerEncoder
from skhimatch.text.pretrained import PretrainedEncoder

KEYS = [bytes([number]) * 32 for number in range(10)]


class Maker:
    """Makes vectors that tell their keys' places, and counts."""

    def __init__(self):
        self.made = []

    def __call__(self, rows):
        self.made += rows.tolist()
        return np.stack([np.full(3, row, dtype=np.float32) for row in rows])


@pytest.fixture
def make():
    return Maker()


def test_each_is_made_once(tmp_path, make):
    store = EncodingStore(tmp_path)
    np.testing.assert_array_equal(store.get([KEYS[0], KEYS[1], KEYS[0]], make)[:, 0], [0, 1, 0])
    assert sorted(make.made) == [0, 1]
    again = EncodingStore(tmp_path).get([KEYS[1], KEYS[2]], make)
    np.testing.assert_array_equal(again[:, 0], [1, 1])  # KEYS[2] has the place 1 here
    assert sorted(make.made) == [0, 1, 1]


def test_many_come_in_parts(tmp_path, make, monkeypatch):
    monkeypatch.setattr(encodings, "CHUNK_SIZE", 3)
    np.testing.assert_array_equal(EncodingStore(tmp_path).get(KEYS, make)[:, 0], np.arange(10))
    assert make.made == list(range(10))


def test_two_at_a_time_make_nothing_twice(tmp_path, make, monkeypatch):
    monkeypatch.setattr(encodings, "CHUNK_SIZE", 2)
    found = {}
    workers = [
        threading.Thread(
            target=lambda name=name: found.update({name: EncodingStore(tmp_path).get(KEYS, make)})
        )
        for name in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(make.made) == list(range(10))
    for vectors in found.values():
        np.testing.assert_array_equal(vectors[:, 0], np.arange(10))


def test_who_has_its_vectors_does_not_wait_for_who_makes_others(tmp_path, make, monkeypatch):
    EncodingStore(tmp_path).get(KEYS[:2], make)
    # An error, in place of an hour.
    monkeypatch.setattr(encodings, "TIMEOUT_SECONDS", 0.1)
    begun, finish = threading.Event(), threading.Event()

    def make_slowly(rows):
        begun.set()
        assert finish.wait(60)
        return Maker()(rows)

    worker = threading.Thread(target=lambda: EncodingStore(tmp_path).get(KEYS[5:7], make_slowly))
    worker.start()
    assert begun.wait(60)
    try:
        # Those that are stored, and others that are made now.
        found = EncodingStore(tmp_path).get([*KEYS[:2], KEYS[8]], make)
    finally:
        finish.set()
        worker.join()
    np.testing.assert_array_equal(found[:, 0], [0, 1, 2])
    assert make.made == [0, 1, 2]
    EncodingStore(tmp_path).get(KEYS, make)
    assert sorted(make.made[3:]) == [2, 3, 4, 7, 9]


def test_texts_that_two_parts_share_are_kept_once(tmp_path, monkeypatch):
    store, other = EncodingStore(tmp_path), Maker()

    def make_while_another_process_writes(rows):
        EncodingStore(tmp_path).get([KEYS[2], KEYS[1]], other)
        return Maker()(rows)

    found = store.get(KEYS[:2], make_while_another_process_writes)
    np.testing.assert_array_equal(found[:, 0], [0, 1])
    with sqlite3.connect(tmp_path / "vectors.sqlite") as connection:
        assert connection.execute("SELECT COUNT(*) FROM vectors").fetchone() == (3,)


def test_what_was_not_asked_for_longest_makes_room(tmp_path, make):
    store = EncodingStore(tmp_path, max_bytes=10 * 20)
    store.get(KEYS[:5], make)
    store.get(KEYS[5:], make)
    store.get(KEYS[:1], make)
    make.made.clear()
    store.get([b"another" * 4], make)
    make.made.clear()
    store.get([KEYS[0], KEYS[9]], make)
    assert make.made == []
    store.get(KEYS[1:5], make)
    assert len(make.made) == 3
    assert (tmp_path / "vectors.sqlite").stat().st_size < 50_000


def test_nothing_is_kept_of_what_fails(tmp_path, make):
    def fail(rows):
        raise RuntimeError("out of memory")

    store = EncodingStore(tmp_path)
    with pytest.raises(RuntimeError, match="out of memory"):
        store.get(KEYS, fail)
    store.get(KEYS, make)
    assert len(make.made) == 10


def test_the_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SKHIMATCH_CACHE", str(tmp_path / "here"))
    assert store_folder() == tmp_path / "here"
    monkeypatch.delenv("SKHIMATCH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert store_folder() == tmp_path / "skhimatch"


@pytest.fixture
def encoder(tiny_bert):
    return TransformerEncoder(PretrainedEncoder(tiny_bert, freeze="all"))


def test_texts_come_back_in_order(encoder):
    texts = encoder.tokenize(["a", "the quark in the cell", "", "serve volley"])
    expected = encode(encoder, texts)
    np.testing.assert_allclose(encode_once(encoder, texts), expected, atol=1e-6)
    with sqlite3.connect(store_folder() / "vectors.sqlite") as connection:
        assert connection.execute("SELECT COUNT(*) FROM vectors").fetchone() == (4,)


def test_what_lies_beyond_the_window_is_no_other_text(encoder):
    texts = encoder.tokenize(["the quark " * 10, "the quark " * 20])
    encode_once(encoder, texts)
    with sqlite3.connect(store_folder() / "vectors.sqlite") as connection:
        assert connection.execute("SELECT COUNT(*) FROM vectors").fetchone() == (1,)


@pytest.mark.parametrize("damage", ["a file in its place", "no database"])
def test_a_store_that_cannot_be_written_is_done_without(encoder, damage):
    folder = store_folder()
    if damage == "no database":
        folder.mkdir()
        (folder / "vectors.sqlite").write_text("not a database " * 100)
    else:
        folder.write_text("")
    texts = encoder.tokenize(["a", "the quark"])
    with pytest.warns(RuntimeWarning, match=r"cannot be stored in .* SKHIMATCH_CACHE"):
        found = encode_once(encoder, texts)
    np.testing.assert_allclose(found, encode(encoder, texts), atol=1e-6)


@pytest.mark.parametrize(
    "change",
    [
        "checked = substr(checked, 1, 12)",
        "checked = NULL",
        "checked = 'text'",
        "checked = 3.5",
        "checked = zeroblob(20)",
        "checked = X''",
        # The vector of another key.
        "checked = (SELECT checked FROM vectors ORDER BY key LIMIT 1)",
    ],
)
def test_a_damaged_vector_is_made_again(tmp_path, make, change):
    store = EncodingStore(tmp_path)
    expected = store.get(KEYS, make)
    with sqlite3.connect(tmp_path / "vectors.sqlite") as connection:
        connection.execute(f"UPDATE vectors SET {change} WHERE key IN (?, ?)", KEYS[3:5])
    make.made.clear()
    with pytest.warns(RuntimeWarning, match=r"2 of the vectors in .*vectors\.sqlite were damaged"):
        np.testing.assert_array_equal(store.get(KEYS, make), expected)
    assert make.made == [3, 4]
    make.made.clear()
    np.testing.assert_array_equal(store.get(KEYS, make), expected)
    assert make.made == []


def test_each_flipped_bit_is_noticed(tmp_path, make):
    store = EncodingStore(tmp_path)
    expected = store.get(KEYS[:1], make)
    with sqlite3.connect(tmp_path / "vectors.sqlite") as connection:
        [[whole]] = connection.execute("SELECT checked FROM vectors")
    for bit in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        with sqlite3.connect(tmp_path / "vectors.sqlite") as connection:
            connection.execute("UPDATE vectors SET checked = ?", [bytes(damaged)])
        with pytest.warns(RuntimeWarning, match="1 of the vectors"):
            np.testing.assert_array_equal(store.get(KEYS[:1], make), expected)
