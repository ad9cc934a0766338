"""A pool of PostgreSQL connections whose every failure is the port's (`errors.mapped`), and whose every call ends.

Refuses to wait: a connection is given within `acquire_timeout_s`, a statement ends within `statement_timeout_s`, on
the server too, and a transaction that its client forgot is rolled back. Opening it connects to nothing unless
`min_size` asks for it, so that a service starts, and says in ``/readyz`` what is away.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import asyncpg

from audience.adapters.postgres.errors import mapped

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

Connection: TypeAlias = "PoolConnectionProxy[asyncpg.Record]"
"""A connection lent by the pool."""

Isolation = Literal["read_committed", "repeatable_read"]

_BY_KEY = {"enable_seqscan": "off"}
CLOSE_TIMEOUT_S = 5.0
_SERVER_GRACE_S = 1.0
"""The server gives up this much earlier than the client, so that a slow statement ends as an error, not a cut line."""


class Pool:
    """Statements on whichever connection is free. Each raises StoreUnavailable or RecordRefused, nothing of asyncpg."""

    __slots__ = ("_acquire_timeout_s", "_pool")

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]", acquire_timeout_s: float) -> None:
        self._pool = pool
        self._acquire_timeout_s = acquire_timeout_s

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        with mapped():
            async with self._pool.acquire(timeout=self._acquire_timeout_s) as connection:
                yield connection

    async def fetch(self, query: str, *arguments: object) -> Sequence[asyncpg.Record]:
        """All rows. The statement is prepared once a connection and kept."""
        async with self._connection() as connection:
            return await connection.fetch(query, *arguments)

    async def fetchrow(self, query: str, *arguments: object) -> asyncpg.Record | None:
        """The first row; None where there is none."""
        async with self._connection() as connection:
            return await connection.fetchrow(query, *arguments)

    async def fetchval(self, query: str, *arguments: object) -> Any:
        """The first column of the first row; None where there is none."""
        async with self._connection() as connection:
            return await connection.fetchval(query, *arguments)

    async def execute(self, query: str, *arguments: object) -> int:
        """Run one statement; gives how many rows it wrote."""
        async with self._connection() as connection:
            return row_count(await connection.execute(query, *arguments))

    @asynccontextmanager
    async def transaction(self, isolation: Isolation = "read_committed") -> AsyncIterator[Connection]:
        """A connection in a transaction, which commits at the end and rolls back on an error.

        Failures of statements inside are mapped as well, so a caller needs no handling of its own.
        """
        async with self._connection() as connection, connection.transaction(isolation=isolation):
            yield connection

    async def check(self) -> None:
        """Return when the server answers; raise StoreUnavailable otherwise."""
        await self.fetchval("SELECT 1")


def row_count(status: str) -> int:
    """The number at the end of a command's status, as in ``INSERT 0 5``."""
    last = status.rpartition(" ")[2]
    return int(last) if last.isdigit() else 0


async def _keep(_: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Nothing to reset: we hold no cursors, session locks or settings, and the round trip would halve reads a second.

    A transaction left open is rolled back by `Pool.transaction`.
    """


@asynccontextmanager
async def open_pool(
    dsn: str,
    *,
    min_size: int = 0,
    max_size: int = 10,
    acquire_timeout_s: float = 2.0,
    connect_timeout_s: float = 5.0,
    statement_timeout_s: float = 5.0,
    application: str = "audience-manager",
    by_key: bool = False,
) -> AsyncIterator[Pool]:
    """A pool, closed at the end of the block. Raises StoreUnavailable where `min_size` connections cannot be had.

    `by_key`: every statement finds its rows by a primary key, and is planned so. A plan is kept with its prepared
    statement; one from when the table was small would read all of it, and go on to do so as it grows.
    """
    with mapped():
        pool = await asyncpg.create_pool(
            dsn,
            min_size=min_size,
            max_size=max_size,
            timeout=connect_timeout_s,
            command_timeout=statement_timeout_s + _SERVER_GRACE_S,
            reset=_keep,
            server_settings={
                **(_BY_KEY if by_key else {}),
                "application_name": application,
                "statement_timeout": str(int(statement_timeout_s * 1000)),
                "idle_in_transaction_session_timeout": str(int((statement_timeout_s + _SERVER_GRACE_S) * 2000)),
                "jit": "off",  # our statements are short; compiling one would take longer than running it
            },
        )
    try:
        yield Pool(pool, acquire_timeout_s)
    finally:
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await pool.close()
        except TimeoutError:  # a statement still runs; the server ends it by its own timeout
            pool.terminate()
