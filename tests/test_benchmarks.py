"""The harness writes the one shape of results, resumes, and fills the pages' tables."""

import json
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from benchmark_corpus import CORPUS, EDGES, LABELS, SMALL, TEXTS, Here
from sklearn.preprocessing import normalize

from benchmarks import (
    accuracy,
    linear_by_blocks,
    pictures,
    records,
    sentence_vectors,
    tables,
)
from benchmarks.accuracy import CORPORA
from benchmarks.confidence import N_TEXTS, confidence, made_up_texts
from benchmarks.faithfulness import random_words
from benchmarks.linear_by_blocks import LinearByBlocks
from benchmarks.local_classifiers import LocalClassifiers
from benchmarks.reference import Reference
from benchmarks.sentence_vectors import SentenceVectors, TextVectors
from skhimatch.baseline import FIXED, LinearBaseline
from skhimatch.datasets import Corpus
from skhimatch.evaluation.metrics import micro_macro_f1
from skhimatch.explanation.results import WordEffect
from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.labels.targets import encode_targets
from skhimatch.network.batches import TextDataset
from skhimatch.text.words import WordTokenizer


def test_a_commit_is_dirty_if_code_was_changed_and_not_if_results_were(monkeypatch, tmp_path):
    def git(*arguments):
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        subprocess.run(["git", *identity, *arguments], check=True, capture_output=True)

    monkeypatch.chdir(tmp_path)
    results, code = tmp_path / "benchmarks" / "results" / "a.json", tmp_path / "code.py"
    results.parent.mkdir(parents=True)
    for path in (results, code):
        path.write_text("before\n")
    git("init", "--quiet")
    git("add", "-A")
    git("commit", "--quiet", "-m", "first")
    clean = records.commit()
    assert re.fullmatch("[0-9a-f]{12}", clean)
    results.write_text("a run\n")
    assert records.commit() == clean
    code.write_text("a change\n")
    assert records.commit() == f"{clean}-dirty"


def test_results_outside_of_a_repository_name_no_commit(monkeypatch, tmp_path):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.chdir(tmp_path)
    assert records.commit() == "unknown"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert records.commit() == "unknown"


@pytest.fixture
def toy(monkeypatch, tmp_path):
    """One corpus, small models, one process."""
    monkeypatch.setattr(accuracy, "CORPORA", {"toy": (lambda: CORPUS, {})})
    monkeypatch.setattr(
        accuracy, "MODELS", accuracy.MODELS | {"himatch": (accuracy.fit_himatch, True, SMALL)}
    )
    monkeypatch.setattr(accuracy, "ProcessPoolExecutor", Here)
    # Those of the embedded corpus take seconds to collect.
    monkeypatch.setattr(accuracy, "texts_of_another_corpus", lambda dataset: ["pebble lantern"])
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


def test_runs_of_other_code_are_repeated(toy, monkeypatch, tmp_path):
    measure(monkeypatch, "--model", "tfidf-svm", "--seeds", "0", "1")
    monkeypatch.setattr(records, "code_digest", lambda: "another")
    measure(monkeypatch, "--model", "tfidf-svm", "--seeds", "1")
    [run] = json.loads((toy / "toy-tfidf-svm.json").read_text())["runs"]
    assert (run["seed"], run["code"]) == (1, "another")


def test_the_digest_is_that_of_the_modules(tmp_path):
    (tmp_path / "scores").mkdir()
    (tmp_path / "a.py").write_text("a = 1\n")
    (tmp_path / "scores" / "b.py").write_text("b = 2\n")
    first = records.code_digest(tmp_path)
    (tmp_path / "notes.txt").write_text("not a module")
    assert records.code_digest(tmp_path) == first
    (tmp_path / "scores" / "b.py").write_text("b = 3\n")
    changed = records.code_digest(tmp_path)
    (tmp_path / "scores" / "b.py").rename(tmp_path / "b.py")
    assert len({first, changed, records.code_digest(tmp_path)}) == 3


def test_each_metric_has_a_decision_of_its_own(toy, monkeypatch):
    # Labels of the validation part differ from those of the other parts, so that decisions differ too.
    label_sets = [*LABELS[:24], *LABELS[1:7], *LABELS[30:]]
    corpus = replace(CORPUS, label_sets=label_sets)
    monkeypatch.setattr(accuracy, "CORPORA", {"toy": (lambda: corpus, {})})
    measure(monkeypatch, "--model", "linear", "--seeds", "0")
    [run] = json.loads((toy / "toy-linear.json").read_text())["runs"]
    for key in ("test_by_metric", "val_by_metric"):
        assert list(run[key]) == ["micro_macro", "micro", "macro"]
    fit, _, settings = accuracy.MODELS["linear"]
    fitted = fit(corpus, 0, settings)
    for part, key in (("test", "test_by_metric"), ("validation", "val_by_metric")):
        # The main figures are those of the default decision.
        f1 = micro_macro_f1(
            encode_targets(corpus.part(part)[1], corpus.hierarchy), fitted.predict(corpus.part(part)[0])
        )
        main = run["test" if part == "test" else "val"]
        assert (main["micro_f1"], main["macro_f1"]) == f1
        fitted.set_params(optimize="macro").tune(*corpus.part("validation"))
        f1 = micro_macro_f1(
            encode_targets(corpus.part(part)[1], corpus.hierarchy), fitted.predict(corpus.part(part)[0])
        )
        assert run[key]["macro"] == {"micro_f1": f1.micro, "macro_f1": f1.macro}
        fitted.set_params(optimize="micro_macro").tune(*corpus.part("validation"))
    assert "choices" in run


def test_the_metric_is_set_before_the_decision_is_tuned():
    tuned = []

    class Fitted:
        def set_params(self, *, optimize):
            self.optimize = optimize
            return self

        def tune(self, X, y):
            tuned.append((self.optimize, CORPUS.part("validation")[0] == X))
            self.tuned_for = self.optimize

        def predict(self, X):
            # Everything for micro-F1, nothing for macro-F1, else what is right.
            right = encode_targets(LABELS[:3] * (len(X) // 3), CORPUS.hierarchy).toarray()
            return (
                right if self.tuned_for == "micro_macro" else np.full_like(right, self.tuned_for == "micro")
            )

    found = accuracy.scores_by_metric(Fitted(), CORPUS)
    assert tuned == [("micro_macro", True), ("micro", True), ("macro", True)]
    for key in ("test_by_metric", "val_by_metric"):
        assert [found[key][metric]["micro_f1"] for metric in ("micro_macro", "micro", "macro")] == [
            1,
            pytest.approx(4 / 7),
            0,
        ]


def test_models_of_constants_have_one_decision_and_nothing_chosen(toy, monkeypatch):
    for model, decoding in (("tfidf-svm", "threshold"), ("tfidf-svm-path", "path")):
        measure(monkeypatch, "--model", model, "--seeds", "0")
        content = json.loads((toy / f"toy-{model}.json").read_text())
        # These settings are in the files that were made before there was a choice.
        assert content["settings"] == {"decoding": decoding}
        assert not {"choices", "test_by_metric", "val_by_metric"} & set(content["runs"][0])
        fitted = accuracy.fit_tfidf_svm(CORPUS, 0, content["settings"])
        chosen = vars(fitted.choices_)
        assert {name: chosen[name] for name in FIXED} == FIXED
        assert chosen["decoding"] == decoding


def test_many_labels_have_one_decision(monkeypatch):
    fitted = accuracy.fit_linear(CORPUS, 0, {})
    assert accuracy.scores_by_metric(object(), CORPUS) == {}
    monkeypatch.setattr(accuracy, "MAX_LABELS_BY_METRIC", 4)
    assert accuracy.scores_by_metric(fitted, CORPUS) == {}


class TestResampled:
    def test_texts_are_drawn_by_the_seed(self):
        drawn = accuracy.resampled(CORPUS, 8, 3)
        draws = np.random.RandomState(3)
        np.testing.assert_array_equal(drawn.splits["train"], draws.permutation(24)[:8])
        np.testing.assert_array_equal(drawn.splits["validation"], 24 + draws.permutation(6)[:2])
        assert drawn.part("test") == CORPUS.part("test")
        assert drawn.name != accuracy.resampled(CORPUS, 8, 4).name
        assert set(drawn.splits["train"]) != set(accuracy.resampled(CORPUS, 8, 4).splits["train"])

    def test_there_are_no_more_texts_than_in_the_corpus(self):
        whole = accuracy.resampled(
            replace(CORPUS, splits=CORPUS.splits | {"validation": np.array([24, 25])}), 24, 0
        )
        assert sorted(whole.splits["train"]) == list(range(24))
        assert len(set(whole.splits["validation"])) == 2
        assert len(accuracy.resampled(CORPUS, 1, 0).splits["validation"]) == 1
        for number in (0, 25):
            with pytest.raises(SystemExit, match=f"toy has 24 training texts; {number} cannot be drawn"):
                accuracy.resampled(CORPUS, number, 0)

    @pytest.mark.parametrize(
        ("dataset", "expected"),
        [
            ("aapd@300", ("aapd", 300)),
            ("aapd", ("aapd", None)),
            ("wos-4@20", ("wos-4", 20)),
            ("folder@home/x", ("folder@home/x", None)),
            ("@300", ("", 300)),
        ],
    )
    def test_the_name_has_the_number(self, dataset, expected):
        assert accuracy.split_name(dataset) == expected

    def test_each_seed_measures_other_texts(self, toy, monkeypatch):
        fitted_on = []

        def fit(corpus, seed, settings):
            fitted_on.append(sorted(corpus.splits["train"]))
            return accuracy.fit_tfidf_svm(corpus, seed, settings)

        monkeypatch.setattr(accuracy, "MODELS", {"linear": (fit, True, {})})
        monkeypatch.setattr(accuracy, "CORPORA", {"toy": (lambda: CORPUS, {"stop_words": None})})
        measure_on = ["accuracy", "--dataset", "toy@12", "--model", "linear", "--seeds", "0", "1"]
        monkeypatch.setattr(sys, "argv", measure_on)
        accuracy.main()
        content = json.loads((toy / "toy@12-linear.json").read_text())
        assert (content["dataset"], content["seeds"]) == ("toy@12", [0, 1])
        assert content["settings"] == {"stop_words": None}
        assert [run["training_texts"] for run in content["runs"]] == [12, 12]
        assert fitted_on[0] != fitted_on[1]


class TestSentenceVectors:
    def test_vectors_are_means_of_states_of_length_one(self, tiny_bert):
        import torch
        from transformers import AutoModel, AutoTokenizer

        texts = ["a quark", "the cell divides in the membranes .", ""]
        vectors = TextVectors(tiny_bert)([*texts, texts[0]])
        tokenizer, model = (
            AutoTokenizer.from_pretrained(tiny_bert),
            AutoModel.from_pretrained(tiny_bert).eval(),
        )
        with torch.inference_mode():
            means = [
                model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(0).numpy()
                for text in [*texts, texts[0]]
            ]
        np.testing.assert_allclose(vectors, normalize(np.stack(means)), atol=1e-5)

    @pytest.mark.parametrize("stored", [False, True])
    def test_each_text_is_encoded_once(self, tiny_bert, monkeypatch, tmp_path, stored):
        encoded = []

        def encode(network, texts, of=sentence_vectors.encode):
            encoded.append(len(texts))
            return of(network, texts)

        monkeypatch.setattr(sentence_vectors, "encode", encode)
        store = tmp_path / "vectors" if stored else None
        vectors = TextVectors(tiny_bert, store)
        first = vectors(TEXTS)
        np.testing.assert_array_equal(vectors(TEXTS[:2]), first[:2])
        assert sum(encoded) == 3
        vectors([*TEXTS[:2], "a volley"])
        assert sum(encoded) == 4
        # Another process finds what is on the disk.
        np.testing.assert_allclose(TextVectors(tiny_bert, store)(TEXTS), first, atol=1e-6)
        assert sum(encoded) == (4 if stored else 7)

    def test_the_strength_and_the_decision_are_chosen_on_validation_texts(self, tiny_bert, monkeypatch):
        train, validation = CORPUS.part("train"), CORPUS.part("validation")
        fitted = SentenceVectors(CORPUS.hierarchy, tiny_bert).fit(*train, *validation)
        f1 = micro_macro_f1(encode_targets(validation[1], CORPUS.hierarchy), fitted.predict(validation[0]))
        assert fitted.decision_.score == sum(f1) == 2
        alone = {}
        for C in (1.0, 10.0, 100.0):
            monkeypatch.setattr(sentence_vectors, "STRENGTHS", (C,))
            model = SentenceVectors(CORPUS.hierarchy, tiny_bert).fit(*train, *validation)
            alone[C] = model.decision_.score
        assert alone[fitted.C_] == max(alone.values())
        assert min(C for C, score in alone.items() if score == max(alone.values())) == fitted.C_
        coef = fitted.coef_
        fitted.set_params(optimize="macro").tune(*validation)
        assert fitted.coef_ is coef
        assert fitted.decision_.score == 1

    def test_a_label_of_all_texts_or_of_none(self, tiny_bert):
        hierarchy = LabelHierarchy.flat(["all", "none", "quark"])
        label_sets = [{"all", "quark"} if "quark" in text else {"all"} for text in TEXTS[:6]]
        fitted = SentenceVectors(hierarchy, tiny_bert).fit(TEXTS[:6], label_sets, TEXTS[:6], label_sets)
        np.testing.assert_array_equal(fitted.intercept_[:2], [np.inf, -np.inf])
        np.testing.assert_array_equal(fitted.predict(TEXTS[:2]).toarray(), [[1, 0, 1], [1, 0, 0]])

    def test_a_run(self, tiny_bert, toy, monkeypatch, tmp_path):
        monkeypatch.setattr(accuracy, "PRETRAINED", {"all-MiniLM-L6-v2": lambda: tiny_bert})
        monkeypatch.setenv("SKHIMATCH_CHECKPOINTS", str(tmp_path / "checkpoints"))
        measure(monkeypatch, "--model", "sentence-vectors", "--seeds", "0")
        [run] = json.loads((toy / "toy-sentence-vectors.json").read_text())["runs"]
        assert run["test"]["micro_f1"] == run["test_by_metric"]["micro"]["micro_f1"] == 1
        assert run["parameters"] == 5 * 33
        assert list((tmp_path / "checkpoints" / "sentence-vectors").iterdir())


def scored(dataset, model, scores, *, tuned=None, n_texts=None):
    """Return the content of a file: micro-F1 and macro-F1 of each seed, and those tuned for each."""
    runs = []
    for seed, (micro, macro) in scores.items():
        run = {"seed": seed, "code": "abc", "test": {"micro_f1": micro, "macro_f1": macro}}
        if tuned is not None:
            run["test_by_metric"] = {
                "micro": {"micro_f1": tuned[seed][0], "macro_f1": 0.0},
                "macro": {"micro_f1": 0.0, "macro_f1": tuned[seed][1]},
            }
        if n_texts is not None:
            run["training_texts"] = n_texts
        runs.append(run)
    return {"dataset": dataset, "model": model, "runs": runs}


class TestYardsticks:
    results = [  # noqa: RUF012 (never changed)
        scored("toy", "himatch", {0: (0.75, 0.5), 1: (0.5, 0.5)}, n_texts=40),
        scored("toy", "minilm-frozen", {0: (0.5, 0.375)}),
        # The default decision is better for macro-F1, the tuned one for micro-F1.
        scored("toy", "linear", {0: (0.25, 0.25)}, tuned={0: (0.5, 0.125)}),
        scored("toy", "sentence-vectors", {0: (0.375, 0.375)}),
        scored("toy", "tfidf-svm", {0: (1.0, 1.0)}),
        scored("other", "himatch", {0: (0.5, 0.5)}),
    ]
    resampled = [  # noqa: RUF012 (never changed)
        scored("toy@8", "himatch", {0: (0.5, 0.5), 1: (0.25, 0.5), 2: (0, 0)}),
        scored(
            "toy@8", "linear", {0: (0.25, 0.25), 1: (0.25, 0.625)}, tuned={0: (0.5, 0.125), 1: (0.125, 0)}
        ),
        scored("toy@20", "himatch", {0: (0.5, 0.5)}),
    ]

    def test_the_better_one_is_found_for_each_score(self):
        assert tables.yardstick_table(self.results).splitlines()[2:] == [
            "| toy | `himatch` | 0.625 ± 0.125 | 0.500 (`linear`) | +12.5 "
            "| 0.500 ± 0.000 | 0.375 (`sentence-vectors`) | +12.5 | 2 |",
            "| toy | `minilm-frozen` | 0.500 | 0.500 (`linear`) | +0.0 "
            "| 0.375 | 0.375 (`sentence-vectors`) | +0.0 | 1 |",
        ]

    def test_differences_by_the_number_of_texts_are_taken_seed_by_seed(self):
        head, _, himatch, minilm = tables.resampling_table(self.resampled, self.results).splitlines()
        assert head == "| corpus | model | 8 texts | 20 texts | all texts |"
        # Micro-F1 of linear, tuned: .5 and .125; macro-F1 by default: .25 and .625. None for 20.
        assert himatch == (
            "| toy | `himatch` | +6.2 / +6.2 (worst +0.0 / -12.5) |  | +12.5 / +12.5 (worst +0.0 / +12.5) |"
        )
        assert minilm == "| toy | `minilm-frozen` |  |  | +0.0 / +0.0 (worst +0.0 / +0.0) |"

    def test_nothing_to_compare(self):
        assert tables.yardstick_table(self.results[:2]) == "not measured yet"
        assert tables.resampling_table([], self.results) == "not measured yet"

    def test_a_small_loss_is_no_minus_zero(self):
        results = [scored("toy", "himatch", {0: (0.49999, 0.5)}), scored("toy", "linear", {0: (0.5, 0.52)})]
        assert "| +0.0 |" in tables.yardstick_table(results)
        assert "| -2.0 |" in tables.yardstick_table(results)

    def test_files_are_read_apart(self, monkeypatch, tmp_path):
        monkeypatch.setattr(tables, "RESULTS", tmp_path)
        for content in [*self.results, *self.resampled, scored("toy-4", "himatch", {0: (0, 0)})]:
            path = tmp_path / f"{content['dataset']}-{content['model']}.json"
            path.write_text(json.dumps(content))
        assert {content["dataset"] for content in tables.read_results()} == {"toy", "other"}
        assert {content["dataset"] for content in tables.read_resampled()} == {"toy@8", "toy@20"}
        assert {content["dataset"] for content in tables.read_learning_curve()} == {"toy-4"}

    def test_points_of_the_picture(self, monkeypatch, tmp_path, capsys):
        found = pictures.curves(self.resampled, self.results)
        assert list(found) == ["toy"]
        points = found["toy"]["micro_f1"]
        assert [(point.n_texts, point.mean) for point in points["himatch"]] == [
            (8, 0.25),
            (20, 0.5),
            (40, 0.625),
        ]
        assert points["himatch"][0].deviation == pytest.approx(np.std([0.5, 0.25, 0]))
        assert [(point.n_texts, point.mean) for point in points["linear"]] == [(8, 0.3125), (40, 0.5)]
        assert [point.mean for point in found["toy"]["macro_f1"]["linear"]] == [0.4375, 0.25]
        older = [
            content | {"runs": [run | {"code": "older"} for run in content["runs"]]}
            for content in self.results
        ]
        found_with_older = pictures.curves(self.resampled, older)["toy"]["micro_f1"]
        assert [point.n_texts for point in found_with_older["himatch"]] == [8, 20]
        monkeypatch.setattr(pictures, "read_resampled", lambda: self.resampled)
        monkeypatch.setattr(pictures, "read_results", lambda: self.results)
        pictures.main(tmp_path / "curves.png")
        assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
        panels = pictures.draw(found).axes
        assert [panel.get_ylabel() for panel in panels] == ["micro-F1", "macro-F1"]
        assert {panel.get_xscale() for panel in panels} == {"log"}
        monkeypatch.setattr(pictures, "read_resampled", list)
        with pytest.raises(SystemExit, match="no result of a resampled corpus"):
            pictures.main(tmp_path / "none.png")
        capsys.readouterr()


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
            {"seed": seed, "code": "abc", "test": {"micro_f1": micro, "macro_f1": 0.5}} | more
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
        "| toy | `himatch` | `himatch-no-matching` | +0.125 ± 0.125 | +0.000 ± 0.000 |  |  |  | 2 |",
        "| toy | `minilm` | `minilm-flat` | -0.250 | +0.000 |  |  | +0.000 / +0.000 | 1 |",
    ]


def test_where_labels_lie():
    def content(model, **more):
        runs = [{"seed": seed, "test": {"micro_f1": 0.5, "macro_f1": 0.25}} | more for seed in range(2)]
        mean = {"test": {"micro_f1": 0.5, "macro_f1": 0.25}}
        return {"dataset": "toy", "model": model, "runs": runs, "mean": mean}

    space = {
        "nearest_leaf": {"micro_f1": 0.75, "macro_f1": 0.125},
        "distances": {"fine": 0.5, "ancestors": 0.75, "siblings": 1.0, "others": 1.25},
        "in_order": 0.875,
        "texts": 8,
    }
    found = tables.joint_space_table([content("a"), content("b", joint_space=space)])
    assert found.splitlines()[2:] == [
        "| toy | `b` | 0.500 / 0.250 | 0.750 / 0.125 | 0.50 | 0.75 | 1.00 | 1.25 | 88% | 2 |"
    ]
    assert tables.joint_space_table([content("a")]) == tables.NOT_MEASURED


def test_confidence_is_told_for_each_kind_of_text():
    run = {"confidence": {"own": 0.75, "made_up": 0.25, "another": 0.5}}
    content = {"dataset": "toy", "model": "a", "runs": [run, run]}
    older = {"dataset": "toy", "model": "b", "runs": [{}]}
    table = tables.confidence_table([content, older])
    assert table.splitlines()[2:] == ["| toy | `a` | 0.75 | 0.25 | 0.50 | 2 |"]
    assert tables.confidence_table([older]) == tables.NOT_MEASURED


def test_made_up_words_are_unknown_and_repeatable():
    texts = made_up_texts(5, seed=3)
    assert texts == made_up_texts(5, seed=3) != made_up_texts(5, seed=4)
    assert {len(word) for text in texts for word in text.split()} == {8}
    assert {len(text.split()) for text in texts} == {12}


def test_confidence_is_that_of_the_likeliest_leaf():
    fitted_toy = accuracy.fit_himatch(CORPUS, 0, SMALL)
    own, others = CORPUS.part("test")[0], ["pebble lantern"] * 3
    found = confidence(fitted_toy, own, others)
    leaves = np.diff(fitted_toy.hierarchy_.children.indptr) == 0
    for kind, texts in (("own", own), ("another", others)):
        assert found[kind] == pytest.approx(
            fitted_toy.predict_proba(texts)[:, leaves].max(1).mean(), rel=1e-5
        )
    assert 0 < found["made_up"] < 1


def test_another_corpus_is_another_one():
    assert accuracy.texts_of_another_corpus("api-docs") == made_up_texts(N_TEXTS, seed=1)
    assert accuracy.texts_of_another_corpus("api-docs@100") == made_up_texts(N_TEXTS, seed=1)
    docstrings = list(accuracy.load_api_docs().part("test")[0])
    assert accuracy.texts_of_another_corpus("wos@300") == docstrings


def test_what_matching_adds_to_rare_labels():
    def content(model, rare):
        bands = {"1-9": {"labels": 3, "macro_f1": rare}, "10-49": {"labels": 0, "macro_f1": 0.0}}
        test = {"micro_f1": 0.5, "macro_f1": 0.5, "macro_f1_by_frequency": bands}
        return {"dataset": "toy", "model": model, "runs": [{"seed": 0, "code": "abc", "test": test}]}

    found = tables.matching_table(
        [
            content("minilm-frozen", 0.75),
            content("minilm-frozen-flat", 0.5),
            content("minilm-frozen-unranked", 1),
        ]
    )
    assert found.splitlines()[2:] == [
        "| toy | `minilm-frozen` | `minilm-frozen-flat` | +0.000 | +0.000 | +0.250 |  |  | 1 |",
        "| toy | `minilm-frozen` | `minilm-frozen-unranked` | +0.000 | +0.000 | -0.250 |  |  | 1 |",
    ]


@pytest.mark.parametrize("code", ["def", None])
def test_runs_of_different_code_are_not_compared(code):
    """Neither with each other, nor runs of code that is not known."""
    with_matching = scored("toy", "himatch", {0: (0.5, 0.5)})
    without, linear = (scored("toy", model, {0: (0.25, 0.25)}) for model in ("himatch-no-matching", "linear"))
    assert "+0.250" in tables.matching_table([with_matching, without])
    assert "+25.0" in tables.yardstick_table([with_matching, linear])
    for content in (without, linear):
        content["runs"][0]["code"] = code
    assert tables.matching_table([with_matching, without]) == tables.NOT_MEASURED
    assert tables.yardstick_table([with_matching, linear]) == tables.NOT_MEASURED
    with_matching["runs"][0]["code"] = None
    assert tables.matching_table([with_matching, without]) == tables.NOT_MEASURED


def test_tables_fill_each_pair_of_marks_in_turn():
    one, two = tables.BEGIN.format("one"), tables.BEGIN.format("two")
    page = f"a\n{two}\nold\n{tables.END}\nb\n{one}\n{tables.END}\nc\n"
    parts = {"one": "first\nline", "two": "second", "three": "third"}
    filled = tables.with_parts(page, parts)
    assert filled == f"a\n{two}\nsecond\n{tables.END}\nb\n{one}\nfirst\nline\n{tables.END}\nc\n"
    assert tables.with_parts(filled, parts) == filled
    with pytest.raises(KeyError, match="wants 'two'"):
        tables.with_parts(page, {"one": "first"})


def test_scores_in_prose_have_to_be_in_a_file():
    generated = f"{tables.BEGIN.format('one')}\n.123 / .456\n{tables.END}"
    page = f"Version 1.250, gamma .2, 0.5.\n{generated}\nIt has .831 / .756.\n| 0.9 | 0.7612 |\n"
    assert tables.stray_figures(page) == ["It has .831 / .756.", "| 0.9 | 0.7612 |"]


def test_the_check_tells_what_is_stray_and_what_is_stale(monkeypatch, tmp_path, capsys):
    experiments = tmp_path / "experiments.json"
    experiments.write_text(json.dumps({"one": {"source": "seed 0", "lines": ["It has .831.", "And .7."]}}))
    (tmp_path / "docs").mkdir()
    stale = f"a\n{tables.BEGIN.format('one')}\nold\n{tables.END}\n"
    (tmp_path / "README.md").write_text("Nothing.\n")
    (tmp_path / "docs" / "results.md").write_text(stale + "It has .999.\n")
    for name, value in (("ROOT", tmp_path), ("EXPERIMENTS", experiments)):
        monkeypatch.setattr(tables, name, value)
    monkeypatch.setattr(sys, "argv", ["tables", "--check"])
    assert tables.main() == 1
    told = capsys.readouterr().out
    assert "docs/results.md is out of date" in told
    assert "docs/results.md quotes a score that no file holds" in told
    assert told.rstrip().endswith("It has .999.")
    assert (tmp_path / "docs" / "results.md").read_text().startswith(stale)
    monkeypatch.setattr(sys, "argv", ["tables"])
    assert tables.main() == 1
    page = (tmp_path / "docs" / "results.md").read_text()
    (tmp_path / "docs" / "results.md").write_text(page.replace("It has .999.\n", ""))
    assert "It has .831.\nAnd .7.\n" in page
    monkeypatch.setattr(sys, "argv", ["tables", "--check"])
    capsys.readouterr()
    assert tables.main() == 0
    assert capsys.readouterr().out == ""


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
    assert {"himatch", "paper-himatch", "rcnn-flat", "tfidf-svm", "hiclass"} <= set(accuracy.MODELS)


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


class TestFaithfulness:
    def test_table(self):
        found = {"texts": 500, "share": 0.954, "share_of_all_draws": 0.9}
        found |= {"removed": 6.25, "named": 8.0, "random": 0.5}
        [*_, row] = tables.faithfulness_table({"toy": found}).splitlines()
        assert row == "| toy | 500 | 95.4% | 90.0% | 6.2 | 8.00 | 0.50 |"
        assert tables.faithfulness_table(None) == tables.NOT_MEASURED

    def test_results_say_where_they_come_from(self):
        for dataset, found in records.read(tables.FAITHFULNESS).items():
            assert dataset in CORPORA
            assert {"seed", "words", "draws", "texts", "share", "commit", "code", "versions"} <= set(found)
            assert found["texts"] == 500

    def test_random_words_occur_as_often_as_wanted(self):
        words = [WordEffect(str(number), 0.0, ((0, 1),) * number) for number in (1, 2, 3, 4)]
        draws = np.random.RandomState(0)
        for wanted in (0, 1, 3, 10, 20):
            for _ in range(20):
                drawn = random_words(words, wanted, draws)
                number = [len(word.places) for word in drawn]
                assert len(set(drawn)) == len(drawn)
                assert sum(number) >= min(wanted, 10)
                assert sum(number[:-1]) < max(wanted, 1)
