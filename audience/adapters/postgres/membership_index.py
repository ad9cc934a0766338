"""Memberships by segment, and each segment's size, kept in one transaction with the version of the profile they are of.

`membership_versions` holds what the index has of each profile, so that a new version touches only the memberships that
changed; most change none. A size is the number of rows of `memberships`, kept as a counter because counting a million
rows takes a tenth of a second: it moves by the rows that the same statement inserted and deleted, never by what a
caller believes, so it cannot drift. Locks are taken in one order (profiles, memberships, sizes; each sorted), and
sizes last, since their rows are the ones that all writers share.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random

from audience.adapters import documents
from audience.adapters.postgres.pool import Connection, Pool, row_count
from audience.ports.stores import StoreUnavailable
from audience.profiles.model import Profile

_FORGET_STEP: Final = 1_000
_RACE_ATTEMPTS: Final = 5

# Every statement finds its rows by a primary key, once for each row given: by ON CONFLICT, or by LATERAL with LIMIT.
# As joins, on tables that had not been analyzed yet, they read whole tables, and a batch of 500 took seconds.
_LOCK: Final = """
    SELECT found.* FROM unnest($2::bytea[]) AS asked (profile_id) CROSS JOIN LATERAL (
        SELECT profile_id, version, memberships FROM membership_versions AS stored
        WHERE stored.workspace = $1 AND stored.profile_id = asked.profile_id
        LIMIT 1 FOR NO KEY UPDATE
    ) AS found
"""
_INSERT: Final = """
    INSERT INTO membership_versions (workspace, profile_id, version, memberships)
    SELECT $1, given.* FROM unnest($2::bytea[], $3::bigint[], $4::bytea[]) AS given
    ON CONFLICT DO NOTHING
"""
_UPDATE: Final = """
    INSERT INTO membership_versions (workspace, profile_id, version, memberships)
    SELECT $1, given.* FROM unnest($2::bytea[], $3::bigint[], $4::bytea[]) AS given
    ON CONFLICT (workspace, profile_id) DO UPDATE
    SET version = excluded.version, memberships = excluded.memberships
"""
_CHANGE: Final = """
    WITH exited AS (
        DELETE FROM memberships WHERE ctid = ANY(ARRAY(
            SELECT found.ctid
            FROM unnest($2::text[], $3::bytea[]) AS given (segment_key, profile_id) CROSS JOIN LATERAL (
                SELECT ctid FROM memberships AS stored
                WHERE stored.workspace = $1 AND stored.segment_key = given.segment_key
                  AND stored.profile_id = given.profile_id LIMIT 1
            ) AS found
        ))
        RETURNING segment_key
    ), entered AS (
        INSERT INTO memberships (workspace, segment_key, profile_id, since_ms)
        SELECT $1, given.* FROM unnest($4::text[], $5::bytea[], $6::bigint[]) AS given
        ON CONFLICT (workspace, segment_key, profile_id) DO UPDATE SET since_ms = excluded.since_ms
        RETURNING segment_key, xmax = 0 AS added -- a row that was updated carries our lock in xmax
    ), moved AS (
        SELECT segment_key, sum(by) AS by
        FROM (
            SELECT segment_key, 1 AS by FROM entered WHERE added UNION ALL SELECT segment_key, -1 FROM exited
        ) AS steps
        GROUP BY segment_key HAVING sum(by) <> 0
    )
    INSERT INTO segment_sizes AS stored (workspace, segment_key, size)
    SELECT $1, segment_key, by FROM moved ORDER BY segment_key
    ON CONFLICT (workspace, segment_key) DO UPDATE SET size = stored.size + excluded.size
"""


class _Raced(Exception):
    """Another writer added a profile between our look and our insert. The next look sees it."""


_Row: TypeAlias = tuple[bytes, int, bytes]
"""What the index holds, or is to hold, of one profile: its id, its version, its memberships."""


@dataclass(slots=True)
class _Changes:
    """Rows of `memberships` to take out, and to put in or give another beginning: segment, profile, since_ms."""

    exited: list[tuple[str, bytes]] = field(default_factory=list)
    entered: list[tuple[str, bytes, int]] = field(default_factory=list)

    def compare(self, profile_id: bytes, before: bytes, after: bytes) -> None:
        """Add what turns the memberships `before` of a profile into `after`."""
        if before == after:
            return
        old = dict(documents.membership_pairs(before))
        for segment, since_ms in documents.membership_pairs(after):
            if old.pop(segment, None) != since_ms:
                self.entered.append((segment, profile_id, since_ms))
        self.exited.extend((segment, profile_id) for segment in old)


class PostgresMembershipIndex:
    """Implements `audience.ports.stores.MembershipIndex`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def put_many(self, profiles: Sequence[Profile]) -> int:
        """Make the index agree with each profile that is newer than what it has seen; gives how many were."""
        batches = [(workspace, list(map(_row, group))) for workspace, group in documents.newest(profiles)]
        try:
            async for attempt in AsyncRetrying(
                retry=retry_if_exception_type(_Raced),
                stop=stop_after_attempt(_RACE_ATTEMPTS),
                wait=wait_random(0, 0.05),
                reraise=True,
            ):
                with attempt:
                    async with self._pool.transaction() as connection:
                        return sum([await _put(connection, workspace, rows) for workspace, rows in batches])
        except _Raced as error:
            raise StoreUnavailable("other writers keep adding the same profiles") from error
        raise AssertionError("tenacity gives the result or raises")

    async def sizes(self, workspace: str) -> Mapping[str, int]:
        """The number of members of each segment that has any."""
        rows = await self._pool.fetch(
            "SELECT segment_key, size FROM segment_sizes WHERE workspace = $1 AND size > 0", workspace
        )
        return {row["segment_key"]: row["size"] for row in rows}

    async def size(self, workspace: str, segment: str) -> int:
        """The number of members of one segment."""
        size: int | None = await self._pool.fetchval(
            "SELECT size FROM segment_sizes WHERE workspace = $1 AND segment_key = $2", workspace, segment
        )
        return size or 0

    async def forget_segment(self, workspace: str, segment: str) -> int:
        """Remove every membership of a deleted segment, a thousand profiles a step; gives how many there were."""
        forgotten = 0
        while step := await self._forget(workspace, segment):
            forgotten += step
        await self._pool.execute(
            "DELETE FROM segment_sizes WHERE workspace = $1 AND segment_key = $2 AND size = 0", workspace, segment
        )
        return forgotten

    async def _forget(self, workspace: str, segment: str) -> int:
        async with self._pool.transaction() as connection:
            found = await connection.fetch(
                "SELECT profile_id FROM memberships WHERE workspace = $1 AND segment_key = $2 LIMIT $3",
                workspace,
                segment,
                _FORGET_STEP,
            )
            profile_ids = [row["profile_id"] for row in found]
            rows = [
                (profile_id, version, _without(segment, memberships))
                for profile_id, version, memberships in await connection.fetch(_LOCK, workspace, profile_ids)
            ]
            await connection.execute(_UPDATE, workspace, *_columns(rows, 3))
            await _apply(connection, workspace, _Changes(exited=[(segment, each) for each in profile_ids]))
            return len(found)

    async def check(self) -> None:
        """Return when the server answers."""
        await self._pool.check()


def _row(profile: Profile) -> _Row:
    return profile.profile_id.encode(), profile.version, documents.encode_memberships(profile.segments)


async def _put(connection: Connection, workspace: str, batch: Sequence[_Row]) -> int:
    """Bring one workspace's profiles up to date, inside the caller's transaction. Raises _Raced."""
    locked = await connection.fetch(_LOCK, workspace, [profile_id for profile_id, _, _ in batch])
    stored = {row["profile_id"]: (row["version"], row["memberships"]) for row in locked}
    changes, known, new = _Changes(), [], []
    for row in batch:
        profile_id, version, memberships = row
        if (before := stored.get(profile_id)) is None:
            new.append(row)
            changes.compare(profile_id, b"[]", memberships)
        elif before[0] < version:
            known.append(row)
            changes.compare(profile_id, before[1], memberships)
    if known:
        await connection.execute(_UPDATE, workspace, *_columns(known, 3))
    if new and row_count(await connection.execute(_INSERT, workspace, *_columns(new, 3))) != len(new):
        raise _Raced
    await _apply(connection, workspace, changes)
    return len(known) + len(new)


async def _apply(connection: Connection, workspace: str, changes: _Changes) -> None:
    if changes.exited or changes.entered:
        exited, entered = _columns(sorted(changes.exited), 2), _columns(sorted(changes.entered), 3)
        await connection.execute(_CHANGE, workspace, *exited, *entered)


def _without(segment: str, memberships: bytes) -> bytes:
    left = [each for each in documents.decode_memberships(memberships) if each.segment != segment]
    return documents.encode_memberships(left)


def _columns(rows: Sequence[tuple[object, ...]], width: int) -> list[list[object]]:
    """Rows as the columns that ``unnest`` wants; `width` empty ones where there are no rows."""
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(width)]
