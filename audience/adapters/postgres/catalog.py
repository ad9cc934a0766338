"""The segments of all workspaces in PostgreSQL.

Every write takes one lock, so that a rule is saved against the very catalog that it was checked against, nothing that
is referred to is taken away meanwhile, and revisions are committed in their order. Writes are an author's, so few that
the lock costs nothing. Telling the jobs takes a lock of its own: one process at a time does it, in order.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg
import msgspec

from audience.adapters.postgres.catalog_writes import filled_again, unused, with_history, writing
from audience.adapters.postgres.pool import Connection, Pool
from audience.ports.catalog import (
    CatalogMoved,
    CatalogView,
    EvaluatedSegments,
    RevisionConflict,
    Segment,
    SegmentDraft,
    SegmentExists,
    SegmentLeaving,
    SegmentMissing,
    SegmentVersion,
)

_PUBLISH_LOCK: Final = 0x5345474E
_COLUMNS: Final = (
    "workspace, key, name, description, rule, tags, status, version, revision, created_ms, updated_ms, "
    "saved_revision, revised_ms, backfill, new_leaves, born"
)


def _select(rest: str) -> str:
    return f"SELECT {_COLUMNS} FROM segments {rest}"  # noqa: S608  of constants of this module


_ONE: Final = _select("WHERE workspace = $1 AND key = $2 AND status <> 'deleted'")
_PAGE: Final = _select("WHERE workspace = $1 AND key > $2 AND status <> 'deleted' ORDER BY key LIMIT $3")
_UNPUBLISHED: Final = _select("WHERE published_revision < revision ORDER BY revision LIMIT $1")
_LEAVING: Final = _select("WHERE status = 'deleted' AND published_revision = revision")

_encode: Final = msgspec.json.Encoder(order="sorted").encode
_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode


class PostgresSegmentCatalog:
    """Implements `audience.ports.catalog.SegmentCatalog`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def view(self, workspace: str) -> CatalogView:
        """What a rule may refer to now."""
        async with self._pool.transaction(isolation="repeatable_read") as connection:
            revision, *readable = await _state(connection, workspace)
            rows = await connection.fetch(
                "SELECT key, refers_to FROM segments WHERE workspace = $1 AND status IN ('live', 'paused')", workspace
            )
        return CatalogView(revision, {row["key"]: frozenset(row["refers_to"]) for row in rows}, *readable)

    async def create(self, workspace: str, draft: SegmentDraft, view: CatalogView, now_ms: int) -> Segment:
        """Save a new segment as version 1."""
        async with writing(self._pool) as connection:
            status = await connection.fetchval(
                "SELECT status FROM segments WHERE workspace = $1 AND key = $2", workspace, draft.key
            )
            if status is not None:
                raise SegmentLeaving(draft.key) if status == "deleted" else SegmentExists(draft.key)
            await _same_view(connection, workspace, view)
            row = await connection.fetchrow(
                f"""
                INSERT INTO segments (workspace, key, name, description, rule, tags, status, refers_to,
                                      reads_lists, reads_computed_traits, version, revision, saved_revision,
                                      born, created_ms, updated_ms, revised_ms)
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $10, $11, 1, nextval('segment_revisions'),
                        currval('segment_revisions'), currval('segment_revisions'), $9, $9, $9)
                RETURNING {_COLUMNS}
                """,  # noqa: S608  a constant
                *_values(workspace, draft, now_ms),
            )
            segment = await with_history(connection, None, _segment(row), draft.leaves, filled=draft.filled)
            await _keep_version(connection, segment)
            return segment

    async def replace(
        self, workspace: str, draft: SegmentDraft, view: CatalogView, known: frozenset[int] | None, now_ms: int
    ) -> Segment:
        """Save a segment that is there; only a changed rule makes a new version."""
        async with writing(self._pool) as connection:
            before = await _held(connection, workspace, draft.key, known)
            if draft.status not in ("live", "paused"):
                await unused(connection, workspace, draft.key, "refers_to")
            await _same_view(connection, workspace, view)
            row = await connection.fetchrow(
                f"""
                UPDATE segments SET name = $3, description = $4, rule = $5, tags = $6, status = $7, refers_to = $8,
                    reads_lists = $10, reads_computed_traits = $11,
                    updated_ms = greatest($9, updated_ms), revised_ms = $9,
                    revision = nextval('segment_revisions'), saved_revision = currval('segment_revisions'),
                    version = version + CASE WHEN rule = $5 THEN 0 ELSE 1 END
                WHERE workspace = $1 AND key = $2
                RETURNING {_COLUMNS}
                """,  # noqa: S608  a constant
                *_values(workspace, draft, now_ms),
            )
            segment = await with_history(connection, before, _segment(row), draft.leaves, filled=draft.filled)
            if segment.version != before.version:
                await _keep_version(connection, segment)
            return segment

    async def fill_again(self, workspace: str, key: str, now_ms: int) -> Segment:
        """Have all that it measures filled from the lake once more."""
        async with writing(self._pool) as connection:
            return await filled_again(connection, await _held(connection, workspace, key, None), now_ms)

    async def delete(self, workspace: str, key: str, known: frozenset[int] | None, now_ms: int) -> None:
        """Take a segment out. Its row stays until the jobs have been told and its memberships are gone."""
        async with writing(self._pool) as connection:
            await _held(connection, workspace, key, known)
            await unused(connection, workspace, key, "refers_to")
            await connection.execute(
                """
                UPDATE segments SET status = 'deleted', refers_to = '{}', reads_lists = '{}',
                    reads_computed_traits = '{}', updated_ms = $3, revised_ms = $3, backfill = NULL,
                    revision = nextval('segment_revisions'), saved_revision = currval('segment_revisions')
                WHERE workspace = $1 AND key = $2
                """,
                workspace,
                key,
                now_ms,
            )

    async def get(self, workspace: str, key: str) -> Segment | None:
        """The segment; None where there is none."""
        row = await self._pool.fetchrow(_ONE, workspace, key)
        return None if row is None else _segment(row)

    async def page(self, workspace: str, after_key: str, limit: int) -> Sequence[Segment]:
        """Up to `limit` segments in the order of their keys, behind `after_key`."""
        rows = await self._pool.fetch(_PAGE, workspace, after_key, limit)
        return [_segment(row) for row in rows]

    async def versions(self, workspace: str, key: str, before: int, limit: int) -> Sequence[SegmentVersion]:
        """Up to `limit` versions below `before`, newest first."""
        rows = await self._pool.fetch(
            """
            SELECT version, rule, created_ms FROM segment_versions
            WHERE workspace = $1 AND key = $2 AND version < $3 ORDER BY version DESC LIMIT $4
            """,
            workspace,
            key,
            before,
            limit,
        )
        return [SegmentVersion(row["version"], _decode(row["rule"]), row["created_ms"]) for row in rows]

    async def evaluated(self, known: object) -> tuple[object, Mapping[str, EvaluatedSegments]] | None:
        """The live and paused segments of each workspace; the mark moves with every write."""
        async with self._pool.transaction(isolation="repeatable_read") as connection:
            mark = tuple(await connection.fetchrow("SELECT max(revision), count(*) FROM segments") or ())
            if mark == known:
                return None
            rows = await connection.fetch(
                """
                SELECT workspace, array_agg(key) AS keys, array_agg(key) FILTER (WHERE status = 'live') AS live,
                    array_agg(updated_ms) FILTER (WHERE status = 'live') AS saved_ms
                FROM segments WHERE status IN ('live', 'paused') GROUP BY workspace
                """
            )
        return mark, {
            row["workspace"]: EvaluatedSegments(
                frozenset(row["keys"]), dict(zip(row["live"] or (), row["saved_ms"] or (), strict=True))
            )
            for row in rows
        }

    @asynccontextmanager
    async def publishing(self, limit: int) -> AsyncIterator[Sequence[Segment]]:
        """The segments that the jobs have not been told of, held by this caller alone until the block ends."""
        async with self._pool.transaction() as connection:
            await connection.execute("SELECT pg_advisory_xact_lock($1)", _PUBLISH_LOCK)
            segments = [_segment(row) for row in await connection.fetch(_UNPUBLISHED, limit)]
            yield segments
            if segments:
                await connection.execute(
                    """
                    UPDATE segments SET published_revision = told.revision
                    FROM unnest($1::text[], $2::text[], $3::bigint[]) AS told (workspace, key, revision)
                    WHERE segments.workspace = told.workspace AND segments.key = told.key
                      AND segments.published_revision < told.revision
                    """,
                    [segment.workspace for segment in segments],
                    [segment.key for segment in segments],
                    [segment.revision for segment in segments],
                )

    async def leaving(self) -> Sequence[Segment]:
        """Deleted segments that the jobs have been told of."""
        return [_segment(row) for row in await self._pool.fetch(_LEAVING)]

    async def purge(self, segment: Segment) -> None:
        """Forget a deleted segment, whose memberships are gone."""
        await self._pool.execute(
            "DELETE FROM segments WHERE workspace = $1 AND key = $2 AND revision = $3 AND status = 'deleted'",
            segment.workspace,
            segment.key,
            segment.revision,
        )


_State = tuple[int, frozenset[str], frozenset[str]]
"""What a rule is checked against: the last revision, the lists, the computed traits."""

_STATE: Final = """
    SELECT (SELECT coalesce(max(revision), 0) FROM segments WHERE workspace = $1) AS revision,
        ARRAY(SELECT key FROM lists WHERE workspace = $1) AS lists,
        ARRAY(SELECT key FROM computed_traits WHERE workspace = $1 AND NOT deleted) AS computed_traits
"""


async def _state(connection: Connection, workspace: str) -> _State:
    row = await connection.fetchrow(_STATE, workspace)
    if row is None:
        raise AssertionError("the statement gives a row always")
    return row["revision"], frozenset(row["lists"]), frozenset(row["computed_traits"])


async def _same_view(connection: Connection, workspace: str, view: CatalogView) -> None:
    if await _state(connection, workspace) != (view.revision, view.lists, view.computed_traits):
        raise CatalogMoved


async def _held(connection: Connection, workspace: str, key: str, known: frozenset[int] | None) -> Segment:
    row = await connection.fetchrow(_ONE, workspace, key)
    if row is None:
        raise SegmentMissing(key)
    segment = _segment(row)
    if known is not None and segment.saved_revision not in known:
        raise RevisionConflict(f"{key} is at revision {segment.saved_revision}")
    return segment


async def _keep_version(connection: Connection, segment: Segment) -> None:
    await connection.execute(
        "INSERT INTO segment_versions (workspace, key, version, rule, created_ms) VALUES ($1, $2, $3, $4, $5)",
        segment.workspace,
        segment.key,
        segment.version,
        _encode(segment.rule).decode(),
        segment.updated_ms,
    )


def _values(workspace: str, draft: SegmentDraft, now_ms: int) -> tuple[object, ...]:
    return (
        workspace,
        draft.key,
        draft.name,
        draft.description,
        _encode(draft.rule).decode(),
        list(draft.tags),
        draft.status,
        sorted(draft.refers_to),
        now_ms,
        sorted(draft.reads_lists),
        sorted(draft.reads_computed_traits),
    )


def _segment(row: asyncpg.Record | None) -> Segment:
    if row is None:
        raise AssertionError("the statement gives the row that it wrote")
    deleted = row["status"] == "deleted"
    return Segment(
        workspace=row["workspace"],
        key=row["key"],
        name=row["name"],
        description=row["description"],
        rule=_decode(row["rule"]),
        tags=tuple(row["tags"]),
        status="archived" if deleted else row["status"],
        version=row["version"],
        revision=row["revision"],
        created_ms=row["created_ms"],
        updated_ms=row["updated_ms"],
        deleted=deleted,
        saved_revision=row["saved_revision"],
        revised_ms=row["revised_ms"],
        backfill=row["backfill"],
        new_leaves=tuple(row["new_leaves"]),
        born=row["born"],
    )
