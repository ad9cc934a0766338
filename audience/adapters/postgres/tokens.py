"""API tokens. Only their SHA-256 is kept: a token is random and long, so no slower hash is needed to protect it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import asyncpg

from audience.adapters.postgres.pool import Pool
from audience.adapters.postgres.workspaces import ensure_workspace
from audience.ports.catalog import TokenAccess


class TokenExists(Exception):
    """The workspace has a token with this name, or the token is in use."""


class TokenMissing(Exception):
    """The workspace has no token with this name."""


@dataclass(frozen=True, slots=True)
class TokenInfo:
    """A token without the token."""

    workspace: str
    name: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


class PostgresTokenCatalog:
    """Implements `audience.ports.catalog.TokenCatalog`, and creates tokens for `audience-ops`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def access_of(self, token_sha256: bytes) -> TokenAccess | None:
        """What a token opens; None where it is unknown, revoked or expired. Raises StoreUnavailable."""
        row = await self._pool.fetchrow(
            """
            SELECT workspace, scopes FROM tokens
            WHERE token_sha256 = $1 AND (expires_at IS NULL OR expires_at > now())
            """,
            token_sha256,
        )
        return None if row is None else TokenAccess(row["workspace"], frozenset(row["scopes"]))

    async def used(self, at_s: Mapping[bytes, float]) -> None:
        """Note when tokens, by their SHA-256, were used last. Raises StoreUnavailable."""
        await self._pool.execute(
            """
            UPDATE tokens SET last_used_at = greatest(last_used_at, used.at)
            FROM unnest($1::bytea[], $2::timestamptz[]) AS used (token_sha256, at)
            WHERE tokens.token_sha256 = used.token_sha256
            """,
            list(at_s),
            [datetime.fromtimestamp(each, UTC) for each in at_s.values()],
        )

    async def create(
        self,
        workspace: str,
        name: str,
        token_sha256: bytes,
        scopes: Collection[str] = ("*",),
        expires_at: datetime | None = None,
    ) -> None:
        """Add a token, and its workspace where it is new. Raises TokenExists, StoreUnavailable."""
        try:
            async with self._pool.transaction() as connection:
                await ensure_workspace(connection, workspace)
                await connection.execute(
                    """
                    INSERT INTO tokens (token_sha256, workspace, name, scopes, expires_at)
                    VALUES ($1, $2, $3, $4, $5)
                    """,
                    token_sha256,
                    workspace,
                    name,
                    sorted(scopes),
                    expires_at,
                )
        except asyncpg.UniqueViolationError as error:
            raise TokenExists(f"there is a token named {name!r} in {workspace!r}, or it is in use") from error

    async def revoke(self, workspace: str, name: str) -> None:
        """Take a token away. Raises TokenMissing, StoreUnavailable."""
        if not await self._pool.execute("DELETE FROM tokens WHERE workspace = $1 AND name = $2", workspace, name):
            raise TokenMissing(f"there is no token named {name!r} in {workspace!r}")

    async def list(self) -> Sequence[TokenInfo]:
        """Every token of every workspace, without the tokens. Raises StoreUnavailable."""
        rows = await self._pool.fetch(
            """
            SELECT workspace, name, scopes, created_at, expires_at, last_used_at
            FROM tokens ORDER BY workspace, name
            """
        )
        return [TokenInfo(row[0], row[1], tuple(row[2]), *row[3:]) for row in rows]
