"""Sending the history with the real SDK to a small server: nothing lost, nothing silent; and waiting for its effect."""

import json
import threading
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from local.sample import plan, sender
from local.sample.history import Purchase
from local.sample.settle import STILL_FOR_S, Settled, settle

PURCHASES = [Purchase(n, f"{n % 97:05}", date(1997, 1, 1), 2, 1177) for n in range(1, 9_001)]
SHIFT = timedelta(days=10_000)


class Ingest(ThreadingHTTPServer):
    """Takes batches; `refuse` is asked first and gives a status and headers to answer with instead."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.events: list[dict[str, Any]] = []
        self.refusals: list[tuple[int, dict[str, str]]] = []
        self.lock = threading.Lock()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Ingest

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with self.server.lock:
            status, headers = self.server.refusals.pop() if self.server.refusals else (200, {})
            if status == 200:
                self.server.events += json.loads(body)["batch"]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        answer = b'{"success": true}' if status == 200 else b'{"code": "no", "message": "not this one"}'
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def ingest() -> Iterator[Ingest]:
    with Ingest() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def send(ingest: Ingest) -> list[int]:
    chunks: list[int] = []
    this = sender.Sender(ingest.address)
    try:
        this.send(PURCHASES, SHIFT, chunks.append)
    finally:
        this.close()
    return chunks


def test_every_purchase_arrives_once_and_as_it_is(ingest: Ingest) -> None:
    assert sum(send(ingest)) == len(PURCHASES)
    assert sorted(each["messageId"] for each in ingest.events) == sorted(each.message_id for each in PURCHASES)
    one = next(each for each in ingest.events if each["messageId"] == "cdnow-1")
    assert one["event"] == "Order Completed"
    assert one["userId"] == "cdnow-00001"
    assert one["properties"] == {"total": 11.77, "quantity": 2, "currency": "USD"}
    assert one["timestamp"] == "2024-05-19T12:00:00.000+00:00"


def test_a_busy_server_is_waited_for(ingest: Ingest) -> None:
    ingest.refusals += [(503, {"Retry-After": "1"}), (503, {"Retry-After": "1"})]
    send(ingest)
    assert len({each["messageId"] for each in ingest.events}) == len(PURCHASES)


def test_a_refusal_ends_the_sending(ingest: Ingest) -> None:
    ingest.refusals += [(400, {})]
    with pytest.raises(sender.NotSent, match="not this one"):
        send(ingest)


def test_a_plan_is_kept_whole(tmp_path: Path) -> None:
    file = tmp_path / "sample.json"
    assert plan.load(file) is None
    plan.save(file, plan.Plan(shift_days=3, sent=4000))
    assert plan.load(file) == plan.Plan(shift_days=3, sent=4000, complete=False)
    file.write_text("{")
    with pytest.raises(plan.BrokenPlan, match="make reset"):
        plan.load(file)


class Platform:
    """Sizes and lag over time; the clock moves with each sleep."""

    def __init__(self, *looks: tuple[Mapping[str, int], int | None]) -> None:
        self.looks = list(looks)
        self.now = 0.0

    def look(self) -> tuple[Mapping[str, int], int | None]:
        return self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]

    def settle(self) -> Settled:
        current: list[Any] = [None]

        def sizes() -> Mapping[str, int]:
            current[0] = self.look()
            return current[0][0]

        def sleep(seconds: float) -> None:
            self.now += seconds

        return settle(sizes, lambda: {"a": 2}, lambda: current[0][1], lambda *_: None, lambda: self.now, sleep)


def test_it_waits_for_the_sizes_and_for_the_consumers() -> None:
    platform = Platform(({"a": 0}, None), ({"a": 1}, 70), ({"a": 2}, 5), ({"a": 2}, None), ({"a": 2}, 0))
    settled = platform.settle()
    assert settled.equal
    assert settled.right_at_s == pytest.approx(0.6)
    assert platform.now == pytest.approx(1.2)


def test_sizes_that_were_right_for_a_moment_do_not_count() -> None:
    settled = Platform(({"a": 2}, 9), ({"a": 3}, 5), ({"a": 2}, 1), ({"a": 2}, 0)).settle()
    assert settled.right_at_s == pytest.approx(0.6)


def test_a_size_that_stays_wrong_ends_the_wait() -> None:
    platform = Platform(({"a": 1}, 5), ({"a": 3}, 0))
    settled = platform.settle()
    assert not settled.equal
    assert settled.right_at_s is None
    assert STILL_FOR_S < platform.now < STILL_FOR_S + 2
