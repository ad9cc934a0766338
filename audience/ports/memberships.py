"""Memberships as readers want them: members, changes, sizes over time, overlaps. One source of truth with the sizes of
`audience.ports.stores.MembershipIndex`, so that they agree. Every call raises StoreUnavailable.
"""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import NamedTuple, Protocol


class Member(NamedTuple):
    """A profile that is in a segment, and since when."""

    profile_id: str
    since_ms: int


class Change(NamedTuple):
    """A profile entered or exited a segment. Within a segment `seq` grows, and is never given twice."""

    seq: int
    profile_id: str
    entered: bool
    at_ms: int
    version: int


class Sample(NamedTuple):
    """A segment's size at an instant."""

    at_ms: int
    size: int


@dataclass(frozen=True, slots=True)
class Overlap:
    """What several segments have in common: `intersections` of every two and more of them."""

    sizes: Mapping[str, int]
    intersections: Mapping[tuple[str, ...], int]
    union: int


class ChangesForgotten(Exception):
    """Changes behind the one asked for are older than changes are kept, so some of them are gone."""


class MembershipReads(Protocol):
    """Reads by segment. None of them knows whether a segment is evaluated; the catalog does."""

    async def members(self, workspace: str, segment: str, after: str | None, limit: int) -> Sequence[Member]:
        """Up to `limit` members in the order of their ids' bytes, behind `after`."""

    def all_members(self, workspace: str, segment: str) -> AbstractAsyncContextManager[AsyncIterator[Sequence[Member]]]:
        """Every member as of the block's beginning, in batches. The store must be read on within seconds."""

    async def changes(self, workspace: str, segment: str, after: int, limit: int) -> Sequence[Change]:
        """Up to `limit` changes behind the number `after`; from 0 on whatever is kept. Raises ChangesForgotten."""

    async def last_changes(self, segments: Collection[tuple[str, str]]) -> Mapping[tuple[str, str], int]:
        """The number of the last change of each (workspace, segment) that has any."""

    async def overlap(self, workspace: str, segments: Sequence[str]) -> Overlap:
        """What they have in common, all as of one instant. Exact."""


class SizeHistory(Protocol):
    """Sizes as they were."""

    async def sample(self, at_ms: int) -> int:
        """Keep the sizes of all evaluated segments as of this minute where they moved, or an hour began.

        Gives how many were kept. Any process may do it, again too.
        """

    async def thin(self, now_ms: int) -> None:
        """Forget samples between those that are kept for their age, and changes past their age."""

    async def history(self, workspace: str, segment: str, from_ms: int, to_ms: int) -> Sequence[Sample]:
        """The samples of a time, oldest first, both ends included."""
