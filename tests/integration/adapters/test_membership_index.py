"""The membership index on PostgreSQL: it agrees with the newest profiles, and its sizes with its rows, always."""

import asyncio
import random
from collections import Counter

import pytest

from audience.adapters.postgres.membership_index import PostgresMembershipIndex
from audience.adapters.postgres.pool import Pool
from audience.ports.stores import RecordRefused, StoreUnavailable
from audience.profiles.model import Membership, Profile
from tests.integration.contracts.profile_store import ODD_IDS, profile

pytestmark = pytest.mark.platform


@pytest.fixture
def index(pool: Pool) -> PostgresMembershipIndex:
    return PostgresMembershipIndex(pool)


async def rows(pool: Pool) -> set[tuple[str, str, str, int]]:
    found = await pool.fetch("SELECT workspace, segment_key, profile_id, since_ms FROM memberships")
    return {(row[0], row[1], row[2].decode(), row[3]) for row in found}


async def assert_sound(pool: Pool) -> None:
    """Sizes count rows; what is kept of each profile is what its rows say."""
    counted = await pool.fetch("SELECT workspace, segment_key, count(*) FROM memberships GROUP BY 1, 2")
    sizes = await pool.fetch("SELECT workspace, segment_key, size FROM segment_sizes WHERE size <> 0")
    assert sorted(map(tuple, counted)) == sorted(map(tuple, sizes))
    kept = await pool.fetch(
        """
        SELECT workspace, profile_id, pair ->> 0, (pair ->> 1)::bigint
        FROM membership_versions, json_array_elements(convert_from(memberships, 'UTF8')::json) AS pair
        """
    )
    assert {(row[0], row[2], row[1].decode(), row[3]) for row in kept} == await rows(pool)


async def test_a_new_version_replaces_the_memberships(index: PostgresMembershipIndex, pool: Pool) -> None:
    assert await index.put_many([profile("a", 1, "vip", "new"), profile("b", 1, "vip")]) == 2
    assert await index.sizes("w") == {"vip": 2, "new": 1}
    assert await index.put_many([profile("a", 2, "vip", "old")]) == 1
    assert await index.sizes("w") == {"vip": 2, "old": 1}
    assert await index.size("w", "vip") == 2
    assert await index.size("w", "new") == 0
    assert await index.size("other", "vip") == 0
    # `since` of a membership that stays follows the record: it may have ended and begun in between.
    assert ("w", "vip", "a", 1_600_000_000_002) in await rows(pool)
    assert await index.put_many([profile("a", 3)]) == 1
    assert await index.sizes("w") == {"vip": 1}
    await assert_sound(pool)


async def test_an_older_or_equal_version_changes_nothing(index: PostgresMembershipIndex, pool: Pool) -> None:
    await index.put_many([profile("a", 5, "vip")])
    before = await rows(pool)
    assert await index.put_many([profile("a", 4, "old"), profile("a", 5, "again")]) == 0
    assert await rows(pool) == before
    await assert_sound(pool)


async def test_a_batch_may_hold_several_versions_and_workspaces(index: PostgresMembershipIndex, pool: Pool) -> None:
    batch = [profile("a", 2, "two"), profile("a", 3, "three"), profile("a", 1, "one"), profile("a", 9, workspace="v")]
    assert await index.put_many(batch) == 2
    assert await index.sizes("w") == {"three": 1}
    assert await index.put_many([]) == 0
    await assert_sound(pool)


async def test_a_segment_named_twice_counts_once(index: PostgresMembershipIndex, pool: Pool) -> None:
    twice = Profile("w", "a", 1, 1, 1, segments=(Membership("vip", 5), Membership("vip", 6)))
    assert await index.put_many([twice]) == 1
    assert await index.sizes("w") == {"vip": 1}
    await assert_sound(pool)


async def test_odd_ids(index: PostgresMembershipIndex, pool: Pool) -> None:
    assert await index.put_many([profile(each, 1, "vip") for each in ODD_IDS]) == len(ODD_IDS)
    assert await index.size("w", "vip") == len(ODD_IDS)
    await assert_sound(pool)


async def test_a_refused_record_takes_the_whole_batch_with_it(index: PostgresMembershipIndex, pool: Pool) -> None:
    too_late = Profile("w", "b", 1, 1, 1, segments=(Membership("vip", 2**63),))
    with pytest.raises(RecordRefused):
        await index.put_many([profile("a", 1, "vip"), too_late])
    assert await index.sizes("w") == {}
    await assert_sound(pool)


async def test_writers_side_by_side_agree_with_the_newest_of_all(index: PostgresMembershipIndex, pool: Pool) -> None:
    chance = random.Random(3)  # noqa: S311  a seeded test
    ids = [f"user-{number}" for number in range(30)]
    segments = [f"seg-{number}" for number in range(6)]
    batches = [
        [
            profile(each, chance.randrange(1, 10_000), *chance.sample(segments, chance.randrange(0, 5)))
            for each in chance.sample(ids, chance.randrange(1, 25))
        ]
        for _ in range(60)
    ]

    async def write(batch: list[Profile]) -> None:
        while True:
            try:
                await index.put_many(batch)
            except StoreUnavailable:  # many racers; a writer tries again
                await asyncio.sleep(0.01)
            else:
                return

    await asyncio.gather(*map(write, batches))
    newest: dict[str, Profile] = {}
    for each in (each for batch in batches for each in batch):
        known = newest.get(each.profile_id)
        if known is None or known.version < each.version:
            newest[each.profile_id] = each
    assert await index.sizes("w") == Counter(each.segment for found in newest.values() for each in found.segments)
    await assert_sound(pool)


async def test_a_write_that_is_cut_off_leaves_no_trace(index: PostgresMembershipIndex, pool: Pool) -> None:
    await index.put_many([profile("a", 1, "vip")])
    # Fails behind the first statements: the sizes are last in the transaction.
    await pool.execute("ALTER TABLE segment_sizes RENAME TO segment_sizes_away")
    try:
        with pytest.raises(StoreUnavailable):
            await index.put_many([profile("a", 2, "new"), profile("b", 1, "vip")])
    finally:
        await pool.execute("ALTER TABLE segment_sizes_away RENAME TO segment_sizes")
    assert await index.sizes("w") == {"vip": 1}
    await assert_sound(pool)
    assert await index.put_many([profile("a", 2, "new"), profile("b", 1, "vip")]) == 2
    await assert_sound(pool)


async def test_forgetting_a_segment_while_others_write(index: PostgresMembershipIndex, pool: Pool) -> None:
    await index.put_many([profile(f"user-{number}", 1, "gone", "kept") for number in range(2_500)])
    forgotten, *_ = await asyncio.gather(
        index.forget_segment("w", "gone"),
        *(index.put_many([profile(f"user-{number}", 2, "kept") for number in range(at, at + 50)]) for at in (0, 900)),
    )
    assert forgotten <= 2_500
    assert await index.sizes("w") == {"kept": 2_500}
    await assert_sound(pool)
    assert await index.forget_segment("w", "gone") == 0
    # A profile that enters it again is counted again.
    assert await index.put_many([profile("user-7", 3, "gone", "kept")]) == 1
    assert await index.size("w", "gone") == 1
    await assert_sound(pool)


async def changes(pool: Pool, segment: str) -> list[tuple[str, bool, int]]:
    found = await pool.fetch(
        "SELECT profile_id, entered, at_ms FROM membership_changes WHERE segment_key = $1 ORDER BY seq", segment
    )
    return [(row[0].decode(), row[1], row[2]) for row in found]


async def assert_told(pool: Pool) -> None:
    """Whoever applies the changes in the order of their numbers has the members."""
    told: dict[tuple[str, str, bytes], bool] = {}
    for row in await pool.fetch(
        "SELECT workspace, segment_key, profile_id, entered FROM membership_changes ORDER BY seq"
    ):
        key = (row[0], row[1], row[2])
        assert told.get(key, False) is not row[3], f"{key} was told twice"
        told[key] = row[3]
    members = await pool.fetch("SELECT workspace, segment_key, profile_id FROM memberships")
    assert {key for key, entered in told.items() if entered} == set(map(tuple, members))


async def test_changes_are_told_once_and_in_order(index: PostgresMembershipIndex, pool: Pool) -> None:
    await index.put_many([profile("a", 1, "vip"), profile("b", 1, "vip")])
    await index.put_many([profile("a", 2, "vip"), profile("a", 1, "old")])  # nothing but a later beginning
    await index.put_many([profile("a", 3)])
    await index.put_many([profile("a", 3)])
    assert await changes(pool, "vip") == [
        ("a", True, 1_600_000_000_001),
        ("b", True, 1_600_000_000_001),
        ("a", False, 1_700_000_000_003),
    ]
    assert await changes(pool, "old") == []
    await assert_told(pool)


async def test_what_a_batch_takes_back_is_told_too(index: PostgresMembershipIndex, pool: Pool) -> None:
    await index.put_many([profile("a", 1, "vip")])
    await index.put_many([profile("a", 4, "vip"), profile("a", 2), profile("a", 3, "new"), profile("a", 1, "old")])
    assert [each[1] for each in await changes(pool, "vip")] == [True, False, True]
    assert [each[1] for each in await changes(pool, "new")] == [True, False]
    assert await index.sizes("w") == {"vip": 1}
    await assert_sound(pool)
    await assert_told(pool)


async def test_a_reader_beside_many_writers_misses_no_number(index: PostgresMembershipIndex, pool: Pool) -> None:
    done = asyncio.Event()
    seen: list[int] = []

    async def follow() -> None:
        last = 0
        while not done.is_set() or last < await pool.fetchval("SELECT coalesce(max(seq), 0) FROM membership_changes"):
            rows = await pool.fetch(
                "SELECT seq FROM membership_changes WHERE workspace = 'w' AND segment_key = 'vip' AND seq > $1", last
            )
            seen.extend(row[0] for row in rows)
            last = max([last, *(row[0] for row in rows)])

    async def write(writer: int) -> None:
        for version in range(1, 40):
            member = ("vip",) if version % 2 else ()
            await index.put_many([profile(f"user-{writer}-{number}", version, *member) for number in range(5)])

    reader = asyncio.create_task(follow())
    await asyncio.gather(*map(write, range(5)))
    done.set()
    await reader
    rows = await pool.fetch("SELECT seq FROM membership_changes ORDER BY seq")
    assert sorted(seen) == [row[0] for row in rows]
    assert len(seen) == 5 * 5 * 39
    await assert_told(pool)
