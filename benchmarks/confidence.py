"""How certain a classifier is of texts that it can know, and of texts that it cannot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from skhimatch import HiMatchClassifier

__all__ = ["N_TEXTS", "confidence", "made_up_texts"]

# Texts of each kind.
N_TEXTS = 300
WORDS_OF_A_TEXT, LETTERS_OF_A_WORD = 12, 8


def confidence(
    classifier: HiMatchClassifier, texts: Sequence[str], others: Sequence[str], seed: int = 0
) -> dict[str, float]:
    """Return the mean probability of the likeliest leaf, for texts of three kinds.

    Parameters
    ----------
    classifier : HiMatchClassifier
        Fitted.
    texts : sequence of str
        Texts of the same corpus that it was not trained on.
    others : sequence of str
        Texts of another corpus.
    seed : int
        Seeds the made-up words.

    Returns
    -------
    dict of str to float
        For "own" texts, texts of "made_up" words, and texts of "another" corpus.
    """
    leaves = np.diff(classifier.hierarchy_.children.indptr) == 0
    kinds: dict[str, Any] = {"own": texts, "made_up": made_up_texts(N_TEXTS, seed), "another": others}
    return {
        kind: float(classifier.predict_proba(list(of_kind)[:N_TEXTS])[:, leaves].max(axis=1).mean())
        for kind, of_kind in kinds.items()
    }


def made_up_texts(number: int, seed: int) -> list[str]:
    """Return texts of random letters."""
    draws = np.random.RandomState(seed)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = letters[draws.randint(len(letters), size=(number, WORDS_OF_A_TEXT, LETTERS_OF_A_WORD))]
    return [" ".join("".join(word) for word in text) for text in words]
