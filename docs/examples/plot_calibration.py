"""
Calibrated probabilities
========================

A probability is calibrated if, of the texts with the probability 0.8 for a label,
four in five have the label. `calibrate` learns this from texts that were not
trained on.
"""

# %%
# A fit without held-out texts
# ----------------------------
# By default weights of the scores are learned from held-out texts, and
# probabilities are nearly calibrated. With ``validation_fraction=0`` nothing is
# held out, and the weights are default ones.

import numpy as np

from skhimatch import HiMatchClassifier
from skhimatch.datasets import load_api_docs

corpus = load_api_docs()
rows = [
    row
    for row, labels in enumerate(corpus.label_sets)
    if labels & {"numpy", "torch"}
]
rows = np.random.default_rng(0).permutation(rows).tolist()
hierarchy = corpus.hierarchy.restrict(
    [
        label
        for label in corpus.hierarchy
        if label.split(".")[0] in ("numpy", "torch")
    ]
)


def part(start, stop):
    """Return texts and label sets."""
    return [corpus.texts[row] for row in rows[start:stop]], [
        corpus.label_sets[row] for row in rows[start:stop]
    ]


small = {
    "module__embedding_dimension": 50,
    "module__node_dimension": 50,
    "module__max_length": 60,
}
clf = HiMatchClassifier(
    hierarchy, max_epochs=5, validation_fraction=0, random_state=0, net_params=small
)
clf.fit(*part(0, 400))
test_texts, test_labels = part(1000, 2000)

# %%
# Calibrate
# ---------
# ``"isotonic"`` is for hundreds of texts with a label, ``"sigmoid"`` and
# ``"temperature"`` are for fewer. Each call starts from the probabilities of the
# fit.

probabilities = {"before": clf.predict_proba(test_texts)}
for method in ("temperature", "sigmoid", "isotonic"):
    clf.calibrate(*part(400, 1000), method=method)
    probabilities[method] = clf.predict_proba(test_texts)

# %%
# Reliability
# -----------
# All pairs of a text and a label are sorted into ten groups by their probability.
# The horizontal axis is the mean probability of a group, the vertical axis the
# share of its pairs that are right. Calibrated probabilities are on the diagonal.
# The fewer of the texts of `calibrate` have a label, the less it is changed, so
# rare labels remain as they were.

import matplotlib.pyplot as plt

from skhimatch.labels.targets import encode_targets

expected = encode_targets(test_labels, hierarchy).toarray().ravel() > 0
edges = np.linspace(0, 1, 11)
figure, ax = plt.subplots(figsize=(4.8, 4.4), layout="constrained")
ax.plot([0, 1], [0, 1], color="0.6", linestyle=":", label="calibrated")
for (name, values), mark in zip(probabilities.items(), "osD^", strict=True):
    groups = np.digitize(values.ravel(), edges[1:-1])
    shown = np.unique(groups)
    mean = [values.ravel()[groups == group].mean() for group in shown]
    share = [expected[groups == group].mean() for group in shown]
    ax.plot(mean, share, marker=mark, label=name)
ax.set(
    xlabel="mean probability",
    ylabel="share of right labels",
    title="Reliability on the test texts",
    aspect="equal",
)
ax.legend(frameon=False)
ax.spines[["top", "right"]].set_visible(False)

# %%
# The log loss is lower if probabilities are right:

from sklearn.metrics import brier_score_loss, log_loss

for name, values in probabilities.items():
    flat = values.ravel().astype(float)
    loss, brier = log_loss(expected, flat), brier_score_loss(expected, flat)
    print(f"{name:12} log loss {loss:.4f}, Brier score {brier:.4f}")
