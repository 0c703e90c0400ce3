"""The folder of a saved classifier: a manifest, and a folder with the files that the manifest names.

::

    model/
      classifier.json              the manifest: format, version, the folder of the files, their SHA-256
      saved-0123456789abcdef/      the files of one save
        description.json
        weights.npz
        encoder/

The files of a save are never changed. A new save writes a new folder beside the old one, replaces the
manifest, and then removes the old files. The manifest is replaced by one call of the operating system, so at
every moment it names a complete save, the old one or the new one.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import TypeVar

import skhimatch
from skhimatch.storage.errors import ModelFormatError, damage_named
from skhimatch.storage.values import from_json
from skhimatch.warn_user import warn_user

__all__ = [
    "FORMAT",
    "MANIFEST",
    "READABLE",
    "Manifest",
    "check_folder",
    "digest_of_file",
    "read_folder",
    "write_folder",
]

FORMAT = 13
# Formats that can be read. In format 12 there are no calibrations and no parameter `warm_start`.
READABLE = (12, FORMAT)
MANIFEST = "classifier.json"
# The names of the folders of saves. The random part makes each a name of its own.
PREFIX = "saved-"
OF_SAVE = re.compile(PREFIX + "[0-9a-f]{16}")
# A load begins again when another process has saved meanwhile, but not without end.
TRIES = 10

Result = TypeVar("Result")


@dataclass(frozen=True)
class Manifest:
    """What ``classifier.json`` holds.

    Attributes
    ----------
    format : int
        The format of the files.
    version : str
        The version of this package that wrote them.
    folder : str
        The name of the folder of the files, beside the manifest.
    files : dict of str to str
        The SHA-256 of each file, by its path in this folder.
    """

    format: int
    version: str
    folder: str
    files: dict[str, str]


def check_folder(folder: Path) -> Path:
    """Make sure that a classifier can be written to a folder.

    Parameters
    ----------
    folder : path
        Its parents are created.

    Returns
    -------
    Path
        Absolute, without links.

    Raises
    ------
    FileExistsError
        When the folder holds something other than a saved classifier of this format, or is the working
        directory.
    PermissionError, NotADirectoryError
        When nothing can be written there.
    """
    folder = folder.resolve()
    if folder == Path.cwd():
        # An empty path, which is mostly a mistake, means the working directory.
        raise FileExistsError(f"{folder} is the working directory: choose another folder.")
    if folder.exists():
        _check_held(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    written_to = folder if folder.exists() else folder.parent
    if not os.access(written_to, os.W_OK):
        raise PermissionError(f"{written_to} is not writable: choose another folder.")
    return folder


def _check_held(folder: Path) -> None:
    held = list(folder.iterdir()) if folder.is_dir() else [folder]
    if not all(path.name == MANIFEST or _is_of_save(path) for path in held):
        raise FileExistsError(
            f"{folder} exists and holds no saved classifier, or more than that: choose another folder."
        )
    if (folder / MANIFEST).exists():
        try:
            _read_manifest(folder)
        except ModelFormatError as error:
            raise FileExistsError(
                f"{folder} exists and holds no saved classifier that can be replaced ({error}) Delete it, or "
                "choose another folder."
            ) from error


def write_folder(folder: Path, write: Callable[[Path], None]) -> None:
    """Write a save into a folder that `check_folder` accepted, in place of the one that it holds.

    Parameters
    ----------
    folder : Path
        As `check_folder` returned it.
    write : callable
        Gets an empty folder, and writes the files into it.

    Warns
    -----
    UserWarning
        When the folder holds more than the save afterwards, such as the files of a save that was stopped.
    """
    is_new = not folder.exists()
    fresh = folder / (PREFIX + secrets.token_hex(8))
    try:
        fresh.mkdir(parents=True)
        write(fresh)
        paths = [path for path in sorted(fresh.rglob("*")) if path.is_file()]
        files = {path.relative_to(fresh).as_posix(): digest_of_file(path) for path in paths}
        manifest = Manifest(FORMAT, skhimatch.__version__, fresh.name, files)
        (fresh / MANIFEST).write_text(json.dumps(asdict(manifest), indent=1), encoding="utf-8")
        for path in [*paths, fresh / MANIFEST]:
            # On disk before the manifest names them, so that a power failure cannot leave a part of a save.
            with path.open("rb+") as file:
                os.fsync(file.fileno())
        replaced = _manifest_or_none(folder)
        os.replace(fresh / MANIFEST, folder / MANIFEST)
    finally:
        # Ctrl-C may come just after the exchange, so only the manifest says whether it was done.
        current = _manifest_or_none(folder)
        if current is None or current.folder != fresh.name:
            shutil.rmtree(fresh, ignore_errors=True)
            if is_new:
                with suppress(OSError):
                    folder.rmdir()
    if replaced is not None:
        _remove(folder / replaced.folder, replaced.files)
    others = sorted(path.name for path in folder.iterdir() if path.name not in (MANIFEST, fresh.name))
    if others:
        warn_user(
            f"{folder} holds {', '.join(others)}, which the saved classifier does not need: a save that was "
            "stopped may have left it. Delete it if no other process is saving there.",
        )


def read_folder(folder: Path, read: Callable[[Path, int], Result]) -> Result:
    """Read the save that a folder holds, after a check of all of its files.

    Parameters
    ----------
    folder : path
        Where `write_folder` wrote.
    read : callable
        Gets the folder of the files and their format, and returns what it reads from them. It is called again
        with other files if another process has saved meanwhile.

    Returns
    -------
    object
        What `read` returned.

    Raises
    ------
    FileNotFoundError
        When there is no manifest.
    ModelFormatError
        When a file is missing, differs from what was saved, or leads outside of the folder, or when the
        format is another one.
    """
    folder = folder.resolve()
    for _ in range(TRIES - 1):
        manifest = _read_manifest(folder)
        try:
            return _read_save(folder, manifest, read)
        except (ModelFormatError, OSError):
            if _read_manifest(folder).folder == manifest.folder:
                raise
    return _read_save(folder, _read_manifest(folder), read)


def _read_save(folder: Path, manifest: Manifest, read: Callable[[Path, int], Result]) -> Result:
    of_save = folder / manifest.folder
    for path in (of_save, *(of_save / name for name in manifest.files)):
        if not path.resolve().is_relative_to(folder):
            raise ModelFormatError(
                f"{path} leads outside of {folder}: copy the file itself there, not a link."
            )
    for name, digest in manifest.files.items():
        path = of_save / name
        if not path.is_file():
            raise ModelFormatError(
                f"{path} is missing, so {folder} is no complete saved classifier: copy the whole folder."
            )
        with damage_named(path):
            if digest_of_file(path) != digest:
                raise ValueError(f"its SHA-256 is not the one in {MANIFEST}")
    # transformers would read files that are not known, too. Hidden files belong to file managers.
    for path in of_save.rglob("*"):
        name = path.relative_to(of_save).as_posix()
        is_file = path.is_symlink() or not path.is_dir()
        if is_file and not path.name.startswith(".") and name not in manifest.files:
            raise ModelFormatError(f"{path} was not saved with this classifier: delete it.")
    return read(of_save, manifest.format)


def _read_manifest(folder: Path) -> Manifest:
    path = folder / MANIFEST
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: {folder} is no saved classifier.")
    with damage_named(path):
        stored = json.loads(path.read_text(encoding="utf-8-sig"))
        if not isinstance(stored, dict):
            raise ValueError("it holds no JSON object")
        if stored.get("format") not in READABLE:
            raise ModelFormatError(
                f"{folder} was saved in format {stored.get('format')!r:.20} by skhimatch "
                f"{stored.get('version')!s:.20}; version {skhimatch.__version__} reads formats {READABLE[0]} "
                f"to {READABLE[-1]}: load it with that version, or train the classifier again."
            )
        manifest = from_json(Manifest, stored, "the manifest")
        if not OF_SAVE.fullmatch(manifest.folder):
            raise ValueError(f"folder: {manifest.folder!r:.60} is no folder of a save")
        for name in manifest.files:
            parts = PurePosixPath(name).parts
            plain = "/".join(parts) == name and not {"..", "/"} & {*parts} and not {*"\\:\0"} & {*name}
            if not parts or not plain:
                raise ValueError(f"files: {name!r:.60} is no path inside of the folder")
    return manifest


def _manifest_or_none(folder: Path) -> Manifest | None:
    try:
        return _read_manifest(folder)
    except (FileNotFoundError, ModelFormatError):
        return None


def digest_of_file(path: Path) -> str:
    """Return the SHA-256 of a file.

    Parameters
    ----------
    path : Path
        The file. It is read in parts.

    Returns
    -------
    str
        In hexadecimal digits.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_of_save(path: Path) -> bool:
    return bool(OF_SAVE.fullmatch(path.name)) and path.is_dir() and not path.is_symlink()


def _remove(of_save: Path, files: dict[str, str]) -> None:
    """Remove the files of an old save, and the folders that are empty then."""
    folders = {of_save}
    for name in files:
        path = of_save / name
        if path.parent.resolve().is_relative_to(of_save.resolve()):
            with suppress(OSError):
                path.unlink()
            folders |= {parent for parent in path.parents if parent.is_relative_to(of_save)}
    for folder in sorted(folders, key=lambda path: len(path.parts), reverse=True):
        with suppress(OSError):
            folder.rmdir()
