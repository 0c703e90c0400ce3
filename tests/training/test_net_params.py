"""`net_params` take every setting that the network and skorch have, and name what is wrong at once."""

import inspect
import re
from dataclasses import fields

import pytest
import torch
from skorch.callbacks import Callback
from toy_corpus import HIERARCHY, QUICK, SMALL, make_corpus

from skhimatch import HiMatchClassifier, PretrainedEncoder
from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.network.build import NetworkSettings, WordNetworkSettings, build_word_network
from skhimatch.network.convolution import ConvolutionEncoder
from skhimatch.network.device import resolve_device
from skhimatch.network.encoders import CNNEncoder, GRUEncoder, RCNNEncoder
from skhimatch.network.objective import HiMatchLoss
from skhimatch.text.pretrained import WORD_ENCODERS
from skhimatch.training.net_params import (
    MODULE,
    MODULE_OF_ENCODER,
    MODULE_OF_WORDS,
    PARAMETERS,
    NetParams,
    split_net_params,
)

TEXTS, LABEL_SETS = make_corpus(60)
BERT = PretrainedEncoder("some/bert")


def test_none():
    assert split_net_params(None) == split_net_params({}) == NetParams({}, {})


def test_entries_are_split():
    split = split_net_params(
        {
            "module__dropout": 0.5,
            "module__kernel_size": 5,
            "accumulation": 2,
            "iterator_train__pool": 4,
            "optimizer__weight_decay": 0.1,
            "use_caching": False,
        }
    )
    assert split.module == {"dropout": 0.5, "kernel_size": 5}
    assert split.net == {
        "accumulation": 2,
        "iterator_train__pool": 4,
        "optimizer__weight_decay": 0.1,
        "use_caching": False,
    }


class TestModule:
    def test_names_are_those_of_the_networks(self):
        """A setting that a network gets later is either accepted here, or a parameter of the classifier."""
        of_any = {field.name for field in fields(NetworkSettings)}
        assert of_any - {"propagation", "head"} == set(MODULE)
        of_words = {field.name for field in fields(WordNetworkSettings)} - of_any
        of_encoders = {name for names in MODULE_OF_ENCODER.values() for name in names}
        derived = {"vocabulary_size", "encoder", "label_words"}
        assert of_words - derived == {*MODULE_OF_WORDS, *of_encoders}
        encoders = {"attention": ConvolutionEncoder, "gru": GRUEncoder}
        encoders |= {"cnn": CNNEncoder, "rcnn": RCNNEncoder}
        assert tuple(encoders) == WORD_ENCODERS
        for name, encoder in encoders.items():
            arguments = set(inspect.signature(encoder).parameters)
            own = arguments - {"vocabulary_size", "output_size", "embedding_dimension", "dropout"}
            assert own == set(MODULE_OF_ENCODER[name])

    @pytest.mark.parametrize(
        ("encoder", "names"),
        [
            ("attention", ["kernel_size", "embedding_dimension"]),
            ("gru", ["hidden_size", "max_length"]),
            ("cnn", ["kernel_sizes", "filters", "top_k"]),
            ("rcnn", ["hidden_size", "kernel_sizes", "filters", "top_k"]),
            (BERT, ["joint_dimension", "dropout"]),
        ],
    )
    def test_of_the_encoder(self, encoder, names):
        module = {name: (3,) if name == "kernel_sizes" else 3 for name in names}
        entries = {f"module__{name}": value for name, value in module.items()}
        assert split_net_params(entries, encoder).module == module

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            *((name, value) for name in ("embedding_dimension", "node_dimension") for value in (0, 1.5, "8")),
            *(("joint_dimension", 0), ("kernel_size", -1), ("max_length", 0), ("max_length", -1)),
            *(("dropout", "0.1"), ("dropout", None)),
        ],
    )
    def test_values_out_of_their_range(self, name, value):
        with pytest.raises(ValueError, match=rf"module__{name}={value!r}: take a "):
            split_net_params({f"module__{name}": value})

    @pytest.mark.parametrize(
        ("name", "value"),
        [("top_k", 0), ("filters", 0), ("hidden_size", 0), ("kernel_sizes", ()), ("kernel_sizes", (2, 0))],
    )
    def test_values_out_of_their_range_of_the_rcnn(self, name, value):
        with pytest.raises(ValueError, match=rf"module__{name}={re.escape(repr(value))}: take a "):
            split_net_params({f"module__{name}": value}, "rcnn")

    @pytest.mark.parametrize(
        ("encoder", "name", "message"),
        [
            ("attention", "hidden_size", "is for the encoder 'gru' or 'rcnn'.*has encoder='attention'"),
            ("gru", "kernel_size", "is for the encoder 'attention'.*has encoder='gru'"),
            (
                BERT,
                "kernel_sizes",
                r"is for the encoder 'cnn' or 'rcnn'.*encoder=PretrainedEncoder\(name='some/bert'\)",
            ),
            (BERT, "embedding_dimension", "is for networks of words"),
            (BERT, "top_k", "is for networks of words"),
            (BERT, "pooling", r"is a setting of a pretrained encoder: pass encoder=PretrainedEncoder\("),
            (BERT, "max_length", r"is a setting of a pretrained encoder: pass encoder=PretrainedEncoder\("),
        ],
    )
    def test_of_another_encoder(self, encoder, name, message):
        with pytest.raises(ValueError, match=f"'module__{name}' {message}"):
            split_net_params({f"module__{name}": 3}, encoder)


@pytest.mark.parametrize(
    ("encoder", "propagation", "reason"),
    [
        ("gru", None, "nodes are as wide as the encoder's states"),
        ("gru", "gcn", "nodes are as wide as the encoder's states"),
        ("rcnn", None, "labels have no nodes"),
        (BERT, None, "nodes are as wide as the encoder's states"),
        (PretrainedEncoder("some/bert", pooling="cls"), None, "labels have no nodes"),
        (PretrainedEncoder("some/bert", freeze="all"), None, "labels have no nodes"),
    ],
)
def test_a_width_of_nodes_without_effect(encoder, propagation, reason):
    with pytest.raises(ValueError, match=f"'module__node_dimension' has no effect .* since {reason}"):
        split_net_params({"module__node_dimension": 64}, encoder, propagation)


@pytest.mark.parametrize(
    ("encoder", "propagation"),
    [("attention", None), ("rcnn", "gcn"), (PretrainedEncoder("some/bert", pooling="mean"), "gated")],
)
def test_a_width_of_nodes(encoder, propagation):
    split = split_net_params({"module__node_dimension": 64}, encoder, propagation)
    assert split.module == {"node_dimension": 64}


@pytest.mark.parametrize("pooling", ["attention", "shared_attention", "max", "auto"])
@pytest.mark.parametrize("encoder", WORD_ENCODERS)
def test_poolings(encoder, pooling):
    entries = {"module__pooling": pooling}
    assert split_net_params(entries, encoder).module == {"pooling": pooling}
    if pooling == "max" or (pooling == "auto" and encoder in ("cnn", "rcnn")):
        assert split_net_params(entries | {"module__top_k": 2}, encoder).module["top_k"] == 2
        return
    with pytest.raises(ValueError, match=r"'module__top_k' has no effect .*for 'module__pooling': 'max'"):
        split_net_params(entries | {"module__top_k": 2}, encoder)


@pytest.mark.parametrize(
    ("encoder", "pooling", "propagation", "reason"),
    [
        ("rcnn", "attention", "gcn", "nodes are as wide as the encoder's states"),
        ("gru", "max", None, "labels have no nodes"),
    ],
)
def test_the_width_of_nodes_depends_on_the_pooling(encoder, pooling, propagation, reason):
    entries = {"module__pooling": pooling, "module__node_dimension": 64}
    with pytest.raises(ValueError, match=f"'module__node_dimension' has no effect .* since {reason}"):
        split_net_params(entries, encoder, propagation)
    entries["module__pooling"] = "max"
    assert split_net_params(entries, encoder, "gcn").module["node_dimension"] == 64


def test_an_unknown_pooling():
    with pytest.raises(ValueError, match="module__pooling='mean': take one of 'auto', 'attention', "):
        split_net_params({"module__pooling": "mean"}, "gru")


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("optimizer__weight_decy", "'optimizer__weight_decay'"),
        ("optimiser__weight_decay", "'optimizer__weight_decay'"),
        ("acumulation", "'accumulation'"),
        ("module__dropuot", "'module__dropout'"),
        ("module_dropout", "'module__dropout'"),
        ("module__joint_dimensions", "'module__joint_dimension'"),
        ("optimzer", "'optimizer'"),
        ("criterion__gama", "the classifier's parameter `gamma`"),
        ("batchsize", "the classifier's parameter `batch_size`"),
    ],
)
def test_misspelt_names(name, suggestion):
    with pytest.raises(
        ValueError, match=rf"net_params: .*{name!r}.*; did you mean {re.escape(suggestion)}\?"
    ):
        split_net_params({name: 1})


def test_other_names():
    with pytest.raises(
        ValueError, match=r"unknown entry 'flavour'; there are accelerate, accumulation, .*module__dropout"
    ):
        split_net_params({"flavour": 1})
    with pytest.raises(TypeError, match="the name 3 is of type int"):
        split_net_params({3: 1})


class TestParametersOfTheClassifier:
    @pytest.mark.parametrize("name", PARAMETERS)
    def test_refused(self, name):
        with pytest.raises(
            ValueError, match=f"net_params: '{name}' is a parameter .*: use its `{PARAMETERS[name]}`"
        ):
            split_net_params({name: 1})

    def test_they_exist(self):
        assert set(PARAMETERS.values()) <= set(HiMatchClassifier().get_params())

    def test_all_of_the_objective(self):
        names = {f"criterion__{name}" for name in inspect.signature(HiMatchLoss).parameters}
        assert names <= set(PARAMETERS)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (
            "iterator_train__num_workers",
            "not by torch's DataLoader.*The only setting is 'iterator_train__pool'",
        ),
        ("iterator_valid__pin_memory", "not by torch's DataLoader"),
        ("iterator_train__shuffle", "not by torch's DataLoader"),
        ("iterator_train", "batches of its own class"),
        ("iterator_valid", "batches of its own class"),
        ("module", "use `encoder`"),
        ("criterion", "use `classification_loss`"),
        ("module__label_words", "follow from `label_texts`"),
    ],
)
def test_what_cannot_be_set(name, reason):
    with pytest.raises(ValueError, match=f"net_params: '{name}' cannot be set: .*{reason}"):
        split_net_params({name: 1})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("accumulation", 0, "take a whole number from 1"),
        ("accumulation", 1.5, "take a whole number from 1"),
        ("iterator_train__pool", -1, "take a whole number from 1"),
    ],
)
def test_wrong_values(name, value, message):
    with pytest.raises(ValueError, match=f"net_params: {name}={value!r}: {message}"):
        split_net_params({name: value})


class TestOptimizer:
    @pytest.mark.parametrize("name", ["adamw", "AdamW", "ADAMW", torch.optim.AdamW])
    def test_names_in_any_case(self, name):
        assert split_net_params({"optimizer": name}).net == {"optimizer": torch.optim.AdamW}

    def test_every_optimizer_of_torch(self):
        for name in ("Adam", "SGD", "RMSprop", "NAdam", "RAdam", "Adagrad", "Adadelta", "Adamax", "ASGD"):
            found = split_net_params({"optimizer": name.lower()}).net["optimizer"]
            assert found is getattr(torch.optim, name)

    def test_unknown(self):
        with pytest.raises(
            ValueError, match=r"optimizer='adamv' is no optimizer .*; did you mean 'Adam\w?'\?"
        ):
            split_net_params({"optimizer": "adamv"})
        with pytest.raises(ValueError, match=r"optimizer='zzz' is no optimizer .*; there are .*SGD"):
            split_net_params({"optimizer": "zzz"})
        with pytest.raises(ValueError, match=r"optimizer='optimizer' is no optimizer"):
            split_net_params({"optimizer": "optimizer"})
        with pytest.raises(TypeError, match="optimizer=3: pass the name of an optimizer"):
            split_net_params({"optimizer": 3})

    def test_arguments_are_those_of_the_optimizer(self):
        entries = {"optimizer": "sgd", "optimizer__momentum": 0.9}
        assert split_net_params(entries).net["optimizer__momentum"] == 0.9
        with pytest.raises(ValueError, match="'optimizer__momentum' is no argument of the optimizer Adam"):
            split_net_params({"optimizer__momentum": 0.9})
        with pytest.raises(ValueError, match="'optimizer__betas' is no argument of the optimizer SGD"):
            split_net_params({"optimizer": "sgd", "optimizer__betas": (0.9, 0.99)})

    def test_param_groups(self):
        entries = {"optimizer__param_groups": [("head*", {"lr": 0.1})]}
        assert split_net_params(entries).net == entries

    def test_any_arguments_of_a_function(self):
        def optimizer(params, lr, **settings):
            return torch.optim.SGD(params, lr, **settings)

        entries = {"optimizer": optimizer, "optimizer__momentum": 0.9}
        assert split_net_params(entries).net == entries

    def test_a_fit(self):
        class Find(Callback):
            def on_train_begin(self, net, **kwargs):
                self.optimizer_ = net.optimizer_

        find = Find()
        net_params = SMALL | {"optimizer": "adamw", "optimizer__weight_decay": 0.25}
        quick = QUICK | {"callbacks": [find], "net_params": net_params}
        HiMatchClassifier(HIERARCHY, **quick).fit(TEXTS, LABEL_SETS)
        assert type(find.optimizer_) is torch.optim.AdamW
        assert find.optimizer_.defaults["weight_decay"] == 0.25
        assert find.optimizer_.defaults["lr"] == QUICK["learning_rate"]


def test_the_network_has_the_settings():
    split = split_net_params({"module__hidden_size": 6, "module__dropout": 0.25}, "gru")
    hierarchy = LabelHierarchy([("a", "b")])
    settings = WordNetworkSettings(vocabulary_size=10, encoder="gru", **split.module)
    network = build_word_network(hierarchy, settings)
    assert network.text_encoder.output_size == 12
    assert network.dropout.p == 0.25


def test_errors_come_before_texts_are_tokenized():
    class Refuse:
        def fit_transform(self, texts):
            raise AssertionError("tokenized")

        def get_params(self, deep=True):
            return {}

    for net_params in ({"module__dropuot": 0.1}, {"acumulation": 2}):
        classifier = HiMatchClassifier(HIERARCHY, tokenizer=Refuse(), net_params=net_params)
        with pytest.raises(ValueError, match="net_params: unknown entry"):
            classifier.fit(TEXTS, LABEL_SETS)
        assert not hasattr(classifier, "network_")


class TestDevice:
    def test_a_device_of_torch(self):
        assert resolve_device(torch.device("cpu")) == torch.device("cpu")
        HiMatchClassifier(HIERARCHY, **QUICK, device=torch.device("cpu")).fit(TEXTS, LABEL_SETS)

    def test_a_device_that_is_not_there(self, monkeypatch):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        with pytest.raises(ValueError, match=r"device=device\(type='cuda'.* but torch sees no CUDA device"):
            resolve_device(torch.device("cuda", 0))

    def test_another_type(self):
        with pytest.raises(TypeError, match="device=0 is of type int: pass a string"):
            resolve_device(0)


# torch.compile reads attributes of tensors, about which torch itself warns.
@pytest.mark.filterwarnings("ignore")
def test_a_compiled_network_is_trained_the_same():
    def probabilities(**entries):
        quick = QUICK | {"max_epochs": 1, "net_params": SMALL | entries}
        return HiMatchClassifier(HIERARCHY, **quick).fit(TEXTS, LABEL_SETS).predict_proba(TEXTS)

    before = torch.get_rng_state()
    # The backend that compiles nothing takes seconds where the usual one takes minutes.
    found = probabilities(compile=True, compile__backend="eager")
    assert torch.equal(torch.get_rng_state(), before)
    assert found == pytest.approx(probabilities(), abs=1e-6)


def test_settings_of_compilation_have_no_effect_without_it():
    with pytest.raises(ValueError, match=r"'compile__mode' has no effect without 'compile': True"):
        split_net_params({"compile__mode": "default"})
