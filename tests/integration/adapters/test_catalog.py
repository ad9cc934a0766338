"""The catalog of segments on PostgreSQL."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from audience.adapters.postgres.catalog import PostgresSegmentCatalog
from audience.adapters.postgres.evaluation_progress import PostgresEvaluationProgress
from audience.adapters.postgres.external_ids import PostgresExternalIds
from audience.adapters.postgres.pool import Pool
from audience.adapters.postgres.sources import PostgresSourceCatalog, SourceExists, SourceMissing
from audience.adapters.postgres.tokens import PostgresTokenCatalog, TokenExists, TokenMissing
from audience.ports.catalog import (
    CatalogMoved,
    EvaluatedSegments,
    RevisionConflict,
    SegmentDraft,
    SegmentExists,
    SegmentInUse,
    SegmentLeaving,
    SegmentMissing,
    Source,
    TokenAccess,
)
from audience.ports.evaluation import Reached
from audience.ports.external_ids import SeenId

pytestmark = pytest.mark.platform

ANY = None
RULE = {"event": "Order Completed", "where": [{"property": "name", "op": "eq", "value": "\u0000"}]}


def draft(key: str, *refers_to: str, status: str = "live", **changes: object) -> SegmentDraft:
    made = SegmentDraft(key, key.title(), "", RULE, ("a", "b"), status, frozenset(refers_to))  # type: ignore[arg-type]
    return replace(made, **changes)  # type: ignore[arg-type]


@pytest.fixture
async def catalog(pool: Pool) -> PostgresSegmentCatalog:
    await pool.execute("INSERT INTO workspaces (workspace) VALUES ('w'), ('other')")
    return PostgresSegmentCatalog(pool)


async def create(catalog: PostgresSegmentCatalog, made: SegmentDraft, now_ms: int = 1) -> int:
    return (await catalog.create("w", made, await catalog.view("w"), now_ms)).revision


async def test_what_was_created_is_there(catalog: PostgresSegmentCatalog) -> None:
    segment = await catalog.create("w", draft("vip"), await catalog.view("w"), 5)
    assert (segment.version, segment.created_ms, segment.updated_ms) == (1, 5, 5)
    assert segment.rule == RULE
    assert segment.tags == ("a", "b")
    assert await catalog.get("w", "vip") == segment
    assert await catalog.get("other", "vip") is None
    assert await catalog.get("w", "none") is None
    with pytest.raises(SegmentExists):
        await create(catalog, draft("vip"))


async def test_pages_are_in_the_order_of_bytes(catalog: PostgresSegmentCatalog) -> None:
    for key in ("b", "a", "a-1", "a1", "c"):
        await create(catalog, draft(key))
    first = await catalog.page("w", "", 3)
    assert [each.key for each in first] == ["a", "a-1", "a1"]
    assert [each.key for each in await catalog.page("w", "a1", 3)] == ["b", "c"]
    assert await catalog.page("other", "", 3) == []


async def test_only_a_changed_rule_makes_a_version(catalog: PostgresSegmentCatalog, pool: Pool) -> None:
    first = await create(catalog, draft("vip"))
    view = await catalog.view("w")
    second = await catalog.replace("w", draft("vip", name="VIP", status="paused"), view, frozenset((first,)), 9)
    assert (second.version, second.name, second.status, second.created_ms, second.updated_ms) == (
        1, "VIP", "paused", 1, 9,
    )  # fmt: skip
    assert second.revision > first
    third = await catalog.replace("w", draft("vip", rule={"event": "x"}), await catalog.view("w"), ANY, 10)
    assert third.version == 2
    versions = await pool.fetch("SELECT version, created_ms FROM segment_versions ORDER BY version")
    assert [tuple(row) for row in versions] == [(1, 1), (2, 10)]


async def test_a_stale_revision_changes_nothing(catalog: PostgresSegmentCatalog) -> None:
    first = await create(catalog, draft("vip"))
    second = await catalog.replace("w", draft("vip"), await catalog.view("w"), frozenset((first,)), 2)
    for known in (frozenset((first,)), frozenset[int]()):
        with pytest.raises(RevisionConflict):
            await catalog.replace("w", draft("vip"), await catalog.view("w"), known, 3)
        with pytest.raises(RevisionConflict):
            await catalog.delete("w", "vip", known, 3)
    assert await catalog.get("w", "vip") == second


async def test_saving_against_an_old_view_fails(catalog: PostgresSegmentCatalog) -> None:
    view = await catalog.view("w")
    await create(catalog, draft("a"))
    with pytest.raises(CatalogMoved):
        await catalog.create("w", draft("b"), view, 1)
    with pytest.raises(CatalogMoved):
        await catalog.replace("w", draft("a"), view, ANY, 1)


async def test_of_two_that_save_at_once_one_looks_again(catalog: PostgresSegmentCatalog) -> None:
    """Two that name each other would make a cycle; checked against one view, only one of them is saved."""
    await create(catalog, draft("a"))
    await create(catalog, draft("b"))
    view = await catalog.view("w")
    results = await asyncio.gather(
        catalog.replace("w", draft("a", "b"), view, ANY, 2),
        catalog.replace("w", draft("b", "a"), view, ANY, 2),
        return_exceptions=True,
    )
    assert sorted(type(each).__name__ for each in results) == ["CatalogMoved", "Segment"]


async def test_the_view_holds_what_may_be_referred_to(catalog: PostgresSegmentCatalog) -> None:
    for key, status in (("live", "live"), ("paused", "paused"), ("draft", "draft"), ("archived", "archived")):
        await create(catalog, draft(key, status=status))
    await create(catalog, draft("user", "live", "paused"))
    view = await catalog.view("w")
    assert view.segments == {
        "live": frozenset(),
        "paused": frozenset(),
        "user": frozenset(("live", "paused")),
    }
    assert (await catalog.view("other")).segments == {}


@pytest.mark.parametrize("status", ["draft", "live", "paused"])
async def test_what_others_refer_to_stays(catalog: PostgresSegmentCatalog, status: str) -> None:
    await create(catalog, draft("vip"))
    await create(catalog, draft("user", "vip", status=status))
    with pytest.raises(SegmentInUse) as refused:
        await catalog.delete("w", "vip", ANY, 2)
    assert refused.value.users == ("user",)
    for away in ("archived", "draft"):
        with pytest.raises(SegmentInUse):
            await catalog.replace("w", draft("vip", status=away), await catalog.view("w"), ANY, 2)
    await catalog.replace("w", draft("vip", status="paused"), await catalog.view("w"), ANY, 2)
    await catalog.replace("w", draft("user", "vip", status="archived"), await catalog.view("w"), ANY, 3)
    await catalog.delete("w", "vip", ANY, 4)
    assert await catalog.get("w", "vip") is None


async def test_a_deleted_segment_leaves_step_by_step(catalog: PostgresSegmentCatalog, pool: Pool) -> None:
    await create(catalog, draft("vip"))
    async with catalog.publishing(10):
        pass
    await catalog.delete("w", "vip", ANY, 7)
    with pytest.raises(SegmentMissing):
        await catalog.delete("w", "vip", ANY, 8)
    with pytest.raises(SegmentMissing):
        await catalog.replace("w", draft("vip"), await catalog.view("w"), ANY, 8)
    assert await catalog.page("w", "", 10) == []
    assert (await catalog.view("w")).segments == {}
    assert await catalog.leaving() == []  # the jobs have not been told
    with pytest.raises(SegmentLeaving):
        await create(catalog, draft("vip"))
    async with catalog.publishing(10) as untold:
        assert [(each.key, each.deleted) for each in untold] == [("vip", True)]
    [leaving] = await catalog.leaving()
    await catalog.purge(replace(leaving, revision=0))  # another revision: not this one
    assert len(await catalog.leaving()) == 1
    await catalog.purge(leaving)
    assert await catalog.leaving() == []
    assert await pool.fetchval("SELECT count(*) FROM segment_versions") == 0
    assert await create(catalog, draft("vip")) > leaving.revision


async def test_publishing_tells_each_revision_once_and_in_order(catalog: PostgresSegmentCatalog) -> None:
    revisions = [await create(catalog, draft(key)) for key in ("b", "a", "c")]
    async with catalog.publishing(2) as untold:
        assert [each.revision for each in untold] == revisions[:2]
    async with catalog.publishing(10) as untold:
        assert [each.revision for each in untold] == revisions[2:]
    async with catalog.publishing(10) as untold:
        assert untold == []


async def test_what_could_not_be_told_is_told_later(catalog: PostgresSegmentCatalog) -> None:
    await create(catalog, draft("vip"))
    with pytest.raises(RuntimeError, match="Kafka"):
        async with catalog.publishing(10):
            raise RuntimeError("Kafka is away")
    async with catalog.publishing(10) as untold:
        assert len(untold) == 1


async def test_a_change_while_telling_is_told_next(catalog: PostgresSegmentCatalog) -> None:
    await create(catalog, draft("vip"))
    async with catalog.publishing(10) as untold:
        changing = asyncio.create_task(catalog.replace("w", draft("vip", name="New"), await catalog.view("w"), ANY, 2))
        await asyncio.wait([changing], timeout=0.2)
        assert untold[0].name == "Vip"
    await changing
    async with catalog.publishing(10) as untold:
        assert [each.name for each in untold] == ["New"]


async def test_two_publishers_take_turns(catalog: PostgresSegmentCatalog) -> None:
    await create(catalog, draft("vip"))
    order = []

    async def publish(name: str) -> None:
        async with catalog.publishing(10) as untold:
            order.append((name, len(untold)))
            await asyncio.sleep(0.05)
            order.append((name, -1))

    await asyncio.gather(publish("one"), publish("two"))
    first, second = order[0][0], order[2][0]
    assert order == [(first, 1), (first, -1), (second, 0), (second, -1)]


async def test_the_mark_of_the_evaluated_moves_with_every_write(catalog: PostgresSegmentCatalog) -> None:
    first = await catalog.evaluated(None)
    assert first is not None
    assert await catalog.evaluated(first[0]) is None
    await create(catalog, draft("vip"))
    await create(catalog, draft("later", status="draft"))
    await create(catalog, draft("still", status="paused"))
    second = await catalog.evaluated(first[0])
    assert second is not None
    saved = await catalog.get("w", "vip")
    assert saved is not None
    assert second[1] == {"w": EvaluatedSegments(frozenset(("vip", "still")), {"vip": saved.updated_ms})}
    await catalog.delete("w", "vip", ANY, 2)
    third = await catalog.evaluated(second[0])
    assert third is not None
    assert third[1] == {"w": EvaluatedSegments(frozenset(("still",)), {})}


async def test_how_far_evaluation_has_come(pool: Pool, catalog: PostgresSegmentCatalog) -> None:
    progress = PostgresEvaluationProgress(pool)
    assert await progress.read() is None
    for reached in (Reached(5, 7), Reached(9, 3), Reached(8, 8)):
        await progress.advance(reached)
    assert await progress.read() == Reached(9, 8)
    assert await progress.untold_since_ms() is None
    await create(catalog, draft("vip"))
    await create(catalog, draft("later"))
    first = await catalog.get("w", "vip")
    assert first is not None
    assert await progress.untold_since_ms() == first.updated_ms
    async with catalog.publishing(10):
        pass
    assert await progress.untold_since_ms() is None


async def test_ids_lead_to_the_profile_that_came_with_them_last(pool: Pool) -> None:
    ids = PostgresExternalIds(pool)
    seen = [
        SeenId("w", "email", "a@x", "ada", 5),
        SeenId("w", "email", "a@x", "bob", 7),
        SeenId("w", "crm", "1", "\0", 5),
    ]
    assert await ids.put_many(seen) == 2
    assert await ids.put_many(seen) == 0
    assert await PostgresExternalIds(pool).put_many([SeenId("w", "email", "a@x", "ada", 6)]) == 0  # older
    assert await ids.profile_of("w", "email", "a@x") == "bob"
    assert await ids.profile_of("w", "crm", "1") == "\0"
    assert await ids.profile_of("other", "email", "a@x") is None
    assert await ids.put_many([SeenId("w", "email", "a@x", "ada", 8)]) == 1
    assert await ids.profile_of("w", "email", "a@x") == "ada"


async def test_sources(pool: Pool) -> None:
    sources = PostgresSourceCatalog(pool)
    shop = Source("w", "shop", "The shop", "key-1")
    await sources.create(shop)
    await sources.create(Source("v", "shop", "Another", "key-2"))
    assert await sources.sources() == [Source("v", "shop", "Another", "key-2"), shop]
    for taken in (Source("w", "shop", "", "key-3"), Source("w", "app", "", "key-1")):
        with pytest.raises(SourceExists):
            await sources.create(taken)
    assert len(await sources.sources()) == 2
    web = Source("w", "web", "The site", "key-4", "browser", 50)
    await sources.create(web)
    assert web in await sources.sources()
    await sources.revoke("w", "web")
    assert web not in await sources.sources()
    for gone in ("web", "nope"):
        with pytest.raises(SourceMissing):
            await sources.revoke("w", gone)
    with pytest.raises(SourceExists):  # events name it still
        await sources.create(web)


async def test_tokens(pool: Pool) -> None:
    tokens = PostgresTokenCatalog(pool)
    await tokens.create("w", "ci", b"1" * 32)
    await tokens.create("w", "shop", b"4" * 32, ("memberships:read",), datetime.now(UTC) + timedelta(hours=1))
    await tokens.create("w", "over", b"5" * 32, expires_at=datetime.now(UTC) - timedelta(seconds=1))
    assert await tokens.access_of(b"1" * 32) == TokenAccess("w", frozenset("*"))
    assert await tokens.access_of(b"4" * 32) == TokenAccess("w", frozenset(("memberships:read",)))
    assert await tokens.access_of(b"2" * 32) is None
    assert await tokens.access_of(b"5" * 32) is None
    with pytest.raises(TokenExists):
        await tokens.create("w", "ci", b"3" * 32)
    with pytest.raises(TokenExists):
        await tokens.create("w", "other", b"1" * 32)
    await tokens.used({b"1" * 32: 1_700_000_000.0, b"2" * 32: 1.0})
    await tokens.used({b"1" * 32: 1_600_000_000.0})
    found = {each.name: each for each in await tokens.list()}
    assert sorted(found) == ["ci", "over", "shop"]
    assert found["ci"].last_used_at == datetime.fromtimestamp(1_700_000_000, UTC)
    assert found["shop"].last_used_at is None
    await tokens.revoke("w", "ci")
    assert await tokens.access_of(b"1" * 32) is None
    with pytest.raises(TokenMissing):
        await tokens.revoke("w", "ci")
