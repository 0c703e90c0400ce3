"""The comparison models of the paper, as settings of the one network. Each file names one model.

A file has the ``title`` of the model in the paper, the experiment of `paper_settings` that it starts from,
and the ``settings`` that differ. ``note`` says where the model is not quite the published one.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from skhimatch.settings import paper_settings

__all__ = ["PREFIX", "PaperModel", "read_configs"]

FOLDER = Path(__file__).parent
# Before the name of a file, in the name of a model.
PREFIX = "paper-"


@dataclass(frozen=True)
class PaperModel:
    """A model of the paper's tables.

    Attributes
    ----------
    name : str
        The name of its results: that of its file, behind `PREFIX`.
    title : str
        The name in the paper.
    settings : dict
        All arguments of `HiMatchClassifier`.
    note : str
        Where it is not quite the published one; "" if it is.
    """

    name: str
    title: str
    settings: dict[str, Any] = field(hash=False)
    note: str = ""

    @property
    def takes_word_vectors(self) -> bool:
        """Whether it starts from given word vectors."""
        return isinstance(self.settings["encoder"], str)


def read_configs(folder: Path = FOLDER) -> dict[str, PaperModel]:
    """Return all models by name.

    Parameters
    ----------
    folder : Path
        Where the files are.

    Returns
    -------
    dict of str to PaperModel
    """
    models = {}
    for path in sorted(folder.glob("*.json")):
        content = json.loads(path.read_text())
        settings = paper_settings(content["paper_settings"], schedule="fast") | content["settings"]
        model = PaperModel(PREFIX + path.stem, content["title"], settings, content.get("note", ""))
        models[model.name] = model
    return models
