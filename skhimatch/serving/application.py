"""The service as an ASGI application."""

# Without `from __future__ import annotations`: FastAPI cannot find names of a function behind strings.
from asyncio import wrap_future
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from sklearn.utils.validation import check_is_fitted

import skhimatch
from skhimatch.classifier import HiMatchClassifier
from skhimatch.explanation.results import Explanation
from skhimatch.predicted_labels import WantedLabels
from skhimatch.serving.bodies import (
    Health,
    Predictions,
    PredictionsOfText,
    Problem,
    Problems,
    explain_body,
    predict_body,
)
from skhimatch.serving.installed import check_installed
from skhimatch.serving.limits import Limits
from skhimatch.serving.queues import ExplanationQueue, PredictionQueue, QueueFullError
from skhimatch.serving.reading import JSON, RefusedError, read_body

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = ["create_app"]

ABOUT = "Labels of texts, with their probabilities, by a saved skhimatch classifier."
REFUSALS = {
    400: "The body is no JSON.",
    413: "The body is too large.",
    415: "The content type is not application/json.",
    422: "The body is JSON, but not what is expected, or more than is accepted.",
    503: "Too many requests wait. Try again after the seconds that the header Retry-After names.",
}
RETRY_SECONDS = "1"
PREDICTIONS = Predictions(
    [PredictionsOfText(["science", "physics"], {"science": 0.981201, "physics": 0.930214})]
)


def create_app(
    classifier: HiMatchClassifier,
    limits: Limits | None = None,
    *,
    name: str = "classifier",
    version: str = "",
) -> "FastAPI":
    """Make an ASGI application that predicts and explains.

    ``POST /predict`` returns the labels of texts, ``POST /explain`` says why a text gets its labels, and
    ``GET /health`` names what is served. ``/docs`` and ``/openapi.json`` describe them.

    Parameters
    ----------
    classifier : HiMatchClassifier
        A fitted classifier.
    limits : Limits, optional
        How much is accepted, by default ``Limits()``.
    name, version : str
        What ``/health`` says of the model.

    Returns
    -------
    fastapi.FastAPI
        It starts a thread with the first prediction, and another one with the first explanation, so that a
        process can be forked before.

    Raises
    ------
    ImportError
        When FastAPI is not installed.
    sklearn.exceptions.NotFittedError
        When the classifier is not fitted.
    ValueError
        When the name of a label has no form in UTF-8.
    """
    check_installed("fastapi")
    from fastapi import FastAPI, Request
    from fastapi.responses import JSONResponse, Response
    from starlette.exceptions import HTTPException
    from starlette.requests import ClientDisconnect

    check_is_fitted(classifier)
    _check_names(classifier)
    limits = limits or Limits()
    n_labels = len(classifier.classes_)
    predictions = PredictionQueue(classifier, limits.waiting_texts)
    explanations = ExplanationQueue(classifier, limits.waiting_explanations)
    of_predict, of_explain = predict_body(limits, n_labels), explain_body(limits)
    app = FastAPI(title="skhimatch", description=ABOUT, version=skhimatch.__version__)

    @app.post(
        "/predict",
        **_described(of_predict, "The labels of each text.", PREDICTIONS),
        summary="Predict the labels of texts",
    )
    async def predict(request: Request) -> Predictions:
        given = await read_body(request, of_predict, limits.body_bytes)
        try:
            wanted = WantedLabels(given.top_k, given.threshold)
        except ValueError as error:
            raise RefusedError(422, [Problem("body", str(error))]) from error
        found = await wrap_future(predictions.submit(given.texts, wanted))
        return Predictions([PredictionsOfText(list(labels), labels) for labels in found])

    @app.post(
        "/explain",
        **_described(of_explain, "The words for and against each label, and what else counts."),
        summary="Say why a text gets its labels",
    )
    async def explain(request: Request) -> Explanation:
        given = await read_body(request, of_explain, limits.body_bytes)
        return await wrap_future(explanations.submit(given.text))

    @app.get(
        "/health",
        responses={
            200: {"description": "Requests are accepted."},
            503: {"model": Health, "description": "Too many requests wait: `ready` is false."},
        },
        summary="Name what is served",
    )
    async def health(response: Response) -> Health:
        ready = not predictions.is_full
        response.status_code = 200 if ready else 503
        return Health(ready, name, version, n_labels, skhimatch.__version__)

    @app.exception_handler(RefusedError)
    async def refuse(request: Request, error: RefusedError) -> JSONResponse:
        return JSONResponse(asdict(Problems(error.problems)), error.status, error.headers)

    @app.exception_handler(QueueFullError)
    async def refuse_for_now(request: Request, error: QueueFullError) -> JSONResponse:
        problems = [Problem("service", f"too many requests wait: try again in {RETRY_SECONDS} s")]
        return JSONResponse(asdict(Problems(problems)), 503, {"Retry-After": RETRY_SECONDS})

    @app.exception_handler(HTTPException)
    async def refuse_path_or_method(request: Request, error: HTTPException) -> JSONResponse:
        problems = [Problem(f"{request.method} {request.url.path}", error.detail)]
        return JSONResponse(asdict(Problems(problems)), error.status_code, error.headers)

    @app.exception_handler(ClientDisconnect)
    async def forget(request: Request, error: ClientDisconnect) -> Response:
        # Nobody reads it.
        return Response(status_code=400)

    return app


def _check_names(classifier: HiMatchClassifier) -> None:
    for label in classifier.classes_:
        try:
            label.encode()
        except UnicodeEncodeError:
            raise ValueError(
                f"the label {label!r} has a lone surrogate, which an answer in UTF-8 cannot hold: train the "
                "classifier with another name for it"
            ) from None


def _described(body: Any, answer: str, example: Any = None) -> dict[str, Any]:
    """Return what OpenAPI says of an operation with a body, which is read by `read_body`."""
    responses: dict[int | str, dict[str, Any]] = {
        status: {"model": Problems, "description": text} for status, text in REFUSALS.items()
    }
    responses[503]["headers"] = {"Retry-After": {"required": True, "schema": {"type": "integer"}}}
    responses[200] = {"description": answer}
    if example is not None:
        responses[200]["content"] = {JSON: {"example": asdict(example)}}
    content = {JSON: {"schema": body.model_json_schema()}}
    return {"responses": responses, "openapi_extra": {"requestBody": {"required": True, "content": content}}}
