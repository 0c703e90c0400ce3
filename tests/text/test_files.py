import gzip
import json
import sys

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


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize(
    ("name", "content"), [("n.jsonl", json_lines()), ("n.CSV", table(",")), ("n.tsv", table("\t"))]
)
def test_compressed_files_and_unicode_encodings_are_read(tmp_path, name, content, encoding, suffix):
    file = tmp_path / (name + suffix)
    data = content.encode(encoding)
    file.write_bytes(gzip.compress(data) if suffix else data)
    assert read_texts(file, HIERARCHY) == (TEXTS, LABEL_SETS)


def records(indent):
    entries = [{"text": text, "labels": sorted(names)} for text, names in ROWS]
    return json.dumps(entries, indent=indent)


@pytest.mark.parametrize("content", [records(None), "\n" + records(2)])
def test_an_array_of_records_is_read(tmp_path, content):
    file = tmp_path / "n.json"
    file.write_text(content, encoding="utf-8")
    assert read_texts(file, HIERARCHY) == (TEXTS, LABEL_SETS)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("n.csv", table(";")),
        ("n.csv", "sep=;\r\n" + table(";").replace("\n", "\r\n").replace('said\r\n""', 'said\n""')),
        ("n.csv", table("\t")),
        ("n.tsv", table(",")),
        ("n.csv", table(",").replace("id,text,labels", "id, Text , LABELS")),
    ],
)
def test_the_header_tells_the_separator(tmp_path, name, content):
    file = tmp_path / name
    file.write_text(content, encoding="utf-8", newline="")
    assert read_texts(file, HIERARCHY) == (TEXTS, LABEL_SETS)


@pytest.mark.parametrize("name", ["n.csv", "n.tsv", "n.jsonl"])
def test_long_texts_are_read(tmp_path, name):
    long = "wave " * 100_000
    file = tmp_path / name
    as_json = json.dumps({"text": long, "labels": ["sport"]})
    separator = "," if name == "n.csv" else "\t"
    file.write_text(as_json if name == "n.jsonl" else f"text{separator}labels\n{long}{separator}sport\n")
    assert read_texts(file) == ([long], [{"sport"}])


@pytest.mark.parametrize(
    ("rows", "texts"),
    [
        # The quotes belong to the texts.
        (['"Yes," she said\tsport', "b\tsport"], ['"Yes," she said', "b"]),
        (['"open\tsport', "b\tsport", "c\tsport"], ['"open', "b", "c"]),
        (['"open\tsport', 'a 5" pipe\tsport', 'c"\tsport'], ['"open', 'a 5" pipe', 'c"']),
        (['a 5" pipe\tsport', "b\tsport"], ['a 5" pipe', "b"]),
        # The quotes enclose the texts.
        (['"a ""b"" c"\tsport', "b\tsport"], ['a "b" c', "b"]),
        (['"a', 'b"\tsport', "c\tsport"], ["a\nb", "c"]),
        (['"a\tb"\tsport', "c\tsport"], ["a\tb", "c"]),
    ],
)
def test_quotes_in_a_table_with_tabs(tmp_path, rows, texts):
    file = tmp_path / "n.tsv"
    file.write_text("\n".join(["text\tlabels", *rows]) + "\n", encoding="utf-8")
    assert read_texts(file) == (texts, [{"sport"}] * len(texts))


def test_quotes_around_too_few_fields_are_text(tmp_path):
    file = tmp_path / "n.tsv"
    file.write_text('text\tlabels\tnote\n"a\tsport\tx\nb\tsport\ty"\n', encoding="utf-8")
    assert read_texts(file) == (['"a', "b"], [{"sport"}] * 2)


@pytest.mark.parametrize("mark", ["", "sep=\t\n"])
def test_ambiguous_quotes_are_refused(tmp_path, mark):
    file = tmp_path / "n.tsv"
    file.write_text(f'{mark}text\tlabels\na\tsport\n"b\tsport\nc"\tsport\n', encoding="utf-8")
    with pytest.raises(ValueError, match=rf"line {4 if mark else 3} of .*n.tsv ends within quotes.*\.csv"):
        read_texts(file)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("n.csv", "text,labels\na, b,sport\n", "line 2 of .* has 3 fields, .* header has 2.*comma.*quotes"),
        ("n.csv", "text,labels\nb,sport\na,sport,\n", "line 3 of .* has 3 fields"),
        ("n.csv", 'text\n"a, b"\na, b\n', "line 3 of .* has 2 fields, .* header has 1"),
        ("n.csv", "text,labels\na\n", "line 2 of .* has 1 field, .* header has 2: write all fields"),
        ("n.csv", "sep=;\ntext;labels\na;b;c\n", "line 3 of .* has 3 fields.*semicolon"),
        ("n.tsv", 'text\tlabels\n"a" b\tc\tsport\n', "line 2 of .* has 3 fields.*a tab, replace it"),
        (
            "n.csv",
            'text,labels\na,sport\n"b,sport\nc,sport\n"d" e,sport\n',
            "line 3 of .* is not CSV.*doubled",
        ),
        ("n.csv", 'text,labels\n\n"b,sport\nc,sport\nd,sport\n', "line 3 of .* is not CSV"),
        ("n.csv", 'text,labels\n"b\nb",sport\n\n"c\n",sport,d\n', "line 5 of .* has 3 fields"),
        ("n.csv", "text,labels,Labels\na,b,c\n", "line 1 of .* has several columns 'labels'"),
        ("n.json", '[{"text": "a"}, 3]', "record 2 of .*n.json is not of the form"),
        ("n.json", '[\n{"text": "a"},\n{]', "n.json is not JSON: .* line 3"),
        ("n.json", '[{"text": "a", "labels": []}, {"text": "b"}]', "record 2 of .*n.json has no labels"),
        ("n.jsonl", '{"text": ' + "[" * 100_000, "line 1 of .* nested too deeply"),
        ("n.json", "[" * 100_000, "n.json is nested too deeply"),
        ("n.xlsx", "", "n.xlsx is a spreadsheet: save it .* as 'CSV UTF-8'"),
        ("n.csv", "PK\x03\x04", "n.csv is an Excel or zip file: .* 'CSV UTF-8'"),
        ("n.csv", "t\0e\0", "n.csv is not in UTF-8, .* value 0: save it in UTF-8"),
        ("n.parquet", "", "n.parquet is not a parquet file"),
    ],
)
def test_files_that_would_be_misread_are_refused(tmp_path, name, content, message):
    if name == "n.parquet":
        pytest.importorskip("pyarrow")
    file = tmp_path / name
    file.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        read_texts(file)


def test_an_error_of_the_encoding_names_the_line_and_what_to_do(tmp_path):
    content = "text,labels\na,sport\n“b”,sport\n".encode("cp1252")
    for name, data in (("n.csv", content), ("n.csv.gz", gzip.compress(content))):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(
            ValueError, match=r"not in UTF-8 \(byte 0x93 in line 3\).*'CSV UTF-8'.*--encoding cp1252"
        ):
            read_texts(tmp_path / name)


def test_an_incomplete_download_is_named(tmp_path):
    file = tmp_path / "n.csv.gz"
    file.write_bytes(gzip.compress(table(",").encode())[:-4])
    with pytest.raises(ValueError, match=r"n.csv.gz is damaged or incomplete gzip data.*copy it again"):
        read_texts(file)


def test_lone_surrogates_are_read(tmp_path):
    file = tmp_path / "n.jsonl"
    file.write_text('{"text": "a \\ud83d b"}\n{"text": "c"}\n')
    assert read_texts(file) == (["a \ud83d b", "c"], None)
    file = tmp_path / "n.csv"
    file.write_bytes("text\na \ud83d b\nc\n".encode("utf-8", "surrogatepass"))
    assert read_texts(file) == (["a \ud83d b", "c"], None)


class TestLabelsWithABar:
    HIERARCHY = LabelHierarchy([("a|b", "c"), ("a", "d")], ["a", "a|b", "a | x", "b|c", "c", "d"])

    @pytest.mark.parametrize(
        ("field", "labels"),
        [
            ("a|b", {"a|b"}),
            ("a|b|d", {"a|b", "d"}),
            ("d|b|c", {"d", "b|c"}),
            ("a | x|c", {"a | x", "c"}),
            ("|a|", {"a"}),
            ("", set()),
        ],
    )
    def test_known_labels_are_kept_whole(self, tmp_path, field, labels):
        file = tmp_path / "n.csv"
        file.write_text(f"text,labels\nt,{field}\n", encoding="utf-8")
        assert read_texts(file, self.HIERARCHY) == (["t"], [labels])

    def test_two_ways_to_read_them_are_refused(self, tmp_path):
        file = tmp_path / "n.csv"
        file.write_text("text,labels\nt,a|b|c\n", encoding="utf-8")
        with pytest.raises(ValueError, match=r"'a\|b\|c' in line 2 of .* can be read as .*json lines"):
            read_texts(file, self.HIERARCHY)

    def test_unknown_parts_are_named(self, tmp_path):
        file = tmp_path / "n.csv"
        file.write_text("text,labels\nt,c|zoo\n", encoding="utf-8")
        with pytest.raises(ValueError, match="'zoo' in line 2"):
            read_texts(file, self.HIERARCHY)


@pytest.mark.parametrize("labels", [[["physics", "science"], ["sport"], []], None])
def test_parquet_is_read(tmp_path, labels):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    columns = {"id": [1, 2, 3], "text": TEXTS} | ({} if labels is None else {"labels": labels})
    parquet.write_table(pyarrow.table(columns), tmp_path / "n.parquet")
    assert read_texts(tmp_path / "n.parquet", HIERARCHY) == (TEXTS, labels and LABEL_SETS)


def test_parquet_without_pyarrow_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "n.parquet").touch()
    with pytest.raises(ImportError, match=r'pip install "skhimatch\[parquet\]"'):
        read_texts(tmp_path / "n.parquet")
