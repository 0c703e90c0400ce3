"""Small saved classifiers of each format, with the predictions that they had when they were saved.

``python tests/saved_formats.py`` adds those of the present format. Do so when `FORMAT` rises. Leave the
folders of older formats where they are: they have to be read, or refused with an error that says what to do.
As long as `FORMAT` is the same, do not write its folders again: what an earlier version saved has to be read.
"""

import sys
from pathlib import Path

import numpy as np
from toy_corpus import HIERARCHY, LABEL_TEXTS, QUICK, make_corpus

from skhimatch import HiMatchClassifier
from skhimatch.storage.folder import FORMAT, READABLE

FOLDER = Path(__file__).parent / "references"
PREDICTIONS = "predictions.npz"
TINY = {
    "net_params": {
        "module__embedding_dimension": 4,
        "module__node_dimension": 4,
        "module__joint_dimension": 4,
    }
}
KINDS = {
    "paths": {},
    "thresholds": {"head": "matching", "lexical": None, "label_texts": LABEL_TEXTS, "decoding": "threshold"}
    | {"learning_rate": 0.1, "max_epochs": 20},
}


def saved_formats(*numbers):
    """Return the folders of some formats, or of all that can be read, each with predictions."""
    return sorted(path for number in numbers or READABLE for path in FOLDER.glob(f"format-{number}-*"))


def older_formats():
    """Return the folders of formats that cannot be read any more."""
    return sorted(set(FOLDER.glob("format-*")) - set(saved_formats()))


def write_present_format():
    texts, label_sets = make_corpus(16)
    # Few different n-grams make small files.
    texts = [" ".join(text.split()[:3]) for text in texts]
    unseen, _ = make_corpus(10, seed=1)
    unseen += ["", "zebra", "गुरु 北京"]
    for kind, parameters in KINDS.items():
        classifier = HiMatchClassifier(HIERARCHY, **QUICK | TINY | parameters).fit(texts, label_sets)
        path = FOLDER / f"format-{FORMAT}-{kind}"
        path.mkdir()
        classifier.save(path / "model")
        np.savez_compressed(
            path / PREDICTIONS,
            texts=unseen,
            probabilities=classifier.predict_proba(unseen),
            predicted=classifier.predict(unseen),
        )


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    write_present_format()
