"""Where profiles and memberships are kept for reading.

Writers give absolute, versioned profiles and a store keeps the one with the greatest version, so that a batch may be
written twice, late, or out of order with the same result. Every call carries the workspace.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from audience.profiles.model import Membership, Profile


class StoreUnavailable(Exception):
    """The store cannot be reached, or did not answer in time. Nothing is known about what was in flight."""


class RecordRefused(Exception):
    """The store will never take one of the records given: too large, or a value that it cannot hold.

    Trying again does not help. A writer that must go on writes the batch in parts, and sets aside what is left.
    """


class ProfileStore(Protocol):
    """Profiles by id: the hot path of the segment API. Contract: tests/integration/contracts/profile_store.py."""

    async def get_many(self, workspace: str, profile_ids: Sequence[str]) -> Mapping[str, Profile]:
        """The profiles that are known, by id; an unknown one is left out, and one that was forgotten.

        Raises StoreUnavailable.
        """

    async def memberships(self, workspace: str, profile_ids: Sequence[str]) -> Mapping[str, tuple[Membership, ...]]:
        """The memberships alone: the hottest read. An unknown id is left out; who was forgotten has none.

        Raises StoreUnavailable.
        """

    async def put_many(self, profiles: Sequence[Profile]) -> int:
        """Keep each profile whose version is greater than the stored one; gives how many profiles were written.

        A batch may hold several versions of a profile. Raises StoreUnavailable; then any part may have been written.
        Raises RecordRefused; then any other part may have been written.
        """

    async def rewrite(self, profiles: Sequence[Profile]) -> int:
        """As `put_many`, and also where the stored version is the same: to mend what is not as it was written."""

    async def check(self) -> None:
        """Return when the store answers; raise StoreUnavailable otherwise."""


class MembershipIndex(Protocol):
    """Memberships by segment: sizes now, members, changes and overlaps later."""

    async def put_many(self, profiles: Sequence[Profile]) -> int:
        """Make the index agree with each profile that is newer than what it has seen; gives how many were.

        Raises StoreUnavailable, RecordRefused; a batch is applied whole or not at all.
        """

    async def rewrite(self, profiles: Sequence[Profile]) -> int:
        """As `put_many`, and also where the version is the same: every membership of each profile is made right.

        Tells of no changes: what is mended had been told of.
        """

    async def held(
        self, workspace: str, profile_ids: Sequence[str]
    ) -> Mapping[str, tuple[int, tuple[Membership, ...]]]:
        """The version and the memberships that the index has of each profile that it knows. Raises StoreUnavailable."""

    async def recount(self, workspace: str, segment: str) -> int:
        """Make the members those that the profiles have, and count the size anew; gives how many rows were wrong.

        Reads every profile. Raises StoreUnavailable.
        """

    async def counted(self, workspace: str) -> Mapping[str, int]:
        """Each segment's members, counted one by one: what `sizes` must be. Slow. Raises StoreUnavailable."""

    async def sizes(self, workspace: str) -> Mapping[str, int]:
        """The number of members of each segment that has any. Raises StoreUnavailable."""

    async def size(self, workspace: str, segment: str) -> int:
        """The number of members of one segment. Raises StoreUnavailable."""

    async def forget_segment(self, workspace: str, segment: str) -> int:
        """Remove every membership of a segment that was deleted; gives how many there were.

        In small steps, each of which stays when a later one fails. Raises StoreUnavailable.
        """

    async def check(self) -> None:
        """Return when the index answers; raise StoreUnavailable otherwise."""
