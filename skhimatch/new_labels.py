"""Labels that are added to a fitted state without training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.labels.texts import check_label_texts
from skhimatch.network.initial_vectors import label_word_ids
from skhimatch.network.predict import embed_labels
from skhimatch.scores.ensemble import Ensemble
from skhimatch.scores.networks import NetworkScorer
from skhimatch.scores.stacking import StackingWeights
from skhimatch.state import FittedState

__all__ = ["with_labels"]


def with_labels(
    state: FittedState,
    edges: Iterable[tuple[str, str]] = (),
    label_texts: Mapping[str, str | Iterable[str]] | None = None,
) -> FittedState:
    """Return a state with more labels.

    Parameters
    ----------
    state : FittedState
        With the dot head.
    edges : iterable of (parent, child)
        Where the new labels belong; parents may be new as well.
    label_texts : mapping of str to str or iterable of str, optional
        Texts that describe new labels, in place of their names.

    Returns
    -------
    FittedState

    Raises
    ------
    ValueError
        As `HiMatchClassifier.add_labels`.
    """
    before, edges, texts = state.hierarchy, list(edges), check_label_texts(label_texts)
    hierarchy = _extended(before, edges, texts)
    new = hierarchy.labels[len(before) :]
    words = label_word_ids(new, texts, state.vocabulary)
    with_edge = {label for edge in edges for label in edge}
    for label, word_ids in zip(new, words, strict=True):
        if not word_ids and label not in with_edge:
            raise ValueError(
                f"Nothing is known of the label {label!r}: no training text has a word of its text, "
                "and no edge says where it belongs. Describe it in `label_texts`, or give it a parent."
            )
    scorer = state.ensemble.networks[state.network_name].with_labels(before, hierarchy, words)
    return replace(
        state,
        hierarchy=hierarchy,
        ensemble=_ensemble_with(scorer, state, hierarchy, texts),
        decision=state.decision.with_labels(hierarchy),
        label_embeddings=embed_labels(scorer.network),
    )


def _extended(
    before: LabelHierarchy, edges: list[tuple[str, str]], label_texts: Mapping[str, Any]
) -> LabelHierarchy:
    """Return the hierarchy with the new labels behind the others, sorted."""
    known = set(before.labels)
    for label in label_texts:
        if label in known:
            raise ValueError(f"label_texts has the label {label!r}, which is known already: leave it out.")
    # Checks the edges, too.
    named = LabelHierarchy(edges).labels if edges else ()
    new = sorted({*named, *label_texts} - known)
    if not new:
        raise ValueError("There is no new label: neither `edges` nor `label_texts` names one.")
    labels = [*before.labels, *new]
    if before.is_flat and not edges:
        return LabelHierarchy.flat(labels)
    pairs = [(before.labels[parent], before.labels[child]) for parent, child in before.edges.tolist()]
    return LabelHierarchy([*pairs, *edges], labels)


def _ensemble_with(
    scorer: NetworkScorer, state: FittedState, hierarchy: LabelHierarchy, label_texts: Mapping[str, Any]
) -> Ensemble:
    """Return the ensemble with the extended network; n-grams have no weights for new labels."""
    ensemble = state.ensemble
    ngrams, names, offsets = ensemble.ngrams, ensemble.names, ensemble.score_offsets
    if offsets is not None:
        n_new = len(hierarchy) - len(state.hierarchy)
        offsets = {
            name: np.concatenate([known, np.full(n_new, known.mean(), dtype=np.float32)])
            for name, known in offsets.items()
        }
    means = ensemble.mean_scores
    if means is not None:
        # The network shares one bias, so that the labels without texts have the lowest mean scores.
        n_new = len(hierarchy) - len(state.hierarchy)
        means = {
            name: np.concatenate([known, np.full(n_new, known.min(), dtype=np.float32)])
            for name, known in means.items()
        }
    labels, stacking = ensemble.labels.with_labels(hierarchy), ensemble.stacking
    if isinstance(stacking, StackingWeights):
        stacking = stacking.with_frequency(labels.frequency)
    elif labels.paths is not None:
        stacking = stacking.with_paths(labels.paths)
    characters = ensemble.characters
    return replace(
        ensemble,
        labels=labels,
        stacking=stacking,
        characters=None if characters is None else characters.with_labels(len(hierarchy)),
        networks=dict(ensemble.networks) | {state.network_name: scorer},
        ngrams=None if ngrams is None else ngrams.with_labels(len(hierarchy)),
        names=None if names is None else names.with_labels(hierarchy, state.vocabulary, label_texts),
        score_offsets=offsets,
        mean_scores=means,
    )
