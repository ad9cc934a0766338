"""Generated rules: valid, small, and near the edges that matter.

Names, paths and values come from a small alphabet, so that rules and histories meet. Every rule is
valid by `check.problems` against the catalog of its `Setting`. It refuses nothing: a feature that is
switched off is left out.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.oracle.choices import Choices
from tests.oracle.evaluate import bucket_of
from tests.oracle.times import DAY_MS, HOUR_MS, MINUTE_MS
from tests.oracle.world import Json

MAX_DEPTH = 4
PROFILE_ID = "u1"

TRACKS = ("A", "B", "C")
PAGES = ("P", "")
DURATIONS = (
    *("1s", "10s", "90s", "1h", "3599s"),
    *("61m", "2h", "24h", "1439m"),
    *("25h", "7d", "30d", "31d"),
    *("32d", "60d", "52w"),
)
SMALL_NUMBERS = (1, 2, 3, 5, 0, -1, 5.0, 0.1, 0.2, 0.3, -2.5, 10)
ODD_NUMBERS = (0.30000000000000004, 5e-7, 1.5e-6, 2.5e-6, 1e-9, 1e15, 999999999999999.9, -1e15, 1e300)
BIG_INTEGERS = (9007199254740992, 9007199254740993, -9007199254740993)
NUMBERS = (*SMALL_NUMBERS, *SMALL_NUMBERS, *SMALL_NUMBERS, *ODD_NUMBERS, *BIG_INTEGERS)
STRINGS = ("x", "y", "xy", "X", "5", "", "é", "e\u0301", "\uff5e", "\U0001f600")
OTHERS: tuple[Json, ...] = (True, False, None, [], [5], ["x", None], {}, {"k": 5.0}, {"k": None})
REGEXES = ("x", "^x$", "(?i)X", "", "[xy]+", r"^\w+$", r"\pL", "5|y")
NUMBER_PATHS = ("n", "o.n")
STRING_PATHS = ("s", "o.s")
CONTEXT_PATHS = ("page.path", "ip")
TRAIT_PATHS = ("plan", "n", "o.k", "tags", "o", "d")
SALTS = ("exp-1", "exp-2")
LISTS = ("l1", "l2")
BASE_MS = 1_772_000_000_000


@dataclass(frozen=True, slots=True)
class Features:
    """What may occur. All of it by default, but what an evaluator behind ingest never sees."""

    measures: bool = True
    sequences: bool = True
    absence: bool = True
    decimals: bool = True
    regexes: bool = True
    dates: bool = True
    moving_dates: bool = True
    lists: bool = True
    buckets: bool = True
    segments: bool = True
    paused: bool = True
    computed: bool = True
    pages: bool = True
    late: bool = True
    """Events that arrive after later ones."""
    copies: bool = True
    changed_copies: bool = True
    """Copies that differ from their original, which stands."""
    ties: bool = True
    """Identifies of one time, and one messageId under two write keys."""
    other_profiles: bool = True
    later_than_now: bool = False
    """Events whose time is later than their receipt."""


@dataclass(slots=True)
class Setting:
    """What a rule may use, and what it has used so far."""

    choices: Choices
    features: Features
    now_ms: int
    computed_traits: list[dict[str, Any]] = field(default_factory=list)
    segments: dict[str, Any] = field(default_factory=dict)
    matchers: list[dict[str, Any]] = field(default_factory=list)
    """Event nodes, steps and definitions, for histories to aim at."""
    sequences: list[dict[str, Any]] = field(default_factory=list)
    trait_tests: list[dict[str, Any]] = field(default_factory=list)
    durations: list[str] = field(default_factory=list)
    all_time: bool = False
    """Whether some node looks back for ever."""

    def duration(self) -> str:
        picked = self.choices.pick(DURATIONS)
        if self.choices.chance(2):
            picked = "730d"
        self.durations.append(picked)
        return picked


def generated_now(choices: Choices) -> int:
    """An instant in two years, one in two near the edge of a pane of some step."""
    instant_ms = BASE_MS + choices.integer(0, 730 * DAY_MS)
    if choices.chance(50):
        step = choices.pick((1000, MINUTE_MS, HOUR_MS, DAY_MS))
        instant_ms = instant_ms // step * step + choices.pick((0, -1, 1))
    return instant_ms


def generated_setting(choices: Choices, features: Features) -> Setting:
    """The computed traits and other segments around a rule."""
    setting = Setting(choices, features, generated_now(choices))
    if features.computed and choices.chance(40):
        keys = ("c1", "c2") if choices.chance(30) else ("c1",)
        setting.computed_traits += [_computed_trait(setting, key) for key in keys]
    if features.segments and choices.chance(25):
        setting.segments["s1"] = generated_node(setting, MAX_DEPTH - 1)
        if choices.chance(40):
            paused = features.paused and choices.chance(50)
            setting.segments["s2"] = choices.chance(50) if paused else generated_node(setting, MAX_DEPTH - 1)
    return setting


def generated_node(setting: Setting, depth: int = 1) -> dict[str, Any]:
    """A node, `depth` levels below the root's parent."""
    choices = setting.choices
    if depth < MAX_DEPTH and choices.chance(55 if depth == 1 else 25):
        kind = choices.weighted(((40, "all"), (40, "any"), (20, "not")))
        if kind == "not":
            return {"not": generated_node(setting, depth + 1)}
        return {kind: [generated_node(setting, depth + 1) for _ in range(choices.weighted(((5, 1), (70, 2), (25, 3))))]}
    return _leaf(setting)


def _leaf(setting: Setting) -> dict[str, Any]:
    features = setting.features
    kinds = [(40, "trait")]
    kinds += [(30, "measure")] if features.measures else []
    kinds += [(15, "sequence")] if features.sequences else []
    kinds += [(15, "absence")] if features.absence else []
    kinds += [(4, "list")] if features.lists else []
    kinds += [(4, "bucket")] if features.buckets else []
    kinds += [(12, "computed")] if setting.computed_traits else []
    kinds += [(20, "segment")] if setting.segments else []
    kind = setting.choices.weighted(kinds)
    if kind == "trait":
        return _trait(setting)
    if kind == "measure":
        return _event_node(setting)
    if kind == "sequence":
        return _sequence(setting, absent=False)
    if kind == "absence":
        return _absence(setting)
    if kind == "list":
        return {"list": setting.choices.pick(LISTS)}
    if kind == "bucket":
        return {"bucket": _bucket(setting.choices)}
    if kind == "computed":
        return _computed_test(setting)
    return {"segment": setting.choices.pick(sorted(setting.segments))}


def _bucket(choices: Choices) -> dict[str, Any]:
    """A range around, at or beside the profile's own number."""
    salt = choices.pick(SALTS)
    number = bucket_of(salt, PROFILE_ID)
    start = choices.weighted(((40, 0), (20, number), (10, number + 1), (30, choices.integer(0, 9998))))
    ends = (number, number + 1, 10_000, choices.integer(start + 1, 10_000))
    return {"salt": salt, "from": start, "to": max(choices.pick(ends), start + 1)}


def _trait(setting: Setting) -> dict[str, Any]:
    path = setting.choices.pick(TRAIT_PATHS if setting.features.dates else TRAIT_PATHS[:-1])
    node = {"trait": path, **_trait_test(setting, path)}
    setting.trait_tests.append(node)
    return node


def _trait_test(setting: Setting, path: str) -> dict[str, Any]:
    choices = setting.choices
    if path == "plan":
        return _string_test(setting)
    if path in {"n", "o.k"}:
        return _number_test(setting)
    if path == "tags":
        return _test_of(choices, ("contains", "contains", "eq", "exists"), (*STRINGS[:3], 5, ["x"]))
    if path == "o":
        return _test_of(choices, ("eq", "ne", "exists", "absent"), ({"k": 5}, {"k": None}, {}, {"k": 5, "s": "x"}))
    if setting.features.moving_dates and choices.chance(70):
        return {"op": choices.pick(("within_last", "within_next")), "value": setting.duration()}
    bound_ms = setting.now_ms + choices.pick((0, 1, -1, DAY_MS, -30 * DAY_MS))
    return {"op": choices.pick(("before", "after")), "value": date_text(choices, bound_ms)}


def _number_test(setting: Setting) -> dict[str, Any]:
    choices = setting.choices
    operator = choices.pick(("gte", "lt", "gt", "lte", "eq", "ne", "in", "not_in", "exists", "absent"))
    if operator in {"exists", "absent"}:
        return {"op": operator}
    if operator in {"in", "not_in"}:
        return {"op": operator, "value": choices.some(1, 3, (*NUMBERS, "5", None, True))}
    return {"op": operator, "value": "5" if choices.chance(4) else choices.pick(NUMBERS)}


def _string_test(setting: Setting) -> dict[str, Any]:
    choices = setting.choices
    operators = ["eq", "ne", "in", "not_in", "contains", "starts_with", "ends_with", "gt", "lte", "exists", "absent"]
    operators += ["matches"] if setting.features.regexes else []
    operator = choices.pick(operators)
    if operator in {"exists", "absent"}:
        return {"op": operator}
    if operator in {"in", "not_in"}:
        return {"op": operator, "value": choices.some(1, 3, (*STRINGS, 5, None, True))}
    if operator == "matches":
        return {"op": operator, "value": choices.pick(REGEXES)}
    return {"op": operator, "value": choices.pick(STRINGS)}


def _test_of(choices: Choices, operators: tuple[str, ...], values: tuple[Json, ...]) -> dict[str, Any]:
    operator = choices.pick(operators)
    if operator in {"exists", "absent"}:
        return {"op": operator}
    return {"op": operator, "value": choices.pick(values)}


def _where(setting: Setting) -> list[dict[str, Any]]:
    choices = setting.choices
    tests: list[dict[str, Any]] = []
    for _ in range(choices.weighted(((75, 1), (20, 2), (5, 0)))):
        kind = choices.weighted(((50, "number"), (35, "string"), (15, "context")))
        if kind == "number":
            tests.append({"property": choices.pick(NUMBER_PATHS), **_number_test(setting)})
        elif kind == "string":
            tests.append({"property": choices.pick(STRING_PATHS), **_string_test(setting)})
        else:
            tests.append({"context": choices.pick(CONTEXT_PATHS), **_string_test(setting)})
    return tests


def _matcher(setting: Setting) -> dict[str, Any]:
    """`event`, `type` and `where`."""
    choices = setting.choices
    matcher: dict[str, Any] = {"event": "*" if choices.chance(10) else choices.pick(TRACKS)}
    if setting.features.pages and choices.chance(15):
        matcher = {"event": choices.pick((*PAGES, "*")), "type": choices.pick(("page", "screen"))}
    elif choices.chance(10):
        matcher["type"] = "track"
    if choices.chance(35):
        matcher["where"] = _where(setting)
    setting.matchers.append(matcher)
    return matcher


def _measure(setting: Setting, extra: tuple[str, ...] = ()) -> Json:
    choices = setting.choices
    kinds = (*("sum", "avg", "min", "max", "distinct"), *extra)
    if not setting.features.decimals:
        kinds = tuple(each for each in kinds if each not in {"sum", "avg"})
    return {choices.pick(kinds): choices.pick((*NUMBER_PATHS, *STRING_PATHS[:1]))}


def _event_node(setting: Setting) -> dict[str, Any]:
    choices = setting.choices
    node = _matcher(setting)
    if choices.chance(75):
        node["within"] = setting.duration()
    else:
        setting.all_time = True
    if choices.chance(60):
        node["measure"] = _measure(setting)
    if "measure" in node or choices.chance(60):
        node["is"] = _bounds(setting, node.get("measure", "count"))
    return node


def _bounds(setting: Setting, measure: Json) -> dict[str, float]:
    choices = setting.choices
    if measure == "count" or "distinct" in measure:
        bounds: list[float] = [1, 2, 3, 2.0, 1.5, 0, 4]
    elif measure.keys() & {"sum", "avg"}:
        bounds = [each for each in (*SMALL_NUMBERS, *SMALL_NUMBERS, *ODD_NUMBERS, 0.15, 0.6) if abs(each) < 1e15]
    else:
        bounds = list(NUMBERS)
    first = choices.weighted(((30, "gte"), (20, "lt"), (15, "gt"), (15, "lte"), (12, "eq"), (8, "ne")))
    found = {first: choices.pick(bounds)}
    if choices.chance(15):
        found[choices.pick(("ne", "lte", "gte"))] = choices.pick(bounds)
    return found


def _sequence(setting: Setting, *, absent: bool) -> dict[str, Any]:
    choices = setting.choices
    steps = [_matcher(setting) for _ in range(choices.weighted(((60, 2), (30, 3), (10, 1))))]
    for step in steps[1:]:
        if choices.chance(50):
            step["within"] = setting.duration()
    if absent:
        steps = steps[: choices.weighted(((75, 1), (25, 2)))]
        steps.append({**_matcher(setting), "absent": True, "within": setting.duration()})
    node = {"sequence": steps, "within": setting.duration()}
    setting.sequences.append(node)
    return node


def _absence(setting: Setting) -> dict[str, Any]:
    if setting.features.sequences and setting.choices.chance(60):
        return _sequence(setting, absent=True)
    node = _matcher(setting)
    node["is"] = setting.choices.pick(({"eq": 0}, {"lt": 1}, {"lte": 0}))
    if setting.choices.chance(80):
        node["within"] = setting.duration()
    else:
        setting.all_time = True
    return node


def _computed_trait(setting: Setting, key: str) -> dict[str, Any]:
    choices = setting.choices
    definition = _matcher(setting)
    definition["key"] = key
    if choices.chance(70):
        definition["within"] = setting.duration()
    else:
        setting.all_time = True
    if choices.chance(85):
        definition["measure"] = _measure(setting, ("first", "last", "most_frequent", "unique_list", "first", "last"))
    elif choices.chance(50):
        definition["measure"] = "count"
    return definition


def _computed_test(setting: Setting) -> dict[str, Any]:
    choices = setting.choices
    definition = choices.pick(setting.computed_traits)
    path = f"computed.{definition['key']}"
    measure = definition.get("measure", "count")
    ((kind, measured),) = measure.items() if isinstance(measure, dict) else [("count", "")]
    if kind == "unique_list":
        test = _test_of(choices, ("contains", "exists", "absent", "eq"), (*STRINGS[:3], 5, 1, 2, True, ["x"], [5]))
    elif kind in {"count", "distinct"}:
        test = _test_of(choices, ("gte", "eq", "lt", "exists", "absent"), (1, 2, 3))
    elif measured in STRING_PATHS:
        test = _string_test(setting)
    else:
        test = _number_test(setting)
    return {"trait": path, **test}


def date_text(choices: Choices, instant_ms: int) -> str:
    """A date-time that names the instant, now and then its day alone."""
    offset_minutes = choices.pick((0, 0, 60, -330, 840))
    local = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=instant_ms, minutes=offset_minutes)
    text = local.replace(tzinfo=None).isoformat(timespec="milliseconds")
    if choices.chance(10):
        return text[:10]
    text = text.removesuffix(".000") if choices.chance(50) else text + choices.pick(("", "9", "000001"))
    sign = "-" if offset_minutes < 0 else "+"
    return text + (f"{sign}{abs(offset_minutes) // 60:02}:{abs(offset_minutes) % 60:02}" if offset_minutes else "Z")
