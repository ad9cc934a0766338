"""API tokens. Only their SHA-256 is kept: a token is random and long, so no slower hash is needed to protect it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from audience.adapters.postgres.pool import Pool
from audience.adapters.postgres.workspaces import ensure_workspace


class TokenExists(Exception):
    """The workspace has a token with this name, or the token is in use."""


@dataclass(frozen=True, slots=True)
class TokenInfo:
    """A token without the token."""

    workspace: str
    name: str
    created_at: datetime


class PostgresTokenCatalog:
    """Implements `audience.ports.catalog.TokenCatalog`, and creates tokens for `audience-ops`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def workspace_of(self, token_sha256: bytes) -> str | None:
        """The workspace that a token opens; None where the token is unknown. Raises StoreUnavailable."""
        workspace: str | None = await self._pool.fetchval(
            "SELECT workspace FROM tokens WHERE token_sha256 = $1", token_sha256
        )
        return workspace

    async def create(self, workspace: str, name: str, token_sha256: bytes) -> None:
        """Add a token, and its workspace where it is new. Raises TokenExists, StoreUnavailable."""
        try:
            async with self._pool.transaction() as connection:
                await ensure_workspace(connection, workspace)
                await connection.execute(
                    "INSERT INTO tokens (token_sha256, workspace, name) VALUES ($1, $2, $3)",
                    token_sha256,
                    workspace,
                    name,
                )
        except asyncpg.UniqueViolationError as error:
            raise TokenExists(f"there is a token named {name!r} in {workspace!r}, or it is in use") from error

    async def list(self) -> Sequence[TokenInfo]:
        """Every token of every workspace, without the tokens. Raises StoreUnavailable."""
        rows = await self._pool.fetch("SELECT workspace, name, created_at FROM tokens ORDER BY workspace, name")
        return [TokenInfo(row["workspace"], row["name"], row["created_at"]) for row in rows]
