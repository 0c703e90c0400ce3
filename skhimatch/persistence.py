"""Save a fitted classifier to a folder and load it: arrays and JSON, no pickle."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
import torch
from sklearn.base import clone

import skhimatch
from skhimatch.evaluation.decisions import DecisionRule, check_threshold
from skhimatch.evaluation.metrics import MicroMacroF1
from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.network.build import Network, build_network, build_pretrained_network
from skhimatch.network.transformer import TransformerEncoder
from skhimatch.scores.names import LabelNames, StemStatistics
from skhimatch.scores.ngrams import LexicalClassifier, NGramWeights
from skhimatch.scores.stacking import Calibration
from skhimatch.text.sequences import Vocabulary
from skhimatch.text.subwords import SubwordTokenizer
from skhimatch.text.words import WordTokenizer

if TYPE_CHECKING:
    from skhimatch.classifier import HiMatchClassifier

__all__ = ["check_folder", "load", "save"]

FORMAT = 6
DESCRIPTION, WEIGHTS, ENCODER = "classifier.json", "weights.npz", "encoder"
# Weights of a pretrained encoder, which are written as transformers writes them.
BODY = "text_encoder.body."

# Already at work in what is saved beside them.
NOT_SAVED = ("hierarchy", "tokenizer", "word_vectors", "callbacks", "random_state")


def save(classifier: HiMatchClassifier, folder: str | PathLike[str]) -> None:
    """Write a fitted classifier as ``classifier.json`` and ``weights.npz``.

    A pretrained encoder goes to the folder ``encoder`` beside them, as its own
    ``save_pretrained`` writes it, unless it is frozen and not to be stored.
    The folder appears whole or not at all. Word vectors, callbacks and an
    unfitted hierarchy or tokenizer are not written: their effect is in the
    weights, the fitted hierarchy and the vocabulary.

    Parameters
    ----------
    classifier : HiMatchClassifier
        Fitted.
    folder : path
        Created, or replaced if it holds a saved classifier.

    Raises
    ------
    FileExistsError
        When the folder holds something else.
    TypeError
        When the tokenizer is of another kind than this package's, or a parameter is not JSON.
    """
    folder = check_folder(folder)
    description = json.dumps(_describe(classifier), indent=1, default=_plain)
    encoder = classifier.network_.text_encoder
    arrays = _network_arrays("network", classifier.network_)
    if classifier.words_network_ is not None:
        arrays |= _network_arrays("words_network", classifier.words_network_)
    arrays["label_embeddings"] = classifier.label_embeddings_
    arrays["decision.tagged"] = classifier.decision_.tagged
    arrays["decision.threshold"] = np.asarray(classifier.decision_.threshold)
    if classifier.decision_.ends is not None:
        arrays["decision.ends"] = classifier.decision_.ends
    if classifier.usual_scores_ is not None:
        arrays["usual_scores"] = classifier.usual_scores_
    if classifier.lexical_ is not None:
        arrays["lexical.codes"] = classifier.lexical_.ngrams.codes
        arrays["lexical.idf"] = classifier.lexical_.ngrams.idf
        arrays |= _sparse_arrays("lexical.weight", classifier.lexical_.weight)
        arrays["lexical.bias"] = classifier.lexical_.bias
    if classifier.label_names_ is not None:
        names = classifier.label_names_
        arrays |= {f"names.stems.{name}": values for name, values in vars(names.stems).items()}
        arrays["names.label"] = names.label
        arrays |= _sparse_arrays("names.names", names.names)
        arrays |= _sparse_arrays("names.neighbours", names.neighbours)
    fresh = folder.with_name(folder.name + ".saving")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    try:
        np.savez(fresh / WEIGHTS, allow_pickle=False, **arrays)
        (fresh / DESCRIPTION).write_text(description, encoding="utf-8")
        if isinstance(encoder, TransformerEncoder) and not encoder.left_out:
            encoder.save(fresh / ENCODER)
        _put_in_place(fresh, folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def check_folder(folder: str | PathLike[str]) -> Path:
    """Make sure that a classifier can be written there, before it is trained.

    Parameters
    ----------
    folder : path
        Its parents are created.

    Returns
    -------
    Path

    Raises
    ------
    FileExistsError
        When the folder holds something other than a saved classifier.
    PermissionError, NotADirectoryError
        When nothing can be written there.
    """
    folder = Path(folder)
    held = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if folder.exists() and not (folder.is_dir() and held <= {DESCRIPTION, WEIGHTS, ENCODER}):
        raise FileExistsError(
            f"{folder} exists and holds no saved classifier, or more than that: choose another folder."
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(folder.parent, os.W_OK):
        raise PermissionError(f"{folder.parent} is not writable: choose another folder.")
    return folder


def load(make: Callable[..., HiMatchClassifier], folder: str | PathLike[str]) -> HiMatchClassifier:
    """Read what `save` wrote.

    Parameters
    ----------
    make : type
        The classifier's class.
    folder : path
        A folder that `save` wrote.

    Returns
    -------
    HiMatchClassifier
        Fitted, on the CPU until it predicts.

    Raises
    ------
    FileNotFoundError
        When the folder or one of its files is missing.
    ValueError
        When it was written by a later format than this version reads, or is
        damaged.
    """
    folder = Path(folder)
    for name in (DESCRIPTION, WEIGHTS):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder / name} is missing: {folder} is no saved classifier.")
    with _damage_named(folder / DESCRIPTION):
        description = dict(json.loads((folder / DESCRIPTION).read_text(encoding="utf-8")))
    if description.get("format") != FORMAT:
        raise ValueError(
            f"{folder} was saved in format {description.get('format')} by skhimatch "
            f"{description.get('version')}; version {skhimatch.__version__} reads {FORMAT}: upgrade it."
        )
    with _damage_named(folder / WEIGHTS), (folder / WEIGHTS).open("rb") as file:
        arrays = dict(np.load(file, allow_pickle=False))
    with _damage_named(folder):
        return _rebuild(make, description, arrays, folder / ENCODER)


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    """Say which file is truncated, edited or not the other's, whatever error that ends in."""
    try:
        yield
    except (
        ValueError,
        TypeError,
        AttributeError,
        LookupError,
        RuntimeError,
        EOFError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise ValueError(f"{path} is damaged ({error!r}): save the classifier again.") from error


def _rebuild(
    make: Callable[..., HiMatchClassifier],
    description: dict[str, Any],
    arrays: dict[str, np.ndarray],
    encoder_folder: Path,
) -> HiMatchClassifier:
    """Put a classifier together again."""
    hierarchy = _hierarchy(description["hierarchy"])
    classifier = make(hierarchy=None if hierarchy.is_flat else hierarchy, **description["parameters"])
    pretrained = None
    if description["pretrained"] is not None:
        settings = dict(description["pretrained"])
        name = settings.pop("name")
        pretrained = TransformerEncoder(encoder_folder if encoder_folder.exists() else name, **settings)
    if pretrained is None:
        network: Network = build_network(hierarchy, **description["network"])
    else:
        network = build_pretrained_network(pretrained, hierarchy, **description["network"])
    _take_arrays(network, arrays, "network")
    words_network = None
    if description["words_network"] is not None:
        words_network = build_network(hierarchy, **description["words_network"])
        _take_arrays(words_network, arrays, "words_network")
    vocabulary = Vocabulary(description["vocabulary"])
    blank = tokenizer = None
    if description["tokenizer"] is not None:
        blank = WordTokenizer(**description["tokenizer"])
        tokenizer = clone(blank)
        tokenizer.vocabulary_ = vocabulary
        if pretrained is not None:
            tokenizer = SubwordTokenizer.of(pretrained.name, pretrained.tokenizer, tokenizer)
    scored = description["validation_f1"]
    lexical = None
    if "lexical.codes" in arrays:
        ngrams = NGramWeights(arrays["lexical.codes"], arrays["lexical.idf"])
        weight = _sparse(arrays, "lexical.weight", (len(ngrams.codes), len(hierarchy)))
        lexical = LexicalClassifier(ngrams, weight, arrays["lexical.bias"])
    label_names = None
    if "names.label" in arrays:
        of_word, *numbers = (arrays[f"names.stems.{name}"] for name in ("of_word", "idf", "mean", "variance"))
        label_names = LabelNames(
            StemStatistics(of_word, *numbers),
            _sparse(arrays, "names.names", (len(arrays["names.label"]), len(numbers[0]))),
            arrays["names.label"],
            _sparse(arrays, "names.neighbours", (len(hierarchy), len(hierarchy))),
        )
    decision = DecisionRule(
        hierarchy=hierarchy,
        threshold=check_threshold(arrays["decision.threshold"], hierarchy.labels),
        ends=arrays.get("decision.ends"),
        tagged=arrays["decision.tagged"],
        consistency=classifier.consistency,
    )
    classifier.__dict__.update(
        tokenizer=blank,
        tokenizer_=tokenizer,
        vocabulary_=vocabulary,
        hierarchy_=hierarchy,
        classes_=np.asarray(hierarchy.labels, dtype=object),
        network_settings_=description["network"],
        network_=network.eval(),
        words_network_settings_=description["words_network"],
        words_network_=None if words_network is None else words_network.eval(),
        lexical_=lexical,
        label_names_=label_names,
        shortlist_size_=description["shortlist_size"],
        calibration_=Calibration(tuple(description["calibration"][:-1]), description["calibration"][-1]),
        usual_scores_=arrays.get("usual_scores"),
        decision_=decision,
        label_embeddings_=arrays["label_embeddings"],
        validation_f1_=None if scored is None else MicroMacroF1(*scored),
        history_=description["history"],
        n_iter_=len(description["history"]),
        sparse_output_=description["sparse_output"],
        _seed=description["seed"],
    )
    return classifier


def _network_arrays(name: str, network: Network) -> dict[str, np.ndarray]:
    """Return a network's weights, but for those of a pretrained encoder."""
    weights = network.state_dict().items()
    return {f"{name}.{part}": value.cpu().numpy() for part, value in weights if not part.startswith(BODY)}


def _take_arrays(network: Network, arrays: dict[str, np.ndarray], name: str) -> None:
    """Give a network its weights; a pretrained encoder has its own."""
    weights = {part: value for part, value in network.state_dict().items() if part.startswith(BODY)}
    for part, array in arrays.items():
        if part.startswith(f"{name}."):
            weights[part.removeprefix(f"{name}.")] = torch.from_numpy(array)
    network.load_state_dict(weights)


def _sparse_arrays(name: str, matrix: sp.csr_array) -> dict[str, np.ndarray]:
    return {f"{name}.{part}": getattr(matrix, part) for part in ("data", "indices", "indptr")}


def _sparse(arrays: dict[str, np.ndarray], name: str, shape: tuple[int, int]) -> sp.csr_array:
    parts = tuple(arrays[f"{name}.{part}"] for part in ("data", "indices", "indptr"))
    return sp.csr_array(parts, shape=shape)


def _put_in_place(fresh: Path, folder: Path) -> None:
    """Let `fresh` take the place of `folder`, which comes back if that fails."""
    replaced = folder.with_name(folder.name + ".replaced")
    shutil.rmtree(replaced, ignore_errors=True)
    if folder.exists():
        folder.rename(replaced)
    try:
        fresh.rename(folder)
    except OSError:
        if replaced.exists():
            replaced.rename(folder)
        raise
    shutil.rmtree(replaced, ignore_errors=True)


def _describe(classifier: HiMatchClassifier) -> dict[str, Any]:
    """Return everything but the arrays, as JSON knows it."""
    tokenizer, encoder = classifier.tokenizer_, classifier.network_.text_encoder
    if type(tokenizer) is SubwordTokenizer:
        # The encoder has the rest of it.
        tokenizer = tokenizer.words_
    if tokenizer is not None and type(tokenizer) is not WordTokenizer:
        raise TypeError(
            f"save() writes a WordTokenizer or a SubwordTokenizer, not a {type(tokenizer).__name__}: "
            "keep this classifier with joblib.dump."
        )
    parameters = classifier.get_params(deep=False)
    hierarchy = classifier.hierarchy_
    return {
        "format": FORMAT,
        "version": skhimatch.__version__,
        "parameters": {name: value for name, value in parameters.items() if name not in NOT_SAVED},
        "hierarchy": {
            "labels": hierarchy.labels,
            "edges": hierarchy.edges.tolist(),
            "flat": hierarchy.is_flat,
        },
        "tokenizer": None if tokenizer is None else tokenizer.get_params(),
        "vocabulary": classifier.vocabulary_.words,
        "network": classifier.network_settings_,
        "words_network": classifier.words_network_settings_,
        "pretrained": encoder.settings if isinstance(encoder, TransformerEncoder) else None,
        "shortlist_size": classifier.shortlist_size_,
        "calibration": [*classifier.calibration_.weights, classifier.calibration_.intercept],
        "validation_f1": classifier.validation_f1_,
        "history": classifier.history_,
        "sparse_output": classifier.sparse_output_,
        "seed": classifier._seed,
    }


def _hierarchy(stored: dict[str, Any]) -> LabelHierarchy:
    labels = stored["labels"]
    if stored["flat"]:
        return LabelHierarchy.flat(labels)
    return LabelHierarchy([(labels[parent], labels[child]) for parent, child in stored["edges"]], labels)


def _plain(value: Any) -> Any:
    """Turn numpy's numbers and arrays into JSON's, and name what has no JSON form."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, PathLike):
        return os.fspath(value)
    raise TypeError(
        f"A parameter of type {type(value).__name__} ({value!r}) cannot be saved as JSON: "
        "keep this classifier with joblib.dump."
    )
