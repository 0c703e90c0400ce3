"""
Search of the margins, in a Pipeline
====================================

The matching loss has three margins. A random wrong label has to be ``gamma``
farther from a text than a right label, a wrong sibling ``beta * gamma``, and an
ancestor ``alpha * gamma``. `GridSearchCV` searches them as any other parameter.
"""

# %%
# Texts
# -----
# We make 240 short texts of eight leaves. One word in three belongs to another
# leaf, so that there are errors.

import numpy as np

hierarchy = {
    "science": ["physics", "biology", "chemistry", "geology"],
    "sport": ["tennis", "football", "rowing", "cycling"],
}
leaves = [leaf for children in hierarchy.values() for leaf in children]
words = {leaf: [f"{leaf[:4]}{n}" for n in range(12)] for leaf in leaves}
rng = np.random.default_rng(0)
labels = rng.choice(leaves, size=240)
texts = [
    " ".join(
        rng.choice(words[label if rng.random() < 0.67 else rng.choice(leaves)])
        for _ in range(5)
    )
    for label in labels
]
print(texts[0], "->", labels[0])

# %%
# A Pipeline and an indicator
# ---------------------------
# scikit-learn's searches split ``y`` as an array, so it has to be an indicator. In
# a Pipeline the tokenizer is fitted on the training texts of each split. In a
# network of words the margins matter for predictions with ``head="matching"``. We
# take the network alone (``lexical=None``), to see its own scores.

from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MultiLabelBinarizer

from skhimatch import HiMatchClassifier, WordTokenizer

parent = {leaf: name for name, children in hierarchy.items() for leaf in children}
Y = MultiLabelBinarizer().fit_transform(
    [{label, parent[label]} for label in labels]
)
small = {"module__embedding_dimension": 32, "module__node_dimension": 32}
pipeline = make_pipeline(
    WordTokenizer(),
    HiMatchClassifier(
        hierarchy,
        head="matching",
        lexical=None,
        max_epochs=8,
        validation_fraction=0,
        random_state=0,
        net_params=small,
    ),
)

# %%
# The search
# ----------
# `hierarchical_scorer` makes scorers of this package's metrics. Here it is macro-F1
# of the leaves.

from sklearn.model_selection import GridSearchCV

from skhimatch.evaluation.scorers import hierarchical_scorer

search = GridSearchCV(
    pipeline,
    {
        "himatchclassifier__gamma": [0.02, 0.2, 1.0],
        "himatchclassifier__alpha": [0.01, 0.2],
        "himatchclassifier__beta": [0.1, 0.5],
    },
    scoring=hierarchical_scorer("level_macro_f1", hierarchy, level=2),
    cv=2,
)
search.fit(texts, Y)
print(
    {name.rpartition("__")[2]: value for name, value in search.best_params_.items()}
)

# %%
# The points are the mean scores of the two splits, and the lines reach from one to
# the other. Where a line is as long as the difference of two candidates, the
# difference is chance: compare on more texts and with several seeds.

import matplotlib.pyplot as plt

results = search.cv_results_
order = np.argsort(results["mean_test_score"])
splits = np.array([results["split0_test_score"], results["split1_test_score"]])[
    :, order
]
names = [
    ", ".join(
        f"{name} {params[f'himatchclassifier__{name}']}"
        for name in ("gamma", "alpha", "beta")
    )
    for params in np.array(results["params"])[order]
]
figure, ax = plt.subplots(figsize=(6.8, 4.2), layout="constrained")
ax.hlines(names, splits.min(axis=0), splits.max(axis=0), color="#0072b2")
ax.plot(splits.mean(axis=0), names, "o", color="#0072b2")
ax.set(xlabel="macro-F1 of the leaves", title="Two splits for each candidate")
ax.spines[["top", "right"]].set_visible(False)
