"""Corpora in the json-lines format of HiAGM."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from skhimatch.datasets.corpus import Corpus
from skhimatch.datasets.json_lines import _json_object, _lines
from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.labels.taxonomy import read_taxonomy

__all__ = ["load_htc_json"]


def load_htc_json(folder: str | os.PathLike[str], name: str | None = None) -> Corpus:
    """Load a corpus in the json-lines format of HiAGM, with its split.

    Parameters
    ----------
    folder : path-like
        The folder with ``*_train.json``, ``*_val.json``, ``*_test.json`` and ``*.taxonomy`` (or
        ``*.taxnomy``, see `~skhimatch.read_taxonomy`). A line of a json file is an object with
        ``doc_token``, a text or a list of its words, and ``doc_label``, a list of labels. Each file may be
        compressed (``.gz``).
    name : str, optional
        The name of the corpus. By default the name of the folder.

    Returns
    -------
    Corpus
        The corpus.

    Raises
    ------
    FileNotFoundError
        If a file is missing.
    ValueError
        If a file exists twice, or a line is not such an object or has a label that is not in the
        taxonomy. The message names the file and the line.

    Examples
    --------
    >>> load_htc_json("wos")  # doctest: +SKIP
    <Corpus wos: 46,985 texts, 141 labels on 2 levels; train 30,070, validation 7,518, test 9,397>
    """
    folder = Path(folder)
    hierarchy = read_taxonomy(_only_file(folder, "*.taxonomy", "*.taxnomy"))
    texts: list[str] = []
    label_sets: list[frozenset[str]] = []
    splits = {}
    for part, suffix in (("train", "train"), ("validation", "val"), ("test", "test")):
        start = len(texts)
        for text, labels in _read_json_lines(_only_file(folder, f"*_{suffix}.json"), hierarchy):
            texts.append(text)
            label_sets.append(labels)
        splits[part] = np.arange(start, len(texts))
    return Corpus(name or folder.resolve().name, texts, label_sets, hierarchy, splits)


def _only_file(folder: Path, *patterns: str) -> Path:
    found = sorted(file for pattern in patterns for end in ("", ".gz") for file in folder.glob(pattern + end))
    wanted = " or ".join(patterns)
    if not found:
        raise FileNotFoundError(f"{folder} has no file {wanted}; add it.")
    if len(found) > 1:
        raise ValueError(f"{folder} has {len(found)} files {wanted}; keep one of them.")
    return found[0]


def _read_json_lines(path: Path, hierarchy: LabelHierarchy) -> Iterator[tuple[str, frozenset[str]]]:
    for number, line in _lines(path):
        if not line:
            continue
        entry = _json_object(line, ("doc_token", "doc_label"), f"Line {number} of {path}")
        text, labels = entry["doc_token"], entry["doc_label"]
        labels = frozenset([labels] if isinstance(labels, str) else labels)
        for label in sorted(labels):
            if label not in hierarchy:
                raise ValueError(
                    f"Line {number} of {path} has the label {label!r}, which is not in the taxonomy."
                )
        yield text if isinstance(text, str) else " ".join(text), labels
