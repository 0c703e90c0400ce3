"""Hierarchical text classification by label-semantics matching, for scikit-learn."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skhimatch.classifier import HiMatchClassifier
    from skhimatch.export.reader import OnnxClassifier
    from skhimatch.labels.formats import as_hierarchy, hierarchy_from_paths
    from skhimatch.labels.hierarchy import LabelHierarchy
    from skhimatch.labels.paths import labels_from_levels, labels_from_paths, short_names
    from skhimatch.labels.taxonomy import read_taxonomy
    from skhimatch.settings import paper_settings
    from skhimatch.storage.errors import ModelFormatError
    from skhimatch.text.pretrained import PretrainedEncoder
    from skhimatch.text.sequences import TokenSequences
    from skhimatch.text.subwords import SubwordTokenizer
    from skhimatch.text.word_vectors import WordVectors, read_word_vectors
    from skhimatch.text.words import WordTokenizer

__version__ = "0.1.0"

__all__ = [
    "HiMatchClassifier",
    "LabelHierarchy",
    "ModelFormatError",
    "OnnxClassifier",
    "PretrainedEncoder",
    "SubwordTokenizer",
    "TokenSequences",
    "WordTokenizer",
    "WordVectors",
    "as_hierarchy",
    "hierarchy_from_paths",
    "labels_from_levels",
    "labels_from_paths",
    "paper_settings",
    "read_taxonomy",
    "read_word_vectors",
    "short_names",
]

_MODULES = {
    "HiMatchClassifier": "classifier",
    "PretrainedEncoder": "text.pretrained",
    "LabelHierarchy": "labels.hierarchy",
    "ModelFormatError": "storage.errors",
    "OnnxClassifier": "export.reader",
    "SubwordTokenizer": "text.subwords",
    "TokenSequences": "text.sequences",
    "WordTokenizer": "text.words",
    "WordVectors": "text.word_vectors",
    "as_hierarchy": "labels.formats",
    "hierarchy_from_paths": "labels.formats",
    "labels_from_levels": "labels.paths",
    "labels_from_paths": "labels.paths",
    "paper_settings": "settings",
    "read_taxonomy": "labels.taxonomy",
    "read_word_vectors": "text.word_vectors",
    "short_names": "labels.paths",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is asked for: only the classifier needs torch."""
    if name not in _MODULES:
        raise AttributeError(f"module 'skhimatch' has no attribute {name!r}")
    return getattr(import_module(f"skhimatch.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
