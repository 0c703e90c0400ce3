"""`OnnxClassifier`: prediction with an ONNX file, without torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from skhimatch.evaluation.decisions import stacked_decisions
from skhimatch.export.description import FORMAT, Description, padded
from skhimatch.export.digest import check_digest
from skhimatch.labels import targets
from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.storage.errors import ModelFormatError, damage_named
from skhimatch.storage.values import check
from skhimatch.text.sequences import TokenSequences, Vocabulary
from skhimatch.text.words import check_texts

__all__ = ["OnnxClassifier"]

REMEDY = "write it again with HiMatchClassifier.to_onnx, or copy it again"
# Texts in a batch, and texts whose n-grams are counted at a time.
BATCH_SIZE, CHUNK_SIZE = 32, 4096
# Texts in a batch: the graph holds a number for each text, n-gram and label, 64 MiB at most.
BATCH_NUMBERS = 2**24


class OnnxClassifier:
    """A classifier that `HiMatchClassifier.to_onnx` wrote, which predicts with onnxruntime and without torch.

    Its probabilities are equal to those of the classifier that was written up to 1e-5, and so are its labels,
    unless a probability is so near to its threshold.

    Parameters
    ----------
    path : path
        The file.
    session_options : onnxruntime.SessionOptions, optional
        Such as the number of threads. By default onnxruntime takes all cores.

    Attributes
    ----------
    classes_ : ndarray of str, shape (L,)
        The labels, in column order.
    hierarchy_ : LabelHierarchy
        The hierarchy of these labels.
    tokenizer_ : WordTokenizer or None
        The fitted tokenizer; None if the classifier was fitted on `TokenSequences`.
    vocabulary_ : Vocabulary
        The words of the training texts.
    decision_ : DecisionRule
        Turns probabilities into labels, with the threshold, decoding and consistency that were set when the
        file was written.

    Raises
    ------
    ImportError
        When onnxruntime is not installed.
    FileNotFoundError
        When there is no file.
    ModelFormatError
        When it is damaged, or no file that `to_onnx` of this version wrote.

    See Also
    --------
    HiMatchClassifier : Its `to_onnx` writes the file.

    Examples
    --------
    >>> from skhimatch import OnnxClassifier
    >>> OnnxClassifier("not-there.onnx")  # doctest: +SKIP
    Traceback (most recent call last):
        ...
    FileNotFoundError: [Errno 2] No such file or directory: 'not-there.onnx'
    """

    def __init__(self, path: str | PathLike[str], session_options: Any = None) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise ImportError(
                'OnnxClassifier needs onnxruntime: python -m pip install "skhimatch[onnx]"'
            ) from error
        data = Path(path).read_bytes()
        with damage_named(Path(path), REMEDY):
            check_digest(data)
            try:
                self._session = onnxruntime.InferenceSession(
                    data, session_options, providers=["CPUExecutionProvider"]
                )
            except Exception as error:
                # Its errors are of many classes, all of them directly below Exception.
                reason = " ".join(str(error).split())
                raise ValueError(f"onnxruntime {onnxruntime.__version__} cannot read it: {reason}") from error
            metadata = self._session.get_modelmeta().custom_metadata_map
            _check_format(path, metadata)
            self._take(Description.of_metadata(metadata))

    def _take(self, description: Description) -> None:
        """Rebuild everything but the graph."""
        self.hierarchy_: LabelHierarchy = description.hierarchy()
        self.classes_: NDArray[np.object_] = np.asarray(self.hierarchy_.labels, dtype=object)
        self.vocabulary_ = Vocabulary(description.vocabulary)
        stored = description.tokenizer
        self.tokenizer_ = None if stored is None else stored.restored(self.vocabulary_)
        self.decision_ = description.decision.restored(self.hierarchy_)
        self.sparse_output_ = description.sparse_output
        self._features = description.features()
        wanted = {"words", *self._features, *(f"{name}_counts" for name in self._features)}
        found = {part.name for part in self._session.get_inputs()}
        check("the graph", found == wanted, f"has the inputs {', '.join(sorted(found))}")

    def predict_proba(self, X: Any) -> NDArray[np.float32]:
        """Return the probability of each label; they do not sum to one.

        Parameters
        ----------
        X : iterable of n str, iterable of n lists of str, or TokenSequences
            The texts.

        Returns
        -------
        float32 ndarray of shape (n, L), in (0, 1)
        """
        return np.concatenate(list(self._probabilities(X)))

    def predict(self, X: Any) -> NDArray[np.int64] | sp.csr_array:
        """Return the predicted labels as an indicator.

        Parameters
        ----------
        X : iterable of n str, iterable of n lists of str, or TokenSequences
            The texts.

        Returns
        -------
        int64 ndarray or csr_array of shape (n, L)
            The columns are `classes_`. Sparse if the training targets were sparse, and if n L is more than
            20 million.
        """
        chunks = (self.decision_(probabilities) for probabilities in self._probabilities(X))
        return stacked_decisions(chunks, sparse=self.sparse_output_)

    def to_label_sets(self, indicator: Any) -> list[set[str]]:
        """Turn an indicator, as `predict` returns it, into label sets.

        Parameters
        ----------
        indicator : array or sparse array of shape (n, L)
            Which labels each text has.

        Returns
        -------
        list of n set of str
        """
        return targets.to_label_sets(indicator, list(self.classes_))

    def _probabilities(self, X: Any) -> Iterator[NDArray[np.float32]]:
        """Return an iterator over the probabilities of a chunk of texts at a time; check all texts first."""
        texts = self._tokenized(X)
        return (
            self._of_chunk(texts[start : start + CHUNK_SIZE]) for start in range(0, len(texts), CHUNK_SIZE)
        )

    def _tokenized(self, X: Any) -> TokenSequences:
        if not isinstance(X, TokenSequences):
            checked: Iterable[Any] = check_texts(X)
            if self.tokenizer_ is None:
                raise ValueError(
                    "The classifier was fitted on TokenSequences and got raw texts: tokenize them with the "
                    "same fitted tokenizer."
                )
            return self.tokenizer_.transform(checked)
        if not len(X):
            raise ValueError("Found 0 samples in X while a minimum of 1 is required.")
        if X.vocabulary != self.vocabulary_:
            raise ValueError(
                "X are TokenSequences over another vocabulary than in fit: use the tokenizer fitted then."
            )
        return X

    def _of_chunk(self, texts: TokenSequences) -> NDArray[np.float32]:
        """Predict in batches of texts of similar length, and put the results into the order of the texts."""
        counts = {name: features.counts(texts) for name, features in self._features.items()}
        order = np.argsort(-texts.lengths, kind="stable")
        probabilities = np.empty((len(texts), len(self.classes_)), dtype=np.float32)
        widths = np.maximum.reduce(
            [np.diff(counted.indptr) for counted in counts.values()] or [texts.lengths]
        )
        start = 0
        while start < len(texts):
            rows = order[start : start + BATCH_SIZE]
            numbers_per_text = max(1, int(widths[rows].max())) * len(self.classes_)
            rows = rows[: max(1, BATCH_NUMBERS // numbers_per_text)]
            start += len(rows)
            inputs = padded(texts[rows], {name: counted[rows] for name, counted in counts.items()})
            [probabilities[rows]] = self._session.run(["probabilities"], inputs)
        return probabilities


def _check_format(path: str | PathLike[str], metadata: Any) -> None:
    """Raise a ModelFormatError if a file was written in another format."""
    stored = metadata.get("skhimatch.format")
    if stored != str(FORMAT):
        raise ModelFormatError(
            f"{path} was written in format {stored!s:.20} by skhimatch "
            f"{metadata.get('skhimatch.version')!s:.20}, and this version reads format {FORMAT}: "
            f"read it with that version, or {REMEDY}."
        )
