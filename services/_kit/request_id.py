"""A request id on every request and answer, for finding one request in logs. Refuses ids that could break a log."""

import itertools
import re
import secrets

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER = "Request-Id"
_PROCESS = secrets.token_hex(6)
_COUNT = itertools.count(1)
"""An id names its process and counts: unique without asking the system for randomness at each request."""

_USABLE = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


def request_id_of(scope: Scope) -> str:
    """The id that `RequestIdMiddleware` gave the request."""
    request_id: str = scope["request_id"]
    return request_id


def request_id_from(sent: bytes | None) -> str:
    """The id of a request: the one that its client sent where that is usable, else a new one."""
    if sent and _USABLE.fullmatch(text := sent.decode("latin-1")):
        return text
    return f"{_PROCESS}{next(_COUNT):08x}"


class RequestIdMiddleware:
    """Takes the client's ``Request-Id`` where it is usable, makes one otherwise, and answers with it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        sent = next((value for name, value in scope["headers"] if name == b"request-id"), None)
        request_id = scope["request_id"] = request_id_from(sent)

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        await self._app(scope, receive, send_with_id)
