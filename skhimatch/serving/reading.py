"""Reading the body of a request: how large it is, what it is, and what is wrong in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skhimatch.serving.bodies import Problem

if TYPE_CHECKING:
    from pydantic import BaseModel
    from starlette.requests import Request

__all__ = ["RefusedError", "read_body"]

JSON = "application/json"
# How many problems an answer names, and how many characters of the name of a field.
SHOWN_PROBLEMS, SHOWN_NAME = 20, 100


class RefusedError(Exception):
    """A request that is refused.

    Parameters
    ----------
    status : int
        The status of the answer.
    problems : list of Problem
        What is wrong.
    headers : dict of str to str, optional
        Headers of the answer.
    """

    def __init__(self, status: int, problems: list[Problem], headers: dict[str, str] | None = None) -> None:
        super().__init__(status, problems)
        self.status, self.problems, self.headers = status, problems, headers


async def read_body(request: Request, model: type[BaseModel], max_bytes: int) -> Any:
    """Read and check the body of a request.

    Parameters
    ----------
    request : Request
        The request.
    model : type of pydantic.BaseModel
        What the body has to be.
    max_bytes : int
        The limit of its size.

    Returns
    -------
    instance of the model

    Raises
    ------
    RefusedError
        When it is not JSON by its header (415), too large (413), no JSON (400), or another JSON (422).
    """
    from pydantic import ValidationError

    _check_type(request.headers.get("content-type", ""))
    body = await _limited(request, max_bytes)
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
    status = 400 if found[0]["type"] == "json_invalid" else 422
    problems = [Problem(_place(entry["loc"]), entry["msg"]) for entry in found[:SHOWN_PROBLEMS]]
    raise RefusedError(status, problems)


def _check_type(content_type: str) -> None:
    kind, *parameters = (part.strip().lower() for part in content_type.split(";"))
    charsets = [part for part in parameters if part.startswith("charset")]
    if kind != JSON or not set(charsets) <= {"charset=utf-8", 'charset="utf-8"'}:
        message = f'send JSON in UTF-8, with the header "Content-Type: {JSON}"'
        raise RefusedError(415, [Problem("header Content-Type", message)])


async def _limited(request: Request, max_bytes: int) -> bytes:
    """Return the body; do not read more of it than allowed, whether or not its size is declared."""
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared[:20]) > max_bytes:
        raise _too_large(max_bytes)
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > max_bytes:
            raise _too_large(max_bytes)
    return bytes(body)


def _too_large(max_bytes: int) -> RefusedError:
    message = f"it has more than {max_bytes:,} bytes: send fewer texts in one request"
    return RefusedError(413, [Problem("body", message)])


def _place(location: tuple[int | str, ...]) -> str:
    """Return a place in a body, such as "texts[3]"."""
    place = ""
    for part in location:
        place += f"[{part}]" if isinstance(part, int) else f".{part:.{SHOWN_NAME}}"
    return place.removeprefix(".") or "body"
