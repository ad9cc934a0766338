"""Durations, windows in panes, and dates.

It refuses every spelling but the contract's: `duration_ms` raises `ValueError`, `date_ms` gives None.
"""

import re
from datetime import datetime
from functools import cache

SECOND_MS = 1000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

SHORTEST_MS = SECOND_MS
LONGEST_MS = 730 * DAY_MS

_UNITS_MS = {"s": SECOND_MS, "m": MINUTE_MS, "h": HOUR_MS, "d": DAY_MS, "w": 7 * DAY_MS}
_DURATION = re.compile(r"([1-9][0-9]{0,11})([smhdw])")
_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_CLOCK = re.compile(r"[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]+))?")
_OFFSET = re.compile(r"[Zz]|([+-])([0-9]{2}):([0-9]{2})")
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - only ever subtracted from another naive one, both meaning UTC


def step_ms(length_ms: int) -> int:
    """How far a window of this length moves at a time."""
    if length_ms <= HOUR_MS:
        return SECOND_MS
    if length_ms <= 24 * HOUR_MS:
        return MINUTE_MS
    if length_ms <= 31 * DAY_MS:
        return HOUR_MS
    return DAY_MS


@cache
def duration_ms(text: str) -> int:
    """The length of `30d` and its like. ValueError: not a duration, out of range, or no multiple of its step."""
    parts = _DURATION.fullmatch(text)
    if parts is None:
        raise ValueError(f"{text!r} is not a whole number and one of s, m, h, d, w")
    length_ms = int(parts[1]) * _UNITS_MS[parts[2]]
    if not SHORTEST_MS <= length_ms <= LONGEST_MS:
        raise ValueError(f"{text!r} is not from 1 s to 730 d")
    if length_ms % step_ms(length_ms) != 0:
        raise ValueError(f"{text!r} is not a multiple of its step")
    return length_ms


def in_window(time_ms: int, now_ms: int, within: str | None) -> bool:
    """Whether an event at `time_ms` lies in the window at `now_ms`; `within` None is all time."""
    if time_ms > now_ms:
        return False
    if within is None:
        return True
    length_ms = duration_ms(within)
    step = step_ms(length_ms)
    pane_of_now = now_ms // step
    pane_of_event = time_ms // step
    return pane_of_now - length_ms // step <= pane_of_event


def leaves_window_ms(time_ms: int, within: str) -> int:
    """The first instant at which an event at `time_ms` is in the window no more."""
    length_ms = duration_ms(within)
    step = step_ms(length_ms)
    return (time_ms // step + length_ms // step + 1) * step


def date_ms(text: object) -> int | None:
    """The instant that an RFC 3339 date (its midnight UTC) or date-time names; None when it is neither.

    Fractions of a second are cut to milliseconds. The clock ends at 23:59:59, the years start at 0001.
    """
    if not isinstance(text, str):
        return None
    date = _DATE.match(text)
    if date is None:
        return None
    try:
        midnight = datetime(int(date[1]), int(date[2]), int(date[3]))  # noqa: DTZ001 - see _EPOCH
    except ValueError:
        return None
    midnight_ms = (midnight - _EPOCH).days * DAY_MS
    if date.end() == len(text):
        return midnight_ms
    clock = _CLOCK.match(text, date.end())
    if clock is None:
        return None
    offset = _OFFSET.fullmatch(text, clock.end())
    if offset is None:
        return None
    hour, minute, second = int(clock[1]), int(clock[2]), int(clock[3])
    offset_hour, offset_minute = int(offset[2] or 0), int(offset[3] or 0)
    if hour > 23 or minute > 59 or second > 59 or offset_hour > 23 or offset_minute > 59:
        return None
    fraction_ms = int(((clock[4] or "") + "000")[:3])
    ahead_of_utc_ms = (offset_hour * HOUR_MS + offset_minute * MINUTE_MS) * (-1 if offset[1] == "-" else 1)
    clock_ms = hour * HOUR_MS + minute * MINUTE_MS + second * SECOND_MS + fraction_ms
    return midnight_ms + clock_ms - ahead_of_utc_ms
