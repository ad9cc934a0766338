"""Leaves: what rules measure of a profile's events, each kept once however many rules ask for it.

A *trail* is a pattern of events. A *series* is one measure over a trail in panes of one length (`sum` and `avg` are one
measure here); it serves every window of that pane length. A *leaf* is a window over a series, or a sequence over
trails, with the conditions that rules put on it. Ids are hashes of canonical forms, so that a profile's state outlives
every change of the rules above it. Nothing here belongs to a profile.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final, Literal, TypeAlias

from audience.engine.decimals import from_micros, json_number, quotient
from audience.engine.gauges import (
    AverageGauge,
    Bounds,
    CountGauge,
    Gauge,
    NoGauge,
    Scale,
    SumGauge,
    ValueGauge,
    micros_bound,
)
from audience.engine.measures import Count, Greatest, Least, Numbers
from audience.engine.seen import Distinct, First, Frequencies, Last
from audience.engine.sequences import Shape
from audience.rules import canonical
from audience.rules.tree import ComputedKind, EventNode, MeasureKind, Path, Pattern, Sequence, Window

Family: TypeAlias = Literal["count", "numbers", "min", "max", "distinct", "first", "last", "frequencies"]

FAMILY_OF: Final[dict[ComputedKind, Family]] = {
    "count": "count",
    "sum": "numbers",
    "avg": "numbers",
    "min": "min",
    "max": "max",
    "distinct": "distinct",
    "unique_list": "distinct",
    "first": "first",
    "last": "last",
    "most_frequent": "frequencies",
}

STATES: Final[dict[Family, Any]] = {
    "count": Count,
    "numbers": Numbers,
    "min": Least,
    "max": Greatest,
    "distinct": Distinct,
    "first": First,
    "last": Last,
    "frequencies": Frequencies,
}

NOTHING: Final[dict[Family, Any]] = {"count": 0, "numbers": (0, 0), "distinct": 0}
"""What a series without events reads; None for the families that are not named."""

Condition: TypeAlias = tuple[MeasureKind, Bounds]
"""A measure and what it is held against."""

NEVER: Final = (1 << 62) - 1
"""A mark that no count or sum reaches."""

HAPPENED: Final[Condition] = ("count", (("gte", 1),))
"""The one condition of a sequence."""


@dataclass(slots=True)
class _Asked:
    """A condition's bit, and the segments that have it."""

    bit: int
    by: set[str] = field(default_factory=set)


@dataclass(slots=True, eq=False)
class ComputedValue:
    """A computed trait on its leaf."""

    key: str
    kind: ComputedKind

    def of(self, state: Any, reading: Any, first_pane: int) -> Any:
        """The trait's JSON value; None, that is missing, where there is nothing to measure."""
        match self.kind:
            case "count" | "distinct":
                return reading or None
            case "sum":
                return from_micros(reading[0]) if reading[1] else None
            case "avg":
                return quotient(*reading) if reading[1] else None
            case "min" | "max":
                return None if reading is None else json_number(reading)
            case "unique_list":
                return state.unique_list(first_pane) or None
            case _:
                return reading


@dataclass(slots=True, eq=False)
class Conditions:
    """Who asks a leaf for what. A condition keeps its bit for as long as anybody has it."""

    _asked: dict[Condition, _Asked] = field(default_factory=dict)
    _known: dict[int, frozenset[str]] = field(default_factory=dict)

    def add(self, condition: Condition, segment: str) -> bool:
        """Put a condition on the leaf for a segment; whether the condition is new."""
        self._known.clear()
        asked = self._asked.get(condition)
        new = asked is None
        if asked is None:
            used = {asked.bit for asked in self._asked.values()}
            asked = self._asked[condition] = _Asked(next(bit for bit in count() if bit not in used))
        asked.by.add(segment)
        return new

    def remove(self, condition: Condition, segment: str) -> bool:
        """Take a segment's condition back; whether nobody has it any more."""
        self._known.clear()
        asked = self._asked[condition]
        asked.by.discard(segment)
        if asked.by:
            return False
        del self._asked[condition]
        return True

    def bit_of(self, condition: Condition) -> int:
        return 1 << self._asked[condition].bit

    def segments_of(self, changed: int) -> frozenset[str]:
        """The segments that asked for the conditions whose bits are in `changed`."""
        known = self._known.get(changed)
        if known is None:
            known = frozenset().union(*(asked.by for asked in self._asked.values() if changed >> asked.bit & 1))
            self._known[changed] = known
        return known

    def of(self, *kinds: MeasureKind, convert: Callable[[Any], Any] = lambda bound: bound) -> list[tuple[int, Any]]:
        """The bits and bounds of the conditions on these measures."""
        return [
            (asked.bit, tuple((op, convert(bound)) for op, bound in bounds))
            for (kind, bounds), asked in self._asked.items()
            if kind in kinds
        ]

    def __bool__(self) -> bool:
        return bool(self._asked)


@dataclass(slots=True, eq=False)
class Series:
    """One measure over a trail, in panes of one length; None for all time."""

    id: int
    trail: "Trail"
    family: Family
    path: Path | None
    step_ms: int | None
    leaves: "list[Leaf]" = field(default_factory=list)
    longest: Window | None = None
    """The longest of the leaves' windows: how far back panes are kept."""

    immediate: bool = field(init=False)
    """Whether it takes in an event at once, and not with others when somebody looks."""
    way: str | None = field(init=False)
    """The path as text: its parts hold no dots."""

    def __post_init__(self) -> None:
        self.immediate = self.family not in ("count", "numbers")
        self.way = None if self.path is None else ".".join(self.path)

    def new_state(self) -> Any:
        return STATES[self.family]()

    def unpack(self, data: bytes) -> Any:
        return STATES[self.family].unpack(data)

    def pane_of(self, time_ms: int) -> int:
        return 0 if self.step_ms is None else time_ms // self.step_ms

    def first_pane(self, now_ms: int) -> int:
        """The oldest pane that some leaf still counts."""
        return 0 if self.longest is None else self.longest.first_pane(now_ms)


@dataclass(slots=True, eq=False)
class Leaf:
    """A window over a series (None: all time), and the conditions on what it reads."""

    id: int
    series: Series
    window: Window | None
    gauge: Gauge = field(default_factory=NoGauge)
    computed: list[ComputedValue] = field(default_factory=list)
    conditions: Conditions = field(default_factory=Conditions)

    first_mark: int = 0
    """The count or sum of the trail at which it is to be looked at for the first time."""
    each_event: bool = False
    """Whether it is to be looked at with every event of the trail, since any may change what others see."""

    @property
    def nothing(self) -> Any:
        """What it reads without events."""
        return NOTHING.get(self.series.family)

    def next_leaving_ms(self, state: Any, first_pane: int) -> int | None:
        """When the oldest pane that it counts leaves."""
        if self.window is None:
            return None
        following = next(iter(state.ahead(first_pane)), None)
        return None if following is None else self.window.leaves_at(following[0])

    @property
    def unused(self) -> bool:
        return not self.conditions and not self.computed

    def first_pane(self, now_ms: int) -> int:
        return 0 if self.window is None else self.window.first_pane(now_ms)

    def arrange(self) -> None:
        """Read the conditions and computed traits anew, after one came or went."""
        self._make_gauge()
        self.each_event = bool(self.computed) or self.series.immediate or isinstance(self.gauge, AverageGauge)
        headroom = self.gauge.headroom(self.nothing)
        self.first_mark = NEVER if headroom is None else min(headroom, NEVER)

    def _make_gauge(self) -> None:
        conditions = self.conditions
        match self.series.family:
            case "count":
                scale = Scale(conditions.of("count"))
                self.gauge = CountGauge(scale, scale.mask(0))
            case "numbers":
                scale = Scale(conditions.of("sum", convert=micros_bound))
                self.gauge = sums = SumGauge(scale, scale.mask(0))
                averages = conditions.of("avg", convert=micros_bound)
                if averages:
                    self.gauge = AverageGauge(sums, averages)
            case "distinct":
                scale = Scale(conditions.of("distinct"))
                self.gauge = ValueGauge(scale, scale.mask(0))
            case "min" | "max":
                self.gauge = ValueGauge(Scale(conditions.of("min", "max", convert=float)), 0)
            case _:
                self.gauge = NoGauge()


@dataclass(slots=True, eq=False)
class SequenceLeaf:
    """A sequence over the trails of its steps; the absent step's trail is the last."""

    id: int
    shape: Shape
    trails: "tuple[Trail, ...]"
    conditions: Conditions = field(default_factory=Conditions)

    @property
    def last(self) -> int:
        """The index of the last step that must happen."""
        return len(self.shape.gaps_ms) - 1

    @property
    def home(self) -> "Trail":
        """The trail of that step."""
        return self.trails[self.last]


@dataclass(slots=True, eq=False)
class Trail:
    """A pattern, the series over it, and the sequences that it is a step of."""

    id: int
    pattern: Pattern
    paths: tuple[Path, ...] = ()
    """The paths whose numbers are kept with an event until its series take it in."""
    ways: list[str] = field(default_factory=list)
    """The same as text."""
    series: dict[int, Series] = field(default_factory=dict)
    leaves: dict[int, Leaf] = field(default_factory=dict)
    sequences: dict[int, SequenceLeaf] = field(default_factory=dict)
    revision: int = 0
    """The program's revision when anything above last changed."""
    plan: "TrailPlan" = field(init=False)

    def __post_init__(self) -> None:
        self.arrange()

    @property
    def unused(self) -> bool:
        return not self.leaves and not self.sequences

    def arrange(self) -> None:
        """Put what an event needs in order, after a series, a leaf or a sequence came or went."""
        series = self.series.values()
        # In an order of their own: states hold numbers by it, and segments are read again in any order.
        self.paths = tuple(sorted({each.path for each in series if each.family == "numbers" and each.path is not None}))
        self.ways = [".".join(path) for path in self.paths]
        for each in series:
            windows = [leaf.window for leaf in each.leaves if leaf.window is not None]
            each.longest = max(windows, key=lambda window: window.within_ms, default=None)
        self.plan = TrailPlan.of(self)


@dataclass(frozen=True, slots=True, eq=False)
class TrailPlan:
    """What there is to do when an event joins a trail. Made anew with each change; an event only reads it."""

    counts: tuple[Leaf, ...]
    """Leaves to be looked at once the number of events has reached a mark."""
    sums: tuple[tuple[Leaf, ...], ...]
    """For each path, leaves to be looked at once the sum has."""
    each_event: tuple[Leaf, ...]
    immediate: tuple[Series, ...]
    tailed: tuple[Series, ...]
    kept: frozenset[int]
    """What a profile keeps for the trail: a series each, and under the trail's id the times, for sequences."""
    last_of: dict[int | None, tuple[SequenceLeaf, ...]]
    """Sequences that this trail completes, by the trail of the step before; None for those of one step."""
    absent_of: tuple[SequenceLeaf, ...]
    """Sequences that an event of this trail ends."""
    times_ms: int
    """How far back the times of events are kept for sequences; 0 where none needs them."""

    @classmethod
    def of(cls, trail: Trail) -> "TrailPlan":
        quiet = [leaf for leaf in trail.leaves.values() if not leaf.each_event]
        last_of: dict[int | None, list[SequenceLeaf]] = {}
        absent_of: list[SequenceLeaf] = []
        times_ms = 0
        for leaf in trail.sequences.values():
            window = leaf.shape.window
            times_ms = max(times_ms, window.within_ms + window.step_ms)
            if leaf.trails[leaf.last] is trail:
                before = leaf.trails[leaf.last - 1].id if leaf.last else None
                last_of.setdefault(before, []).append(leaf)
            if leaf.shape.absent_gap_ms is not None and leaf.trails[-1] is trail:
                absent_of.append(leaf)
        return cls(
            counts=tuple(leaf for leaf in quiet if leaf.series.family == "count"),
            sums=tuple(tuple(leaf for leaf in quiet if leaf.series.path == path) for path in trail.paths),
            each_event=tuple(leaf for leaf in trail.leaves.values() if leaf.each_event),
            immediate=tuple(series for series in trail.series.values() if series.immediate),
            tailed=tuple(series for series in trail.series.values() if not series.immediate),
            kept=frozenset((*trail.series, trail.id) if trail.sequences else trail.series),
            last_of={before: tuple(leaves) for before, leaves in last_of.items()},
            absent_of=tuple(absent_of),
            times_ms=times_ms,
        )


def trail_id(pattern: Pattern) -> int:
    return canonical.hash_of({"trail": canonical.of_pattern(pattern)})


def series_id(trail: Trail, family: Family, path: Path | None, step_ms: int | None) -> int:
    way = None if path is None else list(path)
    return canonical.hash_of({"trail": trail.id, "family": family, "path": way, "step": step_ms})


def leaf_id(series: Series, window: Window | None) -> int:
    return canonical.hash_of({"series": series.id, "within": canonical.of_window(window)})


def sequence_id(node: Sequence) -> int:
    return canonical.hash_of(canonical.of_sequence(node))


def shape_of(node: Sequence) -> Shape:
    absent_gap_ms = None if node.absent is None else node.absent.gap_ms
    return Shape(tuple(step.gap_ms for step in node.steps), absent_gap_ms, node.window)


def patterns_of(node: Sequence) -> tuple[Pattern, ...]:
    """The patterns of the steps, the absent one last."""
    patterns = tuple(step.pattern for step in node.steps)
    return patterns if node.absent is None else (*patterns, node.absent.pattern)


def condition_of(node: EventNode) -> Condition:
    """The condition that an event node puts on its leaf, the same for bounds in any order."""
    kind: MeasureKind = node.measure.kind  # type: ignore[assignment]  # an event node's measure is checked when parsed
    return kind, tuple(sorted(node.bounds))
