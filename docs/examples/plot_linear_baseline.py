"""
A linear SVM beside it
======================

Many labels have words that give them away, and then a linear classifier on words is
hard to beat. Compare with one before you use anything larger. `LinearBaseline` is
TF-IDF and a linear SVM for each label, with the best threshold or path.
"""

# %%
# Every third docstring of numpy and torch. Both models get the same validation
# texts, to choose their decisions.

from sklearn.model_selection import train_test_split

from skhimatch import HiMatchClassifier
from skhimatch.baseline import LinearBaseline
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
rest_texts, test_texts, rest_labels, test_labels = train_test_split(
    texts, label_sets, test_size=0.3, random_state=0
)
train_texts, val_texts, train_labels, val_labels = train_test_split(
    rest_texts, rest_labels, test_size=0.25, random_state=0
)

# %%
small = {
    "module__embedding_dimension": 50,
    "module__node_dimension": 50,
    "module__max_length": 60,
}
models = {
    "HiMatch": HiMatchClassifier(
        hierarchy,
        max_epochs=6,
        validation_fraction=0,
        random_state=0,
        net_params=small,
    ),
    "TF-IDF + SVM": LinearBaseline(hierarchy),
}
for model in models.values():
    model.fit(train_texts, train_labels, X_val=val_texts, y_val=val_labels)
print(models["TF-IDF + SVM"].choices_)

# %%
# Scores
# ------

from skhimatch.evaluation.displays import LevelF1Display
from skhimatch.labels.targets import encode_targets
from skhimatch.report import Report, compare

expected = encode_targets(test_labels, hierarchy)
reports = {
    name: Report.of(expected, model.predict(test_texts), hierarchy)
    for name, model in models.items()
}
print(compare(reports))

# %%
LevelF1Display({name: report.levels for name, report in reports.items()}).plot()

# %%
# `HiMatchClassifier` has a linear classifier on n-grams as well, and adds its
# scores to those of the network. The weights show what counted. A weight of 0 means
# that a scorer did not help on the validation texts, as the network may with a few
# hundred texts:

print(
    {
        name: round(float(weight), 2)
        for name, weight in models["HiMatch"].stacking_weights_.weights.items()
    }
)
