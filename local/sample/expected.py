"""What the sizes must be: the whole history in SQLite, one plain query a segment, none of the platform's code."""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta

from local.sample.history import Purchase
from local.sample.panes import DAY_MS, window_start_ms
from local.sample.segments import SampleSegment


class ExpectedSizes:
    """The history with moved dates, ready to be asked. A context manager."""

    def __init__(self, purchases: Iterable[Purchase], shift: timedelta) -> None:
        self._database = sqlite3.connect(":memory:")
        self._database.execute("CREATE TABLE orders (customer TEXT, at_ms INTEGER, quantity INTEGER, cents INTEGER)")
        self._database.executemany(
            "INSERT INTO orders VALUES (?, ?, ?, ?)",
            ((each.customer, int(each.at(shift).timestamp()) * 1000, each.quantity, each.cents) for each in purchases),
        )
        self._known: dict[tuple[str, tuple[int, ...]], int] = {}

    def __enter__(self) -> "ExpectedSizes":
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def at(self, now_ms: int, segments: Sequence[SampleSegment]) -> Mapping[str, int]:
        """The size of each segment at `now_ms`, by key."""
        return {segment.key: self._size(segment, now_ms) for segment in segments}

    def _size(self, segment: SampleSegment, now_ms: int) -> int:
        starts = tuple(window_start_ms(now_ms, days * DAY_MS) for days in segment.windows)
        # Windows move once an hour at most: until then the answer is the same.
        if (segment.key, starts) not in self._known:
            since = {f"since_{days}d": start for days, start in zip(segment.windows, starts, strict=True)}
            [(size,)] = self._database.execute(segment.size_sql, since)
            self._known[segment.key, starts] = int(size)
        return self._known[segment.key, starts]
