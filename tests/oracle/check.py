"""What is wrong with a rule: every problem, by code and JSON pointer.

It says nothing of messages and nothing of what a valid rule means. It expects JSON values, and
refuses none of them: whatever is no rule has problems instead.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from tests.oracle.check_values import Problem, ValueChecker, holds_infinity, pointer
from tests.oracle.evaluate import COMPUTED, NODE_KEYS
from tests.oracle.values import is_number
from tests.oracle.world import Json, JsonObject

CODES = frozenset(
    {
        "node_kind",
        "unknown_key",
        "missing_key",
        "wrong_type",
        "empty",
        "unknown_operator",
        "bad_value",
        "bad_duration",
        "bad_regex",
        "bad_date",
        "limit_exceeded",
        "unknown_segment",
        "unknown_list",
        "unknown_computed_trait",
        "segment_cycle",
    }
)
MAX_DEPTH = 16
MAX_NODES = 200
MAX_STEPS = 20
BUCKETS = 10_000

EVENT_TYPES = ("track", "page", "screen")
EVENT_MEASURES = ("sum", "avg", "min", "max", "distinct")
TRAIT_MEASURES = (*EVENT_MEASURES, "first", "last", "most_frequent", "unique_list")

_KEY = re.compile("[a-z0-9][a-z0-9_-]{0,62}")


@dataclass(frozen=True, slots=True)
class Catalog:
    """What a rule may refer to."""

    segments: Mapping[str, JsonObject | None] = field(default_factory=dict)
    """The live and paused ones by key, with their rules where these are known."""
    lists: Collection[str] = ()
    computed_traits: Collection[str] = ()
    key: str | None = None
    """Of the segment being saved."""


def problems(rule: Json, catalog: Catalog) -> set[Problem]:
    """All that is wrong with a segment's rule."""
    checker = _Checker(catalog)
    checker.node(rule, "", 1)
    if checker.nodes > MAX_NODES:
        checker.say("limit_exceeded", "")
    return checker.found


def computed_trait_problems(definition: Json) -> set[Problem]:
    """All that is wrong with a computed trait's definition."""
    checker = _Checker(Catalog())
    if not isinstance(definition, dict):
        checker.say("wrong_type", "")
        return checker.found
    checker.keys(definition, "", ("key", "event", "type", "where", "within", "measure"), ("key", "event"))
    if "key" in definition:
        key = definition["key"]
        if not isinstance(key, str):
            checker.say("wrong_type", "/key")
        elif not _KEY.fullmatch(key):
            checker.say("bad_value", "/key")
    checker.matcher(definition, "")
    if "within" in definition:
        checker.duration(definition["within"], "/within")
    if "measure" in definition:
        checker.measure(definition["measure"], "/measure", TRAIT_MEASURES)
    return checker.found


class _Checker(ValueChecker):
    """Checks nodes, each at the pointer `at`."""

    def __init__(self, catalog: Catalog) -> None:
        super().__init__()
        self.catalog = catalog
        self.nodes = 0

    def node(self, node: Json, at: str, depth: int) -> None:
        if not isinstance(node, dict):
            return self.say("wrong_type", at)
        self.nodes += 1
        if depth > MAX_DEPTH:
            return self.say("limit_exceeded", at)
        kinds = [key for key in NODE_KEYS if key in node]
        if len(kinds) != 1:
            return self.say("node_kind", at)
        kind = kinds[0]
        match kind:
            case "all" | "any":
                self.keys(node, at, (kind,), ())
                self.children(node[kind], pointer(at, kind), depth)
            case "not":
                self.keys(node, at, ("not",), ())
                self.node(node["not"], f"{at}/not", depth + 1)
            case "trait":
                self.trait(node, at)
            case "event":
                self.event(node, at)
            case "sequence":
                self.sequence(node, at)
            case "segment":
                self.keys(node, at, ("segment",), ())
                self.segment(node["segment"], f"{at}/segment")
            case "list":
                self.keys(node, at, ("list",), ())
                if not isinstance(node["list"], str):
                    self.say("wrong_type", f"{at}/list")
                elif node["list"] not in self.catalog.lists:
                    self.say("unknown_list", f"{at}/list")
            case _:
                self.keys(node, at, ("bucket",), ())
                self.bucket(node["bucket"], f"{at}/bucket")
        return None

    def children(self, children: Json, at: str, depth: int) -> None:
        if not isinstance(children, list):
            return self.say("wrong_type", at)
        if not children:
            return self.say("empty", at)
        for number, child in enumerate(children):
            self.node(child, pointer(at, number), depth + 1)
        return None

    def trait(self, node: JsonObject, at: str) -> None:
        self.keys(node, at, ("trait", "op", "value"), ())
        path = node["trait"]
        computed_key = path.split(".")[1] if self.path(path, f"{at}/trait") and path.startswith(COMPUTED) else None
        if computed_key is not None and computed_key not in self.catalog.computed_traits:
            self.say("unknown_computed_trait", f"{at}/trait")
        self.operator(node, at, moves_with_time=True)

    def event(self, node: JsonObject, at: str) -> None:
        self.keys(node, at, ("event", "type", "where", "within", "measure", "is"), ())
        self.matcher(node, at)
        if "within" in node:
            self.duration(node["within"], f"{at}/within")
        measure = node.get("measure", "count")
        self.measure(measure, f"{at}/measure", EVENT_MEASURES)
        if "is" in node:
            self.bounds(
                node["is"], f"{at}/is", decimal=isinstance(measure, dict) and bool({"sum", "avg"} & set(measure))
            )

    def matcher(self, value: JsonObject, at: str) -> None:
        """`event`, `type` and `where`, of a node, a step or a computed trait."""
        if "event" in value and not isinstance(value["event"], str):
            self.say("wrong_type", f"{at}/event")
        if "type" in value:
            if not isinstance(value["type"], str):
                self.say("wrong_type", f"{at}/type")
            elif value["type"] not in EVENT_TYPES:
                self.say("bad_value", f"{at}/type")
        if "where" in value:
            if not isinstance(value["where"], list):
                return self.say("wrong_type", f"{at}/where")
            for number, test in enumerate(value["where"]):
                self.test(test, f"{at}/where/{number}")
        return None

    def test(self, test: Json, at: str) -> None:
        if not isinstance(test, dict):
            return self.say("wrong_type", at)
        subject = "property" if "property" in test else "context"
        self.keys(test, at, (subject, "op", "value"), (subject,))
        if subject in test:
            self.path(test[subject], f"{at}/{subject}")
        return self.operator(test, at, moves_with_time=False)

    def sequence(self, node: JsonObject, at: str) -> None:
        self.keys(node, at, ("sequence", "within"), ("within",))
        if "within" in node:
            self.duration(node["within"], f"{at}/within")
        steps = node["sequence"]
        if not isinstance(steps, list):
            return self.say("wrong_type", f"{at}/sequence")
        if not steps:
            return self.say("empty", f"{at}/sequence")
        if len(steps) > MAX_STEPS:
            self.say("limit_exceeded", f"{at}/sequence")
        for number, step in enumerate(steps):
            self.step(step, f"{at}/sequence/{number}", first=number == 0, last=number == len(steps) - 1)
        return None

    def step(self, step: Json, at: str, *, first: bool, last: bool) -> None:
        if not isinstance(step, dict):
            return self.say("wrong_type", at)
        allowed = ["event", "type", "where"]
        required = ["event"]
        if not first:
            allowed.append("within")
            if last:
                allowed.append("absent")
                if step.get("absent") is True:
                    required.append("within")
        self.keys(step, at, allowed, required)
        self.matcher(step, at)
        if "within" in allowed and "within" in step:
            self.duration(step["within"], f"{at}/within")
        if "absent" in allowed and "absent" in step and step["absent"] is not True:
            self.say("bad_value" if step["absent"] is False else "wrong_type", f"{at}/absent")
        return None

    def segment(self, key: Json, at: str) -> None:
        if not isinstance(key, str):
            self.say("wrong_type", at)
        elif key == self.catalog.key:
            self.say("segment_cycle", at)
        elif key not in self.catalog.segments:
            self.say("unknown_segment", at)
        elif self.catalog.key in _reachable(key, self.catalog.segments):
            self.say("segment_cycle", at)

    def bucket(self, bucket: Json, at: str) -> None:
        if not isinstance(bucket, dict):
            return self.say("wrong_type", at)
        self.keys(bucket, at, ("salt", "from", "to"), ("salt", "from", "to"))
        if "salt" in bucket:
            self.text(bucket["salt"], f"{at}/salt")
        ends = [self.bucket_end(bucket[key], f"{at}/{key}") for key in ("from", "to") if key in bucket]
        if ends == [True, True] and bucket["from"] >= bucket["to"]:
            self.say("bad_value", f"{at}/to")
        return None

    def bucket_end(self, value: Json, at: str) -> bool:
        if not is_number(value):
            self.say("wrong_type", at)
            return False
        if holds_infinity(value) or value != int(value) or not 0 <= value <= BUCKETS:
            self.say("bad_value", at)
            return False
        return True


def _reachable(key: str, segments: Mapping[str, JsonObject | None]) -> set[str]:
    """The keys of all segments that this one refers to, over others too."""
    found: set[str] = set()
    to_visit = [segments[key]]
    while to_visit:
        node = to_visit.pop()
        if node is None:
            continue
        to_visit += [*node.get("all", ()), *node.get("any", ())]
        to_visit += [node["not"]] if "not" in node else []
        referred = node.get("segment")
        if referred is not None and referred not in found:
            found.add(referred)
            to_visit.append(segments.get(referred))
    return found
