"""From JSON to a rule, or to all that is wrong with it (rules.md). Refuses whatever the contract does not name."""

import re
from collections.abc import Mapping
from typing import Any, Final, cast, get_args

from audience.rules.errors import ErrorCode, RuleInvalid
from audience.rules.parse_tests import TestParser
from audience.rules.reading import Faults, Limits, RegexCompiler, at
from audience.rules.references import COMPUTED, References
from audience.rules.tree import (
    AllOf,
    AnyOf,
    Bound,
    Bucket,
    ComputedKind,
    ComputedTrait,
    EventNode,
    ListRef,
    Measure,
    MeasureKind,
    Node,
    NodeEventType,
    Not,
    Pattern,
    SegmentRef,
    Sequence,
    Step,
    Trait,
    Window,
)

_KINDS: Final = ("all", "any", "not", "trait", "event", "sequence", "segment", "list", "bucket")
_TYPES: Final = get_args(NodeEventType)
_BOUNDS: Final = frozenset(get_args(Bound))
_MEASURES: Final = frozenset(get_args(MeasureKind)) - {"count"}
_COMPUTED_MEASURES: Final = _MEASURES | {"first", "last", "most_frequent", "unique_list"}
_BUCKETS: Final = 10_000
_DECIMAL: Final = frozenset(("sum", "avg"))
_KEY: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
ANY_NAME: Final = "*"
NO_DECIMAL: Final = 10**15
"""A magnitude from here on is no number for sum and avg."""


def parse_rule(
    data: object, *, regex: RegexCompiler, references: References | None = None, limits: Limits | None = None
) -> Node:
    """The rule that `data` (decoded JSON) says. Raises RuleInvalid with every fault.

    Without `references` any segment, list or computed trait may be referred to: for rules that were checked before.
    """
    faults = Faults()
    parser = _RuleParser(faults, regex, references, limits or Limits())
    rule = parser.node(data, "", 1)
    if parser.nodes > parser.limits.nodes:
        faults.add("limit_exceeded", "", f"{parser.nodes} nodes; a rule may have {parser.limits.nodes}")
    if faults.errors or rule is None:
        raise RuleInvalid(faults.errors)
    return rule


def parse_computed_trait(data: object, *, regex: RegexCompiler, limits: Limits | None = None) -> ComputedTrait:
    """A computed trait's definition. Raises RuleInvalid with every fault, its paths relative to `data`."""
    faults = Faults()
    trait = _RuleParser(faults, regex, None, limits or Limits()).computed_trait(data)
    if faults.errors or trait is None:
        raise RuleInvalid(faults.errors)
    return trait


class _RuleParser:
    """One pass over one rule. A method gives None for what is wrong, having said why."""

    def __init__(self, faults: Faults, regex: RegexCompiler, references: References | None, limits: Limits) -> None:
        self.limits = limits
        self.nodes = 0
        self._faults = faults
        self._references = references
        self._tests = TestParser(faults, limits, regex)

    def node(self, value: object, path: str, depth: int) -> Node | None:
        self.nodes += 1
        if depth > self.limits.depth:
            self._faults.add("limit_exceeded", path, f"nested more than {self.limits.depth} deep")
            return None
        node = self._faults.mapping(value, path)
        if node is None:
            return None
        kinds = [kind for kind in _KINDS if kind in node]
        if len(kinds) != 1:
            found = " and ".join(kinds) if kinds else "none"
            self._faults.add("node_kind", path, f"a node has exactly one of {', '.join(_KINDS)}; this one has {found}")
            return None
        match kinds[0]:
            case "all" | "any":
                return self._group(node, path, kinds[0], depth)
            case "not":
                self._faults.keys(node, path, ("not",), ())
                child = self.node(node["not"], at(path, "not"), depth + 1)
                return None if child is None else Not(child)
            case "trait":
                return self._trait(node, path)
            case "event":
                return self._event(node, path)
            case "sequence":
                return self._sequence(node, path)
            case "bucket":
                self._faults.keys(node, path, ("bucket",), ())
                return self._bucket(node["bucket"], at(path, "bucket"))
            case kind:
                self._faults.keys(node, path, (kind,), ())
                return self._reference(kind, node[kind], at(path, kind))

    def _group(self, node: Mapping[str, Any], path: str, kind: str, depth: int) -> Node | None:
        self._faults.keys(node, path, (kind,), ())
        items = self._faults.array(node[kind], at(path, kind))
        if items is None:
            return None
        if not items:
            self._faults.add("empty", at(path, kind), "needs at least one node")
            return None
        found = [self.node(item, at(at(path, kind), index), depth + 1) for index, item in enumerate(items)]
        children = tuple(child for child in found if child is not None)
        if len(children) < len(found):
            return None
        return AllOf(children) if kind == "all" else AnyOf(children)

    def _trait(self, node: Mapping[str, Any], path: str) -> Node | None:
        test = self._tests.trait(node, path)
        trait = node["trait"]
        if self._references is not None and isinstance(trait, str) and trait.startswith(f"{COMPUTED}."):
            key = trait.split(".")[1]
            if key and key not in self._references.computed_traits:
                self._faults.add("unknown_computed_trait", at(path, "trait"), f"there is no computed trait {key!r}")
                return None
        return None if test is None else Trait(test)

    def _event(self, node: Mapping[str, Any], path: str) -> Node | None:
        self._faults.keys(node, path, ("event",), ("type", "where", "within", "measure", "is"))
        pattern = self._pattern(node, path)
        window = self._window(node, path)
        measure = self._measure(node.get("measure", "count"), at(path, "measure"), _MEASURES)
        decimal = measure is not None and measure.kind in _DECIMAL
        bounds = self._bounds(node["is"], at(path, "is"), decimal=decimal) if "is" in node else (("gte", 1),)
        if pattern is None or measure is None or bounds is None or (window is None and "within" in node):
            return None
        return EventNode(pattern, window, measure, cast("tuple[tuple[Bound, int | float], ...]", bounds))

    def _pattern(self, node: Mapping[str, Any], path: str) -> Pattern | None:
        name = self._faults.string(node["event"], at(path, "event")) if "event" in node else None
        kind = self._faults.one_of(node.get("type", "track"), at(path, "type"), _TYPES)
        where = self._tests.where(node.get("where", []), at(path, "where"))
        if name is None or kind is None or where is None:
            return None
        return Pattern(cast("NodeEventType", kind), None if name == ANY_NAME else name, where)

    def _window(self, node: Mapping[str, Any], path: str) -> Window | None:
        if "within" not in node:
            return None
        within_ms = self._faults.duration_ms(node["within"], at(path, "within"))
        return None if within_ms is None else Window(within_ms)

    def _measure(self, value: object, path: str, kinds: frozenset[str]) -> Measure | None:
        if isinstance(value, str):
            if value == "count":
                return Measure("count")
            self._faults.add("bad_value", path, f'{value!r} is no measure; write "count" or {{"sum": "total"}}')
            return None
        measure = self._faults.mapping(value, path)
        if measure is None:
            return None
        self._faults.keys(measure, path, (), kinds)
        known = [key for key in measure if key in kinds]
        if not measure:
            self._faults.add("empty", path, f"needs one of {', '.join(sorted(kinds))}")
        elif len(known) > 1:
            self._faults.add("bad_value", path, "measures one thing; use two nodes for two")
        paths = [self._faults.path_of(measure[key], at(path, key)) for key in known]
        if len(known) != 1 or len(measure) != 1 or paths[0] is None:
            return None
        return Measure(cast("ComputedKind", known[0]), paths[0])

    def _bounds(self, value: object, path: str, *, decimal: bool) -> tuple[tuple[str, int | float], ...] | None:
        bounds = self._faults.mapping(value, path)
        if bounds is None:
            return None
        if not bounds:
            self._faults.add("empty", path, f"needs one of {', '.join(sorted(_BOUNDS))}")
            return None
        read: list[tuple[str, int | float]] = []
        for op, bound in bounds.items():
            if op not in _BOUNDS:
                self._faults.add("unknown_operator", at(path, op), f"{op!r} is none of {', '.join(sorted(_BOUNDS))}")
                continue
            number = self._faults.number(bound, at(path, op))
            if number is not None and decimal and abs(number) >= NO_DECIMAL:
                self._faults.add("bad_value", at(path, op), "sums and averages know no number of 1e15 or more")
            elif number is not None:
                read.append((op, number))
        return tuple(read) if len(read) == len(bounds) else None

    def _sequence(self, node: Mapping[str, Any], path: str) -> Node | None:
        self._faults.keys(node, path, ("sequence", "within"), ())
        window = self._window(node, path)
        items = self._faults.array(node["sequence"], at(path, "sequence"))
        if items is None:
            return None
        if not items:
            self._faults.add("empty", at(path, "sequence"), "needs at least one step")
            return None
        if len(items) > self.limits.steps:
            message = f"{len(items)} steps; a sequence may have {self.limits.steps}"
            self._faults.add("limit_exceeded", at(path, "sequence"), message)
        read = [
            self._step(item, at(at(path, "sequence"), index), first=index == 0, last=index == len(items) - 1)
            for index, item in enumerate(items)
        ]
        steps = tuple(step for step in read if step is not None)
        if len(steps) < len(read) or window is None:
            return None
        if items[-1].get("absent"):
            return Sequence(steps[:-1], steps[-1], window)
        return Sequence(steps, None, window)

    def _step(self, value: object, path: str, *, first: bool, last: bool) -> Step | None:
        node = self._faults.mapping(value, path)
        if node is None:
            return None
        may = (
            ("type", "where")
            if first
            else ("type", "where", "within", "absent")
            if last
            else ("type", "where", "within")
        )
        absent = "absent" in may and node.get("absent") is True
        required = ("event", "within") if absent else ("event",)
        complete = self._faults.keys(node, path, required, may)
        if "absent" in may and "absent" in node and not absent:
            code = "bad_value" if node["absent"] is False else "wrong_type"
            self._faults.add(cast("ErrorCode", code), at(path, "absent"), "is true, or is left out")
        pattern = self._pattern(node, path)
        gap_ms = None
        if "within" in node and not first:
            gap_ms = self._faults.duration_ms(node["within"], at(path, "within"))
            complete = complete and gap_ms is not None
        return Step(pattern, gap_ms) if complete and pattern is not None else None

    def _bucket(self, value: object, path: str) -> Node | None:
        bucket = self._faults.mapping(value, path)
        if bucket is None:
            return None
        self._faults.keys(bucket, path, ("salt", "from", "to"), ())
        salt = self._faults.string(bucket["salt"], at(path, "salt")) if "salt" in bucket else None
        first = self._share(bucket["from"], at(path, "from")) if "from" in bucket else None
        end = self._share(bucket["to"], at(path, "to")) if "to" in bucket else None
        if salt is None or first is None or end is None:
            return None
        if first >= end:
            message = f"must be more than `from`; {first} to {end} holds no profile"
            self._faults.add("bad_value", at(path, "to"), message)
            return None
        return Bucket(salt, first, end)

    def _share(self, value: object, path: str) -> int | None:
        number = self._faults.number(value, path)
        if number is None:
            return None
        if number != int(number) or not 0 <= number <= _BUCKETS:
            self._faults.add("bad_value", path, f"must be a whole number from 0 to {_BUCKETS}")
            return None
        return int(number)

    def _reference(self, kind: str, value: object, path: str) -> Node | None:
        key = self._faults.string(value, path)
        if key is None:
            return None
        references = self._references
        if kind == "list":
            if references is not None and key not in references.lists:
                self._faults.add("unknown_list", path, f"there is no list {key!r}")
                return None
            return ListRef(key)
        if references is not None:
            if references.makes_cycle(key):
                self._faults.add("segment_cycle", path, f"{key!r} refers back to {references.key!r}")
                return None
            if key not in references.segments:
                self._faults.add("unknown_segment", path, f"there is no live or paused segment {key!r}")
                return None
        return SegmentRef(key)

    def computed_trait(self, data: object) -> ComputedTrait | None:
        node = self._faults.mapping(data, "")
        if node is None:
            return None
        complete = self._faults.keys(node, "", ("key", "event"), ("type", "where", "within", "measure"))
        key = self._faults.string(node["key"], "/key") if "key" in node else None
        if key is not None and _KEY.fullmatch(key) is None:
            self._faults.add("bad_value", "/key", "must be up to 63 small letters, digits, - and _")
            key = None
        pattern = self._pattern(node, "")
        window = self._window(node, "")
        measure = self._measure(node.get("measure", "count"), "/measure", _COMPUTED_MEASURES)
        if not complete or key is None or pattern is None or measure is None or (window is None and "within" in node):
            return None
        return ComputedTrait(key, pattern, window, measure)
