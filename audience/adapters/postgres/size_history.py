"""Sizes of segments over time: a sample a minute where the size moved, and one an hour; fewer as they grow older.

A sample stands at the beginning of its minute, so that any process may take it, and what is kept of old ones is told by
their time alone. Between two samples the size was that of the first.
"""

from collections.abc import Sequence
from typing import Final

from audience.adapters.postgres.pool import Pool
from audience.ports.memberships import Sample

_MINUTE_MS: Final = 60_000
_HOUR_MS: Final = 60 * _MINUTE_MS
_DAY_MS: Final = 24 * _HOUR_MS
KEPT: Final = ((2 * _DAY_MS, 10 * _MINUTE_MS), (14 * _DAY_MS, _HOUR_MS), (90 * _DAY_MS, _DAY_MS))
"""Past an age only the samples at multiples of a step are kept."""

SAMPLES_KEPT_MS: Final = 730 * _DAY_MS
CHANGES_KEPT_MS: Final = 30 * _DAY_MS
_AT_ONCE: Final = 10_000

_SAMPLE: Final = """
    INSERT INTO segment_size_history (workspace, segment_key, at_ms, size)
    SELECT segment.workspace, segment.key, $1, coalesce(stored.size, 0)
    FROM segments AS segment
    LEFT JOIN segment_sizes AS stored ON stored.workspace = segment.workspace AND stored.segment_key = segment.key
    LEFT JOIN LATERAL (
        SELECT size, at_ms FROM segment_size_history AS before
        WHERE before.workspace = segment.workspace AND before.segment_key = segment.key
        ORDER BY at_ms DESC LIMIT 1
    ) AS before ON true
    WHERE segment.status IN ('live', 'paused')
      AND (before.size IS NULL OR before.size <> coalesce(stored.size, 0) OR $1 - before.at_ms >= $2)
    ON CONFLICT DO NOTHING
"""
_FORGET_CHANGES: Final = """
    WITH gone AS (
        DELETE FROM membership_changes WHERE ctid = ANY(ARRAY(
            SELECT ctid FROM membership_changes WHERE at_ms < $1 LIMIT $2
        ))
        RETURNING workspace, segment_key, seq
    ), latest AS (
        SELECT workspace, segment_key, max(seq) AS seq FROM gone GROUP BY 1, 2
    ), noted AS (
        UPDATE segment_sizes AS stored SET forgotten_seq = greatest(stored.forgotten_seq, latest.seq) FROM latest
        WHERE stored.workspace = latest.workspace AND stored.segment_key = latest.segment_key
    )
    SELECT count(*) FROM gone
"""


class PostgresSizeHistory:
    """Implements `audience.ports.memberships.SizeHistory`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def sample(self, at_ms: int) -> int:
        """Keep the sizes of all evaluated segments as of this minute where they moved, or an hour has gone by."""
        return await self._pool.execute(_SAMPLE, at_ms - at_ms % _MINUTE_MS, _HOUR_MS)

    async def thin(self, now_ms: int) -> None:
        """Forget samples between those that are kept for their age, and changes past their age."""
        for age_ms, step_ms in KEPT:
            await self._pool.execute(
                "DELETE FROM segment_size_history WHERE at_ms < $1 AND at_ms % $2 <> 0", now_ms - age_ms, step_ms
            )
        await self._pool.execute("DELETE FROM segment_size_history WHERE at_ms < $1", now_ms - SAMPLES_KEPT_MS)
        while await self._pool.fetchval(_FORGET_CHANGES, now_ms - CHANGES_KEPT_MS, _AT_ONCE) == _AT_ONCE:
            pass

    async def history(self, workspace: str, segment: str, from_ms: int, to_ms: int) -> Sequence[Sample]:
        """The samples of a time, oldest first, both ends included."""
        rows = await self._pool.fetch(
            """
            SELECT at_ms, size FROM segment_size_history
            WHERE workspace = $1 AND segment_key = $2 AND at_ms BETWEEN $3 AND $4 ORDER BY at_ms
            """,
            workspace,
            segment,
            from_ms,
            to_ms,
        )
        return [Sample(*row) for row in rows]
