"""Labels that are added to a fitted state without training."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skhimatch.evaluation.decisions import DecisionRule
from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.labels.texts import LabelTexts, check_label_texts, label_words
from skhimatch.network.initial_vectors import label_word_ids
from skhimatch.network.predict import embed_labels
from skhimatch.scores.ensemble import Ensemble
from skhimatch.scores.networks import NetworkScorer
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
        Fitted.
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
    # A pretrained encoder knows something of any name.
    reads_words = not state.network.text_encoder.pretrained
    for label, word_ids in zip(new, words, strict=True):
        if reads_words and not word_ids and label not in with_edge:
            raise ValueError(
                f"Nothing is known of the label {label!r}: no training text has a word of its text, "
                "and no edge says where it belongs. Describe it in `label_texts`, or give it a parent."
            )
    described = LabelTexts(words, [" ".join(label_words(label, texts.get(label))) for label in new])
    networks = {
        name: scorer.with_labels(before, hierarchy, described)
        for name, scorer in state.ensemble.networks.items()
    }
    decision = state.decision.with_labels(hierarchy)
    return replace(
        state,
        hierarchy=hierarchy,
        ensemble=_ensemble_with(networks, state, decision, texts),
        decision=decision,
        label_embeddings=embed_labels(networks[state.network_name].network),
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
    networks: Mapping[str, NetworkScorer],
    state: FittedState,
    decision: DecisionRule,
    label_texts: Mapping[str, Any],
) -> Ensemble:
    """Return the ensemble with the extended networks; n-grams have no weights for new labels."""
    ensemble, hierarchy = state.ensemble, decision.hierarchy
    labels, names = ensemble.labels.with_labels(decision), ensemble.names
    ngrams, characters = (
        None if linear is None else linear.with_labels(len(hierarchy))
        for linear in (ensemble.ngrams, ensemble.characters)
    )
    return replace(
        ensemble,
        ngrams=ngrams,
        names=None if names is None else names.with_labels(hierarchy, state.vocabulary, label_texts),
        characters=characters,
        networks=networks,
        labels=labels,
        stacking=ensemble.stacking.with_labels(labels),
        calibration=None
        if ensemble.calibration is None
        else ensemble.calibration.with_labels(len(hierarchy)),
        score_offsets=_extended_by(np.mean, ensemble.score_offsets, len(hierarchy)),
        # The network shares one bias, so that the labels without texts have the lowest mean scores.
        mean_scores=_extended_by(np.min, ensemble.mean_scores, len(hierarchy)),
    )


def _extended_by(
    statistic: Callable[[NDArray[np.float32]], np.float32],
    of_labels: Mapping[str, NDArray[np.float32]] | None,
    n_labels: int,
) -> dict[str, NDArray[np.float32]] | None:
    """Give new labels a statistic over the numbers of the others, for each network."""
    if of_labels is None:
        return None
    return {
        name: np.concatenate([known, np.full(n_labels - len(known), statistic(known), dtype=np.float32)])
        for name, known in of_labels.items()
    }
