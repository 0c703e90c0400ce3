"""The Web of Science corpus."""

import os
from collections import Counter
from pathlib import Path

import numpy as np
from sklearn.model_selection import train_test_split

from skhimatch.datasets.corpus import Corpus
from skhimatch.datasets.htc_json import _only_file, load_htc_json
from skhimatch.datasets.json_lines import _lines
from skhimatch.labels.hierarchy import LabelHierarchy

__all__ = ["load_wos"]


def load_wos(folder: str | os.PathLike[str]) -> Corpus:
    """Load Web of Science (Kowsari et al. 2017) from any of its published formats.

    Parameters
    ----------
    folder : path-like
        The folder with one of

        - the json lines of HiAGM, see `load_htc_json`;
        - ``Data.txt``, the original table, saved with tabs. The columns Domain and area are the labels,
          and Abstract is the text;
        - ``X.txt``, ``YL1.txt`` and ``YL2.txt``. Their lines are the text, the number of its domain, and
          the number of its area within the domain. Label names are then such as ``"0"`` and ``"0.3"``.

    Returns
    -------
    Corpus
        The json lines have their own split. The other formats are split as published: a shuffle with
        seed 7, then 20 % for testing, then 20 % of the rest for validation. Of 46,985 texts, 30,070 are
        for training, 7,518 for validation and 9,397 for testing.

    Raises
    ------
    FileNotFoundError
        If the folder has none of these formats.
    ValueError
        If a line is not as described, or the files have different lengths. The message names the file
        and the line.

    Examples
    --------
    >>> load_wos("WebOfScience")  # doctest: +SKIP
    <Corpus wos: 46,985 texts, 141 labels on 2 levels; train 30,070, validation 7,518, test 9,397>
    """
    folder = Path(folder)
    if any(folder.glob("*_train.json")) or any(folder.glob("*_train.json.gz")):
        return load_htc_json(folder, "wos")
    if (folder / "Data.txt").exists():
        texts, paths = _read_wos_table(folder / "Data.txt")
    elif (folder / "X.txt").exists():
        texts, paths = _read_wos_lines(folder)
    else:
        raise FileNotFoundError(
            f"{folder} has neither *_train.json nor Data.txt (Data.xlsx saved with tabs) nor X.txt; "
            "pass a folder with one of them."
        )
    hierarchy = LabelHierarchy(sorted(set(paths)))
    rows = np.arange(len(texts))
    np.random.RandomState(7).shuffle(rows)
    rest, test = train_test_split(rows, test_size=0.2, random_state=0)
    train, validation = train_test_split(rest, test_size=0.2, random_state=0)
    splits = {"train": train, "validation": validation, "test": test}
    return Corpus("wos", texts, [frozenset(path) for path in paths], hierarchy, splits)


def _read_wos_table(path: Path) -> tuple[list[str], list[tuple[str, str]]]:
    lines = _lines(path)
    header = [name.strip().lower() for name in next(lines, (1, ""))[1].split("\t")]
    for name in ("domain", "area", "abstract"):
        if name not in header:
            raise ValueError(f"Line 1 of {path} has no column {name!r}; the original header is required.")
    texts, paths = [], []
    for number, line in lines:
        if not line.strip():
            continue
        fields = line.split("\t", len(header) - 1)
        if len(fields) < len(header):
            raise ValueError(f"Line {number} of {path} has {len(fields)} fields, not {len(header)}.")
        entry = dict(zip(header, map(str.strip, fields), strict=True))
        texts.append(entry["abstract"])
        paths.append((entry["domain"], entry["area"]))
    domains = {domain for domain, _ in paths}
    n_domains = Counter(area for _, area in set(paths))
    return texts, [
        (domain, f"{area} ({domain})" if area in domains or n_domains[area] > 1 else area)
        for domain, area in paths
    ]


def _read_wos_lines(folder: Path) -> tuple[list[str], list[tuple[str, str]]]:
    texts = [line.strip() for _, line in _lines(folder / "X.txt")]
    numbers = []
    for name in ("YL1.txt", "YL2.txt"):
        path = _only_file(folder, name)
        column = [line.strip() for _, line in _lines(path)]
        for number, field in enumerate(column, start=1):
            if not field.isdecimal():
                raise ValueError(f"Line {number} of {path} is {field!r}, not the number of a label.")
        if len(column) != len(texts):
            raise ValueError(
                f"{path} has {len(column)} lines, but X.txt has {len(texts)}; the numbers must be equal."
            )
        numbers.append(column)
    return texts, [(domain, f"{domain}.{area}") for domain, area in zip(*numbers, strict=True)]
