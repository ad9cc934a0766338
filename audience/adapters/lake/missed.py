"""What profiles did before a cut, as far as given leaves measure it: the lake's part of a backfill.

Every profile of a workspace is given, in the order of their places: those that the lake knows, and others that it is
told of. Events keep the JSON of their properties and context as it lies in silver.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, Final, NamedTuple

import msgspec
import pyarrow as pa

from audience.adapters.lake.bronze import position_app
from audience.adapters.lake.duck import Bounds, Duck, as_answers, literal
from audience.adapters.lake.histories import around, matching, seen_by
from audience.adapters.lake.silver import PROFILE_PLACE
from audience.adapters.lake.tables import SILVER, LakeLocation
from audience.ports.lake import PLACES
from audience.rules.tree import Node
from audience.wire.parts import Placed, in_parts

_TEXTS: Final = ("properties", "context", "traits")
_EMPTY: Final = msgspec.Raw(b"{}")
_encode: Final = msgspec.json.Encoder().encode
_whose: Final = itemgetter(0, 1)


class Archived(
    msgspec.Struct, frozen=True, gc=False, tag_field="schema", tag="event/1", omit_defaults=True, kw_only=True
):
    """An `audience.wire.topics.EventRecord` with what leaves can measure."""

    workspace: str
    source: str
    profile_id: str
    message_id: str
    type: str
    time_ms: int
    received_ms: int
    name: str = ""
    properties: msgspec.Raw = _EMPTY
    context: msgspec.Raw = _EMPTY
    traits: msgspec.Raw = _EMPTY


class Missed(NamedTuple):
    """A profile and its events before the cut, with their offsets and in their order."""

    profile_id: str
    events: Sequence[tuple[int, Archived]]

    def parts(self) -> list[tuple[Placed, ...]]:
        """The events as commands hold them; one part without events where there are none."""
        return list(in_parts((offset, msgspec.Raw(_encode(event))) for offset, event in self.events))


class MissedEvents:
    """One connection, for one thread and one pass. `known` are profiles that the lake may know nothing of."""

    def __init__(self, location: LakeLocation, bounds: Bounds, workspace: str, cut: Mapping[int, int]) -> None:
        self._duck = Duck(location, bounds)
        self._workspace = workspace
        self._cut = cut
        self._before = " OR ".join(
            f'("partition" = {partition} AND "offset" < {end})' for partition, end in cut.items()
        ) or "false"  # fmt: skip
        self._duck.run("CREATE TEMP TABLE known (profile_place BIGINT, profile_id VARCHAR)")

    def close(self) -> None:
        """Give the connection back."""
        self._duck.close()

    def complete(self) -> bool:
        """Whether silver holds everything before the cut. Raises LakeUnavailable."""
        self._duck.refresh()
        table = self._duck.table(SILVER)
        if table is None:
            return not any(self._cut.values())
        return all((table.transaction_version(position_app(part)) or 0) >= end for part, end in self._cut.items())

    def know(self, profile_ids: Sequence[str]) -> None:
        """There are these profiles, too."""
        self._duck.connection.register("told", pa.table({"profile_id": pa.array(profile_ids, pa.string())}))
        self._duck.run(
            f"""INSERT INTO known SELECT {PROFILE_PLACE}, profile_id
            FROM (SELECT {literal(self._workspace)} AS workspace, profile_id FROM told)"""
        )
        self._duck.connection.unregister("told")

    def count(self, nodes: Iterable[Node], now_ms: int) -> tuple[int, int]:
        """How many profiles there are, and how many events of theirs will be given. Raises LakeUnavailable."""
        asked, _ = self._asked(nodes, now_ms)
        duck = self._duck
        with as_answers():
            [[events]] = duck.connection.execute(
                f"SELECT count(*) FROM {self._source(0, PLACES)} WHERE {self._mine} AND ({asked})"
            ).fetchall()
            [[profiles]] = duck.connection.execute(
                f"""SELECT count(*) FROM (SELECT profile_place FROM {self._source(0, PLACES)} WHERE {self._mine}
                UNION SELECT profile_place FROM known)"""
            ).fetchall()
        return profiles, events

    def count_all(self) -> tuple[int, int]:
        """How many profiles and events the lake has before the cut. Raises LakeUnavailable."""
        with as_answers():
            [found] = self._duck.connection.execute(
                f"SELECT count(DISTINCT profile_place), count(*) FROM {self._source(0, PLACES)} WHERE {self._mine}"
            ).fetchall()
        profiles, events = found
        return profiles, events

    def between(self, first_place: int, end_place: int, nodes: Iterable[Node], now_ms: int) -> Iterator[Missed]:
        """The profiles between two places. Raises LakeUnavailable, LakeTooSlow."""
        return self._between(first_place, end_place, *self._asked(nodes, now_ms))

    def all_between(self, first_place: int, end_place: int) -> Iterator[Missed]:
        """The same with every event there is. Raises LakeUnavailable, LakeTooSlow."""
        return self._between(first_place, end_place, "true", {*_TEXTS})

    def _between(self, first_place: int, end_place: int, asked: str, texts: set[str]) -> Iterator[Missed]:
        source = self._source(first_place, end_place)
        between = f"profile_place >= {first_place} AND profile_place < {end_place}"
        columns = ", ".join(name if name in texts else f"NULL AS {name}" for name in _TEXTS)
        found = self._duck.rows(
            f"""SELECT profile_place, profile_id, "offset" AS o, source, message_id, type, name,
                    epoch_ms("timestamp"), epoch_ms(received_at), {columns}
                FROM {source} WHERE {self._mine} AND {between} AND ({asked})
                UNION ALL SELECT DISTINCT profile_place, profile_id, -1, {", ".join(["NULL"] * 9)}
                FROM (SELECT profile_place, profile_id FROM {source} WHERE {self._mine} AND {between}
                    UNION SELECT profile_place, profile_id FROM known WHERE {between})
                ORDER BY profile_place, profile_id, o"""
        )
        for (_, profile_id), rows in groupby(found, key=_whose):
            # The first row says that there is the profile.
            yield Missed(profile_id, [(row[2], self._event(row)) for row in rows if row[2] >= 0])

    @property
    def _mine(self) -> str:
        return f"workspace = {literal(self._workspace)} AND ({self._before})"

    def _source(self, first_place: int, end_place: int) -> str:
        return self._duck.source(SILVER, around(self._workspace, first_place, end_place))

    def _asked(self, nodes: Iterable[Node], now_ms: int) -> tuple[str, set[str]]:
        seen, texts = seen_by(nodes)
        return " OR ".join(f"({each})" for each in matching(seen, now_ms)) or "false", texts

    def _event(self, row: tuple[Any, ...]) -> Archived:
        _, profile_id, _, source, message_id, type_, name, time_ms, received_ms, *texts = row
        properties, context, traits = (msgspec.Raw(text.encode()) if text else _EMPTY for text in texts)
        return Archived(
            workspace=self._workspace, source=source, profile_id=profile_id, message_id=message_id, type=type_,
            name=name, time_ms=time_ms, received_ms=received_ms,
            properties=properties, context=context, traits=traits,
        )  # fmt: skip
