"""Cases in processes of their own: a crash, an endless loop or much memory ends only the case."""

import faulthandler
import json
import os
import random
import resource
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# A case takes less than a second.
SECONDS = 120
# The calls of the operating system that change a disk, and their modules.
CHANGES = {"open", "fsync", "replace", "rename", "unlink", "mkdir", "rmdir"}
SYSTEM = {"posix", "_io", "io"}


@dataclass(frozen=True)
class Ended:
    """How a process ended.

    Attributes
    ----------
    value : object
        What the action returned.
    failure : str
        What went wrong; empty if nothing did.
    killed : bool
        Whether SIGKILL ended the process.
    """

    value: Any
    failure: str
    killed: bool


def in_fork(action: Callable[[], Any], *, more_memory: int | None = None, seconds: int = SECONDS) -> Ended:
    """Do something in a forked process.

    Parameters
    ----------
    action : callable
        What it returns has to be JSON.
    more_memory : int, optional
        How many bytes of address space the process may have in addition to those of this one.
    seconds : int
        The process is ended after this time.
    """
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        # Python warns of the other threads of a test runner, which hold no lock that is needed here.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        os.close(reading)
        # A crash is reported as what went wrong.
        faulthandler.disable()
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(seconds)
        said: dict[str, Any] = {}
        try:
            if more_memory is not None:
                resource.setrlimit(resource.RLIMIT_AS, (_memory("VmSize") + more_memory,) * 2)
            said = {"value": action(), "failure": ""}
        except BaseException:
            said = {"value": None, "failure": traceback.format_exc()[-3000:]}
        finally:
            sys.setprofile(None)
            os.write(writing, json.dumps(said).encode())
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:
        received = pipe.read()
    status = os.waitpid(child, 0)[1]
    if received:
        return Ended(**json.loads(received), killed=False)
    ended_by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
    what = "no answer" if ended_by is None else f"ended by {signal.Signals(ended_by).name}"
    return Ended(None, what, killed=ended_by == signal.SIGKILL)


def failures_of(case: Callable[[int], object], numbers: range, **limits: int) -> list[str]:
    """Return what went wrong in the cases of some numbers, each in a process of its own."""
    failures = []
    for number in numbers:
        ended = in_fork(lambda number=number: case(number) and None, **limits)
        if ended.failure:
            failures.append(f"case {number}: {ended.failure}")
    return failures


def resident_megabytes() -> float:
    """Return how much memory this process has in use."""
    return _memory("VmRSS") / 2**20


def _memory(name: str) -> int:
    """Return an entry of the process's status, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"no entry {name}")


# ------------------------------------------------------------------ stopping at a certain moment


@dataclass(frozen=True)
class Moment:
    """A moment at which a process is stopped.

    Attributes
    ----------
    number : int
        The how many-th one, from 1.
    of_changes : bool
        Whether only the moments just after a change of the disk are counted.
    """

    number: int
    of_changes: bool = False


@dataclass
class Moments:
    """How many moments there are at which a process can be stopped.

    Attributes
    ----------
    number : int
        All of them.
    changes : int
        Those just after a change of the disk. They are few, and matter most.
    """

    number: int = 0
    changes: int = 0

    def draw(self, seed: int) -> Moment:
        """Return a moment, every other time one after a change; always the same one for a seed."""
        draws = random.Random(seed)
        if self.changes and draws.random() < 0.5:
            return Moment(draws.randint(1, self.changes), True)
        return Moment(draws.randint(1, self.number))


@contextmanager
def at_moment(moment: Moment | None, do: Callable[[], object]) -> Iterator[Moments]:
    """Do something at one of the moments of what this thread does.

    Python looks for Ctrl-C when a function of Python begins, and when one of C is done. These are the
    moments, so that those of a case are the same in every run. Yields how many there were.
    """
    moments = Moments()

    def watch(frame: object, event: str, argument: Any) -> None:
        if event not in ("call", "c_return"):
            return
        moments.number += 1
        changes = event == "c_return" and argument.__name__ in CHANGES and argument.__module__ in SYSTEM
        moments.changes += changes
        if moment is None or (moment.of_changes and not changes):
            return
        if moment.number == (moments.changes if moment.of_changes else moments.number):
            sys.setprofile(None)
            do()

    sys.setprofile(watch)
    try:
        yield moments
    finally:
        sys.setprofile(None)


def moments_of(action: Callable[[], object]) -> Moments:
    """Return how many moments an action has."""
    with at_moment(None, lambda: None) as moments:
        action()
    return moments


def kill() -> None:
    """End this process, as the system does when it is out of memory."""
    os.kill(os.getpid(), signal.SIGKILL)


def interrupt() -> None:
    """What Ctrl-C does."""
    raise KeyboardInterrupt
