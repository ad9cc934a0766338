"""What the compiled engine is to Python: values that come back as they went in, errors that say what is wrong."""

from typing import Any

import pytest
from audience_engine import EngineError, StateVersionUnknown

from audience.engine.evaluate import Event, on_event, on_lists, on_time
from audience.engine.lowering import Backfill, leaves_of, trail_id
from audience.engine.program import Program
from audience.engine.state import ProfileState
from audience.rules import parse_computed_trait, parse_rule
from audience.rules.tree import EventNode
from audience.wire.state import decode_state, encode_state, new_state
from tests.engine_stream import REGEX, Arrival

NOW_MS = 1_790_000_000_000
TWICE = {"event": "Order", "within": "30d", "is": {"gte": 2}}
FUNNEL = {"sequence": [{"event": "Cart"}, {"event": "Order"}], "within": "7d"}
SPENT = {"key": "spent", "event": "Order", "measure": {"sum": "total"}}


def arrival(message_id: str, **fields: Any) -> Arrival:
    given = {
        "workspace": "demo", "profile_id": "ada", "source": "s1", "type": "track", "name": "Order",
        "time_ms": NOW_MS, "received_ms": NOW_MS, "properties": {}, "context": {}, "traits": {},
    }  # fmt: skip
    return Arrival(message_id=message_id, **{**given, **fields})


def identify(traits: dict[str, Any], message_id: str = "i") -> Event:
    return Event.of(arrival(message_id, type="identify", name="", traits=traits))


@pytest.fixture
def program() -> Program:
    program = Program(REGEX)
    program.put("twice", parse_rule(TWICE, regex=REGEX), version=3, revision=5)
    return program


def again(state: ProfileState) -> ProfileState:
    return decode_state(encode_state(state))


def test_an_event_says_whose_it_is() -> None:
    event = Event.of(arrival("m1", received_ms=NOW_MS + 7))
    assert (event.workspace, event.profile_id, event.received_ms) == ("demo", "ada", NOW_MS + 7)


def test_a_record_that_is_no_event_is_none_and_one_that_is_broken_is_an_error() -> None:
    assert Event.parse(b'{"schema":"command.explain/1"}') is None
    with pytest.raises(ValueError, match="the event has no workspace"):
        Event.parse(b'{"schema":"event/1"}')


def test_an_outcome_says_what_an_event_did(program: Program) -> None:
    state = new_state("ada")
    first = on_event(program, state, Event.of(arrival("m1")), NOW_MS)
    assert (first.changes, first.visible, first.duplicate, first.evaluations) == ([], True, False, 0)
    second = on_event(program, state, Event.of(arrival("m2")), NOW_MS + 1)
    assert [repr(change) for change in second.changes] == [
        f'Change("twice", entered=True, at_ms={NOW_MS + 1}, version=3)'
    ]
    assert (second.visible, second.duplicate, second.leaves, second.evaluations) == (True, False, 1, 1)
    copy = on_event(program, state, Event.of(arrival("m2")), NOW_MS + 2)
    assert (copy.changes, copy.visible, copy.duplicate, copy.leaves, copy.evaluations) == ([], False, True, 0, 0)
    third = on_event(program, state, Event.of(arrival("m3")), NOW_MS + 3)
    assert (third.changes, third.visible, third.duplicate, third.leaves) == ([], False, False, 0)
    left = on_time(program, state, NOW_MS + 40 * 86_400_000)
    (change,) = left.changes
    assert (change.segment, change.entered, change.at_ms, change.version) == ("twice", False, state.now_ms, 3)
    assert repr(change) == f'Change("twice", entered=False, at_ms={state.now_ms}, version=3)'
    assert change != second.changes[0]


def test_a_state_says_what_is_known(program: Program) -> None:
    program.put("funnel", parse_rule(FUNNEL, regex=REGEX), version=1, revision=6)
    program.put_computed_trait(parse_computed_trait(SPENT, regex=REGEX), 7)
    state = new_state("ada")
    on_lists(program, state, {"vip", "press"}, 0)
    for number in range(1, 3):
        event = arrival(f"m{number}", properties={"total": 2.5 * number}, received_ms=NOW_MS + number)
        on_event(program, state, Event.of(event), NOW_MS + number)
    on_event(program, state, Event.of(arrival("m3", name="Nobody asks")), NOW_MS + 3)
    on_event(program, state, identify({"plan": "pro"}), NOW_MS + 4)
    on_event(program, state, Event.of(arrival("m4", name="Nobody asks")), NOW_MS + 5)
    state.version = 41
    state.armed_ms = NOW_MS + 6
    for known in (state, again(state)):
        assert (known.profile_id, known.version, known.armed_ms, known.revision) == ("ada", 41, NOW_MS + 6, 7)
        assert (known.created_ms, known.updated_ms, known.now_ms) == (NOW_MS + 1, NOW_MS + 4, NOW_MS + 5)
        assert (known.events, known.remembered_ids) == (2, 5)
        assert (known.lists, known.traits, known.computed) == ({"vip", "press"}, {"plan": "pro"}, {"spent": 7.5})
        assert known.segments == {"twice": NOW_MS + 2}
        assert "twice" in known
        assert "funnel" not in known
        assert known.due_ms is not None
        assert known.due_ms > NOW_MS
    assert again(state).trail_bytes > 50
    assert new_state("ada").trail_bytes == 0


def test_nothing_is_due_and_nothing_is_known_of_a_new_state() -> None:
    state = new_state("ada")
    for known in (state, again(state)):
        assert (known.created_ms, known.events, known.revision, known.due_ms) == (0, 0, 0, None)
        assert (known.lists, known.traits, known.computed, known.segments) == (set(), {}, {}, {})


def test_a_state_of_another_version_is_refused() -> None:
    with pytest.raises(StateVersionUnknown, match="a profile's state has version 99; this code knows"):
        decode_state(b"\x63abc")
    with pytest.raises(StateVersionUnknown, match="a profile's state is empty"):
        decode_state(b"")


def test_broken_bytes_are_an_error_and_not_the_end_of_the_process() -> None:
    with pytest.raises(EngineError, match=r"out of (range|bounds)"):
        decode_state(encode_state(new_state("ada"))[:5])


def test_traits_come_back_as_they_went_in(program: Program) -> None:
    traits = {
        "yes": True, "no": False, "whole": -7, "large": 2**70, "part": 0.1, "text": "é", "none": None,
        "list": [1, [2.5, None], {"a": {"b": "c"}}], "pair": (1, 2), "empty": {},
    }  # fmt: skip
    state = new_state("ada")
    on_event(program, state, identify(traits), NOW_MS)
    del traits["none"]
    for known in (state, again(state)):
        assert known.traits == {**traits, "pair": [1, 2]}
        assert [type(known.traits[name]) for name in ("yes", "whole", "large", "part")] == [bool, int, int, float]


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(TypeError, match="is no JSON value"):
        identify({"set": {1, 2}})


def test_a_program_says_what_it_keeps(program: Program) -> None:
    orders = parse_rule(TWICE, regex=REGEX)
    assert isinstance(orders, EventNode)
    (leaf,) = leaves_of(orders)
    compiled = program.compiled
    assert (compiled.revision, compiled.trails, compiled.leaves) == (5, {trail_id(orders.pattern)}, {int(leaf, 16)})
    assert (len(compiled.series), compiled.sequences, compiled.backfills) == (1, set(), [])
    assert compiled.joined(Event.of(arrival("m1"))) == {trail_id(orders.pattern)}
    assert compiled.joined(Event.of(arrival("m1", name="Other"))) == set()
    funnel = parse_rule(FUNNEL, regex=REGEX)
    waiting = Backfill(9, leaves_of(funnel))
    program.put("funnel", funnel, version=1, revision=6, backfill=waiting)
    assert (len(compiled.sequences), len(compiled.trails), compiled.backfills) == (1, 3, [9])
    assert program.leaf_count == 2


def test_an_older_definition_changes_nothing(program: Program) -> None:
    once = parse_rule({"event": "Order"}, regex=REGEX)
    program.put("twice", once, version=9, revision=5)
    assert (program.version_of("twice"), program.revision) == (3, 5)
    program.put("twice", once, version=4, revision=6)
    assert (program.version_of("twice"), program.revision) == (4, 6)
    program.remove("twice", 6)
    assert program.version_of("twice") == 4
    program.remove("twice", 7)
    assert (program.version_of("twice"), program.revision) == (0, 7)
    program.remove("twice", 8)
    program.put("twice", once, version=5, revision=8)
    assert program.version_of("twice") == 0
    program.put("twice", once, version=5, revision=9)
    assert program.version_of("twice") == 5


def test_a_computed_trait_that_is_taken_out_is_gone(program: Program) -> None:
    trait = parse_computed_trait(SPENT, regex=REGEX)
    state = new_state("ada")
    program.put_computed_trait(trait, 6)
    on_event(program, state, Event.of(arrival("m1", properties={"total": 2})), NOW_MS)
    program.remove_computed_trait("spent", 6)
    on_time(program, state, NOW_MS)
    assert state.computed == {"spent": 2}
    program.remove_computed_trait("spent", 7)
    program.put_computed_trait(trait, 7)
    assert on_time(program, state, NOW_MS).visible
    assert (state.computed, state.revision) == ({}, 7)


def test_what_is_no_definition_is_refused(program: Program) -> None:
    for broken in (b"", b"{}", b'{"rule":{"node":"maybe"}}'):
        with pytest.raises(ValueError, match=r"EOF|missing|maybe is no node"):
            program.compiled.put(broken)
        with pytest.raises(ValueError, match=r"EOF|missing"):
            program.compiled.put_computed_trait(broken)
    with pytest.raises(KeyError, match="nobody"):
        program.nodes("nobody", new_state("ada"))
