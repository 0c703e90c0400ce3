import json

import pytest

from skhimatch.text.columns import Columns
from skhimatch.text.path_files import read_texts_with_paths

PRODUCTS = """\
id,Title,category,price
1,Leather case,Electronics > Phones > Cases;Sale,9
2,"Phone, black",Electronics > Phones,199
3,Gift card,,20
4,,Books,5
5,A novel,Books;Sale,5
6,Atlas,nan,30
"""
LABEL_SETS = [
    {"Electronics", "Electronics > Phones", "Electronics > Phones > Cases", "Sale"},
    {"Electronics", "Electronics > Phones"},
    {"Books", "Sale"},
]
COLUMNS = Columns("title", ("category",))


def written(tmp_path, content, name="products.csv"):
    file = tmp_path / name
    file.write_text(content, encoding="utf-8")
    return file


def test_the_file_that_most_people_have(tmp_path):
    file = written(tmp_path, PRODUCTS)
    found = read_texts_with_paths(file, COLUMNS)
    assert found.texts == ["Leather case", "Phone, black", "A novel"]
    assert found.label_sets == LABEL_SETS
    assert found.places == [f"line {number} of {file}" for number in (2, 3, 6)]
    assert found.without_text == [f"line 5 of {file}"]
    assert found.without_label == [f"line 4 of {file}", f"line 7 of {file}"]
    assert found.unlabelled == []
    assert (found.path_separator, found.label_separator) == (" > ", ";")
    assert len(found.hierarchy) == 5
    assert found.hierarchy.depth == 3


def test_an_empty_field_of_labels_means_that_no_label_applies(tmp_path):
    file = written(tmp_path, "text,labels\na,x > y|z\nb,\n")
    found = read_texts_with_paths(file)
    assert found.label_sets == [{"x", "x > y", "z"}, set()]
    assert found.unlabelled == [f"line 3 of {file}"]
    assert found.without_label == []


def test_levels_in_columns(tmp_path):
    content = "id,l1,l2,l3,text\n1,a,b,,first\n2,a,,,second\n3,,,,third\n4,a,b,c,fourth\n"
    columns = Columns(labels=("l1", "l2", "l3"))
    found = read_texts_with_paths(written(tmp_path, content), columns)
    assert found.texts == ["first", "second", "fourth"]
    assert found.label_sets == [{"a", "a > b"}, {"a"}, {"a", "a > b", "a > b > c"}]
    assert len(found.without_label) == 1
    gap = written(tmp_path, "l1,l2,l3,text\na,,c,first\n")
    with pytest.raises(ValueError, match=r"line 2 of .*has nothing on level 2, but 'c' below it"):
        read_texts_with_paths(gap, columns)


@pytest.mark.parametrize("suffix", [".jsonl", ".json"])
def test_records(tmp_path, suffix):
    entries = [
        {"title": "Leather case", "category": ["Electronics > Phones > Cases", "Sale"]},
        {"title": "Phone, black", "category": "Electronics > Phones"},
        {"title": "Gift card", "category": None},
        {"title": None, "category": "Books"},
        {"title": "A novel", "category": ["Books", "Sale"]},
    ]
    lines = json.dumps(entries) if suffix == ".json" else "\n".join(map(json.dumps, entries))
    found = read_texts_with_paths(written(tmp_path, lines, "products" + suffix), COLUMNS)
    assert found.label_sets == LABEL_SETS
    assert len(found.without_text) == len(found.without_label) == 1


def test_parquet(tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    file = tmp_path / "products.parquet"
    columns = {"Title": ["Leather case", "Phone", None], "category": ["a > b", None, "a > c"]}
    pandas.DataFrame(columns).to_parquet(file)
    found = read_texts_with_paths(file, COLUMNS)
    assert found.texts == ["Leather case"]
    assert found.label_sets == [{"a", "a > b"}]
    assert found.without_label == [f"row 2 of {file}"]
    assert found.without_text == [f"row 3 of {file}"]


@pytest.mark.parametrize(
    ("content", "columns", "message"),
    [
        (
            PRODUCTS,
            Columns("titel", ("category",)),
            r"line 1 of .* no column 'titel': did you mean 'Title'\?",
        ),
        (
            PRODUCTS,
            Columns(),
            "no column 'text': its columns are 'id', 'Title', 'category', 'price', separated by commas; "
            "name the right one .--text-column",
        ),
        (
            PRODUCTS.replace(",", ";"),
            Columns("title", ("tags",)),
            r"'tags': .* semicolons; .*--label-column",
        ),
        ("title,Category,category\na,b,c\n", COLUMNS, "has several columns 'category'"),
        ("title,category\na,\n", COLUMNS, "no row has a category"),
        ("title,category\n,b\n", COLUMNS, "has no text"),
        ("text\na\n", Columns(), "products.csv has no labels"),
    ],
)
def test_mistakes_are_named(tmp_path, content, columns, message):
    with pytest.raises(ValueError, match=message):
        read_texts_with_paths(written(tmp_path, content), columns)


def test_records_without_the_field_are_named(tmp_path):
    file = written(tmp_path, '{"title": "a", "category": "b"}\n{"title": "c", "kategorie": "d"}\n', "n.jsonl")
    with pytest.raises(ValueError, match=r"line 2 of .* has no 'category', but 'title', 'kategorie'"):
        read_texts_with_paths(file, COLUMNS)
    mixed = written(tmp_path, '{"text": "a", "labels": ["b"]}\n{"text": "c"}\n', "m.jsonl")
    with pytest.raises(ValueError, match=r"line 2 of .* has no labels, but other lines have"):
        read_texts_with_paths(mixed)
