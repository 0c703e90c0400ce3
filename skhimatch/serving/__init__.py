"""A saved classifier as an HTTP service. It needs the extra ``skhimatch[serve]``."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skhimatch.serving.application import create_app
    from skhimatch.serving.limits import Limits

__all__ = ["Limits", "create_app"]

_MODULES = {"Limits": "limits", "create_app": "application"}


def __getattr__(name: str) -> Any:
    """Import a public name when it is asked for: the help of the command needs the limits only."""
    if name not in _MODULES:
        raise AttributeError(f"module 'skhimatch.serving' has no attribute {name!r}")
    return getattr(import_module(f"skhimatch.serving.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
