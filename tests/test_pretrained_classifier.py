"""`HiMatchClassifier` on a pretrained encoder, end to end."""

import copy
import pickle
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from saved_folders import files_of, read_arrays, read_description
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MultiLabelBinarizer
from skorch.callbacks import Callback

from skhimatch import HiMatchClassifier, PretrainedEncoder, WordTokenizer, parameters
from skhimatch.evaluation.metrics import micro_macro_f1
from skhimatch.labels.targets import encode_targets
from skhimatch.network import encodings
from skhimatch.network.predict import score_meaning_too, score_texts
from skhimatch.network.transformer import TransformerEncoder
from skhimatch.scores import ensemble as evidence
from skhimatch.text.sequences import words_of
from skhimatch.text.subwords import SubwordTokenizer

HIERARCHY = {"science": ["physics", "biology"], "sport": ["tennis"]}
TEXTS = ["a quark and a gluon", "the cell divides", "a serve and a volley"] * 8
LABELS = [{"science", "physics"}, {"science", "biology"}, {"sport", "tennis"}] * 8
ENCODER_SETTINGS = {"freeze", "pooling", "long_text", "stored", "vector_store", "dtype"}
NEW = ["the gluon and the quark", "a cell", "the volley of the serve", ""]


@pytest.fixture
def make(tiny_bert):
    def make(name=tiny_bert, **settings):
        of_encoder = {key: settings.pop(key) for key in ENCODER_SETTINGS & set(settings)}
        encoder = PretrainedEncoder(name, **of_encoder) if of_encoder else name
        defaults = {"encoder": encoder, "lexical": "ngrams", "max_epochs": 2, "batch_size": 8}
        return HiMatchClassifier(HIERARCHY, random_state=0, **defaults | settings)

    return make


@pytest.fixture
def reads(monkeypatch):
    """How many texts were encoded, by whichever store."""
    numbers = []

    def counted(encoder, texts, encode=encodings.encode):
        numbers.append(len(texts))
        return encode(encoder, texts)

    monkeypatch.setattr(encodings, "encode", counted)
    return numbers


@pytest.mark.parametrize(
    ("freeze", "pooling"),
    [(None, "mean"), (None, "attention"), ("all", "mean"), (1, "mean"), (1, "attention")],
)
@pytest.mark.parametrize("propagation", [None, "gcn"])
def test_it_learns(make, tiny_bert, freeze, propagation, pooling):
    encoder = PretrainedEncoder(tiny_bert, freeze=freeze, pooling=pooling, learning_rate=1e-3)
    classifier = make(
        encoder=encoder,
        max_epochs=40,
        validation_fraction=0,
        learning_rate=0.02,
        propagation=propagation,
        lexical=None,
    )
    classifier.fit(TEXTS, LABELS)
    targets = encode_targets(LABELS, classifier.hierarchy_)
    assert (
        micro_macro_f1(targets, encode_targets(classifier.predict(TEXTS), classifier.hierarchy_)).micro > 0.95
    )
    # Nodes are as wide as the encoder's states, unless T is projected onto the labels.
    width = 128 if propagation and pooling == "mean" else 32
    assert classifier.transform(NEW).shape == (4, width)
    assert classifier.label_embeddings_.shape == (5, width)
    assert np.isfinite(classifier.predict_proba(NEW)).all()


@pytest.mark.parametrize("freeze", [None, "all", "embeddings"])
def test_what_is_frozen_stays(make, tiny_bert, freeze):
    fitted, before = make(freeze=freeze).fit(TEXTS, LABELS), TransformerEncoder(PretrainedEncoder(tiny_bert))
    after = fitted.network_.text_encoder.state_dict()
    changed = {
        part
        for name, weight in before.state_dict().items()
        for part in ("embeddings", "encoder.layer")
        if f"body.{part}" in name and not (after[name] == weight).all()
    }
    assert (
        changed
        == {
            None: {"embeddings", "encoder.layer"},
            "all": set(),
            "embeddings": {"encoder.layer"},
        }[freeze]
    )


@pytest.mark.parametrize("freeze", [None, "all"])
@pytest.mark.parametrize("lexical", ["words", None])
def test_a_warm_start(make, freeze, lexical):
    classifier = make(freeze=freeze, lexical=lexical, warm_start=True).fit(TEXTS, LABELS)
    before = {name: tensor.clone() for name, tensor in classifier.network_.state_dict().items()}
    still = PretrainedEncoder(classifier.encoder.name, freeze=freeze, learning_rate=1e-12)
    classifier.set_params(encoder=still, learning_rate=1e-12).fit(TEXTS[3:], LABELS[3:])
    for name, tensor in classifier.network_.state_dict().items():
        np.testing.assert_allclose(tensor, before[name], atol=1e-6, err_msg=name)
    assert classifier.n_iter_ == 4
    assert np.isfinite(classifier.predict_proba(NEW)).all()


def test_a_warm_start_of_another_encoder(make, tiny_bert, tmp_path):
    copied = shutil.copytree(tiny_bert, tmp_path / "other")
    classifier = make(warm_start=True).fit(TEXTS, LABELS)
    with pytest.raises(ValueError, match="whose network 'pretrained' had other weights: set encoder"):
        classifier.set_params(encoder=str(copied)).fit(TEXTS, LABELS)


def test_equal_seeds_give_equal_bits(make):
    one, two = (make().fit(TEXTS, LABELS).predict_proba(NEW) for _ in range(2))
    np.testing.assert_array_equal(one, two)


def test_a_pipeline_is_as_good_as_texts(make, tiny_bert):
    alone = make(validation_fraction=0).fit(TEXTS, LABELS)
    pipeline = make_pipeline(SubwordTokenizer(tiny_bert), make(validation_fraction=0)).fit(TEXTS, LABELS)
    assert pipeline[0].vocabulary_ == alone.network_.text_encoder.vocabulary
    np.testing.assert_array_equal(pipeline.predict_proba(NEW), alone.predict_proba(NEW))


def test_words_of_pieces_serve_the_other_encoders(tiny_bert):
    words = HiMatchClassifier(HIERARCHY, max_epochs=1, random_state=0)
    pipeline = make_pipeline(SubwordTokenizer(tiny_bert), words).fit(TEXTS, LABELS)
    assert pipeline.predict_proba(NEW).shape == (4, 5)


def test_a_search_reads_each_text_once(make, reads):
    search = GridSearchCV(
        make(freeze="all", lexical=None, long_text="stride", vector_store="always"),
        {"gamma": [0.1, 0.2, 0.4], "beta": [0.1, 0.5, 0.9]},
        scoring="f1_micro",
        cv=2,
        refit=False,
    )
    different = [f"{text} {' the' * number}" for number, text in enumerate(TEXTS)]
    search.fit(different, MultiLabelBinarizer().fit_transform(LABELS))
    # And the name of each label.
    assert sum(reads) == len(different) + 5


def test_what_is_predicted_is_stored_only_if_asked_for(make, reads):
    for number, (vector_store, again) in enumerate([("always", 0), ("fit", 4), ("never", 4)], 1):
        classifier = make(freeze="all", vector_store=vector_store).fit(TEXTS, LABELS)
        store = encodings.store_folder() / encodings.FILE
        before = store.read_bytes()
        reads.clear()
        new = [text + " the" * number for text in NEW]
        classifier.predict_proba(new)
        assert sum(reads) == 4
        classifier.predict_proba(new)
        assert sum(reads) == 4 + again
        assert (store.read_bytes() == before) == (vector_store != "always")
        # What `fit` stored is read.
        reads.clear()
        classifier.predict_proba(TEXTS)
        assert sum(reads) == (len(TEXTS) if vector_store == "never" else 0)


def test_nothing_is_stored_if_it_is_not_wanted(make, reads):
    stored = make(freeze="all").fit(TEXTS, LABELS).predict_proba(NEW)
    shutil.rmtree(encodings.store_folder())
    found = make(freeze="all", vector_store="never").fit(TEXTS, LABELS).predict_proba(NEW)
    np.testing.assert_allclose(found, stored, atol=1e-6)
    assert not encodings.store_folder().exists()


def test_a_frozen_encoder_in_bfloat16(make, reads):
    exact = make(freeze="all").fit(TEXTS, LABELS)
    short = make(freeze="all", dtype="bfloat16").fit(TEXTS, LABELS)
    encoders = [classifier.network_.text_encoder for classifier in (exact, short)]
    vectors = [
        encoder.input_once(classifier.tokenizer_.transform(NEW)).encodings
        for encoder, classifier in zip(encoders, (exact, short), strict=True)
    ]
    assert np.abs(vectors[0] - vectors[1]).max() > 0
    np.testing.assert_allclose(*vectors, atol=0.05)
    # Its vectors are others, and are stored as such.
    assert encoders[0].digest() != encoders[1].digest()
    np.testing.assert_array_equal(exact.predict(TEXTS), short.predict(TEXTS))


def test_bfloat16_is_for_frozen_encoders(make):
    with pytest.raises(ValueError, match=r"dtype='bfloat16' is for an encoder that is frozen as a whole"):
        make(freeze=1, dtype="bfloat16").fit(TEXTS, LABELS)


def test_a_new_fit_reads_nothing_again(make, reads):
    make(freeze="all").fit(TEXTS, LABELS)
    assert sum(reads) == 3 + 5
    make(freeze="all", lambda_match=0).fit(TEXTS, LABELS).predict(TEXTS)
    assert sum(reads) == 3 + 5


class TestNetworkOfWords:
    """The default beside a pretrained encoder, and the same that is the default without one."""

    @pytest.fixture(autouse=True)
    def few_steps(self, monkeypatch):
        monkeypatch.setattr(parameters, "MIN_STEPS", 9)

    @pytest.fixture
    def fitted(self, make):
        return make(lexical="words", gamma=0.3, validation_fraction=0.1).fit(TEXTS, LABELS)

    @pytest.fixture
    def of_words(self):
        return HiMatchClassifier(HIERARCHY, batch_size=8, gamma=0.3, validation_fraction=0.1, random_state=0)

    def test_it_is_that_of_words_alone(self, fitted, of_words):
        assert HiMatchClassifier().lexical == "words"
        expected = of_words.fit(TEXTS, LABELS).network_.state_dict()
        found = fitted.word_network_.state_dict()
        assert expected.keys() == found.keys()
        for name, weight in expected.items():
            np.testing.assert_array_equal(found[name], weight, err_msg=name)

    def test_the_other_one_is_as_without_it(self, fitted, make):
        alone = make(gamma=0.3, validation_fraction=0.1).fit(TEXTS, LABELS)
        assert alone.word_network_ is None
        for name, weight in alone.network_.state_dict().items():
            np.testing.assert_array_equal(fitted.network_.state_dict()[name], weight, err_msg=name)
        assert fitted.history_[-1]["train_loss"] == alone.history_[-1]["train_loss"]
        np.testing.assert_array_equal(fitted.transform(NEW), alone.transform(NEW))

    def test_all_are_added_up(self, fitted):
        words = words_of(fitted.tokenizer_.transform(NEW))
        scores = {
            "ngrams": fitted.ngrams_.scores(words),
            "names": fitted.label_names_.scores(words),
            "characters": fitted.characters_.scores(words),
        }
        scores["pretrained"], scores["meaning"] = score_meaning_too(
            fitted.network_, fitted.tokenizer_.transform(NEW)
        )
        known = np.array([[np.mean(ids > 1) if len(ids) else 0] for ids in words])
        mean = fitted.state_.ensemble.mean_scores["words"]
        scores["words"] = mean + known * (score_texts(fitted.word_network_, words) - mean)
        assert fitted.stacking_weights_.weights.keys() == scores.keys()
        stacked = fitted.state_.ensemble.scores(fitted.tokenizer_.transform(NEW))
        for name, expected in scores.items():
            np.testing.assert_allclose(stacked[name], expected, atol=1e-5, err_msg=name)
        assert np.ptp(scores["meaning"], axis=0).max() > 0.1
        np.testing.assert_allclose(fitted.decision_function(NEW), fitted.stacking_weights_(scores), atol=1e-4)

    def test_it_says_which_is_which(self, make, capsys):
        make(lexical="words", verbose=1).fit(TEXTS, LABELS)
        lines = capsys.readouterr().out.splitlines()
        assert lines[0] == "network 'words':"
        assert lines[-4] == "network 'pretrained':"
        assert [line.split()[1] for line in lines[-3:-1]] == ["1/2", "2/2"]

    def test_it_is_kept(self, fitted, tmp_path):
        fitted.save(tmp_path / "model")
        expected = fitted.predict_proba(NEW)
        for again in (HiMatchClassifier.load(tmp_path / "model"), pickle.loads(pickle.dumps(fitted))):
            np.testing.assert_allclose(again.predict_proba(NEW), expected, atol=1e-6)

    def test_it_goes_on_from_where_it_was_cut_off(self, make, tmp_path):
        class CutOff(Callback):
            def on_epoch_begin(self, net, **kwargs):
                if len(net.history) == 2:
                    raise RuntimeError("cut off")

        whole = make(lexical="words").fit(TEXTS, LABELS)
        with pytest.raises(RuntimeError, match="cut off"):
            make(lexical="words", callbacks=[CutOff()]).fit(TEXTS, LABELS, checkpoint=tmp_path)
        assert {"epochs-words.pt", "epochs-pretrained.pt"} <= {path.name for path in tmp_path.iterdir()}
        again = make(lexical="words").fit(TEXTS, LABELS, checkpoint=tmp_path)
        np.testing.assert_array_equal(again.predict_proba(NEW), whole.predict_proba(NEW))

    def test_both_learn_in_parts(self, make):
        classifier = make(lexical="words").partial_fit(TEXTS, LABELS)
        networks = classifier.word_network_, classifier.network_
        before = [copy.deepcopy(network.head.state_dict()) for network in networks]
        classifier.partial_fit(TEXTS, LABELS)
        assert networks == (classifier.word_network_, classifier.network_)
        for network, state in zip(networks, before, strict=True):
            assert any((network.head.state_dict()[name] != weight).any() for name, weight in state.items())

    def test_both_are_as_before_after_an_error(self, fitted):
        before = fitted.predict_proba(NEW)
        fitted.set_params(callbacks=[Broken()])
        with pytest.raises(RuntimeError, match="broken"):
            fitted.partial_fit(TEXTS, LABELS)
        np.testing.assert_array_equal(fitted.predict_proba(NEW), before)

    def test_it_takes_word_vectors(self, make):
        vectors = {word: np.full(7, number + 1.0) for number, word in enumerate(["quark", "gluon", "cell"])}
        fitted = make(lexical="words", word_vectors=vectors).fit(TEXTS, LABELS)
        assert fitted.word_network_.embedding_dimension == 7
        assert fitted.label_embeddings_.shape == (5, 32)

    @pytest.mark.parametrize(("pooling", "both"), [("mean", False), ("attention", True)])
    def test_shortlists_are_for_networks_that_attend(self, make, monkeypatch, pooling, both):
        monkeypatch.setattr(evidence, "MANY_LABELS", 3)
        monkeypatch.setattr(evidence, "choose_shortlist_size", lambda targets: 3)
        monkeypatch.setattr(evidence, "choose_training_shortlist_size", lambda targets: 3)
        fitted = make(lexical="words", pooling=pooling).fit(TEXTS, LABELS)
        assert fitted.shortlist_size_ == 3
        texts, ensemble = fitted.tokenizer_.transform(NEW), fitted.state_.ensemble
        scores = ensemble.scores(texts)
        shortlist = ensemble.shortlist("words", texts)
        assert shortlist.shape == (4, 3)

        def above(scores, usual):
            relative = np.zeros_like(scores)
            for row, columns in enumerate(shortlist):
                relative[row, columns] = scores[row, columns] - usual[columns]
            return relative

        if both:
            np.testing.assert_array_equal(ensemble.shortlist("pretrained", texts), shortlist)
            scores["pretrained"] = above(scores["pretrained"], fitted.score_offsets_["pretrained"])
        else:
            assert ensemble.shortlist("pretrained", texts) is None
            np.testing.assert_array_equal(scores["pretrained"], score_texts(fitted.network_, texts))
        scores["words"] = above(scores["words"], fitted.score_offsets_["words"])
        np.testing.assert_allclose(fitted.decision_function(NEW), fitted.stacking_weights_(scores), atol=1e-4)


class Broken(Callback):
    def on_batch_end(self, net, **kwargs):
        raise RuntimeError("broken")


class TestKept:
    @pytest.mark.parametrize("freeze", [None, "all"])
    def test_saved_and_loaded(self, make, tmp_path, freeze):
        classifier = make(freeze=freeze, max_epochs=1).fit(TEXTS, LABELS)
        classifier.save(tmp_path / "model")
        of_save = files_of(tmp_path / "model")
        names = {path.name for path in of_save.iterdir()}
        assert names == {"README.md", "description.json", "weights.npz", "encoder"}
        assert {"config.json", "model.safetensors", "tokenizer_config.json"} <= {
            path.name for path in (of_save / "encoder").iterdir()
        }
        assert not any("body" in name for name in read_arrays(tmp_path / "model"))
        (tmp_path / "model").rename(tmp_path / "moved")
        again = HiMatchClassifier.load(tmp_path / "moved")
        np.testing.assert_allclose(again.predict_proba(NEW), classifier.predict_proba(NEW), atol=1e-6)
        again.save(tmp_path / "moved")
        HiMatchClassifier.load(tmp_path / "moved").predict(NEW)
        again.partial_fit(TEXTS, LABELS)

    def test_a_frozen_encoder_may_stay_where_it_is(self, make, tiny_bert, tmp_path):
        folder = shutil.copytree(tiny_bert, tmp_path / "bert")
        classifier = make(folder, freeze="all", stored=False, max_epochs=1).fit(TEXTS, LABELS)
        expected = classifier.predict_proba(NEW)
        classifier.save(tmp_path / "model")
        assert not (files_of(tmp_path / "model") / "encoder").exists()
        np.testing.assert_array_equal(HiMatchClassifier.load(tmp_path / "model").predict_proba(NEW), expected)
        pickled = pickle.dumps(classifier)
        np.testing.assert_array_equal(pickle.loads(pickled).predict_proba(NEW), expected)
        shutil.rmtree(folder)
        with pytest.raises(OSError, match="No pretrained encoder"):
            HiMatchClassifier.load(tmp_path / "model")

    def test_the_settings_are_plain(self, make, tmp_path, tiny_bert):
        make(encoder=Path(tiny_bert), max_epochs=1).fit(TEXTS, LABELS).save(tmp_path / "model")
        description = read_description(tmp_path / "model")
        assert description["parameters"]["encoder"] == tiny_bert
        assert description["scorers"]["pretrained"]["encoder"]["pooling"] == "attention"


class TestRefused:
    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"head": "dot"}, r"head='dot' and the pretrained encoder .* take encoder='attention' or 'gru'"),
            ({"word_vectors": {"a": [1.0]}}, r"word_vectors are for a network of words"),
            ({"freeze": 7}, r"freeze=7: .* has 2 layers"),
            ({"freeze": "some"}, "The 'freeze' parameter"),
            ({"pooling": "max"}, "The 'pooling' parameter"),
        ],
    )
    def test_settings(self, make, settings, message):
        classifier = make(**settings)
        with pytest.raises(ValueError, match=message):
            classifier.fit(TEXTS, LABELS)
        assert not hasattr(classifier, "network_")

    def test_an_unknown_encoder(self, tiny_bert):
        with pytest.raises(OSError, match=r"No pretrained encoder 'no/encoder': .* hub and its local cache"):
            HiMatchClassifier(HIERARCHY, encoder="no/encoder").fit(TEXTS, LABELS)

    def test_a_misspelt_encoder_is_named_without_asking_a_hub(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "transformers", None)
        with pytest.raises(ValueError, match=r"encoder='atention' is no encoder: did you mean 'attention'"):
            HiMatchClassifier(HIERARCHY, encoder="atention").fit(TEXTS, LABELS)

    def test_words_in_place_of_pieces(self, make):
        with pytest.raises(ValueError, match=r"not in the subwords of .* SubwordTokenizer"):
            make_pipeline(WordTokenizer(), make()).fit(TEXTS, LABELS)


class TestLongTexts:
    def test_what_is_cut_off_is_counted(self, make):
        long = [*TEXTS, "a quark and a gluon " * 5]
        with pytest.warns(
            UserWarning, match=r"1 of 25 texts are longer than the 14 subwords .* long_text='stride'"
        ):
            make(max_epochs=1, validation_fraction=0).fit(long, [*LABELS, LABELS[0]])

    def test_windows_need_no_warning(self, make):
        long = [*TEXTS, "a quark and a gluon " * 5]
        classifier = make(max_epochs=1, long_text="stride").fit(long, [*LABELS, LABELS[0]])
        ends = classifier.predict_proba(
            ["a quark " * 12 + "the cell divides", "a quark " * 12 + "a volley ."]
        )
        assert not np.allclose(ends[0], ends[1])
