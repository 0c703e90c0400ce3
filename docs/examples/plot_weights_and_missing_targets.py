"""
Weights and missing targets
===========================

Some texts are more reliable than others, some labels are rare, and sometimes it is
not known whether a text has a label.
"""

# %%
# Unbalanced labels
# -----------------
# We make texts of four leaves, of which one has 3 texts in 100. Half of the words
# belong to any leaf.

import matplotlib.pyplot as plt
import numpy as np

from skhimatch import HiMatchClassifier

hierarchy = {"science": ["physics", "biology"], "sport": ["tennis", "rowing"]}
leaves = ["physics", "biology", "tennis", "rowing"]
words = {leaf: [f"{leaf[:3]}{n}" for n in range(15)] for leaf in leaves}
rng = np.random.default_rng(0)


def make_texts(labels):
    """Return a text of five words for each leaf."""
    return [
        " ".join(
            rng.choice(words[label if rng.random() < 0.5 else rng.choice(leaves)])
            for _ in range(5)
        )
        for label in labels
    ]


labels = rng.choice(leaves, size=400, p=[0.45, 0.32, 0.2, 0.03]).tolist()
texts = make_texts(labels)
test_labels = rng.choice(leaves, size=400).tolist()
test_texts = make_texts(test_labels)

# %%
# ``class_weight="balanced"`` gives the texts with a label the same weight as all
# others, when the label is learned. ``optimize="macro"`` chooses thresholds by
# macro-F1, in which rare labels count as much as frequent ones.

from sklearn.metrics import recall_score

from skhimatch import as_hierarchy
from skhimatch.labels.targets import encode_targets

small = {"module__embedding_dimension": 32, "module__node_dimension": 32}
expected = encode_targets(test_labels, as_hierarchy(hierarchy)).toarray()
settings = {
    "default": {},
    "class_weight='balanced'": {"class_weight": "balanced"},
    "optimize='macro'": {"optimize": "macro"},
}
recalls = {}
for name, setting in settings.items():
    clf = HiMatchClassifier(
        hierarchy,
        decoding="threshold",
        max_epochs=6,
        validation_fraction=0.25,
        random_state=0,
        net_params=small,
        **setting,
    )
    clf.fit(texts, labels)
    found = clf.predict(test_texts)
    columns = clf.classes_.tolist()
    by_label = recall_score(expected, found, average=None, zero_division=0)
    recalls[name] = [by_label[columns.index(leaf)] for leaf in leaves]

figure, ax = plt.subplots(figsize=(6.8, 3.4), layout="constrained")
places = np.arange(len(leaves))
for nth, (name, values) in enumerate(recalls.items()):
    bars = ax.bar(places + (nth - 1) * 0.27, values, 0.25, label=name)
    ax.bar_label(bars, fmt="%.2f", fontsize="small")
ax.set_xticks(places, [f"{leaf}\n{labels.count(leaf)} texts" for leaf in leaves])
ax.set(
    ylabel="recall",
    ylim=(0, 1.15),
    title="Recall on test texts, as many of each leaf",
)
ax.legend(frameon=False, ncols=3, loc="upper center", fontsize="small")
ax.spines[["top", "right"]].set_visible(False)

# %%
# Weights of texts
# ----------------
# Say that half of the labels come from a source that often says ``physics`` where
# that is wrong. ``sample_weight`` lets these texts count less.

noisy = rng.random(400) < 0.5
wrong = noisy & (rng.random(400) < 0.6)
noisy_labels = [
    "physics" if bad else label for bad, label in zip(wrong, labels, strict=True)
]
for weight in (1.0, 0.1):
    clf = HiMatchClassifier(
        hierarchy,
        max_epochs=6,
        validation_fraction=0.25,
        random_state=0,
        net_params=small,
    )
    clf.fit(texts, noisy_labels, sample_weight=np.where(noisy, weight, 1.0))
    score = clf.score(test_texts, test_labels)
    print(f"weight {weight} of the bad source: subset accuracy {score:.3f}")

# %%
# Missing targets
# ---------------
# NaN in an indicator says that it is not known whether a text has the label. Here
# this is so for three in four texts and the label ``tennis``. With 0 in place of
# NaN, many texts of tennis are false negative examples.

Y = encode_targets(labels, as_hierarchy(hierarchy)).toarray().astype(float)
tennis = as_hierarchy(hierarchy).index["tennis"]
unknown = rng.random(400) < 0.75
probabilities = {}
for name, value in (("NaN", np.nan), ("0", 0.0)):
    targets = Y.copy()
    targets[unknown, tennis] = value
    clf = HiMatchClassifier(
        hierarchy,
        decoding="threshold",
        max_epochs=6,
        validation_fraction=0.25,
        random_state=0,
        net_params=small,
    )
    probabilities[name] = clf.fit(texts, targets).predict_proba(test_texts)[
        :, tennis
    ]

figure, axes = plt.subplots(
    1, 2, figsize=(7.2, 3), sharey=True, sharex=True, layout="constrained"
)
has_label = expected[:, tennis] > 0
for ax, (name, values) in zip(axes, probabilities.items(), strict=True):
    for group, title, color in (
        (has_label, "texts of tennis", "#0072b2"),
        (~has_label, "other texts", "#e69f00"),
    ):
        ax.hist(
            values[group],
            bins=np.linspace(0, 1, 21),
            alpha=0.7,
            label=title,
            color=color,
        )
    ax.set(title=f"unknown targets are {name}", xlabel="probability of tennis")
    ax.spines[["top", "right"]].set_visible(False)
axes[0].set_ylabel("test texts")
axes[1].legend(frameon=False)
