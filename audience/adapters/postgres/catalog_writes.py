"""What writes to the catalog share: one lock for all of them, and the question whether segments need what is to go.

A segment is saved against the very segments, lists and computed traits that its rule was checked against, and nothing
that a rule names is taken away meanwhile.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, Literal

from audience.adapters.postgres.pool import Connection, Pool
from audience.ports.catalog import SegmentInUse

_WRITE_LOCK: Final = 0x5345474D


@asynccontextmanager
async def writing(pool: Pool) -> AsyncIterator[Connection]:
    """A transaction that is the only one to write to the catalog."""
    async with pool.transaction() as connection:
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _WRITE_LOCK)
        yield connection


async def unused(
    connection: Connection, workspace: str, key: str, by: Literal["refers_to", "reads_lists", "reads_computed_traits"]
) -> None:
    """Raise SegmentInUse where rules name `key`. An archived segment does not count: to be live again it has to be
    saved, and its rule is checked then."""
    rows = await connection.fetch(
        f"""
        SELECT key FROM segments
        WHERE workspace = $1 AND ($3 OR key <> $2) AND $2 = ANY({by}) AND status NOT IN ('archived', 'deleted')
        ORDER BY key
        """,  # noqa: S608  one of three constants
        workspace,
        key,
        by != "refers_to",
    )
    if rows:
        raise SegmentInUse([row["key"] for row in rows])
