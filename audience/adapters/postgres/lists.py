"""Uploaded lists of profile ids. Which profiles' lists the jobs do not know yet is kept beside them, in one
transaction, so that a crash loses nothing. What is told is every list that a profile is on: to tell it twice changes
nothing.
"""

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from audience.adapters.postgres.catalog_writes import unused, writing
from audience.adapters.postgres.pool import Connection, Pool
from audience.ports.catalog import ListMissing, ProfileLists, UploadedList

_PUBLISH_LOCK: Final = 0x4C495354
_COLUMNS: Final = "key, name, size, created_ms, updated_ms"
_LONG_S: Final = 120.0
"""Taking away a list of a million profiles takes a while."""

_ADD: Final = """
    WITH added AS (
        INSERT INTO list_members (workspace, list_key, profile_id)
        SELECT $1, $2, given FROM unnest($3::bytea[]) AS given ON CONFLICT DO NOTHING RETURNING profile_id
    ), untold AS (
        INSERT INTO list_untold (workspace, profile_id, revision)
        SELECT $1, profile_id, nextval('list_revisions') FROM added ORDER BY profile_id
        ON CONFLICT (workspace, profile_id) DO UPDATE SET revision = excluded.revision
    )
    SELECT count(*) FROM added
"""
_REMOVE: Final = """
    WITH gone AS (
        DELETE FROM list_members WHERE workspace = $1 AND list_key = $2 RETURNING profile_id
    )
    INSERT INTO list_untold (workspace, profile_id, revision)
    SELECT $1, profile_id, nextval('list_revisions') FROM gone ORDER BY profile_id
    ON CONFLICT (workspace, profile_id) DO UPDATE SET revision = excluded.revision
"""
_UNTOLD: Final = """
    SELECT untold.workspace, untold.profile_id, untold.revision, ARRAY(
        SELECT list_key FROM list_members AS stored
        WHERE stored.workspace = untold.workspace AND stored.profile_id = untold.profile_id ORDER BY list_key
    ) AS lists
    FROM list_untold AS untold ORDER BY untold.revision LIMIT $1
"""
_TOLD: Final = """
    DELETE FROM list_untold AS stored
    USING unnest($1::text[], $2::bytea[], $3::bigint[]) AS told (workspace, profile_id, revision)
    WHERE stored.workspace = told.workspace AND stored.profile_id = told.profile_id AND stored.revision = told.revision
"""


class PostgresListCatalog:
    """Implements `audience.ports.catalog.ListCatalog`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def get(self, workspace: str, key: str) -> UploadedList | None:
        """The list; None where there is none."""
        row = await self._pool.fetchrow(
            f"SELECT {_COLUMNS} FROM lists WHERE workspace = $1 AND key = $2",  # noqa: S608  constants
            workspace,
            key,
        )
        return None if row is None else UploadedList(*row)

    async def page(self, workspace: str, after_key: str, limit: int) -> Sequence[UploadedList]:
        """Up to `limit` lists in the order of their keys, behind `after_key`."""
        rows = await self._pool.fetch(
            f"SELECT {_COLUMNS} FROM lists WHERE workspace = $1 AND key > $2 ORDER BY key LIMIT $3",  # noqa: S608
            workspace,
            after_key,
            limit,
        )
        return [UploadedList(*row) for row in rows]

    async def put(self, workspace: str, key: str, name: str, now_ms: int) -> tuple[UploadedList, bool]:
        """Make a list or give it a name; whether it was made."""
        async with writing(self._pool) as connection:
            row = await connection.fetchrow(
                f"""
                INSERT INTO lists (workspace, key, name, created_ms, updated_ms) VALUES ($1, $2, $3, $4, $4)
                ON CONFLICT (workspace, key) DO UPDATE
                SET name = excluded.name, updated_ms = greatest(lists.updated_ms, excluded.updated_ms)
                RETURNING {_COLUMNS}, xmax = 0 AS made
                """,  # noqa: S608  constants
                workspace,
                key,
                name,
                now_ms,
            )
            *fields, made = _there(row)
            return UploadedList(*fields), made

    async def add(
        self, workspace: str, key: str, profile_ids: Collection[str], now_ms: int
    ) -> tuple[UploadedList, int]:
        """Put profiles on a list; gives how many were not on it before. Raises ListMissing."""
        encoded = sorted({each.encode() for each in profile_ids})
        async with self._pool.transaction() as connection:
            if not await _locked(connection, workspace, key):
                raise ListMissing(key)
            added = await connection.fetchval(_ADD, workspace, key, encoded)
            row = await connection.fetchrow(
                f"""
                UPDATE lists SET size = size + $3, updated_ms = greatest(updated_ms, $4)
                WHERE workspace = $1 AND key = $2 RETURNING {_COLUMNS}
                """,  # noqa: S608  constants
                workspace,
                key,
                added,
                now_ms,
            )
            return UploadedList(*_there(row)), added

    async def delete(self, workspace: str, key: str) -> None:
        """Take a list away, with everybody on it. Raises ListMissing, SegmentInUse."""
        async with writing(self._pool) as connection:
            if not await _locked(connection, workspace, key):
                raise ListMissing(key)
            await unused(connection, workspace, key, "reads_lists")
            await connection.execute(f"SET LOCAL statement_timeout = {int(_LONG_S * 1000)}")
            await connection.execute(_REMOVE, workspace, key, timeout=_LONG_S)
            await connection.execute("DELETE FROM lists WHERE workspace = $1 AND key = $2", workspace, key)

    @asynccontextmanager
    async def publishing(self, limit: int) -> AsyncIterator[Sequence[ProfileLists]]:
        """The profiles whose lists the jobs have not been told of, held by this caller alone until the block ends."""
        async with self._pool.transaction() as connection:
            await connection.execute("SELECT pg_advisory_xact_lock($1)", _PUBLISH_LOCK)
            rows = await connection.fetch(_UNTOLD, limit)
            yield [ProfileLists(of, each.decode(), revision, tuple(lists)) for of, each, revision, lists in rows]
            if rows:
                columns = [[row[at] for row in rows] for at in range(3)]
                await connection.execute(_TOLD, *columns)


async def _locked(connection: Connection, workspace: str, key: str) -> bool:
    """Whether the list is there; nobody else adds to it or takes it away until the transaction ends."""
    found = await connection.fetchval(
        "SELECT 1 FROM lists WHERE workspace = $1 AND key = $2 FOR UPDATE", workspace, key
    )
    return found is not None


def _there(row: Any) -> Any:
    if row is None:
        raise AssertionError("the statement gives the row that it wrote")
    return row
