"""What every request passes before FastAPI: credentials, the path as it was sent, counting; and the hottest reads.

Plain ASGI, because a profile and its memberships are asked for thousands of times a second, and FastAPI's routing,
injection and encoding take longer than all of their work (docs/adr/0014-hot-reads-and-load.md has the figures). Every
path is closed without a token but those of `OPEN`, so that a route added later is closed as well. Refuses wrong
credentials before it looks at anything else of a request.
"""

import time
from collections.abc import Callable, Mapping
from typing import Final

import structlog
from fastapi import FastAPI
from starlette.types import Message, Receive, Scope, Send

from audience.ports.stores import StoreUnavailable
from audience.profiles.model import Membership, Profile
from services._kit.errors import ApiError, internal_error, unavailable
from services._kit.request_id import request_id_from
from services.segments.answers import memberships_json, profile_json
from services.segments.catalog_copy import CatalogCopy
from services.segments.gates import QUICK_AT_ONCE, SLOW_AT_ONCE, Bodies, Gate
from services.segments.lookups import Lookups
from services.segments.metrics import SegmentsMetrics
from services.segments.paths import as_sent, decode_once
from services.segments.scopes import require, scope_of
from services.segments.spaces import SPACES, shaped
from services.segments.together import Together
from services.segments.tokens import Tokens, rate_headers

OPEN: Final = frozenset(("/healthz", "/readyz", "/metrics", "/openapi.json", "/docs"))
PROFILE: Final = "/v1/profiles/{profile_id}"
MEMBERSHIPS: Final = "/v1/profiles/{profile_id}/segments"
LOOKUP: Final = "/v1/memberships/lookup"
MOST_LOOKUP_BYTES: Final = 4 << 20
_BEFORE: Final = "/v1/profiles/"
_UNMATCHED: Final = "unmatched"

log = structlog.stdlib.get_logger(__name__)


class Desk:
    """What the entrance works with; there is none before the resources are open."""

    def __init__(
        self,
        tokens: Tokens,
        memberships: Together[tuple[Membership, ...]],
        profiles: Together[Profile],
        lookups: Lookups,
        catalog: CatalogCopy,
        metrics: SegmentsMetrics,
        per_second: int,
        now_ms: Callable[[], int],
    ) -> None:
        self.tokens = tokens
        self.metrics = metrics
        self.per_second = per_second
        self._lookups = lookups
        self._memberships = memberships
        self._profiles = profiles
        self._catalog = catalog
        self._now_ms = now_ms

    async def memberships(self, workspace: str, profile_id: str) -> bytes:
        """The body of the hottest read; an unknown profile has none. Raises StoreUnavailable."""
        shown = self._catalog.evaluated(workspace)
        found = await self._memberships.read(workspace, profile_id)
        return memberships_json(profile_id, found or (), shown, self._now_ms())

    async def lookup(self, workspace: str, body: bytes) -> bytes:
        """The memberships of many profiles. Raises ApiError 400, 422, StoreUnavailable."""
        return await self._lookups.answer(workspace, body, self._catalog.evaluated(workspace), self._now_ms())

    async def profile(self, workspace: str, profile_id: str) -> bytes:
        """The body of a profile. Raises ApiError 404, StoreUnavailable."""
        shown = self._catalog.evaluated(workspace)
        found = await self._profiles.read(workspace, profile_id)
        if found is None:
            raise no_profile(profile_id)
        return profile_json(found, shown)


def no_profile(profile_id: str) -> ApiError:
    """404."""
    return ApiError(404, "profile_not_found", f"there is no profile {profile_id!r}")


class Entrance:
    """The whole service as ASGI: around `api`, which keeps the `Desk` in ``state.desk``.

    Around it, and not among its middleware, since FastAPI's own frame takes a tenth of the hottest read.
    """

    def __init__(self, api: FastAPI, wait_s: float) -> None:
        self.api = api
        self._quick, self._slow, self._bodies = Gate(QUICK_AT_ONCE, wait_s), Gate(SLOW_AT_ONCE, wait_s), Bodies()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in OPEN:
            await self.api(scope, receive, send)
            return
        started_s = time.perf_counter()
        desk: Desk = self.api.state.desk
        authorization, client_id = _headers(scope)
        path = as_sent(scope)
        hot = _hot(scope["method"], path)
        route, status, left = hot[0] if hot else _UNMATCHED, 500, None
        try:
            client = desk.tokens.remembered(authorization) or await desk.tokens.client_of(authorization)
            left = desk.tokens.left(client, desk.per_second)
            require(client.access, scope_of(scope["method"], path))
            workspace = client.access.workspace
            body = await self._answer(desk, workspace, *hot, receive) if hot else None
            gate = None if hot else self._gate_of(path)
            if gate is not None:
                await gate.enter()
        except Exception as error:  # noqa: BLE001  answered, and logged with its traceback where it is a fault of ours
            rate = {} if left is None else rate_headers(desk.per_second, left)
            status = await _refuse(error, scope, receive, send, request_id_from(client_id), rate)
        else:
            if body is not None:
                status = 200
                await _send_json(send, body, request_id_from(client_id), desk.per_second, left)
            else:
                # In place, so that those around us see what FastAPI adds.
                scope["path"], scope["workspace"] = path, workspace
                scope["rate"] = desk.per_second, left
                try:
                    status, route = await self._pass_on(scope, receive, send)
                finally:
                    if gate is not None:
                        gate.leave()
        finally:
            desk.metrics.answered(route, status, time.perf_counter() - started_s)

    async def _answer(self, desk: Desk, workspace: str, route: str, profile_id: str, receive: Receive) -> bytes:
        if route is LOOKUP:
            with self._bodies.counted(receive) as counted:
                return await desk.lookup(workspace, await _body(counted))
        try:
            decoded = decode_once(profile_id)
        except UnicodeDecodeError as error:
            raise ApiError(422, "invalid_request", "the profile id in the path is not UTF-8") from error
        if route is MEMBERSHIPS:
            return await desk.memberships(workspace, decoded)
        return await desk.profile(workspace, decoded)

    def _gate_of(self, path: str) -> Gate | None:
        """What the request passes; streams and exports have bounds of their own, and last."""
        if path.endswith(("/changes/stream", "/export")):
            return None
        return self._slow if path.startswith(SPACES) or "/explain/" in path else self._quick

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> tuple[int, str]:
        """Let the application answer; gives the status and the route's template."""
        status = 500

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *_rate(*scope["rate"])]
            await send(message)

        with self._bodies.counted(receive) as counted:
            await self.api(scope, counted, watch)
        return status, getattr(scope.get("route"), "path", _UNMATCHED)


def _headers(scope: Scope) -> tuple[bytes | None, bytes | None]:
    """The headers ``Authorization`` and ``Request-Id``."""
    authorization = client_id = None
    for name, value in scope["headers"]:
        if name == b"authorization":
            authorization = value
        elif name == b"request-id":
            client_id = value
    return authorization, client_id


def _hot(method: str, path: str) -> tuple[str, str] | None:
    """The route of one of the hottest reads and its profile id, encoded still; None for all other requests."""
    if method == "POST":
        return (LOOKUP, "") if path == LOOKUP else None
    if method != "GET" or not path.startswith(_BEFORE):
        return None
    profile_id, slash, rest = path[len(_BEFORE) :].partition("/")
    if not profile_id:
        return None
    if not slash:
        return PROFILE, profile_id
    return (MEMBERSHIPS, profile_id) if rest == "segments" else None


async def _body(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ApiError(400, "invalid_json", "the body ended early")
        part: bytes = message.get("body", b"")
        body += part
        if len(body) > MOST_LOOKUP_BYTES:
            raise ApiError(413, "too_large", f"a body may have {MOST_LOOKUP_BYTES} bytes")
        if not message.get("more_body", False):
            return body


async def _refuse(
    error: Exception, scope: Scope, receive: Receive, send: Send, request_id: str, headers: Mapping[str, str]
) -> int:
    """Answer with the error in the contract's shape; gives the status."""
    match error:
        case ApiError():
            refusal = error
        case StoreUnavailable():
            refusal = unavailable("a store")
        case _:
            log.error("a request failed", request_id=request_id, exc_info=error)
            refusal = internal_error()
    scope["request_id"] = request_id
    response = shaped(refusal, scope)
    response.headers["Request-Id"] = request_id
    response.headers.update(headers)
    await response(scope, receive, send)
    return refusal.status


async def _send_json(send: Send, body: bytes, request_id: str, per_second: int, left: int) -> None:
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [
                (b"content-type", b"application/json"),
                (b"content-length", b"%d" % len(body)),
                (b"request-id", request_id.encode()),
                *_rate(per_second, left),
            ],
        }
    )
    await send({"type": "http.response.body", "body": body})


def _rate(per_second: int, left: int) -> tuple[tuple[bytes, bytes], ...]:
    return (
        (b"ratelimit-limit", b"%d" % per_second),
        (b"ratelimit-remaining", b"%d" % left),
        (b"ratelimit-reset", b"1"),
    )
