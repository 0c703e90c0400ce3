"""The harness writes the one shape of results, resumes, and fills the pages' tables."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

from benchmarks import accuracy, linear_by_blocks, speed, tables
from benchmarks.linear_by_blocks import LinearByBlocks
from benchmarks.local_classifiers import LocalClassifiers
from benchmarks.reference import Reference
from skhimatch.baseline import FIXED, LinearBaseline
from skhimatch.datasets import Corpus
from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.labels.targets import encode_targets
from skhimatch.network.batches import TextDataset
from skhimatch.text.words import WordTokenizer

TEXTS = ["a quark and a gluon", "the cell divides", "a serve and a volley"] * 12
LABELS = [
    frozenset(labels) for labels in (("science", "physics"), ("science", "biology"), ("sport", "tennis"))
] * 12
EDGES = [("science", "physics"), ("science", "biology"), ("sport", "tennis")]
CORPUS = Corpus(
    "toy",
    TEXTS,
    LABELS,
    LabelHierarchy(EDGES),
    {"train": np.arange(24), "validation": np.arange(24, 30), "test": np.arange(30, 36)},
)
SMALL = {"max_epochs": 1, "net_params": {"module__node_dimension": 4, "module__embedding_dimension": 8}}


class Here:
    """This process, instead of one a run."""

    def __init__(self, *args, **kwargs): ...

    def __enter__(self):
        return self

    def __exit__(self, *args): ...

    def submit(self, function, *args):
        outcome = function(*args)
        return type("Done", (), {"result": lambda self: outcome})()


def test_results_outside_of_a_repository_name_no_commit(monkeypatch, tmp_path):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.chdir(tmp_path)
    assert accuracy.commit() == "unknown"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert accuracy.commit() == "unknown"


@pytest.fixture
def toy(monkeypatch, tmp_path):
    """One corpus, small models, one process."""
    monkeypatch.setattr(accuracy, "CORPORA", {"toy": (lambda: CORPUS, {})})
    monkeypatch.setattr(
        accuracy, "MODELS", accuracy.MODELS | {"himatch": (accuracy.fit_himatch, True, SMALL)}
    )
    monkeypatch.setattr(accuracy, "ProcessPoolExecutor", Here)
    monkeypatch.setattr(accuracy, "RESULTS", tmp_path / "results")
    return tmp_path / "results"


def measure(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["accuracy", "--dataset", "toy", *arguments])
    accuracy.main()


@pytest.mark.parametrize("model", ["himatch", "linear", "tfidf-svm", "tfidf-svm-path", "hiclass"])
def test_a_run_is_written_and_not_repeated(toy, monkeypatch, capsys, model):
    if model == "hiclass":
        pytest.importorskip("hiclass", reason="hiclass comes with the extra 'benchmark'")
    measure(monkeypatch, "--model", model, "--seeds", "3")
    content = json.loads((toy / f"toy-{model}.json").read_text())
    assert content["seeds"] == [3]
    [run] = content["runs"]
    assert [level["level"] for level in run["test"]["levels"]] == [1, 2]
    assert content["mean"]["test"]["micro_f1"] == run["test"]["micro_f1"]
    assert content["std"]["test"]["micro_f1"] == 0
    assert run["parameters"] > 0
    assert run["test"]["macro_f1_by_frequency"]["1-9"]["labels"] == 4
    assert run["test"]["macro_f1_by_frequency"]["10-49"]["labels"] == 1
    if model != "himatch":
        assert run["test"]["micro_f1"] == 1
    capsys.readouterr()
    measure(monkeypatch, "--model", model, "--seeds", "3", "4")
    assert "seed 3" not in capsys.readouterr().out
    assert json.loads((toy / f"toy-{model}.json").read_text())["seeds"] == [3, 4]


def test_other_settings_start_afresh(toy, monkeypatch):
    measure(monkeypatch, "--model", "tfidf-svm", "--seeds", "0")
    kind, vectors, settings = accuracy.MODELS["tfidf-svm"]
    monkeypatch.setattr(accuracy, "MODELS", {"tfidf-svm": (kind, vectors, settings | {"C": 2.0})})
    measure(monkeypatch, "--model", "tfidf-svm", "--seeds", "1")
    assert json.loads((toy / "toy-tfidf-svm.json").read_text())["seeds"] == [1]


def test_a_learning_curve_stands_beside_all_texts():
    def content(dataset, model, micro):
        return {"dataset": dataset, "model": model, "mean": {"test": {"micro_f1": micro, "macro_f1": 0.25}}}

    points = [content("toy-16", "a", 0.5), content("toy-4", "a", 0.375), content("toy-4", "b", 0.125)]
    table = tables.learning_curve_table(points, [content("toy", "a", 0.75), content("other", "b", 1)])
    assert table.splitlines()[0] == "| corpus | model | 4 a leaf | 16 a leaf | all texts |"
    assert table.splitlines()[2:] == [
        "| toy | `a` | 0.375 / 0.250 | 0.500 / 0.250 | 0.750 / 0.250 |",
        "| toy | `b` | 0.125 / 0.250 |  |  |",
    ]


def test_what_matching_adds_is_told_seed_by_seed():
    def content(model, scores, **more):
        runs = [
            {"seed": seed, "test": {"micro_f1": micro, "macro_f1": 0.5}} | more
            for seed, micro in enumerate(scores)
        ]
        return {"dataset": "toy", "model": model, "runs": runs}

    alone = {"val_of_network": {"micro_f1": 0.25, "macro_f1": 0.125}}
    found = tables.matching_table(
        [
            content("himatch", [0.75, 0.5]),
            content("himatch-no-matching", [0.5, 0.5]),
            content("minilm", [0.5], **alone),
            content("minilm-flat", [0.75], **alone),
            content("tfidf-svm", [0.5]),
        ]
    )
    assert found.splitlines()[2:] == [
        "| toy | `himatch` | `himatch-no-matching` | +0.125 ± 0.125 | +0.000 ± 0.000 |  | 2 |",
        "| toy | `minilm` | `minilm-flat` | -0.250 ± 0.000 | +0.000 ± 0.000 "
        "| +0.000 ± 0.000 / +0.000 ± 0.000 | 1 |",
    ]


def test_tables_fill_each_pair_of_marks_in_turn():
    page = f"a\n{tables.BEGIN}\nold\n{tables.END}\nb\n{tables.BEGIN}\n{tables.END}\nc\n"
    filled = tables.with_tables(page, ["first", "second"])
    assert filled == f"a\n{tables.BEGIN}\nfirst\n{tables.END}\nb\n{tables.BEGIN}\nsecond\n{tables.END}\nc\n"
    assert tables.with_tables(filled, ["first", "second"]) == filled


def test_models_are_a_way_to_fit_and_settings_that_a_file_can_hold():
    known = {
        accuracy.fit_himatch,
        accuracy.fit_linear,
        accuracy.fit_tfidf_svm,
        accuracy.fit_sentence_vectors,
        accuracy.fit_linear_by_blocks,
        accuracy.fit_hiclass,
    }
    for fit, takes_vectors, settings in accuracy.MODELS.values():
        assert fit in known
        assert not takes_vectors or fit is accuracy.fit_himatch
        assert json.loads(json.dumps(settings)) == settings
    assert {"himatch", "himatch-paper", "rcnn-flat", "tfidf-svm", "hiclass"} <= set(accuracy.MODELS)


def test_a_corpus_with_fewer_training_texts():
    fewer = accuracy.with_fewer_training_texts(CORPUS, 10, "toy-10")
    assert fewer.name == "toy-10"
    np.testing.assert_array_equal(fewer.splits["train"], np.random.RandomState(0).permutation(24)[:10])
    for part in ("validation", "test"):
        assert fewer.part(part) == CORPUS.part(part)


def test_a_corpus_of_few_texts_a_leaf():
    few = accuracy.with_few_texts_of_a_leaf(CORPUS, 2, "toy-2")
    assert few.name == "toy-2"
    for part in ("train", "validation"):
        assert set(few.splits[part]) <= set(CORPUS.splits[part])
        assert sorted(map(sorted, few.part(part)[1])) == sorted(map(sorted, LABELS[:3] * 2))
    assert few.part("test") == CORPUS.part("test")


def test_bands_hold_the_labels_that_are_tested():
    hierarchy = LabelHierarchy([], ["frequent", "rare", "unseen", "untested"])
    label_sets = [{"frequent", "rare"}, *[{"frequent"}] * 59, {"untested"}, {"frequent", "unseen"}, {"rare"}]
    splits = {"train": np.arange(61), "test": np.arange(61, 63)}
    corpus = Corpus("bands", ["text"] * 63, [frozenset(labels) for labels in label_sets], hierarchy, splits)
    scores = accuracy.score([[1, 0, 0, 0], [1, 1, 0, 1]], corpus, "test")
    assert scores["macro_f1_by_frequency"] == {
        "1-9": {"labels": 1, "macro_f1": 1.0},
        "10-49": {"labels": 0, "macro_f1": None},
        "50-": {"labels": 1, "macro_f1": pytest.approx(2 / 3)},
    }


def test_frequencies_of_older_files_are_left_out():
    bands = {"1-9": {"labels": 1234, "macro_f1": 0.5}, "10-49": {"labels": 0, "macro_f1": None}}
    bands["50-"] = {"labels": 2, "macro_f1": 0.75}
    again = bands | {"50-": {"labels": 2, "macro_f1": 0.25}}
    new = {"dataset": "toy", "model": "new"}
    new["runs"] = [{"test": {"macro_f1_by_frequency": score}} for score in (bands, again)]
    old = {"dataset": "toy", "model": "old", "runs": [{"test": {}}]}
    assert tables.frequency_table([old, new]).splitlines() == [
        "| corpus | model | 1-9 texts | 10-49 texts | 50- texts |",
        "|---|---|---|---|---|",
        "| toy | `new` | 0.500 (1,234 labels) |  | 0.500 (2 labels) |",
    ]


class TestReference:
    def test_it_learns_and_gives_probabilities(self):
        texts, label_sets = CORPUS.part("train")
        sequences = WordTokenizer().fit_transform(texts)
        targets = encode_targets(label_sets, CORPUS.hierarchy)
        reference = Reference(CORPUS.hierarchy, len(sequences.vocabulary), targets)
        batch = TextDataset(sequences, targets).batch(np.arange(8))
        losses = [reference.training_step(batch) for _ in range(8)]
        assert np.isfinite(losses).all()
        assert losses[-1] < losses[0]
        probabilities = reference.predict_proba(sequences)
        assert probabilities.shape == (24, 5)
        assert ((probabilities > 0) & (probabilities < 1)).all()
        np.testing.assert_array_equal(reference.predict(sequences), probabilities >= 0.5)

    def test_what_a_target_has_to_beat(self):
        hierarchy = CORPUS.hierarchy
        biology, physics, science, sport, tennis = range(5)
        reference = Reference(hierarchy, 2, [[0, 1, 1, 0, 0]])
        drawn = reference.negatives({physics, science})
        assert drawn[:2] == [(physics, science, pytest.approx(0.002)), (physics, biology, 0.1)]
        [(positive, negative, margin)] = drawn[2:]
        assert (positive, margin) == (physics, 0.2)
        assert negative in (sport, tennis)


class TestSpeed:
    @pytest.fixture
    def content(self, monkeypatch, tmp_path):
        monkeypatch.delenv("SKHIMATCH_DATA", raising=False)
        monkeypatch.setattr(accuracy, "CORPORA", {"api-docs": (lambda: CORPUS, {})})
        monkeypatch.setattr(speed, "ProcessPoolExecutor", Here)
        for module in (speed, tables):
            monkeypatch.setattr(module, "SPEED", tmp_path / "results" / "speed.json")
        monkeypatch.setattr(sys, "argv", ["speed", "--quick"])
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
            "texts": ["50", "100"],
        }
        for numbers in content["growth"].values():
            assert all(value > 0 for taken in numbers.values() for value in taken.values())
        assert tables.read_speed() is None
        for table in (tables.speed_table, tables.growth_table):
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


def test_results_of_speed_are_none_of_accuracy(monkeypatch, tmp_path):
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    monkeypatch.setattr(tables, "SPEED", tmp_path / "speed.json")
    assert tables.speed_table(tables.read_speed()) == "not measured yet"
    assert tables.growth_table(tables.read_speed()) == "not measured yet"
    tables.SPEED.write_text(json.dumps({"quick": False}))
    assert tables.read_speed() == {"quick": False}
    assert tables.read_results() == []


class TestManyLabels:
    """Rankings are scored where labels are many, and the linear baseline does without its weights."""

    @pytest.fixture
    def many(self, toy, monkeypatch, tmp_path):
        hierarchy = LabelHierarchy([*EDGES, *(("more", f"label {number}") for number in range(250))])
        corpus = replace(CORPUS, hierarchy=hierarchy)
        monkeypatch.setattr(accuracy, "CORPORA", {"toy": (lambda: corpus, {})})
        monkeypatch.setenv("SKHIMATCH_CHECKPOINTS", str(tmp_path / "checkpoints"))
        return toy

    @pytest.mark.parametrize("model", ["himatch", "tfidf-svm-by-blocks"])
    def test_rankings(self, many, monkeypatch, capsys, model):
        measure(monkeypatch, "--model", model, "--seeds", "0")
        [run] = json.loads((many / f"toy-{model}.json").read_text())["runs"]
        for part in ("test", "val"):
            assert run[part]["frequent"]["texts"] == run[part]["zero"]["texts"] == 0
            assert (run[part]["few"]["labels"], run[part]["zero"]["labels"]) == (5, 251)
            assert run[part]["few"]["recall_at_5"] == 1
            assert run[part]["overall"]["texts"] == 6
        capsys.readouterr()

    def test_by_blocks_is_as_at_once_and_goes_on_where_it_was_cut_off(self, tmp_path, monkeypatch, capsys):
        monkeypatch.setattr(linear_by_blocks, "LABELS_AT_ONCE", 2)
        train, test = CORPUS.part("train"), CORPUS.part("test")
        at_once = LinearBaseline(CORPUS.hierarchy, decoding="threshold", **FIXED)
        at_once.fit(*train, X_val=test[0], y_val=test[1])
        by_blocks = LinearByBlocks(CORPUS.hierarchy, tmp_path).fit(*train, {"test": test[0]})
        np.testing.assert_allclose(by_blocks.margins_["test"], at_once.decision_function(test[0]), atol=1e-5)
        assert by_blocks.tuned("test", test[1]).decision_.threshold == at_once.decision_.threshold
        assert by_blocks.n_parameters_ == at_once.coef_.size + at_once.intercept_.size
        (tmp_path / "000002.npz").unlink()
        trained = []
        margins = linear_by_blocks._margins
        monkeypatch.setattr(linear_by_blocks, "_margins", lambda *args: trained.append(1) or margins(*args))
        again = LinearByBlocks(CORPUS.hierarchy, tmp_path).fit(*train, {"test": test[0]})
        assert len(trained) == 1
        np.testing.assert_array_equal(again.margins_["test"], by_blocks.margins_["test"])
        capsys.readouterr()

    def test_table(self, many, monkeypatch, capsys):
        measure(monkeypatch, "--model", "himatch", "--seeds", "0", "1")
        content = json.loads((many / "toy-himatch.json").read_text())
        for run in content["runs"]:
            # A group without texts has no score.
            assert "recall_at_5" not in run["test"]["zero"]
            run["test"]["frequent"] = {"recall_at_5": 0.5, "ndcg_at_5": 0.25}
        published = [{"dataset": "toy", "model": "X", "source": "Y", "test": {"few": {"ndcg_at_5": 0.125}}}]
        _, _, theirs, ours = tables.ranking_table([content], published).splitlines()
        assert theirs.startswith("| toy | X (Y) |  | – / 0.125 |  |  |")
        assert "| 0.500 ± 0.000 / 0.250 ± 0.000 | 1.000 ± 0.000 /" in ours
        assert "1.000 ± 0.000 |  | 1.000" in ours
        capsys.readouterr()


class TestLocalClassifiers:
    @pytest.fixture(autouse=True)
    def hiclass(self):
        pytest.importorskip("hiclass", reason="hiclass comes with the extra 'benchmark'")

    def test_only_labels_of_training_texts_are_predicted(self):
        leaves = [labels - {"science", "sport"} for labels in LABELS]
        fitted = LocalClassifiers(CORPUS.hierarchy).fit(TEXTS, leaves)
        predicted = fitted.predict(["a quark", "a volley"])
        assert predicted.toarray().tolist() == [[0, 1, 0, 0, 0], [0, 0, 0, 0, 1]]

    @pytest.mark.parametrize("labels", [frozenset(), frozenset({"physics", "tennis"})])
    def test_single_paths_only(self, labels):
        with pytest.raises(ValueError, match="hiclass predicts one path through a tree"):
            LocalClassifiers(CORPUS.hierarchy).fit(TEXTS, [labels, *LABELS[1:]])

    def test_trees_only(self):
        hierarchy = LabelHierarchy([("a", "c"), ("b", "c")])
        with pytest.raises(ValueError, match="some label has several parents"):
            LocalClassifiers(hierarchy).fit(TEXTS[:2], [{"a"}, {"b"}])


def test_texts_in_and_out_of_scope():
    expected = sp.csr_array([[1, 0], [1, 1], [0, 0], [0, 0], [0, 0]])
    predicted = sp.csr_array([[1, 0], [1, 0], [0, 0], [0, 1], [0, 0]])
    assert accuracy.score_scope(predicted, expected) == {
        "in_scope_accuracy": 0.5,
        "out_of_scope_recall": pytest.approx(2 / 3),
    }
    assert accuracy.score_scope(predicted[:2], expected[:2]) == {}
