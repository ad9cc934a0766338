"""What is counted over silver: events by name and active profiles of each day, sizes of segments, profiles' value.

A day is the event's own. Days that have changed are counted anew from silver as a whole, since profiles of a day cannot
be added up; doing it twice changes nothing.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Final

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake

from audience.adapters.lake.duck import Duck, literal
from audience.adapters.lake.tables import (
    GOLD_EVENTS,
    GOLD_PROFILES,
    GOLD_SIZES,
    GOLD_VALUE,
    SCHEMAS,
    SILVER,
    WRITER,
    LakeLocation,
    as_unavailable,
)

COUNTED_TO: Final = "silver-files-to"
"""The application transaction whose version is the newest modification, in Unix ms, of the silver files counted."""

OVERLAP_MS: Final = 600_000
"""A file may be committed after one that was written later; so long they are looked at again."""

_DAY: Final = "(timestamp AT TIME ZONE 'UTC')::DATE"


class Counting:
    """Aggregates over one connection. `order_event` and `revenue` say which events are orders, and their worth."""

    def __init__(self, location: LakeLocation, duck: Duck, *, order_event: str, revenue: str) -> None:
        self._location = location
        self._duck = duck
        self._order_event = order_event
        self._revenue = revenue

    def step(self, *, everything: bool = False) -> int:
        """Count the days anew that have changed; gives how many. The profiles' value with them."""
        events = self._location.create(GOLD_EVENTS)
        profiles = self._location.create(GOLD_PROFILES)
        self._duck.refresh()
        files = self._duck.files(SILVER)
        newest = max((each.facts["modification_time"] for each in files), default=0)
        counted_to = 0 if everything else profiles.transaction_version(COUNTED_TO) or 0
        if newest <= counted_to:
            return 0
        changed = {each.address for each in files if each.facts["modification_time"] > counted_to - OVERLAP_MS}
        source = self._duck.source(SILVER, lambda each: each.address in changed)
        found = self._duck.arrow(f"SELECT DISTINCT {_DAY} AS day FROM {source}")
        days: list[date] = sorted(found.column("day").to_pylist())
        if days:
            self._count(days, events, profiles, newest)
            self._value()
        return len(days)

    def _count(self, days: Sequence[date], events: DeltaTable, profiles: DeltaTable, newest: int) -> None:
        first = days[0]
        # No event is older than the day on which it came.
        source = self._duck.source(SILVER, lambda each: each.facts["partition.day"] >= first)
        listed = ", ".join(literal(day.isoformat()) for day in days)
        where = f"day >= {literal(first.isoformat())} AND {_DAY} IN ({listed})"
        by_name = self._duck.arrow(
            f"""SELECT workspace, type, name, source, count(*) AS events, count(DISTINCT profile_place) AS profiles,
                {_DAY} AS "day" FROM {source} WHERE {where} GROUP BY ALL ORDER BY "day", 1, 2, 3"""
        )
        by_day = self._duck.arrow(
            f"""SELECT workspace, count(DISTINCT profile_place) AS profiles, count(*) AS events, {_DAY} AS "day"
                FROM {source} WHERE {where} GROUP BY ALL ORDER BY "day", 1"""
        )
        predicate = f"day IN ({listed})"
        _replace(events, GOLD_EVENTS, by_name, predicate, {})
        # Last: what says that the days are counted.
        _replace(profiles, GOLD_PROFILES, by_day, predicate, {COUNTED_TO: newest})

    def _value(self) -> None:
        table = self._location.create(GOLD_VALUE)
        path = literal(f'$."{self._revenue}"')
        rows = self._duck.arrow(
            f"""SELECT workspace, profile_id, max(timestamp) AS last_order_at, count(*) AS orders,
                coalesce(sum(try_cast(json_extract_string(properties, {path}) AS DOUBLE))
                    FILTER (json_type(properties, {path}) IN ('DOUBLE', 'BIGINT', 'UBIGINT')), 0) AS value
                FROM {self._duck.source(SILVER)} WHERE type = 'track' AND name = {literal(self._order_event)}
                GROUP BY workspace, profile_id ORDER BY workspace, profile_id"""
        )
        _replace(table, GOLD_VALUE, rows, None, {})

    def keep_sizes(self, sizes: Mapping[str, Mapping[str, int]], now_ms: int) -> None:
        """Keep the sizes of each workspace's segments as those of today; the last of a day stay."""
        table = self._location.create(GOLD_SIZES)
        today = datetime.fromtimestamp(now_ms / 1000, UTC).date()
        rows = [
            {"workspace": workspace, "segment": segment, "size": size, "day": today}
            for workspace, found in sizes.items()
            for segment, size in found.items()
        ]
        predicate = f"day = {literal(today.isoformat())}"
        _replace(table, GOLD_SIZES, pa.Table.from_pylist(rows, SCHEMAS[GOLD_SIZES]), predicate, {})


def _replace(
    table: DeltaTable, name: str, rows: pa.Table, predicate: str | None, transactions: Mapping[str, int]
) -> None:
    properties = CommitProperties(app_transactions=[Transaction(*each) for each in transactions.items()])
    with as_unavailable():
        write_deltalake(
            table,
            rows.cast(SCHEMAS[name]),
            mode="overwrite",
            predicate=predicate,
            commit_properties=properties,
            writer_properties=WRITER,
        )
