"""Checks of the classifier's parameter `net_params`, which holds settings of the network and of training."""

import difflib
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import Any

import torch

from skhimatch.network.pooling import resolve_pooling
from skhimatch.text.pretrained import PretrainedEncoder

__all__ = ["NetParams", "split_net_params"]

# Fields of `NetworkSettings` that the user may set, without the prefix `module__`; and those of
# `WordNetworkSettings`, which depend on the encoder.
MODULE = ("node_dimension", "joint_dimension", "dropout")
MODULE_OF_WORDS = ("embedding_dimension", "max_length", "pooling", "top_k")
MODULE_OF_ENCODER = {
    "attention": ("kernel_size",),
    "gru": ("hidden_size",),
    "cnn": ("kernel_sizes", "filters"),
    "rcnn": ("hidden_size", "kernel_sizes", "filters"),
}
POOLINGS = "auto", "attention", "shared_attention", "max"

# Arguments of `TrainingNet`.
NET = (
    *("optimizer", "accelerate", "accumulation", "iterator_train__pool"),
    *("compile", "use_caching", "torch_load_kwargs"),
    *(f"compile__{name}" for name in ("fullgraph", "dynamic", "backend", "mode", "options")),
)

# Whole numbers from 1.
COUNTS = (
    *("accumulation", "iterator_train__pool"),
    *(f"module__{name}" for name in ("embedding_dimension", "node_dimension", "joint_dimension")),
    *(f"module__{name}" for name in ("kernel_size", "hidden_size", "filters", "top_k")),
)

# Parameters of the classifier under the names that they would have here. A value in `net_params` would not
# reach all places that depend on it.
PARAMETERS = {
    "lr": "learning_rate",
    "optimizer__lr": "learning_rate",
    "train_split": "validation_fraction",
    "criterion__hierarchy": "hierarchy",
    "module__hierarchy": "hierarchy",
    **{name: name for name in ("batch_size", "callbacks", "device", "max_epochs", "verbose")},
    **{name: name for name in ("learning_rate", "patience", "precision", "schedule")},
    **{f"module__{name}": name for name in ("encoder", "head", "propagation", "word_vectors")},
    **{
        f"criterion__{name}": name
        for name in ("alpha", "beta", "gamma", "lambda_joint", "lambda_match", "sampling")
    },
    "criterion__classification_loss": "classification_loss",
}

# Settings of a pretrained encoder, with and without a prefix.
OF_PRETRAINED = (
    *("freeze", "layer_decay", "long_text", "max_length", "pooling", "stored", "vector_store", "dtype"),
)

# Other arguments of skorch's net, and why they cannot be set.
REFUSED = {
    "module": "the classifier builds the network: use `encoder`, `head` and `module__*`",
    "criterion": "the classifier builds the objective: use `classification_loss`, `gamma` and so on",
    "iterator_train": "training has batches of its own class, which sorts texts by length",
    "iterator_valid": "validation has batches of its own class, which sorts texts by length",
    "dataset": "training has its own class of datasets",
    "decide": "the classifier decides by `threshold`, `decoding` and `consistency`",
    "predict_nonlinearity": "probabilities are always the sigmoid of logits",
    "warm_start": "use `partial_fit` to continue training",
    "module__vocabulary_size": "it follows from the training texts",
    "module__label_words": "they follow from `label_texts` and the names of the labels",
}
ITERATOR = (
    "batches are made by this package and not by torch's DataLoader: they are made in the training process, "
    "sorted by length, and need no workers. The only setting is 'iterator_train__pool', the number of "
    "batches that are sorted together"
)


@dataclass(frozen=True)
class NetParams:
    """The checked entries of `net_params`.

    Attributes
    ----------
    module : dict
        Fields of `NetworkSettings` or `WordNetworkSettings`, without the prefix ``module__``.
    net : dict
        Arguments of `TrainingNet`.
    """

    module: dict[str, Any] = field(default_factory=dict)
    net: dict[str, Any] = field(default_factory=dict)


def split_net_params(
    net_params: Mapping[str, Any] | None,
    encoder: str | PretrainedEncoder = "attention",
    propagation: str | None = None,
) -> NetParams:
    """Check the entries of `net_params`, and return them by what they are for.

    Parameters
    ----------
    net_params : mapping of str to object, or None
        As `HiMatchClassifier` takes it.
    encoder : {"attention", "gru", "cnn", "rcnn"} or PretrainedEncoder, default="attention"
        The text encoder.
    propagation : {"gcn", "gated"} or None, default=None
        The classifier's parameter of this name.

    Returns
    -------
    NetParams

    Raises
    ------
    TypeError
        If a name is no string, or the optimizer is neither a name nor a class.
    ValueError
        If an entry is unknown, is a parameter of the classifier, cannot be set, has no effect, or has a
        wrong value.

    Examples
    --------
    >>> split_net_params({"module__dropout": 0.5, "optimizer": "sgd"}).module
    {'dropout': 0.5}
    >>> split_net_params({"module__dropuot": 0.5})
    Traceback (most recent call last):
    ValueError: net_params: unknown entry 'module__dropuot'; did you mean 'module__dropout'?
    """
    net_params = dict(net_params or {})
    optimizer = _resolve_optimizer(net_params.get("optimizer", torch.optim.Adam))
    of_optimizer = _arguments_of(optimizer)
    module: tuple[str, ...] = MODULE
    if isinstance(encoder, str):
        module = (*MODULE, *MODULE_OF_WORDS, *MODULE_OF_ENCODER[encoder])
    known = [*NET, *(f"module__{name}" for name in module)]
    split = NetParams()
    for name, value in net_params.items():
        if not isinstance(name, str):
            raise TypeError(f"net_params: the name {name!r} is of type {type(name).__name__}: use a str.")
        if name == "module__node_dimension":
            _check_node_dimension(encoder, propagation, net_params.get("module__pooling", "auto"))
        if name == "module__top_k" and isinstance(encoder, str):
            _check_top_k(encoder, net_params.get("module__pooling", "auto"))
        if name in known:
            _check_value(name, value)
        else:
            _check_other_entry(name, optimizer, of_optimizer, known, encoder)
        if name.startswith("compile__") and not net_params.get("compile"):
            raise ValueError(f"net_params: {name!r} has no effect without 'compile': True: add it.")
        if name.startswith("module__"):
            split.module[name.removeprefix("module__")] = value
        else:
            split.net[name] = optimizer if name == "optimizer" else value
    return split


def _check_other_entry(
    name: str,
    optimizer: Any,
    of_optimizer: list[str] | None,
    known: list[str],
    encoder: str | PretrainedEncoder,
) -> None:
    """Accept an argument of the optimizer; raise an error for any other name that is not known."""
    if name in PARAMETERS:
        raise ValueError(
            f"net_params: {name!r} is a parameter of the classifier: use its `{PARAMETERS[name]}`."
        )
    if name in REFUSED:
        raise ValueError(f"net_params: {name!r} cannot be set: {REFUSED[name]}.")
    prefix, _, argument = name.partition("__")
    if prefix in ("iterator_train", "iterator_valid"):
        raise ValueError(f"net_params: {name!r} cannot be set: {ITERATOR}.")
    if prefix == "optimizer" and argument:
        if of_optimizer is None or argument in of_optimizer:
            return
        title = getattr(optimizer, "__name__", str(optimizer))
        raise ValueError(
            f"net_params: {name!r} is no argument of the optimizer {title}"
            f"{_suggestion(name, [f'optimizer__{other}' for other in of_optimizer])}"
        )
    if (argument or name) in OF_PRETRAINED and (prefix == "module" or not argument):
        raise ValueError(
            f"net_params: {name!r} is a setting of a pretrained encoder: pass "
            f"encoder=PretrainedEncoder(..., {argument or name}=...)."
        )
    if name == "encoder_learning_rate":
        raise ValueError(
            f"net_params: {name!r} is a setting of a pretrained encoder: pass "
            "encoder=PretrainedEncoder(..., learning_rate=...)."
        )
    encoders = [other for other, names in MODULE_OF_ENCODER.items() if argument in names]
    if prefix == "module" and encoders:
        raise ValueError(
            f"net_params: {name!r} is for the encoder {' or '.join(map(repr, encoders))}, and this "
            f"classifier has encoder={encoder!r}: leave it out, or choose that encoder."
        )
    if name == "module__top_k":
        raise ValueError(f"net_params: {name!r} is for networks of words, not for {encoder!r}: leave it out.")
    if name == "module__embedding_dimension":
        raise ValueError(
            f"net_params: {name!r} is for networks of words; the width of {encoder!r} is given: leave it out."
        )
    others = [*known, *PARAMETERS, *(f"optimizer__{other}" for other in of_optimizer or ())]
    raise ValueError(f"net_params: unknown entry {name!r}{_suggestion(name, others)}")


def _check_top_k(encoder: str, pooling: Any) -> None:
    """Raise an error if no largest values are kept."""
    if resolve_pooling(encoder, pooling) != "max":
        raise ValueError(
            f"net_params: 'module__top_k' has no effect with encoder={encoder!r} and "
            f"'module__pooling': {pooling!r}: it is for 'module__pooling': 'max'."
        )


def _check_node_dimension(encoder: str | PretrainedEncoder, propagation: str | None, pooling: Any) -> None:
    """Raise an error if the width of nodes is determined by the encoder, or if there are no nodes."""
    if isinstance(encoder, str):
        pooling = resolve_pooling(encoder, pooling)
        # The states of the default encoder have the width of nodes.
        attends = pooling == "attention" and encoder != "attention"
        without_nodes = pooling != "attention" and encoder != "attention" and propagation is None
    else:
        attends = encoder.pooling == "attention" or (encoder.pooling == "auto" and encoder.freeze != "all")
        without_nodes = not attends and propagation is None
    if attends or without_nodes:
        reason = "labels have no nodes" if without_nodes else "nodes are as wide as the encoder's states"
        raise ValueError(
            f"net_params: 'module__node_dimension' has no effect with encoder={encoder!r} and "
            f"propagation={propagation!r}, since {reason}: leave it out."
        )


def _suggestion(name: str, known: list[str]) -> str:
    """Return the end of a message: the most similar name, or all names."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
    if not close:
        return f"; there are {', '.join(sorted(other for other in known if other not in PARAMETERS))}."
    if close[0] in PARAMETERS:
        return f"; did you mean the classifier's parameter `{PARAMETERS[close[0]]}`?"
    return f"; did you mean {close[0]!r}?"


def _check_value(name: str, value: Any) -> None:
    """Raise an error if a value is of another type, or out of its range."""
    if name in COUNTS and not _is_count(value):
        raise ValueError(f"net_params: {name}={value!r}: take a whole number from 1.")
    if name == "module__pooling" and value not in POOLINGS:
        raise ValueError(f"net_params: {name}={value!r}: take one of {', '.join(map(repr, POOLINGS))}.")
    if name == "accelerate" and not isinstance(value, bool):
        raise ValueError(f"net_params: {name}={value!r}: take True or False.")
    if name == "module__max_length" and not (value is None or _is_count(value)):
        raise ValueError(f"net_params: {name}={value!r}: take a whole number from 1, or None.")
    if name == "module__kernel_sizes" and not (
        isinstance(value, Sequence) and len(value) and all(map(_is_count, value))
    ):
        raise ValueError(f"net_params: {name}={value!r}: take a list of whole numbers from 1.")
    # `Dropout` checks the range.
    if name == "module__dropout" and not isinstance(value, Real):
        raise ValueError(f"net_params: {name}={value!r}: take a probability from 0 to 0.99.")


def _is_count(value: Any) -> bool:
    return isinstance(value, Integral) and int(value) >= 1


def _resolve_optimizer(optimizer: Any) -> Any:
    """Return the class of an optimizer that may be given by its name."""
    if callable(optimizer):
        return optimizer
    classes = {
        name: value
        for name, value in vars(torch.optim).items()
        if isinstance(value, type)
        and issubclass(value, torch.optim.Optimizer)
        and value is not torch.optim.Optimizer
    }
    if not isinstance(optimizer, str):
        raise TypeError(
            f"net_params: optimizer={optimizer!r}: pass the name of an optimizer of torch.optim, such as "
            "'AdamW', or a class, such as torch.optim.AdamW."
        )
    lowered = {name.lower(): value for name, value in classes.items()}
    if optimizer.lower() in lowered:
        return lowered[optimizer.lower()]
    close = difflib.get_close_matches(optimizer.lower(), list(lowered), n=1)
    end = f"did you mean {lowered[close[0]].__name__!r}?" if close else f"there are {', '.join(classes)}."
    raise ValueError(f"net_params: optimizer={optimizer!r} is no optimizer of torch.optim; {end}")


def _arguments_of(optimizer: Any) -> list[str] | None:
    """Return the arguments of an optimizer that `net_params` may set; None if it takes any."""
    parameters = inspect.signature(optimizer).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    names = [parameter.name for parameter in parameters][1:]
    return ["param_groups", *(name for name in names if name != "lr")]
