"""The weights of training texts, and of the positive and negative texts of each label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from numbers import Real
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.utils.validation import _check_sample_weight

from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.labels.spelling import suggestion

__all__ = ["TextWeights", "check_class_weight", "check_sample_weight"]


@dataclass(frozen=True, eq=False)
class TextWeights:
    """How much each text counts, and how much more as a positive or a negative text of a label.

    Text i has the weight w_i p_l in the loss of label l if it has the label, w_i q_l if it has not, and 0 if
    that is not known.

    Attributes
    ----------
    texts : float64 ndarray of shape (n,)
        w, the sample weights, above 0.
    positives, negatives : float64 ndarrays of shape (L,)
        p and q, the class weights.
    missing : csr_array of shape (n, L), bool, or None
        Which targets are not known. None if all are known.

    Examples
    --------
    >>> targets = sp.csr_array([[1, 1], [0, 1], [0, 0], [0, 0]])
    >>> hierarchy = LabelHierarchy.flat(["chess", "game"])
    >>> weights = TextWeights.of(targets, hierarchy, class_weight="balanced")
    >>> weights.positives, weights.negatives
    (array([2., 1.]), array([0.66666667, 1.        ]))
    >>> weights.in_loss(targets.toarray())
    array([[2.       , 1.       ],
           [0.6666667, 1.       ],
           [0.6666667, 1.       ],
           [0.6666667, 1.       ]], dtype=float32)
    """

    texts: NDArray[np.float64]
    positives: NDArray[np.float64]
    negatives: NDArray[np.float64]
    missing: sp.csr_array | None = None

    @classmethod
    def of(
        cls,
        targets: sp.csr_array,
        hierarchy: LabelHierarchy,
        *,
        sample_weight: NDArray[np.float64] | None = None,
        class_weight: Mapping[str, float] | str | None = None,
        missing: sp.csr_array | None = None,
    ) -> TextWeights | None:
        """Put the weights of training texts together.

        Parameters
        ----------
        targets : csr_array of shape (n, L)
            0/1 targets; 0 where the target is not known.
        hierarchy : LabelHierarchy
            L labels.
        sample_weight : float64 ndarray of shape (n,), optional
            Checked, see `check_sample_weight`.
        class_weight : mapping of str to float, "balanced" or None
            Checked, see `check_class_weight`. "balanced" is n / (2 n_l) for the positive texts of a label,
            and n / (2 (n - n_l)) for its negative texts, where n is the sum of the sample weights of all
            texts whose target is known, and n_l that of the positive texts. It is 1 for a label that all
            these texts have, or none.
        missing : csr_array of shape (n, L), bool, optional
            Which targets are not known.

        Returns
        -------
        TextWeights or None
            None if there are neither sample weights nor class weights, and all targets are known.
        """
        if sample_weight is None and class_weight is None and missing is None:
            return None
        n_texts, n_labels = targets.shape
        texts = np.ones(n_texts) if sample_weight is None else sample_weight
        positives, negatives = np.ones(n_labels), np.ones(n_labels)
        if isinstance(class_weight, Mapping):
            for label, weight in class_weight.items():
                positives[hierarchy.index[str(label)]] = weight
        elif class_weight is not None:
            number = np.bincount(targets.indices, minlength=n_labels)
            both = (number > 0) & (number < _number_known(n_texts, n_labels, missing))
            weight = (targets.T @ texts)[both]
            total = cls(texts, positives, negatives, missing).known[both]
            positives[both] = total / (2 * weight)
            negatives[both] = total / (2 * (total - weight))
        return cls(texts, positives, negatives, missing)

    @cached_property
    def known(self) -> NDArray[np.float64]:
        """The sum of the weights of the texts whose target is known, for each label, of shape (L,)."""
        total = np.full(len(self.positives), self.texts.sum())
        return total if self.missing is None else total - self.missing.T.astype(np.float64) @ self.texts

    @cached_property
    def number_known(self) -> NDArray[np.int64]:
        """The number of texts whose target is known, for each label, of shape (L,)."""
        return _number_known(len(self.texts), len(self.positives), self.missing)

    def pick(self, rows: NDArray[np.int64]) -> TextWeights:
        """Return the weights of some texts; those of labels stay.

        Parameters
        ----------
        rows : int array
            The numbers of the texts.

        Returns
        -------
        TextWeights
        """
        missing = None if self.missing is None else self.missing[rows]
        return replace(self, texts=self.texts[rows], missing=missing)

    def followed_by(self, other: TextWeights) -> TextWeights:
        """Return the weights of these texts and of others, with the weights of labels of these.

        Parameters
        ----------
        other : TextWeights
            For the other texts.

        Returns
        -------
        TextWeights
        """
        missing = None
        if self.missing is not None or other.missing is not None:
            missing = sp.vstack([part._all_missing for part in (self, other)], format="csr")
        return replace(self, texts=np.concatenate([self.texts, other.texts]), missing=missing)

    def of_label(self, label: int, target: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return the weights of all texts in the loss of one label, of shape (n,).

        Parameters
        ----------
        label : int
            Its column.
        target : bool array of shape (n,)
            Which texts have the label.

        Returns
        -------
        float64 ndarray of shape (n,)
        """
        weights = self.texts * np.where(target, self.positives[label], self.negatives[label])
        if self._missing_by_label is not None:
            start, stop = self._missing_by_label.indptr[label : label + 2]
            weights[self._missing_by_label.indices[start:stop]] = 0
        return weights

    def in_loss(self, targets: NDArray[Any]) -> NDArray[np.float32]:
        """Return the weights of all texts in the losses of all labels.

        Parameters
        ----------
        targets : array of shape (n, L)
            0/1 targets of these texts, dense.

        Returns
        -------
        float32 ndarray of shape (n, L)
        """
        weights = self.texts[:, None] * np.where(targets > 0, self.positives, self.negatives)
        if self.missing is not None:
            weights[self.missing.toarray()] = 0
        return weights.astype(np.float32)

    def frequencies(self, targets: sp.csr_array) -> NDArray[np.float32]:
        """Return the share of positive texts in the loss of each label, never 0 or 1.

        Parameters
        ----------
        targets : csr_array of shape (n, L)
            0/1 targets of these texts.

        Returns
        -------
        float32 ndarray of shape (L,)
        """
        number = targets.T.astype(np.float64) @ self.texts
        positive = (number * self.positives).astype(np.float32)
        negative = (np.maximum(0, self.known - number) * self.negatives).astype(np.float32)
        return (positive + 0.5) / (positive + negative + 1)

    @property
    def _all_missing(self) -> sp.csr_array:
        """Which targets are not known, also if all are."""
        if self.missing is None:
            return sp.csr_array((len(self.texts), len(self.positives)), dtype=bool)
        return self.missing

    @cached_property
    def _missing_by_label(self) -> sp.csc_array | None:
        return None if self.missing is None else self.missing.tocsc()


def _number_known(n_texts: int, n_labels: int, missing: sp.csr_array | None) -> NDArray[np.int64]:
    """Return the number of texts whose target is known, for each label."""
    number = np.full(n_labels, n_texts, dtype=np.int64)
    return number if missing is None else number - np.bincount(missing.indices, minlength=n_labels)


def check_sample_weight(
    sample_weight: Any, n_texts: int, name: str = "sample_weight"
) -> NDArray[np.float64] | None:
    """Check the weights of texts.

    Parameters
    ----------
    sample_weight : array-like of shape (n,), number or None
        The weights.
    n_texts : int
        n.
    name : str
        The name of the argument, for errors.

    Returns
    -------
    float64 ndarray of shape (n,), or None

    Raises
    ------
    ValueError, TypeError
        If there is not one finite number for each text, if one is below 0, or if all are 0.

    Examples
    --------
    >>> check_sample_weight([1, -2], 2)
    Traceback (most recent call last):
    ValueError: sample_weight[1] is -2.0: take a number from 0; 0 leaves the text out.
    """
    if sample_weight is None:
        return None
    try:
        weights = _check_sample_weight(sample_weight, np.empty(n_texts), dtype=np.float64)
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(
            f"{name}: {error} Pass one finite number for each of the {n_texts} texts, not all 0."
        ) from error
    negative = np.flatnonzero(weights < 0)
    if negative.size:
        raise ValueError(
            f"{name}[{negative[0]}] is {float(weights[negative[0]])}: take a number from 0; 0 leaves the "
            "text out."
        )
    if n_texts and not weights.any():
        raise ValueError(f"{name}: all weights are 0, which leaves no text. Raise those of some texts.")
    return weights


def check_class_weight(class_weight: Any, hierarchy: LabelHierarchy) -> Mapping[str, float] | str | None:
    """Check the weights of the labels' positive texts.

    Parameters
    ----------
    class_weight : mapping of str to float, "balanced" or None
        The parameter of the classifier.
    hierarchy : LabelHierarchy
        The labels.

    Returns
    -------
    mapping of str to float, "balanced" or None
        What was given.

    Raises
    ------
    ValueError
        If a label is unknown, or a weight is not a finite number above 0.

    Examples
    --------
    >>> check_class_weight({"sciense": 2.0}, LabelHierarchy.flat(["science", "sport"]))
    Traceback (most recent call last):
    ValueError: class_weight: 'sciense' is not among the 2 known labels. Did you mean 'science'?
    """
    if not isinstance(class_weight, Mapping):
        return class_weight
    for label, weight in class_weight.items():
        if str(label) not in hierarchy.index:
            near = suggestion(str(label), hierarchy.labels)
            hint = f" Did you mean {near}?" if near else " Correct it, or leave it out."
            raise ValueError(f"class_weight: {label!r} is not among the {len(hierarchy)} known labels.{hint}")
        if not isinstance(weight, Real) or not 0 < float(weight) < np.inf:
            raise ValueError(
                f"class_weight[{label!r}] is {weight!r}: take a finite number above 0; without an entry it "
                "is 1."
            )
    return class_weight
