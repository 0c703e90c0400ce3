import re
import sys
import unicodedata

import numpy as np
import pytest

from skhimatch import HiMatchClassifier, WordTokenizer
from skhimatch.text.scripts import words_of_any_script


@pytest.mark.parametrize(
    "text",
    ["A wave, a field.", "x_1 2nd don't", "", "...", "tab\tnew\nline", "a" * 1000, "naïve Straße"],
)
def test_words_of_latin_texts_are_those_of_the_usual_expression(text):
    assert list(words_of_any_script(text)) == re.findall(r"(?u)\b\w+\b", text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        # Vowel signs and the sign for no vowel.
        ("हिन्दी भाषा में", ["हिन्दी", "भाषा", "में"]),
        # Vowelled Arabic; and Persian, whose letters a joiner keeps apart.
        ("بِسْمِ اللَّهِ", ["بِسْمِ", "اللَّهِ"]),
        ("می\u200cخواهم کتاب", ["می\u200cخواهم", "کتاب"]),
        ("한국어 문장", ["한국어", "문장"]),
        ("我爱北京 iPhone15", ["我", "爱", "北", "京", "iPhone15"]),
        ("東京タワー", ["東", "京", "タワ", "ワー"]),
        ("ภาษาไทย", ["ภา", "าษ", "ษา", "าไ", "ไท", "ทย"]),
        # A mark counts to its letter.
        ("ง่าย", ["ง่า", "าย"]),
        ("ក្រុម", ["ក្រុ", "រុម"]),
        ("の", ["の"]),
        # A sign that chooses how an emoji looks is no word.
        ("❤\ufe0f love", ["love"]),
        ("zero\u200bwidth", ["zero", "width"]),
        ("a\ud800b", ["a", "b"]),
    ],
)
def test_words(text, words):
    assert list(words_of_any_script(text)) == words


@pytest.mark.parametrize("text", ["café naïve", "Ångström", "가나다", "है क़लम"])
def test_equal_words_are_equal_in_each_normal_form(text):
    composed, decomposed = (unicodedata.normalize(form, text) for form in ("NFC", "NFD"))
    assert list(words_of_any_script(composed)) == list(words_of_any_script(decomposed))


def test_no_letter_is_lost():
    """Of each script, a text of its letters: all of them are in words, in their order."""
    draws = np.random.default_rng(0)
    letters = [chr(number) for number in range(0x100, sys.maxunicode) if chr(number).isalpha()]
    letters = [letter for letter in letters if unicodedata.is_normalized("NFC", letter)]
    for start in range(0, len(letters) - 50, 997):
        text = "".join(draws.permutation(letters[start : start + 50]).tolist())
        text = unicodedata.normalize("NFC", text)
        found = "".join(words_of_any_script(text))
        places = iter(found)
        assert all(letter in places for letter in text if letter.isalpha())


def test_long_texts_take_time_in_proportion():
    """A badly nested expression would not come to an end."""
    assert len(list(words_of_any_script("é" * 200_000))) == 1
    assert len(list(words_of_any_script("e\u0323\u0323" * 100_000 + "!"))) == 1
    assert len(list(words_of_any_script("漢" * 200_000))) == 200_000


def test_the_tokenizer_reads_any_script_unless_it_has_an_expression():
    assert WordTokenizer().tokenize("Die STRASSE 北京") == ["die", "strasse", "北", "京"]
    assert WordTokenizer(token_pattern=r"\w+").tokenize("北京 हि") == ["北京", "ह"]
    assert WordTokenizer(max_length=2).tokenize("我爱北京") == ["我", "爱"]
    # The lower case of this letter has a mark.
    assert WordTokenizer().tokenize("İstanbul") == ["i̇stanbul"]


def test_texts_without_spaces_are_told_apart():
    sports, science = "足球比赛球队进球", "细胞基因蛋白物种"
    draws = np.random.default_rng(0)
    texts, labels = [], []
    for number in range(120):
        words = sports if number % 2 else science
        texts.append("".join(draws.permutation(list(words))[:5].tolist()))
        labels.append({"sport"} if number % 2 else {"science"})
    classifier = HiMatchClassifier(random_state=0, max_epochs=2, validation_fraction=0.2).fit(texts, labels)
    probabilities = classifier.predict_proba(["球进队赛", "因基白蛋"])
    columns = [list(classifier.classes_).index(name) for name in ("sport", "science")]
    assert probabilities[0, columns[0]] > 0.8 > 0.2 > probabilities[0, columns[1]]
    assert probabilities[1, columns[1]] > 0.8 > 0.2 > probabilities[1, columns[0]]


@pytest.mark.parametrize("parameters", [{"max_length": -1}, {"max_vocabulary": -1}, {"min_count": 0}])
def test_parameters_of_a_nested_tokenizer_are_checked(parameters):
    classifier = HiMatchClassifier(tokenizer=WordTokenizer(**parameters), max_epochs=1)
    with pytest.raises(ValueError, match=f"The '{next(iter(parameters))}' parameter of WordTokenizer"):
        classifier.fit(["a wave", "a field"], [{"a"}, {"b"}])
