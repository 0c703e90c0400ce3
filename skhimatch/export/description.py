"""What an ONNX file says about its classifier, and how words become the inputs of its graph."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from skhimatch.evaluation.decisions import DecisionRule
from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.scores.characters import CharacterFeatures
from skhimatch.scores.ngrams import NGramFeatures
from skhimatch.storage.values import check, from_json
from skhimatch.text.scripts import patterns_of_words
from skhimatch.text.sequences import TokenSequences, Vocabulary
from skhimatch.text.words import WordTokenizer

__all__ = ["FORMAT", "Description", "padded", "stored_decision"]

FORMAT = 1
# In front of the names of the entries of the file's metadata.
PREFIX = "skhimatch."


@dataclass(frozen=True)
class StoredTokenizer:
    r"""What finds the words of a text.

    Attributes
    ----------
    lowercase : bool
        Whether the text is converted to lower case first.
    token_pattern : str or None
        The regular expression of a word. None: `word_pattern` and `letter_pattern` find the words.
    max_length : int or None
        Later words are dropped.
    word_pattern, letter_pattern : str
        See `skhimatch.text.scripts.patterns_of_words`. In a text in ASCII a word is a match of ``\w+``.
    """

    lowercase: bool
    token_pattern: str | None
    max_length: int | None
    word_pattern: str
    letter_pattern: str

    @classmethod
    def of(cls, tokenizer: WordTokenizer) -> StoredTokenizer:
        """Describe a tokenizer."""
        return cls(tokenizer.lowercase, tokenizer.token_pattern, tokenizer.max_length, *patterns_of_words())

    def restored(self, vocabulary: Vocabulary) -> WordTokenizer:
        """Return an equal fitted tokenizer."""
        tokenizer = WordTokenizer(
            lowercase=self.lowercase, token_pattern=self.token_pattern, max_length=self.max_length
        )
        tokenizer._validate_params()
        # Raises if the pattern is no regular expression.
        tokenizer.tokenize("")
        tokenizer.vocabulary_ = vocabulary
        return tokenizer


@dataclass(frozen=True)
class StoredDecision:
    """A `DecisionRule` without its hierarchy; arrays are lists. See there for the attributes."""

    threshold: list[float]
    path_minimum: list[float]
    tagged: list[bool]
    path_ends: list[int] | None
    lowest: list[int] | None
    importance: list[float] | None
    consistency: str | None
    decoding: str
    unlabelled: bool
    one_path: bool
    closed: bool
    n_labels: int | None

    def restored(self, hierarchy: LabelHierarchy) -> DecisionRule:
        """Return an equal rule, for L labels."""
        n_labels = len(hierarchy)
        for name in ("threshold", "path_minimum", "tagged", "importance"):
            values = getattr(self, name)
            right = values is None or len(values) == n_labels
            check(f"decision.{name}", right, f"is not of {n_labels} labels")
        for name in ("path_ends", "lowest"):
            places = getattr(self, name) or []
            inside = all(0 <= place < n_labels for place in places)
            check(f"decision.{name}", inside, "names labels that there are not")
        check("decision.n_labels", self.n_labels is None or self.n_labels >= 1, f"is {self.n_labels}")
        arrays = {name: _array(value) for name, value in vars(self).items()}
        return DecisionRule(hierarchy, **arrays)


@dataclass(frozen=True)
class Description:
    """What a program needs to turn a text into inputs of the graph, and its output into labels.

    Each attribute is an entry of the file's metadata, in JSON.

    Attributes
    ----------
    format : int
        Of this description.
    version : str
        Of the package that wrote it.
    labels : list of L str
        The columns of the output.
    edges : list of pairs of int
        The positions of parents and children.
    flat : bool
        Whether the labels have no hierarchy.
    tokenizer : StoredTokenizer or None
        None if the classifier was fitted on `TokenSequences`.
    vocabulary : tuple of str
        The known words. Their ids start at 2; 1 is any other word, 0 is padding.
    ngrams : list of int, or None
        The known words and word pairs, ascending: ``id``, or ``first id * V + second id`` with V = number of
        known words + 2. Their positions are the input "ngrams". Pairs with an unknown word do not count.
    characters : list of str, or None
        The known n-grams of characters. Their positions are the input "characters". A word's n-grams are all
        of its parts of three to five characters, with a space in front and one behind it.
    decision : StoredDecision
        How probabilities become labels.
    sparse_output : bool
        Whether the training targets were sparse.
    """

    format: int
    version: str
    labels: list[str]
    edges: list[tuple[int, int]]
    flat: bool
    tokenizer: StoredTokenizer | None
    vocabulary: tuple[str, ...]
    ngrams: list[int] | None
    characters: list[str] | None
    decision: StoredDecision
    sparse_output: bool

    def metadata(self) -> dict[str, str]:
        """Return the entries of the file's metadata.

        Returns
        -------
        dict of str to str
            JSON by name.
        """
        return {f"{PREFIX}{name}": json.dumps(value, default=vars) for name, value in vars(self).items()}

    @classmethod
    def of_metadata(cls, metadata: Mapping[str, str]) -> Description:
        """Read the entries of a file's metadata.

        Parameters
        ----------
        metadata : mapping of str to str
            As `metadata` returned them, and others.

        Returns
        -------
        Description

        Raises
        ------
        ValueError
            When an entry is missing, or of another type.
        """
        names = [field.name for field in fields(cls)]
        stored = {name: json.loads(metadata[PREFIX + name]) for name in names if PREFIX + name in metadata}
        return from_json(cls, stored, "the metadata")

    def hierarchy(self) -> LabelHierarchy:
        """Return the hierarchy of the labels.

        Returns
        -------
        LabelHierarchy
        """
        n_labels = len(self.labels)
        inside = all(0 <= place < n_labels for edge in self.edges for place in edge)
        check("edges", inside, f"names labels outside of 0 to {n_labels - 1}")
        return LabelHierarchy.restored(self.labels, self.edges, is_flat=self.flat)

    def features(self) -> dict[str, NGramFeatures | CharacterFeatures]:
        """Return what counts the n-grams that the graph reads, by the name of the input.

        Returns
        -------
        dict of str to NGramFeatures or CharacterFeatures
            Their inverse document frequencies are in the graph, and not here.
        """
        found: dict[str, NGramFeatures | CharacterFeatures] = {}
        none = np.zeros(0, dtype=np.float32)
        if self.ngrams is not None:
            codes = np.array(self.ngrams, dtype=np.int64)
            check("ngrams", bool((np.diff(codes) > 0).all()), "does not ascend")
            found["ngrams"] = NGramFeatures(codes, none)
        if self.characters is not None:
            found["characters"] = CharacterFeatures(tuple(self.characters), none)
        return found


def stored_decision(rule: DecisionRule) -> StoredDecision:
    """Describe a decision rule.

    Parameters
    ----------
    rule : DecisionRule
        For L labels.

    Returns
    -------
    StoredDecision
    """
    n_labels = len(rule.hierarchy)
    values = {field.name: getattr(rule, field.name) for field in fields(StoredDecision)}
    for name in ("threshold", "path_minimum"):
        values[name] = np.broadcast_to(values[name], (n_labels,))
    return StoredDecision(
        **{name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in values.items()}
    )


def padded(texts: TokenSequences, counts: Mapping[str, sp.csr_array]) -> dict[str, NDArray[Any]]:
    """Return the inputs of the graph for a batch of texts.

    Parameters
    ----------
    texts : TokenSequences of B texts
        Their words.
    counts : mapping of str to csr_array of shape (B, F)
        How often each text has each n-gram, by the name of the input.

    Returns
    -------
    dict of str to ndarray
        By the names of the inputs. At least one column wide.

    Examples
    --------
    >>> texts = TokenSequences.from_lists([[2, 3], [3]], Vocabulary(["wave", "field"]))
    >>> padded(texts, {"ngrams": sp.csr_array(np.array([[0, 1, 2], [0, 0, 1]], dtype=np.float32))})
    {'words': array([[2, 3],
           [3, 0]]), 'ngrams': array([[1, 2],
           [2, 0]]), 'ngrams_counts': array([[1., 2.],
           [1., 0.]], dtype=float32)}
    """
    inputs: dict[str, NDArray[Any]] = {"words": _rows(texts.ids, texts.lengths, np.int64)}
    for name, counted in counts.items():
        lengths = np.diff(counted.indptr)
        inputs[name] = _rows(counted.indices, lengths, np.int64)
        inputs[f"{name}_counts"] = _rows(counted.data, lengths, np.float32)
    return inputs


def _rows(values: NDArray[Any], lengths: NDArray[Any], dtype: type) -> NDArray[Any]:
    """Return rows of given lengths, padded with 0."""
    rows: NDArray[Any] = np.zeros((len(lengths), max(1, int(lengths.max(initial=0)))), dtype=dtype)
    rows[np.arange(rows.shape[1]) < lengths[:, None]] = values
    return rows


def _array(value: Any) -> Any:
    return np.array(value) if isinstance(value, list) else value
