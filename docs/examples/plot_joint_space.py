"""
Texts and labels in the joint space
===================================

HiMatch puts texts and labels into one space, in which a text is near its labels.
`transform` returns the coordinates of texts, and ``label_embeddings_`` those of
labels.
"""

# %%
# With ``head="matching"`` predictions are made in this space: the logit of a label
# comes from its distance to the text. ``lexical=None`` uses the network alone.
# ``lambda_joint`` is the weight of the loss that draws texts to their labels; it is
# 0 by default, and here it makes the picture clearer.

from sklearn.model_selection import train_test_split

from skhimatch import HiMatchClassifier
from skhimatch.datasets import load_api_docs

corpus = load_api_docs()
rows = [
    row
    for row, labels in enumerate(corpus.label_sets)
    if labels & {"numpy", "torch"}
][::2]
texts = [corpus.texts[row] for row in rows]
label_sets = [corpus.label_sets[row] for row in rows]
hierarchy = corpus.hierarchy.restrict(sorted(set().union(*label_sets)))
train_texts, test_texts, train_labels, test_labels = train_test_split(
    texts, label_sets, test_size=0.3, random_state=0
)
small = {
    "module__embedding_dimension": 50,
    "module__node_dimension": 50,
    "module__max_length": 60,
}
clf = HiMatchClassifier(
    hierarchy,
    head="matching",
    lexical=None,
    lambda_joint=0.3,
    max_epochs=25,
    validation_fraction=0.15,
    random_state=0,
    net_params=small,
)
clf.fit(train_texts, train_labels)
print(clf.transform(test_texts[:5]).shape, clf.label_embeddings_.shape)

# %%
# A picture
# ---------
# `JointEmbeddingDisplay` places test texts (dots) and labels (stars) on a plane by
# t-SNE, which keeps neighbours together.

from skhimatch.evaluation.joint_embedding import JointEmbeddingDisplay

shown = [
    "numpy.lib",
    "numpy.polynomial",
    "torch.nn",
    "torch.linalg",
    "torch.distributions",
    "torch.optim",
]
display = JointEmbeddingDisplay.from_estimator(
    clf, test_texts, test_labels, labels=shown, random_state=0
)
display.ax_.set_title("Docstrings and subpackages")

# %%
# Neighbours
# ----------
# Labels whose texts are alike are near each other.

import numpy as np

distances = np.linalg.norm(
    clf.label_embeddings_[:, None] - clf.label_embeddings_, axis=2
)
for label in ("torch.nn", "numpy.linalg", "numpy.polynomial"):
    nearest = np.argsort(distances[hierarchy.index[label]])[1:4]
    print(f"{label}: {', '.join(clf.classes_[nearest])}")

# %%
# Distance to right and to wrong labels
# -------------------------------------
# Right labels of a test text are mostly nearer than its wrong labels.

import matplotlib.pyplot as plt

from skhimatch.labels.targets import encode_targets

right = encode_targets(test_labels, hierarchy).toarray() > 0
to_labels = np.linalg.norm(
    clf.transform(test_texts)[:, None] - clf.label_embeddings_, axis=2
)
siblings = (right.astype(int) @ hierarchy.siblings.toarray() > 0) & ~right
groups = {
    "right labels": right,
    "wrong siblings": siblings,
    "other wrong labels": ~right & ~siblings,
}
figure, ax = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
ax.boxplot(
    [to_labels[group] for group in groups.values()],
    orientation="horizontal",
    showfliers=False,
)
ax.set_yticks([1, 2, 3], list(groups))
ax.set(
    xlabel="distance between text and label", title="Distances in the joint space"
)
ax.spines[["top", "right"]].set_visible(False)
