"""What ingest-api counts and times, as one bundle. Labels are bounded: never a profile, and only so many sources."""

import asyncio
from collections.abc import Callable
from typing import Final, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from audience.events.tracking_plans import Violation
from audience.ports.catalog import Source

SOURCES: Final = 200
"""So many sources have series of their own; all later ones share the source `other`."""

_LOOK_S: Final = 1.0
_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_BYTES: Final = tuple(4**power for power in range(4, 12))  # 256 B … 4 MiB


class IngestMetrics:
    """The series of one process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "ingest_requests", "Requests answered, by route and status", ["route", "status"], registry=registry
        )
        self._request_seconds = Histogram(
            "ingest_request_seconds", "From the request's head to its answer", ["route"], registry=registry,
            buckets=_SECONDS,
        )  # fmt: skip
        self.append_seconds = Histogram(
            "ingest_append_seconds", "From records to the log's acknowledgement", registry=registry, buckets=_SECONDS
        )
        self.body_bytes = Histogram("ingest_body_bytes", "Bodies, unpacked", registry=registry, buckets=_BYTES)
        self.abandoned = Counter(
            "ingest_requests_abandoned", "Requests whose client went away before their end", registry=registry
        )
        # How the values of several processes are put together, where there are several.
        self.sources = Gauge(
            "ingest_sources", "Sources whose write keys are known", registry=registry, multiprocess_mode="livemax"
        )
        self.sources_age_seconds = Gauge(
            "ingest_sources_age_seconds", "Since the sources were read last", registry=registry,
            multiprocess_mode="livemax",
        )  # fmt: skip
        self._accepted = Counter(
            "ingest_events_accepted", "Events acknowledged into the log", ["workspace", "source"], registry=registry
        )
        self._repeated = Counter(
            "ingest_events_repeated", "Of those, events whose messageId was here a moment ago", ["workspace", "source"],
            registry=registry,
        )  # fmt: skip
        self._bad = Counter(
            "ingest_events_bad", "Events put into events.bad", ["workspace", "source", "reason"], registry=registry
        )
        self._violations = Counter(
            "ingest_plan_violations", "Events that broke their source's tracking plan, blocked ones among them",
            ["workspace", "source", "code", "mode"], registry=registry,
        )  # fmt: skip
        self._registry = registry
        self._watched: list[tuple[Gauge, Callable[[], float]]] = []
        # Finding a child by its labels takes longer than counting, so the busy ones are kept.
        self._labels: dict[Source, tuple[str, str]] = {}
        self._accepted_by: dict[Source, Counter] = {}
        self._answered_by: dict[tuple[str, int], tuple[Counter, Histogram]] = {}

    def watch_spool(
        self, records: Callable[[], float], size_bytes: Callable[[], float], oldest_s: Callable[[], float]
    ) -> None:
        """Show the spool, as these tell of it when `look` is called."""
        watched: tuple[tuple[str, str, Callable[[], float], Literal["livesum", "livemax"]], ...] = (
            ("ingest_spool_records", "Records on the disk, waiting for Kafka", records, "livesum"),
            ("ingest_spool_bytes", "What they take", size_bytes, "livesum"),
            ("ingest_spool_oldest_seconds", "How long the first of them has waited", oldest_s, "livemax"),
        )
        for name, words, value, mode in watched:
            gauge = Gauge(name, words, registry=self._registry, multiprocess_mode=mode)
            self._watched.append((gauge, value))
        self.look()

    def look(self) -> None:
        """Read what is watched. Not left to the reading of the metrics: that is one process's, and shows all."""
        for gauge, value in self._watched:
            gauge.set(value())

    async def keep_looking(self) -> None:
        """Every second, until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(_LOOK_S)

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count and time a request."""
        children = self._answered_by.get((route, status))
        if children is None:
            children = self._requests.labels(route, status), self._request_seconds.labels(route)
            self._answered_by[route, status] = children
        children[0].inc()
        children[1].observe(seconds)

    def accepted(self, source: Source, count: int, repeated: int = 0) -> None:
        """Count acknowledged events of a source, and how many of them are there a second time."""
        counter = self._accepted_by.get(source)
        if counter is None:
            counter = self._accepted.labels(*self._labels_of(source))
            if source in self._labels:
                self._accepted_by[source] = counter
        counter.inc(count)
        if repeated:
            self._repeated.labels(*self._labels_of(source)).inc(repeated)

    def bad(self, source: Source, reason: str, count: int) -> None:
        """Count events of a source that were not valid, for one reason."""
        self._bad.labels(*self._labels_of(source), reason).inc(count)

    def violated(self, source: Source, violation: Violation) -> None:
        """Count an event that broke its source's tracking plan."""
        self._violations.labels(*self._labels_of(source), violation.code, violation.mode).inc()

    def _labels_of(self, source: Source) -> tuple[str, str]:
        labels = self._labels.get(source)
        if labels is None:
            if len(self._labels) >= SOURCES:
                return "other", "other"
            labels = self._labels[source] = (source.workspace, source.source)
        return labels
