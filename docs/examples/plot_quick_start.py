"""
Quick start: fit, predict, report
=================================

The labels of a text are a path in a hierarchy: here the library, the subpackage and
the module that a docstring comes from. We fit a classifier, look at its
predictions, and score it level by level.
"""

# %%
# Texts, label sets and a hierarchy
# ---------------------------------
# `skhimatch.datasets.load_api_docs` reads the docstrings of installed libraries. We
# take every third one of numpy and torch.

from sklearn.model_selection import train_test_split

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
    texts, label_sets, test_size=0.3, random_state=0
)
print(len(train_texts), "training texts,", len(test_texts), "test texts")
print(hierarchy)

# %%
# A text and its labels:

print(train_texts[0][:200], "...")
print(sorted(train_labels[0]))

# %%
# Fit
# ---
# Most parameters are "auto". What `fit` chose is in ``choices_``.

from skhimatch import HiMatchClassifier

small = {
    "module__embedding_dimension": 50,
    "module__node_dimension": 50,
    "module__max_length": 60,
}
clf = HiMatchClassifier(hierarchy, max_epochs=6, random_state=0, net_params=small)
clf.fit(train_texts, train_labels)
print(clf.choices_)

# %%
# Predict
# -------
# `predict` returns an indicator, as scikit-learn does: a row for each text and a
# column for each label of ``classes_``. `to_label_sets` turns it into sets of
# labels.

predicted = clf.predict(test_texts)
print(predicted.shape)
for labels, found in zip(
    test_labels[:4], clf.to_label_sets(predicted[:4]), strict=True
):
    print("true", sorted(labels), "predicted", sorted(found))

# %%
# `predict_topk` ranks the labels of a text.

labels, probabilities = clf.predict_topk(test_texts[:1], k=3)
print(
    dict(zip(labels[0].tolist(), probabilities[0].round(3).tolist(), strict=True))
)

# %%
# Report
# ------
# Micro-F1 counts all pairs of texts and labels. Macro-F1 is the mean over the
# labels, so rare labels count as much as frequent ones.

from skhimatch.labels.targets import encode_targets
from skhimatch.report import Report, compare

expected = encode_targets(test_labels, hierarchy)
report = Report.of(expected, predicted, hierarchy)
print(compare({"HiMatch": report}))

# %%
# The lower the level, the fewer texts each label has, and the harder it is to find.

from skhimatch.evaluation.displays import LevelF1Display

display = LevelF1Display.from_predictions(expected, predicted, hierarchy)
display.ax_.set_title("F1 by level of the hierarchy", pad=28)
