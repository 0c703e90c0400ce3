import json

import pytest

from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.text.files import read_texts

TEXTS = ["a wave, in a field", 'she said\n"out"', "nothing"]
LABEL_SETS = [{"science", "physics"}, {"sport"}, set()]
ROWS = list(zip(TEXTS, LABEL_SETS, strict=True))
HIERARCHY = LabelHierarchy([("science", "physics")], labels=["science", "physics", "sport"])


def json_lines(text="text", labels="labels"):
    return "\n".join(json.dumps({text: t, labels: sorted(names), "id": 3}) for t, names in ROWS) + "\n\n"


def table(separator):
    quoted = ('"' + text.replace('"', '""') + '"' for text in TEXTS)
    cells = ("|".join(sorted(names)) for names in LABEL_SETS)
    rows = (separator.join(["7", *row]) for row in zip(quoted, cells, strict=True))
    return "\n".join([separator.join(["id", "text", "labels"]), *rows]) + "\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("news.jsonl", json_lines()),
        ("news.json", json_lines("doc_token", "doc_label")),
        ("news.csv", table(",")),
        ("news.tsv", table("\t")),
        ("excel.csv", "\ufeff" + table(",")),
    ],
)
def test_every_format_gives_the_same_texts(tmp_path, name, content):
    file = tmp_path / name
    file.write_text(content, encoding="utf-8")
    assert read_texts(file, HIERARCHY) == (TEXTS, LABEL_SETS)


def test_tokens_and_single_labels_are_read(tmp_path):
    file = tmp_path / "news.jsonl"
    file.write_text('{"doc_token": ["a", "wave"], "doc_label": "physics"}\n', encoding="utf-8")
    assert read_texts(file) == (["a wave"], [{"physics"}])


@pytest.mark.parametrize(("name", "content"), [("n.jsonl", '{"text": "a"}\n'), ("n.csv", "text\na\n")])
def test_labels_may_be_missing(tmp_path, name, content):
    file = tmp_path / name
    file.write_text(content, encoding="utf-8")
    assert read_texts(file) == (["a"], None)


GOOD = '{"text": "a", "labels": ["sport"]}\n'


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("n.txt", "a", r"n.txt does not end in \.jsonl"),
        ("n.jsonl", "\n", "n.jsonl has no text"),
        ("n.csv", "", "line 1 of .*n.csv has no column 'text'"),
        ("n.csv", "label,body\nsport,a\n", "line 1 of .*n.csv has no column 'text'"),
        ("n.csv", 'text,labels\na,sport\n"b,sport\n', "line 3 of .*n.csv is not CSV"),
        ("n.jsonl", GOOD + "{text: a}\n", "line 2 of .*n.jsonl is not JSON"),
        ("n.jsonl", GOOD + "[3]\n", "line 2 of .*n.jsonl is not of the form"),
        ("n.jsonl", GOOD + '{"labels": ["sport"]}\n', "line 2 of .*n.jsonl has no text"),
        ("n.jsonl", GOOD + "\n" + '{"text": "b", "labels": [3]}\n', r"labels in line 3 of .* are \[3\]"),
        ("n.jsonl", GOOD + '{"text": "b"}\n', "line 2 of .*n.jsonl has no labels"),
        ("n.jsonl", '{"text": "b"}\n' + GOOD, "line 1 of .*n.jsonl has no labels"),
        ("n.jsonl", GOOD + '{"text": "b", "labels": ["phisics"]}', "'phisics' in line 2 .*mean 'physics'"),
        ("n.csv", "text,labels\na,news\n", "'news' in line 2 .*add it to the hierarchy"),
    ],
)
def test_bad_files_are_named(tmp_path, name, content, message):
    file = tmp_path / name
    file.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        read_texts(file, HIERARCHY)


def test_another_encoding_is_named(tmp_path):
    file = tmp_path / "n.csv"
    file.write_bytes("text,labels\nÉcole,sport\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"n.csv is not in UTF-8"):
        read_texts(file)
