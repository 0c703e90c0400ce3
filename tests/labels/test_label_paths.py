import numpy as np
import pandas as pd
import pytest

from skhimatch import LabelHierarchy, labels_from_levels, labels_from_paths, short_names

PRODUCTS = ["Electronics > Phones > Cases", "Electronics > Phones", "Books"]


def test_labels_are_named_by_their_paths_and_have_all_ancestors():
    found = labels_from_paths(PRODUCTS)
    assert found.label_sets == [
        {"Electronics", "Electronics > Phones", "Electronics > Phones > Cases"},
        {"Electronics", "Electronics > Phones"},
        {"Books"},
    ]
    expected = LabelHierarchy(
        [
            ("Electronics", "Electronics > Phones"),
            ("Electronics > Phones", "Electronics > Phones > Cases"),
        ],
        ["Books", "Electronics", "Electronics > Phones", "Electronics > Phones > Cases"],
    )
    assert found.hierarchy == expected
    assert (found.path_separator, found.label_separator, found.missing) == (" > ", "", [])
    assert found.label_texts["Electronics > Phones > Cases"] == "Cases"
    assert found.label_texts["Books"] == "Books"


def test_a_name_below_two_parents_is_two_labels():
    found = labels_from_paths(["Men/Shoes", "Women/Shoes", "Women/Hats"])
    assert found.path_separator == "/"
    assert found.hierarchy.is_tree
    assert {"Men > Shoes", "Women > Shoes"} < set(found.hierarchy)
    assert found.label_sets[0] == {"Men", "Men > Shoes"}


@pytest.mark.parametrize("separator", [" > ", ">", " :: ", "::", " » ", " → ", " -> ", "\\", " / ", "/"])
def test_path_separators_are_recognised(separator):
    paths = [["a", "b"], ["a", "c"], ["a", "b", "d"], ["e"]]
    found = labels_from_paths([separator.join(path) for path in paths])
    assert found.path_separator == separator
    assert found.label_sets[2] == {"a", "a > b", "a > b > d"}


def test_irregular_spaces_belong_to_no_name():
    found = labels_from_paths(["a>b", "a > b", " a >b ", "a > b > "])
    assert found.path_separator == ">"
    assert set(found.label_sets) == {frozenset({"a", "a > b"})}


@pytest.mark.parametrize(
    "cells",
    [
        ["TV/Radio", "Books", "Games"],
        ["TV/Radio", "AC/DC", "Books/Maps"],
        ["Clothing, Shoes", "Books"],
        ["R&D; Labs", "Books"],
        ["state-of-the-art", "a-b"],
    ],
)
def test_names_are_not_taken_for_paths(cells):
    found = labels_from_paths(cells)
    assert found.label_sets == [{cell} for cell in cells]
    assert found.hierarchy == LabelHierarchy.flat(sorted(cells))


def test_several_paths_of_a_text():
    found = labels_from_paths(["a > b; c", "c", "a > b", "a > d ;c > e"])
    assert (found.path_separator, found.label_separator) == (" > ", ";")
    assert found.label_sets[0] == {"a", "a > b", "c"}
    assert found.label_sets[3] == {"a", "a > d", "c", "c > e"}
    assert labels_from_paths([["a > b", "c"], "c"]).label_sets[0] == {"a", "a > b", "c"}
    assert labels_from_paths([["x;y"], ["x"], ["y"]]).label_sets[0] == {"x;y"}


def test_separators_that_are_named_are_taken():
    assert labels_from_paths(["a.b", "c"], path_separator=".").label_sets[0] == {"a", "a > b"}
    assert labels_from_paths(["a, b", "c"], label_separator=",").label_sets[0] == {"a", "b"}
    assert labels_from_paths(["a > b", "a > c"], path_separator="").label_sets[0] == {"a > b"}
    assert labels_from_paths(["a;b", "a", "b"], label_separator="").label_sets[0] == {"a;b"}
    with pytest.raises(ValueError, match="both separators are '/'"):
        labels_from_paths(["a/b"], "/", "/")


@pytest.mark.parametrize(
    "value", [None, np.nan, float("nan"), pd.NA, pd.NaT, "", "  ", "nan", "NaN", "NULL", []]
)
def test_a_cell_without_a_value_is_no_label(value):
    found = labels_from_paths(["a", value, "b"])
    assert found.missing == [1]
    assert found.label_sets == [{"a"}, set(), {"b"}]
    assert found.hierarchy == LabelHierarchy.flat(["a", "b"])


@pytest.mark.parametrize("column", [pd.Series, np.array, tuple, iter], ids=lambda kind: kind.__name__)
def test_columns_of_any_kind(column):
    assert labels_from_paths(column(PRODUCTS)) == labels_from_paths(PRODUCTS)


def test_what_is_no_column_of_paths_is_named():
    with pytest.raises(TypeError, match="is the string 'a > b': pass a column"):
        labels_from_paths("a > b")
    with pytest.raises(TypeError, match=r"row 1 has the category 3\.0 of type float"):
        labels_from_paths(["a", 3.0])
    with pytest.raises(TypeError, match="line 9 has the category 3 "):
        labels_from_paths(["a", 3], places=["line 7", "line 9"])
    with pytest.raises(ValueError, match="no row has a category"):
        labels_from_paths([None, ""])
    with pytest.raises(ValueError, match="several paths have the name 'a > b'"):
        labels_from_paths(["a > b", "a/b"], path_separator="/")


def test_levels_in_columns_of_their_own():
    frame = pd.DataFrame(
        {"l1": ["science", "sport", None], "l2": ["physics", None, None], "l3": ["optics", np.nan, ""]}
    )
    found = labels_from_levels(frame.values)
    assert found.label_sets == [
        {"science", "science > physics", "science > physics > optics"},
        {"sport"},
        set(),
    ]
    assert found.missing == [2]
    with pytest.raises(ValueError, match="row 0 has nothing on level 2, but 'optics' below it"):
        labels_from_levels([("science", "", "optics")])


def test_short_names_are_different():
    labels = labels_from_paths(["Men/Shoes", "Women/Shoes", "Women/Hats", "Kids/Men"]).hierarchy.labels
    names = short_names(labels)
    assert names["Women > Hats"] == "Hats"
    assert names["Men > Shoes"] == "Men > Shoes"
    # "Men" alone is another label's end, too, but it is all there is.
    assert names["Men"] == "Men"
    assert names["Kids > Men"] == "Kids > Men"
    assert len(set(names.values())) == len(labels)
