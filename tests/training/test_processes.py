"""Two processes that train one network get what one process gets, with the same batches."""

import importlib.util
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback
from toy_corpus import HIERARCHY, QUICK, SMALL, make_corpus

from skhimatch import HiMatchClassifier
from skhimatch.training.processes import Processes
from skhimatch.training.row_adam import RowAdam

needs_accelerate = pytest.mark.skipif(
    importlib.util.find_spec("accelerate") is None, reason="accelerate comes with the extra 'distributed'"
)
SCRIPT = """
import json, sys
from accelerate import PartialState
import numpy as np
from skhimatch import HiMatchClassifier
from skhimatch.fitting import cross_fit, fit
from skhimatch.training.net import NonFiniteLossError
from toy_corpus import HIERARCHY, make_corpus

folder, fits = sys.argv[1], json.loads(sys.argv[2])
own = PartialState(cpu=True).process_index
trained = []
for module in (cross_fit, fit):
    def counting(*arguments, train=module.train_ngrams):
        trained.append(1)
        return train(*arguments)
    module.train_ngrams = counting

texts, label_sets = make_corpus(61)
unseen = make_corpus(20, seed=1)[0]
for name, settings in fits.items():
    trained.clear()
    classifier = HiMatchClassifier(HIERARCHY, **settings).fit(texts, label_sets)
    losses = [[epoch["train_loss"], epoch.get("valid_loss", 0)] for epoch in classifier.history_]
    np.savez(f"{folder}/{name}-{own}.npz", losses=losses, probabilities=classifier.predict_proba(unseen))
    with open(f"{folder}/{name}-{own}.json", "w") as file:
        json.dump(len(trained), file)

messages = []
for own_texts, settings, options in (
    ([f"{text} {own}" for text in texts], {}, {}),
    (texts, {"random_state": None}, {}),
    (texts, {}, {"checkpoint": f"{folder}/checkpoint"}),
    (texts, {"learning_rate": 1e30}, {}),
):
    classifier = HiMatchClassifier(HIERARCHY, **fits["held out"] | settings)
    try:
        classifier.fit(own_texts, label_sets, **options)
    except (ValueError, NonFiniteLossError) as error:
        messages.append(str(error))
try:
    classifier.partial_fit(texts, label_sets)
except ValueError as error:
    messages.append(str(error))
with open(f"{folder}/messages-{own}.json", "w") as file:
    json.dump(messages, file)
# A process that ends with an open connection is aborted now and then.
PartialState().destroy_process_group()
"""
IN_PROCESSES = {"accelerate": True}
WITHOUT_DROPOUT = SMALL | {"module__dropout": 0.0}
FITS = {
    "held out": QUICK | {"net_params": WITHOUT_DROPOUT, "max_epochs": 4, "verbose": 1},
    "matching": QUICK | {"net_params": WITHOUT_DROPOUT, "head": "matching"},
    "in parts": QUICK | {"net_params": WITHOUT_DROPOUT | {"accumulation": 2}, "batch_size": 10},
    "cross-fitted": QUICK | {"validation_fraction": "auto", "net_params": SMALL | {"module__dropout": 0.5}},
}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """The folder of what each of two processes got, and what they printed."""
    folder = tmp_path_factory.mktemp("processes")
    script = folder / "train.py"
    script.write_text(SCRIPT)
    fits = {
        name: settings | {"net_params": settings["net_params"] | IN_PROCESSES}
        for name, settings in FITS.items()
    }
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = subprocess.run(
        [*command, str(script), str(folder), json.dumps(fits)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (root / "tests", root)))},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def results_of(folder, name):
    return [dict(np.load(folder / f"{name}-{own}.npz")) for own in range(2)]


@needs_accelerate
class TestTwoProcesses:
    @pytest.mark.parametrize("name", [name for name in FITS if name != "cross-fitted"])
    def test_losses_and_predictions_are_those_of_one(self, results, name):
        first, _ = results_of(results[0], name)
        alone = HiMatchClassifier(HIERARCHY, **FITS[name] | {"verbose": 0}).fit(*make_corpus(61))
        losses = [[epoch["train_loss"], epoch["valid_loss"]] for epoch in alone.history_]
        np.testing.assert_allclose(first["losses"], losses, rtol=1e-3)
        probabilities = alone.predict_proba(make_corpus(20, seed=1)[0])
        np.testing.assert_allclose(first["probabilities"], probabilities, atol=1e-3)

    @pytest.mark.parametrize("name", FITS)
    def test_both_have_the_same_classifier(self, results, name):
        first, second = results_of(results[0], name)
        np.testing.assert_array_equal(first["losses"], second["losses"])
        np.testing.assert_array_equal(first["probabilities"], second["probabilities"])

    @pytest.mark.parametrize("name", FITS)
    def test_ngrams_are_trained_once(self, results, name):
        folder, _ = results
        n_fits = 4 if name == "cross-fitted" else 1
        trained = [json.loads((folder / f"{name}-{own}.json").read_text()) for own in range(2)]
        assert trained[1] == 0
        assert trained[0] >= 1
        assert (trained[0] > 1) == (n_fits > 1)

    def test_only_the_first_prints(self, results):
        lines = [line for line in results[1].splitlines() if line.startswith("epoch ")]
        # Four epochs of the one fit with verbose=1, and the rounds that end with an error.
        assert [line.split("|")[0] for line in lines[:4]] == [f"epoch {n:>3}/4 " for n in (1, 2, 3, 4)]
        assert len(set(lines)) == len(lines)

    def test_errors_are_those_of_both(self, results):
        messages = [json.loads((results[0] / f"messages-{own}.json").read_text()) for own in range(2)]
        assert messages[0] == messages[1]
        data, random_state, checkpoint, rate, more = messages[0]
        assert "load the same texts and labels in the same order" in data
        assert "need an integer random_state" in random_state
        assert "checkpoint is for one process" in checkpoint
        assert "lower `learning_rate`" in rate
        assert "partial_fit is for one process" in more


@needs_accelerate
class TestAddUp:
    """Threads take the place of processes."""

    ROWS, WIDTH = 50, 3

    def gradients(self, own):
        """Return a matrix, a table with some rows, and a table that only the second process reads."""
        draws = np.random.default_rng(own)
        table = np.zeros((self.ROWS, self.WIDTH), dtype=np.float32)
        table[[7, 11 + own, 40 - own]] = draws.normal(size=(3, self.WIDTH))
        return draws.normal(size=(4, 5)).astype(np.float32), table, table[::-1].copy() if own else None

    def added_up(self, monkeypatch, sparse):
        lengths, messages, barrier = [], [None, None], threading.Barrier(2, timeout=60)

        def reduce(message, reduction):
            assert reduction == "sum"
            own = int(threading.current_thread().name)
            messages[own] = message
            barrier.wait()
            total = messages[0] + messages[1]
            barrier.wait()
            if own == 0:
                lengths.append(len(message))
            return total

        monkeypatch.setattr("accelerate.utils.reduce", reduce)
        found = [None, None]

        def run(own):
            tables = [torch.nn.Embedding(self.ROWS, self.WIDTH, sparse=sparse) for _ in range(2)]
            weights = [torch.zeros(4, 5), *(table.weight for table in tables), torch.zeros(9)]
            for weight, gradient in zip(weights, self.gradients(own), strict=False):
                if gradient is not None:
                    weight.grad = torch.from_numpy(gradient)
                    if sparse and weight.shape == (self.ROWS, self.WIDTH):
                        rows = weight.grad.any(dim=1).nonzero().T
                        # The first row comes twice, as in a batch.
                        rows = torch.cat([rows, rows[:, :1]], dim=1)
                        values = weight.grad[rows[0]]
                        values[0] *= 0.25
                        values[-1] *= 0.75
                        weight.grad = torch.sparse_coo_tensor(
                            rows, values, weight.shape, check_invariants=True
                        )
            numbers = Processes(2, own).add_up(weights, torch.tensor([1.0, own]), tables)
            found[own] = numbers, [weight.grad for weight in weights]

        threads = [threading.Thread(target=run, args=(own,), name=str(own)) for own in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return found, lengths

    @pytest.mark.parametrize("sparse", [False, True])
    def test_sums_are_those_of_whole_tables(self, monkeypatch, sparse):
        found, _ = self.added_up(monkeypatch, sparse)
        of_both = zip(self.gradients(0), self.gradients(1), strict=True)
        expected = [second if first is None else first + second for first, second in of_both]
        for numbers, gradients in found:
            assert numbers.tolist() == [2.0, 1.0]
            assert [grad is not None and grad.is_sparse for grad in gradients] == [
                False,
                sparse,
                sparse,
                False,
            ]
            # The last one has no gradient in any process.
            assert gradients.pop() is None
            for gradient, total in zip(gradients, expected, strict=True):
                np.testing.assert_allclose(gradient.to_dense().numpy(), total, rtol=1e-6)

    @pytest.mark.parametrize("sparse", [False, True])
    def test_rows_that_are_zero_everywhere_are_not_sent(self, monkeypatch, sparse):
        _, lengths = self.added_up(monkeypatch, sparse)
        # Two numbers, which of four weights have a gradient, and which rows; then a matrix, the five rows of
        # one table, and the three of the other.
        assert lengths == [2 + 4 + 2 * self.ROWS, 4 * 5 + (5 + 3) * self.WIDTH]


class Optimizer(Callback):
    def on_train_begin(self, net, **kwargs):
        """Remember the optimizer."""
        self.found = type(net.optimizer_)


@needs_accelerate
def test_one_process_alone_trains_as_usual():
    texts, label_sets = make_corpus(61)
    settings = QUICK | {"net_params": SMALL | IN_PROCESSES}
    alone = HiMatchClassifier(HIERARCHY, **QUICK).fit(texts, label_sets)
    found = HiMatchClassifier(HIERARCHY, callbacks=[optimizer := Optimizer()], **settings)
    found.fit(texts, label_sets)
    assert optimizer.found is RowAdam
    np.testing.assert_array_equal(found.predict_proba(texts), alone.predict_proba(texts))


def test_without_accelerate_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "accelerate", None)
    settings = QUICK | {"net_params": SMALL | IN_PROCESSES}
    with pytest.raises(ImportError, match=r"skhimatch\[distributed\]"):
        HiMatchClassifier(HIERARCHY, **settings).fit(*make_corpus(61))


@pytest.mark.parametrize("value", [1, "yes", None])
def test_other_values_are_refused(value):
    with pytest.raises(ValueError, match="take True or False"):
        HiMatchClassifier(HIERARCHY, **QUICK | {"net_params": {"accelerate": value}}).fit(*make_corpus(61))
