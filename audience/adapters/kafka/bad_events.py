"""Reads `events.bad`: all that match, one by its place, or a page of the newest. For tools and the API; blocks.

A *place* is a partition and an offset, ``0-123``; it names a bad event for as long as the topic keeps it.
"""

import heapq
import re
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from typing import Final

import msgspec

from audience.adapters.kafka.reader import Mark, begin_of, end_of, places_between
from audience.wire.topics import EVENTS_BAD, BadEventRecord, decode_bad_event

_PLACE: Final = re.compile(r"([0-9]{1,9})-([0-9]{1,18})")
_WINDOW: Final = 2_000
"""So many records of each partition are read at once for a page."""
SHOWN_BYTES: Final = 1_024
"""So much of each original a page holds."""


class NoSuchPlace(Exception):
    """There is no bad event at this place; the words say what there is."""


@dataclass(frozen=True, slots=True)
class Found:
    """A bad event and where it stands. In a page its original is cut; `size_bytes` is that of the whole."""

    partition: int
    offset: int
    bad: BadEventRecord
    size_bytes: int

    @property
    def place(self) -> str:
        return f"{self.partition}-{self.offset}"

    @property
    def at(self) -> str:
        return datetime.fromtimestamp(self.bad.received_ms / 1000, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


@dataclass(frozen=True, slots=True)
class Filter:
    """Which of them: None matches all. Times are Unix milliseconds; `until_ms` itself is not in."""

    workspace: str | None = None
    source: str | None = None
    reason: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None

    def holds(self, bad: BadEventRecord) -> bool:
        """Whether it is one of them."""
        return (
            self.workspace in (None, bad.workspace)
            and self.source in (None, bad.source)
            and self.reason in (None, bad.code)
            and (self.since_ms is None or bad.received_ms >= self.since_ms)
            and (self.until_ms is None or bad.received_ms < self.until_ms)
        )


@dataclass(frozen=True, slots=True)
class Page:
    """Bad events, newest first, and where the next page begins; None where there is no more to read."""

    found: Sequence[Found]
    before: Mark | None


def place_of(text: str) -> tuple[int, int]:
    """The partition and the offset of a place. Raises NoSuchPlace."""
    spelt = _PLACE.fullmatch(text)
    if spelt is None:
        raise NoSuchPlace(f"{text!r} is no place; those of a list are, as 0-123")
    return int(spelt[1]), int(spelt[2])


class KafkaBadEvents:
    """The topic's readers. Each raises `audience.ports.event_log.EventLogUnavailable`."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap

    def end(self) -> Mark:
        """Where the topic ends now."""
        return end_of(self._bootstrap, EVENTS_BAD)

    def read(self, wanted: Filter, start: Mark | None = None) -> Iterator[Found]:
        """Those that match, oldest first in each partition; from `start`, or from the filter's time on."""
        # Kafka's own times are those of writing: never earlier than that of receiving, but later by an outage.
        first = begin_of(self._bootstrap, EVENTS_BAD, wanted.since_ms) if start is None else start
        yield from self._between(wanted, first, self.end())

    def at(self, place: str) -> Found:
        """The one at this place. Raises NoSuchPlace."""
        partition, offset = place_of(place)
        first, end = begin_of(self._bootstrap, EVENTS_BAD).get(partition, 0), self.end().get(partition, 0)
        if not first <= offset < end:
            raise NoSuchPlace(
                f"there is nothing at {place}; the topic holds {partition}-{first} up to {partition}-{end - 1}"
            )
        return next(self._between(Filter(), {partition: offset}, {partition: offset + 1}))

    def newest(self, wanted: Filter, before: Mark | None, limit: int, seconds: float) -> Page:
        """At most `limit` that match, newest first; fewer where reading has taken so many seconds."""
        until_s = time.monotonic() + seconds
        first = begin_of(self._bootstrap, EVENTS_BAD, wanted.since_ms)
        left = {partition: end for partition, end in (before or self.end()).items() if partition in first}
        found: list[Found] = []
        while any(end > first[partition] for partition, end in left.items()):
            start = {partition: max(first[partition], end - _WINDOW) for partition, end in left.items()}
            kept = self._last(wanted, start, left, limit - len(found))
            newest = islice(heapq.merge(*kept.values(), key=lambda each: -each.bad.received_ms), limit - len(found))
            found += newest
            if len(found) == limit:
                reached = {partition: left[partition] for partition in left}
                for each in found:
                    reached[each.partition] = min(reached[each.partition], each.offset)
                left = reached
                break
            left = start
            if time.monotonic() > until_s:
                break
        more = any(end > first[partition] for partition, end in left.items())
        return Page(found, left if more else None)

    def _last(self, wanted: Filter, start: Mark, end: Mark, at_most: int) -> Mapping[int, Sequence[Found]]:
        """By partition the last so many that match, newest first, their originals cut."""
        kept: dict[int, deque[Found]] = {partition: deque(maxlen=at_most) for partition in end}
        for each in self._between(wanted, start, end):
            cut = msgspec.structs.replace(each.bad, original=each.bad.original[:SHOWN_BYTES])
            kept[each.partition].appendleft(replace(each, bad=cut))
        return kept

    def _between(self, wanted: Filter, start: Mark, end: Mark) -> Iterator[Found]:
        for placed in places_between(self._bootstrap, EVENTS_BAD, start, end):
            bad = decode_bad_event(placed.record.value or b"")
            if wanted.holds(bad):
                yield Found(placed.partition, placed.offset, bad, len(bad.original))
