"""Which lists and which segments some profiles are on and in, by key: for those who evaluate rules outside the job."""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from audience.adapters.postgres.pool import Pool

_LISTS: Final = """
    SELECT profile_id, array_agg(list_key) AS keys FROM list_members
    WHERE workspace = $1 AND profile_id = ANY($2::bytea[]) AND list_key = ANY($3::text[]) GROUP BY profile_id
"""
_SEGMENTS: Final = """
    SELECT profile_id, array_agg(segment_key) AS keys FROM memberships
    WHERE workspace = $1 AND segment_key = ANY($3::text[]) AND profile_id = ANY($2::bytea[]) GROUP BY profile_id
"""


class PostgresBelongings:
    """Raises StoreUnavailable."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def lists(
        self, workspace: str, lists: Collection[str], profile_ids: Sequence[str]
    ) -> Mapping[str, frozenset[str]]:
        """Of these lists those that each profile is on; who is on none is left out."""
        return await self._read(_LISTS, workspace, lists, profile_ids)

    async def segments(
        self, workspace: str, segments: Collection[str], profile_ids: Sequence[str]
    ) -> Mapping[str, frozenset[str]]:
        """Of these segments those that each profile is in; who is in none is left out."""
        return await self._read(_SEGMENTS, workspace, segments, profile_ids)

    async def _read(
        self, query: str, workspace: str, keys: Collection[str], profile_ids: Sequence[str]
    ) -> Mapping[str, frozenset[str]]:
        if not keys or not profile_ids:
            return {}
        encoded = [each.encode() for each in profile_ids]
        rows = await self._pool.fetch(query, workspace, encoded, sorted(keys))
        return {row["profile_id"].decode(): frozenset(row["keys"]) for row in rows}
