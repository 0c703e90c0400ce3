"""Training of a network: skorch's loop with the callbacks and settings of this package."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from sklearn.exceptions import ConvergenceWarning
from skorch.callbacks import EarlyStopping, LRScheduler
from skorch.helper import predefined_split

from skhimatch.network.base import Network
from skhimatch.network.batches import InOrder, LengthBuckets, TextDataset
from skhimatch.network.objective import HiMatchLoss
from skhimatch.network.random_numbers import Generators
from skhimatch.training.callbacks import Decide, EpochLine, TrainingBar, ValidationF1, check_callbacks
from skhimatch.training.checkpoints import EpochCheckpoint
from skhimatch.training.net import NonFiniteLossError, TrainingNet
from skhimatch.training.row_adam import ClipGradients, RowAdam, sparse_word_gradients, updates_rows
from skhimatch.warn_user import warn_user

__all__ = ["TrainingSettings", "build_training_net", "train", "train_one_epoch"]


# Gradients with a larger norm are scaled down to it. The loss is a sum over labels, so norms can be large.
GRADIENT_NORM = 5.0
# The share of all steps in which the learning rate rises.
WARM_UP = 0.1


@dataclass(frozen=True)
class TrainingSettings:
    """How to train a network.

    Attributes
    ----------
    max_epochs : int
        Passes over the training texts.
    batch_size : int
        Texts per step.
    learning_rate : float
        The highest learning rate.
    encoder_learning_rate : float
        The highest learning rate of the last layer of a pretrained encoder.
    layer_decay : float
        The learning rate of a layer of a pretrained encoder divided by that of the layer above.
    schedule : {"one-cycle", "constant"}
        "one-cycle" raises the learning rate up to `learning_rate`, and then lowers it to zero.
    patience : int or None
        Training stops after so many epochs in a row with a lower micro-F1 + macro-F1 than the best one. None
        never stops it.
    device : torch.device
        Where to train.
    precision : torch.dtype
        The type of the numbers in the forward and backward pass.
    callbacks : sequence of skorch callbacks
        Callbacks of the user; they run after the built-in ones.
    net_params : mapping of str to object
        Further arguments of `TrainingNet`, as `split_net_params` returns them.
    verbose : int
        0 prints nothing.
    """

    max_epochs: int
    batch_size: int
    learning_rate: float
    encoder_learning_rate: float = 5e-5
    layer_decay: float = 1.0
    schedule: str = "one-cycle"
    patience: int | None = None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    precision: torch.dtype = torch.float32
    callbacks: Sequence[Any] = ()
    net_params: Mapping[str, Any] = field(default_factory=dict)
    verbose: int = 0


def build_training_net(
    network: Network,
    criterion: HiMatchLoss,
    settings: TrainingSettings,
    *,
    validation: TextDataset | None = None,
    decide: Decide | None = None,
    first_callbacks: Sequence[Any] = (),
    last_callbacks: Sequence[Any] = (),
) -> TrainingNet:
    """Put network, objective, optimizer and callbacks together in a skorch net.

    Parameters
    ----------
    network : Network
        What to train; it is moved to the device.
    criterion : HiMatchLoss
        The objective.
    settings : TrainingSettings
        How to train. `schedule` and `patience` have no effect here, `train` adds the callbacks for them. The
        user's callbacks are not checked here, see `check_callbacks`.
    validation : TextDataset, optional
        The held-out texts.
    decide : callable, optional
        Maps probabilities to an indicator, for the validation scores.
    first_callbacks, last_callbacks : sequence of skorch callbacks
        Built-in callbacks that run before and after those of the user.

    Returns
    -------
    TrainingNet
    """
    callbacks: list[Any] = [("gradient_clipping", ClipGradients(GRADIENT_NORM))]
    if validation is not None and decide is not None:
        callbacks.append(("validation_f1", ValidationF1(decide)))
    # The line contains the scores. It is printed before another callback can stop the training.
    callbacks.append(("epoch_line", EpochLine()))
    arguments: dict[str, Any] = {
        "optimizer": torch.optim.Adam,
        "optimizer__fused": True,
        "lr": settings.learning_rate,
        "batch_size": settings.batch_size,
        "max_epochs": settings.max_epochs,
        "iterator_train": LengthBuckets,
        "iterator_valid": InOrder,
        "train_split": None if validation is None else predefined_split(validation),
        "callbacks": [*callbacks, *first_callbacks, *settings.callbacks, *last_callbacks],
        "predict_nonlinearity": torch.sigmoid,
        "decide": decide,
        "device": settings.device,
        "precision": settings.precision,
        "encoder_learning_rate": settings.encoder_learning_rate,
        "layer_decay": settings.layer_decay,
        "verbose": settings.verbose,
    } | dict(settings.net_params)
    if arguments["optimizer"] is not torch.optim.Adam and "optimizer__fused" not in settings.net_params:
        del arguments["optimizer__fused"]
    of_optimizer = {
        name.removeprefix("optimizer__"): value
        for name, value in arguments.items()
        if name.startswith("optimizer__")
    }
    # On a GPU the whole table is updated fast enough.
    by_rows = settings.device.type == "cpu" and not arguments.get("compile")
    if by_rows and updates_rows(arguments["optimizer"], of_optimizer, settings.callbacks):
        arguments["optimizer"] = RowAdam
    return TrainingNet(network, criterion, **arguments).initialize()


def train(
    network: Network,
    criterion: HiMatchLoss,
    training: TextDataset,
    validation: TextDataset | None,
    settings: TrainingSettings,
    *,
    decide: Decide,
    seed: int,
    checkpoint: EpochCheckpoint | None = None,
) -> list[dict[str, Any]]:
    """Train a network in place. Afterwards it has the weights of its best epoch.

    Parameters
    ----------
    network : Network
        What to train; it is moved to the device.
    criterion : HiMatchLoss
        The objective.
    training : TextDataset
        The training texts.
    validation : TextDataset or None
        The held-out texts. Without them no epoch is skipped, and the last epoch is the best one.
    settings : TrainingSettings
        How to train.
    decide : callable
        Maps probabilities to an indicator, for the validation scores.
    seed : int
        The seed of all random numbers. They come from generators of this call only: torch's global generators
        are neither read nor changed.
    checkpoint : EpochCheckpoint, optional
        Writes each epoch to a file, and lets training continue after the epochs that the file contains.

    Returns
    -------
    list of dict
        One record per epoch.

    Raises
    ------
    ValueError
        If a callback of the user cannot work with these settings.
    NonFiniteLossError
        If the loss is NaN or infinite before the first epoch is complete. Later than that there is a
        ConvergenceWarning, and the network has the weights of the best complete epoch.
    KeyboardInterrupt
        If the user interrupts the first epoch. Later than that training ends, and the network has the weights
        of the best complete epoch.
    """
    check_callbacks(settings.callbacks, has_validation=validation is not None, schedule=settings.schedule)
    net = build_training_net(
        network,
        criterion,
        settings,
        validation=validation,
        decide=decide,
        first_callbacks=_schedule_and_stopping(settings, len(training), validation is not None),
        last_callbacks=[
            *([] if checkpoint is None else [("epoch_checkpoint", checkpoint)]),
            ("training_bar", TrainingBar(len(training))),
        ],
    )
    epochs = settings.max_epochs - (0 if checkpoint is None else checkpoint.n_done)
    with net.drawing_from(Generators(seed)), sparse_word_gradients(net):
        try:
            net.partial_fit(training, epochs=epochs)
        except NonFiniteLossError as error:
            complete = _complete_epochs(net)
            if not complete:
                raise
            # This restores the weights of the best epoch. The interrupted epoch has no score.
            net.notify("on_train_end", X=training, y=None)
            warn_user(
                f"{error} The weights of the best of {len(complete)} complete epochs were restored.",
                ConvergenceWarning,
            )
    return _more_epochs(net, 0)


def train_one_epoch(net: TrainingNet, training: TextDataset, *, seed: int) -> dict[str, Any]:
    """Train one more epoch.

    Parameters
    ----------
    net : TrainingNet
        A net of `build_training_net`.
    training : TextDataset
        The training texts.
    seed : int
        The seed of all random numbers of this epoch, as in `train`.

    Returns
    -------
    dict
        The record of the epoch.

    Raises
    ------
    NonFiniteLossError
        If the loss is NaN or infinite.
    KeyboardInterrupt
        If the user interrupts the epoch.
    """
    complete = len(_complete_epochs(net))
    with net.drawing_from(Generators(seed)), sparse_word_gradients(net):
        net.partial_fit(training, epochs=1)
    return _more_epochs(net, complete)[-1]


def _schedule_and_stopping(
    settings: TrainingSettings, n_texts: int, has_validation: bool
) -> list[tuple[str, Any]]:
    """Return the callbacks of the learning rate's schedule, of early stopping and of the best weights."""
    callbacks: list[tuple[str, Any]] = []
    if settings.schedule == "one-cycle":
        # There is one step more than batches, because OneCycleLR raises an error after its last step.
        steps = settings.max_epochs * -(-n_texts // settings.batch_size) + 1
        schedule = LRScheduler(policy=_one_cycle, total_steps=steps, step_every="batch")
        callbacks.append(("schedule", schedule))
    stopping = EarlyStopping(
        # Without held-out texts the last epoch is the best one.
        "valid_score" if has_validation else "epoch",
        patience=-1 if settings.patience is None else settings.patience,
        # An epoch with the same score as the best one counts as better. A small validation set has many equal
        # scores, and the later epoch has trained longer.
        threshold=-1e-9,
        threshold_mode="abs",
        lower_is_better=False,
        load_best=True,
    )
    return [*callbacks, ("stopping", stopping)]


def _one_cycle(
    optimizer: torch.optim.Optimizer, *, total_steps: int, last_epoch: int = -1
) -> torch.optim.lr_scheduler.OneCycleLR:
    """Raise the learning rate of each parameter group to its given value, then lower it to zero."""
    # OneCycleLR divides by the length of the warm-up, which is zero if the warm-up ends with the first step.
    warm_up = WARM_UP if WARM_UP * total_steps != 1 else 1.5 * WARM_UP
    return torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=[group["lr"] for group in optimizer.param_groups],
        total_steps=total_steps,
        pct_start=warm_up,
        cycle_momentum=False,
        last_epoch=last_epoch,
    )


def _more_epochs(net: TrainingNet, before: int) -> list[dict[str, Any]]:
    """Return the complete epochs; raise an error if there are no more of them than before."""
    complete = _complete_epochs(net)
    if len(complete) == before:
        # skorch catches a KeyboardInterrupt, to keep what was learned. Here nothing was learned yet.
        raise KeyboardInterrupt("Interrupted before an epoch was complete.")
    return complete


def _complete_epochs(net: TrainingNet) -> list[dict[str, Any]]:
    """Return one record for each complete epoch, without the records of its batches."""
    return [
        {
            name: value
            for name, value in epoch.items()
            if name != "batches" and not name.endswith(("_best", "_batch_count"))
        }
        for epoch in net.history
        if "docs_per_second" in epoch
    ]
