"""Training that continues from a fitted classifier: `warm_start`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.network.transformer import TransformerEncoder
from skhimatch.scores.networks import NetworkScorer
from skhimatch.state import EpochRecord, FittedState

__all__ = ["check_same_labels", "start_from", "with_earlier_epochs"]


def check_same_labels(hierarchy: LabelHierarchy, before: FittedState) -> None:
    """Refuse to continue from a classifier of other labels.

    Parameters
    ----------
    hierarchy : LabelHierarchy
        The labels to train.
    before : FittedState
        What to continue from.

    Raises
    ------
    ValueError
        If labels, their order or their edges differ.
    """
    if hierarchy == before.hierarchy:
        return
    remedy = "Set warm_start=False to begin anew, or pass the hierarchy and the classes of the last fit."
    for names, others, what in (
        (hierarchy.labels, before.hierarchy.labels, "is new"),
        (before.hierarchy.labels, hierarchy.labels, "is missing"),
    ):
        different = _first_outside(names, others)
        if different is not None:
            raise ValueError(
                f"warm_start=True continues the last fit, which had other labels: {different!r} {what}. "
                f"{remedy}"
            )
    raise ValueError(
        "warm_start=True continues the last fit, which had the same labels in another order, or other edges. "
        f"{remedy}"
    )


def start_from(state: FittedState, before: FittedState) -> None:
    """Give untrained networks the weights of fitted ones, in place.

    Parameters
    ----------
    state : FittedState
        Its networks are untrained.
    before : FittedState
        What to continue from. It is not changed.

    Raises
    ------
    ValueError
        If a network has no counterpart with weights of the same shapes.
    """
    fitted = before.ensemble.networks
    for name, scorer in state.ensemble.networks.items():
        weights = fitted[name].network.state_dict() if name in fitted else {}
        wanted = scorer.network.state_dict()
        shapes, wanted_shapes = (
            {part: tensor.shape for part, tensor in each.items()} for each in (weights, wanted)
        )
        # Two pretrained encoders may be of the same shape.
        same_encoder = name in fitted and _encoder_name(fitted[name]) == _encoder_name(scorer)
        if shapes != wanted_shapes or not same_encoder:
            raise ValueError(
                f"warm_start=True continues the last fit, whose network {name!r} had other weights: set "
                "encoder, head, propagation, lexical and net_params as they were, or set warm_start=False to "
                "begin anew."
            )
        scorer.network.load_state_dict(weights)


def with_earlier_epochs(state: FittedState, before: FittedState) -> FittedState:
    """Put the epochs of the earlier fits in front of those of this one, and count on.

    Parameters
    ----------
    state : FittedState
        What was trained.
    before : FittedState
        What it was continued from.

    Returns
    -------
    FittedState
    """
    n_before = len(before.history)
    epochs: list[EpochRecord] = [
        epoch | {"epoch": n_before + number} for number, epoch in enumerate(state.history, start=1)
    ]
    return replace(state, history=(*before.history, *epochs))


def _encoder_name(scorer: NetworkScorer) -> str | None:
    """Return the name of a pretrained encoder; None for one of words."""
    encoder = scorer.network.text_encoder
    return encoder.name if isinstance(encoder, TransformerEncoder) else None


def _first_outside(names: Sequence[str], others: Sequence[str]) -> str | None:
    known = set(others)
    return next((name for name in names if name not in known), None)
