"""The live rules of one workspace, compiled: which leaves there are, who asks for them, what each segment evaluates.

Segments are added, replaced and taken out one by one, each in the time of its own rule. Nothing here belongs to a
profile. No code is generated from a rule: a rule becomes closures over checked values.
"""

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias, assert_never

from audience.engine import leaves
from audience.engine.leaves import FAMILY_OF, HAPPENED, ComputedValue, Leaf, SequenceLeaf, Series, Trail
from audience.engine.matching import Matchers
from audience.engine.state import ProfileState, nobody
from audience.engine.traits import TraitTests, read
from audience.rules import canonical
from audience.rules.predicates import predicate_of
from audience.rules.reading import RegexCompiler
from audience.rules.references import lists_of, nodes_of, segments_of
from audience.rules.tree import (
    AllOf,
    AnyOf,
    Bucket,
    ComputedTrait,
    EventNode,
    ListRef,
    Measure,
    Node,
    Not,
    Pattern,
    SegmentRef,
    Sequence,
    Test,
    Trait,
    Window,
)

Condition: TypeAlias = Callable[[ProfileState], bool]
"""Whether a node holds for a profile at the profile's `now_ms`."""

BUCKETS = 10_000


@dataclass(slots=True)
class Compiled:
    """One segment of a program."""

    key: str
    rule: Node
    version: int
    revision: int
    paused: bool
    holds: Condition
    asked: set[tuple[Leaf | SequenceLeaf, leaves.Condition]] = field(default_factory=set)
    tests: list[tuple[str, Test]] = field(default_factory=list)
    refers_to: frozenset[str] = frozenset()
    lists: frozenset[str] = frozenset()
    personal: bool = False
    """Whether the answer for a profile without events and traits depends on who it is."""
    at_start: bool = False
    """The answer for every profile without events and traits, where it is not personal."""


class Program:
    """The compiled segments and computed traits of one workspace."""

    def __init__(self, regex: RegexCompiler) -> None:
        self.segments: dict[str, Compiled] = {}
        self.trails: dict[int, Trail] = {}
        self.series: dict[int, Series] = {}
        self.leaves: dict[int, Leaf] = {}
        self.sequences: dict[int, SequenceLeaf] = {}
        self.matchers = Matchers(regex)
        self.traits = TraitTests()
        self.computed: dict[str, tuple[Leaf, ComputedValue]] = {}
        self.dependents: dict[str, set[str]] = {}
        """For each segment, those that refer to it."""
        self.readers: dict[str, set[str]] = {}
        """For each list, the segments that refer to it."""
        self.revision = 0
        self._removed: dict[str, int] = {}
        self._defined: dict[str, int] = {}
        """For each computed trait that is or was there, the revision of its newest definition."""
        self.regex = regex
        self._order: dict[str, int] | None = None
        self._by_revision: list[tuple[int, str]] | None = None
        self._at_start: tuple[list[str], list[str]] | None = None

    def put(self, key: str, rule: Node, *, version: int, revision: int, paused: bool = False) -> None:
        """Add a segment or replace it. An older revision than the one that is there changes nothing."""
        known = self.segments.get(key)
        if revision <= (known.revision if known is not None else self._removed.get(key, -1)):
            return
        compiled = Compiled(key, rule, version, revision, paused, holds=lambda _: False)
        compiled.holds = _Compiler(self, compiled).condition(rule)
        # The new rule takes its leaves before the old one leaves them, so that what both need is never given up.
        if known is not None:
            self._release(known, compiled, revision)
        self.segments[key] = compiled
        compiled.refers_to = segments_of(rule)
        compiled.lists = lists_of(rule)
        for other in compiled.refers_to:
            self.dependents.setdefault(other, set()).add(key)
        for name in compiled.lists:
            self.readers.setdefault(name, set()).add(key)
        compiled.personal = any(isinstance(node, Bucket | ListRef | SegmentRef) for node in nodes_of(rule))
        compiled.at_start = not compiled.personal and compiled.holds(nobody())
        self._changed(revision)

    def remove(self, key: str, revision: int) -> None:
        """Take a segment out, with the leaves that only it needed; an older definition cannot bring it back."""
        self._removed[key] = max(revision, self._removed.get(key, -1))
        known = self.segments.get(key)
        if known is not None and known.revision < revision:
            self._release(known, None, revision)
            del self.segments[key]
        self._changed(revision)

    def put_computed_trait(self, trait: ComputedTrait, revision: int) -> None:
        """Add a computed trait or replace it. A revision no newer than what was seen of it changes nothing."""
        if revision <= self._defined.get(trait.key, -1):
            return
        self.remove_computed_trait(trait.key, revision)
        leaf = self.leaf(trait.pattern, trait.window, trait.measure)
        value = ComputedValue(trait.key, trait.measure.kind)
        leaf.computed.append(value)
        leaf.arrange()
        self._arrange(leaf.series.trail, revision)
        self.computed[trait.key] = (leaf, value)

    def remove_computed_trait(self, key: str, revision: int) -> None:
        """Take a computed trait out; an older definition cannot bring it back."""
        if revision <= self._defined.get(key, -1):
            return
        self._defined[key] = revision
        known = self.computed.pop(key, None)
        if known is not None:
            leaf, value = known
            leaf.computed.remove(value)
            self._free(leaf, revision)
        self._changed(revision)

    def order_of(self, key: str) -> int:
        """A number that is greater than those of all segments that this one refers to, directly or not."""
        if self._order is None:
            self._order = {}
            for name in self.segments:
                self._number(name)
        return self._order[key]

    def _number(self, key: str) -> int:
        order = self._order
        if order is None or key not in self.segments:
            return 0
        if key not in order:
            order[key] = 0  # ends a cycle, which the catalog refuses but a log of the past might hold
            order[key] = 1 + max((self._number(other) for other in self.segments[key].refers_to), default=0)
        return order[key]

    def changed_since(self, revision: int) -> Iterator[Compiled]:
        """The segments whose definition is newer than `revision`."""
        if self._by_revision is None:
            self._by_revision = sorted((compiled.revision, key) for key, compiled in self.segments.items())
        for _, key in self._by_revision[bisect_right(self._by_revision, (revision, "\U0010ffff")) :]:
            yield self.segments[key]

    def at_start(self) -> tuple[list[str], list[str]]:
        """The segments of every profile without events and traits, and those that are to be asked for each profile."""
        if self._at_start is None:
            asked = [compiled for compiled in self.segments.values() if not compiled.paused]
            self._at_start = (
                [compiled.key for compiled in asked if compiled.at_start],
                [compiled.key for compiled in asked if compiled.personal],
            )
        return self._at_start

    def trail(self, pattern: Pattern) -> Trail:
        """The trail of a pattern; made where there was none."""
        trail_id = leaves.trail_id(pattern)
        trail = self.trails.get(trail_id)
        if trail is None:
            trail = self.trails[trail_id] = Trail(trail_id, pattern)
            self.matchers.add(trail)
        return trail

    def leaf(self, pattern: Pattern, window: Window | None, measure: Measure) -> Leaf:
        """The leaf of a measure over a window; made where there was none. Its trail is to be arranged afterwards."""
        trail = self.trail(pattern)
        family = FAMILY_OF[measure.kind]
        step_ms = None if window is None else window.step_ms
        series_id = leaves.series_id(trail, family, measure.path, step_ms)
        series = self.series.get(series_id)
        if series is None:
            series = self.series[series_id] = Series(series_id, trail, family, measure.path, step_ms)
            trail.series[series_id] = series
        leaf_id = leaves.leaf_id(series, window)
        leaf = self.leaves.get(leaf_id)
        if leaf is None:
            leaf = self.leaves[leaf_id] = trail.leaves[leaf_id] = Leaf(leaf_id, series, window)
            series.leaves.append(leaf)
            leaf.arrange()
        return leaf

    def sequence(self, node: Sequence) -> SequenceLeaf:
        """The leaf of a sequence; made where there was none. Its trails are to be arranged afterwards."""
        leaf_id = leaves.sequence_id(node)
        leaf = self.sequences.get(leaf_id)
        if leaf is None:
            trails = tuple(map(self.trail, leaves.patterns_of(node)))
            leaf = self.sequences[leaf_id] = SequenceLeaf(leaf_id, leaves.shape_of(node), trails)
            for trail in trails:
                trail.sequences[leaf_id] = leaf
        return leaf

    def ask(self, leaf: Leaf | SequenceLeaf, condition: leaves.Condition, segment: str, revision: int) -> None:
        """Put a segment's condition on a leaf."""
        if not leaf.conditions.add(condition, segment):
            return
        if isinstance(leaf, Leaf):
            leaf.arrange()
            self._arrange(leaf.series.trail, revision)
        else:
            for trail in leaf.trails:
                self._arrange(trail, revision)

    def _arrange(self, trail: Trail, revision: int) -> None:
        trail.revision = max(trail.revision, revision)
        trail.arrange()

    def _changed(self, revision: int) -> None:
        self.revision = max(self.revision, revision)
        self._order = None
        self._by_revision = None
        self._at_start = None

    def _release(self, old: Compiled, new: Compiled | None, revision: int) -> None:
        """Give up what the old rule needs and the new one does not."""
        for leaf, condition in old.asked - (new.asked if new else set()):
            if leaf.conditions.remove(condition, old.key):
                self._free(leaf, revision)
        kept_tests = {name for name, _ in new.tests} if new else set()
        for name, test in dict(old.tests).items():
            if name not in kept_tests:
                self.traits.unwatch(name, test, old.key)
        for other in old.refers_to:
            self.dependents[other].discard(old.key)
        for name in old.lists:
            self.readers[name].discard(old.key)

    def _free(self, leaf: Leaf | SequenceLeaf, revision: int) -> None:
        """A condition or computed trait has left the leaf: take out what nobody needs any more."""
        if isinstance(leaf, SequenceLeaf):
            del self.sequences[leaf.id]
            for trail in set(leaf.trails):
                del trail.sequences[leaf.id]
                self._tidy(trail, revision)
            return
        series = leaf.series
        if leaf.unused:
            del self.leaves[leaf.id], series.trail.leaves[leaf.id]
            series.leaves.remove(leaf)
            if not series.leaves:
                del self.series[series.id], series.trail.series[series.id]
        else:
            leaf.arrange()
        self._tidy(series.trail, revision)

    def _tidy(self, trail: Trail, revision: int) -> None:
        if trail.unused:
            del self.trails[trail.id]
            self.matchers.remove(trail)
        else:
            self._arrange(trail, revision)


class _Compiler:
    """Makes the closures of one segment's rule, taking leaves and tests for it."""

    def __init__(self, program: Program, compiled: Compiled) -> None:
        self._program = program
        self._compiled = compiled

    def condition(self, node: Node) -> Condition:
        match node:
            case AllOf(children):
                conditions = tuple(map(self.condition, children))
                return lambda state: all(holds(state) for holds in conditions)
            case AnyOf(children):
                conditions = tuple(map(self.condition, children))
                return lambda state: any(holds(state) for holds in conditions)
            case Not(child):
                holds = self.condition(child)
                return lambda state: not holds(state)
            case Trait(test):
                return self._trait(test)
            case EventNode():
                return self._event(node)
            case Sequence():
                sequence = self._program.sequence(node)
                self._ask(sequence, HAPPENED)
                return lambda state: (home := state.walk(sequence.home.id)) is not None and sequence.id in home.readings
            case SegmentRef(key):
                return lambda state: key in state.segments
            case ListRef(key):
                return lambda state: key in state.lists
            case Bucket(salt, first, end):
                return lambda state: first <= bucket_of(salt, state.profile_id) < end
            case _:
                assert_never(node)

    def _trait(self, test: Test) -> Condition:
        name = canonical.text_of(canonical.of_test(test))
        holds = predicate_of(test, self._program.regex)
        self._program.traits.watch(name, test, holds, self._compiled.key)
        self._compiled.tests.append((name, test))
        path = test.path
        return lambda state: holds(read(state, path), state.now_ms)

    def _event(self, node: EventNode) -> Condition:
        leaf = self._program.leaf(node.pattern, node.window, node.measure)
        condition = leaves.condition_of(node)
        self._ask(leaf, condition)
        bit = leaf.conditions.bit_of(condition)

        trail_id = leaf.series.trail.id

        def holds(state: ProfileState) -> bool:
            walked = state.walk(trail_id)
            reading = None if walked is None else walked.readings.get(leaf.id)
            gauge = leaf.gauge
            return (gauge.empty_mask if reading is None else gauge.mask(reading)) & bit != 0

        return holds

    def _ask(self, leaf: Leaf | SequenceLeaf, condition: leaves.Condition) -> None:
        compiled = self._compiled
        self._program.ask(leaf, condition, compiled.key, compiled.revision)
        compiled.asked.add((leaf, condition))


def bucket_of(salt: str, profile_id: str) -> int:
    """The profile's bucket, 0 to 9,999 (rules.md, "Nodes")."""
    digest = hashlib.sha256(f"{salt}:{profile_id}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") % BUCKETS
