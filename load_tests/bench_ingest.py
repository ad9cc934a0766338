"""ingest-api under load: batches and single calls, `acks=all`, on a Kafka and a PostgreSQL of its own.

    python -m load_tests.bench_ingest --runs 5

Starts one process of ingest-api, with a spool as it should have, sends it events over loopback from this process, and
then reads the topic: every acknowledged event must be there exactly once, or the run has no figures. With `--beside`
all this on the platform of `make up`, whose job and archive then take their share of the processor.
Prints the runs, their medians and ranges, and with --report writes them as Markdown and JSON.
"""

import argparse
import asyncio
import base64
import contextlib
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import msgspec
import uvloop

from audience.adapters.kafka.reader import end_of, read_between
from audience.wire.topics import EVENTS
from load_tests.figures import Figure, figure, shown, write
from load_tests.own_platform import HOST, add_stores, stores
from load_tests.raw_http import Answers, drive
from local.start import interruptible

READY_S = 60
_NUMBER = b"%09d"
_MARK = b"#########"


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of request. `events` is 1 for single calls."""

    name: str
    path: str
    events: int
    connections: int


SCENARIOS = {
    "batch": Scenario("batches of 100", "/v1/batch", 100, 16),
    "single": Scenario("single calls", "/v1/track", 1, 64),
}
FLOORS = {"batches of 100": 30_000, "single calls": 2_500}
"""Events a second that one process must take; the targets are 60,000 and 4,500."""


@dataclass(frozen=True, slots=True)
class Result:
    """One run. Seconds of the processor are ingest-api's own, over the run."""

    scenario: str
    events_per_s: float
    requests_per_s: float
    p50_ms: float
    p99_ms: float
    acknowledged: int
    doubled: int
    missing: int
    not_200: int
    cpu_us_per_event: float
    rss_mib: float


class _Id(msgspec.Struct):
    message_id: str


class Template:
    """The bytes of one connection's requests, alike but for the number within each event's messageId."""

    def __init__(self, scenario: Scenario, write_key: str, run: str, connection: int, seed: int) -> None:
        rng = random.Random(seed * 1000 + connection)
        prefix = f"{run}-{connection}"
        events = [_event(rng, f"{prefix}-{_MARK.decode()}-{index}") for index in range(scenario.events)]
        body = json.dumps({"batch": events, "sentAt": _SENT_AT} if scenario.events > 1 else events[0]).encode()
        head = (
            f"POST {scenario.path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n"
            f"Authorization: Basic {base64.b64encode(f'{write_key}:'.encode()).decode()}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        ).encode()
        self.prefix = prefix
        self.size_bytes = len(body)
        self._request = bytearray(head + body)
        self._places = list(_find_all(self._request, _MARK))

    def request(self, number: int) -> bytearray:
        digits = _NUMBER % number
        for place in self._places:
            self._request[place : place + len(digits)] = digits
        return self._request  # written whole before it is answered, so the next may overwrite it


_SENT_AT = "2026-01-01T00:00:01.000Z"


def _event(rng: random.Random, message_id: str) -> dict[str, object]:
    """An event as a shop sends it, about 450 bytes."""
    return {
        "type": "track",
        "event": rng.choice(("Product Viewed", "Product Added", "Order Completed")),
        "userId": f"customer-{rng.randrange(100_000)}",
        "messageId": message_id,
        "timestamp": f"2026-01-01T00:00:00.{rng.randrange(1000):03d}Z",
        "properties": {
            "total": round(rng.uniform(1, 500), 2),
            "currency": "EUR",
            "coupon": None,
            "products": [{"sku": f"sku-{rng.randrange(5000)}", "price": round(rng.uniform(1, 99), 2), "quantity": 2}],
        },
        "context": {"library": {"name": "analytics-python", "version": "2.4.0"}, "locale": "de-DE"},
        "integrations": {},
    }


def _find_all(haystack: bytes | bytearray, needle: bytes) -> Iterator[int]:
    at = haystack.find(needle)
    while at >= 0:
        yield at
        at = haystack.find(needle, at + len(needle))


async def _load(port: int, seconds: float, templates: list[Template]) -> tuple[list[Answers], list[set[int]]]:
    until_s = time.perf_counter() + seconds
    acknowledged: list[set[int]] = [set() for _ in templates]
    answers = await asyncio.gather(
        *(
            drive(HOST, port, until_s, template.request, numbers.add)
            for template, numbers in zip(templates, acknowledged, strict=True)
        )
    )
    return answers, acknowledged


def run_scenario(scenario: Scenario, args: argparse.Namespace, port: int, pid: int, turn: int) -> Result:
    """One measured run, with its check of the topic."""
    run = f"{os.getpid():x}{turn:x}{scenario.events:x}"
    templates = [Template(scenario, args.write_key, f"w{run}", each, turn) for each in range(scenario.connections)]
    uvloop.run(_load(port, args.warmup, templates))
    templates = [Template(scenario, args.write_key, run, each, turn) for each in range(scenario.connections)]
    start, cpu_s = end_of(args.bootstrap, EVENTS), cpu_s_of(pid)
    started_s = time.perf_counter()
    answers, acknowledged = uvloop.run(_load(port, args.seconds, templates))
    took_s, cpu_s = time.perf_counter() - started_s, cpu_s_of(pid) - cpu_s
    rss_mib = rss_mib_of(pid)
    seen = count(args.bootstrap, start, run)
    wanted = {
        f"{template.prefix}-{number:09d}-{index}"
        for template, numbers in zip(templates, acknowledged, strict=True)
        for number in numbers
        for index in range(scenario.events)
    }
    seconds = sorted(each for answer in answers for each in answer.seconds)
    return Result(
        scenario=scenario.name,
        events_per_s=round(len(wanted) / took_s),
        requests_per_s=round(len(seconds) / took_s),
        p50_ms=round(seconds[len(seconds) // 2] * 1000, 1),
        p99_ms=round(seconds[int(len(seconds) * 0.99)] * 1000, 1),
        acknowledged=len(wanted),
        doubled=sum(count > 1 for count in seen.values()),
        missing=len(wanted - seen.keys()),
        not_200=sum(count for answer in answers for status, count in answer.statuses.items() if status != 200),
        cpu_us_per_event=round(cpu_s / max(1, len(wanted)) * 1e6, 1),
        rss_mib=rss_mib,
    )


def count(bootstrap: str, start: Mapping[int, int], run: str) -> Counter[str]:
    """How often each messageId of this run stands in the topic behind the mark."""
    decode = msgspec.json.Decoder(_Id).decode
    ids = (
        decode(record.value or b"").message_id
        for record in read_between(bootstrap, EVENTS, start, end_of(bootstrap, EVENTS))
    )
    return Counter(each for each in ids if each.startswith(f"{run}-"))


def cpu_s_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_mib_of(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return round(next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024, 1)


@contextlib.contextmanager
def ingest_process(args: argparse.Namespace, **settings: str) -> Iterator[tuple[int, int]]:
    """ingest-api as a process of its own, with these variables; gives its port and its id."""
    with tempfile.TemporaryDirectory(prefix="bench-spool-") as spool, _started(args, spool, settings) as started:
        yield started


@contextlib.contextmanager
def _started(args: argparse.Namespace, spool: str, settings: Mapping[str, str]) -> Iterator[tuple[int, int]]:
    with socket.create_server((HOST, 0)) as free:
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "AUDIENCE_KAFKA_BOOTSTRAP_SERVERS": args.bootstrap,
        "AUDIENCE_POSTGRES_DSN": args.postgres_dsn,
        "AUDIENCE_PORT": str(port),
        "AUDIENCE_HOST": HOST,
        "AUDIENCE_INGEST_SPOOL": str(spool),
        **settings,
    }
    process = subprocess.Popen([sys.executable, "-m", "services.ingest"], env=environment, stdout=sys.stderr)
    try:
        wait_until_ready(port, process)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait(60)


def wait_until_ready(port: int, process: "subprocess.Popen[bytes]") -> None:
    """Return when the service on `port` is ready; end the program where it does not become so."""
    deadline_s = time.monotonic() + READY_S
    while time.monotonic() < deadline_s and process.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://{HOST}:{port}/readyz", timeout=3):
            return
        time.sleep(0.2)
    sys.exit("the service did not become ready; its log says why")


def table(results: list[Result]) -> str:
    """The results, one line a run."""
    lines = [f"{'':18}{'events/s':>10}{'req/s':>8}{'p50 ms':>8}{'p99 ms':>8}{'CPU us/event':>14}{'RSS MiB':>9}  check"]
    for each in results:
        check = "once each" if not each.missing + each.doubled else f"{each.missing} missing, {each.doubled} doubled"
        lines.append(
            f"{each.scenario:18}{each.events_per_s:>10,.0f}{each.requests_per_s:>8,.0f}{each.p50_ms:>8}{each.p99_ms:>8}"
            f"{each.cpu_us_per_event:>14}{each.rss_mib:>9}  {check}, {each.not_200} not 200"
        )
    return "\n".join(lines)


def markdown(results: list[Result]) -> str:
    """The medians with their ranges, as a page of load_tests/reports."""
    floors = ", ".join(f"{name} {floor:,}" for name, floor in FLOORS.items())
    lines = [
        "# ingest-api, one process, `acks=all`",
        "",
        f"Medians of {len(results) // len({each.scenario for each in results})} runs in turns, with their ranges.",
        f"Floors, in events/s: {floors}. Load generator, Kafka and PostgreSQL are on the same machine.",
        "Every acknowledged event was in the topic once.",
        "",
        "| | events/s | p50 ms | p99 ms | CPU us an event | RSS MiB |",
        "|---|---|---|---|---|---|",
    ]
    for name in dict.fromkeys(each.scenario for each in results):
        runs = [each for each in results if each.scenario == name]
        columns = (
            [getattr(each, field) for each in runs]
            for field in ("events_per_s", "p50_ms", "p99_ms", "cpu_us_per_event", "rss_mib")
        )
        cells = [f"{statistics.median(values):,g} ({min(values):,g} to {max(values):,g})" for values in columns]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def figures_of(results: list[Result]) -> list[Figure]:
    """The figures that have targets, and what they cost."""
    told = []
    for scenario, name in (("batches of 100", "events in batches of 100"), ("single calls", "single calls")):
        runs = [each for each in results if each.scenario == scenario]
        if runs:
            told.append(figure(f"ingest-api: {name}", [each.events_per_s for each in runs]))
            cpu = [each.cpu_us_per_event for each in runs]
            told.append(shown(f"ingest-api: processor, {scenario}", "us an event", "lower", cpu))
            told.append(shown(f"ingest-api: memory, {scenario}", "MiB", "lower", [each.rss_mib for each in runs]))
    return told


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_stores(parser)
    parser.add_argument("--write-key", default="demo-write-key")
    parser.add_argument("--scenario", choices=sorted(SCENARIOS), action="append", help="default: all")
    parser.add_argument("--connections", type=int, help="default: 16 for batches, 64 for single calls")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each run")
    parser.add_argument("--warmup", type=float, default=2.0, help="seconds before each run that do not count")
    parser.add_argument("--runs", type=int, default=1, help="of each scenario, in turns")
    parser.add_argument("--report", type=Path, help="also write the results to this path with .md and .json")
    return parser.parse_args()


def main() -> int:
    """Run, print, and give 1 where an acknowledged event is not in the topic exactly once."""
    args = _arguments()
    interruptible()  # so that what it started ends with it, however it is ended
    results = []
    began_s = time.monotonic()
    with stores(args), ingest_process(args) as (port, pid):
        for turn in range(args.runs):
            for name in args.scenario or sorted(SCENARIOS):
                scenario = SCENARIOS[name]
                if args.connections:
                    scenario = replace(scenario, connections=args.connections)
                results.append(run_scenario(scenario, args, port, pid, turn))
    print(table(results))
    if args.report:
        args.report.parent.mkdir(parents=True, exist_ok=True)
        details, path = [asdict(each) for each in results], args.report.with_suffix(".json")
        seconds = time.monotonic() - began_s
        write(path, "ingest", "make bench-ingest", figures_of(results), seconds=seconds, details=details)
        args.report.with_suffix(".md").write_text(markdown(results), encoding="utf-8")
    return int(any(each.missing or each.doubled for each in results))


if __name__ == "__main__":
    sys.exit(main())
