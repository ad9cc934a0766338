"""segment-api's reads, one process, over a store of a million profiles and fifty segments.

    python -m load_tests.bench_api --report load_tests/reports/api

On a PostgreSQL of its own, or with `--beside` that of `make up`: fills a workspace with SQL, starts one process of
segment-api, and asks it over loopback: memberships of one profile, lookups of a hundred and profiles as fast as it
answers (by wrk), memberships at a steady 2,000 requests/s; then sizes, members, overlaps and exports; then all with
10,000 requests in flight, which may be answered late or be refused with Retry-After, and must neither break nor hang.
The first answers are compared with what was filled in. The workspace is removed at the end.
"""

import argparse
import asyncio
import hashlib
import json
import os
import random
import secrets
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import uvloop

from audience.adapters.postgres.pool import open_pool
from audience.adapters.postgres.tokens import PostgresTokenCatalog
from load_tests.bench_ingest import cpu_s_of, rss_mib_of, wait_until_ready
from load_tests.figures import Figure, figure, shown, write
from load_tests.memory import peaks
from load_tests.own_platform import HOST, add_stores, stores
from load_tests.raw_http import Answers, drive
from load_tests.wrk import wrk
from local.start import interruptible

SEGMENTS = 50
SINCE_MS = 1_767_225_600_000
STEADY_PER_S = 2_000
FILL_S = 900.0
FLOORS = {"memberships": 4_000}
FLOOD = 10_000
FLOOD_S = 15.0
PATIENCE_S = 20.0
"""An answer to the flood that takes longer has hung."""

_FILL = (
    """
    INSERT INTO segments (workspace, key, name, description, rule, tags, status, refers_to, version, revision,
        published_revision, created_ms, updated_ms)
    SELECT $1, 's' || each, '', '', '{"event":"x"}', '{}', 'live', '{}', 1, nextval('segment_revisions'),
        9223372036854775807, $3, $3
    FROM generate_series(1, $2::int) AS each WHERE $4::int > 0
    """,
    """
    INSERT INTO memberships (workspace, segment_key, profile_id, since_ms, number)
    SELECT $1, 's' || each, convert_to('p' || number, 'UTF8'), $3::bigint, number
    FROM generate_series(1, $2::int) AS each, generate_series(0, $4::int - 1, each) AS number
    ORDER BY 1, 2, 3
    """,
    """
    INSERT INTO segment_sizes (workspace, segment_key, size)
    SELECT $1, segment_key, count(*) FROM memberships WHERE workspace = $1 AND $2::int > 0 AND $3::bigint > 0
        AND $4::int > 0
    GROUP BY segment_key
    """,
    """
    INSERT INTO profile_records (workspace, profile_id, version, memberships, attributes)
    SELECT $1, convert_to('p' || number, 'UTF8'), 1, convert_to((
        SELECT '[' || string_agg('["s' || each || '",' || $3::bigint || ']', ',' ORDER BY 's' || each) || ']'
        FROM generate_series(1, $2::int) AS each WHERE number % each = 0
    ), 'UTF8'), convert_to('[1,1,{"plan":"pro","email":"p' || number || '@example.com"},{}]', 'UTF8')
    FROM generate_series(0, $4::int - 1) AS number
    """,
)
_TABLES = ("segments", "memberships", "segment_sizes", "profile_records", "segment_size_history", "tokens")


@dataclass(frozen=True, slots=True)
class Result:
    """One measurement. `per_s` requests/s; of single questions the number that were asked."""

    name: str
    requests: int
    per_s: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    not_200: int
    cpu_us: float
    rss_mib: float


@dataclass(frozen=True, slots=True)
class Service:
    """The process under test."""

    port: int
    pid: int
    token: str


async def fill(dsn: str, workspace: str, token_sha256: bytes, profiles: int) -> None:
    """The workspace with its profiles: number n is in segment k where k divides n."""
    async with open_pool(dsn, max_size=1, statement_timeout_s=FILL_S) as pool:
        await PostgresTokenCatalog(pool).create(workspace, "bench", token_sha256)
        for statement in _FILL:
            started_s = time.monotonic()
            await pool.execute(statement, workspace, SEGMENTS, SINCE_MS, profiles)
            print(f"  {statement.split()[2]}: {time.monotonic() - started_s:.0f} s", file=sys.stderr)
        for table in _TABLES[:4]:
            await pool.execute(f"ANALYZE {table}")


async def clear(dsn: str, workspace: str) -> None:
    """Nothing of the workspace stays."""
    async with open_pool(dsn, max_size=1, statement_timeout_s=FILL_S) as pool:
        for table in _TABLES:
            await pool.execute(f"DELETE FROM {table} WHERE workspace = $1", workspace)  # noqa: S608  constants
        await pool.execute("DELETE FROM workspaces WHERE workspace = $1", workspace)


@contextmanager
def service(args: argparse.Namespace, token: str) -> Iterator[Service]:
    """One process of segment-api."""
    with socket.create_server((HOST, 0)) as free:
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "AUDIENCE_KAFKA_BOOTSTRAP_SERVERS": args.bootstrap,
        "AUDIENCE_POSTGRES_DSN": args.postgres_dsn,
        "AUDIENCE_PORT": str(port),
        "AUDIENCE_HOST": HOST,
        "AUDIENCE_LOG_LEVEL": "WARNING",
        "AUDIENCE_REQUESTS_PER_SECOND": "1000000",
    }
    process = subprocess.Popen([sys.executable, "-m", "services.segments"], env=environment, stdout=sys.stderr)
    try:
        wait_until_ready(port, process)
        yield Service(port, process.pid, token)
    finally:
        process.terminate()
        process.wait(60)


def _request(on: Service, method: str, path: str, body: bytes = b"") -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {on.token}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def memberships_of(on: Service, profiles: int, rng: random.Random) -> list[bytes]:
    """Requests for one profile each."""
    return [_request(on, "GET", f"/v1/profiles/p{rng.randrange(profiles)}/segments") for _ in range(5_000)]


def lookups_of(on: Service, profiles: int, rng: random.Random) -> list[bytes]:
    """Requests for a hundred profiles each."""
    bodies = ({"profile_ids": [f"p{rng.randrange(profiles)}" for _ in range(100)]} for _ in range(500))
    return [_request(on, "POST", "/v1/memberships/lookup", json.dumps(body).encode()) for body in bodies]


def fast(on: Service, name: str, requests: Sequence[bytes], args: argparse.Namespace) -> Result:
    """As fast as `args.connections` are answered."""
    wrk(HOST, on.port, requests, connections=args.connections, seconds=1)
    cpu_s = cpu_s_of(on.pid)
    found = wrk(HOST, on.port, requests, connections=args.connections, seconds=args.seconds)
    if found.broken or found.timeouts:
        sys.exit(f"{name}: {found.broken} connections broke, {found.timeouts} answers came too late: no figures")
    cpu_us = round((cpu_s_of(on.pid) - cpu_s) / found.requests * 1e6, 1)
    times = (round(each, 1) for each in (found.p50_ms, found.p95_ms, found.p99_ms))
    per_s = round(found.requests / found.seconds)
    return Result(name, found.requests, per_s, *times, found.not_2xx, cpu_us, rss_mib_of(on.pid))


def flood(on: Service, name: str, requests: Sequence[bytes]) -> dict[str, Any]:
    """10,000 requests in flight, then a usual load again."""
    with peaks({"segment-api": on.pid}) as peak:
        found = wrk(HOST, on.port, requests, connections=FLOOD, seconds=FLOOD_S, timeout_s=PATIENCE_S, counted=True)
        ended_s = time.perf_counter()
        ask(on, "/profiles/p12/segments")
        back_s = time.perf_counter() - ended_s
    answered, refused = found.statuses.get("200", 0), found.statuses.get("503", 0) + found.statuses.get("429", 0)
    return {
        "flood": name,
        "answered_per_s": round(answered / found.seconds),
        "refused_per_s": round(refused / found.seconds),
        "refused_without_retry_after": refused - found.told_to_wait,
        "other": found.requests - answered - refused,
        "broken": found.broken,
        "hung": found.timeouts,
        "p50_ms": round(found.p50_ms),
        "p99_ms": round(found.p99_ms),
        "rss_peak_mib": peak["segment-api"],
        "back_after_s": round(back_s, 2),
    }


def steady(on: Service, name: str, requests: Sequence[bytes], args: argparse.Namespace) -> Result:
    """At a steady pace, whatever the answers take."""
    connections = 200
    every_s = connections / STEADY_PER_S

    async def run(seconds: float) -> list[Answers]:
        until_s = time.perf_counter() + seconds
        return await asyncio.gather(
            *(
                drive(HOST, on.port, until_s, _from(requests, each * 37), lambda _: None, every_s)
                for each in range(connections)
            )
        )

    uvloop.run(run(1.0))
    cpu_s, started_s = cpu_s_of(on.pid), time.perf_counter()
    answers = uvloop.run(run(args.seconds))
    took_s, cpu_s = time.perf_counter() - started_s, cpu_s_of(on.pid) - cpu_s
    seconds = [each for answer in answers for each in answer.seconds]
    statuses = [item for answer in answers for item in answer.statuses.items()]
    not_200 = sum(count for status, count in statuses if status != 200)
    return _result(on, name, seconds, took_s, cpu_s, not_200)


def _from(requests: Sequence[bytes], begin: int) -> Callable[[int], bytes]:
    return lambda number: requests[(begin + number) % len(requests)]


def _result(on: Service, name: str, seconds: list[float], took_s: float, cpu_s: float, not_200: int = 0) -> Result:
    ordered = sorted(seconds)
    p50, p95, p99 = (round(ordered[int(len(ordered) * share)] * 1000, 1) for share in (0.5, 0.95, 0.99))
    cpu_us = round(cpu_s / len(seconds) * 1e6, 1)
    return Result(name, len(seconds), round(len(seconds) / took_s), p50, p95, p99, not_200, cpu_us, rss_mib_of(on.pid))


def ask(on: Service, path: str) -> Any:
    """One answer."""
    with _open(on, path) as answer:
        return json.load(answer)


def _open(on: Service, path: str) -> Any:
    headers = {"Authorization": f"Bearer {on.token}"}
    return urllib.request.urlopen(
        urllib.request.Request(f"http://{HOST}:{on.port}/v1{path}", headers=headers),
        timeout=120,
    )


def questions(on: Service, name: str, paths: Sequence[str]) -> Result:
    """Single questions, one after the other."""
    seconds, cpu_s = [], cpu_s_of(on.pid)
    for path in paths:
        started_s = time.perf_counter()
        ask(on, path)
        seconds.append(time.perf_counter() - started_s)
    return _result(on, name, seconds, sum(seconds), cpu_s_of(on.pid) - cpu_s)


def export(on: Service, form: str, profiles: int) -> dict[str, Any]:
    """An export of every profile: its time, its size, and the service's memory around it."""
    before = peak = rss_mib_of(on.pid)
    size, lines, started_s = 0, 0, time.perf_counter()
    with _open(on, f"/segments/s1/export?format={form}") as answer:
        while piece := answer.read(1 << 20):
            size += len(piece)
            lines += piece.count(b"\n")
            peak = max(peak, rss_mib_of(on.pid))
    took_s = time.perf_counter() - started_s
    wanted = {"csv": profiles + 1, "jsonl": profiles}.get(form, lines)
    if lines != wanted:
        sys.exit(f"an export as {form} has {lines} lines, not {wanted}: no figures")
    return {
        "format": form,
        "seconds": round(took_s, 1),
        "mib": round(size / 2**20, 1),
        "rss_before_mib": before,
        "rss_peak_mib": peak,
    }


def check(on: Service, profiles: int) -> None:
    """What is answered is what was filled in."""
    sizes = [ask(on, f"/segments/s{each}/size")["size"] for each in (1, 2, 7)]
    if sizes != [len(range(0, profiles, each)) for each in (1, 2, 7)]:
        sys.exit(f"the sizes are {sizes}: no figures")
    found = {each["key"] for each in ask(on, "/profiles/p12/segments")["segments"]}
    if found != {"s1", "s2", "s3", "s4", "s6", "s12"}:
        sys.exit(f"profile p12 is in {sorted(found)}: no figures")
    shared = {
        tuple(each["segments"]): each["size"] for each in ask(on, "/segments/s2/overlap?with=s3,s5")["intersections"]
    }
    if shared["s2", "s3", "s5"] != len(range(0, profiles, 30)):
        sys.exit(f"the overlap is {shared}: no figures")


def measure(on: Service, args: argparse.Namespace) -> tuple[list[Result], list[dict[str, Any]], list[dict[str, Any]]]:
    """All of it: loads and questions, exports, floods."""
    check(on, args.profiles)
    rng, results = random.Random(1), []
    one, hundred = memberships_of(on, args.profiles, rng), lookups_of(on, args.profiles, rng)
    whole = [_request(on, "GET", f"/v1/profiles/p{rng.randrange(args.profiles)}") for _ in range(5_000)]
    for _ in range(args.runs):
        results.append(fast(on, "memberships", one, args))
        results.append(steady(on, f"memberships at {STEADY_PER_S}/s", one, args))
        results.append(fast(on, "lookups of 100", hundred, args))
        results.append(fast(on, "profiles", whole, args))
    keys = [f"s{each}" for each in range(1, SEGMENTS + 1)]
    threes = [rng.sample(keys, 3) for _ in range(200)]
    overlaps = [f"/segments/{first}/overlap?with={second},{third}" for first, second, third in threes]
    results.append(
        questions(on, "first overlap of a segment", [f"/segments/s1/overlap?with={each}" for each in keys[1:]])
    )
    results.append(questions(on, "overlap of three", overlaps))
    results.append(questions(on, "size", [f"/segments/{rng.choice(keys)}/size" for _ in range(200)]))
    results.append(questions(on, "members, first page", [f"/segments/{rng.choice(keys)}/members" for _ in range(200)]))
    results.append(questions(on, "profile", [f"/profiles/p{rng.randrange(args.profiles)}" for _ in range(200)]))
    exports = [export(on, form, args.profiles) for form in ("csv", "jsonl", "parquet")]
    read = [_request(on, "GET", f"/v1/segments/s{each}") for each in range(1, SEGMENTS + 1)]
    floods = [
        flood(on, name, requests)
        for name, requests in (("memberships", one), ("lookups of 100", hundred), ("a segment", read))
    ]
    return results, exports, floods


def markdown(
    results: list[Result], exports: list[dict[str, Any]], floods: list[dict[str, Any]], args: argparse.Namespace
) -> str:
    """A page of load_tests/reports."""
    floors = ", ".join(f"{name} {floor:,}" for name, floor in FLOORS.items())
    lines = [
        f"# segment-api, one process, {args.profiles:,} profiles, {SEGMENTS} segments, PostgreSQL store",
        "",
        f"Load: medians of {args.runs} runs in turns, with their ranges. Load generator and PostgreSQL are on the same",
        f"machine, whose load was {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores. Floors, in requests/s: {floors}.",
        "Single questions go one after the other. wrk makes the fast loads; in the steady one a request's time",
        "counts from when it was due.",
        "",
        "| | requests/s | p50 ms | p95 ms | p99 ms | not 200 | CPU us a request | RSS MiB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in dict.fromkeys(each.name for each in results):
        runs = [each for each in results if each.name == name]
        cells = [
            _cell([getattr(each, field) for each in runs])
            for field in ("per_s", "p50_ms", "p95_ms", "p99_ms", "not_200", "cpu_us", "rss_mib")
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += [
        "",
        f"| export of {args.profiles:,} members | seconds | MiB | RSS before | RSS peak |",
        "|---|---|---|---|---|",
    ]
    lines += [f"| {' | '.join(str(value) for value in each.values())} |" for each in exports]
    columns = (
        *(f"{FLOOD:,} in flight", "200/s", "503/s", "without Retry-After", "other", "broken", f"over {PATIENCE_S:g} s"),
        *("p50 ms", "p99 ms", "RSS peak", "next answer after s"),
    )
    lines += ["", f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    lines += [f"| {' | '.join(str(value) for value in each.values())} |" for each in floods]
    return "\n".join(lines) + "\n"


def figures_of(results: list[Result]) -> list[Figure]:
    """The figures that have targets, and what they cost."""
    most = [each for each in results if each.name == "memberships"]
    steady = [each for each in results if each.name == f"memberships at {STEADY_PER_S}/s"]
    return [
        figure("segment-api: memberships of a profile", [each.per_s for each in most]),
        figure("segment-api: memberships at 2,000/s, p99", [each.p99_ms for each in steady]),
        shown("segment-api: processor, memberships", "us a request", "lower", [each.cpu_us for each in most]),
        shown("segment-api: memory", "MiB", "lower", [each.rss_mib for each in most]),
    ]


def _cell(values: list[float]) -> str:
    if len(values) == 1:
        return f"{values[0]:,g}"
    return f"{statistics.median(values):,g} ({min(values):,g} to {max(values):,g})"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_stores(parser)
    parser.add_argument("--profiles", type=int, default=1_000_000)
    parser.add_argument("--connections", type=int, default=32, help="of the runs that are as fast as can be")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each run")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--report", type=Path, help="where to write NAME.md and NAME.json")
    return parser.parse_args()


def _on_stores(
    args: argparse.Namespace, token: str, workspace: str
) -> tuple[list[Result], list[dict[str, Any]], list[dict[str, Any]]]:
    try:
        asyncio.run(fill(args.postgres_dsn, workspace, hashlib.sha256(token.encode()).digest(), args.profiles))
        with service(args, token) as on:
            return measure(on, args)
    finally:
        asyncio.run(clear(args.postgres_dsn, workspace))


def main() -> int:
    """Fill, measure, report, clear."""
    args, began_s = _arguments(), time.monotonic()
    token, workspace = secrets.token_urlsafe(16), f"bench-{secrets.token_hex(6)}"
    interruptible()  # so that what it started ends with it, however it is ended
    with stores(args):
        results, exports, floods = _on_stores(args, token, workspace)
    page = markdown(results, exports, floods, args)
    print(page)
    if args.report:
        args.report.parent.mkdir(parents=True, exist_ok=True)
        args.report.with_suffix(".md").write_text(page, encoding="utf-8")
        details = {"results": [asdict(each) for each in results], "exports": exports, "floods": floods}
        path, seconds = args.report.with_suffix(".json"), time.monotonic() - began_s
        write(path, "api", "make bench-api", figures_of(results), seconds=seconds, details=details)
    return 0


if __name__ == "__main__":
    sys.exit(main())
