"""How much each source may send: a bucket of tokens for each that has a limit.

A request is taken while the bucket is not in debt, and may put it there: a batch larger than a second's worth must
not be refused for ever. Refuses then, with the time at which the debt is paid. Buckets follow `Source.events_per_s`,
or the limit for all sources.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from audience.ports.catalog import Source
from services._kit.errors import ApiError

RETRY_AFTER_MAX_S: Final = 300
_BURST_S: Final = 1.0


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at_s: float


class Rates:
    """The buckets of one process. `clock_s` is a monotonic clock; `events_per_s` 0 is no limit."""

    def __init__(self, events_per_s: int, clock_s: Callable[[], float]) -> None:
        self._events_per_s = events_per_s
        self._clock_s = clock_s
        self._buckets: dict[tuple[str, str], _Bucket] = {}

    def take(self, source: Source, events: int) -> None:
        """Count these events of a source. Raises ApiError (429) where it has sent too much."""
        per_s = source.events_per_s or self._events_per_s
        if not per_s:
            return
        now_s = self._clock_s()
        bucket = self._buckets.setdefault((source.workspace, source.source), _Bucket(per_s * _BURST_S, now_s))
        bucket.tokens = min(per_s * _BURST_S, bucket.tokens + (now_s - bucket.at_s) * per_s)
        bucket.at_s = now_s
        if bucket.tokens <= 0:
            wait_s = min(RETRY_AFTER_MAX_S, max(1, math.ceil(-bucket.tokens / per_s)))
            raise ApiError(
                429,
                "rate_limited",
                f"this source may send {per_s} events a second",
                headers={"Retry-After": str(wait_s)},
            )
        bucket.tokens -= events
