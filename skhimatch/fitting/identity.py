"""What the result of a fit depends on, by content: for checkpoints."""

from __future__ import annotations

from collections.abc import Mapping, Set
from os import PathLike
from pathlib import Path
from typing import Any

import joblib

import skhimatch
from skhimatch.fitting.labelled_texts import LabelledTexts
from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.parameters import Parameters
from skhimatch.storage.folder import digest_of_file

__all__ = ["identity_of_fit"]


def identity_of_fit(
    parameters: Parameters,
    hierarchy: LabelHierarchy,
    training: LabelledTexts,
    held_out: LabelledTexts | None,
) -> tuple[Any, ...]:
    """Return everything that the result of a fit depends on.

    Files count by their content: a path alone does not tell whether a file was changed.

    Parameters
    ----------
    parameters : Parameters
        The classifier's parameters.
    hierarchy : LabelHierarchy
        The labels, in column order.
    training, held_out : LabelledTexts or None
        The texts.

    Returns
    -------
    tuple
        Objects that joblib hashes equally in every process.
    """
    relevant = dict(vars(parameters))
    # These do not change the result, or are in the hierarchy already.
    for name in ("callbacks", "verbose", "hierarchy", "classes", "warm_start"):
        del relevant[name]
    pretrained = parameters.pretrained
    if pretrained is not None:
        relevant["encoder"] = pretrained.get_params()
        if Path(pretrained.name).is_dir():
            relevant["encoder files"] = _digest_of_folder(Path(pretrained.name))
    if isinstance(parameters.word_vectors, str | PathLike):
        relevant["word_vectors"] = digest_of_file(Path(parameters.word_vectors))
    labels = hierarchy.labels, hierarchy.edges, hierarchy.is_flat
    return skhimatch.__version__, _content(relevant), labels, training, held_out


def _content(value: Any) -> Any:
    """Return a value without sets, whose order depends on the process, and without other mappings."""
    if isinstance(value, Mapping):
        return {name: _content(part) for name, part in value.items()}
    if isinstance(value, Set):
        return "set", sorted(joblib.hash(_content(part)) for part in value)
    if isinstance(value, list | tuple):
        return [_content(part) for part in value]
    return str(value) if isinstance(value, PathLike) else value


def _digest_of_folder(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): digest_of_file(path) for path in files}
