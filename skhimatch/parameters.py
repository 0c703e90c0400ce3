"""The parameters of `HiMatchClassifier` as `fit` uses them, and the values that "auto" stands for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from skhimatch.evaluation.optimized import number_of_labels
from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.network.device import resolve_precision
from skhimatch.network.label_attention import MANY_LABELS
from skhimatch.network.objective import HiMatchLoss
from skhimatch.text.pretrained import PretrainedEncoder, as_encoder
from skhimatch.training.loop import TrainingSettings
from skhimatch.training.net_params import NetParams, split_net_params

__all__ = ["Parameters"]

# max_epochs="auto": at least 4 epochs; as many as make 1,000 steps; at most 20, since more epochs on a few
# texts only overfit. More than 200 labels have fewer texts each, and get 10 epochs, as long as these are not
# more steps than on EURLEX57K (45,000 texts), from which the number comes.
MIN_STEPS, MIN_EPOCHS, MAX_EPOCHS = 1000, 4, 20
EPOCHS_OF_MANY_LABELS, STEPS_OF_MANY_LABELS = 10, 15_000
# learning_rate="auto": 0.004 up to 1,500 steps, then less. Ten times as many steps want a third of it
# (measured on WOS and EURLEX57K).
BASE_LEARNING_RATE, BASE_STEPS = 4e-3, 1500
# learning_rate="auto" with a pretrained encoder. Larger steps destroy the initial head, which comes from the
# names of the labels (measured on WOS with one text for each leaf). On vectors that are not trained, a head
# that matches keeps the names, and learns faster (measured on AAPD, CLINC150, GermEval and WOS).
LEARNING_RATE_ON_PRETRAINED, LEARNING_RATE_OF_MATCHING = 1e-3, 3e-3


@dataclass(frozen=True)
class Parameters:
    """The constructor's parameters; see `HiMatchClassifier` for their meaning."""

    hierarchy: Any
    tokenizer: Any
    classes: Sequence[str] | None
    label_texts: Mapping[str, Any] | None
    word_vectors: Any
    class_weight: Mapping[str, float] | str | None
    lexical: str | None
    encoder: Any
    propagation: str | None
    head: str
    sampling: str
    gamma: float
    alpha: float
    beta: float
    classification_loss: str
    lambda_joint: float
    lambda_match: float
    max_epochs: int | str
    batch_size: int
    learning_rate: float | str
    schedule: str
    validation_fraction: float | str
    patience: int | None
    threshold: float | ArrayLike | str
    optimize: str
    decoding: str
    consistency: str | None
    device: Any
    precision: str
    random_state: int | np.random.RandomState | None
    warm_start: bool
    callbacks: list[Any] | None
    net_params: Mapping[str, Any] | None
    verbose: int

    @property
    def pretrained(self) -> PretrainedEncoder | None:
        """The settings of the pretrained encoder; None if the encoder reads words."""
        encoder = as_encoder(self.encoder)
        return encoder if isinstance(encoder, PretrainedEncoder) else None

    @property
    def matches(self) -> bool:
        """Whether logits are distances in the joint space."""
        return self.head == "matching" or (self.head == "auto" and self.pretrained is not None)

    @property
    def margins(self) -> bool:
        """Whether networks are trained for margins (squared hinge loss), and not for log-odds."""
        return self.classification_loss == "squared_hinge"

    @property
    def tunes_threshold(self) -> bool:
        """Whether the threshold is chosen on held-out texts."""
        return isinstance(self.threshold, str)

    @property
    def n_labels_of_a_text(self) -> int | None:
        """How many labels each text gets, if `optimize` says so and there is no threshold."""
        return number_of_labels(self.optimize) if self.tunes_threshold else None

    def for_word_network(self) -> Parameters:
        """Return the parameters of the word network beside a pretrained encoder.

        It has the same losses, batches and patience; everything else is as by default.
        """
        return replace(
            self,
            encoder="attention",
            propagation=None,
            head="auto",
            max_epochs="auto",
            learning_rate="auto",
            callbacks=None,
            net_params=None,
        )

    def epochs(self, n_texts: int, n_labels: int) -> int:
        """Return the maximum number of epochs for n training texts and L labels."""
        if not isinstance(self.max_epochs, str):
            return int(self.max_epochs)
        steps, minimum = self.steps_of_an_epoch(n_texts), MIN_EPOCHS
        if n_labels > MANY_LABELS:
            minimum = max(minimum, min(EPOCHS_OF_MANY_LABELS, -(-STEPS_OF_MANY_LABELS // steps)))
        return min(MAX_EPOCHS, max(minimum, -(-MIN_STEPS // steps)))

    def steps_of_an_epoch(self, n_texts: int) -> int:
        """Return the number of batches of n training texts."""
        return -(-n_texts // self.batch_size)

    def highest_learning_rate(self, n_steps: int) -> float:
        """Return the learning rate for a number of steps."""
        if not isinstance(self.learning_rate, str):
            return float(self.learning_rate)
        if self.pretrained is not None:
            faster = self.matches and self.pretrained.freeze == "all"
            return LEARNING_RATE_OF_MATCHING if faster else LEARNING_RATE_ON_PRETRAINED
        return BASE_LEARNING_RATE * min(1.0, (BASE_STEPS / n_steps) ** 0.5)

    @property
    def loss_settings(self) -> dict[str, Any]:
        """The parameters of the training objective."""
        return {
            "gamma": self.gamma,
            "alpha": self.alpha,
            "beta": self.beta,
            "sampling": ("all" if self.matches else "hierarchy")
            if self.sampling == "auto"
            else self.sampling,
            "lambda_joint": self.lambda_joint,
            "lambda_match": self.lambda_match,
            "classification_loss": self.classification_loss,
        }

    def criterion(self, hierarchy: LabelHierarchy) -> HiMatchLoss:
        """Return the training objective over the labels of a hierarchy."""
        return HiMatchLoss(hierarchy, **self.loss_settings)

    def checked_net_params(self) -> NetParams:
        """Return `net_params` by what they are for; raise for entries that are unknown or have no effect."""
        return split_net_params(self.net_params, as_encoder(self.encoder), self.propagation)

    def training_settings(self, device: torch.device, epochs: int, n_steps: int) -> TrainingSettings:
        """Return how a network is trained on a device, for a number of epochs and of steps."""
        pretrained = self.pretrained
        settings = TrainingSettings(
            max_epochs=epochs,
            batch_size=self.batch_size,
            learning_rate=self.highest_learning_rate(n_steps),
            schedule=self.schedule,
            patience=self.patience,
            device=device,
            precision=resolve_precision(self.precision, device, pretrained is not None),
            callbacks=tuple(self.callbacks or ()),
            net_params=self.checked_net_params().net,
            verbose=self.verbose,
        )
        if pretrained is None:
            return settings
        return replace(
            settings, encoder_learning_rate=pretrained.learning_rate, layer_decay=pretrained.layer_decay
        )
