"""Reading the times that SDKs send, and correcting them for the client's clock (segment-protocol, rule 9).

A time is an ISO 8601 date or date-time; RFC 3339 is the usual form. Without an offset it is UTC, a date is its
midnight, and digits beyond the millisecond are cut off. Refuses everything else: numbers, words, year 0.
"""

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SPELLING: Final = re.compile(
    r"\d{4}-?\d\d-?\d\d(?:[Tt ]\d\d:?\d\d(?::?\d\d(?:[.,]\d+)?)?(?:[Zz]|[+-]\d\d(?::?\d\d)?)?)?", re.ASCII
)
"""`datetime.fromisoformat` takes more than ISO 8601, and more with each version of Python."""

FIRST_MS: Final = -62_135_596_800_000
"""Midnight of 0001-01-01. The stores and the jobs hold times as dates, and have none before it."""


def parse_ms(text: str) -> int:
    """The Unix milliseconds of an ISO 8601 date or date-time. Raises ValueError."""
    # What every SDK sends, as 2026-01-31T12:00:00.123Z; minutes recur, so this takes a third of the time.
    if len(text) == 24 and text[23] == "Z" and text[19] == "." and text[16] == ":":
        second, ms = text[17:19], text[20:23]
        if second < "60" and second.isdecimal() and ms.isdecimal() and text.isascii():
            return _minute_ms(text[:16]) + int(second) * 1_000 + int(ms)
    return _any_ms(text)


@lru_cache(maxsize=4_096)
def _minute_ms(text: str) -> int:
    """As `parse_ms`, of a minute: 2026-01-31T12:00."""
    return _any_ms(f"{text}:00Z")


def _any_ms(text: str) -> int:
    if _SPELLING.fullmatch(text) is None:
        raise ValueError("no ISO 8601 date or date-time")
    moment = datetime.fromisoformat(text if text[-1] != "z" else text.upper())
    since = (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)) - _EPOCH
    # timedelta keeps microseconds in 0 … 999,999, so this cuts digits off before 1970 as well.
    return since.days * 86_400_000 + since.seconds * 1_000 + since.microseconds // 1_000


def corrected_ms(incoming_ms: int | None, sent_ms: int | None, received_ms: int) -> int:
    """When the event happened by our clock: `received - (sent - incoming)`, never later than `received_ms`.

    `incoming_ms` is the event's time by the client's clock, `sent_ms` the time of sending by the same clock.
    """
    if incoming_ms is None:
        return received_ms
    if sent_ms is not None:
        incoming_ms += received_ms - sent_ms
    return incoming_ms if incoming_ms < received_ms else received_ms  # min() takes twice as long
