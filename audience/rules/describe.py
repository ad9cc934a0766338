"""A rule as one English sentence, for those who read segments and do not write them. Says what the rule says.

Each node is a clause of its own (``who did …``, ``whose … is …``), groups inside groups stand in parentheses, and what
a rule denies is said of the people: ``who did not do …``. The same rule always gives the same sentence.
"""

from typing import Final, assert_never

from audience.rules import words
from audience.rules.tree import (
    AllOf,
    AnyOf,
    Bucket,
    EventNode,
    ListRef,
    Measure,
    MeasureKind,
    Node,
    Not,
    Pattern,
    SegmentRef,
    Sequence,
    Step,
    Test,
    Trait,
)

_NEVER: Final = ({("eq", 0)}, {("lt", 1)}, {("lte", 0)})
_ONCE: Final = ({("gte", 1)}, {("gt", 0)})

_MEASURES: Final[dict[MeasureKind, str]] = {
    "sum": "sum of {} over",
    "avg": "average {} of",
    "min": "smallest {} of",
    "max": "largest {} of",
    "distinct": "number of different {} in",
}
_BUCKETS: Final = 10_000


def describe(rule: Node) -> str:
    """One sentence, such as “People who did “Order Completed” at least twice in the last 30 days.”"""
    return f"People {_clause(rule, outermost=True)}."


def _clause(node: Node, *, outermost: bool = False) -> str:
    """A relative clause: who the node is true of."""
    match node:
        case AllOf(children) | AnyOf(children):
            if len(children) == 1:
                return _clause(children[0], outermost=outermost)
            conjunction = ", and " if isinstance(node, AllOf) else ", or "
            group = conjunction.join(_clause(child) for child in children)
            return group if outermost else f"({group})"
        case Not(child):
            return _denial(child, outermost=outermost)
        case Trait(test):
            return f"whose {words.place(test)} {words.verb(test)}"
        case EventNode(measure=Measure("count")):
            return _count(node)
        case EventNode():
            return f"whose {_measured(node)} is {words.bounds(node.bounds)}"
        case Sequence():
            return f"who {_steps(node)}"
        case SegmentRef(key):
            return f"who are in the segment {words.quoted(key)}"
        case ListRef(key):
            return f"who are on the list {words.quoted(key)}"
        case Bucket():
            return f"who are among {_share(node)}"
        case _:
            assert_never(node)


def _denial(node: Node, *, outermost: bool) -> str:
    """Who the node is false of."""
    match node:
        case AllOf(children) | AnyOf(children):
            if len(children) == 1:
                return _denial(children[0], outermost=outermost)
            return f"who are not people {_clause(node)}"
        case Not(child):
            return _clause(child, outermost=outermost)
        case Trait(test):
            return f"whose {words.place(test)} {words.verb(test, holds=False)}"
        case EventNode(measure=Measure("count")) if set(node.bounds) in _ONCE:
            return _never(node)
        case EventNode(measure=Measure("count")) if set(node.bounds) in _NEVER:
            return f"who {_did(node.pattern)} at least once {words.window(node.window)}"
        case EventNode(measure=Measure("count")):
            return f"who did not {_do(node.pattern)} {words.times(node.bounds)} {words.window(node.window)}"
        case EventNode():
            # An average, a least and a greatest of nothing satisfy no bound.
            nothing = "" if node.measure.kind in ("sum", "distinct") else ", or who have none"
            return f"whose {_measured(node)} is {words.bounds(node.bounds, holds=False)}{nothing}"
        case Sequence():
            return f"who are not people who {_steps(node)}"
        case SegmentRef(key):
            return f"who are not in the segment {words.quoted(key)}"
        case ListRef(key):
            return f"who are not on the list {words.quoted(key)}"
        case Bucket():
            return f"who are not among {_share(node)}"
        case _:
            assert_never(node)


def _count(node: EventNode) -> str:
    if set(node.bounds) in _NEVER:
        return _never(node)
    return f"who {_did(node.pattern)} {words.times(node.bounds)} {words.window(node.window)}"


def _never(node: EventNode) -> str:
    if node.window is None:
        return f"who never {_did(node.pattern)}"
    return f"who did not {_do(node.pattern)} {words.window(node.window)}"


def _measured(node: EventNode) -> str:
    kind = node.measure.kind
    path = words.quoted(".".join(node.measure.path or ()))
    noun = _MEASURES[kind].format(path)  # type: ignore[index]  # the measures of computed traits are in no event node
    return f"{noun} {_events(node.pattern)} {words.window(node.window)}"


def _events(pattern: Pattern) -> str:
    """What is measured: ``“Order Completed” events``."""
    kind = {"track": "events", "page": "page views", "screen": "screen views"}[pattern.type]
    name = "all" if pattern.name is None else words.quoted(pattern.name) if pattern.name else "nameless"
    return f"{name} {kind}{_where(pattern)}"


def _did(pattern: Pattern) -> str:
    return f"{'did' if pattern.type == 'track' else 'viewed'} {_object(pattern)}"


def _do(pattern: Pattern) -> str:
    return f"{'do' if pattern.type == 'track' else 'view'} {_object(pattern)}"


def _object(pattern: Pattern) -> str:
    """What was done: ``“Order Completed”``, ``the page “Cart”``."""
    track = pattern.type == "track"
    if pattern.name is None:
        name = "anything" if track else f"any {pattern.type}"
    elif pattern.name == "":
        name = "the nameless event" if track else f"a {pattern.type} without a name"
    else:
        name = f"{'' if track else f'the {pattern.type} '}{words.quoted(pattern.name)}"
    return name + _where(pattern)


def _where(pattern: Pattern) -> str:
    if not pattern.where:
        return ""
    return f" (where {words.shown(pattern.where, _said, 'and')})"


def _said(test: Test) -> str:
    return f"{words.place(test)} {words.verb(test)}"


def _steps(node: Sequence) -> str:
    said = [_did(node.steps[0].pattern)]
    said += [f"then {_did(step.pattern)}{_gap(step)}" for step in node.steps[1:]]
    if node.absent is not None:
        said.append(f"then did not {_do(node.absent.pattern)}{_gap(node.absent)}")
    together = ", all" if len(said) > 1 else ""
    return f"{', '.join(said)}{together} {words.window(node.window)}"


def _gap(step: Step) -> str:
    return "" if step.gap_ms is None else f" within {words.duration(step.gap_ms)}"


def _share(node: Bucket) -> str:
    percent = words.number((node.end - node.first) * 100 / _BUCKETS)
    last = node.end - 1
    buckets = f"bucket {last}" if node.first == last else f"buckets {node.first} to {last}"
    return f"the {percent}% that {words.quoted(node.salt)} draws ({buckets})"
