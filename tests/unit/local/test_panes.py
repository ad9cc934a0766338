"""Window arithmetic of the sample's proof, against the definition in the rules of the language."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.sample.panes import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, step_ms, window_start_ms


@pytest.mark.parametrize(
    ("duration", "step"),
    [
        (SECOND_MS, SECOND_MS),
        (HOUR_MS, SECOND_MS),
        (HOUR_MS + MINUTE_MS, MINUTE_MS),
        (24 * HOUR_MS, MINUTE_MS),
        (25 * HOUR_MS, HOUR_MS),
        (31 * DAY_MS, HOUR_MS),
        (32 * DAY_MS, DAY_MS),
        (730 * DAY_MS, DAY_MS),
    ],
)
def test_the_step_of_a_duration(duration: int, step: int) -> None:
    assert step_ms(duration) == step


def test_a_window_of_30_days_moves_at_the_full_hour() -> None:
    noon = 1_780_000_000_000 // DAY_MS * DAY_MS + 12 * HOUR_MS
    assert window_start_ms(noon + HOUR_MS - 1, 30 * DAY_MS) == noon - 30 * DAY_MS
    assert window_start_ms(noon + HOUR_MS, 30 * DAY_MS) == noon + HOUR_MS - 30 * DAY_MS


@given(
    now=st.integers(1_700_000_000_000, 1_900_000_000_000),
    days=st.sampled_from([30, 180, 365, 540]),
    near=st.integers(-2 * DAY_MS, 2 * DAY_MS),
)
def test_it_is_the_rule_of_the_panes(now: int, days: int, near: int) -> None:
    duration = days * DAY_MS
    step = step_ms(duration)
    at = now - duration + near
    by_definition = now // step - duration // step <= at // step
    assert (at >= window_start_ms(now, duration)) == by_definition
