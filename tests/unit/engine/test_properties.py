"""What must hold of the engine for every rule and history, tried on generated ones that shrink."""

from itertools import groupby
from operator import attrgetter
from typing import Any

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from audience.engine.evaluate import Event, on_event, on_time
from audience.engine.explain import explain
from audience.rules import parse_rule
from audience.wire.state import decode_state, encode_state, new_state
from tests import strategies
from tests.differential import clipped, mismatches
from tests.engine_stream import REGEX, SUBJECT, Arrival, Stream, program_of
from tests.generate import Pair, world_of
from tests.oracle.world import World

RECEIVED = attrgetter("received_ms")
quickly = settings(deadline=None, max_examples=100, suppress_health_check=list(HealthCheck))


def stream_of(pair: Pair) -> tuple[Stream, World]:
    world = clipped(world_of(pair))
    return Stream.of_world(pair["rule"], world, paused_in(world)), world


def paused_in(world: World) -> frozenset[str]:
    return frozenset(key for key, segment in world.segments.items() if isinstance(segment, bool))


@quickly
@given(strategies.pairs())
def test_the_oracle_agrees(pair: Pair) -> None:
    assert list(mismatches(pair)) == []


@quickly
@given(st.data())
def test_order_of_arrival_and_copies_never_matter(data: st.DataObject) -> None:
    pair = data.draw(strategies.pairs())
    (one, _), (other, _) = stream_of(pair), stream_of(data.draw(strategies.disturbances(pair)))
    for instant_ms in (pair["now_ms"], pair["until_ms"]):
        one.to(instant_ms)
        other.to(instant_ms)
        assert one.member == other.member
        assert one.state.segments.keys() == other.state.segments.keys()
        assert one.state.traits == other.state.traits
        assert one.state.computed == other.state.computed


@quickly
@given(st.data())
def test_nothing_changes_before_the_due_time(data: st.DataObject) -> None:
    pair = data.draw(strategies.pairs())
    stream, _ = stream_of(pair)
    stream.to(pair["now_ms"])
    due_ms = stream.state.due_ms
    assume(due_ms is None or due_ms > pair["now_ms"])
    until_ms = pair["until_ms"] if due_ms is None else min(due_ms - 1, pair["until_ms"])
    assume(until_ms > pair["now_ms"])
    instant_ms = data.draw(st.integers(pair["now_ms"] + 1, until_ms))
    state = stream.state
    outcome = on_time(stream.program, state, instant_ms)
    assert outcome.changes == []
    assert state.due_ms == due_ms


@quickly
@given(strategies.pairs())
def test_a_state_kept_open_is_the_state_that_is_packed_each_time(pair: Pair) -> None:
    packed, world = stream_of(pair)
    program = program_of(pair["rule"], world, paused_in(world))
    state = packed.state  # with its lists and what it was frozen in
    arrivals = [Arrival.of(event) for event in world.events if event.profile_id == world.profile_id]
    for received_ms, together in groupby(sorted(arrivals, key=RECEIVED), key=RECEIVED):
        packed.to(received_ms)
        for event in together:
            _advance(program, state, received_ms)
            on_event(program, state, Event.of(event), received_ms)
        _advance(program, state, received_ms)
        assert state.segments == packed.state.segments
        assert state.due_ms == packed.state.due_ms
    assert encode_state(decode_state(encode_state(state))) == encode_state(state)


def _advance(program: Any, state: Any, now_ms: int) -> None:
    while (due_ms := state.due_ms) is not None and due_ms <= now_ms:
        on_time(program, state, due_ms)


@quickly
@given(strategies.pairs())
def test_explain_says_what_is_and_leaves_the_state_alone(pair: Pair) -> None:
    stream, _ = stream_of(pair)
    stream.to(pair["now_ms"])
    state = stream.state
    before = encode_state(state)
    explanation = explain(stream.program, state, SUBJECT, pair["now_ms"], lambda each: decode_state(encode_state(each)))
    assert explanation["member"] == stream.member
    assert encode_state(state) == before
    if state.created_ms:
        assert explanation["tree"]["truth"] == stream.member


@quickly
@given(strategies.pairs(), strategies.rules(strategies.Features(lists=False, segments=False, computed=False)))
def test_segments_that_come_and_go_leave_the_others_alone(pair: Pair, other: Any) -> None:
    alone, world = stream_of(pair)
    beside, _ = stream_of(pair)
    revision = beside.program.revision
    middle_ms = sorted(event.received_ms for event in world.events)[len(world.events) // 2] if world.events else 0
    beside.to(middle_ms)
    for program in beside.programs:
        program.put("other", parse_rule(other, regex=REGEX), version=1, revision=revision + 1)
    beside.timers(middle_ms)
    beside.to(pair["now_ms"])
    for program in beside.programs:
        program.remove("other", revision + 2)
    program = beside.program
    state = beside.state
    beside.keep(state, on_time(program, state, pair["now_ms"]))
    assert "other" not in state.segments
    for instant_ms in (pair["now_ms"], pair["until_ms"]):
        alone.to(instant_ms)
        beside.to(instant_ms)
        assert beside.member == alone.member
    for ids in attrgetter("leaves"), attrgetter("sequences"), attrgetter("trails"), attrgetter("series"):
        assert ids(program.compiled) == ids(alone.program.compiled)


@quickly
@given(strategies.pairs())
def test_a_second_segment_of_the_same_rule_needs_no_history(pair: Pair) -> None:
    stream, _ = stream_of(pair)
    stream.to(pair["now_ms"])
    program = stream.program
    leaves = program.compiled.leaves, program.compiled.sequences
    revision = program.revision + 1
    for each in stream.programs:
        each.put("second", parse_rule(pair["rule"], regex=REGEX), version=1, revision=revision)
    assert (program.compiled.leaves, program.compiled.sequences) == leaves
    state = stream.state
    stream.keep(state, on_time(program, state, pair["now_ms"]))
    assert ("second" in state.segments) == stream.member
    stream.to(pair["until_ms"])
    assert ("second" in stream.state.segments) == stream.member


def test_a_new_state_is_small_and_decodes_to_itself() -> None:
    data = encode_state(new_state("u1"))
    assert len(data) < 64
    assert encode_state(decode_state(data)) == data
