import hashlib
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from pretrained_models import write_tiny_bert

from skhimatch.network import transformer
from skhimatch.network.base import mean_state
from skhimatch.network.batches import TextDataset
from skhimatch.network.encodings import encode
from skhimatch.network.transformer import TransformerEncoder
from skhimatch.text.hub import load_model, load_tokenizer
from skhimatch.text.pretrained import PretrainedEncoder
from skhimatch.text.subwords import SubwordTokenizer

TEXTS = [
    "the quark in the membranes",
    "a",
    "",
    "serve and volley of the tennis sport in the cell of a gluon and quark",
]


@pytest.fixture
def pieces(tiny_bert):
    return SubwordTokenizer(tiny_bert).fit(["the quark the quark"]).transform(TEXTS).subwords


def states_of(model, tokens):
    """The oracle: the model itself on one window, without padding."""
    with torch.no_grad():
        return model(input_ids=torch.tensor([tokens])).last_hidden_state[0].numpy()


@pytest.fixture
def model(tiny_bert):
    return load_model(tiny_bert).eval()


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("long_text", ["truncate", "stride"])
def test_a_text_is_what_the_model_says_of_its_windows(tiny_bert, model, pieces, pooling, long_text):
    encoder = TransformerEncoder(PretrainedEncoder(tiny_bert, pooling=pooling, long_text=long_text))
    assert (encoder.prefix_tokens, encoder.suffix_tokens, encoder.capacity, encoder.output_size) == (
        (2,),
        (3,),
        14,
        32,
    )
    found = encode(encoder, pieces)
    for row, ids in enumerate(pieces):
        cut = [ids[start : start + 14] for start in range(0, max(1, len(ids)), 14)]
        if long_text == "truncate":
            cut = cut[:1]
        states = [states_of(model, [2, *window.tolist(), 3]) for window in cut]
        if pooling == "cls":
            expected = np.mean([window[0] for window in states], axis=0)
        else:
            expected = np.concatenate(states).mean(axis=0)
        np.testing.assert_allclose(found[row], expected, atol=1e-5)
    assert len(pieces[3]) > 14


@pytest.mark.parametrize("long_text", ["truncate", "stride"])
def test_states_are_those_of_the_windows_one_behind_the_other(tiny_bert, model, pieces, long_text):
    encoder = TransformerEncoder(
        PretrainedEncoder(tiny_bert, pooling="attention", long_text=long_text)
    ).eval()
    ids, lengths = TextDataset(pieces).batch(np.arange(4))[0].values()
    with torch.no_grad():
        states, numbers = encoder.states(ids, lengths)
    for row, of_text in enumerate(pieces):
        cut = [of_text[start : start + 14] for start in range(0, max(1, len(of_text)), 14)]
        if long_text == "truncate":
            cut = cut[:1]
        expected = np.concatenate([states_of(model, [2, *window.tolist(), 3]) for window in cut])
        assert numbers[row] == len(expected)
        np.testing.assert_allclose(states[row, : len(expected)], expected, atol=1e-5)
        assert (states[row, len(expected) :] == 0).all()
    # What there is before labels choose, and what a head starts from.
    np.testing.assert_allclose(encode(encoder, pieces), mean_state(states, numbers), atol=1e-5)


def test_a_row_never_depends_on_its_batch(tiny_bert, pieces):
    encoder = TransformerEncoder(PretrainedEncoder(tiny_bert, long_text="stride"))
    together = encode(encoder, pieces)
    for row in range(len(pieces)):
        np.testing.assert_allclose(encode(encoder, pieces[[row]])[0], together[row], atol=1e-6)


def test_a_smaller_window(tiny_bert, model, pieces):
    found = encode(TransformerEncoder(PretrainedEncoder(tiny_bert, pooling="cls", max_length=4)), pieces)
    np.testing.assert_allclose(found[0], states_of(model, [2, *pieces[0][:2].tolist(), 3])[0], atol=1e-5)
    with pytest.raises(ValueError, match="max_length=2 leaves no room"):
        TransformerEncoder(PretrainedEncoder(tiny_bert, max_length=2))


def test_names_are_the_mean_of_the_models_own_vectors(tiny_bert, model):
    encoder = TransformerEncoder(PretrainedEncoder(tiny_bert))
    table = model.get_input_embeddings().weight.detach().numpy()
    tokenizer = load_tokenizer(tiny_bert)
    ids = tokenizer("cell membrane", add_special_tokens=False)["input_ids"]
    found = encoder.embed_names(["cell membrane", ""])
    np.testing.assert_allclose(found[0], table[ids].mean(axis=0), atol=1e-6)
    assert (found[1] == 0).all()


class TestFreezing:
    def test_what_is_kept_as_one_vector_has_no_states(self, tiny_bert):
        with pytest.raises(ValueError, match=r"freeze='all' and pooling='attention': .* fewer layers"):
            TransformerEncoder(PretrainedEncoder(tiny_bert, freeze="all", pooling="attention"))

    @pytest.mark.parametrize(
        ("freeze", "trained"),
        [
            (None, {"embeddings", "layer.0", "layer.1"}),
            ("embeddings", {"layer.0", "layer.1"}),
            (0, {"layer.0", "layer.1"}),
            (1, {"layer.1"}),
            (2, set()),
            ("all", set()),
        ],
    )
    def test_what_learns(self, tiny_bert, pieces, freeze, trained):
        encoder = TransformerEncoder(PretrainedEncoder(tiny_bert, freeze=freeze)).train()
        parts = {"embeddings", "layer.0", "layer.1"}
        of_weight = {
            name: next(part for part in parts if part in name)
            for name, weight in encoder.named_parameters()
            if weight.requires_grad
        }
        assert set(of_weight.values()) == trained
        dropping = {
            next(part for part in parts if part in name)
            for name, module in encoder.named_modules()
            if isinstance(module, torch.nn.Dropout) and module.training
        }
        assert dropping == trained

    def test_more_layers_than_there_are(self, tiny_bert):
        with pytest.raises(ValueError, match=r"freeze=3: .* has 2 layers"):
            TransformerEncoder(PretrainedEncoder(tiny_bert, freeze=3))


def test_a_frozen_encoder_may_be_left_out_of_a_pickle(tiny_bert, pieces):
    kept = TransformerEncoder(PretrainedEncoder(tiny_bert, freeze="all"))
    left_out = TransformerEncoder(PretrainedEncoder(tiny_bert, freeze="all", stored=False))
    trained = TransformerEncoder(PretrainedEncoder(tiny_bert, stored=False))
    with torch.no_grad():
        next(trained.parameters()).add_(1)
    sizes = {}
    for name, encoder in {"kept": kept, "left out": left_out, "trained": trained}.items():
        pickled = pickle.dumps(encoder)
        sizes[name] = len(pickled)
        again = pickle.loads(pickled)
        np.testing.assert_array_equal(encode(again, pieces), encode(encoder, pieces))
        assert [w.requires_grad for w in again.parameters()] == [
            w.requires_grad for w in encoder.parameters()
        ]
    assert sizes["left out"] < 0.6 * sizes["kept"]
    assert sizes["trained"] > 0.9 * sizes["kept"]


def test_a_digest_tells_encoders_apart(tiny_bert):
    digests = [
        TransformerEncoder(PretrainedEncoder(tiny_bert, **settings)).digest()
        for settings in ({}, {"pooling": "cls"}, {"long_text": "stride"}, {"max_length": 8})
    ]
    changed = TransformerEncoder(PretrainedEncoder(tiny_bert))
    with torch.no_grad():
        next(changed.parameters())[0, 0] += 1e-3
    assert len({*digests, changed.digest()}) == 5
    assert TransformerEncoder(PretrainedEncoder(tiny_bert)).digest() == digests[0]


def test_weights_are_hashed_again_only_after_a_change(tiny_bert, monkeypatch):
    encoder = TransformerEncoder(PretrainedEncoder(tiny_bert, freeze="all"))
    first = encoder.digest()
    made = []
    monkeypatch.setattr(transformer.hashlib, "sha256", lambda *_: made.append(1) or hashlib.sha512())
    assert encoder.digest() == first
    assert made == []
    monkeypatch.undo()
    with torch.no_grad():
        next(encoder.parameters())[0, 0] += 1e-3
    second = encoder.digest()
    assert second != first
    copied = pickle.loads(pickle.dumps(encoder))
    assert copied.digest() == second
    encoder.body.load_state_dict(TransformerEncoder(PretrainedEncoder(tiny_bert)).body.state_dict())
    assert encoder.digest() == first


class TestMismatch:
    def test_more_pieces_than_vectors(self, tmp_path, tiny_bert):
        folder = write_tiny_bert(tmp_path / "few", n_pieces=20)
        with pytest.raises(ValueError, match=r"knows 2\d pieces of words and its model has vectors for 20"):
            TransformerEncoder(PretrainedEncoder(folder))

    def test_a_tokenizer_whose_files_are_missing(self, tmp_path, tiny_bert):
        folder = Path(shutil.copytree(tiny_bert, tmp_path / "bare"))
        for file in folder.iterdir():
            if file.name not in ("config.json", "model.safetensors"):
                file.unlink()
        with pytest.raises(
            (ValueError, OSError), match=r"do not belong together|holds no pretrained encoder"
        ):
            TransformerEncoder(PretrainedEncoder(folder))


def test_a_sentence_encoder_reads_as_sentence_transformers_does(minilm):
    sentence_transformers = pytest.importorskip("sentence_transformers")
    texts = ["A quark in the membrane of a cell.", "wave " * 400, "Tennis"]
    encoder = TransformerEncoder(PretrainedEncoder(minilm, freeze="all"))
    assert (encoder.pooling, encoder.settings.max_length) == ("mean", 256)
    found = encode(encoder, encoder.tokenize(texts))
    expected = sentence_transformers.SentenceTransformer(minilm, device="cpu").encode(texts)
    np.testing.assert_allclose(found / np.linalg.norm(found, axis=1, keepdims=True), expected, atol=1e-5)
