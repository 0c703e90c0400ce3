"""Errors name the thing, the place and the remedy, and leave everything as it was."""

import copy
import functools

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer
from skorch.callbacks import Callback
from skorch.history import History
from toy_classifier import (
    INDICATOR,
    LABEL_SETS,
    LABELS,
    TEXTS,
    UNSEEN,
    UNSEEN_SETS,
    Trouble,
    assert_same_weights,
    assert_unfitted,
    quick,
)

from skhimatch import WordTokenizer, WordVectors
from skhimatch.training.net import NonFiniteLossError


@functools.cache
def taught():
    return quick(max_epochs=1).fit(TEXTS, LABEL_SETS)


def assert_refused(error, match, X=TEXTS, y=LABEL_SETS, X_val=None, y_val=None, **parameters):
    """Neither a fresh nor a fitted classifier takes anything from a fit that fails."""
    fresh = quick(**parameters)
    with pytest.raises(error, match=match):
        fresh.fit(X, y, X_val=X_val, y_val=y_val)
    assert_unfitted(fresh)
    fitted = copy.deepcopy(taught())
    before = fitted.predict_proba(UNSEEN)
    usual = {name: getattr(fitted, name) for name in parameters}
    with pytest.raises(error, match=match):
        fitted.set_params(**parameters).fit(X, y, X_val=X_val, y_val=y_val)
    np.testing.assert_array_equal(fitted.set_params(**usual).predict_proba(UNSEEN), before)
    assert fitted.n_iter_ == 1


@pytest.mark.parametrize(
    ("X_val", "y_val", "error", "match"),
    [
        (TEXTS[:2], [{"sport"}, {"tenis"}], ValueError, r"Label 'tenis' in y\[1\].*Did you mean 'tennis'"),
        (TEXTS[:3], LABEL_SETS[:2], ValueError, "3 texts in X and 2 rows in y"),
        ([TEXTS[0], None], LABEL_SETS[:2], TypeError, "Text 1 is of type NoneType"),
    ],
)
def test_errors_in_the_validation_set_name_it(X_val, y_val, error, match):
    assert_refused(error, rf"validation set \(X_val as X, y_val as y\): .*{match}", X_val=X_val, y_val=y_val)


@pytest.mark.parametrize("y", [[set()] * 60, np.zeros((60, 0))])
def test_no_label_at_all(y):
    assert_refused(
        ValueError, "no label: y is empty, and neither `hierarchy` nor `classes`", y=y, hierarchy=None
    )


def test_a_tokenizer_of_another_kind():
    assert_refused(TypeError, "take one that returns TokenSequences", tokenizer=TfidfVectorizer())


def test_decide_names_a_wrong_shape(fitted):
    for wrong in (np.ones((2, 3)), np.ones(10)):
        with pytest.raises(ValueError, match=r"probabilities have the shape .*, not \(n, 10\)"):
            fitted.decide(wrong)


class TestBadTexts:
    def test_bare_string(self, fitted):
        match = "Expected several texts, got a single str; wrap it in a list"
        assert_refused(TypeError, match, X="a lens", y=[{"optics"}])
        for method in (fitted.predict, fitted.predict_proba, fitted.decision_function, fitted.transform):
            with pytest.raises(TypeError, match=match):
                method("a lens")

    @pytest.mark.parametrize(
        ("stranger", "kind"), [(None, "NoneType"), (np.nan, "float"), (7, "int"), (b"lens", "bytes")]
    )
    def test_what_is_no_text(self, fitted, stranger, kind):
        texts = [*TEXTS[:17], stranger, *TEXTS[18:]]
        match = f"Text 17 is of type {kind}, not str; (fill or drop missing texts|decode it) first"
        assert_refused(TypeError, match, X=texts)
        assert_refused(TypeError, match, X=np.array(texts, dtype=object))
        with pytest.raises(TypeError, match=match):
            fitted.predict(texts)

    @pytest.mark.parametrize("empty", [[], np.array([], dtype=object), pd.Series([], dtype=object)])
    def test_empty(self, fitted, empty):
        match = "Found 0 samples in .* while a minimum of 1 is required"
        assert_refused(ValueError, match, X=empty, y=[])
        with pytest.raises(ValueError, match=match):
            fitted.predict(empty)

    def test_empty_token_sequences(self, fitted):
        sequences = fitted.tokenizer_.transform(TEXTS)[:0]
        match = "Found 0 samples in .* while a minimum of 1 is required"
        assert_refused(ValueError, match, X=sequences, y=[])
        with pytest.raises(ValueError, match=match):
            fitted.predict(sequences)

    def test_two_dimensions(self, fitted):
        match = (
            r"Expected 1D texts, got a DataFrame of shape \(60, 2\); pass one column, such as df\['text'\]"
        )
        assert_refused(ValueError, match, X=pd.DataFrame({"title": TEXTS, "text": TEXTS}))

    def test_no_token_at_all(self):
        assert_refused(ValueError, "finds no token in any of the 54 texts", X=["..."] * 60)

    def test_another_vocabulary(self, fitted):
        sequences = WordTokenizer().fit_transform(UNSEEN)
        match = "TokenSequences over another vocabulary than in fit"
        for method in (fitted.predict, fitted.transform):
            with pytest.raises(ValueError, match=match):
                method(sequences)
        before = fitted.predict_proba(UNSEEN)
        with pytest.raises(ValueError, match=match):
            fitted.partial_fit(sequences, UNSEEN_SETS)
        np.testing.assert_array_equal(fitted.predict_proba(UNSEEN), before)
        assert_refused(ValueError, match, X_val=sequences, y_val=UNSEEN_SETS)

    def test_texts_where_ids_were_taught(self):
        sequences = WordTokenizer().fit_transform(TEXTS)
        classifier = quick().fit(sequences, LABEL_SETS)
        match = "was fitted on TokenSequences and got raw texts.*Pipeline"
        with pytest.raises(ValueError, match=match):
            classifier.predict(TEXTS)
        assert_refused(ValueError, match, X=sequences, X_val=UNSEEN, y_val=UNSEEN_SETS)


class TestBadTargets:
    @pytest.mark.parametrize(
        ("y", "error", "match"),
        [
            (None, ValueError, "requires y to be passed, but the target y is None: pass one set of labels"),
            ("sport", TypeError, "y is str, not one set of labels per text"),
            (LABEL_SETS[:-1], ValueError, "60 texts in X and 59 rows in y. Pass one row of targets per text"),
            (INDICATOR[:-1], ValueError, "60 texts in X and 59 rows in y"),
            (["sprot"] * 60, ValueError, r"Label 'sprot' in y\[0\] is not among.*Did you mean 'sport'"),
            (["sport"] * 59 + [{"sport"}], TypeError, r"y\[59\] is {'sport'}, but y\[0\] is a string"),
            ([{"sport"}] * 59 + ["sport"], TypeError, r"y\[59\] is 'sport', but y\[0\] is not a string"),
            (np.arange(60), ValueError, "Unknown label type: y is one int64 per text: pass one set"),
            ([{"sport"}] * 59 + [{3}], TypeError, r"y\[59\] holds 3 of type int: label names are strings"),
            ([{"sport"}] * 59 + [None], TypeError, r"y\[59\] is None, not a collection of label names"),
            (
                [{"sport"}] * 59 + [{"opticks"}],
                ValueError,
                r"Label 'opticks' in y\[59\] is not among the 10 known labels. Did you mean 'optics'\?",
            ),
            (INDICATOR[:, 1:], ValueError, r"y has 9 columns but there are 10 labels \(biology, .*classes="),
            (sp.csr_array(INDICATOR[:, :3]), ValueError, "y has 3 columns but there are 10 labels"),
            (INDICATOR * 2, ValueError, "row 0 of y holds 2 in the column of .*only 0 and 1"),
            (np.where(INDICATOR, np.inf, 0.0), ValueError, "y contains NaN or infinity, first at row 0"),
            (
                np.full(INDICATOR.shape, np.nan),
                ValueError,
                "y: no text of a weight above 0 has a known target",
            ),
            (INDICATOR.astype(str), ValueError, "an indicator holds 0 and 1, not <U"),
            (
                pd.DataFrame(INDICATOR, columns=[*LABELS[:-1], "zoo"]),
                ValueError,
                "Label 'zoo' in the columns of y is not among.*",
            ),
            (
                pd.DataFrame(INDICATOR[:, 1:], columns=LABELS[1:]),
                ValueError,
                "y lacks a column for label 'biology'",
            ),
        ],
    )
    def test_refused(self, y, error, match):
        assert_refused(error, match, y=y)

    def test_validation_data(self):
        assert_refused(ValueError, "Label 'chess' in y", X_val=UNSEEN[:1], y_val=[{"chess"}])
        assert_refused(TypeError, "Text 0 is of type NoneType", X_val=[None], y_val=[{"sport"}])

    def test_a_pair_of_validation_data_is_deprecated(self):
        with pytest.warns(FutureWarning, match=r"deprecated: pass X_val=X, y_val=y"):
            old = quick().fit(TEXTS, LABEL_SETS, validation_data=(UNSEEN, UNSEEN_SETS))
        new = quick().fit(TEXTS, LABEL_SETS, X_val=UNSEEN, y_val=UNSEEN_SETS)
        np.testing.assert_array_equal(old.predict_proba(UNSEEN), new.predict_proba(UNSEEN))
        assert_refused(ValueError, "X_val is given but y_val is not", X_val=UNSEEN)

    def test_no_label_at_all(self):
        fresh = quick(None)
        with pytest.raises(ValueError, match="no label"):
            fresh.fit(TEXTS, [set()] * 60)
        assert_unfitted(fresh)

    def test_score(self, fitted):
        with pytest.raises(ValueError, match="40 texts in X and 39 rows in y"):
            fitted.score(UNSEEN, UNSEEN_SETS[:-1])


class TestBadParameters:
    @pytest.mark.parametrize(
        ("parameters", "error", "match"),
        [
            ({"gamma": -0.1}, ValueError, r"The 'gamma' parameter .* must be a float in the range \[0"),
            ({"alpha": -1}, ValueError, "The 'alpha' parameter"),
            ({"beta": "big"}, ValueError, "The 'beta' parameter"),
            ({"lambda_match": -1}, ValueError, "The 'lambda_match' parameter"),
            ({"propagation": "gnn"}, ValueError, "The 'propagation' parameter .*'gated'"),
            ({"head": "round"}, ValueError, "The 'head' parameter"),
            ({"sampling": "some"}, ValueError, "The 'sampling' parameter"),
            ({"max_epochs": 0}, ValueError, "The 'max_epochs' parameter"),
            ({"learning_rate": 0}, ValueError, "The 'learning_rate' parameter"),
            ({"validation_fraction": 1}, ValueError, "The 'validation_fraction' parameter"),
            ({"decoding": "beam"}, ValueError, "The 'decoding' parameter"),
            ({"consistency": "all"}, ValueError, "The 'consistency' parameter"),
            ({"threshold": 1.5}, ValueError, "The 'threshold' parameter"),
            ({"threshold": [0.5] * 9}, ValueError, r"threshold has shape \(9,\).*\(10,\)"),
            ({"threshold": [0.5] * 9 + [2]}, ValueError, "the threshold of label 'zoology' is 2"),
            ({"device": "abacus"}, ValueError, "device='abacus' is no device that torch knows"),
            ({"hierarchy": {"a": ["b"], "b": ["c"], "c": ["a"]}}, ValueError, "a -> b -> c -> a"),
            ({"hierarchy": {"a": ["a"]}}, ValueError, "'a'"),
            ({"hierarchy": 3}, TypeError, "int"),
            ({"classes": ["sport", "tenis"]}, ValueError, "no label 'tenis'; did you mean 'tennis'"),
            ({"word_vectors": "nowhere.txt"}, FileNotFoundError, "nowhere.txt"),
            ({"label_texts": [("optics", "lens")]}, ValueError, "The 'label_texts' parameter"),
            ({"net_params": {"module__color": 1}}, ValueError, "net_params: unknown entry 'module__color'"),
            ({"net_params": {"lr": 0.1}}, ValueError, "'lr'.*use its `learning_rate`"),
            ({"net_params": {"batch_size": 8}}, ValueError, "use its `batch_size`"),
        ],
    )
    def test_refused(self, parameters, error, match):
        assert_refused(error, match, **parameters)

    @pytest.mark.parametrize(
        "method", ["predict", "predict_proba", "decision_function", "transform", "to_label_sets"]
    )
    def test_before_fit(self, method):
        with pytest.raises(NotFittedError, match="not fitted yet"):
            getattr(quick(), method)(TEXTS)

    def test_score_and_save_before_fit(self, tmp_path):
        with pytest.raises(NotFittedError):
            quick().score(TEXTS, LABEL_SETS)
        with pytest.raises(NotFittedError):
            quick().save(tmp_path / "model")
        assert not (tmp_path / "model").exists()


class TestNonFiniteLoss:
    def test_before_an_epoch_is_complete(self):
        huge = WordVectors(["sport"], np.full((1, 16), 3e38))
        match = r"training loss is (nan|inf) in epoch 1, batch 1 .*lower `learning_rate`.*`word_vectors`"
        assert_refused(NonFiniteLossError, match, word_vectors=huge)

    @pytest.mark.parametrize("batch", [1, 3])
    def test_names_the_batch(self, batch):
        trouble = Trouble(NonFiniteLossError, epoch=1, batch=batch)
        assert_refused(
            NonFiniteLossError, f"training loss is nan in epoch 1, batch {batch} ", callbacks=[trouble]
        )

    @pytest.mark.parametrize("validation_fraction", [0, 0.2])
    def test_after_a_good_epoch(self, validation_fraction):
        settings = {"validation_fraction": validation_fraction, "schedule": "constant"}
        classifier = quick(
            callbacks=[Trouble(NonFiniteLossError, epoch=3, batch=2)], max_epochs=5, **settings
        )
        with pytest.warns(
            ConvergenceWarning, match=r"epoch 3, batch 2 .* best of 2 complete epochs were restored"
        ):
            classifier.fit(TEXTS, LABEL_SETS)
        assert classifier.n_iter_ == len(classifier.history_) == 2
        assert np.isfinite(classifier.predict_proba(UNSEEN)).all()
        never = Trouble(NonFiniteLossError, epoch=9, batch=2)
        expected = quick(callbacks=[never], max_epochs=2, **settings).fit(TEXTS, LABEL_SETS)
        assert_same_weights(classifier, expected)

    def test_weights_that_break_in_the_last_step(self):
        # No loss sees them: the epoch ends there.
        class Breaks(Callback):
            def on_batch_end(self, net, training=False, **kwargs):
                if training and (len(net.history), len(net.history[-1, "batches"])) == (self.epoch, 4):
                    with torch.no_grad():
                        net.module_.head.bias.fill_(torch.inf)

        Breaks.epoch = 1
        match = r"weights head\..*bias are no longer finite after the last batch of epoch 1"
        assert_refused(NonFiniteLossError, match, callbacks=[Breaks()], validation_fraction=0)
        Breaks.epoch = 2
        with pytest.warns(ConvergenceWarning, match="epoch 2.* best of 1 complete epochs"):
            classifier = quick(callbacks=[Breaks()], validation_fraction=0).fit(TEXTS, LABEL_SETS)
        assert np.isfinite(classifier.predict_proba(UNSEEN)).all()

    def test_in_validation(self):
        class Breaks(Callback):
            def on_batch_begin(self, net, training=False, **kwargs):
                if not training:
                    with torch.no_grad():
                        net.module_.head.bias.fill_(torch.nan)

        assert_refused(
            NonFiniteLossError, "validation loss is nan in epoch 1, batch 1 ", callbacks=[Breaks()]
        )


class TestInterrupt:
    def test_before_an_epoch_is_complete(self):
        assert_refused(
            KeyboardInterrupt, "before an epoch was complete", callbacks=[Trouble(KeyboardInterrupt, 1, 2)]
        )

    def test_after_an_epoch(self):
        settings = {"max_epochs": 4, "schedule": "constant", "validation_fraction": 0}
        classifier = quick(callbacks=[Trouble(KeyboardInterrupt, epoch=2, batch=2)], **settings)
        classifier.fit(TEXTS, LABEL_SETS)
        assert classifier.n_iter_ == 1
        never = Trouble(KeyboardInterrupt, epoch=9, batch=2)
        expected = quick(callbacks=[never], **settings | {"max_epochs": 1}).fit(TEXTS, LABEL_SETS)
        assert_same_weights(classifier, expected)

    @pytest.mark.parametrize("method", ["new_epoch", "record"])
    @pytest.mark.parametrize("epoch", [1, 2])
    def test_as_an_epoch_begins(self, monkeypatch, method, epoch):
        """Before skorch has a record of the epoch, or before the record has the epoch's number."""
        usual = getattr(History, method)

        def interrupted(history, *arguments):
            done = sum("epoch" in record for record in history)
            if done + 1 == epoch and arguments[:1] in ((), ("epoch",)):
                raise KeyboardInterrupt
            usual(history, *arguments)

        monkeypatch.setattr(History, method, interrupted)
        classifier = quick(max_epochs=4)
        if epoch == 1:
            with pytest.raises(KeyboardInterrupt, match="Interrupted before an epoch began"):
                classifier.fit(TEXTS, LABEL_SETS)
            assert_unfitted(classifier)
        else:
            classifier.fit(TEXTS, LABEL_SETS)
            assert [record["epoch"] for record in classifier.history_] == [1]


def test_an_iterator_of_label_texts_is_refused():
    message = "label_texts has an iterator for 'optics', which can be read only once: pass a list"
    with pytest.raises(TypeError, match=message):
        quick(label_texts={"optics": iter(["lens"])}).fit(TEXTS, LABEL_SETS)


@pytest.mark.parametrize("name", ["classes_", "network_", "history_", "n_iter_", "label_embeddings_"])
def test_attributes_before_fit(name):
    assert not hasattr(quick(), name)
    with pytest.raises(NotFittedError, match="HiMatchClassifier instance is not fitted yet"):
        getattr(quick(), name)
