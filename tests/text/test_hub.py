import json
import shutil
import sys
from pathlib import Path

import pytest

from skhimatch.text.hub import describe, load_model, load_tokenizer
from skhimatch.text.subwords import SubwordTokenizer


def copy_of(folder, tmp_path):
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def test_description_of_a_plain_encoder(tiny_bert):
    description = describe(tiny_bert)
    assert (description.subfolder, description.window, description.pooling) == ("", 16, "cls")


def test_description_of_a_sentence_encoder(tiny_bert, tmp_path):
    folder = tmp_path / "sentences"
    shutil.copytree(tiny_bert, folder / "0_Transformer")
    modules = [
        {"path": "0_Transformer", "type": "sentence_transformers.models.Transformer"},
        {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_mean_tokens": true}')
    (folder / "0_Transformer" / "sentence_bert_config.json").write_text('{"max_seq_length": 8}')
    description = describe(folder)
    assert (description.subfolder, description.window, description.pooling) == ("0_Transformer", 8, "mean")
    assert load_model(folder, "0_Transformer").config.hidden_size == 32
    assert load_tokenizer(folder, "0_Transformer").pad_token_id == 0


@pytest.mark.parametrize(
    "path", ["../other", "/tmp", "a/../../b", "..\\other", "C:\\other", "C:other", 1, None]
)
def test_modules_outside_of_the_model(tiny_bert, tmp_path, path):
    folder = copy_of(tiny_bert, tmp_path)
    kind = "sentence_transformers.models.Transformer"
    (folder / "modules.json").write_text(json.dumps([{"path": path, "type": kind}]))
    with pytest.raises(OSError, match=r"The folder .*copy holds no pretrained encoder .*modules.json"):
        describe(folder)


@pytest.mark.parametrize("modules", ["{}", "[1]", '[{"type": "a"}]', '"a"', "["])
def test_damaged_modules(tiny_bert, tmp_path, modules):
    folder = copy_of(tiny_bert, tmp_path)
    (folder / "modules.json").write_text(modules)
    with pytest.raises(OSError, match=r"The folder .*copy holds no pretrained encoder"):
        describe(folder)


@pytest.mark.parametrize("load", [describe, load_model, load_tokenizer])
def test_code_of_a_model_is_not_run(tiny_bert, tmp_path, monkeypatch, load):
    """Nor does transformers ask whether to run it."""
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked"))
    folder = copy_of(tiny_bert, tmp_path)
    (folder / "code.py").write_text(f"open({str(tmp_path / 'was_run')!r}, 'w')")
    code = {
        "AutoConfig": "code.Config",
        "AutoModel": "code.Model",
        "AutoTokenizer": ["code.Slow", "code.Fast"],
    }
    for name in ("config.json", "tokenizer_config.json"):
        own = {"auto_map": code, "model_type": "own", "tokenizer_class": "Own"}
        (folder / name).write_text(json.dumps(json.loads((folder / name).read_text()) | own))
    with pytest.raises(OSError, match=r"The folder .*copy holds no pretrained encoder"):
        load(folder)
    assert not (tmp_path / "was_run").exists()


def test_changes_of_the_configuration(tiny_bert):
    model = load_model(tiny_bert, attention_probs_dropout_prob=0.0, no_such_entry=1)
    assert model.config.attention_probs_dropout_prob == 0
    assert not hasattr(model.config, "no_such_entry")


def test_an_unknown_name(tmp_path, monkeypatch):
    pytest.importorskip("transformers")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OSError, match=r"'no-such-encoder': there is no folder .* hub and its local cache"):
        describe("no-such-encoder")


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
def test_an_incomplete_folder(tiny_bert, tmp_path, missing):
    folder = copy_of(tiny_bert, tmp_path)
    (folder / missing).unlink()
    with pytest.raises(OSError, match=r"The folder .*copy holds no pretrained encoder"):
        load_model(folder)


def test_no_padding_token(tiny_bert, tmp_path):
    folder = copy_of(tiny_bert, tmp_path)
    tokenizer = load_tokenizer(folder)
    tokenizer.pad_token = None
    tokenizer.save_pretrained(folder)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config["pad_token"] = None
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"no padding token, .* `pad_token`"):
        load_tokenizer(folder)


def test_without_transformers(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ImportError, match=r"pip install 'skhimatch\[transformers\]'"):
        SubwordTokenizer("bert-base-uncased").fit(["a text"])
