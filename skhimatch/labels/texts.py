"""The words of labels: of their names, or of the texts that describe them."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["check_label_texts", "label_words"]


def check_label_texts(label_texts: Any) -> dict[str, str | list[str]]:
    """Check the texts that describe labels.

    Parameters
    ----------
    label_texts : mapping of str to str or iterable of str, or None
        None is as good as an empty one.

    Returns
    -------
    dict of str to str or list of str

    Raises
    ------
    TypeError
        If it is no mapping, a label is no string, or its text is neither a string nor several (named).

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
        several = text if isinstance(text, str) or not isinstance(text, Iterable) else list(text)
        fits = isinstance(several, str) or (
            isinstance(several, list) and all(isinstance(part, str) for part in several)
        )
        if not isinstance(label, str) or not fits:
            raise TypeError(
                f"label_texts has {label!r}: {text!r}; pass a string, or several, for the name of a label."
            )
        checked[label] = several
    return checked


def label_words(label: str, text: str | Iterable[str] | None = None) -> list[str]:
    """Cut the name of a label, or the text that describes it, into lower-case words.

    Parameters
    ----------
    label : str
        The name; camel case, underscores, dots, digits and punctuation separate words.
    text : str or iterable of str, optional
        The description, taken in place of the name.

    Returns
    -------
    list of str

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
