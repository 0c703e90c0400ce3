"""The labels of texts with their probabilities, as the command line writes them and the service answers."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skhimatch.classifier import HiMatchClassifier
from skhimatch.evaluation.decisions import check_k, highest
from skhimatch.report import top_down

__all__ = ["WantedLabels"]


@dataclass(frozen=True)
class WantedLabels:
    """Which labels of a text are wanted: the predicted ones, or the most probable ones.

    Attributes
    ----------
    top_k : int or None
        How many labels, the most probable first; None for the predicted ones, from the roots down.
    threshold : float or None
        The probability from which on labels are predicted; None for what the classifier has.

    Raises
    ------
    ValueError
        When both are given.
    """

    top_k: int | None = None
    threshold: float | None = None

    def __post_init__(self) -> None:
        if self.top_k is not None and self.threshold is not None:
            raise ValueError("top_k and threshold both say which labels are wanted: take one of them")

    def of(
        self, classifier: HiMatchClassifier, probabilities: NDArray[np.floating[Any]]
    ) -> Iterator[dict[str, float]]:
        """Yield the wanted labels of each text with their probabilities.

        Parameters
        ----------
        classifier : HiMatchClassifier
            The fitted classifier. Its parameters are not changed.
        probabilities : float ndarray of shape (n, L)
            As it predicted them.

        Returns
        -------
        iterator of n dict of str to float
            Rounded to six decimals.

        Raises
        ------
        ValueError
            When there are fewer labels than `top_k`, or the threshold is not in [0, 1].
        """
        if self.top_k is not None:
            check_k(self.top_k, len(classifier.classes_))
            columns = highest(probabilities, self.top_k)
            found = np.take_along_axis(probabilities, columns, axis=1).astype(float).round(6)
            for labels, values in zip(classifier.classes_[columns].tolist(), found.tolist(), strict=True):
                yield dict(zip(labels, values, strict=True))
            return
        if self.threshold is not None:
            # A copy has a threshold of its own, and shares all that was fitted.
            classifier = copy(classifier).set_params(threshold=self.threshold)
        yield from top_down(classifier.decide(probabilities), probabilities, classifier.hierarchy_)
