"""Reads of the membership index by segment: members, changes, what segments have in common."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

from audience.adapters.postgres.overlaps import Bitmaps
from audience.adapters.postgres.pool import Connection, Pool
from audience.ports.memberships import Change, ChangesForgotten, Member, Overlap

_BATCH: Final = 10_000
_MEMBERS: Final = """
    SELECT profile_id, since_ms FROM memberships
    WHERE workspace = $1 AND segment_key = $2 AND profile_id > $3 ORDER BY profile_id LIMIT $4
"""
_FIRST_MEMBERS: Final = """
    SELECT profile_id, since_ms FROM memberships
    WHERE workspace = $1 AND segment_key = $2 ORDER BY profile_id LIMIT $3
"""
_ALL_MEMBERS: Final = """
    SELECT profile_id, since_ms FROM memberships WHERE workspace = $1 AND segment_key = $2 ORDER BY profile_id
"""
_CHANGES: Final = """
    SELECT seq, profile_id, entered, at_ms, segment_version FROM membership_changes
    WHERE workspace = $1 AND segment_key = $2 AND seq > $3 ORDER BY seq LIMIT $4
"""
_LAST_CHANGES: Final = """
    SELECT asked.workspace, asked.segment_key, found.seq
    FROM unnest($1::text[], $2::text[]) AS asked (workspace, segment_key) CROSS JOIN LATERAL (
        SELECT seq FROM membership_changes AS stored
        WHERE stored.workspace = asked.workspace AND stored.segment_key = asked.segment_key
        ORDER BY seq DESC LIMIT 1
    ) AS found
"""


class PostgresMembershipReads:
    """Implements `audience.ports.memberships.MembershipReads`. `exports` is a pool that only long reads wait for."""

    def __init__(self, pool: Pool, exports: Pool) -> None:
        self._pool = pool
        self._exports = exports
        self._bitmaps = Bitmaps(pool)

    async def members(self, workspace: str, segment: str, after: str | None, limit: int) -> Sequence[Member]:
        """Up to `limit` members in the order of their ids' bytes, behind `after`."""
        if after is None:
            rows = await self._pool.fetch(_FIRST_MEMBERS, workspace, segment, limit)
        else:
            rows = await self._pool.fetch(_MEMBERS, workspace, segment, after.encode(), limit)
        return [Member(profile_id.decode(), since_ms) for profile_id, since_ms in rows]

    @asynccontextmanager
    async def all_members(self, workspace: str, segment: str) -> AsyncIterator[AsyncIterator[Sequence[Member]]]:
        """Every member as of the block's beginning, in batches."""
        async with self._exports.transaction(isolation="repeatable_read") as connection:
            yield _batches(connection, workspace, segment)

    async def changes(self, workspace: str, segment: str, after: int, limit: int) -> Sequence[Change]:
        """Up to `limit` changes behind the number `after`; from 0 on whatever is kept. Raises ChangesForgotten."""
        rows = await self._pool.fetch(_CHANGES, workspace, segment, after, limit)
        if after and await self._forgotten(workspace, segment) > after:  # asked last: it only grows
            raise ChangesForgotten
        return [Change(seq, profile_id.decode(), *rest) for seq, profile_id, *rest in rows]

    async def last_changes(self, segments: Collection[tuple[str, str]]) -> Mapping[tuple[str, str], int]:
        """The number of the last change of each (workspace, segment) that has any."""
        workspaces, keys = [workspace for workspace, _ in segments], [key for _, key in segments]
        rows = await self._pool.fetch(_LAST_CHANGES, workspaces, keys)
        return {(workspace, key): seq for workspace, key, seq in rows}

    async def overlap(self, workspace: str, segments: Sequence[str]) -> Overlap:
        """What they have in common, all as of one instant. Exact."""
        return await self._bitmaps.overlap(workspace, segments)

    async def _forgotten(self, workspace: str, segment: str) -> int:
        found: int | None = await self._pool.fetchval(
            "SELECT forgotten_seq FROM segment_sizes WHERE workspace = $1 AND segment_key = $2", workspace, segment
        )
        return found or 0


async def _batches(connection: Connection, workspace: str, segment: str) -> AsyncIterator[Sequence[Member]]:
    cursor = await connection.cursor(_ALL_MEMBERS, workspace, segment)
    while rows := await cursor.fetch(_BATCH):
        yield [Member(profile_id.decode(), since_ms) for profile_id, since_ms in rows]
