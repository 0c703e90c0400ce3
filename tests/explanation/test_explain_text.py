"""Explanations agree with what the classifier predicts, whatever it is made of."""

import dataclasses
import pickle
import warnings

import numpy as np
import pytest
import torch
from reference_fits import many_labels
from sklearn.base import BaseEstimator, TransformerMixin
from toy_corpus import HIERARCHY, PATHS, QUICK, SMALL, SMALL_GRU, SMALL_RCNN, THOROUGH, make_corpus

from benchmarks.faithfulness import measure
from skhimatch import HiMatchClassifier, PretrainedEncoder, WordTokenizer
from skhimatch.explanation import left_out
from skhimatch.network import encodings
from skhimatch.scores.path_choice import PathChoice
from skhimatch.scores.stacking import StackingWeights
from skhimatch.text.places import without_places
from skhimatch.text.subwords import SubwordTokenizer

TEXT = "The lens and a mirror: light, lens-light, with unheard energy!"
DAG = [("science", "physics"), ("science", "biology"), ("physics", "biophysics"), ("biology", "biophysics")]
OF_DAG = {"optics": "biophysics", "mechanics": "physics", "botany": "biology", "zoology": "biology"}
BERT_TEXTS = ["a quark and a gluon", "the cell divides", "a serve and a volley"] * 8
BERT_LABELS = [{"science", "physics"}, {"science", "biology"}, {"sport", "tennis"}] * 8
BERT_HIERARCHY = {"science": ["physics", "biology"], "sport": ["tennis"]}


def fitted(n_texts=80, paths=1, hierarchy=HIERARCHY, **settings):
    return HiMatchClassifier(hierarchy, **QUICK | settings).fit(*make_corpus(n_texts, paths=paths))


def words_of(explained):
    return {word.word: word for word in explained.words}


def check(classifier, text, labels=None):
    """Check an explanation of a text against predictions."""
    explanation = classifier.explain(text, labels=labels)
    assert dataclasses.is_dataclass(explanation)
    log_odds = classifier.decision_function([text])[0]
    [predicted] = classifier.to_label_sets(classifier.predict([text]))
    assert set(explanation.predicted) == predicted
    index = classifier.hierarchy_.index
    for explained in explanation.labels:
        column = index[explained.label]
        assert explained.log_odds == pytest.approx(log_odds[column], abs=1e-3)
        assert explained.predicted == (explained.label in predicted)
        total = sum(part.contribution for part in explained.evidence)
        assert explained.constant + total + explained.adjustment == pytest.approx(explained.log_odds)
        for part in explained.evidence:
            if part.source in ("ngrams", "characters"):
                summed = sum(ngram.contribution for ngram in part.ngrams) + part.bias
                assert summed == pytest.approx(part.contribution, abs=1e-4)
            attended = sum(word.weight for word in part.attention)
            assert attended <= 1 + 1e-5
            if part.source == "words" and part.attention:
                assert attended == pytest.approx(1, abs=1e-5)
        places = [word.places for word in explained.words]
        shorter = [without_places(text, of_word) for of_word in places]
        if shorter:
            without = classifier.decision_function(shorter)[:, column]
            effects = [word.effect for word in explained.words]
            np.testing.assert_allclose(effects, log_odds[column] - without, atol=2e-3)
            assert effects == sorted(effects, reverse=True)
        if explained.changed_by:
            gone = [place for word in explained.changed_by for place in words_of(explained)[word].places]
            [left] = classifier.to_label_sets(classifier.predict([without_places(text, gone)]))
            assert (explained.label in left) != explained.predicted
            gone = [place for word in explained.changed_by[:-1] for place in words_of(explained)[word].places]
            [left] = classifier.to_label_sets(classifier.predict([without_places(text, gone)]))
            assert (explained.label in left) == explained.predicted
    for change in explanation.changes:
        shorter = without_places(text, words_of(explanation.labels[0])[change.word].places)
        [left] = classifier.to_label_sets(classifier.predict([shorter]))
        assert (predicted - left, left - predicted) == (set(change.lost), set(change.gained))
    assert str(explanation)
    assert explanation.to_html()
    return explanation


@pytest.fixture(scope="module")
def default():
    return fitted(validation_fraction=0.2)


KINDS = {
    "default": {"validation_fraction": 0.2},
    "no-lexical": {"lexical": None},
    "flat-head": {"head": "flat"},
    "dot": {"head": "dot", "net_params": {"module__embedding_dimension": 16, "module__joint_dimension": 8}},
    "matching": {"head": "matching"},
    "matching-alone": {"head": "matching", "lexical": None},
    "propagation": {"propagation": "gcn"},
    "gru": {"encoder": "gru", "net_params": SMALL_GRU},
    "rcnn": {"encoder": "rcnn", "net_params": SMALL_RCNN},
    "several-paths": {"paths": 2, "validation_fraction": 0.2},
    "threshold": {"decoding": "threshold", "threshold": 0.3, "consistency": None},
    "precision": {"optimize": "precision@2"},
    "no-joint-space": {"lambda_joint": 0, "lambda_match": 0},
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_classifier(kind):
    classifier = fitted(**KINDS[kind])
    for text in (TEXT, "", "xyzzy", make_corpus(1, seed=9)[0][0]):
        check(classifier, text)
    explanation = classifier.explain(TEXT)
    [*_, explained] = explanation.labels
    sources = [part.source for part in explained.evidence]
    assert sources == list(classifier.stacking_weights_.weights)
    [network] = [part for part in explained.evidence if part.source == "words"]
    assert bool(network.attention) == (kind != "rcnn")
    assert (explained.distance is None) == (kind == "no-joint-space")
    by_threshold = kind in ("threshold", "several-paths")
    assert (explained.threshold is not None) == by_threshold


@pytest.mark.parametrize("paths", [1, 2])
@pytest.mark.parametrize("method", ["isotonic", "sigmoid", "temperature"])
def test_calibrated_classifiers(method, paths):
    classifier = fitted(paths=paths, validation_fraction=0.2)
    classifier.calibrate(*make_corpus(60, seed=4, paths=paths), method=method)
    check(classifier, TEXT)


def test_the_sum_is_exact_where_it_is_linear():
    classifier = fitted(paths=2, validation_fraction=0.2, hierarchy=None)
    assert isinstance(classifier.stacking_weights_, StackingWeights)
    for explained in classifier.explain(TEXT, labels=list(classifier.classes_)).labels:
        assert explained.adjustment == pytest.approx(0, abs=1e-4)
        assert explained.rival is None
    classifier.calibrate(*make_corpus(60, seed=4, paths=2), method="sigmoid")
    for explained in classifier.explain(TEXT, labels=list(classifier.classes_)).labels:
        assert explained.adjustment == pytest.approx(0, abs=1e-4)


def test_paths_are_compared_with_the_likeliest_other(default):
    assert isinstance(default.stacking_weights_, PathChoice)
    explanation = check(default, TEXT)
    probabilities = dict(zip(default.classes_, default.predict_proba([TEXT])[0], strict=True))
    lowest = explanation.predicted[-1]
    others = sorted(set(PATHS) - {lowest}, key=probabilities.get)
    assert explanation[lowest].rival == others[-1]
    assert default.explain(TEXT, labels=others)[others[-1]].rival == lowest


def test_trees_flat_hierarchies_and_dags():
    texts, label_sets = make_corpus(80)
    flat = [{max(labels, key=len)} for labels in label_sets]
    explanation = check(HiMatchClassifier(**QUICK).fit(texts, flat), TEXT)
    assert len(explanation.labels[0].siblings) == len(set().union(*flat))
    rows = [(text, labels & set(OF_DAG)) for text, labels in zip(texts, label_sets, strict=True)]
    kept = [(text, {OF_DAG[label] for label in ends}) for text, ends in rows if ends]
    dag = HiMatchClassifier(DAG, **QUICK).fit(*map(list, zip(*kept, strict=True)))
    explanation = check(dag, TEXT, labels=["biophysics", "physics", "science"])
    family = {part.label for part in explanation["physics"].siblings}
    assert family == {"physics", "biology"}


def test_labels_can_be_named(default):
    explanation = default.explain(TEXT, labels=["rowing", "optics"])
    assert [part.label for part in explanation.labels] == ["rowing", "optics"]
    assert default.explain(TEXT, labels="optics").labels == (explanation["optics"],)
    with pytest.raises(ValueError, match="did you mean 'optics'"):
        default.explain(TEXT, labels=["optic"])
    with pytest.raises(KeyError, match=r"'tennis'.*only 'rowing', 'optics'"):
        explanation["tennis"]
    assert len(default.explain(TEXT, n_others=4).labels) == len(explanation.predicted) + 4


def test_siblings_are_in_the_order_of_their_probabilities(default):
    explanation = default.explain(TEXT, labels=["optics", "tennis", "science"])
    probabilities = dict(zip(default.classes_, default.predict_proba([TEXT])[0], strict=True))
    for label, family in (
        ("optics", {"optics", "mechanics"}),
        ("tennis", {"tennis", "rowing"}),
        ("science", {"science", "sport"}),
    ):
        siblings = explanation[label].siblings
        assert {part.label for part in siblings} == family
        for part in siblings:
            assert part.probability == pytest.approx(probabilities[part.label], rel=1e-3)
        assert siblings[0].probability >= siblings[1].probability


def test_words_are_placed_in_the_text_as_it_was_given(default):
    text = "LENS cafe\u0301 lens, İx \u212bx 北京 mirror"
    explanation = check(default, text)
    places = {word.word: word.places for word in explanation.labels[0].words}
    shown = {word: [text[start:end] for start, end in found] for word, found in places.items()}
    assert shown["lens"] == ["LENS", "lens"]
    assert shown["café"] == ["cafe\u0301"]
    assert shown["北"] == ["北"]
    assert shown["åx"] == ["\u212bx"]
    assert shown["mirror"] == ["mirror"]


def test_words_of_the_name_and_of_the_evidence(default):
    explanation = default.explain("optics of a lens, an optical lens", labels=["optics"])
    evidence = {part.source: part for part in explanation["optics"].evidence}
    assert evidence["names"].name_words == () or set(evidence["names"].name_words) <= {"optics", "optical"}
    assert {ngram.ngram for ngram in evidence["ngrams"].ngrams} <= {"of", "a", "lens", "of a", "a lens"}
    assert evidence["ngrams"].ngrams[0].ngram.endswith("lens")
    named = HiMatchClassifier(HIERARCHY, label_texts={"optics": "lens"}, **QUICK).fit(*make_corpus(80))
    evidence = {part.source: part for part in named.explain(TEXT, labels=["optics"]).labels[0].evidence}
    assert evidence["names"].name_words == ("lens",)


def test_attention_is_that_of_the_network():
    classifier = fitted(lexical=None)
    text = "lens the mirror lens"
    [evidence] = classifier.explain(text, labels=["optics"])["optics"].evidence
    network = classifier.network_.eval()
    ids = classifier.tokenizer_.transform([text])[0]
    with torch.no_grad():
        states, _ = network.encode(torch.tensor(ids[None].astype(np.int64)), torch.tensor([4]))
        query = network.label_nodes.queries[classifier.hierarchy_.index["optics"]]
        weights = torch.softmax(states[0] @ query, dim=0).numpy()
    found = {word.word: word.weight for word in evidence.attention}
    expected = {"lens": weights[0] + weights[3], "the": weights[1], "mirror": weights[2]}
    assert found == pytest.approx(expected, abs=1e-5)


def test_distances_are_those_of_the_joint_space(default):
    expected = np.linalg.norm(default.transform([TEXT]) - default.label_embeddings_, axis=1)
    for explained in default.explain(TEXT).labels:
        assert explained.distance == pytest.approx(
            expected[default.hierarchy_.index[explained.label]], abs=1e-5
        )


def test_labels_off_the_shortlist_are_not_scored_by_the_network():
    texts, label_sets, hierarchy = many_labels(600)
    classifier = HiMatchClassifier(hierarchy, **QUICK).fit(texts, label_sets)
    assert classifier.shortlist_size_ is not None
    assert classifier.score_offsets_ is not None
    text = texts[0]
    explanation = check(classifier, text)
    all_labels = classifier.explain(text, labels=list(classifier.classes_))
    scored = [part.scored for label in all_labels.labels for part in label.evidence if part.source == "words"]
    assert sum(scored) == classifier.shortlist_size_
    assert "not on the shortlist" in str(all_labels)
    for explained in explanation.labels:
        assert all(part.scored for part in explained.evidence if part.source != "words")


def test_what_is_not_read_is_said():
    settings = QUICK | {"net_params": SMALL | {"module__max_length": 4}}
    classifier = HiMatchClassifier(HIERARCHY, tokenizer=WordTokenizer(max_length=6), **settings)
    classifier.fit(*make_corpus(80))
    explanation = classifier.explain("one two three four five six seven eight")
    of_words, of_network = explanation.unread
    assert of_words.sources == ("ngrams", "names", "characters", "words")
    assert (of_words.n_read, of_words.n_tokens, of_words.unit) == (6, 8, "words")
    assert (of_network.sources, of_network.n_read, of_network.n_tokens) == (("words",), 4, 6)
    assert explanation.text[of_network.start :].startswith("five")
    assert "the first 4 of 6 words" in str(explanation)
    assert classifier.explain("one two three four").unread == ()
    # Words that nobody reads do not count.
    assert [word.word for word in explanation.labels[0].words if word.word in ("seven", "eight")] == []


def test_texts_as_tokens_and_as_ids():
    texts, label_sets = make_corpus(80)
    tokenizer = WordTokenizer()
    sequences = tokenizer.fit_transform(texts)
    of_ids = HiMatchClassifier(HIERARCHY, **QUICK).fit(sequences, label_sets)
    of_texts = HiMatchClassifier(HIERARCHY, **QUICK).fit(texts, label_sets)
    text = "The lens unheard mirror lens"
    expected = of_texts.explain(text)
    for explanation in (of_ids.explain(tokenizer.transform([text])), of_texts.explain(text.split())):
        assert explanation.predicted == expected.predicted
        assert explanation.text.lower() == text.lower()
        for found, wanted in zip(explanation.labels, expected.labels, strict=True):
            assert words_of(found).keys() == words_of(wanted).keys()
            for word, effect in words_of(wanted).items():
                assert words_of(found)[word].effect == pytest.approx(effect.effect, abs=1e-3)
                assert words_of(found)[word].places == effect.places
    with pytest.raises(ValueError, match="fitted on TokenSequences"):
        of_ids.explain(text)
    with pytest.raises(TypeError, match="Expected one text, got 3"):
        of_ids.explain(sequences[:3])


class SplitAtCommas(TransformerMixin, BaseEstimator):
    """A tokenizer of a user: words between commas."""

    def fit(self, X, y=None):
        self.words_ = WordTokenizer(token_pattern="[^,]+").fit(X)
        self.vocabulary_ = self.words_.vocabulary_
        return self

    def transform(self, X):
        return self.words_.transform(X)


def test_a_tokenizer_of_a_user():
    texts, label_sets = make_corpus(60)
    texts = [text.replace(" ", ",") for text in texts]
    classifier = HiMatchClassifier(HIERARCHY, tokenizer=SplitAtCommas(), **QUICK).fit(texts, label_sets)
    explanation = check(classifier, "lens,mirror,the")
    assert set(words_of(explanation.labels[0])) == {"lens", "mirror", "the"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (["a lens", "a mirror"], r"got a list of 2; pass one of them, such as text\[0\]"),
        (None, "Expected one text.*got NoneType"),
        ([1, 2], "a list of its tokens"),
        (3, "got int"),
    ],
)
def test_what_is_not_one_text_is_refused(default, text, message):
    with pytest.raises(TypeError, match=message):
        default.explain(text)


@pytest.mark.parametrize(
    ("freeze", "pooling", "lexical", "head"),
    [
        ("all", "auto", "words", "auto"),
        ("all", "mean", None, "flat"),
        (None, "attention", "ngrams", "auto"),
        (1, "attention", None, "labelwise"),
        (None, "mean", "ngrams", "matching"),
    ],
)
def test_pretrained_encoders(tiny_bert, tmp_path, freeze, pooling, lexical, head):
    encoder = PretrainedEncoder(tiny_bert, freeze=freeze, pooling=pooling)
    settings = {"lexical": lexical, "head": head, "max_epochs": 2, "batch_size": 8, "random_state": 0}
    classifier = HiMatchClassifier(BERT_HIERARCHY, encoder=encoder, **settings)
    classifier.fit(BERT_TEXTS, BERT_LABELS)
    text = "The quark, and a gluons membrane!"
    explanation = check(classifier, text)
    evidence = {part.source: part for part in explanation.labels[0].evidence}
    attends = freeze != "all" and pooling == "attention"
    assert bool(evidence["pretrained"].attention) == attends
    if attends:
        # Special tokens and signs have the rest of the weight.
        words = {word.word: word.weight for word in evidence["pretrained"].attention}
        assert set(words) == {"the", "quark", "and", "a", "gluons", "membrane"}
        assert 0.2 < sum(words.values()) < 1
    assert ("meaning" in evidence) == (head in ("auto", "matching"))
    check(classifier, "")
    classifier.save(tmp_path / "model")
    loaded = HiMatchClassifier.load(tmp_path / "model")
    assert str(loaded.explain(text)) == str(explanation)


def test_shorter_texts_are_not_stored(tiny_bert, tmp_path, monkeypatch):
    encoder = PretrainedEncoder(tiny_bert, freeze="all")
    classifier = HiMatchClassifier(BERT_HIERARCHY, encoder=encoder, lexical=None, max_epochs=1)
    classifier.fit(BERT_TEXTS, BERT_LABELS)
    stored = []
    monkeypatch.setattr(encodings.EncodingStore, "get", lambda *arguments: stored.append(arguments))
    classifier.explain("the quark divides a gluon")
    assert stored == []


@pytest.mark.parametrize("long_text", ["truncate", "stride"])
def test_what_a_pretrained_encoder_does_not_read(tiny_bert, long_text):
    encoder = PretrainedEncoder(tiny_bert, long_text=long_text)
    classifier = HiMatchClassifier(BERT_HIERARCHY, encoder=encoder, lexical="ngrams", max_epochs=1)
    classifier.fit(BERT_TEXTS, BERT_LABELS)
    text = "quark gluon " * 10 + "volley"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        explanation = classifier.explain(text)
    if long_text == "stride":
        assert explanation.unread == ()
        attention = {part.source: part for part in explanation.labels[0].evidence}["pretrained"].attention
        assert {word.word for word in attention} == {"quark", "gluon", "volley"}
    else:
        [unread] = explanation.unread
        # A window of 16 tokens, two of them special.
        assert (unread.sources, unread.n_read, unread.n_tokens) == (("pretrained",), 14, 21)
        assert unread.unit == "subwords"
        assert text[unread.start :] == "quark gluon " * 3 + "volley"


def test_subwords_without_their_text_are_refused(tiny_bert):
    tokenizer = SubwordTokenizer(tiny_bert)
    texts = tokenizer.fit_transform(BERT_TEXTS)
    classifier = HiMatchClassifier(BERT_HIERARCHY, encoder=tiny_bert, lexical=None, max_epochs=1)
    classifier.fit(texts, BERT_LABELS)
    with pytest.raises(TypeError, match="fit the classifier on texts"):
        classifier.explain(texts[:1])


def test_explanations_are_equal_after_loading_and_can_be_pickled(default, tmp_path):
    default.save(tmp_path / "model")
    explanation = default.explain(TEXT)
    loaded = HiMatchClassifier.load(tmp_path / "model").explain(TEXT)
    assert str(loaded) == str(explanation)
    assert pickle.loads(pickle.dumps(explanation)) == explanation
    with pytest.raises(dataclasses.FrozenInstanceError):
        explanation.text = ""


def test_explanations_are_faithful():
    classifier = HiMatchClassifier(HIERARCHY, **THOROUGH).fit(*make_corpus(300))
    found = measure(classifier, make_corpus(150, seed=1)[0], n_texts=100, n_words=3)
    assert found.texts == 100
    assert found.share >= 0.95
    assert found.named > 2 * found.random


def test_random_words_instead_of_named_ones_are_not_faithful(monkeypatch):
    """The measure itself: named words that are drawn at random are no better than others."""
    classifier = fitted(200)
    explain = type(classifier).explain
    draws = np.random.RandomState(0)

    def at_random(self, text, labels):
        explanation = explain(self, text, labels=labels)
        [explained] = explanation.labels
        shuffled = [explained.words[place] for place in draws.permutation(len(explained.words))]
        words = tuple(dataclasses.replace(word, effect=1.0) for word in shuffled)
        return dataclasses.replace(explanation, labels=(dataclasses.replace(explained, words=words),))

    monkeypatch.setattr(type(classifier), "explain", at_random)
    found = measure(classifier, make_corpus(150, seed=1)[0], n_texts=100, n_words=3)
    assert 0.3 < found.share < 0.7


def test_the_fewest_words_that_change_a_decision(default):
    explanation = check(default, "lens light mirror prism energy matter study theory")
    explained = explanation["optics"]
    assert len(explained.changed_by) > 1
    assert explained.changed_by == tuple(word.word for word in explained.words[: len(explained.changed_by)])


def test_long_texts_are_scored_in_parts(default, monkeypatch):
    whole = default.explain(TEXT)
    monkeypatch.setattr(left_out, "MAX_WORDS_AT_ONCE", 30)
    in_parts = default.explain(TEXT)
    for explained in whole.labels:
        effects = [word.effect for word in explained.words]
        again = {word.word: word.effect for word in in_parts[explained.label].words}
        assert [again[word.word] for word in explained.words] == pytest.approx(effects, abs=1e-4)


def test_only_the_first_different_words_are_left_out(default, monkeypatch):
    monkeypatch.setattr(left_out, "MAX_DIFFERENT_WORDS", 3)
    assert set(words_of(default.explain(TEXT).labels[0])) == {"the", "lens", "and"}
