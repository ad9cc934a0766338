"""What time decides, with many timers pending: `python -m load_tests.job.timers`, on the platform of `make up`.

Saves a segment ``an event within 60 s`` and writes one event for each of so many new profiles into the topic `events`,
evenly over `--over` seconds; every membership ends by a timer of its own. An exit is late by the time in Kafka of its
record on `memberships`, less the instant at which the event leaves the window. Meanwhile, with events flowing, more
segments are saved one by one, and a canary's event is sent every 50 ms: a segment is live from the first such event
that entered. Prints both spreads, and writes them with --json.
"""

import argparse
import asyncio
import json
import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import httpx
from rich.console import Console
from rich.table import Table

from audience.adapters.kafka.consumer import BatchConsumer, open_consumer
from audience.adapters.kafka.producer import KafkaEventLog, open_event_log
from audience.ports.event_log import LogRecord
from audience.wire.topics import EVENTS, MEMBERSHIPS, EventRecord, decode_membership_change, encode, key_of
from load_tests.latency import Spread
from local import services
from local.sample.api import TOKEN
from local.settings import load

WINDOW_S: Final = 60
STEP_MS: Final = 1_000
CHUNK_S: Final = 0.1
CANARY_EVERY_S: Final = 0.05
BETWEEN_SEGMENTS_S: Final = 3.0
MARGIN_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Figures:
    """Milliseconds. `left` of `profiles` memberships ended while it was watched."""

    profiles: int
    left: int
    late: Spread
    live: Spread
    load_1m: float


class Run:
    """One run: its segments begin with a mark of its own."""

    def __init__(self, log: KafkaEventLog, changes: BatchConsumer, api: httpx.AsyncClient) -> None:
        self._log = log
        self._changes = changes
        self._api = api
        self._mark = f"timers-{secrets.token_hex(4)}"
        self._sent_ms: dict[str, int] = {}
        self._entered: set[str] = set()
        self._late_s: list[float] = []
        self._saved_ms: dict[str, int] = {}
        self._first_ms: dict[str, int] = {}
        self._flowing = True

    async def measure(self, profiles: int, over_s: float, segments: int) -> Figures:
        """All of it. Raises AssertionError where the API refuses."""
        await self._save(self._mark, {"event": self._mark, "within": f"{WINDOW_S}s"})
        await asyncio.sleep(BETWEEN_SEGMENTS_S)
        watching = asyncio.create_task(self._watch(profiles))
        canary = asyncio.create_task(self._canary())
        saving = asyncio.create_task(self._save_more(segments))
        await self._send(profiles, over_s)
        await saving
        self._flowing = False
        await canary
        try:
            async with asyncio.timeout(WINDOW_S + over_s + MARGIN_S):
                await watching
        except TimeoutError:
            watching.cancel()
        live = [(self._first_ms[key] - self._saved_ms[key]) / 1000 for key in self._saved_ms if key in self._first_ms]
        for key in (self._mark, *self._saved_ms):
            await self._api.delete(f"/v1/segments/{key}")
        return Figures(profiles, len(self._late_s), Spread.of(self._late_s), Spread.of(live), os.getloadavg()[0])

    async def _send(self, profiles: int, over_s: float) -> None:
        began, sent = time.monotonic(), 0
        while sent < profiles:
            due = min(profiles, int(profiles * (time.monotonic() - began) / over_s) + 1)
            ids = [f"{self._mark}-{number}" for number in range(sent, due)]
            await self._log.append([self._event(each, self._mark) for each in ids])
            sent = due
            await asyncio.sleep(CHUNK_S)

    async def _canary(self) -> None:
        """Events that every later segment asks for, each of a profile of its own."""
        number = 0
        while self._flowing:
            await self._log.append([self._event(f"{self._mark}-c{number}", f"{self._mark}-canary")])
            number += 1
            await asyncio.sleep(CANARY_EVERY_S)

    async def _save_more(self, segments: int) -> None:
        for number in range(segments):
            key = f"{self._mark}-{number}"
            self._saved_ms[key] = time.time_ns() // 1_000_000
            await self._save(key, {"event": f"{self._mark}-canary", "is": {"gte": 1}})
            await asyncio.sleep(BETWEEN_SEGMENTS_S)

    async def _save(self, key: str, rule: Mapping[str, Any]) -> None:
        answer = await self._api.post("/v1/segments", json={"key": key, "rule": rule, "status": "live"})
        assert answer.status_code == httpx.codes.CREATED, answer.text  # noqa: S101  nothing can be measured without it

    async def _watch(self, profiles: int) -> None:
        while len(self._late_s) < profiles:
            for record in await self._changes.poll(5_000, 0.2):
                change = decode_membership_change(record.value or b"")
                sent_ms = self._sent_ms.get(change.profile_id)
                if sent_ms is None:
                    continue
                if change.segment == self._mark and change.change == "exited":
                    due_ms = (sent_ms // STEP_MS + 1) * STEP_MS + WINDOW_S * 1000
                    self._late_s.append((record.timestamp_ms - due_ms) / 1000)
                elif change.segment in self._saved_ms:
                    known = self._first_ms.get(change.segment, sent_ms)
                    self._first_ms[change.segment] = min(known, sent_ms)

    def _event(self, profile_id: str, name: str) -> LogRecord:
        now_ms = time.time_ns() // 1_000_000
        self._sent_ms[profile_id] = now_ms
        record = EventRecord(
            workspace="demo", source="demo", profile_id=profile_id, message_id=profile_id, type="track",
            time_ms=now_ms, received_ms=now_ms, name=name, user_id=profile_id,
        )  # fmt: skip
        return LogRecord(EVENTS, key_of("demo", profile_id), encode(record))


async def measure(profiles: int, over_s: float, segments: int) -> Figures:
    """On the platform of this environment."""
    settings = load(os.environ)
    bootstrap = f"127.0.0.1:{settings.port('kafka_port')}"
    address, headers = services.url(settings, "segments_port"), {"Authorization": f"Bearer {TOKEN}"}
    group = f"timers-{secrets.token_hex(4)}"
    async with (
        open_event_log(bootstrap, "timers", timeout_s=30.0) as log,
        open_consumer(bootstrap, group, (MEMBERSHIPS,)) as changes,
        httpx.AsyncClient(base_url=address, headers=headers, timeout=30, trust_env=False) as api,
    ):
        return await Run(log, changes, api).measure(profiles, over_s, segments)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profiles", type=int, default=100_000, help="timers that pend")
    parser.add_argument("--over", type=float, default=40.0, help="seconds that their events are sent over")
    parser.add_argument("--segments", type=int, default=8, help="saved meanwhile")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    figures = asyncio.run(measure(asked.profiles, asked.over, asked.segments))
    table = Table("milliseconds", *asdict(figures.late))
    table.add_row("due time to exit", *map(str, asdict(figures.late).values()))
    table.add_row("saved to live", *map(str, asdict(figures.live).values()))
    Console().print(table)
    Console().print(f"{figures.left:,} of {figures.profiles:,} left by their timers; load {figures.load_1m:.1f}")
    if asked.json:
        asked.json.parent.mkdir(parents=True, exist_ok=True)
        asked.json.write_text(json.dumps(asdict(figures), indent=2) + "\n")


if __name__ == "__main__":
    main()
