"""README and guide say what is so: their blocks of Python run, and their tables are the results."""

import ast
import importlib.util
import json
import re
import sys
from pathlib import Path

from benchmarks import tables

ROOT = Path(__file__).parents[1]
# Blocks that have a word are run if the packages are installed: those of the extras "test-serving" and
# "test-engines".
NEEDED = {
    "fastapi": ("fastapi", "httpx2"),
    "dask": ("dask", "distributed"),
    "optuna": ("optuna",),
}


def blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)


def test_readme_example_prints_what_the_page_shows(capsys):
    [code] = blocks("README.md", "python")
    [shown] = blocks("README.md", "text")
    assert len(code.strip().splitlines()) <= 20
    exec(code, {})
    assert capsys.readouterr().out == shown


def test_the_guide_runs():
    names = {}
    for code in blocks("docs/guide.md", "python"):
        needed = [package for word, packages in NEEDED.items() if word in code for package in packages]
        if not all(map(importlib.util.find_spec, needed)):
            continue
        exec(code, names)


def test_the_site_begins_with_the_example_of_the_readme():
    for language in ("python", "text"):
        assert blocks("docs/index.md", language) == blocks("README.md", language)


def test_examples_are_in_the_gallery_with_a_title_and_short():
    # conf.py imports sphinx, which the tests do not need.
    [listed] = [
        ast.literal_eval(node.value)
        for node in ast.parse((ROOT / "docs" / "conf.py").read_text()).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "EXAMPLES"
    ]
    paths = sorted((ROOT / "docs" / "examples").glob("*.py"))
    assert sorted(listed) == [path.name for path in paths]
    assert len(paths) >= 10
    for path in paths:
        page = path.read_text()
        title, underline, *introduction = ast.get_docstring(ast.parse(page)).splitlines()
        assert title, path
        assert underline == "=" * len(title), path
        assert "".join(introduction), path
        assert len(page.splitlines()) <= 160, path


def test_scores_on_pages_are_those_of_the_files(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["tables", "--check"])
    status = tables.main()
    assert (status, capsys.readouterr().out) == (0, "")
    # Nothing is compared on a page without marks.
    assert len(tables.GENERATED.findall((ROOT / "README.md").read_text())) == 1
    assert len(tables.GENERATED.findall((ROOT / "docs" / "results.md").read_text())) > 20


def test_experiments_say_where_their_figures_come_from():
    for name, experiment in json.loads(tables.EXPERIMENTS.read_text()).items():
        assert len(experiment["source"].split()) > 3, name
        assert tables.FIGURE.search("\n".join(experiment["lines"])), name


def test_results_files_have_the_one_shape():
    for content in [*tables.read_results(), *tables.read_resampled()]:
        assert {
            "dataset",
            "model",
            "settings",
            "seeds",
            "runs",
            "mean",
            "std",
            "threads",
            "versions",
            "commit",
        } <= set(content)
        assert [run["seed"] for run in content["runs"]] == content["seeds"]
        for run in content["runs"]:
            assert {
                "seed",
                "test",
                "val",
                "fit_seconds",
                "predict_texts_per_second",
                "peak_rss_mb",
                "parameters",
            } <= set(run)
            for part in ("test", "val"):
                assert {"micro_f1", "macro_f1", "levels"} <= set(run[part])
                assert all({"level", "micro_f1", "macro_f1"} <= set(level) for level in run[part]["levels"])


def test_every_public_name_on_the_api_page_exists():
    rows = re.findall(r"^\| (`.*`) \| `([\w.]+)` \|", (ROOT / "docs" / "api.md").read_text(), re.MULTILINE)
    assert len(rows) > 10
    for names, room in rows:
        for name in re.findall(r"`(\w+)`", names):
            assert hasattr(importlib.import_module(room), name)
