"""The training room: skorch's loop around the network and the objective."""

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from sklearn.exceptions import ConvergenceWarning
from skorch.callbacks import (
    Callback,
    EarlyStopping,
    GradientNormClipping,
    LRScheduler,
)
from skorch.helper import predefined_split

from skhimatch.network.base import Network
from skhimatch.network.batches import InOrder, LengthBuckets, TextDataset
from skhimatch.network.objective import HiMatchLoss
from skhimatch.training.callbacks import Decide, EpochLine, ValidationF1
from skhimatch.training.checkpoints import EpochCheckpoint
from skhimatch.training.net import NonFiniteLossError, TrainingNet

__all__ = ["train", "train_one_epoch"]


# Past this norm a gradient is scaled down; sums over labels make for large ones.
GRADIENT_NORM = 5.0

WARM_UP = 0.1


def build_training_net(
    network: Network,
    criterion: HiMatchLoss,
    *,
    learning_rate: float,
    encoder_learning_rate: float,
    batch_size: int,
    max_epochs: int,
    device: torch.device,
    precision: torch.dtype,
    callbacks: Sequence[Any],
    net_params: dict[str, Any],
    verbose: int,
    validation: TextDataset | None = None,
    decide: Decide | None = None,
) -> TrainingNet:
    """Put network, objective, optimiser and callbacks together in one skorch net."""
    own: list[Callback] = [GradientNormClipping(GRADIENT_NORM)]
    if validation is not None and decide is not None:
        own.append(ValidationF1(decide))
    # The line shows the scores, and has to be out before a callback stops the training.
    own.append(EpochLine())
    settings: dict[str, Any] = {
        "optimizer": torch.optim.Adam,
        "optimizer__fused": True,
        "lr": learning_rate,
        "batch_size": batch_size,
        "max_epochs": max_epochs,
        "iterator_train": LengthBuckets,
        "iterator_valid": InOrder,
        "train_split": None if validation is None else predefined_split(validation),
        "callbacks": [*own, *callbacks],
        "device": device,
        "precision": precision,
        "encoder_learning_rate": encoder_learning_rate,
        "verbose": verbose,
    } | net_params
    if settings["optimizer"] is not torch.optim.Adam and "optimizer__fused" not in net_params:
        del settings["optimizer__fused"]
    return TrainingNet(network, criterion, **settings).initialize()


def train(
    network: Network,
    criterion: HiMatchLoss,
    training: TextDataset,
    validation: TextDataset | None,
    *,
    decide: Decide,
    max_epochs: int,
    batch_size: int,
    learning_rate: float,
    encoder_learning_rate: float,
    schedule: str,
    patience: int | None,
    device: torch.device,
    precision: torch.dtype,
    callbacks: Sequence[Any] | None,
    net_params: dict[str, Any],
    verbose: int,
    checkpoint: EpochCheckpoint | None = None,
) -> list[dict[str, Any]]:
    """Fit the network in place; its best epoch's weights remain.

    Parameters
    ----------
    network, criterion
        What to train and by which objective; moved to `device`.
    training, validation : TextDataset
        Without a validation set every epoch runs and the last one counts.
    decide : callable
        Probabilities to indicator, for the validation scores.
    max_epochs, batch_size, learning_rate, encoder_learning_rate
        As in the classifier.
    schedule : {"one-cycle", "constant"}
        "one-cycle" warms up to `learning_rate` and decays to zero.
    patience : int or None
        Epochs in a row below the best micro-F1 + macro-F1 before stopping.
    device : torch.device
        Where to train.
    precision : torch.dtype
        The numbers to train with.
    callbacks : sequence of skorch callbacks, or None
        Run after the built-in ones.
    net_params : dict
        Further arguments of ``skorch.NeuralNet``.
    verbose : int
        0 is silent.
    checkpoint : EpochCheckpoint, optional
        Keeps each epoch on disk; training goes on from those that are there.

    Returns
    -------
    list of dict
        One record an epoch.

    Raises
    ------
    NonFiniteLossError
        When the loss is NaN or infinite before any epoch is complete. After
        one, its weights are restored with a ConvergenceWarning instead.
    KeyboardInterrupt
        When interrupted before any epoch is complete. After one, the best
        epoch's weights remain.
    """
    # Without validation no epoch is better than a later one.
    monitor = "epoch" if validation is None else "valid_score"
    own: list[Callback] = []
    if schedule == "one-cycle":
        # One step more than batches: OneCycleLR refuses to go past its end.
        steps = max_epochs * -(-len(training) // batch_size) + 1
        own.append(
            LRScheduler(
                policy=_one_cycle,
                total_steps=steps,
                step_every="batch",
            )
        )
    own.append(
        EarlyStopping(
            monitor,
            patience=-1 if patience is None else patience,
            # As good as the best is better: a small validation set has many ties, and the later
            # epoch knows more.
            threshold=-1e-9,
            threshold_mode="abs",
            lower_is_better=False,
            load_best=True,
        )
    )
    net = build_training_net(
        network,
        criterion,
        learning_rate=learning_rate,
        encoder_learning_rate=encoder_learning_rate,
        batch_size=batch_size,
        max_epochs=max_epochs,
        device=device,
        precision=precision,
        callbacks=[*own, *(callbacks or []), *([] if checkpoint is None else [checkpoint])],
        net_params=net_params,
        verbose=verbose,
        validation=validation,
        decide=decide,
    )
    try:
        net.partial_fit(training, epochs=max_epochs - (0 if checkpoint is None else checkpoint.n_done))
    except NonFiniteLossError as error:
        complete = _complete_epochs(net)
        if not complete:
            raise
        # Make the interrupted epoch count for nothing, so that the best one is restored.
        net.notify("on_train_end", X=training, y=None)
        warnings.warn(
            f"{error} The weights of the best of {len(complete)} complete epochs were restored.",
            ConvergenceWarning,
            stacklevel=2,
        )
    return _more_epochs(net, 0)


def _one_cycle(
    optimizer: torch.optim.Optimizer, *, total_steps: int, last_epoch: int = -1
) -> torch.optim.lr_scheduler.OneCycleLR:
    """Warm each group of weights up to its learning rate, then decay it to zero."""
    # A warm-up that ends with the very first step is divided by its length, zero.
    warm_up = WARM_UP if WARM_UP * total_steps != 1 else 1.5 * WARM_UP
    return torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=[group["lr"] for group in optimizer.param_groups],
        total_steps=total_steps,
        pct_start=warm_up,
        cycle_momentum=False,
        last_epoch=last_epoch,
    )


def train_one_epoch(net: TrainingNet, training: TextDataset) -> dict[str, Any]:
    """Run one more epoch of a net that `build_training_net` made, and return its record."""
    complete = len(_complete_epochs(net))
    net.partial_fit(training, epochs=1)
    return _more_epochs(net, complete)[-1]


def _more_epochs(net: TrainingNet, before: int) -> list[dict[str, Any]]:
    """Return the complete epochs, of which there have to be more than before."""
    complete = _complete_epochs(net)
    if len(complete) == before:
        # skorch takes an interrupt for a wish to keep what was learned; here that is nothing.
        raise KeyboardInterrupt("Interrupted before an epoch was complete.")
    return complete


def _complete_epochs(net: TrainingNet) -> list[dict[str, Any]]:
    """Return a record an epoch that reached its end, without the batches."""
    return [
        {
            name: value
            for name, value in epoch.items()
            if name != "batches" and not name.endswith(("_best", "_batch_count"))
        }
        for epoch in net.history
        if "docs_per_second" in epoch
    ]
