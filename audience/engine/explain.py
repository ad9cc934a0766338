"""Why a profile is, or is not, in a segment: the rule's tree with what each node says, and when that next changes.

The instants are found by letting time pass over a copy of the profile's state, so that they are the streaming job's
own. Contributing events are added from the profile's history, which the state does not keep.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from itertools import islice
from typing import Any, Final

import audience_engine

from audience.engine.evaluate import on_time
from audience.engine.lowering import trail_id
from audience.engine.program import Program
from audience.engine.state import ProfileState
from audience.events.model import Event
from audience.rules.dates import format_ms
from audience.rules.reading import RegexCompiler
from audience.rules.tree import AllOf, AnyOf, EventNode, Node, Not, Sequence, Window
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
    rule, version = program.rules[segment]
    now = copy(state)
    on_time(program, now, now_ms)
    paths = [path for path, _ in _paths(rule, "")]
    found = dict(zip(paths, program.nodes(segment, now), strict=True))
    changes = _next_changes(program, segment, copy(now), {path: truth for path, (truth, _) in found.items()})
    return {
        "profile_id": state.profile_id,
        "segment": segment,
        "version": version,
        "member": segment in now,
        "as_of": format_ms(now.now_ms),
        "tree": _tree(rule, "", found, changes),
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


def _tree(node: Node, path: str, found: Mapping[str, tuple[bool, Any]], changes: Mapping[str, int]) -> dict[str, Any]:
    truth, value = found[path]
    shown: dict[str, Any] = {"path": path, "truth": truth}
    if value is not None:
        shown["value"] = value
    if path in changes:
        shown["next_change_at"] = format_ms(changes[path])
    children = [_tree(child, path + step, found, changes) for step, child in _children(node)]
    if children:
        shown["children"] = children
    return shown


def _next_changes(program: Program, segment: str, state: ProfileState, truths: Mapping[str, bool]) -> dict[str, int]:
    """For each node that time alone will change, the first instant at which it has."""
    changes: dict[str, int] = {}
    for _ in range(MOST_INSTANTS):
        due_ms = state.due_ms
        if due_ms is None or len(changes) == len(truths):
            break
        on_time(program, state, due_ms)
        for (path, before), (truth, _value) in zip(truths.items(), program.nodes(segment, state), strict=True):
            if truth != before:
                changes.setdefault(path, due_ms)
    return changes


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
    program = Program(regex)
    program.put("explained", rule, version=1, revision=1)
    joined = [(event, program.compiled.joined(audience_engine.Event.of(event))) for event in newest_first]
    contributions = {
        path: [_shown(event) for event in islice(_contributing(node, joined, now_ms), MOST_EVENTS)]
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


def _contributing(node: EventNode | Sequence, events: Iterable[tuple[Event, Set[int]]], now_ms: int) -> Iterator[Event]:
    """Those of the events, each with the trails that it joins, that the node rests on."""
    if isinstance(node, EventNode):
        trails = {trail_id(node.pattern)}
        path = node.measure.path
    else:
        trails = {trail_id(step.pattern) for step in node.steps}
        path = None
    for event, joined in events:
        measured = path is None or walk(event.properties, path) is not None
        if measured and not trails.isdisjoint(joined) and _inside(node.window, event.time_ms, now_ms):
            yield event


def _inside(window: Window | None, time_ms: int, now_ms: int) -> bool:
    return time_ms <= now_ms and (window is None or time_ms // window.step_ms >= window.first_pane(now_ms))


def _shown(event: Event) -> dict[str, Any]:
    return {
        "message_id": event.message_id,
        "timestamp": format_ms(event.time_ms),
        "type": event.type,
        "event": event.name,
    }
