"""Explanations as HTML: self-contained, without scripts, with marked words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

from skhimatch.explanation.plain_text import (
    details_of,
    heading_of,
    heading_of_label,
    lines_of_label,
    rows_of_sum,
    sentence_of_changes,
    sentence_of_unread,
    signed,
)

if TYPE_CHECKING:
    from skhimatch.explanation.results import (
        ExplainedLabel,
        Explanation,
        LabelExplanation,
        ScoredText,
        WordEffect,
    )

__all__ = ["html_of_explanation", "html_of_label", "marked_text"]

# Colours of words that speak for a label and against it, which differ for the colour-blind, too.
FOR, AGAINST = "33, 120, 200", "220, 110, 20"
# The strongest colour: text has to remain readable on it.
MAX_OPACITY = 0.55
# Characters of a text in lists of texts.
MAX_CHARACTERS = 1_000
# Halves of characters, which no encoding of a file has, and control characters that HTML forbids.
_FORBIDDEN = re.compile("[\ud800-\udfff\x00-\x08\x0b\x0e-\x1f\x7f-\x9f]")
LEGEND = (
    f'<mark style="color:inherit;background:rgba({FOR}, 0.4)">These words</mark> speak for a label, '
    f'<mark style="color:inherit;background:rgba({AGAINST}, 0.4)">these</mark> against it.'
)
STYLE = "font-family:sans-serif;line-height:1.5;max-width:60em;color:#111;background:#fff;padding:.5em"
CELL = "text-align:left;vertical-align:top;padding:.1em .8em .1em 0"


def html_of_explanation(explanation: Explanation) -> str:
    """Return an explanation as one ``div`` element.

    Parameters
    ----------
    explanation : Explanation
        Of a text.

    Returns
    -------
    str
        All texts and names in it are escaped.
    """
    predicted = ", ".join(explanation.predicted) or "no label"
    parts = [f"<p><b>Predicted:</b> {_text(predicted)}</p>"]
    parts += [f"<p>{_text(sentence_of_unread(part))}</p>" for part in explanation.unread]
    if explanation.changes:
        parts.append(f"<p>{_text(sentence_of_changes(explanation))}</p>")
    if not explanation.labels:
        parts.append(f"<p>{_text(explanation.text)}</p>")
    if any(explained.words for explained in explanation.labels):
        parts.append(f"<p>{LEGEND}</p>")
    for number, explained in enumerate(explanation.labels):
        parts.append(_section(explained, explanation.text, opened=explained.predicted or number == 0))
    return _block(parts)


def html_of_label(explanation: LabelExplanation) -> str:
    """Return the explanation of a label as one ``div`` element.

    Parameters
    ----------
    explanation : LabelExplanation
        Of a label.

    Returns
    -------
    str
        All texts and names in it are escaped.
    """
    parts = [f"<p><b>{_text(heading_of(explanation))}</b></p>", _table(details_of(explanation))]
    for title, texts in (
        ("Typical texts", explanation.typical),
        ("Texts without the label, the most probable first", explanation.highest_false),
        ("Texts with the label, the least probable first", explanation.lowest_true),
    ):
        if texts:
            parts.append(f"<p><b>{title}</b></p><ul>{''.join(map(_item, texts))}</ul>")
    return _block(parts)


def marked_text(text: str, words: Sequence[WordEffect]) -> str:
    """Return a text with its words marked by their effects.

    Parameters
    ----------
    text : str
        The text.
    words : sequence of WordEffect
        Where words overlap, the one with the strongest effect is marked.

    Returns
    -------
    str
        Escaped, with ``mark`` elements.
    """
    strongest = max((abs(word.effect) for word in words), default=0.0)
    if not strongest:
        return _text(text)
    # The word to which each character belongs; weaker words are overwritten by stronger ones.
    owner: list[int | None] = [None] * len(text)
    order = sorted(range(len(words)), key=lambda number: abs(words[number].effect))
    for number in order:
        for start, end in words[number].places:
            owner[start:end] = [number] * (end - start)
    parts, start = [], 0
    for end in range(1, len(text) + 1):
        if end < len(text) and owner[end] == owner[start]:
            continue
        number_here = owner[start]
        part = _text(text[start:end])
        if number_here is not None:
            effect = words[number_here].effect
            opacity = MAX_OPACITY * abs(effect) / strongest
            if opacity >= 0.01:
                colour = FOR if effect > 0 else AGAINST
                part = (
                    f'<mark style="color:inherit;background:rgba({colour}, {opacity:.2f})" '
                    f'title="{signed(effect)}">{part}</mark>'
                )
        parts.append(part)
        start = end
    return "".join(parts)


def _section(explained: ExplainedLabel, text: str, *, opened: bool) -> str:
    rows = "".join(
        f'<tr><th style="{CELL}">{_text(name)}</th><td style="{CELL}">{signed(value)}</td>'
        f'<td style="{CELL}">{_text(remark)}</td></tr>'
        for name, value, remark in rows_of_sum(explained)
    )
    return (
        f'<details{" open" * opened} style="margin:.8em 0">'
        f"<summary><b>{_text(heading_of_label(explained))}</b></summary>"
        f'<p style="white-space:pre-wrap">{marked_text(text, explained.words)}</p>'
        f"{_table(lines_of_label(explained))}<table>{rows}</table></details>"
    )


def _table(rows: Iterable[tuple[str, str]]) -> str:
    cells = "".join(
        f'<tr><th style="{CELL}">{_text(name)}</th><td style="{CELL}">{_text(value)}</td></tr>'
        for name, value in rows
    )
    return f"<table>{cells}</table>"


def _item(text: ScoredText) -> str:
    shown = text.text if len(text.text) <= MAX_CHARACTERS else text.text[:MAX_CHARACTERS] + " ..."
    decided = "" if text.predicted else ", not predicted"
    return f"<li>{text.probability:.3f}{decided}, text {text.position}: {_text(shown)}</li>"


def _block(parts: Iterable[str]) -> str:
    return f'<div style="{STYLE}">{"".join(parts)}</div>'


def _text(text: str) -> str:
    """Escape a text, and replace what HTML cannot hold."""
    return escape(_FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text))
