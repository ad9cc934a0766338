"""Sequences: whether distinct events can be found, one for each step, in order and near enough.

It tries every choice of events. Only choices that nothing later can tell apart are tried once.
It expects the events that count at `now_ms`; it refuses none of them.
"""

from collections.abc import Callable, Sequence
from functools import cache

from tests.oracle.times import duration_ms, in_window
from tests.oracle.world import Event, JsonObject

Matches = Callable[[JsonObject, Event], bool]


def happened(node: JsonObject, events: Sequence[Event], now_ms: int, matches: Matches) -> bool:
    """Whether the steps of a sequence node happened."""
    steps = node["sequence"]
    absent = steps[-1] if steps[-1].get("absent") else None
    present = steps[:-1] if absent else steps
    fitting = [
        [number for number, event in enumerate(events) if _fits(step, event, node["within"], now_ms, matches)]
        for step in present
    ]

    def may_follow(step: JsonObject, earlier: Event, later: Event) -> bool:
        gap_ms = later.time_ms - earlier.time_ms
        return gap_ms >= 0 and ("within" not in step or gap_ms <= duration_ms(step["within"]))

    def stayed_away(step: JsonObject, last: Event) -> bool:
        deadline_ms = last.time_ms + duration_ms(step["within"])
        if deadline_ms > now_ms:
            return False
        return not any(last.time_ms < each.time_ms <= deadline_ms and matches(step, each) for each in events)

    @cache
    def rest_happened(done: int, last: int, taken: frozenset[int]) -> bool:
        """Whether the steps after the first `done` can happen, `last` being the event of the step before.

        `taken` are the events used so far at the time of `last`; earlier ones can not come again.
        """
        if done == len(present):
            return absent is None or stayed_away(absent, events[last])
        for number in fitting[done]:
            if number in taken or not may_follow(present[done], events[last], events[number]):
                continue
            at_the_same_time = events[number].time_ms == events[last].time_ms
            if rest_happened(done + 1, number, (taken if at_the_same_time else frozenset()) | {number}):
                return True
        return False

    return any(rest_happened(1, number, frozenset({number})) for number in fitting[0])


def _fits(step: JsonObject, event: Event, within: str, now_ms: int, matches: Matches) -> bool:
    return matches(step, event) and in_window(event.time_ms, now_ms, within)
