"""Questions that people ask of the history, answered from gold where it is counted already, from silver otherwise.

Each answer is a list of rows. Days are those of the events in UTC; `first` and `last` are both included.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final, Literal, TypeAlias, assert_never

from audience.adapters.lake.duck import DataFile, Duck, Wanted, literal
from audience.adapters.lake.tables import GOLD_EVENTS, GOLD_PROFILES, SILVER

Rows: TypeAlias = list[dict[str, Any]]
_DAY: Final = "(\"timestamp\" AT TIME ZONE 'UTC')::DATE"
_JSON: Final = "coalesce(properties, '{}')"


@dataclass(frozen=True, slots=True)
class Span:
    """Whose events, and of which days."""

    workspace: str
    first: date
    last: date


@dataclass(frozen=True, slots=True)
class EventsOverTime:
    """Events of each day; of one name and type alone where they are given."""

    span: Span
    name: str | None = None
    type: str | None = None


@dataclass(frozen=True, slots=True)
class ActiveProfiles:
    """Profiles with an event, of each day."""

    span: Span


@dataclass(frozen=True, slots=True)
class TopEvents:
    """The names with most events."""

    span: Span
    limit: int


@dataclass(frozen=True, slots=True)
class TopProperties:
    """The values of a property that most events of a name have; or, without one, the properties that they have."""

    span: Span
    name: str
    path: tuple[str, ...]
    limit: int


@dataclass(frozen=True, slots=True)
class Funnel:
    """How many profiles began with the first event in the span, and did each of the others after the one before it,
    all within so long of the first."""

    span: Span
    steps: tuple[str, ...]
    within_ms: int


@dataclass(frozen=True, slots=True)
class Retention:
    """For the profiles whose first event of the span fell into each week: how many came back in each week after it."""

    span: Span
    name: str | None = None


Analysis: TypeAlias = EventsOverTime | ActiveProfiles | TopEvents | TopProperties | Funnel | Retention
Kind = Literal["events", "profiles", "top-events", "top-properties", "funnel", "retention"]


def analyse(duck: Duck, asked: Analysis) -> Rows:
    """Raises LakeTooSlow, LakeUnavailable."""
    duck.refresh()
    match asked:
        case EventsOverTime(span, name, type_):
            where = _of(span) + _is("name", name) + _is("type", type_)
            return _rows(
                duck,
                f"""SELECT "day", sum(events)::BIGINT AS events FROM {duck.source(GOLD_EVENTS)} WHERE {where}
                GROUP BY "day" ORDER BY "day" """,
            )
        case ActiveProfiles(span):
            return _rows(
                duck,
                f"""SELECT "day", profiles, events FROM {duck.source(GOLD_PROFILES)}
                WHERE {_of(span)} ORDER BY "day" """,
            )
        case TopEvents(span, limit):
            return _rows(
                duck,
                f"""SELECT type, name, sum(events)::BIGINT AS events FROM {duck.source(GOLD_EVENTS)}
                WHERE {_of(span)} GROUP BY type, name ORDER BY events DESC, type, name LIMIT {limit}""",
            )
        case TopProperties():
            return _top_properties(duck, asked)
        case Funnel():
            return _funnel(duck, asked)
        case Retention():
            return _retention(duck, asked)
        case _:
            assert_never(asked)


def _top_properties(duck: Duck, asked: TopProperties) -> Rows:
    events = f"FROM {duck.source(SILVER, _files(asked.span))} WHERE {_in(asked.span)} AND name = {literal(asked.name)}"
    if asked.path:
        path = literal("$" + "".join(f".{_quoted(each)}" for each in asked.path))
        keys = f"SELECT profile_place, json_extract({_JSON}, {path}) AS value {events}"
        found = f"SELECT profile_place, value::VARCHAR AS value FROM ({keys}) WHERE value IS NOT NULL"
    else:
        found = f"SELECT profile_place, unnest(json_keys({_JSON})) AS value {events}"
    return _rows(
        duck,
        f"""SELECT value, count(*) AS events, count(DISTINCT profile_place) AS profiles FROM ({found})
        GROUP BY value ORDER BY events DESC, value LIMIT {asked.limit}""",
    )


def _funnel(duck: Duck, asked: Funnel) -> Rows:
    source = duck.source(SILVER, _files(asked.span))
    names = ", ".join(literal(each) for each in dict.fromkeys(asked.steps))
    last = asked.span.last + timedelta(days=1 + asked.within_ms // 86_400_000 + 1)
    wider = Span(asked.span.workspace, asked.span.first, last)
    duck.run(
        f"""CREATE OR REPLACE TEMP TABLE done AS SELECT profile_place AS who, name, epoch_ms("timestamp") AS t
        FROM {source} WHERE {_in(wider)} AND type = 'track' AND name IN ({names})"""
    )
    begin_ms, end_ms = (_ms(day) for day in (asked.span.first, asked.span.last + timedelta(days=1)))
    duck.run(
        f"""CREATE OR REPLACE TEMP TABLE reached AS SELECT who, t AS began, t FROM done
        WHERE name = {literal(asked.steps[0])} AND t >= {begin_ms} AND t < {end_ms}"""
    )
    found: Rows = []
    for index, step in enumerate(asked.steps):
        if index:
            # An event is one step only: of two steps of one name the second comes later.
            after = "<" if step in asked.steps[:index] else "<="
            duck.run(
                f"""CREATE OR REPLACE TEMP TABLE further AS SELECT reached.who, reached.began, done.t FROM reached
                ASOF JOIN (SELECT who, t FROM done WHERE name = {literal(step)}) AS done
                ON reached.who = done.who AND reached.t {after} done.t
                WHERE done.t <= reached.began + {asked.within_ms}"""
            )
            duck.run("CREATE OR REPLACE TEMP TABLE reached AS SELECT * FROM further")
        [row] = _rows(duck, "SELECT count(DISTINCT who) AS profiles FROM reached")
        found.append({"step": index + 1, "event": step, **row})
    return found


def _retention(duck: Duck, asked: Retention) -> Rows:
    return _rows(
        duck,
        f"""WITH seen AS (
            SELECT DISTINCT profile_place AS who, date_trunc('week', {_DAY})::DATE AS week
            FROM {duck.source(SILVER, _files(asked.span))} WHERE {_in(asked.span)}{_is("name", asked.name)}
        ), cohorts AS (SELECT who, min(week) AS cohort FROM seen GROUP BY who)
        SELECT cohort, datediff('week', cohort, week)::INTEGER AS week, count(*) AS profiles
        FROM seen JOIN cohorts USING (who) GROUP BY 1, 2 ORDER BY 1, 2""",
    )


def _rows(duck: Duck, sql: str) -> Rows:
    found = duck.arrow(sql).to_pylist()
    return [
        {key: value.isoformat() if isinstance(value, date) else value for key, value in row.items()} for row in found
    ]


def _of(span: Span) -> str:
    """Days of a gold table."""
    first, last = literal(span.first.isoformat()), literal(span.last.isoformat())
    return f'workspace = {literal(span.workspace)} AND "day" BETWEEN {first} AND {last}'


def _in(span: Span) -> str:
    """Events of silver."""
    begin, end = _ms(span.first) * 1_000, _ms(span.last + timedelta(days=1)) * 1_000
    among = f'"timestamp" >= make_timestamptz({begin}) AND "timestamp" < make_timestamptz({end})'
    return f"workspace = {literal(span.workspace)} AND {among}"


def _files(span: Span) -> Wanted:
    """No event is older than the day on which it came."""

    def wanted(each: DataFile) -> bool:
        return bool(each.facts["partition.day"] >= span.first)

    return wanted


def _is(column: str, value: str | None) -> str:
    return "" if value is None else f" AND {column} = {literal(value)}"


def _ms(day: date) -> int:
    return (day - date(1970, 1, 1)).days * 86_400_000


def _quoted(key: str) -> str:
    return '"' + key.replace('"', '\\"') + '"'
