"""Where events come from, and the write keys that let them in. Write keys are public: browsers carry them."""

from collections.abc import Sequence

import asyncpg

from audience.adapters.postgres.pool import Pool
from audience.adapters.postgres.workspaces import ensure_workspace
from audience.ports.catalog import Source


class SourceExists(Exception):
    """The workspace has a source with this id, or some workspace one with this write key."""


class PostgresSourceCatalog:
    """Implements `audience.ports.catalog.SourceCatalog`, and creates sources for `audience-ops`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def sources(self) -> Sequence[Source]:
        """Every source of every workspace. Raises StoreUnavailable."""
        rows = await self._pool.fetch(
            "SELECT workspace, source, name, write_key FROM sources ORDER BY workspace, source"
        )
        return [Source(row["workspace"], row["source"], row["name"], row["write_key"]) for row in rows]

    async def create(self, source: Source) -> None:
        """Add a source, and its workspace where it is new. Raises SourceExists, StoreUnavailable."""
        try:
            async with self._pool.transaction() as connection:
                await ensure_workspace(connection, source.workspace)
                await connection.execute(
                    "INSERT INTO sources (workspace, source, name, write_key) VALUES ($1, $2, $3, $4)",
                    source.workspace,
                    source.source,
                    source.name,
                    source.write_key,
                )
        except asyncpg.UniqueViolationError as error:
            raise SourceExists(f"there is a source {source.source!r}, or its write key is in use") from error
