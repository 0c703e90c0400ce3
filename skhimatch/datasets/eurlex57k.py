"""EURLEX57K: documents of European law, tagged with EUROVOC concepts."""

import lzma
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from skhimatch.datasets.corpus import Corpus
from skhimatch.datasets.json_lines import _checked_entry, _json_object
from skhimatch.labels.hierarchy import LabelHierarchy

__all__ = ["load_eurlex57k"]


def load_eurlex57k(path: str | os.PathLike[str]) -> Corpus:
    """Load EURLEX57K (Chalkidis et al. 2019): laws of the European Union and their EUROVOC concepts.

    Parameters
    ----------
    path : path-like
        The folder ``EURLEX57K`` with ``train/*.json``, ``dev/*.json``, ``test/*.json`` and the concepts,
        ``EURLEX57K.json``; or its ``.tar.xz`` archive, which is read without unpacking it.

    Returns
    -------
    Corpus
        A text is the header, recitals, main body and attachments of a document. Its labels are the
        concepts of the document, without their ancestors. Documents are in the order of their file
        names. The hierarchy is restricted to the concepts of at least one document, and `label_texts`
        are their names.

    Raises
    ------
    FileNotFoundError
        If the path does not exist, or a part or the concepts are missing.
    ValueError
        If the archive is incomplete or damaged, a file is not as described, a document has an unknown
        concept, or a concept has an unknown parent. The message names the file.

    Examples
    --------
    >>> load_eurlex57k("EURLEX57K.tar.xz")  # doctest: +SKIP
    <Corpus eurlex57k: 57,000 texts, 4,271 labels on 6 levels; train 45,000, validation 6,000, test 6,000>
    """
    path = Path(path)
    concepts: dict[str, Any] = {}
    documents: dict[str, dict[str, tuple[str, frozenset[str]]]] = {"train": {}, "dev": {}, "test": {}}
    for file, content in _eurlex_files(path):
        if file.name == "EURLEX57K.json":
            concepts = _read_eurlex_concepts(content)
        elif file.parent.name in documents and file.suffix == ".json":
            documents[file.parent.name][file.name] = _read_eurlex_document(file, content)
    if not concepts:
        raise FileNotFoundError(f"{path} lacks EURLEX57K.json, the concepts; download it again.")
    texts: list[str] = []
    label_sets: list[frozenset[str]] = []
    splits = {}
    for part, folder in (("train", "train"), ("validation", "dev"), ("test", "test")):
        if not documents[folder]:
            raise FileNotFoundError(f"{path} lacks {folder}/*.json, the documents; download it again.")
        start = len(texts)
        for name, (text, labels) in sorted(documents[folder].items()):
            for label in sorted(labels):
                if label not in concepts:
                    raise ValueError(f"{folder}/{name} has the concept {label!r}; EURLEX57K.json lacks it.")
            texts.append(text)
            label_sets.append(labels)
        splits[part] = np.arange(start, len(texts))
    tagged = sorted(frozenset().union(*label_sets))
    edges = [(parent, label) for label, concept in concepts.items() for parent in concept["parents"]]
    try:
        hierarchy = LabelHierarchy(edges, list(concepts)).restrict(tagged)
    except ValueError as error:
        raise ValueError(f"The concepts in EURLEX57K.json: {error}") from None
    label_texts = {label: [concepts[label]["label"], *concepts[label]["alt_labels"]] for label in tagged}
    return Corpus("eurlex57k", texts, label_sets, hierarchy, splits, label_texts)


def _eurlex_files(path: Path) -> Iterator[tuple[PurePosixPath, bytes]]:
    if path.is_dir():
        for file in path.rglob("*.json"):
            yield PurePosixPath(file.relative_to(path).as_posix()), file.read_bytes()
        return
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; pass the folder EURLEX57K or its .tar.xz archive.")
    try:
        # tarfile's own "r|xz" does not notice that an archive ends between two files.
        with lzma.open(path) as unpacked, tarfile.open(fileobj=unpacked, mode="r|") as archive:
            for member in archive:
                content = archive.extractfile(member) if member.isfile() else None
                if content is not None:
                    yield PurePosixPath(member.name), content.read()
    except EOFError as error:
        raise ValueError(f"The archive {path} is incomplete; download it again.") from error
    except (lzma.LZMAError, tarfile.ReadError) as error:
        raise ValueError(
            f"{path} is damaged, or not a .tar.xz archive ({error}); download it again."
        ) from error


def _read_eurlex_concepts(content: bytes) -> dict[str, Any]:
    concepts = _json_object(content, (), "EURLEX57K.json")
    for label, concept in concepts.items():
        place = f"The concept {label!r} in EURLEX57K.json"
        for parent in _checked_entry(concept, ("label", "alt_labels", "parents"), place)["parents"]:
            if parent not in concepts:
                raise ValueError(f"{place} has the parent {parent!r}, which is not among the concepts.")
    return concepts


def _read_eurlex_document(file: PurePosixPath, content: bytes) -> tuple[str, frozenset[str]]:
    sections = ("header", "recitals", "main_body", "attachments")
    entry = _json_object(content, (*sections, "concepts"), str(file))
    parts = [entry[section] for section in sections]
    text = "\n".join(part if isinstance(part, str) else "\n".join(part) for part in parts)
    return text, frozenset(entry["concepts"])
