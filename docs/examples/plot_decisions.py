"""
From probabilities to labels
============================

`predict` turns probabilities into labels by a threshold or by the best path. The
decision can be changed after the fit, without training.
"""

# %%
# Every third docstring of numpy and torch, and a fit:

from sklearn.model_selection import train_test_split

from skhimatch import HiMatchClassifier
from skhimatch.datasets import load_api_docs

corpus = load_api_docs()
rows = [
    row
    for row, labels in enumerate(corpus.label_sets)
    if labels & {"numpy", "torch"}
][::3]
texts = [corpus.texts[row] for row in rows]
label_sets = [corpus.label_sets[row] for row in rows]
hierarchy = corpus.hierarchy.restrict(sorted(set().union(*label_sets)))
train_texts, test_texts, train_labels, test_labels = train_test_split(
    texts, label_sets, test_size=0.4, random_state=0
)
small = {
    "module__embedding_dimension": 50,
    "module__node_dimension": 50,
    "module__max_length": 60,
}
clf = HiMatchClassifier(hierarchy, max_epochs=5, random_state=0, net_params=small)
clf.fit(train_texts, train_labels)

# %%
# A path
# ------
# Each training text has one path, so ``decoding="auto"`` predicts the most probable
# path. It may stop above a leaf, if that is better on the held-out texts.

print(clf.choices_.decision)
probabilities = clf.predict_proba(test_texts)
for row, found in zip(
    probabilities[:3], clf.to_label_sets(clf.decide(probabilities[:3])), strict=True
):
    print(
        {
            label: round(float(row[hierarchy.index[label]]), 2)
            for label in sorted(found)
        }
    )

# %%
# A threshold
# -----------
# `decide` applies the decision that is set now to probabilities that you already
# have, so different ones are compared at no cost. The higher the threshold, the
# more predicted labels are right, and the fewer right labels are found.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import f1_score, precision_score, recall_score

from skhimatch.labels.targets import encode_targets

expected = encode_targets(test_labels, hierarchy).astype(int)
thresholds = np.linspace(0.05, 0.95, 19)
curves = {"precision": [], "recall": [], "micro-F1": []}
for threshold in thresholds:
    clf.set_params(decoding="threshold", threshold=threshold)
    found = clf.decide(probabilities).astype(int)
    for name, metric in zip(
        curves, (precision_score, recall_score, f1_score), strict=True
    ):
        curves[name].append(metric(expected, found, average="micro"))

figure, ax = plt.subplots(figsize=(6.4, 3.8), layout="constrained")
for (name, values), style in zip(curves.items(), ("--", ":", "-"), strict=True):
    ax.plot(thresholds, values, style, label=name)
ax.set(
    xlabel="threshold",
    ylabel="score on the test texts",
    ylim=(0.5, 1.01),
    title="One threshold for all labels",
)
ax.legend(frameon=False)
ax.spines[["top", "right"]].set_visible(False)

# %%
# What to optimise
# ----------------
# ``threshold="auto"`` with ``decoding="threshold"`` is a threshold for each label,
# where the expected F1 on the held-out texts is highest. `optimize` names the F1.
# `tune` chooses anew for another one, on texts that were not trained on. We give it
# the first half of the test texts and score on the other half.

half = len(test_texts) // 2
rest = expected[half:]
clf.set_params(decoding="threshold", threshold="auto")
for optimize in ("micro", "macro", "precision@2"):
    clf.set_params(optimize=optimize).tune(test_texts[:half], test_labels[:half])
    found = clf.predict(test_texts[half:])
    micro, macro = (
        f1_score(rest, found, average=average, zero_division=0)
        for average in ("micro", "macro")
    )
    per_text = found.sum() / len(found)
    print(f"{optimize:12} micro-F1 {micro:.3f}, macro-F1 {macro:.3f}", end=", ")
    print(f"{per_text:.2f} labels for each text")

# %%
# ``"precision@2"`` predicts the two most probable labels of each text, for instance
# as suggestions to an editor.
