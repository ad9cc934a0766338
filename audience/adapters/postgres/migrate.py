"""Brings a database's schema up to date: Alembic's revisions, rendered to SQL and run over asyncpg in one transaction.

Rendered rather than run by Alembic, because the services carry one driver, asyncpg, and Alembic would want a second
way into it; and because the SQL can so be read before it is run (`pending_sql`). So a revision holds statements only:
it cannot look at the database while it runs. Refuses to run beside itself (an advisory lock), to go back, and to touch
a database that a newer release has migrated.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from audience.adapters.postgres.errors import mapped

_SCRIPTS = Path(__file__).with_name("migrations")
_LOCK = 0x41554449  # any number, the same for every release
_LOCK_TIMEOUT_MS = 30_000
CONNECT_TIMEOUT_S = 5.0


class SchemaTooNew(Exception):
    """The database was migrated by a release that this one does not know."""


@dataclass(frozen=True, slots=True)
class Migrated:
    """The revision before (None: an empty database) and after."""

    before: str | None
    after: str

    @property
    def changed(self) -> bool:
        """Whether anything was done."""
        return self.before != self.after


def head() -> str:
    """The newest revision that this release knows."""
    revision = _scripts().get_current_head()
    assert revision is not None, "the package carries its migrations"  # noqa: S101  a broken package, not an input
    return revision


def pending_sql(current: str | None) -> str:
    """The statements that bring a database at revision `current` to `head()`; empty where there are none."""
    scripts = _scripts()
    if current is not None:
        try:
            scripts.get_revision(current)
        except CommandError as error:
            raise SchemaTooNew(f"the database is at revision {current!r}, which this release does not know") from error
    if current == scripts.get_current_head():
        return ""

    def upgrade(revision: Any, _: MigrationContext) -> Sequence[Any]:
        return list(scripts._upgrade_revs("head", revision))  # noqa: SLF001  as Alembic's own `upgrade` does

    output = io.StringIO()
    context = EnvironmentContext(
        Config(), scripts, fn=upgrade, as_sql=True, starting_rev=current, destination_rev="head"
    )
    with context:
        context.configure(dialect_name="postgresql", output_buffer=output)
        context.run_migrations()
    return output.getvalue()


async def migrate(dsn: str) -> Migrated:
    """Bring the schema to `head()`, all or nothing. Raises StoreUnavailable, SchemaTooNew."""
    with mapped():
        connection = await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT_S)
        try:
            async with connection.transaction():
                await connection.execute(f"SET LOCAL lock_timeout = {_LOCK_TIMEOUT_MS}")
                await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
                before = await _current(connection)
                if statements := pending_sql(before):
                    await connection.execute(statements)
                return Migrated(before, head())
        finally:
            await connection.close()


async def revision_of(dsn: str) -> str | None:
    """The revision that a database is at; None for an empty one. Raises StoreUnavailable."""
    with mapped():
        connection = await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT_S)
        try:
            return await _current(connection)
        finally:
            await connection.close()


async def _current(connection: "asyncpg.Connection[asyncpg.Record]") -> str | None:
    if await connection.fetchval("SELECT to_regclass('alembic_version')") is None:
        return None
    revision: str | None = await connection.fetchval("SELECT version_num FROM alembic_version")
    return revision


def _scripts() -> ScriptDirectory:
    return ScriptDirectory(str(_SCRIPTS))
