"""Dask, Spark and Optuna, on this machine with two workers, give what one process gives."""

import importlib.util
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import GridSearchCV
from toy_corpus import HIERARCHY, QUICK, binarize, make_corpus

from skhimatch import HiMatchClassifier, PretrainedEncoder

needs_dask = pytest.mark.skipif(
    importlib.util.find_spec("distributed") is None, reason="dask comes with the extra 'cluster'"
)
needs_spark = pytest.mark.skipif(
    importlib.util.find_spec("pyspark") is None or shutil.which("java") is None,
    reason="pyspark comes with the extra 'spark', and needs Java",
)
GUIDE = Path(__file__).parents[1] / "docs" / "guide.md"

# Ten tasks tell what is true of their process.
TOLD = """
import os
import torch
from pyspark import TaskContext

@pandas_udf("process long, task long, loads long, calls long, threads long")
def told(batches: Iterator[pd.Series]) -> Iterator[pd.DataFrame]:
    saved_classifier()
    info = saved_classifier.cache_info()
    row = {
        "process": os.getpid(),
        "task": TaskContext.get().partitionId(),
        "loads": info.misses,
        "calls": info.hits + info.misses,
        "threads": torch.get_num_threads(),
    }
    for texts in batches:
        yield pd.DataFrame([row] * len(texts))

frame.repartition(10).select(told("text")).write.parquet("told")
"""


# Each process tries two values of gamma.
TWO_PROCESSES = """
import sys
import optuna
from toy_corpus import HIERARCHY, QUICK, make_corpus
from skhimatch import HiMatchClassifier

log, process = sys.argv[1], int(sys.argv[2])

def score(trial):
    trial.set_user_attr("process", process)
    classifier = HiMatchClassifier(HIERARCHY, gamma=trial.suggest_float("gamma", 0.01, 0.5), **QUICK)
    classifier.fit(*make_corpus(40))
    return classifier.validation_f1_[0]

journal = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(log))
sampler = optuna.samplers.RandomSampler(seed=process)
study = optuna.load_study(study_name="news", storage=journal, sampler=sampler)
study.optimize(score, n_trials=2)
"""


class CountedTexts(list):
    """Texts that count how often they are sent."""

    sent = 0

    def __reduce__(self):
        CountedTexts.sent += 1
        return list, (list(self),)


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """Two worker processes, with a store of encodings that they share."""
    distributed = pytest.importorskip("distributed", reason="dask comes with the extra 'cluster'")
    # Dask sets the numbers of threads for its workers, and leaves them in the environment.
    before = dict(os.environ)
    os.environ["SKHIMATCH_CACHE"] = str(tmp_path_factory.mktemp("encodings"))
    try:
        with (
            distributed.LocalCluster(
                n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
            ) as cluster,
            distributed.Client(cluster) as client,
        ):
            yield client
    finally:
        os.environ.clear()
        os.environ.update(before)


@needs_dask
class TestDask:
    def test_a_search_gives_the_same_scores_and_sends_the_texts_once(self, client):
        import joblib

        texts, label_sets = make_corpus(60)
        texts, Y = CountedTexts(texts), binarize(label_sets)
        grid = {"gamma": [0.02, 0.2], "lambda_match": [0.0, 0.1]}

        def search():
            return GridSearchCV(
                HiMatchClassifier(HIERARCHY, **QUICK), grid, scoring="f1_micro", cv=2, refit=False
            )

        CountedTexts.sent = 0
        with joblib.parallel_config("dask", scatter=[texts, Y]):
            found = search().fit(texts, Y).cv_results_
            again = search().fit(texts, Y).cv_results_
        assert CountedTexts.sent == 1
        expected = search().fit(texts, Y).cv_results_
        assert found["params"] == expected["params"]
        for name in ("split0_test_score", "split1_test_score"):
            np.testing.assert_array_equal(found[name], expected[name])
            np.testing.assert_array_equal(again[name], expected[name])

    def test_workers_read_the_encodings_that_are_stored(self, client, tiny_bert, monkeypatch):
        import joblib

        [folder] = set(client.run(lambda: os.environ["SKHIMATCH_CACHE"]).values())
        monkeypatch.setenv("SKHIMATCH_CACHE", folder)
        texts, label_sets = make_corpus(40)
        encoder = PretrainedEncoder(tiny_bert, freeze="all", vector_store="always")
        settings = {"encoder": encoder, "max_epochs": 1, "validation_fraction": 0.1, "random_state": 0}
        HiMatchClassifier(HIERARCHY, lexical=None, **settings).fit(texts, label_sets)

        def stored():
            with closing(sqlite3.connect(os.path.join(folder, "vectors.sqlite"))) as connection:
                return set(connection.execute("SELECT key, checked FROM vectors"))

        before = stored()
        assert len(before) >= len(set(texts))
        search = GridSearchCV(
            HiMatchClassifier(HIERARCHY, lexical=None, **settings),
            {"gamma": [0.02, 0.2]},
            scoring="f1_micro",
            cv=2,
            refit=False,
        )
        with joblib.parallel_config("dask"):
            search.fit(texts, binarize(label_sets))
        assert np.isfinite(search.cv_results_["mean_test_score"]).all()
        assert stored() == before

    def test_partitions_are_predicted_by_the_classifier_of_their_worker(self, client, tmp_path):
        dd = pytest.importorskip("dask.dataframe", reason="it comes with the extra 'cluster'")
        from distributed import WorkerPlugin, get_worker

        classifier = HiMatchClassifier(HIERARCHY, **QUICK).fit(*make_corpus(60))
        classifier.save(tmp_path / "model")

        class LoadClassifier(WorkerPlugin):
            name = "classifier"

            def __init__(self, folder):
                self.folder = folder

            def setup(self, worker):
                worker.classifier = HiMatchClassifier.load(self.folder)
                worker.loaded = getattr(worker, "loaded", 0) + 1

        def predict_part(frame):
            own = get_worker().classifier
            get_worker().parts = getattr(get_worker(), "parts", 0) + 1
            label_sets = own.to_label_sets(own.predict(frame["text"].tolist()))
            return frame.assign(labels=["|".join(sorted(labels)) for labels in label_sets])

        texts, _ = make_corpus(45, seed=1)
        frame = pd.DataFrame({"id": range(45), "text": texts})
        for start in range(0, 45, 5):
            frame[start : start + 5].to_parquet(tmp_path / f"part-{start:02}.parquet")
        client.register_plugin(LoadClassifier(tmp_path / "model"))
        parts = dd.read_parquet(str(tmp_path / "part-*.parquet"), split_row_groups=False)
        meta = parts._meta.assign(labels=pd.Series(dtype=object))
        found = parts.map_partitions(predict_part, meta=meta).compute()
        expected = classifier.to_label_sets(classifier.predict(texts))
        assert found["id"].tolist() == list(range(45))
        assert [set(labels.split("|")) - {""} for labels in found["labels"]] == expected
        work = client.run(lambda dask_worker: (dask_worker.loaded, getattr(dask_worker, "parts", 0)))
        assert [loaded for loaded, _ in work.values()] == [1, 1]
        assert sum(parts for _, parts in work.values()) == 9


@needs_spark
class TestSpark:
    """The files of the guide, sent to two worker processes by its command."""

    # Each list is a file and a task. The second one is longer than a batch.
    TEXTS = (["", "  ", "lens\x00 light", "日本語"], make_corpus(45, seed=1)[0])

    @pytest.fixture
    def classifier(self):
        return HiMatchClassifier(HIERARCHY, **QUICK).fit(*make_corpus(60))

    @pytest.fixture
    def submit(self, classifier, tmp_path):
        """Run the job of the guide on rows of parquet files; `changes` are replaced parts of the job."""
        blocks = re.findall(r"```py\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
        files = {name: code for code in blocks for name in re.findall(r"\A# (\w+\.py)\n", code)}
        [top_labels] = [code for code in blocks if "def top_labels" in code]
        classifier.save(tmp_path / "model")
        shutil.make_archive(str(tmp_path / "model"), "zip", tmp_path / "model")
        shutil.rmtree(tmp_path / "model")
        (tmp_path / "texts").mkdir()
        (tmp_path / "labelling.py").write_text(files["labelling.py"])

        def run(lists, changes=()):
            job = files["job.py"]
            for old, new in changes:
                assert job.count(old) == 1
                job = job.replace(old, new.replace("TOP_LABELS", top_labels))
            (tmp_path / "job.py").write_text(job)
            first = 0
            for part, texts in enumerate(lists):
                frame = pd.DataFrame({"id": range(first, first + len(texts)), "text": texts})
                frame.to_parquet(tmp_path / "texts" / f"part-{part}.parquet")
                first += len(texts)
            package = Path(importlib.util.find_spec("pyspark").origin).parent
            paths = [str(Path(__file__).parents[1]), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
            settings = {
                "spark.ui.enabled": "false",
                # Several batches for each task.
                "spark.sql.execution.arrow.maxRecordsPerBatch": 10,
                # Each file is a task of its own.
                "spark.sql.files.openCostInBytes": "64m",
                "spark.sql.files.maxPartitionBytes": "64m",
            }
            return subprocess.run(
                [package / "bin" / "spark-submit", "--master", "local[2]"]
                + ["--py-files", "labelling.py", "--archives", "model.zip#model"]
                + [word for name, value in settings.items() for word in ("--conf", f"{name}={value}")]
                + ["job.py"],
                cwd=tmp_path,
                env=os.environ
                | {
                    "SPARK_HOME": str(package),
                    "SPARK_LOCAL_IP": "127.0.0.1",
                    "PYSPARK_PYTHON": sys.executable,
                    "PYTHONPATH": os.pathsep.join(filter(None, paths)),
                },
                capture_output=True,
                text=True,
                check=False,
            )

        return run

    def test_rows_get_the_labels_of_predict(self, classifier, submit, tmp_path):
        import pyarrow.parquet as pq

        # The other function of the guide writes a second column.
        done = submit(
            self.TEXTS,
            [
                ("frame = spark", "TOP_LABELS\nframe = spark"),
                ('label_names("text"))', 'label_names("text")).withColumn("best", top_labels("text"))'),
                ("frame.withColumn", TOLD + "frame.withColumn"),
            ],
        )
        assert done.returncode == 0, done.stdout
        found = pq.read_table(tmp_path / "labelled").sort_by("id").to_pydict()
        texts = [text for part in self.TEXTS for text in part]
        assert found["id"] == list(range(len(texts)))
        assert found["text"] == texts
        expected = classifier.to_label_sets(classifier.predict(texts))
        assert found["labels"] == [sorted(labels) for labels in expected]
        labels, probabilities = classifier.predict_topk(texts, 3)
        assert [best["labels"] for best in found["best"]] == labels.tolist()
        np.testing.assert_allclose(
            [best["probabilities"] for best in found["best"]], probabilities, atol=1e-6
        )
        # One classifier for all tasks of a process: each task sees the calls of those before it.
        [told] = pq.read_table(tmp_path / "told").to_pydict().values()
        assert {row["task"] for row in told} == set(range(10))
        assert len({row["process"] for row in told}) <= 2
        assert {(row["loads"], row["threads"]) for row in told} == {(1, 1)}
        assert len({(row["process"], row["calls"]) for row in told}) == 10

    def test_a_row_without_a_text_is_named_before_any_is_predicted(self, submit, tmp_path):
        done = submit([["a wave", "lens"], ["leaf", None]])
        assert done.returncode != 0
        assert "ValueError: Rows without a text: [Row(id=3, text=None)]; fill them" in done.stdout
        assert not (tmp_path / "labelled").exists()


class TestOptuna:
    @pytest.fixture
    def optuna(self):
        optuna = pytest.importorskip("optuna", reason="optuna comes with the extra 'search'")
        before = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        yield optuna
        optuna.logging.set_verbosity(before)

    def test_trials_are_pruned_by_epoch(self, optuna):
        from skorch.callbacks import Callback

        class Prune(Callback):
            def __init__(self, trial):
                self.trial = trial

            def on_epoch_end(self, net, **kwargs):
                epoch = net.history[-1]
                self.trial.report(epoch["valid_micro_f1"], epoch["epoch"])
                if self.trial.should_prune():
                    raise optuna.TrialPruned

        texts, label_sets = make_corpus(60)
        held_out = make_corpus(20, seed=1)
        fitted = {}

        def score(trial):
            rate = trial.suggest_float("learning_rate", 1e-6, 0.1, log=True)
            settings = QUICK | {"learning_rate": rate, "max_epochs": 4, "lexical": None}
            classifier = HiMatchClassifier(HIERARCHY, callbacks=[Prune(trial)], **settings)
            fitted[trial.number] = classifier
            classifier.fit(texts, label_sets, X_val=held_out[0], y_val=held_out[1])
            return max(epoch["valid_micro_f1"] for epoch in classifier.history_)

        study = optuna.create_study(
            direction="maximize",
            pruner=optuna.pruners.ThresholdPruner(lower=2.0, n_warmup_steps=2),
        )
        # The first is never better than 2, so it is pruned after the epoch that follows the warm-up.
        study.optimize(score, n_trials=1)
        [trial] = study.trials
        assert trial.state == optuna.trial.TrialState.PRUNED
        assert list(trial.intermediate_values) == [1, 2]
        # The classifier has nothing half-done.
        assert not hasattr(fitted[0], "state_")
        fitted[0].set_params(callbacks=[]).fit(texts, label_sets)

        study = optuna.create_study(
            direction="maximize",
            sampler=optuna.samplers.GridSampler({"learning_rate": [0.02, 1e-6]}, seed=0),
            pruner=optuna.pruners.MedianPruner(n_startup_trials=1),
        )
        study.enqueue_trial({"learning_rate": 0.02})
        study.enqueue_trial({"learning_rate": 1e-6})
        study.optimize(score, n_trials=2)
        first, second = study.trials
        assert first.state == optuna.trial.TrialState.COMPLETE
        assert list(first.intermediate_values) == [1, 2, 3, 4]
        assert first.value == max(first.intermediate_values.values())
        assert second.state == optuna.trial.TrialState.PRUNED
        assert len(second.intermediate_values) < 4
        assert study.best_trial.number == 0

    def test_two_processes_share_a_study(self, optuna, tmp_path):
        script = tmp_path / "search.py"
        script.write_text(TWO_PROCESSES)
        log = tmp_path / "study.log"
        journal = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(log)))
        study = optuna.create_study(storage=journal, study_name="news", direction="maximize")
        paths = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1])])
        running = [
            subprocess.Popen(
                [sys.executable, script, log, str(seed)],
                env=os.environ | {"PYTHONPATH": paths},
            )
            for seed in range(2)
        ]
        assert [process.wait() for process in running] == [0, 0]
        assert [trial.number for trial in study.trials] == [0, 1, 2, 3]
        assert {trial.state for trial in study.trials} == {optuna.trial.TrialState.COMPLETE}
        assert sorted(trial.user_attrs["process"] for trial in study.trials) == [0, 0, 1, 1]
