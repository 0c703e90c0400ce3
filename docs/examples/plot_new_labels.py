"""
Labels added later
==================

A taxonomy grows. `add_labels` adds labels to a fitted classifier without training:
a new label is scored by the words of its name, or of a description. `partial_fit`
then learns from the first texts that have it.
"""

# %%
# A classifier of four leaves
# ---------------------------

import numpy as np

from skhimatch import HiMatchClassifier

hierarchy = {"science": ["physics", "biology"], "sport": ["tennis", "football"]}
words = {
    "physics": ["quark", "electron", "field", "energy", "particle", "wave"],
    "biology": ["cell", "protein", "gene", "membrane", "tissue", "enzyme"],
    "tennis": ["serve", "volley", "racket", "court", "set", "ace"],
    "football": ["goal", "striker", "penalty", "keeper", "corner", "pass"],
    "chemistry": ["acid", "molecule", "reaction", "enzyme", "energy", "solvent"],
}
rng = np.random.default_rng(0)


def make_texts(leaf, number):
    """Return texts of five words, the last one of any leaf."""
    anything = [word for group in words.values() for word in group]
    return [
        " ".join([*rng.choice(words[leaf], size=4), rng.choice(anything)])
        for _ in range(number)
    ]


known = ["physics", "biology", "tennis", "football"]
texts = [text for leaf in known for text in make_texts(leaf, 30)]
labels = [leaf for leaf in known for _ in range(30)]
small = {"module__embedding_dimension": 32, "module__node_dimension": 32}
clf = HiMatchClassifier(
    hierarchy, decoding="threshold", max_epochs=10, random_state=0, net_params=small
)
clf.fit(texts, labels)

# %%
# A new label
# -----------
# The edge says where it belongs. Its texts are alternative names: give words that
# the texts use, because a word that no training text has says nothing.

clf.add_labels(
    [("science", "chemistry")], {"chemistry": ["reaction", "energy of an enzyme"]}
)
print(clf.classes_.tolist())

new_texts = make_texts("chemistry", 40)
old_texts = [text for leaf in known for text in make_texts(leaf, 10)]
column = clf.classes_.tolist().index("chemistry")
by_name = (
    clf.predict_proba(new_texts)[:, column],
    clf.predict_proba(old_texts)[:, column],
)

# %%
# Training of the new label
# -------------------------
# `partial_fit` is one more epoch on the texts that it gets. We give it 20 texts of
# chemistry with as many old ones, a few times.

more_texts = make_texts("chemistry", 20) + [
    text for leaf in known for text in make_texts(leaf, 5)
]
more_labels = ["chemistry"] * 20 + [leaf for leaf in known for _ in range(5)]
for _ in range(6):
    clf.partial_fit(more_texts, more_labels)
trained = (
    clf.predict_proba(new_texts)[:, column],
    clf.predict_proba(old_texts)[:, column],
)

# %%
# The name alone ranks the texts of chemistry before the others, but with low
# probabilities. So before there are training texts, look at the ranking. Training
# makes the probabilities high.

import matplotlib.pyplot as plt
from sklearn.metrics import roc_auc_score

figure, axes = plt.subplots(
    1, 2, figsize=(7.2, 3.2), sharey=True, layout="constrained"
)
for ax, title, (of_new, of_old) in zip(
    axes, ("by its name", "after partial_fit"), (by_name, trained), strict=True
):
    for nth, values in enumerate((of_new, of_old)):
        spread = nth + np.linspace(-0.2, 0.2, len(values))
        ax.plot(spread, values, "o", alpha=0.6, color=("#0072b2", "#e69f00")[nth])
    area = roc_auc_score(
        [1] * len(of_new) + [0] * len(of_old), np.concatenate([of_new, of_old])
    )
    ax.set(title=f"{title}: ROC AUC {area:.2f}", xlim=(-0.5, 1.5))
    ax.set_xticks([0, 1], ["texts of chemistry", "other texts"])
    ax.spines[["top", "right"]].set_visible(False)
axes[0].set_ylabel("probability of chemistry")
