"""Where events come from, and the write keys that let them in. Write keys are public: browsers carry them."""

from collections.abc import Sequence

import asyncpg

from audience.adapters.postgres.pool import Pool
from audience.adapters.postgres.workspaces import ensure_workspace
from audience.ports.catalog import Source, SourceExists, SourceMissing


class PostgresSourceCatalog:
    """Implements `audience.ports.catalog.SourceRegistry`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def sources(self) -> Sequence[Source]:
        """Every source of every workspace that has not been revoked. Raises StoreUnavailable."""
        rows = await self._pool.fetch("""
            SELECT workspace, source, name, write_key, kind, events_per_s FROM sources
            WHERE revoked_at IS NULL ORDER BY workspace, source
        """)
        return [Source(**row) for row in rows]

    async def create(self, source: Source) -> None:
        """Add a source, and its workspace where it is new. Raises SourceExists, StoreUnavailable."""
        try:
            async with self._pool.transaction() as connection:
                await ensure_workspace(connection, source.workspace)
                await connection.execute(
                    """
                    INSERT INTO sources (workspace, source, name, write_key, kind, events_per_s)
                    VALUES ($1, $2, $3, $4, $5, $6)
                    """,
                    source.workspace,
                    source.source,
                    source.name,
                    source.write_key,
                    source.kind,
                    source.events_per_s,
                )
        except asyncpg.UniqueViolationError as error:
            raise SourceExists(f"there is a source {source.source!r}, or its write key is in use") from error

    async def revoke(self, workspace: str, source: str) -> None:
        """Let nothing in by this source's write key any more. Raises SourceMissing, StoreUnavailable."""
        revoked = await self._pool.fetchval(
            "UPDATE sources SET revoked_at = now() WHERE (workspace, source) = ($1, $2) AND revoked_at IS NULL "
            "RETURNING source",
            workspace,
            source,
        )
        if revoked is None:
            raise SourceMissing(f"workspace {workspace!r} has no source {source!r} that is not revoked")
