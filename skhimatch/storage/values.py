"""JSON values as typed objects: whatever does not have its type is an error that says where it is."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from math import isfinite
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

__all__ = ["LARGEST", "check", "from_json"]

# The largest magnitude of a number that is saved. Sums of products of two such numbers are still finite in
# float32.
LARGEST = 1e12
PLAIN = (str, int, bool)


def from_json(kind: Any, value: Any, place: str) -> Any:
    """Return a JSON value as an object of a type.

    Parameters
    ----------
    kind : type or type hint
        bool, int, float, str, None, a dataclass, list, tuple or dict of these, a union of these, or Any.
    value : JSON value
        What `json.loads` returned.
    place : str
        Where the value is, for errors.

    Returns
    -------
    object
        Lists become tuples where the type is one, and mappings become dataclasses.

    Raises
    ------
    ValueError
        When the value is of another type, a field is missing or unknown, or a float is not finite.

    Examples
    --------
    >>> from_json(dict[str, float], {"ngrams": 2}, "weights")
    {'ngrams': 2}
    >>> from_json(dict[str, float], {"ngrams": None}, "weights")
    Traceback (most recent call last):
        ...
    ValueError: weights.ngrams: None is no number
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if origin in (Union, UnionType):
        return _one_of(arguments, value, place)
    if is_dataclass(kind):
        return _object(kind, value, place)
    if origin is list or origin is tuple:
        return _sequence(origin, arguments, value, place)
    if origin is dict:
        _check_type(value, dict, place, "no object")
        return {name: from_json(arguments[1], part, f"{place}.{name:.60}") for name, part in value.items()}
    if kind is float:
        if type(value) not in (int, float):
            raise ValueError(f"{place}: {value!r:.60} is no number")
        if not (isfinite(value) and abs(value) <= LARGEST):
            raise ValueError(f"{place}: {value!r:.60} is not finite, or too large")
        return value
    _check_type(value, kind, place, f"not of the type {getattr(kind, '__name__', kind)}")
    return value


def check(place: str, right: bool, problem: str) -> None:
    """Raise a ValueError that names a place and its problem, unless everything is right there.

    Parameters
    ----------
    place : str
        The name of a value or of an array.
    right : bool
        Whether it is as it should be.
    problem : str
        What is wrong otherwise.

    Raises
    ------
    ValueError
        When it is not right.

    Examples
    --------
    >>> check("seed", -1 >= 0, "is negative")
    Traceback (most recent call last):
        ...
    ValueError: seed is negative
    """
    if not right:
        raise ValueError(f"{place} {problem}")


def _check_type(value: Any, kind: type, place: str, problem: str) -> None:
    # Not isinstance: a bool is an int there.
    if type(value) is not kind:
        raise ValueError(f"{place}: {value!r:.60} is {problem}")


def _one_of(kinds: tuple[Any, ...], value: Any, place: str) -> Any:
    """Return a value as an object of one of several types; dataclasses are told apart by their fields."""
    if value is None and NoneType in kinds:
        return None
    others = [kind for kind in kinds if kind is not NoneType]
    if isinstance(value, dict) and len(others) > 1:
        same = [
            kind for kind in others if is_dataclass(kind) and {f.name for f in fields(kind)} == set(value)
        ]
        others = same or others
    return from_json(others[0], value, place)


def _object(kind: Any, value: Any, place: str) -> Any:
    _check_type(value, dict, place, "no object")
    types = get_type_hints(kind)
    names = [field.name for field in fields(kind)]
    for name in names:
        check(f"{place}.{name}", name in value, "is missing")
    for name in value:
        check(f"{place}.{name:.60}", name in names, "is unknown")
    return kind(**{name: from_json(types[name], value[name], f"{place}.{name}") for name in names})


def _sequence(origin: type, arguments: tuple[Any, ...], value: Any, place: str) -> Any:
    _check_type(value, list, place, "no list")
    if origin is list or arguments[1:] == (...,):
        kind = arguments[0]
        if kind in PLAIN:
            # Faster than one call for each of many words.
            wrong = next((number for number, part in enumerate(value) if type(part) is not kind), None)
            if wrong is not None:
                from_json(kind, value[wrong], f"{place}[{wrong}]")
            return origin(value)
        kinds = [kind] * len(value)
    else:
        check(place, len(value) == len(arguments), f"has {len(value)} entries, not {len(arguments)}")
        kinds = list(arguments)
    return origin(
        from_json(kind, part, f"{place}[{number}]")
        for number, (kind, part) in enumerate(zip(kinds, value, strict=True))
    )
