"""How many profiles a rule would have, and some of them, before anything is saved.

The lake gives the histories of those that the rule may hold for, in an order that is as good as random; the engine
decides each. When all have been decided the size is exact. When the time is up it is estimated from those that were
decided so far, with the interval in which it lies with a probability of 95%.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from audience.engine.evaluate import Event, on_event, on_lists, on_time
from audience.engine.program import Program
from audience.ports.lake import PLACES, Candidates, History, LakeReader, LakeTooSlow, Question
from audience.rules.reading import RegexCompiler
from audience.rules.references import lists_of
from audience.rules.tree import AllOf, AnyOf, ComputedTrait, ListRef, Node, Not, SegmentRef
from audience.wire.state import new_state

SUBJECT: Final = " preview"
"""The rule's key in its program; no segment has one like it."""

FROZEN: Final = " paused:"
"""Before a paused segment's key: its members are read as if they were on a list."""

SAMPLE: Final = 20
AT_ONCE: Final = 256
"""So many profiles are decided between two looks at the clock."""

FIRST_PROFILES: Final = 1_000
FIRST_EVENTS: Final = 20_000
"""How large the first portion is about; those after it follow from how long it took."""

NARROWING: Final = 0.6
"""The part of the time that may go into finding candidates."""

PATIENCE: Final = 2.5
"""So many times the limit a preview may take rather than give no answer at all."""

Z: Final = 1.959964
"""Of the normal distribution, for 95%."""

Belongings = Callable[[Sequence[str]], Mapping[str, frozenset[str]]]
"""For profiles the lists that they are on, paused segments among them (`FROZEN`); who is on none may be left out."""


@dataclass(frozen=True, slots=True)
class Preview:
    """What is asked. `segments` and `computed_traits` are what the rule refers to, directly or not."""

    workspace: str
    rule: Node
    now_ms: int
    segments: Mapping[str, Node] = field(default_factory=dict)
    paused: frozenset[str] = frozenset()
    computed_traits: Sequence[ComputedTrait] = ()


@dataclass(frozen=True, slots=True)
class Previewed:
    """The answer. `low` and `high` are the interval's ends, and the size itself where that is exact."""

    size: int
    low: int
    high: int
    exact: bool
    sample: tuple[str, ...]
    evaluated: int
    complete_to_ms: int


@dataclass(slots=True)
class _Tally:
    evaluated: int = 0
    members: int = 0
    sample: list[str] = field(default_factory=list)


class Previews:
    """Decides one preview after the other."""

    def __init__(self, lake: LakeReader, regex: RegexCompiler) -> None:
        self._lake = lake
        self._regex = regex

    def preview(self, asked: Preview, belongings: Belongings, limit_s: float) -> Previewed:
        """Exact, or by what could be decided in the time; where that is nothing, in PATIENCE times as much.

        Raises LakeTooSlow where that is nothing, LakeUnavailable.
        """
        rule = _with_frozen(asked.rule, asked.paused)
        segments = {key: _with_frozen(other, asked.paused) for key, other in asked.segments.items()}
        question = Question(
            asked.workspace, rule, asked.now_ms, segments, {trait.key: trait for trait in asked.computed_traits}
        )
        program = self._program(question)
        lists = any(map(lists_of, (rule, *segments.values())))
        tally = _Tally()
        asked_s = time.monotonic()
        deadline_s, latest_s = asked_s + limit_s, asked_s + PATIENCE * limit_s
        with self._lake.candidates(question, asked_s + NARROWING * limit_s) as candidates:
            place, end = 0, _first_end(candidates)
            while place < PLACES:
                began_s, before = time.monotonic(), place
                between = (place, end, deadline_s if place else latest_s)
                place = _decide(program, candidates, between, asked.now_ms, belongings if lists else None,
                                tally, deadline_s)  # fmt: skip
                now_s = time.monotonic()
                if place < end or now_s >= deadline_s:
                    break
                # As much as the time left may be enough for; the portion ends where the time does.
                pace = (place - before) / max(now_s - began_s, 1e-3)
                end = min(PLACES, place + max(place - before, int(pace * (deadline_s - now_s))))
            if not place:
                raise LakeTooSlow("no profile could be decided in time")
            return _answer(tally, candidates, place)

    def _program(self, question: Question) -> Program:
        program = Program(self._regex)
        revision = 0
        for trait in question.computed_traits.values():
            program.put_computed_trait(trait, revision := revision + 1)
        for key, rule in {**question.segments, SUBJECT: question.rule}.items():
            program.put(key, rule, version=1, revision=(revision := revision + 1))
        return program


def _first_end(candidates: Candidates) -> int:
    """The end of the first portion."""
    wanted, there = (
        (FIRST_EVENTS, candidates.events) if candidates.count is None else (FIRST_PROFILES, candidates.count)
    )
    return PLACES if there <= wanted else PLACES * wanted // there


def _decide(
    program: Program,
    candidates: Candidates,
    between: tuple[int, int, float],
    now_ms: int,
    belongings: Belongings | None,
    tally: _Tally,
    deadline_s: float,
) -> int:
    """Decide the profiles between two places, read by an instant; gives the place up to which that was done."""
    first, end, read_by_s = between
    done = first
    try:
        for some in _portions(candidates.histories(first, end, read_by_s)):
            on = belongings([history.profile_id for history in some]) if belongings else {}
            for history in some:
                tally.evaluated += 1
                if _holds(program, history, on.get(history.profile_id, frozenset()), now_ms):
                    tally.members += 1
                    if len(tally.sample) < SAMPLE:
                        tally.sample.append(history.profile_id)
            done = some[-1].place + 1
            if time.monotonic() >= deadline_s:
                return done
    except LakeTooSlow:
        return done
    return end


def _portions(histories: Iterator[History]) -> Iterator[list[History]]:
    while some := list(islice(histories, AT_ONCE)):
        yield some


def _holds(program: Program, history: History, lists: frozenset[str], now_ms: int) -> bool:
    """Whether the rule holds now: all events are taken in as of now, since their order of arrival never matters."""
    state = new_state(history.profile_id)
    if lists:
        on_lists(program, state, lists, now_ms)
    for event in history.events:
        on_event(program, state, Event.of(event), now_ms)
    on_time(program, state, now_ms)
    return SUBJECT in state.segments


def _with_frozen(node: Node, paused: frozenset[str]) -> Node:
    """The rule with paused segments as lists of their members."""
    match node:
        case AllOf(children):
            return AllOf(tuple(_with_frozen(child, paused) for child in children))
        case AnyOf(children):
            return AnyOf(tuple(_with_frozen(child, paused) for child in children))
        case Not(child):
            return Not(_with_frozen(child, paused))
        case SegmentRef(key) if key in paused:
            return ListRef(FROZEN + key)
        case _:
            return node


def _answer(tally: _Tally, candidates: Candidates, place: int) -> Previewed:
    if place >= PLACES:
        size = low = high = tally.members
    elif candidates.count is None:
        size, low, high = of_part(tally.members, place / PLACES)
    else:
        size, low, high = of_known(tally.members, tally.evaluated, candidates.count)
    return Previewed(size, low, high, place >= PLACES, tuple(tally.sample), tally.evaluated, candidates.complete_to_ms)


def of_known(members: int, evaluated: int, population: int) -> tuple[int, int, int]:
    """Estimate and interval of the members of a population of which some, drawn at random, were decided.

    Wilson's score interval, with the correction for a finite population.
    """
    if not evaluated:
        return 0, 0, population
    share = members / evaluated
    z2 = Z * Z * max(0.0, (population - evaluated) / max(1, population - 1))
    middle = (share + z2 / (2 * evaluated)) / (1 + z2 / evaluated)
    half = math.sqrt(z2 * share * (1 - share) / evaluated + (z2 / (2 * evaluated)) ** 2) / (1 + z2 / evaluated)
    low = max(members, math.floor(population * (middle - half)))
    high = min(population - (evaluated - members), math.ceil(population * (middle + half)))
    return round(population * share), low, max(low, high)


def of_part(members: int, part: float) -> tuple[int, int, int]:
    """Estimate and interval of the members of all, where those in a random part of them were counted.

    The sizes n for which the count lies within Z deviations of n * part, of a binomial distribution.
    """
    z2 = Z * Z * (1 - part)
    root = math.sqrt(z2 * z2 + 4 * z2 * members)
    low = (2 * members + z2 - root) / (2 * part)
    high = (2 * members + z2 + root) / (2 * part)
    return round(members / part), max(members, math.floor(low)), math.ceil(high)
