"""What the projection counts and times, as one bundle. The label `sink` has two values."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_RECORDS: Final = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 5_000)


class ProjectionMetrics:
    """The series of one process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.records = Counter(
            "projection_records",
            "Records done, by outcome: written, stale, tombstone, undecodable_profile, unstorable_profile",
            ["sink", "outcome"],
            registry=registry,
        )
        self.batch_records = Histogram(
            "projection_batch_records", "Records of a batch", ["sink"], buckets=_RECORDS, registry=registry
        )
        self.write_seconds = Histogram(
            "projection_write_seconds", "One write of a batch", ["sink"], buckets=_SECONDS, registry=registry
        )
        self.delay_seconds = Histogram(
            "projection_delay_seconds",
            "From the time in Kafka of a batch's oldest record until the store has it",
            ["sink"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.evaluated_seconds = Histogram(
            "projection_evaluated_seconds",
            "From the evaluation of a batch's oldest change until the store has it",
            ["sink"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.failures = Counter(
            "projection_write_failures", "Writes that failed and are tried again", ["sink"], registry=registry
        )
        self.available = Gauge(
            "projection_sink_available",
            "1 while the store takes writes, 0 while it is away",
            ["sink"],
            registry=registry,
        )
        self.evaluated = Gauge(
            "projection_evaluated_timestamp_seconds",
            "Unix time by which every accepted event has been evaluated and stored",
            registry=registry,
        )
        self.lag = Gauge(
            "projection_lag_records", "Records that the store does not have yet", ["sink"], registry=registry
        )
