"""Keeps the lake's tables in good order: few files, no files that nothing refers to, no days beyond the retention.

Silver's days are sorted by the profiles' places once they are over, so that a sample of profiles, or one of them, is
read from a small part of each file.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError

from audience.adapters.lake.tables import (
    BRONZE,
    GOLD_EVENTS,
    GOLD_PROFILES,
    GOLD_SIZES,
    PARTITIONED_BY,
    SCHEMAS,
    SILVER,
    SORTED_WRITER,
    WRITER,
    LakeLocation,
    as_unavailable,
)

MANY_FILES: Final = 16
"""So many files of a day that is not over are made one."""

_SPILL_BYTES: Final = 4 << 30
_SORT_BYTES: Final = 256 << 20


@dataclass(frozen=True, slots=True)
class TableSize:
    """What a table takes."""

    files: int
    rows: int
    size_bytes: int


class Upkeep:
    """Housekeeping by one process at a time; readers and the archive may be at work."""

    def __init__(self, location: LakeLocation) -> None:
        self._location = location

    def compact(self, now_ms: int) -> int:
        """Merge the files of days; gives how many files went away."""
        today = _day(now_ms)
        return sum(self._compact(name, today) for name in PARTITIONED_BY)

    def _compact(self, name: str, today: date) -> int:
        table = self._location.open(name)
        if table is None:
            return 0
        parts = PARTITIONED_BY[name]
        with as_unavailable():
            files = pa.table(table.get_add_actions(flatten=True))
            numbers = Counter(zip(*(files.column(f"partition.{part}").to_pylist() for part in parts), strict=True))
            gone = 0
            for values, number in sorted(numbers.items()):
                over = values[0] < today
                if number <= (1 if over else MANY_FILES):
                    continue
                filters = [(part, "=", str(value)) for part, value in zip(parts, values, strict=True)]
                gone += _merge(table, filters, sort=over and name == SILVER)
        return gone

    def retain(self, now_ms: int, days: int) -> int:
        """Delete the days that began more than `days` days ago; gives how many files went with them."""
        first = _day(now_ms) - timedelta(days=days)
        gone = 0
        for name in (BRONZE, SILVER, GOLD_EVENTS, GOLD_PROFILES, GOLD_SIZES):
            table = self._location.open(name)
            if table is not None:
                with as_unavailable():
                    gone += table.delete(f"day < '{first.isoformat()}'")["num_removed_files"]
        return gone

    def vacuum(self, hours: int) -> int:
        """Remove files that no table has referred to for so many hours, those of killed writers too; how many."""
        removed = 0
        for name in SCHEMAS:
            table = self._location.open(name)
            if table is not None:
                with as_unavailable():
                    removed += len(table.vacuum(hours, dry_run=False, enforce_retention_duration=False, full=True))
                    table.create_checkpoint()
                    table.cleanup_metadata()
        return removed

    def sizes(self) -> dict[str, TableSize]:
        """What each table that is there takes."""
        found: dict[str, TableSize] = {}
        for name in SCHEMAS:
            table = self._location.open(name)
            if table is not None:
                with as_unavailable():
                    files = pa.table(table.get_add_actions())
                rows, size = (
                    sum(each or 0 for each in files.column(key).to_pylist()) for key in ("num_records", "size_bytes")
                )
                found[name] = TableSize(files.num_rows, rows, size)
        return found


def _merge(table: DeltaTable, filters: list[tuple[str, str, Any]], *, sort: bool) -> int:
    """One day's files; gives how many went away. What another writer changed meanwhile is done next time."""
    try:
        if sort:
            done = table.optimize.z_order(
                ["profile_place"],
                partition_filters=filters,
                writer_properties=SORTED_WRITER,
                max_spill_size=_SORT_BYTES,
                max_temp_directory_size=_SPILL_BYTES,
            )
        else:
            done = table.optimize.compact(partition_filters=filters, writer_properties=WRITER, max_concurrent_tasks=1)
    except CommitFailedError:
        table.update_incremental()
        return 0
    return int(done["numFilesRemoved"]) - int(done["numFilesAdded"])


def _day(now_ms: int) -> date:
    return datetime.fromtimestamp(now_ms / 1000, UTC).date()
