"""Ids of people that are not their profile's own: addresses, groups, what an application's own systems call them."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class SeenId(NamedTuple):
    """An event of a profile came with this id."""

    workspace: str
    type: str
    value: str
    profile_id: str
    received_ms: int


class ExternalIds(Protocol):
    """The profile that came with an id last. Raises StoreUnavailable."""

    async def put_many(self, profiles: Sequence[SeenId]) -> int:
        """Keep each that is not older than what is kept of its id; gives how many were written.

        Raises RecordRefused where the store will never take one of them.
        """

    async def profile_of(self, workspace: str, kind: str, value: str) -> str | None:
        """The profile's id; None where no event came with this one."""
