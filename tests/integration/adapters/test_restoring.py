"""What the Job of a restore does: one database becomes what another one is, or stays what it was."""

import os
import secrets
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from audience.adapters.postgres.migrate import migrate
from local.layout import Layout
from local.settings import ROOT
from services.operations.cluster.restoring import SCRIPT

pytestmark = pytest.mark.platform


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()


@contextmanager
def environment(tmp_path: Path, before: str, live: str) -> Iterator[dict[str, str]]:
    programs = Layout(ROOT, tmp_path).postgres_bin
    yield {"PATH": f"{programs}:{os.environ['PATH']}", "TMPDIR": str(tmp_path), "BEFORE": before, "LIVE": live}


@pytest.fixture
async def databases(platform: Any) -> AsyncIterator[tuple[str, str]]:
    """Two with our schema: as it was before, with one workspace, and as it is now, with another one."""
    server, _, _ = platform.postgres_dsn.rpartition("/")
    names = [f"{part}_{secrets.token_hex(4)}" for part in ("before", "live")]
    async with connected(platform.postgres_dsn) as admin:
        for name in names:
            await admin.execute(f"CREATE DATABASE {name}")
        try:
            for name in names:
                await migrate(f"{server}/{name}")
                async with connected(f"{server}/{name}") as connection:
                    await connection.execute("INSERT INTO workspaces (workspace) VALUES ($1)", name.partition("_")[0])
            yield f"{server}/{names[0]}", f"{server}/{names[1]}"
        finally:
            for name in names:
                await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


async def workspaces(dsn: str) -> list[str]:
    async with connected(dsn) as connection:
        return [row[0] for row in await connection.fetch("SELECT workspace FROM workspaces ORDER BY 1")]


def copied(tmp_path: Path, before: str, live: str) -> int:
    with environment(tmp_path, before, live) as variables:
        done = subprocess.run(["/bin/sh", "-c", SCRIPT], env=variables, check=False, timeout=120)  # noqa: S603
    return done.returncode


async def test_a_database_becomes_what_it_was(databases: tuple[str, str], tmp_path: Path) -> None:
    before, live = databases
    was = await workspaces(before)
    assert await workspaces(live) != was
    # Somebody is connected meanwhile, as the services are.
    async with connected(live) as reader:
        await reader.fetch("SELECT * FROM workspaces")
        assert copied(tmp_path, before, live) == 0
        assert [row[0] for row in await reader.fetch("SELECT workspace FROM workspaces")] == was
    await migrate(live)  # the schema is one that the next release goes on from


async def test_a_copy_that_fails_changes_nothing(databases: tuple[str, str], tmp_path: Path) -> None:
    before, live = databases
    was = await workspaces(live)
    async with connected(live) as connection:
        # Nothing of ours; it stands in the way of what would be removed.
        await connection.execute("CREATE VIEW in_the_way AS SELECT * FROM workspaces")
    assert copied(tmp_path, before, live) != 0
    assert await workspaces(live) == was
    assert copied(tmp_path, before + "_nowhere", live) != 0
    assert await workspaces(live) == was
