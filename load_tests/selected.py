"""How many live rules an event makes the platform evaluate, counted from the rules themselves.

Every event could be said to evaluate every live rule: rules x events is what a platform without an index would do, and
what is often published. Ours evaluates the rules that the event can change, and only those are counted here: a track,
page or screen event selects the rules that name it (page and screen by their type), an identify event those that read
one of its traits. Knows nothing of the engine, so that the engine cannot flatter itself. Rules about other segments,
lists and buckets alone are selected by no event.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class Evaluations:
    """Sums over the events that were counted. `full` is rules x events."""

    events: int = 0
    selected: int = 0
    full: int = 0

    @property
    def an_event(self) -> float:
        """Rules that an event selects, on average."""
        return self.selected / self.events if self.events else 0.0


class Index:
    """Which rules an event selects. `count` takes an event's type, name and traits."""

    def __init__(self, rules: Iterable[Mapping[str, Any]]) -> None:
        self._by_event: dict[tuple[str, str], set[int]] = {}
        self._by_type: dict[str, set[int]] = {}
        self._by_trait: dict[str, set[int]] = {}
        self.rules = 0
        for number, rule in enumerate(rules):
            self.rules += 1
            for node in nodes(rule):
                self._add(number, node)
        self.counted = Evaluations()

    def count(self, type_: str, name: str, traits: Iterable[str] = ()) -> int:
        """The rules that this event selects; they are added to `counted`."""
        found = self._by_type.get(type_, set()) | self._by_event.get((type_, name), set())
        for trait in traits:
            found = found | self._by_trait.get(trait, set())
        counted = self.counted
        counted.events += 1
        counted.selected += len(found)
        counted.full += self.rules
        return len(found)

    def _add(self, number: int, node: Mapping[str, Any]) -> None:
        if "trait" in node:
            self._by_trait.setdefault(str(node["trait"]).split(".", 1)[0], set()).add(number)
        elif "event" in node:
            type_, name = node.get("type", "track"), node["event"]
            if name == "*":
                self._by_type.setdefault(type_, set()).add(number)
            else:
                self._by_event.setdefault((type_, name), set()).add(number)


def nodes(rule: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Every node of a rule in JSON, the steps of sequences among them."""
    yield rule
    for key in ("all", "any", "sequence"):
        for child in rule.get(key, ()):
            yield from nodes(child)
    if isinstance(rule.get("not"), Mapping):
        yield from nodes(rule["not"])
    if isinstance(rule.get("absent"), Mapping):
        yield from nodes(rule["absent"])
