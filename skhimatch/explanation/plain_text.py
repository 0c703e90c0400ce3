"""Explanations as plain text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skhimatch.explanation.results import (
        Evidence,
        ExplainedLabel,
        Explanation,
        LabelExplanation,
        ScoredText,
        Unread,
    )

__all__ = [
    "SHOWN",
    "SOURCES",
    "details_of",
    "heading_of",
    "heading_of_label",
    "joined",
    "lines_of_label",
    "remarks_of",
    "rows_of_sum",
    "sentence_of_changes",
    "sentence_of_unread",
    "shortened",
    "signed",
    "text_of_explanation",
    "text_of_label",
]

# How many words, n-grams and labels are shown in each line.
SHOWN = 6
# Effects below this are not shown.
SMALLEST = 0.005
# Characters of a text that are shown in a line.
WIDTH = 100
# What the sources are called.
SOURCES = {
    "ngrams": "n-grams of words",
    "characters": "characters",
    "names": "name of the label",
    "words": "network of words",
    "pretrained": "pretrained encoder",
    "meaning": "meaning of the name",
}


def text_of_explanation(explanation: Explanation) -> str:
    """Return an explanation as lines of plain text.

    Parameters
    ----------
    explanation : Explanation
        Of a text.

    Returns
    -------
    str
    """
    predicted = ", ".join(explanation.predicted) or "no label"
    lines = [f"Text: {shortened(explanation.text)}", f"Predicted: {predicted}"]
    lines += [sentence_of_unread(part) for part in explanation.unread]
    if explanation.changes:
        lines.append(sentence_of_changes(explanation))
    for explained in explanation.labels:
        lines += ["", *_lines_of(explained)]
    return "\n".join(lines)


def text_of_label(explanation: LabelExplanation) -> str:
    """Return the explanation of a label as lines of plain text.

    Parameters
    ----------
    explanation : LabelExplanation
        Of a label.

    Returns
    -------
    str
    """
    lines = [heading_of(explanation)]
    lines += [f"  {name}: {value}" for name, value in details_of(explanation)]
    for title, texts in (
        ("typical texts", explanation.typical),
        ("texts without the label, the most probable first", explanation.highest_false),
        ("texts with the label, the least probable first", explanation.lowest_true),
    ):
        if texts:
            lines += [f"  {title}:", *map(_line_of, texts)]
    return "\n".join(lines)


def heading_of(explanation: LabelExplanation) -> str:
    """Return the first line about a label.

    Parameters
    ----------
    explanation : LabelExplanation
        Of a label.

    Returns
    -------
    str
    """
    return f"{explanation.label}: level {explanation.level}, training texts: {explanation.n_texts:g}"


def details_of(explanation: LabelExplanation) -> Iterator[tuple[str, str]]:
    """Yield what is known of a label, with a name for each line.

    Parameters
    ----------
    explanation : LabelExplanation
        Of a label.

    Yields
    ------
    name, value : str
        Nothing is yielded for what is empty.
    """
    for name in ("parents", "children", "siblings"):
        labels = getattr(explanation, name)
        if labels:
            more = f" and {len(labels) - 3 * SHOWN} more" if len(labels) > 3 * SHOWN else ""
            yield name, ", ".join(labels[: 3 * SHOWN]) + more
    for name, ngrams in (
        ("words for it", explanation.ngrams),
        ("words against it", explanation.opposing_ngrams),
        ("characters for it", explanation.characters),
    ):
        if ngrams:
            yield name, joined((repr(part.ngram), part.weight) for part in ngrams)
    if explanation.neighbours:
        near = ", ".join(f"{part.label} {part.similarity:.2f}" for part in explanation.neighbours)
        yield f"neighbours ({explanation.compared_by})", near


def sentence_of_unread(unread: Unread) -> str:
    """Say which part of a text is not read.

    Parameters
    ----------
    unread : Unread
        What is not read.

    Returns
    -------
    str
    """
    sources = ", ".join(SOURCES[source] for source in unread.sources)
    return f"Only the first {unread.n_read:,} of {unread.n_tokens:,} {unread.unit} are read ({sources})."


def sentence_of_changes(explanation: Explanation) -> str:
    """Say which single words change the predicted labels.

    Parameters
    ----------
    explanation : Explanation
        Of a text.

    Returns
    -------
    str
    """
    parts = []
    for change in explanation.changes[:SHOWN]:
        signed = [f"-{label}" for label in change.lost] + [f"+{label}" for label in change.gained]
        parts.append(f"{change.word!r} ({', '.join(signed)})")
    more = len(explanation.changes) - SHOWN
    return (
        "Other labels without one of: " + ", ".join(parts) + (f", and {more} more words" if more > 0 else "")
    )


def joined(parts: Iterable[tuple[str, float]]) -> str:
    """Join words and signed numbers.

    Parameters
    ----------
    parts : iterable of (str, float)
        Words, n-grams or labels, and their numbers.

    Returns
    -------
    str

    Examples
    --------
    >>> joined([("wave", 1.234), ("the", -0.1)])
    'wave +1.23, the -0.10'
    """
    return ", ".join(f"{word} {signed(number)}" for word, number in parts)


def signed(number: float) -> str:
    """Return a number with its sign and two decimals.

    Parameters
    ----------
    number : float
        Any number.

    Returns
    -------
    str

    Examples
    --------
    >>> signed(1.234), signed(-0.001)
    ('+1.23', '+0.00')
    """
    # Not "-0.00".
    return f"{round(number, 2) + 0.0:+.2f}"


def shortened(text: str) -> str:
    """Return the beginning of a text in one line.

    Parameters
    ----------
    text : str
        Any text.

    Returns
    -------
    str
        At most 100 characters.
    """
    line = " ".join(text.split())
    return line if len(line) <= WIDTH else line[: WIDTH - 4] + " ..."


def heading_of_label(explained: ExplainedLabel) -> str:
    """Return the first line about a label of a text.

    Parameters
    ----------
    explained : ExplainedLabel
        Of a text and a label.

    Returns
    -------
    str
    """
    decided = "predicted" if explained.predicted else "not predicted"
    limit = "" if explained.threshold is None else f", threshold {explained.threshold:.2f}"
    return f"{explained.label}: probability {explained.probability:.3f}, {decided}{limit}"


def lines_of_label(explained: ExplainedLabel) -> Iterator[tuple[str, str]]:
    """Yield what is known of a label of a text, but for the evidence, with a name for each line.

    Parameters
    ----------
    explained : ExplainedLabel
        Of a text and a label.

    Yields
    ------
    name, value : str
        Nothing is yielded for what is empty.
    """
    speaking_for = [part for part in explained.words if part.effect >= SMALLEST][:SHOWN]
    against = [part for part in explained.words[::-1] if part.effect <= -SMALLEST][:SHOWN]
    if speaking_for:
        yield "words for it", joined((part.word, part.effect) for part in speaking_for)
    if against:
        yield "words against it", joined((part.word, part.effect) for part in against)
    if explained.changed_by:
        words = ", ".join(map(repr, explained.changed_by))
        yield ("not predicted without" if explained.predicted else "predicted without"), words
    if len(explained.siblings) > 1:
        shown = ", ".join(f"{part.label} {part.probability:.3f}" for part in explained.siblings[:SHOWN])
        rank = [part.label for part in explained.siblings].index(explained.label) + 1
        yield f"rank {rank} of {len(explained.siblings)} siblings", shown
    if explained.distance is not None:
        yield "distance in the joint space", f"{explained.distance:.3f}"


def remarks_of(evidence: Evidence) -> str:
    """Say what carried the score of a source.

    Parameters
    ----------
    evidence : Evidence
        Of a source.

    Returns
    -------
    str
        Empty if there is nothing to say.
    """
    if not evidence.scored:
        return "not scored: the label is not on the shortlist of the text"
    parts = []
    if evidence.ngrams:
        parts.append(joined((repr(part.ngram), part.contribution) for part in evidence.ngrams[:SHOWN]))
    if evidence.name_words:
        parts.append("in the text: " + ", ".join(evidence.name_words[:SHOWN]))
    if evidence.attention:
        attended = (f"{part.word!r} {part.weight:.0%}" for part in evidence.attention[:SHOWN])
        parts.append("attends to " + ", ".join(attended))
    return "; ".join(parts)


def rows_of_sum(explained: ExplainedLabel) -> Iterator[tuple[str, float, str]]:
    """Yield the parts of a label's log-odds, and their sum.

    Parameters
    ----------
    explained : ExplainedLabel
        Of a text and a label.

    Yields
    ------
    name : str
        Of the part.
    value : float
        What it adds.
    remark : str
        What carried it.
    """
    for evidence in explained.evidence:
        yield SOURCES[evidence.source], evidence.contribution, remarks_of(evidence)
    yield "constant", explained.constant, ""
    if abs(explained.adjustment) >= SMALLEST:
        yield "not linear", explained.adjustment, "other paths, limits of the parents, calibration"
    against = "" if explained.rival is None else f"compared with the path to {explained.rival}"
    yield "log-odds", explained.log_odds, against


def _lines_of(explained: ExplainedLabel) -> Iterator[str]:
    yield heading_of_label(explained)
    for name, value in lines_of_label(explained):
        yield f"  {name}: {value}"
    for name, number, remark in rows_of_sum(explained):
        yield f"  {name:<20} {signed(number):>7}  {remark}".rstrip()


def _line_of(text: ScoredText) -> str:
    decided = "" if text.predicted else " (not predicted)"
    return f"    {text.probability:.3f}{decided}  [{text.position}] {shortened(text.text)}"
