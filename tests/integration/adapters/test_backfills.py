"""Backfills on PostgreSQL: which leaves are new, who waits, how passes go on."""

from dataclasses import replace

import pytest

from audience.adapters.postgres.backfills import PostgresBackfillPasses, PostgresBackfills
from audience.adapters.postgres.catalog import PostgresSegmentCatalog
from audience.adapters.postgres.pool import Pool
from audience.ports.backfills import BackfillMissing, Pass
from audience.ports.catalog import Segment, SegmentDraft, SegmentNotFilled

pytestmark = pytest.mark.platform

RULE = {"event": "Order"}
MARKS = {("segments", 0): 7}


@pytest.fixture
async def catalog(pool: Pool) -> PostgresSegmentCatalog:
    await pool.execute("INSERT INTO workspaces (workspace) VALUES ('w'), ('other')")
    return PostgresSegmentCatalog(pool)


@pytest.fixture
def backfills(pool: Pool) -> PostgresBackfills:
    return PostgresBackfills(pool)


@pytest.fixture
def passes(pool: Pool) -> PostgresBackfillPasses:
    return PostgresBackfillPasses(pool)


def draft(key: str, *leaves: str, status: str = "live", rule: object = RULE, filled: bool = True) -> SegmentDraft:
    return SegmentDraft(key, key, "", rule, (), status, leaves=frozenset(leaves), filled=filled)  # type: ignore[arg-type]


async def create(catalog: PostgresSegmentCatalog, made: SegmentDraft, workspace: str = "w") -> Segment:
    return await catalog.create(workspace, made, await catalog.view(workspace), 1)


async def replaced(catalog: PostgresSegmentCatalog, made: SegmentDraft) -> Segment:
    return await catalog.replace("w", made, await catalog.view("w"), None, 2)


async def tell(catalog: PostgresSegmentCatalog) -> list[Segment]:
    async with catalog.publishing(100) as told:
        return list(told)


async def begun(catalog: PostgresSegmentCatalog, passes: PostgresBackfillPasses) -> Pass:
    await tell(catalog)
    found = await passes.begin(5)
    assert found is not None
    return found


async def whole(catalog: PostgresSegmentCatalog, passes: PostgresBackfillPasses) -> None:
    assert await passes.finish(await begun(catalog, passes), 9)


async def state(backfills: PostgresBackfills, key: str) -> tuple[str, str | None]:
    found = (await backfills.newest("w", [key]))[key]
    return found.state, found.reason


async def test_what_others_keep_with_its_history_is_not_new(
    catalog: PostgresSegmentCatalog, passes: PostgresBackfillPasses
) -> None:
    first = await create(catalog, draft("first", "a", "b"))
    assert (first.backfill, first.new_leaves) == (first.revision, ("a", "b"))
    # It waits still: nothing that it measures can be relied on.
    assert (await create(catalog, draft("second", "a"))).new_leaves == ("a",)
    assert (await create(catalog, draft("elsewhere", "a"), "other")).new_leaves == ("a",)
    await whole(catalog, passes)
    assert (await create(catalog, draft("third", "a", "c"))).new_leaves == ("c",)
    kept = await create(catalog, draft("fourth", "b"))
    assert (kept.new_leaves, kept.backfill) == ((), kept.revision)
    # Its own old rule counts as others do.
    edited = await replaced(catalog, draft("first", "a", "d", rule={"event": "Edited"}))
    assert edited.new_leaves == ("d",)


async def test_an_end_is_no_authors_write_and_is_told(
    catalog: PostgresSegmentCatalog, passes: PostgresBackfillPasses, backfills: PostgresBackfills
) -> None:
    made = await create(catalog, draft("vip", "a"))
    await whole(catalog, passes)
    [told] = await tell(catalog)
    assert (told.backfill, told.new_leaves, told.saved_revision) == (None, (), made.saved_revision)
    assert told.revision > made.revision
    assert (told.updated_ms, told.revised_ms) == (1, 9)
    assert await state(backfills, "vip") == ("done", None)
    await catalog.replace("w", draft("vip", "a"), await catalog.view("w"), frozenset({made.saved_revision}), 2)
    assert await backfills.page("w", outstanding=True) == []


async def test_drafts_and_renames_wait_for_nothing(
    catalog: PostgresSegmentCatalog, passes: PostgresBackfillPasses, backfills: PostgresBackfills
) -> None:
    assert (await create(catalog, draft("plan", "a", status="draft"))).backfill is None
    live = await replaced(catalog, draft("plan", "a"))
    assert live.backfill == live.revision
    renamed = await replaced(catalog, replace(draft("plan", "a"), name="New"))
    assert (renamed.backfill, renamed.new_leaves) == (live.backfill, ("a",))
    again = await replaced(catalog, draft("plan", "b", rule={"event": "Edited"}))
    assert again.backfill == again.revision
    assert await state(backfills, "plan") == ("waiting", None)
    back = await replaced(catalog, draft("plan", "b", rule={"event": "Edited"}, status="archived"))
    assert back.backfill is None
    assert await state(backfills, "plan") == ("cancelled", "not_evaluated")
    reasons = {each.number: each.reason for each in await backfills.page("w", outstanding=False)}
    assert reasons[live.revision] == "superseded"
    await tell(catalog)
    assert await passes.begin(5) is None


async def test_without_a_lake_it_says_so(catalog: PostgresSegmentCatalog, backfills: PostgresBackfills) -> None:
    made = await create(catalog, draft("vip", "a", filled=False))
    assert (made.backfill, made.new_leaves) == (None, ("a",))
    assert await state(backfills, "vip") == ("unavailable", "no_lake")
    assert (await create(catalog, draft("other", "a"))).new_leaves == ("a",)


async def test_only_what_was_told_begins_and_all_of_it_in_one_pass(
    catalog: PostgresSegmentCatalog, passes: PostgresBackfillPasses
) -> None:
    await create(catalog, draft("one", "a"))
    await create(catalog, draft("two", "b"))
    assert await passes.begin(5) is None
    begun_pass = await begun(catalog, passes)
    assert [wanted.new_leaves for wanted in begun_pass.wanted] == [{"a"}, {"b"}]
    assert begun_pass.marks == {}
    assert await passes.open() == begun_pass
    await create(catalog, draft("three", "c"))
    await tell(catalog)
    assert await passes.open() == begun_pass


async def test_a_pass_goes_through_its_phases_once(
    catalog: PostgresSegmentCatalog, passes: PostgresBackfillPasses, backfills: PostgresBackfills
) -> None:
    await create(catalog, draft("vip", "a"))
    known = await begun(catalog, passes)
    await passes.advance(known, "archiving", now_ms=6, marks=MARKS, cut={0: 3, 1: 4})
    await passes.advance(known, "confirming", now_ms=6)  # somebody else has been faster
    archiving = await passes.open()
    assert archiving is not None
    assert (archiving.phase, archiving.marks, archiving.cut) == ("archiving", MARKS, {0: 3, 1: 4})
    await passes.advance(archiving, "sending", now_ms=1_000, profiles=10)
    sending = await passes.open()
    assert sending is not None
    await passes.sent(sending, 100, 4, 40)
    await passes.sent(sending, 100, 4, 40)
    moved = await passes.open()
    assert moved is not None
    assert (moved.place, moved.done, moved.profiles) == (100, 4, 10)
    shown = (await backfills.newest("w", ["vip"]))["vip"]
    assert (shown.state, shown.phase, shown.done, shown.seconds_left(5_000)) == ("running", "sending", 4, 6)
    await passes.again(moved)
    restarted = await passes.open()
    assert restarted is not None
    assert (restarted.phase, restarted.place, restarted.done) == ("sending", 0, 0)


async def test_a_paused_one_goes_on_where_its_pass_waits(
    catalog: PostgresSegmentCatalog, passes: PostgresBackfillPasses, backfills: PostgresBackfills
) -> None:
    await create(catalog, draft("alone", "a"))
    known = await begun(catalog, passes)
    await passes.advance(known, "sending", now_ms=6, marks=MARKS, profiles=10)
    sending = await passes.open()
    assert sending is not None
    await passes.sent(sending, 100, 4, 40)
    await backfills.pause("w", "alone")
    assert await passes.open() is None
    await backfills.resume("w", "alone")
    resumed = await passes.open()
    assert resumed is not None
    assert (resumed.id, resumed.place) == (known.id, 100)


async def test_one_that_others_have_left_behind_begins_again(
    catalog: PostgresSegmentCatalog, passes: PostgresBackfillPasses, backfills: PostgresBackfills
) -> None:
    await create(catalog, draft("one", "a"))
    await create(catalog, draft("two", "b"))
    known = await begun(catalog, passes)
    await passes.advance(known, "sending", now_ms=6, marks=MARKS, profiles=10)
    sending = await passes.open()
    assert sending is not None
    await backfills.pause("w", "one")
    await passes.sent(sending, 100, 4, 40)
    await backfills.resume("w", "one")
    assert await state(backfills, "one") == ("waiting", None)
    assert await passes.finish(sending, 9) == 1
    assert await state(backfills, "two") == ("done", None)
    again = await passes.begin(10)
    assert again is not None
    assert len(again.wanted) == 1


async def test_cancelled_and_failed_ones_are_live_with_what_came(
    catalog: PostgresSegmentCatalog, passes: PostgresBackfillPasses, backfills: PostgresBackfills
) -> None:
    await create(catalog, draft("one", "a"))
    await create(catalog, draft("two", "b"))
    known = await begun(catalog, passes)
    await backfills.cancel("w", "one", 8)
    with pytest.raises(BackfillMissing):
        await backfills.pause("w", "one")
    await passes.fail(known, "internal", 9)
    assert await passes.open() is None
    assert await state(backfills, "one") == ("cancelled", "cancelled")
    assert await state(backfills, "two") == ("failed", "internal")
    told = {each.key: each for each in await tell(catalog)}
    assert {key: (each.backfill, each.new_leaves) for key, each in told.items()} == {
        "one": (None, ("a",)), "two": (None, ("b",)),
    }  # fmt: skip
    again = await catalog.fill_again("w", "one", 10)
    assert (again.backfill, again.new_leaves) == (again.revision, ("a",))
    assert (await catalog.fill_again("w", "one", 10)).backfill == again.backfill
    await create(catalog, draft("plan", "c", status="draft"))
    with pytest.raises(SegmentNotFilled):
        await catalog.fill_again("w", "plan", 10)
