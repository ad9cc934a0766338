"""A profile's traits: which event's value stands, and which tests of them a change can touch (rules.md, "Traits")."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from audience.engine.state import Origin, ProfileState
from audience.events.model import Event
from audience.rules.predicates import Predicate, next_flip_ms
from audience.rules.references import COMPUTED
from audience.rules.tree import Path, Test
from audience.rules.values import same, walk

TIME_DRIVEN: Final = frozenset(("within_last", "within_next"))


def root_of(path: Path) -> tuple[str, Path]:
    """The trait that a path reads, and the way on from there.

    A computed trait is named with its prefix: ``computed.`` shadows a trait of that name, and a trait whose own key
    holds a dot has no path, so that the two never meet.
    """
    if path[0] == COMPUTED and len(path) > 1:
        return computed_name(path[1]), path[2:]
    return path[0], path[1:]


def computed_name(key: str) -> str:
    """What `root_of` calls a computed trait."""
    return f"{COMPUTED}.{key}"


def read(state: ProfileState, path: Path) -> Any:
    """The value that a trait's path leads to; None where it leads nowhere."""
    if path[0] == COMPUTED and len(path) > 1:
        return walk(state.computed, path[1:])
    return walk(state.traits.values, path)


def root_value(state: ProfileState, name: str) -> Any:
    """The value of what `root_of` names."""
    prefix, dot, key = name.partition(".")
    return state.computed.get(key) if dot and prefix == COMPUTED else state.traits.values.get(name)


def assign(state: ProfileState, event: Event) -> Iterator[tuple[str, Any, Any]]:
    """Take in the traits of an identify call; gives key, old value and new value of those that changed.

    For each key the latest event wins, of two at one time the larger message id, of two with one id the larger source;
    null deletes. `context.traits` lose to `traits` within one call.
    """
    context_traits = event.context.get("traits")
    given: Mapping[str, Any] = event.traits
    if isinstance(context_traits, dict) and context_traits:
        given = {**context_traits, **event.traits}
    origin: Origin = (event.time_ms, event.message_id, event.source)
    known = state.traits
    for key, value in given.items():
        if key in known.origins and known.origins[key] >= origin:
            continue
        old = known.values.get(key)
        state.assign(key, value, origin)
        if not same(old, value):
            yield key, old, value


@dataclass(slots=True)
class TraitTest:
    """One test of a trait, shared by the segments that make it."""

    test: Test
    way: Path
    """From the trait's value to what is tested."""
    holds: Predicate
    segments: set[str] = field(default_factory=set)

    def below(self, value: Any, now_ms: int) -> bool:
        """Whether the test holds where the trait has this value."""
        return self.holds(walk(value, self.way), now_ms)


class TraitTests:
    """The tests of all rules by the trait that they read, computed traits among them (see `root_of`)."""

    def __init__(self) -> None:
        self._by_name: dict[str, dict[str, TraitTest]] = {}
        self.time_driven: dict[str, list[TraitTest]] = {}

    def watch(self, text: str, test: Test, holds: Predicate, segment: str) -> None:
        """Note that a segment makes a test; `text` is the test's canonical text."""
        name, way = root_of(test.path)
        tests = self._by_name.setdefault(name, {})
        known = tests.get(text)
        if known is None:
            known = tests[text] = TraitTest(test, way, holds)
            if test.op in TIME_DRIVEN:
                self.time_driven.setdefault(name, []).append(known)
        known.segments.add(segment)

    def unwatch(self, text: str, test: Test, segment: str) -> None:
        """Take that back; a test that nobody makes any more is forgotten."""
        name, _ = root_of(test.path)
        known = self._by_name[name][text]
        known.segments.discard(segment)
        if known.segments:
            return
        del self._by_name[name][text]
        if test.op in TIME_DRIVEN:
            self.time_driven[name].remove(known)
            if not self.time_driven[name]:
                del self.time_driven[name]

    def changed(self, name: str, old: Any, new: Any, now_ms: int) -> Iterator[str]:
        """The segments of the tests that a change of a trait turns."""
        for known in self._by_name.get(name, {}).values():
            if known.below(old, now_ms) != known.below(new, now_ms):
                yield from known.segments

    def next_change_ms(self, name: str, value: Any, now_ms: int) -> int | None:
        """When time alone next turns a test of a trait that has this value; None where it turns none."""
        instants = (
            next_flip_ms(known.test, walk(value, known.way), now_ms) for known in self.time_driven.get(name, ())
        )
        return min((instant for instant in instants if instant is not None), default=None)
