import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from toy_corpus import make_corpus

from skhimatch import WordTokenizer
from skhimatch.scores import characters
from skhimatch.scores.characters import CharacterFeatures, are_affordable
from skhimatch.text.sequences import TokenSequences, Vocabulary

TEXTS, _ = make_corpus(40)
TEXTS = [*TEXTS, "ein Kriminalkommissar ermittelt", "Kriminalkommissarin und Kommissar", "der Kommissar"]
UNSEEN = ["Hauptkommissar", "", "lens prism 波浪 波浪 波浪", "zzz"]
TOKENIZER = WordTokenizer(min_count=2).fit(TEXTS)
SEQUENCES = TOKENIZER.transform(TEXTS)


@pytest.mark.parametrize(("few_words", "min_df"), [(200_000, 1), (10, 3)])
def test_equal_to_scikit_learns_tfidf(monkeypatch, few_words, min_df):
    monkeypatch.setattr("skhimatch.text.words.FEW_WORDS", few_words)
    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True, min_df=min_df)
    vectorizer.fit(TEXTS)
    features = CharacterFeatures.learn(SEQUENCES)
    assert features.ngrams == tuple(sorted(vectorizer.vocabulary_))
    for texts in (TEXTS, UNSEEN):
        found = features(TOKENIZER.transform(texts))
        assert found.dtype == np.float32
        np.testing.assert_allclose(found.toarray(), vectorizer.transform(texts).toarray(), atol=1e-6)


def test_words_outside_of_the_vocabulary_are_read():
    assert "hauptkommissar" not in TOKENIZER.vocabulary_
    assert "kommissar" in TOKENIZER.vocabulary_
    features = CharacterFeatures.learn(SEQUENCES)
    compound, word, nothing = features(TOKENIZER.transform(["Hauptkommissar", "Kommissar", "zzz"])).toarray()
    assert compound @ word > 0.5
    assert not nothing.any()


def test_without_unknown_words_the_known_ones_count():
    ids = TokenSequences(SEQUENCES.ids, SEQUENCES.offsets, SEQUENCES.vocabulary)
    assert set(CharacterFeatures.learn(ids).ngrams) < set(CharacterFeatures.learn(SEQUENCES).ngrams)


def test_no_n_gram_at_all():
    texts = TokenSequences.from_lists([[], []], Vocabulary(["wave"]))
    features = CharacterFeatures.learn(texts)
    assert len(features) == 0
    assert features(texts).shape == (2, 0)


def test_only_what_takes_seconds(monkeypatch):
    # wave has nine n-grams, so three texts have 27 entries, and 54 multiplications for two labels.
    texts = TokenSequences.from_lists([[2]] * 3, Vocabulary(["wave"]))
    for name, limit in (("MAX_ENTRIES", 27), ("MAX_MULTIPLICATIONS", 54)):
        for change in (0, -1):
            with monkeypatch.context() as patch:
                patch.setattr(characters, name, limit + change)
                assert are_affordable(texts, 2) == (change == 0)


@pytest.mark.parametrize("rows", [slice(3, 9), [40, 2, 2], np.arange(43) % 7 == 0])
def test_a_part_of_the_texts_has_its_own_words(rows):
    features = CharacterFeatures.learn(SEQUENCES)
    np.testing.assert_allclose(features(SEQUENCES[rows]).toarray(), features(SEQUENCES).toarray()[rows])
