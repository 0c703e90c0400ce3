"""The Reuters news of RCV1-V2."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from skhimatch.datasets.corpus import Corpus
from skhimatch.datasets.json_lines import _lines
from skhimatch.labels.hierarchy import LabelHierarchy

__all__ = ["load_rcv1"]

TOKENS = ("lyrl2004_tokens_train.dat", *(f"lyrl2004_tokens_test_pt{part}.dat" for part in range(4)))
TOPICS, HIERARCHY = "rcv1-v2.topics.qrels", "rcv1.topics.hier.orig"
_EDGE = re.compile(r"parent:\s*(\S+)\s+child:\s*(\S+)\s+child-description:\s*(.*)")
# The name of the node above all topics, and of the node above that one.
ROOT, NOTHING = "Root", "None"
# A tenth of the published training part validates.
VALIDATION_FRACTION = 0.1


def load_rcv1(folder: str | os.PathLike[str]) -> Corpus:
    """Load RCV1-V2 (Lewis et al. 2004) from the files of its online appendix.

    Parameters
    ----------
    folder : path-like
        The folder with ``lyrl2004_tokens_train.dat`` and ``lyrl2004_tokens_test_pt0.dat`` to ``pt3``
        (appendix 12), the stemmed words of the texts; ``rcv1-v2.topics.qrels`` (appendix 8), their topics;
        and ``rcv1.topics.hier.orig`` (appendix 2), the hierarchy. Each may be compressed (``.gz``).

    Returns
    -------
    Corpus
        The published split: 23,149 texts for training, of which a tenth, drawn with seed 7, is for
        validation, and 781,265 for testing. The descriptions of the topics are `label_texts`.

    Raises
    ------
    FileNotFoundError
        If a file is missing.
    ValueError
        If a line is not as described, a text has no topic, or a topic is not in the hierarchy. The message
        names the file, and the line or the text.

    Examples
    --------
    >>> load_rcv1("RCV1-V2")  # doctest: +SKIP
    <Corpus rcv1: 804,414 texts, 103 labels on 4 levels; train 20,835, validation 2,314, test 781,265>
    """
    folder = Path(folder)
    edges, label_texts = _read_hierarchy(_file(folder, HIERARCHY))
    hierarchy = LabelHierarchy(
        [(parent, child) for parent, child in edges if parent != ROOT],
        sorted({child for _, child in edges}),
    )
    topics = _read_topics(_file(folder, TOPICS), hierarchy)
    texts: list[str] = []
    label_sets: list[frozenset[str]] = []
    sizes = []
    for name in TOKENS:
        path = _file(folder, name)
        before = len(texts)
        for number, text in _read_tokens(path):
            if number not in topics:
                raise ValueError(f"{path}: text {number} has no topic in {TOPICS}; get both of one version.")
            texts.append(text)
            label_sets.append(frozenset(topics[number]))
        sizes.append(len(texts) - before)
    rows = np.arange(len(texts))
    n_train = sizes[0]
    drawn = np.random.RandomState(7).permutation(n_train)
    n_validation = int(VALIDATION_FRACTION * n_train)
    splits = {
        "train": np.sort(drawn[n_validation:]),
        "validation": np.sort(drawn[:n_validation]),
        "test": rows[n_train:],
    }
    return Corpus("rcv1", texts, label_sets, hierarchy, splits, label_texts)


def _file(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.exists():
            return path
    raise FileNotFoundError(
        f"{folder} has neither {name} nor {name}.gz; get it from the appendix of RCV1-V2."
    )


def _read_hierarchy(path: Path) -> tuple[list[tuple[str, str]], dict[str, list[str]]]:
    """Return the edges (parent, child), and the description of each topic."""
    edges, descriptions = [], {}
    for number, line in _lines(path):
        if not line.strip():
            continue
        found = _EDGE.fullmatch(line.strip())
        if found is None:
            raise ValueError(
                f"Line {number} of {path} is not 'parent: P child: C child-description: D': {line[:80]!r}."
            )
        parent, child, description = found.groups()
        if parent != NOTHING:
            edges.append((parent, child))
            descriptions[child] = [description.strip()]
    return edges, descriptions


def _read_topics(path: Path, hierarchy: LabelHierarchy) -> dict[str, set[str]]:
    """Return the topics of each text, by the text's number."""
    topics: dict[str, set[str]] = {}
    for number, line in _lines(path):
        if not line.strip():
            continue
        fields = line.split()
        if len(fields) != 3:
            raise ValueError(f"Line {number} of {path} has {len(fields)} fields, not 3: topic, text, 1.")
        if fields[0] not in hierarchy:
            raise ValueError(f"Line {number} of {path}: the topic {fields[0]!r} is not in {HIERARCHY}.")
        topics.setdefault(fields[1], set()).add(fields[0])
    return topics


def _read_tokens(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the number and the words of each text: lines ``.I number``, ``.W``, and lines of words."""
    text_number = ""
    words: list[str] = []
    for number, line in _lines(path):
        if line.startswith(".I"):
            if text_number:
                yield text_number, " ".join(words)
            text_number, words = line[2:].strip(), []
            if not text_number:
                raise ValueError(f"Line {number} of {path} has no number of a text behind '.I'.")
        elif not text_number and line.strip():
            raise ValueError(f"Line {number} of {path} is {line[:40]!r}; a text begins with '.I number'.")
        elif line.strip() != ".W":
            words += line.split()
    if text_number:
        yield text_number, " ".join(words)
