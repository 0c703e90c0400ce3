"""The baseline hiclass, another library: one classifier for each parent node."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy.sparse import csr_array
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.svm import LinearSVC

from skhimatch.baseline import TFIDF
from skhimatch.evaluation.path_decisions import path_ends
from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.labels.targets import encode_targets

__all__ = ["LocalClassifiers"]


class LocalClassifiers:
    """TF-IDF as in `LinearBaseline`, and at each parent node a linear SVM that selects one of its children.

    Parameters
    ----------
    hierarchy : LabelHierarchy
        A tree or a forest.
    """

    def __init__(self, hierarchy: LabelHierarchy) -> None:
        self.hierarchy = hierarchy

    def fit(self, texts: list[str], label_sets: Iterable[Iterable[str]]) -> LocalClassifiers:
        """Train the SVMs. Raise a ValueError if the labels of a text are not a single path."""
        from hiclass import LocalClassifierPerParentNode

        targets = encode_targets(label_sets, self.hierarchy, len(texts))
        if not self.hierarchy.is_tree or path_ends(targets, self.hierarchy) is None:
            raise ValueError(
                "hiclass predicts one path through a tree, but here some label has several parents, or some "
                "text several paths or none; measure another model."
            )
        names = np.array(self.hierarchy.labels)
        # The label on each level; an empty string below the end of a path.
        paths = np.zeros((len(texts), self.hierarchy.depth), dtype=names.dtype)
        text, label = self.hierarchy.close(targets).nonzero()
        paths[text, self.hierarchy.levels[label] - 1] = names[label]
        self.tagged_ = set(names[np.unique(targets.indices)].tolist())
        self.vectorizer_ = TfidfVectorizer(**TFIDF)
        self.classifier_ = LocalClassifierPerParentNode(LinearSVC(dual=True, random_state=0))
        self.classifier_.fit(self.vectorizer_.fit_transform(texts), paths)
        return self

    def predict(self, texts: list[str]) -> csr_array:
        """Return the labels of the predicted path that some training text has, as an indicator."""
        paths = self.classifier_.predict(self.vectorizer_.transform(texts)).reshape(len(texts), -1)
        return encode_targets([self.tagged_.intersection(path) for path in paths.tolist()], self.hierarchy)

    @property
    def n_parameters_(self) -> int:
        """The number of weights of all SVMs."""
        nodes = self.classifier_.hierarchy_.nodes.values()
        svms = [node["classifier"] for node in nodes if isinstance(node.get("classifier"), LinearSVC)]
        return sum(svm.coef_.size + svm.intercept_.size for svm in svms)
