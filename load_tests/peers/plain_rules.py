"""The benchmarks' rules as a stream-processing service writes them by hand: plain Python over a profile's own state.

State is kept by key, as Quix Streams gives it: the profile's traits, the events of each name that any rule asks for,
and the memberships. Rules are looked up by the event's name and by the traits that it changes, as anybody would after
the first profile. What it does not do, and the platform does: time alone changes nothing (a membership ends with the
next event), copies of an event count again, events are kept for ever where a rule has no window, a changed rule needs
a restart, and profiles that came before a rule know nothing of it. Refuses nodes that the benchmarks do not have.
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

Json = dict[str, Any]
DAY_MS = 86_400_000
UNITS = {"h": 3_600_000, "d": DAY_MS}
Seen = list[Any]
"""An event as it is kept: its time in milliseconds, category, and total in cents."""


class State(Protocol):
    """What Quix Streams gives: the values of one key."""

    def get(self, key: str, default: Any = None) -> Any: ...
    def set(self, key: str, value: Any) -> None: ...


class View:
    """A profile while one event is evaluated: each value is read from the state once."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._events: dict[str, list[Seen]] = {}
        self.traits: Json = state.get("traits") or {}

    def events(self, name: str) -> list[Seen]:
        if name not in self._events:
            self._events[name] = self._state.get(f"e:{name}") or []
        return self._events[name]


Holds = Callable[[View, int], bool]


def milliseconds(duration: str) -> int:
    return int(duration[:-1]) * UNITS[duration[-1]]


def window_start(now_ms: int, duration: str | None) -> int:
    """The first millisecond inside a window. Windows move in steps: minutes up to a day, hours up to 31, then days."""
    if duration is None:
        return 0
    length_ms = milliseconds(duration)
    if length_ms <= 3_600_000:
        step_ms = 1_000
    elif length_ms <= DAY_MS:
        step_ms = 60_000
    else:
        step_ms = 3_600_000 if length_ms <= 31 * DAY_MS else DAY_MS
    return now_ms // step_ms * step_ms - length_ms


def compiled(node: Mapping[str, Any]) -> Holds:
    """A rule as a function. Raises ValueError for a node that it does not know."""
    if "all" in node or "any" in node:
        every = all if "all" in node else any
        children = [compiled(child) for child in node.get("all") or node["any"]]
        return lambda view, now_ms: every(holds(view, now_ms) for holds in children)
    if "not" in node:
        child = compiled(node["not"])
        return lambda view, now_ms: not child(view, now_ms)
    if "trait" in node:
        return _trait(node)
    if "sequence" in node:
        return _sequence(node)
    if "event" in node:
        return _event(node)
    raise ValueError(f"this node is not among the benchmarks' rules: {node}")


def _trait(node: Mapping[str, Any]) -> Holds:
    name, op, wanted = node["trait"], node["op"], node.get("value")
    match op:
        case "exists":
            return lambda view, _: view.traits.get(name) is not None
        case "eq":
            return lambda view, _: view.traits.get(name) == wanted
        case "in":
            return lambda view, _: view.traits.get(name) in wanted
        case "gte":
            return lambda view, _: isinstance(value := view.traits.get(name), int) and value >= wanted
        case "lt":
            return lambda view, _: isinstance(value := view.traits.get(name), int) and value < wanted
    raise ValueError(f"this operator is not among the benchmarks' rules: {op}")


def _event(node: Mapping[str, Any]) -> Holds:
    name, within, bounds = node["event"], node.get("within"), node.get("is", {"gte": 1})
    fits = _where(node.get("where", ()))
    summed = node.get("measure") == {"sum": "total"}
    least, exactly = bounds.get("gte"), bounds.get("eq")

    def holds(view: View, now_ms: int) -> bool:
        found = view.events(name)
        inside = found[bisect_left(found, [window_start(now_ms, within)]) :]
        measured = sum(each[2] if summed else 1 for each in inside if fits(each))
        if exactly is not None:
            return bool(measured == exactly)
        return bool(measured >= (least * 100 if summed else least))

    return holds


def _where(tests: Sequence[Mapping[str, Any]]) -> Callable[[Seen], bool]:
    if not tests:
        return lambda _: True
    [test] = tests
    wanted = test["value"]
    if test["property"] == "category":
        return lambda event: bool(event[1] == wanted)
    return lambda event: bool(event[2] >= wanted * 100)


def _sequence(node: Mapping[str, Any]) -> Holds:
    first, second = node["sequence"]
    within, gap_ms = node["within"], milliseconds(second["within"])

    def holds(view: View, now_ms: int) -> bool:
        start_ms = window_start(now_ms, within)
        later = [each[0] for each in view.events(second["event"]) if each[0] >= start_ms]
        for each in view.events(first["event"]):
            if each[0] >= start_ms:
                place = bisect_left(later, each[0])
                if place < len(later) and later[place] - each[0] <= gap_ms:
                    return True
        return False

    return holds


class Rules:
    """All rules, by what can change them."""

    def __init__(self, rules: Mapping[str, Mapping[str, Any]]) -> None:
        self.rules = {key: compiled(rule) for key, rule in rules.items()}
        self._by_event: dict[str, list[str]] = {}
        self._by_trait: dict[str, list[str]] = {}
        for key, rule in rules.items():
            for name in sorted(_named(rule, "event")):
                self._by_event.setdefault(name, []).append(key)
            for name in sorted(_named(rule, "trait")):
                self._by_trait.setdefault(name, []).append(key)

    def on_event(self, event: Mapping[str, Any], state: State, now_ms: int) -> list[tuple[str, bool]]:
        """The memberships that the event changes, after it has been put into the state."""
        members = state.get("members")
        touched = self._remember(event, state)
        if members is None:  # the profile begins: every rule may hold for it
            members, touched = [], list(self.rules)
        if not touched:
            return []
        view, before = View(state), set(members)
        after = set(before)
        for key in touched:
            if self.rules[key](view, now_ms):
                after.add(key)
            else:
                after.discard(key)
        changed = sorted(before ^ after)
        if changed or not before:
            state.set("members", sorted(after))
        return [(key, key in after) for key in changed]

    def _remember(self, event: Mapping[str, Any], state: State) -> list[str]:
        """Put the event into the state; the rules that it can change."""
        if event["type"] == "identify":
            traits = state.get("traits") or {}
            said = event.get("traits", {})
            changed = [name for name, value in said.items() if traits.get(name) != value]
            if changed:
                state.set("traits", {**traits, **said})
            return sorted({key for name in changed for key in self._by_trait.get(name, ())})
        name = event.get("name", "")
        if name not in self._by_event:
            return []
        properties = event.get("properties", {})
        seen = [event["time_ms"], properties.get("category"), round(100 * properties.get("total", 0))]
        kept = state.get(f"e:{name}") or []
        insort(kept, seen, key=lambda each: each[0])
        state.set(f"e:{name}", kept)
        return self._by_event[name]


def _named(rule: Any, what: str) -> set[str]:
    if isinstance(rule, dict):
        own = {rule[what]} if isinstance(rule.get(what), str) else set()
        return own.union(*(_named(child, what) for child in rule.values()))
    if isinstance(rule, list):
        return set().union(*(_named(child, what) for child in rule))
    return set()
