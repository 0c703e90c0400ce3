"""Print the lowest versions that pyproject.toml allows, as requirements of pip.

torch is left out: its versions before 2.13 bring three gigabytes of CUDA libraries along. With torch 2.6.0
and the other lowest versions the suite is run by hand; docs/CONTRIBUTING.md has the command.
"""

import re
import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
for requirement in [*project["dependencies"], *project["optional-dependencies"]["test"]]:
    name, lowest = re.fullmatch(r"([\w-]+)>=([\w.]+)(?:,<\w+)?", requirement).groups()
    if name != "torch":
        print(f"{name}=={lowest}")
