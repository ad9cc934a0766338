"""Durations, windows, references and the walk over nodes, one by one."""

import pytest

from audience.rules import parse_rule
from audience.rules.dates import format_ms, parse_date_ms
from audience.rules.durations import DurationError, format_duration, parse_duration, step_of
from audience.rules.reading import is_deeper, is_finite
from audience.rules.references import References, computed_traits_of, lists_of, nodes_of, segments_of
from audience.rules.tree import Window
from audience.rules.values import walk
from tests.engine_stream import REGEX

RULE = parse_rule(
    {
        "all": [
            {"any": [{"segment": "a"}, {"not": {"segment": "b"}}, {"list": "l"}]},
            {"not": {"any": [{"trait": "computed.ltv", "op": "exists"}, {"trait": "computed.x.y", "op": "exists"}]}},
            {"trait": "computed", "op": "exists"},
            {"trait": "plan", "op": "eq", "value": "computed.no"},
            {"event": "A", "where": [{"property": "computed.no", "op": "exists"}]},
            {"sequence": [{"event": "A"}], "within": "1h"},
            {"list": "m"},
        ]
    },
    regex=REGEX,
)


def test_what_a_rule_refers_to() -> None:
    assert segments_of(RULE) == {"a", "b"}
    assert lists_of(RULE) == {"l", "m"}
    assert computed_traits_of(RULE) == {"ltv", "x"}
    kinds = [type(node).__name__ for node in nodes_of(RULE)]
    assert kinds == [
        *("AllOf", "AnyOf", "SegmentRef", "Not", "SegmentRef", "ListRef", "Not", "AnyOf", "Trait", "Trait", "Trait"),
        *("Trait", "EventNode", "Sequence", "ListRef"),
    ]


def test_cycles_are_found_however_long_and_however_tangled() -> None:
    chain = {f"s{number}": frozenset({f"s{number + 1}", f"s{number + 2}"}) for number in range(40)}
    references = References(key="s40", segments=chain)
    assert references.makes_cycle("s0")
    assert references.makes_cycle("s40")
    assert not references.makes_cycle("s41")
    assert not references.makes_cycle("unknown")
    assert not References(key=None, segments=chain).makes_cycle("s0")
    beside = {"a": frozenset({"b"}), "b": frozenset({"a", "c"})}
    assert not References(key="d", segments=beside).makes_cycle("a")
    assert References(key="c", segments=beside).makes_cycle("a")


@pytest.mark.parametrize(
    ("duration_ms", "text"),
    [
        (1_000, "1s"), (59_000, "59s"), (61_000, "61s"), (60_000, "1m"), (90_000, "90s"), (3_600_000, "1h"),
        (5_400_000, "90m"), (86_400_000, "1d"), (90_000_000, "25h"), (604_800_000, "7d"), (63_072_000_000, "730d"),
    ],
)  # fmt: skip
def test_durations_have_a_shortest_text(duration_ms: int, text: str) -> None:
    assert format_duration(duration_ms) == text
    assert parse_duration(text) == duration_ms


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("0s", "'0s' is no duration: a whole number from 1 on and one of s, m, h, d, w, such as 30d"),
        ("731d", "'731d' is not between 1s and 730d"),
        ("105w", "'105w' is not between 1s and 730d"),
        ("3601s", "'3601s' is no multiple of 1m, the step of windows of its length"),
        ("1441m", "'1441m' is no multiple of 1h, the step of windows of its length"),
        ("745h", "'745h' is no multiple of 1d, the step of windows of its length"),
    ],
)
def test_durations_that_are_none_say_why(text: str, why: str) -> None:
    with pytest.raises(DurationError) as refused:
        parse_duration(text)
    assert str(refused.value) == why


@pytest.mark.parametrize(
    ("within", "step_ms", "panes"),
    [
        ("1s", 1_000, 1), ("1h", 1_000, 3_600), ("61m", 60_000, 61), ("24h", 60_000, 1_440), ("25h", 3_600_000, 25),
        ("31d", 3_600_000, 744), ("32d", 86_400_000, 32), ("730d", 86_400_000, 730),
    ],
)  # fmt: skip
def test_windows_move_in_steps(within: str, step_ms: int, panes: int) -> None:
    window = Window(parse_duration(within))
    assert (step_of(window.within_ms), window.step_ms, window.panes) == (step_ms, step_ms, panes)
    now_ms = 1_800_000_000_123
    first = window.first_pane(now_ms)
    assert first == now_ms // step_ms - panes
    leaves_ms = window.leaves_at(first)
    assert window.first_pane(leaves_ms - 1) == first
    assert window.first_pane(leaves_ms) == first + 1


def test_dates_are_read_and_written() -> None:
    assert parse_date_ms("1970-01-02") == 86_400_000
    assert parse_date_ms("1970-01-01T00:00:00.0129Z") == 12
    assert parse_date_ms("1970-01-01T01:30:00+01:30") == 0
    assert parse_date_ms("1969-12-31T22:59:59.5-01:00") == -500
    assert parse_date_ms("1970-01-01T00:00:00+24:00") is None
    assert parse_date_ms("1970-01-01T00:00:00+23:60") is None
    assert parse_date_ms("1970-01-01T23:59:00+23:59") == 0
    assert parse_date_ms("1970-02-30") is None
    assert parse_date_ms("1970-01-01T00:00:60Z") is None
    assert format_ms(-1) == "1969-12-31T23:59:59.999Z"


def test_a_path_leads_through_objects_alone() -> None:
    assert walk({"a": {"b": [1]}}, ("a", "b")) == [1]
    assert walk({"a": [1]}, ("a", "0")) is None
    assert walk({"a": None}, ("a", "b")) is None


@pytest.mark.parametrize(
    ("value", "depth"), [("x", 0), (None, 0), ([], 1), ({}, 1), ([1, {"a": 1}], 2), ({"a": [], "b": [[{}]]}, 4)]
)
def test_depth_of_values(value: object, depth: int) -> None:
    assert [is_deeper(value, most) for most in range(6)] == [depth > most for most in range(6)]


@pytest.mark.parametrize("value", [float("inf"), float("nan"), 10**400, [[float("-inf")]], {"a": [10**400]}, {1}])
def test_what_is_beyond_a_double_or_no_json_is_not_finite(value: object) -> None:
    assert not is_finite(value)


def test_what_a_double_holds_is_finite() -> None:
    assert is_finite([None, True, "inf", 10**300, -1.5, {"a": {"b": []}}])
