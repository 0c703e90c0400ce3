"""Checkpoints: files from which another fit with the same data and parameters continues."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import scipy.sparse as sp
import torch
from skorch.callbacks import (
    BatchScoring,
    Callback,
    EarlyStopping,
    EpochScoring,
    LRScheduler,
    PassthroughScoring,
)
from skorch.history import History

from skhimatch.network.batches import TextDataset
from skhimatch.progress import say
from skhimatch.scores.ngram_classifier import NGramClassifier
from skhimatch.training.net import TrainingNet

__all__ = ["CheckpointError", "Checkpoints", "EpochCheckpoint", "read_checked"]

MARK, EPOCHS, NGRAMS = "fit.txt", "epochs-{}.pt", "ngrams-{}.npz"
OTHERS = EPOCHS.format("*"), NGRAMS.format("*")
# The attributes of callbacks that change from one epoch to the next.
STATE_OF_STOPPING = ("misses_", "dynamic_threshold_", "best_epoch_", "best_model_weights_")
SCORING = (BatchScoring, EpochScoring, PassthroughScoring)


class CheckpointError(ValueError):
    """A folder holds checkpoints of another fit, or damaged ones."""


class Checkpoints:
    """A folder with the checkpoints of one fit.

    Parameters
    ----------
    folder : path
        It is created if it does not exist.
    *what : objects that joblib can hash
        Everything that the result of the fit depends on.

    Raises
    ------
    CheckpointError
        If the folder contains checkpoints of a fit with other data or parameters, or of an unknown fit.
    """

    def __init__(self, folder: str | PathLike[str], *what: Any) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        mark, digest = self.folder / MARK, joblib.hash(what)
        if not mark.exists():
            others = [path.name for name in OTHERS for path in self.folder.glob(name)]
            if others:
                raise CheckpointError(
                    f"{self.folder} holds {others[0]} but no {MARK}, so that it is unknown of which fit it "
                    "is. Empty the folder, or choose another one."
                )
            _exchange(mark, lambda file: file.write(digest.encode()))
        elif mark.read_bytes() != digest.encode():
            raise CheckpointError(
                f"{self.folder} holds checkpoints of another fit: its texts, targets, hierarchy, parameters, "
                "files or version of this package are different. Empty the folder, or choose another one."
            )

    def ngrams(
        self, name: str, blank: NGramClassifier, train: Callable[[], NGramClassifier]
    ) -> NGramClassifier:
        """Read a trained n-gram classifier, or train it and write it to a file.

        Parameters
        ----------
        name : str
            A name that no other n-gram classifier of this fit has.
        blank : NGramClassifier
            An untrained classifier with its n-grams, which are not in the file.
        train : callable
            Returns the trained classifier.

        Returns
        -------
        NGramClassifier
        """
        path = self.folder / NGRAMS.format(name)
        if path.exists():
            with np.load(read_checked(path), allow_pickle=False) as saved:
                parts = (saved["data"], saved["indices"], saved["indptr"])
                weight = sp.csr_array(parts, shape=blank.weight.shape)
                return NGramClassifier(blank.ngrams, weight, saved["bias"])
        trained = train()
        weight = trained.weight
        _write(
            path,
            lambda file: np.savez(
                file, data=weight.data, indices=weight.indices, indptr=weight.indptr, bias=trained.bias
            ),
        )
        return trained

    def epochs(self, network: str) -> EpochCheckpoint:
        """Return the callback that writes the epochs of a network, and continues after the last one.

        Parameters
        ----------
        network : str
            The network's name.

        Returns
        -------
        EpochCheckpoint
        """
        return EpochCheckpoint(self.folder / EPOCHS.format(network))


class EpochCheckpoint(Callback):
    """Write after each epoch everything that the next epoch depends on, and continue from there.

    All weights are equal bit by bit to those of a fit without an interruption. This callback has to be the
    last one of a net, so that the states of the other callbacks belong to the same epoch.

    Parameters
    ----------
    path : Path
        A file with tensors and plain values.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def n_done(self) -> int:
        """The number of epochs in the file."""
        return len(self._read()["history"]) if self.path.exists() else 0

    def on_train_begin(self, net: TrainingNet, X: Any = None, **kwargs: Any) -> None:
        """Restore the state after the last epoch in the file, if there is a file."""
        if not self.path.exists():
            return
        state = self._read()
        net.module_.load_state_dict(state["module"])
        net.optimizer_.load_state_dict(state["optimizer"])
        net.history = History([epoch | {"batches": []} for epoch in state["history"]])
        for name, callback in net.callbacks_:
            if name in state["callbacks"]:
                _restore(callback, state["callbacks"][name])
        for device, generator in _generators(net).items():
            if device in state["generators"]:
                generator.set_state(state["generators"][device])
        rng = _rng_of_shortlist(X)
        if rng is not None:
            saved = state["rng"]
            key = saved["key"].numpy().astype(np.uint32)
            rng.set_state(("MT19937", key, saved["pos"], saved["has_gauss"], saved["gauss"]))
        say(f"{self.path}: going on after epoch {len(net.history)}", shown=bool(net.verbose))

    def on_epoch_end(self, net: TrainingNet, dataset_train: Any = None, **kwargs: Any) -> None:
        """Write the state after this epoch."""
        states = {name: _state(callback) for name, callback in net.callbacks_}
        state: dict[str, Any] = {
            "module": net.module_.state_dict(),
            "optimizer": net.optimizer_.state_dict(),
            "history": [
                {name: value for name, value in epoch.items() if name != "batches"} for epoch in net.history
            ],
            "callbacks": {name: of_callback for name, of_callback in states.items() if of_callback},
            "generators": {device: generator.get_state() for device, generator in _generators(net).items()},
        }
        rng = _rng_of_shortlist(dataset_train)
        if rng is not None:
            numbers: Any = rng.get_state(legacy=False)
            state["rng"] = {
                "key": torch.from_numpy(numbers["state"]["key"].astype(np.int64)),
                "pos": numbers["state"]["pos"],
                "has_gauss": numbers["has_gauss"],
                "gauss": numbers["gauss"],
            }
        _write(self.path, lambda file: torch.save(_plain(state), file))

    def _read(self) -> dict[str, Any]:
        return torch.load(read_checked(self.path), map_location="cpu", weights_only=True)


def _state(callback: Callback) -> dict[str, Any]:
    """Return what a callback stores from one epoch to the next."""
    if isinstance(callback, LRScheduler):
        return {"batch_idx": callback.batch_idx_, "scheduler": callback.lr_scheduler_.state_dict()}
    if isinstance(callback, EarlyStopping):
        return {name: getattr(callback, name) for name in STATE_OF_STOPPING}
    if isinstance(callback, SCORING):
        return {"best_score_": callback.best_score_}
    return {}


def _restore(callback: Callback, state: dict[str, Any]) -> None:
    if isinstance(callback, LRScheduler):
        callback.batch_idx_ = state["batch_idx"]
        callback.lr_scheduler_.load_state_dict(state["scheduler"])
    else:
        vars(callback).update(state)


def _generators(net: TrainingNet) -> dict[str, torch.Generator]:
    """Return the generators that training draws from, by the type of their device."""
    if net.generators_ is None:
        return {}
    devices = (torch.device("cpu"), torch.device(net.device))
    return {device.type: net.generators_.on(device) for device in devices}


def _plain(value: Any) -> Any:
    """Replace numpy's scalars by Python's: ``torch.load`` accepts only these without pickle."""
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value.item() if isinstance(value, np.generic) else value


def _rng_of_shortlist(dataset: Any) -> np.random.RandomState | None:
    has_shortlist = isinstance(dataset, TextDataset) and dataset.shortlist is not None
    return dataset.shortlist.rng if has_shortlist else None


def _write(path: Path, write: Callable[[Any], object]) -> None:
    """Write a file that `read_checked` reads: a digest, and behind it the content."""
    content = io.BytesIO()
    write(content)
    view = content.getbuffer()

    def both(file: Any) -> None:
        file.write(hashlib.sha256(view).digest())
        file.write(view)

    _exchange(path, both)


def read_checked(path: Path) -> io.BytesIO:
    """Return the content of a file of checkpoints.

    Parameters
    ----------
    path : Path
        The digest of the content, 32 bytes, and the content.

    Returns
    -------
    io.BytesIO

    Raises
    ------
    CheckpointError
        If the content has another digest: the file is truncated or damaged.
    """
    whole = memoryview(path.read_bytes())
    if hashlib.sha256(whole[32:]).digest() != whole[:32]:
        raise CheckpointError(
            f"{path} is damaged. Delete this file: then the next fit repeats what it held, and nothing else."
        )
    return io.BytesIO(whole[32:])


def _exchange(path: Path, write: Callable[[Any], object]) -> None:
    """Write a file in such a way that an interruption or a full disk leaves the old file, or none."""
    unfinished = path.with_name(f"{path.name}.unfinished")
    try:
        with unfinished.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
