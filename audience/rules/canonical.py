"""One form for all rules that mean the same, so that equal leaves of different segments share their state.

Defaults are filled in, tests are put in order and said once, numbers are written as doubles. The form is JSON; its
hash names a leaf in every profile's stored state, so a change here needs a new state version (audience/wire/state.py).
"""

import hashlib
import json
from typing import Any, assert_never

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
    Step,
    Test,
    Trait,
    Window,
)
from audience.rules.values import is_number

Canonical = dict[str, Any]


def text_of(canonical: object) -> str:
    """The canonical form as text: keys in order, no spaces, ASCII."""
    return json.dumps(canonical, sort_keys=True, separators=(",", ":"))


def hash_of(canonical: object) -> int:
    """The first 8 bytes of the SHA-256 of the text, as an unsigned number."""
    return int.from_bytes(hashlib.sha256(text_of(canonical).encode()).digest()[:8], "big")


def of_test(test: Test) -> Canonical:
    return {"of": test.of, "path": list(test.path), "op": test.op, "value": _value(test.value)}


def of_pattern(pattern: Pattern) -> Canonical:
    tests = {text_of(test): test for test in map(of_test, pattern.where)}
    return {"type": pattern.type, "name": pattern.name, "where": [tests[text] for text in sorted(tests)]}


def of_window(window: Window | None) -> int | None:
    return None if window is None else window.within_ms


def of_measure(measure: Measure) -> Canonical:
    return {"kind": measure.kind, "path": None if measure.path is None else list(measure.path)}


def of_node(node: Node) -> Canonical:
    """The canonical form of a rule. `all` and `any` hold their children in order of text, each once."""
    match node:
        case AllOf(children):
            return {"all": _children(children)}
        case AnyOf(children):
            return {"any": _children(children)}
        case Not(child):
            return {"not": of_node(child)}
        case Trait(test):
            return {"trait": of_test(test)}
        case EventNode(pattern, window, measure, bounds):
            return {
                "event": of_pattern(pattern),
                "within": of_window(window),
                "measure": of_measure(measure),
                "is": {op: _value(bound) for op, bound in bounds},
            }
        case Sequence():
            return of_sequence(node)
        case SegmentRef(key):
            return {"segment": key}
        case ListRef(key):
            return {"list": key}
        case Bucket(salt, first, end):
            return {"bucket": [salt, first, end]}
        case _:
            assert_never(node)


def of_sequence(node: Sequence) -> Canonical:
    return {
        "sequence": [_step(step) for step in node.steps],
        "absent": None if node.absent is None else _step(node.absent),
        "within": of_window(node.window),
    }


def of_computed_trait(trait: ComputedTrait) -> Canonical:
    return {
        "computed": trait.key,
        "event": of_pattern(trait.pattern),
        "within": of_window(trait.window),
        "measure": of_measure(trait.measure),
    }


def _step(step: Step) -> Canonical:
    return {"event": of_pattern(step.pattern), "gap": step.gap_ms}


def _children(children: tuple[Node, ...]) -> list[Canonical]:
    forms = {text_of(form): form for form in map(of_node, children)}
    return [forms[text] for text in sorted(forms)]


def _value(value: Any) -> Any:
    if is_number(value):
        return float(value)
    if isinstance(value, list):
        return [_value(item) for item in value]
    if isinstance(value, dict):
        return {key: _value(item) for key, item in value.items()}
    return value
