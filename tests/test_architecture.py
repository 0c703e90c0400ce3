"""The house is as its architecture page says: rooms, arrows one way, leaves without torch."""

import ast
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text()
ROOMS = {path.stem: path for path in (ROOT / "skhimatch").glob("*.py") if not path.name.startswith("__")}


def imported_rooms(path):
    """Rooms that a room imports when it is imported, so not those of a function or for types only."""
    rooms = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("skhimatch"):
            _, _, room = node.module.partition(".")
            rooms |= {room} if room else {alias.name for alias in node.names}
    return rooms & set(ROOMS)


def test_every_room_is_on_the_page():
    assert set(re.findall(r"^\| `(\w+)\.py` \|", PAGE, re.MULTILINE)) == set(ROOMS)


def test_arrows_run_one_way():
    arrows = {name: imported_rooms(path) for name, path in ROOMS.items()}
    order = list(TopologicalSorter(arrows).static_order())  # raises where arrows run in a circle
    text = ["sequences", "batching", "encoders", "label_text_network", "network", "training", "classifier"]
    assert sorted(text, key=order.index) == text
    loss = ["batching", "joint_space", "objective", "training"]
    assert sorted(loss, key=order.index) == loss


def test_leaves_import_neither_torch_nor_matplotlib():
    [sentence] = re.findall(r"^(`hierarchy`.*?) never import torch", PAGE, re.MULTILINE | re.DOTALL)
    leaves = re.findall(r"`(\w+)`", sentence)
    assert {"hierarchy", "text", "decisions", "metrics"} <= set(leaves) <= set(ROOMS)
    code = (
        f"import sys, {', '.join(f'skhimatch.{leaf}' for leaf in leaves)}; "
        "sys.exit('torch' in sys.modules or 'matplotlib' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
