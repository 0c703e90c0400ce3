"""
Saving, loading, and predicting in chunks
=========================================

A fitted classifier is saved as arrays and JSON, without pickle.
`iter_predict_proba` predicts many texts with little memory.
"""

# %%
# A fitted classifier
# -------------------

from skhimatch import HiMatchClassifier
from skhimatch.datasets import load_api_docs

corpus = load_api_docs()
rows = [
    row
    for row, labels in enumerate(corpus.label_sets)
    if labels & {"numpy", "torch"}
]
label_sets = [corpus.label_sets[row] for row in rows]
texts = [corpus.texts[row] for row in rows]
hierarchy = corpus.hierarchy.restrict(sorted(set().union(*label_sets)))
small = {
    "module__embedding_dimension": 50,
    "module__node_dimension": 50,
    "module__max_length": 60,
}
clf = HiMatchClassifier(
    hierarchy,
    max_epochs=4,
    validation_fraction=0.2,
    random_state=0,
    net_params=small,
)
clf.fit(texts[::4], label_sets[::4])

# %%
# Save and load
# -------------
# A saved classifier is a folder. While `save` replaces it, the folder holds the old
# classifier or the new one at every moment. `load` checks all files, and predicts
# the same.

import tempfile
from pathlib import Path

with tempfile.TemporaryDirectory() as folder:
    clf.save(Path(folder) / "model")
    for path in sorted((Path(folder) / "model").rglob("*")):
        if path.is_file():
            print(f"{path.name:24} {path.stat().st_size / 1e6:6.2f} MB")
    served = HiMatchClassifier.load(Path(folder) / "model")

print((served.predict_proba(texts[:20]) == clf.predict_proba(texts[:20])).all())

# %%
# In chunks
# ---------
# `iter_predict_proba` yields the probabilities of a chunk of texts at a time.
# `decide` turns them into labels. So only a chunk of the probabilities is in
# memory, also with thousands of labels. Here we count the predicted subpackages of
# all docstrings of numpy and torch.

from collections import Counter

counts = Counter()
for probabilities in served.iter_predict_proba(texts):
    for found in served.to_label_sets(served.decide(probabilities)):
        counts.update(label for label in found if label.count(".") == 1)

# %%
# A service would do the same with the texts of each request. The probabilities of a
# text do not depend on the other texts of a request (up to rounding).

import matplotlib.pyplot as plt

true = Counter(
    label for labels in label_sets for label in labels if label.count(".") == 1
)
shown = [label for label, _ in true.most_common(12)]
figure, ax = plt.subplots(figsize=(6.8, 4.2), layout="constrained")
places = range(len(shown))
ax.barh(
    [place - 0.2 for place in places],
    [counts[label] for label in shown],
    0.38,
    label="predicted",
)
ax.barh(
    [place + 0.2 for place in places],
    [true[label] for label in shown],
    0.38,
    label="true",
    color="0.7",
)
ax.set_yticks(places, shown)
ax.invert_yaxis()
ax.set(xlabel="texts", title="Subpackages of numpy and torch")
ax.legend(frameon=False, loc="lower right")
ax.spines[["top", "right"]].set_visible(False)
