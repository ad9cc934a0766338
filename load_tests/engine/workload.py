"""A seeded workload for the engine: rules in performance's mix, and 400-byte JSON events of profiles by Zipf.

Leaves are 40% trait, 30% count or sum in windows, 15% sequence and 15% absence, under `all`, `any` and `not` nested
up to 4 deep. There are as many event names as make an event touch 5% of the rules. Nobody is in a segment for having
done nothing: where a rule would hold of a stranger ("not refunded"), something that people did is asked for as well.
"""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final

EVENT_NAMES: Final = tuple(f"Event {number:02}" for number in range(40))
TRAITS: Final = tuple(f"trait_{number:02}" for number in range(20))
CATEGORIES: Final = tuple(f"category-{number}" for number in range(10))
PLANS: Final = ("free", "pro", "team", "enterprise")
WINDOWS: Final = (("24h", 5), ("7d", 15), ("30d", 35), ("90d", 20), ("365d", 10), (None, 15))
"""Windows and how many in a hundred rules have each: most segments look back over a month or more."""
IDENTIFY_SHARE: Final = 0.05
VISIT_EVENTS: Final = 12
"""Events of a visit, on average."""
PAUSE_MS: Final = 20_000
"""Time between two events of a visit, on average."""
_NAME_WEIGHTS: Final = tuple(accumulate(1 / rank for rank in range(1, len(EVENT_NAMES) + 1)))
START_MS: Final = 1_790_000_000_000


def rules(count: int, seed: int) -> list[dict[str, Any]]:
    """So many rules, the first ones the same for every count."""
    chance = random.Random(seed)
    return [_rule(chance) for _ in range(count)]


def _rule(chance: random.Random) -> dict[str, Any]:
    rule = _node(chance, depth=1)
    return {"all": [_measure(chance), rule]} if _holds_of_strangers(rule) else rule


def _holds_of_strangers(node: dict[str, Any]) -> bool:
    if "not" in node:
        return not _holds_of_strangers(node["not"])
    if "all" in node:
        return all(map(_holds_of_strangers, node["all"]))
    if "any" in node:
        return any(map(_holds_of_strangers, node["any"]))
    return node.get("is") == {"eq": 0}


def _node(chance: random.Random, depth: int) -> dict[str, Any]:
    if depth < 4 and chance.random() < 0.45 / depth:
        kind = chance.choice(("all", "any", "all", "not"))
        if kind == "not":
            return {"not": _node(chance, depth + 1)}
        return {kind: [_node(chance, depth + 1) for _ in range(chance.randint(2, 3))]}
    drawn = chance.random()
    if drawn < 0.40:
        return _trait(chance)
    if drawn < 0.70:
        return _measure(chance)
    if drawn < 0.85:
        return _sequence(chance)
    return {"event": chance.choice(EVENT_NAMES), **_window(chance), "is": {"eq": 0}}


def _trait(chance: random.Random) -> dict[str, Any]:
    trait = chance.choice(TRAITS)
    kind = chance.randrange(4)
    if kind == 0:
        return {"trait": trait, "op": "eq", "value": chance.choice(PLANS)}
    if kind == 1:
        return {"trait": trait, "op": "in", "value": chance.sample(PLANS, 2)}
    if kind == 2:
        return {"trait": trait, "op": chance.choice(("gte", "lt")), "value": chance.randint(0, 100)}
    return {"trait": trait, "op": "exists"}


def _window(chance: random.Random) -> dict[str, Any]:
    [window] = chance.choices([name for name, _ in WINDOWS], weights=[weight for _, weight in WINDOWS])
    return {} if window is None else {"within": window}


def _where(chance: random.Random) -> dict[str, Any]:
    drawn = chance.random()
    if drawn < 0.5:
        return {}
    if drawn < 0.8:
        return {"where": [{"property": "category", "op": "eq", "value": chance.choice(CATEGORIES)}]}
    return {"where": [{"property": "total", "op": "gte", "value": chance.choice((10, 50, 100))}]}


def _measure(chance: random.Random) -> dict[str, Any]:
    node = {"event": chance.choice(EVENT_NAMES), **_where(chance), **_window(chance)}
    if chance.random() < 0.5:
        return {**node, "is": {"gte": chance.choice((1, 2, 3, 5, 10, 20))}}
    return {**node, "measure": {"sum": "total"}, "is": {"gte": chance.choice((50, 100, 250, 500, 1000))}}


def _sequence(chance: random.Random) -> dict[str, Any]:
    first, second = chance.sample(EVENT_NAMES, 2)
    return {
        "sequence": [{"event": first}, {"event": second, "within": chance.choice(("1h", "24h"))}],
        "within": chance.choice(("7d", "30d", "90d")),
    }


@dataclass(frozen=True, slots=True)
class Workload:
    """Events in order of arrival: each its profile, its JSON, and the instant it is processed."""

    events: list[tuple[str, bytes, int]]
    size_bytes: float


def workload(count: int, profiles: int, days: float, seed: int) -> Workload:
    """So many events of so many profiles (Zipf with exponent 1), in visits spread evenly over so many days.

    Every profile has its first event on the first day.
    """
    chance = random.Random(seed)
    weights = list(accumulate(1 / rank for rank in range(1, profiles + 1)))
    arrivals = [(START_MS + chance.randrange(86_400_000), number) for number in range(profiles)]
    while len(arrivals) < count:
        [number] = chance.choices(range(profiles), cum_weights=weights)
        now_ms = START_MS + int(chance.random() * days * 86_400_000)
        for _ in range(1 + int(chance.expovariate(1 / VISIT_EVENTS))):
            arrivals.append((now_ms, number))
            now_ms += 1 + int(chance.expovariate(1 / PAUSE_MS))
    arrivals = sorted(arrivals)[:count]
    events = [
        (f"demo:u{number}", _event(chance, f"u{number}", index, now_ms), now_ms)
        for index, (now_ms, number) in enumerate(arrivals)
    ]
    return Workload(events, sum(len(data) for _, data, _ in events) / count)


def _event(chance: random.Random, profile_id: str, index: int, now_ms: int) -> bytes:
    record: dict[str, Any] = {
        "schema": "event/1",
        "workspace": "demo",
        "source": "s1",
        "profile_id": profile_id,
        "message_id": f"{index:08x}-0000-4000-8000-{chance.getrandbits(48):012x}",
        "time_ms": now_ms - 50,
        "received_ms": now_ms,
        "user_id": profile_id,
        "context": {"library": {"name": "analytics.js", "version": "2.1.0"}, "ip": "10.1.2.3", "locale": "en-GB"},
    }
    if chance.random() < IDENTIFY_SHARE:
        record |= {"type": "identify", "traits": _traits(chance, profile_id)}
    else:
        properties = {
            "category": chance.choice(CATEGORIES),
            "total": chance.randrange(100, 20_000) / 100,
            "currency": "EUR",
            "quantity": chance.randint(1, 5),
        }
        [name] = chance.choices(EVENT_NAMES, cum_weights=_NAME_WEIGHTS)
        record |= {"type": "track", "name": name, "properties": properties}
    return json.dumps(record, separators=(",", ":")).encode()


def _traits(chance: random.Random, profile_id: str) -> dict[str, Any]:
    """Three of the profile's traits. Applications say the same at each sign-in: one in ten says something new."""
    own = random.Random(profile_id)
    kept: dict[str, Any] = {trait: own.choice(PLANS) if own.random() < 0.5 else own.randint(0, 100) for trait in TRAITS}
    said = {trait: kept[trait] for trait in chance.sample(TRAITS, 3)}
    if chance.random() < 0.1:
        said[chance.choice(TRAITS)] = chance.choice((chance.choice(PLANS), chance.randint(0, 100)))
    return said


def touched_share(rule_list: list[dict[str, Any]]) -> float:
    """The share of the rules that a track event touches, on average over the event names."""
    texts = [json.dumps(rule) for rule in rule_list]
    return sum(f'"{name}"' in text for name in EVENT_NAMES for text in texts) / len(texts) / len(EVENT_NAMES)


def chunks(events: list[tuple[str, bytes, int]], size: int) -> Iterator[list[tuple[str, bytes, int]]]:
    """The events in pieces."""
    for start in range(0, len(events), size):
        yield events[start : start + size]
