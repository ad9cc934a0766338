"""The lake: every accepted event, kept for longer than the log keeps it, and what is counted over it.

All calls block, and are made from threads or processes of their own. Times are Unix milliseconds.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from audience.ports.event_log import KeptEvent
from audience.rules.tree import ComputedTrait, Node


class LakeUnavailable(Exception):
    """The lake's storage does not answer, or holds what cannot be read."""


class LakeTooSlow(Exception):
    """A question took longer than it was given, or needed more memory than it may have."""


class LogEntry(NamedTuple):
    """A record of the log as it lies there. `value` None is a tombstone."""

    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None


class Archive(Protocol):
    """What lies in the log, as accepted: each record once, whatever is killed and whoever else writes."""

    def positions(self, partitions: Iterable[int]) -> Mapping[int, int]:
        """For each of these partitions the offset of the next record to keep, 0 at first. Raises LakeUnavailable."""

    def append(self, entries: Sequence[LogEntry], complete_to_ms: int) -> int:
        """Keep the entries that are not kept yet, all or none; gives how many that were.

        `complete_to_ms`: with these, all that was in the log at this instant is kept. Raises LakeUnavailable.
        """


class Refined(NamedTuple):
    """What one step of refining did: events added, copies left out, records that are no events."""

    events: int
    copies: int
    unreadable: int


class Refinery(Protocol):
    """From the archive to one row for each event, and from there to daily aggregates."""

    def refine(self, most: int) -> Refined:
        """Take up to about `most` archived records further; all zero when there is nothing new."""

    def aggregate(self, *, everything: bool = False) -> int:
        """Count the days anew that have changed since, or all of them; gives how many days were."""


@dataclass(frozen=True, slots=True)
class History:
    """What happened to one profile, as far as a rule can ask for it, in the order of acceptance."""

    profile_id: str
    place: int
    """Profiles come in the order of their places, which are spread evenly over 0 … PLACES - 1."""
    events: Sequence[KeptEvent]


@dataclass(frozen=True, slots=True)
class Question:
    """Whose histories are wanted: those for whom `rule` may hold at `now_ms`.

    `segments` are the rules of the live segments that it refers to, directly or not; of others nothing is known.
    """

    workspace: str
    rule: Node
    now_ms: int
    segments: Mapping[str, Node] = field(default_factory=dict)
    computed_traits: Mapping[str, ComputedTrait] = field(default_factory=dict)


class Candidates(Protocol):
    """Every profile that a question may hold for, and possibly others."""

    @property
    def count(self) -> int | None:
        """How many there are; None where every profile is one, and they were not counted."""

    @property
    def complete_to_ms(self) -> int:
        """Every event accepted until then is in the lake."""

    @property
    def events(self) -> int:
        """How many events the lake holds, of all profiles."""

    def histories(self, first_place: int, end_place: int, deadline_s: float) -> Iterator[History]:
        """Those between two places. Raises LakeTooSlow past the deadline, LakeUnavailable."""


class LakeReader(Protocol):
    """Reads only. Every call raises LakeUnavailable."""

    def candidates(self, question: Question, deadline_s: float) -> AbstractContextManager[Candidates]:
        """Found before the deadline (of the monotonic clock); else everybody is one. One question at a time."""

    def events_of(self, workspace: str, profile_id: str, deadline_s: float) -> Sequence[KeptEvent]:
        """All events of a profile, in the order of acceptance."""


Row = Mapping[str, Any]
"""A row of an answer, by the names of its columns."""

PLACES = 1 << 63
