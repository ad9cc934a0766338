"""The log between the services and the jobs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from audience.events.model import Event


class EventLogUnavailable(Exception):
    """The log did not take the records in time. Any part of them may have been written."""


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One record to append: `value` None is a tombstone."""

    topic: str
    key: str
    value: bytes | None


class EventLog(Protocol):
    """Appends records durably: when `append` returns, every in-sync replica has them (`acks=all`)."""

    async def append(self, records: Sequence[LogRecord]) -> None:
        """Append all; records with one key keep their order. Raises EventLogUnavailable."""

    async def check(self) -> None:
        """Return when the log answers; raise EventLogUnavailable otherwise."""


class KeptEvent(Event, Protocol):
    """An accepted event with the ids that it came with."""

    @property
    def user_id(self) -> str | None: ...
    @property
    def anonymous_id(self) -> str | None: ...
    @property
    def group_id(self) -> str | None: ...


class EventHistory(Protocol):
    """The accepted events of one profile, as far back as they are kept."""

    async def events_of(self, workspace: str, profile_id: str) -> Iterable[KeptEvent]:
        """In the order of acceptance. Raises EventLogUnavailable, also when it takes longer than its time limit."""
