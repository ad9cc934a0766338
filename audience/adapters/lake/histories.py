"""Reads silver for those who replay events: whose histories may matter to a rule, and the histories themselves.

Profiles come in the order of their places, evenly spread numbers by which silver is sorted: those up to a place are a
random sample of all, and are read from a small part of the files. Only events that the rule can ask for are read, and
of those only the columns that it looks at.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

import msgspec

from audience.adapters.lake.duck import Bounds, DataFile, Duck, Wanted, as_answers, literal
from audience.adapters.lake.necessities import NOTHING, Need, Needs, after, atoms, having
from audience.adapters.lake.silver import PROFILE_PLACE
from audience.adapters.lake.tables import COMPLETE_TO, SILVER, LakeLocation
from audience.ports.event_log import KeptEvent
from audience.ports.lake import History, LakeTooSlow, Question
from audience.rules.references import nodes_of
from audience.rules.tree import EventNode, Node, Pattern, Trait, Window
from audience.rules.tree import Sequence as SequenceNode
from audience.wire.topics import EventRecord

_NO_OBJECT: Final[dict[str, Any]] = {}
_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode
_BASE: Final = (
    'profile_place, profile_id, source, message_id, type, name, epoch_ms("timestamp") AS time_ms, '
    "epoch_ms(received_at) AS received_ms"
)
_TEXTS: Final = ("properties", "context", "traits")
_whose: Final = itemgetter(0, 1)


class DuckLakeReader:
    """Implements `audience.ports.lake.LakeReader` over one connection, which stays open. For one thread."""

    def __init__(self, location: LakeLocation, bounds: Bounds) -> None:
        self.duck = Duck(location, bounds)

    def close(self) -> None:
        """Give the connection back."""
        self.duck.close()

    @contextmanager
    def candidates(self, question: Question, deadline_s: float) -> Iterator["SilverCandidates"]:
        """Those that a rule may hold for, as the lake is now; everybody where it takes too long to find them."""
        duck = self.duck
        duck.refresh()
        found = SilverCandidates(duck, question)
        try:
            with duck.until(deadline_s):
                found.narrow()
        except LakeTooSlow:
            found.count = None
        yield found

    def events_of(self, workspace: str, profile_id: str, deadline_s: float) -> Sequence[KeptEvent]:
        """One profile's, found by its place."""
        duck = self.duck
        duck.refresh()
        with duck.until(deadline_s), as_answers():
            mine = f"SELECT {literal(workspace)} AS workspace, {literal(profile_id)} AS profile_id"
            [[place]] = duck.connection.execute(f"SELECT {PROFILE_PLACE} FROM ({mine})").fetchall()
            rows = duck.connection.execute(
                f"""SELECT {_BASE}, {", ".join(_TEXTS)}, user_id, anonymous_id, group_id
                FROM {duck.source(SILVER, around(workspace, place, place + 1))} WHERE profile_place = {place}
                AND workspace = {literal(workspace)} AND profile_id = {literal(profile_id)}
                ORDER BY "partition", "offset" """
            ).fetchall()
        return [_event(workspace, row) for row in rows]


class SilverCandidates:
    """Implements `audience.ports.lake.Candidates`."""

    def __init__(self, duck: Duck, question: Question) -> None:
        self._duck = duck
        self._question = question
        self._asked, self._texts = _asked(question)
        table = duck.table(SILVER)
        self.complete_to_ms = 0 if table is None else table.transaction_version(COMPLETE_TO) or 0
        self.events = sum(each.rows for each in duck.files(SILVER))
        self.count: int | None = None

    def narrow(self) -> None:
        """Look for the candidates; nothing to look for where everybody is one."""
        question, duck = self._question, self._duck
        need = Needs(question.now_ms, question.segments, question.computed_traits).of(question.rule)
        if need == NOTHING:
            return
        found = atoms(need)
        numbers = {where: f"n{index}" for index, where in enumerate(dict.fromkeys(atom.where for atom in found))}
        counted = ", ".join(f"count(*) FILTER ({where}) AS {name}" for where, name in numbers.items())
        anything = " OR ".join(f"({where})" for where in numbers)
        duck.run(
            f"""CREATE OR REPLACE TEMP TABLE candidates AS SELECT profile_place FROM (
                SELECT profile_place, {counted} FROM {duck.source(SILVER, _since(question.workspace, need))}
                WHERE workspace = {literal(question.workspace)} AND ({anything}) GROUP BY profile_place
            ) WHERE {having(need, numbers)}"""
        )
        [[self.count]] = duck.connection.execute("SELECT count(*) FROM candidates").fetchall()

    def histories(self, first_place: int, end_place: int, deadline_s: float) -> Iterator[History]:
        """Those between two places. Of everybody also who has never done what is asked for: with an event that no
        rule sees, so that there is a profile."""
        workspace, duck = self._question.workspace, self._duck
        between = f"profile_place >= {first_place} AND profile_place < {end_place}"
        source = duck.source(SILVER, around(workspace, first_place, end_place))
        among = f"workspace = {literal(workspace)} AND {between}"
        if self.count is not None:
            among += f" AND profile_place IN (SELECT profile_place FROM candidates WHERE {between})"
        columns = ", ".join(name if name in self._texts else f"NULL AS {name}" for name in _TEXTS)
        sql = f"""SELECT {_BASE}, {columns}, "partition" AS p, "offset" AS o
            FROM {source} WHERE {among} AND ({self._asked})"""
        if self.count is None:
            sql += f""" UNION ALL SELECT profile_place, profile_id, '', '', 'group', '',
                epoch_ms(min("timestamp")), epoch_ms(min(received_at)), NULL, NULL, NULL, -1, -1
                FROM {source} WHERE {among} GROUP BY profile_place, profile_id"""
        with duck.until(deadline_s):
            found = duck.rows(f"{sql} ORDER BY profile_place, profile_id, p, o")
            for (place, profile_id), rows in groupby(found, key=_whose):
                yield History(profile_id, place, [_event(workspace, row) for row in rows])


def around(workspace: str, first_place: int, end_place: int) -> Wanted:
    def wanted(each: DataFile) -> bool:
        facts = each.facts
        near = facts["min.profile_place"] < end_place and facts["max.profile_place"] >= first_place
        return near and _of(workspace, each)

    return wanted


def _of(workspace: str, each: DataFile) -> bool:
    """Whether a file may hold something of a workspace. Long texts are cut in the statistics; slugs are short."""
    low, high = each.facts.get("min.workspace"), each.facts.get("max.workspace")
    return low is None or high is None or low <= workspace <= high


def _since(workspace: str, need: Need) -> Wanted:
    """No event came before it happened, so days before all windows hold nothing of interest."""
    since = [atom.since_ms for atom in atoms(need)]
    oldest = min((each for each in since if each is not None), default=None)
    first = date.min if oldest is None or None in since else _day(oldest)
    return lambda each: each.facts["partition.day"] >= first and _of(workspace, each)


def _day(at_ms: int) -> date:
    return datetime.fromtimestamp(at_ms / 1000, UTC).date()


def _asked(question: Question) -> tuple[str, frozenset[str]]:
    """SQL for the events that the rules can see at all, and the texts of them that they look into."""
    seen: list[tuple[Pattern, Window | None]] = []
    texts: set[str] = set()
    for trait in question.computed_traits.values():
        seen.append((trait.pattern, trait.window))
        texts |= {"properties"} if trait.measure.path else set()
    nodes = [each for rule in (question.rule, *question.segments.values()) for each in nodes_of(rule)]
    measured, looked_into = seen_by(nodes)
    names = set(matching(seen + measured, question.now_ms))
    texts |= looked_into | looked_into_by(seen)
    if any(isinstance(node, Trait) for node in nodes):
        names.add("type = 'identify'")
        texts |= {"traits", "context"}
    return " OR ".join(f"({each})" for each in sorted(names)) or "false", frozenset(texts)


Seen = Sequence[tuple[Pattern, Window | None]]
"""Patterns of events, each with the window that they are looked at in."""


def seen_by(nodes: Iterable[Node]) -> tuple[list[tuple[Pattern, Window | None]], set[str]]:
    """The events that nodes measure, and the texts of them that they look into."""
    seen: list[tuple[Pattern, Window | None]] = []
    texts: set[str] = set()
    for node in nodes:
        match node:
            case EventNode(pattern, window, measure):
                seen.append((pattern, window))
                texts |= {"properties"} if measure.path else set()
            case SequenceNode(steps, absent, window):
                seen += [(step.pattern, window) for step in (*steps, *((absent,) if absent else ()))]
            case _:
                pass
    return seen, texts | looked_into_by(seen)


def looked_into_by(seen: Seen) -> set[str]:
    """The texts that the tests of patterns look into."""
    return {"properties" if test.of == "property" else "context" for pattern, _ in seen for test in pattern.where}


def matching(seen: Seen, now_ms: int) -> list[str]:
    """SQL that holds for the events that may match a pattern inside its window, and for others of its type and name."""
    names = {
        f"type = {literal(pattern.type)}"
        + ("" if pattern.name is None else f" AND name = {literal(pattern.name)}")
        + after(window, now_ms)
        for pattern, window in seen
    }
    return sorted(names)


def _event(workspace: str, row: tuple[Any, ...]) -> EventRecord:
    """`row` as `_BASE` and `_TEXTS` have it; behind them the ids, where they were asked for."""
    _, profile_id, source, message_id, type_, name, time_ms, received_ms, properties, context, traits, *ids = row
    user_id, anonymous_id, group_id = ids if len(ids) == 3 else (None, None, None)
    return EventRecord(
        workspace=workspace,
        source=source,
        profile_id=profile_id,
        message_id=message_id,
        type=type_,
        name=name,
        time_ms=time_ms,
        received_ms=received_ms,
        user_id=user_id,
        anonymous_id=anonymous_id,
        group_id=group_id,
        properties=_decode(properties) if properties else _NO_OBJECT,
        context=_decode(context) if context else _NO_OBJECT,
        traits=_decode(traits) if traits else _NO_OBJECT,
    )
