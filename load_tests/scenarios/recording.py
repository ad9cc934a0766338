"""What was measured, by second and kind of request, with latencies in buckets that lie 2% apart.

A latency is counted from when the request was due, in the second in which it was due: a server that stands still for a
second so shows up in every request that should have been sent meanwhile, not in one alone.
"""

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

_STEP: Final = math.log(1.02)
LEAST_MS: Final = 0.01


def bucket_of(ms: float) -> int:
    """The number of a latency's bucket."""
    return math.floor(math.log(max(ms, LEAST_MS)) / _STEP)


def middle_of(bucket: int) -> float:
    """The latency that stands for a bucket, in milliseconds."""
    return math.exp((bucket + 0.5) * _STEP)


@dataclass(slots=True)
class Cell:
    """The requests of one kind that were due in one second (or any sum of such). `events` were taken with them.

    `faults` counts answers other than wanted: by status, or by the name of an error.
    """

    requests: int = 0
    events: int = 0
    selected: int = 0
    full: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    buckets: Counter[int] = field(default_factory=Counter)
    lateness: Counter[int] = field(default_factory=Counter)
    """How long after it was due a request left, in the same buckets: the load generator's own part."""

    def add(self, other: "Cell") -> None:
        self.requests += other.requests
        self.events += other.events
        self.selected += other.selected
        self.full += other.full
        self.faults.update(other.faults)
        self.buckets.update(other.buckets)
        self.lateness.update(other.lateness)


def quantile(buckets: Counter[int], share: float) -> float | None:
    """The latency below which this share of the requests lies, in milliseconds; None of none."""
    left = math.ceil(sum(buckets.values()) * share)
    for bucket in sorted(buckets):
        left -= buckets[bucket]
        if left <= 0:
            return middle_of(bucket)
    return None


class Recording:
    """All cells, by second and kind."""

    def __init__(self) -> None:
        self.cells: dict[tuple[int, str], Cell] = {}

    def cell(self, second: int, kind: str) -> Cell:
        return self.cells.setdefault((second, kind), Cell())

    def take(self, second: int, kind: str, latency_s: float, late_s: float, fault: str = "", events: int = 0) -> Cell:
        """One request that was due in this second."""
        cell = self.cell(second, kind)
        cell.requests += 1
        cell.buckets[bucket_of(latency_s * 1000)] += 1
        cell.lateness[bucket_of(late_s * 1000)] += 1
        if fault:
            cell.faults[fault] += 1
        else:
            cell.events += events
        return cell

    def total(self, kinds: Iterable[str] | None = None, seconds: Iterable[int] | None = None) -> Cell:
        """The sum over some kinds and seconds; None stands for all."""
        wanted = None if kinds is None else set(kinds)
        within = None if seconds is None else set(seconds)
        found = Cell()
        for (second, kind), cell in self.cells.items():
            if (wanted is None or kind in wanted) and (within is None or second in within):
                found.add(cell)
        return found

    @property
    def kinds(self) -> list[str]:
        return sorted({kind for _, kind in self.cells})

    @property
    def seconds(self) -> list[int]:
        return sorted({second for second, _ in self.cells})

    def lines(self) -> Iterator[str]:
        """The cells as JSON lines; they can be read one file after the other, and add up."""
        for (second, kind), cell in sorted(self.cells.items()):
            told: dict[str, Any] = {"second": second, "kind": kind, "requests": cell.requests, "events": cell.events}
            told |= {"selected": cell.selected, "full": cell.full, "faults": cell.faults}
            told |= {"buckets": cell.buckets, "lateness": cell.lateness}
            yield json.dumps(told)

    def read(self, path: Path) -> None:
        """Add what a file holds. A last line that is not whole (a killed run) is left out."""
        text = path.read_text(encoding="utf-8")
        for line in text.splitlines(keepends=True):
            if not line.endswith("\n"):
                continue
            told = json.loads(line)
            cell = self.cell(told["second"], told["kind"])
            cell.add(
                Cell(
                    requests=told["requests"],
                    events=told["events"],
                    selected=told["selected"],
                    full=told["full"],
                    faults=Counter(told["faults"]),
                    buckets=Counter({int(bucket): count for bucket, count in told["buckets"].items()}),
                    lateness=Counter({int(bucket): count for bucket, count in told["lateness"].items()}),
                )
            )
