"""Errors as clients see them: ``{"code", "message", "errors"?, "request_id"}`` with a stable code."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias, TypedDict

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Scope

from audience.ports.event_log import EventLogUnavailable
from audience.ports.stores import StoreUnavailable
from services._kit.request_id import request_id_of

RETRY_AFTER_S = 2
"""What a client is told to wait when a part of the platform is away; those come back within seconds."""

_STATUSES = {
    404: ("not_found", "there is no such route; /openapi.json names those that there are"),
    405: ("method_not_allowed", "this route does not take this method; /openapi.json says which it takes"),
}


class FieldError(TypedDict):
    """One of several faults in a request: a stable code, a JSON pointer into what was sent, words."""

    code: str
    path: str
    message: str


class ApiError(Exception):
    """An answer other than success, raised anywhere below a route."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.errors = errors
        self.headers = headers


Shape: TypeAlias = Callable[[ApiError, Scope], Response]
"""Makes an answer of an error to a request."""


def unavailable(what: str) -> ApiError:
    """503 with Retry-After: a part that is needed does not answer."""
    return ApiError(
        503,
        "unavailable",
        f"{what} does not answer just now; try again",
        headers={"Retry-After": str(RETRY_AFTER_S)},
    )


def overloaded() -> ApiError:
    """503 with Retry-After: the process has as much in hand as it bears."""
    return ApiError(
        503,
        "unavailable",
        "this process has as many requests in hand as it can bear; try again",
        headers={"Retry-After": str(RETRY_AFTER_S)},
    )


def internal_error() -> ApiError:
    """500: a fault of ours. What it was stands in the log, under the request's id."""
    return ApiError(500, "internal_error", "something went wrong on our side")


def error_response(error: ApiError, request_id: str) -> Response:
    """The body that the contract wants, as bytes."""
    body: dict[str, object] = {"code": error.code, "message": error.message}
    if error.errors:
        body["errors"] = list(error.errors)
    body["request_id"] = request_id
    return Response(msgspec.json.encode(body), error.status, dict(error.headers or {}), media_type="application/json")


def _code(kind: str) -> str:
    """A code of ours for one of pydantic's, which are many, and not ours to keep stable."""
    if kind == "missing":
        return "missing_key"
    return "wrong_type" if kind.endswith(("_type", "_parsing")) else "bad_value"


def _pointer(location: Sequence[int | str]) -> str:
    """FastAPI's location (``("body", "a", 0)``) as a JSON pointer without its first part."""
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in location[1:])


def plain(error: ApiError, scope: Scope) -> Response:
    """The contract's shape, whatever was asked."""
    return error_response(error, request_id_of(scope))


def install(app: FastAPI, shape: Shape = plain) -> None:
    """Give every failure of `app` one shape."""

    @app.exception_handler(ApiError)
    async def _api_error(request: Request, error: ApiError) -> Response:
        return shape(error, request.scope)

    @app.exception_handler(StoreUnavailable)
    async def _store(request: Request, _: StoreUnavailable) -> Response:
        return shape(unavailable("a store"), request.scope)

    @app.exception_handler(EventLogUnavailable)
    async def _event_log(request: Request, _: EventLogUnavailable) -> Response:
        return shape(unavailable("the event log"), request.scope)

    @app.exception_handler(RequestValidationError)
    async def _validation(request: Request, error: RequestValidationError) -> Response:
        faults = [
            FieldError(code=_code(str(item["type"])), path=_pointer(item["loc"]), message=str(item["msg"]))
            for item in error.errors()
        ]
        refused = ApiError(422, "invalid_request", "the request is not of the right shape", errors=faults)
        return shape(refused, request.scope)

    @app.exception_handler(Exception)
    async def _fault(request: Request, _: Exception) -> Response:
        # Starlette raises it again after this answer, so the server logs it with its traceback.
        return shape(internal_error(), request.scope)

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        code, message = _STATUSES.get(error.status_code, ("http_error", str(error.detail)))
        return shape(ApiError(error.status_code, code, message, headers=error.headers), request.scope)
