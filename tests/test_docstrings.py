"""The docstrings of all public names are complete: every parameter and every result is described."""

import dataclasses
import importlib
import inspect
import re
import sys
from pathlib import Path

import pytest

import skhimatch

API_PAGE = (Path(__file__).parents[1] / "docs" / "api.md").read_text(encoding="utf-8")
# An example, "See Also" and a second paragraph for every method; a description may begin with a symbol of the
# paper; "Returns" of a method that returns its object needs no description.
WORDS = r"\w+"
NOT_ASKED = {"EX01", "SA01", "ES01", "PR08", "RT03"}


def public_names():
    """Return the dotted names on the page of public names, and those of their public methods."""
    rows = re.findall(r"^\| (`.*?) \| `(skhimatch[\w.]*)` \|", API_PAGE, re.MULTILINE)
    found = set()
    for names, module in rows:
        for name in re.findall(r"`(\w+)`", names):
            value = getattr(importlib.import_module(module), name)
            dotted = f"{value.__module__}.{value.__qualname__}" if hasattr(value, "__qualname__") else None
            if dotted is None:
                continue
            found.add(dotted)
            if inspect.isclass(value):
                found |= {
                    f"{dotted}.{method}"
                    for method, function in vars(value).items()
                    if not method.startswith("_") and inspect.isfunction(function)
                }
    return sorted(found)


def test_the_page_names_what_the_package_exports():
    assert {name.rpartition(".")[2] for name in public_names()} >= set(skhimatch.__all__)


@pytest.mark.parametrize("name", public_names())
def test_docstring(name):
    validate = pytest.importorskip("numpydoc.validate", reason="numpydoc comes with the extra 'dev'")
    module, _, last = name.rpartition(".")
    not_asked = set(NOT_ASKED)
    value = getattr(importlib.import_module(module), last) if module in sys.modules else None
    if dataclasses.is_dataclass(value):
        # The fields are its attributes, and described as such.
        not_asked.add("PR01")
        described = inspect.getdoc(value)
        for field in dataclasses.fields(value):
            assert re.search(rf"^({WORDS}, )*{field.name}(, {WORDS})* : ", described, re.MULTILINE), (
                field.name
            )
    errors = [error for error in validate.validate(name)["errors"] if error[0] not in not_asked]
    assert errors == []
