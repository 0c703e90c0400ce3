"""Results files: what each says about its run, and how they are written and read."""

import hashlib
import json
import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

import skhimatch

RESULTS = Path(__file__).parent / "results"
PACKAGE = Path(skhimatch.__file__).parent
PACKAGES = ("torch", "skorch", "scikit-learn", "numpy", "scipy")


def origin(*others: str) -> dict[str, Any]:
    """Return what is measured, and with what: threads, device, versions, commit and code.

    Call it before the measurement, so that a change of the code while it runs is not counted.

    Parameters
    ----------
    *others : str
        Packages that the figures depend on, beside those of every run.
    """
    return {"threads": threads(), "versions": versions(*others)} | of_code()


def of_code() -> dict[str, str]:
    """Return the device, the commit and the code of one of several runs in a file; call it before the run."""
    return {"device": device(), "commit": commit(), "code": code_digest()}


def threads() -> int:
    """Return the number of threads that are used for linear algebra."""
    return int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1))


def device() -> str:
    """Return the name of the GPU that networks compute on if there is one, else "cpu"."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"


def versions(*others: str) -> dict[str, str]:
    """Return the versions of Python and of the packages on which the figures depend."""
    return {"python": platform.python_version(), "skhimatch": skhimatch.__version__} | {
        name: version(name) for name in (*PACKAGES, *others)
    }


def commit() -> str:
    """Return the commit of the measured code, "-dirty" if code was changed since; "unknown" without git."""
    try:
        described = _git("describe", "--always", "--abbrev=12")
        # A run writes results and their page, which are no code.
        written = (":!benchmarks/results", ":!docs/trust.md")
        changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".", *written)
    except (FileNotFoundError, subprocess.CalledProcessError):
        return "unknown"
    return described + "-dirty" * bool(changed)


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout.strip()


def code_digest(package: Path = PACKAGE) -> str:
    """Return a digest of the modules of the package: figures of equal digests can be compared."""
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def write(path: Path, content: dict[str, Any]) -> None:
    """Write a results file; its folder is created."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n")


def read(path: Path) -> dict[str, Any] | None:
    """Return what a results file holds, or None if there is none. The file of a quick run counts as none."""
    content = json.loads(path.read_text()) if path.exists() else None
    return None if content is None or content.get("quick") else content
