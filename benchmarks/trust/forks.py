"""Cases in processes of their own: a crash, an endless loop or much memory ends only the case."""

import json
import os
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


@contextmanager
def at_call(number: int, do: Callable[[], object]) -> Iterator[Callable[[], int]]:
    """Do something at one of the function calls that this thread makes.

    Python looks for Ctrl-C when a function of Python begins, and when one of C is done. These moments are
    counted from 1. The moment of a case is so the same in every run. Yields a function that returns how many
    moments there were.
    """
    count = 0

    def watch(frame: object, event: str, argument: object) -> None:
        nonlocal count
        if event in ("call", "c_return"):
            count += 1
            if count == number:
                sys.setprofile(None)
                do()

    sys.setprofile(watch)
    try:
        yield lambda: count
    finally:
        sys.setprofile(None)


def moments_of(action: Callable[[], object]) -> int:
    """Return how many moments an action has, see `at_call`."""
    with at_call(0, lambda: None) as count:
        action()
    return count()


def kill() -> None:
    """End this process, as the system does when it is out of memory."""
    os.kill(os.getpid(), signal.SIGKILL)


def interrupt() -> None:
    """What Ctrl-C does."""
    raise KeyboardInterrupt
