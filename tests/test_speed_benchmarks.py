"""Speed and memory are measured, written and shown."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import joblib
import pytest
import scipy.sparse as sp
from benchmark_corpus import CORPUS, SMALL, Here
from pretrained_models import write_tiny_bert

from benchmarks import (
    accuracy,
    fits,
    large,
    one_text,
    peers,
    records,
    serving,
    speed,
    speed_tables,
    stream,
    tables,
)
from skhimatch import HiMatchClassifier
from skhimatch.cli import main


class TestSpeed:
    @pytest.fixture
    def content(self, monkeypatch, tmp_path):
        monkeypatch.delenv("SKHIMATCH_DATA", raising=False)
        monkeypatch.setattr(accuracy, "CORPORA", {"api-docs": (lambda: CORPUS, {})})
        monkeypatch.setattr(speed, "ProcessPoolExecutor", Here)
        for module in (speed, speed_tables):
            monkeypatch.setattr(module, "SPEED", tmp_path / "results" / "speed.json")
        monkeypatch.setattr(sys, "argv", ["speed", "--quick"])
        # The search in two processes: two new ones take seconds to import torch.
        with joblib.parallel_config("threading"):
            speed.main()
        return json.loads(speed.SPEED.read_text())

    def test_a_quick_run_measures_everything_and_is_not_quoted(self, content):
        positive = {"train_step_ratio_vs_reference", "predict_ratio_vs_reference", "predict_ratio_vs_linear"}
        positive |= {"latency_ms_p50", "latency_ms_p99", "matching_overhead", "peak_rss_mb", "threads"}
        positive |= {"grid_search_ratio_of_two_jobs"}
        positive |= {"fit_texts_per_second", "epoch_texts_per_second", "predict_texts_per_second"}
        assert all(content[name] > 0 for name in positive)
        assert {"versions", "commit", "dataset"} <= set(content)
        assert set(content["parts"]) == {
            *("encoder", "label_nodes", "head", "matching_objective", "backward", "optimiser", "rest")
        }
        assert all(share > 0 for share in content["parts"].values())
        assert sum(content["parts"].values()) == pytest.approx(1)
        assert {what: list(numbers) for what, numbers in content["growth"].items()} == {
            "words": ["50", "100"],
            "labels": ["100", "300"],
            "labels, dot head": ["100", "300"],
            "texts": ["12", "24"],
        }
        for numbers in content["growth"].values():
            assert all(value > 0 for taken in numbers.values() for value in taken.values())
        assert records.read(speed_tables.SPEED) is None
        for table in (speed_tables.speed_table, speed_tables.growth_table):
            assert len({line.count("|") for line in table(content).splitlines()}) == 1

    def test_contenders_take_turns_and_warm_up(self):
        calls = []
        seconds = speed.in_turn(
            {name: lambda given, name=name: calls.append(name + given) for name in "ab"}, "12"
        )
        assert calls == ["a1", "b1", "a1", "b1", "a2", "b2"]
        assert [len(times) for times in seconds.values()] == [2, 2]

    @pytest.mark.parametrize("n_labels", [100, 1_000])
    def test_made_up_texts_carry_a_leaf_and_its_parent(self, n_labels):
        hierarchy = speed.two_levels(n_labels)
        texts, targets = speed.made_up(20, 50, hierarchy)
        assert (len(hierarchy), hierarchy.depth) == (n_labels, 2)
        assert texts.lengths.tolist() == [50] * 20
        assert targets.sum(axis=1).tolist() == [2] * 20


def test_whole_fits_are_measured(monkeypatch, tmp_path):
    monkeypatch.delenv("SKHIMATCH_DATA", raising=False)
    monkeypatch.setattr(accuracy, "CORPORA", {"api-docs": (lambda: CORPUS, {})})
    for module in (fits, speed_tables):
        monkeypatch.setattr(module, "FITS", tmp_path / "results" / "fits.json")
    monkeypatch.setattr(sys, "argv", ["fits", "--quick"])
    fits.main()
    content = json.loads(fits.FITS.read_text())
    assert speed_tables.fits_table(records.read(speed_tables.FITS)) == "not measured yet"
    [row] = content["fits"]
    assert row["epochs"] == 1
    assert row["fit_seconds"] > 0
    assert 0 <= row["validation"]["macro_f1"] <= row["validation"]["micro_f1"] <= 1
    *_, line = speed_tables.fits_table(content).splitlines()
    assert line.startswith("| the defaults | 1 | ")


def test_the_memory_of_a_stream_is_measured(monkeypatch, tmp_path):
    monkeypatch.setattr(stream, "load_api_docs", lambda: CORPUS)
    monkeypatch.setattr(stream, "in_own_process", lambda function, *arguments: function(*arguments))
    for module in (stream, speed_tables):
        monkeypatch.setattr(module, "STREAM", tmp_path / "results" / "stream.json")
    monkeypatch.setattr(sys, "argv", ["stream", "--quick"])
    stream.main()
    content = json.loads(stream.STREAM.read_text())
    assert speed_tables.stream_table(records.read(speed_tables.STREAM)) == "not measured yet"
    [row] = content["streams"]
    # No process with torch takes less.
    assert (row["texts"], row["peak_rss_mb"] > 100) == (5, True)
    assert speed_tables.stream_table(content).splitlines()[-1].startswith("| 5 | ")


def test_one_text_is_measured_against_the_encoder_alone(monkeypatch, tmp_path):
    pytest.importorskip("transformers", reason="transformers comes with the extra 'transformers'")
    encoder = write_tiny_bert(tmp_path / "bert")
    monkeypatch.setattr(one_text, "load_corpus", lambda name: CORPUS)
    monkeypatch.setattr(one_text, "minilm_l6", lambda: encoder)
    for module in (one_text, speed_tables):
        monkeypatch.setattr(module, "ONE_TEXT", tmp_path / "results" / "one_text.json")
    monkeypatch.setattr(sys, "argv", ["one_text", "--quick"])
    one_text.main()
    content = json.loads(one_text.ONE_TEXT.read_text())
    assert speed_tables.one_text_table(records.read(speed_tables.ONE_TEXT)) == "not measured yet"
    [row] = content["rows"]
    assert row["texts"] == 2
    assert min(row["encoder_ms"], row["predict_ms"]) > 0
    *_, line = speed_tables.one_text_table(content).splitlines()
    assert line.startswith(f"| {CORPUS.name} | ")


def test_results_of_speed_are_none_of_accuracy(monkeypatch, tmp_path):
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    monkeypatch.setattr(speed_tables, "SPEED", tmp_path / "speed.json")
    assert speed_tables.speed_table(records.read(speed_tables.SPEED)) == "not measured yet"
    assert speed_tables.growth_table(records.read(speed_tables.SPEED)) == "not measured yet"
    speed_tables.SPEED.write_text(json.dumps({"quick": False}))
    assert records.read(speed_tables.SPEED) == {"quick": False}
    assert tables.read_results() == []


class TestServing:
    @pytest.fixture
    def loads(self, tmp_path):
        for package in ("fastapi", "uvicorn"):
            pytest.importorskip(package, reason=f"{package} comes with the extra 'serve'")
        texts, label_sets = CORPUS.part("train")
        classifier = serving.HiMatchClassifier(CORPUS.hierarchy, max_epochs=1, lexical=None)
        classifier.fit(texts, label_sets).save(tmp_path / "model")
        return serving.measure(tmp_path / "model", serving.QUICK, texts)

    def test_a_quick_run_measures_everything(self, loads):
        assert [(load["clients"], load["texts"], load["requests"]) for load in loads] == [
            (1, 1, 2),
            (2, 3, 4),
        ]
        for load in loads:
            assert 0 < load["latency_ms_p50"] <= load["latency_ms_p99"]
            assert load["texts_per_second"] > 0
        table = speed_tables.serving_table({"dataset": "toy", "labels": 5, "threads": 1, "loads": loads})
        assert "| 1 client, 1 text a request |" in table
        assert "| 2 clients, 3 texts a request |" in table
        assert {line.count("|") for line in table.splitlines()} == {5}

    def test_quick_figures_are_not_quoted(self, monkeypatch, tmp_path):
        monkeypatch.setattr(speed_tables, "SERVING", tmp_path / "serving.json")
        assert speed_tables.serving_table(records.read(speed_tables.SERVING)) == "not measured yet"
        speed_tables.SERVING.write_text(json.dumps({"quick": True}))
        assert records.read(speed_tables.SERVING) is None


class TestWorkers:
    @pytest.fixture
    def workers(self):
        for package in ("distributed", "accelerate"):
            pytest.importorskip(package, reason="the extra 'test-engines' contains it")
        from benchmarks import workers

        return workers

    def test_a_quick_run_measures_everything(self, workers, monkeypatch, tmp_path):
        classifier = HiMatchClassifier(CORPUS.hierarchy, lexical=None, **SMALL)
        classifier.fit(*CORPUS.part("train")).save(tmp_path / "model")
        started = []

        def run_here(commands):
            """Predict in this process: a new one takes seconds to import torch."""
            started.append(0)
            for _, module, package, *arguments in commands:
                assert (module, package) == ("-m", "skhimatch")
                assert main(arguments) == 0
                started[-1] += 1

        monkeypatch.setattr(workers, "run", run_here)
        # tests/test_engines.py starts processes of Dask. Here threads do.
        cluster = workers.LocalCluster
        monkeypatch.setattr(
            workers, "LocalCluster", lambda **settings: cluster(**settings | {"processes": False})
        )
        measured = workers.measure(CORPUS, tmp_path / "model", workers.QUICK)
        assert started == [1, 2]
        assert [(row["work"], row["size"], row["workers"]) for row in measured] == [
            ("search", 4, 1),
            ("search", 4, 2),
            ("prediction", 10, 1),
            ("prediction", 10, 2),
        ]
        for row in measured:
            assert len(row["seconds"]) == 1
            assert row["median_seconds"] == row["seconds"][0] > 0
        # Quick runs train nothing.
        trained = [
            {"work": f"training, {network}", "size": 256, "workers": n, "median_seconds": 9.0 / n}
            for network in ("words", "MiniLM")
            for n in (1, 2)
        ]
        content = {"dataset": "toy", "labels": 5, "cores": 2, "workers": measured}
        lines = speed_tables.workers_table(content).splitlines()
        content["workers"] = measured + trained
        assert speed_tables.workers_table(content).splitlines() == [
            *lines,
            "| training, words, 256 texts | 9.0 s | 4.5 s |",
            "| training, MiniLM, 256 texts | 9.0 s | 4.5 s |",
        ]
        assert [line.split(" | ")[0] for line in lines[2:]] == ["| search, 4 fits", "| prediction, 10 texts"]
        assert {line.count("|") for line in lines} == {4}

    def test_the_processes_of_a_training_write_the_seconds_of_epochs(self, workers, monkeypatch, tmp_path):
        ran = []

        def run_here(commands):
            """Call `train` in place of each command."""
            for command in commands:
                ran.append(command)
                name, network, n_texts, repeats, output = command[-5:]
                assert name == "--train"
                workers.train(CORPUS, network, int(n_texts), int(repeats), Path(output))

        monkeypatch.setattr(workers, "run", run_here)
        sizes = replace(workers.QUICK, trained={"words": 24}, repeats=2)
        for n_workers in (1, 2):
            seconds = workers.training_seconds("words", sizes, n_workers)
            assert len(seconds) == 2
            assert min(seconds) > 0
        assert ran[0][1:3] == ["-m", "benchmarks.workers"]
        launcher = "-m torch.distributed.run --standalone --nproc_per_node 2 -m benchmarks.workers"
        assert " ".join(ran[1][1:8]) == launcher

    def test_commands_run_at_the_same_time(self, workers, tmp_path):
        # Each waits for the file of the other one.
        code = "import os, sys; open(sys.argv[1], 'w').close()\nwhile not os.path.exists(sys.argv[2]): pass"
        files = [str(tmp_path / name) for name in "ab"]
        workers.run([sys.executable, "-c", code, *order] for order in (files, files[::-1]))

    def test_a_command_that_fails_is_an_error(self, workers):
        with pytest.raises(AssertionError, match=r"the statuses \[0, 3\]"):
            workers.run([[sys.executable, "-c", f"raise SystemExit({status})"] for status in (0, 3)])

    def test_quick_figures_are_not_quoted(self, monkeypatch, tmp_path):
        monkeypatch.setattr(speed_tables, "WORKERS", tmp_path / "workers.json")
        assert speed_tables.workers_table(records.read(speed_tables.WORKERS)) == "not measured yet"
        speed_tables.WORKERS.write_text(json.dumps({"quick": True}))
        assert records.read(speed_tables.WORKERS) is None


def test_peers_are_measured_and_drawn():
    found = peers.measure("api-docs@100", "linear")
    assert 0 < found["macro_f1"] < found["micro_f1"] < 1
    assert min(found["fit_seconds"], found["one_text_ms"], found["size_mb"]) > 0
    content = {"dataset": "api-docs", "threads": 1, "peers": {"linear": found, "himatch": found}}
    figure = peers.draw(content)
    assert [axes.get_ylabel() for axes in figure.axes] == ["micro-F1", "macro-F1"]


def test_features_of_peers_are_pairs():
    features = sp.csr_array([[0, 0.5, 0], [0, 0, 0], [1, 0, 2]])
    assert peers._pairs(features) == [[(1, 0.5)], [], [(0, 1.0), (2, 2.0)]]


def test_a_large_fit_is_measured():
    found = large.measure(60, 10)
    assert (found["texts"], found["labels"]) == (60, 10)
    assert found["peak_rss_mb"] >= found["rss_of_texts_mb"] > 0
    row = speed_tables.large_table(found | {"threads": 1, "commit": "0" * 12}).splitlines()[-1]
    assert row.startswith("| 60 | 10 |")
