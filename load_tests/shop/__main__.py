"""A believable shop's events, the same for the same seed: into a file, a topic, or over HTTP.

    python -m load_tests.shop file --events 100000 --seed 7 --out shop.jsonl
    python -m load_tests.shop topic --events 1000000 --users 100000
    python -m load_tests.shop http --rate 500 --seconds 60 --late 0.05 --duplicates 0.02 --bad 0.01
    python -m load_tests.shop segments --count 50

Addresses are by default those of `make up` in this environment.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from collections import Counter
from itertools import islice
from pathlib import Path

import httpx
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from audience.ports.event_log import EventLogUnavailable
from load_tests.shop import sinks
from load_tests.shop.generator import Shop, events
from load_tests.shop.segments import segments
from local.settings import load

HOST = "127.0.0.1"


def main() -> int:
    """The command."""
    asked = _arguments()
    if asked.to == "segments":
        for segment in segments(asked.count, asked.seed):
            print(json.dumps(segment))
        return 0
    try:
        shop = Shop(
            seed=asked.seed,
            users=asked.users,
            rate_per_s=asked.rate,
            skew=asked.skew,
            products=asked.products,
            late_share=asked.late,
            duplicate_share=asked.duplicates,
            bad_share=asked.bad,
        )
        start_ms = sinks.time_ms_of(asked.start) if asked.start else None
    except ValueError as error:
        sys.exit(f"shop: {error}")
    total = asked.events if asked.events is not None else round(asked.rate * asked.seconds)
    bars = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    began = time.monotonic()
    try:
        with Progress(*bars, console=console) as progress:
            task = progress.add_task("Events", total=total)
            counts = _send(asked, shop, start_ms, total, lambda count: progress.update(task, advance=count))
    except (EventLogUnavailable, httpx.HTTPError, OSError) as error:
        sys.exit(f"shop: {type(error).__name__} {error}. Does `make status` show a healthy platform?")
    took_s = time.monotonic() - began
    told = ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items()))
    console.print(f"{total:,} events in {took_s:.1f} s ({total / took_s:,.0f} events/s): {told}", highlight=False)
    return int(any(name.isdigit() and name != "200" for name in counts))


def _send(
    asked: argparse.Namespace, shop: Shop, start_ms: int | None, total: int, progress: sinks.Progress
) -> Counter[str]:
    found = islice(events(shop, asked.run), total)
    settled_ms = time.time_ns() // 1_000_000 if start_ms is None else start_ms
    match asked.to:
        case "file":
            with asked.out.open("wb") as file:
                return sinks.to_file(found, file, settled_ms, progress)
        case "topic":
            return asyncio.run(
                sinks.to_topic(found, asked.bootstrap, settled_ms, asked.workspace, asked.source, progress)
            )
        case _:
            return asyncio.run(sinks.to_http(found, asked.ingest, asked.write_key, asked.batch, start_ms, progress))


def _arguments() -> argparse.Namespace:
    settings = load(os.environ)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    to = parser.add_subparsers(dest="to", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--seed", type=int, default=1)
    what = argparse.ArgumentParser(add_help=False)
    what.add_argument("--events", type=int, help="how many; else --rate times --seconds")
    what.add_argument("--seconds", type=float, default=60.0)
    what.add_argument("--rate", type=float, default=500.0, help="events a second of the shop's own time")
    what.add_argument("--users", type=int, default=10_000)
    what.add_argument("--skew", type=float, default=1.0, help="Zipf's exponent over the customers")
    what.add_argument("--products", type=int, default=1_000)
    what.add_argument("--late", type=float, default=0.02, help="share whose time lies before their sending")
    what.add_argument("--duplicates", type=float, default=0.01, help="share that is sent twice")
    what.add_argument("--bad", type=float, default=0.0, help="share that is not valid")
    what.add_argument("--start", default="", help="ISO 8601: the time of the first event; without it, now")
    what.add_argument("--run", default="", help="begins the message ids; else shop-SEED")
    file = to.add_parser("file", parents=[common, what], help="JSON lines, as SDKs send events")
    file.add_argument("--out", type=Path, required=True)
    topic = to.add_parser("topic", parents=[common, what], help="Kafka's topic of accepted events, as fast as it can")
    topic.add_argument("--bootstrap", default=f"{HOST}:{settings.port('kafka_port')}")
    topic.add_argument("--workspace", default="demo")
    topic.add_argument("--source", default="demo")
    http = to.add_parser("http", parents=[common, what], help="ingest-api, at the rate")
    http.add_argument("--ingest", default=f"http://{HOST}:{settings.port('ingest_port')}")
    http.add_argument("--write-key", default="demo-write-key")
    http.add_argument("--batch", type=int, default=20)
    kinds = to.add_parser("segments", parents=[common], help="the segments of such a shop, a line each")
    kinds.add_argument("--count", type=int, default=20)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
