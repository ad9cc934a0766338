"""Which profile came with an id last. Nearly every event comes with ids that are known already: a memory of them keeps
those from the database.
"""

from collections.abc import Sequence
from typing import Final

from audience.adapters.postgres.pool import Pool
from audience.ports.external_ids import SeenId

MOST_REMEMBERED: Final = 100_000
"""Past it all are forgotten at once, and written again when they are seen."""

_PUT: Final = """
    INSERT INTO external_ids AS stored (workspace, type, value, profile_id, received_ms)
    SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[], $4::bytea[], $5::bigint[])
    ON CONFLICT (workspace, type, value) DO UPDATE
    SET profile_id = excluded.profile_id, received_ms = excluded.received_ms
    WHERE stored.received_ms <= excluded.received_ms
"""


class PostgresExternalIds:
    """Implements `audience.ports.external_ids.ExternalIds`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._known: dict[tuple[str, str, str], str] = {}

    async def put_many(self, profiles: Sequence[SeenId]) -> int:
        """Keep each that is not older than what is kept of its id; gives how many were written."""
        newest: dict[tuple[str, str, str], SeenId] = {}
        for seen in profiles:
            key = seen[:3]
            before = newest.get(key)
            if before is None or before.received_ms <= seen.received_ms:
                newest[key] = seen
        new = [(key, seen) for key, seen in sorted(newest.items()) if self._known.get(key) != seen.profile_id]
        if not new:
            return 0
        rows = [
            (workspace, kind, value.encode(), profile_id.encode(), at_ms)
            for _, (workspace, kind, value, profile_id, at_ms) in new
        ]
        written = await self._pool.execute(_PUT, *map(list, zip(*rows, strict=True)))
        if len(self._known) + len(new) > MOST_REMEMBERED:
            self._known.clear()
        self._known.update((key, seen.profile_id) for key, seen in new)
        return written

    async def profile_of(self, workspace: str, kind: str, value: str) -> str | None:
        """The profile's id; None where no event came with this one."""
        found: bytes | None = await self._pool.fetchval(
            "SELECT profile_id FROM external_ids WHERE (workspace, type, value) = ($1, $2, $3)",
            workspace,
            kind,
            value.encode(),
        )
        return None if found is None else found.decode()

    async def check(self) -> None:
        """Return when the server answers."""
        await self._pool.check()
