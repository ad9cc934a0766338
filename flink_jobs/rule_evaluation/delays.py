"""How long events waited, in buckets as Prometheus has them: Flink's histogram would be a call into Java an event."""

from bisect import bisect_left
from typing import Final

BOUNDS_MS: Final = (10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 60_000)


class Delays:
    """Counts by bucket; grows only."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts = [0] * (len(BOUNDS_MS) + 1)

    def observe(self, delay_ms: int) -> None:
        """One event. A clock that goes back counts as no wait."""
        self._counts[bisect_left(BOUNDS_MS, delay_ms)] += 1

    def up_to(self, bound_ms: int) -> int:
        """How many waited no longer than one of the bounds."""
        return sum(self._counts[: BOUNDS_MS.index(bound_ms) + 1])
