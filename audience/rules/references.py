"""What a rule may refer to, and whether it would refer to itself. Knows keys only; the catalog knows the rest."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from audience.rules.tree import AllOf, AnyOf, ListRef, Node, Not, SegmentRef, Trait

COMPUTED = "computed"
"""The first part of a path that reads a computed trait."""


@dataclass(frozen=True, slots=True)
class References:
    """What there is to refer to when a rule is saved.

    `key` is the segment that is being saved, None for a rule that has none. `segments` gives, for each live or paused
    segment, the segments that it refers to directly.
    """

    key: str | None = None
    segments: Mapping[str, frozenset[str]] = field(default_factory=dict)
    lists: frozenset[str] = frozenset()
    computed_traits: frozenset[str] = frozenset()

    def makes_cycle(self, key: str) -> bool:
        """Whether a reference to the segment `key` leads back to the segment that is being saved."""
        if self.key is None:
            return False
        seen: set[str] = set()
        waiting = [key]
        while waiting:
            current = waiting.pop()
            if current == self.key:
                return True
            if current not in seen:
                seen.add(current)
                waiting.extend(self.segments.get(current, ()))
        return False


def nodes_of(node: Node) -> Iterator[Node]:
    """The node and all below it, parents first."""
    yield node
    match node:
        case AllOf(children) | AnyOf(children):
            for child in children:
                yield from nodes_of(child)
        case Not(child):
            yield from nodes_of(child)
        case _:
            pass


def segments_of(rule: Node) -> frozenset[str]:
    """The segments that a rule refers to directly."""
    return frozenset(node.key for node in nodes_of(rule) if isinstance(node, SegmentRef))


def lists_of(rule: Node) -> frozenset[str]:
    """The lists that a rule refers to."""
    return frozenset(node.key for node in nodes_of(rule) if isinstance(node, ListRef))


def computed_traits_of(rule: Node) -> frozenset[str]:
    """The computed traits that a rule reads."""
    return frozenset(
        node.test.path[1]
        for node in nodes_of(rule)
        if isinstance(node, Trait) and node.test.path[0] == COMPUTED and len(node.test.path) > 1
    )
