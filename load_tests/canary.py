"""The canary as a service: sends an event every so often, waits for the membership, and tells how long that took.

    python -m load_tests.canary --port 9109 --every 5

`/metrics` shows `audience_canary_membership_seconds` (a histogram), `audience_canary_failures_total` and
`audience_canary_last_success_timestamp_seconds`: what a customer sees of the whole path, whatever its parts say of
themselves. Tries begin at their own times and do not wait for one another. The profiles are few and come again, since a
membership ends after ten seconds. Also appends each try to --samples, which is how scenarios use it.
"""

import argparse
import asyncio
import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import httpx
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from load_tests.latency import Canary, NotMeasured, add_where, where

BUCKETS: Final = (0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2, 5, 10, 30, 60)
COMES_AGAIN_S: Final = 90.0
"""A profile is used again when its membership has ended for sure, and a try with it has been given up."""

Sample = Callable[[float, float, str], None]
"""Told of a try: when it was due (Unix time), its seconds, and the error where it failed."""


class Metrics:
    """The canary's metrics."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.membership_seconds = Histogram(
            "audience_canary_membership_seconds",
            "From the request with an event to the membership that can be read",
            registry=registry,
            buckets=BUCKETS,
        )
        self.failures = Counter("audience_canary_failures", "Events without a membership after 60 s", registry=registry)
        self.last_success = Gauge(
            "audience_canary_last_success_timestamp_seconds", "When a try last succeeded", registry=registry
        )


async def serve(canary: Canary, metrics: Metrics, every_s: float, sample: Sample, stop: asyncio.Event) -> None:
    """Try until `stop` is set; then what is under way ends."""
    profiles = max(2, round(COMES_AGAIN_S / every_s))
    under_way: set[asyncio.Task[None]] = set()
    began_s, began_at = time.monotonic(), time.time()
    number = 0

    async def one(number: int) -> None:
        due_s, due_at = began_s + number * every_s, began_at + number * every_s
        waited_s = max(0.0, time.monotonic() - due_s)
        try:
            _, seconds = await canary.enter(number % profiles)
        except (NotMeasured, httpx.HTTPError) as error:
            metrics.failures.inc()
            sample(due_at, time.monotonic() - due_s, f"{type(error).__name__}: {error}")
        else:
            metrics.membership_seconds.observe(seconds + waited_s)
            metrics.last_success.set_to_current_time()
            sample(due_at, seconds + waited_s, "")

    while not stop.is_set():
        under_way.add(task := asyncio.create_task(one(number)))
        task.add_done_callback(under_way.discard)
        number += 1
        left_s = began_s + number * every_s - time.monotonic()
        try:
            await asyncio.wait_for(stop.wait(), max(0.0, left_s))
        except TimeoutError:
            continue
    await asyncio.gather(*under_way)


async def _main(asked: argparse.Namespace) -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    server, thread = start_http_server(asked.port, asked.host, registry)
    stop = asyncio.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(each, stop.set)

    def sample(due_at: float, seconds: float, error: str) -> None:
        if asked.samples:
            with asked.samples.open("a", encoding="utf-8") as file:
                print(json.dumps({"at": due_at, "seconds": round(seconds, 4), "error": error}), file=file)

    try:
        async with where(asked).canary(asked.key) as canary:
            await serve(canary, metrics, asked.every, sample, stop)
    finally:
        server.shutdown()
        thread.join()


def main() -> None:
    """The service."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_where(parser)
    parser.add_argument("--host", default="127.0.0.1", help="of the metrics")
    parser.add_argument("--port", type=int, default=9109, help="of the metrics")
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two tries")
    parser.add_argument("--key", default="canary", help="of its segment, and the name of its events")
    parser.add_argument("--samples", type=Path, help="append each try to this file as a JSON line")
    asked = parser.parse_args()
    try:
        asyncio.run(_main(asked))
    except (NotMeasured, httpx.HTTPError) as error:
        raise SystemExit(f"the canary ends: {error}") from error


if __name__ == "__main__":
    main()
