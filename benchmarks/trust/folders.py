"""Saved classifiers: damaged and forged ones, those of the format, and the reference predictions."""

import random
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from random_damage import check_predictions, edit_array, edit_bytes, edit_value, replace_a_value
from reference_fits import FOLDER, NAMES, OF_BERT, machine, probabilities
from saved_folders import files_of, read_json, write_digests, write_json
from saved_formats import PREDICTIONS, saved_formats
from toy_corpus import LABEL_TEXTS

from benchmarks.trust.classifiers import LABEL_SETS, NO_TRANSFORMERS, TEXTS, folder, tiny_bert, unfitted
from benchmarks.trust.forks import failures_of
from benchmarks.trust.promise import Outcome, Promise
from skhimatch import HiMatchClassifier, ModelFormatError

# More address space than a load of the undamaged folders takes.
MORE_MEMORY = 2**29
# What code that a model brings along would have to do. A pickle would look for its functions.
CODE = {
    "os.system",
    "os.exec",
    "os.fork",
    "os.spawn",
    "subprocess.Popen",
    "socket.connect",
    "pickle.find_class",
}
# Elsewhere training rounds otherwise.
TOLERANCE_ELSEWHERE = 5e-3


def damaged_folders(cases: int) -> Outcome:
    """Edit saved classifiers at random places, and load them; two of three with digests that fit again."""
    with folder() as parent:
        edits: list[tuple[str, Callable[[Path, random.Random], str]]] = []
        for kind, parameters, label_sets in (
            ("paths", {"propagation": "gcn"}, LABEL_SETS),
            ("sums", {"head": "dot"}, _several_paths()),
        ):
            unfitted(label_texts=LABEL_TEXTS, **parameters).fit(TEXTS, label_sets).save(parent / kind)
            edits += [(kind, edit) for edit in (edit_value, edit_array, edit_bytes)]
        # The last one, and only if there are enough cases: transformers takes seconds to import.
        bert = tiny_bert(parent) if cases > len(edits) else None
        if bert is not None:
            classifier = unfitted(encoder=bert, max_epochs=1, net_params={"module__joint_dimension": 8})
            classifier.fit(TEXTS, LABEL_SETS).save(parent / "pretrained")
            edits.append(("pretrained", edit_encoder))
        for kind in {kind for kind, _ in edits}:
            check_predictions(HiMatchClassifier.load(parent / kind), "undamaged")

        def case(number: int) -> None:
            kind, edit = edits[number % len(edits)]
            copy = parent / "copies" / str(number)
            shutil.copytree(parent / kind, copy)
            try:
                load_damaged(copy, edit, random.Random(number))
            finally:
                shutil.rmtree(copy)

        failures = failures_of(case, range(cases), more_memory=MORE_MEMORY)
    return Outcome(cases, failures, "", NO_TRANSFORMERS if bert is None else "")


def load_damaged(path: Path, edit: Callable[[Path, random.Random], str], rng: random.Random) -> None:
    """Edit a saved classifier and load it; raise an error unless it is refused, or predicts valid numbers."""
    manifest, before = (path / "classifier.json").read_bytes(), _contents(path)
    what = edit(path, rng)
    if rng.random() < 1 / 3 and not what.startswith("classifier.json"):
        (path / "classifier.json").write_bytes(manifest)
    digests_fit = (path / "classifier.json").read_bytes() != manifest or _contents(path) == before
    code_that_ran: list[str] = []
    # Such a hook stays until the process ends.
    sys.addaudithook(lambda event, arguments: code_that_ran.append(event) if event in CODE else None)
    try:
        classifier = HiMatchClassifier.load(path)
    except ModelFormatError:
        pass
    except FileNotFoundError:
        if not what.startswith("classifier.json"):
            raise
    else:
        assert digests_fit, f"{what}: loaded with another digest"
        check_predictions(classifier, what)
    assert not code_that_ran, f"{what}: {code_that_ran}"


def _contents(path: Path) -> dict[Path, bytes]:
    """Return the bytes of the files of all saves in a folder."""
    return {file: file.read_bytes() for file in path.glob("saved-*/**/*") if file.is_file()}


def edit_encoder(path: Path, rng: random.Random) -> str:
    """Replace a value in one of the JSON files of a pretrained encoder, or numbers of one of its weights."""
    names = ["config.json", "tokenizer_config.json", "tokenizer.json", "model.safetensors"]
    file = files_of(path) / "encoder" / rng.choice(names)
    if file.suffix == ".json":
        content = read_json(file)
        what = replace_a_value(content, rng)
        write_json(file, content)
    else:
        what = edit_weights(file, rng)
    write_digests(path)
    return f"{file.name}: {what}"


def edit_weights(file: Path, rng: random.Random) -> str:
    """Replace numbers of one of the weights of a pretrained encoder."""
    from safetensors.numpy import load_file, save_file

    weights = load_file(file)
    name, value = rng.choice(list(weights)), rng.choice([np.nan, np.inf, -1e30, 1e13, 1e11, 0, -1])
    weight = weights[name].copy()
    weight.flat[[rng.randrange(weight.size) for _ in range(3)]] = value
    save_file(weights | {name: weight}, file, {"format": "pt"})
    return f"{name}: {value}"


def _several_paths() -> list[set[str]]:
    shifted = LABEL_SETS[7:] + LABEL_SETS[:7]
    return [labels | others for labels, others in zip(LABEL_SETS, shifted, strict=True)]


def formats(cases: int) -> Outcome:
    """Load the committed folders, and compare their predictions with those that were stored with them."""
    failures, differences = [], [0.0]
    for path in saved_formats():
        stored = np.load(path / PREDICTIONS)
        found = HiMatchClassifier.load(path / "model").predict_proba(stored["texts"].tolist())
        differences.append(float(np.abs(found - stored["probabilities"]).max()))
        if differences[-1] > 1e-6:
            failures.append(f"{path.name}: {differences[-1]:.1e}")
    return Outcome(len(saved_formats()), failures, f"largest difference {max(differences):.2g}")


def references(cases: int) -> Outcome:
    """Repeat the reference fits."""
    failures, differences, not_tried, tried = [], [0.0], "", 0
    with folder() as parent:
        bert = tiny_bert(parent)
        for name in NAMES[:cases]:
            if name in OF_BERT and bert is None:
                not_tried = NO_TRANSFORMERS
                continue
            with np.load(FOLDER / f"{name}.npz") as stored:
                wanted, tolerance = stored["probabilities"], TOLERANCE_ELSEWHERE
                if str(stored["machine"]) == machine():
                    tolerance = 0
            differences.append(float(np.abs(probabilities(name, bert) - wanted).max()))
            tried += 1
            if differences[-1] > tolerance:
                failures.append(f"{name}: {differences[-1]:.1e}")
    return Outcome(tried, failures, f"largest difference {max(differences):.2g}", not_tried)


PROMISES = [
    Promise(
        "damaged folders",
        "A saved classifier that was damaged, or edited on purpose with digests that fit, is refused with "
        "`ModelFormatError` or predicts valid probabilities. The process does not crash, runs no code, and "
        "takes at most 512 MiB of memory more than before.",
        (
            "tests/test_damaged_models.py",
            "tests/test_trust.py::test_a_few_cases[damaged folders]",
        ),
        5_000,
        6,
        damaged_folders,
    ),
    Promise(
        "formats",
        "A classifier that an earlier version saved in the present format predicts the same, to 1e-6. An "
        "older format is refused with an error that says what to do.",
        (
            "tests/test_saved_formats.py::test_committed_folders_predict_what_they_predicted",
            "tests/test_damaged_models.py::TestFiles::test_another_format",
        ),
        2,
        2,
        formats,
    ),
    Promise(
        "references",
        "Small fits of all kinds predict what they predicted when their references were written: bit by bit "
        "on the same machine with the same versions, elsewhere to 5e-3.",
        ("tests/test_references.py::test_probabilities_are_as_before",),
        len(NAMES),
        1,
        references,
    ),
]
