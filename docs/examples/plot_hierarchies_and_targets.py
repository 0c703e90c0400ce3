"""
Trees, DAGs, and the formats of y
=================================

In a tree each label has one parent. In a DAG (a directed acyclic graph) a label may
have several parents. Both are hierarchies for `HiMatchClassifier`.
"""

# %%
# Formats of a hierarchy
# ----------------------
# A dict, pairs and paths describe the same tree.

from skhimatch import as_hierarchy

tree = as_hierarchy(
    {
        "science": {"physics": ["optics"], "biology": {}},
        "sport": ["tennis", "football"],
    }
)
pairs = as_hierarchy(
    [
        ("science", "physics"),
        ("physics", "optics"),
        ("science", "biology"),
        ("sport", "tennis"),
        ("sport", "football"),
    ]
)
paths = as_hierarchy(
    ["science/physics/optics", "science/biology", "sport/tennis", "sport/football"]
)
print(tree == pairs == paths)
print(tree.to_text())

# %%
# A DAG
# -----
# Biochemistry belongs to biology and to chemistry.

dag = as_hierarchy(
    {
        "science": ["biology", "chemistry", "physics"],
        "biology": ["biochemistry", "zoology"],
        "chemistry": ["biochemistry", "metals"],
        "physics": ["optics"],
    }
)
print(dag)

# %%
# Its labels by level, and the edges from parents to children:

import matplotlib.pyplot as plt
import numpy as np


def draw(hierarchy, ax):
    """Draw each level as a row, with lines between parents and children."""
    places = {}
    for level in np.unique(hierarchy.levels):
        columns = np.flatnonzero(hierarchy.levels == level)
        above = [
            np.mean([places[p][0] for p in hierarchy.parents[[c]].indices] or [0])
            for c in columns
        ]
        for nth, column in enumerate(columns[np.argsort(above, kind="stable")]):
            places[column] = ((nth + 0.5) / len(columns), -level)
    for child, parent in zip(*hierarchy.parents.nonzero(), strict=True):
        ax.plot(
            *zip(places[parent], places[child], strict=True), color="0.6", zorder=1
        )
    for column, place in places.items():
        box = {"boxstyle": "round", "facecolor": "#cce5f2", "edgecolor": "#0072b2"}
        ax.text(
            *place, hierarchy.labels[column], ha="center", va="center", bbox=box
        )
    ax.set(xlim=(0, 1), ylim=(-hierarchy.depth - 0.4, -0.6))
    ax.axis("off")


figure, ax = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
draw(dag, ax)
ax.set_title("Biochemistry has two parents")

# %%
# Formats of y
# ------------
# A set has exactly the labels of a text. A string is the end of a path, and its
# ancestors are added. An indicator has a column for each label.

from sklearn.preprocessing import MultiLabelBinarizer

from skhimatch.labels.targets import encode_targets

as_strings = ["optics", "biochemistry", "metals"]
as_sets = [
    {"science", "physics", "optics"},
    {"science", "biology", "chemistry", "biochemistry"},
    {"science", "chemistry", "metals"},
]
as_indicator = MultiLabelBinarizer(classes=list(dag)).fit_transform(as_sets)
for y in (as_strings, as_sets, as_indicator):
    print((encode_targets(y, dag).toarray() == as_indicator).all())

# %%
# Fit on a DAG
# ------------
# A predicted label comes with all its ancestors, because the training texts have
# all ancestors of their labels.

from skhimatch import HiMatchClassifier

words = {
    "biochemistry": ["enzyme", "protein", "reaction", "catalyst"],
    "zoology": ["animal", "mammal", "habitat", "species"],
    "metals": ["iron", "alloy", "copper", "reaction"],
    "optics": ["lens", "light", "mirror", "wavelength"],
}
rng = np.random.default_rng(0)
leaves = rng.choice(list(words), size=80)
texts = [" ".join(rng.choice(words[leaf], size=4)) for leaf in leaves]
small = {"module__embedding_dimension": 32, "module__node_dimension": 32}
clf = HiMatchClassifier(dag, max_epochs=10, random_state=0, net_params=small)
clf.fit(texts, leaves.tolist())

new = ["the protein is an enzyme", "light in a lens", "an alloy of copper"]
for text, found in zip(new, clf.to_label_sets(clf.predict(new)), strict=True):
    print(f"{text}: {sorted(found)}")
