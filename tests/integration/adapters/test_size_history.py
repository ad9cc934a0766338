"""Sizes over time: sampled once a minute, thinned as they grow older; and changes, forgotten when they are too old."""

import pytest

from audience.adapters.postgres.membership_index import PostgresMembershipIndex
from audience.adapters.postgres.membership_reads import PostgresMembershipReads
from audience.adapters.postgres.pool import Pool
from audience.adapters.postgres.size_history import CHANGES_KEPT_MS, SAMPLES_KEPT_MS, PostgresSizeHistory
from audience.ports.memberships import ChangesForgotten
from tests.integration.contracts.profile_store import profile

pytestmark = pytest.mark.platform

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
NOW = 20_000 * DAY


@pytest.fixture
async def sizes(pool: Pool) -> PostgresSizeHistory:
    await pool.execute("INSERT INTO workspaces (workspace) VALUES ('w')")
    for key, status in (("s", "live"), ("p", "paused"), ("d", "draft")):
        await pool.execute(
            """
            INSERT INTO segments (workspace, key, name, description, rule, tags, status, refers_to, version, revision,
                created_ms, updated_ms)
            VALUES ('w', $1, '', '', '{"event":"x"}', '{}', $2, '{}', 1, nextval('segment_revisions'), 0, 0)
            """,
            key,
            status,
        )
    return PostgresSizeHistory(pool)


async def history(sizes: PostgresSizeHistory, key: str = "s") -> list[tuple[int, int]]:
    return [(each.at_ms, each.size) for each in await sizes.history("w", key, 0, 2 * NOW)]


async def test_a_sample_is_kept_where_the_size_moved_and_once_an_hour(pool: Pool, sizes: PostgresSizeHistory) -> None:
    index = PostgresMembershipIndex(pool)
    for minute in range(130):
        if minute == 7:
            await index.put_many([profile("ada", 1, "s", workspace="w")])
        await sizes.sample(NOW + minute * MINUTE + 12_345)
        await sizes.sample(NOW + minute * MINUTE + 23_456)  # another process
    assert await history(sizes) == [(NOW, 0), (NOW + 7 * MINUTE, 1), (NOW + 67 * MINUTE, 1), (NOW + 127 * MINUTE, 1)]
    assert [at for at, _ in await history(sizes, "p")] == [NOW, NOW + HOUR, NOW + 2 * HOUR]
    assert await history(sizes, "d") == []


@pytest.mark.parametrize(
    ("age_ms", "step_ms"),
    [(DAY, MINUTE), (3 * DAY, 10 * MINUTE), (20 * DAY, HOUR), (100 * DAY, DAY), (SAMPLES_KEPT_MS + 2 * DAY, None)],
)
async def test_older_samples_are_fewer(
    pool: Pool, sizes: PostgresSizeHistory, age_ms: int, step_ms: int | None
) -> None:
    begin_ms = NOW - age_ms - DAY  # so that the step is the same throughout
    begin_ms += (2 * DAY - DAY) if age_ms == DAY else 0
    times = range(begin_ms - begin_ms % DAY, begin_ms - begin_ms % DAY + DAY, MINUTE)
    await pool.execute(
        "INSERT INTO segment_size_history SELECT 'w', 's', at, at / 60000 FROM unnest($1::bigint[]) AS at", list(times)
    )
    await sizes.thin(NOW)
    kept = await history(sizes)
    assert [at for at, _ in kept] == ([] if step_ms is None else [at for at in times if at % step_ms == 0])
    assert all(size == at // MINUTE for at, size in kept)
    await sizes.thin(NOW)
    assert await history(sizes) == kept


async def test_changes_are_forgotten_by_their_age(pool: Pool, sizes: PostgresSizeHistory) -> None:
    index, reads = PostgresMembershipIndex(pool), PostgresMembershipReads(pool, pool)
    for name in ("old", "older", "new"):
        await index.put_many([profile(name, 1, "s", workspace="w")])
    await index.put_many([profile("other", 1, "p", workspace="w")])
    old_ms, new_ms = NOW - CHANGES_KEPT_MS - 1, NOW - CHANGES_KEPT_MS + 1
    await pool.execute(
        "UPDATE membership_changes SET at_ms = CASE WHEN profile_id = ANY($1::bytea[]) THEN $2::bigint ELSE $3 END",
        [b"old", b"older"],
        old_ms,
        new_ms,
    )
    before = await reads.changes("w", "s", 0, 10)
    assert [each.profile_id for each in before] == ["old", "older", "new"]
    await sizes.thin(NOW)
    assert [each.profile_id for each in await reads.changes("w", "s", 0, 10)] == ["new"]  # whatever is kept
    with pytest.raises(ChangesForgotten):  # between the two that are gone: one would be missed
        await reads.changes("w", "s", before[0].seq, 10)
    assert await reads.changes("w", "s", before[1].seq, 10) == before[2:]  # nothing behind it is gone
    assert len(await reads.changes("w", "p", 0, 10)) == 1
    assert await index.size("w", "s") == 3  # members stay
