"""Moves a profile: an event, or time, or a change of the rules in; changes of membership out.

The result depends only on the accepted events, the rules and the instant, never on the order of arrival
(rules.md, "Membership is a function"). engine/core does it, compiled; here is its face.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

import audience_engine
from audience_engine import Change, EngineError, Event, Outcome

from audience.engine.program import Program
from audience.engine.state import ProfileState

__all__ = ["Change", "EngineError", "Event", "Outcome", "on_event", "on_history", "on_lists", "on_time"]


def on_event(program: Program, state: ProfileState, event: Event, now_ms: int) -> Outcome:
    """Take in one accepted event of the profile. A duplicate changes nothing but what time has changed.

    `Event.parse` reads one from the log's JSON, `Event.of` takes one that was decoded elsewhere. Raises EngineError
    where the engine fails on it; the state is spoilt then.
    """
    return audience_engine.on_event(program.compiled, state, event, now_ms)


def on_time(program: Program, state: ProfileState, now_ms: int) -> Outcome:
    """Bring the profile to an instant: what time alone changes, and what changes of the rules do."""
    return audience_engine.on_time(program.compiled, state, now_ms)


def on_lists(program: Program, state: ProfileState, lists: AbstractSet[str], now_ms: int) -> Outcome:
    """The profile is on these uploaded lists, and on no other."""
    return audience_engine.on_lists(program.compiled, state, set(lists), now_ms)


def on_history(
    program: Program,
    state: ProfileState,
    *,
    backfills: Sequence[int],
    cut: int,
    events: Sequence[tuple[int, bytes]],
    last: bool,
    now_ms: int,
) -> Outcome:
    """Take in a part of the profile's history, for the leaves that outstanding backfills wait for.

    `events` are records of the log with their offsets, in order and each message once, behind those of parts before.
    With the `last` part every event below `cut` that can matter to those leaves was there: the segments are asked then.
    What came live to the leaves, and what they were fed already, is left out. Raises ValueError for what is no event.
    """
    return audience_engine.on_history(program.compiled, state, list(backfills), cut, list(events), last, now_ms)
