"""Profiles by id in PostgreSQL: the profile store where there is no Aerospike.

One row a profile, written by one statement a batch whose condition on the stored version makes it safe to repeat, to
reorder and to run beside another writer. Refuses ids too long for an index (about 2,700 bytes).
"""

from collections.abc import Mapping, Sequence
from typing import Final

from audience.adapters import documents
from audience.adapters.postgres.pool import Pool
from audience.profiles.model import Membership, Profile

_PUT: Final = """
    INSERT INTO profile_records AS stored (workspace, profile_id, version, memberships, attributes)
    SELECT $1, given.* FROM unnest($2::bytea[], $3::bigint[], $4::bytea[], $5::bytea[]) AS given
    ON CONFLICT (workspace, profile_id) DO UPDATE
    SET version = excluded.version, memberships = excluded.memberships, attributes = excluded.attributes
    WHERE stored.version < excluded.version OR ($6 AND stored.version = excluded.version)
"""
_GET: Final = """
    SELECT found.* FROM unnest($2::bytea[]) AS asked (profile_id) CROSS JOIN LATERAL (
        SELECT profile_id, version, memberships, attributes FROM profile_records AS stored
        WHERE stored.workspace = $1 AND stored.profile_id = asked.profile_id LIMIT 1
    ) AS found
"""
_MEMBERSHIPS: Final = """
    SELECT found.* FROM unnest($2::bytea[]) AS asked (profile_id) CROSS JOIN LATERAL (
        SELECT profile_id, memberships FROM profile_records AS stored
        WHERE stored.workspace = $1 AND stored.profile_id = asked.profile_id LIMIT 1
    ) AS found
"""
# Why LATERAL and LIMIT: they leave the planner one way, the primary key once for each id. As a join, or with ANY, a
# table that has not been analyzed yet was read whole for every batch.


class PostgresProfileStore:
    """Implements `audience.ports.stores.ProfileStore`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def get_many(self, workspace: str, profile_ids: Sequence[str]) -> Mapping[str, Profile]:
        """The profiles that are known, by id."""
        rows = await self._pool.fetch(_GET, workspace, [profile_id.encode() for profile_id in profile_ids])
        return documents.by_id(documents.decode_profile(workspace, row[0].decode(), *row[1:]) for row in rows)

    async def memberships(self, workspace: str, profile_ids: Sequence[str]) -> Mapping[str, tuple[Membership, ...]]:
        """The memberships of those that are known, by id."""
        rows = await self._pool.fetch(_MEMBERSHIPS, workspace, [profile_id.encode() for profile_id in profile_ids])
        return {stored_id.decode(): documents.decode_memberships(memberships) for stored_id, memberships in rows}

    async def put_many(self, profiles: Sequence[Profile]) -> int:
        """Keep each profile that is newer than the stored one; gives how many were written."""
        return await self._put(profiles, mend=False)

    async def rewrite(self, profiles: Sequence[Profile]) -> int:
        """Keep each profile that is not older than the stored one; gives how many were written."""
        return await self._put(profiles, mend=True)

    async def _put(self, profiles: Sequence[Profile], *, mend: bool) -> int:
        written = 0
        for workspace, batch in documents.newest(profiles):
            written += await self._pool.execute(
                _PUT,
                workspace,
                [profile.profile_id.encode() for profile in batch],
                [profile.version for profile in batch],
                [documents.encode_memberships(profile.segments) for profile in batch],
                [documents.encode_attributes(profile) for profile in batch],
                mend,
            )
        return written

    async def check(self) -> None:
        """Return when the server answers."""
        await self._pool.check()
