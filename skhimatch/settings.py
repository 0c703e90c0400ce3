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

_SETTINGS = {"rcv1": _WORDS, "wos": _WORDS, "eurlex57k": _LABEL_TEXTS, "bert": _BERT}


def paper_settings(corpus: str) -> dict[str, Any]:
    """Return the constructor arguments that repeat the paper (section 4.1).

    Parameters
    ----------
    corpus : {"rcv1", "wos", "eurlex57k", "bert"}
        The experiment; "bert" is that of RCV1 and WOS with BERT as the encoder.

    Returns
    -------
    dict
        Keyword arguments of `HiMatchClassifier`, a new copy. Pass `word_vectors` beside them, since the paper
        starts from GloVe of dimension 300; and for EURLEX57K `label_texts`, the names of the concepts.

    Raises
    ------
    ValueError
        When the corpus is none of these.

    Examples
    --------
    >>> paper_settings("wos")["learning_rate"]
    0.0001
    """
    if corpus not in _SETTINGS:
        raise ValueError(f"corpus={corpus!r}: paper_settings knows {', '.join(map(repr, _SETTINGS))}.")
    return copy.deepcopy(_SETTINGS[corpus])
