"""Warnings name the line of the user's code, whoever stands between it and this package."""

import warnings
from inspect import currentframe

import pytest
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from toy_classifier import INDICATOR, LABEL_SETS, TEXTS, quick
from toy_corpus import HIERARCHY

from skhimatch import WordTokenizer
from skhimatch.baseline import LinearBaseline
from skhimatch.labels.formats import hierarchy_over
from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.warn_user import warn_user

ALIKE = [labels | {"Sport", "sport"} for labels in LABEL_SETS]


def validation_pair():
    return {"validation_data": (TEXTS, LABEL_SETS)}


# What warns, by who stands between the user and this package.
CALLS = {
    "the class": lambda: quick().fit(TEXTS, LABEL_SETS, **validation_pair()),
    "a class without a network": lambda: LinearBaseline(HIERARCHY).fit(
        TEXTS, LABEL_SETS, **validation_pair()
    ),
    "a function": lambda: hierarchy_over(LabelHierarchy([("a", "b")]), ["a", "b", "c"]),
    "flat labels": lambda: quick(None).fit(TEXTS, ALIKE),
    "a pipeline": lambda: make_pipeline(WordTokenizer(), quick(None)).fit(TEXTS, ALIKE),
    "a search": lambda: GridSearchCV(
        quick(), {"max_epochs": [1, 2]}, scoring="f1_micro", cv=2, refit=False
    ).fit(TEXTS, INDICATOR, **validation_pair()),
}


@pytest.mark.parametrize("between", CALLS)
def test_the_line_is_that_of_the_user(between):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        CALLS[between]()
    assert caught
    first = CALLS[between].__code__.co_firstlineno
    for warning in caught:
        assert warning.filename == __file__
        assert first <= warning.lineno <= first + 3


@pytest.mark.parametrize(
    ("module", "file"), [("skhimatch.made_up", __file__), ("skhimatch_of_another", "made_up.py")]
)
def test_only_lines_of_this_package_are_passed_over(module, file):
    code = compile("warn_user('a')", "made_up.py", "exec")
    with pytest.warns(UserWarning, match="^a$") as caught:
        exec(code, {"warn_user": warn_user, "__name__": module})
    assert caught[0].filename == file


def test_the_kind_of_a_warning():
    with pytest.warns(FutureWarning, match="^soon$") as caught:
        warn_user("soon", FutureWarning)
    assert caught[0].lineno == currentframe().f_lineno - 1
