"""Tokenisation with what was fitted."""

from __future__ import annotations

from typing import Any

from skhimatch.state import FittedState
from skhimatch.text.sequences import Texts, words_of

__all__ = ["checked_tokens", "tokenize", "tokenize_to_predict"]


def tokenize(texts: Any, state: FittedState) -> Texts:
    """Tokenise checked texts, as `fit` does: a frozen encoder stores their vectors.

    Parameters
    ----------
    texts : list of str, list of lists of str, TokenSequences or SubwordSequences
        The texts.
    state : FittedState
        Its tokenizer and vocabulary are used.

    Returns
    -------
    TokenSequences or SubwordSequences of shape (n,)

    Raises
    ------
    ValueError
        When ids are of another vocabulary, or texts come where the training texts came as ids.
    """
    return state.network.text_encoder.input_of(checked_tokens(texts, state))


def tokenize_to_predict(texts: Any, state: FittedState) -> Texts:
    """Tokenise checked texts for prediction: a frozen encoder stores their vectors only if it is set to.

    Parameters
    ----------
    texts, state : as for `tokenize`
        The texts, and what was fitted.

    Returns
    -------
    TokenSequences or SubwordSequences of shape (n,)

    Raises
    ------
    ValueError
        As `tokenize`.
    """
    return state.network.text_encoder.input_to_predict(checked_tokens(texts, state))


def checked_tokens(texts: Any, state: FittedState) -> Texts:
    """Tokenise checked texts with the fitted tokenizer, and check that its vocabulary is the fitted one.

    Parameters
    ----------
    texts, state : as for `tokenize`
        The texts, and what was fitted.

    Returns
    -------
    TokenSequences or SubwordSequences of shape (n,)
        What the scorers of words read, too.

    Raises
    ------
    ValueError
        As `tokenize`.
    """
    if not isinstance(texts, Texts):
        if state.tokenizer is None:
            raise ValueError(
                "The classifier was fitted on TokenSequences and got raw texts: tokenize them with the same "
                "fitted tokenizer, or put both in a Pipeline."
            )
        texts = state.tokenizer.transform(texts)
    texts = state.network.text_encoder.check_input(texts)
    if words_of(texts).vocabulary != state.vocabulary:
        raise ValueError(
            "X are TokenSequences over another vocabulary than in fit: use the tokenizer fitted then."
        )
    return texts
