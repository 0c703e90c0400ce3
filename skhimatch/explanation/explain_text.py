"""Why a text gets its labels: the evidence, the words that count, and what would change the decision."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skhimatch.evaluation.decisions import DecisionRule
from skhimatch.explanation.left_out import LeftOut, words_that_decide
from skhimatch.explanation.read_text import ReadText, names_of_words, read_text
from skhimatch.explanation.results import (
    AttendedWord,
    DecisionChange,
    Evidence,
    ExplainedLabel,
    Explanation,
    LabelProbability,
    NGramContribution,
    Unread,
    WordEffect,
)
from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.network.base import Network
from skhimatch.network.predict import attention_of_text, distances_to_labels
from skhimatch.scores.ngram_classifier import NGramClassifier
from skhimatch.scores.stacking import as_probabilities
from skhimatch.state import FittedState
from skhimatch.text.sequences import SubwordSequences, Texts, words_of

__all__ = ["explain_text", "siblings_of"]


def explain_text(
    text: Any,
    state: FittedState,
    decision: DecisionRule,
    *,
    labels: Iterable[str] | None,
    n_others: int,
    joint_space: bool,
) -> Explanation:
    """Explain the labels of one text.

    Parameters
    ----------
    text : str, sequence of str, or TokenSequences of one text
        The text.
    state : FittedState
        With its networks on the device.
    decision : DecisionRule
        As it is set now.
    labels : iterable of str, optional
        The labels to explain. By default the predicted ones and the likeliest others.
    n_others : int
        How many others.
    joint_space : bool
        Whether a loss has trained the joint space.

    Returns
    -------
    Explanation

    Raises
    ------
    TypeError, ValueError
        If it is not one text that the classifier reads, or there is no such label.
    """
    read = read_text(text, state)
    ensemble, hierarchy = state.ensemble, state.hierarchy
    left_out = LeftOut(read, ensemble, decision)
    probabilities = as_probabilities(left_out.log_odds)
    predicted = hierarchy.top_down(np.flatnonzero(left_out.decided))
    if labels is None:
        likeliest = np.argsort(-probabilities, kind="stable")
        others = likeliest[~left_out.decided[likeliest]][:n_others]
        shown = np.concatenate([predicted, others]).astype(np.int64)
    else:
        shown = hierarchy.positions([labels] if isinstance(labels, str) else labels)
    tokens = read.without([[]])
    evidence = _Evidence(read, tokens, state, shown)
    distances = None
    if joint_space or state.network.ranks_distances:
        distances = distances_to_labels(state.network, tokens)[0]
    decisive = words_that_decide(left_out, shown, read, ensemble, decision)
    explained = []
    for place, label in enumerate(shown.tolist()):
        of_sources, constant, rival = evidence.of_label(place)
        log_odds = float(left_out.log_odds[label])
        explained.append(
            ExplainedLabel(
                label=hierarchy.labels[label],
                probability=float(probabilities[label]),
                log_odds=log_odds,
                predicted=bool(left_out.decided[label]),
                threshold=_threshold(decision, label),
                words=_word_effects(left_out, read, label),
                evidence=of_sources,
                constant=constant,
                adjustment=log_odds - constant - sum(part.contribution for part in of_sources),
                rival=None if rival is None else hierarchy.labels[rival],
                siblings=_standing(label, probabilities, hierarchy),
                distance=None if distances is None else float(distances[label]),
                changed_by=decisive[place],
            )
        )
    return Explanation(
        text=read.text,
        predicted=tuple(hierarchy.labels[label] for label in predicted.tolist()),
        labels=tuple(explained),
        changes=_changes(left_out, hierarchy),
        n_words=read.n_words,
        unread=_unread(read, tokens, state),
    )


def siblings_of(label: int, hierarchy: LabelHierarchy) -> NDArray[np.int64]:
    """Return the other labels under the same parents, ascending; for a root the other roots.

    Parameters
    ----------
    label : int
        The position of the label.
    hierarchy : LabelHierarchy
        L labels; in a flat one all are roots.

    Returns
    -------
    int64 ndarray

    Examples
    --------
    >>> siblings_of(0, LabelHierarchy.flat(["a", "b", "c"]))
    array([1, 2])
    """
    parents = hierarchy.parents[[label]].indices
    together = hierarchy.children[parents].indices if len(parents) else hierarchy.roots
    return np.setdiff1d(together, [label]).astype(np.int64)


class _Evidence:
    """What each source says of some labels of a text."""

    def __init__(self, read: ReadText, tokens: Texts, state: FittedState, labels: NDArray[np.int64]) -> None:
        ensemble = state.ensemble
        self.state, self.ensemble, self.labels = state, ensemble, labels
        self.words, self.names = words_of(tokens), names_of_words(words_of(tokens))
        scores = ensemble.scores(tokens)
        self.scores = ensemble.without_offsets(scores)
        shortlist = ensemble.shortlist_by(scores)
        self.shortlist = None if shortlist is None else shortlist[0]
        different, self.row = np.unique(labels, return_inverse=True)
        self.attention: dict[str, list[tuple[AttendedWord, ...]]] = {}
        for name, scorer in ensemble.networks.items():
            if scorer.network.attends and len(different):
                self.attention[name] = _attention(scorer.network, read, tokens, different)

    def of_label(self, place: int) -> tuple[tuple[Evidence, ...], float, int | None]:
        """Return the evidence of the label at a place, the constant, and the label to compare with."""
        label = int(self.labels[place])
        terms = self.ensemble.terms(self.scores, label)
        found = []
        for source, weights in terms.weights.items():
            scored = self._scored(source, label)
            attention: tuple[AttendedWord, ...] = ()
            if scored and source in self.attention:
                attention = self.attention[source][int(self.row[place])]
            ngrams, bias = self._ngrams(source, weights)
            found.append(
                Evidence(
                    source=source,
                    score=float(self.scores[source][0, label]),
                    contribution=float(weights @ self.scores[source][0].astype(np.float64)),
                    scored=scored,
                    ngrams=ngrams,
                    bias=bias,
                    attention=attention,
                    name_words=self._words_of_name(label) if source == "names" else (),
                )
            )
        return tuple(found), terms.constant, terms.rival

    def _scored(self, source: str, label: int) -> bool:
        """Whether a source scores the label of this text: a network leaves out those off the shortlist."""
        if self.shortlist is None or label in self.shortlist:
            return True
        # The meanings of labels are scored by the network on the pretrained encoder.
        scorer = self.ensemble.networks.get("pretrained" if source == "meaning" else source)
        return scorer is None or not scorer.uses_shortlist

    def _ngrams(
        self, source: str, weights: NDArray[np.float64]
    ) -> tuple[tuple[NGramContribution, ...], float]:
        classifier: NGramClassifier | None = None
        if source in ("ngrams", "characters"):
            classifier = self.ensemble.ngrams if source == "ngrams" else self.ensemble.characters
        if classifier is None:
            return (), 0.0
        found = classifier.contributions(self.words, weights)
        found.eliminate_zeros()
        order = np.argsort(-np.abs(found.data), kind="stable")
        readable = classifier.ngrams.readable(found.indices[order].tolist(), self.words.vocabulary)
        ngrams = map(NGramContribution, readable, found.data[order].tolist())
        return tuple(ngrams), float(weights @ classifier.bias)

    def _words_of_name(self, label: int) -> tuple[str, ...]:
        if self.ensemble.names is None:
            return ()
        found = self.ensemble.names.words_of_name(self.words, label)
        return tuple(dict.fromkeys(self.names[position] for position in found.tolist()))


def _attention(
    network: Network, read: ReadText, tokens: Texts, labels: NDArray[np.int64]
) -> list[tuple[AttendedWord, ...]]:
    """Return how much each of some labels attends to the words of a text."""
    weights = attention_of_text(network, tokens, labels)
    pretrained = network.text_encoder.pretrained
    length = int(tokens.lengths[0]) if pretrained else int(words_of(tokens).lengths[0])
    limit = network.text_encoder.tokens_read(network.max_length)
    of_state = network.text_encoder.token_of_states(length if limit is None else min(length, limit))
    names = _names_of_subwords(read, tokens) if pretrained else names_of_words(words_of(tokens))
    attended = []
    for row in weights:
        total: dict[str, float] = {}
        for weight, token in zip(row.tolist(), of_state.tolist(), strict=False):
            name = "" if token < 0 else names[token]
            if name:
                total[name] = total.get(name, 0.0) + weight
        ordered = sorted(total.items(), key=lambda item: -item[1])
        attended.append(tuple(AttendedWord(word, weight) for word, weight in ordered))
    return attended


def _names_of_subwords(read: ReadText, tokens: Texts) -> list[str]:
    """Return the word of each subword, "" for a sign between words; the subwords if places are unknown."""
    assert isinstance(tokens, SubwordSequences)
    places = read.places_of_subwords()
    if places is None:
        return tokens.subwords.words(0)
    starts = np.array([start for start, _ in read.places], dtype=np.int64)
    names = []
    for start, end in places:
        # Some tokenizers count the space before a word to its first subword.
        word = int(np.searchsorted(starts, max(start, end - 1), side="right")) - 1
        inside = word >= 0 and start < read.places[word][1]
        names.append(read.words[word] if inside else "")
    return names


def _word_effects(left_out: LeftOut, read: ReadText, label: int) -> tuple[WordEffect, ...]:
    effects = left_out.effects[:, label]
    return tuple(
        WordEffect(
            left_out.words[number],
            float(effects[number]),
            tuple(read.places[position] for position in left_out.positions[number]),
        )
        for number in np.argsort(-effects, kind="stable").tolist()
    )


def _changes(left_out: LeftOut, hierarchy: LabelHierarchy) -> tuple[DecisionChange, ...]:
    """Return the single words without which other labels are predicted."""
    found = []
    before = set(np.flatnonzero(left_out.decided).tolist())
    for number, word in enumerate(left_out.words):
        after = set(left_out.decided_without[[number]].indices.tolist())
        if after != before:
            lost, gained = (
                hierarchy.top_down(np.array(sorted(part), dtype=np.int64)).tolist()
                for part in (before - after, after - before)
            )
            names = (tuple(hierarchy.labels[label] for label in part) for part in (lost, gained))
            found.append(DecisionChange(word, *names))
    return tuple(found)


def _standing(
    label: int, probabilities: NDArray[np.float32], hierarchy: LabelHierarchy
) -> tuple[LabelProbability, ...]:
    family = np.append(siblings_of(label, hierarchy), label)
    order = family[np.argsort(-probabilities[family], kind="stable")]
    return tuple(
        LabelProbability(hierarchy.labels[member], float(probabilities[member])) for member in order.tolist()
    )


def _threshold(decision: DecisionRule, label: int) -> float | None:
    if decision.ends is not None or decision.n_labels is not None:
        return None
    return float(np.broadcast_to(decision.threshold, len(decision.hierarchy))[label])


def _unread(read: ReadText, tokens: Texts, state: FittedState) -> tuple[Unread, ...]:
    """Return which parts of a text are not read."""
    found = []
    of_words = [name for name in state.ensemble.stacking.weights if name in ("ngrams", "characters", "names")]
    if len(read.words) < read.n_words:
        if "words" in state.ensemble.networks:
            of_words.append("words")
        if of_words:
            found.append(Unread(tuple(of_words), len(read.words), read.n_words, "words", _behind(read)))
    for name, scorer in state.ensemble.networks.items():
        network = scorer.network
        limit = network.text_encoder.tokens_read(network.max_length)
        if network.text_encoder.pretrained:
            places, n_tokens, unit = read.places_of_subwords(), int(tokens.lengths[0]), "subwords"
        else:
            places, n_tokens, unit = list(read.places), int(words_of(tokens).lengths[0]), "words"
        if limit is not None and n_tokens > limit:
            start = places[limit][0] if places is not None and limit < len(places) else None
            found.append(Unread((name,), limit, n_tokens, unit, start))
    return tuple(found)


def _behind(read: ReadText) -> int | None:
    """Return where the words behind those that are read begin, or a little before."""
    return read.places[-1][1] if read.places else None
