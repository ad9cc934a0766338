"""Rules as the compiled engine takes them: JSON, with the ids of what they measure.

Ids are hashes of canonical forms, so that a profile's state outlives every change of the rules above it: a *trail* is a
pattern of events, a *series* one measure over a trail in panes of one length (`sum` and `avg` are one measure here), a
*leaf* a window over a series. engine/core/src/spec.rs reads it.
"""

import json
from dataclasses import dataclass
from typing import Any, Final, assert_never

from audience.rules import canonical
from audience.rules.references import nodes_of
from audience.rules.tree import (
    AllOf,
    AnyOf,
    Bucket,
    ComputedKind,
    ComputedTrait,
    EventNode,
    ListRef,
    Measure,
    Node,
    Not,
    Pattern,
    SegmentRef,
    Sequence,
    Step,
    Test,
    Trait,
    Window,
)

Json = dict[str, Any]

_FAMILY_OF: Final[dict[ComputedKind, str]] = {
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


@dataclass(frozen=True, slots=True)
class Backfill:
    """A segment's new leaves wait for their history."""

    number: int
    """From 1 on; a definition that waits for another backfill has another one."""
    new_leaves: frozenset[str]
    """Those of `leaves_of` that no other segment keeps with their history."""


def segment(
    key: str, rule: Node, *, version: int, revision: int, paused: bool, born: int = 0, backfill: Backfill | None = None
) -> bytes:
    """A segment's definition. `born`: the revision that it was made with."""
    definition = {
        "key": key, "version": version, "revision": revision, "paused": paused, "born": born, "rule": _node(rule),
    }  # fmt: skip
    waits = {"backfill": None} if backfill is None else {
        "backfill": backfill.number, "new_leaves": sorted(backfill.new_leaves),
    }  # fmt: skip
    return _bytes({**definition, **waits})


def computed_trait(trait: ComputedTrait, revision: int) -> bytes:
    """A computed trait's definition."""
    measured = _measured(trait.pattern, trait.window, trait.measure)
    return _bytes({"key": trait.key, "revision": revision, "kind": trait.measure.kind, **measured})


def leaves_of(rule: Node) -> frozenset[str]:
    """The ids of the windows and sequences that the rule measures; a longer window over the same events is another."""
    found = set()
    for node in nodes_of(rule):
        if isinstance(node, EventNode):
            found.add(str(_measured(node.pattern, node.window, node.measure)["leaf"]))
        elif isinstance(node, Sequence):
            found.add(_sequence_id(node))
    return frozenset(found)


def trail_id(pattern: Pattern) -> int:
    """The id of a pattern of events."""
    return canonical.hash_of({"trail": canonical.of_pattern(pattern)})


def _bytes(definition: Json) -> bytes:
    return json.dumps(definition, separators=(",", ":")).encode()


def _node(node: Node) -> Json:
    match node:
        case AllOf(children):
            return {"node": "all", "children": [_node(child) for child in children]}
        case AnyOf(children):
            return {"node": "any", "children": [_node(child) for child in children]}
        case Not(child):
            return {"node": "not", "child": _node(child)}
        case Trait(test):
            return {"node": "trait", "test": _test(test)}
        case EventNode(pattern, window, measure, bounds):
            measured = _measured(pattern, window, measure)
            return {"node": "event", "measure": measure.kind, "bounds": [list(bound) for bound in bounds], **measured}
        case Sequence(steps, absent, window):
            return {
                "node": "sequence",
                "id": _sequence_id(node),
                "steps": [_step(step) for step in steps],
                "absent": None if absent is None else _step(absent),
                "within_ms": window.within_ms,
            }
        case SegmentRef(key):
            return {"node": "segment", "key": key}
        case ListRef(key):
            return {"node": "list", "key": key}
        case Bucket(salt, first, end):
            return {"node": "bucket", "salt": salt, "first": first, "end": end}
        case _:
            assert_never(node)


def _sequence_id(node: Sequence) -> str:
    return _hex(canonical.hash_of(canonical.of_sequence(node)))


def _measured(pattern: Pattern, window: Window | None, measure: Measure) -> Json:
    trail = trail_id(pattern)
    family = _FAMILY_OF[measure.kind]
    path = None if measure.path is None else list(measure.path)
    step_ms = None if window is None else window.step_ms
    series = canonical.hash_of({"trail": trail, "family": family, "path": path, "step": step_ms})
    leaf = canonical.hash_of({"series": series, "within": canonical.of_window(window)})
    return {
        "pattern": _pattern(pattern),
        "series": _hex(series),
        "family": family,
        "path": path,
        "leaf": _hex(leaf),
        "within_ms": canonical.of_window(window),
    }


def _step(step: Step) -> Json:
    return {"pattern": _pattern(step.pattern), "gap_ms": step.gap_ms}


def _pattern(pattern: Pattern) -> Json:
    tests = {test["name"]: test for test in map(_test, pattern.where)}
    return {
        "trail": _hex(trail_id(pattern)),
        "type": pattern.type,
        "name": pattern.name,
        "where": [tests[name] for name in sorted(tests)],
    }


def _test(test: Test) -> Json:
    name = canonical.text_of(canonical.of_test(test))
    return {"name": name, "of": test.of, "path": list(test.path), "op": test.op, "value": test.value}


def _hex(number: int) -> str:
    # JSON's numbers are doubles to many readers, and an id needs all of its 64 bits.
    return f"{number:016x}"
