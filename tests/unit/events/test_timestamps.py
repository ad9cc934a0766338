"""Reading times, and rule 9 of the protocol, to the millisecond."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audience.events.timestamps import FIRST_MS, _any_ms, corrected_ms, parse_ms

NOON_MS = 1_767_268_800_000  # 2026-01-01T12:00:00Z


@pytest.mark.parametrize(
    ("text", "expected_ms"),
    [
        ("2026-01-01T12:00:00.000Z", NOON_MS),
        ("2026-01-01T12:00:00Z", NOON_MS),
        ("2026-01-01T12:00Z", NOON_MS),
        ("2026-01-01T12:00:00", NOON_MS),  # no offset is UTC
        ("2026-01-01", NOON_MS - 12 * 3_600_000),
        ("2026-01-01T12:00:00.123Z", NOON_MS + 123),
        ("2026-01-01T12:00:00.123456+00:00", NOON_MS + 123),
        ("2026-01-01T12:00:00.123999999Z", NOON_MS + 123),  # cut, not rounded
        ("2026-01-01T12:00:00,123Z", NOON_MS + 123),
        ("2026-01-01T12:00:00.1Z", NOON_MS + 100),
        ("2026-01-01T13:30:00+01:30", NOON_MS),
        ("2026-01-01T07:00:00-0500", NOON_MS),
        ("2026-01-01t12:00:00z", NOON_MS),
        ("2026-01-01T12:00:00z", NOON_MS),
        ("2026-01-01 12:00:00Z", NOON_MS),
        ("20260101T120000Z", NOON_MS),
        ("1969-12-31T23:59:59.999999Z", -1),  # cut towards the past, as digits are
        ("0001-01-01T00:00:00Z", FIRST_MS),
        ("9999-12-31T23:59:59.999Z", 253_402_300_799_999),
        ("0001-01-01T00:00:00+14:00", FIRST_MS - 14 * 3_600_000),  # no overflow at the edge
    ],
)
def test_readable_times(text: str, expected_ms: int) -> None:
    assert parse_ms(text) == expected_ms


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "now",
        "yesterday",
        "1767268800",
        "1767268800000",
        "2026-13-01T00:00:00Z",
        "2026-02-30",
        "2026-01-01T25:00:00Z",
        "2026-01-01T12:00:00.Z",
        "2026-01-01x12:00:00Z",
        "2026-01-01\u00a012:00:00Z",
        "0000-01-01T00:00:00Z",
        "10000-01-01T00:00:00Z",
        "2026-01-01T12:00:00Z ",
        "Thu, 01 Jan 2026 12:00:00 GMT",
        "01/01/2026",
        "\u0662026-01-01T12:00:00Z",
        "2026-01-01T12:00:00+24:00",
        "2026-01-01T12:00:00\0",
        "T" * 1000,
    ],
)
def test_unreadable_times(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        parse_ms(text)


moments = st.datetimes(
    min_value=datetime(1, 1, 3),  # noqa: DTZ001  Hypothesis adds the zone
    max_value=datetime(9999, 12, 29),  # noqa: DTZ001
    timezones=st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes))),
)


@settings(deadline=None)
@given(moments, st.sampled_from(["auto", "milliseconds", "microseconds"]))
def test_any_moment_is_read_exactly(moment: datetime, precision: str) -> None:
    exact_us = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    assert parse_ms(moment.isoformat(timespec=precision)) == exact_us // 1000


@pytest.mark.parametrize(
    ("incoming_ms", "sent_ms", "received_ms", "expected_ms"),
    [
        (None, None, 5_000, 5_000),  # no time at all
        (None, 4_000, 5_000, 5_000),  # sentAt alone says nothing
        (3_000, None, 5_000, 3_000),  # no sentAt: the incoming time stands
        (9_000, None, 5_000, 5_000),  # never later than received
        (1_000, 4_000, 5_000, 2_000),  # the clock is a second behind
        (11_000, 14_000, 5_000, 2_000),  # the clock is ahead
        (14_001, 14_000, 5_000, 5_000),  # happened after it was sent: clipped
        (14_000, 14_000, 5_000, 5_000),
        (-10, 0, 5_000, 4_990),
    ],
)
def test_rule_9(incoming_ms: int | None, sent_ms: int | None, received_ms: int, expected_ms: int) -> None:
    assert corrected_ms(incoming_ms, sent_ms, received_ms) == expected_ms


times = st.integers(-(10**14), 10**14)


@settings(deadline=None)
@given(times, times, times, st.integers(-(10**12), 10**12))
def test_the_clients_clock_does_not_matter(incoming: int, sent: int, received: int, skew: int) -> None:
    time = corrected_ms(incoming, sent, received)
    assert time == corrected_ms(incoming + skew, sent + skew, received)
    assert time <= received
    assert time == received - max(0, sent - incoming)


_PIECES = st.sampled_from([*"0123456789-:TtZz.+ \u0663", "2026-01-31T12:00", ":59.", ":60.", "123Z"])


@settings(max_examples=300)
@given(st.lists(_PIECES, min_size=1, max_size=24).map(lambda pieces: "".join(pieces)[:24]))
def test_the_usual_form_is_read_as_every_other(text: str) -> None:
    def outcome(read: Callable[[str], int]) -> int | None:
        try:
            return read(text)
        except ValueError:
            return None

    assert outcome(parse_ms) == outcome(_any_ms)


def test_the_usual_form_at_its_edges() -> None:
    for second in range(70):
        text = f"2026-01-31T12:00:{second:02d}.999Z"
        if second < 60:
            assert parse_ms(text) == _any_ms(text)
        else:
            with pytest.raises(ValueError, match=r"ISO 8601|second"):
                parse_ms(text)
