"""The client library without a server: what it sends, when it tries again, how a stream is taken up."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import audience_client
import httpx
import pytest
from audience_client import ApiError, ApiUnreachable, AsyncAudienceClient, AudienceClient, asynchronous, synchronous

AS_OF = "2026-01-31T12:00:00.000Z"
Handler = Callable[[httpx.Request], httpx.Response]


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Nobody waits; what would have been waited for."""
    found: list[float] = []

    async def sleep(for_s: float) -> None:
        found.append(for_s)

    monkeypatch.setattr(synchronous.time, "sleep", found.append)
    monkeypatch.setattr(asynchronous.asyncio, "sleep", sleep)
    return found


class Server:
    """Answers with what it was given, one after the other."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def both(*answers: Callable[[], httpx.Response | Exception]) -> Iterator[tuple[Server, Callable[..., Any]]]:
    """A server for the client that waits and one for the other; call the method by name."""
    server = Server(*(each() for each in answers))
    waiting = AudienceClient("http://x", "token", transport=httpx.MockTransport(server))
    yield server, lambda method, /, *rest, **more: getattr(waiting, method)(*rest, **more)
    other = Server(*(each() for each in answers))

    def run(method: str, /, *rest: Any, **more: Any) -> Any:
        async def call() -> Any:
            async with AsyncAudienceClient("http://x", "token", transport=httpx.MockTransport(other)) as client:
                found = getattr(client, method)(*rest, **more)
                return [each async for each in found] if hasattr(found, "__aiter__") else await found

        return asyncio.run(call())

    yield other, run


def memberships() -> httpx.Response:
    segments = [{"key": "vip", "since": AS_OF}]
    return httpx.Response(200, json={"profile_id": "a/b", "segments": segments, "as_of": AS_OF})


def refusal(status: int, code: str, **headers: str) -> httpx.Response:
    faults = [{"code": "bad_value", "path": "/key", "message": "no"}]
    body = {"code": code, "message": "no", "request_id": "r", "errors": faults}
    return httpx.Response(status, json=body, headers=headers)


def test_a_read() -> None:
    for server, call in both(memberships):
        found = call("segments_of", "a/b")
        assert "vip" in found
        assert "other" not in found
        assert found.as_of.isoformat() == "2026-01-31T12:00:00+00:00"
        [request] = server.requests
        assert request.url.raw_path == b"/v1/profiles/a%2Fb/segments"
        assert request.headers["Authorization"] == "Bearer token"


def test_a_refusal() -> None:
    for _, call in both(lambda: refusal(422, "rule_invalid")):
        with pytest.raises(ApiError) as refused:
            call("create_segment", "k", {"event": "x"})
        assert (refused.value.status, refused.value.code, refused.value.request_id) == (422, "rule_invalid", "r")
        assert refused.value.errors[0].path == "/key"


def test_a_proxys_answer() -> None:
    for _, call in both(lambda: httpx.Response(418, text="<html>")):
        with pytest.raises(ApiError, match="unreadable_answer"):
            call("profile", "a")


def test_it_tries_again_as_told(pauses: list[float]) -> None:
    for server, call in both(
        lambda: refusal(503, "unavailable", **{"Retry-After": "7"}), lambda: httpx.ReadError("x"), memberships
    ):
        pauses.clear()
        call("segments_of", "a")
        assert len(server.requests) == 3
        assert pauses[0] == 7
        assert 0 < pauses[1] < 1


def test_it_gives_up() -> None:
    busy = [lambda: refusal(503, "unavailable")] * 3
    for server, call in both(*busy):
        with pytest.raises(ApiError, match="unavailable"):
            call("segments_of", "a")
        assert len(server.requests) == 3
    lost = [lambda: httpx.ConnectError("refused")] * 3
    for _, call in both(*lost):
        with pytest.raises(ApiUnreachable):
            call("segments_of", "a")


def test_creating_again_has_the_same_key() -> None:
    segment = {
        "key": "k", "name": "k", "description": "", "rule": {"event": "x"}, "tags": [], "status": "draft", "version": 1,
        "size": 0, "created_at": AS_OF, "updated_at": AS_OF, "backfill": None, "field-of-a-later-version": 1,
    }  # fmt: skip
    for server, call in both(
        lambda: httpx.ReadTimeout("x"), lambda: httpx.Response(201, json=segment, headers={"ETag": '"1"'})
    ):
        assert call("create_segment", "k", {"event": "x"}, name="N").etag == '"1"'
        first, second = server.requests
        assert first.headers["Idempotency-Key"] == second.headers["Idempotency-Key"]
        assert json.loads(second.content)["name"] == "N"


def change(seq: int) -> dict[str, Any]:
    return {"seq": seq, "profile_id": f"p{seq}", "change": "entered", "at": AS_OF, "version": 1}


def test_pages() -> None:
    pages = [
        lambda: httpx.Response(200, json={"changes": [change(3), change(5)], "next": 5}),
        lambda: httpx.Response(200, json={"changes": [change(9)], "next": 9}),
        lambda: httpx.Response(200, json={"changes": [], "next": 9}),
    ]
    for server, call in both(*pages):
        assert [each.seq for each in call("changes", "k", 2)] == [3, 5, 9]
        assert [each.url.params["after"] for each in server.requests] == ["2", "5", "9"]


def frames(*seqs: int, broken: bool = False) -> httpx.Response:
    text = "".join(f"id: {seq}\ndata: {json.dumps(change(seq))}\n\n: still here\n\n" for seq in seqs)
    return httpx.Response(200, text=f"retry: 1000\n\n{text}" + ("id: 99\ndata: {" if broken else ""))


def test_a_stream_is_taken_up_where_it_was() -> None:
    answers = [
        lambda: frames(1, 2, broken=True),
        lambda: refusal(503, "unavailable"),
        lambda: httpx.ReadError("cut"),
        lambda: frames(3),
        lambda: refusal(404, "segment_not_found"),
    ]
    for server, call in both(*answers):
        seen = []
        with pytest.raises(ApiError, match="segment_not_found"):
            seen.extend(call("follow", "k"))
        assert [each.headers["Last-Event-ID"] for each in server.requests] == ["0", "2", "2", "2", "3"]


def test_the_client_that_waits_is_made_from_the_other() -> None:
    program = Path(audience_client.__file__).parents[1] / "unasync.py"
    done = subprocess.run([sys.executable, str(program), "--check"], capture_output=True, text=True, check=False)  # noqa: S603
    assert done.returncode == 0, done.stderr
