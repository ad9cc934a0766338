"""What holds of a reading, and how far it is from changing that: against trying every bound and every step."""

import random
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

import pytest

from audience.engine.decimals import from_micros, json_number, quotient, to_micros
from audience.engine.gauges import (
    AverageGauge,
    CountGauge,
    NoGauge,
    Scale,
    SumGauge,
    ValueGauge,
    as_reading,
    micros_bound,
)
from audience.engine.measures import Count, Least, Numbers
from audience.rules.tree import Window

OPERATORS = {
    "eq": lambda value, bound: value == bound,
    "ne": lambda value, bound: value != bound,
    "gt": lambda value, bound: value > bound,
    "gte": lambda value, bound: value >= bound,
    "lt": lambda value, bound: value < bound,
    "lte": lambda value, bound: value <= bound,
}
WINDOW = Window(10_000)
"""Ten seconds, in steps of one."""


def conditions(chance: random.Random, bounds: list[Any]) -> list[tuple[int, Any]]:
    return [
        (bit, tuple((op, chance.choice(bounds)) for op in chance.sample(list(OPERATORS), chance.choice((1, 1, 2)))))
        for bit in range(chance.randrange(5))
    ]


def holding(found: list[tuple[int, Any]], value: Any) -> int:
    return sum(1 << bit for bit, bounds in found if all(OPERATORS[op](value, bound) for op, bound in bounds))


@pytest.mark.parametrize("seed", range(60))
def test_a_scale_reads_all_bounds_at_once(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311
    found = conditions(chance, [-3, 0, 1, 1.5, 2, 4, 7])
    scale = Scale(found)
    values = [number / 4 for number in range(-20, 40)]
    masks = [holding(found, value) for value in values]
    assert [scale.mask(value) for value in values] == masks
    for index, value in enumerate(values):
        alike = masks[index]
        lowest = next((place for place in range(index, -1, -1) if masks[place] != alike), -1) + 1
        highest = next((place for place in range(index, len(masks)) if masks[place] != alike), len(masks)) - 1
        floor, ceiling = scale.floor(value), scale.ceiling(value)
        assert floor == (None if lowest == 0 else bound_at(values, masks, lowest, -1))
        assert ceiling == (None if highest == len(masks) - 1 else bound_at(values, masks, highest, 1))


def bound_at(values: list[float], masks: list[int], place: int, beyond: int) -> tuple[float, bool]:
    """The bound at the end of a run of one mask, and whether it still has that mask. No two bounds are neighbours."""
    whole_or_half = values[place] * 2 == int(values[place] * 2)
    return (values[place], True) if whole_or_half else (values[place + beyond], False)


@pytest.mark.parametrize("seed", range(80))
def test_counts_tell_how_far_they_are_from_a_change(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311
    whole = seed % 2 == 0
    found = conditions(chance, [-1, 0, 1, 2, 3, 8] if whole else [0.5, 1.5, 2.5, 5.5])
    scale = Scale(found)
    gauge = CountGauge(scale, scale.mask(0))
    assert gauge.empty_mask == holding(found, 0)
    state = Count()
    for _ in range(chance.randrange(1, 12)):
        state.add(100 + chance.randrange(6))
    reading = state.reading(0)
    masks = [holding(found, count) for count in range(reading + 30)]
    assert gauge.mask(reading) == masks[reading]
    more = next((count - reading for count in range(reading, len(masks)) if masks[count] != masks[reading]), None)
    headroom = gauge.headroom(reading)
    if whole:
        assert headroom == more
    elif more is not None:  # a bound that no count equals may make it look early, never late
        assert headroom is not None
        assert 0 < headroom <= more
    least = next((count for count in range(reading, -1, -1) if masks[count] != masks[reading]), -1) + 1
    leaving = next((pane for pane, count in state.ahead(0) if count < least), None)
    due_ms = gauge.next_change_ms(state, reading, WINDOW, 0)
    if whole:
        assert due_ms == (None if leaving is None else WINDOW.leaves_at(leaving))
    elif leaving is not None:
        assert due_ms is not None
        assert due_ms <= WINDOW.leaves_at(leaving)


@pytest.mark.parametrize("seed", range(80))
def test_sums_tell_how_far_they_are_from_a_change(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311
    found = conditions(chance, [-3, 0, 2, 5, 9])
    scale = Scale(found)
    gauge = SumGauge(scale, scale.mask(0))
    state = Numbers()
    for _ in range(chance.randrange(1, 8)):
        state.add(100 + chance.randrange(5), chance.choice((-2, 1, 2, 3)))
    total, count = reading = state.reading(0)
    assert gauge.mask(reading) == gauge.mask((str(total), count)) == holding(found, total)
    masks = {value: holding(found, value) for value in range(-40, 60)}
    headroom = gauge.headroom(reading)
    assert headroom == next((value - total for value in range(total, 60) if masks[value] != masks[total]), None)
    assert gauge.headroom((str(total), count)) == headroom
    fall = next((value for value in range(total, -41, -1) if masks[value] != masks[total]), None)
    due_ms = gauge.next_change_ms(state, reading, WINDOW, 0)
    leaving = (
        pane for pane, (left, _) in state.ahead(0) if masks[left] != masks[total] or (fall is not None and left <= fall)
    )
    first = next(leaving, None)
    wanted_ms = None if first is None else WINDOW.leaves_at(first)
    if fall is not None and due_ms is not None and due_ms != wanted_ms:
        # a sum right on the last bound that holds counts as fallen: more may come and go meanwhile
        assert wanted_ms is None or due_ms < wanted_ms
        pane = next(pane for pane, _ in state.ahead(0) if WINDOW.leaves_at(pane) == due_ms)
        assert dict(state.ahead(0))[pane][0] <= fall + 1
    else:
        assert due_ms == wanted_ms


def test_a_sum_that_falls_to_an_excluded_bound_and_one_that_stays_on_an_included_one() -> None:
    state = Numbers()
    for pane, micros in ((100, 3), (101, 2), (102, 5)):
        state.add(pane, micros)
    more_than_seven = SumGauge(Scale([(0, (("gt", 7),))]), 0)
    assert more_than_seven.next_change_ms(state, (10, 3), WINDOW, 0) == WINDOW.leaves_at(100)
    at_least_seven = SumGauge(Scale([(0, (("gte", 7),))]), 0)
    assert at_least_seven.next_change_ms(state, (10, 3), WINDOW, 0) == WINDOW.leaves_at(101)
    assert at_least_seven.next_change_ms(state, (7, 2), WINDOW, 101) == WINDOW.leaves_at(101)
    less_than_seven = SumGauge(Scale([(0, (("lt", 7),))]), 1)
    assert less_than_seven.next_change_ms(state, (10, 3), WINDOW, 0) == WINDOW.leaves_at(101)
    assert less_than_seven.next_change_ms(state, (5, 1), WINDOW, 102) is None
    assert SumGauge(Scale([]), 0).next_change_ms(state, (10, 3), WINDOW, 0) is None


@pytest.mark.parametrize("seed", range(60))
def test_averages_are_compared_exactly(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311
    found = conditions(chance, [-3, 0, 1, 2, 5])
    sums = Scale([(7, (("gte", 4),))])
    gauge = AverageGauge(SumGauge(sums, sums.mask(0)), found)
    assert gauge.empty_mask == gauge.mask((0, 0)) == 0
    state = Numbers()
    for _ in range(chance.randrange(1, 8)):
        state.add(100 + chance.randrange(4), chance.randrange(-6, 10))

    def mask(reading: tuple[int, int]) -> int:
        total, count = reading
        return (128 if total >= 4 else 0) + (holding(found, Decimal(total) / count) if count else 0)

    reading = state.reading(0)
    assert gauge.mask(reading) == gauge.mask((str(reading[0]), reading[1])) == mask(reading)
    changing = next((pane for pane, left in state.ahead(0) if mask(left) != mask(reading)), None)
    due_ms = gauge.next_change_ms(state, reading, WINDOW, 0)
    assert due_ms == (None if changing is None else WINDOW.leaves_at(changing))
    assert gauge.headroom(reading) == 1


def test_values_may_be_missing() -> None:
    gauge = ValueGauge(Scale([(0, (("lt", 5.0),)), (1, (("gte", 5.0),))]), 0)
    assert (gauge.mask(None), gauge.mask(4.5), gauge.mask(5.0)) == (0, 1, 2)
    assert gauge.headroom(4.5) == 1
    state = Least()
    for pane, value in ((100, 1), (101, 2), (102, 7)):
        state.add(pane, value, (pane, "m", "s"))
    assert gauge.next_change_ms(state, 1.0, WINDOW, 0) == WINDOW.leaves_at(101)
    assert gauge.next_change_ms(state, 7.0, WINDOW, 102) == WINDOW.leaves_at(102)
    none = NoGauge()
    assert (none.mask(5), none.headroom(5), none.next_change_ms(state, 1.0, WINDOW, 0)) == (0, None, None)


NUMBERS = [
    0, 1, -1, 5.0, 0.1, 0.3, -2.5, 0.0000005, 0.0000015, 0.0000025, -0.0000005, 1e-7, 1.0000004999, 999_999_999.1234565,
    999_999_999.999999, 1e9, 1_000_000_000.1, -1e9, 123_456_789_012.3456785, 8_796_093_022_208.5, 999_999_999_999_999,
    999_999_999_999_999.9, 1e15, -1e15, 10**15, 10**15 - 1, -(10**15) + 1, -(10**15), 1e300, -1e300, 10**400, 5e-324,
]  # fmt: skip


@pytest.mark.parametrize("number", NUMBERS)
def test_a_number_is_its_shortest_decimal_text_to_six_places(number: int | float) -> None:
    text = Decimal(repr(number))
    wanted = int(text.quantize(Decimal("0.000001"), ROUND_HALF_EVEN).scaleb(6)) if abs(text) < 10**15 else None
    assert to_micros(number) == wanted
    if wanted is None:
        with pytest.raises(ValueError, match=r"is no bound of a sum$"):
            micros_bound(number)
    else:
        assert micros_bound(number) == wanted


def test_many_numbers_are_their_shortest_decimal_texts() -> None:
    chance = random.Random(1)  # noqa: S311
    for _ in range(5_000):
        number = chance.choice((chance.uniform(-100, 100), round(chance.uniform(-1e9, 1e9), chance.randrange(9))))
        wanted = int(Decimal(repr(number)).quantize(Decimal("0.000001"), ROUND_HALF_EVEN).scaleb(6))
        assert to_micros(number) == wanted


@pytest.mark.parametrize(
    ("micros", "number"), [(0, 0), (1_000_000, 1), (-2_000_000, -2), (500_000, 0.5), (1, 1e-06), (10**21, 10**15)]
)
def test_millionths_as_json(micros: int, number: int | float) -> None:
    assert from_micros(micros) == number
    assert type(from_micros(micros)) is type(number)


@pytest.mark.parametrize(
    ("micros", "count", "number"),
    [(6, 3, 2e-06), (1, 2, 0), (3, 2, 2e-06), (5, 2, 2e-06), (-1, 2, 0), (-3, 2, -2e-06), (2, 3, 1e-06), (1, 3, 0),
     (10_000_000, 4, 2.5), (10_000_000, 5, 2)],
)  # fmt: skip
def test_averages_are_rounded_half_even(micros: int, count: int, number: int | float) -> None:
    assert quotient(micros, count) == number


@pytest.mark.parametrize(
    ("value", "shown"), [(5.0, 5), (5.5, 5.5), (2.0**53, 2.0**53), (2.0**53 - 1, 2**53 - 1), (-(2.0**53), -(2.0**53))]
)
def test_doubles_as_json(value: float, shown: int | float) -> None:
    assert json_number(value) == shown
    assert type(json_number(value)) is type(shown)


def test_a_sum_beyond_64_bits_is_kept_as_text() -> None:
    for total in (2**63 - 1, -(2**63) + 1, 0):
        assert as_reading((total, 3)) == (total, 3)
    for total in (2**63, -(2**63), 10**30):
        assert as_reading((total, 3)) == (str(total), 3)
