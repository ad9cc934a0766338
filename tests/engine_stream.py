"""The engine driven as the streaming job drives it, for tests: events in order of arrival, timers, state as bytes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from random import Random
from typing import Any, Final

import re2

from audience.engine import evaluate
from audience.engine.evaluate import Outcome, on_event, on_lists, on_time
from audience.engine.explain import explain
from audience.engine.program import Program
from audience.engine.state import ProfileState
from audience.rules import Regex, parse_computed_trait, parse_rule
from audience.rules.tree import ComputedTrait, Node
from audience.wire.state import decode_state, encode_state, new_state
from tests.oracle.world import Event, JsonObject, World

SUBJECT: Final = "subject"
"""The key of the rule under test."""


def REGEX(pattern: str) -> Regex:  # noqa: N802  it stands for a constant of the tests
    try:
        return re2.compile(pattern)
    except re2.error as error:
        raise ValueError(str(error)) from error


@dataclass(frozen=True, slots=True)
class Arrival:
    """An event of the oracle's world as the engine reads it."""

    workspace: str
    profile_id: str
    source: str
    message_id: str
    type: str
    name: str
    time_ms: int
    received_ms: int
    properties: JsonObject
    context: JsonObject
    traits: JsonObject

    @classmethod
    def of(cls, event: Event) -> "Arrival":
        return cls(
            "demo", event.profile_id, event.source, event.message_id, event.type, event.name,
            event.time_ms, event.received_ms, event.properties, event.context, event.traits,
        )  # fmt: skip


def program_of(
    rule: JsonObject, world: World, paused: frozenset[str] = frozenset(), *, backwards: bool = False
) -> Program:
    """The rule under test among the segments and computed traits of its world.

    `backwards`: read in the opposite order, as a job may after a restart. The definitions are the same.
    """
    puts: list[Callable[[Program, int], None]] = [
        partial(_put_computed, trait=parse_computed_trait(definition, regex=REGEX))
        for definition in world.computed_traits.values()
    ]
    segments = {key: {"event": "*"} if isinstance(other, bool) else other for key, other in world.segments.items()}
    for key, other_rule in {**segments, SUBJECT: rule}.items():
        puts.append(partial(_put, key=key, rule=parse_rule(other_rule, regex=REGEX), paused=key in paused))
    program = Program(REGEX)
    numbered = list(enumerate(puts, 1))
    for revision, put in reversed(numbered) if backwards else numbered:
        put(program, revision)
    return program


def _put_computed(program: Program, revision: int, *, trait: ComputedTrait) -> None:
    program.put_computed_trait(trait, revision)


def _put(program: Program, revision: int, *, key: str, rule: Node, paused: bool) -> None:
    program.put(key, rule, version=1, revision=revision, paused=paused)


class Stream:
    """One profile in a stream. Its job restarts with each event: the next program has read the rules the other way."""

    def __init__(self, programs: Sequence[Program], profile_id: str, arrivals: list[Arrival]) -> None:
        self.programs = programs
        self._next = cycle(programs)
        self.program = next(self._next)
        self.profile_id = profile_id
        self._now_ms = 0
        self._data: bytes = encode_state(new_state(profile_id))
        self._told: frozenset[str] = frozenset()
        self._waiting = sorted(arrivals, key=lambda event: event.received_ms)

    @classmethod
    def of_world(cls, rule: JsonObject, world: World, paused: set[str] | frozenset[str] = frozenset()) -> "Stream":
        stream = cls(
            [program_of(rule, world, frozenset(paused), backwards=backwards) for backwards in (False, True)],
            world.profile_id,
            [Arrival.of(event) for event in world.events if event.profile_id == world.profile_id],
        )
        state = stream.state
        on_lists(stream.program, state, world.lists, now_ms=0)
        for key in paused:
            if world.segments[key] is True:
                state.enter(key)
        stream.keep(state)
        return stream

    @property
    def state(self) -> ProfileState:
        return decode_state(self._data)

    def keep(self, state: ProfileState, outcome: Outcome | None = None) -> None:
        """Others are told the whole profile, where something of it that can be seen has changed."""
        self._data = encode_state(state)
        if outcome is None or outcome.visible:
            self._told = frozenset(state.segments)

    def to(self, now_ms: int) -> None:
        """Everything that arrives and falls due up to an instant, each in its time."""
        while self._waiting and self._waiting[0].received_ms <= now_ms:
            event = self._waiting.pop(0)
            self.timers(event.received_ms)
            self._take(event, event.received_ms)
        self.timers(now_ms)
        self._now_ms = now_ms

    def late(self, random: Random, by_ms: int) -> int:
        """Everything arrives, each event up to `by_ms` after its receipt, and some before the timers that were due.

        Gives the instant of the last.
        """
        now_ms = 0
        while self._waiting:
            event = self._waiting.pop(0)
            now_ms = max(now_ms, event.received_ms + random.randint(0, by_ms))
            if random.random() < 0.5:
                self.timers(now_ms)
            self._take(event, now_ms)
        return now_ms

    def _take(self, event: Arrival, now_ms: int) -> None:
        self.program = next(self._next)
        state = self.state
        self.keep(state, on_event(self.program, state, evaluate.Event.of(event), now_ms))

    def timers(self, now_ms: int) -> None:
        """Fire every timer up to an instant at its own instant, then look at the instant itself."""
        while (due_ms := self.state.due_ms) is not None and due_ms <= now_ms:
            state = self.state
            self.keep(state, on_time(self.program, state, due_ms))
            after_ms = self.state.due_ms
            assert after_ms is None or after_ms > due_ms, "a timer that does not move on"

    @property
    def member(self) -> bool:
        """As others have been told."""
        return SUBJECT in self._told

    @property
    def value(self) -> Any:
        """What explain says that the rule's root measured."""
        return self.explanation["tree"].get("value")

    @property
    def explanation(self) -> dict[str, Any]:
        state = self.state
        return explain(self.program, state, SUBJECT, self._now_ms, lambda each: decode_state(encode_state(each)))
