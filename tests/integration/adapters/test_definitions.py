"""Lists, computed traits and idempotency keys on PostgreSQL."""

import asyncio

import pytest

from audience.adapters.postgres.catalog import PostgresSegmentCatalog
from audience.adapters.postgres.computed_traits import PostgresComputedTraitCatalog
from audience.adapters.postgres.idempotency import CLAIM_LASTS_MS, PostgresIdempotencyKeys
from audience.adapters.postgres.lists import PostgresListCatalog
from audience.adapters.postgres.pool import Pool
from audience.ports.catalog import (
    CatalogMoved,
    ComputedTraitMissing,
    KeptAnswer,
    KeyInUse,
    KeyTaken,
    ListMissing,
    SegmentDraft,
    SegmentInUse,
)

pytestmark = pytest.mark.platform


async def test_lists(pool: Pool) -> None:
    lists, catalog = PostgresListCatalog(pool), PostgresSegmentCatalog(pool)
    await pool.execute("INSERT INTO workspaces (workspace) VALUES ('w')")
    assert await lists.get("w", "news") is None
    with pytest.raises(ListMissing):
        await lists.add("w", "news", ["a"], 1)
    made, new = await lists.put("w", "news", "News", 1)
    assert (made.size, new) == (0, True)
    renamed, new = await lists.put("w", "news", "Newer", 2)
    assert (renamed.name, renamed.updated_ms, new) == ("Newer", 2, False)
    await lists.put("w", "old", "Old", 1)
    assert (await lists.add("w", "news", ["a", "b", "a"], 3))[1] == 2
    found, added = await lists.add("w", "news", ["b", "c"], 4)
    assert (found.size, added) == (3, 1)
    await lists.add("w", "old", ["a"], 4)
    assert [each.key for each in await lists.page("w", "", 10)] == ["news", "old"]
    async with lists.publishing(10) as untold:
        assert {each.profile_id: each.lists for each in untold} == {
            "a": ("news", "old"),
            "b": ("news",),
            "c": ("news",),
        }
        await lists.add("w", "old", ["b"], 5)  # while they are told
    async with lists.publishing(10) as untold:
        assert [(each.profile_id, each.lists) for each in untold] == [("b", ("news", "old"))]
    with pytest.raises(RuntimeError):
        async with lists.publishing(10):
            raise RuntimeError
    draft = SegmentDraft("s", "", "", {"list": "news"}, (), "live", reads_lists=frozenset(("news",)))
    await catalog.create("w", draft, await catalog.view("w"), 1)
    with pytest.raises(SegmentInUse):
        await lists.delete("w", "news")
    await catalog.delete("w", "s", None, 2)
    await lists.delete("w", "news")
    async with lists.publishing(10) as untold:
        assert {each.profile_id: each.lists for each in untold} == {"a": ("old",), "b": ("old",), "c": ()}
    with pytest.raises(ListMissing):
        await lists.delete("w", "news")


async def test_a_segment_is_saved_against_the_lists_that_it_was_checked_with(pool: Pool) -> None:
    lists, catalog = PostgresListCatalog(pool), PostgresSegmentCatalog(pool)
    await pool.execute("INSERT INTO workspaces (workspace) VALUES ('w')")
    await lists.put("w", "news", "", 1)
    view = await catalog.view("w")
    assert view.lists == {"news"}
    await lists.delete("w", "news")
    draft = SegmentDraft("s", "", "", {"list": "news"}, (), "live", reads_lists=frozenset(("news",)))
    with pytest.raises(CatalogMoved):
        await catalog.create("w", draft, view, 1)


async def test_computed_traits(pool: Pool) -> None:
    traits, catalog = PostgresComputedTraitCatalog(pool), PostgresSegmentCatalog(pool)
    await pool.execute("INSERT INTO workspaces (workspace) VALUES ('w')")
    made, new = await traits.put("w", "ltv", {"event": "x"}, 1)
    assert (made.definition, new) == ({"event": "x"}, True)
    async with traits.publishing(10) as untold:
        assert [(each.key, each.deleted) for each in untold] == [("ltv", False)]
    replaced, new = await traits.put("w", "ltv", {"event": "y"}, 2)
    assert (replaced.created_ms, replaced.updated_ms, new) == (1, 2, False)
    assert replaced.revision > made.revision
    rule = {"trait": "computed.ltv", "op": "exists"}
    draft = SegmentDraft("s", "", "", rule, (), "draft", reads_computed_traits=frozenset(("ltv",)))
    await catalog.create("w", draft, await catalog.view("w"), 1)
    with pytest.raises(SegmentInUse):
        await traits.delete("w", "ltv", 3)
    await catalog.delete("w", "s", None, 2)
    await traits.delete("w", "ltv", 3)
    assert await traits.get("w", "ltv") is None
    assert (await catalog.view("w")).computed_traits == frozenset()
    async with traits.publishing(10) as untold:
        assert [(each.key, each.deleted) for each in untold] == [("ltv", True)]
    async with traits.publishing(10) as untold:
        assert untold == []
    with pytest.raises(ComputedTraitMissing):
        await traits.delete("w", "ltv", 3)


async def test_idempotency_keys(pool: Pool) -> None:
    keys = PostgresIdempotencyKeys(pool)
    assert await keys.claim("w", "k", b"1", 1_000) is None
    with pytest.raises(KeyInUse):
        await keys.claim("w", "k", b"1", 1_001)
    with pytest.raises(KeyTaken):
        await keys.claim("w", "k", b"2", 1_001)
    assert await keys.claim("other", "k", b"2", 1_001) is None
    assert await keys.claim("w", "k", b"1", 1_001 + CLAIM_LASTS_MS) is None  # its process ended
    answer = KeptAnswer(201, {"etag": "1"}, b"{}")
    await keys.keep("w", "k", answer)
    assert await keys.claim("w", "k", b"1", 10_000_000) == answer
    await keys.release("w", "k")  # an answer stays
    assert await keys.claim("w", "k", b"1", 10_000_000) == answer
    await keys.release("other", "k")
    assert await keys.claim("other", "k", b"3", 1_001) is None
    await keys.forget(10_000_000)
    assert await keys.claim("w", "k", b"9", 1_000) is None
    racers = await asyncio.gather(*(keys.claim("w", "r", b"1", 5) for _ in range(8)), return_exceptions=True)
    assert sum(each is None for each in racers) == 1
