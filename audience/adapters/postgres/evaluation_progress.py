"""How far the evaluation of segments has come, in one row."""

from audience.adapters.postgres.pool import Pool
from audience.ports.evaluation import Reached


class PostgresEvaluationProgress:
    """Implements `audience.ports.evaluation.EvaluationProgress`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def untold_since_ms(self) -> int | None:
        """When the oldest change of a segment was saved that the jobs have not been told of."""
        since_ms: int | None = await self._pool.fetchval(
            "SELECT min(revised_ms) FROM segments WHERE published_revision < revision"
        )
        return since_ms

    async def advance(self, reached: Reached) -> None:
        """Keep this where it is further than what is kept."""
        await self._pool.execute(
            """
            INSERT INTO evaluation_progress AS kept (events_ms, definitions_ms) VALUES ($1, $2)
            ON CONFLICT (one) DO UPDATE SET events_ms = greatest(kept.events_ms, excluded.events_ms),
                definitions_ms = greatest(kept.definitions_ms, excluded.definitions_ms)
            """,
            *reached,
        )

    async def read(self) -> Reached | None:
        """What was reached; None before there was anything."""
        row = await self._pool.fetchrow("SELECT events_ms, definitions_ms FROM evaluation_progress")
        return None if row is None else Reached(*row)
