"""The documentation site: ``sphinx-build -W docs build/site``."""

import re
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.config import Config

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
]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["conf.py"]
html_theme = "pydata_sphinx_theme"
html_theme_options = {
    "show_toc_level": 2,
    "navigation_with_keys": True,
    "header_links_before_dropdown": 6,
    "secondary_sidebar_items": ["page-toc"],
}
html_show_sourcelink = False

# Links to sections of other pages, as they work on the pages of the repository.
myst_heading_anchors = 3
# Files of the repository that pages link to, which are no pages of the site.
suppress_warnings = ["myst.xref_missing"]

autosummary_generate = True
# `name` in a docstring is a link, if there is such a name.
default_role = "obj"
autodoc_typehints = "none"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False


def write_reference(app: Sphinx, config: Config) -> None:
    """Write the list of public names, from the table of ``api.md``, for `autosummary`."""
    rows = re.findall(r"^\| (`.*?`) \| `([\w.]+)` \|", (DOCS / "api.md").read_text(), re.MULTILINE)
    names = [f"{module}.{name}" for cell, module in rows for name in re.findall(r"`(\w+)`", cell)]
    lines = ["Reference", "=========", "", ".. autosummary::", "   :toctree: names", ""]
    REFERENCE.mkdir(exist_ok=True)
    index = "\n".join([*lines, *(f"   {name}" for name in names)]) + "\n"
    if not (REFERENCE / "index.rst").exists() or (REFERENCE / "index.rst").read_text() != index:
        (REFERENCE / "index.rst").write_text(index)


def setup(app: Sphinx) -> None:
    """Add the reference before pages are looked for."""
    app.connect("config-inited", write_reference)
