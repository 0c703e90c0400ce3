"""A fitted state as a folder of JSON and arrays, without pickle."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, fields, is_dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import clone

from skhimatch.choices import Choices
from skhimatch.evaluation.decisions import DecisionRule, check_threshold
from skhimatch.evaluation.metrics import MicroMacroF1
from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.parameters import Parameters
from skhimatch.scores.calibration import calibration_from_arrays
from skhimatch.scores.characters import CharacterFeatures
from skhimatch.scores.ensemble import MEANING, Ensemble
from skhimatch.scores.names import LabelNames
from skhimatch.scores.networks import NetworkScorer
from skhimatch.scores.ngram_classifier import NGramClassifier
from skhimatch.scores.ngrams import NGramFeatures
from skhimatch.scores.path_choice import PathChoice
from skhimatch.scores.stacking import StackingWeights
from skhimatch.scores.state import ScorerState
from skhimatch.scores.training_labels import TrainingLabels
from skhimatch.state import FittedState
from skhimatch.storage import folder as storage
from skhimatch.storage.arrays import of_shape, positions, read_arrays, write_arrays
from skhimatch.storage.errors import ModelFormatError, damage_named
from skhimatch.storage.folder import FORMAT, read_folder, write_folder
from skhimatch.storage.values import check, from_json
from skhimatch.text.pretrained import PretrainedEncoder
from skhimatch.text.sequences import Vocabulary
from skhimatch.text.subwords import SubwordTokenizer
from skhimatch.text.words import WordTokenizer

__all__ = ["check_folder", "load", "save"]

DESCRIPTION, WEIGHTS, ENCODER = "description.json", "weights.npz", "encoder"
# For people; `load` does not read it.
CARD = "README.md"

# Parameters that are not written. Their effect is in the state.
NOT_SAVED = ("hierarchy", "tokenizer", "word_vectors", "callbacks")
# What the description of format 12 does not have, and what was so then.
LATER: dict[str, dict[str, Any]] = {"parameters": {"warm_start": False}, "choices": {"calibration": None}}
# The networks of an ensemble, in the order in which they are trained.
NETWORKS = ("words", "pretrained")
# Files that no save writes, and from which transformers would run code or load another model.
NOT_OF_AN_ENCODER = (".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".pkl", ".py")
NAMES_NOT_OF_AN_ENCODER = ("adapter_config.json", "modules.json")


@dataclass(frozen=True)
class _StoredHierarchy:
    labels: list[str]
    edges: list[tuple[int, int]]
    flat: bool


@dataclass(frozen=True)
class _StoredPathChoice:
    weights: dict[str, float]
    above: dict[str, float]
    beyond: dict[str, float]
    inner: float
    nothing: float | None


@dataclass(frozen=True)
class _StoredStackingWeights:
    weights: dict[str, float]
    intercept: float
    slopes: dict[str, float]
    slope: float
    by_frequency: bool


@dataclass(frozen=True)
class _StoredDecision:
    consistency: str | None
    decoding: str
    unlabelled: bool
    one_path: bool
    closed: bool
    n_labels: int | None


@dataclass(frozen=True)
class _Description:
    """Everything but the arrays, as it is in ``description.json``."""

    parameters: dict[str, Any]
    hierarchy: _StoredHierarchy
    tokenizer: dict[str, Any] | None
    vocabulary: tuple[str, ...]
    scorers: dict[str, dict[str, Any]]
    shortlist_size: int | None
    stacking: _StoredPathChoice | _StoredStackingWeights
    n_texts: float
    decision: _StoredDecision
    validation_f1: tuple[float, float] | None
    history: list[dict[str, Any]]
    sparse_output: bool
    seed: int
    choices: Choices


def save(state: FittedState, parameters: Mapping[str, Any], folder: str | PathLike[str], card: str) -> None:
    """Write a fitted state and the classifier's parameters to a folder.

    See `skhimatch.storage.folder` for its files. A pretrained encoder is written by its own
    ``save_pretrained``, unless it is frozen and not to be stored. The folder holds the old classifier or the
    new one at every moment. Word vectors, callbacks, a `random_state` that is no integer, and the unfitted
    hierarchy and tokenizer are not written: their effect is in the weights, in the fitted hierarchy and in
    the vocabulary.

    Parameters
    ----------
    state : FittedState
        What to write.
    parameters : mapping of str to objects
        The classifier's parameters.
    folder : path
        Created. If it holds a saved classifier, this is replaced.
    card : str
        What people read of it, in Markdown.

    Raises
    ------
    FileExistsError
        When the folder holds something else.
    TypeError
        When the tokenizer is not one of this package's, or a parameter has no JSON form.
    ValueError
        When a weight is not finite, or beyond 1e12.
    """
    folder = check_folder(folder)
    scorers = _scorer_states(state.ensemble)
    description = json.dumps(_describe(state, parameters, scorers), indent=1, default=_plain)
    # What `load` would refuse is not written.
    from_json(_Description, json.loads(description), "the description")
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
    if state.ensemble.calibration is not None:
        for name, array in state.ensemble.calibration.arrays().items():
            arrays[f"calibration.{name}"] = array

    def write(of_save: Path) -> None:
        """Write all files."""
        write_arrays(of_save / WEIGHTS, arrays)
        (of_save / DESCRIPTION).write_text(description, encoding="utf-8")
        # Names of labels may hold lone surrogates, which UTF-8 does not have.
        (of_save / CARD).write_text(card, encoding="utf-8", errors="replace")
        for scorer in scorers.values():
            if scorer.write_encoder is not None:
                scorer.write_encoder(of_save / ENCODER)

    write_folder(folder, write)


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
    return storage.check_folder(Path(folder))


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
        The classifier's parameters, the fitted hierarchy and an unfitted tokenizer among them. The caller has
        to check their values.

    Raises
    ------
    FileNotFoundError
        When the folder is missing, or is no saved classifier.
    ModelFormatError
        When it was written in another format than this version reads, or is damaged or incomplete.
    OSError
        When an encoder that was not stored cannot be loaded by its name.
    """
    return read_folder(Path(folder), _read)


def _read(of_save: Path, format: int) -> tuple[FittedState, dict[str, Any]]:
    """Read the files of one save."""
    for name in (DESCRIPTION, WEIGHTS):
        if not (of_save / name).is_file():
            raise ModelFormatError(f"{of_save / name} is missing: copy the whole folder {of_save.parent}.")
    with damage_named(of_save / DESCRIPTION):
        stored = json.loads((of_save / DESCRIPTION).read_text(encoding="utf-8"))
        description = from_json(
            _Description, stored if format == FORMAT else _completed(stored), "the description"
        )
    with damage_named(of_save / WEIGHTS):
        arrays = read_arrays(of_save / WEIGHTS)
    encoder = of_save / ENCODER
    for path in encoder.rglob("*"):
        if path.suffix.lower() in NOT_OF_AN_ENCODER or path.name in NAMES_NOT_OF_AN_ENCODER:
            raise ModelFormatError(f"{path} is no file that `save` writes: save the classifier again.")
    return _rebuild(of_save, description, arrays)


def _scorer_states(ensemble: Ensemble) -> dict[str, ScorerState]:
    """Return the state of each scorer, by name."""
    states = {name: scorer.state() for name, scorer in ensemble.networks.items()}
    if ensemble.ngrams is not None and ensemble.names is not None:
        states |= {"ngrams": ensemble.ngrams.state(), "names": ensemble.names.state()}
    if ensemble.characters is not None:
        states["characters"] = ensemble.characters.state()
    return states


def _described_stacking(stacking: StackingWeights | PathChoice) -> _StoredPathChoice | _StoredStackingWeights:
    """Return the numbers of the stacking weights; frequency and paths are those of the training labels."""
    if isinstance(stacking, PathChoice):
        return _StoredPathChoice(
            dict(stacking.weights),
            dict(stacking.above),
            dict(stacking.beyond),
            stacking.inner,
            stacking.nothing,
        )
    return _StoredStackingWeights(
        dict(stacking.weights),
        stacking.intercept,
        dict(stacking.slopes),
        stacking.slope,
        by_frequency=stacking.frequency is not None,
    )


def _stacking(
    stored: _StoredPathChoice | _StoredStackingWeights, labels: TrainingLabels, scores: Set[str]
) -> StackingWeights | PathChoice:
    """Rebuild the stacking weights, which have to be those of the scores that the scorers return."""
    check("stacking.weights", stored.weights.keys() == scores, f"is not for {', '.join(sorted(scores))}")
    if isinstance(stored, _StoredPathChoice):
        for part in ("above", "beyond"):
            check(f"stacking.{part}", getattr(stored, part).keys() == scores, "has other names than weights")
        check("decision.path_ends", labels.paths is not None, "is missing: weights are for paths")
        assert labels.paths is not None
        check("decision.path_ends", len(labels.paths.ends) > 0, "is empty")
        return PathChoice(labels.paths, **vars(stored))
    check("stacking.slopes", stored.slopes.keys() <= scores, "has names that weights have not")
    frequency = labels.frequency if stored.by_frequency else None
    return StackingWeights(stored.weights, stored.intercept, stored.slopes, stored.slope, frequency)


def _describe(
    state: FittedState, parameters: Mapping[str, Any], scorers: Mapping[str, ScorerState]
) -> _Description:
    """Return everything but the arrays."""
    tokenizer = state.tokenizer
    if type(tokenizer) is SubwordTokenizer:
        # The subwords' part is saved with the encoder.
        tokenizer = tokenizer.words_
    if tokenizer is not None and type(tokenizer) is not WordTokenizer:
        raise TypeError(
            f"save() writes a WordTokenizer or a SubwordTokenizer, not a {type(tokenizer).__name__}: "
            "keep this classifier with joblib.dump."
        )
    hierarchy, decision, f1 = state.hierarchy, state.decision, state.validation_f1
    return _Description(
        parameters={name: value for name, value in parameters.items() if name not in NOT_SAVED},
        hierarchy=_StoredHierarchy(list(hierarchy.labels), hierarchy.edges.tolist(), hierarchy.is_flat),
        tokenizer=None if tokenizer is None else tokenizer.get_params(),
        vocabulary=state.vocabulary.words,
        scorers={name: dict(scorer.values) for name, scorer in scorers.items()},
        shortlist_size=state.ensemble.shortlist_size,
        stacking=_described_stacking(state.ensemble.stacking),
        n_texts=state.ensemble.labels.n_texts,
        decision=_StoredDecision(
            consistency=decision.consistency,
            decoding=decision.decoding,
            unlabelled=decision.unlabelled,
            one_path=decision.one_path,
            closed=decision.closed,
            n_labels=decision.n_labels,
        ),
        validation_f1=None if f1 is None else (f1.micro, f1.macro),
        history=list(state.history),
        sparse_output=state.sparse_output,
        seed=state.seed,
        choices=state.choices,
    )


def _rebuild(
    of_save: Path, description: _Description, arrays: Mapping[str, NDArray[Any]]
) -> tuple[FittedState, dict[str, Any]]:
    """Rebuild the state, and the parameters; everything that is used later is checked here."""
    with damage_named(of_save / DESCRIPTION):
        hierarchy = _hierarchy(description.hierarchy)
        vocabulary = Vocabulary(description.vocabulary)
        parameters = _parameters(description.parameters)
        parameters["hierarchy"] = None if hierarchy.is_flat else hierarchy
        check("seed", 0 <= description.seed < 2**32, "is out of range")
        check("n_texts", description.n_texts >= 0, "is negative")
        check("scorers", {*NETWORKS} & description.scorers.keys() != set(), "holds no network")
        unknown = description.scorers.keys() - {*NETWORKS, "ngrams", "names", "characters"}
        check(f"scorers.{', '.join(sorted(unknown))}", not unknown, "is unknown")
    encoder = of_save / ENCODER
    scorers: dict[str, Any] = {}
    for name, values in description.scorers.items():
        with damage_named(f"{of_save}, scorer {name!r},"):
            state = ScorerState(
                values, _with_prefix(name, arrays), encoder_folder=encoder if encoder.is_dir() else None
            )
            scorers[name] = REBUILD[name](state, hierarchy)
    with damage_named(of_save):
        n_labels = len(hierarchy)
        decision = _decision(arrays, hierarchy, description.decision)
        number = of_shape(arrays, "labels.number", (n_labels,), "if")
        check("labels.number", bool((number >= 0).all()), "is negative")
        labels = TrainingLabels.counted(number, description.n_texts, decision)
        ensemble = _ensemble(description, arrays, scorers, labels)
        _check_words(vocabulary, ensemble)
        unfitted, tokenizer = _tokenizers(description.tokenizer, vocabulary, ensemble)
        parameters["tokenizer"] = unfitted
        f1 = description.validation_f1
        fitted = FittedState(
            hierarchy=hierarchy,
            tokenizer=tokenizer,
            vocabulary=vocabulary,
            ensemble=ensemble,
            decision=decision,
            label_embeddings=of_shape(arrays, "label_embeddings", (n_labels, -1)),
            validation_f1=None if f1 is None else MicroMacroF1(*f1),
            history=tuple(description.history),
            sparse_output=description.sparse_output,
            seed=description.seed,
            choices=description.choices,
        )
        check("label_embeddings", fitted.label_embeddings.shape[1] > 0, "is empty")
    return fitted, parameters


def _completed(stored: Any) -> Any:
    """Add what the description of an older format lacks."""
    if not isinstance(stored, dict):
        return stored
    parts = {name: stored.get(name) for name in LATER}
    return stored | {name: LATER[name] | part for name, part in parts.items() if isinstance(part, dict)}


def _parameters(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of the classifier that were saved."""
    names = {field.name for field in fields(Parameters)} - {*NOT_SAVED}
    for name in sorted(names ^ stored.keys()):
        check(f"parameters.{name}", False, "is missing" if name in names else "is unknown")
    parameters = dict(stored)
    if isinstance(parameters["encoder"], dict):
        parameters["encoder"] = PretrainedEncoder(**parameters["encoder"]).check()
    if parameters["device"] != "auto":
        # Raises if there is no such kind of device; the machine may have none of it.
        torch.device(parameters["device"])
    return parameters


def _ensemble(
    description: _Description,
    arrays: Mapping[str, NDArray[Any]],
    scorers: Mapping[str, Any],
    labels: TrainingLabels,
) -> Ensemble:
    """Put the rebuilt scorers together."""
    networks = {name: scorers[name] for name in NETWORKS if name in scorers}
    lexical = "ngrams" in scorers
    check("scorers", lexical == ("names" in scorers), "holds one of 'ngrams' and 'names', but not the other")
    check("scorers", lexical or "characters" not in scorers, "holds 'characters' without 'ngrams'")
    n_labels, size = len(labels.hierarchy), description.shortlist_size
    check("shortlist_size", size is None or (lexical and 1 <= size <= n_labels), f"is {size}")
    by_network = {}
    for part in ("score_offsets", "mean_scores"):
        found = _with_prefix(part, arrays)
        check(part, found.keys() <= networks.keys(), "is of a network that is not there")
        by_network[part] = {name: of_shape(found, name, (n_labels,)) for name in found} or None
    scores = {*scorers} | {MEANING for scorer in networks.values() if scorer.scores_meaning}
    return Ensemble(
        networks=networks,
        ngrams=scorers.get("ngrams"),
        characters=scorers.get("characters"),
        names=scorers.get("names"),
        shortlist_size=size,
        labels=labels,
        stacking=_stacking(description.stacking, labels, scores),
        calibration=calibration_from_arrays(_with_prefix("calibration", arrays), n_labels),
        **by_network,
    )


def _check_words(vocabulary: Vocabulary, ensemble: Ensemble) -> None:
    """Raise a ValueError if a scorer is for more or fewer words than there are."""
    numbers = {}
    if ensemble.names is not None:
        numbers["names.prefixes.prefix_of_word"] = len(ensemble.names.prefixes.prefix_of_word)
    if "words" in ensemble.networks:
        settings: Any = ensemble.networks["words"].settings
        numbers["scorers.words.settings.vocabulary_size"] = settings.vocabulary_size
    for place, number in numbers.items():
        check(place, number == len(vocabulary), f"is {number:,}, and there are {len(vocabulary):,} words")


def _ngrams(state: ScorerState, hierarchy: LabelHierarchy) -> NGramClassifier:
    return NGramClassifier.from_state(state, NGramFeatures.from_state(state), hierarchy)


def _characters(state: ScorerState, hierarchy: LabelHierarchy) -> NGramClassifier:
    return NGramClassifier.from_state(state, CharacterFeatures.from_state(state), hierarchy)


# What rebuilds each scorer.
REBUILD: Mapping[str, Callable[[ScorerState, LabelHierarchy], Any]] = {
    "words": NetworkScorer.from_state,
    "pretrained": NetworkScorer.from_state,
    "ngrams": _ngrams,
    "characters": _characters,
    "names": LabelNames.from_state,
}


def _tokenizers(
    parameters: Mapping[str, Any] | None, vocabulary: Vocabulary, ensemble: Ensemble
) -> tuple[WordTokenizer | None, WordTokenizer | SubwordTokenizer | None]:
    """Return the unfitted tokenizer of words, and the fitted tokenizer."""
    if parameters is None:
        return None, None
    unfitted = WordTokenizer(**parameters)
    unfitted._validate_params()
    # Raises if the pattern is no regular expression.
    unfitted.tokenize("")
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
    arrays: Mapping[str, NDArray[Any]], hierarchy: LabelHierarchy, stored: _StoredDecision
) -> DecisionRule:
    n_labels = len(hierarchy)
    threshold, importance = "decision.threshold", "decision.importance"
    check(threshold, threshold in arrays, "is missing")
    path_ends, lowest = (
        positions(arrays, place, n_labels) if place in arrays else None
        for place in ("decision.path_ends", "decision.lowest")
    )
    check("decision.n_labels", stored.n_labels is None or stored.n_labels >= 1, f"is {stored.n_labels}")
    return DecisionRule(
        hierarchy=hierarchy,
        threshold=check_threshold(arrays[threshold], hierarchy.labels),
        tagged=of_shape(arrays, "decision.tagged", (n_labels,), "b"),
        importance=of_shape(arrays, importance, (n_labels,)) if importance in arrays else None,
        path_ends=path_ends,
        lowest=lowest,
        **vars(stored),
    )


def _with_prefix(name: str, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return the arrays of one scorer, without its name in front."""
    prefix = f"{name}."
    return {part.removeprefix(prefix): array for part, array in arrays.items() if part.startswith(prefix)}


def _hierarchy(stored: _StoredHierarchy) -> LabelHierarchy:
    labels, n_labels = stored.labels, len(stored.labels)
    for number, edge in enumerate(stored.edges):
        inside = all(0 <= position < n_labels for position in edge)
        check(f"hierarchy.edges[{number}]", inside, f"names labels {edge}, and there are {n_labels}")
    check("hierarchy.edges", not (stored.flat and stored.edges), "holds edges of a flat hierarchy")
    return LabelHierarchy.restored(labels, stored.edges, is_flat=stored.flat)


def _plain(value: Any) -> Any:
    """Return the JSON form of an array, a dataclass, a path, an encoder and so on; name what has none."""
    if is_dataclass(value):
        return dict(vars(value))
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
