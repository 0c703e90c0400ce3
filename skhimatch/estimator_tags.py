"""The scikit-learn tags that the classifiers of texts have in common."""

from __future__ import annotations

from collections.abc import Sized

import sklearn
from sklearn.utils import Tags
from sklearn.utils.fixes import parse_version

__all__ = ["multilabel_text_tags"]

# Before, scorers of probabilities refused what is not tagged as a classifier.
SCORERS_TAKE_ANY_ESTIMATOR = parse_version(sklearn.__version__) >= parse_version("1.9")


def multilabel_text_tags(tags: Tags, classes: Sized | None) -> Tags:
    """Tag a classifier that takes texts and predicts several labels for each.

    Parameters
    ----------
    tags : Tags
        The tags of its base classes; changed in place.
    classes : sized or None
        The labels of a fitted classifier; None before `fit`.

    Returns
    -------
    Tags
        The same object.
    """
    tags.input_tags.one_d_array = True
    tags.input_tags.string = True
    tags.input_tags.two_d_array = False
    tags.classifier_tags.multi_label = True
    tags.target_tags.multi_output = True
    tags.target_tags.single_output = False
    if classes is not None and len(classes) <= 2 and SCORERS_TAKE_ANY_ESTIMATOR:
        # scikit-learn's scorers take one or two labels for the classes of a binary problem, and would score
        # a single column. Without this type they take predictions as they are.
        tags.estimator_type = None
    return tags
