"""ingest-api under three times the load that it sustains: what it still accepts, refuses, and holds.

    python -m load_tests.overload_ingest --seconds 120

The load has half of the processor's cores to itself, and ingest-api with its Kafka the other half: as if it came from
another machine. First as much as 16 connections that wait for their answers bring through; then, for the time given,
three times that rate on many connections, which send at their own times and do not wait longer for a refusal. Says of
each whether it holds: accepted events do not fall below 80% of the sustained rate, every refusal is a 429 or 503 with
Retry-After, memory stays bounded, every accepted event is in the topic once.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

import uvloop

from audience.adapters.kafka.reader import end_of
from audience.wire.topics import EVENTS
from load_tests.bench_ingest import (
    SCENARIOS,
    Scenario,
    Template,
    count,
    cpu_s_of,
    ingest_process,
    rss_mib_of,
)
from load_tests.memory import peaks
from load_tests.own_platform import HOST, add_stores, stores
from load_tests.raw_http import Answers, drive
from local.start import interruptible

TIMES = 3
MARGIN = 1.1
"""So much more is sent, since a request that waits for its answer begins the next one late."""
LEAST_SHARE = 0.8
MOST_RSS_MIB = 600
WARMUP_S = 3.0
SUSTAINED_S = 15.0


@dataclass(frozen=True, slots=True)
class Result:
    """Events a second, but for the statuses, which are requests."""

    scenario: str
    sustained: int
    """The mean of before and after."""
    sustained_before: int
    sustained_after: int
    offered: int
    accepted: int
    share: float
    share_of_cpu: float
    """Accepted events a second of ingest-api's own processor time, as a share of the same under sustained load: what
    remains of `share` where the load generator takes the processor away."""
    statuses: dict[str, int]
    p50_ms: float
    p99_ms: float
    rss_before_mib: float
    rss_largest_mib: float
    missing: int
    doubled: int
    no_retry_after: int

    @property
    def checks(self) -> dict[str, bool]:
        """What must hold, and whether it does."""
        refusals = {status: count for status, count in self.statuses.items() if status != "200"}
        accepted = f"{self.share:.0%} of the sustained rate accepted, {self.share_of_cpu:.0%} by processor time"
        memory = f"memory at most {self.rss_largest_mib:.0f} MiB (bound {MOST_RSS_MIB})"
        return {
            f"{self.offered / self.sustained:.1f} times the sustained rate was offered (at least {TIMES})": (
                self.offered >= TIMES * self.sustained
            ),
            f"{accepted} (one of them at least {LEAST_SHARE:.0%})": max(self.share, self.share_of_cpu) >= LEAST_SHARE,
            f"{memory}, {self.rss_before_mib:.0f} MiB before": self.rss_largest_mib <= MOST_RSS_MIB,
            f"refusals {refusals} are 429 or 503, {self.no_retry_after} of them without Retry-After": (
                set(refusals) <= {"429", "503"} and not self.no_retry_after
            ),
            f"of the accepted {self.missing} missing, {self.doubled} twice": not self.missing and not self.doubled,
        }

    @property
    def passed(self) -> bool:
        return all(self.checks.values())


async def _load(
    port: int, seconds: float, templates: list[Template], every_s: float
) -> tuple[list[Answers], list[set[int]]]:
    acknowledged: list[set[int]] = [set() for _ in templates]
    until_s = time.perf_counter() + seconds
    drives = [
        drive(HOST, port, until_s, template.request, numbers.add, every_s)
        for template, numbers in zip(templates, acknowledged, strict=True)
    ]
    return await asyncio.gather(*drives), acknowledged


def run(scenario: Scenario, args: argparse.Namespace, port: int, pid: int) -> Result:
    """The two loads on one process, and the check of the topic."""
    run_id = f"o{time.time_ns():x}"

    def templates(connections: int, name: str) -> list[Template]:
        return [Template(scenario, args.write_key, f"{run_id}{name}", each, 1) for each in range(connections)]

    def sustain(name: str) -> tuple[float, float]:
        """Events a second, and events a second of ingest-api's processor time."""
        cpu_s = cpu_s_of(pid)
        _, numbers = uvloop.run(_load(port, SUSTAINED_S, templates(scenario.connections, name), 0))
        events = sum(map(len, numbers)) * scenario.events
        return events / SUSTAINED_S, events / (cpu_s_of(pid) - cpu_s)

    uvloop.run(_load(port, WARMUP_S, templates(scenario.connections, "w"), 0))
    sustained_before, by_cpu_before = sustain("s")
    before = rss_mib_of(pid)

    start = end_of(args.bootstrap, EVENTS)
    every_s = args.connections * scenario.events / (sustained_before * TIMES * MARGIN)
    flood = templates(args.connections, "f")
    cpu_s = cpu_s_of(pid)
    began_s = time.perf_counter()
    with peaks({"ingest-api": pid}) as largest:
        answers, acknowledged = uvloop.run(_load(port, args.seconds, flood, every_s))
    took_s = time.perf_counter() - began_s
    cpu_s = cpu_s_of(pid) - cpu_s
    # The machine may have become faster or slower meanwhile.
    sustained_after, by_cpu_after = sustain("a")
    sustained, sustained_by_cpu = (sustained_before + sustained_after) / 2, (by_cpu_before + by_cpu_after) / 2

    seen = count(args.bootstrap, start, f"{run_id}f")
    wanted = {
        f"{template.prefix}-{number:09d}-{index}"
        for template, numbers_ in zip(flood, acknowledged, strict=True)
        for number in numbers_
        for index in range(scenario.events)
    }
    statuses: Counter[str] = Counter()
    for answer in answers:
        statuses.update({str(status): each for status, each in answer.statuses.items()})
    seconds = sorted(each for answer in answers for each in answer.seconds)
    accepted = len(wanted) / took_s
    return Result(
        scenario=scenario.name,
        sustained=round(sustained),
        sustained_before=round(sustained_before),
        sustained_after=round(sustained_after),
        offered=round(len(seconds) * scenario.events / took_s),
        accepted=round(accepted),
        share=round(accepted / sustained, 2),
        share_of_cpu=round(len(wanted) / cpu_s / sustained_by_cpu, 2),
        statuses=dict(statuses),
        p50_ms=round(seconds[len(seconds) // 2] * 1000, 1),
        p99_ms=round(seconds[int(len(seconds) * 0.99)] * 1000, 1),
        rss_before_mib=before,
        rss_largest_mib=largest["ingest-api"],
        missing=len(wanted - seen.keys()),
        doubled=sum(each > 1 for each in seen.values()),
        no_retry_after=sum(answer.no_retry_after for answer in answers),
    )


def _halves() -> tuple[set[int], set[int]]:
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise SystemExit("this needs two cores: one for the platform, one for the load")
    return set(cores[: len(cores) // 2]), set(cores[len(cores) // 2 :])


def main() -> int:
    """Run, print, and give 1 where it does not pass."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_stores(parser)
    parser.add_argument("--write-key", default="demo-write-key")
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--connections", type=int, default=1_500)
    parser.add_argument("--scenario", choices=sorted(SCENARIOS), default="batch")
    parser.add_argument("--json", type=Path, help="also write the result there")
    args = parser.parse_args()
    interruptible()
    theirs, ours = _halves()
    os.sched_setaffinity(0, theirs)  # what is started from here on keeps to it
    with stores(args), ingest_process(args) as (port, pid):
        os.sched_setaffinity(0, ours)
        result = run(SCENARIOS[args.scenario], args, port, pid)
    text = json.dumps({**asdict(result), "passed": result.passed}, indent=2) + "\n"
    print(text, end="")
    for words, holds in result.checks.items():
        print(f"{'pass' if holds else 'FAIL'}  {words}")
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(text, encoding="utf-8")
    return int(not result.passed)


if __name__ == "__main__":
    sys.exit(main())
