"""From bronze to silver: one row for each accepted event, each message once, its common columns typed.

A copy is an event with the `messageId` of another one of its profile and source that came in the COPIES_WITHIN_MS
before it. The first stands, as in the engine, whose memory of ids is 24 to 32 hours long. Properties, context and
traits stay the JSON text in which they lie in the topic, without white space.

Where silver stands is kept as bronze keeps it: an application transaction for each partition, one with the rows.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake

from audience.adapters.lake.bronze import position_app
from audience.adapters.lake.duck import DataFile, Duck
from audience.adapters.lake.tables import (
    BRONZE,
    COMPLETE_TO,
    SCHEMAS,
    SILVER,
    SORTED_WRITER,
    LakeLocation,
    as_unavailable,
)
from audience.ports.lake import Refined

COPIES_WITHIN_MS: Final = 32 * 3_600_000
_EMPTY: Final = b"{}"

PROFILE_PLACE: Final = "(md5_number_lower(workspace || ':' || profile_id) >> 1)::BIGINT"
_MESSAGE_PLACE: Final = "(md5_number_lower(profile_id || chr(10) || source || chr(10) || message_id) >> 1)::BIGINT"
"""Evenly spread numbers by which rows are sorted, sampled and looked up."""


class _Row(msgspec.Struct, gc=False, tag_field="schema", tag="event/1"):
    """An event of the topic with the parts that stay text left as they are."""

    workspace: str
    source: str
    profile_id: str
    message_id: str
    type: str
    time_ms: int
    received_ms: int
    name: str = ""
    user_id: str | None = None
    anonymous_id: str | None = None
    previous_id: str | None = None
    group_id: str | None = None
    properties: msgspec.Raw = msgspec.Raw(_EMPTY)
    context: msgspec.Raw = msgspec.Raw(_EMPTY)
    traits: msgspec.Raw = msgspec.Raw(_EMPTY)


_decode: Final = msgspec.json.Decoder(_Row).decode
_TEXTS: Final = ("properties", "context", "traits")
_IDS: Final = ("user_id", "anonymous_id", "group_id", "previous_id")
_FRESH: Final = pa.schema(
    [
        *(pa.field(name, pa.string()) for name in ("workspace", "profile_id", "source", "message_id", "type", "name")),
        pa.field("time_us", pa.int64()),
        pa.field("received_us", pa.int64()),
        *(pa.field(name, pa.string()) for name in (*_IDS, *_TEXTS)),
        pa.field("partition", pa.int32()),
        pa.field("offset", pa.int64()),
    ]
)
_NEW: Final = f"""
    CREATE OR REPLACE TEMP TABLE new_events AS
    SELECT * EXCLUDE (time_us, received_us),
        make_timestamptz(time_us) AS timestamp, make_timestamptz(received_us) AS received_at,
        (make_timestamptz(received_us) AT TIME ZONE 'UTC')::DATE AS day,
        {PROFILE_PLACE} AS profile_place, {_MESSAGE_PLACE} AS message_place
    FROM fresh
"""
_SAME: Final = "workspace, profile_id, source, message_id"


class Refining:
    """Steps from bronze to silver over one connection to both."""

    def __init__(self, location: LakeLocation, duck: Duck) -> None:
        self._location = location
        self._duck = duck

    def step(self, most: int) -> Refined:
        """Take up to about `most` records of bronze into silver: one commit, or none where nothing is new."""
        silver = self._location.create(SILVER)
        self._duck.refresh()
        bronze = self._duck.table(BRONZE)
        if bronze is None:
            return Refined(0, 0, 0)
        complete_to_ms = bronze.transaction_version(COMPLETE_TO) or 0
        files = self._duck.files(BRONZE)
        ends = {
            partition: bronze.transaction_version(position_app(partition)) or 0
            for partition in {each.facts["partition.partition"] for each in files}
        }
        begins = {partition: silver.transaction_version(position_app(partition)) or 0 for partition in ends}
        chosen, ends = _next_files(files, begins, ends, most)
        if not chosen:
            if complete_to_ms > (silver.transaction_version(COMPLETE_TO) or 0):
                _commit(silver, None, {}, complete_to_ms)
            return Refined(0, 0, 0)
        whole = all(
            end == (bronze.transaction_version(position_app(partition)) or 0) for partition, end in ends.items()
        )
        records = self._records(chosen, begins, ends)
        fresh, unreadable = _rows_of(records)
        table, copies = self._without_copies(fresh)
        moved = {partition: end for partition, end in ends.items() if end > begins[partition]}
        _commit(silver, table, moved, complete_to_ms if whole else 0)
        return Refined(table.num_rows, copies, unreadable)

    def _records(self, chosen: set[str], begins: dict[int, int], ends: dict[int, int]) -> pa.Table:
        where = " OR ".join(
            f'("partition" = {partition} AND "offset" >= {begins[partition]} AND "offset" < {end})'
            for partition, end in ends.items()
            if end > begins[partition]
        )
        source = self._duck.source(BRONZE, lambda each: each.address in chosen)
        return self._duck.arrow(f'SELECT "partition", "offset", value FROM {source} WHERE {where}')

    def _without_copies(self, fresh: pa.Table) -> tuple[pa.Table, int]:
        """The rows to add, in the order of their profiles' places, and how many were copies."""
        duck = self._duck
        duck.connection.register("fresh", fresh)
        duck.run(_NEW)
        duck.connection.unregister("fresh")
        duck.run(
            f"""CREATE OR REPLACE TEMP TABLE kept AS SELECT * FROM new_events
            QUALIFY row_number() OVER (PARTITION BY {_SAME} ORDER BY "partition", "offset") = 1"""
        )
        [[oldest]] = duck.connection.execute("SELECT min(epoch_ms(received_at)) FROM kept").fetchall()
        if oldest is not None:
            self._leave_out_known(oldest - COPIES_WITHIN_MS)
        columns = ", ".join(f'"{name}"' for name in SCHEMAS[SILVER].names)
        table = duck.arrow(f"SELECT {columns} FROM kept ORDER BY profile_place, profile_id, timestamp")
        return table.cast(SCHEMAS[SILVER]), fresh.num_rows - table.num_rows

    def _leave_out_known(self, since_ms: int) -> None:
        def recent(each: DataFile) -> bool:
            newest = each.facts.get("max.received_at")
            return newest is None or newest.timestamp() * 1_000 >= since_ms

        source = self._duck.source(SILVER, recent)
        # By the places first: one number a row is read, and the texts only of the few rows that have one in common.
        self._duck.run(
            f"""CREATE OR REPLACE TEMP TABLE known AS SELECT {_SAME}, received_at FROM {source}
            WHERE epoch_ms(received_at) >= {since_ms} AND message_place IN (SELECT message_place FROM kept)"""
        )
        self._duck.run(
            f"""DELETE FROM kept WHERE EXISTS (
                SELECT 1 FROM known WHERE known.workspace = kept.workspace AND known.profile_id = kept.profile_id
                AND known.source = kept.source AND known.message_id = kept.message_id
                AND epoch_ms(known.received_at) >= epoch_ms(kept.received_at) - {COPIES_WITHIN_MS}
            )"""
        )


def _next_files(
    files: Iterable[DataFile], begins: dict[int, int], ends: dict[int, int], most: int
) -> tuple[set[str], dict[int, int]]:
    """The files to read next, and for each partition the offset to which they hold everything."""
    waiting = [each for each in files if each.facts["max.offset"] >= begins[each.facts["partition.partition"]]]
    waiting.sort(key=lambda each: each.facts["min.logged_at"])
    chosen: set[str] = set()
    taken = 0
    for each in waiting:
        if chosen and taken + each.rows > most:
            # What lies in files that have to wait limits how far the others count.
            partition = each.facts["partition.partition"]
            ends[partition] = min(ends[partition], max(each.facts["min.offset"], begins[partition]))
            continue
        chosen.add(each.address)
        taken += each.rows
    return chosen, ends


def _rows_of(records: pa.Table) -> tuple[pa.Table, int]:
    """The records decoded, and how many were no events."""
    columns: dict[str, list[Any]] = {name: [] for name in _FRESH.names}
    unreadable = 0
    parts: Sequence[int] = records.column("partition").to_pylist()
    offsets: Sequence[int] = records.column("offset").to_pylist()
    for partition, offset, value in zip(parts, offsets, records.column("value").to_pylist(), strict=True):
        try:
            row = _decode(value or b"")
        except msgspec.MsgspecError:
            unreadable += 1
            continue
        for name in ("workspace", "profile_id", "source", "message_id", "type", "name", *_IDS):
            columns[name].append(getattr(row, name))
        columns["time_us"].append(row.time_ms * 1_000)
        columns["received_us"].append(row.received_ms * 1_000)
        for name in _TEXTS:
            text = bytes(getattr(row, name))
            columns[name].append(None if text == _EMPTY else text)
        columns["partition"].append(partition)
        columns["offset"].append(offset)
    return pa.table([pa.array(columns[each.name], each.type) for each in _FRESH], schema=_FRESH), unreadable


def put_rows(location: LakeLocation, rows: pa.Table, complete_to_ms: int) -> None:
    """Add rows as they are, for those who make a lake whole. Raises LakeUnavailable."""
    _commit(location.create(SILVER), rows.cast(SCHEMAS[SILVER]), {}, complete_to_ms)


def _commit(silver: DeltaTable, rows: pa.Table | None, positions: dict[int, int], complete_to_ms: int) -> None:
    transactions = [Transaction(position_app(partition), end) for partition, end in positions.items()]
    if complete_to_ms > (silver.transaction_version(COMPLETE_TO) or 0):
        transactions.append(Transaction(COMPLETE_TO, complete_to_ms))
    properties = CommitProperties(app_transactions=transactions)
    with as_unavailable():
        if rows is not None and rows.num_rows:
            write_deltalake(silver, rows, mode="append", commit_properties=properties, writer_properties=SORTED_WRITER)
        else:
            silver.create_write_transaction([], mode="append", schema=silver.schema(), commit_properties=properties)
