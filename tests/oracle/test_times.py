"""Durations, panes and dates, worked out by hand."""

import pytest

from tests.oracle.times import DAY_MS, HOUR_MS, MINUTE_MS, date_ms, duration_ms, in_window, leaves_window_ms, step_ms


@pytest.mark.parametrize(
    ("text", "length_ms"),
    [
        ("90s", 90_000),
        ("15m", 900_000),
        ("24h", 86_400_000),
        ("30d", 2_592_000_000),
        ("52w", 31_449_600_000),
        ("1s", 1_000),
        ("730d", 63_072_000_000),
    ],
)
def test_durations_of_the_contract(text: str, length_ms: int) -> None:
    assert duration_ms(text) == length_ms


@pytest.mark.parametrize(
    "text", ["", "s", "0s", "731d", "105w", "3601s", "61", "1.5h", "٣d", " 1d", "1d ", "01d", "1D"]
)
def test_durations_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="is not"):
        duration_ms(text)


@pytest.mark.parametrize(
    ("length_ms", "step"),
    [
        (1_000, 1_000),
        (HOUR_MS, 1_000),
        (HOUR_MS + 1_000, MINUTE_MS),
        (24 * HOUR_MS, MINUTE_MS),
        (24 * HOUR_MS + MINUTE_MS, HOUR_MS),
        (31 * DAY_MS, HOUR_MS),
        (31 * DAY_MS + HOUR_MS, DAY_MS),
        (730 * DAY_MS, DAY_MS),
    ],
)
def test_steps(length_ms: int, step: int) -> None:
    assert step_ms(length_ms) == step


def test_a_window_of_ten_seconds() -> None:
    # T = 100.500 s lies in pane 100; the window begins with pane 90, at 90.000 s.
    assert in_window(90_000, 100_500, "10s")
    assert not in_window(89_999, 100_500, "10s")
    assert in_window(100_500, 100_500, "10s")
    assert not in_window(100_501, 100_500, "10s")


def test_a_window_before_1970() -> None:
    # Panes are floors: -1 ms lies in pane -1, which leaves a 10 s window when pane 10 begins.
    assert in_window(-1, 9_999, "10s")
    assert not in_window(-1, 10_000, "10s")
    assert leaves_window_ms(-1, "10s") == 10_000


def test_all_time() -> None:
    assert in_window(-(10**15), 0, None)
    assert not in_window(1, 0, None)


@pytest.mark.parametrize("within", ["1s", "3599s", "1h", "61m", "24h", "25h", "31d", "32d", "730d"])
@pytest.mark.parametrize("time_ms", [0, 1, -1, 1_772_368_496_789, 1_772_323_200_000, 1_772_323_199_999])
def test_an_event_counts_for_at_least_its_window_and_for_less_than_a_step_more(within: str, time_ms: int) -> None:
    leaves_ms = leaves_window_ms(time_ms, within)
    assert in_window(time_ms, leaves_ms - 1, within)
    assert not in_window(time_ms, leaves_ms, within)
    length_ms = duration_ms(within)
    assert length_ms < leaves_ms - time_ms <= length_ms + step_ms(length_ms)
    assert in_window(time_ms, time_ms + length_ms, within)
    assert not in_window(time_ms, time_ms + length_ms + step_ms(length_ms), within)


@pytest.mark.parametrize(
    ("text", "instant_ms"),
    [
        ("1970-01-01", 0),
        ("1970-01-02T00:00:00Z", DAY_MS),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1969-12-31T18:30:00.001-05:30", 1),
        ("1970-01-01T00:00:00.1239Z", 123),
        ("1970-01-01T00:00:00.1Z", 100),
        ("1969-12-31T23:59:59.9999Z", -1),
        ("2000-02-29", 951_782_400_000),
        ("0001-01-01T00:00:00+00:01", -62_135_596_800_000 - 60_000),
        ("9999-12-31T23:59:59.999Z", 253_402_300_799_999),
        ("1970-01-01t00:00:00z", 0),
    ],
)
def test_dates(text: str, instant_ms: int) -> None:
    assert date_ms(text) == instant_ms


@pytest.mark.parametrize(
    "text", ["", "1900-02-29", "1970-01-01T", "1970-01-01T00:00:00", "1970-01-01Z", 0, None, True, []]
)
def test_dates_that_are_none(text: object) -> None:
    assert date_ms(text) is None
