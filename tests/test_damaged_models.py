"""Damaged, incomplete and forged saved classifiers: `load` says what is wrong, or the classifier works."""

import copy
import json
import random
import shutil
import tracemalloc
import zipfile
from contextlib import suppress

import numpy as np
import pytest
from random_damage import check_predictions, edit_array, edit_bytes, edit_value, replace_a_value
from saved_folders import (
    edit_manifest,
    files_of,
    read_arrays,
    read_description,
    write_arrays,
    write_description,
    write_digests,
)
from toy_corpus import HIERARCHY, LABEL_TEXTS, QUICK, make_corpus

from skhimatch import HiMatchClassifier, ModelFormatError
from skhimatch.scores import networks

TEXTS, LABEL_SETS = make_corpus(60)
UNSEEN, _ = make_corpus(5, seed=1)
SPARSE = ["ngrams.weight", "characters.weight", "names.names", "names.neighbours"]
REMEDY = "save the classifier again, or copy its whole folder again"


def quick(hierarchy=HIERARCHY, **parameters):
    return HiMatchClassifier(hierarchy, **QUICK | {"label_texts": LABEL_TEXTS} | parameters)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Folders of a classifier that chooses paths, and of one that adds up scores."""
    folder = tmp_path_factory.mktemp("saved")
    quick(propagation="gcn").fit(TEXTS, LABEL_SETS).save(folder / "paths")
    several = [
        labels | other for labels, other in zip(LABEL_SETS, LABEL_SETS[7:] + LABEL_SETS[:7], strict=True)
    ]
    quick(head="dot").fit(TEXTS, several).save(folder / "sums")
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    return shutil.copytree(saved / "paths", tmp_path / "model")


def refused(folder, message):
    with pytest.raises(ModelFormatError, match=message):
        HiMatchClassifier.load(folder)


class TestFiles:
    def test_no_folder(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"nowhere is no saved classifier"):
            HiMatchClassifier.load(tmp_path / "nowhere")

    def test_no_manifest(self, folder):
        (folder / "classifier.json").unlink()
        with pytest.raises(FileNotFoundError, match=r"classifier.json is missing: .*model is no saved"):
            HiMatchClassifier.load(folder)

    @pytest.mark.parametrize("name", ["description.json", "weights.npz"])
    def test_missing(self, folder, name):
        (files_of(folder) / name).unlink()
        refused(folder, f"{name} is missing, .* copy the whole folder")

    @pytest.mark.parametrize("name", ["description.json", "weights.npz"])
    def test_not_in_the_manifest(self, folder, name):
        (files_of(folder) / name).unlink()
        write_digests(folder)
        refused(folder, f"{name} is missing: copy the whole folder")

    @pytest.mark.parametrize("name", ["classifier.json", "description.json", "weights.npz"])
    @pytest.mark.parametrize("kept", [0, 100, -100])
    def test_truncated(self, folder, name, kept):
        path = folder / name if name == "classifier.json" else files_of(folder) / name
        path.write_bytes(path.read_bytes()[:kept])
        refused(folder, rf"{name} is damaged .*: {REMEDY}")
        if name != "classifier.json":
            write_digests(folder)
            refused(folder, rf"{name} is damaged .*: {REMEDY}")

    @pytest.mark.parametrize("name", ["description.json", "weights.npz"])
    def test_any_other_byte(self, folder, name):
        path = files_of(folder) / name
        whole = path.read_bytes()
        for place in np.random.RandomState(0).randint(len(whole), size=20):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
            refused(folder, rf"{name} is damaged \(its SHA-256 is not the one in classifier.json\): {REMEDY}")

    @pytest.mark.parametrize("name", ["description.json", "weights.npz"])
    def test_of_another_classifier(self, folder, saved, name):
        shutil.copy(files_of(saved / "sums") / name, files_of(folder) / name)
        refused(folder, f"{name} is damaged .*SHA-256")
        write_digests(folder)
        refused(folder, "is damaged")

    @pytest.mark.parametrize("name", ["notes.txt", "encoder/modeling.py"])
    def test_one_more(self, folder, name):
        path = files_of(folder) / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("dear")
        refused(folder, f"{name} was not saved with this classifier: delete it")

    def test_hidden_files_of_file_managers_are_ignored(self, folder):
        (files_of(folder) / ".DS_Store").write_text("")
        HiMatchClassifier.load(folder)

    @pytest.mark.parametrize("link", ["weights.npz", "."])
    def test_links_that_lead_outside(self, folder, tmp_path, link):
        path = files_of(folder) / link
        shutil.move(path, tmp_path / "elsewhere")
        path.symlink_to(tmp_path / "elsewhere")
        refused(folder, r"leads outside of .*model: copy the file itself")

    def test_the_folder_itself_may_be_a_link(self, folder):
        folder.with_name("link").symlink_to(folder)
        HiMatchClassifier.load(folder.with_name("link"))

    @pytest.mark.parametrize(
        "name", ["../secret", "/etc/passwd", "a/../../b", "a//b", "./a", "", "a\\b", "c:d", "a\0b"]
    )
    def test_paths_in_the_manifest_that_lead_outside(self, folder, name):
        edit_manifest(folder, files={name: "0"})
        refused(folder, r"classifier.json is damaged \(files: .* is no path inside of the folder")

    @pytest.mark.parametrize("name", ["../other", "", "encoder", "saved-0123456789abcdeF"])
    def test_a_folder_in_the_manifest_that_is_none_of_a_save(self, folder, name):
        edit_manifest(folder, folder=name)
        refused(folder, r"classifier.json is damaged \(folder: ")

    @pytest.mark.parametrize("entries", [{"files": []}, {"files": {"a": 1}}, {"version": 1}, {"more": 1}])
    def test_other_types_in_the_manifest(self, folder, entries):
        edit_manifest(folder, **entries)
        refused(folder, r"classifier.json is damaged \(the manifest\.")

    @pytest.mark.parametrize("written", [11, 99, None, "12", [12]])
    def test_another_format(self, folder, written):
        edit_manifest(folder, format=written, version="7.0")
        refused(
            folder, r"saved in format .* by skhimatch 7\.0; .* reads formats 12 to 13: load it .* or train"
        )


class TestDescription:
    @pytest.mark.parametrize("text", ["[1, 2]", '"format"', "null", "", "\xff", "1" * 5000])
    @pytest.mark.parametrize("name", ["classifier.json", "description.json"])
    def test_other_json(self, folder, name, text):
        path = folder / name if name == "classifier.json" else files_of(folder) / name
        path.write_text(text, encoding="latin-1")
        if name != "classifier.json":
            write_digests(folder)
        refused(folder, f"{name} is damaged")

    @pytest.mark.parametrize("name", ["classifier.json", "description.json"])
    @pytest.mark.parametrize("brackets", ["[]", ('{"a":', "}")])
    def test_deeply_nested_json(self, folder, name, brackets):
        path = folder / name if name == "classifier.json" else files_of(folder) / name
        path.write_text(brackets[0] * 100_000 + "1" * (len(brackets[0]) > 1) + brackets[1] * 100_000)
        if name != "classifier.json":
            write_digests(folder)
        refused(folder, f"{name} is damaged")

    def test_a_part_is_missing_or_unknown(self, folder):
        whole = read_description(folder)
        for place, part in [("", whole), (".hierarchy", whole["hierarchy"]), (".choices", whole["choices"])]:
            for key in list(part):
                value = part.pop(key)
                write_description(folder, whole)
                refused(folder, rf"description.json is damaged \(the description{place}.{key} is missing\)")
                part[key] = value
        write_description(folder, whole | {"more": 1})
        refused(folder, r"the description.more is unknown")

    def test_a_parameter_is_missing_or_unknown(self, folder):
        description = read_description(folder)
        description["parameters"]["delta"] = description["parameters"].pop("gamma")
        write_description(folder, description)
        refused(folder, r"description.json is damaged \(parameters.delta is unknown")

    @pytest.mark.parametrize(
        ("place", "value"),
        [
            (("hierarchy", "edges", 0, 1), -1),
            (("hierarchy", "edges", 0, 1), 10),
            (("hierarchy", "edges", 0), [0]),
            (("hierarchy", "edges", 0, 0), 0.5),
            (("hierarchy", "flat"), True),
            (("hierarchy", "labels", 1), "biology"),
            (("vocabulary", 1), 5),
            (("vocabulary", 1), None),
            (("tokenizer", "token_pattern"), "("),
            (("tokenizer", "max_length"), -1),
            (("shortlist_size",), 11),
            (("shortlist_size",), True),
            (("n_texts",), -1),
            (("n_texts",), None),
            (("seed",), -1),
            (("stacking", "weights", "words"), None),
            (("stacking", "weights", "words"), float("nan")),
            (("stacking", "weights", "words"), 1e300),
            (("stacking", "weights", "other"), 1.0),
            (("stacking", "above", "other"), 1.0),
            (("stacking", "nothing"), float("inf")),
            (("decision", "decoding"), "best"),
            (("decision", "consistency"), "none"),
            (("decision", "n_labels"), 0),
            (("validation_f1",), [1.0]),
            (("validation_f1", 0), float("nan")),
            (("choices", "held_out"), None),
            (("parameters", "threshold"), [0.5]),
            (("parameters", "threshold"), float("nan")),
            (("parameters", "decoding"), "best"),
            (("parameters", "device"), "abacus"),
            (("parameters", "encoder"), {"name": "a", "other": 1}),
            (("parameters", "gamma"), None),
            (("scorers", "others"), {}),
            (("scorers", "words", "settings", "head"), "best"),
            (("scorers", "words", "settings", "encoder"), "best"),
            (("scorers", "words", "settings", "max_length"), -1),
            (("scorers", "words", "settings", "dropout"), 7),
            (("scorers", "words", "settings", "vocabulary_size"), 53),
            (("scorers", "characters", "ngrams", 0), "wav"),
            (("scorers", "characters", "ngrams", 0), 5),
        ],
    )
    def test_values_out_of_their_range(self, folder, place, value):
        description = read_description(folder)
        part = description
        for key in place[:-1]:
            part = part[key]
        part[place[-1]] = value
        if place[:2] == ("scorers", "characters"):
            part[1] = value
        write_description(folder, description)
        refused(folder, rf"is damaged \(.*: {REMEDY}")

    @pytest.mark.parametrize("name", ["words", "ngrams", "names"])
    def test_a_scorer_is_missing(self, folder, name):
        description = read_description(folder)
        del description["scorers"][name]
        write_description(folder, description)
        refused(folder, r"is damaged \((scorers|stacking.weights) ")

    @pytest.mark.parametrize(
        "setting",
        ["embedding_dimension", "joint_dimension", "node_dimension", "kernel_size", "vocabulary_size"],
    )
    @pytest.mark.parametrize("size", [10**6 + 1, 10**12 + 1, -1])
    def test_sizes_of_networks_allocate_nothing(self, folder, setting, size, monkeypatch):
        monkeypatch.setattr(networks, "seeded_construction", lambda seed: pytest.fail("a network was built"))
        description = read_description(folder)
        description["scorers"]["words"]["settings"][setting] = size
        write_description(folder, description)
        refused(folder, r"scorer 'words', is damaged")


class TestArrays:
    def test_a_missing_one_is_named(self, folder):
        whole = read_arrays(folder)
        optional = {"decision.path_ends", "decision.lowest", "mean_scores.words"}
        for name in whole.keys() - optional:
            write_arrays(folder, {other: array for other, array in whole.items() if other != name})
            refused(folder, rf"is damaged \(.*{name.partition('.')[2] or name} is missing")

    def test_each_has_one_shape(self, folder):
        whole = read_arrays(folder)
        for name, array in whole.items():
            for other in (array[None], array[:-1] if array.ndim else array[None, None]):
                if name in ("decision.path_ends", "label_embeddings") and other.ndim == array.ndim:
                    # A shorter array is right here, or is the last one of many checks.
                    continue
                write_arrays(folder, whole | {name: other})
                refused(folder, r"is damaged \(")

    def test_numbers_that_are_not_finite(self, folder):
        whole = read_arrays(folder)
        floats = [name for name, array in whole.items() if array.dtype.kind == "f" and array.size]
        assert len(floats) > 20
        for name in floats:
            for value in (np.nan, np.inf, -np.inf, 1e13):
                array = whole[name].copy()
                array.flat[-1] = value
                write_arrays(folder, whole | {name: array})
                refused(folder, rf"weights.npz is damaged \({name} holds numbers that are not finite")

    @pytest.mark.parametrize("name", SPARSE)
    def test_indices_of_sparse_arrays(self, folder, name):
        whole = read_arrays(folder)
        indices, pointers = whole[f"{name}.indices"], whole[f"{name}.indptr"]
        assert len(indices)
        for wrong in (np.full_like(indices, -1), indices + 10**6, indices[:-1], indices.astype(np.float32)):
            write_arrays(folder, whole | {f"{name}.indices": wrong})
            refused(folder, rf"{name.partition('.')[2]}.indices ")
        beyond = pointers.copy()
        beyond[1] = 10**6
        for wrong in (np.full_like(pointers, -1), pointers + 1, beyond, pointers[::-1].copy(), pointers[1:]):
            write_arrays(folder, whole | {f"{name}.indptr": wrong})
            refused(folder, rf"{name.partition('.')[2]}.indptr ")

    @pytest.mark.parametrize(
        ("name", "wrong"),
        [
            ("decision.path_ends", [-1, 3]),
            ("decision.path_ends", [3, 10]),
            ("decision.path_ends", [3, 2]),
            ("names.label", None),
            ("names.prefixes.prefix_of_word", None),
            ("ngrams.codes", None),
            ("words.propagation.edges.parent", None),
            ("words.propagation.edges.child", None),
            ("decision.threshold", 1.5),
            ("decision.tagged", [1] * 10),
            ("labels.number", [-1] * 10),
        ],
    )
    def test_positions_out_of_their_range(self, folder, name, wrong):
        whole = read_arrays(folder)
        wrong = -1 - whole[name] if wrong is None else np.array(wrong)
        write_arrays(folder, whole | {name: wrong})
        refused(folder, r"is damaged \(")

    @pytest.mark.parametrize(
        "wrong",
        [
            np.zeros(10, "c8"),
            np.zeros(10, "U3"),
            np.zeros(10, ">f4"),
            np.zeros(10, "M8[s]"),
            np.zeros(10, "V4"),
        ],
    )
    def test_types_that_are_no_plain_numbers(self, folder, wrong):
        write_arrays(folder, read_arrays(folder) | {"mean_scores.words": wrong})
        refused(folder, r"weights.npz is damaged \(mean_scores.words has the type")

    def test_a_pickle_is_not_opened(self, folder):
        class Bomb:
            def __reduce__(self):
                return pytest.fail, ("unpickled",)

        arrays = read_arrays(folder) | {"bomb": np.array([Bomb()], dtype=object)}
        np.savez(files_of(folder) / "weights.npz", **arrays)
        write_digests(folder)
        refused(folder, r"weights.npz is damaged \(bomb has the type object")

    @pytest.mark.parametrize(
        "shape", ["(1099511627776, 25)", "(-1, -10)", "(10**9,)", "(True,)", "(9,)", "((10,),)"]
    )
    def test_headers_that_ask_for_more_memory_than_there_is_data(self, folder, shape):
        path = files_of(folder) / "weights.npz"
        forge(path, lambda data: data.replace(b"(10,)", shape.encode().ljust(60)), "ngrams.bias.npy")
        write_digests(folder)
        peak = peak_of_refused(folder, r"weights.npz is damaged \(")
        assert peak < 50 * path.stat().st_size

    def test_a_compressed_archive(self, folder):
        """A few kilobytes may stand for gigabytes there."""
        path = files_of(folder) / "weights.npz"
        arrays = read_arrays(folder) | {"label_embeddings": np.zeros((10, 10**6), np.float32)}
        np.savez_compressed(path, **arrays)
        write_digests(folder)
        peak = peak_of_refused(
            folder, r"weights.npz is damaged \(the archive claims to hold .* more than it has"
        )
        assert peak < 10**7

    def test_a_compressed_member(self, folder):
        """Even one that is no smaller for it."""
        path = files_of(folder) / "weights.npz"
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in members.items():
                how = zipfile.ZIP_DEFLATED if name == "label_embeddings.npy" else zipfile.ZIP_STORED
                archive.writestr(name, data, how)
        write_digests(folder)
        refused(folder, r"weights.npz is damaged \(label_embeddings is compressed")

    def test_a_member_twice(self, folder):
        with zipfile.ZipFile(files_of(folder) / "weights.npz", "a") as archive:
            data = archive.read("ngrams.bias.npy")
            with pytest.warns(UserWarning, match="Duplicate name"):
                archive.writestr("ngrams.bias.npy", data)
        write_digests(folder)
        refused(folder, r"ngrams.bias is no array, or there twice")


@pytest.fixture(scope="module")
def saved_encoder(tiny_bert, tmp_path_factory):
    """A classifier whose encoder was trained, beside the encoder before training."""
    folder = tmp_path_factory.mktemp("saved") / "model"
    quick(encoder=tiny_bert, net_params=None, max_epochs=1).fit(TEXTS, LABEL_SETS).save(folder)
    return folder


class TestEncoder:
    @pytest.fixture
    def folder(self, saved_encoder, tmp_path):
        return shutil.copytree(saved_encoder, tmp_path / "model")

    def test_a_trained_one_is_never_looked_up_by_its_name(self, folder):
        """The untrained encoder of this name is still there, and would predict nonsense."""
        shutil.rmtree(files_of(folder) / "encoder")
        refused(folder, r"encoder/.* is missing, .* copy the whole folder")
        write_digests(folder)
        refused(folder, r"scorer 'pretrained', is damaged \(the folder of the trained encoder is missing")

    @pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
    def test_a_file_is_missing(self, folder, name):
        (files_of(folder) / "encoder" / name).unlink()
        refused(folder, f"encoder/{name} is missing")
        write_digests(folder)
        refused(folder, r"scorer 'pretrained', is damaged")

    @pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
    def test_another_byte(self, folder, name):
        path = files_of(folder) / "encoder" / name
        path.write_bytes(path.read_bytes()[:-1] + b" ")
        refused(folder, f"encoder/{name} is damaged .*SHA-256")

    @pytest.mark.parametrize(
        "name",
        [
            "modeling.py",
            "pytorch_model.bin",
            "x.pt",
            "adapter_config.json",
            "modules.json",
            "sub/modules.json",
        ],
    )
    def test_files_that_run_code_or_name_other_models(self, folder, name):
        path = files_of(folder) / "encoder" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("[]")
        refused(folder, f"{name} was not saved with this classifier")
        write_digests(folder)
        refused(folder, f"{name} is no file that `save` writes")

    def test_a_link_to_another_encoder(self, folder, tiny_bert):
        shutil.rmtree(files_of(folder) / "encoder")
        (files_of(folder) / "encoder").symlink_to(tiny_bert)
        refused(folder, r"leads outside of .*model: copy the file itself")
        write_digests(folder)
        refused(folder, r"encoder was not saved with this classifier")

    def test_code_is_not_asked_for(self, folder, monkeypatch):
        """With `auto_map` transformers asks whether to run the code of a repository on the hub."""
        monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked"))
        for name in ("config.json", "tokenizer_config.json"):
            path = files_of(folder) / "encoder" / name
            code = {"AutoConfig": "other/code--a.Config", "AutoModel": "other/code--a.Model"}
            path.write_text(json.dumps(json.loads(path.read_text()) | {"auto_map": code}))
        write_digests(folder)
        assert HiMatchClassifier.load(folder).predict_proba(UNSEEN).shape == (5, 10)

    @pytest.mark.parametrize(
        ("entry", "value"),
        [
            ("model_type", "no-such-model"),
            ("hidden_size", 10**9),
            ("hidden_size", 64),
            ("vocab_size", 10**9),
            ("max_position_embeddings", 10**9),
            ("intermediate_size", 10**9),
            ("num_hidden_layers", 10**9),
            ("num_attention_heads", 0),
            ("hidden_act", "no-such-function"),
            ("hidden_size", None),
            ("layer_norm_eps", -1e9),
            ("layer_norm_eps", -1e-3),
            ("layer_norm_eps", float("nan")),
            ("layer_norm_eps", float("inf")),
            ("layer_norm_eps", "x"),
        ],
    )
    def test_a_configuration_of_another_model(self, folder, entry, value):
        path = files_of(folder) / "encoder" / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {entry: value}))
        write_digests(folder)
        assert peak_of_refused(folder, r"scorer 'pretrained', is damaged") < 10**8

    @pytest.mark.parametrize("value", [np.nan, np.inf, 1e13])
    def test_weights_that_are_not_finite(self, folder, value):
        """Of a word that few texts have."""
        numpy = pytest.importorskip("safetensors.numpy", reason="it comes with transformers")
        path = files_of(folder) / "encoder" / "model.safetensors"
        weights = numpy.load_file(path)
        weights["embeddings.word_embeddings.weight"][-1, -1] = value
        numpy.save_file(weights, path, {"format": "pt"})
        write_digests(folder)
        refused(
            folder, r"scorer 'pretrained', is damaged .*word_embeddings.weight holds numbers that are not"
        )

    @pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "tokenizer.json"])
    def test_other_values_are_an_error_or_do_no_harm(self, folder, name):
        path = files_of(folder) / "encoder" / name
        whole, rng = json.loads(path.read_text()), random.Random(0)
        for _ in range(15):
            part = copy.deepcopy(whole)
            what = replace_a_value(part, rng)
            path.write_text(json.dumps(part))
            write_digests(folder)
            with suppress(ModelFormatError):
                check_predictions(HiMatchClassifier.load(folder), what)


def forge(path, change, name):
    """Change the bytes of one member of an archive."""
    with zipfile.ZipFile(path) as archive:
        members = {member: archive.read(member) for member in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for member, data in members.items():
            archive.writestr(member, change(data) if member == name else data)


def peak_of_refused(folder, message):
    """Return the most memory that a load takes which is refused, in bytes."""
    tracemalloc.start()
    try:
        refused(folder, message)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("edit", "number"), [(edit_value, 120), (edit_array, 120), (edit_bytes, 60)])
@pytest.mark.parametrize("name", ["paths", "sums"])
def test_random_damage_is_an_error_or_does_no_harm(saved, tmp_path, edit, number, name):
    """Not once is there a crash, another exception or a prediction that is no number."""
    refused_ones = 0
    for seed in range(number):
        folder = shutil.copytree(saved / name, tmp_path / str(seed))
        rng = random.Random(seed)
        what = edit(folder, rng)
        try:
            classifier = HiMatchClassifier.load(folder)
        except ModelFormatError:
            refused_ones += 1
        except FileNotFoundError:
            assert what.startswith("classifier.json")
        else:
            check_predictions(classifier, what)
        shutil.rmtree(folder)
    assert refused_ones > number // 3
