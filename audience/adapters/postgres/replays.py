"""Which records of `events.bad` have been sent again, so that none is by accident sent twice."""

from collections.abc import Iterable

from audience.adapters.postgres.pool import Pool

Place = tuple[int, int]
"""A partition and an offset."""


class PostgresReplays:
    """Remembers replays for as long as the database lives; a few bytes each."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def all(self) -> frozenset[Place]:
        """The places of everything that was sent again. Raises StoreUnavailable."""
        rows = await self._pool.fetch("SELECT partition, record FROM bad_event_replays")
        return frozenset((row["partition"], row["record"]) for row in rows)

    async def add(self, places: Iterable[Place]) -> None:
        """Remember these. Raises StoreUnavailable."""
        partitions, records = zip(*places, strict=True)
        await self._pool.execute(
            "INSERT INTO bad_event_replays (partition, record) SELECT * FROM unnest($1::integer[], $2::bigint[]) "
            "ON CONFLICT DO NOTHING",
            list(partitions),
            list(records),
        )
