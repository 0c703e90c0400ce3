"""Pretrained word vectors: reading files, and a class that clones share."""

import os
from array import array
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skhimatch.input_files import open_text

__all__ = ["WordVectors", "as_word_vectors", "read_word_vectors"]


class WordVectors:
    """Words and their vectors. It is immutable, so clones share it instead of copying it.

    Parameters
    ----------
    words : iterable of str, length n
        The words, each once.
    vectors : array-like of float, shape (n, d)
        One row per word.

    Attributes
    ----------
    words : tuple of str
        The words.
    vectors : ndarray of float32, shape (n, d)
        A read-only copy of the vectors.

    Raises
    ------
    ValueError
        If the numbers of words and rows differ, a word occurs twice, or a vector is not finite.

    Examples
    --------
    >>> vectors = WordVectors(["wave", "field"], [[1, 0], [0, 1]])
    >>> vectors["field"]
    array([0., 1.], dtype=float32)
    >>> vectors.lookup(["field", "tennis"])
    array([ 1, -1])
    """

    def __init__(self, words: Iterable[str], vectors: ArrayLike):
        self.words = tuple(words)
        self.vectors: NDArray[np.float32] = np.array(vectors, dtype=np.float32)
        self.vectors.flags.writeable = False
        if self.vectors.ndim != 2 or len(self.vectors) != len(self.words):
            raise ValueError(
                f"{len(self.words)} words need a matrix with one row per word; "
                f"got shape {self.vectors.shape}."
            )
        if len(self.index) < len(self.words):
            twice = next(word for i, word in enumerate(self.words) if self.index[word] != i)
            raise ValueError(f"The word {twice!r} occurs twice; pass one vector per word.")
        finite = np.isfinite(self.vectors).all(axis=1)
        if not finite.all():
            word = self.words[int(finite.argmin())]
            raise ValueError(f"The vector of {word!r} contains NaN or infinity; correct or drop it.")

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, ArrayLike]) -> "WordVectors":
        """Make `WordVectors` from a mapping.

        Parameters
        ----------
        mapping : mapping of str to array-like of float, shape (d,)
            The vector of each word.

        Returns
        -------
        WordVectors
            The vectors.

        Raises
        ------
        ValueError
            If the mapping is empty, or not all vectors have the same shape.
        """
        rows = {word: np.asarray(vector, dtype=np.float32) for word, vector in mapping.items()}
        if not rows:
            raise ValueError("The mapping of word vectors is empty; it needs at least one word.")
        (first, row), *others = rows.items()
        for word, other in others:
            if other.shape != row.shape:
                raise ValueError(
                    f"The vector of {word!r} has shape {other.shape}, that of {first!r} has {row.shape}; "
                    "all vectors need the same length."
                )
        return cls(rows, np.stack(list(rows.values())))

    @cached_property
    def index(self) -> dict[str, int]:
        """Return the row of each word."""
        return {word: position for position, word in enumerate(self.words)}

    @property
    def dimension(self) -> int:
        """Return the length d of a vector."""
        return self.vectors.shape[1]

    def lookup(self, words: Iterable[str]) -> NDArray[np.int64]:
        """Find the rows of words.

        Parameters
        ----------
        words : iterable of str, length n
            Any words.

        Returns
        -------
        ndarray of int64, shape (n,)
            Rows of `vectors`. It is -1 for an unknown word.
        """
        return np.array([self.index.get(word, -1) for word in words], dtype=np.int64)

    def get(self, word: str, default: Any = None) -> Any:
        """Return the vector of a word, or a default.

        Parameters
        ----------
        word : str
            The word.
        default : object, default=None
            The result for an unknown word.

        Returns
        -------
        ndarray of float32, shape (d,), or object
            The vector or the default.
        """
        position = self.index.get(word)
        return default if position is None else self.vectors[position]

    def find(self, word: str) -> NDArray[np.float32] | None:
        """Return the vector of a word, else that of its lower-case form, else of its capitalised form.

        Parameters
        ----------
        word : str
            The word.

        Returns
        -------
        ndarray of float32, shape (d,), or None
            The vector. None if no form is known.
        """
        return next((self[form] for form in _forms(word) if form in self), None)

    def __getitem__(self, word: str) -> NDArray[np.float32]:
        return self.vectors[self.index[word]]

    def __contains__(self, word: object) -> bool:
        return word in self.index

    def __len__(self) -> int:
        return len(self.words)

    def __iter__(self) -> Iterator[str]:
        return iter(self.words)

    def __reduce__(self) -> tuple[type, tuple[tuple[str, ...], NDArray[np.float32]]]:
        return WordVectors, (self.words, self.vectors)

    def __sklearn_clone__(self) -> "WordVectors":
        return self

    def __repr__(self) -> str:
        return f"<WordVectors: {len(self)} words, {self.dimension} dimensions>"


def read_word_vectors(path: str | os.PathLike[str], words: Collection[str] | None = None) -> WordVectors:
    r"""Read a text file of GloVe or word2vec vectors.

    Parameters
    ----------
    path : path-like
        The file, in UTF-8. A line is a word and its d numbers, separated by spaces. In the word2vec
        format, the first line is the number of words and d. It may be compressed with gzip.
    words : container of str, optional
        The words to keep. By default all. A set is fastest.

    Returns
    -------
    WordVectors
        The vectors of these words, in the order of the file. If a word occurs twice, the first vector
        is kept.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ValueError
        If the file is empty or incomplete, or a line does not have d numbers. The message names the
        line.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "vectors.txt")
    ...     _ = path.write_text("wave 1 0.5\nfield 0 1\n")
    ...     read_word_vectors(path, words={"field"})
    <WordVectors: 1 words, 2 dimensions>
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"The file of word vectors {path} does not exist; pass the path of a GloVe or word2vec text file."
        )
    kept: dict[str, None] = {}
    numbers = array("f")
    n_read = 0
    # Only "\n" ends a line. Some words of the published files contain other line breaks.
    with open_text(path, errors="replace") as lines:
        first = lines.readline()
        n_expected, dimension = _layout(first, path)
        numbered = enumerate(lines, 2) if n_expected is not None else enumerate(chain([first], lines), 1)
        for number, line in numbered:
            line = line.rstrip(" \r\n")
            if not line:
                continue
            n_read += 1
            try:
                word, vector = _word_and_vector(line, dimension)
                if word not in kept and (words is None or word in words):
                    numbers.extend(map(float, vector.split(" ")))
                    kept[word] = None
            except ValueError as error:
                raise ValueError(f"Line {number} of {path}: {error}.") from error
    if n_expected is not None and n_read < n_expected:
        raise ValueError(
            f"{path} should have {n_expected} vectors but has {n_read}; download the whole file."
        )
    return WordVectors(kept, np.array(numbers, dtype=np.float32).reshape(-1, dimension))


def _layout(first: str, path: Path) -> tuple[int | None, int]:
    """Read the number of vectors, or None, and their length from the first line."""
    fields = first.rstrip(" \r\n").split(" ")
    if len(fields) == 2 and fields[0].isdigit() and fields[1].isdigit():
        return int(fields[0]), int(fields[1])
    if len(fields) == 1:
        raise ValueError(f"Line 1 of {path}: expected a word and its numbers, found {first.strip()!r}.")
    return None, len(fields) - 1


def _word_and_vector(line: str, dimension: int) -> tuple[str, str]:
    n_spaces = line.count(" ")
    if n_spaces == dimension:
        word, _, vector = line.partition(" ")
        return word, vector
    # A word may contain spaces. The numbers are the last fields.
    word, *numbers = line.rsplit(" ", dimension)
    if n_spaces < dimension or _is_number(word.rpartition(" ")[2]):
        raise ValueError(
            f"expected {dimension} numbers after the word, found {n_spaces}; is the file damaged?"
        )
    return word, " ".join(numbers)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def as_word_vectors(source: Any, words: Iterable[str] | None = None) -> WordVectors:
    """Make `WordVectors` of any accepted format.

    Parameters
    ----------
    source : path-like, WordVectors, mapping of str to array-like, or gensim KeyedVectors
        The vectors. KeyedVectors are recognised by their attributes ``key_to_index`` (or
        ``index_to_key``) and ``vectors``.
    words : iterable of str, optional
        The words to keep, with their lower-case and capitalised forms. By default all.

    Returns
    -------
    WordVectors
        The vectors of these words.

    Raises
    ------
    TypeError
        If `source` has none of these formats.
    FileNotFoundError, ValueError
        As `read_word_vectors` and `WordVectors`.

    Examples
    --------
    >>> vectors = as_word_vectors({"Wave": [1, 0], "tennis": [0, 1]}, ["wave", "field"])
    >>> vectors.words
    ('Wave',)
    """
    wanted = None if words is None else dict.fromkeys(form for word in words for form in _forms(word))
    if isinstance(source, (str, os.PathLike)):
        return read_word_vectors(source, wanted)
    if isinstance(source, WordVectors):
        index, vectors = source.index, source.vectors
    elif isinstance(source, Mapping):
        if wanted is not None:
            found = {word: source[word] for word in wanted if word in source}
            # If no word is known, the first one is kept, for the dimension.
            return WordVectors.from_mapping(found or dict([*source.items()][:1]))
        return WordVectors.from_mapping(source)
    elif hasattr(source, "vectors") and hasattr(source, "key_to_index"):
        index, vectors = source.key_to_index, source.vectors
    elif hasattr(source, "vectors") and hasattr(source, "index_to_key"):
        index, vectors = {word: i for i, word in enumerate(source.index_to_key)}, source.vectors
    else:
        raise TypeError(
            "word_vectors is the path of a GloVe or word2vec text file, WordVectors, a mapping of words to "
            f"arrays or gensim's KeyedVectors; got {type(source).__name__}."
        )
    kept = [word for word in (index if wanted is None else wanted) if word in index]
    return WordVectors(kept, np.asarray(vectors)[[index[word] for word in kept]])


def _forms(word: str) -> tuple[str, str, str]:
    return word, word.lower(), word.capitalize()
