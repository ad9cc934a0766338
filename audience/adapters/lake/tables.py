"""The lake's tables: what they are called, their columns, and how they are opened.

`bronze/events` holds records as accepted, `silver/events` one row an event, `gold/*` what is counted a day. All are
Delta tables without any feature that a plain reader of Delta lacks, so that each can be read by Spark, pandas or
DuckDB, and their files by whatever reads Parquet. Bronze and silver are partitioned by the day of arrival: an event's
own time is never later than that, so a window needs no older days, and days that are over change no more.
docs/history.md is the reader's page.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pyarrow as pa
from deltalake import DeltaTable, WriterProperties
from deltalake.exceptions import DeltaError, TableNotFoundError

from audience.ports.lake import LakeUnavailable

BRONZE: Final = "bronze/events"
SILVER: Final = "silver/events"
GOLD_EVENTS: Final = "gold/events_daily"
GOLD_PROFILES: Final = "gold/active_profiles_daily"
GOLD_SIZES: Final = "gold/segment_sizes_daily"
GOLD_VALUE: Final = "gold/profile_value"

_TIME: Final = pa.timestamp("us", tz="UTC")
_ROW_GROUP: Final = 64 * 1024
_SORTED_ROW_GROUP: Final = 8 * 1024
"""Of silver, which is sorted by the profiles' places: a portion of the profiles is read from so few of its rows."""

SCHEMAS: Final[Mapping[str, pa.Schema]] = {
    BRONZE: pa.schema(
        [
            pa.field("partition", pa.int32(), nullable=False),
            pa.field("offset", pa.int64(), nullable=False),
            pa.field("logged_at", _TIME, nullable=False),
            pa.field("key", pa.binary()),
            pa.field("value", pa.binary()),
            pa.field("day", pa.date32(), nullable=False),
        ]
    ),
    SILVER: pa.schema(
        [
            pa.field("workspace", pa.string(), nullable=False),
            pa.field("profile_id", pa.string(), nullable=False),
            pa.field("profile_place", pa.int64(), nullable=False),
            pa.field("source", pa.string(), nullable=False),
            pa.field("message_id", pa.string(), nullable=False),
            pa.field("message_place", pa.int64(), nullable=False),
            pa.field("type", pa.string(), nullable=False),
            pa.field("name", pa.string(), nullable=False),
            pa.field("timestamp", _TIME, nullable=False),
            pa.field("received_at", _TIME, nullable=False),
            pa.field("user_id", pa.string()),
            pa.field("anonymous_id", pa.string()),
            pa.field("group_id", pa.string()),
            pa.field("previous_id", pa.string()),
            pa.field("properties", pa.string()),
            pa.field("context", pa.string()),
            pa.field("traits", pa.string()),
            pa.field("partition", pa.int32(), nullable=False),
            pa.field("offset", pa.int64(), nullable=False),
            pa.field("day", pa.date32(), nullable=False),
        ]
    ),
    GOLD_EVENTS: pa.schema(
        [
            pa.field("workspace", pa.string(), nullable=False),
            pa.field("type", pa.string(), nullable=False),
            pa.field("name", pa.string(), nullable=False),
            pa.field("source", pa.string(), nullable=False),
            pa.field("events", pa.int64(), nullable=False),
            pa.field("profiles", pa.int64(), nullable=False),
            pa.field("day", pa.date32(), nullable=False),
        ]
    ),
    GOLD_PROFILES: pa.schema(
        [
            pa.field("workspace", pa.string(), nullable=False),
            pa.field("profiles", pa.int64(), nullable=False),
            pa.field("events", pa.int64(), nullable=False),
            pa.field("day", pa.date32(), nullable=False),
        ]
    ),
    GOLD_SIZES: pa.schema(
        [
            pa.field("workspace", pa.string(), nullable=False),
            pa.field("segment", pa.string(), nullable=False),
            pa.field("size", pa.int64(), nullable=False),
            pa.field("day", pa.date32(), nullable=False),
        ]
    ),
    GOLD_VALUE: pa.schema(
        [
            pa.field("workspace", pa.string(), nullable=False),
            pa.field("profile_id", pa.string(), nullable=False),
            pa.field("last_order_at", _TIME, nullable=False),
            pa.field("orders", pa.int64(), nullable=False),
            pa.field("value", pa.float64(), nullable=False),
        ]
    ),
}
PARTITIONED_BY: Final[Mapping[str, list[str]]] = {BRONZE: ["day", "partition"], SILVER: ["day"]}
"""The gold tables are small: a file a day of each would be thousands of files with a few rows each."""

COMPLETE_TO: Final = "complete-to"
"""The application transaction whose version is the instant, in Unix ms, up to which a table holds all there was."""

CONFIGURATION: Final = {
    # What nobody can go back to is soon removed from the log; a table is never read as of an older version here.
    "delta.logRetentionDuration": "interval 1 days",
    "delta.checkpointInterval": "50",
}
STATISTICS: Final = ("partition", "offset", "logged_at", "workspace", "profile_place", "timestamp", "received_at")
"""The columns by which files are left out. Otherwise Delta keeps them of the first 32, JSON texts among them."""

WRITER: Final = WriterProperties(compression="ZSTD", compression_level=1, max_row_group_size=_ROW_GROUP)
SORTED_WRITER: Final = WriterProperties(compression="ZSTD", compression_level=1, max_row_group_size=_SORTED_ROW_GROUP)


@dataclass(frozen=True, slots=True)
class LakeLocation:
    """Where the lake lies: a folder, or ``s3://bucket/prefix``.

    `storage` are object_store's options; what is not there is read from the variables that AWS's tools read.
    """

    url: str
    storage: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_local(self) -> bool:
        return "://" not in self.url or self.url.startswith("file://")

    def of(self, table: str) -> str:
        """The address of a table."""
        return f"{self.url.removeprefix('file://').rstrip('/')}/{table}"

    def open(self, table: str) -> DeltaTable | None:
        """The table as it is now; None where it has not been made. Raises LakeUnavailable."""
        with as_unavailable():
            try:
                return DeltaTable(self.of(table), storage_options=dict(self.storage))
            except TableNotFoundError:
                return None

    def create(self, table: str) -> DeltaTable:
        """The table, made where it was not there; by several at once too. Raises LakeUnavailable."""
        found = self.open(table)
        if found is not None:
            return found
        schema = SCHEMAS[table]
        known = ",".join(name for name in STATISTICS if name in schema.names)
        configuration = {**CONFIGURATION, **({"delta.dataSkippingStatsColumns": known} if known else {})}
        with as_unavailable():
            if self.is_local:
                Path(self.of(table)).mkdir(parents=True, exist_ok=True)
            try:
                return DeltaTable.create(
                    self.of(table),
                    schema=schema,
                    mode="error",
                    partition_by=PARTITIONED_BY.get(table),
                    configuration=configuration,
                    storage_options=dict(self.storage),
                )
            except DeltaError:
                found = self.open(table)  # somebody else was first
                if found is None:
                    raise
                return found


@contextmanager
def as_unavailable() -> Iterator[None]:
    """Raise what the storage and the tables' library raise as LakeUnavailable."""
    try:
        yield
    except (DeltaError, OSError) as error:
        raise LakeUnavailable(f"{type(error).__name__}: {error}") from error
