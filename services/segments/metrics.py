"""What segment-api counts and times, as one bundle. Labels are bounded: routes are templates, never a path."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_PROFILES: Final = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000)


class SegmentsMetrics:
    """The series of one process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._request_seconds = Histogram(
            "segments_request_seconds",
            "From a request's head to its answer; its count is that of the requests",
            ["route", "status"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.read_profiles = Histogram(
            "segments_read_profiles",
            "Profiles that one read of the store asked for",
            buckets=_PROFILES,
            registry=registry,
        )
        self.published = Counter(
            "segments_published", "Changes of segments that the jobs have been told of", registry=registry
        )
        self.publish_failures = Counter(
            "segments_publish_failures", "Attempts to tell the jobs that failed", registry=registry
        )
        self.publish_seconds = Histogram(
            "segments_publish_seconds",
            "From saving a segment until the jobs have been told",
            buckets=_SECONDS,
            registry=registry,
        )
        self.catalog_age_seconds = Gauge(
            "segments_catalog_age_seconds", "Since the catalog was read last", registry=registry
        )
        self.histories_missing = Counter(
            "segments_explanations_without_events", "Explanations whose events could not be found", registry=registry
        )
        self._children: dict[tuple[str, int], Histogram] = {}

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count one answer. The series are looked up once: this is on the hottest path."""
        child = self._children.get((route, status))
        if child is None:
            child = self._children[route, status] = self._request_seconds.labels(route, str(status))
        child.observe(seconds)
