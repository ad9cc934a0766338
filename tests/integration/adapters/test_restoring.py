"""What the Job of a restore does: one database becomes what another one is, or stays what it was."""

import os
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import asyncpg
import pytest

from audience.adapters.postgres.migrate import migrate
from local.layout import Layout
from local.model import NotReady, Part
from local.postgres import part as postgres
from local.settings import ROOT
from services.operations.cluster.restoring import SCRIPT
from tests.integration.local.running import platform_in, wait_until

pytestmark = pytest.mark.platform


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()


@contextmanager
def server(data: Path) -> Iterator[str]:
    """A server of its own with an empty database; its address."""
    local = platform_in(data)
    for folder in (local.layout.data, local.layout.run, local.layout.logs):
        folder.mkdir(parents=True, exist_ok=True)
    postgres.prepare(local.settings, local.layout)
    part = postgres.part(local.settings, local.layout, ())
    with (data / "log").open("wb") as output:
        running = subprocess.Popen([*part.become, *part.command], cwd=ROOT, stdout=output, stderr=output)  # noqa: S603
        try:
            wait_until("the server answers", lambda: answers(part))
            yield local.postgres_dsn
        finally:
            running.send_signal(signal.SIGINT)
            running.wait(30)


def answers(part: Part) -> bool:
    try:
        part.probe()
    except NotReady:
        return False
    return True


@pytest.fixture
async def databases(tmp_path: Path) -> AsyncIterator[tuple[str, str]]:
    """Two with our schema: as it was before, with one workspace, and as it is now, with another one."""
    with server(tmp_path / "before") as before, server(tmp_path / "live") as live:
        for name, dsn in (("before", before), ("live", live)):
            await migrate(dsn)
            async with connected(dsn) as connection:
                await connection.execute("INSERT INTO workspaces (workspace) VALUES ($1)", name)
        yield before, live


async def workspaces(dsn: str) -> list[str]:
    async with connected(dsn) as connection:
        return [row[0] for row in await connection.fetch("SELECT workspace FROM workspaces ORDER BY 1")]


def copied(tmp_path: Path, before: str, live: str) -> int:
    programs = Layout(ROOT, tmp_path).postgres_bin
    variables = {"PATH": f"{programs}:{os.environ['PATH']}", "TMPDIR": str(tmp_path), "BEFORE": before, "LIVE": live}
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
