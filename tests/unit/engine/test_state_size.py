"""A profile's state is bounded: by the panes, values and times of docs/rules.md, "What a profile keeps"."""

import random
from collections.abc import Iterable, Iterator
from itertools import islice

import pytest

from audience.engine.evaluate import Event, on_event
from audience.engine.program import Program
from audience.engine.state import ProfileState
from audience.rules import parse_computed_trait, parse_rule
from audience.rules.durations import DAY_MS, parse_duration, step_of
from audience.wire.state import decode_state, encode_state, new_state
from load_tests.engine.workload import CATEGORIES, EVENT_NAMES, rules
from tests.engine_stream import REGEX, Arrival
from tests.oracle.world import JsonObject

START_MS = 1_790_000_000_000
PACKED_EVERY = 500
BUSY = 16 * 1024
"""Bytes of a profile with 10,000 events over the whole history, in 100 leaves of the benchmark's mix."""
HEAD = 400
"""Bytes of one pattern of events with its ids, marks and newest events, whatever else is kept."""


def program_of(rules: Iterable[JsonObject], computed_traits: Iterable[JsonObject] = ()) -> Program:
    program = Program(REGEX)
    revision = 0
    for revision, rule in enumerate(rules, 1):
        program.put(f"s{revision}", parse_rule(rule, regex=REGEX), version=1, revision=revision)
    for number, trait in enumerate(computed_traits, revision + 1):
        program.put_computed_trait(parse_computed_trait(trait, regex=REGEX), number)
    return program


def flooded(program: Program, count: int, length_ms: int, names: Iterable[str] = ("A",)) -> ProfileState:
    """A profile with so many events, spread evenly, after it went to bytes and back again and again."""
    chance = random.Random(1)  # noqa: S311
    names = tuple(names)
    state = new_state("u1")
    for number in range(count):
        now_ms = START_MS + number * length_ms // count
        properties = {
            "total": chance.randrange(100, 20_000) / 100,
            "category": chance.choice(CATEGORIES),
            "id": f"{number:06}",
        }
        message_id = f"{number:08x}-0000-4000-8000-000000000000"
        name = chance.choice(names)
        event = Arrival("demo", "u1", "s1", message_id, "track", name, now_ms, now_ms, properties, {}, {})
        on_event(program, state, Event.of(event), now_ms)
        if number % PACKED_EVERY == 0:
            state = decode_state(encode_state(state))
    return decode_state(encode_state(state))


def kept_bytes(state: ProfileState) -> int:
    """What is kept for rules, without the ids of messages."""
    return state.trail_bytes


def leaves_of(rule: JsonObject) -> Iterator[JsonObject]:
    """The nodes of the benchmark's rules that ask a profile: of traits, events and sequences."""
    groups = [rule[key] for key in ("all", "any") if key in rule] or [[rule["not"]] if "not" in rule else []]
    if not groups[0]:
        yield rule
    for child in groups[0]:
        yield from leaves_of(child)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_ten_thousand_events_in_a_hundred_leaves(seed: int) -> None:
    leaves = islice((leaf for rule in rules(200, seed) for leaf in leaves_of(rule)), 100)
    state = flooded(program_of(leaves), 10_000, 730 * DAY_MS, EVENT_NAMES)
    assert state.events >= 5_000
    assert len(encode_state(state)) < BUSY


@pytest.mark.parametrize("within", ["1h", "24h", "31d", "730d"])
@pytest.mark.parametrize(
    ("measure", "bytes_a_pane"), [("count", 2), ({"sum": "total"}, 7), ({"min": "total"}, 9), ({"max": "total"}, 9)]
)
def test_a_window_keeps_no_more_than_its_panes(within: str, measure: object, bytes_a_pane: int) -> None:
    length_ms = parse_duration(within)
    panes = length_ms // step_of(length_ms) + 1
    program = program_of([{"event": "A", "within": within, "measure": measure, "is": {"gte": 3}}])
    state = flooded(program, 3 * panes, 2 * length_ms)
    assert kept_bytes(state) <= HEAD + bytes_a_pane * panes


@pytest.mark.parametrize("measure", ["count", {"sum": "total"}, {"avg": "total"}, {"min": "total"}, {"max": "total"}])
def test_all_time_takes_as_much_after_many_events_as_after_few(measure: object) -> None:
    program = program_of([{"event": "A", "measure": measure, "is": {"gte": 3}}])
    assert kept_bytes(flooded(program, 20_000, 365 * DAY_MS)) <= HEAD


def test_different_values_are_a_thousand_at_most() -> None:
    program = program_of(
        [{"event": "A", "measure": {"distinct": "id"}, "is": {"gte": 3}}],
        [{"key": "ids", "event": "A", "measure": {"unique_list": "id"}}],
    )
    state = flooded(program, 3_000, 365 * DAY_MS)
    assert kept_bytes(state) <= HEAD + 1_000 * len('["000000", 0], ')
    assert len(state.computed["ids"]) == 100


def test_a_step_keeps_the_times_of_a_thousand_events() -> None:
    program = program_of([{"sequence": [{"event": "A"}, {"event": "B", "within": "1h"}], "within": "730d"}])
    state = flooded(program, 6_000, 365 * DAY_MS, ("A", "B"))
    assert kept_bytes(state) <= 2 * (HEAD + 1_000 * (4 + 2))


@pytest.mark.parametrize("kind", ["first", "last"])
def test_all_time_first_and_last_keep_one_value(kind: str) -> None:
    program = program_of([], [{"key": "c", "event": "A", "measure": {kind: "id"}}])
    assert kept_bytes(flooded(program, 3_000, 365 * DAY_MS)) <= HEAD


def test_the_ids_of_messages_are_of_the_last_day_or_so() -> None:
    state = flooded(program_of([{"event": "A"}]), 7_300, 730 * DAY_MS)
    assert state.remembered_ids <= 10 * 32 // 24 + 10
