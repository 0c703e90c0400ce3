"""Corpora with a label hierarchy: one that is always at hand, and readers of published ones."""

import ast
import importlib.util
import inspect
import json
import lzma
import os
import tarfile
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from skhimatch.hierarchy import LabelHierarchy
from skhimatch.hierarchy_forms import read_taxonomy
from skhimatch.ranking import frequency_groups
from skhimatch.targets import encode_targets

__all__ = ["Corpus", "load_api_docs", "load_eurlex57k", "load_htc_json", "load_wos"]

LIBRARIES = ("numpy", "scipy", "sklearn", "torch", "joblib")
# Not a library's own reference: tests, vendored code, build machinery.
SKIPPED = {"tests", "testing", "conftest.py", "externals", "_external", "_vendor"}
SKIPPED |= {"_lib", "_build_utils", "distutils", "f2py"}
# The rest of torch (compiler, distributed runtime, exporters) would outweigh all other libraries.
PARTS_OF_TORCH = {"_torch_docs.py", "functional.py", "autograd", "distributions", "fft", "func", "linalg"}
PARTS_OF_TORCH |= {"nn", "optim", "sparse", "special"}
# Modules that only hold the docstrings of compiled functions of their package.
DOCSTRING_MODULES = {"__init__", "_torch_docs", "_add_newdocs", "_add_newdocs_scalars"}
DOCSTRING_CALLS = ("add_docstr", "add_newdoc")
FEWEST_WORDS = 20


@dataclass(frozen=True, eq=False, repr=False)
class Corpus:
    """Labelled texts, their hierarchy and a fixed split.

    Parameters
    ----------
    name : str
        What to call it.
    texts : list of str, length n
        The texts.
    label_sets : list of frozenset of str, length n
        The labels of each text.
    hierarchy : LabelHierarchy
        The tree or graph of the labels.
    splits : dict of str to ndarray of int64
        Positions in `texts` of ``"train"``, ``"validation"`` and ``"test"``.
    label_texts : dict of str to list of str, optional
        The name of each label and its other names, where labels are mere identifiers.

    Examples
    --------
    >>> hierarchy = LabelHierarchy([("science", "physics")])
    >>> corpus = Corpus("tiny", ["a wave"], [frozenset({"physics"})], hierarchy, {"train": np.array([0])})
    >>> corpus
    <Corpus tiny: 1 texts, 2 labels on 2 levels; train 1>
    >>> corpus.part("train")
    (['a wave'], [frozenset({'physics'})])
    """

    name: str
    texts: list[str]
    label_sets: list[frozenset[str]]
    hierarchy: LabelHierarchy
    splits: dict[str, NDArray[np.int64]]
    label_texts: dict[str, list[str]] | None = None

    def part(self, name: str) -> tuple[list[str], list[frozenset[str]]]:
        """Return the texts and label sets of one part of the split.

        Parameters
        ----------
        name : {"train", "validation", "test"}
            Which part.

        Returns
        -------
        texts : list of str
        label_sets : list of frozenset of str

        Raises
        ------
        ValueError
            If there is no such part.
        """
        if name not in self.splits:
            raise ValueError(f"The corpus {self.name} has no part {name!r}; it has {', '.join(self.splits)}.")
        rows = self.splits[name].tolist()
        return [self.texts[row] for row in rows], [self.label_sets[row] for row in rows]

    def frequency_groups(self, *, frequent: int = 50) -> dict[str, NDArray[np.int64]]:
        """Group the labels by their number of training texts, as `ranking.frequency_groups` does.

        Parameters
        ----------
        frequent : int, default=50
            A label of more texts than that is frequent.

        Returns
        -------
        dict
            Positions in the hierarchy of the labels that are ``"frequent"``, ``"few"`` (one text or more) and
            ``"zero"`` (none).
        """
        _, label_sets = self.part("train")
        return frequency_groups(encode_targets(label_sets, self.hierarchy), frequent=frequent)

    def __len__(self) -> int:
        return len(self.texts)

    def __repr__(self) -> str:
        parts = ", ".join(f"{name} {len(rows):,}" for name, rows in self.splits.items())
        labels = f"{len(self.hierarchy):,} labels on {self.hierarchy.depth} levels"
        return f"<Corpus {self.name}: {len(self):,} texts, {labels}; {parts}>"


@lru_cache
def load_api_docs(min_texts: int = 15) -> Corpus:
    """Load the embedded corpus: docstrings of the libraries that skhimatch itself stands on.

    The sources of numpy, scipy, scikit-learn, torch and joblib, as installed, are parsed and never
    imported. A text is the docstring of a public function, class or method; its labels are its
    library, subpackage and module: ``{"scipy", "scipy.optimize", "scipy.optimize.linprog"}``.

    Parameters
    ----------
    min_texts : int, default=15
        A subpackage or module with fewer texts is no label; its texts stop at the label above.

    Returns
    -------
    Corpus
        Nearly 6,000 texts of 20 words or more, split 80/10/10 so that each label has a training text.
        Built once a process, so treat it as read-only.

    Raises
    ------
    ModuleNotFoundError
        If one of the libraries is not installed.

    Notes
    -----
    Texts and labels depend on the installed versions of the libraries: compare figures only within
    one environment.

    Examples
    --------
    >>> corpus = load_api_docs()
    >>> corpus.hierarchy.depth
    3
    >>> "sklearn.ensemble" in corpus.hierarchy
    True
    """
    paths: dict[str, list[str]] = {}
    with warnings.catch_warnings(action="ignore"):  # the parser's, about others' sources
        for library in LIBRARIES:
            for text, path in _documentation(library):
                paths.setdefault(text, path)
    n_texts = Counter(label for path in paths.values() for label in path)
    parents = {label: label.rpartition(".")[0] for label in n_texts if label not in LIBRARIES}
    # A module that holds all texts of its subpackage would say nothing more.
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
        raise ModuleNotFoundError(f"load_api_docs reads the docstrings of {library}, which is not installed.")
    root = Path(spec.submodule_search_locations[0])
    for file in sorted(root.rglob("*.py")):
        place = file.relative_to(root)
        if SKIPPED.intersection(place.parts) or (library == "torch" and place.parts[0] not in PARTS_OF_TORCH):
            continue
        modules = [*place.parent.parts, *{place.stem} - DOCSTRING_MODULES]
        names = [library, *(module.strip("_").removesuffix("_impl") for module in modules[:2])]
        labels = list(accumulate(names, "{}.{}".format))
        for text in map(inspect.cleandoc, _docstrings(ast.parse(file.read_bytes()))):
            if len(text.split()) >= FEWEST_WORDS:
                yield text, labels


def _docstrings(node: ast.AST) -> Iterator[str]:
    """Yield what is written about the public functions, classes and methods below a node."""
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
    """Split 80/10/10 by a fixed shuffle, with a text of each label set in the training part."""
    order = np.random.RandomState(0).permutation(len(label_sets)).tolist()
    first = set({label_sets[row]: row for row in reversed(order)}.values())
    order.sort(key=lambda row: row not in first)
    train, validation, test = np.split(np.array(order), [len(order) * 8 // 10, len(order) * 9 // 10])
    return {"train": train, "validation": validation, "test": test}


def load_htc_json(folder: str | os.PathLike[str], name: str | None = None) -> Corpus:
    """Load a corpus in the json-lines layout of HiAGM, with its own split.

    Parameters
    ----------
    folder : path-like
        Holds ``*_train.json``, ``*_val.json`` and ``*_test.json``, where a line is an object with
        ``doc_token``, a text or a list of its words, and ``doc_label``, a list of labels; and
        ``*.taxonomy`` (or ``*.taxnomy``), see `~skhimatch.read_taxonomy`.
    name : str, optional
        The name of the corpus, by default that of the folder.

    Returns
    -------
    Corpus

    Raises
    ------
    FileNotFoundError
        If the folder lacks one of the files.
    ValueError
        If a file is there twice, or a line (named by file and number) is no such object or has a label
        that the taxonomy does not know.

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
    found = sorted(file for pattern in patterns for file in folder.glob(pattern))
    wanted = " or ".join(patterns)
    if not found:
        raise FileNotFoundError(f"There is no {wanted} in {folder}; place the file there.")
    if len(found) > 1:
        raise ValueError(f"{folder} has {len(found)} files {wanted}; leave one of them.")
    return found[0]


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    # Only "\n" ends a line: abstracts contain other line breaks, and a few damaged characters.
    with path.open(encoding="utf-8", errors="replace", newline="\n") as lines:
        for number, line in enumerate(lines, start=1):
            yield number, line.rstrip("\r\n")


def _read_json_lines(path: Path, hierarchy: LabelHierarchy) -> Iterator[tuple[str, frozenset[str]]]:
    for number, line in _lines(path):
        if not line:
            continue
        entry = _json_object(line, ("doc_token", "doc_label"), f"Line {number} of {path}")
        text, labels = entry["doc_token"], entry["doc_label"]
        labels = frozenset([labels] if isinstance(labels, str) else labels)
        for label in sorted(labels):
            if label not in hierarchy:
                raise ValueError(f"Line {number} of {path} has the label {label!r}; the taxonomy lacks it.")
        yield text if isinstance(text, str) else " ".join(text), labels


def _json_object(text: str | bytes, keys: tuple[str, ...], place: str) -> dict[str, Any]:
    try:
        entry = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{place} is not JSON: {error}.") from error
    return _checked_entry(entry, keys, place)


def _checked_entry(entry: Any, keys: tuple[str, ...], place: str) -> dict[str, Any]:
    if not isinstance(entry, dict):
        raise ValueError(f"{place} is no JSON object, with names and values in braces.")
    for key in keys:
        if key not in entry:
            raise ValueError(f"{place} has no {key!r}; it needs one.")
    return entry


def load_wos(folder: str | os.PathLike[str]) -> Corpus:
    """Load Web of Science (Kowsari et al. 2017) from any of its layouts.

    Parameters
    ----------
    folder : path-like
        Holds one of

        - the json lines of HiAGM, see `load_htc_json`;
        - ``Data.txt``, the original table saved with tabs; its columns Domain, area and Abstract give the
          labels and the text;
        - ``X.txt``, ``YL1.txt`` and ``YL2.txt``, where a line is a text, the number of its domain and the
          number of its area within the domain. Labels are then called ``"0"`` and ``"0.3"``.

    Returns
    -------
    Corpus
        The original layouts are split as published: a shuffle with seed 7, then twice 20 % off for test
        and validation, which makes 30,070, 7,518 and 9,397 of 46,985 texts.

    Raises
    ------
    FileNotFoundError
        If the folder holds none of the layouts.
    ValueError
        If a line (named by file and number) does not fit, or the files differ in length.

    Examples
    --------
    >>> load_wos("WebOfScience")  # doctest: +SKIP
    <Corpus wos: 46,985 texts, 141 labels on 2 levels; train 30,070, validation 7,518, test 9,397>
    """
    folder = Path(folder)
    if any(folder.glob("*_train.json")):
        return load_htc_json(folder, "wos")
    if (folder / "Data.txt").exists():
        texts, paths = _read_wos_table(folder / "Data.txt")
    elif (folder / "X.txt").exists():
        texts, paths = _read_wos_lines(folder)
    else:
        raise FileNotFoundError(
            f"{folder} has neither *_train.json nor Data.txt (Data.xlsx saved with tabs) nor X.txt; "
            "pass the folder that holds one of them."
        )
    hierarchy = LabelHierarchy(sorted(set(paths)))
    rows = np.arange(len(texts))
    np.random.RandomState(7).shuffle(rows)
    rest, test = train_test_split(rows, test_size=0.2, random_state=0)
    train, validation = train_test_split(rest, test_size=0.2, random_state=0)
    splits = {"train": train, "validation": validation, "test": test}
    return Corpus("wos", texts, [frozenset(path) for path in paths], hierarchy, splits)


def _read_wos_table(path: Path) -> tuple[list[str], list[tuple[str, str]]]:
    lines = _lines(path)
    header = [name.strip().lower() for name in next(lines, (1, ""))[1].split("\t")]
    for name in ("domain", "area", "abstract"):
        if name not in header:
            raise ValueError(f"Line 1 of {path} names no column {name!r}; it needs the original header.")
    texts, paths = [], []
    for number, line in lines:
        if not line.strip():
            continue
        fields = line.split("\t", len(header) - 1)
        if len(fields) < len(header):
            raise ValueError(f"Line {number} of {path} has {len(fields)} fields, not {len(header)}.")
        entry = dict(zip(header, map(str.strip, fields), strict=True))
        texts.append(entry["abstract"])
        paths.append((entry["domain"], entry["area"]))
    domains = {domain for domain, _ in paths}
    n_domains = Counter(area for _, area in set(paths))
    return texts, [
        (domain, f"{area} ({domain})" if area in domains or n_domains[area] > 1 else area)
        for domain, area in paths
    ]


def _read_wos_lines(folder: Path) -> tuple[list[str], list[tuple[str, str]]]:
    texts = [line.strip() for _, line in _lines(folder / "X.txt")]
    numbers = []
    for name in ("YL1.txt", "YL2.txt"):
        path = _only_file(folder, name)
        column = [line.strip() for _, line in _lines(path)]
        for number, field in enumerate(column, start=1):
            if not field.isdecimal():
                raise ValueError(f"Line {number} of {path} is {field!r}, not the number of a label.")
        if len(column) != len(texts):
            raise ValueError(f"{path} has {len(column)} lines, but X.txt has {len(texts)}; they must match.")
        numbers.append(column)
    return texts, [(domain, f"{domain}.{area}") for domain, area in zip(*numbers, strict=True)]


def load_eurlex57k(path: str | os.PathLike[str]) -> Corpus:
    """Load EURLEX57K (Chalkidis et al. 2019): laws of the European Union and their EUROVOC concepts.

    Parameters
    ----------
    path : path-like
        The folder ``EURLEX57K``, which holds ``train/*.json``, ``dev/*.json``, ``test/*.json`` and the
        concepts, ``EURLEX57K.json``; or its ``.tar.xz`` archive, which is read without being unpacked.

    Returns
    -------
    Corpus
        A text is a document's header, recitals, main body and attachments; its labels are the concepts
        that it is tagged with, without their ancestors. Documents are in the order of their file names.
        The hierarchy holds the concepts that any part is tagged with, contracted over the others, and
        `label_texts` their names.

    Raises
    ------
    FileNotFoundError
        If there is no such path, or it lacks a part or the concepts.
    ValueError
        If the archive is cut off or damaged, a file (named) is not as it should be, a document is
        tagged with an unknown concept, or a concept has an unknown parent.

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
        raise FileNotFoundError(f"{path} lacks EURLEX57K.json, the concepts; fetch it again.")
    texts: list[str] = []
    label_sets: list[frozenset[str]] = []
    splits = {}
    for part, folder in (("train", "train"), ("validation", "dev"), ("test", "test")):
        if not documents[folder]:
            raise FileNotFoundError(f"{path} lacks {folder}/*.json, the documents; fetch it again.")
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
        raise FileNotFoundError(f"There is no {path}; pass the folder EURLEX57K or its .tar.xz archive.")
    try:
        # Not tarfile's own "r|xz", which takes an archive that is cut between two files for a whole one.
        with lzma.open(path) as unpacked, tarfile.open(fileobj=unpacked, mode="r|") as archive:
            for member in archive:
                content = archive.extractfile(member) if member.isfile() else None
                if content is not None:
                    yield PurePosixPath(member.name), content.read()
    except EOFError as error:
        raise ValueError(f"The archive {path} is cut off; fetch it again.") from error
    except (lzma.LZMAError, tarfile.ReadError) as error:
        raise ValueError(f"{path} is damaged, or no .tar.xz archive ({error}); fetch it again.") from error


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
