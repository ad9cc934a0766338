"""The pool gives up in time and says what is away; migrations run once, whoever runs them."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest

from audience.adapters.postgres.migrate import SchemaTooNew, head, migrate, pending_sql, revision_of
from audience.adapters.postgres.pool import Pool, open_pool
from audience.ports.stores import RecordRefused, StoreUnavailable
from tests.integration.contracts.database import fresh_database

pytestmark = pytest.mark.platform

NOWHERE = "postgresql://nobody:secret-word@127.0.0.1:1/none"


@pytest.fixture
def empty(platform: Any) -> Iterator[str]:
    with fresh_database(platform.postgres_dsn, migrated=False) as dsn:
        yield dsn


async def test_migrating_is_done_once_by_many(empty: str) -> None:
    assert await revision_of(empty) is None
    done = await asyncio.gather(*(migrate(empty) for _ in range(4)))
    assert sorted(each.changed for each in done) == [False, False, False, True]
    assert {each.after for each in done} == {head()}
    assert await revision_of(empty) == head()
    assert not (await migrate(empty)).changed


async def test_migrating_from_every_revision(empty: str) -> None:
    """What an older release left is brought up to date."""
    statements = pending_sql(None)
    cut = statements.index("-- Running upgrade 0001 -> 0002")
    connection = await asyncpg.connect(empty)
    try:
        await connection.execute(statements[:cut])
    finally:
        await connection.close()
    done = await migrate(empty)
    assert (done.before, done.after) == ("0001", head())


async def test_a_newer_schema_is_left_alone(empty: str) -> None:
    await migrate(empty)
    async with open_pool(empty) as pool:
        await pool.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(SchemaTooNew):
        await migrate(empty)


async def test_a_database_without_schema_is_named_as_such(empty: str) -> None:
    async with open_pool(empty) as pool:
        with pytest.raises(StoreUnavailable, match="audience-ops migrate"):
            await pool.fetch("SELECT * FROM segments")


async def test_a_server_that_is_away() -> None:
    async with open_pool(NOWHERE) as pool:
        with pytest.raises(StoreUnavailable) as refused:
            await pool.check()
        assert "secret-word" not in str(refused.value)
    with pytest.raises(StoreUnavailable):
        async with open_pool(NOWHERE, min_size=1):
            pass


async def test_a_slow_statement_ends(database: str) -> None:
    async with open_pool(database, statement_timeout_s=0.2) as pool:
        started_s = time.monotonic()
        with pytest.raises(StoreUnavailable):
            await pool.fetch("SELECT pg_sleep(30)")
        assert time.monotonic() - started_s < 2
        await pool.check()


async def test_no_connection_is_given_in_time(database: str) -> None:
    async with open_pool(database, max_size=1, acquire_timeout_s=0.2) as pool, pool.transaction():
        with pytest.raises(StoreUnavailable):
            await pool.check()


async def test_a_connection_that_was_cut_is_replaced(pool: Pool) -> None:
    with pytest.raises(StoreUnavailable):
        await pool.fetch("SELECT pg_terminate_backend(pg_backend_pid())")
    await pool.check()


async def test_values_that_no_column_holds_are_refused(pool: Pool) -> None:
    for value in ("a\u0000b",):
        with pytest.raises(RecordRefused):
            await pool.execute("INSERT INTO workspaces (workspace) VALUES ($1)", value)
    with pytest.raises(RecordRefused):
        await pool.fetch("SELECT $1::bigint", 2**64)
    with pytest.raises(RecordRefused):
        await pool.fetch("SELECT $1::bigint", "five")


async def test_our_own_faults_are_not_taken_for_an_outage(pool: Pool) -> None:
    with pytest.raises(asyncpg.PostgresSyntaxError):
        await pool.fetch("SELEC 1")
    await pool.execute("INSERT INTO workspaces (workspace) VALUES ('w')")
    with pytest.raises(asyncpg.UniqueViolationError) as refused:
        await pool.execute("INSERT INTO workspaces (workspace) VALUES ('w')")
    assert "DETAIL" not in str(refused.value)  # it would hold the row
    async with open_pool("mysql://x") as wrong:
        with pytest.raises(ValueError, match="scheme"):
            await wrong.check()


async def test_a_transaction_rolls_back(pool: Pool) -> None:
    async def begin_and_fail() -> None:
        async with pool.transaction() as connection:
            await connection.execute("INSERT INTO workspaces (workspace) VALUES ('w')")
            raise KeyError

    with pytest.raises(KeyError):
        await begin_and_fail()
    assert await pool.fetch("SELECT * FROM workspaces") == []
    assert await pool.execute("INSERT INTO workspaces (workspace) VALUES ('a'), ('b')") == 2
