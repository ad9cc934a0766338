"""How far the platform's consumers are behind, by consumer group."""

from collections.abc import Mapping
from typing import Final

GROUPS: Final = ("rule-evaluation", "projection.profile-store", "projection.membership-index", "archive")


class LagUnknown(Exception):
    """Kafka does not tell."""


def by_group(bootstrap: str) -> Mapping[str, int | None]:
    """The records that each group has yet to read; None for one that has read nothing so far. Raises LagUnknown."""
    # Here, and not above: the driver is slow to load, and most commands do without it.
    from audience.adapters.kafka.admin import lag
    from audience.ports.event_log import EventLogUnavailable

    try:
        found = lag(bootstrap, GROUPS)
    except EventLogUnavailable as error:
        raise LagUnknown(str(error)) from error
    return {group: found.get(group) for group in GROUPS}


def total(bootstrap: str) -> int | None:
    """Of all groups together; None while one of them has read nothing, or Kafka does not tell."""
    try:
        found = by_group(bootstrap).values()
    except LagUnknown:
        return None
    return None if None in found else sum(each or 0 for each in found)
