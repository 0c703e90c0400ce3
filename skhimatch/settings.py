"""The hyperparameters of the paper."""

import copy
from typing import Any

from skhimatch.text.pretrained import PretrainedEncoder

__all__ = ["paper_settings"]

_WORDS: dict[str, Any] = {
    "lexical": None,
    "encoder": "rcnn",
    "propagation": "gcn",
    "head": "flat",
    "sampling": "hierarchy",
    "gamma": 0.2,
    "alpha": 0.01,
    "beta": 0.5,
    "classification_loss": "mean_cross_entropy",
    "lambda_joint": 1.0,
    "lambda_match": 1.0,
    "batch_size": 64,
    "learning_rate": 1e-4,
    "schedule": "constant",
    "max_epochs": 160,
    "patience": 50,
    "threshold": 0.5,
    "decoding": "threshold",
    "net_params": {
        "module__node_dimension": 300,
        "module__dropout": 0.5,
    },
}

# No CNN and no propagation; labels are described only by their texts.
_LABEL_TEXTS: dict[str, Any] = _WORDS | {
    "encoder": "gru",
    "propagation": None,
    "head": "dot",
    "gamma": 0.5,
    "net_params": {"module__dropout": 0.5, "module__max_length": 1000},
}

# BERT in place of word vectors, BiGRU and CNN.
_BERT: dict[str, Any] = _WORDS | {
    "encoder": PretrainedEncoder("bert-base-uncased", pooling="cls", learning_rate=2e-5),
    "batch_size": 16,
    "learning_rate": 2e-5,
}

# What makes the networks converge on some thousands of texts within half an hour on two cores. On WOS the
# paper's settings predict nothing after three epochs: at the start the gradient of the joint embedding loss
# is a hundred times that of the averaged cross-entropy, and draws all texts and labels to one point.
_FAST: dict[str, Any] = {
    "classification_loss": "cross_entropy",
    "lambda_joint": 0.1,
    "schedule": "one-cycle",
    "patience": None,
}
_FAST_WORDS = _FAST | {
    "batch_size": 32,
    "learning_rate": 2e-3,
    "max_epochs": 14,
    "net_params": {"module__node_dimension": 64, "module__dropout": 0.3},
}
_FAST_LABEL_TEXTS = _FAST | {"batch_size": 32, "learning_rate": 2e-3, "max_epochs": 10}
_FAST_BERT = _FAST | {"max_epochs": 5}

_SETTINGS = {
    "rcv1": (_WORDS, _FAST_WORDS),
    "wos": (_WORDS, _FAST_WORDS),
    "eurlex57k": (_LABEL_TEXTS, _FAST_LABEL_TEXTS),
    "bert": (_BERT, _FAST_BERT),
}


def paper_settings(corpus: str, schedule: str = "published") -> dict[str, Any]:
    """Return the constructor arguments that repeat the paper (section 4.1).

    Parameters
    ----------
    corpus : {"rcv1", "wos", "eurlex57k", "bert"}
        The experiment; "bert" is that of RCV1 and WOS with BERT as the encoder.
    schedule : {"published", "fast"}, default="published"
        "published" trains for up to 160 epochs at a small constant rate. "fast" trains the same architecture
        with the same objective, and converges within half an hour on two cores: the classification loss is
        summed over labels, the joint embedding loss has a weight of 0.1, the learning rate rises and falls,
        and nodes of words have a width of 64.

    Returns
    -------
    dict
        Keyword arguments of `HiMatchClassifier`, a new copy. Pass `word_vectors` beside them, since the paper
        starts from GloVe of dimension 300; and for EURLEX57K `label_texts`, the names of the concepts.

    Raises
    ------
    ValueError
        When the corpus or the schedule is none of these.

    Examples
    --------
    >>> paper_settings("wos")["learning_rate"]
    0.0001
    """
    if corpus not in _SETTINGS:
        raise ValueError(f"corpus={corpus!r}: paper_settings knows {', '.join(map(repr, _SETTINGS))}.")
    if schedule not in ("published", "fast"):
        raise ValueError(f"schedule={schedule!r}: paper_settings knows 'published' and 'fast'.")
    published, fast = copy.deepcopy(_SETTINGS[corpus])
    return published if schedule == "published" else published | fast
