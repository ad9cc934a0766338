"""kill -9 of the archive under load: bronze holds every record of the topic once, and silver every event once.

The archive that is killed is one of its own, with a lake of its own, beside the platform's. AUDIENCE_ARCHIVE_KILLS says
how often (50).
"""

import asyncio
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from audience.adapters.kafka.producer import open_event_log
from audience.adapters.kafka.reader import begin_of, end_of
from audience.adapters.lake.duck import Bounds, open_duck
from audience.adapters.lake.silver import Refining
from audience.adapters.lake.tables import BRONZE, SILVER, LakeLocation
from audience.ports.event_log import LogRecord
from audience.wire.topics import EVENTS, EventRecord, encode, key_of
from local.settings import ROOT, load
from tests.integration.local.running import LocalPlatform, platform_in, stopped_afterwards, wait_until

KILLS = int(os.environ.get("AUDIENCE_ARCHIVE_KILLS", "50"))
EVENTS_PER_S = 500
BATCH = 50
LET_IT_WORK_S = (0.0, 1.0)
BOUNDS = Bounds(memory_mb=512, threads=1)


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPlatform]:
    if os.environ.get("AUDIENCE_TEST_PLATFORM"):
        yield LocalPlatform(load(os.environ))
        return
    with stopped_afterwards(platform_in(tmp_path_factory.mktemp("archive"))) as started:
        started.up()
        yield started


class Killed:
    """The archive, started again each time it has been killed."""

    def __init__(self, platform: LocalPlatform, lake: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self._environment = {
            "PATH": os.defpath,
            "LAKE_URL": str(lake),
            "AUDIENCE_PORT": str(port),
            "AUDIENCE_KAFKA_BOOTSTRAP_SERVERS": platform.kafka_bootstrap,
            "AUDIENCE_POSTGRES_DSN": platform.postgres_dsn,
            "AUDIENCE_ARCHIVE_EVERY_S": "0.05",  # it commits nearly all the time
            "AUDIENCE_REFINE_EVERY_S": "1",
            "AUDIENCE_COMPACT_EVERY_S": "3",
        }
        self.process = self._start()

    def _start(self) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "services.archive"]
        return subprocess.Popen(command, env=self._environment, cwd=ROOT, stdout=subprocess.DEVNULL)  # noqa: S603

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process = self._start()

    def end(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@contextmanager
def killed(platform: LocalPlatform, lake: Path) -> Iterator[Killed]:
    archive = Killed(platform, lake)
    try:
        yield archive
    finally:
        archive.end()


async def load_the_topic(bootstrap: str, run: str, stop: asyncio.Event) -> int:
    """Events until told to stop, one in ten twice; gives how many there are."""
    number = 0
    async with open_event_log(bootstrap, "load", topics=(EVENTS,)) as log:
        while not stop.is_set():
            began_s = time.monotonic()
            now_ms = time.time_ns() // 1_000_000
            records = []
            for _ in range(BATCH):
                profile = f"{run}-{number % 97}"
                event = EventRecord(
                    workspace="demo", source="load", profile_id=profile, message_id=f"{run}-{number}", type="track",
                    name="Loaded", time_ms=now_ms, received_ms=now_ms, properties={"n": number},
                )  # fmt: skip
                record = LogRecord(EVENTS, key_of("demo", profile), encode(event))
                records += [record, record] if number % 10 == 0 else [record]
                number += 1
            await log.append(records)
            await asyncio.sleep(max(0.0, began_s + BATCH / EVENTS_PER_S - time.monotonic()))
    return number


def versions(lake: LakeLocation) -> int:
    table = lake.open(BRONZE)
    return -1 if table is None else table.version()


async def test_the_archive_is_killed_at_any_moment(platform: LocalPlatform, tmp_path: Path) -> None:
    chance = random.Random(8)  # noqa: S311  the same harm each time
    run, lake = f"run-{time.time_ns()}", LakeLocation(str(tmp_path / "lake"))
    stop = asyncio.Event()
    loading = asyncio.create_task(load_the_topic(platform.kafka_bootstrap, run, stop))

    def harm() -> int:
        at = -1
        with killed(platform, tmp_path / "lake") as archive:
            for _ in range(KILLS):
                wait_until("the archive commits", lambda before=at: versions(lake) > before)  # type: ignore[misc]
                time.sleep(chance.uniform(*LET_IT_WORK_S))
                at = versions(lake)
                archive.kill()
            asyncio.run_coroutine_threadsafe(_finish(stop, loading), loop).result()
            end = end_of(platform.kafka_bootstrap, EVENTS)
            wait_until("all is archived", lambda: _archived(lake, end), within_s=300)
        return sum(end.values()) - sum(begin_of(platform.kafka_bootstrap, EVENTS).values())

    loop = asyncio.get_running_loop()
    records = await asyncio.to_thread(harm)
    sent = await loading
    with open_duck(lake, BOUNDS) as duck:
        refining = Refining(lake, duck)
        while any(refining.step(1 << 30)):
            pass
        duck.refresh()
        [bronze] = duck.arrow(
            f"""SELECT count(*) AS records, count(DISTINCT ("partition", "offset")) AS places
            FROM {duck.source(BRONZE)}"""
        ).to_pylist()
        [silver] = duck.arrow(
            f"""SELECT count(*) AS events, count(DISTINCT message_id) AS messages FROM {duck.source(SILVER)}
            WHERE profile_id LIKE '{run}%'"""
        ).to_pylist()
    print(f"{KILLS} kills, {sent} events of this run, {records} records in the topic: {bronze}, {silver}")
    assert bronze == {"records": records, "places": records}
    assert silver == {"events": sent, "messages": sent}


async def _finish(stop: asyncio.Event, loading: "asyncio.Task[int]") -> None:
    stop.set()
    await loading


def _archived(lake: LakeLocation, end: Mapping[int, int]) -> bool:
    table = lake.open(BRONZE)
    places = {} if table is None else {each: table.transaction_version(f"events-{each}") or 0 for each in end}
    return all(places.get(partition, 0) >= offset for partition, offset in end.items())
