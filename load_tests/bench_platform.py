"""The whole platform on one machine: a history over HTTP until every segment's size is right.

    python -m load_tests.bench_platform --runs 5 --threads taskmanager-1

Sends the sample's purchases again and again, each time as those of new customers, in batches of 100 over a few
connections; a customer's stay in order. A run ends when every size has grown by what plain SQL says, so a run with
figures is a run without a fault. Prints events a second end to end and CPU-seconds a million events by part, load
generator included. Needs the platform of `make up` with its sample.
"""

import argparse
import asyncio
import os
import secrets
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec
from rich.console import Console
from rich.table import Table

from load_tests.cpu import Used, between, look
from load_tests.cpu import table as cpu_table
from load_tests.figures import Figure, figure, shown, write
from local import services
from local.layout import Layout
from local.sample import history
from local.sample.api import SegmentApi
from local.sample.expected import ExpectedSizes
from local.sample.history import Purchase
from local.sample.segments import ORDER, SEGMENTS
from local.sample.sender import WRITE_KEY
from local.settings import ROOT, load
from local.status import MIB, memory_of
from local.supervision import daemon

BATCH: Final = 100
CONNECTIONS: Final = 4
LOOK_EVERY_S: Final = 0.2
GIVE_UP_S: Final = 600.0
GENERATOR: Final = "load generator"


class NotMeasured(Exception):
    """The platform refused, or its sizes did not become right."""


@dataclass(frozen=True, slots=True)
class Run:
    """One sending. CPU-seconds of each part while it lasted."""

    events: int
    sent_s: float
    took_s: float
    used: Used
    load_1m: float

    @property
    def events_per_s(self) -> float:
        return self.events / self.took_s


class Bench:
    """One platform and the history."""

    def __init__(self, purchases: Sequence[Purchase], threads: Sequence[str]) -> None:
        self._settings = load(os.environ)
        self._layout = Layout(ROOT, self._settings.data_folder)
        self._purchases = purchases
        self._threads = threads
        self._shift = history.shift_to(purchases, datetime.now(UTC).date() - timedelta(days=1))

    def run(self) -> Run:
        """Send it all as the purchases of new customers. Raises NotMeasured."""
        mark = secrets.token_hex(4)
        bodies = [list(_bodies(self._purchases, self._shift, mark, n)) for n in range(CONNECTIONS)]
        with (
            SegmentApi(services.url(self._settings, "segments_port")) as api,
            ExpectedSizes(self._purchases, self._shift) as truth,
        ):
            before = api.sizes(SEGMENTS)
            more = truth.at(time.time_ns() // 1_000_000, SEGMENTS)
            wanted = {key: size + more[key] for key, size in before.items()}
            first, own = look(self._layout, self._threads), time.process_time()
            began = time.monotonic()
            asyncio.run(self._send(bodies))
            sent_s = time.monotonic() - began
            while (sizes := api.sizes(SEGMENTS)) != wanted:
                if time.monotonic() - began > GIVE_UP_S:
                    raise NotMeasured(f"the sizes are {sizes}, and must be {wanted}")
                time.sleep(LOOK_EVERY_S)
            took_s = time.monotonic() - began
            used = between(first, look(self._layout, self._threads), took_s)
        parts = {**used.parts, GENERATOR: round(time.process_time() - own, 2)}
        used = Used(took_s, parts, used.threads)
        return Run(len(self._purchases), sent_s, took_s, used, os.getloadavg()[0])

    async def _send(self, bodies: Sequence[Sequence[bytes]]) -> None:
        address = services.url(self._settings, "ingest_port")
        headers = {"Content-Type": "application/json"}
        async with httpx.AsyncClient(base_url=address, auth=(WRITE_KEY, ""), timeout=60, trust_env=False) as client:

            async def connection(mine: Sequence[bytes]) -> None:
                for body in mine:
                    answer = await client.post("/v1/batch", content=body, headers=headers)
                    if answer.status_code != httpx.codes.OK:
                        raise NotMeasured(f"ingest-api answered {answer.status_code}: {answer.text}")

            await asyncio.gather(*map(connection, bodies))


def _bodies(purchases: Sequence[Purchase], shift: timedelta, mark: str, connection: int) -> Iterator[bytes]:
    """The batches of one connection: those of every customer whose number falls to it."""
    mine = [each for each in purchases if int(each.customer) % CONNECTIONS == connection]
    for start in range(0, len(mine), BATCH):
        yield msgspec.json.encode({"batch": [_call(each, shift, mark) for each in mine[start : start + BATCH]]})


def _call(purchase: Purchase, shift: timedelta, mark: str) -> dict[str, Any]:
    return {
        "type": "track",
        "userId": f"{mark}-{purchase.customer}",
        "messageId": f"{mark}-{purchase.line}",
        "event": ORDER,
        "timestamp": purchase.at(shift).isoformat(),
        "properties": {"total": purchase.cents / 100, "quantity": purchase.quantity, "currency": "USD"},
        "context": {"library": {"name": "analytics-python", "version": "2.4.0"}},
    }


def report(runs: Sequence[Run], console: Console) -> dict[str, float]:
    """Print the runs and their medians; gives the CPU-seconds a million events of each part."""
    table = Table("run", "sent at", "events/s end to end", "CPU-seconds a million events", "load")
    for number, run in enumerate(runs, 1):
        cpu = run.used.total / run.events * 1e6
        sent = f"{run.events / run.sent_s:,.0f}/s"
        table.add_row(str(number), sent, f"{run.events_per_s:,.0f}", f"{cpu:,.0f}", f"{run.load_1m:.1f}")
    console.print(table)
    names = runs[0].used.parts
    by_part = {
        name: round(statistics.median(run.used.parts.get(name, 0.0) / run.events * 1e6 for run in runs), 1)
        for name in names
    }
    shares = Table("part", "CPU-seconds a million events (median)")
    for name, seconds in sorted(by_part.items(), key=lambda each: -each[1]):
        shares.add_row(name, f"{seconds:,.0f}")
    console.print(shares)
    for name in runs[-1].used.threads:
        console.print(f"threads of {name}, in the last run:")
        console.print(cpu_table(Used(runs[-1].took_s, {name: runs[-1].used.parts[name]}, runs[-1].used.threads)))
    return by_part


def figures_of(runs: Sequence[Run], by_part: Mapping[str, float], memory_mib: float) -> list[Figure]:
    """The figures that have targets, and what an event costs each part."""
    return [
        figure("platform: events, lag not growing", [run.events_per_s for run in runs]),
        figure("platform: resident memory", [memory_mib]),
        *(
            shown(f"platform: processor, {name}", "s a million events", "lower", [each])
            for name, each in by_part.items()
        ),
    ]


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--events", type=int, default=0, help="the first so many purchases; 0: all 69,659")
    parser.add_argument("--threads", action="append", default=[], metavar="PART", help="show this part's threads")
    parser.add_argument("--json", type=Path, help="write the figures here")
    asked = parser.parse_args()
    purchases = history.read(Layout(ROOT, load(os.environ).data_folder).sample_file)
    bench = Bench(purchases[: asked.events or None], asked.threads)
    console = Console()
    began_s = time.monotonic()
    try:
        runs = [bench.run() for _ in range(asked.runs)]
    except (NotMeasured, httpx.HTTPError) as error:
        raise SystemExit(f"not measured: {error}. Does `make status` show a healthy platform?") from error
    by_part = report(runs, console)
    programs = daemon.connect(Layout(ROOT, load(os.environ).data_folder)).programs()
    memory_mib = sum(memory_of(each.pid) for each in programs.values() if each.pid) / MIB
    console.print(f"{memory_mib:,.0f} MiB resident afterwards")
    if asked.json:
        details = [asdict(run) for run in runs]
        seconds, told = time.monotonic() - began_s, figures_of(runs, by_part, memory_mib)
        write(asked.json, "platform", "make bench-platform", told, seconds=seconds, details=details)


if __name__ == "__main__":
    main()
