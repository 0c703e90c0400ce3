"""Parameters that are parts of others can be searched, and settings without effect are refused."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from toy_corpus import HIERARCHY, QUICK, SMALL, binarize, make_corpus

from skhimatch import HiMatchClassifier, PretrainedEncoder
from skhimatch.parameters import Parameters
from skhimatch.text.pretrained import WORD_ENCODERS, as_encoder

TEXTS, LABEL_SETS = make_corpus(60)


def quick(**parameters):
    return HiMatchClassifier(HIERARCHY, **QUICK | parameters)


class TestNetParams:
    def test_entries_have_names(self):
        classifier = quick()
        assert classifier.get_params()["net_params__module__dropout"] == SMALL["module__dropout"]
        assert "net_params__module__dropout" not in classifier.get_params(deep=False)
        assert not any(name.startswith("net_params__") for name in HiMatchClassifier().get_params())

    def test_an_entry_is_set_alone(self):
        classifier = quick()
        other = clone(classifier).set_params(net_params__module__dropout=0.5, gamma=0.3)
        assert other.net_params == SMALL | {"module__dropout": 0.5}
        assert other.gamma == 0.3
        assert classifier.net_params == QUICK["net_params"] == SMALL
        assert HiMatchClassifier().set_params(net_params__optimizer="sgd").net_params == {"optimizer": "sgd"}

    def test_an_entry_may_depend_on_another_that_is_set_already(self):
        classifier = HiMatchClassifier(net_params={"optimizer": "sgd"})
        classifier.set_params(net_params__optimizer__momentum=0.9)
        assert classifier.net_params == {"optimizer": "sgd", "optimizer__momentum": 0.9}

    def test_settings_of_an_encoder_that_is_a_name(self):
        classifier = HiMatchClassifier(encoder="some/bert")
        with pytest.raises(ValueError, match=r"pass encoder=PretrainedEncoder\('some/bert'\) first"):
            classifier.set_params(encoder__freeze="all")
        classifier.set_params(encoder=PretrainedEncoder("some/bert"), encoder__freeze="all")
        assert classifier.encoder.freeze == "all"

    def test_with_the_whole_dict(self):
        classifier = quick().set_params(net_params__module__dropout=0.5, net_params={"accumulation": 2})
        assert classifier.net_params == {"accumulation": 2, "module__dropout": 0.5}

    def test_a_misspelt_name(self):
        classifier = quick()
        with pytest.raises(ValueError, match="'module__dropuot'; did you mean 'module__dropout'"):
            classifier.set_params(net_params__module__dropuot=0.5)
        assert classifier.net_params == SMALL

    def test_a_search(self):
        grid = {"net_params__module__dropout": [0.0, 0.25], "gamma": [0.2]}
        search = GridSearchCV(quick(max_epochs=1), grid, scoring="f1_micro", cv=2)
        search.fit(TEXTS, binarize(LABEL_SETS))
        dropout = search.best_params_["net_params__module__dropout"]
        assert search.best_estimator_.network_.dropout.p == dropout


class TestEncoder:
    def test_settings_are_cloned_and_searched(self, tiny_bert):
        encoder = PretrainedEncoder(tiny_bert, freeze="all")
        classifier = quick(encoder=encoder, net_params=None, max_epochs=1)
        assert clone(classifier).encoder is not encoder
        assert clone(classifier).encoder.get_params() == encoder.get_params()
        search = GridSearchCV(classifier, {"encoder__freeze": ["all", 1]}, scoring="f1_micro", cv=2)
        search.fit(TEXTS, binarize(LABEL_SETS))
        found = search.best_estimator_.network_.text_encoder.settings
        assert found.freeze == search.best_params_["encoder__freeze"]
        assert encoder.freeze == "all"

    def test_the_short_form(self, tiny_bert):
        assert as_encoder(tiny_bert).get_params() == PretrainedEncoder(tiny_bert).get_params()

    @pytest.mark.parametrize("name", WORD_ENCODERS)
    def test_encoders_of_words(self, name):
        assert as_encoder(name) == name

    @pytest.mark.parametrize("name", ["bert-base-uncased", "gpt2", "some/model", "all-MiniLM-L6-v2"])
    def test_names_on_the_hub(self, name):
        assert as_encoder(name).name == name

    @pytest.mark.parametrize(
        ("encoder", "error", "message"),
        [
            ("atention", ValueError, "did you mean 'attention'"),
            ("Attention", ValueError, "did you mean 'attention'"),
            ("gru2", ValueError, "did you mean 'gru'"),
            ("RCNN", ValueError, "did you mean 'rcnn'"),
            ("transformer", ValueError, r"neither .* pass PretrainedEncoder\('transformer'\)"),
            ("", ValueError, "is neither"),
            (3, TypeError, "encoder is a int"),
            (PretrainedEncoder("a/b", freeze="some"), ValueError, "The 'freeze' parameter"),
            (PretrainedEncoder("a/b", layer_decay=0), ValueError, "The 'layer_decay' parameter"),
            (
                PretrainedEncoder("a/b", freeze="all", layer_decay=0.9),
                ValueError,
                "freeze='all' and layer_decay=0.9: no layer is trained",
            ),
            (
                PretrainedEncoder("a/b", freeze="all", pooling="attention"),
                ValueError,
                "freeze='all' and pooling='attention'",
            ),
        ],
    )
    def test_refused(self, encoder, error, message):
        with pytest.raises(error, match=message):
            as_encoder(encoder)


def test_parameters_are_those_of_the_constructor():
    defaults = HiMatchClassifier().get_params(deep=False)
    assert set(defaults) == set(Parameters.__dataclass_fields__)


SETTINGS = {
    f"{encoder}, {propagation}, {head}, {lexical}": {
        "encoder": encoder,
        "propagation": propagation,
        "head": head,
        "lexical": lexical,
    }
    for encoder in WORD_ENCODERS
    for propagation in (None, "gcn", "gated")
    for head in ("labelwise", "flat", "dot")
    for lexical in ("ngrams", None)
    if not (head == "dot" and (propagation or encoder in ("cnn", "rcnn")))
    and not (head == "labelwise" and encoder in ("cnn", "rcnn") and propagation is None)
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_every_network_survives_pickle_and_save(settings, tmp_path):
    sizes = {"module__embedding_dimension": 8, "module__joint_dimension": 4}
    classifier = quick(max_epochs=1, net_params=sizes, **settings).fit(TEXTS, LABEL_SETS)
    expected = classifier.predict_proba(TEXTS[:5])
    assert expected.std() > 0
    classifier.save(tmp_path / "model")
    for again in (
        pickle.loads(pickle.dumps(classifier)),
        HiMatchClassifier.load(tmp_path / "model"),
    ):
        np.testing.assert_array_equal(again.predict_proba(TEXTS[:5]), expected)
        # What came back can be trained on.
        again.partial_fit(TEXTS, LABEL_SETS)


def test_process_workers_take_the_dot_head():
    search = GridSearchCV(
        quick(head="dot", max_epochs=1), {"gamma": [0.1, 0.2]}, scoring="f1_micro", cv=2, n_jobs=2
    )
    search.fit(TEXTS, binarize(LABEL_SETS))
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
