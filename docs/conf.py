"""The documentation site: ``sphinx-build -W docs build/site``."""

import re
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx_gallery.sorting import ExplicitOrder

import skhimatch

DOCS = Path(__file__).parent
# Written at each build, and not kept: a page for each public name.
REFERENCE = DOCS / "reference"

project = "skhimatch"
author = "the skhimatch developers"
project_copyright = author
version = release = skhimatch.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["conf.py", "examples", "templates"]
templates_path = ["templates"]
html_title = project
html_static_path = ["static"]
html_css_files = ["site.css"]
html_theme = "pydata_sphinx_theme"
html_theme_options = {
    "show_toc_level": 2,
    "navigation_with_keys": True,
    "header_links_before_dropdown": 5,
    "secondary_sidebar_items": ["page-toc"],
}
# Pages without pages below them need no navigation on the left.
html_sidebars = {path.stem: [] for path in DOCS.glob("*.md")}
html_show_sourcelink = False

# Links to sections of other pages, as they work on the pages of the repository.
myst_heading_anchors = 3

autosummary_generate = True
toc_object_entries_show_parents = "hide"
# `name` in a docstring is a link, if there is such a name.
default_role = "obj"
autodoc_typehints = "none"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

# In the order of the gallery.
EXAMPLES = [
    "plot_quick_start.py",
    "plot_paths_in_a_table.py",
    "plot_hierarchies_and_targets.py",
    "plot_linear_baseline.py",
    "plot_decisions.py",
    "plot_out_of_scope.py",
    "plot_search_and_pipeline.py",
    "plot_weights_and_missing_targets.py",
    "plot_calibration.py",
    "plot_new_labels.py",
    "plot_joint_space.py",
    "plot_saving_and_serving.py",
]
sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "gallery",
    "within_subsection_order": ExplicitOrder(EXAMPLES),
    "backreferences_dir": "gallery/backreferences",
    "doc_module": ("skhimatch",),
    "download_all_examples": False,
    "show_signature": False,
    # Tables and estimators are shown, but not what calls of matplotlib return.
    "capture_repr": ("_repr_html_",),
    "write_computation_times": False,
    "min_reported_time": 1_000,
    "thumbnail_size": (400, 280),
}


def write_reference(app: Sphinx, config: Config) -> None:
    """Write the list of public names, from the table of ``api.md``, for `autosummary`."""
    rows = re.findall(r"^\| (`.*?`) \| `([\w.]+)` \|", (DOCS / "api.md").read_text(), re.MULTILINE)
    names: dict[str, list[str]] = {}
    for cell, module in rows:
        names.setdefault(module, []).extend(re.findall(r"`(\w+)`", cell))
    lines = ["Reference", "========="]
    for module, of_module in names.items():
        lines += ["", module, "-" * len(module), "", f".. currentmodule:: {module}", ""]
        lines += [".. autosummary::", "   :toctree: names", "", *(f"   {name}" for name in of_module)]
    REFERENCE.mkdir(exist_ok=True)
    index = "\n".join(lines) + "\n"
    if not (REFERENCE / "index.rst").exists() or (REFERENCE / "index.rst").read_text() != index:
        (REFERENCE / "index.rst").write_text(index)


def link_pages(app: Sphinx, page: str, source: list[str]) -> None:
    """Let links to files, which work in the repository, lead to the pages of these files."""
    source[0] = re.sub(r"\]\(examples/(\w+)\.py\)", r"](gallery/\1.rst)", source[0])
    source[0] = source[0].replace("](../CHANGELOG.md)", "](changes.md)")


def setup(app: Sphinx) -> None:
    """Add the reference before pages are looked for, and change links as pages are read."""
    app.connect("config-inited", write_reference)
    app.connect("source-read", link_pages)
