"""
Few texts, and texts out of scope
=================================

How many texts does a label need, and what happens to texts that have none of the
labels?
"""

# %%
# Few texts
# ---------
# The labels are the subpackages and modules of numpy. We fit on 50, 100 and 200
# docstrings and score on 200 others.

import numpy as np

from skhimatch.datasets import load_api_docs

corpus = load_api_docs()
order = np.random.default_rng(0).permutation(len(corpus)).tolist()
numpy_rows = [row for row in order if "numpy" in corpus.label_sets[row]][:400]
hierarchy = corpus.hierarchy.restrict(
    [label for label in corpus.hierarchy if label.startswith("numpy")]
)
texts = [corpus.texts[row] for row in numpy_rows]
label_sets = [corpus.label_sets[row] for row in numpy_rows]
test_texts, test_labels = texts[200:], label_sets[200:]

# %%
# Up to 2,000 texts are cross-fitted: all are trained on, and all help to choose the
# weights of the scores and the thresholds. `LinearBaseline` is TF-IDF and a linear
# SVM for each label.

from skhimatch import HiMatchClassifier
from skhimatch.baseline import LinearBaseline
from skhimatch.evaluation.metrics import micro_macro_f1
from skhimatch.labels.targets import encode_targets

small = {
    "module__embedding_dimension": 50,
    "module__node_dimension": 50,
    "module__max_length": 60,
}
expected = encode_targets(test_labels, hierarchy)
sizes = [50, 100, 200]
scores = {"HiMatch": [], "TF-IDF + SVM": []}
for size in sizes:
    models = {
        "HiMatch": HiMatchClassifier(
            hierarchy, max_epochs=4, random_state=0, net_params=small
        ),
        "TF-IDF + SVM": LinearBaseline(hierarchy),
    }
    for name, model in models.items():
        model.fit(texts[:size], label_sets[:size])
        scores[name].append(micro_macro_f1(expected, model.predict(test_texts)))

# %%
# With one draw of the training texts, differences of a few points are chance. The
# page of results has means over several draws and corpora.

import matplotlib.pyplot as plt

figure, axes = plt.subplots(
    1, 2, figsize=(7.2, 3.4), sharey=True, layout="constrained"
)
for nth, (ax, average) in enumerate(
    zip(axes, ("micro-F1", "macro-F1"), strict=True)
):
    for (name, values), mark in zip(scores.items(), "os", strict=True):
        ax.plot(sizes, [value[nth] for value in values], marker=mark, label=name)
    ax.set(xlabel="training texts", ylabel=average, xticks=sizes, ylim=(0, 1))
    ax.spines[["top", "right"]].set_visible(False)
axes[0].legend(frameon=False, loc="lower right")
figure.suptitle("More texts, better scores")

# %%
# Texts out of scope
# ------------------
# A text with an empty label set is a negative example of each label. Some of them
# in training teach the classifier to predict nothing. Here they are docstrings of
# scikit-learn.

others = [row for row in order if "sklearn" in corpus.label_sets[row]][:160]
out_of_scope = [corpus.texts[row] for row in others]
with_scope = HiMatchClassifier(
    hierarchy,
    max_epochs=4,
    validation_fraction=0.2,
    random_state=0,
    net_params=small,
)
with_scope.fit(texts[:200] + out_of_scope[:60], label_sets[:200] + [set()] * 60)

of_numpy = with_scope.predict(test_texts).any(axis=1).mean()
of_others = with_scope.predict(out_of_scope[60:]).any(axis=1).mean()
print(f"texts with a label: {of_numpy:.0%} of numpy, {of_others:.0%} of the others")

# %%
# The probability of the label ``numpy``, of texts that were not trained on:

column = hierarchy.index["numpy"]
figure, ax = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
bins = np.linspace(0, 1, 21)
for name, group, color in (
    ("docstrings of numpy", test_texts, "#0072b2"),
    ("docstrings of scikit-learn", out_of_scope[60:], "#e69f00"),
):
    ax.hist(
        with_scope.predict_proba(group)[:, column],
        bins=bins,
        alpha=0.7,
        color=color,
        label=name,
    )
ax.set(
    xlabel="probability of the label numpy",
    ylabel="texts",
    title="In scope and out of scope",
)
ax.legend(frameon=False, loc="upper center")
ax.spines[["top", "right"]].set_visible(False)
