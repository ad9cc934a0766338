"""A server that stands still shows up as latency of everything that was due meanwhile, not of one request alone."""

import http.server
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import pytest

from load_tests.scenarios.driving import begin, locust
from load_tests.scenarios.plan import Phase, Scenario
from load_tests.scenarios.recording import Recording, quantile
from local.settings import ROOT

STANDS_STILL = (4.0, 7.0)
"""Seconds after the first request."""
SCENARIO = Scenario(
    "slow-server",
    "demo",
    events_per_s=40,
    requests_per_s=20,
    users=2,
    phases=(Phase(10, 1, 1),),
    batch=10,
    single_share=0.5,
)


class Slow(http.server.ThreadingHTTPServer):
    """Answers everything with an empty object, but while it stands still."""

    daemon_threads = True
    first_s: float | None = None

    def wait(self) -> None:
        now = time.monotonic()
        if self.first_s is None:
            self.first_s = now
        begin_s, end_s = STANDS_STILL
        if begin_s <= now - self.first_s < end_s:
            time.sleep(self.first_s + end_s - now)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.do_GET()

    def do_GET(self) -> None:
        assert isinstance(self.server, Slow)
        self.server.wait()
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        """A quiet test."""


@pytest.fixture
def address() -> Iterator[str]:
    server = Slow(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_server_that_stands_still_delays_all_that_is_due(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(ROOT / ".venv-load/bin/python"))
    plan = {
        "scenario": asdict(SCENARIO),
        "process": 0,
        "processes": 1,
        "ready": str(tmp_path / "ready-0"),
        "begin": str(tmp_path / "begin"),
        "skip_s": 0.0,
        "ingest": address,
        "segments": address,
        "write_key": "key",
        "token": "token",
        "seed": 1,
        "run": "slow",
        "rules": {"a": {"event": "Product Viewed"}},
        "out": str(tmp_path / "load-0.jsonl"),
    }
    with ExitStack() as stack:
        process = stack.enter_context(locust(plan, tmp_path))
        begin(tmp_path, [process])
        assert process.wait(90) == 0, (tmp_path / "locust.log").read_text()
    recording = Recording()
    recording.read(tmp_path / "load-0.jsonl")
    total = recording.total()
    assert not total.faults
    # Ten seconds of 20 single events, 2 batches and 20 questions a second, each sent whatever the server did.
    assert total.requests == pytest.approx(10 * (20 + 2 + 20), abs=6)
    assert total.events == pytest.approx(10 * 40, abs=40)
    assert total.selected > 0
    # Three seconds of ten it stood still: three in ten requests were late, evenly from 0 to 3 s. Behind a closed loop
    # it would have been one a connection.
    late = sum(count for bucket, count in total.buckets.items() if bucket > 0 and count) / total.requests
    assert late > 0.2
    assert 1_200 < (quantile(total.buckets, 0.85) or 0) < 3_200
    slow = sum(recording.total(seconds=[second]).requests for second in range(4, 7))
    assert slow >= 3 * 42 - 12
