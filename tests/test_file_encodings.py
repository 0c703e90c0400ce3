"""Files of texts and of hierarchies that are not in UTF-8."""

import contextlib
import gzip
import json

import pytest
from toy_corpus import QUICK

from skhimatch import HiMatchClassifier, as_hierarchy
from skhimatch.cli import main
from skhimatch.input_files import check_encoding, open_text
from skhimatch.labels.taxonomy import read_taxonomy
from skhimatch.text.columns import Columns
from skhimatch.text.files import read_entries, read_records, read_texts
from skhimatch.text.path_files import read_texts_with_paths

# In Shift-JIS the second bytes of these characters are a backslash, a bar and a quote-like byte.
JAPANESE = ("表にソート", "ポール", "能力")
TEXTS = {
    "latin-1": ("École à Genève", "Lycée", "été"),
    "cp1252": ("“Œuvre” – 5 €", "Beaux-Arts “x”", "naïve"),
    "shift_jis": JAPANESE,
    "euc_jp": JAPANESE,
    "gb18030": ("中文 𠀀 文本", "体育", "科学"),
    "utf-16-le": ("Ἀρχή", "наука", "спорт"),
    "utf-16-be": ("Ἀρχή", "наука", "спорт"),
    "koi8-r": ("тело", "наука", "спорт"),
}
FORMATS = {
    "n.jsonl": lambda text, a, b: json.dumps({"text": text, "labels": [a, b]}, ensure_ascii=False) + "\n",
    "n.json": lambda text, a, b: json.dumps([{"text": text, "labels": [a, b]}], ensure_ascii=False),
    "n.csv": lambda text, a, b: f'text,labels\n"{text}","{a}|{b}"\n',
    "n.tsv": lambda text, a, b: f'text\tlabels\n"{text}"\t{a}|{b}\n',
}


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("encoding", TEXTS)
def test_texts(tmp_path, encoding, name, suffix):
    text, a, b = TEXTS[encoding]
    file = tmp_path / (name + suffix)
    data = FORMATS[name](text, a, b).encode(encoding)
    file.write_bytes(gzip.compress(data) if suffix else data)
    assert read_texts(file, encoding=encoding) == ([text], [frozenset({a, b})])
    for read in (read_entries, read_records):
        [entry] = read(file, encoding=encoding)
        assert entry.text == text
    # As UTF-8 it gives an error or another text.
    with contextlib.suppress(ValueError):
        assert read_texts(file)[0] != [text]


@pytest.mark.parametrize("encoding", TEXTS)
def test_paths_and_hierarchies(tmp_path, encoding):
    text, parent, child = TEXTS[encoding]
    table, taxonomy, tree = tmp_path / "n.csv", tmp_path / "n.taxonomy", tmp_path / "n.json"
    table.write_bytes(f"title;category\n{text};{parent} > {child}\n".encode(encoding))
    taxonomy.write_bytes(f"{parent}\t{child}\n".encode(encoding))
    tree.write_bytes(json.dumps({parent: [child]}, ensure_ascii=False).encode(encoding))
    found = read_texts_with_paths(table, Columns("title", ("category",)), encoding=encoding)
    assert found.texts == [text]
    assert found.label_sets == [{parent, f"{parent} > {child}"}]
    expected = as_hierarchy({parent: [child]})
    assert read_taxonomy(taxonomy, encoding=encoding) == expected
    assert as_hierarchy(taxonomy, encoding=encoding) == expected
    assert as_hierarchy(tree, encoding=encoding) == expected


@pytest.mark.parametrize("mark", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_counts_more(tmp_path, mark):
    file = tmp_path / "n.txt"
    file.write_bytes("été\n".encode(mark))
    with open_text(file, encoding="cp1252") as lines:
        assert lines.read() == "été\n"


@pytest.mark.parametrize(
    ("data", "encoding", "message"),
    [
        ("a\n\né\n".encode("latin-1"), None, r"is not in UTF-8 \(byte 0xe9 in line 3\): .*--encoding cp1252"),
        ("a\n\né\n".encode("latin-1"), "utf8", r"is not in UTF-8 \(byte 0xe9 in line 3\)"),
        (b"a\n\x81\n", "cp1252", r"is not in cp1252 \(byte 0x81 in line 2\): name another encoding"),
        ("a\né".encode(), "ascii", r"is not in ascii \(byte 0xc3 in line 2\): name another encoding"),
        (b"a\n\x81", "shift_jis", r"is not in shift_jis \(byte 0x81 in line 2\): name another encoding"),
        (b"a\0\n\0b", "utf-16-le", r"is not in utf-16-le: name another encoding"),
        (b"a\0\n\0", "utf-16", r"has no byte order mark: its encoding is utf-16-le or utf-16-be"),
        (b"a\0\0\0", "utf-32", r"has no byte order mark: its encoding is utf-32-le or utf-32-be"),
        (b"\xff\xfea", "cp1252", r"begins as UTF-16, but is damaged"),
        (b"\xff\xfea", "utf-16", r"begins as UTF-16, but is damaged"),
    ],
)
def test_bytes_of_another_encoding(tmp_path, data, encoding, message):
    def read(file):
        with open_text(file, encoding=encoding) as lines:
            return lines.read()

    for name, content in (("n.txt", data), ("n.txt.gz", gzip.compress(data))):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=rf"{name} {message}") as caught:
            read(tmp_path / name)
        assert not isinstance(caught.value, UnicodeError)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cp1253x", "no encoding 'cp1253x'; did you mean cp1253"),
        ("shiftjs", "did you mean .*shiftjis"),
        ("gb18300", "did you mean gb18030"),
        ("latin-11", "did you mean .*latin-1"),
        ("base64", "no encoding 'base64'"),
        ("windows", "no encoding 'windows'"),
        ("xyz", "some are cp1252, shift-jis and gb18030"),
        ("a\0b", "no encoding"),
    ],
)
def test_unknown_names(name, message):
    with pytest.raises(ValueError, match=message):
        check_encoding(name)


ROWS = (
    ("L’énergie d’une onde", "Été > Physique"),
    ("La cellule – une étude", "Été > Biologie"),
)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    rows = "".join(f"{text};{path}\n" for text, path in ROWS * 15)
    (folder / "train.csv").write_bytes(f"text;labels\n{rows}".encode("cp1252"))
    (folder / "tree.txt").write_bytes("Été\tPhysique\tBiologie\n".encode("cp1252"))
    labels = "".join(f"{text};Été|{path.split()[-1]}\n" for text, path in ROWS * 15)
    (folder / "test.csv").write_bytes(f"text;labels\n{labels}".encode("cp1252"))
    tree = as_hierarchy({"Été": ["Physique", "Biologie"]})
    texts = [text for text, _ in ROWS * 15]
    sets = [{"Été", path.split()[-1]} for _, path in ROWS * 15]
    HiMatchClassifier(tree, **QUICK).fit(texts, sets).save(folder / "model")
    return folder


class TestCommandLine:
    @pytest.mark.parametrize("hierarchy", [False, True])
    def test_fit(self, files, tmp_path, hierarchy):
        train = files / ("test.csv" if hierarchy else "train.csv")
        given = ["--train", train, "--validation", train, "--model", tmp_path / "model", "--epochs", "1"]
        if hierarchy:
            given += ["--hierarchy", files / "tree.txt"]
        assert main(["fit", *map(str, given), "--encoding", "cp1252"]) == 0
        labels = HiMatchClassifier.load(tmp_path / "model").classes_
        assert "Été" in labels

    def test_predict(self, files, tmp_path):
        output = tmp_path / "labels.jsonl"
        given = ["--model", files / "model", "--input", files / "test.csv", "--output", output]
        assert main(["predict", *map(str, given), "--encoding", "cp1252"]) == 0
        lines = output.read_text(encoding="utf-8").splitlines()
        assert [json.loads(line)["text"] for line in lines] == [text for text, _ in ROWS * 15]

    def test_predict_standard_input(self, files, tmp_path, monkeypatch, capsys):
        with (files / "test.csv").open("rb") as stream:
            monkeypatch.setattr("sys.stdin", type("Stdin", (), {"buffer": stream}))
            given = ["--model", str(files / "model"), "--input", "-", "--encoding", "cp1252"]
            assert main(["predict", *given]) == 0
        assert "L’énergie" in capsys.readouterr().out

    def test_evaluate_and_report(self, files, tmp_path, capsys):
        given = ["--model", str(files / "model"), "--input", str(files / "test.csv"), "--encoding", "cp1252"]
        assert main(["evaluate", *given]) == 0
        assert "micro-F1" in capsys.readouterr().out
        pytest.importorskip("matplotlib")
        page = tmp_path / "report.html"
        assert main(["report", *given, "--output", str(page)]) == 0
        assert "Physique" in page.read_text(encoding="utf-8")

    @pytest.mark.parametrize("command", ["predict", "evaluate", "report"])
    def test_errors_name_the_option(self, files, tmp_path, capsys, command):
        given = [command, "--model", str(files / "model"), "--input", str(files / "test.csv")]
        if command == "report":
            given += ["--output", str(tmp_path / "report.html")]
        assert main(given) == 2
        assert "is not in UTF-8 (byte 0x92 in line 2)" in (error := capsys.readouterr().err)
        assert "--encoding cp1252" in error
        assert main([*given, "--encoding", "cp1225"]) == 2
        assert "no encoding 'cp1225'; did you mean" in capsys.readouterr().err
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["idna", "punycode", "undefined", "base64"])
def test_codecs_of_other_things_are_no_encodings_of_files(name):
    with pytest.raises(ValueError, match=f"there is no encoding '{name}'"):
        check_encoding(name)


def test_the_commonest_encoding_is_among_the_similar_ones():
    with pytest.raises(ValueError, match="did you mean cp1252 or"):
        check_encoding("cp125")
