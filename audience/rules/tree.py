"""A rule as a tree of values. What stands here has been checked; only `audience.rules.parse` makes it."""

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from audience.rules.durations import step_of

Path: TypeAlias = tuple[str, ...]
Operator: TypeAlias = Literal[
    "eq", "ne", "gt", "gte", "lt", "lte", "in", "not_in", "contains", "starts_with", "ends_with", "matches",
    "exists", "absent", "before", "after", "within_last", "within_next",
]  # fmt: skip
Bound: TypeAlias = Literal["eq", "ne", "gt", "gte", "lt", "lte"]
MeasureKind: TypeAlias = Literal["count", "sum", "avg", "min", "max", "distinct"]
ComputedKind: TypeAlias = Literal[MeasureKind, "first", "last", "most_frequent", "unique_list"]
NodeEventType: TypeAlias = Literal["track", "page", "screen"]


@dataclass(frozen=True, slots=True)
class Window:
    """A duration and the step it moves in; both in milliseconds."""

    within_ms: int

    @property
    def step_ms(self) -> int:
        return step_of(self.within_ms)

    @property
    def panes(self) -> int:
        """How many panes before the current one count."""
        return self.within_ms // self.step_ms

    def first_pane(self, now_ms: int) -> int:
        """The oldest pane that counts at `now_ms`."""
        return now_ms // self.step_ms - self.panes

    def leaves_at(self, pane: int) -> int:
        """The first instant at which events of `pane` no longer count."""
        return (pane + self.panes + 1) * self.step_ms


@dataclass(frozen=True, slots=True)
class Test:
    """A test of one value found by a path. `value` is JSON, or None for `exists` and `absent`.

    For `within_last` and `within_next` it is milliseconds, for `before` and `after` Unix milliseconds.
    """

    of: Literal["property", "context", "trait"]
    path: Path
    op: Operator
    value: Any = None


@dataclass(frozen=True, slots=True)
class Pattern:
    """Which events: their type, their name (None is any) and the tests that all must hold."""

    type: NodeEventType
    name: str | None
    where: tuple[Test, ...]


@dataclass(frozen=True, slots=True)
class Measure:
    """What is measured over the matching events; `path` into their properties, None for count."""

    kind: ComputedKind
    path: Path | None = None


@dataclass(frozen=True, slots=True)
class AllOf:
    children: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    children: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Not:
    child: "Node"


@dataclass(frozen=True, slots=True)
class Trait:
    """A test of a trait. A path that begins with ``computed`` reads a computed trait."""

    test: Test


@dataclass(frozen=True, slots=True)
class EventNode:
    """A measure over matching events in a window (None: all time), held against bounds that all must hold."""

    pattern: Pattern
    window: Window | None
    measure: Measure
    bounds: tuple[tuple[Bound, int | float], ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a sequence; `gap_ms` is the longest time after the step before it, None for no limit."""

    pattern: Pattern
    gap_ms: int | None


@dataclass(frozen=True, slots=True)
class Sequence:
    """Distinct events, one for each step, in order and all inside the window.

    `absent` is the last step where that one must *not* happen within its `gap_ms` after the step before it.
    """

    steps: tuple[Step, ...]
    absent: Step | None
    window: Window


@dataclass(frozen=True, slots=True)
class SegmentRef:
    """True for members of another segment."""

    key: str


@dataclass(frozen=True, slots=True)
class ListRef:
    """True for profiles on an uploaded list."""

    key: str


@dataclass(frozen=True, slots=True)
class Bucket:
    """A stable random share of all profiles: `first <= h < end` of 10,000 buckets."""

    salt: str
    first: int
    end: int


Node: TypeAlias = AllOf | AnyOf | Not | Trait | EventNode | Sequence | SegmentRef | ListRef | Bucket


@dataclass(frozen=True, slots=True)
class ComputedTrait:
    """A measure of a profile's events that rules read as the trait ``computed.<key>``."""

    key: str
    pattern: Pattern
    window: Window | None
    measure: Measure
