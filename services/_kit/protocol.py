"""HTTP as uvicorn speaks it, with limits on what a client may cost before its request is whole.

uvicorn waits for ever for the end of a head or a body, and takes heads of any size. Here a request that is not whole in
time is answered with 408, a head that is too large with 431, and the connection is closed. A request that comes in one
piece, as nearly all do, costs nothing more.

An application may refuse a request by its head (`Refusing`): its body is then dropped as it comes. Else the bodies of a
flood would all be kept until the application has its turn to refuse them.
"""

import asyncio
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, Final, Protocol, cast

import msgspec
from starlette.responses import Response
from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES: Final = 32 * 1024
WHOLE_WITHIN_S: Final = 20.0


class Refusing(Protocol):
    """What an application may have beside ASGI."""

    def refusal(self, scope: Scope) -> Response | None:
        """The answer to a request with this head, or None: then the application is called for it, with this scope.

        The scope has the method, the headers, and as `path` what was asked for, as it came.
        """


class LimitedProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._head_bytes = 0
        self._in_head = True
        self._whole = False
        self._refused = False
        self._dropping = False
        self._refusing: Refusing | None = self.app if hasattr(self.app, "refusal") else None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(transport)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._unwatch()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > HEAD_BYTES:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "too_large", "the head is too large")
        elif not self._whole:
            self._watch()

    def on_message_begin(self) -> None:
        self._in_head, self._whole = True, False
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head, self._head_bytes = False, 0
        if sum(len(name) + len(value) for name, value in self.headers) > HEAD_BYTES:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "too_large", "the head is too large")
        if self._refused:
            return
        answer = self._refusal_by_head()
        if answer is None:
            super().on_headers_complete()
        else:
            self._dropping = True
            headers = [*self.server_state.default_headers, *answer.raw_headers]
            self._answer(HTTPStatus(answer.status_code), headers, bytes(answer.body))

    def on_body(self, body: bytes) -> None:
        if not self._refused and not self._dropping:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._whole = True
        self._unwatch()
        if self._dropping:
            self._dropping = False
            self.on_response_complete()
        elif not self._refused:
            super().on_message_complete()

    def _refusal_by_head(self) -> Response | None:
        # Only where the answer can be given at once, and the connection goes on behind the body.
        if self._refusing is None or self.expect_100_continue or not self.parser.should_keep_alive():
            return None
        if self.cycle is not None and not self.cycle.response_complete:
            return None
        scope = cast("Scope", self.scope)
        scope["method"] = self.parser.get_method().decode("ascii")
        scope["path"] = self.url.decode("ascii", "replace")  # as it came; where nothing is to be unpacked, that is all
        return self._refusing.refusal(scope)

    def _watch(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(WHOLE_WITHIN_S, self._late)

    def _unwatch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        self._timer = None
        if not self._whole:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, "too_slow", f"a request must be whole within {WHOLE_WITHIN_S:g} s")

    def _refuse(self, status: HTTPStatus, code: str, message: str) -> None:
        """Answer, unless an answer has begun, and close. An application that waits for the body sees a client go."""
        self._refused = True
        self._unwatch()
        transport = self.transport
        if transport.is_closing():
            return
        answered = self._dropping or (
            self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete
        )
        if not answered:
            body = msgspec.json.encode({"code": code, "message": message})
            headers = {
                b"content-type": b"application/json",
                b"content-length": b"%d" % len(body),
                b"connection": b"close",
            }
            self._answer(status, headers.items(), body)
        transport.close()

    def _answer(self, status: HTTPStatus, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> None:
        lines = [
            f"HTTP/1.1 {status.value} {status.phrase}".encode(),
            *(name + b": " + value for name, value in headers),
        ]
        self.transport.write(b"\r\n".join([*lines, b"", body]))
