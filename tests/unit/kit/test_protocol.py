"""Requests over real sockets that are never whole, or whose heads are too large: answered, and the line closed."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from services._kit import protocol
from services._kit.protocol import HEAD_BYTES
from tests.unit.serving import served

OPEN = b"POST / HTTP/1.1\r\nHost: x\r\n"


class App:
    """Reads the body and answers with its length; remembers how its requests ended. Refuses while it is `full`."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.full = False

    def refusal(self, scope: Scope) -> Response | None:
        assert (scope["method"], scope["path"]) == ("POST", "/")
        return Response(b"full", 503, {"retry-after": "1"}) if self.full else None

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.seen.append("gone")
                return
            size += len(message["body"])
            more = message["more_body"]
        self.seen.append("whole")
        text = str(size).encode()
        headers = [(b"content-length", str(len(text)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": text})


class Server:
    def __init__(self, app: App, port: int) -> None:
        self.app = app
        self.port = port

    async def say(self, *pieces: bytes, pause_s: float = 0.0) -> bytes:
        """Send these, then read until the server closes, or for 5 s."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            for piece in pieces:
                writer.write(piece)
                await asyncio.sleep(pause_s)
            try:
                async with asyncio.timeout(5):
                    return await reader.read()
            except TimeoutError:
                return b"(open)"
            except ConnectionError:
                return b"(reset)"
        finally:
            writer.close()


@pytest_asyncio.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    monkeypatch.setattr(protocol, "WHOLE_WITHIN_S", 1.0)
    app = App()
    async with served(app) as port:
        yield Server(app, port)


def request(body: bytes, head: bytes = b"", *, close: bool = True) -> bytes:
    ends = b"Connection: close\r\n" if close else b""
    return OPEN + ends + head + b"Content-Length: %d\r\n\r\n" % len(body) + body


@pytest.mark.parametrize("size", [0, 5, 70_000, 1_000_000])
async def test_a_request_that_is_whole(server: Server, size: int) -> None:
    answer = await server.say(request(b"x" * size))
    assert answer.endswith(b"\r\n\r\n%d" % size)
    assert server.app.seen == ["whole"]


async def test_requests_one_after_another_on_a_line(server: Server) -> None:
    first = request(b"abc", close=False)
    answer = await server.say(first, first[:20], first[20:] + request(b"x" * 10), pause_s=0.2)
    assert [answer.count(b"\r\n\r\n%d" % size) for size in (3, 10)] == [2, 1]


async def test_a_pause_between_requests_is_no_fault(server: Server) -> None:
    answer = await server.say(request(b"abc", close=False), request(b"abc"), pause_s=1.3)
    assert answer.count(b"\r\n\r\n3") == 2


@pytest.mark.parametrize(
    "pieces",
    [
        [],
        [b"POST"],
        [OPEN],
        [OPEN + b"A: "],
        [OPEN + b"Content-Length: 10\r\n\r\n"],
        [OPEN + b"Content-Length: 10\r\n\r\nabc"],
        [OPEN + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"],
    ],
)
async def test_what_is_never_whole_is_told_so(server: Server, pieces: list[bytes]) -> None:
    answer = await server.say(*pieces, pause_s=0.1)
    assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert b'"code":"too_slow"' in answer
    assert server.app.seen in ([], ["gone"])
    assert (await server.say(request(b"abc"))).endswith(b"3")


async def test_one_that_is_slow_and_never_idle_for_long_is_not_waited_for(server: Server) -> None:
    answer = await server.say(OPEN, *[b"A: b\r\n"] * 20, pause_s=0.1)
    # Who goes on sending may be told by a reset alone: TCP drops an answer that was not read before it.
    assert answer == b"(reset)" or answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert server.app.seen == []


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("lines", [1, 500])
async def test_a_head_that_is_too_large(server: Server, lines: int, *, whole: bool) -> None:
    line = b"A: " + b"x" * (HEAD_BYTES // lines + 100) + b"\r\n"
    answer = await server.say(request(b"abc", line * lines) if whole else OPEN + line * lines)
    assert answer.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
    assert answer.count(b"HTTP/1.1") == 1
    assert server.app.seen == []


async def test_a_head_may_be_as_large_as_the_limit(server: Server) -> None:
    assert (await server.say(request(b"abc", b"A: " + b"x" * (HEAD_BYTES - 200) + b"\r\n"))).endswith(b"3")


def statuses(answer: bytes) -> list[bytes]:
    return [line.split()[1] for line in answer.split(b"\r\n") if b"HTTP/1.1 " in line]


@pytest.mark.parametrize("size", [0, 5, 1_000_000])
async def test_what_is_refused_by_its_head_is_not_read(server: Server, size: int) -> None:
    server.app.full = True
    refused = request(b"x" * size, close=False)
    answer = await server.say(refused, refused[:30], refused[30:], request(b"x"), pause_s=0.1)
    assert statuses(answer) == [b"503", b"503", b"200"]  # who closes the connection behind it may ask in the usual way
    assert answer.count(b"retry-after: 1\r\n") == 2
    assert answer.count(b"\r\n\r\nfull") == 2
    assert server.app.seen == ["whole"]


async def test_a_connection_goes_on_behind_a_refusal(server: Server) -> None:
    server.app.full = True
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    for size in (10, 70_000):
        server.app.full = True
        writer.write(request(b"x" * size, close=False))
        assert (await reader.readuntil(b"full")).startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
        server.app.full = False
        writer.write(request(b"x" * size, close=False))
        assert (await reader.readuntil(b"\r\n\r\n%d" % size)).startswith(b"HTTP/1.1 200 OK\r\n")
    writer.close()


async def test_requests_behind_one_another_are_answered_in_order(server: Server) -> None:
    server.app.full = True
    answer = await server.say(request(b"x", close=False) * 3 + request(b"xy"))
    assert statuses(answer) == [b"503", b"503", b"503", b"200"]


async def test_a_client_that_asks_first_is_not_refused_by_the_head(server: Server) -> None:
    server.app.full = True
    answer = await server.say(request(b"abc", b"Expect: 100-continue\r\n"))
    assert answer.endswith(b"\r\n\r\n3")


async def test_a_body_that_does_not_come_behind_its_refusal(server: Server) -> None:
    server.app.full = True
    answer = await server.say(request(b"x" * 100, close=False)[:-50])
    assert statuses(answer) == [b"503"]
    assert answer != b"(open)"
