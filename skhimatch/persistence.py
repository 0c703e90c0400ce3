"""A fitted state as a folder of JSON and arrays, without pickle."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import clone

import skhimatch
from skhimatch.choices import Choices
from skhimatch.evaluation.decisions import DecisionRule, check_threshold
from skhimatch.evaluation.metrics import MicroMacroF1
from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.scores.characters import CharacterFeatures
from skhimatch.scores.ensemble import Ensemble
from skhimatch.scores.names import LabelNames
from skhimatch.scores.networks import NetworkScorer
from skhimatch.scores.ngrams import NGramClassifier, NGramFeatures
from skhimatch.scores.path_choice import PathChoice
from skhimatch.scores.stacking import StackingWeights
from skhimatch.scores.state import ScorerState
from skhimatch.scores.training_labels import TrainingLabels
from skhimatch.state import FittedState
from skhimatch.text.pretrained import PretrainedEncoder
from skhimatch.text.sequences import Vocabulary
from skhimatch.text.subwords import SubwordTokenizer
from skhimatch.text.words import WordTokenizer

__all__ = ["check_folder", "load", "save"]

FORMAT = 11
DESCRIPTION, WEIGHTS, ENCODER = "classifier.json", "weights.npz", "encoder"

# Parameters that are not written. Their effect is in the state.
NOT_SAVED = ("hierarchy", "tokenizer", "word_vectors", "callbacks")
# The networks of an ensemble, in the order in which they are trained.
NETWORKS = ("words", "pretrained")


def save(state: FittedState, parameters: Mapping[str, Any], folder: str | PathLike[str]) -> None:
    """Write a fitted state and the classifier's parameters as ``classifier.json`` and ``weights.npz``.

    A pretrained encoder is written to the folder ``encoder`` beside them, by its own ``save_pretrained``,
    unless it is frozen and not to be stored. The folder appears complete, or not at all. Word vectors,
    callbacks, a `random_state` that is no integer, and the unfitted hierarchy and tokenizer are not written:
    their effect is in the weights, in the fitted hierarchy and in the vocabulary.

    Parameters
    ----------
    state : FittedState
        What to write.
    parameters : mapping of str to objects
        The classifier's parameters.
    folder : path
        Created, or replaced if it holds a saved classifier.

    Raises
    ------
    FileExistsError
        When the folder holds something else.
    TypeError
        When the tokenizer is not one of this package's, or a parameter has no JSON form.
    """
    folder = check_folder(folder)
    scorers = _scorer_states(state.ensemble)
    description = json.dumps(_describe(state, parameters, scorers), indent=1, default=_plain)
    arrays: dict[str, NDArray[Any]] = {
        "label_embeddings": state.label_embeddings,
        "labels.number": state.ensemble.labels.number,
    }
    arrays |= _decision_arrays(state.decision)
    for name, scorer in scorers.items():
        arrays |= {f"{name}.{part}": array for part, array in scorer.arrays.items()}
    for name, offsets in (state.ensemble.score_offsets or {}).items():
        arrays[f"score_offsets.{name}"] = offsets
    for name, mean in (state.ensemble.mean_scores or {}).items():
        arrays[f"mean_scores.{name}"] = mean
    fresh = folder.with_name(folder.name + ".saving")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    try:
        np.savez(fresh / WEIGHTS, allow_pickle=False, **arrays)
        (fresh / DESCRIPTION).write_text(description, encoding="utf-8")
        for scorer in scorers.values():
            if scorer.write_encoder is not None:
                scorer.write_encoder(fresh / ENCODER)
        _exchange(fresh, folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def check_folder(folder: str | PathLike[str]) -> Path:
    """Make sure that a classifier can be written to a folder, before it is trained.

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
        When the folder holds something other than a saved classifier, or is the working directory.
    PermissionError, NotADirectoryError
        When nothing can be written there.
    """
    # Through links: the folder itself is exchanged for a new one.
    folder = Path(folder).resolve()
    if folder == Path.cwd():
        raise FileExistsError(f"{folder} is the working directory: choose another folder.")
    held = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if folder.exists() and not (folder.is_dir() and held <= {DESCRIPTION, WEIGHTS, ENCODER}):
        raise FileExistsError(
            f"{folder} exists and holds no saved classifier, or more than that: choose another folder."
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(folder.parent, os.W_OK):
        raise PermissionError(f"{folder.parent} is not writable: choose another folder.")
    return folder


def load(folder: str | PathLike[str]) -> tuple[FittedState, dict[str, Any]]:
    """Read what `save` wrote.

    Parameters
    ----------
    folder : path
        A folder that `save` wrote.

    Returns
    -------
    state : FittedState
        Its networks are on the CPU.
    parameters : dict of str to objects
        The classifier's parameters, the fitted hierarchy and an unfitted tokenizer among them.

    Raises
    ------
    FileNotFoundError
        When the folder or one of its files is missing.
    ValueError
        When it was written in another format than this version reads, or is damaged.
    """
    folder = Path(folder)
    for name in (DESCRIPTION, WEIGHTS):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder / name} is missing: {folder} is no saved classifier.")
    with _damage_named(folder / DESCRIPTION):
        description = dict(json.loads((folder / DESCRIPTION).read_text(encoding="utf-8-sig")))
    if description.get("format") != FORMAT:
        raise ValueError(
            f"{folder} was saved in format {description.get('format')} by skhimatch "
            f"{description.get('version')}; version {skhimatch.__version__} reads format {FORMAT}: load it "
            "with that version, or train the classifier again."
        )
    with _damage_named(folder / WEIGHTS), (folder / WEIGHTS).open("rb") as file:
        arrays = dict(np.load(file, allow_pickle=False))
    with _damage_named(folder):
        encoder_folder = folder / ENCODER
        return _rebuild(description, arrays, encoder_folder if encoder_folder.exists() else None)


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    """Turn the errors of a truncated, edited or wrong file into one that names the file."""
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


def _scorer_states(ensemble: Ensemble) -> dict[str, ScorerState]:
    """Return the state of each scorer, by name."""
    states = {name: scorer.state() for name, scorer in ensemble.networks.items()}
    if ensemble.ngrams is not None and ensemble.names is not None:
        states |= {"ngrams": ensemble.ngrams.state(), "names": ensemble.names.state()}
    if ensemble.characters is not None:
        states["characters"] = ensemble.characters.state()
    return states


def _described_stacking(stacking: StackingWeights | PathChoice) -> dict[str, Any]:
    """Return the numbers of the stacking weights; frequency and paths are those of the training labels."""
    if isinstance(stacking, PathChoice):
        return {
            "weights": dict(stacking.weights),
            "above": dict(stacking.above),
            "beyond": dict(stacking.beyond),
            "inner": stacking.inner,
            "nothing": stacking.nothing,
        }
    return {
        "weights": dict(stacking.weights),
        "intercept": stacking.intercept,
        "slopes": dict(stacking.slopes),
        "slope": stacking.slope,
        "by_frequency": stacking.frequency is not None,
    }


def _stacking(stored: Mapping[str, Any], labels: TrainingLabels) -> StackingWeights | PathChoice:
    if "above" in stored:
        if labels.paths is None:
            raise ValueError("the weights are those of a choice among paths, and there are no paths")
        return PathChoice(labels.paths, **stored)
    frequency = labels.frequency if stored["by_frequency"] else None
    return StackingWeights(
        stored["weights"], stored["intercept"], stored["slopes"], stored["slope"], frequency
    )


def _describe(
    state: FittedState, parameters: Mapping[str, Any], scorers: Mapping[str, ScorerState]
) -> dict[str, Any]:
    """Return everything but the arrays, as JSON values."""
    tokenizer = state.tokenizer
    if type(tokenizer) is SubwordTokenizer:
        # The subwords' part is saved with the encoder.
        tokenizer = tokenizer.words_
    if tokenizer is not None and type(tokenizer) is not WordTokenizer:
        raise TypeError(
            f"save() writes a WordTokenizer or a SubwordTokenizer, not a {type(tokenizer).__name__}: "
            "keep this classifier with joblib.dump."
        )
    hierarchy, labels = state.hierarchy, state.ensemble.labels
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
        "vocabulary": state.vocabulary.words,
        "scorers": {name: scorer.values for name, scorer in scorers.items()},
        "shortlist_size": state.ensemble.shortlist_size,
        "stacking": _described_stacking(state.ensemble.stacking),
        "n_texts": labels.n_texts,
        "decision": {
            "consistency": state.decision.consistency,
            "decoding": state.decision.decoding,
            "unlabelled": state.decision.unlabelled,
            "one_path": state.decision.one_path,
            "closed": state.decision.closed,
            "n_labels": state.decision.n_labels,
        },
        "validation_f1": state.validation_f1,
        "history": state.history,
        "sparse_output": state.sparse_output,
        "seed": state.seed,
        "choices": asdict(state.choices),
    }


def _rebuild(
    description: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], encoder_folder: Path | None
) -> tuple[FittedState, dict[str, Any]]:
    """Rebuild the state, and the parameters."""
    hierarchy = _hierarchy(description["hierarchy"])
    parameters = dict(description["parameters"])
    parameters["hierarchy"] = None if hierarchy.is_flat else hierarchy
    if isinstance(parameters["encoder"], dict):
        parameters["encoder"] = PretrainedEncoder(**parameters["encoder"])
    states = {
        name: ScorerState(values, _with_prefix(name, arrays), encoder_folder=encoder_folder)
        for name, values in description["scorers"].items()
    }
    decision = _decision(arrays, hierarchy, description["decision"])
    labels = TrainingLabels.counted(arrays["labels.number"], description["n_texts"], decision)
    ensemble = Ensemble(
        networks={
            name: NetworkScorer.from_state(states[name], hierarchy) for name in NETWORKS if name in states
        },
        ngrams=_ngrams("ngrams", NGramFeatures, states, hierarchy),
        characters=_ngrams("characters", CharacterFeatures, states, hierarchy),
        names=LabelNames.from_state(states["names"], hierarchy) if "names" in states else None,
        shortlist_size=description["shortlist_size"],
        labels=labels,
        stacking=_stacking(description["stacking"], labels),
        score_offsets=_with_prefix("score_offsets", arrays) or None,
        mean_scores=_with_prefix("mean_scores", arrays) or None,
    )
    vocabulary = Vocabulary(description["vocabulary"])
    unfitted, tokenizer = _tokenizers(description["tokenizer"], vocabulary, ensemble)
    parameters["tokenizer"] = unfitted
    f1 = description["validation_f1"]
    state = FittedState(
        hierarchy=hierarchy,
        tokenizer=tokenizer,
        vocabulary=vocabulary,
        ensemble=ensemble,
        decision=decision,
        label_embeddings=arrays["label_embeddings"],
        validation_f1=None if f1 is None else MicroMacroF1(*f1),
        history=tuple(description["history"]),
        sparse_output=description["sparse_output"],
        seed=description["seed"],
        choices=Choices(**description["choices"]),
    )
    return state, parameters


def _ngrams(
    name: str,
    features: type[NGramFeatures] | type[CharacterFeatures],
    states: Mapping[str, ScorerState],
    hierarchy: LabelHierarchy,
) -> NGramClassifier | None:
    """Rebuild an n-gram classifier, if there is one."""
    if name not in states:
        return None
    state = states[name]
    return NGramClassifier.from_state(state, features.from_state(state), hierarchy)


def _tokenizers(
    parameters: Mapping[str, Any] | None, vocabulary: Vocabulary, ensemble: Ensemble
) -> tuple[WordTokenizer | None, WordTokenizer | SubwordTokenizer | None]:
    """Return the unfitted tokenizer of words, and the fitted tokenizer."""
    if parameters is None:
        return None, None
    unfitted = WordTokenizer(**parameters)
    words = clone(unfitted)
    words.vocabulary_ = vocabulary
    if "pretrained" not in ensemble.networks:
        return unfitted, words
    encoder: Any = ensemble.networks["pretrained"].network.text_encoder
    return unfitted, SubwordTokenizer.of(encoder.name, encoder.tokenizer, words)


def _decision_arrays(decision: DecisionRule) -> dict[str, NDArray[Any]]:
    arrays = {"decision.tagged": decision.tagged, "decision.threshold": np.asarray(decision.threshold)}
    if decision.path_ends is not None:
        arrays["decision.path_ends"] = decision.path_ends
    if decision.lowest is not None:
        arrays["decision.lowest"] = decision.lowest
    if decision.importance is not None:
        arrays["decision.importance"] = decision.importance
    return arrays


def _decision(
    arrays: Mapping[str, NDArray[Any]], hierarchy: LabelHierarchy, settings: Mapping[str, Any]
) -> DecisionRule:
    return DecisionRule(
        hierarchy=hierarchy,
        threshold=check_threshold(arrays["decision.threshold"], hierarchy.labels),
        path_ends=arrays.get("decision.path_ends"),
        tagged=arrays["decision.tagged"],
        consistency=settings["consistency"],
        decoding=settings["decoding"],
        lowest=arrays.get("decision.lowest"),
        unlabelled=settings["unlabelled"],
        one_path=settings["one_path"],
        importance=arrays.get("decision.importance"),
        closed=settings["closed"],
        n_labels=settings["n_labels"],
    )


def _with_prefix(name: str, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return the arrays of one scorer, without its name in front."""
    prefix = f"{name}."
    return {part.removeprefix(prefix): array for part, array in arrays.items() if part.startswith(prefix)}


def _exchange(fresh: Path, folder: Path) -> None:
    """Put `fresh` in the place of `folder`; if that fails, `folder` is as before."""
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


def _hierarchy(stored: Mapping[str, Any]) -> LabelHierarchy:
    # The labels were checked when the hierarchy was made, so there is no second warning.
    edges = np.array(stored["edges"], dtype=np.int64).reshape(-1, 2)
    return LabelHierarchy._from_positions(tuple(stored["labels"]), edges, is_flat=bool(stored["flat"]))


def _plain(value: Any) -> Any:
    """Return the JSON form of an array, a collection, a path, a device or an encoder; name what has none."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Set):
        return sorted(value)
    if isinstance(value, PathLike):
        return os.fspath(value)
    if isinstance(value, torch.device):
        return str(value)
    if isinstance(value, np.random.RandomState):
        # It has moved on since the fit, so it would repeat nothing.
        return None
    if isinstance(value, PretrainedEncoder):
        return value.get_params()
    raise TypeError(
        f"A parameter of type {type(value).__name__} ({value!r}) cannot be saved as JSON: "
        "keep this classifier with joblib.dump."
    )
