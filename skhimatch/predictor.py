"""What a fitted classifier predicts, and its fitted attributes: methods that read a `FittedState`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.exceptions import NotFittedError
from sklearn.metrics import accuracy_score
from sklearn.utils._set_output import _get_output_config

from skhimatch.evaluation.decisions import (
    MAX_DENSE,
    DecisionRule,
    check_k,
    check_threshold,
    highest,
    stacked_decisions,
)
from skhimatch.explanation.explain_label import explain_label, with_texts
from skhimatch.explanation.explain_text import explain_text
from skhimatch.explanation.results import Explanation, LabelExplanation
from skhimatch.fitting.checked_input import checked_texts
from skhimatch.fitting.tokenize import tokenize_to_predict
from skhimatch.labels import targets
from skhimatch.labels.missing import encode_known_targets, without_missing
from skhimatch.network.device import resolve_device
from skhimatch.network.predict import embed_texts, in_chunks
from skhimatch.scores.stacking import as_probabilities
from skhimatch.state import EpochRecord, FittedState
from skhimatch.text.sequences import Texts

__all__ = ["FittedPredictor", "TopLabels"]


class TopLabels(NamedTuple):
    """The k most probable labels of n texts.

    Attributes
    ----------
    labels : ndarray of str, shape (n, k)
        The most probable first.
    probabilities : float32 ndarray of shape (n, k)
        Theirs.
    """

    labels: NDArray[np.object_]
    probabilities: NDArray[np.float32]


def _of_state(path: str) -> property:
    """Return a fitted attribute, found in the state; before `fit` it raises a NotFittedError."""
    find = attrgetter(f"state_.{path}")

    def get(classifier: FittedPredictor) -> Any:
        classifier._check_fitted()
        return find(classifier)

    return property(get)


class FittedPredictor(ClassNamePrefixFeaturesOutMixin, TransformerMixin):
    """The methods and attributes of a classifier that need only its fitted state.

    Attributes
    ----------
    state_ : FittedState
        What `fit` made.
    threshold, decoding, consistency
        As set now, see `HiMatchClassifier`.
    device : str or torch.device
        Where to predict.
    lambda_joint, lambda_match : float
        Whether the joint space is trained.
    verbose : int
        Whether to show a progress bar.
    """

    state_: FittedState
    threshold: float | ArrayLike | str
    decoding: str
    consistency: str | None
    device: str | torch.device
    lambda_joint: float
    lambda_match: float
    verbose: int

    classes_ = _of_state("classes")
    hierarchy_ = _of_state("hierarchy")
    tokenizer_ = _of_state("tokenizer")
    vocabulary_ = _of_state("vocabulary")
    network_ = _of_state("network")
    word_network_ = _of_state("word_network")
    ngrams_ = _of_state("ensemble.ngrams")
    characters_ = _of_state("ensemble.characters")
    label_names_ = _of_state("ensemble.names")
    shortlist_size_ = _of_state("ensemble.shortlist_size")
    stacking_weights_ = _of_state("ensemble.stacking")
    score_offsets_ = _of_state("ensemble.score_offsets")
    calibration_ = _of_state("ensemble.calibration")
    decision_ = _of_state("decision")
    label_embeddings_ = _of_state("label_embeddings")
    validation_f1_ = _of_state("validation_f1")
    sparse_output_ = _of_state("sparse_output")
    choices_ = _of_state("choices")

    _history = _of_state("history")

    @property
    def history_(self) -> list[EpochRecord]:
        """One record for each epoch."""
        return list(self._history)

    @property
    def n_iter_(self) -> int:
        """The number of epochs."""
        return len(self._history)

    def decision_function(self, X: Any) -> NDArray[np.float32]:
        """Return the log-odds of all labels.

        Parameters
        ----------
        X : texts or TokenSequences
            As in `fit`.

        Returns
        -------
        float32 ndarray of shape (n, L)
        """
        texts = self._tokenized(X)
        log_odds = np.empty((len(texts), len(self.classes_)), dtype=np.float32)
        done = 0
        for chunk in self._log_odds(texts):
            log_odds[done : done + len(chunk)] = chunk
            done += len(chunk)
        return log_odds

    def predict_proba(self, X: Any) -> NDArray[np.float32]:
        """Return the probability of each label; they do not sum to one.

        Parameters
        ----------
        X : texts or TokenSequences
            As in `fit`.

        Returns
        -------
        float32 ndarray of shape (n, L), in (0, 1)
            See `iter_predict_proba` and `predict_topk` for results that do not fit into memory. A text has
            the same probabilities alone, in any batch and in any order of texts. On a CPU they are equal to
            1e-6, and not bit by bit: the size of a batch decides in which order sums are rounded.
        """
        return as_probabilities(self.decision_function(X))

    def iter_predict_proba(self, X: Any) -> Iterator[NDArray[np.float32]]:
        """Yield the probabilities of `predict_proba`, a chunk of texts at a time.

        Parameters
        ----------
        X : texts or TokenSequences
            As in `fit`.

        Returns
        -------
        iterator of float32 ndarrays of shape (rows, L), in (0, 1)
            In the order of the texts, some 128 MiB for each chunk.
        """
        # Not a generator function: errors in X are raised at once.
        return (as_probabilities(log_odds) for log_odds in self._log_odds(self._tokenized(X)))

    def predict_topk(self, X: Any, k: int) -> TopLabels:
        """Return the k most probable labels of each text, the most probable first.

        Parameters
        ----------
        X : texts or TokenSequences
            As in `fit`.
        k : int
            From 1 to L.

        Returns
        -------
        TopLabels
            ``(labels, probabilities)``, both of shape (n, k). Equally probable labels are in the order of
            the columns.

        Raises
        ------
        ValueError
            When there are fewer labels than k.
        """
        self._check_fitted()
        check_k(k, len(self.classes_))
        columns, probabilities = [], []
        for chunk in self.iter_predict_proba(X):
            columns.append(highest(chunk, k))
            probabilities.append(np.take_along_axis(chunk, columns[-1], axis=1))
        return TopLabels(self.classes_[np.concatenate(columns)], np.concatenate(probabilities))

    def predict(self, X: Any) -> NDArray[np.int64] | sp.csr_array:
        """Return the predicted labels as an indicator.

        Parameters
        ----------
        X : texts or TokenSequences
            As in `fit`.

        Returns
        -------
        int64 ndarray or csr_array of shape (n, L)
            The columns are `classes_`. Sparse if the training targets were sparse, and if n L is more than
            20 million, since a dense indicator would take 160 MB or more. No more than a chunk of
            probabilities is in memory at once.
        """
        self._check_fitted()
        rule = self._decision()
        chunks = [rule(probabilities) for probabilities in self.iter_predict_proba(X)]
        return stacked_decisions(chunks, sparse=self.sparse_output_, max_dense=MAX_DENSE)

    def decide(self, probabilities: NDArray[np.floating[Any]]) -> sp.csr_array:
        """Turn probabilities into labels, by the `threshold`, `decoding` and `consistency` set now.

        Parameters
        ----------
        probabilities : float ndarray of shape (n, L)
            As `predict_proba` and `iter_predict_proba` return them.

        Returns
        -------
        csr_array of shape (n, L), bool

        Raises
        ------
        ValueError
            When the probabilities have another shape.
        """
        self._check_fitted()
        shape = np.shape(probabilities)
        if len(shape) != 2 or shape[1] != len(self.classes_):
            raise ValueError(f"probabilities have the shape {shape}, not (n, {len(self.classes_)}).")
        return self._decision()(probabilities)

    def transform(self, X: Any) -> Any:
        """Return the texts' coordinates in the joint space (eq 3).

        Parameters
        ----------
        X : texts or TokenSequences
            As in `fit`.

        Returns
        -------
        float32 ndarray of shape (n, d_phi)
            Unit rows, comparable with `label_embeddings_`. After ``set_output(transform="pandas")`` a
            DataFrame, with the index of `X` if that has one; the columns are those of
            `get_feature_names_out`.
        """
        texts, network = self._tokenized(X), self._state_on_device().network
        chunks = in_chunks(texts, self.label_embeddings_.shape[1], progress=bool(self.verbose))
        points = np.concatenate([embed_texts(network, chunk) for chunk in chunks])
        # A list has a method of this name.
        index = X.index if isinstance(X, Texts) or hasattr(X, "iloc") else None
        if index is None or _get_output_config("transform", self)["dense"] != "pandas":
            return points
        # scikit-learn takes the index of a DataFrame, and from version 1.8 that of a Series. Without it, a
        # ColumnTransformer would put rows of different texts together.
        import pandas as pd

        return pd.DataFrame(points, index=index)

    def explain(self, text: Any, *, labels: Iterable[str] | None = None, n_others: int = 2) -> Explanation:
        """Explain the labels of one text.

        Each different word is left out in turn, and the shorter texts are scored: a text of 200 different
        words takes as long as the prediction of 200 texts.

        Parameters
        ----------
        text : str, list of str, or TokenSequences of one text
            The text, or its tokens.
        labels : iterable of str, optional
            The labels to explain. By default the predicted ones, and some of the likeliest others.
        n_others : int, default=2
            How many others.

        Returns
        -------
        Explanation
            It prints as plain text, and is shown as HTML in notebooks (`to_html`).

        Raises
        ------
        TypeError, ValueError
            When it is not one text that the classifier reads, or there is no such label.

        Examples
        --------
        >>> from skhimatch import HiMatchClassifier
        >>> texts = ["a quark and a gluon", "the cell divides", "a serve and a volley"] * 8
        >>> label_sets = [{"physics"}, {"biology"}, {"tennis"}] * 8
        >>> clf = HiMatchClassifier(max_epochs=2, random_state=0).fit(texts, label_sets)
        >>> explanation = clf.explain("the quark divides a gluon", labels=["physics"])
        >>> sorted(word.word for word in explanation["physics"].words[:2])
        ['gluon', 'quark']
        """
        state = self._state_on_device()
        return explain_text(
            text,
            state,
            self._decision(),
            labels=labels,
            n_others=n_others,
            joint_space=self.has_joint_space,
        )

    def explain_label(
        self, label: str, X: Any = None, y: Any = None, *, n_ngrams: int = 10, n_texts: int = 3
    ) -> LabelExplanation:
        """Explain what the classifier knows of a label.

        Parameters
        ----------
        label : str
            One of `classes_`.
        X, y : as in `fit`, optional
            Texts and their labels, from which typical texts, and the most wrong ones, are taken.
        n_ngrams : int, default=10
            How many n-grams of each kind, and how many neighbours.
        n_texts : int, default=3
            How many texts of each kind.

        Returns
        -------
        LabelExplanation
            It prints as plain text, and is shown as HTML in notebooks (`to_html`).

        Raises
        ------
        ValueError
            When there is no such label, or only one of X and y is given.
        """
        state = self._state_on_device()
        explained = explain_label(label, state, n_ngrams=n_ngrams, joint_space=self.has_joint_space)
        if X is None and y is None:
            return explained
        if X is None or y is None:
            raise ValueError("explain_label needs texts and their labels: pass both X and y, or neither.")
        texts = checked_texts(X)
        log_odds = self.decision_function(texts)
        return with_texts(explained, texts, y, log_odds, state, self._decision(), n_texts)

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
        self._check_fitted()
        return targets.to_label_sets(indicator, list(self.classes_))

    def score(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> float:
        """Return the subset accuracy: the share of texts with exactly the right labels.

        Where targets are missing (NaN in an indicator), only the others count.

        Parameters
        ----------
        X, y : as in `fit`
            Texts and labels.
        sample_weight : array-like of shape (n,), optional
            Weights of the texts.

        Returns
        -------
        float in [0, 1]
        """
        self._check_fitted()
        texts = checked_texts(X)
        known = encode_known_targets(y, self.hierarchy_, len(texts))
        predicted = sp.csr_array(without_missing(sp.csr_array(self.predict(texts)), known.missing))
        expected = known.targets.astype(np.int64)
        return float(accuracy_score(expected, predicted.astype(np.int64), sample_weight=sample_weight))

    @property
    def _n_features_out(self) -> int:
        """The dimension of the joint space, for `get_feature_names_out`."""
        return self.label_embeddings_.shape[1]

    def _state_on_device(self) -> FittedState:
        """Return the fitted state, with its networks on this machine's device."""
        self._check_fitted()
        device = resolve_device(self.device)
        for scorer in self.state_.ensemble.networks.values():
            if scorer.network.device != device:
                scorer.network.to(device)
        return self.state_

    def _tokenized(self, X: Any) -> Texts:
        state = self._state_on_device()
        return tokenize_to_predict(checked_texts(X), state)

    def _log_odds(self, texts: Texts) -> Iterator[NDArray[np.float32]]:
        return self._state_on_device().ensemble.log_odds(texts, progress=bool(self.verbose))

    @property
    def has_joint_space(self) -> bool:
        """Whether a loss has trained the space of `transform`."""
        return self.lambda_joint > 0 or self.lambda_match > 0

    def _decision(self) -> DecisionRule:
        """Return the fitted rule, with the threshold, decoding and consistency that are set now."""
        rule: DecisionRule = self.decision_
        # The fitted rule keeps its paths from one prediction to the next.
        if (rule.decoding, rule.consistency) != (self.decoding, self.consistency):
            rule = replace(rule, decoding=self.decoding, consistency=self.consistency)
        if isinstance(self.threshold, str):
            if self.threshold != "auto":
                raise ValueError(
                    f"threshold is {self.threshold!r}; pass 'auto', a number or one number per label"
                )
            return rule
        threshold = check_threshold(self.threshold, self.hierarchy_.labels)
        return replace(rule, threshold=threshold, path_minimum=threshold, importance=None, n_labels=None)

    def _check_fitted(self) -> None:
        # Not `check_is_fitted`, which reads the tags, which depend on a fitted attribute.
        if not self.__sklearn_is_fitted__():
            name = type(self).__name__
            raise NotFittedError(f"This {name} instance is not fitted yet. Call 'fit' before you use this.")

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "state_")
