import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.utils import _safe_indexing, get_tags

from skhimatch.network.transformer import TransformerEncoder
from skhimatch.text.hub import load_tokenizer
from skhimatch.text.pretrained import PretrainedEncoder
from skhimatch.text.sequences import (
    SubwordSequences,
    SubwordVocabulary,
    TokenSequences,
    Vocabulary,
    words_of,
)
from skhimatch.text.subwords import SubwordTokenizer, vocabulary_of
from skhimatch.text.words import WordTokenizer

TEXTS = ["The quark in the membranes", "", "A serve, a volley"]


@pytest.fixture
def sequences(tiny_bert):
    return SubwordTokenizer(tiny_bert, words=WordTokenizer(min_count=1)).fit_transform(TEXTS)


def test_texts_become_subwords_and_words(sequences):
    assert sequences.subwords.words(0) == ["the", "quark", "in", "the", "mem", "##brane", "##s"]
    assert sequences.words.words(0) == ["the", "quark", "in", "the", "membranes"]
    assert sequences.subwords.words(2) == ["a", "serve", "[UNK]", "a", "volley"]
    assert sequences.lengths.tolist() == [7, 0, 5]
    assert words_of(sequences) is sequences.words
    assert words_of(sequences.words) is sequences.words


def test_new_texts_know_the_words_of_the_training_texts(tiny_bert):
    tokenizer = SubwordTokenizer(tiny_bert, words=WordTokenizer(min_count=1)).fit(TEXTS)
    new = tokenizer.transform(["the quark divides"])
    assert new.subwords.words(0) == ["the", "quark", "divides"]
    assert new.words.words(0) == ["the", "quark", "<unknown>"]
    again = pickle.loads(pickle.dumps(tokenizer)).transform(["the quark divides"])
    np.testing.assert_array_equal(again.subwords.ids, new.subwords.ids)
    assert again.subwords.vocabulary == new.subwords.vocabulary


def with_pieces(tiny_bert, tmp_path, pieces):
    folder = Path(shutil.copytree(tiny_bert, tmp_path / "copy"))
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"] |= pieces
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    return folder


def test_subwords_with_the_same_id(tiny_bert, tmp_path):
    """The order in which the tokenizer returns them is random."""
    folder = with_pieces(tiny_bert, tmp_path, {"the": 20, "quark": 20, "gluon": 20, "cell": 20})
    found = {vocabulary_of(load_tokenizer(folder)).words[20] for _ in range(10)}
    assert len(found) == 1


def test_an_id_far_beyond_the_others(tiny_bert, tmp_path):
    folder = with_pieces(tiny_bert, tmp_path, {"the": 2**31})
    with pytest.raises(ValueError, match=r"25 subwords, and ids up to 2,147,483,648: its files are damaged"):
        vocabulary_of(load_tokenizer(folder))
    folder = with_pieces(tiny_bert, tmp_path / "less", {"the": 30})
    assert vocabulary_of(load_tokenizer(folder)).words[28:] == ("<no piece 28>", "<no piece 29>", "the")
    with pytest.raises(ValueError, match=r"knows 31 pieces of words and its model has vectors for 25"):
        TransformerEncoder(PretrainedEncoder(folder))


def test_tags():
    tags = get_tags(SubwordTokenizer("some-encoder"))
    assert tags.input_tags.string
    assert tags.input_tags.one_d_array
    assert not tags.input_tags.two_d_array
    assert tags.transformer_tags.preserves_dtype == []


def test_a_clone_is_not_fitted(tiny_bert):
    tokenizer = SubwordTokenizer(tiny_bert, words=WordTokenizer(min_count=1)).fit(TEXTS)
    copy = clone(tokenizer)
    assert copy.words.min_count == 1
    assert not hasattr(copy, "words_")
    assert not hasattr(tokenizer.words, "vocabulary_")


def test_a_lone_surrogate_is_read_as_the_replacement_character(tiny_bert):
    tokenizer = SubwordTokenizer(tiny_bert).fit(["a wave"])
    found, expected = (tokenizer.transform([f"a wave {mark} a"]) for mark in ("\ud83d", "\ufffd"))
    assert found.subwords.words(0) == expected.subwords.words(0) != []


def test_lists_of_tokens_are_refused(tiny_bert):
    with pytest.raises(TypeError, match=r"Text 0 is a list of tokens; .* pass whole texts"):
        SubwordTokenizer(tiny_bert).fit([["a", "quark"]])


class TestSubwordSequences:
    def test_all_parts_are_indexed_in_the_same_way(self, sequences):
        encodings = np.arange(6, dtype=np.float32).reshape(3, 2)
        texts = SubwordSequences(sequences.subwords, sequences.words, encodings)
        assert texts.shape == (3,)
        assert texts[2].tolist() == sequences.subwords[2].tolist()
        for rows in ([2, 0], np.array([False, True, True]), slice(1, None)):
            part = _safe_indexing(texts, rows) if isinstance(rows, list) else texts[rows]
            assert isinstance(part, SubwordSequences)
            chosen = np.arange(3)[rows]
            np.testing.assert_array_equal(part.encodings, encodings[chosen])
            for place, row in enumerate(chosen):
                assert part.subwords.words(place) == sequences.subwords.words(row)
                assert part.words.words(place) == sequences.words.words(row)

    def test_different_numbers_of_texts(self):
        one = TokenSequences.from_lists([[0]], SubwordVocabulary(["a"]))
        two = TokenSequences.from_lists([[0], []], Vocabulary(["a"]))
        with pytest.raises(ValueError, match=r"\[1, 2\] texts"):
            SubwordSequences(one, two)


def test_vocabularies_of_words_and_subwords_differ():
    assert SubwordVocabulary(["a"]) != Vocabulary(["a"])
    assert (len(SubwordVocabulary(["a"])), len(Vocabulary(["a"]))) == (1, 3)
    assert pickle.loads(pickle.dumps(SubwordVocabulary(["a"]))) == SubwordVocabulary(["a"])


def test_set_output_changes_nothing_but_keeps_the_index(tiny_bert):
    pd = pytest.importorskip("pandas")
    texts = pd.Series(["a wave in a field", "a leaf"], index=[7, 3])
    tokenizer = SubwordTokenizer(tiny_bert).set_output(transform="pandas")
    for found in (tokenizer.fit_transform(texts), tokenizer.transform(texts)):
        assert isinstance(found, SubwordSequences)
        assert found.index.tolist() == [7, 3]
    assert tokenizer.transform(texts.tolist()).index is None
    assert tokenizer.get_feature_names_out().tolist() == ["subwordtokenizer0"]
