"""
A table with categories as paths
================================

Many tables have a column such as ``Electronics > Phones > Cases``: a path from the
root of the hierarchy down. Some cells have several paths, and some are empty.
`labels_from_paths` makes label sets and a hierarchy of such a column.
"""

# %%
# The table
# ---------
# We make one of 300 products. Shoes are a category of men and of women, and these
# are two labels.

import numpy as np
import pandas as pd

words = {
    "Men > Shoes": "leather boots laces sole mens sneaker black wool",
    "Men > Hats": "cap brim felt mens beanie wool black leather",
    "Women > Shoes": "heels sandals sole womens sneaker leather black summer",
    "Women > Dresses": "silk skirt womens summer floral wool black sleeves",
    "Electronics > Phones > Cases": "phone case cover silicone shell screen",
    "Electronics > Phones > Chargers": "phone charger usb cable fast watt",
}
rng = np.random.default_rng(0)
categories = rng.choice(list(words), size=300)
titles = [
    " ".join(rng.choice(words[category].split(), size=3)) for category in categories
]
table = pd.DataFrame({"title": titles, "category": categories})
on_sale = rng.random(300) < 0.2
table.loc[on_sale, "title"] += " reduced price"
table.loc[on_sale, "category"] += "; Sale"
table.loc[[3, 50], "category"] = None
table.head()

# %%
# Labels and hierarchy
# --------------------
# The separators are recognised where they are plain. Rows without a category are
# listed.

from skhimatch import labels_from_paths, short_names

found = labels_from_paths(table["category"])
print("separators:", repr(found.path_separator), "and", repr(found.label_separator))
print("rows without a category:", found.missing)
print(found.hierarchy.to_text())

# %%
# Labels are named by their whole path. `short_names` returns the shortest names
# that are different.

print(short_names(found.hierarchy.labels))

# %%
# Fit
# ---
# An empty label set means that no label applies. Of the rows without a category we
# do not know that, so we leave them out.

from sklearn.model_selection import train_test_split

from skhimatch import HiMatchClassifier

known = table.drop(index=found.missing)
label_sets = [found.label_sets[row] for row in known.index]
train_texts, test_texts, train_labels, test_labels = train_test_split(
    known["title"].tolist(), label_sets, test_size=0.3, random_state=0
)
small = {"module__embedding_dimension": 32, "module__node_dimension": 32}
clf = HiMatchClassifier(
    found.hierarchy,
    label_texts=found.label_texts,
    max_epochs=10,
    random_state=0,
    net_params=small,
)
clf.fit(train_texts, train_labels)

# %%
# The predictions go back into a table:

names = short_names(found.hierarchy.labels)
predicted = clf.to_label_sets(clf.predict(test_texts))
shown = pd.DataFrame(
    {
        "title": test_texts,
        "predicted": [
            "; ".join(sorted(names[label] for label in labels))
            for labels in predicted
        ],
        "probability of Sale": clf.predict_proba(test_texts)[
            :, found.hierarchy.index["Sale"]
        ].round(2),
    }
)
shown.head(8)

# %%
# F1 of each label on the test texts:

import matplotlib.pyplot as plt
from sklearn.metrics import f1_score

from skhimatch.labels.targets import encode_targets

scores = f1_score(
    encode_targets(test_labels, found.hierarchy).toarray(),
    clf.predict(test_texts),
    average=None,
    zero_division=0,
)
figure, ax = plt.subplots(figsize=(6.4, 4), layout="constrained")
bars = ax.barh([names[label] for label in clf.classes_], scores, color="#0072b2")
ax.bar_label(bars, fmt="%.2f", padding=3)
ax.invert_yaxis()
ax.set(xlim=(0, 1.1), xlabel="F1", title="F1 of each category")
ax.spines[["top", "right"]].set_visible(False)
