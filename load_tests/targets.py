"""What each figure must reach on a machine with two cores: a target to aim for, and a floor not to fall below.

The names are those under which benchmarks write their figures. A figure without a target is shown, and not judged.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

Better = Literal["higher", "lower"]


@dataclass(frozen=True, slots=True)
class Target:
    """Of a figure in `unit`."""

    unit: str
    better: Better
    target: float
    floor: float


TARGETS: Final[Mapping[str, Target]] = {
    "engine: events, 1,000 rules": Target("events/s a core", "higher", 50_000, 30_000),
    "engine: cost of 5,000 rules beside 10": Target("x", "lower", 1.5, 2),
    "engine: rule evaluations, 1,000 rules": Target("evaluations/s a core", "higher", 100_000, 100_000),
    "job: events, 1,000 segments": Target("events/s", "higher", 20_000, 12_000),
    "job: beside plain Quix Streams, 1,000 rules": Target("x", "higher", 5, 5),
    "job: beside plain Quix Streams, 10 rules": Target("x", "higher", 1.5, 1.5),
    "job: beside our engine in Quix Streams": Target("x", "higher", 0.8, 0.8),
    "job: rule evaluations": Target("evaluations/s", "higher", 100_000, 100_000),
    "ingest-api: events in batches of 100": Target("events/s", "higher", 60_000, 30_000),
    "ingest-api: single calls": Target("requests/s", "higher", 4_500, 2_500),
    "segment-api: memberships of a profile": Target("requests/s", "higher", 8_000, 4_000),
    "segment-api: memberships at 2,000/s, p99": Target("ms", "lower", 5, 5),
    "platform: events, lag not growing": Target("events/s", "higher", 10_000, 5_000),
    "platform: event to membership, p50": Target("ms", "lower", 100, 100),
    "platform: event to membership, p99": Target("ms", "lower", 500, 1_000),
    "platform: due time to exit, p99": Target("ms", "lower", 1_000, 2_000),
    "platform: new segment live everywhere": Target("ms", "lower", 1_000, 2_000),
    "platform: resident memory": Target("MiB", "lower", 3 * 1024, 4 * 1024),
    "history: preview over 10 million events": Target("s", "lower", 2, 5),
    "history: backfill of 1 million events": Target("s", "lower", 30, 120),
    "job: checkpoint, p99": Target("s", "lower", 2, 5),
    "job: dip of throughput by a checkpoint": Target("%", "lower", 10, 10),
}
