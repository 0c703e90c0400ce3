"""Eight small fits whose probabilities are kept as files: what a change of the code must not change.

``python tests/reference_fits.py`` writes the files anew. Do so only for a change that repairs or improves
predictions, and say so in its commit message.
"""

import os
import sys
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent / "references"
NAMES = (
    "default",
    "rcnn-gcn",
    "gru",
    "gated",
    "dot-added-labels",
    "many-labels",
    "bert-frozen",
    "bert-trained",
)
OF_BERT = ("bert-frozen", "bert-trained")


def machine():
    """Describe all that the bits of a result depend on beside this package's code."""
    import scipy
    import sklearn
    import torch

    # Processors of several generations have the same name.
    model = ["unknown"]
    cpu_info = Path("/proc/cpuinfo")
    if cpu_info.exists():
        of_first_core, _, _ = cpu_info.read_text().partition("\n\n")
        values = {
            key.strip(): value.strip()
            for key, _, value in (line.partition(":") for line in of_first_core.splitlines())
        }
        model = [values[key] for key in ("model name", "cpu family", "model", "stepping") if key in values]
    versions = [np.__version__, scipy.__version__, sklearn.__version__, torch.__version__]
    return " ".join([*model, torch.backends.cpu.get_cpu_capability(), *versions])


def probabilities(name, bert=None):
    """Fit one of the eight classifiers, and return its probabilities for texts that it has not seen.

    Parameters
    ----------
    name : str
        One of `NAMES`.
    bert : str, optional
        The folder of the tiny BERT, for those that read with it.
    """
    from toy_corpus import HIERARCHY, QUICK, SMALL_GRU, SMALL_RCNN_WITH_NODES, WORDS, make_corpus

    from skhimatch import HiMatchClassifier, PretrainedEncoder

    texts, label_sets = make_corpus(120)
    unseen, _ = make_corpus(10, seed=1)
    label_texts = {label: words.split() for label, words in WORDS.items()}
    if name == "many-labels":
        texts, label_sets, hierarchy = many_labels(300)
        unseen, _, _ = many_labels(3, seed=1)
        return HiMatchClassifier(hierarchy, **QUICK).fit(texts, label_sets).predict_proba(unseen)
    settings = {
        "default": {},
        "rcnn-gcn": {
            "encoder": "rcnn",
            "propagation": "gcn",
            "head": "flat",
            "net_params": SMALL_RCNN_WITH_NODES,
        },
        "gru": {"encoder": "gru", "net_params": SMALL_GRU},
        "gated": {"propagation": "gated"},
        "dot-added-labels": {"head": "dot", "label_texts": label_texts},
        "bert-frozen": {"encoder": PretrainedEncoder(bert, freeze="all")},
        "bert-trained": {"encoder": PretrainedEncoder(bert, learning_rate=1e-3), "precision": "float32"},
    }[name]
    if name in OF_BERT:
        settings["net_params"] = {"module__joint_dimension": 8}
    classifier = HiMatchClassifier(HIERARCHY, **QUICK | settings).fit(texts, label_sets)
    if name == "dot-added-labels":
        classifier.add_labels([("sport", "sailing")], {"sailing": ["boat", "river"]})
    return classifier.predict_proba(unseen)


def many_labels(n_texts, seed=0, n_branches=15, n_leaves=14):
    """Make texts, label sets and a hierarchy of 225 labels, each with one or two words of its own."""
    draws = np.random.default_rng(seed)
    hierarchy = {f"b{b}": [f"b{b}l{leaf}" for leaf in range(n_leaves)] for b in range(n_branches)}
    texts, label_sets = [], []
    for _ in range(n_texts):
        branch, leaf = draws.integers(n_branches), draws.integers(n_leaves)
        words = [
            f"branch{branch}",
            f"word{branch}x{leaf}",
            f"leaf{leaf}",
            *draws.choice(["of", "the", "a"], 3),
        ]
        texts.append(" ".join(draws.permutation(words)))
        label_sets.append({f"b{branch}", f"b{branch}l{leaf}"})
    return texts, label_sets, hierarchy


def write_all():
    """Write all eight files."""
    import tempfile

    from pretrained_models import write_tiny_bert

    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SKHIMATCH_CACHE"] = str(Path(folder) / "encodings")
        bert = write_tiny_bert(Path(folder) / "bert")
        for name in NAMES:
            np.savez_compressed(
                FOLDER / f"{name}.npz", probabilities=probabilities(name, bert), machine=machine()
            )


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["HF_HUB_OFFLINE"] = "1"
    sys.path.insert(0, str(Path(__file__).parent))
    import torch

    torch.set_num_threads(1)
    write_all()
