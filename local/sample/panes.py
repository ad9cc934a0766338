"""When a window begins: docs/rules.md, "Durations and windows", in a few lines of its own.

Shares nothing with the engine, whose answers it checks.
"""

from typing import Final

SECOND_MS: Final = 1000
MINUTE_MS: Final = 60 * SECOND_MS
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS


def step_ms(duration_ms: int) -> int:
    """The step in which a window of this length moves."""
    if duration_ms <= HOUR_MS:
        return SECOND_MS
    if duration_ms <= DAY_MS:
        return MINUTE_MS
    if duration_ms <= 31 * DAY_MS:
        return HOUR_MS
    return DAY_MS


def window_start_ms(now_ms: int, duration_ms: int) -> int:
    """The earliest time that lies in the window at `now_ms`: the event of pane(t) counts from pane(T) - D/step on."""
    step = step_ms(duration_ms)
    return (now_ms // step) * step - duration_ms
