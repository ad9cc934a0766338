"""A segment that is created in the middle of a profile's stream and filled from the archive, for tests.

A seed says when: behind which arrivals the segment is defined, the cut is taken, the history is given (in parts, of
which some come again), and the backfill is over; and whether another segment keeps the same leaves: with all of their
history, without it, or filled by a backfill of its own that may be cancelled. The archive is what the lake's table
silver is: each message once, the first that was accepted.
"""

from collections.abc import Callable
from functools import partial
from itertools import cycle
from random import Random
from typing import Final, Literal

from audience.engine.evaluate import Event, on_event, on_history, on_lists
from audience.engine.lowering import Backfill, leaves_of
from audience.engine.program import Program
from audience.rules import parse_computed_trait, parse_rule
from audience.wire import topics
from tests.engine_stream import REGEX, SUBJECT, Arrival, Stream
from tests.oracle.world import JsonObject, World

TWIN: Final = "twin"
"""The key of a segment with the rule under test."""

TwinKind = Literal["none", "whole", "lacking", "cancelled", "filled"]
Put = Callable[[Program], None]


def record_of(arrival: Arrival) -> bytes:
    """The event as the archive has it."""
    return topics.encode(
        topics.EventRecord(
            workspace=arrival.workspace, source=arrival.source, profile_id=arrival.profile_id,
            message_id=arrival.message_id, type=arrival.type, name=arrival.name, time_ms=arrival.time_ms,
            received_ms=arrival.received_ms, properties=dict(arrival.properties), context=dict(arrival.context),
            traits=dict(arrival.traits),
        )
    )  # fmt: skip


class BackfilledStream(Stream):
    """Compare it with the oracle only while it is `due`."""

    def __init__(self, rule: JsonObject, world: World, paused: frozenset[str], seed: int) -> None:
        random = Random(seed)  # noqa: S311  a test's
        arrivals = [Arrival.of(event) for event in world.events if event.profile_id == world.profile_id]
        segments = {key: {"event": "*"} if isinstance(each, bool) else each for key, each in world.segments.items()}
        self.rules = {key: parse_rule(each, regex=REGEX) for key, each in segments.items()}
        self.subject = parse_rule(rule, regex=REGEX)
        self.random = random
        self.twin: TwinKind = random.choice(("none", "whole", "lacking", "cancelled", "filled"))
        base: list[Put] = []
        for number, definition in enumerate(world.computed_traits.values(), 1):
            trait = parse_computed_trait(definition, regex=REGEX)
            base.append(partial(Program.put_computed_trait, trait=trait, revision=number))
        for number, (key, each) in enumerate(self.rules.items(), len(base) + 1):
            base.append(partial(Program.put, key=key, rule=each, version=1, revision=number, paused=key in paused))
        if self.twin == "whole":
            base.append(partial(Program.put, key=TWIN, rule=self.subject, version=1, revision=len(base) + 1))
        self._puts = {f"base-{number}": put for number, put in enumerate(base)}
        self._lived = _program(list(self._puts.values()))
        super().__init__([self._lived, _program(list(self._puts.values())[::-1])], world.profile_id, arrivals)
        self._arrivals = sorted(arrivals, key=lambda event: event.received_ms)
        self._offset = 0
        self._revision = 100
        count = len(self._arrivals)
        self.defined = random.randint(0, count)
        self.cut = random.randint(self.defined, count)
        self.filled = random.randint(self.cut, count)
        self.over = random.randint(self.filled, count)
        self._steps: list[tuple[int, Callable[[], None]]] = []
        new = leaves_of(self.subject) - frozenset().union(*map(leaves_of, self.rules.values()))
        self._plan(
            SUBJECT, 100, frozenset() if self.twin == "whole" else new, (self.defined, self.cut, self.filled, self.over)
        )
        if self.twin == "lacking":
            at = random.randint(0, count)
            self._steps.append((at, partial(self._define, TWIN, None)))
        elif self.twin == "cancelled":
            at = random.randint(0, count)
            self._steps.append((at, partial(self._define, TWIN, Backfill(200, new))))
            self._steps.append((random.randint(at, count), partial(self._define, TWIN, None)))
        elif self.twin == "filled":
            defined, cut, filled, over = sorted(random.randint(0, count) for _ in range(4))
            self._plan(TWIN, 200, new, (defined, cut, filled, over))
        self._steps.sort(key=lambda step: step[0])
        state = self.state
        on_lists(self.program, state, world.lists, now_ms=0)
        for key in paused:
            if world.segments[key] is True:
                state.enter(key)
        self.keep(state)

    @property
    def plan(self) -> str:
        """What a mismatch is told with: behind which arrivals the segment was defined and filled, and its twin."""
        places = (self.defined, self.cut, self.filled, self.over)
        return f"defined, cut, filled and over behind {places} arrivals, with {self.twin} twin"

    @property
    def due(self) -> bool:
        """Whether the segment has to be right: its history is in, or it was there before the profile."""
        return (self.defined == 0 or self._offset >= self.filled) and not any(
            at <= self._offset for at, _ in self._steps
        )

    def to(self, now_ms: int) -> None:
        """As for a stream; what happens to the segment happens right before an arrival, or after the last."""
        while self._waiting and self._waiting[0].received_ms <= now_ms:
            event = self._waiting.pop(0)
            self.timers(event.received_ms)
            self._happen(event.received_ms)
            self.program = next(self._next)
            state = self.state
            self.keep(state, on_event(self.program, state, Event.of(event, self._offset), event.received_ms))
            self._offset += 1
        if not self._waiting:
            self._happen(now_ms)
        self.timers(now_ms)
        self._now_ms = now_ms

    def _plan(self, key: str, number: int, new: frozenset[str], at: tuple[int, int, int, int]) -> None:
        defined, cut, filled, over = at
        self._steps.append((defined, partial(self._define, key, Backfill(number, new))))
        parts = self._parts(cut)
        places = sorted(self.random.randint(cut, filled) for _ in parts[:-1])
        for place, part in zip((*places, filled), parts, strict=True):
            self._steps.append((place, partial(self._fill, number, cut, part, part is parts[-1])))
            if self.random.random() < 0.3:
                self._steps.append((filled, partial(self._fill, number, cut, part, part is parts[-1])))
        self._steps.append((over, partial(self._define, key, None)))

    def _parts(self, cut: int) -> list[list[tuple[int, bytes]]]:
        archived: dict[tuple[str, str], tuple[int, bytes]] = {}
        for offset, event in enumerate(self._arrivals[:cut]):
            archived.setdefault((event.source, event.message_id), (offset, record_of(event)))
        history = list(archived.values())
        ends = sorted({self.random.randint(0, len(history)) for _ in range(self.random.randint(0, 2))} | {len(history)})
        return [history[start:end] for start, end in zip((0, *ends[:-1]), ends, strict=True)]

    def _happen(self, now_ms: int) -> None:
        while self._steps and self._steps[0][0] <= self._offset:
            self._steps.pop(0)[1]()
            if self.random.random() < 0.5:
                self.timers(now_ms)

    def _define(self, key: str, backfill: Backfill | None) -> None:
        self._revision += 1
        put = partial(Program.put, key=key, rule=self.subject, version=1, revision=self._revision, backfill=backfill)
        self._puts[key] = put
        put(self._lived)
        begun = _program(list(self._puts.values())[:: self.random.choice((1, -1))])
        self._next = cycle([self._lived, begun] if self.random.random() < 0.5 else [begun, self._lived])
        self.program = next(self._next)

    def _fill(self, number: int, cut: int, events: list[tuple[int, bytes]], last: bool) -> None:
        self.program = next(self._next)
        state = self.state
        now_ms = state.now_ms
        self.keep(
            state,
            on_history(self.program, state, backfills=[number], cut=cut, events=events, last=last, now_ms=now_ms),
        )


def _program(puts: list[Put]) -> Program:
    program = Program(REGEX)
    for put in puts:
        put(program)
    return program
