"""Which texts are not trained on, but choose weights and thresholds."""

from __future__ import annotations

import numpy as np

from skhimatch.fitting.labelled_texts import LabelledTexts
from skhimatch.labels import targets as label_targets
from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.parameters import Parameters
from skhimatch.scores.stacking import MAX_PAIRS

__all__ = ["hold_out", "parts_to_cross_fit"]

# All scores of the held-out texts are compared at once: at most 2^27 numbers, half a GiB for each scorer, but
# at least 1,000 texts. With 50,000 labels that is 2,684 texts.
MAX_HELD_OUT_NUMBERS, MIN_HELD_OUT = 2**27, 1000
# validation_fraction="auto": up to this many texts are cross-fitted, in this many parts. Fewer parts take
# less time. On 20 Newsgroups with 1,000 texts beside 250 official ones, cross-fitting adds 1.2 points of
# micro-F1 and 1.8 of macro-F1, on GermEval with 1,455 texts 0.3 and 1.4.
PARTS_UP_TO: dict[int, int] = {300: 5, 1000: 3, 2000: 2}
# From fewer texts nothing can be learned but the scorers; weights and threshold are the default ones.
MIN_TEXTS = 20
# Otherwise a tenth of the texts is held out, or more if that is fewer texts than are enough.
FRACTION, MAX_FRACTION, ENOUGH_HELD_OUT = 0.1, 0.2, 500


def parts_to_cross_fit(
    parameters: Parameters, training: LabelledTexts, validation: LabelledTexts | None
) -> int:
    """Choose the number of parts for cross-fitting.

    Parameters
    ----------
    parameters : Parameters
        The classifier's parameters.
    training : LabelledTexts
        The training texts.
    validation : LabelledTexts or None
        An official validation set.

    Returns
    -------
    int
        0 for no cross-fitting: because there are too many texts or too few, or enough held-out texts; because
        a pretrained encoder is trained, which takes long; or because callbacks may need held-out texts.
    """
    pretrained = parameters.pretrained
    n_texts, n_labels = training.targets.shape
    if (
        not isinstance(parameters.validation_fraction, str)
        or n_texts < MIN_TEXTS
        or n_texts * n_labels > MAX_PAIRS
        or (pretrained is not None and pretrained.freeze != "all")
        or (validation is not None and len(validation) >= ENOUGH_HELD_OUT)
        or parameters.callbacks
    ):
        return 0
    return next((parts for most, parts in PARTS_UP_TO.items() if n_texts <= most), 0)


def hold_out(
    parameters: Parameters,
    hierarchy: LabelHierarchy,
    training: LabelledTexts,
    validation: LabelledTexts | None,
    n_parts: int,
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
    n_parts : int
        As `parts_to_cross_fit` chose it. With cross-fitting, nothing is held out.
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
    if parameters.validation_fraction == 0 or n_parts:
        return training, None
    fraction = parameters.validation_fraction
    if isinstance(fraction, str):
        if len(training) < MIN_TEXTS:
            return training, None
        fraction = min(MAX_FRACTION, max(FRACTION, ENOUGH_HELD_OUT / len(training)))
    fraction = min(fraction, max_texts / len(training))
    kept, held_out = label_targets.hold_out(training.targets, fraction, rng)
    return training.pick(kept), training.pick(held_out) if len(held_out) else None
