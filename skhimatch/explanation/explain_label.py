"""What a classifier knows of a label: n-grams, neighbours, its place, and typical and wrong texts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from skhimatch.evaluation.decisions import DecisionRule
from skhimatch.explanation.explain_text import siblings_of
from skhimatch.explanation.results import LabelExplanation, Neighbour, NGramWeight, ScoredText
from skhimatch.labels.missing import encode_known_targets
from skhimatch.scores.ngram_classifier import NGramClassifier
from skhimatch.scores.stacking import as_probabilities
from skhimatch.state import FittedState
from skhimatch.text.sequences import SubwordSequences, Texts, Vocabulary, words_of

__all__ = ["explain_label", "with_texts"]


def explain_label(label: str, state: FittedState, *, n_ngrams: int, joint_space: bool) -> LabelExplanation:
    """Explain a label, without texts.

    Parameters
    ----------
    label : str
        Its name.
    state : FittedState
        What was fitted.
    n_ngrams : int
        How many n-grams of each kind, and how many neighbours at most.
    joint_space : bool
        Whether a loss has trained the joint space.

    Returns
    -------
    LabelExplanation

    Raises
    ------
    ValueError
        If there is no such label; names a similar one.
    """
    hierarchy, ensemble = state.hierarchy, state.ensemble
    [position] = hierarchy.positions([label]).tolist()
    parents, children = hierarchy.parents[[position]].indices, hierarchy.children[[position]].indices

    def named(positions: NDArray[Any]) -> tuple[str, ...]:
        """Return the names of labels."""
        return tuple(hierarchy.labels[number] for number in positions.tolist())

    of_words = _ngrams(ensemble.ngrams, position, state.vocabulary)
    of_characters = _ngrams(ensemble.characters, position, state.vocabulary)
    vectors, compared_by = _vectors(state, joint_space=joint_space)
    return LabelExplanation(
        label=label,
        level=int(hierarchy.levels[position]),
        parents=named(parents),
        children=named(children),
        siblings=named(siblings_of(position, hierarchy)),
        n_texts=float(ensemble.labels.number[position]),
        ngrams=tuple(part for part in of_words[:n_ngrams] if part.weight > 0),
        opposing_ngrams=tuple(part for part in of_words[::-1][:n_ngrams] if part.weight < 0),
        characters=tuple(part for part in of_characters[:n_ngrams] if part.weight > 0),
        neighbours=() if vectors is None else _neighbours(vectors, position, hierarchy.labels, n_ngrams),
        compared_by=compared_by,
    )


def with_texts(
    explanation: LabelExplanation,
    texts: Any,
    y: Any,
    log_odds: NDArray[np.float32],
    state: FittedState,
    decision: DecisionRule,
    n_texts: int,
) -> LabelExplanation:
    """Return the explanation of a label with typical texts, and those that the classifier gets most wrong.

    Parameters
    ----------
    explanation : LabelExplanation
        Of the label.
    texts : list or Texts of n texts
        Checked texts.
    y : object
        Their labels, in any format that `fit` takes. Texts whose target is missing are left out.
    log_odds : float32 ndarray of shape (n, L)
        Of these texts.
    state : FittedState
        What was fitted.
    decision : DecisionRule
        As it is set now.
    n_texts : int
        How many texts of each kind.

    Returns
    -------
    LabelExplanation
    """
    known = encode_known_targets(y, state.hierarchy, len(texts))
    [position] = state.hierarchy.positions([explanation.label]).tolist()
    probabilities = as_probabilities(log_odds)
    predicted = decision(probabilities)[:, [position]].toarray()[:, 0]
    has_label = known.targets[:, [position]].toarray()[:, 0] > 0
    is_known = np.ones(len(texts), dtype=bool)
    if known.missing is not None:
        is_known = ~known.missing[:, [position]].toarray()[:, 0]
    of_label = probabilities[:, position]
    falling = np.argsort(-log_odds[:, position], kind="stable")

    def pick(order: NDArray[np.int64], wanted: NDArray[np.bool_]) -> tuple[ScoredText, ...]:
        """Return the first wanted texts in an order."""
        rows = order[wanted[order]][:n_texts].tolist()
        return tuple(
            ScoredText(row, _shown(texts, row), float(of_label[row]), bool(predicted[row])) for row in rows
        )

    return replace(
        explanation,
        typical=pick(falling, is_known & has_label),
        highest_false=pick(falling, is_known & ~has_label),
        lowest_true=pick(falling[::-1], is_known & has_label),
    )


def _ngrams(classifier: NGramClassifier | None, label: int, vocabulary: Vocabulary) -> list[NGramWeight]:
    """Return all n-grams that have a weight for a label, those that speak most for it first."""
    if classifier is None:
        return []
    features: Any = classifier.ngrams
    weights = classifier.weight[:, [label]].tocoo()
    strength = weights.data * features.idf[weights.row]
    order = np.argsort(-strength, kind="stable")
    readable = features.readable(weights.row[order].tolist(), vocabulary)
    return list(map(NGramWeight, readable, strength[order].tolist()))


def _vectors(state: FittedState, *, joint_space: bool) -> tuple[Any, str | None]:
    """Return a vector for each label, of shape (L, d), and what it is; None if there is none."""
    if joint_space or state.network.ranks_distances:
        return state.label_embeddings, "joint space"
    if state.ensemble.ngrams is not None:
        return sp.csr_array(state.ensemble.ngrams.weight.T), "n-grams"
    weight = getattr(getattr(state.network, "head", None), "weight", None)
    if weight is None:
        return None, None
    return weight.detach().cpu().numpy(), "network"


def _neighbours(vectors: Any, label: int, names: tuple[str, ...], number: int) -> tuple[Neighbour, ...]:
    """Return the labels whose vectors have the largest cosines with that of a label."""
    norms = np.sqrt(np.asarray((vectors * vectors).sum(axis=1), dtype=np.float64)).ravel()
    own = vectors[[label]]
    products = vectors @ own.T
    cosines = np.asarray(products.toarray() if sp.issparse(products) else products, dtype=np.float64)[:, 0]
    # A label without texts may have no weight at all.
    known = norms * norms[label] > 0
    cosines[known] /= (norms * norms[label])[known]
    order = np.argsort(-cosines, kind="stable")
    kept = order[known[order] & (order != label)][:number]
    return tuple(Neighbour(names[other], min(1.0, float(cosines[other]))) for other in kept.tolist())


def _shown(texts: Any, row: int) -> str:
    if isinstance(texts, Texts):
        words = texts.words if isinstance(texts, SubwordSequences) else words_of(texts)
        return " ".join(words.words(row))
    return texts[row] if isinstance(texts[row], str) else " ".join(texts[row])
