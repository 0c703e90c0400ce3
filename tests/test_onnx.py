"""Exported classifiers predict what the fitted ones predict, and damaged files are refused."""

import json
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse as sp
from toy_corpus import (
    HIERARCHY,
    LABEL_TEXTS,
    PATHS,
    QUICK,
    SMALL,
    SMALL_GRU,
    SMALL_RCNN,
    SMALL_WITHOUT_NODES,
    WORDS,
    make_corpus,
)

from skhimatch import HiMatchClassifier, ModelFormatError, OnnxClassifier, WordTokenizer, as_hierarchy
from skhimatch.export import to_onnx as module
from skhimatch.export.digest import with_digest

onnx = pytest.importorskip("onnx", reason="onnx comes with the extra of its name")
pytest.importorskip("onnxscript", reason="onnxscript comes with the extra 'onnx'")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime comes with the extra 'onnx'")

TEXTS, LABEL_SETS = make_corpus(150)
TWO_PATHS = make_corpus(150, paths=2)
# Paths that stop early, and texts without a label.
SHORT_PATHS = (
    TEXTS,
    [
        set() if number % 10 == 0 else labels - {*PATHS} if number % 4 == 0 else labels
        for number, labels in enumerate(LABEL_SETS)
    ],
)
# Texts of very different lengths, of no word, of unknown words, and in other scripts.
ODD = [
    "",
    "lens light xyzzy",
    "zz yy",
    "光学 lens",
    "โรงเรียน",
    "café cafe\u0301",
    "lens mirror " * 400,
    "oar",
]
PROBE = ODD + make_corpus(60, seed=7)[0]


def fitted(corpus=(TEXTS, LABEL_SETS), **parameters):
    return HiMatchClassifier(**{"hierarchy": HIERARCHY, **QUICK, **parameters}).fit(*corpus)


def with_all_scores(classifier):
    """Let every score count, also those that were not worth a weight on so few texts."""
    ensemble = classifier.state_.ensemble
    stacking = ensemble.stacking
    parts = ("weights", "above", "beyond") if stacking.one_path else ("weights",)
    raised = {
        part: {name: max(0.2, weight) for name, weight in getattr(stacking, part).items()} for part in parts
    }
    ensemble = replace(ensemble, stacking=replace(stacking, **raised))
    classifier.state_ = replace(classifier.state_, ensemble=ensemble)
    return classifier


def edges_of(hierarchy):
    """Return the names of parents and children."""
    return [(hierarchy.labels[parent], hierarchy.labels[child]) for parent, child in hierarchy.edges]


def assert_same(classifier, path, texts=PROBE):
    """Write the classifier, and compare it with what is read."""
    classifier.to_onnx(path)
    read = OnnxClassifier(path)
    expected = classifier.predict_proba(texts)
    np.testing.assert_allclose(read.predict_proba(texts), expected, rtol=0, atol=1e-5)
    for text, row in zip(texts[: len(ODD)], expected, strict=False):
        np.testing.assert_allclose(read.predict_proba([text])[0], row, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(read.predict(texts), classifier.predict(texts))
    assert (classifier.predict_proba(texts).std(axis=0) > 1e-4).any()
    return read


@pytest.fixture(scope="module")
def classifier():
    return fitted()


@pytest.fixture(scope="module")
def written(classifier, tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    classifier.to_onnx(path)
    return path


# Each kind of score, stacking and calibration.
@pytest.mark.parametrize(
    ("parameters", "corpus", "method"),
    [
        ({}, SHORT_PATHS, None),
        ({}, TWO_PATHS, None),
        ({"lexical": "ngrams", "max_epochs": 1}, TWO_PATHS, "isotonic"),
        ({"lexical": None}, TWO_PATHS, "sigmoid"),
        ({"validation_fraction": 0}, (TEXTS, LABEL_SETS), "temperature"),
    ],
    ids=["paths", "sums", "isotonic", "sigmoid", "temperature"],
)
def test_scores_stacking_and_calibration(parameters, corpus, method, tmp_path):
    classifier = with_all_scores(fitted(corpus, label_texts=LABEL_TEXTS, **parameters))
    assert classifier.stacking_weights_.one_path == (corpus is SHORT_PATHS)
    if method is not None:
        classifier.calibrate(*make_corpus(80, seed=5, paths=2), method=method)
    assert_same(classifier, tmp_path / "model.onnx")


# Each encoder, pooling, head and propagation. Without n-grams the export takes a third of the time.
@pytest.mark.parametrize(
    "parameters",
    [
        {"encoder": "gru", "net_params": SMALL_GRU},
        {"encoder": "rcnn", "net_params": SMALL_RCNN},
        {"encoder": "cnn", "net_params": SMALL_WITHOUT_NODES | {"module__pooling": "attention"}},
        {"net_params": SMALL | {"module__pooling": "max", "module__top_k": 3}},
        {"net_params": SMALL | {"module__pooling": "shared_attention"}, "propagation": "gcn"},
        {"propagation": "gcn", "head": "flat"},
        {"propagation": "gated"},
        {"head": "matching"},
        {"head": "dot", "label_texts": WORDS, "max_epochs": 20},
    ],
    ids=str,
)
def test_networks(parameters, tmp_path):
    # A few words at most are read, so that the limit is tried, too.
    net_params = parameters.get("net_params", SMALL) | {"module__max_length": 9}
    classifier = fitted(lexical=None, **{**parameters, "net_params": net_params})
    assert_same(classifier, tmp_path / "model.onnx")


def many_labels():
    """Return 230 labels below 23 others, and texts with one or two paths."""
    hierarchy = {f"t{top}": [f"s{top}x{sub}" for sub in range(10)] for top in range(23)}
    draws = np.random.default_rng(0)
    texts, label_sets = [], []
    for _ in range(500):
        chosen = {(int(top), int(sub)) for top, sub in draws.integers((23, 10), size=(2, 2))}
        texts.append(" ".join(f"w{top} w{top}v{sub} s{top}x{sub}" for top, sub in chosen) + " the of a")
        label_sets.append({f"t{top}" for top, _ in chosen} | {f"s{top}x{sub}" for top, sub in chosen})
    return hierarchy, texts, label_sets


@pytest.mark.parametrize(("head", "max_dense"), [("auto", 0), ("matching", 2**25), ("dot", 2**25)])
def test_shortlists_and_score_offsets(head, max_dense, tmp_path, monkeypatch):
    monkeypatch.setattr("skhimatch.export.graph.MAX_DENSE", max_dense)
    hierarchy, texts, label_sets = many_labels()
    classifier = with_all_scores(fitted((texts[:400], label_sets[:400]), hierarchy=hierarchy, head=head))
    assert classifier.shortlist_size_ < 253
    assert classifier.score_offsets_ is not None
    read = assert_same(classifier, tmp_path / "model.onnx", [*ODD, *texts[400:]])
    monkeypatch.setattr("skhimatch.export.reader.BATCH_NUMBERS", 40_000)
    smaller = read.predict_proba([*ODD, *texts[400:]])
    np.testing.assert_allclose(smaller, classifier.predict_proba([*ODD, *texts[400:]]), rtol=0, atol=1e-5)
    monkeypatch.undo()
    # A race of threads in onnxruntime would lose numbers, and not the same ones each time.
    first = read.predict_proba(texts)
    np.testing.assert_array_equal(read.predict_proba(texts), first)


def test_labels_with_several_parents_and_other_thresholds(tmp_path):
    edges = [*edges_of(as_hierarchy(HIERARCHY)), ("sport", "mechanics"), ("tennis", "optics")]
    more = {"mechanics": {"sport"}, "optics": {"sport", "tennis"}}
    label_sets = [labels.union(*(more.get(label, ()) for label in labels)) for labels in TWO_PATHS[1]]
    classifier = with_all_scores(fitted((TWO_PATHS[0], label_sets), hierarchy=edges))
    classifier.set_params(threshold=0.35, consistency="ancestors")
    read = assert_same(classifier, tmp_path / "model.onnx")
    assert read.hierarchy_ == classifier.hierarchy_
    assert read.hierarchy_.parents.sum() == len(edges)


def test_the_embedded_corpus(tmp_path):
    from skhimatch.datasets import load_api_docs

    corpus = load_api_docs()
    texts, label_sets = corpus.texts[:1500:10], corpus.label_sets[:1500:10]
    classifier = with_all_scores(fitted((texts, label_sets), hierarchy=corpus.hierarchy))
    assert classifier.characters_ is not None
    assert classifier.shortlist_size_ is not None
    assert_same(classifier, tmp_path / "model.onnx", [*ODD, *corpus.texts[1:1500:3]])


def test_the_graph(classifier, tmp_path, monkeypatch):
    # With sparse weights there are more operations.
    monkeypatch.setattr("skhimatch.export.graph.MAX_DENSE", 0)
    written = tmp_path / "model.onnx"
    assert_same(classifier, written)
    model = onnx.load(written)
    onnx.checker.check_model(model, full_check=True)
    shapes = {
        part.name: [side.dim_param or side.dim_value for side in part.type.tensor_type.shape.dim]
        for part in [*model.graph.input, *model.graph.output]
    }
    assert shapes == {
        "words": ["batch", "words"],
        "ngrams": ["batch", "ngrams"],
        "ngrams_counts": ["batch", "ngrams"],
        "characters": ["batch", "characters"],
        "characters_counts": ["batch", "characters"],
        "probabilities": ["batch", 10],
    }
    # onnxruntime computes this operation in several threads, and loses numbers where places are equal.
    sums = [node for node in model.graph.node if node.op_type == "ScatterND" and node.attribute]
    assert [node.attribute[0].s for node in sums if node.attribute[0].s != b"none"] == []
    # No folders of the machine that wrote it.
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)
    assert b"site-packages" not in written.read_bytes()


def test_another_program_needs_only_the_metadata(classifier, written):
    """Words, n-grams, probabilities and labels with plain Python, as the metadata describe them."""
    session = onnxruntime.InferenceSession(written, providers=["CPUExecutionProvider"])
    stored = {
        name.removeprefix("skhimatch."): json.loads(value)
        for name, value in session.get_modelmeta().custom_metadata_map.items()
        if name != "skhimatch.sha256"
    }
    text = "The lens, a lens of light xyzzy"
    assert stored["tokenizer"]["lowercase"]
    words = [word.strip(",") for word in text.lower().split()]
    known = {word: number for number, word in enumerate(stored["vocabulary"], start=2)}
    ids = [known.get(word, 1) for word in words]
    codes = [id for id in ids if id > 1]
    codes += [a * (len(known) + 2) + b for a, b in pairwise(ids) if min(a, b) > 1]
    characters = [
        f" {word} "[start : start + length]
        for word in words
        for length in (3, 4, 5)
        for start in range(len(word) + 3 - length)
    ]
    inputs = {"words": np.array([ids])}
    for name, found in (("ngrams", codes), ("characters", characters)):
        places = {term: place for place, term in enumerate(stored[name])}
        terms = sorted({places[term] for term in found if term in places})
        inputs[name] = np.array([terms])
        counts = [found.count(stored[name][term]) for term in terms]
        inputs[f"{name}_counts"] = np.array([counts], dtype=np.float32)
    [probabilities] = session.run(["probabilities"], inputs)
    np.testing.assert_allclose(probabilities, classifier.predict_proba([text]), rtol=0, atol=1e-5)
    assert stored["labels"] == list(classifier.classes_)
    named = {(stored["labels"][parent], stored["labels"][child]) for parent, child in stored["edges"]}
    assert named == set(edges_of(classifier.hierarchy_))


def test_attributes_survive(classifier, written):
    read = OnnxClassifier(written)
    assert read.classes_.tolist() == classifier.classes_.tolist()
    assert read.hierarchy_ == classifier.hierarchy_
    assert read.vocabulary_ == classifier.vocabulary_
    assert read.tokenizer_.tokenize("A Lens") == ["a", "lens"]
    predicted = read.predict(TEXTS)
    assert predicted.dtype == np.int64
    assert read.to_label_sets(predicted) == classifier.to_label_sets(classifier.predict(TEXTS))
    tokens = classifier.tokenizer_.transform(PROBE)
    np.testing.assert_array_equal(read.predict_proba(tokens), read.predict_proba(PROBE))
    lists = [["lens", "Light"], ["oar"]]
    np.testing.assert_allclose(read.predict_proba(lists), classifier.predict_proba(lists), rtol=0, atol=1e-5)


def test_sparse_targets_and_other_tokens(tmp_path):
    """A tokenizer with other parameters, and sparse predictions."""
    tokenizer = WordTokenizer(lowercase=False, token_pattern=r"\w\w+", max_length=5)
    indicator = sp.csr_array(
        [[label in labels for label in sorted(PATHS)] for labels in LABEL_SETS], dtype=int
    )
    classifier = HiMatchClassifier(classes=sorted(PATHS), tokenizer=tokenizer, lexical=None, **QUICK)
    classifier.fit(TEXTS, indicator).to_onnx(tmp_path / "model.onnx")
    read = OnnxClassifier(tmp_path / "model.onnx")
    assert read.tokenizer_.tokenize("A Lens is seen by two or more") == ["Lens", "is", "seen", "by", "two"]
    predicted = read.predict(PROBE)
    assert sp.issparse(predicted)
    np.testing.assert_array_equal(predicted.toarray(), classifier.predict(PROBE).toarray())
    assert read.hierarchy_.is_flat


def test_texts_that_were_tokenised_before(tmp_path):
    tokenizer = WordTokenizer().fit(TEXTS)
    classifier = fitted((tokenizer.transform(TEXTS), LABEL_SETS), lexical=None)
    classifier.to_onnx(tmp_path / "model.onnx")
    read, tokens = OnnxClassifier(tmp_path / "model.onnx"), tokenizer.transform(PROBE)
    np.testing.assert_allclose(
        read.predict_proba(tokens), classifier.predict_proba(tokens), rtol=0, atol=1e-5
    )
    assert read.tokenizer_ is None
    with pytest.raises(ValueError, match="got raw texts"):
        read.predict_proba(PROBE)
    with pytest.raises(ValueError, match="another vocabulary"):
        read.predict_proba(WordTokenizer().fit(ODD).transform(ODD))
    with pytest.raises(ValueError, match="0 samples"):
        read.predict_proba(tokens[:0])


@pytest.mark.parametrize("texts", ["a lens", [], ["a lens", None]])
def test_texts_that_are_no_texts(texts, classifier, written):
    with pytest.raises((TypeError, ValueError)) as of_file:
        OnnxClassifier(written).predict_proba(texts)
    with pytest.raises(type(of_file.value)) as of_classifier:
        classifier.predict_proba(texts)
    assert str(of_file.value) == str(of_classifier.value)


def test_reading_needs_no_torch(classifier, written, tmp_path):
    np.save(tmp_path / "expected.npy", classifier.predict(PROBE))
    (tmp_path / "texts.json").write_text(json.dumps(PROBE))
    code = f"""
import json, sys
import numpy as np

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name in ("torch", "skorch", "onnx", "onnxscript"):
            raise ImportError(f"{{name}} is imported")

sys.meta_path.insert(0, Blocked())
from skhimatch import OnnxClassifier

texts = json.load(open("texts.json"))
assert (OnnxClassifier({str(written)!r}).predict(texts) == np.load("expected.npy")).all()
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)


def test_damaged_and_foreign_files(written, tmp_path):
    good, path = written.read_bytes(), tmp_path / "damaged.onnx"
    flipped = bytearray(good)
    flipped[len(good) // 2] ^= 1
    other = with_digest(
        onnx.helper.make_model(onnx.helper.make_graph([], "empty", [], [])).SerializeToString()
    )
    for content in (b"", b"no model", good[:-1], good[: len(good) // 2], good + b"x", bytes(flipped), other):
        path.write_bytes(content)
        with pytest.raises(ModelFormatError, match=r"damaged\.onnx .*(to_onnx|HiMatchClassifier)"):
            OnnxClassifier(path)
    path.write_bytes(with_digest(b"no model"))
    with pytest.raises(ModelFormatError, match=r"damaged\.onnx is damaged \(onnxruntime .* cannot read it"):
        OnnxClassifier(path)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        OnnxClassifier(tmp_path / "nowhere.onnx")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("format", 2, "was written in format 2 by skhimatch .*, and this version reads format 1"),
        ("labels", ["a", 3], r"labels\[1\]: 3 is not of the type str"),
        ("labels", ["a"], "edges names labels outside of 0 to 0"),
        ("vocabulary", None, "vocabulary"),
        ("ngrams", [3, 2], "ngrams does not ascend"),
        ("characters", None, "the graph has the inputs characters, "),
        ("tokenizer", {"lowercase": True}, "tokenizer.token_pattern is missing"),
        ("decision", {"threshold": [0.5]}, "decision.path_minimum is missing"),
    ],
)
def test_metadata_are_checked(name, value, message, written, tmp_path):
    model = onnx.load(written)
    kept = [entry for entry in model.metadata_props if not entry.key.endswith((name, "sha256"))]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    model.metadata_props.add(key=f"skhimatch.{name}", value=json.dumps(value))
    (tmp_path / "edited.onnx").write_bytes(with_digest(model.SerializeToString()))
    with pytest.raises(ModelFormatError, match=rf"edited\.onnx .*{message}"):
        OnnxClassifier(tmp_path / "edited.onnx")


def test_a_failed_export_leaves_the_old_file(tmp_path, monkeypatch):
    classifier, path = fitted(lexical=None), tmp_path / "model.onnx"
    path.write_bytes(b"old")
    monkeypatch.setattr(module, "with_digest", lambda model: "no bytes")
    with pytest.raises(TypeError):
        classifier.to_onnx(path)
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("model.onnx", b"old")]
    monkeypatch.setattr(module, "MAX_BYTES", 1000)
    with pytest.raises(ValueError, match="has at most 1,000: fit one with a smaller vocabulary"):
        classifier.to_onnx(path)
    monkeypatch.undo()
    classifier.to_onnx(path)
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]
    assert OnnxClassifier(path).classes_.tolist() == classifier.classes_.tolist()


def test_an_export_changes_nothing_in_the_classifier(tmp_path):
    classifier = fitted(head="matching", encoder="gru", net_params=SMALL_GRU, propagation="gcn", lexical=None)
    before = classifier.predict_proba(PROBE)
    weights = {name: weight.clone() for name, weight in classifier.network_.state_dict().items()}
    classifier.to_onnx(tmp_path / "model.onnx")
    np.testing.assert_array_equal(classifier.predict_proba(PROBE), before)
    assert {
        name: (weight == weights[name]).all() for name, weight in classifier.network_.state_dict().items()
    }
    assert classifier.network_.state_dict().keys() == weights.keys()


def test_places_where_no_file_can_be(classifier, tmp_path):
    with pytest.raises(IsADirectoryError, match=str(tmp_path)):
        classifier.to_onnx(tmp_path)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        classifier.to_onnx(tmp_path / "nowhere" / "model.onnx")


def test_what_cannot_be_exported(classifier, tmp_path, monkeypatch):
    class Own(WordTokenizer):
        pass

    own = fitted(tokenizer=Own(), lexical=None)
    with pytest.raises(TypeError, match="not a Own: fit the classifier on the TokenSequences"):
        own.to_onnx(tmp_path / "model.onnx")
    with_gru = fitted(encoder="gru", net_params=SMALL_GRU, lexical=None)
    with monkeypatch.context() as older:
        older.delattr("torch.onnx.ops")
        with pytest.raises(ValueError, match=r"a GRU with torch 2\.8 or later, and this is torch \d"):
            with_gru.to_onnx(tmp_path / "model.onnx")
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ImportError, match=r'"skhimatch\[onnx\]"'):
        classifier.to_onnx(tmp_path / "model.onnx")
    assert list(tmp_path.glob("*.onnx")) == []


def test_a_pretrained_encoder_is_not_exported(tiny_bert, tmp_path):
    classifier = fitted(encoder=tiny_bert, lexical=None, net_params={}, max_epochs=1)
    with pytest.raises(ValueError, match=r"pretrained encoder '.*tiny-bert.*': fit a classifier with"):
        classifier.to_onnx(tmp_path / "model.onnx")


def test_onnxruntime_is_named_where_it_is_missing(written, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match=r'OnnxClassifier needs onnxruntime: .*"skhimatch\[onnx\]"'):
        OnnxClassifier(written)
