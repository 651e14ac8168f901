"""Errors as problem details (RFC 9457): a status and one clear sentence."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from iisan.errors import UserError
from iisan.serving.adder_errors import AdderBusy, AdderFailed, CannotAdd, ItemExists, UploadRefused
from iisan.serving.refusals import NotPossible, Overloaded, StillComputing

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
# What clients are told to wait before they try again, in seconds.
RETRY_AFTER = {"Retry-After": "1"}
LONGEST_DETAIL = 1000

# What the framework says in a word or two, as a sentence.
_SENTENCES = {
    "Not Found": "there is no such route; see /openapi.json for those that there are",
    "Method Not Allowed": "the route does not take this method; see /openapi.json for those that it takes",
    "There was an error parsing the body": "the body is no JSON that can be read; send UTF-8, with less nesting",
}

_STATUS_OF: tuple[tuple[type[UserError], int], ...] = (
    (ItemExists, 409),
    (CannotAdd, 409),
    (NotPossible, 422),
    (Overloaded, 503),
    (StillComputing, 503),
    (AdderBusy, 503),
    (AdderFailed, 503),
)


class Problem(BaseModel):
    """Why a request was not served."""

    type: str = Field("about:blank", description="Always about:blank: the status says what kind of problem it is")
    title: str = Field(description="The status in words", examples=["Not Found"])
    status: int = Field(description="The HTTP status", examples=[404])
    detail: str = Field(
        description="What is wrong and how to mend it", examples=["item 'P1' is not in the catalogue; check the id"]
    )


class ProblemResponse(Response):
    """A problem as a response."""

    media_type = MEDIA_TYPE

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        problem = {
            "type": "about:blank",
            "title": HTTPStatus(status).phrase,
            "status": status,
            "detail": " ".join(detail.split())[:LONGEST_DETAIL],
        }
        # ASCII: a request may hold halves of surrogate pairs, which no other encoding would take.
        super().__init__(json.dumps(problem), status_code=status, headers=dict(headers or {}))


def status_of(error: UserError) -> int:
    """The HTTP status of a reason."""
    if isinstance(error, UploadRefused):
        return 413 if error.too_large else 422
    return next((status for kind, status in _STATUS_OF if isinstance(error, kind)), 422)


def of_user_error(error: UserError) -> ProblemResponse:
    """A reason as a response; where it lies is left out, being a path of this machine."""
    status = status_of(error)
    detail = f"{error.what}; {error.how}" if error.how else error.what
    return ProblemResponse(status, detail, RETRY_AFTER if status == 503 else None)


def of_validation(errors: Sequence[Mapping[str, Any]]) -> ProblemResponse:
    """What is wrong with a request's values; the first thing is named, and how many there are."""
    first = errors[0]
    if first["type"] == "json_invalid":
        return ProblemResponse(400, f"the body is no JSON: {first['ctx']['error']} at character {first['loc'][1]}")
    if tuple(first["loc"]) == ("body",):
        return ProblemResponse(422, "the body is no JSON object; send one, with Content-Type: application/json")
    place = ".".join(str(part) for part in first["loc"][1:]) or str(first["loc"][0])
    message = str(first["msg"]).removeprefix("Value error, ")
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return ProblemResponse(422, f"{place}: {message}{more}")


def handle_problems(app: FastAPI) -> None:
    """Makes every error of an application a problem."""

    async def user_error(_: Request, error: UserError) -> Response:
        return of_user_error(error)

    async def http_error(_: Request, error: HTTPException) -> Response:
        detail = str(error.detail)
        return ProblemResponse(error.status_code, _SENTENCES.get(detail, detail), error.headers)

    async def invalid(_: Request, error: RequestValidationError) -> Response:
        return of_validation(error.errors())

    async def out_of_time(_: Request, __: Exception) -> Response:
        return ProblemResponse(503, "the answer took too long; ask again in a moment", RETRY_AFTER)

    async def bug(_: Request, __: Exception) -> Response:
        return ProblemResponse(500, "the service has a bug; its log says more")

    app.add_exception_handler(UserError, user_error)  # type: ignore[arg-type]
    app.add_exception_handler(HTTPException, http_error)  # type: ignore[arg-type]
    app.add_exception_handler(RequestValidationError, invalid)  # type: ignore[arg-type]
    app.add_exception_handler(TimeoutError, out_of_time)
    app.add_exception_handler(Exception, bug)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For the OpenAPI schema: the problems that an operation may answer with."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in statuses
    }
