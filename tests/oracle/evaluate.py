"""Whether a profile is a member, what a node measures, what a trait is: straight from the events.

It refuses a node it does not know, and a reference to a segment or computed trait that the world
lacks, with `ValueError` or `KeyError`.
"""

import hashlib
from fractions import Fraction

from tests.oracle.measures import as_json_number, as_trait, measured, satisfies, six_places
from tests.oracle.sequences import happened
from tests.oracle.times import in_window
from tests.oracle.values import holds, walk
from tests.oracle.world import Event, Json, JsonObject, World

NODE_KEYS = ("all", "any", "not", "trait", "event", "sequence", "segment", "list", "bucket")
COMPUTED = "computed."


def member(rule: JsonObject, world: World, now_ms: int) -> bool:
    """`member(profile, rule, T)`: of nothing before the profile's first accepted event."""
    return bool(accepted(world, now_ms)) and _true(rule, world, now_ms)


def value(node: JsonObject, world: World, now_ms: int) -> Json:
    """What an event node measures: sum and avg rounded to 6 places, None with nothing to measure."""
    measure = node.get("measure", "count")
    amount = measured(measure, matching_in_window(node, world, now_ms))
    return as_json_number(six_places(amount)) if isinstance(amount, Fraction) else amount


def computed_value(definition: JsonObject, world: World, now_ms: int) -> Json:
    """What a computed trait is; None when it is missing."""
    return as_trait(definition.get("measure", "count"), matching_in_window(definition, world, now_ms))


def trait_value(path: str, world: World, now_ms: int) -> Json:
    """What a rule reads at a trait's path; None when it is missing."""
    if path.startswith(COMPUTED):
        key, *rest = path.removeprefix(COMPUTED).split(".", 1)
        found = computed_value(world.computed_traits[key], world, now_ms)
        return walk(found, rest[0]) if rest else found
    return walk(traits(world, now_ms), path)


def traits(world: World, now_ms: int) -> dict[str, Json]:
    """The traits that identify calls have set, deleted ones left out."""
    latest: dict[str, tuple[tuple[int, str, str], Json]] = {}
    for event in counting(world, now_ms):
        if event.type != "identify":
            continue
        in_context = event.context.get("traits")
        said = {**(in_context if isinstance(in_context, dict) else {}), **event.traits}
        for key, said_value in said.items():
            rank = (event.time_ms, event.message_id, event.source)
            if key not in latest or rank > latest[key][0]:
                latest[key] = (rank, said_value)
    return {key: said_value for key, (_, said_value) in latest.items() if said_value is not None}


def accepted(world: World, now_ms: int) -> list[Event]:
    """The profile's events received by now, each messageId once per write key: the first to arrive stands."""
    first: dict[tuple[str, str], Event] = {}
    for event in world.events:
        if event.received_ms <= now_ms and event.profile_id == world.profile_id:
            first.setdefault((event.source, event.message_id), event)
    return list(first.values())


def counting(world: World, now_ms: int) -> list[Event]:
    """The accepted events but those later than now."""
    return [event for event in accepted(world, now_ms) if event.time_ms <= now_ms]


def matches(matcher: JsonObject, event: Event) -> bool:
    """Whether an event is what an event node, a step or a computed trait asks for by type, name and tests."""
    if event.type != matcher.get("type", "track"):
        return False
    if matcher["event"] not in ("*", event.name):
        return False
    return all(_test_holds(test, event) for test in matcher.get("where", ()))


def matching_in_window(matcher: JsonObject, world: World, now_ms: int) -> list[Event]:
    """The events that match and lie in the matcher's window."""
    return [
        event
        for event in counting(world, now_ms)
        if matches(matcher, event) and in_window(event.time_ms, now_ms, matcher.get("within"))
    ]


def bucket_of(salt: str, profile_id: str) -> int:
    """0 … 9999."""
    digest = hashlib.sha256(f"{salt}:{profile_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % 10_000


def _true(node: JsonObject, world: World, now_ms: int) -> bool:
    kinds = [key for key in NODE_KEYS if key in node]
    if len(kinds) != 1:
        raise ValueError(f"{dict(node)!r} is not a node")
    match kinds[0]:
        case "all":
            return all(_true(child, world, now_ms) for child in node["all"])
        case "any":
            return any(_true(child, world, now_ms) for child in node["any"])
        case "not":
            return not _true(node["not"], world, now_ms)
        case "trait":
            return holds(node, trait_value(node["trait"], world, now_ms), now_ms)
        case "event":
            amount = measured(node.get("measure", "count"), matching_in_window(node, world, now_ms))
            return satisfies(node.get("measure", "count"), amount, node.get("is", {"gte": 1}))
        case "sequence":
            return happened(node, counting(world, now_ms), now_ms, matches)
        case "segment":
            return _member_of_segment(world.segments[node["segment"]], world, now_ms)
        case "list":
            return node["list"] in world.lists
        case _:
            bucket = node["bucket"]
            return bool(bucket["from"] <= bucket_of(bucket["salt"], world.profile_id) < bucket["to"])


def _member_of_segment(segment: JsonObject | bool, world: World, now_ms: int) -> bool:
    return segment if isinstance(segment, bool) else _true(segment, world, now_ms)


def _test_holds(test: JsonObject, event: Event) -> bool:
    if "property" in test:
        return holds(test, walk(event.properties, test["property"]), now_ms=None)
    return holds(test, walk(event.context, test["context"]), now_ms=None)
