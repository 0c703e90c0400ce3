"""Reading and editing saved classifiers; the digests of edited files are written anew."""

import hashlib
import json

import numpy as np


def files_of(folder):
    """Return the folder of the files of a saved classifier."""
    return folder / json.loads((folder / "classifier.json").read_text())["folder"]


def read_description(folder):
    return read_json(files_of(folder) / "description.json")


def read_json(path):
    return json.loads(path.read_text())


def write_json(path, content):
    path.write_text(json.dumps(content))


def read_arrays(folder):
    with np.load(files_of(folder) / "weights.npz", allow_pickle=False) as stored:
        return dict(stored)


def write_digests(folder):
    """Let the manifest name all files as they are now."""
    manifest = json.loads((folder / "classifier.json").read_text())
    of_save = folder / manifest["folder"]
    manifest["files"] = {
        path.relative_to(of_save).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in of_save.rglob("*")
        if path.is_file()
    }
    (folder / "classifier.json").write_text(json.dumps(manifest))


def write_description(folder, description):
    write_json(files_of(folder) / "description.json", description)
    write_digests(folder)


def write_arrays(folder, arrays):
    np.savez(files_of(folder) / "weights.npz", **arrays)
    write_digests(folder)


def edit_manifest(folder, /, **entries):
    manifest = json.loads((folder / "classifier.json").read_text())
    (folder / "classifier.json").write_text(json.dumps(manifest | entries))
