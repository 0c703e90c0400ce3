"""Which texts are not trained on, but choose weights and thresholds."""

from __future__ import annotations

import numpy as np

from skhimatch.fitting.labelled_texts import LabelledTexts
from skhimatch.labels import targets as label_targets
from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.parameters import Parameters

__all__ = ["hold_out"]

# All scores of the held-out texts are compared at once: at most 2^27 numbers, half a GiB for each scorer, but
# at least 1,000 texts. With 50,000 labels that is 2,684 texts.
MAX_HELD_OUT_NUMBERS, MIN_HELD_OUT = 2**27, 1000


def hold_out(
    parameters: Parameters,
    hierarchy: LabelHierarchy,
    training: LabelledTexts,
    validation: LabelledTexts | None,
    seed: int,
) -> tuple[LabelledTexts, LabelledTexts | None]:
    """Return the texts to train on, and those to validate on.

    Parameters
    ----------
    parameters : Parameters
        The classifier's parameters.
    hierarchy : LabelHierarchy
        L labels.
    training : LabelledTexts
        The training texts.
    validation : LabelledTexts or None
        An official validation set.
    seed : int
        Seeds the draws.

    Returns
    -------
    training : LabelledTexts
        Those that remain.
    held_out : LabelledTexts or None
        None if there are none.
    """
    max_texts = max(MIN_HELD_OUT, MAX_HELD_OUT_NUMBERS // len(hierarchy))
    rng = np.random.RandomState(seed)
    if validation is not None:
        if len(validation) > max_texts:
            validation = validation.pick(np.sort(rng.permutation(len(validation))[:max_texts]))
        return training, validation
    if parameters.validation_fraction == 0:
        return training, None
    fraction = min(parameters.validation_fraction, max_texts / len(training))
    kept, held_out = label_targets.hold_out(training.targets, fraction, rng)
    return training.pick(kept), training.pick(held_out) if len(held_out) else None
