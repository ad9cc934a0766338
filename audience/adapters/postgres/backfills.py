"""Backfills of segments, and the passes over the lake that carry them out."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import asyncpg
import msgspec

from audience.adapters.postgres.catalog_writes import end_backfill, raise_revision, writing
from audience.adapters.postgres.pool import Connection, Pool
from audience.ports.backfills import Backfill, BackfillMissing, Pass, Phase, Wanted
from audience.ports.evaluation import Positions

_PAGE: Final = 100
_SELECT: Final = """
    SELECT number, backfills.workspace, segment, version, state, reason, created_ms, ended_ms,
        phase, profiles, done, sending_ms
    FROM backfills LEFT JOIN backfill_passes AS passes ON passes.id = backfills.pass
"""
_OUTSTANDING: Final = """
    FROM backfills WHERE workspace = $1 AND segment = $2 AND ended_ms IS NULL
"""
_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode


class PostgresBackfills:
    """Implements `audience.ports.backfills.Backfills`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def newest(self, workspace: str, segments: Sequence[str]) -> Mapping[str, Backfill]:
        """The last backfill of each of these segments that had one."""
        rows = await self._pool.fetch(
            f"""{_SELECT} WHERE number IN (
                SELECT max(number) FROM backfills WHERE workspace = $1 AND segment = ANY($2::text[]) GROUP BY segment
            )""",  # noqa: S608  a constant
            workspace,
            list(segments),
        )
        return {row["segment"]: _backfill(row) for row in rows}

    async def page(self, workspace: str | None, *, outstanding: bool) -> Sequence[Backfill]:
        """The newest hundred, newest first."""
        rows = await self._pool.fetch(
            f"""{_SELECT} WHERE ($1::text IS NULL OR backfills.workspace = $1) AND (NOT $2 OR ended_ms IS NULL)
            ORDER BY number DESC LIMIT {_PAGE}""",
            workspace,
            outstanding,
        )
        return [_backfill(row) for row in rows]

    async def pause(self, workspace: str, segment: str) -> None:
        """Nothing more is sent for it until it is resumed."""
        await self._move(
            workspace,
            segment,
            """
            UPDATE backfills SET state = 'paused',
                left_at = (SELECT place FROM backfill_passes WHERE id = pass AND phase = 'sending')
            WHERE number = $1 AND state IN ('waiting', 'running', 'paused') RETURNING number
            """,
        )

    async def resume(self, workspace: str, segment: str) -> None:
        """It goes on where its pass stands, if that has waited; else it begins again."""
        # Before its pass sends, and where it stands still, nothing has been missed.
        await self._move(
            workspace,
            segment,
            """
            UPDATE backfills SET left_at = NULL,
                state = CASE WHEN there.id IS NULL THEN 'waiting' ELSE 'running' END, pass = there.id
            FROM backfills AS known LEFT JOIN backfill_passes AS there ON there.id = known.pass AND (
                there.phase IN ('defining', 'archiving')
                OR (there.phase = 'sending' AND there.place = coalesce(known.left_at, 0)))
            WHERE known.number = $1 AND backfills.number = known.number AND known.state = 'paused'
            RETURNING known.number
            """,
        )

    async def cancel(self, workspace: str, segment: str, now_ms: int) -> None:
        """The segment is live with what came since it was defined."""
        async with writing(self._pool) as connection:
            number = await _outstanding(connection, workspace, segment)
            await end_backfill(connection, number, "cancelled", "cancelled", now_ms)
            await connection.execute(
                "UPDATE segments SET backfill = NULL WHERE workspace = $1 AND key = $2", workspace, segment
            )
            await raise_revision(connection, workspace, segment, now_ms)

    async def _move(self, workspace: str, segment: str, statement: str) -> None:
        async with writing(self._pool) as connection:
            number = await _outstanding(connection, workspace, segment)
            if await connection.fetchval(statement, number) is None:
                raise BackfillMissing(segment)


class PostgresBackfillPasses:
    """Implements `audience.ports.backfills.BackfillPasses`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def open(self) -> Pass | None:
        """The oldest pass that is not ended and has something to do."""
        async with self._pool.transaction(isolation="repeatable_read") as connection:
            row = await connection.fetchrow(
                """
                SELECT * FROM backfill_passes AS passes WHERE phase <> 'ended' AND (
                    EXISTS (SELECT FROM backfills WHERE pass = passes.id AND state = 'running')
                    OR NOT EXISTS (SELECT FROM backfills WHERE pass = passes.id AND state = 'paused'))
                ORDER BY id LIMIT 1
                """
            )
            return None if row is None else await _pass(connection, row)

    async def begin(self, now_ms: int) -> Pass | None:
        """A pass for all backfills of a workspace that wait and whose definitions have been told."""
        async with writing(self._pool) as connection:
            numbers = await connection.fetch(_TOLD)
            if not numbers:
                return None
            workspace = numbers[0]["workspace"]
            row = await connection.fetchrow(
                """
                INSERT INTO backfill_passes (workspace, phase, marks, began_ms) VALUES ($1, 'defining', '[]', $2)
                RETURNING *
                """,
                workspace,
                now_ms,
            )
            if row is None:
                raise AssertionError("the statement gives the row that it wrote")
            await connection.execute(
                "UPDATE backfills SET state = 'running', pass = $1 WHERE number = ANY($2::bigint[])",
                row["id"],
                [each["number"] for each in numbers if each["workspace"] == workspace],
            )
            return await _pass(connection, row)

    async def advance(
        self,
        known: Pass,
        phase: Phase,
        *,
        now_ms: int,
        marks: Positions | None = None,
        cut: Mapping[int, int] | None = None,
        profiles: int | None = None,
    ) -> None:
        """Into the next phase; nothing where somebody else has been faster."""
        await self._pool.execute(
            """
            UPDATE backfill_passes SET phase = $3, marks = coalesce($4, marks), cut = coalesce($5, cut),
                profiles = coalesce($6, profiles), sending_ms = CASE WHEN $3 = 'sending' THEN $7 ELSE sending_ms END
            WHERE id = $1 AND phase = $2
            """,
            known.id,
            known.phase,
            phase,
            None if marks is None else _of_positions(marks),
            None if cut is None else json.dumps(cut),
            profiles,
            now_ms,
        )

    async def sent(self, known: Pass, place: int, profiles: int, events: int) -> None:
        """The profiles before `place` have been sent theirs."""
        await self._pool.execute(
            """
            UPDATE backfill_passes SET place = $3, done = done + $4, events = events + $5
            WHERE id = $1 AND place = $2 AND phase = 'sending'
            """,
            known.id,
            known.place,
            place,
            profiles,
            events,
        )

    async def again(self, known: Pass) -> None:
        """From the first profile on."""
        await self._pool.execute(
            "UPDATE backfill_passes SET phase = 'sending', place = 0, done = 0 WHERE id = $1 AND phase <> 'ended'",
            known.id,
        )

    async def finish(self, known: Pass, now_ms: int) -> int:
        """The pass's running backfills are done and their segments whole."""
        async with writing(self._pool) as connection:
            rows = await connection.fetch(
                "SELECT number, workspace, segment FROM backfills WHERE pass = $1 AND state = 'running'", known.id
            )
            for row in rows:
                await end_backfill(connection, row["number"], "done", None, now_ms)
                whole = await connection.fetchval(
                    "UPDATE segments SET backfill = NULL, new_leaves = '{}' WHERE backfill = $1 RETURNING key",
                    row["number"],
                )
                if whole is not None:
                    await raise_revision(connection, row["workspace"], row["segment"], now_ms)
            await connection.execute("UPDATE backfill_passes SET phase = 'ended' WHERE id = $1", known.id)
            return len(rows)

    async def fail(self, known: Pass, reason: str, now_ms: int) -> None:
        """The pass's backfills have failed: their segments are live with what came since they were defined."""
        async with writing(self._pool) as connection:
            rows = await connection.fetch(
                "SELECT number, workspace, segment FROM backfills WHERE pass = $1 AND ended_ms IS NULL", known.id
            )
            for row in rows:
                await end_backfill(connection, row["number"], "failed", reason, now_ms)
                await connection.execute("UPDATE segments SET backfill = NULL WHERE backfill = $1", row["number"])
                await raise_revision(connection, row["workspace"], row["segment"], now_ms)
            await connection.execute("UPDATE backfill_passes SET phase = 'ended' WHERE id = $1", known.id)

    async def profile_ids(self, workspace: str, after: bytes, limit: int) -> Sequence[bytes]:
        """Up to `limit` profiles that there are, by id, behind `after`."""
        rows = await self._pool.fetch(
            """
            SELECT profile_id FROM membership_versions
            WHERE workspace = $1 AND profile_id > $2 ORDER BY profile_id LIMIT $3
            """,
            workspace,
            after,
            limit,
        )
        return [row["profile_id"] for row in rows]


_TOLD: Final = """
    SELECT number, backfills.workspace FROM backfills
    JOIN segments ON segments.workspace = backfills.workspace AND segments.key = backfills.segment
    WHERE state = 'waiting' AND segments.backfill = number AND published_revision >= number ORDER BY number
"""


async def _outstanding(connection: Connection, workspace: str, segment: str) -> int:
    number: int | None = await connection.fetchval(f"SELECT number {_OUTSTANDING}", workspace, segment)
    if number is None:
        raise BackfillMissing(segment)
    return number


async def _pass(connection: Connection, row: asyncpg.Record) -> Pass:
    rows = await connection.fetch(
        """
        SELECT number, state, rule, new_leaves FROM backfills
        JOIN segments ON segments.workspace = backfills.workspace AND segments.backfill = number
        WHERE pass = $1 AND state IN ('running', 'paused') ORDER BY number
        """,
        row["id"],
    )
    return Pass(
        id=row["id"],
        workspace=row["workspace"],
        phase=row["phase"],
        marks=_positions(row["marks"]),
        cut={int(partition): offset for partition, offset in json.loads(row["cut"]).items()},
        place=row["place"],
        profiles=row["profiles"],
        done=row["done"],
        wanted=[
            Wanted(each["number"], _decode(each["rule"]), frozenset(each["new_leaves"]))
            for each in rows
            if each["state"] == "running"
        ],
        paused=any(each["state"] == "paused" for each in rows),
    )


def _of_positions(positions: Positions) -> str:
    return json.dumps([[topic, partition, offset] for (topic, partition), offset in positions.items()])


def _positions(text: str) -> Positions:
    return {(topic, partition): offset for topic, partition, offset in json.loads(text)}


def _backfill(row: asyncpg.Record) -> Backfill:
    return Backfill(
        number=row["number"],
        workspace=row["workspace"],
        segment=row["segment"],
        version=row["version"],
        state=row["state"],
        created_ms=row["created_ms"],
        reason=row["reason"],
        phase=row["phase"],
        profiles=row["profiles"] or 0,
        done=row["done"] or 0,
        began_ms=row["sending_ms"],
        ended_ms=row["ended_ms"],
    )
