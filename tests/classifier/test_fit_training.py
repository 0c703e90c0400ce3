"""Training: batches, seeds, epochs, histories, word vectors, `partial_fit`."""

import pickle
import random
import re
from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.base import clone
from sklearn.metrics import f1_score
from sklearn.pipeline import make_pipeline
from skorch.callbacks import Callback
from toy_classifier import (
    INDICATOR,
    LABEL_SETS,
    LABELS,
    RCNN,
    TEXTS,
    UNSEEN,
    UNSEEN_SETS,
    Trouble,
    assert_same_weights,
    assert_unfitted,
    quick,
)
from toy_corpus import PATHS, SMALL, SMALL_RCNN, SMALL_RCNN_WITH_NODES, binarize, make_corpus

from skhimatch import HiMatchClassifier, LabelHierarchy, WordTokenizer, WordVectors
from skhimatch.network.heads import LabelwiseHead
from skhimatch.training.net import NonFiniteLossError


class TestLearning:
    def test_held_out_texts(self, learned):
        texts, label_sets = make_corpus(200, seed=5)
        assert f1_score(binarize(label_sets), learned.predict(texts), average="micro") > 0.9
        losses = [epoch["train_loss"] for epoch in learned.history_]
        assert losses[-1] < losses[0] / 10

    def test_texts_lie_nearest_to_their_fine_grained_label(self, learned):
        texts, label_sets = make_corpus(200, seed=5)
        fine = [LABELS.index(next(iter(labels & set(PATHS)))) for labels in label_sets]
        untaught = clone(learned).set_params(lambda_joint=0, lambda_match=0).fit(*make_corpus(300))

        def share_nearest(classifier):
            distances = np.linalg.norm(
                classifier.transform(texts)[:, None] - classifier.label_embeddings_, axis=2
            )
            return (distances.argmin(axis=1) == fine).mean()

        assert share_nearest(learned) > 0.6
        assert share_nearest(untaught) < 0.4

    def test_matching_ranks_ancestors_before_strangers(self, learned):
        texts, label_sets = make_corpus(200, seed=5)
        distances = np.linalg.norm(learned.transform(texts)[:, None] - learned.label_embeddings_, axis=2)
        own = binarize(label_sets).astype(bool)
        assert distances[own].mean() < distances[~own].mean() / 2


BATCH_SETTINGS = [
    {},
    {"propagation": "gated"},
    {"propagation": "gcn"},
    {"head": "flat"},
    {"lexical": None},
    {"net_params": SMALL | {"module__kernel_size": 5, "module__max_length": 30}},
    RCNN,
    RCNN | {"propagation": "gcn"},
    RCNN | {"net_params": SMALL_RCNN | {"module__top_k": 2, "module__kernel_sizes": (2, 5)}},
]


class TestBatches:
    LONG = tuple(" ".join(TEXTS[start : start + 20]) for start in range(0, 40, 5))

    def assert_rows_are_their_own(self, classifier):
        texts = [UNSEEN[0], "lens", "", UNSEEN[1], *self.LONG]
        for method in (classifier.predict_proba, classifier.transform):
            together = method(texts)
            alone = np.concatenate([method([text]) for text in texts])
            np.testing.assert_allclose(together, alone, atol=1e-6, rtol=0)
            order = np.random.default_rng(0).permutation(len(texts))
            np.testing.assert_allclose(
                method([texts[row] for row in order]), together[order], atol=1e-6, rtol=0
            )
            assert np.abs(together - together[0]).max() > 1e-3

    @pytest.mark.parametrize("settings", BATCH_SETTINGS)
    def test_a_row_never_depends_on_its_batch(self, settings):
        self.assert_rows_are_their_own(quick(**settings).fit(TEXTS, LABEL_SETS))

    @pytest.mark.parametrize("propagation", ["gcn", "gated"])
    def test_many_labels(self, propagation):
        hierarchy = {f"area {area}": [f"topic {area}.{topic}" for topic in range(9)] for area in range(21)}
        label_sets = [{f"area {row % 21}", f"topic {row % 21}.{row % 9}"} for row in range(60)]
        settings = {"propagation": propagation, "head": "auto", "learning_rate": 0.02}
        settings |= RCNN | {"net_params": SMALL_RCNN_WITH_NODES}
        classifier = quick(hierarchy, **settings).fit(TEXTS, label_sets)
        assert len(classifier.classes_) == 210
        assert type(classifier.network_.head) is LabelwiseHead
        assert classifier.network_.label_nodes.label_vectors.shape == (210, 8)
        self.assert_rows_are_their_own(classifier)


class TestReproducibility:
    def test_refits_are_equal_bit_by_bit(self, fitted):
        again = clone(fitted).fit(TEXTS, LABEL_SETS)
        assert_same_weights(fitted, again)
        assert_same_weights(fitted, again.fit(TEXTS, LABEL_SETS))
        np.testing.assert_array_equal(fitted.predict_proba(UNSEEN), again.predict_proba(UNSEEN))
        other = quick(random_state=1).fit(TEXTS, LABEL_SETS)
        assert (fitted.predict_proba(UNSEEN) != other.predict_proba(UNSEEN)).any()

    def test_global_generators_are_left_alone(self):
        def state():
            numpy = np.random.get_state()  # noqa: NPY002 (what is tested)
            return torch.get_rng_state().tolist(), numpy[1].tolist(), numpy[2:], random.getstate()

        before = state()
        classifier = quick().fit(TEXTS, LABEL_SETS)
        classifier.partial_fit(TEXTS, LABEL_SETS)
        classifier.predict(UNSEEN)
        classifier.transform(UNSEEN)
        assert state() == before
        assert_same_weights(quick().fit(TEXTS, LABEL_SETS), quick().fit(TEXTS, LABEL_SETS))

    def test_global_generators_have_no_say(self, fitted):
        with torch.random.fork_rng():
            torch.manual_seed(1234)
            assert_same_weights(fitted, quick().fit(TEXTS, LABEL_SETS))

    def test_random_state_instance(self):
        first, second = (quick(random_state=np.random.RandomState(5)) for _ in range(2))
        assert_same_weights(first.fit(TEXTS, LABEL_SETS), second.fit(TEXTS, LABEL_SETS))
        # An instance goes on drawing.
        before = first.predict_proba(UNSEEN)
        assert (first.fit(TEXTS, LABEL_SETS).predict_proba(UNSEEN) != before).any()

    def test_clone_of_a_loaded_vocabulary_does_not_change_the_fit(self, fitted):
        tokenizer = WordTokenizer()
        assert_same_weights(fitted, quick(tokenizer=tokenizer).fit(TEXTS, LABEL_SETS))
        assert not hasattr(tokenizer, "vocabulary_")


class TestPartialFit:
    def test_first_call(self):
        classifier = quick().partial_fit(TEXTS, LABEL_SETS)
        assert classifier.n_iter_ == 1
        assert classifier.classes_.tolist() == LABELS
        assert "valid_score" not in classifier.history_[0]
        assert classifier.history_[0]["docs_per_second"] > 0

    def test_classes(self):
        classifier = quick(None).partial_fit(TEXTS[:5], [{"sport"}] * 5, classes=LABELS)
        classifier.partial_fit(TEXTS, LABEL_SETS)
        assert classifier.classes_.tolist() == LABELS
        assert quick(None).partial_fit(TEXTS, LABEL_SETS).classes_.tolist() == LABELS

    def test_classes_that_are_not_the_known_ones(self):
        classifier = quick(None).partial_fit(TEXTS, LABEL_SETS, classes=LABELS)
        classifier.partial_fit(TEXTS, LABEL_SETS, classes=LABELS)
        for classes in (["other"], LABELS[::-1]):
            with pytest.raises(ValueError, match="`classes` are not the 10 labels that are known already"):
                classifier.partial_fit(TEXTS, LABEL_SETS, classes=classes)
        assert classifier.n_iter_ == 2
        with pytest.raises(ValueError, match="`classes` are not the 10 labels"):
            quick(None, classes=LABELS).partial_fit(TEXTS, LABEL_SETS, classes=LABELS[:3])

    @pytest.mark.parametrize(
        "changed",
        [{"gamma": 5.0}, {"learning_rate": 0.2}, {"batch_size": 5}, {"net_params__optimizer": "sgd"}],
    )
    def test_changed_parameters_take_effect(self, changed):
        one, other, without_memory = (quick().partial_fit(TEXTS, LABEL_SETS) for _ in range(3))
        without_memory = pickle.loads(pickle.dumps(without_memory))
        one.partial_fit(TEXTS, LABEL_SETS)
        other.set_params(**changed).partial_fit(TEXTS, LABEL_SETS)
        without_memory.set_params(**changed).partial_fit(TEXTS, LABEL_SETS)
        assert (one.predict_proba(UNSEEN) != other.predict_proba(UNSEEN)).any()
        assert_same_weights(other, without_memory)

    def test_calls_add_up(self):
        classifier = quick(learning_rate=0.03)
        for _ in range(6):
            classifier.partial_fit(TEXTS, LABEL_SETS)
        assert classifier.n_iter_ == len(classifier.history_) == 6
        assert [epoch["epoch"] for epoch in classifier.history_] == [1, 2, 3, 4, 5, 6]
        losses = [epoch["train_loss"] for epoch in classifier.history_]
        assert losses[-1] < 0.8 * losses[0]

    def test_repeatable(self):
        one, other = quick(), quick()
        for _ in range(3):
            one.partial_fit(TEXTS, LABEL_SETS)
            other.partial_fit(TEXTS, LABEL_SETS)
        assert_same_weights(one, other)

    def test_after_fit(self):
        classifier = quick().fit(TEXTS, LABEL_SETS)
        before = classifier.predict_proba(UNSEEN)
        embeddings = classifier.label_embeddings_
        classifier.partial_fit(TEXTS, LABEL_SETS)
        assert classifier.n_iter_ == 3
        assert [epoch["epoch"] for epoch in classifier.history_] == [1, 2, 3]
        after = classifier.predict_proba(UNSEEN)
        # One epoch on: not a fresh start, nor the same.
        assert 0 < np.abs(after - before).max() < 0.5
        assert (classifier.label_embeddings_ != embeddings).any()

    @pytest.mark.parametrize("first", ["fit", "partial_fit"])
    def test_the_optimiser_remembers(self, first):
        class Optimisers(Callback):
            def on_train_begin(self, net, **kwargs):
                found.append(net.optimizer_)

        found = []
        classifier = getattr(quick(callbacks=[Optimisers()]), first)(TEXTS, LABEL_SETS)
        for _ in range(2):
            classifier.partial_fit(TEXTS, LABEL_SETS)
        assert len(found) == 3
        assert found[1] is found[2]
        # After fit it is a new one: the last one's learning rate went down to nothing.
        assert (found[0] is found[1]) == (first == "partial_fit")

    def test_after_load(self, fitted, tmp_path):
        fitted.save(tmp_path / "model")
        loaded = HiMatchClassifier.load(tmp_path / "model")
        loaded.partial_fit(TEXTS, LABEL_SETS)
        assert loaded.n_iter_ == 3
        here = clone(fitted).fit(TEXTS, LABEL_SETS).partial_fit(TEXTS, LABEL_SETS)
        assert_same_weights(loaded, here)

    def test_fit_starts_anew(self, fitted):
        classifier = quick().partial_fit(TEXTS, LABEL_SETS).fit(TEXTS, LABEL_SETS)
        assert_same_weights(classifier, fitted)
        assert classifier.n_iter_ == 2

    @pytest.mark.parametrize("first", [False, True])
    def test_unknown_label_leaves_it_as_it_was(self, first):
        classifier = quick()
        if not first:
            classifier.partial_fit(TEXTS, LABEL_SETS)
            before = classifier.predict_proba(UNSEEN)
        with pytest.raises(ValueError, match=r"Label 'tenis' in y\[1\].*Did you mean 'tennis'"):
            classifier.partial_fit(TEXTS[:2], [{"sport"}, {"tenis"}])
        if first:
            assert_unfitted(classifier)
        else:
            np.testing.assert_array_equal(classifier.predict_proba(UNSEEN), before)
            assert classifier.n_iter_ == 1

    @pytest.mark.parametrize("error", [NonFiniteLossError, RuntimeError, KeyboardInterrupt])
    def test_an_error_on_the_way_leaves_it_as_it_was(self, error):
        trouble = Trouble(error, epoch=2, batch=3)
        classifier = quick(callbacks=[trouble]).partial_fit(TEXTS, LABEL_SETS)
        before = classifier.predict_proba(UNSEEN)
        with pytest.raises(error):
            classifier.partial_fit(TEXTS, LABEL_SETS)
        np.testing.assert_array_equal(classifier.predict_proba(UNSEEN), before)
        assert classifier.n_iter_ == 1
        fresh = quick(callbacks=[Trouble(error, epoch=1, batch=2)])
        with pytest.raises(error):
            fresh.partial_fit(TEXTS, LABEL_SETS)
        assert_unfitted(fresh)


class TestHistory:
    def test_one_record_an_epoch(self):
        classifier = quick(lambda_joint=0.25, lambda_match=2).fit(TEXTS, LABEL_SETS)
        assert classifier.n_iter_ == len(classifier.history_) == 2
        for number, epoch in enumerate(classifier.history_, start=1):
            assert epoch["epoch"] == number
            # Eq 8, of terms that are recorded before they are weighted.
            total = epoch["classification_loss"] + 0.25 * epoch["joint_loss"] + 2 * epoch["matching_loss"]
            assert epoch["train_loss"] == pytest.approx(total, rel=1e-5)
            assert min(epoch["joint_loss"], epoch["matching_loss"]) > 0
            assert epoch["valid_score"] == epoch["valid_micro_f1"] + epoch["valid_macro_f1"]
            assert epoch["docs_per_second"] > 0
            assert "batches" not in epoch

    @pytest.mark.parametrize("decoding", ["path", "threshold"])
    def test_validation_data_is_what_the_scores_are_of(self, decoding):
        held = UNSEEN, sp.csr_array(binarize(UNSEEN_SETS))
        network = {"lexical": None, "classification_loss": "cross_entropy"}
        classifier = quick(decoding=decoding, threshold=0.2, max_epochs=6, learning_rate=0.03, **network)
        classifier.fit(TEXTS, LABEL_SETS, X_val=held[0], y_val=held[1])
        best = max(classifier.history_, key=lambda epoch: epoch["valid_score"])
        expected, predicted = binarize(UNSEEN_SETS), classifier.predict(UNSEEN)
        assert best["valid_micro_f1"] == pytest.approx(f1_score(expected, predicted, average="micro"))
        assert best["valid_macro_f1"] == pytest.approx(f1_score(expected, predicted, average="macro"))
        # No training text is held out besides.
        everything = quick(max_epochs=1, validation_fraction=0).fit(TEXTS, LABEL_SETS)
        assert classifier.vocabulary_ == everything.vocabulary_

    def test_every_label_keeps_a_training_text(self):
        texts = [*TEXTS, "king pawn king"]
        label_sets = [*LABEL_SETS, {"chess"}]
        hierarchy = LabelHierarchy(
            [(p, c) for path in PATHS.values() for p, c in pairwise(path)],
            [*LABELS, "chess"],
        )
        for seed in range(4):
            classifier = quick(hierarchy, validation_fraction=0.5, random_state=seed, max_epochs=1)
            classifier.fit(texts, label_sets)
            assert classifier.decision_.tagged.all()
            assert "king" in classifier.vocabulary_

    def test_one_line_an_epoch(self, capsys):
        quick(verbose=1).fit(TEXTS, LABEL_SETS)
        lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch")]
        number = r"\d+\.\d{3}"
        line = (
            rf"epoch   \d/2 \| loss {number}: classification {number}, joint {number}, matching {number} "
            rf"\| validation F1 {number} micro, {number} macro \| \d+ docs/s"
        )
        assert len(lines) == 2
        assert all(re.fullmatch(line, found) for found in lines)
        quick(verbose=1, validation_fraction=0).fit(TEXTS, LABEL_SETS)
        assert "validation" not in capsys.readouterr().out

    def test_all_evidence_is_scored_in_the_end(self, capsys):
        classifier = quick(verbose=1).fit(TEXTS, LABEL_SETS, X_val=UNSEEN, y_val=UNSEEN_SETS)
        expected, predicted = binarize(UNSEEN_SETS), classifier.predict(UNSEEN)
        micro, macro = (f1_score(expected, predicted, average=mean) for mean in ("micro", "macro"))
        assert classifier.validation_f1_ == pytest.approx((micro, macro))
        line = f"all scores together | validation F1 {micro:.3f} micro, {macro:.3f} macro"
        assert line in capsys.readouterr().out.splitlines()
        assert quick(validation_fraction=0).fit(TEXTS, LABEL_SETS).validation_f1_ is None

    def test_scores_of_other_weights_are_dropped(self):
        classifier = quick().fit(TEXTS, LABEL_SETS)
        assert classifier.validation_f1_ is not None
        assert classifier.partial_fit(TEXTS, LABEL_SETS).validation_f1_ is None

    def test_silent_by_default(self, capsys):
        quick(max_epochs=3, patience=1).fit(TEXTS, LABEL_SETS).predict(TEXTS)
        captured = capsys.readouterr()
        assert captured.out == captured.err == ""


class TestWordVectors:
    WORDS = ("lens", "leaf", "zither")
    VECTORS = WordVectors(WORDS, np.arange(15).reshape(3, 5))
    # As good as no training: each step of Adam moves a weight by the learning rate at most.
    STILL = {"learning_rate": 1e-9, "max_epochs": 1}  # noqa: RUF012 (never written)

    def rows(self, classifier):
        table = classifier.network_.text_encoder.embedding.weight.detach().numpy()
        return {word: table[id] for word, id in classifier.vocabulary_.index.items()}

    @pytest.mark.parametrize("as_mapping", [False, True])
    def test_through_the_constructor(self, as_mapping):
        vectors = dict(zip(self.WORDS, self.VECTORS.vectors, strict=True)) if as_mapping else self.VECTORS
        classifier = quick(word_vectors=vectors, **self.STILL).fit(TEXTS, LABEL_SETS)
        rows = self.rows(classifier)
        assert rows["lens"] == pytest.approx([0, 1, 2, 3, 4], abs=1e-6)
        assert rows["leaf"] == pytest.approx([5, 6, 7, 8, 9], abs=1e-6)
        assert "zither" not in rows
        assert np.abs(rows["mirror"]).max() > 0.1

    def test_through_a_pipeline(self, tmp_path):
        path = tmp_path / "vectors.txt"
        path.write_text("lens 0 1 2 3 4\nleaf 5 6 7 8 9\n")
        pipeline = make_pipeline(WordTokenizer(), quick(word_vectors=str(path), **self.STILL))
        pipeline.fit(TEXTS, LABEL_SETS)
        rows = self.rows(pipeline[-1])
        assert rows["lens"] == pytest.approx([0, 1, 2, 3, 4], abs=1e-6)
        assert rows["leaf"] == pytest.approx([5, 6, 7, 8, 9], abs=1e-6)

    def test_label_texts_start_label_vectors(self):
        texts = {"optics": "lens, leaf", "rowing": ["Zither"]}
        classifier = quick(word_vectors=self.VECTORS, label_texts=texts, **self.STILL).fit(TEXTS, LABEL_SETS)
        start = classifier.network_.label_vectors.detach().numpy()
        assert start[LABELS.index("optics")] == pytest.approx([2.5, 3.5, 4.5, 5.5, 6.5], abs=1e-6)
        # A word of a label's text is kept although no training text has it.
        assert start[LABELS.index("rowing")] == pytest.approx([10, 11, 12, 13, 14], abs=1e-6)

    def test_labels_start_from_their_names(self):
        classifier = quick(**self.STILL).fit(
            ["sport tennis sport", "tennis"] * 3, [{"sport", "tennis"}, {"tennis"}] * 3
        )
        start, rows = classifier.network_.label_vectors.detach().numpy(), self.rows(classifier)
        np.testing.assert_allclose(start[LABELS.index("sport")], rows["sport"], atol=1e-6)
        np.testing.assert_allclose(start[LABELS.index("tennis")], rows["tennis"], atol=1e-6)

    @pytest.mark.parametrize(
        "settings", [{"propagation": "gcn"}, {"head": "matching"}, {"head": "dot"}, {"lambda_joint": 1.0}]
    )
    def test_shares_of_children_start_the_propagation(self, settings):
        classifier = quick(validation_fraction=0, **self.STILL, **settings).fit(TEXTS, LABEL_SETS)
        expected = classifier.hierarchy_.edge_priors(sp.csr_array(INDICATOR))
        assert len(np.unique(expected)) > 1
        state = classifier.network_.state_dict()
        found = [value.numpy() for name, value in state.items() if name.endswith("edges.prior")]
        assert found
        for prior in found:
            np.testing.assert_allclose(prior, expected, atol=1e-6)

    def test_output_starts_at_the_log_odds_of_the_labels(self):
        settings = {"validation_fraction": 0, "classification_loss": "cross_entropy", **self.STILL}
        classifier = quick(**settings).fit(TEXTS, LABEL_SETS)
        share = (INDICATOR.sum(axis=0) + 0.5) / 61
        expected = np.log(share / (1 - share))
        np.testing.assert_allclose(classifier.network_.head.bias.detach().numpy(), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("n_texts", "n_labels", "batch_size", "epochs"),
    [
        (60, 5, 1, 17),
        (60, 5, 16, 20),
        (1000, 200, 1, 4),
        (1, 5, 1, 20),
        (1000, 201, 1, 10),
        (60, 201, 1, 17),
        (45_000, 4_271, 32, 10),
        (100_000, 1_000, 32, 5),
        (500_000, 1_000, 32, 4),
    ],
)
def test_epochs_until_a_thousand_steps_and_no_more_than_twenty(n_texts, n_labels, batch_size, epochs):
    assert HiMatchClassifier(batch_size=batch_size)._parameters().epochs(n_texts, n_labels) == epochs
