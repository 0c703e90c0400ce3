"""What a long fit has done so far, on disk: another fit of the same goes on from there."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import scipy.sparse as sp
import torch
from skorch import NeuralNet
from skorch.callbacks import Callback, EarlyStopping, LRScheduler
from skorch.history import History

from skhimatch.network.batches import TextDataset
from skhimatch.scores.ngrams import NGramClassifier

__all__ = ["Checkpoints", "EpochCheckpoint"]

MARK, EPOCHS = "fit.txt", "epochs-{}.pt"


class Checkpoints:
    """A folder that belongs to one fit.

    Parameters
    ----------
    folder : path
        Created where it is not there.
    *what : anything that joblib can hash
        All that the result depends on.

    Raises
    ------
    ValueError
        When the folder holds the checkpoints of a fit of something else.
    """

    def __init__(self, folder: str | PathLike[str], *what: Any) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        mark, digest = self.folder / MARK, joblib.hash(what)
        if mark.exists() and mark.read_text() != digest:
            raise ValueError(
                f"{self.folder} holds checkpoints of another fit: of other texts, targets or parameters, or "
                "by another version. Empty it, or choose another folder."
            )
        mark.write_text(digest)

    def ngrams(
        self, name: str, blank: NGramClassifier, train: Callable[[], NGramClassifier]
    ) -> NGramClassifier:
        """Read a trained lexical classifier, or train it and write it down.

        Parameters
        ----------
        name : str
            What tells it from others of this fit.
        blank : NGramClassifier
            With its n-grams, which are not written.
        train : callable
            Trains it.

        Returns
        -------
        NGramClassifier
        """
        path = self.folder / f"ngrams-{name}.npz"
        if path.exists():
            with np.load(path, allow_pickle=False) as saved:
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
        """Return the callback that keeps each epoch of a network, and goes on from the last one.

        Parameters
        ----------
        network : str
            The network's name.
        """
        return EpochCheckpoint(self.folder / EPOCHS.format(network))


class EpochCheckpoint(Callback):
    """Write down after each epoch all that the next one depends on, and begin from there.

    To be the last of a net's callbacks, for the others' state to be of the same epoch. What follows is bit
    by bit what would have followed without an interruption.

    Parameters
    ----------
    path : Path
        A file of tensors and plain values.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def n_done(self) -> int:
        """Epochs that are on disk."""
        return len(self._read()["history"]) if self.path.exists() else 0

    def on_train_begin(self, net: NeuralNet, X: Any = None, **kwargs: Any) -> None:
        """Go on from the last epoch, where there is one."""
        if not self.path.exists():
            return
        state = self._read()
        net.module_.load_state_dict(state["module"])
        net.optimizer_.load_state_dict(state["optimizer"])
        net.history = History([epoch | {"batches": []} for epoch in state["history"]])
        for callback, saved in zip(_stateful(net), state["callbacks"], strict=True):
            if isinstance(callback, LRScheduler):
                callback.batch_idx_ = saved["batch_idx"]
                callback.lr_scheduler_.load_state_dict(saved["scheduler"])
            else:
                vars(callback).update(saved)
        torch.set_rng_state(state["torch_random"])
        if "cuda_random" in state:
            torch.cuda.set_rng_state(state["cuda_random"], net.device)
        draws = _draws(X)
        if draws is not None:
            numbers = state["draws"]
            key = numbers["key"].numpy().astype(np.uint32)
            draws.set_state(("MT19937", key, numbers["pos"], numbers["has_gauss"], numbers["gauss"]))
        if net.verbose:
            print(f"{self.path}: going on after epoch {len(net.history)}", flush=True)

    def on_epoch_end(self, net: NeuralNet, dataset_train: Any = None, **kwargs: Any) -> None:
        """Write the epoch down."""
        state: dict[str, Any] = {
            "module": net.module_.state_dict(),
            "optimizer": net.optimizer_.state_dict(),
            "history": [
                {name: value for name, value in epoch.items() if name != "batches"} for epoch in net.history
            ],
            "callbacks": [_state(callback) for callback in _stateful(net)],
            "torch_random": torch.get_rng_state(),
        }
        if torch.device(net.device).type == "cuda":
            state["cuda_random"] = torch.cuda.get_rng_state(net.device)
        draws = _draws(dataset_train)
        if draws is not None:
            numbers: Any = draws.get_state(legacy=False)
            state["draws"] = {
                "key": torch.from_numpy(numbers["state"]["key"].astype(np.int64)),
                "pos": numbers["state"]["pos"],
                "has_gauss": numbers["has_gauss"],
                "gauss": numbers["gauss"],
            }
        _write(self.path, lambda file: torch.save(_plain(state), file))

    def _read(self) -> dict[str, Any]:
        return torch.load(self.path, map_location="cpu", weights_only=True)


def _stateful(net: NeuralNet) -> list[Callback]:
    """List the callbacks that remember something from one epoch to the next."""
    return [callback for _, callback in net.callbacks_ if isinstance(callback, LRScheduler | EarlyStopping)]


def _state(callback: Callback) -> dict[str, Any]:
    if isinstance(callback, LRScheduler):
        return {"batch_idx": callback.batch_idx_, "scheduler": callback.lr_scheduler_.state_dict()}
    names = ("misses_", "dynamic_threshold_", "best_epoch_", "best_model_weights_")
    return {name: getattr(callback, name) for name in names}


def _plain(value: Any) -> Any:
    """Turn numpy's scalars, which are more than values to torch, into Python's."""
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value.item() if isinstance(value, np.generic) else value


def _draws(dataset: Any) -> np.random.RandomState | None:
    has_shortlist = isinstance(dataset, TextDataset) and dataset.shortlist is not None
    return dataset.shortlist.rng if has_shortlist else None


def _write(path: Path, write: Callable[[Any], object]) -> None:
    """Let a file appear whole or not at all."""
    unfinished = path.with_suffix(".unfinished")
    with unfinished.open("wb") as file:
        write(file)
    unfinished.replace(path)
