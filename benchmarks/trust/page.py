"""docs/trust.md, from the promises and from benchmarks/results/trust.json."""

import json
from pathlib import Path
from typing import Any

from benchmarks.records import RESULTS
from benchmarks.tables import ROOT
from benchmarks.trust.promise import Promise

RESULTS_FILE = RESULTS / "trust.json"
PAGE = ROOT / "docs" / "trust.md"
HEAD = """# What you may rely on

Each row is a promise, the tests that show it, and how often it was tried on random cases. This page is
generated: `python -m benchmarks.trust` tries all promises and writes it. The tests of each commit try a few
of these cases, and `python -m pytest -m slow` tries all of them. The guide says
[what is safe to load, and from whom](guide.md#what-is-safe-to-load-and-from-whom).

"Bit by bit" means that all numbers are equal. A failure is a case in which the promise does not hold. An
asterisk means that files were changed beside the commit.
"""


def read(path: Path = RESULTS_FILE) -> dict[str, dict[str, Any]]:
    """Return the results by the name of the promise."""
    return json.loads(path.read_text()) if path.exists() else {}


def render(promises: list[Promise], results: dict[str, dict[str, Any]]) -> str:
    """Return the page."""
    lines = [
        "| promise | tests | cases | failures | measured | commit |",
        "|---|---|---|---|---|---|",
    ]
    for promise in promises:
        tests, cells = "<br>".join(f"`{test}`" for test in promise.tests), _cells(results.get(promise.name))
        lines.append(f"| **{promise.name}**: {promise.says} | {tests} | {cells} |")
    return f"{HEAD}\n{chr(10).join(lines)}\n"


def _cells(result: dict[str, Any] | None) -> str:
    if result is None:
        return "not tried yet | | |"
    missing = [f"not tried: {result['not_tried']}"] if result["not_tried"] else []
    notes = "; ".join([note for note in (result["note"], *missing) if note])
    failures = str(len(result["failures"])) if result["cases"] else ""
    commit, mark = result["commit"].removesuffix("-dirty"), "*" * result["commit"].endswith("-dirty")
    return f"{result['cases']:,} | {failures} | {notes} | `{commit[:7]}`{mark}"
