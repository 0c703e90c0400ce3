"""Modules import one way only, each is on the architecture page, and those without torch stay so."""

import ast
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "skhimatch"
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")

# From the first to the last; a module imports from its own group or from earlier ones. Names with a slash are
# packages, the others modules of the top level.
ORDER = [
    "labels/",
    "text/",
    "evaluation/",
    "network/",
    "scores/",
    "training/",
    "parameters",
    "state",
    "persistence",
    "fitting",
    "predictor",
    "classifier",
    "cli",
]
WITHOUT_TORCH = ("labels/", "text/", "evaluation/", "datasets/")


def modules():
    """Return the path of each module by its dotted name, `__init__` and `__main__` left out."""
    found = sorted(PACKAGE.rglob("*.py"))
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): path
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
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
