"""Modules import one way only, each is on the architecture page, and those without torch stay so."""

import ast
import importlib
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from toy_corpus import HIERARCHY, QUICK, make_corpus

import skhimatch
from skhimatch import HiMatchClassifier

ROOT = Path(__file__).parents[1]
PACKAGE = Path(skhimatch.__file__).parent
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")

# From the first to the last; a module imports from its own group or from earlier ones. Names with a slash are
# packages, the others modules of the top level.
ORDER = [
    "warn_user",
    "storage/",
    "input_files",
    "progress",
    "labels/",
    "text/",
    "evaluation/",
    "displays/",
    "network/",
    "scores/",
    "training/",
    "parameters",
    "choices",
    "state",
    "persistence",
    "fitting/",
    "explanation/",
    "export/",
    "predictor",
    "classifier",
    "serving/",
    "cli",
]
WITHOUT_TORCH = ("storage/", "labels/", "text/", "evaluation/", "displays/", "datasets/")


def modules():
    """Return the path of each module by its dotted name, `__init__` and `__main__` left out."""
    found = sorted(PACKAGE.rglob("*.py"))
    return {
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path
        for path in found
        if not path.name.startswith("__")
    }


MODULES = modules()


def imported(path):
    """Modules of this package that a module imports when it is imported: not in functions, not for types."""
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("skhimatch"):
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found & set(MODULES)


def group(module):
    """Return the package of a module, with a slash, or its own name."""
    _, first, *rest = module.split(".")
    return f"{first}/" if rest else first


def test_every_module_is_on_the_page():
    on_page = set(re.findall(r"^\| `([\w/]+)\.py` \|", PAGE, re.MULTILINE))
    assert on_page == {name.removeprefix("skhimatch.").replace(".", "/") for name in MODULES}


def test_no_module_imports_itself_through_others():
    # Raises where imports form a circle.
    list(TopologicalSorter({name: imported(path) for name, path in MODULES.items()}).static_order())


def test_imports_go_from_later_groups_to_earlier_ones():
    place = {name: number for number, name in enumerate(ORDER)}
    wrong = [
        (importer, module)
        for importer, path in MODULES.items()
        for module in imported(path)
        if place.get(group(importer), len(ORDER)) < place.get(group(module), -1)
    ]
    assert wrong == []


def test_labels_texts_and_evaluation_work_without_torch():
    names = [name for name in MODULES if group(name) in WITHOUT_TORCH]
    assert len(names) > 15
    code = f"""
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name in ("torch", "matplotlib"):
            raise ImportError(f"{{name}} is imported")

sys.meta_path.insert(0, Blocked())
import {", ".join(names)}
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=PACKAGE.parent)


def steps(title):
    """Return the dotted names of the numbered steps of a section of the page."""
    [section] = re.findall(rf"^## {title}\n(.*?)(?=^## )", PAGE, re.MULTILINE | re.DOTALL)
    numbered = re.findall(r"^\d+\. (.*?)(?=^\d+\. |^\n|\Z)", section, re.MULTILINE | re.DOTALL)
    return [re.findall(r"`([\w.]+\.\w+)`", step) for step in numbered]


@pytest.mark.parametrize("title", ["From a text to a probability", "From `gamma` to the loss"])
def test_the_steps_of_the_page_exist_and_are_few(title):
    listed = steps(title)
    # Between so many stations there is one hop less.
    assert 8 <= len(listed) <= 11
    names = [name for step in listed for name in step]
    assert len(set(names)) == len(names)
    for name in names:
        found = skhimatch
        for part in name.split("."):
            if not hasattr(found, part):
                importlib.import_module(f"{found.__name__}.{part}")
            found = getattr(found, part)
        assert callable(found), name


def test_a_fit_and_a_prediction_take_the_steps_of_the_page():
    """Every function of the two lists is called, in the order of the lists."""
    called = []

    def record(frame, event, argument):
        if event == "call" and frame.f_code.co_filename.startswith(str(PACKAGE)):
            module = Path(frame.f_code.co_filename).relative_to(PACKAGE).with_suffix("")
            called.append(".".join([*module.parts, frame.f_code.co_qualname]))

    texts, label_sets = make_corpus(30)
    classifier = HiMatchClassifier(HIERARCHY, **QUICK)
    for title, run in (
        ("From `gamma` to the loss", lambda: classifier.fit(texts, label_sets)),
        ("From a text to a probability", lambda: classifier.predict_proba(texts)),
    ):
        called.clear()
        sys.setprofile(record)
        try:
            run()
        finally:
            sys.setprofile(None)
        expected = [step[0] for step in steps(title)]
        first_calls = [called.index(name) for name in expected]
        assert first_calls == sorted(first_calls), title
