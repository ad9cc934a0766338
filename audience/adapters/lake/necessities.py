"""What must be so of a profile's events for a rule to hold: SQL that leaves out profiles, never one for whom it holds.

Each part of a rule becomes a condition that it implies: so many events of a pattern since an instant. Where a part can
hold for somebody without events, it implies nothing. SQL chooses candidates only; the engine decides.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias, assert_never

import msgspec

from audience.adapters.lake.duck import literal
from audience.rules.references import COMPUTED
from audience.rules.tree import (
    AllOf,
    AnyOf,
    Bucket,
    ComputedTrait,
    EventNode,
    ListRef,
    Node,
    Not,
    Pattern,
    SegmentRef,
    Sequence,
    Test,
    Trait,
    Window,
)

_encode: Final = msgspec.json.Encoder().encode
_MOST_TEXTS: Final = 20
_HOLDS_OF_NOTHING: Final = frozenset(("count", "sum", "distinct"))
"""Measures that are 0 where there is nothing to measure; the others make their node false."""


@dataclass(frozen=True, slots=True)
class Atom:
    """At least `least` events for which `where` holds; all of them came at `since_ms` or later (None: at any time)."""

    where: str
    least: int
    since_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Both:
    """All of them."""

    parts: tuple["Need", ...]


@dataclass(frozen=True, slots=True)
class Either:
    """One of them."""

    parts: tuple["Need", ...]


@dataclass(frozen=True, slots=True)
class Nothing:
    """No condition at all."""


Need: TypeAlias = Atom | Both | Either | Nothing
NOTHING: Final = Nothing()


@dataclass(frozen=True, slots=True)
class Needs:
    """Reads rules. `segments` and `computed_traits` are those that rules refer to; `now_ms` is when they are asked."""

    now_ms: int
    segments: Mapping[str, Node] = field(default_factory=dict)
    computed_traits: Mapping[str, ComputedTrait] = field(default_factory=dict)

    def of(self, node: Node, *, holds: bool = True) -> Need:
        """What must be so for the node to hold, or not to hold."""
        match node:
            case AllOf(children):
                parts = [self.of(child, holds=holds) for child in children]
                return both(parts) if holds else either(parts)
            case AnyOf(children):
                parts = [self.of(child, holds=holds) for child in children]
                return either(parts) if holds else both(parts)
            case Not(child):
                return self.of(child, holds=not holds)
            case EventNode():
                return self._event(node, holds=holds)
            case Sequence():
                return self._sequence(node) if holds else NOTHING
            case Trait(test):
                return self._trait(test, holds=holds)
            case SegmentRef(key):
                rule = self.segments.get(key)
                return NOTHING if rule is None else self.of(rule, holds=holds)
            case ListRef() | Bucket():
                return NOTHING
            case _:
                assert_never(node)

    def _event(self, node: EventNode, *, holds: bool) -> Need:
        if _of_nothing(node) == holds:
            return NOTHING
        return self._atom(node.pattern, node.window, _least(node) if holds else 1)

    def _sequence(self, node: Sequence) -> Need:
        numbers = Counter(self._atom(step.pattern, node.window, 1) for step in node.steps)
        return both([replace(atom, least=number) for atom, number in numbers.items()])

    def _trait(self, test: Test, *, holds: bool) -> Need:
        if (test.op == "absent") == holds:
            return NOTHING
        if test.path[0] == COMPUTED and len(test.path) > 1:
            trait = self.computed_traits.get(test.path[1])
            if trait is None:
                return NOTHING
            return self._atom(trait.pattern, trait.window, 1)
        # The value that the trait has came with an identify, in its traits or in the traits of its context.
        found = [_has(column, test.path) for column in ("traits", "context")]
        return Atom(f"type = 'identify' AND ({' OR '.join(found)}){_texts(test, 'traits', 'context')}", 1)

    def _atom(self, pattern: Pattern, window: Window | None, least: int) -> Atom:
        """So many events of a pattern in a window."""
        return Atom(f"{_matching(pattern)}{after(window, self.now_ms)}", least, first_ms(window, self.now_ms))


def both(parts: Iterable[Need]) -> Need:
    """All of them."""
    kept = tuple(part for part in parts if part != NOTHING)
    return NOTHING if not kept else kept[0] if len(kept) == 1 else Both(kept)


def either(parts: Iterable[Need]) -> Need:
    """One of them."""
    kept = tuple(parts)
    return NOTHING if NOTHING in kept else kept[0] if len(kept) == 1 else Either(kept)


def atoms(need: Need) -> list[Atom]:
    """The atoms of a need, each once."""
    match need:
        case Atom():
            return [need]
        case Both(parts) | Either(parts):
            return list(dict.fromkeys(atom for part in parts for atom in atoms(part)))
        case Nothing():
            return []
        case _:
            assert_never(need)


def having(need: Need, numbers: Mapping[str, str]) -> str:
    """The need as a condition over counted events: `numbers` names the count for each atom's `where`."""
    match need:
        case Atom(where=where, least=least):
            return f"{numbers[where]} >= {least}"
        case Both(parts):
            return "(" + " AND ".join(having(part, numbers) for part in parts) + ")"
        case Either(parts):
            return "(" + " OR ".join(having(part, numbers) for part in parts) + ")"
        case Nothing():
            return "true"
        case _:
            assert_never(need)


def _of_nothing(node: EventNode) -> bool:
    """Whether the node holds for somebody without a matching event."""
    if node.measure.kind not in _HOLDS_OF_NOTHING:
        return False
    return all(_compares(0, op, bound) for op, bound in node.bounds)


def _compares(value: float, op: str, bound: float) -> bool:
    match op:
        case "eq":
            return value == bound
        case "ne":
            return value != bound
        case "gt":
            return value > bound
        case "gte":
            return value >= bound
        case "lt":
            return value < bound
        case _:
            return value <= bound


def _least(node: EventNode) -> int:
    """How many matching events the node needs at least."""
    if node.measure.kind not in ("count", "distinct"):
        return 1
    least = 1
    for op, bound in node.bounds:
        if op in ("eq", "gte"):
            least = max(least, math.ceil(bound))
        elif op == "gt":
            least = max(least, math.floor(bound) + 1)
    return least


def _matching(pattern: Pattern) -> str:
    """SQL that holds for every event of the pattern, and possibly for others of its type and name."""
    where = f"type = {literal(pattern.type)}"
    if pattern.name is not None:
        where += f" AND name = {literal(pattern.name)}"
    for test in pattern.where:
        if test.op != "absent":
            column = "properties" if test.of == "property" else "context"
            where += f" AND {_has(column, test.path)}{_texts(test, column)}"
    return where


def first_ms(window: Window | None, now_ms: int) -> int | None:
    """The first instant at which an event counts; None for any."""
    return None if window is None else max(0, window.first_pane(now_ms) * window.step_ms)


def after(window: Window | None, now_ms: int) -> str:
    """SQL that leaves out events before the window."""
    since_ms = first_ms(window, now_ms)
    return "" if since_ms is None else f" AND timestamp >= make_timestamptz({since_ms * 1_000})"


def _has(column: str, path: tuple[str, ...]) -> str:
    """That the text of an object has every key of a path somewhere."""
    keys = [f"contains({column}, {literal(_text(key) + ':')})" for key in path if _plain(key)]
    return "(" + " AND ".join([f"{column} IS NOT NULL", *keys]) + ")"


def _texts(test: Test, *columns: str) -> str:
    """That one of the texts that a test looks for stands somewhere in the columns."""
    match test.op:
        case "eq":
            wanted = [_text(test.value)] if _plain(test.value) else []
        case "in":
            values = test.value if len(test.value) <= _MOST_TEXTS else []
            wanted = [_text(value) for value in values] if all(map(_plain, values)) else []
        case "contains" | "starts_with" | "ends_with":
            wanted = [_text(test.value)[1:-1]] if _plain(test.value) and test.value else []
        case _:
            wanted = []
    if not wanted:
        return ""
    found = [f"coalesce(contains({column}, {literal(text)}), false)" for column in columns for text in wanted]
    return f" AND ({' OR '.join(found)})"


def _plain(value: Any) -> bool:
    """Whether JSON has one way only to write the value in the lake: printable ASCII that needs no escape."""
    return isinstance(value, str) and value.isascii() and value.isprintable() and not set(value) & {'"', "\\"}


def _text(value: str) -> str:
    return _encode(value).decode()
