"""Durations and the panes that windows move in (rules.md, "Durations and windows"). Refuses what has no exact pane."""

import re
from typing import Final

SECOND_MS: Final = 1_000
MINUTE_MS: Final = 60 * SECOND_MS
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS
WEEK_MS: Final = 7 * DAY_MS

LONGEST_MS: Final = 730 * DAY_MS
"""The longest duration, and how far back history is kept."""

_UNIT_MS: Final = {"s": SECOND_MS, "m": MINUTE_MS, "h": HOUR_MS, "d": DAY_MS, "w": WEEK_MS}
_DURATION: Final = re.compile(r"([1-9][0-9]{0,8})([smhdw])")


class DurationError(ValueError):
    """The text is no duration; the message says what one is."""


def parse_duration(text: str) -> int:
    """Milliseconds of ``90s``, ``15m``, ``24h``, ``30d`` or ``52w``. Raises DurationError."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise DurationError(f"{text!r} is no duration: a whole number from 1 on and one of s, m, h, d, w, such as 30d")
    duration_ms = int(match[1]) * _UNIT_MS[match[2]]
    if not SECOND_MS <= duration_ms <= LONGEST_MS:
        raise DurationError(f"{text!r} is not between 1s and 730d")
    step_ms = step_of(duration_ms)
    if duration_ms % step_ms:
        raise DurationError(f"{text!r} is no multiple of {format_duration(step_ms)}, the step of windows of its length")
    return duration_ms


def step_of(duration_ms: int) -> int:
    """The step in which a window of this length moves, in milliseconds."""
    if duration_ms <= HOUR_MS:
        return SECOND_MS
    if duration_ms <= DAY_MS:
        return MINUTE_MS
    if duration_ms <= 31 * DAY_MS:
        return HOUR_MS
    return DAY_MS


def format_duration(duration_ms: int) -> str:
    """The shortest text of a duration: 86,400,000 is ``1d``."""
    for unit in ("d", "h", "m"):
        if duration_ms % _UNIT_MS[unit] == 0:
            return f"{duration_ms // _UNIT_MS[unit]}{unit}"
    return f"{duration_ms // SECOND_MS}s"
