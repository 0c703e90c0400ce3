"""The vectors of a frozen encoder, stored on disk, so that each text is encoded only once."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from skhimatch.network.batches import TextDataset
from skhimatch.progress import progress_bar
from skhimatch.text.sequences import TokenSequences
from skhimatch.warn_user import warn_user

if TYPE_CHECKING:
    from skhimatch.network.transformer import TransformerEncoder

__all__ = [
    "EncodingStore",
    "encode",
    "encode_longest_first",
    "encode_once",
    "look_up_or_encode",
    "store_folder",
]

Make = Callable[[NDArray[np.int64]], NDArray[np.float32]]

# 1 GiB: 700,000 vectors of 384 numbers.
MAX_BYTES = 2**30
# When the store is full, vectors are deleted until this share of it is left.
KEPT_SHARE = 0.8
FILE = "vectors.sqlite"
# Bytes of the digest in front of each stored vector.
DIGEST_SIZE = 8
# Texts that are looked up and written at a time, and texts in a batch of the encoder.
CHUNK_SIZE, BATCH_SIZE = 256, 16
# How long a process waits for another one that encodes the same texts.
TIMEOUT_SECONDS = 3600.0
# The number of locks. Processes that encode different texts rarely want the same lock at the same time.
N_LOCKS = 16


def store_folder() -> Path:
    """Return the folder of stored vectors: SKHIMATCH_CACHE, or ``skhimatch`` in the user's cache folder."""
    if "SKHIMATCH_CACHE" in os.environ:
        return Path(os.environ["SKHIMATCH_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "skhimatch"


def encode_once(
    encoder: TransformerEncoder, texts: TokenSequences, *, progress: bool = False
) -> NDArray[np.float32]:
    """Encode texts, except for those whose vectors are stored already.

    Parameters
    ----------
    encoder : TransformerEncoder
        Frozen.
    texts : TokenSequences of n texts
        Over its subwords.
    progress : bool
        Show a progress bar if there are hundreds of texts to encode.

    Returns
    -------
    float32 ndarray of shape (n, d)
        All of them are in the store afterwards. If nothing can be written, all texts are encoded, with a
        warning.
    """
    # Longest first: batches have little padding, and a batch that does not fit into memory fails at once.
    order = np.argsort(-texts.lengths, kind="stable")
    sorted_texts = texts[order]
    encodings = np.empty((len(texts), encoder.output_size), dtype=np.float32)
    read = np.cumsum(sorted_texts.lengths)
    shown = progress and len(texts) > CHUNK_SIZE

    def make(rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Encode the texts of these rows, and move the bar."""
        made = encode(encoder, sorted_texts[rows])
        # Vectors that are stored already are not made. The bar leaps over them.
        bar.update(int(read[rows[-1]]) - bar.n)
        return made

    try:
        with progress_bar(int(read[-1]) if len(read) else 0, "encode", unit="subword", shown=shown) as bar:
            encodings[order] = EncodingStore(store_folder()).get(_keys(encoder, sorted_texts), make)
    except (OSError, sqlite3.Error) as error:
        warn_user(
            f"Encodings cannot be stored in {store_folder()} ({error}): the next fit has to encode its "
            "texts again. Name a folder by the environment variable SKHIMATCH_CACHE.",
            RuntimeWarning,
        )
        return encode_longest_first(encoder, texts, progress=progress)
    return encodings


def look_up_or_encode(encoder: TransformerEncoder, texts: TokenSequences) -> NDArray[np.float32]:
    """Encode texts, except for those whose vectors are stored already; nothing is written.

    Parameters
    ----------
    encoder, texts : as in `encode`
        See there.

    Returns
    -------
    float32 ndarray of shape (n, d)
        In the order of the texts.
    """
    keys = _keys(encoder, texts)
    stored = EncodingStore(store_folder()).find(keys)
    encodings = np.empty((len(texts), encoder.output_size), dtype=np.float32)
    missing = np.array([key not in stored for key in keys], dtype=bool)
    if not missing.all():
        encodings[~missing] = [stored[key] for key in keys if key in stored]
    encodings[missing] = encode_longest_first(encoder, texts[missing])
    return encodings


def encode_longest_first(
    encoder: TransformerEncoder, texts: TokenSequences, *, progress: bool = False
) -> NDArray[np.float32]:
    """Encode texts in the order of their lengths, so that batches have little padding; nothing is stored.

    Parameters
    ----------
    encoder, texts : as in `encode`
        See there.
    progress : bool
        Show a progress bar if there are hundreds of texts.

    Returns
    -------
    float32 ndarray of shape (n, d)
        In the order of the texts.
    """
    order = np.argsort(-texts.lengths, kind="stable")
    encodings = np.empty((len(texts), encoder.output_size), dtype=np.float32)
    with progress_bar(len(texts), "encode", shown=progress and len(texts) > CHUNK_SIZE) as bar:
        for start in range(0, len(texts), CHUNK_SIZE):
            rows = order[start : start + CHUNK_SIZE]
            encodings[rows] = encode(encoder, texts[rows])
            bar.update(len(rows))
    return encodings


@torch.inference_mode()
def encode(encoder: TransformerEncoder, texts: TokenSequences) -> NDArray[np.float32]:
    """Encode texts.

    Parameters
    ----------
    encoder : TransformerEncoder
        It is left in evaluation mode.
    texts : TokenSequences of n texts
        Over the encoder's subwords. Sorted by length they have little padding.

    Returns
    -------
    float32 ndarray of shape (n, d)
    """
    if encoder.training:
        encoder.eval()
    device, dataset = next(encoder.parameters()).device, TextDataset(texts)
    found = [np.empty((0, encoder.output_size), dtype=np.float32)]
    with torch.autocast(device.type, torch.bfloat16, enabled=encoder.settings.dtype == "bfloat16"):
        for start in range(0, len(texts), BATCH_SIZE):
            inputs, _ = dataset.batch(np.arange(start, min(start + BATCH_SIZE, len(texts))))
            found.append(encoder(inputs["ids"].to(device), inputs["lengths"].to(device)).cpu().numpy())
    return np.concatenate(found)


def _keys(encoder: TransformerEncoder, texts: TokenSequences) -> list[bytes]:
    """Return a hash of all that each vector depends on: the encoder, and what it reads of the text."""
    digest = encoder.digest()
    read = encoder.capacity if encoder.settings.long_text == "truncate" else None
    return [hashlib.sha256(digest + ids[:read].tobytes()).digest() for ids in texts]


class EncodingStore:
    """A file of vectors by key, of bounded size, safe with several processes.

    Parameters
    ----------
    folder : Path
        Where the file is; created if necessary.
    max_bytes : int
        Beyond it, the vectors that were used longest ago are deleted.
    """

    def __init__(self, folder: Path, max_bytes: int = MAX_BYTES) -> None:
        self.folder = folder
        self.max_bytes = max_bytes

    def get(self, keys: Sequence[bytes], make: Make) -> NDArray[np.float32]:
        """Return the vectors of some keys; compute those that are missing.

        Parameters
        ----------
        keys : sequence of n bytes
            Keys may be repeated.
        make : callable
            Maps positions among the keys, int64 of shape (m,), to vectors, float32 of shape (m, d).

        Returns
        -------
        float32 ndarray of shape (n, d)
            Stored vectors that were damaged are computed again, with a warning.

        Raises
        ------
        OSError, sqlite3.Error
            When the folder or its file cannot be written, or the file is no store.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        place_of: dict[bytes, int] = {}
        for place, key in enumerate(keys):
            place_of.setdefault(key, place)
        vectors: dict[bytes, NDArray[np.float32]] = {}
        n_damaged = 0
        with closing(self._open()) as connection:
            wanted = list(place_of)
            for start in range(0, len(wanted), CHUNK_SIZE):
                part = wanted[start : start + CHUNK_SIZE]
                found, damaged = _read(connection, part)
                vectors |= found
                if damaged:
                    n_damaged += len(damaged)
                    with _transaction(connection):
                        _delete(connection, damaged)
                missing = [key for key in part if key not in vectors]
                if not missing:
                    continue
                with self._locked(part):
                    # Another process may just have written some of them.
                    vectors |= _read(connection, missing)[0]
                    missing = [key for key in missing if key not in vectors]
                    if not missing:
                        continue
                    made = make(np.array([place_of[key] for key in missing], dtype=np.int64))
                    vectors |= dict(zip(missing, made, strict=True))
                    with _transaction(connection):
                        _write(connection, missing, made)
            with _transaction(connection):
                _touch(connection, wanted)
                self._delete_oldest(connection)
        if n_damaged:
            warn_user(
                f"{n_damaged:,} of the vectors in {self.folder / FILE} were damaged, and were computed "
                "again.",
                RuntimeWarning,
            )
        return np.stack([vectors[key] for key in keys])

    def find(self, keys: Sequence[bytes]) -> dict[bytes, NDArray[np.float32]]:
        """Return the vectors of those keys that are stored; nothing is written.

        Parameters
        ----------
        keys : sequence of n bytes
            Keys may be repeated.

        Returns
        -------
        dict of bytes to float32 ndarray of shape (d,)
            Without those that are damaged. Empty if the store is not there or cannot be read.
        """
        vectors: dict[bytes, NDArray[np.float32]] = {}
        wanted = list(dict.fromkeys(keys))
        try:
            place = f"{(self.folder / FILE).absolute().as_uri()}?mode=ro"
            with closing(sqlite3.connect(place, uri=True, timeout=TIMEOUT_SECONDS)) as connection:
                for start in range(0, len(wanted), CHUNK_SIZE):
                    vectors |= _read(connection, wanted[start : start + CHUNK_SIZE])[0]
        except sqlite3.Error:
            # A fit tells the user what is wrong with the store.
            return {}
        return vectors

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.folder / FILE, timeout=TIMEOUT_SECONDS, isolation_level=None)
        connection.execute(
            "CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, checked BLOB, used INTEGER)"
        )
        return connection

    @contextmanager
    def _locked(self, part: Sequence[bytes]) -> Iterator[None]:
        """Let one process at a time make the same vectors. The store itself remains open to all others."""
        file = self.folder / f"{part[0][0] % N_LOCKS}.lock"
        with closing(sqlite3.connect(file, timeout=TIMEOUT_SECONDS, isolation_level=None)) as lock:
            lock.execute("BEGIN EXCLUSIVE")
            yield

    def _delete_oldest(self, connection: sqlite3.Connection) -> None:
        [[number, size]] = connection.execute("SELECT COUNT(*), SUM(LENGTH(checked)) FROM vectors")
        if number and size > self.max_bytes:
            beyond = number - int(number * KEPT_SHARE * self.max_bytes / size)
            connection.execute(
                "DELETE FROM vectors WHERE key IN (SELECT key FROM vectors ORDER BY used LIMIT ?)",
                [beyond],
            )


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Lock the store for this process; write everything, or nothing after an error."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _read(
    connection: sqlite3.Connection, keys: Sequence[bytes]
) -> tuple[dict[bytes, NDArray[np.float32]], list[bytes]]:
    """Return the vectors of those keys that are stored, and the keys whose vectors are damaged."""
    places = ", ".join("?" * len(keys))
    rows = connection.execute(f"SELECT key, checked FROM vectors WHERE key IN ({places})", list(keys))
    vectors, damaged = {}, []
    for key, checked in rows.fetchall():
        if _is_whole(key, checked):
            vectors[key] = np.frombuffer(checked, dtype=np.float32, offset=DIGEST_SIZE)
        else:
            damaged.append(key)
    return vectors, damaged


def _delete(connection: sqlite3.Connection, keys: Sequence[bytes]) -> None:
    connection.executemany("DELETE FROM vectors WHERE key = ?", [[key] for key in keys])


def _digest(key: bytes, vector: bytes) -> bytes:
    return hashlib.blake2b(vector, digest_size=DIGEST_SIZE, key=key).digest()


def _is_whole(key: bytes, checked: Any) -> bool:
    """Tell whether a stored value is the digest of a vector and the vector."""
    return isinstance(checked, bytes) and _digest(key, checked[DIGEST_SIZE:]) == checked[:DIGEST_SIZE]


def _write(connection: sqlite3.Connection, keys: Sequence[bytes], vectors: NDArray[np.float32]) -> None:
    now = time.time_ns()
    rows = []
    for key, vector in zip(keys, vectors, strict=True):
        content = vector.tobytes()
        rows.append((key, _digest(key, content) + content, now))
    # Texts of another process's part may be the same.
    connection.executemany("INSERT OR IGNORE INTO vectors VALUES (?, ?, ?)", rows)


def _touch(connection: sqlite3.Connection, keys: Sequence[bytes]) -> None:
    now = time.time_ns()
    connection.executemany("UPDATE vectors SET used = ? WHERE key = ?", [(now, key) for key in keys])
