"""Values, measures and decimals, worked out by hand."""

from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.oracle.measures import as_json_number, as_trait, decimal_number, measured, satisfies, six_places
from tests.oracle.values import holds, same, walk
from tests.oracle.world import Event, Json


def events_of(*values: Json) -> list[Event]:
    return [
        Event(time_ms=at, received_ms=at, message_id=f"m{at}", properties={"n": each}) for at, each in enumerate(values)
    ]


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.1, "0.1"),
        (0.30000000000000004, "0.3"),
        (2.5e-6, "0.000002"),
        (3.5e-6, "0.000004"),
        (-2.5e-6, "-0.000002"),
        (5e-7, "0"),
        (5.000001e-7, "0.000001"),
        (1.0000005, "1"),
        (1.0000015, "1.000002"),
        (999999999999999, "999999999999999"),
        (999999999999999.9, "999999999999999.9"),
        (1e-300, "0"),
    ],
)
def test_decimals(number: float, text: str) -> None:
    assert decimal_number(number) == Fraction(text)


@pytest.mark.parametrize("number", [1e15, -1e15, 10**15, 10**30, 1e300])
def test_what_is_no_number_for_sums(number: float) -> None:
    assert decimal_number(number) is None


@given(st.floats(min_value=-1e14, max_value=1e14))
@example(0.0000015)
def test_decimals_as_the_decimal_module_rounds_them(number: float) -> None:
    wanted = Decimal(repr(number)).quantize(Decimal("0.000001"), ROUND_HALF_EVEN)
    assert decimal_number(number) == Fraction(wanted)


@given(st.lists(st.integers(-(10**20), 10**20), max_size=6))
def test_sums_do_not_mind_order(millionths: list[int]) -> None:
    values = [each / 10**6 for each in millionths]
    assert measured({"sum": "n"}, events_of(*values)) == measured({"sum": "n"}, events_of(*reversed(values)))


def test_sum_and_avg() -> None:
    assert measured({"sum": "n"}, events_of(0.1, 0.2)) == Fraction(3, 10)
    assert measured({"avg": "n"}, events_of(1, 1, 2)) == Fraction(4, 3)
    assert measured({"avg": "n"}, events_of(1, "1", None, 1e15, 2)) == Fraction(3, 2)
    assert as_json_number(six_places(Fraction(4, 3))) == 1.333333
    assert as_json_number(Fraction(3, 10)) == 0.3
    assert str(as_json_number(Fraction(7))) == "7"


def test_nothing_to_measure() -> None:
    nothing = events_of("5", None, True, [1])
    assert [measured({kind: "n"}, nothing) for kind in ("sum", "avg", "min", "max")] == [0, None, None, None]
    assert measured({"distinct": "n"}, events_of(None, [1], {})) == 0
    assert measured("count", []) == 0
    assert not satisfies({"avg": "n"}, None, {"ne": 5})


def test_distinct() -> None:
    assert measured({"distinct": "n"}, events_of(5, 5.0, "5", True, 1, False, 0, "")) == 7


def test_computed_traits() -> None:
    events = events_of("b", "a", "b", None, 5, 5.0, "5")
    assert as_trait({"first": "n"}, events) == "b"
    assert as_trait({"last": "n"}, events) == "5"
    assert as_trait({"most_frequent": "n"}, events) == "b"
    assert as_trait({"unique_list": "n"}, events) == [5, "5", "a", "b"]
    assert as_trait({"distinct": "n"}, events) == 4
    assert as_trait({"sum": "n"}, events) == 10
    assert as_trait({"avg": "n"}, events_of(1, 1, 2)) == 1.333333
    assert as_trait("count", events) == 7
    assert as_trait("count", []) is None


def test_unique_list_keeps_the_100_smallest() -> None:
    assert as_trait({"unique_list": "n"}, events_of(*range(200, 0, -1))) == list(range(1, 101))


@pytest.mark.parametrize(
    ("left", "right", "equal"),
    [
        (5, 5.0, True),
        (True, 1, False),
        (False, 0, False),
        (0.0, -0.0, True),
        ("5", 5, False),
        (None, None, True),
        (None, False, False),
        ([1, [2]], [1.0, [2.0]], True),
        ([], {}, False),
        ([True], [1], False),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        ({"a": None}, {}, False),
        (2**53, 2**53 + 1, True),
        (2**53, 2**53 + 2, False),
        ("", None, False),
    ],
)
def test_equality(left: Json, right: Json, equal: bool) -> None:
    assert same(left, right) is equal
    assert same(right, left) is equal


def test_paths() -> None:
    root = {"a": {"b": {"c": 1}}, "x.y": 2, "l": [3], "n": None}
    assert walk(root, "a.b.c") == 1
    assert walk(root, "a.b") == {"c": 1}
    assert [walk(root, path) for path in ("a.b.c.d", "x.y", "l.0", "n", "n.a", "z")] == [None] * 6


def test_an_unknown_operator_is_no_answer() -> None:
    with pytest.raises(ValueError, match="unknown operator 'like'"):
        holds({"op": "like", "value": "x"}, "x", 0)
    with pytest.raises(ValueError, match="unknown measure 'median'"):
        measured({"median": "n"}, [])
    with pytest.raises(ValueError, match="unknown measure 'median'"):
        as_trait({"median": "n"}, [])


@pytest.mark.parametrize("operator", ["within_last", "within_next"])
def test_operators_that_move_with_time_are_for_traits_alone(operator: str) -> None:
    with pytest.raises(ValueError, match="for traits alone"):
        holds({"op": operator, "value": "30d"}, "2026-03-01", None)
