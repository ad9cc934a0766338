"""Backfill of a new segment: from the moment it is saved until every profile has its history, beside the platform.

    AUDIENCE_BACKFILL_PROFILES_PER_S=20000 AUDIENCE_BACKFILL_EVENTS_PER_S=200000 make up
    python -m load_tests.bench_backfill --report load_tests/reports/backfill

Fills the topic of events with so many orders of so many profiles, lets the job and the archive take them in, saves a
segment that asks for all of them, and follows its backfill. The members must be those that are counted here. How fast
is sent is bounded by the archive's two settings, so give it more than it can do. Needs the platform of `make up`, and
leaves the profiles behind.
"""

import argparse
import asyncio
import os
import random
import secrets
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

from audience.adapters.kafka.producer import open_event_log
from audience.ports.event_log import LogRecord
from audience.wire.topics import EVENTS, EventRecord, encode, key_of
from load_tests import figures
from load_tests.memory import peaks
from load_tests.own_platform import HOST
from local import lag
from local.layout import Layout
from local.settings import ROOT, load
from local.supervision import daemon

WORKSPACE: Final = "demo"
PARTS: Final = frozenset(("archive", "segment-api"))
"""What takes part, beside the TaskManagers."""
_CHUNK: Final = 20_000
BOUND: Final = 1_000.0
"""What somebody has spent who is a member."""
DAYS: Final = 30
DAY_MS: Final = 86_400_000


@dataclass(slots=True)
class Orders:
    """The orders of a run, in the order of their times, and what each profile has spent in cents."""

    mark: str
    events: int
    profiles: int
    spent: Counter[int] = field(default_factory=Counter)

    def records(self) -> Iterator[LogRecord]:
        """For the topic of events."""
        chance = random.Random(20_261_121)
        end_ms = time.time_ns() // 1_000_000
        for number in range(self.events):
            profile, cents = number % self.profiles, chance.randrange(100, 20_000)
            self.spent[profile] += cents
            at_ms = end_ms - (self.events - number) * DAYS * DAY_MS // self.events
            profile_id = f"{self.mark}-{profile}"
            record = EventRecord(
                workspace=WORKSPACE, source="bench", profile_id=profile_id, message_id=f"{self.mark}-{number:08x}",
                type="track", name=f"Order {self.mark}", time_ms=at_ms, received_ms=at_ms, user_id=profile_id,
                properties={"order_id": f"o{number}", "total": cents / 100, "currency": "EUR", "category": "Shoes"},
                context={"library": {"name": "analytics.js", "version": "2.1.0"}, "locale": "en-GB"},
            )  # fmt: skip
            yield LogRecord(EVENTS, key_of(WORKSPACE, profile_id), encode(record))

    @property
    def members(self) -> int:
        return sum(cents >= 100 * BOUND for cents in self.spent.values())


async def fill(bootstrap: str, orders: Orders) -> None:
    """Put the orders into the log."""
    async with open_event_log(bootstrap, "bench-backfill", timeout_s=60.0) as log:
        some: list[LogRecord] = []
        for record in orders.records():
            some.append(record)
            if len(some) == _CHUNK:
                await log.append(some)
                some = []
        await log.append(some)


def settle(bootstrap: str, within_s: float) -> None:
    """Wait until every consumer has read all there is."""
    until_s = time.monotonic() + within_s
    while lag.total(bootstrap) != 0:
        if time.monotonic() > until_s:
            raise SystemExit(f"consumers are behind: {lag.by_group(bootstrap)}")
        time.sleep(1)


def backfill(api: httpx.Client, orders: Orders) -> tuple[float, dict[str, float]]:
    """Seconds from saving until it is done, and those of each phase. Ends the run where the members are wrong."""
    path = f"/v1/segments/bench-{orders.mark}"
    rule = {"event": f"Order {orders.mark}", "within": "365d", "measure": {"sum": "total"}, "is": {"gte": BOUND}}
    began_s = time.monotonic()
    saved = api.post("/v1/segments", json={"key": f"bench-{orders.mark}", "rule": rule, "status": "live"})
    saved.raise_for_status()
    phases: dict[str, float] = {}
    last_s = began_s
    while (found := _answer(api, f"{path}/backfill"))["state"] != "done":
        time.sleep(0.1)
        now_s = time.monotonic()
        phase = found["phase"] or found["state"]
        phases[phase] = phases.get(phase, 0.0) + now_s - last_s
        last_s = now_s
    took_s = time.monotonic() - began_s
    until_s = time.monotonic() + 30
    while (size := _answer(api, f"{path}/size")["size"]) != orders.members:
        if time.monotonic() > until_s:
            raise SystemExit(f"{size} members, {orders.members} have spent {BOUND:g}")
        time.sleep(0.5)
    api.delete(path).raise_for_status()
    return took_s, {name: round(seconds, 1) for name, seconds in phases.items()}


def _answer(api: httpx.Client, path: str) -> Any:
    return api.get(path).raise_for_status().json()


def main() -> int:
    """Measure, print, write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    settings = load(os.environ)
    parser.add_argument("--bootstrap", default=f"{HOST}:{settings.port('kafka_port')}")
    parser.add_argument("--url", default=f"http://{HOST}:{settings.port('segments_port')}")
    parser.add_argument("--token", default="demo-api-token")
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--profiles", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--report", type=Path, help="also write the results to this path with .json")
    args = parser.parse_args()
    orders = Orders(secrets.token_hex(3), args.events, args.profiles)
    api = httpx.Client(base_url=args.url, headers={"Authorization": f"Bearer {args.token}"}, timeout=30)
    programs = daemon.connect(Layout(ROOT, settings.data_folder)).programs()
    parts = {name: program.pid for name, program in programs.items() if name in PARTS or name.startswith("taskmanager")}
    began_s = time.monotonic()
    asyncio.run(fill(args.bootstrap, orders))
    print(f"{args.events:,} events of {args.profiles:,} profiles are in the log", flush=True)
    settle(args.bootstrap, 1_200)
    print(f"and taken in, {time.monotonic() - began_s:.0f} s after the first", flush=True)
    runs = []
    with peaks(parts) as peak_mib:
        for _ in range(args.runs):
            took_s, phases = backfill(api, orders)
            runs.append(took_s)
            print(f"backfill: {took_s:.1f} s ({', '.join(f'{name} {s:g}' for name, s in phases.items())})", flush=True)
    print(f"peak MiB: {', '.join(f'{name} {mib:g}' for name, mib in peak_mib.items())}")
    name = "history: backfill of 1 million events"
    found = figures.figure(name, runs) if args.events == 1_000_000 else figures.shown(name, "s", "lower", runs)
    if args.report:
        figures.write(
            args.report.with_suffix(".json"),
            "backfill",
            "make bench-backfill",
            [found],
            seconds=time.monotonic() - began_s,
            details={"events": args.events, "profiles": args.profiles, "members": orders.members, "peak_mib": peak_mib},
        )
    print(f"{name}: {found.value:.1f} s, load {os.getloadavg()[0]:.1f}")
    return int(found.verdict == "missed")


if __name__ == "__main__":
    sys.exit(main())
