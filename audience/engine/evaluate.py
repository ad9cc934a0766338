"""Moves a profile: an event, or time, or a change of the rules in; changes of membership out.

The result depends only on the accepted events, the rules and the instant, never on the order of arrival
(rules.md, "Membership is a function").
"""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from typing import Any

from audience.engine import traits
from audience.engine.adopting import adopt
from audience.engine.chaining import look_at_sequence, look_at_sequences, times_of
from audience.engine.duplicates import is_new
from audience.engine.program import Program
from audience.engine.state import ProfileState
from audience.engine.walking import MOST_NEW, Step, look, look_around, note, settle
from audience.events.model import Event
from audience.rules.values import same


@dataclass(frozen=True, slots=True)
class Change:
    """A profile entered or exited a segment at `at_ms`; `version` is the segment's, 0 for one that is gone."""

    segment: str
    entered: bool
    at_ms: int
    version: int


@dataclass(slots=True)
class Outcome:
    """What one input did to a profile."""

    changes: list[Change] = field(default_factory=list)
    visible: bool = False
    """Whether what others see of the profile (traits, computed traits, segments, that it exists) has changed."""
    duplicate: bool = False


def on_event(program: Program, state: ProfileState, event: Event, now_ms: int) -> Outcome:
    """Take in one accepted event of the profile. A duplicate changes nothing but what time has changed."""
    outcome = Outcome()
    _advance(program, state, max(now_ms, event.received_ms), outcome)
    if not is_new(state.ids, event.source, event.message_id, event.received_ms):
        outcome.duplicate = True
        return outcome
    step = Step()
    first = state.created_ms == 0
    if first:
        _begin(program, state, step, outcome)
    if event.type == "identify":
        for name, old, new in traits.assign(state, event):
            outcome.visible = True
            _trait_changed(program, state, name, old, new, step)
    else:
        _join(program, state, event, step)
    _conclude(program, state, step, outcome)
    if first:
        # What the profile was given to begin with and lost to its first event again was never so.
        outcome.changes = [_entered(program, key, state.now_ms) for key in state.segments]
    _stamp(state, outcome)
    return outcome


def on_time(program: Program, state: ProfileState, now_ms: int) -> Outcome:
    """Bring the profile to an instant: what time alone changes, and what changes of the rules do."""
    outcome = Outcome()
    _advance(program, state, now_ms, outcome)
    _stamp(state, outcome)
    return outcome


def on_lists(program: Program, state: ProfileState, lists: AbstractSet[str], now_ms: int) -> Outcome:
    """The profile is on these uploaded lists, and on no other."""
    outcome = Outcome()
    _advance(program, state, now_ms, outcome)
    turned = state.lists ^ lists
    state.lists = set(lists)
    _ask(program, state, {key for name in turned for key in program.readers.get(name, ())}, outcome)
    _stamp(state, outcome)
    return outcome


def _stamp(state: ProfileState, outcome: Outcome) -> None:
    if outcome.visible or outcome.changes:
        outcome.visible = True
        state.updated_ms = state.now_ms


def _advance(program: Program, state: ProfileState, now_ms: int, outcome: Outcome) -> None:
    """Bring the profile to `now_ms` and to the program's revision; time never goes back."""
    due_ms = state.due_ms
    state.now_ms = max(state.now_ms, now_ms)
    due = due_ms is not None and due_ms <= state.now_ms
    if not due and state.revision == program.revision:
        return
    step = Step()
    if due:
        for key in [key for key, at_ms in state.dues.items() if at_ms <= state.now_ms]:
            _fall_due(program, state, key, step)
    if state.revision != program.revision:
        adopt(program, state, step)
        for key in [key for key in state.segments if key not in program.segments]:
            _leave(state, key, 0, outcome)
            step.touched |= program.dependents.get(key, set())
        for name in program.traits.time_driven:
            set_trait_due(program, state, name)
        if state.created_ms:
            step.touched.update(compiled.key for compiled in program.changed_since(state.revision))
        state.revision = program.revision
    _conclude(program, state, step, outcome)


def _fall_due(program: Program, state: ProfileState, key: int | str, step: Step) -> None:
    """Time has come to what `state.dues` has under `key`: a trail, or a trait by its name."""
    if isinstance(key, str):
        for test in program.traits.time_driven.get(key, ()):
            step.touched |= test.segments
        set_trait_due(program, state, key)
        return
    trail = program.trails.get(key)
    walked = state.walk(key)
    if trail is None or walked is None:
        state.set_due(key, None)
        return
    state.keep(key, walked)
    for leaf_id in [leaf_id for leaf_id, due_ms in walked.dues.items() if due_ms <= state.now_ms]:
        leaf = trail.leaves.get(leaf_id)
        sequence = trail.sequences.get(leaf_id)
        if leaf is not None:
            look(state, leaf, walked, step)
        elif sequence is not None:
            look_at_sequence(state, sequence, step)
        else:
            del walked.dues[leaf_id]
            state.set_due(key, min(walked.dues.values(), default=None))


def _join(program: Program, state: ProfileState, event: Event, step: Step) -> None:
    """The event joins every trail that it matches, and the leaves that it may have changed are looked at."""
    trails = program.matchers.of(event).trails_of(event)
    if not trails:
        return
    # An event no later than another may complete, or end, a sequence of events that came before it.
    late = event.time_ms <= state.latest_ms
    state.latest_ms = max(state.latest_ms, event.time_ms)
    state.events += 1
    walks = [(trail, note(state, trail, event)) for trail in trails]
    for trail, walked in walks:
        look_around(state, trail, walked, event, step)
    for trail, walked in walks:
        if trail.sequences:
            look_at_sequences(state, trail, event, step, late=late)
        if len(walked.times) >= MOST_NEW:
            if trail.sequences:
                times_of(state, trail)
            settle(state, trail, walked)


def set_trait_due(program: Program, state: ProfileState, name: str) -> None:
    """When time alone next turns a test of a trait."""
    state.set_due(name, program.traits.next_change_ms(name, traits.root_value(state, name), state.now_ms))


def _trait_changed(program: Program, state: ProfileState, name: str, old: Any, new: Any, step: Step) -> None:
    step.touched.update(program.traits.changed(name, old, new, state.now_ms))
    if name in program.traits.time_driven:
        set_trait_due(program, state, name)


def _begin(program: Program, state: ProfileState, step: Step, outcome: Outcome) -> None:
    """The profile's first event: it is in every segment that a profile without events and traits is in."""
    state.created_ms = state.now_ms
    outcome.visible = True
    everybody, personal = program.at_start()
    state.enter(*everybody)
    step.touched.update(personal)


def _conclude(program: Program, state: ProfileState, step: Step, outcome: Outcome) -> None:
    """After leaves were looked at: set the computed traits, and ask the segments again."""
    for key, found in step.computed.items():
        old = state.computed.get(key)
        if same(old, found):
            continue
        if found is None:
            del state.computed[key]
        else:
            state.computed[key] = found
        outcome.visible = True
        _trait_changed(program, state, traits.computed_name(key), old, found, step)
    if step.touched:
        _ask(program, state, step.touched, outcome)


def _ask(program: Program, state: ProfileState, touched: Iterable[str], outcome: Outcome) -> None:
    """Ask segments again, those that others refer to first, and those that refer to what changed after them."""
    if not state.created_ms:
        return
    waiting = [(program.order_of(key), key) for key in touched if key in program.segments]
    heapify(waiting)
    last: str | None = None
    while waiting:
        _, key = heappop(waiting)
        if key == last:
            continue
        last = key
        compiled = program.segments[key]
        if compiled.paused or compiled.holds(state) == (key in state.segments):
            continue
        if key in state.segments:
            _leave(state, key, compiled.version, outcome)
        else:
            state.enter(key)
            outcome.changes.append(_entered(program, key, state.now_ms))
        for other in program.dependents.get(key, ()):
            heappush(waiting, (program.order_of(other), other))


def _entered(program: Program, key: str, now_ms: int) -> Change:
    return Change(key, entered=True, at_ms=now_ms, version=program.segments[key].version)


def _leave(state: ProfileState, key: str, version: int, outcome: Outcome) -> None:
    state.leave(key)
    outcome.changes.append(Change(key, entered=False, at_ms=state.now_ms, version=version))
