"""A fitted classifier as one ONNX file."""

from __future__ import annotations

import errno
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from os import PathLike
from pathlib import Path
from typing import Any

import torch

import skhimatch
from skhimatch.evaluation.decisions import DecisionRule
from skhimatch.export.description import FORMAT, Description, StoredTokenizer, stored_decision
from skhimatch.export.digest import with_digest
from skhimatch.export.graph import EnsembleGraph
from skhimatch.scores.characters import CharacterFeatures
from skhimatch.scores.ngrams import NGramFeatures
from skhimatch.state import FittedState
from skhimatch.storage.replacing import replacing
from skhimatch.text.words import WordTokenizer

__all__ = ["to_onnx"]

# Texts, words and n-grams of the example with which the graph is traced. They are all variable in the graph.
EXAMPLE = {"batch": 3, "words": 11, "ngrams": 5, "characters": 7}
# Protocol buffers cannot be larger.
MAX_BYTES = 2**31 - 1
# These loggers report steps of the export that are no concern of the user.
LOGGERS = ("torch.onnx", "onnxscript", "onnx_ir")


def to_onnx(state: FittedState, decision: DecisionRule, path: str | PathLike[str]) -> None:
    """Write a fitted classifier as one ONNX file.

    Parameters
    ----------
    state : FittedState
        What to write.
    decision : DecisionRule
        How probabilities become labels.
    path : path
        The file. If it exists, it is replaced; at every moment it is the old one or the new one.

    Raises
    ------
    ImportError
        When onnx or onnxscript is not installed.
    FileNotFoundError, IsADirectoryError
        When no file can be written there.
    TypeError
        When the tokenizer is a class of the user.
    ValueError
        When the classifier reads with a pretrained encoder, or with a GRU and torch is older than 2.8, or the
        file would be larger than two gigabytes.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not path.resolve().parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path.parent))
    if "pretrained" in state.ensemble.networks:
        encoder: Any = state.network.text_encoder
        raise ValueError(
            "to_onnx writes networks of words, and this classifier reads with the pretrained encoder "
            f"{encoder.name!r}: fit a classifier with encoder='attention', or keep this one with save()."
        )
    description = _described(state, decision)
    for name in ("onnx", "onnxscript"):
        try:
            import_module(name)
        except ImportError as error:
            raise ImportError(f'to_onnx needs {name}: python -m pip install "skhimatch[onnx]"') from error
    model = with_digest(_model(EnsembleGraph(state.ensemble), description))
    with replacing(path) as unfinished:
        unfinished.write_bytes(model)


def _described(state: FittedState, decision: DecisionRule) -> Description:
    tokenizer, ensemble = state.tokenizer, state.ensemble
    if tokenizer is not None and type(tokenizer) is not WordTokenizer:
        raise TypeError(
            f"to_onnx writes a WordTokenizer, not a {type(tokenizer).__name__}: fit the classifier on the "
            "TokenSequences that your tokenizer returns. Then the file holds no tokenizer, and you pass "
            "TokenSequences to OnnxClassifier, too."
        )
    ngrams = None if ensemble.ngrams is None else ensemble.ngrams.ngrams
    characters = None if ensemble.characters is None else ensemble.characters.ngrams
    assert ngrams is None or isinstance(ngrams, NGramFeatures)
    assert characters is None or isinstance(characters, CharacterFeatures)
    return Description(
        format=FORMAT,
        version=skhimatch.__version__,
        labels=list(state.hierarchy.labels),
        edges=state.hierarchy.edges.tolist(),
        flat=state.hierarchy.is_flat,
        tokenizer=None if tokenizer is None else StoredTokenizer.of(tokenizer),
        vocabulary=state.vocabulary.words,
        ngrams=None if ngrams is None else ngrams.codes.tolist(),
        characters=None if characters is None else list(characters.ngrams),
        decision=stored_decision(decision),
        sparse_output=state.sparse_output,
    )


def _model(graph: EnsembleGraph, description: Description) -> bytes:
    """Trace the graph, and return the serialised model with its description."""
    names = ["words"]
    for name in ("ngrams", "characters"):
        if getattr(description, name) is not None:
            names += [name, f"{name}_counts"]
    batch = torch.export.Dim("batch")
    widths = {name: torch.export.Dim(name) for name in ("words", "ngrams", "characters")}
    example, shapes = [], []
    for name in names:
        kind = name.removesuffix("_counts")
        dtype = torch.float32 if name.endswith("_counts") else torch.int64
        example.append(torch.ones(EXAMPLE["batch"], EXAMPLE[kind], dtype=dtype))
        shapes.append({0: batch, 1: widths[kind]})
    with torch.no_grad(), _quiet():
        program: Any = torch.onnx.export(
            graph,
            tuple(example),
            input_names=names,
            output_names=["probabilities"],
            dynamic_shapes=tuple(shapes),
            dynamo=True,
            verbose=False,
        )
    model = program.model_proto
    # These name the lines of code, with the folders of this machine.
    for node in [*model.graph.node, *(node for function in model.functions for node in function.node)]:
        del node.metadata_props[:]
        node.doc_string = ""
    del model.graph.value_info[:]
    del model.metadata_props[:]
    for name, value in description.metadata().items():
        model.metadata_props.add(key=name, value=value)
    model.producer_name, model.producer_version = "skhimatch", description.version
    if model.ByteSize() > MAX_BYTES:
        raise ValueError(
            f"The classifier takes {model.ByteSize():,} bytes, and an ONNX file has at most {MAX_BYTES:,}: "
            "fit one with a smaller vocabulary, WordTokenizer(max_vocabulary=...), or with lexical=None."
        )
    return model.SerializeToString()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what torch.onnx says about itself from the user."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        # torch 2.13 copies a class that it has deprecated.
        warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning)
        # Two inputs share the size of a batch.
        warnings.filterwarnings("ignore", "# The axis name: .* will not be used", UserWarning)
        try:
            for logger in loggers:
                logger.setLevel(logging.ERROR)
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
