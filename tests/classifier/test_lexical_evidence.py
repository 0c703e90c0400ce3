"""N-grams and names beside the network, and shortlists where labels are many."""

import pickle

import numpy as np
import pytest
from sklearn.metrics import f1_score
from toy_classifier import LABEL_SETS, RCNN, TEXTS, UNSEEN, UNSEEN_SETS, assert_same_weights, quick
from toy_corpus import HIERARCHY, SMALL, THOROUGH, WORDS, binarize, make_corpus

from skhimatch import HiMatchClassifier
from skhimatch.network.label_attention import LabelAttention
from skhimatch.network.predict import score_texts
from skhimatch.scores import ensemble
from skhimatch.scores.characters import CharacterFeatures
from skhimatch.scores.ngram_classifier import NGramClassifier
from skhimatch.scores.ngram_training import Exactly, InSteps
from skhimatch.scores.ngrams import NGramFeatures
from skhimatch.scores.shortlist import likeliest_labels
from skhimatch.scores.stacking import StackingWeights

COLOURS = "crimson", "yellow", "purple", "orange", "silver"
THINGS = "marble", "feather", "lantern", "pebble", "ribbon"


def towards_the_mean(classifier, sequences, scores):
    """Scores of the network of words, nearer to its mean scores the fewer words of a text are known."""
    known = np.array([np.mean(ids > 1) if len(ids) else 0 for ids in sequences])
    mean = classifier.state_.ensemble.mean_scores["words"]
    return mean + known[:, None] * (scores - mean)


class TestLexicalEvidence:
    def test_all_kinds_of_evidence_count(self, fitted):
        logits = fitted.decision_function(UNSEEN)
        sequences = fitted.tokenizer_.transform(UNSEEN)
        scores = {
            "ngrams": fitted.ngrams_.scores(sequences),
            "names": fitted.label_names_.scores(sequences),
            "characters": fitted.characters_.scores(sequences),
            "words": towards_the_mean(fitted, sequences, score_texts(fitted.network_, sequences)),
        }
        weights = fitted.stacking_weights_.weights
        assert min(weights["ngrams"], weights["characters"], weights["words"]) > 0
        np.testing.assert_allclose(logits, fitted.stacking_weights_(scores), atol=1e-4)

    def test_names_alone_speak_for_a_label_without_texts(self):
        texts, label_sets = make_corpus(300)
        # Half of the texts name their labels, and some name one that no text here carries.
        texts = [
            f"{text} {' '.join(labels)}" if number % 2 else f"{text} origami" if number % 50 == 0 else text
            for number, (text, labels) in enumerate(zip(texts, label_sets, strict=True))
        ]
        hierarchy = HIERARCHY | {"craft": ["origami"]}
        classifier = HiMatchClassifier(hierarchy, **THOROUGH, decoding="threshold").fit(texts, label_sets)
        column = classifier.classes_.tolist().index("origami")
        without, with_it = classifier.predict_proba([UNSEEN[0], f"{UNSEEN[0]} origami"])[:, column]
        assert classifier.ngrams_.bias[column] == -1
        assert with_it > 2 * without

    @pytest.mark.parametrize(("copies", "taught"), [(1, 1 / 11), (10, 1 / 2), (90, 9 / 10)])
    def test_with_few_texts_a_label_names_count_more_and_the_network_less(self, copies, taught):
        texts, label_sets = (
            ["quark", "cell", "volley"] * copies,
            [{"physics"}, {"biology"}, {"tennis"}] * copies,
        )
        fitted = HiMatchClassifier(validation_fraction=0, max_epochs=1, net_params=SMALL).fit(
            texts, label_sets
        )
        expected = dict.fromkeys(("ngrams", "characters"), 2.5 * taught)
        expected |= {"names": 0.1 + 0.25 * (1 - taught), "words": 1.5 * taught}
        assert fitted.stacking_weights_.weights == pytest.approx(expected)

    def test_one_text_a_label_is_enough_where_names_tell(self):
        # What a network knows by heart of one text each is of no use: all else has to be heard.
        draws = np.random.default_rng(0)
        labels = [f"{colour} {thing}" for colour in COLOURS for thing in THINGS]
        filler = [f"word{number}" for number in range(200)]

        def write(label):
            words = [*draws.choice(filler, 40), *label.split()]
            return " ".join(draws.permutation(words))

        classifier = HiMatchClassifier(random_state=0)
        classifier.fit([write(label) for label in labels], [{label} for label in labels])
        new = labels * 4
        predicted = classifier.to_label_sets(classifier.predict([write(label) for label in new]))
        assert np.mean([found == {label} for found, label in zip(predicted, new, strict=True)]) > 0.9

    def test_none_leaves_the_network_alone(self):
        classifier = quick(lexical=None, classification_loss="cross_entropy").fit(TEXTS, LABEL_SETS)
        assert classifier.ngrams_ is None
        assert classifier.stacking_weights_ == StackingWeights({"words": 1.0}, 0.0)
        scores = score_texts(classifier.network_, classifier.tokenizer_.transform(UNSEEN))
        np.testing.assert_array_equal(classifier.decision_function(UNSEEN), scores)

    def test_the_margins_of_a_network_alone_are_calibrated(self):
        classifier = quick(lexical=None, max_epochs=8).fit(TEXTS, LABEL_SETS)
        [weight] = classifier.stacking_weights_.weights.values()
        assert weight > 1

    def test_held_out_texts_are_learned_in_the_end(self, fitted):
        everything = fitted.tokenizer_.transform(TEXTS)
        learned = NGramFeatures.learn(everything)
        np.testing.assert_array_equal(fitted.ngrams_.ngrams.codes, learned.codes)
        np.testing.assert_array_equal(fitted.ngrams_.ngrams.idf, learned.idf)
        assert fitted.characters_.ngrams.ngrams == CharacterFeatures.learn(everything).ngrams

    def test_an_official_validation_set_is_not_learned(self, monkeypatch):
        monkeypatch.setattr(
            "skhimatch.fitting.ngrams.ways_to_train", lambda n_entries, n_labels: [Exactly(1.0)]
        )
        with_it = quick(max_epochs=8).fit(TEXTS, LABEL_SETS, X_val=UNSEEN, y_val=UNSEEN_SETS)
        without = quick(max_epochs=8, validation_fraction=0).fit(TEXTS, LABEL_SETS)
        np.testing.assert_array_equal(with_it.ngrams_.weight.data, without.ngrams_.weight.data)
        assert with_it.stacking_weights_ != without.stacking_weights_

    def test_partial_fit_goes_on(self):
        classifier = quick().partial_fit(TEXTS[:30], LABEL_SETS[:30])
        first = classifier.ngrams_
        classifier.partial_fit(TEXTS[30:], LABEL_SETS[30:])
        assert (classifier.ngrams_.weight != first.weight).nnz
        np.testing.assert_array_equal(classifier.ngrams_.ngrams.codes, first.ngrams.codes)


@pytest.fixture
def many_labels(monkeypatch):
    """Let ten labels be so many that the network looks at six of a text."""
    monkeypatch.setattr(ensemble, "MANY_LABELS", 8)
    monkeypatch.setattr(ensemble, "choose_shortlist_size", lambda targets: 6)
    monkeypatch.setattr(ensemble, "choose_training_shortlist_size", lambda targets: 6)


@pytest.mark.usefixtures("many_labels")
class TestCandidates:
    def test_the_network_looks_at_what_the_n_grams_suggest(self, monkeypatch):
        monkeypatch.setattr(ensemble, "MANY_LABELS", 10)
        classifier = quick().fit(TEXTS, LABEL_SETS)
        assert classifier.shortlist_size_ == 6
        sequences = classifier.tokenizer_.transform(UNSEEN)
        margins, names = classifier.ngrams_.scores(sequences), classifier.label_names_.scores(sequences)
        order = margins + 0.03 * names
        likely = order >= np.sort(order, axis=1)[:, [-6]]
        scores = score_texts(classifier.network_, sequences)
        scores = np.where(likely, scores, classifier.network_.head.bias.detach().numpy())
        expected = classifier.stacking_weights_(
            {
                "ngrams": margins,
                "names": names,
                "characters": classifier.characters_.scores(sequences),
                "words": towards_the_mean(classifier, sequences, scores),
            }
        )
        np.testing.assert_allclose(classifier.decision_function(UNSEEN), expected, atol=1e-4)

    def test_what_counts_is_more_than_usual_where_labels_are_many(self, monkeypatch):
        monkeypatch.setattr(ensemble, "TEXTS_OF_PRIOR", 2)
        monkeypatch.setattr(ensemble, "MANY_LABELS", 5)
        classifier = quick().fit(TEXTS, LABEL_SETS, X_val=UNSEEN, y_val=UNSEEN_SETS)
        sequences = classifier.tokenizer_.transform(UNSEEN)
        all_scores = classifier.state_.ensemble.scores(sequences)
        scores = all_scores["words"]
        shortlist = classifier.state_.ensemble.shortlist("words", sequences)
        looked_at = np.zeros(scores.shape, dtype=bool)
        np.put_along_axis(looked_at, shortlist, True, axis=1)
        mean = scores[looked_at].mean()
        usual = [
            (scores[of_label, label].sum() + 2 * mean) / (of_label.sum() + 2)
            for label, of_label in enumerate(looked_at.T)
        ]
        np.testing.assert_allclose(classifier.score_offsets_["words"], usual, atol=1e-5)
        expected = classifier.stacking_weights_(
            all_scores | {"words": np.where(looked_at, scores - usual, 0)}
        )
        np.testing.assert_allclose(classifier.decision_function(UNSEEN), expected, atol=1e-4)
        again = pickle.loads(pickle.dumps(classifier))
        np.testing.assert_array_equal(again.decision_function(UNSEEN), classifier.decision_function(UNSEEN))

    def test_few_labels_count_as_they_are(self, monkeypatch):
        monkeypatch.setattr(ensemble, "MANY_LABELS", 10)
        assert quick().fit(TEXTS, LABEL_SETS).score_offsets_ is None

    def test_names_suggest_labels_too(self, monkeypatch):
        monkeypatch.setattr(ensemble, "NAMES_IN_SHORTLIST", 0.5)
        texts_of = {label: words.split() for label, words in WORDS.items()}
        classifier = quick(label_texts=texts_of).fit(TEXTS, LABEL_SETS)
        sequences = classifier.tokenizer_.transform(UNSEEN)
        margins, names = classifier.ngrams_.scores(sequences), classifier.label_names_.scores(sequences)
        found = classifier.state_.ensemble.shortlist("words", sequences)
        np.testing.assert_array_equal(found, likeliest_labels(margins + np.float32(0.5) * names, 6))
        assert (found != likeliest_labels(margins, 6)).any()

    def test_it_learns_as_well(self):
        texts, label_sets = make_corpus(300)
        classifier = HiMatchClassifier(HIERARCHY, **THOROUGH).fit(texts, label_sets)
        margins = classifier.ngrams_.scores(classifier.tokenizer_.transform(UNSEEN))
        scores = score_texts(
            classifier.network_, classifier.tokenizer_.transform(UNSEEN), likeliest_labels(margins, 6)
        )
        true = binarize(UNSEEN_SETS)
        assert f1_score(true, classifier.predict(UNSEEN), average="micro") > 0.9
        assert f1_score(true, scores > 0, average="micro") > 0.8

    def test_training_looks_at_no_others(self, monkeypatch):
        shapes = []
        forward = LabelAttention.forward

        def count(nodes, states, lengths, labels=None):
            shapes.append(None if labels is None else labels.shape[1])
            return forward(nodes, states, lengths, labels)

        monkeypatch.setattr(LabelAttention, "forward", count)
        classifier = quick(max_epochs=2).fit(TEXTS, LABEL_SETS)
        classifier.partial_fit(TEXTS, LABEL_SETS)
        assert set(shapes) == {6}

    @pytest.mark.parametrize(
        "settings",
        [{"lexical": None}, {"propagation": "gcn"}, {"head": "flat"}, RCNN],
        ids=["no n-grams", "propagation", "flat head", "rcnn"],
    )
    def test_where_labels_cannot_be_left_out(self, settings):
        classifier = quick(max_epochs=1, **settings).fit(TEXTS, LABEL_SETS)
        assert classifier.shortlist_size_ is None
        assert np.isfinite(classifier.decision_function(UNSEEN)).all()

    @pytest.mark.parametrize("many", [5, 200])
    def test_saved_and_loaded(self, tmp_path, monkeypatch, many):
        monkeypatch.setattr(ensemble, "MANY_LABELS", many)
        classifier = quick(max_epochs=2).fit(TEXTS, LABEL_SETS)
        assert (classifier.score_offsets_ is None) == (many == 200)
        classifier.save(tmp_path / "saved")
        again = HiMatchClassifier.load(tmp_path / "saved")
        np.testing.assert_array_equal(again.decision_function(UNSEEN), classifier.decision_function(UNSEEN))

    def test_equal_seeds(self):
        first, again = (quick(max_epochs=2).fit(TEXTS, LABEL_SETS) for _ in range(2))
        assert_same_weights(first, again)


@pytest.mark.parametrize("ways", [(Exactly(1e-6), Exactly(1.0)), (InSteps(1e-4), InSteps(10.0))])
class TestChoiceOfTheLexicalClassifier:
    def test_the_better_way_on_held_out_texts(self, monkeypatch, ways):
        monkeypatch.setattr("skhimatch.fitting.ngrams.ways_to_train", lambda n_entries, n_labels: ways)
        chosen = quick(max_epochs=1).fit(TEXTS, LABEL_SETS, X_val=UNSEEN, y_val=UNSEEN_SETS)
        monkeypatch.setattr("skhimatch.fitting.ngrams.ways_to_train", lambda n_entries, n_labels: ways[1:])
        alone = quick(max_epochs=1).fit(TEXTS, LABEL_SETS, X_val=UNSEEN, y_val=UNSEEN_SETS)
        np.testing.assert_array_equal(chosen.ngrams_.weight.data, alone.ngrams_.weight.data)

    def test_learning_rates_are_compared_on_some_texts(self, monkeypatch, ways):
        monkeypatch.setattr("skhimatch.fitting.ngrams.ways_to_train", lambda n_entries, n_labels: ways)
        monkeypatch.setattr("skhimatch.fitting.ngrams.TEXTS_OF_A_TRIAL", 30)
        numbers = []

        def counted(self, features, *arguments, train=NGramClassifier.trained, **options):
            numbers.append(features.shape[0])
            return train(self, features, *arguments, **options)

        monkeypatch.setattr(NGramClassifier, "trained", counted)
        weight = np.linspace(1, 2, len(TEXTS))
        chosen = quick(max_epochs=1).fit(
            TEXTS, LABEL_SETS, sample_weight=weight, X_val=UNSEEN, y_val=UNSEEN_SETS
        )
        assert numbers == ([30, 30, len(TEXTS)] if isinstance(ways[0], InSteps) else [])
        assert chosen.choices_.ngrams == repr(ways[1])

    def test_the_same_way_for_all_texts_in_the_end(self, monkeypatch, ways):
        monkeypatch.setattr("skhimatch.fitting.ngrams.ways_to_train", lambda n_entries, n_labels: ways)
        fitted = quick(max_epochs=1).fit(TEXTS, LABEL_SETS)
        everything = fitted.tokenizer_.transform(TEXTS)
        assert np.abs(fitted.ngrams_.scores(everything) + 1).max() > 0.5
