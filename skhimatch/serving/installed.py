"""The packages of the extra ``skhimatch[serve]``."""

from __future__ import annotations

from importlib import import_module

__all__ = ["check_installed"]


def check_installed(*packages: str) -> None:
    """Raise if a package that the service needs is not installed.

    Parameters
    ----------
    *packages : str
        Their names.

    Raises
    ------
    ImportError
        With the command that installs them.

    Examples
    --------
    >>> check_installed("json", "no_such_package")
    Traceback (most recent call last):
        ...
    ImportError: the service needs no_such_package: python -m pip install "skhimatch[serve]"
    """
    for package in packages:
        try:
            import_module(package)
        except ImportError as error:
            raise ImportError(
                f'the service needs {package}: python -m pip install "skhimatch[serve]"'
            ) from error
