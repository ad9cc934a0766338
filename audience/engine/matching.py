"""From an event to the trails that it joins, without looking at any other.

For each type and name there is one matcher. A test that trails share is made once an event, and trails that ask for one
value of a property are found by that value.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from audience.engine.leaves import Trail
from audience.events.model import Event
from audience.rules import canonical
from audience.rules.predicates import Predicate, predicate_of
from audience.rules.reading import RegexCompiler
from audience.rules.tree import Path, Pattern, Test
from audience.rules.values import scalar_key, walk

Where: TypeAlias = tuple[Literal["property", "context", "trait"], Path]
_NO_INSTANT: Final = 0
"""Tests of events are never time-driven."""


@dataclass(slots=True)
class _Candidate:
    """A trail behind its tests, the one that an index has answered left out."""

    tests: tuple[tuple[str, Where, Predicate], ...]
    trail: Trail


class Matcher:
    """The trails of events of one type and name."""

    __slots__ = ("_always", "_indexed", "_others")

    def __init__(self, trails: Iterable[Trail], regex: RegexCompiler) -> None:
        self._always: list[Trail] = []
        self._indexed: dict[Where, dict[object, list[_Candidate]]] = {}
        self._others: list[_Candidate] = []
        for trail in trails:
            self._add(trail, regex)

    def _add(self, trail: Trail, regex: RegexCompiler) -> None:
        tests = {canonical.text_of(canonical.of_test(test)): test for test in trail.pattern.where}
        if not tests:
            self._always.append(trail)
            return
        key = next((name for name, test in tests.items() if _indexable(test)), None)
        others = ((name, test) for name, test in tests.items() if name != key)
        candidate = _Candidate(
            tuple((name, (test.of, test.path), predicate_of(test, regex)) for name, test in others), trail
        )
        if key is None:
            self._others.append(candidate)
        else:
            test = tests[key]
            index = self._indexed.setdefault((test.of, test.path), {})
            index.setdefault(scalar_key(test.value), []).append(candidate)

    def trails_of(self, event: Event) -> list[Trail]:
        """The trails whose tests all hold for the event."""
        if not self._indexed and not self._others:
            return self._always
        found = list(self._always)
        values: dict[Where, Any] = {}
        answers: dict[str, bool] = {}
        for where, index in self._indexed.items():
            value = values[where] = _find(event, where)
            if value is not None:
                found += [
                    candidate.trail
                    for candidate in index.get(scalar_key(value), ())
                    if not candidate.tests or _holds(candidate, event, values, answers)
                ]
        found += [each.trail for each in self._others if _holds(each, event, values, answers)]
        return found


def _indexable(test: Test) -> bool:
    return test.op == "eq" and scalar_key(test.value) is not None


def _find(event: Event, where: Where) -> Any:
    source, path = where
    return walk(event.properties if source == "property" else event.context, path)


def _holds(candidate: _Candidate, event: Event, values: dict[Where, Any], answers: dict[str, bool]) -> bool:
    for name, where, predicate in candidate.tests:
        answer = answers.get(name)
        if answer is None:
            if where in values:
                value = values[where]
            else:
                value = values[where] = _find(event, where)
            answer = answers[name] = predicate(value, _NO_INSTANT)
        if not answer:
            return False
    return True


class Matchers:
    """A matcher for each type and name that rules speak of; made when first needed after a change."""

    def __init__(self, regex: RegexCompiler) -> None:
        self._regex = regex
        self._named: dict[tuple[str, str], dict[int, Trail]] = {}
        self._any_name: dict[str, dict[int, Trail]] = {}
        self._made: dict[tuple[str, str | None], Matcher] = {}

    def add(self, trail: Trail) -> None:
        self._place(trail.pattern)[trail.id] = trail

    def remove(self, trail: Trail) -> None:
        del self._place(trail.pattern)[trail.id]

    def _place(self, pattern: Pattern) -> dict[int, Trail]:
        if pattern.name is None:
            self._made = {key: made for key, made in self._made.items() if key[0] != pattern.type}
            return self._any_name.setdefault(pattern.type, {})
        self._made.pop((pattern.type, pattern.name), None)
        return self._named.setdefault((pattern.type, pattern.name), {})

    def of(self, event: Event) -> Matcher:
        """The matcher for the event's type and name."""
        named = (event.type, event.name)
        made = self._made.get(named)
        if made is None:
            # A name that no rule speaks of shares the matcher of its type: names are without number, rules are not.
            key: tuple[str, str | None] = named if self._named.get(named) else (event.type, None)
            made = self._made.get(key)
            if made is None:
                trails = {**self._any_name.get(event.type, {}), **self._named.get(named, {})}
                made = self._made[key] = Matcher(trails.values(), self._regex)
        return made
