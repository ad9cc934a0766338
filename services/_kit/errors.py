"""Errors as clients see them: ``{"code", "message", "errors"?, "request_id"}`` with a stable code."""

from collections.abc import Mapping, Sequence
from typing import TypedDict

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from audience.ports.event_log import EventLogUnavailable
from audience.ports.stores import StoreUnavailable
from services._kit.request_id import request_id_of

RETRY_AFTER_S = 2
"""What a client is told to wait when a part of the platform is away; those come back within seconds."""

_STATUS_CODES = {401: "unauthorized", 403: "forbidden", 404: "not_found", 405: "method_not_allowed"}


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


def _pointer(location: Sequence[int | str]) -> str:
    """FastAPI's location (``("body", "a", 0)``) as a JSON pointer without its first part."""
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in location[1:])


def install(app: FastAPI) -> None:
    """Give every failure of `app` the contract's shape."""

    @app.exception_handler(ApiError)
    async def _api_error(request: Request, error: ApiError) -> Response:
        return error_response(error, request_id_of(request.scope))

    @app.exception_handler(StoreUnavailable)
    async def _store(request: Request, _: StoreUnavailable) -> Response:
        return error_response(unavailable("a store"), request_id_of(request.scope))

    @app.exception_handler(EventLogUnavailable)
    async def _event_log(request: Request, _: EventLogUnavailable) -> Response:
        return error_response(unavailable("the event log"), request_id_of(request.scope))

    @app.exception_handler(RequestValidationError)
    async def _validation(request: Request, error: RequestValidationError) -> Response:
        errors = [
            FieldError(code=str(item["type"]), path=_pointer(item["loc"]), message=str(item["msg"]))
            for item in error.errors()
        ]
        refused = ApiError(422, "invalid_request", "the request is not of the right shape", errors=errors)
        return error_response(refused, request_id_of(request.scope))

    @app.exception_handler(Exception)
    async def _fault(request: Request, _: Exception) -> Response:
        # Starlette raises it again after this answer, so the server logs it with its traceback.
        return error_response(internal_error(), request_id_of(request.scope))

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        code = _STATUS_CODES.get(error.status_code, "http_error")
        refused = ApiError(error.status_code, code, str(error.detail), headers=error.headers)
        return error_response(refused, request_id_of(request.scope))
