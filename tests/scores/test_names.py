"""Names against loops over words, what they are blind to, and labels without any."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

from skhimatch import LabelHierarchy, WordTokenizer
from skhimatch.scores import names as label_names
from skhimatch.scores.names import LabelNames, PrefixStatistics

TEXTS = [
    "the fishing vessel and the vessels of Norway",
    "milk, milk and milk: a quota for milk",
    "quotas for vessels",
    "",
    "the the the",
] * 3
HIERARCHY = LabelHierarchy([("food", "c1"), ("food", "c2"), ("c2", "c3"), ("alone", "c4")])
TEXTS_OF = {
    "food": "milk quota",
    "c1": ["fishing fleet", "vessels of the fleet"],
    "c2": "...",
    "c3": ["Milk"],
    "alone": "abracadabra",
    "c4": "hocus pocus",
}


@pytest.fixture
def sequences():
    return WordTokenizer(min_count=1).fit_transform(TEXTS)


@pytest.fixture
def names(sequences):
    return LabelNames.learn(sequences, HIERARCHY, TEXTS_OF)


def stems_of(text):
    return [word.strip(",.:").lower()[:6] for word in text.split()]


def score_by_loops(name, text):
    """Count in plain Python how many deviations more of a name one text has."""
    counts = [{stem: stems_of(other).count(stem) for stem in stems_of(other)} for other in TEXTS]
    known = {stem for of_text in counts for stem in of_text}

    def idf(stem):
        return np.log((len(TEXTS) + 1) / (sum(stem in of_text for of_text in counts) + 1))

    stems = {stem if stem in known else "?" for stem in stems_of(name)}
    total = sum(np.log(len(TEXTS) + 1) if stem == "?" else idf(stem) for stem in stems)
    share, mean, variance = 0.0, 0.0, 0.0
    for stem in stems - {"?"}:
        weight = idf(stem) / total
        strengths = [of_text.get(stem, 0) / (of_text.get(stem, 0) + 3) for of_text in counts]
        mine = stems_of(text).count(stem)
        share += weight * mine / (mine + 3)
        mean += weight * np.mean(strengths)
        variance += weight**2 * np.var(strengths)
    return (share - mean) / np.sqrt(variance + 0.002)


def test_strengths_are_shares_of_counts():
    texts = WordTokenizer(min_count=1).fit(TEXTS).transform(["the qwertz", *TEXTS, "", "vessels, milk"])
    prefixes = PrefixStatistics.learn(texts)
    found = prefixes.strengths(texts)
    assert found.has_canonical_format
    assert found.indices.dtype == found.indptr.dtype == np.int32
    counts = np.array(
        [np.bincount(prefixes.prefix_of_word[ids], minlength=len(prefixes.idf)) for ids in texts]
    )
    # Prefix 0 is that of unknown words.
    counts[:, 0] = 0
    np.testing.assert_array_equal(found.toarray(), (counts / (counts + 3)).astype(np.float32))


def test_scores_are_the_sums_over_all_prefixes(names):
    # Prefix 0, of unknown words, is in no name and never counts, whatever the weights say.
    weights = names.names.toarray()
    weights[:, 0] = 7
    odd = replace(names, names=sp.csr_array(weights))
    texts = WordTokenizer(min_count=1).fit(TEXTS).transform(["qwertz qwertz milk", *TEXTS])
    shares = names.prefixes.strengths(texts).toarray() @ weights.T
    mean, deviation = odd.share_statistics
    best = ((shares - mean) / deviation)[:, names.label == HIERARCHY.index["c1"]].max(axis=1)
    np.testing.assert_allclose(odd.scores(texts)[:, HIERARCHY.index["c1"]], best, rtol=1e-5, atol=1e-6)


def test_what_is_kept_for_the_next_texts_is_in_no_pickle(names, sequences):
    before = pickle.dumps(names)
    scores = names.scores(sequences)
    assert pickle.dumps(names) == before
    np.testing.assert_array_equal(pickle.loads(before).scores(sequences), scores)


@pytest.mark.parametrize("text", [*TEXTS[:4], "vessels carry milk to Norway"])
@pytest.mark.parametrize(
    ("label", "of_label"), [("food", ["milk quota"]), ("c1", TEXTS_OF["c1"]), ("c3", ["milk"])]
)
def test_a_label_scores_by_its_best_name(names, sequences, label, of_label, text):
    tokenizer = WordTokenizer(min_count=1).fit(TEXTS)
    [scores] = names.scores(tokenizer.transform([text]))
    expected = max(score_by_loops(name, text) for name in of_label)
    assert scores[HIERARCHY.index[label]] == pytest.approx(expected, abs=1e-4)


def test_a_label_without_a_known_word_takes_the_mean_of_its_neighbours(names, sequences):
    scores = names.scores(sequences)
    food, c2, c3 = (scores[:, HIERARCHY.index[label]] for label in ("food", "c2", "c3"))
    np.testing.assert_allclose(c2, (food + c3) / 2, atol=1e-6)
    assert not scores[:, HIERARCHY.index["alone"]].any()
    assert not scores[:, HIERARCHY.index["c4"]].any()


def test_usual_texts_score_zero(names, sequences):
    scores = names.scores(sequences)
    of_one_name = [HIERARCHY.index[label] for label in ("food", "c3")]
    np.testing.assert_allclose(scores[:, of_one_name].mean(axis=0), 0, atol=1e-5)


def test_blocks_make_no_difference(names, sequences, monkeypatch):
    at_once = names.scores(sequences)
    monkeypatch.setattr(label_names, "CHUNK_NUMBERS", 5)
    np.testing.assert_array_equal(names.scores(sequences), at_once)


def test_statistics_serve_labels_that_come_later(names, sequences):
    longer = LabelHierarchy([("food", "c1"), ("food", "c5")], ["c1", "c5", "food"])
    later = LabelNames.from_statistics(
        names.prefixes, sequences.vocabulary, longer, {**TEXTS_OF, "c5": "quota"}
    )
    anew = LabelNames.learn(sequences, longer, {**TEXTS_OF, "c5": "quota"})
    np.testing.assert_array_equal(later.scores(sequences), anew.scores(sequences))


def test_labels_that_are_no_words_say_nothing(sequences):
    codes = LabelNames.learn(sequences, LabelHierarchy([("X12", "Y13"), ("X12", "Y14")]))
    assert not codes.known
    assert not codes.scores(sequences).any()


def test_texts_without_words(names):
    tokenizer = WordTokenizer(min_count=1).fit(TEXTS)
    empty, unknown = names.scores(tokenizer.transform(["", "abracadabra"]))
    np.testing.assert_array_equal(empty, unknown)
    assert (empty[HIERARCHY.index["food"]]) < 0


def test_statistics_of_many_texts_are_those_of_few(sequences, monkeypatch):
    at_once = PrefixStatistics.learn(sequences)
    monkeypatch.setattr(label_names, "CHUNK_SIZE", 4)
    for expected, found in zip(
        vars(at_once).values(), vars(PrefixStatistics.learn(sequences)).values(), strict=True
    ):
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_words_of_a_name_are_those_of_the_name_that_counts(names, sequences):
    def found(text, label):
        return names.words_of_name(sequences[[text]], HIERARCHY.index[label]).tolist()

    # the fishing vessel and the vessels of norway: "vessels of the fleet" counts more than "fishing fleet"
    assert found(0, "c1") == [0, 2, 4, 5, 6]
    # quotas for vessels: too few words of the one name, so that the other counts, of which there is none.
    assert found(2, "c1") == []
    assert found(1, "c3") == [0, 1, 3, 7]
    assert found(1, "food") == [0, 1, 3, 5, 7]
    assert found(3, "food") == []
    # No word of its name is known.
    assert found(0, "c4") == []
