"""Two processes of ingest-api on one port: one is killed, and nothing that was acknowledged is lost or uncounted."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from tests.integration.ingest.topics import Platform, Topics
from tests.integration.local.running import wait_until

pytestmark = pytest.mark.platform

SENDERS = 4
BATCH = 10


@dataclass(frozen=True, slots=True)
class Two:
    """The service and its processes."""

    url: str
    parent: psutil.Process

    def workers(self) -> list[psutil.Process]:
        return [child for child in self.parent.children() if _serves(child)]

    def answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    def accepted(self) -> float:
        text = httpx.get(f"{self.url}/metrics", timeout=5).text
        lines = [line for line in text.splitlines() if line.startswith("ingest_events_accepted_total{")]
        return sum(float(line.rpartition(" ")[2]) for line in lines)


def _serves(child: psutil.Process) -> bool:
    try:
        return "spawn_main" in " ".join(child.cmdline())
    except psutil.Error:
        return False  # killed, and not yet waited for


@pytest.fixture
def two(platform: Platform, tmp_path: Path) -> Iterator[Two]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "AUDIENCE_KAFKA_BOOTSTRAP_SERVERS": platform.kafka_bootstrap,
        "AUDIENCE_POSTGRES_DSN": platform.postgres_dsn,
        "AUDIENCE_PORT": str(port),
        "AUDIENCE_INGEST_SPOOL": str(tmp_path / "spool"),
        "AUDIENCE_INGEST_PROCESSES": "2",
    }
    process = subprocess.Popen([sys.executable, "-m", "services.ingest"], env=environment)
    found = Two(f"http://127.0.0.1:{port}", psutil.Process(process.pid))
    try:
        wait_until("two processes answer", lambda: found.answers() and len(found.workers()) == 2)
        yield found
    finally:
        process.terminate()
        process.wait(60)


def test_one_of_two_is_killed_under_load(platform: Platform, two: Two) -> None:
    topics, user = Topics(platform.kafka_bootstrap), f"two-{secrets.token_hex(6)}"
    acknowledged: set[str] = set()
    stopping = threading.Event()

    def send(sender: int) -> None:
        number = 0
        while not stopping.is_set():
            ids = [f"{user}-{sender}-{number}-{index}" for index in range(BATCH)]
            batch = [{"type": "track", "userId": user, "event": "E", "messageId": each} for each in ids]
            try:
                # A connection each, so that both processes have their part.
                answer = httpx.post(
                    f"{two.url}/v1/batch", json={"batch": batch}, auth=(platform.write_key, ""), timeout=20
                )
            except httpx.TransportError:
                continue  # the same batch again, as SDKs do
            if answer.status_code == 200:
                acknowledged.update(ids)
                number += 1

    senders = [threading.Thread(target=send, args=(sender,)) for sender in range(SENDERS)]
    for each in senders:
        each.start()
    try:
        for _ in range(2):
            time.sleep(1)
            before = two.workers()
            before[0].send_signal(signal.SIGKILL)
            wait_until("it is replaced", lambda: len(two.workers()) == 2 and two.workers() != before)  # noqa: B023
        time.sleep(1)
    finally:
        stopping.set()
        for each in senders:
            each.join()
    there = {event.message_id for event in topics.events_of(user)}
    assert len(acknowledged) > 10 * BATCH
    assert acknowledged <= there
    assert two.accepted() >= len(acknowledged)  # those of the killed count too


def test_they_end_with_the_one_that_started_them(two: Two) -> None:
    workers = two.workers()
    two.parent.kill()
    _, alive = psutil.wait_procs(workers, timeout=30)
    assert not alive
