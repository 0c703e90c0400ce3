"""Many files and large files are predicted: each row once, in order, with its other columns."""

import datetime
import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from toy_corpus import HIERARCHY, QUICK, make_corpus

from skhimatch import HiMatchClassifier
from skhimatch.cli import main
from skhimatch.output_files import replacing, unfinished_files
from skhimatch.text import parquet, row_blocks
from skhimatch.text.columns import Columns

TEXTS, _ = make_corpus(47, seed=1)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "model"
    HiMatchClassifier(HIERARCHY, **QUICK).fit(*make_corpus(60)).save(folder)
    return str(folder)


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of five rows, and the number of texts of each prediction."""
    monkeypatch.setattr(row_blocks, "ROWS", 5)
    monkeypatch.setattr(parquet, "ROWS", 5)
    sizes = []
    predict = HiMatchClassifier.iter_predict_proba

    def counting(self, texts):
        sizes.append(len(texts))
        return predict(self, texts)

    monkeypatch.setattr(HiMatchClassifier, "iter_predict_proba", counting)
    return sizes


def predict(model, *arguments):
    return main(["predict", "--model", model, *map(str, arguments)])


def error_of(capsys, model, *arguments):
    assert predict(model, *arguments) == 2
    return capsys.readouterr().err


def expected_of(model, texts):
    classifier = HiMatchClassifier.load(model)
    return classifier.to_label_sets(classifier.predict(texts))


def table(texts, start=0):
    """A table with columns of many types."""
    n = len(texts)
    rows = range(start, start + n)
    return pa.table(
        {
            "id": pa.array(rows, pa.int32()),
            "text": pa.array(texts, pa.large_string()),
            "when": pa.array([datetime.datetime(2024, 1, 1) + datetime.timedelta(row) for row in rows]),
            "price": pa.array([Decimal(row) / 4 for row in rows], pa.decimal128(9, 2)),
            "shop": pa.array(["a", None, "b"] * n, pa.string())[:n].dictionary_encode(),
            "labels": pa.array([["old"]] * n),
            "sizes": pa.array([{"s": row} for row in rows]),
        }
    )


def write_parts(folder, suffix="parquet"):
    """Three files of 20, 20 and 7 texts, parquet files with row groups of 6."""
    for number, start in enumerate(range(0, 47, 20)):
        part = table(TEXTS[start : start + 20], start)
        path = folder / f"part-{number}.{suffix}"
        if suffix == "parquet":
            pq.write_table(part, path, row_group_size=6)
        elif suffix == "jsonl":
            part.select(["id", "text"]).to_pandas().to_json(path, orient="records", lines=True)
        else:
            sep = "\t" if suffix.startswith("tsv") else ","
            part.select(["id", "text"]).to_pandas().to_csv(path, index=False, sep=sep)


class TestParquet:
    def test_rows_keep_their_order_and_their_columns(self, model, small_blocks, tmp_path):
        source, output = tmp_path / "new.parquet", tmp_path / "labels.parquet"
        given = table(TEXTS).replace_schema_metadata({"made": "here"})
        pq.write_table(given, source, row_group_size=6)
        assert predict(model, "--input", source, "--output", output) == 0
        assert small_blocks == [5] * 9 + [2]
        written = pq.read_table(output)
        names = ["id", "text", "when", "price", "shop", "given_labels", "sizes", "labels", "probabilities"]
        assert written.column_names == names
        assert written.schema.metadata[b"made"] == b"here"
        for old, new in zip(given.column_names, names, strict=False):
            assert written.schema.field(new).type == given.schema.field(old).type
            assert written[new].to_pylist() == given[old].to_pylist()
        assert list(map(set, written["labels"].to_pylist())) == expected_of(model, TEXTS)
        top = HiMatchClassifier.load(model)
        probabilities = top.predict_proba(TEXTS)
        columns = {label: column for column, label in enumerate(top.classes_)}
        for labels, values, row in zip(
            written["labels"].to_pylist(), written["probabilities"].to_pylist(), probabilities, strict=True
        ):
            assert values == pytest.approx([row[columns[label]] for label in labels], abs=1e-5)

    def test_an_index_of_pandas_is_kept(self, model, tmp_path):
        source, output = tmp_path / "new.parquet", tmp_path / "labels.parquet"
        frame = pd.DataFrame({"text": TEXTS[:3], "labels": ["x", "y", "z"]}, index=["r", "s", "t"])
        frame.to_parquet(source)
        assert predict(model, "--input", source, "--output", output) == 0
        written = pd.read_parquet(output)
        assert list(written.index) == ["r", "s", "t"]
        assert list(written["given_labels"]) == ["x", "y", "z"]

    def test_fields_of_json_have_types(self, model, small_blocks, tmp_path):
        source, output = tmp_path / "new.jsonl", tmp_path / "labels.parquet"
        fields = {
            "number": [1, None, 3, 4, 5, 6, 2**60],
            "mixed numbers": [1, 2, 3, 4, 5, 6, 0.5],
            "large and fraction": [2**60 + 1, 2, 3, 4, 5, 6, 0.5],
            "flag": [True, False, None, True, True, True, True],
            "tags": [["x"], [], None, ["y", "z"], [], [], []],
            "anything": ["7", 7, None, {"a": [1]}, [], True, 2**70],
            "nothing": [None] * 7,
        }
        rows = [
            {"text": text, **{name: values[row] for name, values in fields.items()}}
            for row, text in enumerate(TEXTS[:7])
        ]
        rows[3] |= {"late": "a \ud83d lens"}
        source.write_text("".join(json.dumps(row) + "\n" for row in rows))
        assert predict(model, "--input", source, "--output", output) == 0
        written = pq.read_table(output)
        types = {
            # Old versions of pyarrow call the elements of a list items.
            name: str(written.schema.field(name).type).replace("item", "element")
            for name in [*fields, "late"]
        }
        assert list(types.values()) == [
            "int64",
            "double",
            "string",
            "bool",
            "list<element: string>",
            "string",
            "string",
            "string",
        ]
        for name in ("number", "mixed numbers", "flag", "tags", "nothing"):
            assert written[name].to_pylist() == fields[name]
        for name in ("large and fraction", "anything"):
            values = written[name].to_pylist()
            assert [None if value is None else json.loads(value) for value in values] == fields[name]
        assert written["late"].to_pylist() == [None, None, None, "a ? lens", None, None, None]

    def test_labels_of_any_characters(self, tmp_path):
        model = str(tmp_path / "model")
        HiMatchClassifier(**QUICK | {"max_epochs": 1}).fit(["a b", "c d"] * 10, [{"x|y"}, {"z"}] * 10).save(
            model
        )
        source, output = tmp_path / "new.csv", tmp_path / "labels.parquet"
        source.write_text("text\na b\n")
        assert predict(model, "--input", source, "--output", output, "--top-k", "2") == 0
        assert set(pq.read_table(output)["labels"][0].as_py()) == {"x|y", "z"}

    def test_mistakes_are_named(self, model, tmp_path, monkeypatch, capsys):
        source = tmp_path / "new.parquet"
        pq.write_table(pa.table({"text": ["a", None]}), source)
        output = tmp_path / "labels.parquet"
        assert f"row 2 of {source} has no text" in error_of(
            capsys, model, "--input", source, "--output", output
        )
        assert not output.exists()
        assert "name a file with --output" in error_of(
            capsys, model, "--input", source, "--format", "parquet"
        )
        source = tmp_path / "new.csv"
        source.write_text("text\na\n")
        monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
        assert "skhimatch[parquet]" in error_of(capsys, model, "--input", source, "--output", output)

    def test_long_rows_make_small_batches(self, tmp_path, monkeypatch):
        monkeypatch.setattr(parquet, "BYTES", 10_000)
        source = tmp_path / "long.parquet"
        pq.write_table(pa.table({"text": [f"{row:900}" for row in range(40)]}), source)
        sizes = [len(block.texts) for block in row_blocks.read_blocks(source, Columns())]
        assert sizes == [10] * 4

    def test_long_texts_make_small_blocks(self, tmp_path, monkeypatch):
        monkeypatch.setattr(row_blocks, "CHARACTERS", 10)
        source = tmp_path / "long.csv"
        source.write_text("text\n" + "abcdef\n" * 5)
        sizes = [len(block.texts) for block in row_blocks.read_blocks(source, Columns())]
        assert sizes == [2, 2, 1]


class TestOneFile:
    @pytest.mark.parametrize("format", ["jsonl", "csv"])
    def test_blocks_are_written_as_they_come(self, model, small_blocks, tmp_path, capsys, format):
        write_parts(tmp_path, "csv")
        assert predict(model, "--input", tmp_path / "part-0.csv", "--format", format) == 0
        assert small_blocks == [5, 5, 5, 5]
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) == 20 + (format == "csv")

    def test_a_field_of_the_last_row_has_a_column(self, model, small_blocks, tmp_path, capsys):
        source = tmp_path / "new.jsonl"
        source.write_text('{"text": "a"}\n' * 7 + '{"text": "b", "late": 1}\n')
        assert predict(model, "--input", source, "--format", "csv") == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[0] == "text,late,labels,probabilities"
        assert lines[8].startswith("b,1,")

    def test_predicted_files_can_be_predicted_again(self, model, tmp_path, capsys):
        source = tmp_path / "new.jsonl"
        source.write_text('{"text": "a", "labels": ["first"]}\n')
        for number in range(2):
            output = tmp_path / f"{number}.jsonl"
            assert predict(model, "--input", source, "--output", output) == 0
            source = output
        entry = json.loads(source.read_text())
        assert entry["given_labels"] == ["first"]
        assert entry["given_given_labels"] == entry["labels"]

    def test_a_file_that_grows_is_an_error(self, model, tmp_path, monkeypatch, capsys):
        source = tmp_path / "new.csv"
        source.write_text("text\na\n")
        load = HiMatchClassifier.load

        def grow(folder):
            source.write_text("text\na\nb\n")
            return load(folder)

        monkeypatch.setattr(HiMatchClassifier, "load", grow)
        output = tmp_path / "labels.jsonl"
        message = error_of(capsys, model, "--input", source, "--output", output)
        assert "new.csv was changed while it was read" in message
        assert not output.exists()


class TestFolder:
    @pytest.mark.parametrize("suffix", ["parquet", "csv", "tsv", "jsonl", "csv.gz"])
    def test_each_file_has_an_output(self, model, tmp_path, capsys, suffix):
        write_parts(tmp_path, suffix)
        out = tmp_path / "out"
        assert predict(model, "--input", tmp_path / f"part-*.{suffix}", "--output", out) == 0
        assert capsys.readouterr().out.count("texts\n") == 3
        own = suffix.removesuffix(".gz")
        outputs = sorted(out.glob("*"))
        assert [path.name for path in outputs if path.name[0] != "."] == [f"part-{n}.{own}" for n in range(3)]
        # The same file by file.
        for number in range(3):
            alone = tmp_path / f"alone.{own}"
            assert predict(model, "--input", tmp_path / f"part-{number}.{suffix}", "--output", alone) == 0
            assert (out / f"part-{number}.{own}").read_bytes() == alone.read_bytes()

    def test_readers_see_one_dataset(self, model, tmp_path):
        write_parts(tmp_path)
        (tmp_path / "_SUCCESS").touch()
        out = tmp_path / "out"
        assert predict(model, "--input", tmp_path, "--output", out) == 0
        written = pq.read_table(out)
        assert written["id"].to_pylist() == list(range(47))
        assert list(map(set, written["labels"].to_pylist())) == expected_of(model, TEXTS)

    def test_an_empty_part_stays_empty(self, model, tmp_path):
        write_parts(tmp_path)
        pq.write_table(table([]), tmp_path / "part-9.parquet")
        out = tmp_path / "out"
        assert predict(model, "--input", tmp_path / "part-*", "--output", out, "--format", "jsonl") == 0
        assert (out / "part-9.jsonl").read_text() == ""
        assert len((out / "part-2.jsonl").read_text().splitlines()) == 7

    def test_a_stopped_run_goes_on(self, model, tmp_path, monkeypatch, capsys):
        write_parts(tmp_path)
        out = tmp_path / "out"
        arguments = ["--input", tmp_path / "part-*.parquet", "--output", out]
        monkeypatch.setattr(parquet, "ROWS", 5)
        whole = HiMatchClassifier.iter_predict_proba
        calls = []

        def stop(self, texts):
            calls.append(len(texts))
            if len(calls) == 5:
                raise KeyboardInterrupt
            return whole(self, texts)

        monkeypatch.setattr(HiMatchClassifier, "iter_predict_proba", stop)
        assert predict(model, *arguments) == 130
        assert [path.name for path in out.glob("*.parquet")] == ["part-0.parquet"]
        # What a killed process leaves.
        (out / ".part-1.parquet.12345.unfinished").write_text("half")
        capsys.readouterr()
        calls.clear()
        monkeypatch.setattr(HiMatchClassifier, "iter_predict_proba", whole)
        before = (out / "part-0.parquet").stat().st_mtime_ns
        assert predict(model, *arguments) == 0
        printed = capsys.readouterr().out.splitlines()
        assert printed == [
            f"{out}/part-0.parquet: done before",
            f"{out}/part-1.parquet: 20 texts",
            f"{out}/part-2.parquet: 7 texts",
        ]
        assert (out / "part-0.parquet").stat().st_mtime_ns == before
        assert pq.read_table(out)["id"].to_pylist() == list(range(47))
        assert not [path for path in out.rglob("*") if "unfinished" in path.name]

    def test_what_has_changed_is_predicted_again(self, model, tmp_path, capsys):
        write_parts(tmp_path)
        out = tmp_path / "out"

        def done(*options, folder=model):
            arguments = ["--input", tmp_path / "part-*.parquet", "--output", out]
            assert predict(folder, *arguments, *options) == 0
            return [line.partition(": ")[2] for line in capsys.readouterr().out.splitlines()]

        # What is done is said first.
        again, same = ["20 texts", "20 texts", "7 texts"], ["done before"] * 3
        assert done() == again
        assert done() == same
        # A new date is no change of the content.
        (tmp_path / "part-1.parquet").touch()
        assert done() == same
        pq.write_table(table(TEXTS[:3]), tmp_path / "part-1.parquet")
        assert done() == ["done before", "done before", "3 texts"]
        (out / "part-2.parquet").unlink()
        (out / ".done" / "part-0.parquet.json").write_text("{")
        assert done() == ["done before", "20 texts", "7 texts"]
        assert done("--top-k", "2") == ["20 texts", "3 texts", "7 texts"]
        assert done("--top-k", "2") == same
        other = tmp_path / "other"
        HiMatchClassifier(HIERARCHY, **QUICK | {"random_state": 7}).fit(*make_corpus(60)).save(other)
        assert done("--top-k", "2", folder=str(other)) == ["20 texts", "3 texts", "7 texts"]
        assert done("--threshold", "0.5", folder=str(other)) == ["20 texts", "3 texts", "7 texts"]

    def test_an_error_in_a_file_keeps_the_others_and_its_old_output(self, model, tmp_path, capsys):
        write_parts(tmp_path, "csv")
        out = tmp_path / "out"
        arguments = ["--input", tmp_path / "part-*.csv", "--output", out]
        assert predict(model, *arguments) == 0
        old = (out / "part-1.csv").read_bytes()
        for number in range(3):
            with (tmp_path / f"part-{number}.csv").open("a") as file:
                file.write("47,one more\n" if number != 1 else "a,b,c\n")
        assert "line 22 of" in error_of(capsys, model, *arguments)
        assert (out / "part-1.csv").read_bytes() == old
        assert "one more" in (out / "part-0.csv").read_text()
        assert "one more" not in (out / "part-2.csv").read_text()

    def test_mistakes_are_named(self, model, tmp_path, capsys):
        write_parts(tmp_path, "csv")
        out = tmp_path / "out"
        parts = sorted(tmp_path.glob("*.csv"))
        assert "name it with --output" in error_of(capsys, model, "--input", *parts)
        assert "no file fits the pattern nothing-*.csv" in error_of(capsys, model, "--input", "nothing-*.csv")
        (tmp_path / "empty").mkdir()
        assert "has no file that ends in" in error_of(capsys, model, "--input", tmp_path / "empty")
        missing = error_of(capsys, model, "--input", *parts, tmp_path / "no.csv", "--output", out)
        assert "no.csv: No such file" in missing
        file = tmp_path / "a file"
        file.touch()
        taken = error_of(capsys, model, "--input", *parts, "--output", file)
        assert "Not a directory: several files are predicted into a folder, so name one" in taken
        one = ["--input", parts[0], "--output"]
        assert "Is a directory: name a file in it" in error_of(capsys, model, *one, tmp_path)
        nowhere = error_of(capsys, model, *one, tmp_path / "nowhere" / "x.csv")
        assert "No such file or directory: make its folder first" in nowhere
        for wanted, problem in (("--threshold 7", "from 0 to 1"), ("--top-k 0", "1 or more")):
            assert problem in error_of(capsys, model, *one, tmp_path / "x.csv", *wanted.split())
        many = error_of(capsys, model, "--input", *parts, "--output", out, "--top-k", "99")
        assert "k is 99" in many
        (tmp_path / "part-0.tsv").write_text("text\na\n")
        twice = ["--input", parts[0], tmp_path / "part-0.tsv", "--format", "csv", "--output", out]
        assert "would both be written to" in error_of(capsys, model, *twice)
        assert "are the same file" in error_of(capsys, model, "--input", tmp_path, "--output", tmp_path)
        assert not [path for path in out.rglob("*") if path.is_file()]

    def test_one_file_into_a_folder(self, model, tmp_path, capsys):
        write_parts(tmp_path, "csv")
        assert predict(model, "--input", tmp_path / "part-2.csv", "--output", f"{tmp_path}/out/") == 0
        assert len((tmp_path / "out" / "part-2.csv").read_text().splitlines()) == 8

    def test_two_processes_share_a_folder(self, model, tmp_path):
        write_parts(tmp_path)
        out = tmp_path / "out"
        command = [sys.executable, "-m", "skhimatch", "predict", "--model", model, "--output", str(out)]
        parts = sorted(map(str, tmp_path.glob("*.parquet")))
        running = [
            subprocess.Popen([*command, "--input", *own], cwd=Path(__file__).parents[1])
            for own in (parts[:2], [*parts[2:], parts[2]])
        ]
        assert [process.wait() for process in running] == [0, 0]
        assert pq.read_table(out)["id"].to_pylist() == list(range(47))


def test_only_files_of_killed_processes_are_found(tmp_path):
    output = tmp_path / "a.csv"
    with replacing(output) as file:
        [unfinished] = unfinished_files(output)
        file.write(b"x")
    assert unfinished.name.endswith(".unfinished")
    for name in (".a.csv.notes.unfinished", ".a.csv.b.csv.7.unfinished", "a.csv.7.unfinished"):
        (tmp_path / name).touch()
    assert unfinished_files(output) == []
