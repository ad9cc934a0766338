"""The instants at which time alone could change a membership.

Between two neighbours of the answer nothing changes; at each of them something may. It errs on
the side of too many: which events matter to which node is left to the evaluator.
It refuses the same rules that the evaluator refuses.
"""

from collections.abc import Iterator

from tests.oracle.evaluate import COMPUTED, NODE_KEYS
from tests.oracle.times import date_ms, duration_ms, leaves_window_ms
from tests.oracle.world import Json, JsonObject, World


def candidate_times(rule: JsonObject, world: World, from_ms: int, to_ms: int) -> list[int]:
    """Every t in (from_ms, to_ms] whose membership may differ from that at t - 1, sorted.

    These are the times at which an event is received, comes to count, leaves a window or passes an
    absent step's deadline, and those at which a date comes into or leaves a `within_last` or `within_next`.
    """
    found = {instant for leaf in _leaves(rule, world) for instant in _changes(leaf, world)}
    found |= {instant for event in world.events for instant in (event.received_ms, event.time_ms)}
    return sorted(instant for instant in found if from_ms < instant <= to_ms)


def _leaves(node: JsonObject, world: World) -> Iterator[JsonObject]:
    """The nodes that time can move, those of segments referred to and definitions of computed traits included."""
    (kind,) = (key for key in NODE_KEYS if key in node)
    if kind in {"all", "any"}:
        for child in node[kind]:
            yield from _leaves(child, world)
    elif kind == "not":
        yield from _leaves(node["not"], world)
    elif kind == "segment":
        segment = world.segments[node["segment"]]
        if not isinstance(segment, bool):
            yield from _leaves(segment, world)
    else:
        yield node
        if kind == "trait" and node["trait"].startswith(COMPUTED):
            yield world.computed_traits[node["trait"].split(".")[1]]


def _changes(leaf: JsonObject, world: World) -> Iterator[int]:
    if leaf.get("op") in {"within_last", "within_next"}:
        length_ms = duration_ms(leaf["value"])
        for instant_ms in _dates(world):
            if leaf["op"] == "within_last":
                yield from (instant_ms, instant_ms + length_ms + 1)
            else:
                yield from (instant_ms - length_ms, instant_ms + 1)
    elif "trait" not in leaf and "within" in leaf:
        for event in world.events:
            yield leaves_window_ms(event.time_ms, leaf["within"])
            for step in leaf.get("sequence", ()):
                if step.get("absent"):
                    yield event.time_ms + duration_ms(step["within"])


def _dates(world: World) -> set[int]:
    """Every date that stands anywhere in the events."""
    texts: list[str] = []
    for event in world.events:
        texts += _strings([event.properties, event.context, event.traits])
    return {instant_ms for text in texts if (instant_ms := date_ms(text)) is not None}


def _strings(value: Json) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _strings(each)
    elif isinstance(value, list):
        for each in value:
            yield from _strings(each)
