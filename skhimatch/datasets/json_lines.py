"""Checked lines and JSON objects of corpus files."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from skhimatch.input_files import open_text

__all__ = []


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    # Only "\n" ends a line. Abstracts contain other line breaks, and a few damaged characters.
    with open_text(path, errors="replace") as lines:
        for number, line in enumerate(lines, start=1):
            yield number, line.rstrip("\r\n")


def _json_object(text: str | bytes, keys: tuple[str, ...], place: str) -> dict[str, Any]:
    try:
        entry = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{place} is not JSON: {error}.") from error
    except RecursionError as error:
        raise ValueError(f"{place} is nested too deeply.") from error
    return _checked_entry(entry, keys, place)


def _checked_entry(entry: Any, keys: tuple[str, ...], place: str) -> dict[str, Any]:
    if not isinstance(entry, dict):
        raise ValueError(f'{place} is not a JSON object, such as {{"name": "value"}}.')
    for key in keys:
        if key not in entry:
            raise ValueError(f"{place} has no {key!r}, which is required.")
    return entry
