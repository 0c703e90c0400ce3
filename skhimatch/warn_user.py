"""Warnings that name the user's line."""

from __future__ import annotations

import sys
import warnings

__all__ = ["warn_user"]

# Packages whose lines say nothing to the user: scikit-learn and joblib call an estimator's methods for the
# user, skorch the training loop, and all do so within context managers.
INTERNAL = {"skhimatch", "sklearn", "joblib", "skorch", "contextlib"}


def warn_user(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the line of the user's code that has called this package, directly or by scikit-learn.

    Parameters
    ----------
    message : str
        What is wrong, where, and what to do.
    category : class
        The kind of the warning.
    """
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in INTERNAL:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
