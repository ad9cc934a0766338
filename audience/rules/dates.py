"""RFC 3339 dates and date-times as Unix milliseconds (rules.md, "Operators of a test")."""

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DATE: Final = re.compile(r"(\d{4})-(\d{2})-(\d{2})", re.ASCII)
_DATE_TIME: Final = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt](\d{2}:\d{2}:\d{2})(?:\.(\d+))?(?:([Zz])|([+-])(\d{2}):(\d{2}))", re.ASCII
)


def parse_date_ms(text: str) -> int | None:
    """Milliseconds since 1970 of a date (its midnight UTC) or a date-time with an offset; None where it is neither.

    Fractions of a second are cut to milliseconds. There are no leap seconds, and no year 0.
    """
    match = _DATE_TIME.fullmatch(text)
    try:
        if match is None:
            return _ms(datetime.combine(date.fromisoformat(text), time.min, UTC)) if _DATE.fullmatch(text) else None
        day, clock, fraction, _, sign, offset_hours, offset_minutes = match.groups()
        at_ms = _ms(datetime.fromisoformat(f"{day}T{clock}+00:00")) + int((fraction or "0").ljust(3, "0")[:3])
    except ValueError:
        return None
    if sign is None:
        return at_ms
    if int(offset_hours) > 23 or int(offset_minutes) > 59:
        return None
    offset_ms = (int(offset_hours) * 60 + int(offset_minutes)) * 60_000
    return at_ms - offset_ms if sign == "+" else at_ms + offset_ms


def _ms(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def format_ms(at_ms: int) -> str:
    """RFC 3339 in UTC with milliseconds, as all of the platform's JSON has it."""
    moment = _EPOCH + timedelta(milliseconds=at_ms)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
