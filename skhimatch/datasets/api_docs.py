"""The API-docs corpus: docstrings of the installed libraries."""

import ast
import importlib.util
import inspect
import warnings
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from itertools import accumulate
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from skhimatch.datasets.corpus import Corpus
from skhimatch.labels.hierarchy import LabelHierarchy

__all__ = ["load_api_docs"]

LIBRARIES = ("numpy", "scipy", "sklearn", "torch", "joblib")
# Not part of the public API: tests, vendored code and build tools.
SKIPPED = {"tests", "testing", "conftest.py", "externals", "_external", "_vendor"}
SKIPPED |= {"_lib", "_build_utils", "distutils", "f2py"}
# The other parts of torch (compiler, distributed runtime, exporters) have more docstrings than all other
# libraries together.
PARTS_OF_TORCH = {"_torch_docs.py", "functional.py", "autograd", "distributions", "fft", "func", "linalg"}
PARTS_OF_TORCH |= {"nn", "optim", "sparse", "special"}
# Modules that only contain docstrings of compiled functions. Their texts belong to the package.
DOCSTRING_MODULES = {"__init__", "_torch_docs", "_add_newdocs", "_add_newdocs_scalars"}
DOCSTRING_CALLS = ("add_docstr", "add_newdoc")
# Minimum number of words of a text.
MIN_WORDS = 20


@lru_cache
def load_api_docs(min_texts: int = 15) -> Corpus:
    """Load the embedded corpus: docstrings of the libraries that skhimatch depends on.

    The installed sources of numpy, scipy, scikit-learn, torch and joblib are parsed and not imported. A
    text is the docstring of a public function, class or method. Its labels are its library, subpackage
    and module, such as ``{"scipy", "scipy.optimize", "scipy.optimize.linprog"}``.

    Parameters
    ----------
    min_texts : int, default=15
        The minimum number of texts of a label. The texts of a smaller subpackage or module have only the
        labels above it.

    Returns
    -------
    Corpus
        About 6,000 texts of at least 20 words, split 80/10/10 so that each label has a training text.
        All calls in one process return the same object, so do not change it.

    Raises
    ------
    ModuleNotFoundError
        If one of the libraries is not installed.

    Notes
    -----
    Texts and labels depend on the installed versions of the libraries. Compare results only within one
    environment.

    Examples
    --------
    >>> corpus = load_api_docs()
    >>> corpus.hierarchy.depth
    3
    >>> "sklearn.ensemble" in corpus.hierarchy
    True
    """
    paths: dict[str, list[str]] = {}
    with warnings.catch_warnings(action="ignore"):  # syntax warnings about the parsed sources
        for library in LIBRARIES:
            for text, path in _documentation(library):
                paths.setdefault(text, path)
    n_texts = Counter(label for path in paths.values() for label in path)
    parents = {label: label.rpartition(".")[0] for label in n_texts if label not in LIBRARIES}
    # A module with all texts of its subpackage is not a label.
    edges = [
        (parent, label) for label, parent in parents.items() if min_texts <= n_texts[label] < n_texts[parent]
    ]
    hierarchy = LabelHierarchy(edges, sorted([*LIBRARIES, *(label for _, label in edges)]))
    label_sets = [frozenset(label for label in path if label in hierarchy) for path in paths.values()]
    return Corpus("api-docs", list(paths), label_sets, hierarchy, _split(label_sets))


def _documentation(library: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the docstrings of a library, each with its labels from the library down to the module."""
    spec = importlib.util.find_spec(library)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"load_api_docs needs {library}, which is not installed.")
    root = Path(spec.submodule_search_locations[0])
    for file in sorted(root.rglob("*.py")):
        place = file.relative_to(root)
        if SKIPPED.intersection(place.parts) or (library == "torch" and place.parts[0] not in PARTS_OF_TORCH):
            continue
        modules = [*place.parent.parts, *{place.stem} - DOCSTRING_MODULES]
        names = [library, *(module.strip("_").removesuffix("_impl") for module in modules[:2])]
        labels = list(accumulate(names, "{}.{}".format))
        for text in map(inspect.cleandoc, _docstrings(ast.parse(file.read_bytes()))):
            if len(text.split()) >= MIN_WORDS:
                yield text, labels


def _docstrings(node: ast.AST) -> Iterator[str]:
    """Yield the docstrings of the public functions, classes and methods below a node."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            if not child.name.startswith("_"):
                yield ast.get_docstring(child, clean=False) or ""
                if isinstance(child, ast.ClassDef):
                    yield from _docstrings(child)
        elif isinstance(child, (ast.Expr, ast.Assign)) and isinstance(child.value, ast.Call):
            if ast.unparse(child.value.func).endswith(DOCSTRING_CALLS):
                for part in ast.walk(child.value):
                    if isinstance(part, ast.Constant) and isinstance(part.value, str):
                        yield part.value
        elif isinstance(child, ast.stmt):
            yield from _docstrings(child)


def _split(label_sets: list[frozenset[str]]) -> dict[str, NDArray[np.int64]]:
    """Split 80/10/10 with a fixed seed. The training part has a text of each label set."""
    order = np.random.RandomState(0).permutation(len(label_sets)).tolist()
    first = set({label_sets[row]: row for row in reversed(order)}.values())
    order.sort(key=lambda row: row not in first)
    train, validation, test = np.split(np.array(order), [len(order) * 8 // 10, len(order) * 9 // 10])
    return {"train": train, "validation": validation, "test": test}
