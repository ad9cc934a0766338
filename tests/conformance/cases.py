"""The conformance cases: what the rule language means, as data that every evaluator runs.

`load()` reads every `*.yaml` beside this file. A file is a list of cases of two kinds.

A membership case:

    - name: an-event-counts-until-its-pane-leaves    # one name over all files
      says: the sentence of the contract that it covers; "choice: …" where the contract is silent
      rule: {event: "Order Completed", within: 30d}
      now: "2026-03-01T12:34:56.789Z"                # T; this instant by default
      profile_id: u1                                 # by default
      events:                                        # in order of arrival
        - {at: -30d+1ms, event: "Order Completed", properties: {total: 5}}
      segments: {vip: {event: "*"}, old: {rule: {event: "*"}, status: paused, member: true}}
      lists: [newsletter]                            # those that the profile is on
      known_lists: [newsletter, press]               # those that exist; `lists` by default
      computed_traits: [{key: ltv, event: "*", measure: {sum: total}}]
      member: true                                   # at T
      value: 1                                       # measured by a root event node, null for nothing to measure
      then: [{now: +59m3s, member: false, value: 0}] # later instants, with no event in between

`at`, `received` and `now` are RFC 3339 instants, or sums of signed durations relative to T:
`-30d+1ms`, `+1h30m`, 0. An event has `at` and may have `type` (track by default), `event` (a track's
name), `name` (a page's or screen's), `properties`, `context`, `traits`, `message_id` (one of its own
by default), `source` (the write key; s1), `user`, `anonymous` (by default `user` is the profile id)
and `received`: by default its own time, or that of the event before it in the list when this is later;
never later than T, so that an event later than T has been accepted all the same. `repeat: 3` with
`every: 1s` and `numbered: total` makes three events, 1 s apart, with 0, 1 and 2 as property `total`.

An error case, for a rule or for a computed trait's definition:

    - name: a-duration-is-a-multiple-of-its-step
      says: …
      rule: {event: A, within: 61s}                  # or computed_trait: {…}
      key: vip                                       # of the segment being saved; none by default
      segments / known_lists / computed_traits       # as above; a status may be draft or archived too
      errors: [{code: bad_duration, path: /within}]  # all of them; [] for a rule that is accepted

It refuses, with `CaseError`, whatever does not look like this.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import yaml

from tests.conformance.yaml_json import read
from tests.oracle.check import CODES, Catalog
from tests.oracle.check_values import Problem
from tests.oracle.times import date_ms
from tests.oracle.world import Event, Json, JsonObject, World

FOLDER = Path(__file__).parent
DEFAULT_NOW: Final = "2026-03-01T12:34:56.789Z"
DEFAULT_PROFILE_ID: Final = "u1"
COPIES_WITHIN_MS = 24 * 3_600_000

_UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 7 * 86_400_000}
_TERM = re.compile(r"([+-])((?:[0-9]+(?:ms|[smhdw]))+)")
_PART = re.compile(r"([0-9]+)(ms|[smhdw])")

_COMMON = {"name", "says", "rule", "segments", "known_lists", "computed_traits"}
_MEMBERSHIP = _COMMON | {"now", "profile_id", "events", "lists", "member", "value", "then"}
_ERRORS = _COMMON | {"computed_trait", "key", "errors"}
_EVENT = {
    *("at", "received", "type", "event", "name", "properties", "context", "traits"),
    *("message_id", "source", "user", "anonymous", "repeat", "every", "numbered"),
}
_EVENT_TYPES = {"track", "page", "screen", "identify", "group", "alias"}
_STATUSES = {"draft", "live", "paused", "archived"}


class CaseError(ValueError):
    """A case that cannot be read: its file, its name and what is wrong."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Another segment that a rule may refer to."""

    rule: JsonObject
    status: str = "live"
    member: bool = False
    """The frozen membership of a paused one."""


@dataclass(frozen=True, slots=True)
class Check:
    """What is so at one instant."""

    now_ms: int
    member: bool
    value: Json = None
    """What the root event node measures, if `measures`."""
    measures: bool = False


@dataclass(frozen=True, slots=True)
class MembershipCase:
    """A rule, a history, and the memberships wanted."""

    name: str
    says: str
    file: str
    rule: JsonObject
    profile_id: str
    events: tuple[Event, ...]
    """In order of arrival, those of other profiles among them."""
    segments: Mapping[str, Segment]
    lists: frozenset[str]
    known_lists: frozenset[str]
    computed_traits: Mapping[str, JsonObject]
    checks: tuple[Check, ...]
    """At T first, then later and later."""

    @property
    def world(self) -> World:
        """As the oracle takes it."""
        return World(
            profile_id=self.profile_id,
            events=self.events,
            segments={
                key: each.member if each.status == "paused" else each.rule for key, each in self.segments.items()
            },
            lists=self.lists,
            computed_traits=self.computed_traits,
        )

    @property
    def catalog(self) -> Catalog:
        """What the rule may refer to."""
        return _catalog(self.segments, self.known_lists, self.computed_traits, key=None)


@dataclass(frozen=True, slots=True)
class ErrorCase:
    """A rule or a computed trait's definition, and all that is wrong with it."""

    name: str
    says: str
    file: str
    kind: str
    """`rule` or `computed_trait`."""
    subject: Json
    key: str | None
    segments: Mapping[str, Segment]
    known_lists: frozenset[str]
    computed_traits: Mapping[str, JsonObject]
    errors: frozenset[Problem]

    @property
    def catalog(self) -> Catalog:
        """What the rule may refer to."""
        return _catalog(self.segments, self.known_lists, self.computed_traits, self.key)


def load(folder: Path = FOLDER) -> tuple[list[MembershipCase], list[ErrorCase]]:
    """Every case of every file, in order. CaseError: one that cannot be read, or a name given twice."""
    memberships: list[MembershipCase] = []
    errors: list[ErrorCase] = []
    names: dict[str, str] = {}
    for path in sorted(folder.glob("*.yaml")):
        for case in load_file(path):
            if case.name in names:
                raise CaseError(f"{path.name}: {case.name!r} is in {names[case.name]} already")
            names[case.name] = path.name
            if isinstance(case, MembershipCase):
                memberships.append(case)
            else:
                errors.append(case)
    return memberships, errors


def load_file(path: Path) -> Iterator[MembershipCase | ErrorCase]:
    """The cases of one file."""
    try:
        document = read(path)
    except yaml.YAMLError as error:
        raise CaseError(f"{path.name}: {error}") from error
    if not isinstance(document, list):
        raise CaseError(f"{path.name}: not a list of cases")
    for number, data in enumerate(document):
        name = data.get("name", f"case {number}") if isinstance(data, dict) else f"case {number}"
        try:
            yield _error_case(data, path.name) if "errors" in data else _membership_case(data, path.name)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CaseError(f"{path.name}: {name}: {error}") from error


def instant_ms(text: Json, now_ms: int | None) -> int:
    """An RFC 3339 instant, or one relative to `now_ms`: 0, or a sum of signed durations."""
    if text == 0 and now_ms is not None:
        return now_ms
    absolute_ms = date_ms(text)
    if absolute_ms is not None:
        return absolute_ms
    if now_ms is None or not isinstance(text, str) or not re.fullmatch(f"(?:{_TERM.pattern})+", text):
        raise ValueError(f"{text!r} is not an instant")
    return now_ms + sum(_signed_ms(sign, parts) for sign, parts in _TERM.findall(text))


def _signed_ms(sign: str, parts: str) -> int:
    length_ms = sum(int(number) * _UNITS_MS[unit] for number, unit in _PART.findall(parts))
    return -length_ms if sign == "-" else length_ms


def _membership_case(data: dict[str, Any], file: str) -> MembershipCase:
    _refuse_unknown(data, _MEMBERSHIP)
    now_ms = instant_ms(data.get("now", DEFAULT_NOW), None)
    profile_id = data.get("profile_id", DEFAULT_PROFILE_ID)
    lists = frozenset(data.get("lists", ()))
    known_lists = frozenset(data.get("known_lists", lists))
    if not lists <= known_lists:
        raise ValueError(f"the profile is on {sorted(lists - known_lists)}, which are not known_lists")
    later = [_check(each, data["rule"], now_ms) for each in data.get("then", ())]
    at_now: dict[str, Json] = {key: data[key] for key in ("member", "value") if key in data}
    checks = (_check({**at_now, "now": 0}, data["rule"], now_ms), *later)
    if any(earlier.now_ms >= each.now_ms for earlier, each in pairwise(checks)):
        raise ValueError("the instants of `then` do not go up from now")
    events = tuple(_events(data.get("events", ()), now_ms, profile_id))
    _refuse_late_copies(events)
    return MembershipCase(
        name=_text(data, "name"),
        says=_text(data, "says"),
        file=file,
        rule=data["rule"],
        profile_id=profile_id,
        events=events,
        segments=_segments(data, {"live", "paused"}),
        lists=lists,
        known_lists=known_lists,
        computed_traits=_computed_traits(data),
        checks=checks,
    )


def _error_case(data: dict[str, Any], file: str) -> ErrorCase:
    _refuse_unknown(data, _ERRORS)
    kinds = [kind for kind in ("rule", "computed_trait") if kind in data]
    if len(kinds) != 1:
        raise ValueError("an error case has either a rule or a computed_trait")
    problems = []
    for error in data["errors"]:
        _refuse_unknown(error, {"code", "path"})
        if error["code"] not in CODES:
            raise ValueError(f"{error['code']!r} is no code of the contract")
        problems.append(Problem(error["code"], error["path"]))
    if len(set(problems)) != len(problems):
        raise ValueError("an error is listed twice")
    return ErrorCase(
        name=_text(data, "name"),
        says=_text(data, "says"),
        file=file,
        kind=kinds[0],
        subject=data[kinds[0]],
        key=data.get("key"),
        segments=_segments(data, _STATUSES),
        known_lists=frozenset(data.get("known_lists", ())),
        computed_traits=_computed_traits(data),
        errors=frozenset(problems),
    )


def _check(data: dict[str, Any], rule: JsonObject, now_ms: int) -> Check:
    _refuse_unknown(data, {"now", "member", "value"})
    if not isinstance(data["member"], bool):
        raise TypeError("`member` is neither true nor false")
    if "value" in data and "event" not in rule:
        raise ValueError("`value` is for a root event node")
    return Check(instant_ms(data["now"], now_ms), data["member"], data.get("value"), "value" in data)


def _events(items: list[dict[str, Any]], now_ms: int, profile_id: str) -> Iterator[Event]:
    latest_ms: int | None = None
    number = 0
    for item in items:
        _refuse_unknown(item, _EVENT)
        kind = item.get("type", "track")
        if kind not in _EVENT_TYPES:
            raise ValueError(f"{kind!r} is no type of event")
        if (kind == "track") != ("event" in item) or ("name" in item and kind not in {"page", "screen"}):
            raise ValueError(f"{item!r}: `event` is a track's name, `name` a page's or screen's")
        if {"repeat", "every"} & set(item) not in (set(), {"repeat", "every"}):
            raise ValueError("`repeat` goes with `every`")
        step_ms = _signed_ms("+", item["every"]) if "every" in item else 0
        for index in range(item.get("repeat", 1)):
            number += 1
            time_ms = instant_ms(item["at"], now_ms) + index * step_ms
            received_ms = _received_ms(item, time_ms, latest_ms, now_ms)
            latest_ms = received_ms
            users = {"user": profile_id} if not {"user", "anonymous"} & set(item) else item
            yield Event(
                time_ms=time_ms,
                received_ms=received_ms,
                message_id=item.get("message_id", f"m{number:04}"),
                type=kind,
                name=item.get("event") or item.get("name") or "",
                source=item.get("source", "s1"),
                user_id=users.get("user", ""),
                anonymous_id=users.get("anonymous", ""),
                properties={**item.get("properties", {}), **({item["numbered"]: index} if "numbered" in item else {})},
                context=item.get("context", {}),
                traits=item.get("traits", {}),
            )


def _received_ms(item: dict[str, Any], time_ms: int, latest_ms: int | None, now_ms: int) -> int:
    earliest_ms = time_ms if latest_ms is None else max(time_ms, latest_ms)
    if "received" not in item:
        return min(earliest_ms, now_ms)
    received_ms = instant_ms(item["received"], now_ms)
    if received_ms < earliest_ms:
        raise ValueError(f"{item!r} is received before its own time, or before the event above it")
    if received_ms > now_ms:
        raise ValueError(f"{item!r} is received after now")
    return received_ms


def _refuse_late_copies(events: tuple[Event, ...]) -> None:
    first_ms: dict[tuple[str, str, str], int] = {}
    for event in events:
        identity = (event.profile_id, event.source, event.message_id)
        if event.received_ms - first_ms.setdefault(identity, event.received_ms) > COPIES_WITHIN_MS:
            raise ValueError(f"a copy of {event.message_id!r} comes after 24 h, when it may count again")


def _segments(data: dict[str, Any], statuses: set[str]) -> dict[str, Segment]:
    found = {}
    for key, value in data.get("segments", {}).items():
        if "rule" not in value:
            found[key] = Segment(rule=value)
            continue
        _refuse_unknown(value, {"rule", "status", "member"})
        found[key] = Segment(**value)
        if found[key].status not in statuses:
            raise ValueError(f"segment {key!r} can not be {found[key].status!r} here")
        if ("member" in value) and found[key].status != "paused":
            raise ValueError(f"segment {key!r} is not paused, so its membership is not given")
    return found


def _computed_traits(data: dict[str, Any]) -> dict[str, JsonObject]:
    return {each["key"]: each for each in data.get("computed_traits", ())}


def _catalog(
    segments: Mapping[str, Segment],
    known_lists: frozenset[str],
    computed_traits: Mapping[str, JsonObject],
    key: str | None,
) -> Catalog:
    return Catalog(
        segments={name: each.rule for name, each in segments.items() if each.status in {"live", "paused"}},
        lists=known_lists,
        computed_traits=frozenset(computed_traits),
        key=key,
    )


def _text(data: dict[str, Any], key: str) -> str:
    if not isinstance(data.get(key), str) or not data[key]:
        raise ValueError(f"`{key}` is no text")
    return str(data[key])


def _refuse_unknown(data: dict[str, Any], known: set[str]) -> None:
    unknown = sorted(set(data) - known)
    if unknown:
        raise ValueError(f"unknown keys {unknown}")
