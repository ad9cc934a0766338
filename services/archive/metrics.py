"""What the archive counts and times, as one bundle. The labels `job` and `table` have a handful of values."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class ArchiveMetrics:
    """The series of one process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.records = Counter("archive_records", "Records committed to bronze", registry=registry)
        self.missed = Counter(
            "archive_missed_records", "Records that the log forgot before they were archived", registry=registry
        )
        self.lag = Gauge("archive_lag_records", "Records of the log that are not archived yet", registry=registry)
        self.complete_to = Gauge(
            "archive_complete_to_seconds", "Unix time up to which every accepted event is archived", registry=registry
        )
        self.commit_seconds = Histogram(
            "archive_commit_seconds", "One commit to bronze", buckets=_SECONDS, registry=registry
        )
        self.refined = Counter(
            "archive_refined_records",
            "Records taken to silver: event, copy, unreadable",
            ["outcome"],
            registry=registry,
        )
        self.job_seconds = Histogram(
            "archive_job_seconds", "One run of a job of housekeeping", ["job"], buckets=_SECONDS, registry=registry
        )
        self.job_failures = Counter("archive_job_failures", "Runs that failed", ["job"], registry=registry)
        self.backfilled_profiles = Counter(
            "archive_backfilled_profiles", "Profiles that were sent their history", registry=registry
        )
        self.backfilled_events = Counter(
            "archive_backfilled_events", "Archived events that were sent to segments", registry=registry
        )
        self.files = Gauge("archive_table_files", "Files of a table", ["table"], registry=registry)
        self.size_bytes = Gauge("archive_table_size_bytes", "Size of a table's files", ["table"], registry=registry)
        self.rows = Gauge("archive_table_rows", "Rows of a table", ["table"], registry=registry)
