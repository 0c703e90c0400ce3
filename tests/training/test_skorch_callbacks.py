"""Every callback of skorch works beside the built-in ones, with its default arguments."""

import importlib.util
import json
import pickle
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
import pytest
import skorch.callbacks
import torch
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score
from skorch.callbacks import (
    BatchScoring,
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    EpochTimer,
    Freezer,
    GradientNormClipping,
    Initializer,
    InputShapeSetter,
    LoadInitState,
    LRScheduler,
    MlflowLogger,
    NeptuneLogger,
    ParamMapper,
    PassthroughScoring,
    PrintLog,
    ProgressBar,
    SacredLogger,
    TensorBoard,
    TrainEndCheckpoint,
    Unfreezer,
    WandbLogger,
    WarmRestartLR,
)
from toy_corpus import HIERARCHY, QUICK, SMALL, binarize, make_corpus

from skhimatch import HiMatchClassifier
from skhimatch.network.predict import score_texts

TEXTS, LABEL_SETS = make_corpus(60)
HELD_OUT = make_corpus(30, seed=5)
N_EPOCHS = 3


def fit(*callbacks, held_out=HELD_OUT, **parameters):
    settings = QUICK | {"max_epochs": N_EPOCHS, "patience": None, "lexical": None} | parameters
    classifier = HiMatchClassifier(HIERARCHY, callbacks=list(callbacks), **settings)
    X_val, y_val = (None, None) if held_out is None else held_out
    return classifier.fit(TEXTS, LABEL_SETS, X_val=X_val, y_val=y_val)


def fit_without_validation(*callbacks, **parameters):
    return fit(*callbacks, held_out=None, validation_fraction=0, **parameters)


class Keep(Callback):
    """Keep the net, and what `look` finds in it after each epoch."""

    def __init__(self, look=None):
        self.look, self.found = look, []

    def on_epoch_end(self, net, **kwargs):
        self.net_ = net
        self.found.append(None if self.look is None else self.look(net, **kwargs))


def column(classifier, name):
    return [epoch[name] for epoch in classifier.history_]


def probabilities_after_each_epoch():
    """Return a callback that keeps the probabilities of the held-out texts, in their order."""

    def look(net, dataset_valid, **_):
        with torch.no_grad():
            return 1 / (1 + np.exp(-score_texts(net.module_, dataset_valid.sequences)))

    return Keep(look)


def decided(net, probabilities):
    return net.decide(probabilities).toarray()


TRUE = binarize(HELD_OUT[1])


class TestScoring:
    @pytest.mark.parametrize("average", ["macro", "micro", "samples"])
    def test_epoch_scoring_of_predictions(self, average):
        kept = probabilities_after_each_epoch()
        classifier = fit(EpochScoring(f"f1_{average}"), kept, max_epochs=12)
        expected = [
            f1_score(TRUE, decided(kept.net_, found), average=average, zero_division=0)
            for found in kept.found
        ]
        assert column(classifier, f"f1_{average}") == pytest.approx(expected)
        assert len(set(expected)) > 1

    def test_it_is_the_score_of_the_built_in_callback(self):
        classifier = fit(EpochScoring("f1_micro"), EpochScoring("f1_macro"))
        assert column(classifier, "f1_micro") == pytest.approx(column(classifier, "valid_micro_f1"))
        assert column(classifier, "f1_macro") == pytest.approx(column(classifier, "valid_macro_f1"))

    @pytest.mark.parametrize(
        ("name", "score"), [("average_precision", average_precision_score), ("roc_auc", roc_auc_score)]
    )
    def test_epoch_scoring_of_probabilities(self, name, score):
        kept = probabilities_after_each_epoch()
        classifier = fit(EpochScoring(name), kept)
        expected = [score(TRUE, found) for found in kept.found]
        assert column(classifier, name) == pytest.approx(expected)

    def test_of_two_labels(self):
        texts, label_sets = ["quark"] * 20 + ["volley"] * 20, [{"physics"}] * 20 + [{"tennis"}] * 20
        classifier = HiMatchClassifier(callbacks=[EpochScoring("average_precision")], **QUICK)
        classifier.fit(texts, label_sets, X_val=texts, y_val=label_sets)
        assert column(classifier, "average_precision")[-1] == 1

    def test_of_the_training_texts(self):
        for settings in (SMALL, SMALL | {"accumulation": 3}):
            classifier = fit(EpochScoring("f1_micro", on_train=True), net_params=settings, max_epochs=15)
            scores = column(classifier, "f1_micro")
            assert scores[0] < 0.8 < scores[-1] <= 1

    def test_the_default_score_is_the_share_of_right_label_sets(self):
        kept = probabilities_after_each_epoch()
        classifier = fit(EpochScoring(None, name="exact"), kept, max_epochs=12)
        expected = [(decided(kept.net_, found) == TRUE).all(axis=1).mean() for found in kept.found]
        assert column(classifier, "exact") == pytest.approx(expected)
        assert max(expected) > 0

    def test_without_caching_predictions_are_in_the_order_of_the_texts(self):
        def score(net, dataset, y=None):
            return f1_score(dataset.targets.toarray(), net.predict(dataset), average="micro", zero_division=0)

        classifier = fit(EpochScoring(score, name="mine", use_caching=False))
        assert column(classifier, "mine") == pytest.approx(column(classifier, "valid_micro_f1"))

    @pytest.mark.parametrize("use_caching", [True, False])
    def test_batch_scoring(self, use_caching):
        kept = probabilities_after_each_epoch()
        scoring = BatchScoring("accuracy", use_caching=use_caching)
        classifier = fit(scoring, kept, max_epochs=12, batch_size=7)
        expected = [(decided(kept.net_, found) == TRUE).all(axis=1).mean() for found in kept.found]
        # A mean over texts is the same in batches.
        assert column(classifier, "accuracy") == pytest.approx(expected)

    def test_passthrough_scoring(self):
        classifier = fit(("again", PassthroughScoring("valid_loss")))
        assert np.isfinite(column(classifier, "valid_loss")).all()

    def test_without_validation_there_are_no_scores(self):
        classifier = fit_without_validation(
            EpochScoring("f1_macro"), BatchScoring("accuracy"), PassthroughScoring("valid_loss")
        )
        assert not {"f1_macro", "accuracy", "valid_loss"} & set(classifier.history_[-1])
        assert fit_without_validation(EpochScoring("f1_macro", on_train=True)).history_[-1]["f1_macro"] >= 0


class TestOutput:
    def test_the_net_predicts_texts_in_their_order(self):
        kept = Keep(
            lambda net, dataset_valid, **_: (net.predict_proba(dataset_valid), net.predict(dataset_valid))
        )
        again = probabilities_after_each_epoch()
        fit(kept, again, batch_size=7)
        for (found, labels), expected in zip(kept.found, again.found, strict=True):
            np.testing.assert_allclose(found, expected, atol=1e-6)
            assert labels.dtype == np.int64
            np.testing.assert_array_equal(labels, decided(kept.net_, found))

    def test_partial_fit_predicts_by_half(self):
        kept = Keep(
            lambda net, dataset_train, **_: (net.predict_proba(dataset_train), net.predict(dataset_train))
        )
        classifier = HiMatchClassifier(HIERARCHY, callbacks=[kept], **QUICK)
        classifier.partial_fit(TEXTS, LABEL_SETS)
        [(probabilities, labels)] = kept.found
        np.testing.assert_array_equal(labels, probabilities >= 0.5)

    def test_callbacks_get_logits(self):
        shapes = set()

        class Outputs(Callback):
            def on_batch_end(self, net, batch, training, y_pred, **kwargs):
                assert not y_pred.requires_grad
                shapes.add((training, len(y_pred) == len(batch[1]), y_pred.shape[1]))

        for accumulation in (1, 3):
            fit(Outputs(), net_params=SMALL | {"accumulation": accumulation})
        assert shapes == {(True, True, 10), (False, True, 10)}


class TestLosses:
    def test_the_validation_loss_is_recorded(self):
        kept = probabilities_after_each_epoch()
        classifier = fit(kept)
        signs = 2 * TRUE - 1
        logits = [np.log(found / (1 - found)) for found in kept.found]
        expected = [np.square(np.maximum(0, 1 - signs * found)).sum() / len(TRUE) for found in logits]
        assert column(classifier, "valid_loss") == pytest.approx(expected, rel=1e-3)

    def test_marks_of_the_best(self):
        kept = Keep()
        fit(kept, max_epochs=6)
        for name in ("valid_loss", "train_loss"):
            losses = kept.net_.history[:, name]
            expected = [loss < min([np.inf, *losses[:number]]) for number, loss in enumerate(losses)]
            assert kept.net_.history[:, f"{name}_best"] == expected
        assert "valid_loss_best" not in fit().history_[0]

    def test_a_resumed_fit_remembers_the_best(self, tmp_path):
        class Stop(Callback):
            def on_epoch_begin(self, net, **kwargs):
                if len(net.history) == 4:
                    raise ZeroDivisionError

        class Up(Callback):
            """Makes the validation loss rise from the second epoch on."""

            def on_batch_end(self, net, training, **kwargs):
                if not training:
                    net.history.record_batch("valid_loss", abs(2.0 - len(net.history)))

        whole, resumed = Keep(), Keep()
        settings = QUICK | {"max_epochs": 6}
        HiMatchClassifier(HIERARCHY, callbacks=[Up(), whole], **settings).fit(TEXTS, LABEL_SETS)
        with pytest.raises(ZeroDivisionError):
            HiMatchClassifier(HIERARCHY, callbacks=[Up(), Stop()], **settings).fit(
                TEXTS, LABEL_SETS, checkpoint=tmp_path
            )
        HiMatchClassifier(HIERARCHY, callbacks=[Up(), resumed], **settings).fit(
            TEXTS, LABEL_SETS, checkpoint=tmp_path
        )
        expected = [True, True, False, False, False, False]
        assert whole.net_.history[:, "valid_loss_best"] == expected
        assert resumed.net_.history[:, "valid_loss_best"] == expected


class TestEarlyStopping:
    def test_with_defaults(self):
        class Up(Callback):
            def on_batch_end(self, net, training, **kwargs):
                if not training:
                    net.history.record_batch("valid_loss", float(len(net.history)))

        # The first epoch is the best one; five more without improvement.
        assert fit(Up(), EarlyStopping(), max_epochs=20).n_iter_ == 6

    def test_by_a_score_of_another_callback(self):
        callbacks = [
            EpochScoring(lambda *_: 0.5, name="mine"),
            EarlyStopping("mine", patience=2, lower_is_better=False),
        ]
        assert fit(*callbacks, max_epochs=20).n_iter_ == 3
        with pytest.raises(ValueError, match="a EarlyStopping that monitors 'mine', which does not exist"):
            fit_without_validation(*callbacks)


class TestCheckpoints:
    @pytest.mark.parametrize("callback", [Checkpoint, TrainEndCheckpoint])
    def test_weights_are_written_and_read(self, tmp_path, callback):
        kept = Keep(
            lambda net, **_: {name: weight.clone() for name, weight in net.module_.state_dict().items()}
        )
        classifier = fit(callback(dirname=tmp_path), kept)
        [params] = tmp_path.glob("*params.pt")
        written = torch.load(params, weights_only=True)
        losses = column(classifier, "valid_loss")
        expected = kept.found[int(np.argmin(losses))]
        if callback is TrainEndCheckpoint:
            expected = classifier.network_.state_dict()
        assert all(torch.equal(written[name], expected[name]) for name in expected)
        [history] = tmp_path.glob("*history.json")
        assert json.loads(history.read_text())[0]["train_loss"] == column(classifier, "train_loss")[0]

        class First(Callback):
            def on_epoch_begin(self, net, **kwargs):
                if not hasattr(self, "weights"):
                    self.weights = {name: weight.clone() for name, weight in net.module_.state_dict().items()}

        first = First()
        saved = callback(dirname=tmp_path)
        again = fit(saved, LoadInitState(saved), first)
        assert all(torch.equal(first.weights[name], expected[name]) for name in expected)
        assert again.n_iter_ >= N_EPOCHS

    def test_nothing_to_load(self, tmp_path):
        expected = fit().predict_proba(TEXTS)
        found = fit(LoadInitState(Checkpoint(dirname=tmp_path))).predict_proba(TEXTS)
        np.testing.assert_array_equal(found, expected)

    def test_a_pickled_net_has_no_generators(self, tmp_path):
        fit(Checkpoint(dirname=tmp_path, f_pickle="net.pkl", f_criterion=None))
        net = pickle.loads((tmp_path / "net.pkl").read_bytes())
        assert net.generators_ is None
        assert net.predict_proba({"ids": torch.tensor([[2]]), "lengths": torch.tensor([1])}).shape == (1, 10)

    def test_without_validation(self, tmp_path):
        fit_without_validation(Checkpoint("train_loss_best", dirname=tmp_path))
        fit_without_validation(TrainEndCheckpoint(dirname=tmp_path))
        assert {"params.pt", "train_end_params.pt"} <= {path.name for path in tmp_path.iterdir()}


class TestSchedules:
    @pytest.mark.parametrize(
        "callback",
        [
            LRScheduler(),
            LRScheduler,
            ("mine", LRScheduler(WarmRestartLR)),
            LRScheduler("ReduceLROnPlateau", monitor="valid_loss"),
            LRScheduler("StepLR", step_size=1, gamma=0.5),
        ],
        ids=["default", "class", "WarmRestartLR", "ReduceLROnPlateau", "StepLR"],
    )
    def test_only_without_the_built_in_one(self, callback):
        with pytest.raises(
            ValueError, match=r"a LRScheduler, which would change .* a second time: pass schedule='constant'"
        ):
            fit(callback)
        fit(callback, schedule="constant")

    def test_rates(self):
        rates = Keep(lambda net, **_: net.optimizer_.param_groups[0]["lr"])
        fit(rates, LRScheduler("StepLR", step_size=1, gamma=0.5), schedule="constant", learning_rate=0.01)
        assert rates.found == pytest.approx([0.01, 0.005, 0.0025])

    def test_partial_fit_has_no_schedule(self):
        classifier = HiMatchClassifier(HIERARCHY, callbacks=[LRScheduler()], **QUICK)
        assert classifier.partial_fit(TEXTS, LABEL_SETS).n_iter_ == 1


def all_weights(net, **_):
    return {name: weight.detach().clone() for name, weight in net.module_.named_parameters()}


class TestParameters:
    def test_freezer_and_unfreezer(self):
        kept = Keep(all_weights)
        fit(kept, Freezer("text_encoder.*"), Unfreezer("text_encoder.*", at=3))
        first, second, third = kept.found
        name, other = "text_encoder.weight", "head.weight"
        assert torch.equal(first[name], second[name])
        assert not torch.equal(third[name], second[name])
        assert not torch.equal(first[other], second[other])

    def test_initializer_and_mapper(self):
        kept = Keep(all_weights)
        ones = Initializer("head.bias", fn=torch.nn.init.ones_)
        zeros = ParamMapper("head.bias", fn=torch.nn.init.zeros_, at=3)
        fit(kept, ones, zeros, learning_rate=1e-9)
        assert kept.found[0]["head.bias"].tolist() == pytest.approx([1] * 10)
        assert kept.found[2]["head.bias"].tolist() == pytest.approx([0] * 10, abs=1e-6)

    def test_a_second_clipping(self):
        # With its default it does nothing, but all rows of the table of words are updated in each step.
        np.testing.assert_allclose(
            fit(GradientNormClipping()).predict_proba(TEXTS), fit().predict_proba(TEXTS), atol=1e-6
        )
        clipped = fit(GradientNormClipping(1e-3)).predict_proba(TEXTS)
        assert (clipped != fit().predict_proba(TEXTS)).any()

    def test_input_shape(self):
        with pytest.raises(ValueError, match=r"an InputShapeSetter, .* the network exists .* leave"):
            fit(InputShapeSetter())


class TestLogs:
    def test_print_log(self, capsys):
        fit(PrintLog(), verbose=1)
        lines = capsys.readouterr().out.splitlines()
        assert any(
            {"epoch", "train_loss", "valid_loss", "valid_micro_f1", "dur"} <= set(line.split())
            for line in lines
        )

    def test_progress_bar(self):
        bar, total = ProgressBar(), []
        fit(bar, Keep(lambda net, **_: total.append(bar.pbar_.n)))
        # The last batch is one of the held-out texts.
        assert bar.pbar_.postfix.startswith("valid_loss=")
        # 60 training texts and 30 others in batches of 16.
        assert bar.pbar_.total == 6
        assert total == [6] * N_EPOCHS

    def test_timer(self):
        assert min(column(fit(EpochTimer()), "dur")) > 0

    def test_tensor_board(self):
        writer = MagicMock()
        fit(TensorBoard(writer))
        assert {"Loss/train_loss", "Loss/valid_loss"} <= {
            call.kwargs["tag"] for call in writer.add_scalar.call_args_list
        }

    @pytest.mark.parametrize(
        ("package", "logger"),
        [
            ("neptune", NeptuneLogger),
            ("wandb", WandbLogger),
            ("sacred", SacredLogger),
            ("mlflow", MlflowLogger),
        ],
    )
    def test_loggers_of_services(self, package, logger):
        if package != "sacred" and importlib.util.find_spec(package) is None:
            pytest.skip(f"the package {package} is not installed")
        fit(logger(MagicMock()))


@pytest.mark.parametrize(
    "callback",
    [
        *(Callback(), EpochTimer(), EarlyStopping("train_loss"), GradientNormClipping(), PrintLog()),
        *(ProgressBar(), LRScheduler(), TensorBoard(MagicMock()), SacredLogger(MagicMock())),
        *(Freezer("head.*"), Unfreezer("head.*"), ParamMapper("head.*")),
    ],
    ids=lambda callback: type(callback).__name__,
)
def test_those_that_need_no_validation(callback):
    assert fit_without_validation(callback, schedule="constant").n_iter_ == N_EPOCHS


@pytest.mark.parametrize(
    ("callback", "monitor", "instead"),
    [
        (EarlyStopping(), "valid_loss", "train_loss"),
        (("mine", EarlyStopping("valid_score")), "valid_score", "train_loss"),
        (Checkpoint(), "valid_loss_best", "train_loss_best"),
        (Checkpoint, "valid_loss_best", "train_loss_best"),
        (LRScheduler("ReduceLROnPlateau", monitor="valid_loss"), "valid_loss", "train_loss"),
    ],
    ids=["EarlyStopping", "named", "Checkpoint", "class", "LRScheduler"],
)
def test_those_that_need_validation(callback, monitor, instead):
    match = rf"monitors '{monitor}', which does not exist here, .*monitor='{instead}'\), or hold out texts"
    with pytest.raises(ValueError, match=match):
        fit_without_validation(callback, schedule="constant")
    with pytest.raises(ValueError, match=match):
        HiMatchClassifier(HIERARCHY, callbacks=[callback], **QUICK).partial_fit(TEXTS, LABEL_SETS)


def test_every_callback_is_tested():
    here = Path(__file__).read_text(encoding="utf-8")
    assert [name for name in skorch.callbacks.__all__ if here.count(name) < 2] == []
