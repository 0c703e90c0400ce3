"""The words of labels, from their names or descriptions."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["LabelTexts", "check_label_texts", "label_words"]


@dataclass(frozen=True)
class LabelTexts:
    """What describes M labels.

    Attributes
    ----------
    words : sequence of M sequences of int
        The ids of the known words of each label's text.
    names : sequence of M str
        The texts themselves.
    """

    words: Sequence[Sequence[int]]
    names: Sequence[str]


def check_label_texts(label_texts: Any) -> dict[str, str | list[str]]:
    """Check the texts that describe labels.

    Parameters
    ----------
    label_texts : mapping of str to str or iterable of str, or None
        One text or several for some labels. None means an empty mapping.

    Returns
    -------
    dict of str to str or list of str
        The same texts.

    Raises
    ------
    TypeError
        If `label_texts` is not a mapping, a label is not a string, or its text is neither a string nor
        a collection of strings, or is an iterator. The message names the label.

    Examples
    --------
    >>> check_label_texts({"C15": ("companies", "firms")})
    {'C15': ['companies', 'firms']}
    """
    if label_texts is None:
        return {}
    if not isinstance(label_texts, Mapping):
        raise TypeError(
            f"label_texts is a {type(label_texts).__name__}; pass a mapping of labels to their texts: "
            "{'C15': 'performance of companies'}."
        )
    checked: dict[str, str | list[str]] = {}
    for label, text in label_texts.items():
        if isinstance(text, Iterator):
            raise TypeError(
                f"label_texts has an iterator for {label!r}, which can be read only once: pass a list."
            )
        value = text if isinstance(text, str) or not isinstance(text, Iterable) else list(text)
        is_valid = isinstance(value, str) or (
            isinstance(value, list) and all(isinstance(part, str) for part in value)
        )
        if not isinstance(label, str) or not is_valid:
            raise TypeError(
                f"label_texts has {label!r}: {text!r}; pass a string, or several in a list, for each label."
            )
        checked[label] = value
    return checked


def label_words(label: str, text: str | Iterable[str] | None = None) -> list[str]:
    """Split the name of a label, or its description, into lower-case words.

    Parameters
    ----------
    label : str
        The name. Camel case, underscores, dots, digits and punctuation separate words.
    text : str or iterable of str, optional
        The description. It replaces the name.

    Returns
    -------
    list of str
        The words.

    Examples
    --------
    >>> label_words("scipy.sparse_linalg.LinearOperator2D")
    ['scipy', 'sparse', 'linalg', 'linear', 'operator', 'd']
    >>> label_words("C15", "Performance of companies")
    ['performance', 'of', 'companies']
    """
    if text is None:
        text = label
    elif not isinstance(text, str):
        text = " ".join(text)
    without_possessives = re.sub(r"['’]s\b", "", text)
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", without_possessives)
    return [word.lower() for word in re.findall(r"[^\W\d_]+", apart)]
