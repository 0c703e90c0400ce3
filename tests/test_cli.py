import csv
import io
import json
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from toy_corpus import HIERARCHY, PATHS, QUICK, make_corpus

import skhimatch
from skhimatch import HiMatchClassifier, as_hierarchy
from skhimatch.cli import main
from skhimatch.datasets import Corpus


def write_texts(file, texts, label_sets):
    lines = (
        json.dumps({"text": text, "labels": sorted(labels)})
        for text, labels in zip(texts, label_sets, strict=True)
    )
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(file)


@pytest.fixture
def files(tmp_path):
    hierarchy = tmp_path / "news.json"
    hierarchy.write_text(json.dumps(HIERARCHY), encoding="utf-8")
    return {
        "train": write_texts(tmp_path / "train.jsonl", *make_corpus(60)),
        "test": write_texts(tmp_path / "test.jsonl", *make_corpus(15, seed=1)),
        "hierarchy": str(hierarchy),
        "model": str(tmp_path / "model"),
    }


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "model"
    HiMatchClassifier(HIERARCHY, **QUICK).fit(*make_corpus(60)).save(folder)
    return str(folder)


def error_of(capsys, *arguments):
    assert main(list(arguments)) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("skhimatch: error: ")
    assert printed.count("\n") == 1
    return printed


def test_fit_predict_evaluate(files, tmp_path, capsys):
    fit = ["fit", "--train", files["train"], "--hierarchy", files["hierarchy"], "--model", files["model"]]
    settings = ["--epochs", "3", "--max-length", "12", "--seed", "0"]
    assert main([*fit, *settings, "--validation", files["test"]]) == 0
    printed = capsys.readouterr().out
    assert "60 texts, LabelHierarchy(10 labels" in printed
    assert "epoch" in printed
    assert "test.jsonl\nmicro-F1" in printed
    classifier = HiMatchClassifier.load(files["model"])
    assert classifier.tokenizer_.max_length == 12
    assert classifier.n_iter_ == 3

    assert main(["predict", "--model", files["model"], "--input", files["test"]]) == 0
    lines = capsys.readouterr().out
    output = tmp_path / "labels.jsonl"
    assert (
        main(["predict", "--model", files["model"], "--input", files["test"], "--output", str(output)]) == 0
    )
    assert output.read_text(encoding="utf-8") == lines
    entries = [json.loads(line) for line in lines.splitlines()]
    texts = make_corpus(15, seed=1)[0]
    assert [entry["text"] for entry in entries] == texts
    expected = classifier.to_label_sets(classifier.predict(texts))
    levels = dict(zip(classifier.classes_, classifier.hierarchy_.levels, strict=True))
    columns = {label: column for column, label in enumerate(classifier.classes_)}
    for entry, labels, probabilities in zip(entries, expected, classifier.predict_proba(texts), strict=True):
        assert set(entry["labels"]) == labels
        assert [levels[label] for label in entry["labels"]] == sorted(levels[label] for label in labels)
        for label, probability in entry["probabilities"].items():
            assert probability == pytest.approx(probabilities[columns[label]], abs=1e-5)

    assert main(["evaluate", "--model", files["model"], "--input", files["test"]]) == 0
    assert capsys.readouterr().out.rstrip() in printed


def test_a_pretrained_encoder(files, tiny_bert, capsys, monkeypatch):
    arguments = ["fit", "--train", files["train"], "--model", files["model"], "--seed", "0", "--epochs", "1"]
    assert main([*arguments, "--encoder", tiny_bert, "--freeze"]) == 0
    assert main(["predict", "--model", files["model"], "--input", files["test"]]) == 0
    assert HiMatchClassifier.load(files["model"]).encoder.freeze == "all"
    capsys.readouterr()
    assert "--freeze is for a pretrained encoder" in error_of(capsys, *arguments, "--freeze")
    of_words = [*arguments, "--encoder", "gru"]
    assert "--freeze is for a pretrained encoder" in error_of(capsys, *of_words, "--freeze")
    assert main(of_words) == 0
    assert HiMatchClassifier.load(files["model"]).encoder == "gru"
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert "skhimatch[transformers]" in error_of(capsys, *arguments, "--encoder", tiny_bert)


def test_fit_says_how_to_predict(tmp_path, capsys):
    train, model = tmp_path / "train.csv", tmp_path / "a model"
    rows = [("\xe9cran", "sight"), ("\xe9cho", "sound")] * 20
    train.write_text("titre,label\n" + "".join(f"{text},{label}\n" for text, label in rows), "cp1252")
    options = ["--text-column", "titre", "--label-column", "label", "--encoding", "cp1252"]
    assert main(["fit", "--train", str(train), "--model", str(model), "--epochs", "1", *options]) == 0
    said = shlex.split(capsys.readouterr().out.splitlines()[-1].partition("skhimatch")[2])
    assert said[:2] == ["predict", "--model"]
    said[said.index("FILE")] = str(train)
    assert main([*said, "--output", str(tmp_path / "predicted.csv")]) == 0
    assert (tmp_path / "predicted.csv").read_text().splitlines()[1].startswith("\xe9cran,sight,sight,")


def test_fit_without_hierarchy_holds_out_some_texts(tmp_path, capsys):
    train = tmp_path / "train.csv"
    texts, label_sets = make_corpus(40)
    rows = (f"{text},{'|'.join(labels)}\n" for text, labels in zip(texts, label_sets, strict=True))
    train.write_text("text,labels\n" + "".join(rows), encoding="utf-8")
    assert main(["fit", "--train", str(train), "--model", str(tmp_path / "model"), "--epochs", "1"]) == 0
    printed = capsys.readouterr().out
    assert "LabelHierarchy(10 labels, 10 roots, 10 leaves, depth 1, flat)" in printed
    assert "On held-out training texts: micro-F1 " in printed


def products(number, seed=0):
    """Return a table whose categories are paths. The first two texts have a second one."""
    rows = ["sku,title,category"]
    for row, (text, labels) in enumerate(zip(*make_corpus(number, seed=seed), strict=True)):
        [path] = [path for leaf, path in PATHS.items() if leaf in labels]
        rows.append(f"{row},{text},{' > '.join(path)}{'; sport > tennis' * (row < 2)}")
    return "\n".join(rows) + "\n"


class TestTheFileThatMostPeopleHave:
    def test_fit_predict_evaluate(self, tmp_path, capsys):
        train, test, model = tmp_path / "products.csv", tmp_path / "test.csv", str(tmp_path / "model")
        train.write_text(products(60) + "60,,science\n61,A gift,\n62,A card,nan\n", encoding="utf-8")
        test.write_text(products(15, seed=1), encoding="utf-8")
        columns = ["--text-column", "title", "--label-column", "category"]
        fit = ["fit", "--train", str(train), *columns, "--validation", str(test), "--epochs", "2"]
        assert main([*fit, "--seed", "0", "--model", model]) == 0
        printed = capsys.readouterr().out
        assert "products.csv: ' > ' separates the parts of a path, and ';' separates the labels" in printed
        assert "products.csv: 1 row (line 62) without a text are left out" in printed
        assert "products.csv: 2 rows (line 63, line 64) without a category are left out" in printed
        assert "60 texts, LabelHierarchy(10 labels" in printed
        assert "test.csv\nmicro-F1" in printed
        classifier = HiMatchClassifier.load(model)
        assert classifier.hierarchy_.depth == as_hierarchy(HIERARCHY).depth
        assert classifier.label_texts["science > physics"] == "physics"

        assert main(["predict", "--model", model, "--input", str(test), "--text-column", "title"]) == 0
        entries = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert len(entries) == 15
        assert {label for entry in entries for label in entry["labels"]} <= set(classifier.classes_)

        assert main(["evaluate", "--model", model, "--input", str(test), *columns]) == 0
        assert capsys.readouterr().out.rstrip().splitlines()[-1] in printed

    def test_mistakes_are_named(self, tmp_path, capsys):
        train = tmp_path / "products.csv"
        train.write_text(products(20), encoding="utf-8")
        fit = ["fit", "--train", str(train), "--model", str(tmp_path / "model")]
        assert "no column 'text': its columns are 'sku', 'title', 'category'" in error_of(capsys, *fit)
        columns = ["--text-column", "title", "--label-column", "category"]
        hierarchy = tmp_path / "news.json"
        hierarchy.write_text(json.dumps(HIERARCHY), encoding="utf-8")
        both = [*columns, "--hierarchy", str(hierarchy), "--path-separator", " > "]
        assert "the hierarchy has other labels" in error_of(capsys, *fit, *both)
        other = tmp_path / "other.csv"
        other.write_text("title,category\na wave,science > phisics\n", encoding="utf-8")
        assert main([*fit, *columns, "--validation", str(other)]) == 2
        printed = capsys.readouterr().err
        assert "label 'science > phisics' in line 2 of" in printed
        assert "did you mean 'science > physics'?" in printed


def test_mistakes_are_named_before_training(files, tmp_path, capsys):
    fit = ["fit", "--train", files["train"], "--hierarchy", files["hierarchy"], "--model"]
    assert "nowhere.jsonl: No such file" in error_of(
        capsys, "fit", "--train", "nowhere.jsonl", "--model", "m"
    )
    assert "nowhere.json: No such file" in error_of(capsys, *fit, "m", "--hierarchy", "nowhere.json")
    assert "holds no saved classifier" in error_of(capsys, *fit, str(tmp_path))
    assert "train.jsonl" in error_of(capsys, *fit, files["train"] + "/model")
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"text": "a", "labels": []}\n{"text"\n', encoding="utf-8")
    assert f"line 2 of {broken} is not JSON" in error_of(capsys, *fit, "m", "--validation", str(broken))
    unknown = write_texts(tmp_path / "unknown.jsonl", ["a"], [{"tenis"}])
    assert "'tenis' in line 1 " in error_of(capsys, *fit, "m", "--validation", unknown)
    flat = ["fit", "--train", files["train"], "--validation", unknown, "--model", "m"]
    assert "did you mean 'tennis'?" in error_of(capsys, *flat)
    unlabelled = tmp_path / "unlabelled.csv"
    unlabelled.write_text("text\na wave\n", encoding="utf-8")
    assert "unlabelled.csv has no labels" in error_of(
        capsys, "fit", "--train", str(unlabelled), "--model", "m"
    )
    assert "max_epochs" in error_of(capsys, *fit, str(tmp_path / "m"), "--epochs", "0")
    assert "nowhere.txt" in error_of(capsys, *fit, str(tmp_path / "m"), "--word-vectors", "nowhere.txt")
    assert not (tmp_path / "m").exists()


def test_mistakes_with_a_saved_model_are_named(model, files, tmp_path, capsys):
    assert "is no saved classifier" in error_of(capsys, "predict", "--model", "m", "--input", files["test"])
    unknown = write_texts(tmp_path / "unknown.jsonl", ["a"], [{"tenis"}])
    message = error_of(capsys, "evaluate", "--model", model, "--input", unknown)
    assert "'tenis' in line 1 of" in message
    assert "did you mean 'tennis'?" in message
    nowhere = str(tmp_path / "no" / "where.jsonl")
    assert nowhere in error_of(
        capsys, "predict", "--model", model, "--input", files["test"], "--output", nowhere
    )


def test_a_text_with_a_lone_surrogate_is_written_like_others(model, tmp_path, capfd):
    texts = ["a wave", "the \ud83d quark é", "a 😀 goal", "\udce9"]
    source = tmp_path / "new.jsonl"
    source.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    output = tmp_path / "labels.jsonl"
    arguments = ["predict", "--model", model, "--input", str(source)]
    assert main([*arguments, "--output", str(output)]) == 0
    written = output.read_text(encoding="utf-8")
    assert [json.loads(line)["text"] for line in written.splitlines()] == texts
    assert "😀" in written
    assert main(arguments) == 0
    assert capfd.readouterr().out == written


class TestOutput:
    def test_the_input_is_not_overwritten(self, model, files, tmp_path, capsys):
        source = Path(files["test"])
        before = source.read_bytes()
        link = tmp_path / "link.jsonl"
        link.symlink_to(source)
        for output in (source, source.parent / "." / source.name, link):
            arguments = ["predict", "--model", model, "--input", str(source), "--output", str(output)]
            assert "--output and --input are the same file" in error_of(capsys, *arguments)
        assert source.read_bytes() == before

    @pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
    def test_an_error_keeps_the_old_file(self, model, files, tmp_path, monkeypatch, error):
        output = tmp_path / "labels.jsonl"
        output.write_text("old")

        def fail(self, texts):
            yield HiMatchClassifier.predict_proba(self, texts[:3])
            raise error

        monkeypatch.setattr(HiMatchClassifier, "iter_predict_proba", fail)
        held = sorted(tmp_path.iterdir())
        arguments = ["predict", "--model", model, "--input", files["test"], "--output", str(output)]
        assert main(arguments) in (2, 130)
        assert output.read_text() == "old"
        assert sorted(tmp_path.iterdir()) == held

    def test_a_link_and_the_mode_are_kept(self, model, files, tmp_path):
        target = tmp_path / "target.jsonl"
        target.write_text("old")
        target.chmod(0o640)
        link = tmp_path / "link.jsonl"
        link.symlink_to(target)
        assert main(["predict", "--model", model, "--input", files["test"], "--output", str(link)]) == 0
        assert link.is_symlink()
        assert len(target.read_text(encoding="utf-8").splitlines()) == 15
        assert target.stat().st_mode & 0o777 == 0o640

    def test_a_device_is_not_replaced(self, model, files):
        assert main(["predict", "--model", model, "--input", files["test"], "--output", "/dev/null"]) == 0
        assert Path("/dev/null").is_char_device()

    def test_a_folder_is_refused(self, model, files, tmp_path, capsys):
        arguments = ["predict", "--model", model, "--input", files["test"], "--output", str(tmp_path)]
        assert f"{tmp_path}: Is a directory" in error_of(capsys, *arguments)


class TestFormatsOfPredictions:
    TABLE = 'sku,text,Labels\n7,"a lens, a mirror",old\n8,a racket,\n'

    def predicted(self, model, tmp_path, capsys, *options, name="new.csv", content=TABLE):
        source = tmp_path / name
        source.write_text(content, encoding="utf-8")
        assert main(["predict", "--model", model, "--input", str(source), *options]) == 0
        return capsys.readouterr().out

    def test_rows_keep_their_other_fields(self, model, tmp_path, capsys):
        entries = list(map(json.loads, self.predicted(model, tmp_path, capsys).splitlines()))
        assert [entry["sku"] for entry in entries] == ["7", "8"]
        assert [entry["text"] for entry in entries] == ["a lens, a mirror", "a racket"]
        assert [entry["Labels"] for entry in entries] == ["old", ""]
        for entry in entries:
            assert list(entry["probabilities"]) == entry["labels"]
        records = json.dumps([{"id": 3, "text": "a lens", "labels": ["x"], "price": 1.5}])
        [line] = self.predicted(model, tmp_path, capsys, name="new.json", content=records).splitlines()
        entry = json.loads(line)
        assert (entry["id"], entry["price"], entry["given_labels"]) == (3, 1.5, ["x"])

    @pytest.mark.parametrize(("suffix", "separator"), [(".csv", ","), (".tsv", "\t")])
    def test_tables(self, model, tmp_path, capsys, suffix, separator):
        as_json = list(map(json.loads, self.predicted(model, tmp_path, capsys).splitlines()))
        output = tmp_path / ("labels" + suffix)
        printed = self.predicted(model, tmp_path, capsys, "--format", suffix[1:])
        assert not self.predicted(model, tmp_path, capsys, "--output", str(output))
        assert output.read_text(encoding="utf-8") == printed
        with output.open(encoding="utf-8", newline="") as lines:
            rows = list(csv.reader(lines, delimiter=separator))
        assert rows[0] == ["sku", "text", "Labels", "labels", "probabilities"]
        for row, entry in zip(rows[1:], as_json, strict=True):
            assert row[:3] == [entry["sku"], entry["text"], entry["Labels"]]
            assert row[3].split("|") == entry["labels"]
            assert list(map(float, row[4].split("|"))) == list(entry["probabilities"].values())

    def test_records_as_a_table(self, model, tmp_path, capsys):
        first = {"text": "a \ud83d lens", "tags": ["x", "y"], "note": None}
        lines = [first, {"text": "b", "note": "n", "price": 1}]
        content = "".join(json.dumps(line) + "\n" for line in lines)
        printed = self.predicted(model, tmp_path, capsys, "--format", "csv", name="n.jsonl", content=content)
        rows = list(csv.DictReader(io.StringIO(printed)))
        assert [row["text"] for row in rows] == ["a ? lens", "b"]
        assert [row["tags"] for row in rows] == ['["x", "y"]', ""]
        assert [row["note"] for row in rows] == ["", "n"]
        assert [row["price"] for row in rows] == ["", "1"]

    @pytest.mark.parametrize("content", ['\n{"text": "a lens"}\n', '[{"text": "a lens"}]', "text\na lens\n"])
    def test_standard_input(self, model, monkeypatch, capsys, content):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content.encode())))
        assert main(["predict", "--model", model, "--input", "-"]) == 0
        [line] = capsys.readouterr().out.splitlines()
        assert json.loads(line)["text"] == "a lens"

    def test_threshold_and_top_k(self, model, tmp_path, capsys):
        def labels(*options):
            printed = self.predicted(model, tmp_path, capsys, *options)
            return [json.loads(line)["labels"] for line in printed.splitlines()]

        classifier = HiMatchClassifier.load(model)
        texts = ["a lens, a mirror", "a racket"]
        assert labels("--top-k", "3") == classifier.predict_topk(texts, 3).labels.tolist()
        expected = classifier.set_params(threshold=0.2).predict(texts)
        assert list(map(set, labels("--threshold", "0.2"))) == classifier.to_label_sets(expected)
        predict = ["predict", "--model", model, "--input", str(tmp_path / "new.csv")]
        assert "take one of them" in error_of(capsys, *predict, "--threshold", "0.2", "--top-k", "3")
        assert "threshold" in error_of(capsys, *predict, "--threshold", "7")
        assert "k is 99" in error_of(capsys, *predict, "--top-k", "99")

    def test_labels_that_a_table_cannot_hold_are_named(self, tmp_path, capsys):
        model = str(tmp_path / "model")
        settings = {name: value for name, value in QUICK.items() if name != "max_epochs"} | {"max_epochs": 1}
        HiMatchClassifier(**settings).fit(["a b", "c d"] * 10, [{"x|y"}, {"z"}] * 10).save(model)
        source = tmp_path / "new.csv"
        source.write_text("text\na b\n")
        arguments = ["predict", "--model", model, "--input", str(source)]
        assert main(arguments) == 0
        capsys.readouterr()
        assert "the label 'x|y' contains '|'" in error_of(capsys, *arguments, "--format", "csv")

    def test_version(self, capsys):
        with pytest.raises(SystemExit) as end:
            main(["--version"])
        assert end.value.code == 0
        assert capsys.readouterr().out == f"skhimatch {skhimatch.__version__}\n"


def test_explain(model, capsys):
    classifier = HiMatchClassifier.load(model)
    assert main(["explain", "--model", model, "--text", "a lens, a mirror"]) == 0
    assert capsys.readouterr().out == f"{classifier.explain('a lens, a mirror')}\n"
    assert main(["explain", "--model", model, "--label", "optics"]) == 0
    assert capsys.readouterr().out == f"{classifier.explain_label('optics')}\n"
    assert "did you mean 'optics'" in error_of(capsys, "explain", "--model", model, "--label", "optic")


def test_missing_arguments_exit_with_2(capsys):
    with pytest.raises(SystemExit) as end:
        main(["fit"])
    assert end.value.code == 2
    assert "--train" in capsys.readouterr().err


def test_interruption_ends_in_one_line(monkeypatch, capsys):
    def interrupt(output, seed):
        raise KeyboardInterrupt

    monkeypatch.setattr("skhimatch.demo.run", interrupt)
    assert main(["demo"]) == 130
    assert capsys.readouterr().err == "\nskhimatch: interrupted\n"


@pytest.mark.parametrize(
    "command", [[], ["demo"], ["fit"], ["predict"], ["evaluate"], ["explain"], ["report"], ["serve"]]
)
def test_help_needs_no_torch_and_fits_the_terminal(command):
    code = (
        "import sys; sys.modules['torch'] = sys.modules['numpy'] = None; "
        f"from skhimatch.cli import main; main({[*command, '--help']!r})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("usage: skhimatch")
    assert "python -m skhimatch" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100


@pytest.fixture
def tiny_demo(monkeypatch):
    texts, label_sets = make_corpus(90)
    parts = np.split(np.arange(90), [60, 75])
    splits = dict(zip(("train", "validation", "test"), parts, strict=True))
    corpus = Corpus("toy", texts, list(map(frozenset, label_sets)), as_hierarchy(HIERARCHY), splits)
    monkeypatch.setattr("skhimatch.demo.load_api_docs", lambda: corpus)
    monkeypatch.setattr("skhimatch.demo.SETTINGS", {k: v for k, v in QUICK.items() if k != "random_state"})


def test_demo_compares_classifies_and_saves(tiny_demo, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    assert main(["demo", "--output", str(tmp_path / "demo"), "--seed", "1"]) == 0
    printed = capsys.readouterr().out
    assert "90 docstrings of 2 libraries: 60 for training" in printed
    for row in ("micro-F1", "macro-F1", "hierarchical precision", "predictions that break", "seconds to fit"):
        assert sum(line.startswith(row) for line in printed.splitlines()) == 1
    assert printed.count("  true       ") == 3
    assert (tmp_path / "demo" / "f1-by-level.png").read_bytes().startswith(b"\x89PNG")
    loaded = HiMatchClassifier.load(tmp_path / "demo" / "model")
    assert loaded.predict(["the wave"]).shape == (1, 10)


def test_demo_without_matplotlib_says_how_to_get_it(tiny_demo, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    assert main(["demo", "--output", str(tmp_path / "demo")]) == 0
    assert 'no chart: LevelF1Display needs matplotlib: python -m pip install "skhimatch[plot]"' in (
        capsys.readouterr().out
    )


def test_demo_refuses_an_occupied_folder(tiny_demo, tmp_path, capsys):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "thesis.tex").touch()
    assert "choose another folder" in error_of(capsys, "demo", "--output", str(tmp_path))
