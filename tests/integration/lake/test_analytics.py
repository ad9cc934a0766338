"""Analytics over a small lake, each answer beside plain Python over the same events."""

import random
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from audience.adapters.lake.analytics import (
    ActiveProfiles,
    EventsOverTime,
    Funnel,
    Retention,
    Span,
    TopEvents,
    TopProperties,
    analyse,
)
from audience.adapters.lake.duck import BadQuery, Duck, open_duck
from audience.adapters.lake.gold import Counting
from audience.adapters.lake.tables import SILVER
from audience.ports.lake import LakeTooSlow
from audience.wire.topics import EventRecord
from tests.integration.lake.lakes import BOUNDS, entries_of, fill, location_in

LAST = date(2026, 5, 29)
SPAN = Span("demo", LAST - timedelta(days=39), LAST)
STEPS = ("View", "Add", "View", "Buy")
WITHIN_MS = 3 * 86_400_000


def history() -> list[EventRecord]:
    chance = random.Random(3)  # noqa: S311  the same history each time
    end_ms = int(datetime(LAST.year, LAST.month, LAST.day, 23, tzinfo=UTC).timestamp() * 1_000)
    return [
        EventRecord(
            workspace="demo" if number % 9 else "other",
            source="s",
            profile_id=f"p{chance.randrange(25)}",
            message_id=f"m{number}",
            type="track",
            name=chance.choice(("View", "View", "View", "Add", "Add", "Buy")),
            time_ms=end_ms - chance.randrange(60 * 86_400_000),
            received_ms=end_ms,
            properties={"size": {"eu": chance.choice((40, 41, "x"))}} if number % 3 else {},
        )
        for number in range(1_500)
    ]


def day_of(event: EventRecord) -> date:
    return datetime.fromtimestamp(event.time_ms / 1_000, UTC).date()


@pytest.fixture(scope="module")
def events() -> list[EventRecord]:
    return [event for event in history() if event.workspace == "demo" and SPAN.first <= day_of(event) <= SPAN.last]


@pytest.fixture(scope="module")
def duck(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Duck]:
    location = location_in(tmp_path_factory.mktemp("analytics"))
    fill(location, entries_of(history(), {}), 1)
    with open_duck(location, BOUNDS) as opened:
        Counting(location, opened, order_event="Buy", revenue="total").step()
        yield opened


def test_events_and_profiles_by_day(duck: Duck, events: list[EventRecord]) -> None:
    days = Counter(map(day_of, events))
    assert analyse(duck, EventsOverTime(SPAN)) == [
        {"day": day.isoformat(), "events": number} for day, number in sorted(days.items())
    ]
    buys = sum(event.name == "Buy" for event in events)
    assert sum(row["events"] for row in analyse(duck, EventsOverTime(SPAN, "Buy", "track"))) == buys
    assert analyse(duck, EventsOverTime(SPAN, "Buy", "page")) == []
    people = defaultdict(set)
    for event in events:
        people[day_of(event)].add(event.profile_id)
    assert {row["day"]: row["profiles"] for row in analyse(duck, ActiveProfiles(SPAN))} == {
        day.isoformat(): len(found) for day, found in people.items()
    }


def test_top_events_and_properties(duck: Duck, events: list[EventRecord]) -> None:
    names = Counter(event.name for event in events)
    assert [(row["name"], row["events"]) for row in analyse(duck, TopEvents(SPAN, 2))] == names.most_common(2)
    added = [event for event in events if event.name == "Add"]
    sizes = Counter(event.properties["size"]["eu"] for event in added if event.properties)
    found = analyse(duck, TopProperties(SPAN, "Add", ("size", "eu"), 10))
    assert {row["value"]: row["events"] for row in found} == {
        f'"{value}"' if isinstance(value, str) else str(value): number for value, number in sizes.items()
    }
    [keys] = analyse(duck, TopProperties(SPAN, "Add", (), 10))
    assert (keys["value"], keys["events"]) == ("size", sum(sizes.values()))


def test_funnel(duck: Duck, events: list[EventRecord]) -> None:
    everything = defaultdict(list)
    for event in history():
        if event.workspace == "demo":
            everything[event.profile_id].append((event.time_ms, event.name))
    reached = Counter[int]()
    for event_times in everything.values():
        event_times.sort()
        deepest = 0
        for began, name in event_times:
            begun = datetime.fromtimestamp(began / 1_000, UTC).date()
            if name != STEPS[0] or not SPAN.first <= begun <= SPAN.last:
                continue
            at, depth = began, 1
            for step in STEPS[1:]:
                again = step in STEPS[:depth]
                later = [t for t, each in event_times if each == step and (t > at if again else t >= at)]
                if not later or later[0] > began + WITHIN_MS:
                    break
                at, depth = later[0], depth + 1
            deepest = max(deepest, depth)
        for depth in range(1, deepest + 1):
            reached[depth] += 1
    found = analyse(duck, Funnel(SPAN, STEPS, WITHIN_MS))
    assert [row["profiles"] for row in found] == [reached[depth] for depth in range(1, len(STEPS) + 1)]
    assert found[0]["profiles"] > found[-1]["profiles"] > 0


def test_retention(duck: Duck, events: list[EventRecord]) -> None:
    weeks = defaultdict(set)
    for event in events:
        day = day_of(event)
        weeks[event.profile_id].add(day - timedelta(days=day.weekday()))
    wanted = Counter(
        (min(found).isoformat(), (week - min(found)).days // 7) for found in weeks.values() for week in found
    )
    assert {(row["cohort"], row["week"]): row["profiles"] for row in analyse(duck, Retention(SPAN))} == wanted


def test_a_question_ends_when_its_time_does(duck: Duck) -> None:
    with pytest.raises(LakeTooSlow), duck.until(time.monotonic() + 0.2):
        duck.arrow("SELECT count(*) FROM range(100000000000) a WHERE hash(a.range) = 0")
    assert analyse(duck, TopEvents(SPAN, 1))  # and the next is answered


def test_a_person_can_ask_and_nothing_else(tmp_path: Path) -> None:
    location = location_in(tmp_path)
    fill(location, entries_of(history()[:50], {}), 1)
    outside = tmp_path / "outside.csv"
    outside.write_text("a\n1\n")
    with open_duck(location, BOUNDS) as duck:
        duck.offer({SILVER: "events"})
        assert duck.answer("SELECT count(*) AS n, max(timestamp) AS t FROM events", 5)[1][0][0] == "50"
        for refused in (
            f"SELECT * FROM read_csv('{outside}')",
            f"COPY events TO '{tmp_path / 'x.csv'}'",
            "SET memory_limit = '9GB'",
            "ATTACH 'x.db'",
            "no SQL",
        ):
            with pytest.raises(BadQuery):
                duck.answer(refused, 5)
