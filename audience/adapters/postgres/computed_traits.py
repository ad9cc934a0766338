"""Computed traits. A deleted one keeps its row until the jobs have been told, as segments do."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg
import msgspec

from audience.adapters.postgres.catalog_writes import unused, writing
from audience.adapters.postgres.pool import Pool
from audience.ports.catalog import ComputedTraitMissing, SavedComputedTrait

_PUBLISH_LOCK: Final = 0x54524149
_COLUMNS: Final = "workspace, key, definition, revision, created_ms, updated_ms, deleted"
_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode


class PostgresComputedTraitCatalog:
    """Implements `audience.ports.catalog.ComputedTraitCatalog`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def get(self, workspace: str, key: str) -> SavedComputedTrait | None:
        """The computed trait; None where there is none."""
        row = await self._pool.fetchrow(
            f"SELECT {_COLUMNS} FROM computed_traits WHERE workspace = $1 AND key = $2 AND NOT deleted",  # noqa: S608
            workspace,
            key,
        )
        return None if row is None else _trait(row)

    async def page(self, workspace: str, after_key: str, limit: int) -> Sequence[SavedComputedTrait]:
        """Up to `limit` computed traits in the order of their keys, behind `after_key`."""
        rows = await self._pool.fetch(
            f"""
            SELECT {_COLUMNS} FROM computed_traits
            WHERE workspace = $1 AND key > $2 AND NOT deleted ORDER BY key LIMIT $3
            """,  # noqa: S608  constants
            workspace,
            after_key,
            limit,
        )
        return list(map(_trait, rows))

    async def put(
        self, workspace: str, key: str, definition: Mapping[str, Any], now_ms: int
    ) -> tuple[SavedComputedTrait, bool]:
        """Make a computed trait or replace it; whether it was made."""
        async with writing(self._pool) as connection:
            there = await connection.fetchval(
                "SELECT 1 FROM computed_traits WHERE workspace = $1 AND key = $2 AND NOT deleted", workspace, key
            )
            row = await connection.fetchrow(
                f"""
                INSERT INTO computed_traits AS stored (workspace, key, definition, revision, created_ms, updated_ms)
                VALUES ($1, $2, $3, nextval('segment_revisions'), $4, $4)
                ON CONFLICT (workspace, key) DO UPDATE
                SET definition = excluded.definition, revision = excluded.revision, deleted = false,
                    created_ms = CASE WHEN stored.deleted THEN excluded.created_ms ELSE stored.created_ms END,
                    updated_ms = greatest(stored.updated_ms, excluded.updated_ms)
                RETURNING {_COLUMNS}
                """,  # noqa: S608  constants
                workspace,
                key,
                _encode(definition).decode(),
                now_ms,
            )
            if row is None:
                raise AssertionError("the statement gives the row that it wrote")
            return _trait(row), there is None

    async def delete(self, workspace: str, key: str, now_ms: int) -> None:
        """Take a computed trait out. Raises ComputedTraitMissing, SegmentInUse."""
        async with writing(self._pool) as connection:
            await unused(connection, workspace, key, "reads_computed_traits")
            gone = await connection.fetchval(
                """
                UPDATE computed_traits SET deleted = true, updated_ms = $3, revision = nextval('segment_revisions')
                WHERE workspace = $1 AND key = $2 AND NOT deleted RETURNING 1
                """,
                workspace,
                key,
                now_ms,
            )
            if gone is None:
                raise ComputedTraitMissing(key)

    @asynccontextmanager
    async def publishing(self, limit: int) -> AsyncIterator[Sequence[SavedComputedTrait]]:
        """Those whose last change the jobs have not been told of, held by this caller alone until the block ends."""
        async with self._pool.transaction() as connection:
            await connection.execute("SELECT pg_advisory_xact_lock($1)", _PUBLISH_LOCK)
            rows = await connection.fetch(
                f"""
                SELECT {_COLUMNS} FROM computed_traits
                WHERE published_revision < revision ORDER BY revision LIMIT $1
                """,  # noqa: S608  constants
                limit,
            )
            traits = list(map(_trait, rows))
            yield traits
            if traits:
                revisions = [trait.revision for trait in traits]
                await connection.execute(
                    "UPDATE computed_traits SET published_revision = revision WHERE revision = ANY($1)", revisions
                )
                await connection.execute("DELETE FROM computed_traits WHERE deleted AND revision = ANY($1)", revisions)


def _trait(row: asyncpg.Record) -> SavedComputedTrait:
    return SavedComputedTrait(
        workspace=row["workspace"],
        key=row["key"],
        definition=_decode(row["definition"]),
        revision=row["revision"],
        created_ms=row["created_ms"],
        updated_ms=row["updated_ms"],
        deleted=row["deleted"],
    )
