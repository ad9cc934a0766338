"""Random rules with histories to try them on, by number: fast, and the same on every machine.

`pair(n)` is the n-th pair of the millions that every evaluator must agree on with the oracle;
`broken_rule(n)` a rule spoiled here and there, for validators. All plain JSON.
It refuses a negative number of pairs.

A pair is `{"rule", "profile_id", "events": [as tests.oracle.event_from_json, …], "segments": {key: rule or
frozen membership}, "lists", "known_lists", "computed_traits": [definition, …], "now_ms", "until_ms"}`.
All events have been received by `now_ms`; memberships are well defined up to `until_ms`, with no event in between.
"""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from tests.oracle import Catalog, World, world_from_json
from tests.oracle.choices import Choices, SeededChoices
from tests.oracle.generated_histories import COPIES_WITHIN_MS, generated_history
from tests.oracle.generated_rules import LISTS, PROFILE_ID, Features, Setting, generated_node, generated_setting
from tests.oracle.times import DAY_MS, duration_ms
from tests.oracle.world import Json

__all__ = [
    "Features",
    "broken_rule",
    "broken_rule_from",
    "catalog_of",
    "disturbed",
    "pair",
    "pair_from",
    "pairs",
    "world_of",
]

EVERYTHING = Features()

Pair = dict[str, Any]

_RETENTION_MS = 730 * DAY_MS


def pair(number: int, features: Features = EVERYTHING) -> Pair:
    """The pair of that number."""
    return pair_from(SeededChoices(number), features)


def pairs(first: int, count: int, features: Features = EVERYTHING) -> Iterator[Pair]:
    """The pairs numbered first … first + count - 1."""
    if count < 0:
        raise ValueError(f"{count} pairs")
    for number in range(first, first + count):
        yield pair(number, features)


def pair_from(choices: Choices, features: Features = EVERYTHING) -> Pair:
    """A pair, by whatever chooses."""
    setting = generated_setting(choices, features)
    rule = generated_node(setting)
    events = generated_history(setting)
    return {
        "rule": rule,
        "profile_id": PROFILE_ID,
        "events": events,
        "segments": setting.segments,
        "lists": [each for each in LISTS if choices.chance(50)] if features.lists else [],
        "known_lists": list(LISTS),
        "computed_traits": setting.computed_traits,
        "now_ms": setting.now_ms,
        "until_ms": _until_ms(setting, events),
    }


def world_of(generated: Pair) -> World:
    """The pair's world, as the oracle takes it."""
    keys = ("profile_id", "events", "segments", "lists", "computed_traits")
    return world_from_json({key: generated[key] for key in keys})


def catalog_of(generated: Pair) -> Catalog:
    """What the pair's rule may refer to."""
    return Catalog(
        segments={key: each if isinstance(each, dict) else None for key, each in generated["segments"].items()},
        lists=generated["known_lists"],
        computed_traits=[each["key"] for each in generated["computed_traits"]],
    )


def disturbed(generated: Pair, choices: Choices) -> Pair:
    """The same events in another order of arrival and with other copies: from `now_ms` on nothing else changes.

    Of copies that differ the first to arrive has stood, so it is the one that comes again.
    """
    first: dict[tuple[str, str, str], dict[str, Any]] = {}
    for event in generated["events"]:
        profile = event.get("user_id", PROFILE_ID) or event.get("anonymous_id", "")
        first.setdefault((profile, event.get("source", "s1"), event["message_id"]), event)
    once = choices.shuffled(list(first.values()))
    copies = [choices.pick(once) for _ in range(choices.integer(0, len(once) // 2 + 1))] if once else []
    arrivals = choices.shuffled(once + copies)
    earliest_ms = max((each["time_ms"] for each in arrivals), default=0)
    received_ms = max(min(earliest_ms, generated["now_ms"]), generated["now_ms"] - COPIES_WITHIN_MS)
    events = []
    for left, event in zip(range(len(arrivals), 0, -1), arrivals, strict=True):
        received_ms = choices.integer(received_ms, received_ms + (generated["now_ms"] - received_ms) // left)
        events.append({**event, "received_ms": received_ms})
    return {**generated, "events": events}


def broken_rule(number: int) -> Pair:
    """A pair without events whose rule has been spoiled in one to three places; it may have survived."""
    return broken_rule_from(SeededChoices(number))


def broken_rule_from(choices: Choices) -> Pair:
    """A pair without events whose rule has been spoiled, by whatever chooses."""
    generated = {**pair_from(choices), "events": []}
    rule = deepcopy(generated["rule"])
    for _ in range(choices.integer(1, 3)):
        rule = _spoiled(choices, rule)
    return {**generated, "rule": rule}


def _until_ms(setting: Setting, events: list[dict[str, Any]]) -> int:
    """Far enough for what the rule sees to leave its windows, not so far that all-time nodes may forget."""
    choices, now_ms = setting.choices, setting.now_ms
    lengths_ms = [duration_ms(each) for each in setting.durations] or [DAY_MS]
    length_ms = max(lengths_ms) if choices.chance(80) else choices.pick(lengths_ms)
    until_ms = now_ms + length_ms + length_ms // 5 + DAY_MS
    if setting.all_time:
        oldest_ms = min((event["time_ms"] for event in events), default=now_ms)
        until_ms = min(until_ms, oldest_ms + _RETENTION_MS)
    return max(until_ms, now_ms)


_JUNK: tuple[Json, ...] = (
    *(None, True, False, 0, 5, -1, 2.5, 1e15, 10**400, "", "x", "5", "eq", "1h", "61s", "3601s", "*", "2026-01-01"),
    *([], {}, [None], {"event": "A"}, [{"event": "A"}], {"sum": "n"}, {"gte": 1}, "computed.c1", "computed.nope"),
    *("a..b", "(", "s1", "nope", [{"property": "n", "op": "exists"}], {"salt": "x", "from": 5, "to": 5}),
)
_KEYS = (
    *("all", "any", "not", "trait", "event", "sequence", "segment", "list", "bucket", "op", "value", "type", "where"),
    *("within", "measure", "is", "property", "context", "absent", "salt", "from", "to", "sum", "first", "gte", "a/b~c"),
)


def _spoiled(choices: Choices, rule: Json) -> Json:
    """The rule with one value, key or element changed, added or taken away."""
    places = [(parent, key) for parent, key in _places(rule)]
    if not places or choices.chance(2):
        return deepcopy(choices.pick(_JUNK))
    parent, key = choices.pick(places)
    how = choices.weighted(((50, "replace"), (20, "remove"), (20, "add"), (10, "repeat")))
    if how == "replace":
        parent[key] = deepcopy(choices.pick(_JUNK))
    elif how == "remove":
        del parent[key]
    elif how == "add" and isinstance(parent, dict):
        parent[choices.pick(_KEYS)] = deepcopy(choices.pick(_JUNK))
    elif isinstance(parent, list):
        parent.append(deepcopy(parent[key]))
    else:
        parent[choices.pick(_KEYS)] = parent.pop(key)
    return rule


def _places(value: Json) -> Iterator[tuple[Any, Any]]:
    """Every (parent, key or index) in a value."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield value, key
            yield from _places(each)
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield value, index
            yield from _places(each)
