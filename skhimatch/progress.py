"""What long computations say about themselves: log records, printed lines and progress bars."""

from __future__ import annotations

import logging
import sys
from typing import Any

from tqdm import auto, std

__all__ = ["HiddenBar", "on_screen", "progress_bar", "say"]

LOGGER = logging.getLogger("skhimatch")
# Seconds between two states of a bar that is written to a file, where each of them is a new line.
IN_FILE, ON_SCREEN = 10.0, 0.1


def say(message: str, *, shown: bool) -> None:
    """Log a message at level INFO to the logger "skhimatch", and print it too if it is to be shown.

    Parameters
    ----------
    message : str
        One line.
    shown : bool
        Whether to print it, above the progress bars.

    Examples
    --------
    >>> say("epoch 1", shown=True)
    epoch 1
    >>> say("epoch 2", shown=False)
    """
    LOGGER.info(message)
    if shown:
        auto.tqdm.write(message)
        sys.stdout.flush()


def progress_bar(total: int, what: str, *, unit: str = "text", shown: bool) -> Any:
    """Return a progress bar with the time that is left, on standard error or in the notebook.

    Parameters
    ----------
    total : int
        How many units there are.
    what : str
        What is being done, such as "predict".
    unit : str
        The name of a unit.
    shown : bool
        Whether it is shown at all.

    Returns
    -------
    tqdm or HiddenBar
        A context manager with ``update(n)``, and the number `n` of what is done if it is shown.
    """
    if not shown:
        return HiddenBar()
    return auto.tqdm(
        total=total,
        desc=what,
        unit=unit,
        dynamic_ncols=True,
        mininterval=ON_SCREEN if on_screen() else IN_FILE,
    )


class HiddenBar:
    """A progress bar that is not shown; that of tqdm takes a twentieth of the prediction of one text."""

    n = 0

    def update(self, n: int) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""

    def __enter__(self) -> HiddenBar:
        return self

    def __exit__(self, *error: object) -> None:
        pass


def on_screen() -> bool:
    """Tell whether somebody sees bars move: in a terminal or in a notebook.

    Returns
    -------
    bool
    """
    return sys.stderr.isatty() or auto.notebook_tqdm is not std.tqdm
