"""A profile's state outlives the program that it was evaluated with: another one of the same rules goes on with it."""

from itertools import permutations

import pytest

from audience.engine.evaluate import Event, on_event
from audience.engine.program import Program
from audience.rules import parse_rule
from audience.wire.state import decode_state, encode_state, new_state
from tests.engine_stream import REGEX, Arrival

NOW_MS = 1_790_000_000_000
RULES = {
    "spent": {"event": "Order", "within": "30d", "measure": {"sum": "total"}, "is": {"gte": 100}},
    "items": {"event": "Order", "within": "30d", "measure": {"sum": "quantity"}, "is": {"gte": 10}},
    "weight": {"event": "Order", "measure": {"avg": "weight"}, "is": {"gt": 2}},
}


def program(*keys: str) -> Program:
    """The rules, put in this order; each has the revision that it always has."""
    made = Program(REGEX)
    for key in keys:
        made.put(key, parse_rule(RULES[key], regex=REGEX), version=1, revision=list(RULES).index(key) + 1)
    return made


def order(number: int) -> Arrival:
    properties = {"total": 30, "quantity": 2, "weight": 1 + number}
    now_ms = NOW_MS + 1000 * number
    return Arrival("demo", "ada", "s1", f"m{number}", "track", "Order", now_ms, now_ms, properties, {}, {})


@pytest.mark.parametrize("keys", list(permutations(RULES)))
def test_the_order_in_which_segments_are_read_again_does_not_matter(keys: tuple[str, ...]) -> None:
    kept = encode_state(new_state("ada"))
    members = []
    for number, made in enumerate([program(*RULES), program(*keys), program(*RULES), program(*keys), program(*RULES)]):
        state = decode_state(kept)
        event = order(number)
        on_event(made, state, Event.of(event), event.received_ms)
        members.append(set(state.segments))
        kept = encode_state(state)
    assert members == [set(), set(), set(), {"spent", "weight"}, {"spent", "items", "weight"}]
