import copy
import hashlib
import json
import os
import shutil
import warnings
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import MappingProxyType

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from saved_folders import edit_manifest, files_of, read_arrays, read_description
from sklearn.base import clone
from toy_corpus import HIERARCHY, QUICK, SMALL, SMALL_RCNN, WORDS, binarize, make_corpus

from skhimatch import HiMatchClassifier, ModelFormatError, WordTokenizer, WordVectors, persistence
from skhimatch.storage import arrays as stored_arrays
from skhimatch.storage import folder as storage

LABELS = sorted(WORDS)
TEXTS, LABEL_SETS = make_corpus(60)
UNSEEN, UNSEEN_SETS = make_corpus(20, seed=1)


def quick(hierarchy=HIERARCHY, **parameters):
    return HiMatchClassifier(hierarchy, **QUICK | parameters)


@pytest.fixture(scope="module")
def fitted():
    return quick().fit(TEXTS, LABEL_SETS)


@pytest.fixture
def folder(fitted, tmp_path):
    fitted.save(tmp_path / "model")
    return tmp_path / "model"


def assert_alike(left, right, texts=UNSEEN):
    for method in ("predict_proba", "decision_function", "transform"):
        np.testing.assert_array_equal(getattr(left, method)(texts), getattr(right, method)(texts))
    predicted, again = left.predict(texts), right.predict(texts)
    assert type(predicted) is type(again)
    np.testing.assert_array_equal(sp.csr_array(predicted).toarray(), sp.csr_array(again).toarray())
    for name in ("classes_", "label_embeddings_"):
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name))
    if left.ngrams_ is not None:
        sequences = texts if left.tokenizer_ is None else left.tokenizer_.transform(texts)
        scores = [classifier.label_names_.scores(sequences) for classifier in (left, right)]
        np.testing.assert_array_equal(*scores)
    for name in ("history_", "n_iter_", "vocabulary_", "validation_f1_"):
        assert getattr(left, name) == getattr(right, name)


class TestRoundTrip:
    @pytest.mark.parametrize(
        "parameters",
        [
            {},
            {"hierarchy": None},
            {"hierarchy": None, "classes": LABELS[::-1]},
            {"classes": LABELS[::-1], "propagation": "gated", "head": "labelwise"},
            {"propagation": None, "decoding": "threshold", "threshold": np.linspace(0.1, 0.9, 10)},
            {"decoding": "threshold", "threshold": 0.3, "consistency": "ancestors"},
            {"tokenizer": WordTokenizer(min_count=1, max_length=5, lowercase=False)},
            {"label_texts": {"optics": ["lens", "light"]}, "patience": None},
            {"word_vectors": WordVectors(["lens", "leaf"], np.eye(2, 5))},
            {"net_params": SMALL | {"module__kernel_size": 5, "module__max_length": 4}},
            {
                "encoder": "rcnn",
                "propagation": "gcn",
                "net_params": SMALL_RCNN | {"module__kernel_sizes": (2, 5)},
            },
            {"lexical": None, "classification_loss": "cross_entropy"},
            {"label_texts": {"optics": ["lens", "light"], "physics": ""}},
            {"hierarchy": {"science": LABELS[:3], "sport": ["biology", *LABELS[3:6], *LABELS[8:]]}},
        ],
    )
    def test_parameters(self, parameters, tmp_path):
        classifier = quick(**parameters).fit(TEXTS, [labels - {"sport", "science"} for labels in LABEL_SETS])
        classifier.save(tmp_path / "model")
        loaded = HiMatchClassifier.load(tmp_path / "model")
        assert_alike(classifier, loaded)
        np.testing.assert_array_equal(classifier.hierarchy_.edges, loaded.hierarchy_.edges)
        for name in ("decoding", "consistency", "head", "propagation", "batch_size", "gamma", "patience"):
            assert getattr(loaded, name) == getattr(classifier, name)
        np.testing.assert_array_equal(loaded.threshold, classifier.threshold)
        np.testing.assert_array_equal(loaded.decision_.threshold, classifier.decision_.threshold)
        assert loaded.stacking_weights_ == classifier.stacking_weights_

    def test_sparse_targets(self, tmp_path):
        classifier = quick().fit(TEXTS, sp.csr_array(binarize(LABEL_SETS)))
        classifier.save(tmp_path / "model")
        assert_alike(classifier, HiMatchClassifier.load(tmp_path / "model"))

    def test_taught_with_token_sequences(self, tmp_path):
        tokenizer = WordTokenizer().fit(TEXTS)
        classifier = quick().fit(tokenizer.transform(TEXTS), LABEL_SETS)
        classifier.save(str(tmp_path / "model"))
        loaded = HiMatchClassifier.load(str(tmp_path / "model"))
        assert loaded.tokenizer_ is None
        assert_alike(classifier, loaded, tokenizer.transform(UNSEEN))
        with pytest.raises(ValueError, match="got raw texts"):
            loaded.predict(UNSEEN)

    def test_partial_fit(self, tmp_path):
        classifier = quick().partial_fit(TEXTS, LABEL_SETS)
        classifier.save(tmp_path / "model")
        assert_alike(classifier, HiMatchClassifier.load(tmp_path / "model"))

    def test_a_loaded_classifier_is_one_like_others(self, fitted, folder):
        loaded = HiMatchClassifier.load(folder)
        assert loaded.score(UNSEEN, UNSEEN_SETS) == fitted.score(UNSEEN, UNSEEN_SETS)
        again = clone(loaded).fit(TEXTS, LABEL_SETS)
        np.testing.assert_array_equal(again.predict_proba(UNSEEN), fitted.predict_proba(UNSEEN))

    def test_a_generator_is_not_written(self, tmp_path):
        quick(random_state=np.random.RandomState(0)).fit(TEXTS, LABEL_SETS).save(tmp_path / "model")
        assert HiMatchClassifier.load(tmp_path / "model").random_state is None

    def test_loading_draws_from_no_global_generator(self, folder):
        before = torch.get_rng_state()
        HiMatchClassifier.load(folder).predict(UNSEEN)
        assert torch.equal(torch.get_rng_state(), before)

    def test_saved_again(self, fitted, folder, tmp_path):
        HiMatchClassifier.load(folder).save(tmp_path / "again")
        assert_alike(fitted, HiMatchClassifier.load(tmp_path / "again"))

    def test_the_folder_may_move(self, fitted, folder, tmp_path):
        folder.rename(tmp_path / "elsewhere")
        assert_alike(fitted, HiMatchClassifier.load(tmp_path / "elsewhere"))

    def test_a_subclass_loads_itself(self, folder):
        class Other(HiMatchClassifier):
            pass

        assert type(Other.load(folder)) is Other


class TestFiles:
    def test_arrays_and_json_without_pickle(self, fitted, folder):
        of_save = files_of(folder)
        assert sorted(path.name for path in folder.iterdir()) == ["classifier.json", of_save.name]
        names = ["README.md", "description.json", "weights.npz"]
        assert sorted(path.name for path in of_save.iterdir()) == names
        arrays = read_arrays(folder)
        assert all(array.dtype.kind in "fib" for array in arrays.values())
        weights = fitted.network_.state_dict()
        assert {f"words.{name}" for name in weights} <= set(arrays)
        np.testing.assert_array_equal(arrays["words.label_vectors"], weights["label_vectors"].numpy())
        with zipfile.ZipFile(of_save / "weights.npz") as archive:
            assert all(name.endswith(".npy") for name in archive.namelist())
        description = read_description(folder)
        assert description["hierarchy"]["labels"] == LABELS
        assert description["parameters"]["gamma"] == 0.2

    def test_the_manifest_has_the_digest_of_each_file(self, folder):
        manifest = json.loads((folder / "classifier.json").read_text())
        assert manifest["format"] == 13
        assert manifest["files"] == {
            name: hashlib.sha256((files_of(folder) / name).read_bytes()).hexdigest()
            for name in ("README.md", "description.json", "weights.npz")
        }

    def test_no_training_text(self, folder):
        for name in ("README.md", "description.json"):
            assert TEXTS[0] not in (files_of(folder) / name).read_text(encoding="utf-8")

    def test_replaces_what_it_saved_before(self, folder):
        other = quick(random_state=1).fit(TEXTS, LABEL_SETS)
        other.save(folder)
        assert_alike(other, HiMatchClassifier.load(folder))
        assert [path.name for path in folder.parent.iterdir()] == ["model"]
        assert len(list(folder.iterdir())) == 2

    def test_a_byte_order_mark_is_no_damage(self, fitted, folder):
        file = folder / "classifier.json"
        file.write_text(file.read_text(encoding="utf-8"), encoding="utf-8-sig")
        assert HiMatchClassifier.load(folder).hierarchy_ == fitted.hierarchy_

    def test_an_empty_folder_will_do(self, fitted, tmp_path):
        fitted.save(tmp_path)
        assert_alike(fitted, HiMatchClassifier.load(tmp_path))

    def test_through_a_link(self, fitted, folder):
        link = folder.with_name("link")
        link.symlink_to(folder)
        fitted.save(link)
        assert link.is_symlink()
        assert_alike(fitted, HiMatchClassifier.load(folder))
        assert sorted(path.name for path in folder.parent.iterdir()) == ["link", "model"]

    @pytest.mark.parametrize(
        "parameters",
        [
            {"label_texts": {"tennis": {"racket", "serve"}}},
            {"label_texts": MappingProxyType({"tennis": "racket"})},
            {"classes": pd.Index(LABELS)},
            {"classes": pd.Series(LABELS)},
            {"threshold": pd.Series(np.full(10, 0.4))},
        ],
    )
    def test_parameters_in_other_containers(self, tmp_path, parameters):
        classifier = quick(**parameters).fit(TEXTS, LABEL_SETS)
        classifier.save(tmp_path / "model")
        loaded = HiMatchClassifier.load(tmp_path / "model")
        assert_alike(classifier, loaded)
        again = clone(loaded).set_params(random_state=0).fit(TEXTS, LABEL_SETS)
        np.testing.assert_array_equal(again.predict_proba(UNSEEN), classifier.predict_proba(UNSEEN))

    def test_makes_the_parents(self, fitted, tmp_path):
        fitted.save(tmp_path / "a" / "b")
        assert (tmp_path / "a" / "b" / "classifier.json").is_file()

    def test_neighbours_of_any_name_are_left_alone(self, fitted, folder):
        names = ["model.saving", "model.replaced", "model.tmp", ".model"]
        for name in names:
            folder.with_name(name).mkdir()
            (folder.with_name(name) / "thesis.tex").write_text("dear")
        fitted.save(folder)
        for name in names:
            assert (folder.with_name(name) / "thesis.tex").read_text() == "dear"
        assert len(list(folder.parent.iterdir())) == 5

    def test_the_folder_itself_stays(self, fitted, folder):
        """Other processes may be in it, and it may be the root of a mounted disk."""
        before = folder.stat()
        fitted.save(folder)
        assert (folder.stat().st_dev, folder.stat().st_ino) == (before.st_dev, before.st_ino)

    def test_everyone_may_read_it_who_could_read_another_new_file(self, folder):
        other = folder.with_name("other")
        other.mkdir()
        (other / "file").touch()
        assert files_of(folder).stat().st_mode == other.stat().st_mode
        for path in (folder / "classifier.json", files_of(folder) / "weights.npz"):
            assert path.stat().st_mode == (other / "file").stat().st_mode

    def test_weights_that_are_not_finite_are_not_written(self, fitted, folder):
        broken = copy.deepcopy(fitted)
        with torch.no_grad():
            broken.network_.head.bias[0] = torch.nan
        with pytest.raises(ValueError, match=r"words.head.bias holds numbers that are not finite"):
            broken.save(folder)
        assert_alike(fitted, HiMatchClassifier.load(folder))


def stopped_at(monkeypatch, call, error, *, after, killed):
    """Let one of the calls of the operating system raise an error, before it is done or after.

    `call` counts them from 0. Of a process that is killed, no later call is done. Returns a list, which gets
    the names of all calls.
    """
    made = []

    def stopping(function):
        def wrapped(*args, **kwargs):
            made.append(function.__name__)
            last, later = len(made) - 1 == call, len(made) - 1 > call
            if (last and not after) or (later and killed):
                raise error
            result = function(*args, **kwargs)
            if last:
                raise error
            return result

        return wrapped

    for name in ("replace", "mkdir", "unlink", "rmdir", "fsync"):
        monkeypatch.setattr(os, name, stopping(getattr(os, name)))
    return made


class TestStoppedSaves:
    @pytest.mark.parametrize("after", [False, True])
    @pytest.mark.parametrize("killed", [False, True])
    def test_at_every_moment_there_is_the_old_classifier_or_the_new_one(
        self, fitted, folder, monkeypatch, after, killed
    ):
        """The process is stopped before, or just after, each call that changes the disk."""
        other = quick(random_state=1).fit(TEXTS, LABEL_SETS)
        expected = {classifier.predict_proba(UNSEEN).tobytes() for classifier in (fitted, other)}
        found = []
        for call in range(100):
            fitted.save(folder)
            with monkeypatch.context() as patch:
                made = stopped_at(patch, call, KeyboardInterrupt(), after=after, killed=killed)
                with suppress(KeyboardInterrupt), warnings.catch_warnings():
                    # The interrupt may prevent that the own files are removed.
                    warnings.simplefilter("ignore", UserWarning)
                    other.save(folder)
            found.append(HiMatchClassifier.load(folder).predict_proba(UNSEEN).tobytes())
            assert set(found) <= expected
            if len(made) <= call:
                break
            for path in folder.iterdir():
                if path.name not in ("classifier.json", files_of(folder).name):
                    shutil.rmtree(path)
        assert set(found) == expected
        assert made.count("replace") == 1
        assert len(found) >= 8

    def test_a_failure_while_writing_leaves_the_old_one(self, fitted, folder, monkeypatch):
        def fail(*args, **kwargs):
            raise OSError("disk full")

        other = quick(random_state=1).fit(TEXTS, LABEL_SETS)
        for module, name in ((np, "savez"), (os, "fsync"), (os, "replace")):
            with monkeypatch.context() as patch:
                patch.setattr(module, name, fail)
                with pytest.raises(OSError, match="disk full"):
                    other.save(folder)
            assert_alike(fitted, HiMatchClassifier.load(folder))
            assert len(list(folder.iterdir())) == 2
            assert [path.name for path in folder.parent.iterdir()] == ["model"]

    def test_a_failure_leaves_no_folder_where_there_was_none(self, fitted, tmp_path, monkeypatch):
        def fail(*args, **kwargs):
            raise OSError("disk full")

        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="disk full"):
            fitted.save(tmp_path / "model")
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("first", [True, False])
    def test_files_of_a_killed_save_are_named(self, fitted, tmp_path, first):
        folder = tmp_path / "model"
        if not first:
            fitted.save(folder)
        left = folder / "saved-0123456789abcdef"
        left.mkdir(parents=True)
        (left / "weights.npz").write_bytes(b"a part")
        with pytest.warns(UserWarning, match=r"model holds saved-0123456789abcdef, .* Delete it if no other"):
            fitted.save(folder)
        assert (left / "weights.npz").read_bytes() == b"a part"
        assert_alike(fitted, HiMatchClassifier.load(folder))

    def test_what_was_put_beside_the_old_weights_is_kept(self, fitted, folder):
        before = files_of(folder)
        (before / ".notes").write_text("dear")
        with pytest.warns(UserWarning, match=f"holds {before.name}"):
            fitted.save(folder)
        assert [path.name for path in before.iterdir()] == [".notes"]

    def test_links_in_the_old_save_are_not_followed(self, fitted, folder, tmp_path):
        before = files_of(folder)
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "config.json").write_text("dear")
        (before / "encoder").symlink_to(tmp_path / "mine")
        manifest = json.loads((folder / "classifier.json").read_text())
        edit_manifest(folder, files=manifest["files"] | {"encoder/config.json": "0"})
        with pytest.warns(UserWarning, match=f"holds {before.name}"):
            fitted.save(folder)
        assert (tmp_path / "mine" / "config.json").read_text() == "dear"


class TestConcurrentSaves:
    def test_a_load_is_of_one_save(self, fitted, folder, monkeypatch):
        """Another process saves whenever a load has read the manifest; the last load has its files."""
        other = quick(random_state=1).fit(TEXTS, LABEL_SETS)
        saves, read = [fitted, other, fitted, other], storage._read_manifest

        def then_save(path):
            manifest = read(path)
            if saves:
                with monkeypatch.context() as patch:
                    patch.setattr(storage, "_read_manifest", read)
                    saves.pop(0).save(path)
            return manifest

        monkeypatch.setattr(storage, "_read_manifest", then_save)
        loaded = HiMatchClassifier.load(folder)
        assert not saves
        assert_alike(other, loaded)

    def test_a_load_does_not_try_without_end(self, fitted, folder, monkeypatch):
        read = storage._read_manifest
        read_ones = []

        def then_save(path):
            manifest = read(path)
            read_ones.append(manifest)
            with monkeypatch.context() as patch:
                patch.setattr(storage, "_read_manifest", read)
                fitted.save(path)
            return manifest

        monkeypatch.setattr(storage, "_read_manifest", then_save)
        with pytest.raises(ModelFormatError, match="is missing"):
            HiMatchClassifier.load(folder)
        assert len(read_ones) < 30

    def test_two_threads(self, fitted, folder):
        """One saves two classifiers in turn, while the other one loads."""
        other = quick(random_state=1).fit(TEXTS, LABEL_SETS)
        expected = {classifier.predict_proba(UNSEEN).tobytes() for classifier in (fitted, other)}

        def save_in_turn():
            for number in range(40):
                (fitted, other)[number % 2].save(folder)

        found = set()
        with ThreadPoolExecutor(1) as pool:
            saving = pool.submit(save_in_turn)
            while not saving.done():
                found.add(HiMatchClassifier.load(folder).predict_proba(UNSEEN).tobytes())
            saving.result()
        assert found <= expected


class TestRefusedToSave:
    @pytest.mark.parametrize("names", [["thesis.tex"], ["classifier.json", "weights.npz", "thesis.tex"]])
    def test_a_folder_with_something_else(self, fitted, tmp_path, names):
        for name in names:
            (tmp_path / name).write_text("dear")
        with pytest.raises(FileExistsError, match=r"holds no saved classifier.*choose another folder"):
            fitted.save(tmp_path)
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
        assert (tmp_path / "thesis.tex").read_text() == "dear"

    def test_a_file_of_the_same_name(self, fitted, tmp_path):
        (tmp_path / "classifier.json").write_text('{"mine": 1}')
        with pytest.raises(FileExistsError, match=r"classifier that can be replaced .* Delete it, or"):
            fitted.save(tmp_path)
        assert (tmp_path / "classifier.json").read_text() == '{"mine": 1}'

    def test_an_older_format(self, fitted, tmp_path):
        (tmp_path / "classifier.json").write_text('{"format": 11, "version": "0.0.9"}')
        with pytest.raises(FileExistsError, match=r"saved in format 11 by skhimatch 0.0.9.* Delete it, or"):
            fitted.save(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["classifier.json"]

    def test_a_link_of_the_name_of_a_save(self, fitted, tmp_path):
        (tmp_path / "mine").mkdir()
        (tmp_path / "model").mkdir()
        (tmp_path / "model" / "saved-0123456789abcdef").symlink_to(tmp_path / "mine")
        with pytest.raises(FileExistsError, match="choose another folder"):
            fitted.save(tmp_path / "model")

    def test_a_file(self, fitted, tmp_path):
        (tmp_path / "model").write_text("dear")
        with pytest.raises(FileExistsError, match="choose another folder"):
            fitted.save(tmp_path / "model")
        assert (tmp_path / "model").read_text() == "dear"

    def test_the_working_directory(self, fitted, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        for folder in (".", "", tmp_path):
            with pytest.raises(FileExistsError, match=r"is the working directory: choose another folder"):
                fitted.save(folder)
        assert not list(tmp_path.iterdir())

    def test_another_tokenizer(self, tmp_path):
        class Stemmer(WordTokenizer):
            pass

        classifier = quick(tokenizer=Stemmer()).fit(TEXTS, LABEL_SETS)
        with pytest.raises(
            TypeError, match=r"SubwordTokenizer, not a Stemmer: keep this classifier with joblib"
        ):
            classifier.save(tmp_path / "model")
        assert not list(tmp_path.iterdir())

    def test_a_parameter_without_json_form(self, tmp_path):
        classifier = quick(net_params=SMALL | {"optimizer": torch.optim.SGD}).fit(TEXTS, LABEL_SETS)
        with pytest.raises(
            TypeError, match=r"parameter of type type .*SGD.* cannot be saved as JSON.*joblib"
        ):
            classifier.save(tmp_path / "model")
        assert not list(tmp_path.iterdir())


def test_check_folder(tmp_path):
    assert persistence.check_folder(str(tmp_path / "a" / "b")) == tmp_path / "a" / "b"
    assert (tmp_path / "a").is_dir()
    assert not (tmp_path / "a" / "b").exists()


def test_the_file_of_arrays_holds_what_was_given(tmp_path):
    arrays = {"numbers": np.arange(3.0), "flag": np.array(True)}
    stored_arrays.write_arrays(tmp_path / "arrays.npz", arrays)
    assert stored_arrays.read_arrays(tmp_path / "arrays.npz").keys() == arrays.keys()
