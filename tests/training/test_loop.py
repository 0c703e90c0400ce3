from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback, EpochScoring
from toy_corpus import HIERARCHY, QUICK, SMALL, make_corpus

from skhimatch import HiMatchClassifier, PretrainedEncoder, parameters
from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.network.batches import LengthBuckets
from skhimatch.network.build import NetworkSettings, build_pretrained_network
from skhimatch.network.convolution import ConvolutionEncoder
from skhimatch.network.device import resolve_device, resolve_precision
from skhimatch.network.encoders import CNNEncoder, GRUEncoder, RCNNEncoder
from skhimatch.network.himatch import HiMatchNetwork
from skhimatch.network.objective import HiMatchLoss
from skhimatch.network.predict import score_texts
from skhimatch.network.transformer import TransformerEncoder
from skhimatch.training import callbacks
from skhimatch.training.loop import GRADIENT_NORM, TrainingSettings, _one_cycle, build_training_net
from skhimatch.training.net import NonFiniteLossError

TEXTS, LABEL_SETS = make_corpus(60)


def quick(**parameters):
    return HiMatchClassifier(HIERARCHY, **QUICK | parameters)


class Record(Callback):
    """Note what `look` finds in the net at an event."""

    def __init__(self, event, look):
        self.look = look
        self.found = []
        setattr(self, event, self.note)

    def note(self, net, **kwargs):
        self.found.append(self.look(net, **kwargs))


class TestResolveDevice:
    def test_auto(self, monkeypatch):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        assert resolve_device("auto") == torch.device("cpu")
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        assert resolve_device("auto") == torch.device("cuda")
        assert resolve_device("cpu") == torch.device("cpu")
        assert resolve_device("cuda:1") == torch.device("cuda", 1)

    def test_refused(self, monkeypatch):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        with pytest.raises(
            ValueError, match="device='cuda' but torch sees no CUDA device: use device='auto'"
        ):
            resolve_device("cuda")
        with pytest.raises(ValueError, match="device='abacus' is no device that torch knows"):
            resolve_device("abacus")


class TestSchedule:
    def rates(self, **parameters):
        def rate(net, training, **kwargs):
            return net.optimizer_.param_groups[0]["lr"] if training else None

        record = Record("on_batch_begin", rate)
        quick(callbacks=[record], max_epochs=5, patience=None, **parameters).fit(TEXTS, LABEL_SETS)
        return np.array([found for found in record.found if found is not None])

    def test_one_cycle_rises_then_falls_to_nothing(self):
        rates = self.rates(batch_size=8, learning_rate=0.02)
        assert len(rates) == 5 * 7
        top = rates.argmax()
        assert rates[top] == pytest.approx(0.02, rel=0.02)
        assert 0 < top < len(rates) / 5
        assert (np.diff(rates[: top + 1]) > 0).all()
        assert (np.diff(rates[top:]) < 0).all()
        assert rates[0] < 0.02 / 10
        assert rates[-1] < 0.02 / 100

    def test_one_cycle_of_any_number_of_steps(self):
        for steps in range(1, 25):
            weight = torch.nn.Parameter(torch.zeros(1))
            optimizer = torch.optim.SGD([weight], lr=0.02)
            # One more than there are: it starts with the first.
            schedule = _one_cycle(optimizer, total_steps=steps + 1)
            rates = []
            for _ in range(steps):
                rates.append(optimizer.param_groups[0]["lr"])
                optimizer.step()
                schedule.step()
            assert np.isfinite(rates).all(), steps
            assert max(rates) <= 0.02 * (1 + 1e-9)
            assert optimizer.param_groups[0]["lr"] < 0.02 / 100

    def test_constant(self):
        assert set(self.rates(schedule="constant", learning_rate=0.003)) == {0.003}

    def test_auto_falls_with_the_number_of_steps(self, monkeypatch):
        # 54 texts in training, 5 epochs of 7 steps.
        assert max(self.rates(batch_size=8, learning_rate="auto")) == pytest.approx(0.004, rel=1e-2)
        monkeypatch.setattr(parameters, "BASE_STEPS", 35 / 4)
        assert max(self.rates(batch_size=8, learning_rate="auto")) == pytest.approx(0.002, rel=1e-2)


def test_gradients_are_clipped():
    def norm(net, named_parameters, **kwargs):
        gradients = [weight.grad for _, weight in named_parameters if weight.grad is not None]
        return torch.stack([gradient.norm() for gradient in gradients]).norm().item()

    gentle, rough = Record("on_grad_computed", norm), Record("on_grad_computed", norm)
    quick(callbacks=[gentle], lambda_joint=0, lambda_match=0).fit(TEXTS, LABEL_SETS)
    quick(callbacks=[rough], lambda_joint=1e4).fit(TEXTS, LABEL_SETS)
    assert 0 < min(gentle.found) < GRADIENT_NORM
    assert rough.found == pytest.approx([GRADIENT_NORM] * len(rough.found), rel=1e-3)
    # One more epoch is clipped as well.
    more = Record("on_grad_computed", norm)
    quick(callbacks=[more], lambda_joint=1e4).partial_fit(TEXTS, LABEL_SETS)
    assert more.found == pytest.approx([GRADIENT_NORM] * len(more.found), rel=1e-3)


class TestStopping:
    @pytest.fixture(autouse=True)
    def _scores(self, monkeypatch):
        """The third epoch is as good as the second, and no other is."""
        scores = iter([0.1, 0.3, 0.3, 0.2, 0.1, 0.25, 0.0, 0.0, 0.0] * 3)
        monkeypatch.setattr(callbacks, "micro_macro_f1", lambda y_true, y_pred, weights: (next(scores), 0.5))

    @pytest.mark.parametrize(("patience", "epochs"), [(1, 4), (3, 6), (None, 9)])
    def test_patience(self, patience, epochs):
        classifier = quick(patience=patience, max_epochs=9).fit(TEXTS, LABEL_SETS)
        assert classifier.n_iter_ == len(classifier.history_) == epochs
        assert classifier.history_[1]["valid_score"] == pytest.approx(0.8)

    def test_no_validation_runs_all_epochs(self):
        still = {"learning_rate": 1e-12, "max_epochs": 5, "patience": 1, "validation_fraction": 0}
        classifier = quick(**still).fit(TEXTS, LABEL_SETS)
        assert classifier.n_iter_ == 5
        assert "valid_score" not in classifier.history_[0]

    @pytest.mark.parametrize("patience", [2, None])
    def test_the_best_weights_are_restored(self, patience):
        def weights(net, **kwargs):
            return {name: weight.clone() for name, weight in net.module_.state_dict().items()}

        record = Record("on_epoch_end", weights)
        classifier = quick(callbacks=[record], max_epochs=6, patience=patience).fit(TEXTS, LABEL_SETS)
        # Of equally good epochs the later one.
        best = record.found[2]
        for name, weight in classifier.network_.state_dict().items():
            assert torch.equal(weight, best[name]), name
        for other in (record.found[1], record.found[3]):
            assert not torch.equal(other["label_vectors"], best["label_vectors"])

    def test_without_validation_the_last_weights_stay(self):
        record = Record("on_epoch_end", lambda net, **kwargs: net.module_.head.bias.detach().clone())
        classifier = quick(callbacks=[record], validation_fraction=0, max_epochs=3).fit(TEXTS, LABEL_SETS)
        assert torch.equal(classifier.network_.head.bias, record.found[-1])
        assert not torch.equal(record.found[-1], record.found[0])


class TestSkorch:
    def test_callbacks(self):
        scoring = EpochScoring(lambda net, X, y: 0.25, name="quarter", use_caching=False)
        classifier = quick(callbacks=[("mine", scoring)]).fit(TEXTS, LABEL_SETS)
        assert [epoch["quarter"] for epoch in classifier.history_] == [0.25, 0.25]

    def test_optimiser(self):
        record = Record("on_train_begin", lambda net, **kwargs: net.optimizer_)
        quick(callbacks=[record]).fit(TEXTS, LABEL_SETS)
        other = SMALL | {"optimizer": torch.optim.SGD, "optimizer__momentum": 0.5}
        quick(callbacks=[record], net_params=other).fit(TEXTS, LABEL_SETS)
        adam, sgd = record.found
        assert isinstance(adam, torch.optim.Adam)
        assert adam.defaults["fused"]
        assert type(sgd) is torch.optim.SGD
        assert sgd.defaults["momentum"] == 0.5
        assert sgd.defaults["lr"] == QUICK["learning_rate"]

    def test_everything_else(self):
        record = Record("on_train_begin", lambda net, **kwargs: net)
        net_params = SMALL | {"iterator_train__pool": 1, "module__kernel_size": 5}
        classifier = quick(callbacks=[record], net_params=net_params).fit(TEXTS, LABEL_SETS)
        [net] = record.found
        assert net.module_ is classifier.network_
        batches = net.get_iterator(net.get_dataset([0]), training=True)
        assert isinstance(batches, LengthBuckets)
        assert batches.pool == 1
        assert classifier.network_.text_encoder.weight.shape[0] == 5
        assert net.batch_size == QUICK["batch_size"]

    def test_unknown_argument(self):
        with pytest.raises(ValueError, match="net_params: unknown entry 'flavour'"):
            quick(net_params=SMALL | {"flavour": "strawberry"}).fit(TEXTS, LABEL_SETS)


class TestPrecision:
    def test_bfloat16_comes_close_to_float32(self):
        long, short = (
            quick(precision=precision, lexical=None, max_epochs=8, random_state=0).fit(TEXTS, LABEL_SETS)
            for precision in ("float32", "bfloat16")
        )
        scores, found = (
            score_texts(each.network_, each.tokenizer_.transform(TEXTS)) for each in (long, short)
        )
        assert found.dtype == np.float32
        assert (scores != found).any()
        assert np.corrcoef(scores.ravel(), found.ravel())[0, 1] > 0.95
        assert {parameter.dtype for parameter in short.network_.parameters()} == {torch.float32}
        matching = [each.history_[-1]["matching_loss"] for each in (long, short)]
        assert matching[1] == pytest.approx(matching[0], rel=0.2)

    def test_predictions_are_in_float32(self, monkeypatch):
        classifier = quick(precision="bfloat16", max_epochs=1).fit(TEXTS, LABEL_SETS)
        expected = classifier.decision_function(TEXTS)
        monkeypatch.setattr(torch, "autocast", None)
        np.testing.assert_array_equal(classifier.decision_function(TEXTS), expected)

    def test_auto_goes_by_what_the_device_can_do(self, monkeypatch):
        cuda = torch.device("cuda")
        for able, expected in ((True, torch.bfloat16), (False, torch.float32)):
            monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda able=able, **_: able)
            assert resolve_precision("auto", cuda) == expected
            assert resolve_precision("auto", torch.device("cpu")) == torch.float32
        assert resolve_precision("bfloat16", torch.device("cpu")) == torch.bfloat16
        assert resolve_precision("float32", cuda) == torch.float32


class TestJointSpace:
    def test_only_visited_where_a_loss_looks_at_it(self, monkeypatch):
        visits = []
        embed_text = HiMatchNetwork.embed_text

        def count(network, *encoded):
            visits.append(network.training)
            return embed_text(network, *encoded)

        monkeypatch.setattr(HiMatchNetwork, "embed_text", count)
        without = quick(lambda_joint=0, lambda_match=0).fit(TEXTS, LABEL_SETS)
        assert not visits
        assert {epoch["joint_loss"] for epoch in without.history_} == {0}
        quick(validation_fraction=0.5, max_epochs=1, batch_size=10).fit(TEXTS, LABEL_SETS)
        # Three batches of training, none of the validation.
        assert visits == [True] * 3


def test_losses_are_means_over_texts():
    # 50 texts in batches of 32 and 18: a mean over batches would weigh them alike.
    def one(net, training=False, **kwargs):
        batch = net.history[-1, "batches", -1]
        return (batch["train_batch_size"], batch["train_loss"], batch["matching_loss"]) if training else None

    record = Record("on_batch_end", one)
    classifier = quick(callbacks=[record], max_epochs=1, batch_size=32, validation_fraction=0)
    classifier.fit(TEXTS[:50], LABEL_SETS[:50])
    sizes, losses, matching = np.array(record.found).T
    assert sorted(sizes) == [18, 32]
    [epoch] = classifier.history_
    assert epoch["train_loss"] == pytest.approx((sizes * losses).sum() / 50)
    assert epoch["matching_loss"] == pytest.approx((sizes * matching).sum() / 50)


def test_the_error_is_an_arithmetic_one():
    assert issubclass(NonFiniteLossError, ArithmeticError)


def test_a_pretrained_encoder_takes_bfloat16_where_the_cpu_has_it(monkeypatch):
    for able, expected in ((True, torch.bfloat16), (False, torch.float32)):
        for test in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
            monkeypatch.setattr(torch.cpu, test, lambda able=able: able)
        assert resolve_precision("auto", torch.device("cpu"), pretrained=True) == expected
        assert resolve_precision("auto", torch.device("cpu")) == torch.float32


class TestPretrained:
    def rates(self, encoder, layer_decay=1.0, **net_params):
        record = Record(
            "on_train_begin",
            lambda net, **_: {
                name: group["initial_lr"] if "initial_lr" in group else group["lr"]
                for group in net.optimizer_.param_groups
                for name, weight in net.module_.named_parameters()
                if any(weight is member for member in group["params"])
            },
        )
        HiMatchClassifier(
            HIERARCHY,
            encoder=PretrainedEncoder(encoder, learning_rate=0.002, layer_decay=layer_decay),
            max_epochs=1,
            schedule="constant",
            learning_rate=0.01,
            random_state=0,
            callbacks=[record],
            net_params=net_params,
        ).fit(TEXTS, LABEL_SETS)
        return record.found[0]

    def test_rates_of_layers(self, tiny_bert):
        rates = self.rates(tiny_bert, layer_decay=0.5)
        by_part = {
            part: {rate for name, rate in rates.items() if part in name}
            for part in ("embeddings", "layer.0", "layer.1", "head.own", "head.bias", "head.scale")
        }
        assert by_part == {
            "embeddings": {0.0005},
            "layer.0": {0.001},
            "layer.1": {0.002},
            "head.own": {0.01},
            "head.bias": {0.01},
            "head.scale": {0.01},
        }
        # It takes no part in T.
        assert not any("pooler" in name for name in rates)

    def test_groups_of_the_user_go_first(self, tiny_bert):
        rates = self.rates(tiny_bert, optimizer__param_groups=[("text_encoder*", {"lr": 0.5})])
        assert {rate for name, rate in rates.items() if name.startswith("text_encoder")} == {0.5}

    def test_one_cycle_scales_all_rates(self, tiny_bert):
        record = Record(
            "on_grad_computed", lambda net, **_: [group["lr"] for group in net.optimizer_.param_groups]
        )
        HiMatchClassifier(
            HIERARCHY,
            encoder=PretrainedEncoder(tiny_bert, learning_rate=0.002),
            max_epochs=3,
            learning_rate=0.01,
            random_state=0,
            callbacks=[record],
        ).fit(TEXTS, LABEL_SETS)
        ratios = {round(max(rates) / min(rates), 6) for rates in record.found}
        assert ratios == {5.0}
        assert max(max(rates) for rates in record.found) <= 0.01


@pytest.mark.parametrize("parts", [2, 3, 100])
def test_gradients_of_a_batch_in_parts_are_those_of_the_whole(parts):
    def gradients(**net_params):
        record = Record(
            "on_grad_computed",
            lambda net, **_: [
                w.grad.clone() for _, w in net.module_.named_parameters() if w.grad is not None
            ],
        )
        # Without dropout and without drawn negatives.
        settings = {"lambda_match": 0, "lambda_joint": 0.1, "max_epochs": 1, "batch_size": 20}
        fitted = quick(
            **settings,
            callbacks=[record],
            net_params=QUICK["net_params"] | {"module__dropout": 0.0} | net_params,
        ).fit(TEXTS, LABEL_SETS)
        return record.found[0], fitted.history_[0]

    whole, epoch = gradients()
    in_parts, epoch_in_parts = gradients(accumulation=parts)
    for one, other in zip(whole, in_parts, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)
    for name in ("train_loss", "classification_loss", "joint_loss"):
        assert epoch[name] == pytest.approx(epoch_in_parts[name], rel=1e-2)


class TestAccumulation:
    """A batch in parts has the gradients of the whole batch, those of the matching loss included."""

    @pytest.mark.parametrize(
        ("sampling", "head"),
        [("hierarchy", "auto"), ("random", "auto"), ("all", "auto"), ("all", "matching")],
    )
    @pytest.mark.parametrize("classification_loss", ["squared_hinge", "mean_cross_entropy"])
    @pytest.mark.parametrize("sample_weight", [None, np.linspace(0.1, 4, 60)])
    def test_gradients(self, sampling, head, classification_loss, sample_weight):
        def first_step(accumulation):
            gradients = Record(
                "on_grad_computed",
                lambda net, **_: {
                    name: weight.grad.clone()
                    for name, weight in net.module_.named_parameters()
                    if weight.grad is not None
                },
            )
            losses = Record(
                "on_batch_end",
                lambda net, training, **_: dict(net.history[-1, "batches", -1]) if training else None,
            )
            # Without dropout the pairs are the first draws after the order of the texts.
            net_params = SMALL | {"module__dropout": 0.0, "accumulation": accumulation}
            quick(
                callbacks=[gradients, losses],
                net_params=net_params,
                sampling=sampling,
                head=head,
                classification_loss=classification_loss,
                lambda_joint=0.5,
                lambda_match=2.0,
                max_epochs=1,
                batch_size=20,
                validation_fraction=0,
            ).fit(TEXTS, LABEL_SETS, sample_weight)
            return gradients.found[0], losses.found[0]

        (whole, losses), (in_parts, losses_in_parts) = first_step(1), first_step(3)
        assert whole.keys() == in_parts.keys()
        assert losses["matching_loss"] > 0
        for name, gradient in whole.items():
            torch.testing.assert_close(in_parts[name], gradient, atol=2e-6, rtol=1e-4, msg=name)
        for name in ("train_loss", "classification_loss", "joint_loss", "matching_loss"):
            assert losses_in_parts[name] == pytest.approx(losses[name], rel=1e-5), name


def test_settings_cannot_change():
    settings = TrainingSettings(max_epochs=1, batch_size=2, learning_rate=0.1)
    assert settings.device == torch.device("cpu")
    with pytest.raises(FrozenInstanceError):
        settings.batch_size = 3


class TestLearningRatesOfEncoders:
    def test_of_networks_of_words(self):
        for encoder in (ConvolutionEncoder(9, 4), GRUEncoder(9), CNNEncoder(9), RCNNEncoder(9)):
            assert encoder.parameter_learning_rates(0.1, 0.5) == {}

    def test_of_a_pretrained_encoder(self, tiny_bert):
        encoder = TransformerEncoder(PretrainedEncoder(tiny_bert))
        rates = encoder.parameter_learning_rates(0.1, 0.5)
        assert rates.keys() == dict(encoder.named_parameters()).keys()
        found = {
            part: {rate for name, rate in rates.items() if part in name}
            for part in ("embeddings", "layer.0", "layer.1")
        }
        assert found == {"embeddings": {0.025}, "layer.0": {0.05}, "layer.1": {0.1}}

    def test_layer_decay_is_a_setting(self, tiny_bert):
        hierarchy = LabelHierarchy([("a", "b")])
        network = build_pretrained_network(
            hierarchy, NetworkSettings(), TransformerEncoder(PretrainedEncoder(tiny_bert))
        )
        settings = TrainingSettings(
            max_epochs=1, batch_size=2, learning_rate=0.1, encoder_learning_rate=0.01, layer_decay=0.5
        )
        # The names of a compiled network's weights have a prefix.
        compiled = {"compile": True, "compile__backend": "eager"}
        for changes, lowest in (
            ({}, 0.0025),
            ({"layer_decay": 0.1}, 0.0001),
            ({"net_params": compiled}, 0.0025),
        ):
            net = build_training_net(network, HiMatchLoss(hierarchy), replace(settings, **changes))
            rates = [group["lr"] for group in net.optimizer_.param_groups]
            assert min(rates) == pytest.approx(lowest)
            assert max(rates) == 0.1
