"""A schema of their own for tests of the PostgreSQL adapters, in the platform's database."""

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from audience.adapters.postgres.migrate import migrate


@contextmanager
def fresh_database(dsn: str, *, migrated: bool = True) -> Iterator[str]:
    """An address at which the database looks new; all of it is dropped at the end."""
    schema = f"test_{secrets.token_hex(6)}"
    asyncio.run(_execute(dsn, f"CREATE SCHEMA {schema}"))
    try:
        fresh = f"{dsn}{'&' if '?' in dsn else '?'}search_path={schema}"
        if migrated:
            asyncio.run(migrate(fresh))
        yield fresh
    finally:
        asyncio.run(_execute(dsn, f"DROP SCHEMA {schema} CASCADE"))


async def _execute(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
