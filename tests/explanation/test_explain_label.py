"""What is said of a label agrees with weights, hierarchy and predictions."""

import numpy as np
import pytest
from toy_corpus import HIERARCHY, QUICK, THOROUGH, WORDS, binarize, make_corpus

from skhimatch import HiMatchClassifier, PretrainedEncoder


@pytest.fixture(scope="module")
def classifier():
    return HiMatchClassifier(HIERARCHY, **THOROUGH).fit(*make_corpus(300))


def test_its_place_in_the_hierarchy(classifier):
    explanation = classifier.explain_label("physics")
    assert (explanation.level, explanation.parents) == (2, ("science",))
    assert explanation.children == ("mechanics", "optics")
    assert explanation.siblings == ("biology",)
    assert classifier.explain_label("science").siblings == ("sport",)


def test_training_texts_are_counted():
    texts, label_sets = make_corpus(60)
    fitted = HiMatchClassifier(HIERARCHY, **QUICK | {"validation_fraction": 0}).fit(texts, label_sets)
    assert fitted.explain_label("physics").n_texts == sum("physics" in labels for labels in label_sets)


def test_ngrams_are_those_with_the_largest_weights(classifier):
    explanation = classifier.explain_label("optics", n_ngrams=4)
    assert {part.ngram for part in explanation.ngrams} == set(WORDS["optics"].split())
    weights = classifier.ngrams_.weight.toarray()[:, classifier.hierarchy_.index["optics"]]
    strength = weights * classifier.ngrams_.ngrams.idf
    expected = np.sort(strength)[::-1][:4]
    np.testing.assert_allclose([part.weight for part in explanation.ngrams], expected, rtol=1e-6)
    opposing = [part.weight for part in explanation.opposing_ngrams]
    np.testing.assert_allclose(opposing, np.sort(strength)[:4], rtol=1e-6)
    assert all(part.weight > 0 for part in explanation.characters)


def test_neighbours_are_near_in_the_joint_space(classifier):
    explanation = classifier.explain_label("optics", n_ngrams=3)
    assert explanation.compared_by == "joint space"
    points = classifier.label_embeddings_
    cosines = points @ points[classifier.hierarchy_.index["optics"]]
    order = [label for label in classifier.classes_[np.argsort(-cosines)] if label != "optics"]
    assert [part.label for part in explanation.neighbours] == order[:3]
    for part in explanation.neighbours:
        assert part.similarity == pytest.approx(cosines[classifier.hierarchy_.index[part.label]], abs=1e-5)


def test_neighbours_without_a_joint_space():
    untrained = QUICK | {"lambda_joint": 0, "lambda_match": 0}
    texts = make_corpus(80)
    by_ngrams = HiMatchClassifier(HIERARCHY, **untrained).fit(*texts)
    explanation = by_ngrams.explain_label("optics")
    weights = by_ngrams.ngrams_.weight.toarray().T
    cosines = weights @ weights[by_ngrams.hierarchy_.index["optics"]]
    cosines /= np.linalg.norm(weights, axis=1) * np.linalg.norm(weights[by_ngrams.hierarchy_.index["optics"]])
    assert explanation.compared_by == "n-grams"
    for part in explanation.neighbours:
        assert part.similarity == pytest.approx(cosines[by_ngrams.hierarchy_.index[part.label]], abs=1e-4)
    alone = HiMatchClassifier(HIERARCHY, lexical=None, **untrained).fit(*texts)
    explanation = alone.explain_label("optics")
    assert (explanation.compared_by, explanation.ngrams) == ("network", ())
    flat = HiMatchClassifier(HIERARCHY, lexical=None, head="flat", **untrained).fit(*texts)
    explanation = flat.explain_label("optics")
    assert (explanation.compared_by, explanation.neighbours) == (None, ())
    assert str(explanation)
    assert explanation.to_html()


def test_typical_and_wrong_texts(classifier):
    texts, label_sets = make_corpus(60, seed=5)
    # Two texts have wrong labels.
    label_sets[0], label_sets[1] = {"science", "physics", "optics"}, {"sport", "tennis"}
    texts[0], texts[1] = "racket serve volley net match", "lens light mirror prism theory"
    explanation = classifier.explain_label("optics", texts, label_sets, n_texts=4)
    column = classifier.hierarchy_.index["optics"]
    log_odds = classifier.decision_function(texts)[:, column]
    predicted = classifier.predict(texts)[:, column]
    order = np.argsort(-log_odds, kind="stable").tolist()
    has_label = ["optics" in labels for labels in label_sets]
    true = [row for row in order if has_label[row]]
    assert [part.position for part in explanation.typical] == true[:4]
    assert [part.position for part in explanation.lowest_true] == true[::-1][:4]
    assert [part.position for part in explanation.highest_false] == [
        row for row in order if not has_label[row]
    ][:4]
    assert explanation.highest_false[0].position == 1
    assert explanation.highest_false[0].predicted
    assert explanation.lowest_true[0].position == 0
    assert not explanation.lowest_true[0].predicted
    probabilities = classifier.predict_proba(texts)[:, column]
    for part in (*explanation.typical, *explanation.highest_false, *explanation.lowest_true):
        assert part.text == texts[part.position]
        assert part.probability == pytest.approx(probabilities[part.position])
        assert part.predicted == predicted[part.position]


def test_missing_targets_are_neither_right_nor_wrong(classifier):
    texts, label_sets = make_corpus(20, seed=6)
    targets = binarize(label_sets).astype(float)
    targets[:15, classifier.hierarchy_.index["optics"]] = np.nan
    explanation = classifier.explain_label("optics", texts, targets, n_texts=20)
    shown = [part.position for part in (*explanation.typical, *explanation.highest_false)]
    assert sorted(shown) == list(range(15, 20))


def test_texts_as_ids_are_shown_as_words(classifier):
    texts, label_sets = make_corpus(5, seed=6)
    sequences = classifier.tokenizer_.transform(texts)
    explanation = classifier.explain_label("optics", sequences, label_sets, n_texts=5)
    for part in (*explanation.typical, *explanation.highest_false):
        assert part.text == texts[part.position]


def test_errors(classifier):
    with pytest.raises(ValueError, match="did you mean 'optics'"):
        classifier.explain_label("optic")
    with pytest.raises(ValueError, match="pass both X and y"):
        classifier.explain_label("optics", ["a lens"])


def test_pretrained_encoders_and_loading(tiny_bert, tmp_path):
    texts = ["a quark and a gluon", "the cell divides", "a serve and a volley"] * 8
    label_sets = [{"science", "physics"}, {"science", "biology"}, {"sport", "tennis"}] * 8
    hierarchy = {"science": ["physics", "biology"], "sport": ["tennis"]}
    encoder = PretrainedEncoder(tiny_bert, freeze="all")
    fitted = HiMatchClassifier(hierarchy, encoder=encoder, max_epochs=2).fit(texts, label_sets)
    explanation = fitted.explain_label("physics", texts, label_sets)
    assert explanation.compared_by == "joint space"
    assert "quark" in {part.ngram for part in explanation.ngrams}
    fitted.save(tmp_path / "model")
    loaded = HiMatchClassifier.load(tmp_path / "model")
    assert loaded.explain_label("physics", texts, label_sets) == explanation
