"""The bodies of requests and answers."""

# Without `from __future__ import annotations`: pydantic cannot find names of a function behind strings.
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from skhimatch.serving.limits import Limits

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = [
    "Health",
    "Predictions",
    "PredictionsOfText",
    "Problem",
    "Problems",
    "explain_body",
    "predict_body",
]

EXAMPLE = "the quark binds to a gluon"


@dataclass(frozen=True)
class PredictionsOfText:
    """The labels of a text.

    Attributes
    ----------
    labels : list of str
        From the roots down, or the most probable ones first.
    probabilities : dict of str to float
        The probability of each of these labels.
    """

    labels: list[str]
    probabilities: dict[str, float]


@dataclass(frozen=True)
class Predictions:
    """The labels of all texts of a request.

    Attributes
    ----------
    predictions : list of PredictionsOfText
        In the order of the texts.
    """

    predictions: list[PredictionsOfText]


@dataclass(frozen=True)
class Health:
    """What is served.

    Attributes
    ----------
    ready : bool
        Whether another request would be accepted.
    name, version : str
        Of the model.
    labels : int
        The number of its labels.
    skhimatch : str
        The version of this package.
    """

    ready: bool
    name: str
    version: str
    labels: int
    skhimatch: str


@dataclass(frozen=True)
class Problem:
    """What is wrong in a request, and where.

    Attributes
    ----------
    place : str
        Such as ``texts[3]``.
    message : str
        What is wrong there.
    """

    place: str
    message: str


@dataclass(frozen=True)
class Problems:
    """Why a request is refused.

    Attributes
    ----------
    detail : list of Problem
        All that is wrong; of very many problems the first ones.
    """

    detail: list[Problem]


def predict_body(limits: Limits, n_labels: int) -> "type[BaseModel]":
    """Return the body of a request of predictions.

    Parameters
    ----------
    limits : Limits
        How much is accepted.
    n_labels : int
        The highest `top_k`.

    Returns
    -------
    type of pydantic.BaseModel
        With the fields `texts`, `top_k` and `threshold`.
    """
    from pydantic import BaseModel, BeforeValidator, Field

    class PredictBody(BaseModel):
        """Texts whose labels are wanted."""

        model_config = _config(
            # What `WantedLabels` refuses.
            **{
                "not": {
                    "properties": {"top_k": {"type": "integer"}, "threshold": {"type": "number"}},
                    "required": ["top_k", "threshold"],
                }
            },
            examples=[{"texts": [EXAMPLE]}, {"texts": [EXAMPLE, "a volley"], "top_k": min(3, n_labels)}],
        )
        texts: Annotated[list[_text(limits)], Field(min_length=1, max_length=limits.texts)]  # type: ignore[valid-type]
        top_k: Annotated[
            Annotated[int, Field(ge=1, le=n_labels), BeforeValidator(_without_fraction)] | None,
            Field(description="how many labels of each text, the most probable first"),
        ] = None
        threshold: Annotated[
            float | None,
            Field(ge=0, le=1, description="the probability from which on labels are predicted"),
        ] = None

    return PredictBody


def explain_body(limits: Limits) -> "type[BaseModel]":
    """Return the body of a request of an explanation.

    Parameters
    ----------
    limits : Limits
        How much is accepted.

    Returns
    -------
    type of pydantic.BaseModel
        With the field `text`.
    """
    from pydantic import BaseModel

    class ExplainBody(BaseModel):
        """A text whose labels are to be explained."""

        model_config = _config(examples=[{"text": EXAMPLE}])
        text: _text(limits)  # type: ignore[valid-type]

    return ExplainBody


def _config(**schema: Any) -> Any:
    # strict: "3" is no number, and 1 is no truth value. A misspelt field is an error.
    return {"strict": True, "extra": "forbid", "allow_inf_nan": False, "json_schema_extra": schema}


def _text(limits: Limits) -> Any:
    """Return the type of a text."""
    from pydantic import AfterValidator, Field

    return Annotated[
        str,
        Field(max_length=limits.characters, json_schema_extra={"pattern": r"^[^\u0000]*$"}),
        AfterValidator(_without_null_characters),
    ]


def _without_fraction(value: Any) -> Any:
    """Return 3.0 as 3: in JSON Schema both are integers."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _without_null_characters(text: str) -> str:
    from pydantic_core import PydanticCustomError

    place = text.find("\0")
    if place >= 0:
        # Mostly it is a binary file, or UTF-16 that was read as UTF-8.
        raise PydanticCustomError(
            "null_character",
            "Character {place} is a null character: send text without them",
            {"place": place},
        )
    return text
