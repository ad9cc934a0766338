"""Tracking plans, and how often a source's events break them."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Final

import asyncpg
import msgspec

from audience.adapters.postgres.pool import Pool
from audience.ports.tracking_plans import PlanCount, PlanSourceMissing, SavedPlan

_COLUMNS: Final = "workspace, source, document, revision, updated_ms"
_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode


class PostgresTrackingPlanCatalog:
    """Implements `audience.ports.tracking_plans.TrackingPlanCatalog`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def revisions(self) -> Mapping[tuple[str, str], int]:
        """The revision of each plan, by workspace and source."""
        rows = await self._pool.fetch("SELECT workspace, source, revision FROM tracking_plans")
        return {(row["workspace"], row["source"]): row["revision"] for row in rows}

    async def get(self, workspace: str, source: str) -> SavedPlan | None:
        """The plan of a source; None where it has none."""
        row = await self._pool.fetchrow(
            f"SELECT {_COLUMNS} FROM tracking_plans WHERE (workspace, source) = ($1, $2)",  # noqa: S608  constants
            workspace,
            source,
        )
        return None if row is None else _plan(row)

    async def put(self, workspace: str, source: str, document: Mapping[str, Any], now_ms: int) -> SavedPlan:
        """Make or replace a plan. Raises PlanSourceMissing."""
        row = await self._pool.fetchrow(
            f"""
            INSERT INTO tracking_plans ({_COLUMNS})
            SELECT workspace, source, $3, nextval('tracking_plan_revisions'), $4 FROM sources
            WHERE (workspace, source) = ($1, $2) AND revoked_at IS NULL
            ON CONFLICT (workspace, source) DO UPDATE
            SET document = excluded.document, revision = excluded.revision, updated_ms = excluded.updated_ms
            RETURNING {_COLUMNS}
            """,  # noqa: S608  constants
            workspace,
            source,
            _encode(document).decode(),
            now_ms,
        )
        if row is None:
            raise PlanSourceMissing(f"workspace {workspace!r} has no source {source!r}")
        return _plan(row)

    async def delete(self, workspace: str, source: str) -> bool:
        """Take a plan away; whether there was one. Its counts stay."""
        gone = await self._pool.fetchval(
            "DELETE FROM tracking_plans WHERE (workspace, source) = ($1, $2) RETURNING source", workspace, source
        )
        return gone is not None

    async def count(self, counts: Sequence[PlanCount]) -> None:
        """Add these to what is there. In one order, so that two processes do not wait for each other's rows."""
        ordered = sorted(counts, key=lambda each: (each.workspace, each.source, each.day, each.event, each.code))
        await self._pool.execute(
            """
            INSERT INTO tracking_plan_violations AS stored
                (workspace, source, event, code, mode, day, events, last_ms, last_path, last_message)
            SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::date[], $7::bigint[],
                                 $8::bigint[], $9::text[], $10::text[])
            ON CONFLICT (workspace, source, day, event, code, mode) DO UPDATE
            SET events = stored.events + excluded.events, last_ms = excluded.last_ms,
                last_path = excluded.last_path, last_message = excluded.last_message
            """,
            [each.workspace for each in ordered],
            [each.source for each in ordered],
            [each.event for each in ordered],
            [each.code for each in ordered],
            [each.mode for each in ordered],
            [date.fromisoformat(each.day) for each in ordered],
            [each.events for each in ordered],
            [each.last_ms for each in ordered],
            [each.last_path for each in ordered],
            [each.last_message for each in ordered],
        )

    async def counts(self, workspace: str, source: str, limit: int) -> Sequence[PlanCount]:
        """Of a source, the last days first, the most frequent first within a day."""
        rows = await self._pool.fetch(
            """
            SELECT workspace, source, event, code, mode, day::text AS day, events, last_ms, last_path, last_message
            FROM tracking_plan_violations WHERE (workspace, source) = ($1, $2)
            ORDER BY tracking_plan_violations.day DESC, events DESC, event, code, mode LIMIT $3
            """,
            workspace,
            source,
            limit,
        )
        return [PlanCount(**row) for row in rows]


def _plan(row: asyncpg.Record) -> SavedPlan:
    return SavedPlan(**{**row, "document": _decode(row["document"])})
