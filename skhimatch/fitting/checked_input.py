"""Checks of what a user passes to `fit`, `partial_fit`, `tune` and `predict`: texts, labels and weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from skhimatch.fitting.labelled_texts import LabelledTexts
from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.labels.missing import encode_known_targets
from skhimatch.labels.weights import TextWeights, check_class_weight, check_sample_weight
from skhimatch.text.sequences import Texts
from skhimatch.text.words import check_texts

__all__ = ["checked_labelled_texts", "checked_texts", "checked_validation_texts"]


def checked_texts(X: Any) -> Any:
    """Return tokenised texts as they are, anything else as a list of checked texts.

    Parameters
    ----------
    X : TokenSequences, SubwordSequences, or iterable of str or of lists of str
        The texts.

    Returns
    -------
    TokenSequences, SubwordSequences or list

    Raises
    ------
    ValueError, TypeError
        If there is no text, or one is no text.
    """
    if isinstance(X, Texts):
        if not len(X):
            raise ValueError("Found 0 samples in X while a minimum of 1 is required.")
        return X
    return check_texts(X)


def checked_labelled_texts(
    texts: Any,
    y: Any,
    hierarchy: LabelHierarchy,
    *,
    sample_weight: Any = None,
    class_weight: Any = None,
    name_of_weights: str = "sample_weight",
) -> LabelledTexts:
    """Encode the labels of checked texts, and check weights.

    Texts of weight 0, and texts of which no target is known, are left out.

    Parameters
    ----------
    texts : list or Texts
        As `checked_texts` returned them.
    y : object
        Their labels, in any format that `fit` takes.
    hierarchy : LabelHierarchy
        L labels, in column order.
    sample_weight : array-like of shape (n,), optional
        The weights of the texts.
    class_weight : mapping of str to float, "balanced" or None
        The weights of the labels.
    name_of_weights : str
        The name of the argument of weights, for errors.

    Returns
    -------
    LabelledTexts

    Raises
    ------
    ValueError, TypeError
        If labels or weights are not as described, or if no target is known.
    """
    known = encode_known_targets(y, hierarchy, len(texts))
    sample_weight = check_sample_weight(sample_weight, len(texts), name_of_weights)
    class_weight = check_class_weight(class_weight, hierarchy)
    counts = np.ones(len(texts), dtype=bool) if sample_weight is None else sample_weight > 0
    if known.missing is not None:
        counts &= np.diff(known.missing.indptr) < len(hierarchy)
        if not counts.any():
            raise ValueError(
                "y: no text of a weight above 0 has a known target. NaN says that a target is missing: write "
                "0 or 1 where you know it."
            )
    labelled, missing = LabelledTexts(texts, known.targets), known.missing
    if not counts.all():
        kept = np.flatnonzero(counts)
        labelled = labelled.pick(kept)
        sample_weight = None if sample_weight is None else sample_weight[kept]
        missing = None if missing is None else missing[kept]
    weights = TextWeights.of(
        labelled.targets,
        hierarchy,
        sample_weight=sample_weight,
        class_weight=class_weight,
        missing=missing if missing is not None and missing.nnz else None,
    )
    return LabelledTexts(labelled.texts, labelled.targets, weights)


def checked_validation_texts(
    X_val: Any, y_val: Any, hierarchy: LabelHierarchy, sample_weight: Any
) -> LabelledTexts:
    """Check and encode an official validation set; errors say that they are about it.

    Parameters
    ----------
    X_val, y_val : object
        As `fit` takes them.
    hierarchy : LabelHierarchy
        L labels, in column order.
    sample_weight : array-like of shape (n,), optional
        The weights of the texts.

    Returns
    -------
    LabelledTexts

    Raises
    ------
    ValueError, TypeError
        If texts, labels or weights are not as described.
    """
    try:
        return checked_labelled_texts(
            checked_texts(X_val),
            y_val,
            hierarchy,
            sample_weight=sample_weight,
            name_of_weights="sample_weight_val",
        )
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"The validation set (X_val as X, y_val as y): {error}") from error
