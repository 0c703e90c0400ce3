import json
import zipfile
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from sklearn.base import clone
from toy_corpus import HIERARCHY, QUICK, SMALL, SMALL_RCNN, WORDS, binarize, make_corpus

from skhimatch import HiMatchClassifier, WordTokenizer, WordVectors, persistence

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
        assert sorted(path.name for path in folder.iterdir()) == ["classifier.json", "weights.npz"]
        with np.load(folder / "weights.npz", allow_pickle=False) as stored:
            arrays = dict(stored)
        assert all(array.dtype.kind in "fib" for array in arrays.values())
        weights = fitted.network_.state_dict()
        assert {f"words.{name}" for name in weights} <= set(arrays)
        np.testing.assert_array_equal(arrays["words.label_vectors"], weights["label_vectors"].numpy())
        with zipfile.ZipFile(folder / "weights.npz") as archive:
            assert all(name.endswith(".npy") for name in archive.namelist())
        description = json.loads((folder / "classifier.json").read_text())
        assert description["format"] == 11
        assert description["hierarchy"]["labels"] == LABELS
        assert description["parameters"]["gamma"] == 0.2

    def test_no_training_text(self, folder):
        assert TEXTS[0] not in (folder / "classifier.json").read_text()

    def test_replaces_what_it_saved_before(self, folder):
        other = quick(random_state=1).fit(TEXTS, LABEL_SETS)
        other.save(folder)
        assert_alike(other, HiMatchClassifier.load(folder))
        assert [path.name for path in folder.parent.iterdir()] == ["model"]

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
        assert (tmp_path / "a" / "b" / "weights.npz").is_file()

    def test_a_failure_while_writing_leaves_the_old_one(self, fitted, folder, monkeypatch):
        def fail(*args, **kwargs):
            raise OSError("disk full")

        monkeypatch.setattr(np, "savez", fail)
        with pytest.raises(OSError, match="disk full"):
            quick(random_state=1).fit(TEXTS, LABEL_SETS).save(folder)
        assert_alike(fitted, HiMatchClassifier.load(folder))
        assert [path.name for path in folder.parent.iterdir()] == ["model"]

    def test_a_failure_while_replacing_leaves_the_old_one(self, fitted, folder, monkeypatch):
        rename = Path.rename

        def fail_for_the_new_one(path, target):
            if path.name.endswith(".saving"):
                raise OSError("no")
            return rename(path, target)

        monkeypatch.setattr(Path, "rename", fail_for_the_new_one)
        with pytest.raises(OSError, match="no"):
            quick(random_state=1).fit(TEXTS, LABEL_SETS).save(folder)
        assert_alike(fitted, HiMatchClassifier.load(folder))
        assert [path.name for path in folder.parent.iterdir()] == ["model"]


class TestRefusedToSave:
    @pytest.mark.parametrize("names", [["thesis.tex"], ["classifier.json", "weights.npz", "thesis.tex"]])
    def test_a_folder_with_something_else(self, fitted, tmp_path, names):
        for name in names:
            (tmp_path / name).write_text("dear")
        with pytest.raises(FileExistsError, match=r"holds no saved classifier.*choose another folder"):
            fitted.save(tmp_path)
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
        assert (tmp_path / "thesis.tex").read_text() == "dear"

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


class TestDamage:
    @pytest.mark.parametrize("name", ["classifier.json", "weights.npz"])
    def test_missing(self, folder, name):
        (folder / name).unlink()
        with pytest.raises(FileNotFoundError, match=f"{name} is missing: .*model is no saved classifier"):
            HiMatchClassifier.load(folder)

    def test_no_folder(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"nowhere is no saved classifier"):
            HiMatchClassifier.load(tmp_path / "nowhere")

    @pytest.mark.parametrize("name", ["classifier.json", "weights.npz"])
    @pytest.mark.parametrize("kept", [0, 100, -100])
    def test_truncated(self, folder, name, kept):
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[:kept])
        with pytest.raises(ValueError, match=rf"{name} is damaged .*: save the classifier again"):
            HiMatchClassifier.load(folder)

    @pytest.mark.parametrize("text", ["[1, 2]", '"format"', "null"])
    def test_other_json(self, folder, text):
        (folder / "classifier.json").write_text(text)
        with pytest.raises(ValueError, match=r"classifier.json is damaged"):
            HiMatchClassifier.load(folder)

    @pytest.mark.parametrize("key", ["hierarchy", "parameters", "scorers", "vocabulary", "history", "seed"])
    def test_a_part_is_missing(self, folder, key):
        description = json.loads((folder / "classifier.json").read_text())
        del description[key]
        (folder / "classifier.json").write_text(json.dumps(description))
        with pytest.raises(ValueError, match=f"is damaged .*{key}"):
            HiMatchClassifier.load(folder)

    def test_weights_of_another_network(self, folder, tmp_path):
        quick({"sport": ["rowing"]}).fit(["oar boat", "oar"], [{"sport"}, {"rowing"}]).save(
            tmp_path / "other"
        )
        (tmp_path / "other" / "weights.npz").rename(folder / "weights.npz")
        with pytest.raises(ValueError, match=r"model is damaged .*size mismatch"):
            HiMatchClassifier.load(folder)

    def test_a_later_format(self, folder):
        description = json.loads((folder / "classifier.json").read_text())
        description |= {"format": 99, "version": "7.0"}
        (folder / "classifier.json").write_text(json.dumps(description))
        with pytest.raises(
            ValueError, match=r"saved in format 99 by skhimatch 7\.0; .* reads format 11: load it"
        ):
            HiMatchClassifier.load(folder)

    def test_a_pickle_among_the_weights_is_not_opened(self, folder):
        class Bomb:
            def __reduce__(self):
                return pytest.fail, ("unpickled",)

        np.savez(folder / "weights.npz", allow_pickle=True, bomb=np.array([Bomb()], dtype=object))
        with pytest.raises(ValueError, match=r"weights.npz is damaged .*allow_pickle"):
            HiMatchClassifier.load(folder)


def test_check_folder(tmp_path):
    assert persistence.check_folder(str(tmp_path / "a" / "b")) == tmp_path / "a" / "b"
    assert (tmp_path / "a").is_dir()
    assert not (tmp_path / "a" / "b").exists()
