"""The tracking plans of this process: a copy of the catalog, read anew every few seconds, each compiled once.

And the counts of what broke them, by source and name, added to the catalog as often. Where the catalog is away the
plans go on serving, and the counts wait. What a process counted in its last seconds is lost with `kill -9`.
"""

import asyncio
import time
from dataclasses import replace
from typing import Final

import structlog

from audience.adapters.json_schema import compile_schema
from audience.events.tracking_plans import Plan, PlanInvalid, Violation, parse_plan
from audience.ports.catalog import Source
from audience.ports.stores import StoreUnavailable
from audience.ports.tracking_plans import PlanCount, TrackingPlanCatalog
from services._kit.errors import unavailable
from services.ingest.metrics import IngestMetrics

READ_TIMEOUT_S: Final = 5.0
NAMES: Final = 500
"""So many names of events of one source are counted apart on a day; all others share `OTHER`."""
OTHER: Final = "(other)"
_MOST_NAME: Final = 200

log = structlog.stdlib.get_logger(__name__)

_Key = tuple[str, str, str, str, str, str]
"""Workspace, source, event, code, mode, day."""


class Plans:
    """Plans by source, and their counts."""

    def __init__(self, catalog: TrackingPlanCatalog, refresh_s: float, metrics: IngestMetrics) -> None:
        self._catalog = catalog
        self._refresh_s = refresh_s
        self._metrics = metrics
        self._revisions: dict[tuple[str, str], int] | None = None
        self._plans: dict[tuple[str, str], Plan] = {}
        self._counts: dict[_Key, PlanCount] = {}
        self._names: dict[tuple[str, str], set[str]] = {}
        self._day = ""
        self._away = False

    def of(self, source: Source) -> Plan | None:
        """The plan of a source; None where it has none. Raises ApiError (503) before the first copy is there."""
        if self._revisions is None:
            raise unavailable("the catalog of tracking plans")
        return self._plans.get((source.workspace, source.source)) if self._plans else None

    def violated(self, source: Source, event: str, violation: Violation, at_ms: int) -> None:
        """Count an event that broke its source's plan."""
        self._metrics.violated(source, violation)
        day = time.strftime("%Y-%m-%d", time.gmtime(at_ms / 1000))
        if day != self._day:
            self._day, self._names = day, {}
        name = (event or "(no name)")[:_MOST_NAME].replace("\0", "\ufffd")
        names = self._names.setdefault((source.workspace, source.source), set())
        if name not in names:
            if len(names) >= NAMES:
                name = OTHER
            else:
                names.add(name)
        key = (source.workspace, source.source, name, violation.code, violation.mode, day)
        before = self._counts.get(key)
        self._counts[key] = PlanCount(
            workspace=source.workspace,
            source=source.source,
            event=name,
            code=violation.code,
            mode=violation.mode,
            day=day,
            events=1 if before is None else before.events + 1,
            last_ms=at_ms,
            last_path=violation.path.replace("\0", "\ufffd"),
            last_message=violation.message.replace("\0", "\ufffd"),
        )

    async def refresh(self) -> None:
        """Read the plans that have changed. Raises StoreUnavailable, and keeps what is there then."""
        before, revisions = self._revisions or {}, await self._catalog.revisions()
        if self._revisions is not None and revisions == before:
            return
        plans: dict[tuple[str, str], Plan] = {}
        known: dict[tuple[str, str], int] = {}
        for place, revision in revisions.items():
            if before.get(place) == revision and place in self._plans:
                plans[place], known[place] = self._plans[place], revision
                continue
            saved = await self._catalog.get(*place)
            if saved is None:
                continue
            try:
                plans[place] = await asyncio.to_thread(parse_plan, saved.document, compile_schema)
            except PlanInvalid:  # saved by another version of this platform
                log.exception("a tracking plan cannot be used", workspace=place[0], source=place[1])
                if place in self._plans:
                    plans[place] = self._plans[place]
            known[place] = saved.revision
        self._plans, self._revisions = plans, known

    async def flush(self) -> None:
        """Add the counts to the catalog's. Raises StoreUnavailable, and keeps them then."""
        if not self._counts:
            return
        counts, self._counts = self._counts, {}
        try:
            await self._catalog.count(list(counts.values()))
        except BaseException:
            for key, each in self._counts.items():
                earlier = counts.get(key)
                counts[key] = each if earlier is None else replace(each, events=earlier.events + each.events)
            self._counts = counts
            raise

    async def attempt(self) -> None:
        """Both; where that fails, log why once, and go on with what is there."""
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                await self.refresh()
                await self.flush()
        except (StoreUnavailable, TimeoutError) as error:
            if not self._away:
                log.warning("the catalog of tracking plans is away", error=str(error))
            self._away = True
        except Exception:
            log.exception("reading the tracking plans failed")
        else:
            self._away = False

    async def follow(self) -> None:
        """Again and again, until cancelled."""
        while True:
            await asyncio.sleep(self._refresh_s)
            await self.attempt()
