"""What writes to the catalog share: one lock for all of them, the question whether segments need what is to go, and
what a saved segment lacks of its history.

A segment is saved against the very segments, lists and computed traits that its rule was checked against, and nothing
that a rule names is taken away meanwhile.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final, Literal

from audience.adapters.postgres.pool import Connection, Pool
from audience.ports.catalog import Segment, SegmentInUse, SegmentNotFilled

_WRITE_LOCK: Final = 0x5345474D


@asynccontextmanager
async def writing(pool: Pool) -> AsyncIterator[Connection]:
    """A transaction that is the only one to write to the catalog."""
    async with pool.transaction() as connection:
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _WRITE_LOCK)
        yield connection


async def unused(
    connection: Connection, workspace: str, key: str, by: Literal["refers_to", "reads_lists", "reads_computed_traits"]
) -> None:
    """Raise SegmentInUse where rules name `key`. An archived segment does not count: to be live again it has to be
    saved, and its rule is checked then."""
    rows = await connection.fetch(
        f"""
        SELECT key FROM segments
        WHERE workspace = $1 AND ($3 OR key <> $2) AND $2 = ANY({by}) AND status NOT IN ('archived', 'deleted')
        ORDER BY key
        """,  # noqa: S608  one of three constants
        workspace,
        key,
        by != "refers_to",
    )
    if rows:
        raise SegmentInUse([row["key"] for row in rows])


_NEW: Final = """
    SELECT array_agg(leaf ORDER BY leaf) FROM unnest($2::text[]) AS leaf WHERE NOT EXISTS (
        SELECT FROM segments WHERE workspace = $1 AND status IN ('live', 'paused') AND (key <> $3 OR $4)
            AND leaf = ANY(leaves) AND NOT leaf = ANY(new_leaves)
    )
"""
_WAITS: Final = """
    WITH waiting AS (
        INSERT INTO backfills (number, workspace, segment, version, state, created_ms)
        VALUES ($3, $1, $2, $4, 'waiting', $5)
    ) UPDATE segments SET leaves = $6, new_leaves = $7, backfill = $3 WHERE workspace = $1 AND key = $2
"""


async def with_history(
    connection: Connection, before: Segment | None, saved: Segment, leaves: frozenset[str] | None, *, filled: bool
) -> Segment:
    """A segment that was just saved: where its rule is new to the job it waits for a backfill from now on.

    `leaves`: what the rule measures. Those that a live or paused segment keeps with their history are not new; without
    any that are, nothing but the profiles that there are is looked at. Not `filled`: there is no lake, and it is live
    with what comes.
    """
    was_evaluated = before is not None and before.evaluated
    if was_evaluated and before is not None and saved.evaluated and before.version == saved.version:
        return saved
    if before is not None and before.backfill is not None:
        reason = "superseded" if saved.evaluated else "not_evaluated"
        await end_backfill(connection, before.backfill, "cancelled", reason, saved.revised_ms)
    if not saved.evaluated or leaves is None:
        await connection.execute(
            "UPDATE segments SET leaves = NULL, new_leaves = '{}', backfill = NULL WHERE workspace = $1 AND key = $2",
            saved.workspace,
            saved.key,
        )
        return replace(saved, backfill=None, new_leaves=())
    new = await connection.fetchval(_NEW, saved.workspace, sorted(leaves), saved.key, was_evaluated) or []
    waiting = await _waits(connection, saved, sorted(leaves), new)
    if filled:
        return waiting
    await end_backfill(connection, saved.revision, "unavailable", "no_lake", saved.revised_ms)
    await connection.execute(
        "UPDATE segments SET backfill = NULL WHERE workspace = $1 AND key = $2", saved.workspace, saved.key
    )
    return replace(waiting, backfill=None)


async def filled_again(connection: Connection, segment: Segment, now_ms: int) -> Segment:
    """The segment waits for a backfill of all that it measures, unless it waits for one already."""
    if segment.backfill is not None:
        return segment
    leaves = await connection.fetchval(
        "SELECT leaves FROM segments WHERE workspace = $1 AND key = $2", segment.workspace, segment.key
    )
    if not segment.evaluated or leaves is None:
        raise SegmentNotFilled(segment.key)
    raised = await raise_revision(connection, segment.workspace, segment.key, now_ms)
    return await _waits(connection, replace(segment, revision=raised, revised_ms=now_ms), leaves, leaves)


async def _waits(connection: Connection, segment: Segment, leaves: list[str], new: list[str]) -> Segment:
    number = segment.revision
    await connection.execute(
        _WAITS, segment.workspace, segment.key, number, segment.version, segment.revised_ms, leaves, new
    )
    return replace(segment, backfill=number, new_leaves=tuple(new))


async def raise_revision(connection: Connection, workspace: str, key: str, now_ms: int) -> int:
    """Have the jobs told of a segment anew, though no author wrote it."""
    revision: int = await connection.fetchval(
        """
        UPDATE segments SET revision = nextval('segment_revisions'), revised_ms = $3
        WHERE workspace = $1 AND key = $2 RETURNING revision
        """,
        workspace,
        key,
        now_ms,
    )
    return revision


async def end_backfill(
    connection: Connection,
    number: int,
    state: Literal["done", "cancelled", "failed", "unavailable"],
    reason: str | None,
    now_ms: int,
) -> None:
    """A backfill is over; nothing where it was already."""
    await connection.execute(
        "UPDATE backfills SET state = $2, reason = $3, ended_ms = $4 WHERE number = $1 AND ended_ms IS NULL",
        number,
        state,
        reason,
        now_ms,
    )
