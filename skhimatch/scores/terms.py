"""The log-odds of one label in one text as a sum of the scores of all labels, times weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

__all__ = ["Terms"]


@dataclass(frozen=True, eq=False)
class Terms:
    """What the log-odds of a label are the sum of.

    log-odds = sum over scores of (weights @ score) + constant, up to what is not linear.

    Attributes
    ----------
    weights : mapping of str to float64 ndarray of shape (L,)
        By the scorer's name: what the score of each label is multiplied by.
    constant : float
    rival : int or None
        If the label was chosen among paths: the position of the label at the end of the likeliest path
        without it. The sum is the difference of the two paths. None if there is no such path, or if no label
        at all is likelier.
    """

    weights: Mapping[str, NDArray[np.float64]]
    constant: float
    rival: int | None = None

    def scaled(self, slope: float, intercept: float) -> Terms:
        """Return the terms of slope * log-odds + intercept.

        Parameters
        ----------
        slope, intercept : float
            Of a linear calibration.

        Returns
        -------
        Terms
        """
        weights = {name: slope * of_labels for name, of_labels in self.weights.items()}
        return replace(self, weights=weights, constant=slope * self.constant + intercept)
