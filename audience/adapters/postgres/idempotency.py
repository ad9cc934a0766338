"""Idempotency keys: a request claims its key, is answered, and leaves its answer for those that come again."""

from typing import Final

import msgspec

from audience.adapters.postgres.pool import Pool
from audience.ports.catalog import KeptAnswer, KeyInUse, KeyTaken

CLAIM_LASTS_MS: Final = 60_000
"""A claim without an answer is older than that only where its process ended; the key is free again then."""

_CLAIM: Final = """
    INSERT INTO idempotency_keys AS stored (workspace, key, fingerprint, claimed_ms) VALUES ($1, $2, $3, $4)
    ON CONFLICT (workspace, key) DO UPDATE SET claimed_ms = excluded.claimed_ms
    WHERE stored.status IS NULL AND stored.fingerprint = excluded.fingerprint AND stored.claimed_ms < $5
    RETURNING 1
"""
_decode: Final = msgspec.json.Decoder(dict[str, str]).decode


class PostgresIdempotencyKeys:
    """Implements `audience.ports.catalog.IdempotencyKeys`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def claim(self, workspace: str, key: str, fingerprint: bytes, now_ms: int) -> KeptAnswer | None:
        """The answer that was given before; None where this caller is to give it. Raises KeyInUse, KeyTaken."""
        mine = await self._pool.fetchval(_CLAIM, workspace, key, fingerprint, now_ms, now_ms - CLAIM_LASTS_MS)
        if mine is not None:
            return None
        row = await self._pool.fetchrow(
            "SELECT fingerprint, status, headers, body FROM idempotency_keys WHERE workspace = $1 AND key = $2",
            workspace,
            key,
        )
        if row is None:  # released in between; whoever asks again may have it
            raise KeyInUse(key)
        if row["fingerprint"] != fingerprint:
            raise KeyTaken(key)
        if row["status"] is None:
            raise KeyInUse(key)
        return KeptAnswer(row["status"], _decode(row["headers"]), row["body"])

    async def keep(self, workspace: str, key: str, answer: KeptAnswer) -> None:
        """Remember an answer."""
        await self._pool.execute(
            "UPDATE idempotency_keys SET status = $3, headers = $4, body = $5 WHERE workspace = $1 AND key = $2",
            workspace,
            key,
            answer.status,
            msgspec.json.encode(answer.headers).decode(),
            answer.body,
        )

    async def release(self, workspace: str, key: str) -> None:
        """Forget a claim that came to nothing."""
        await self._pool.execute(
            "DELETE FROM idempotency_keys WHERE workspace = $1 AND key = $2 AND status IS NULL", workspace, key
        )

    async def forget(self, before_ms: int) -> None:
        """Forget the keys of a time."""
        await self._pool.execute("DELETE FROM idempotency_keys WHERE claimed_ms < $1", before_ms)
