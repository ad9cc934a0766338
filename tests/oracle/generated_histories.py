"""Generated histories: events aimed at a rule, some to meet it and some to miss it by a little.

Times lie at the edges of the rule's windows, at its gaps and deadlines, at each other, and a
millisecond beside; values are those that its tests ask for, and their look-alikes.
It gives plain JSON events in order of arrival, and refuses nothing.
"""

from typing import Any

from tests.oracle.choices import Choices
from tests.oracle.generated_rules import (
    BIG_INTEGERS,
    CONTEXT_PATHS,
    NUMBER_PATHS,
    NUMBERS,
    OTHERS,
    PAGES,
    PROFILE_ID,
    SMALL_NUMBERS,
    STRING_PATHS,
    STRINGS,
    TRACKS,
    Setting,
    date_text,
)
from tests.oracle.times import DAY_MS, HOUR_MS, date_ms, duration_ms, step_ms
from tests.oracle.values import is_number
from tests.oracle.world import Json

MOST_EVENTS = 24
ALL_TIME_MS = 729 * DAY_MS
COPIES_WITHIN_MS = 24 * HOUR_MS

JsonEvent = dict[str, Any]


def generated_history(setting: Setting) -> list[JsonEvent]:
    """Up to 24 events and a few copies of them, in order of arrival; none in one history of 33."""
    choices = setting.choices
    events: list[JsonEvent] = []
    for matcher in setting.matchers:
        if choices.chance(65):
            events += [_aimed_event(setting, matcher) for _ in range(choices.weighted(((40, 1), (35, 2), (25, 3))))]
    for sequence in setting.sequences:
        if choices.chance(75):
            events += _chain(setting, sequence)
    for test in setting.trait_tests:
        if choices.chance(65):
            events.append(_aimed_identify(setting, test))
    events += [_noise(setting) for _ in range(choices.integer(0, 4))]
    if not events and not choices.chance(3):
        events.append(_noise(setting))
    return _arrivals(setting, events[:MOST_EVENTS])


def _arrivals(setting: Setting, events: list[JsonEvent]) -> list[JsonEvent]:
    """Gives ids and receipts, and adds copies."""
    choices, features, now_ms = setting.choices, setting.features, setting.now_ms
    ids = choices.shuffled(range(len(events)))
    for number, event in zip(ids, events, strict=True):
        event["message_id"] = f"m{number}"
        if setting.all_time:
            event["time_ms"] = max(event["time_ms"], now_ms - ALL_TIME_MS)
        if features.ties and choices.chance(8):
            event["time_ms"] = choices.pick(events)["time_ms"]
        event["received_ms"] = min(event["time_ms"], now_ms)
        if features.late and choices.chance(30):
            event["received_ms"] = choices.integer(event["received_ms"], now_ms)
        if features.ties and choices.chance(5):
            event["source"] = "s2"
            event["message_id"] = f"m{choices.pick(ids)}" if choices.chance(50) else event["message_id"]
        if features.other_profiles and choices.chance(3):
            event["user_id"] = choices.pick(("", "u2"))
            event["anonymous_id"] = PROFILE_ID if choices.chance(50) else "a1"
    copies = [_copy(setting, event) for event in events if features.copies and choices.chance(10)]
    return _without_late_copies(sorted(events + copies, key=lambda event: int(event["received_ms"])))


def _copy(setting: Setting, event: JsonEvent) -> JsonEvent:
    choices = setting.choices
    latest_ms = min(event["received_ms"] + COPIES_WITHIN_MS, setting.now_ms)
    copy = {**event, "received_ms": choices.integer(event["received_ms"], latest_ms)}
    if setting.features.changed_copies and choices.chance(25):
        copy["time_ms"] = min(choices.integer(copy["time_ms"] - 5, copy["time_ms"] + 5), copy["received_ms"])
        copy["properties"] = {"n": choices.pick(NUMBERS)}
    return copy


def _without_late_copies(events: list[JsonEvent]) -> list[JsonEvent]:
    """Leaves out copies that may count again, and pairs that the contract gives no order."""
    first_ms: dict[tuple[str, str], int] = {}
    kept = []
    for event in events:
        identity = (event.get("source", "s1"), event["message_id"])
        if event["received_ms"] - first_ms.setdefault(identity, event["received_ms"]) <= COPIES_WITHIN_MS:
            kept.append(event)
    return kept


def _aimed_event(setting: Setting, matcher: dict[str, Any]) -> JsonEvent:
    """An event that a node, step or definition matches, most likely."""
    choices = setting.choices
    event: JsonEvent = {"time_ms": _aimed_time(setting, matcher.get("within")), "properties": {}, "context": {}}
    kind = matcher.get("type", "track")
    name = matcher["event"]
    if name == "*":
        name = choices.pick(TRACKS if kind == "track" else PAGES)
    event |= {"type": kind, "name": name}
    measure = matcher.get("measure", "count")
    if isinstance(measure, dict):
        (path,) = measure.values()
        _put(event["properties"], path, _plausible(choices, path))
    for test in matcher.get("where", ()):
        subject = "property" if "property" in test else "context"
        root = event["properties" if subject == "property" else "context"]
        _put(
            root,
            test[subject],
            _satisfying(setting, test) if choices.chance(85) else _plausible(choices, test[subject]),
        )
    if choices.chance(20):
        _put(event["properties"], choices.pick(NUMBER_PATHS), _plausible(choices, "n"))
    return event


def _aimed_time(setting: Setting, within: str | None = None) -> int:
    """Mostly in the window, often at an edge of it."""
    choices, now_ms = setting.choices, setting.now_ms
    length_ms = duration_ms(within or choices.pick(setting.durations or ["30d"]))
    step = step_ms(length_ms)
    how = choices.weighted(((50, "inside"), (23, "pane"), (10, "length"), (10, "now"), (7, "beyond")))
    if how == "inside":
        time_ms = choices.integer(now_ms - length_ms, now_ms)
    elif how == "pane":
        time_ms = (now_ms // step - length_ms // step) * step + choices.pick((0, -1, 1, step - 1, step))
    elif how == "length":
        time_ms = now_ms - length_ms + choices.pick((0, -1, 1))
    elif how == "now":
        time_ms = now_ms - choices.pick((0, 1, 1000))
    else:
        time_ms = choices.integer(now_ms - 2 * length_ms, now_ms)
    if setting.features.later_than_now and choices.chance(5):
        return now_ms + choices.pick((1, 1000, length_ms))
    return min(time_ms, now_ms)


def _chain(setting: Setting, sequence: dict[str, Any]) -> list[JsonEvent]:
    """Events for the steps, in order, near the longest gaps allowed; an absent step's event now and then."""
    choices = setting.choices
    window_ms = duration_ms(sequence["within"])
    time_ms = _aimed_time(setting, sequence["within"])
    events = []
    for number, step in enumerate(sequence["sequence"]):
        if step.get("absent") and not choices.chance(35):
            break
        event = _aimed_event(setting, step)
        if number > 0:
            longest_ms = duration_ms(step["within"]) if "within" in step else window_ms // 2
            gap_ms = choices.weighted(
                ((50, choices.integer(0, longest_ms)), (25, longest_ms + choices.pick((0, 1, -1))), (15, 0), (10, 1))
            )
            time_ms += gap_ms
        event["time_ms"] = min(time_ms, setting.now_ms)
        events.append(event)
    return events


def _aimed_identify(setting: Setting, test: dict[str, Any]) -> JsonEvent:
    choices = setting.choices
    traits: dict[str, Any] = {}
    satisfied = choices.chance(80)
    _put(traits, test["trait"], _satisfying(setting, test) if satisfied else _plausible(choices, test["trait"]))
    event: JsonEvent = {"time_ms": _aimed_time(setting), "type": "identify"}
    if choices.chance(20):
        event["context"] = {"traits": traits}
        event["traits"] = {test["trait"].split(".")[0]: None} if choices.chance(20) else {}
    else:
        event["traits"] = traits
    return event


def _noise(setting: Setting) -> JsonEvent:
    choices = setting.choices
    time_ms = _aimed_time(setting)
    kind = choices.weighted(((45, "track"), (35, "identify"), (10, "page"), (5, "screen"), (3, "group"), (2, "alias")))
    if kind == "track":
        properties: dict[str, Any] = {}
        _put(properties, choices.pick(("n", "s")), _plausible(choices, choices.pick(("n", "s"))))
        return {"time_ms": time_ms, "type": kind, "name": choices.pick(TRACKS), "properties": properties}
    if kind == "identify":
        key = choices.pick(("plan", "n", "tags", "o", "d"))
        set_ms = setting.now_ms - choices.pick((0, 1, DAY_MS, 30 * DAY_MS))
        found = date_text(choices, set_ms) if key == "d" else _plausible(choices, key)
        traits: dict[str, Any] = {}
        _put(traits, key, None if choices.chance(30) else found)
        return {"time_ms": time_ms, "type": kind, "traits": traits}
    event: JsonEvent = {"time_ms": time_ms, "type": kind, "traits": {"plan": "x"} if kind == "group" else {}}
    if kind in {"page", "screen"}:
        event["name"] = choices.pick(PAGES)
    return event


def _put(root: dict[str, Any], path: str, value: Json) -> None:
    """Sets a value at a path; MISSING leaves the path out."""
    if value is MISSING:
        return
    *parents, last = path.split(".")
    parent: Json = root
    for key in parents:
        parent = parent.setdefault(key, {})
        if not isinstance(parent, dict):
            return
    parent[last] = value


MISSING: Json = object()


def _plausible(choices: Choices, path: str) -> Json:
    """A value that might stand there: often of the right type, sometimes not, sometimes missing."""
    if choices.chance(4):
        return MISSING
    if choices.chance(10):
        return choices.pick((*OTHERS, *BIG_INTEGERS))
    if path in {*STRING_PATHS, *CONTEXT_PATHS, "plan"}:
        return choices.pick(STRINGS)
    if path == "tags":
        return choices.some(0, 3, (*STRINGS[:3], 5, 5.0, ["x"]))
    if path == "o":
        return choices.pick(({"k": 5}, {"k": 5.0}, {"k": None}, {}, {"s": "x", "k": 5}, {"k": "5"}))
    return choices.pick(SMALL_NUMBERS if choices.chance(80) else (*NUMBERS, "5", "1"))


def _satisfying(setting: Setting, test: dict[str, Any]) -> Json:
    """A value for which the test holds, most likely."""
    choices = setting.choices
    operator: str = test["op"]
    wanted: Json = test.get("value")
    match operator:
        case "absent":
            return choices.pick((MISSING, None))
        case "eq" | "gte" | "lte":
            if operator != "eq" and choices.chance(50):
                return _beside(choices, wanted, up=operator == "gte")
            return float(wanted) if is_number(wanted) and choices.chance(30) else wanted
        case "gt" | "lt":
            return _beside(choices, wanted, up=operator == "gt")
        case "in":
            return next((each for each in choices.shuffled(wanted) if each is not None), MISSING)
        case "contains":
            return f"a{wanted}b" if isinstance(wanted, str) and choices.chance(50) else ["q", wanted]
        case "starts_with":
            return f"{wanted}z"
        case "ends_with":
            return f"z{wanted}"
        case "before" | "after" | "within_last" | "within_next":
            return date_text(choices, _satisfying_instant(setting, operator, wanted))
        case _:
            return _plausible(choices, str(test.get("trait", test.get("property", "ip"))))


def _satisfying_instant(setting: Setting, operator: str, wanted: str) -> int:
    choices, now_ms = setting.choices, setting.now_ms
    if operator in {"before", "after"}:
        bound_ms = date_ms(wanted) or 0
        return bound_ms + choices.pick((1, 0, DAY_MS)) * (-1 if operator == "before" else 1)
    length_ms = duration_ms(wanted)
    beside_ms = choices.pick((0, 1, -1, choices.integer(0, length_ms), -choices.integer(0, length_ms)))
    if operator == "within_last":
        return now_ms + choices.pick((0, -length_ms)) + beside_ms
    return now_ms + choices.pick((0, length_ms)) + beside_ms


def _beside(choices: Choices, wanted: Json, *, up: bool) -> Json:
    if isinstance(wanted, str):
        return wanted + choices.pick(("a", "\U0001f600")) if up else wanted[:-1]
    if not is_number(wanted):
        return wanted
    return wanted + choices.pick((1, 0.000001, 0.5)) * (1 if up else -1)
