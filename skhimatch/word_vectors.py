"""Word vectors are read, and from them start the embeddings of words and of labels."""

import gzip
import os
import re
from array import array
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_random_state

from skhimatch.text import PADDING_ID, UNKNOWN_ID, TokenSequences, Vocabulary

__all__ = [
    "WordVectors",
    "as_word_vectors",
    "embedding_table",
    "label_vectors",
    "label_words",
    "read_word_vectors",
]

CHARACTERISTIC_WORDS = 10
SCALE_WITHOUT_VECTORS = 0.1


class WordVectors:
    """Words and their vectors; immutable, so clones share it instead of copying it.

    Parameters
    ----------
    words : iterable of str, length n
        Each word once.
    vectors : array-like of float, shape (n, d)
        One row a word; kept as a read-only copy in float32.

    Attributes
    ----------
    words : tuple of str
    vectors : ndarray of float32, shape (n, d)

    Raises
    ------
    ValueError
        If words and rows differ in number, a word comes twice, or a vector is not finite.

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
                f"{len(self.words)} words need a matrix of as many rows; got shape {self.vectors.shape}."
            )
        if len(self.index) < len(self.words):
            twice = next(word for i, word in enumerate(self.words) if self.index[word] != i)
            raise ValueError(f"The word {twice!r} comes twice; give each word one vector.")
        finite = np.isfinite(self.vectors).all(axis=1)
        if not finite.all():
            word = self.words[int(finite.argmin())]
            raise ValueError(f"The vector of {word!r} holds NaN or infinite numbers; repair or drop it.")

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, ArrayLike]) -> "WordVectors":
        """Stack the vectors of a mapping.

        Parameters
        ----------
        mapping : mapping of str to array-like of float, shape (d,)
            At least one word.

        Returns
        -------
        WordVectors

        Raises
        ------
        ValueError
            If the mapping is empty or a word's vector has another shape than the first one.
        """
        rows = {word: np.asarray(vector, dtype=np.float32) for word, vector in mapping.items()}
        if not rows:
            raise ValueError("The mapping of word vectors is empty; it needs one word at least.")
        (first, row), *others = rows.items()
        for word, other in others:
            if other.shape != row.shape:
                raise ValueError(
                    f"The vector of {word!r} has shape {other.shape}, that of {first!r} has {row.shape}; "
                    "all need one length."
                )
        return cls(rows, np.stack(list(rows.values())))

    @cached_property
    def index(self) -> dict[str, int]:
        """The row of each word."""
        return {word: position for position, word in enumerate(self.words)}

    @property
    def dimension(self) -> int:
        """The length d of a vector."""
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
            Rows of `vectors`, -1 for a word without one.
        """
        return np.array([self.index.get(word, -1) for word in words], dtype=np.int64)

    def get(self, word: str, default: Any = None) -> Any:
        """Return the vector of a word, shape (d,), or `default`."""
        position = self.index.get(word)
        return default if position is None else self.vectors[position]

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
    r"""Read a text file of GloVe or word2vec, line by line, keeping only the words asked for.

    Parameters
    ----------
    path : path-like
        A line is a word and its d numbers, separated by blanks; a first line with the number of words
        and d may precede them (word2vec). Read through gzip if the name ends in ``.gz``.
    words : container of str, optional
        The words to keep, by default all. A set is fastest.

    Returns
    -------
    WordVectors
        The words found, in the order of the file; of a word that comes twice, the first.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is empty or ends early, or a line (named by its number) does not hold d numbers.

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
            f"There is no file of word vectors at {path}; pass the path of a GloVe or word2vec text file."
        )
    kept: dict[str, None] = {}
    numbers = array("f")
    n_read = 0
    opened = gzip.open if path.suffix == ".gz" else open
    # Only "\n" ends a line: some words of the published files contain other line breaks.
    with opened(path, "rt", encoding="utf-8", errors="replace", newline="\n") as lines:
        first = lines.readline()
        promised, dimension = _layout(first, path)
        numbered = enumerate(lines, 2) if promised is not None else enumerate(chain([first], lines), 1)
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
    if promised is not None and n_read < promised:
        raise ValueError(f"{path} promises {promised} vectors but ends after {n_read}; get the whole file.")
    return WordVectors(kept, np.array(numbers, dtype=np.float32).reshape(-1, dimension))


def _layout(first: str, path: Path) -> tuple[int | None, int]:
    """Tell from the first line how many vectors are promised, if so, and their length."""
    fields = first.rstrip(" \r\n").split(" ")
    if len(fields) == 2 and fields[0].isdigit() and fields[1].isdigit():
        return int(fields[0]), int(fields[1])
    if len(fields) == 1:
        raise ValueError(f"Line 1 of {path}: expected a word and its numbers, found {first.strip()!r}.")
    return None, len(fields) - 1


def _word_and_vector(line: str, dimension: int) -> tuple[str, str]:
    blanks = line.count(" ")
    if blanks == dimension:
        word, _, vector = line.partition(" ")
        return word, vector
    # A word may hold blanks itself: the last fields are the numbers.
    word, *numbers = line.rsplit(" ", dimension)
    if blanks < dimension or _is_number(word.rpartition(" ")[2]):
        raise ValueError(f"expected {dimension} numbers after the word, found {blanks}; is the file damaged?")
    return word, " ".join(numbers)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def as_word_vectors(source: Any, words: Iterable[str] | None = None) -> WordVectors:
    """Take word vectors in any accepted form, restricted to some words.

    Parameters
    ----------
    source : path-like, WordVectors, mapping of str to array-like, or gensim KeyedVectors
        KeyedVectors are known by their attributes ``key_to_index`` (or ``index_to_key``) and ``vectors``.
    words : iterable of str, optional
        The words to keep, with their lower-case and capitalised forms; by default all.

    Returns
    -------
    WordVectors

    Raises
    ------
    TypeError
        If `source` is something else.
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
            # Where no word is known, the first one tells at least the dimension.
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


def _vector(word: str, word_vectors: WordVectors) -> NDArray[np.float32] | None:
    return next((word_vectors[form] for form in _forms(word) if form in word_vectors), None)


def embedding_table(
    vocabulary: Vocabulary,
    word_vectors: WordVectors | None,
    random_state: int | np.random.RandomState | None,
    dimension: int = 300,
) -> NDArray[np.float32]:
    """Start the embeddings of a vocabulary of V ids.

    Parameters
    ----------
    vocabulary : Vocabulary
        V - 2 words after padding and unknown.
    word_vectors : WordVectors or None
        A word without a vector tries its lower-case and its capitalised form.
    random_state : int, RandomState or None
        Draws the rows of the other words and of the unknown word from a normal distribution, as wide
        as the vectors found (0.1 if none).
    dimension : int, default=300
        The length d of a row where `word_vectors` is None.

    Returns
    -------
    ndarray of float32, shape (V, d)
        Row 0, the padding, is zero.

    Examples
    --------
    >>> word_vectors = WordVectors(["wave"], [[1, -1]])
    >>> table = embedding_table(Vocabulary(["tennis", "wave"]), word_vectors, random_state=0)
    >>> table[[0, 3]]
    array([[ 0.,  0.],
           [ 1., -1.]], dtype=float32)
    """
    dimension = dimension if word_vectors is None else word_vectors.dimension
    table = np.zeros((len(vocabulary), dimension), dtype=np.float32)
    known = np.zeros(len(vocabulary), dtype=bool)
    known[PADDING_ID] = True
    if word_vectors is not None:
        for id, word in enumerate(vocabulary.words, start=UNKNOWN_ID + 1):
            vector = _vector(word, word_vectors)
            if vector is not None:
                table[id], known[id] = vector, True
    scale = table[known][1:].std() if known[1:].any() else SCALE_WITHOUT_VECTORS
    table[~known] = check_random_state(random_state).normal(0, scale, size=((~known).sum(), dimension))
    return table


def label_words(label: str, text: str | Iterable[str] | None = None) -> list[str]:
    """Cut the name of a label, or the text that describes it, into lower-case words.

    Parameters
    ----------
    label : str
        The name; camel case, underscores, dots, digits and punctuation separate words.
    text : str or iterable of str, optional
        The description, taken in place of the name.

    Returns
    -------
    list of str

    Examples
    --------
    >>> label_words("scipy.sparse_linalg.LinearOperator2D")
    ['scipy', 'sparse', 'linalg', 'linear', 'operator', 'd']
    >>> label_words("C15", "Performance of companies")
    ['performance', 'of', 'companies']
    """
    if text is None:
        text = label
    elif not isinstance(text, str):
        text = " ".join(text)
    without_possessives = re.sub(r"['’]s\b", "", text)
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", without_possessives)
    return [word.lower() for word in re.findall(r"[^\W\d_]+", apart)]


def label_vectors(
    labels: Sequence[str],
    label_texts: Mapping[str, str | Iterable[str]] | None,
    table: NDArray[np.float32],
    vocabulary: Vocabulary,
    word_vectors: WordVectors | None,
    sequences: TokenSequences,
    targets: sp.csr_array,
    random_state: int | np.random.RandomState | None,
) -> NDArray[np.float32]:
    """Start the embeddings of L labels (section 3.2).

    A label starts from the mean vector of its words: those of its text in `label_texts`, else of its
    name. Where none is known, it starts from the ten most characteristic words of its training texts,
    by share of the label's texts with the word times log(n / number of texts with the word); without
    these, from a normal draw as wide as `table`.

    Parameters
    ----------
    labels : sequence of str, length L
        The names.
    label_texts : mapping of str to str or iterable of str, or None
        The texts that describe labels, where there are any.
    table : ndarray of float32, shape (V, d)
        The embeddings of the vocabulary.
    vocabulary : Vocabulary
        V ids; the words that are known besides those of `word_vectors`.
    word_vectors : WordVectors or None
        Vectors of dimension d, looked up first.
    sequences : TokenSequences of shape (n,)
        The training texts, in ids of `vocabulary`.
    targets : sparse array, shape (n, L)
        Which text has which label.
    random_state : int, RandomState or None
        Draws the vectors of the labels about which nothing is known.

    Returns
    -------
    ndarray of float32, shape (L, d)

    Examples
    --------
    >>> vocabulary = Vocabulary(["wave", "field", "the"])
    >>> table = np.float32([[0, 0], [9, 9], [1, 0], [0, 1], [5, 5]])
    >>> sequences = TokenSequences.from_lists([[2, 3, 4], [4]], vocabulary)
    >>> targets = sp.csr_array([[1, 1], [0, 0]])
    >>> label_vectors(["waves.wave", "c1"], None, table, vocabulary, None, sequences, targets, 0)
    array([[1. , 0. ],
           [0.5, 0.5]], dtype=float32)
    """
    label_texts = label_texts or {}
    vectors = np.empty((len(labels), table.shape[1]), dtype=np.float32)
    nameless = []
    for column, label in enumerate(labels):
        known = []
        for word in label_words(label, label_texts.get(label)):
            vector = None if word_vectors is None else _vector(word, word_vectors)
            if vector is None and word in vocabulary:
                vector = table[vocabulary.index[word]]
            if vector is not None:
                known.append(vector)
        if known:
            vectors[column] = np.mean(known, axis=0)
        else:
            nameless.append(column)
    if nameless:
        draws = check_random_state(random_state)
        scale = table[UNKNOWN_ID:].std()
        characteristic = _characteristic_words(sequences, targets[:, nameless])
        for column, ids in zip(nameless, characteristic, strict=True):
            vectors[column] = table[ids].mean(axis=0) if ids.size else draws.normal(0, scale, table.shape[1])
    return vectors


def _characteristic_words(sequences: TokenSequences, targets: sp.csr_array) -> list[np.ndarray]:
    """Rank the words of each label, a column of targets; ids of at most ten words a label."""
    n_texts, n_words = len(sequences), len(sequences.vocabulary)
    # A copy, because summing the duplicates sorts the ids in place.
    flat = (np.ones(sequences.ids.size), sequences.ids, sequences.offsets)
    occurs = sp.csr_array(flat, shape=(n_texts, n_words), copy=True)
    occurs.sum_duplicates()
    occurs.data[:] = 1
    frequency: NDArray[np.float64] = occurs.sum(axis=0)
    weight = np.log(n_texts / np.maximum(frequency, 1))
    weight[: UNKNOWN_ID + 1] = 0
    # Dividing by the number of the label's texts would not change the order of its words.
    scores = sp.csr_array(targets.T.astype(np.float64) @ occurs).multiply(weight).tocsr()
    ranked = []
    for row in range(scores.shape[0]):
        inside = slice(scores.indptr[row], scores.indptr[row + 1])
        ids, score = scores.indices[inside], scores.data[inside]
        order = np.lexsort((ids, -score))[:CHARACTERISTIC_WORDS]
        ranked.append(ids[order[score[order] > 0]])
    return ranked
