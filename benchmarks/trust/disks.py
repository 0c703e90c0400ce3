"""Full disks and folders that cannot be written."""

import os
import random
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.trust.classifiers import (
    LABEL_SETS,
    TEXTS,
    UNSEEN,
    assert_is,
    expected,
    fitted,
    folder,
    unfitted,
)
from benchmarks.trust.forks import failures_of
from benchmarks.trust.promise import Outcome, Promise
from skhimatch import HiMatchClassifier
from skhimatch.cli import main

# Enough for what is saved here, with a file that takes up room.
SIZE = 2 * 2**20
# The command line writes more than this.
LEAST_OUTPUT = 10_000
NO_DISK = "a disk of its own, which only an administrator can mount"


@contextmanager
def own_disk() -> Iterator[Path | None]:
    """Mount a small disk in memory; None where that is not allowed."""
    path = Path(tempfile.mkdtemp(prefix="skhimatch-trust-"))
    mounted = _mount("-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", path)
    try:
        yield path if mounted else None
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", path], check=True)
        path.rmdir()


def _mount(*arguments: str | Path) -> bool:
    try:
        return subprocess.run(["mount", *arguments], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def full_disk(cases: int) -> Outcome:
    """Run out of room at random places; every other case on a real disk, the others by a limit for files."""
    for seed in (0, 1):
        expected(seed=seed)
    with own_disk() as disk, folder() as parent:
        fitted(seed=0).save(parent / "old")
        size = max(file.stat().st_size for file in (parent / "old").rglob("*"))
        unfitted().fit(TEXTS, LABEL_SETS, checkpoint=parent / "checkpoint")
        sizes = [file.stat().st_size for file in (parent / "checkpoint").iterdir()]
        room = {"save": size, "fit": max(sizes), "command line": LEAST_OUTPUT}

        def case(number: int) -> None:
            name = list(room)[number // 2 % len(room)]
            draw = random.Random(number).randrange(room[name])
            if disk is None or number % 2:
                path, limited = parent / str(number), lambda: smaller_files(draw)
            else:
                path, limited = disk / str(number), lambda: little_room(disk, draw)
            path.mkdir()
            try:
                FULL[name](path, limited)
            finally:
                shutil.rmtree(path)

        failures = failures_of(case, range(cases))
    return Outcome(cases, failures, "", NO_DISK if disk is None else "")


@contextmanager
def smaller_files(size: int) -> Iterator[None]:
    """Let no file grow over a size: a write beyond it raises an OSError."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def little_room(disk: Path, size: int) -> Iterator[None]:
    """Leave a disk only a few bytes of room."""
    filler = disk / "filler"
    free = shutil.disk_usage(disk).free
    with filler.open("wb") as file:
        file.write(bytes(max(0, free - size)))
    try:
        yield
    finally:
        filler.unlink()


def _error_of(action: Callable[[], object]) -> str:
    """Return what an action says that has to raise an OSError."""
    try:
        action()
    except OSError as error:
        return str(error)
    raise AssertionError("no error")


def _save_to_full(path: Path, limited: Callable) -> None:
    fitted(seed=0).save(path / "model")
    with limited():
        _error_of(lambda: fitted(seed=1).save(path / "model"))
        assert_is(HiMatchClassifier.load(path / "model"), expected(seed=0))
    assert len(list((path / "model").iterdir())) == 2
    assert [file.name for file in path.iterdir()] == ["model"]
    fitted(seed=1).save(path / "model")
    assert_is(HiMatchClassifier.load(path / "model"), expected(seed=1))


def _fit_on_full(path: Path, limited: Callable) -> None:
    checkpoint = path / "checkpoint"
    with limited():
        _error_of(lambda: unfitted().fit(TEXTS, LABEL_SETS, checkpoint=checkpoint))
    assert not list(path.rglob("*.unfinished"))
    assert_is(unfitted().fit(TEXTS, LABEL_SETS, checkpoint=checkpoint), expected())


def _command_on_full(path: Path, limited: Callable) -> None:
    """``skhimatch predict --output`` keeps the old file."""
    texts, output = path / "texts.jsonl", path / "predicted.jsonl"
    texts.write_text("".join(f'{{"text": "{text}"}}\n' for text in UNSEEN * 10))
    output.write_text("old\n")
    fitted().save(path / "model")
    arguments = ["predict", "--input", str(texts), "--model", str(path / "model"), "--output", str(output)]
    before = sorted(path.iterdir())
    with limited(), open(os.devnull, "w") as silent:
        os.dup2(silent.fileno(), 2)
        assert main(arguments) == 2
    assert output.read_text() == "old\n"
    assert sorted(path.iterdir()) == before
    assert main(arguments) == 0
    assert len(output.read_text().splitlines()) == len(UNSEEN * 10)
    assert output.stat().st_size > LEAST_OUTPUT


FULL = {"save": _save_to_full, "fit": _fit_on_full, "command line": _command_on_full}


def read_only(cases: int) -> Outcome:
    """Use folders on a disk that cannot be written."""
    for seed in (0, 1):
        expected(seed=seed)
    with own_disk() as disk:
        if disk is None and os.geteuid() == 0:
            return Outcome(0, [], "", NO_DISK)
        with folder() as parent:
            path = parent if disk is None else disk
            fitted(seed=0).save(path / "model")
            unfitted().fit(TEXTS, LABEL_SETS, checkpoint=path / "checkpoint")
            if disk is None:
                folders = [each for each in path.rglob("*") if each.is_dir()]
                for each in folders:
                    each.chmod(0o555)
            else:
                assert _mount("-o", "remount,ro", path)
            names = list(READ_ONLY)
            try:
                failures = failures_of(lambda number: READ_ONLY[names[number % 4]](path), range(cases))
            finally:
                if disk is None:
                    for each in folders:
                        each.chmod(0o755)
    return Outcome(cases, failures)


def _load_read_only(path: Path) -> None:
    assert_is(HiMatchClassifier.load(path / "model"), expected(seed=0))


def _save_read_only(path: Path) -> None:
    said = _error_of(lambda: fitted(seed=1).save(path / "model"))
    assert f"{path / 'model'} is not writable: choose another folder" in said
    assert_is(HiMatchClassifier.load(path / "model"), expected(seed=0))


def _resume_read_only(path: Path) -> None:
    """What is done already can be read."""
    assert_is(unfitted().fit(TEXTS, LABEL_SETS, checkpoint=path / "checkpoint"), expected())


def _fit_read_only(path: Path) -> None:
    new = path / "checkpoint" / "new"
    assert str(new) in _error_of(lambda: unfitted().fit(TEXTS, LABEL_SETS, checkpoint=new))


READ_ONLY = {
    "load": _load_read_only,
    "save": _save_read_only,
    "resume": _resume_read_only,
    "fit": _fit_read_only,
}

PROMISES = [
    Promise(
        "full disk",
        "When the disk becomes full, `save` and `fit` with `checkpoint=` raise an `OSError`, and "
        "`skhimatch predict` ends with a message. The old classifier, the old checkpoints and the old output "
        "stay, nothing unfinished is left, and the same call works when there is room again.",
        (
            "tests/test_persistence.py::TestStoppedSaves::test_a_failure_while_writing_leaves_the_old_one",
            "tests/test_cli.py::TestOutput::test_an_error_keeps_the_old_file",
            "tests/test_trust.py::test_a_few_cases[full disk]",
        ),
        600,
        6,
        full_disk,
    ),
    Promise(
        "read-only",
        "A classifier loads from a folder that cannot be written, and a fit reads its checkpoints there. "
        "Writing there is an error that names the folder.",
        ("tests/test_trust.py::test_a_few_cases[read-only]",),
        40,
        4,
        read_only,
    ),
]
