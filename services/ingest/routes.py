"""The routes that events come in by, as plain ASGI around the FastAPI application, which has all others.

FastAPI's routing, injection and validation would take longer than a single call's whole work (docs/ingest.md has the
figures), and none of it applies: the protocol ignores the Content-Type, and answers errors per event. Their place in
/openapi.json is `openapi`. Refuses other methods than POST; answers as segment-protocol, rules 1, 2, 7 and 8.
"""

import time
from dataclasses import dataclass
from typing import Final

import structlog
from fastapi import FastAPI
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from audience.ports.catalog import Source
from audience.ports.event_log import EventLog, EventLogUnavailable
from services._kit.errors import ApiError, error_response, internal_error, unavailable
from services._kit.request_id import request_id_from
from services.ingest.body import ClientGone, read_body
from services.ingest.browser import EXPOSED, PREFLIGHT, Headers
from services.ingest.credentials import basic_user, source_of
from services.ingest.diagnose import NotJson
from services.ingest.intake import Intake
from services.ingest.metrics import IngestMetrics
from services.ingest.plans import Plans
from services.ingest.rates import Rates
from services.ingest.repeats import Repeats
from services.ingest.room import Place, Room
from services.ingest.sources import Sources

log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Route:
    """A route for events: one of `type`, or a batch where that is None. `name` is its long form."""

    name: str
    type: str | None
    short: str


ROUTES: Final = (
    Route("identify", "identify", "i"),
    Route("track", "track", "t"),
    Route("page", "page", "p"),
    Route("screen", "screen", "s"),
    Route("group", "group", "g"),
    Route("alias", "alias", "a"),
    Route("batch", None, "b"),
    Route("import", None, ""),
)
METRICS_ROUTE: Final = Route("m", None, "m")
"""Where the SDK of browsers reports on itself. Taken, so that it is content, and dropped."""

BY_PATH: Final = {
    **{f"/v1/{name}": route for route in ROUTES for name in (route.name, route.short) if name},
    "/v1/m": METRICS_ROUTE,
}

_SUCCESS: Final = b'{"success":true}'
_SUCCESS_HEADERS: Final[Headers] = [
    (b"content-type", b"application/json"),
    (b"content-length", str(len(_SUCCESS)).encode()),
]
_PLACE: Final = "audience.place"
_WANTED_HEADERS: Final = frozenset((b"authorization", b"content-encoding", b"content-length", b"origin", b"request-id"))


@dataclass(frozen=True, slots=True)
class Door:
    """Takes requests with events to their end: judged, appended to the log, answered, counted."""

    intake: Intake
    sources: Sources
    event_log: EventLog
    metrics: IngestMetrics
    room: Room
    rates: Rates
    repeats: Repeats
    plans: Plans

    def admit(self, route: Route, scope: Scope) -> Response | None:
        """Take the request's place, or give the answer to one for which there is no room."""
        length = next((value for name, value in scope["headers"] if name == b"content-length"), None)
        try:
            scope[_PLACE] = self.room.take(length)
        except ApiError as full:
            self.metrics.answered(route.name, full.status, 0.0)
            headers = _wanted(scope)
            return _response(full, request_id_from(headers.get(b"request-id")), headers)
        return None

    async def open(self, route: Route, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        started_s = time.perf_counter()
        headers = _wanted(scope)
        request_id = request_id_from(headers.get(b"request-id"))
        try:
            await self._take(route, scope, receive, headers)
        except ClientGone:
            self.metrics.abandoned.inc()
            return
        except Exception as error:  # noqa: BLE001  answered as 500, and logged with its traceback
            response = _response(error, request_id, headers)
            status = response.status_code
            await response(scope, receive, send)
        else:
            status = 200
            await _send_success(send, _common_headers(request_id, headers))
        self.metrics.answered(route.name, status, time.perf_counter() - started_s)

    async def _take(self, route: Route, scope: Scope, receive: Receive, headers: dict[bytes, bytes]) -> None:
        """Return when every event of the request is in the log. Raises what `_refusal` knows, and ClientGone."""
        if scope["method"] != "POST":
            raise ApiError(405, "method_not_allowed", "this route takes POST", headers={"Allow": "POST, OPTIONS"})
        if route is METRICS_ROUTE:
            return
        admitted: Place | None = scope.get(_PLACE)
        with admitted or self.room.take(headers.get(b"content-length")) as place:
            await self._take_in(place, route, receive, headers)

    async def _take_in(self, place: Place, route: Route, receive: Receive, headers: dict[bytes, bytes]) -> None:
        user = basic_user(headers.get(b"authorization"))
        known = None if user is None else source_of(user, self.sources)
        if known is not None:
            self.rates.take(known, 0)
        body = await read_body(
            receive,
            headers.get(b"content-encoding", b""),
            headers.get(b"content-length"),
            self.intake.limits.body_bytes,
            place.hold,
        )
        self.metrics.body_bytes.observe(len(body))
        if route.type is None:
            sorted_ = self.intake.batch(body, known, self._by_key)
        else:
            sorted_ = self.intake.single(body, route.type, known, self._by_key)
        if sorted_.records:
            place.hold(sorted_.size_bytes)
            self.rates.take(sorted_.source, len(sorted_.records))
            started_s = time.perf_counter()
            await self.event_log.append(sorted_.records)
            self.metrics.append_seconds.observe(time.perf_counter() - started_s)
            source = sorted_.source
            repeated = self.repeats.count(f"{source.workspace}:{source.source}", sorted_.message_ids)
            self.metrics.accepted(source, sorted_.accepted, repeated)
            for reason, count in sorted_.bad.items():
                self.metrics.bad(source, reason, count)
            if sorted_.violations:
                now_ms = self.intake.now_ms()
                for name, violation in sorted_.violations:
                    self.plans.violated(source, name, violation, now_ms)

    def _by_key(self, write_key: object) -> Source:
        return source_of(write_key, self.sources)


class EventRoutes:
    """The whole service as ASGI: the routes above to the door, preflights answered, all else to FastAPI's application.

    It stands around the application, not in it as a middleware: what FastAPI does before its middleware costs a third
    of a single call.
    """

    def __init__(self, api: FastAPI) -> None:
        self.api = api

    def refusal(self, scope: Scope) -> Response | None:
        """The answer to a request of which only the head has come, if it need not be read any further."""
        route = BY_PATH.get(scope["path"])
        if route is None or route is METRICS_ROUTE or scope["method"] != "POST":
            return None
        door: Door = self.api.state.door
        return door.admit(route, scope)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or run the lifespan."""
        if scope["type"] != "http" or not scope["path"].startswith("/v1/"):
            await self.api(scope, receive, send)
        elif scope["method"] == "OPTIONS":
            await send({"type": "http.response.start", "status": 204, "headers": PREFLIGHT})
            await send({"type": "http.response.body", "body": b""})
        elif (route := BY_PATH.get(scope["path"])) is not None:
            door: Door = self.api.state.door
            await door.open(route, scope, receive, send)
        else:
            await self.api(scope, receive, _exposing(send))


def _exposing(send: Send) -> Send:
    """Answers that pages from other origins may read."""

    async def send_exposed(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *EXPOSED]
        await send(message)

    return send_exposed


def _wanted(scope: Scope) -> dict[bytes, bytes]:
    return {name: value for name, value in scope["headers"] if name in _WANTED_HEADERS}


def _response(error: Exception, request_id: str, headers: dict[bytes, bytes]) -> Response:
    # Not in the frame that caught the error: a name for it there would keep the request in memory, in a circle.
    response = error_response(_refusal(error, request_id), request_id)
    response.raw_headers += _common_headers(request_id, headers)
    return response


def _refusal(error: Exception, request_id: str) -> ApiError:
    """The answer to what went wrong; what is not the client's fault is logged."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, NotJson):
        return ApiError(400, "invalid_json", f"the body is not JSON of the right shape: {error}")
    if isinstance(error, EventLogUnavailable):
        log.warning("the event log did not take a request's records", error=str(error), request_id=request_id)
        return unavailable("the event log")
    log.error("a request failed", exc_info=error, request_id=request_id)
    return internal_error()


def _common_headers(request_id: str, sent: dict[bytes, bytes]) -> Headers:
    """What every answer has. CORS only where there is an origin: the server checks each header, and takes its time."""
    own = (b"request-id", request_id.encode())
    return [own, *EXPOSED] if b"origin" in sent else [own]


async def _send_success(send: Send, headers: Headers) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [*_SUCCESS_HEADERS, *headers]})
    await send({"type": "http.response.body", "body": _SUCCESS})
