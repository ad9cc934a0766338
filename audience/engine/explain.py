"""Why a profile is, or is not, in a segment: the rule's tree with what each node says, and when that next changes.

The instants are found by letting time pass over a copy of the profile's state, so that they are the streaming job's
own. Contributing events are added from the profile's history, which the state does not keep.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, assert_never

from audience.engine.decimals import from_micros, json_number, quotient
from audience.engine.evaluate import on_time
from audience.engine.leaves import condition_of, sequence_id
from audience.engine.program import Program, bucket_of
from audience.engine.state import ProfileState
from audience.engine.traits import read
from audience.engine.walking import up_to_date
from audience.events.model import Event
from audience.rules.dates import format_ms
from audience.rules.predicates import predicate_of
from audience.rules.reading import RegexCompiler
from audience.rules.tree import (
    AllOf,
    AnyOf,
    Bucket,
    EventNode,
    ListRef,
    Measure,
    Node,
    Not,
    Pattern,
    SegmentRef,
    Sequence,
    Trait,
    Window,
)
from audience.rules.values import walk

MOST_INSTANTS: Final = 500
"""How many instants ahead are looked at for a next change; a node that holds still for longer gets none."""

MOST_EVENTS: Final = 10
"""How many contributing events a node shows, newest first."""

Copy = Callable[[ProfileState], ProfileState]


def explain(program: Program, state: ProfileState, segment: str, now_ms: int, copy: Copy) -> dict[str, Any]:
    """The contract's JSON (docs/api.md), without contributing events.

    `state` itself is left alone; `copy` gives a state that shares nothing with it. Raises KeyError where the program
    has no such segment.
    """
    compiled = program.segments[segment]
    now = copy(state)
    on_time(program, now, now_ms)
    paths = dict(_paths(compiled.rule, ""))
    truths = {path: _truth(program, now, node) for path, node in paths.items()}
    changes = _next_changes(program, copy(now), paths, truths)
    return {
        "profile_id": state.profile_id,
        "segment": segment,
        "version": compiled.version,
        "member": segment in now.segments,
        "as_of": format_ms(now.now_ms),
        "tree": _tree(program, now, compiled.rule, "", truths, changes),
    }


def _children(node: Node) -> Iterator[tuple[str, Node]]:
    match node:
        case AllOf(children):
            yield from ((f"/all/{index}", child) for index, child in enumerate(children))
        case AnyOf(children):
            yield from ((f"/any/{index}", child) for index, child in enumerate(children))
        case Not(child):
            yield "/not", child
        case _:
            pass


def _paths(node: Node, path: str) -> Iterator[tuple[str, Node]]:
    yield path, node
    for step, child in _children(node):
        yield from _paths(child, path + step)


def _tree(
    program: Program,
    state: ProfileState,
    node: Node,
    path: str,
    truths: Mapping[str, bool],
    changes: Mapping[str, int],
) -> dict[str, Any]:
    shown: dict[str, Any] = {"path": path, "truth": truths[path]}
    value = node_value(program, state, node)
    if value is not None:
        shown["value"] = value
    if path in changes:
        shown["next_change_at"] = format_ms(changes[path])
    children = [_tree(program, state, child, path + step, truths, changes) for step, child in _children(node)]
    if children:
        shown["children"] = children
    return shown


def _next_changes(
    program: Program, state: ProfileState, paths: Mapping[str, Node], truths: Mapping[str, bool]
) -> dict[str, int]:
    """For each node that time alone will change, the first instant at which it has."""
    changes: dict[str, int] = {}
    for _ in range(MOST_INSTANTS):
        due_ms = state.due_ms
        if due_ms is None or len(changes) == len(paths):
            break
        on_time(program, state, due_ms)
        for path, node in paths.items():
            if path not in changes and _truth(program, state, node) != truths[path]:
                changes[path] = due_ms
    return changes


def _truth(program: Program, state: ProfileState, node: Node) -> bool:
    """Whether a node holds at the state's instant."""
    match node:
        case AllOf(children):
            return all(_truth(program, state, child) for child in children)
        case AnyOf(children):
            return any(_truth(program, state, child) for child in children)
        case Not(child):
            return not _truth(program, state, child)
        case Trait(test):
            return predicate_of(test, program.regex)(read(state, test.path), state.now_ms)
        case EventNode():
            leaf = program.leaf(node.pattern, node.window, node.measure)
            walked = state.walk(leaf.series.trail.id)
            reading = leaf.nothing if walked is None else walked.readings.get(leaf.id, leaf.nothing)
            return leaf.gauge.mask(reading) & leaf.conditions.bit_of(condition_of(node)) != 0
        case Sequence():
            home = state.walk(program.sequences[sequence_id(node)].home.id)
            return home is not None and sequence_id(node) in home.readings
        case SegmentRef(key):
            return key in state.segments
        case ListRef(key):
            return key in state.lists
        case Bucket(salt, first, end):
            return first <= bucket_of(salt, state.profile_id) < end
        case _:
            assert_never(node)


def node_value(program: Program, state: ProfileState, node: Node) -> Any:
    """What a node measured: an event's measure, a trait, a bucket's number; None where there is nothing to show."""
    match node:
        case EventNode():
            leaf = program.leaf(node.pattern, node.window, node.measure)
            walked = state.walk(leaf.series.trail.id)
            if walked is None:
                return _measured(node.measure, leaf.nothing)
            kept = up_to_date(state, leaf.series, walked)
            return _measured(node.measure, kept.reading(leaf.first_pane(state.now_ms)))
        case Trait(test):
            return read(state, test.path)
        case Bucket(salt):
            return bucket_of(salt, state.profile_id)
        case _:
            return None


def _measured(measure: Measure, reading: Any) -> Any:
    match measure.kind:
        case "count" | "distinct":
            return reading
        case "sum":
            return from_micros(reading[0])
        case "avg":
            return quotient(*reading) if reading[1] else None
        case _:
            return None if reading is None else json_number(reading)


def with_events(
    explanation: Mapping[str, Any], rule: Node, events: Iterable[Event], now_ms: int, regex: RegexCompiler
) -> dict[str, Any]:
    """The explanation with the events that each event and sequence node rests on: at most MOST_EVENTS, newest first.

    `events` is the profile's history in the order of acceptance, as far back as it is kept.
    """
    accepted: dict[tuple[str, str], Event] = {}
    for event in events:
        accepted.setdefault((event.source, event.message_id), event)
    newest_first = sorted(accepted.values(), key=lambda event: (event.time_ms, event.message_id), reverse=True)
    contributions = {
        path: [_shown(event) for event in _contributing(node, newest_first, now_ms, regex)][:MOST_EVENTS]
        for path, node in _paths(rule, "")
        if isinstance(node, EventNode | Sequence)
    }
    return {**explanation, "tree": _with_events(explanation["tree"], contributions)}


def _with_events(tree: Mapping[str, Any], contributions: Mapping[str, list[dict[str, Any]]]) -> dict[str, Any]:
    shown = dict(tree)
    if tree["path"] in contributions:
        shown["events"] = contributions[tree["path"]]
    if "children" in tree:
        shown["children"] = [_with_events(child, contributions) for child in tree["children"]]
    return shown


def _contributing(
    node: EventNode | Sequence, events: Iterable[Event], now_ms: int, regex: RegexCompiler
) -> Iterator[Event]:
    if isinstance(node, EventNode):
        patterns: tuple[Pattern, ...] = (node.pattern,)
        path = node.measure.path
    else:
        patterns = tuple(step.pattern for step in node.steps)
        path = None
    matches = [_matcher(pattern, regex) for pattern in patterns]
    for event in events:
        if not _inside(node.window, event.time_ms, now_ms) or not any(match(event) for match in matches):
            continue
        if path is None or walk(event.properties, path) is not None:
            yield event


def _inside(window: Window | None, time_ms: int, now_ms: int) -> bool:
    return time_ms <= now_ms and (window is None or time_ms // window.step_ms >= window.first_pane(now_ms))


def _matcher(pattern: Pattern, regex: RegexCompiler) -> Callable[[Event], bool]:
    tests = [(test.of, test.path, predicate_of(test, regex)) for test in pattern.where]

    def matches(event: Event) -> bool:
        if event.type != pattern.type or pattern.name not in (None, event.name):
            return False
        return all(
            holds(walk(event.properties if of == "property" else event.context, path), event.time_ms)
            for of, path, holds in tests
        )

    return matches


def _shown(event: Event) -> dict[str, Any]:
    return {
        "message_id": event.message_id,
        "timestamp": format_ms(event.time_ms),
        "type": event.type,
        "event": event.name,
    }
