"""Preview over ten million archived events of a million profiles, one process of segment-api, beside the platform.

    python -m load_tests.bench_history --report load_tests/reports/history

Makes a seeded lake, starts one process of segment-api over it, and previews rules of several kinds: within the usual
time limit, which is what an author waits for, and with all the time that an exact answer takes. Exact sizes must be
those of plain SQL over the same files; it is said which lie outside the intervals of the estimates. Memory is the
largest that segment-api and its worker were seen to take.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from audience.adapters.lake.duck import Bounds, open_duck
from audience.adapters.lake.tables import SILVER, LakeLocation
from load_tests.bench_ingest import wait_until_ready
from load_tests.history_lake import WORKSPACE, make
from load_tests.memory import peaks
from load_tests.own_platform import HOST, add_stores, stores

TARGET_S: Final = 2.0
FLOOR_S: Final = 5.0
MIB: Final = 1 << 20
EXACT_LIMIT_MS: Final = 60_000

# For each: the rule, and SQL that says the same of the columns of silver, at :now.
RULES: Final[dict[str, tuple[dict[str, Any], str]]] = {
    "bought twice in 30 days": (
        {"event": "Order Completed", "within": "30d", "is": {"gte": 2}},
        (
            "SELECT profile_id FROM silver WHERE name = 'Order Completed' AND timestamp >= :hours_30d "
            "GROUP BY profile_id HAVING count(*) >= 2"
        ),
    ),
    "spent 300 in 90 days": (
        {"event": "Order Completed", "within": "90d", "measure": {"sum": "total"}, "is": {"gte": 300}},
        (
            "SELECT profile_id FROM silver WHERE name = 'Order Completed' AND timestamp >= :days_90d "
            "GROUP BY profile_id HAVING sum(json_extract(properties, '$.total')::DECIMAL(18, 6)) >= 300"
        ),
    ),
    "plan is pro": (
        {"trait": "plan", "op": "eq", "value": "pro"},
        (
            "SELECT profile_id FROM silver WHERE type = 'identify' GROUP BY profile_id "
            "HAVING arg_max(traits ->> '$.plan', (timestamp, message_id)) = 'pro'"
        ),
    ),
    "viewed shoes, then bought in 7 days": (
        {
            "sequence": [
                {"event": "Product Viewed", "where": [{"property": "category", "op": "eq", "value": "Shoes"}]},
                {"event": "Order Completed", "within": "24h"},
            ],
            "within": "7d",
        },
        (
            "SELECT DISTINCT a.profile_id FROM silver a JOIN silver b USING (profile_id) "
            "WHERE a.name = 'Product Viewed' AND a.timestamp >= :hours_7d "
            "AND a.properties ->> '$.category' = 'Shoes' AND b.name = 'Order Completed' "
            "AND b.timestamp >= a.timestamp AND b.timestamp <= a.timestamp + INTERVAL 24 HOURS"
        ),
    ),
    "never bought": (
        {"event": "Order Completed", "is": {"eq": 0}},
        "SELECT profile_id FROM silver GROUP BY profile_id HAVING count(*) FILTER (name = 'Order Completed') = 0",
    ),
}


@dataclass(frozen=True, slots=True)
class Result:
    """One rule. `first_s` are of the usual limit, `exact_s` of the one answer that took all the time it needed."""

    name: str
    size: int
    estimate: int
    low: int
    high: int
    exact_at_first: bool
    evaluated: int
    first_s: float
    first_range_s: tuple[float, float]
    exact_s: float | None
    peak_mib: float


def expected(location: LakeLocation, now: datetime) -> dict[str, int]:
    """The sizes by SQL."""
    hour, day = now.replace(minute=0, second=0, microsecond=0), now.replace(hour=0, minute=0, second=0, microsecond=0)
    found = {}
    with open_duck(location, Bounds(memory_mb=4_096)) as duck:
        duck.run(f"CREATE VIEW silver AS SELECT * FROM {duck.source(SILVER)}")  # noqa: S608
        for name, (_, sql) in RULES.items():
            for word, begin, days in (("hours_30d", hour, 30), ("days_90d", day, 90), ("hours_7d", hour, 7)):
                at_us = int(begin.timestamp() - days * 86_400) * 1_000_000
                sql = sql.replace(f":{word}", f"make_timestamptz({at_us})")  # noqa: PLW2901
            [row] = duck.arrow(f"SELECT count(*) AS n FROM ({sql})").to_pylist()  # noqa: S608
            found[name] = row["n"]
    return found


@contextmanager
def service(args: argparse.Namespace, lake: str) -> Iterator[tuple[int, int]]:
    """One process of segment-api over the lake: its port and its id."""
    with socket.create_server((HOST, 0)) as free:
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "LAKE_URL": lake,
        "AUDIENCE_KAFKA_BOOTSTRAP_SERVERS": args.bootstrap,
        "AUDIENCE_POSTGRES_DSN": args.postgres_dsn,
        "AUDIENCE_PORT": str(port),
        "AUDIENCE_HOST": HOST,
        "AUDIENCE_LOG_LEVEL": "WARNING",
    }
    process = subprocess.Popen([sys.executable, "-m", "services.segments"], env=environment, stdout=sys.stderr)
    try:
        wait_until_ready(port, process)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait(60)


def preview(port: int, rule: dict[str, Any], limit_ms: int) -> tuple[dict[str, Any], float]:
    """The answer, and how long it took from here."""
    request = urllib.request.Request(
        f"http://{HOST}:{port}/v1/segments/preview",
        data=json.dumps({"rule": rule, "time_limit_ms": limit_ms}).encode(),
        headers={"Authorization": "Bearer demo-api-token"},
    )
    began_s = time.perf_counter()
    try:
        with urllib.request.urlopen(request, timeout=200) as answer:  # noqa: S310
            found: dict[str, Any] = json.load(answer)
    except urllib.error.HTTPError as error:
        raise SystemExit(f"{rule}: {error.code} {error.read(500).decode(errors='replace')}") from error
    return found, time.perf_counter() - began_s


def measure(port: int, pid: int, name: str, size: int, args: argparse.Namespace) -> Result:
    """One rule, as its author sees it, and until it is exact."""
    rule = RULES[name][0]
    with peaks({"segment-api": pid}) as peak:
        # Correct before fast; the files are in the system's cache then, as those of the last months are.
        final, exact_s = preview(port, rule, EXACT_LIMIT_MS)
        if final["exact"] and final["size"] != size:
            raise SystemExit(f"{name}: {final['size']} members, by SQL {size}")
        first = [preview(port, rule, args.limit_ms) for _ in range(args.runs)]
    seconds = [took_s for _, took_s in first]
    answer = first[0][0]
    interval = answer["interval"] or {"low": answer["size"], "high": answer["size"]}
    return Result(
        name, size, answer["size"], interval["low"], interval["high"], answer["exact"], answer["evaluated"],
        statistics.median(seconds), (min(seconds), max(seconds)), exact_s if final["exact"] else None,
        peak["segment-api"],
    )  # fmt: skip


def report(results: list[Result], args: argparse.Namespace, load: float) -> str:
    """The results as Markdown."""
    lines = [
        f"# Preview over {args.events:,} events of {args.profiles:,} profiles",
        "",
        f"One process of segment-api and its worker on a machine of {os.cpu_count()} cores whose load was {load:.1f}.",
        f"Asked with a limit of {args.limit_ms} ms, {args.runs} times; the median, and the range.",
        f"Target {TARGET_S:g} s, floor {FLOOR_S:g} s. Sizes beside plain SQL over the same files.",
        "",
        "| rule | members | first answer | interval | decided | first s | exact s | peak MiB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for each in results:
        interval = "exact" if each.exact_at_first else f"{each.low:,} to {each.high:,}"
        exact = "over 60" if each.exact_s is None else f"{each.exact_s:.1f}"
        low_s, high_s = each.first_range_s
        lines.append(
            f"| {each.name} | {each.size:,} | {each.estimate:,} | {interval} | {each.evaluated:,} "
            f"| {each.first_s:.2f} ({low_s:.2f} to {high_s:.2f}) | {exact} | {each.peak_mib:.0f} |"
        )
    return "\n".join([*lines, ""])


def main() -> None:
    """Measure, print, write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_stores(parser)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--profiles", type=int, default=1_000_000)
    parser.add_argument("--limit-ms", type=int, default=1_700, help="what the first answers are given")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--lake", help="a lake of an earlier run; one is made and removed otherwise")
    parser.add_argument("--report", type=Path, help="also write the results to this path with .md and .json")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-history-") as folder:
        lake = args.lake or folder
        location = LakeLocation(lake)
        now = datetime.now(UTC)
        if not args.lake:
            make(location, args.events, args.profiles, int(now.timestamp() * 1_000))
        sizes = expected(location, now)
        with stores(args), service(args, lake) as (port, pid):
            preview(port, {"event": "warm"}, 30_000)
            results = [measure(port, pid, name, sizes[name], args) for name in RULES]
    load = os.getloadavg()[0]
    text = report(results, args, load)
    print(text)
    if args.report:
        args.report.with_suffix(".md").write_text(text)
        args.report.with_suffix(".json").write_text(json.dumps({"load": load, **_plain(args, results)}, indent=2))
    outside = [each.name for each in results if not each.low <= each.size <= each.high]
    print(f"{len(outside)} of {len(results)} sizes outside their intervals of 95%: {', '.join(outside) or 'none'}")
    slow = [each.name for each in results if each.first_s > FLOOR_S]
    if slow:
        raise SystemExit(f"slower than the floor of {FLOOR_S:g} s: {', '.join(slow)}")


def _plain(args: argparse.Namespace, results: list[Result]) -> dict[str, Any]:
    return {
        "events": args.events,
        "profiles": args.profiles,
        "workspace": WORKSPACE,
        "results": [*map(asdict, results)],
    }


if __name__ == "__main__":
    main()
