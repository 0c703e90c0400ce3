"""Hierarchical text classification by label-semantics matching, for scikit-learn."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skhimatch.classifier import HiMatchClassifier
    from skhimatch.hierarchy import LabelHierarchy
    from skhimatch.hierarchy_forms import as_hierarchy, read_taxonomy
    from skhimatch.sequences import TokenSequences
    from skhimatch.settings import paper_settings
    from skhimatch.subwords import SubwordTokenizer
    from skhimatch.text import WordTokenizer
    from skhimatch.word_vectors import WordVectors, read_word_vectors

__version__ = "0.1.0"

__all__ = [
    "HiMatchClassifier",
    "LabelHierarchy",
    "SubwordTokenizer",
    "TokenSequences",
    "WordTokenizer",
    "WordVectors",
    "as_hierarchy",
    "paper_settings",
    "read_taxonomy",
    "read_word_vectors",
]

_ROOMS = {
    "HiMatchClassifier": "classifier",
    "LabelHierarchy": "hierarchy",
    "SubwordTokenizer": "subwords",
    "TokenSequences": "sequences",
    "WordTokenizer": "text",
    "WordVectors": "word_vectors",
    "as_hierarchy": "hierarchy_forms",
    "paper_settings": "settings",
    "read_taxonomy": "hierarchy_forms",
    "read_word_vectors": "word_vectors",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is asked for: only the classifier needs torch."""
    if name not in _ROOMS:
        raise AttributeError(f"module 'skhimatch' has no attribute {name!r}")
    return getattr(import_module(f"skhimatch.{_ROOMS[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
