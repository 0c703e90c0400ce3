"""A made-up corpus on which a network small enough for tests learns within seconds."""

import numpy as np
from sklearn.preprocessing import MultiLabelBinarizer

HIERARCHY = {
    "science": {"physics": ["optics", "mechanics"], "biology": ["botany", "zoology"]},
    "sport": ["tennis", "rowing"],
}
PATHS = {
    "optics": ("science", "physics", "optics"),
    "mechanics": ("science", "physics", "mechanics"),
    "botany": ("science", "biology", "botany"),
    "zoology": ("science", "biology", "zoology"),
    "tennis": ("sport", "tennis"),
    "rowing": ("sport", "rowing"),
}
WORDS = {
    "science": "study measure observe theory",
    "physics": "energy matter force motion",
    "optics": "lens light mirror prism",
    "mechanics": "lever wheel pendulum spring",
    "biology": "cell gene species evolution",
    "botany": "leaf root flower seed",
    "zoology": "animal wing fish insect",
    "sport": "match team win season",
    "tennis": "racket serve volley net",
    "rowing": "oar boat river crew",
}
# Other names for some of the labels.
LABEL_TEXTS = {"optics": ["lens", "light"], "botany": "leaf", "rowing": "oar boat"}
FILLERS = ["the", "a", "of", "and", "with", "for", "this", "that", "very", "new"]

# A network of a few thousand weights.
SMALL = {
    "module__embedding_dimension": 16,
    "module__node_dimension": 8,
    "module__joint_dimension": 8,
    "module__dropout": 0.1,
}
# The same without a width of nodes, which has no effect where an encoder decides it.
SMALL_WITHOUT_NODES = {name: value for name, value in SMALL.items() if name != "module__node_dimension"}
SMALL_GRU = SMALL_WITHOUT_NODES | {"module__hidden_size": 8}
SMALL_RCNN = SMALL_WITHOUT_NODES | {"module__hidden_size": 8, "module__filters": 8}
SMALL_RCNN_WITH_NODES = SMALL_RCNN | {"module__node_dimension": 8}
# Fits in a fraction of a second; for what does not depend on how well it learned.
QUICK = {
    "net_params": SMALL,
    "max_epochs": 2,
    "batch_size": 16,
    "learning_rate": 0.01,
    # "auto" would fit the few texts of a test several times.
    "validation_fraction": 0.1,
    "random_state": 0,
}
# Learns the corpus from a few hundred texts, in seconds.
THOROUGH = QUICK | {
    "net_params": SMALL | {"module__joint_dimension": 64},
    "max_epochs": 15,
    "learning_rate": 0.02,
    "lambda_joint": 0.1,
    "lambda_match": 1.0,
    "random_state": 3,
}


def make_corpus(n_texts, seed=0, *, paths=1):
    """Return texts and label sets; every text carries `paths` whole paths."""
    draws = np.random.default_rng(seed)
    texts, label_sets = [], []
    for _ in range(n_texts):
        ends = draws.choice(list(PATHS), size=paths, replace=False)
        labels = {label for end in ends for label in PATHS[end]}
        words = [word for label in sorted(labels) for word in draws.choice(WORDS[label].split(), size=2)]
        words += list(draws.choice(FILLERS, size=draws.integers(1, 8)))
        texts.append(" ".join(draws.permutation(words)))
        label_sets.append(labels)
    return texts, label_sets


def binarize(label_sets):
    """Return the indicator of label sets over all labels, sorted."""
    return MultiLabelBinarizer(classes=sorted(WORDS)).fit_transform(label_sets)
