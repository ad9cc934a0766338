"""The archive: records of the topic `events` as they lie there, each once.

Every commit carries, for each partition of the topic, a Delta application transaction whose version is the offset of
the next record. It is one with the data: a writer that was killed, or another one that works beside it, begins where
the table ends, and a commit that would repeat records is refused by the table itself.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Final

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError

from audience.adapters.lake.tables import BRONZE, COMPLETE_TO, SCHEMAS, WRITER, LakeLocation, as_unavailable
from audience.ports.lake import LakeUnavailable, LogEntry

ATTEMPTS: Final = 3
_DAY_MS: Final = 86_400_000


def position_app(partition: int) -> str:
    """The application id under which bronze keeps a partition's position."""
    return f"events-{partition}"


class DeltaArchive:
    """Implements `audience.ports.lake.Archive`. Not for several threads."""

    def __init__(self, location: LakeLocation) -> None:
        self._location = location
        self._table: DeltaTable | None = None

    def positions(self, partitions: Iterable[int]) -> Mapping[int, int]:
        """As the table says now."""
        table = self._open()
        with as_unavailable():
            table.update_incremental()
        return {partition: table.transaction_version(position_app(partition)) or 0 for partition in partitions}

    def append(self, entries: Sequence[LogEntry], complete_to_ms: int) -> int:
        """One commit; none where nothing is new and the table has been complete to this minute already."""
        for _ in range(ATTEMPTS):
            table = self._open()
            known = {
                partition: table.transaction_version(position_app(partition)) or 0
                for partition in {entry.partition for entry in entries}
            }
            fresh = [entry for entry in entries if entry.offset >= known[entry.partition]]
            try:
                with as_unavailable():
                    _commit(table, fresh, complete_to_ms)
            except LakeUnavailable as error:
                if not isinstance(error.__cause__, CommitFailedError):
                    raise
                self._table = None  # somebody else has written: look again at what is there
                continue
            return len(fresh)
        raise LakeUnavailable(f"{BRONZE} is being written by others all the time")

    def _open(self) -> DeltaTable:
        if self._table is None:
            self._table = self._location.create(BRONZE)
        return self._table


def _commit(table: DeltaTable, entries: Sequence[LogEntry], complete_to_ms: int) -> None:
    ends: dict[int, int] = {}
    for entry in entries:
        ends[entry.partition] = max(entry.offset + 1, ends.get(entry.partition, 0))
    complete_to_ms = max(complete_to_ms, table.transaction_version(COMPLETE_TO) or 0)
    transactions = [Transaction(position_app(partition), end) for partition, end in ends.items()]
    properties = CommitProperties(app_transactions=[*transactions, Transaction(COMPLETE_TO, complete_to_ms)])
    if entries:
        write_deltalake(table, rows(entries), mode="append", commit_properties=properties, writer_properties=WRITER)
    else:
        table.create_write_transaction([], mode="append", schema=table.schema(), commit_properties=properties)


def rows(entries: Sequence[LogEntry]) -> pa.Table:
    """The entries as bronze's rows."""
    days = {number: _day(number) for number in {entry.timestamp_ms // _DAY_MS for entry in entries}}
    columns = [
        [entry.partition for entry in entries],
        [entry.offset for entry in entries],
        [entry.timestamp_ms * 1_000 for entry in entries],
        [entry.key for entry in entries],
        [entry.value for entry in entries],
        [days[entry.timestamp_ms // _DAY_MS] for entry in entries],
    ]
    schema = SCHEMAS[BRONZE]
    return pa.table([pa.array(column, each.type) for column, each in zip(columns, schema, strict=True)], schema=schema)


def _day(number: int) -> date:
    return datetime.fromtimestamp(number * 86_400, UTC).date()
