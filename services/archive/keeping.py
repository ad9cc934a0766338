"""What is done on a schedule with what has been archived: refine, aggregate, merge files, forget old days."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from audience.adapters.lake.duck import Duck, open_duck
from audience.adapters.lake.gold import Counting
from audience.adapters.lake.silver import Refining
from audience.adapters.lake.upkeep import Upkeep
from audience.ports.lake import LakeTooSlow, LakeUnavailable
from audience.ports.stores import StoreUnavailable
from services.archive.metrics import ArchiveMetrics
from services.archive.settings import ArchiveSettings

SIZES_EVERY_S = 600.0

Sizes = Callable[[], Awaitable[Mapping[str, Mapping[str, int]]]]
"""The sizes of the segments of each workspace, now."""

log = structlog.stdlib.get_logger(__name__)


class Keeping:
    """The jobs. One of them runs at a time: each reads what the one before it wrote, and memory is bounded so."""

    def __init__(
        self, settings: ArchiveSettings, metrics: ArchiveMetrics, sizes: Sizes, now_ms: Callable[[], int]
    ) -> None:
        self._settings = settings
        self._lake = settings.lake
        self._bounds = settings.lake_bounds
        self._metrics = metrics
        self._sizes = sizes
        self._now_ms = now_ms
        self.turn = asyncio.Lock()
        """Who reads the lake beside the jobs takes it, too."""

    def schedule(self) -> AsyncIOScheduler:
        """A scheduler with the jobs, not started. A run that is still going is not begun again."""
        settings = self._settings
        logging.getLogger("apscheduler").setLevel(logging.WARNING)  # it tells of every run
        scheduler = AsyncIOScheduler(timezone="UTC", job_defaults={"coalesce": True, "max_instances": 1})
        jobs: tuple[tuple[str, Callable[[], Awaitable[None]], float], ...] = (
            ("refine", self.refine, settings.refine_every_s),
            ("aggregate", self.aggregate, settings.aggregate_every_s),
            ("sizes", self.keep_sizes, SIZES_EVERY_S),
            ("compact", self.compact, settings.compact_every_s),
            ("retain", self.retain, settings.retain_every_s),
        )
        for name, work, every_s in jobs:
            scheduler.add_job(partial(self._run, name, work), "interval", seconds=every_s, id=name)
        return scheduler

    async def _run(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        async with self.turn:
            try:
                with self._metrics.job_seconds.labels(name).time():
                    await work()
            except (LakeUnavailable, LakeTooSlow, StoreUnavailable) as error:
                self._metrics.job_failures.labels(name).inc()
                log.warning("a job of the lake failed; it runs again", job=name, error=str(error))
            except Exception:
                self._metrics.job_failures.labels(name).inc()
                log.exception("a job of the lake failed; it runs again", job=name)

    async def refine(self) -> None:
        """All that has been archived, in steps."""
        await asyncio.to_thread(self._refine)

    async def refine_now(self) -> None:
        """`refine`, out of turn: somebody waits for it. A failure is logged, as that of a scheduled run."""
        await self._run("refine", self.refine)

    def _refine(self) -> None:
        with open_duck(self._lake, self._bounds) as duck:
            refining = Refining(self._lake, duck)
            while any(done := refining.step(self._settings.refine_batch_records)):
                for outcome, number in zip(("event", "copy", "unreadable"), done, strict=True):
                    self._metrics.refined.labels(outcome).inc(number)

    async def aggregate(self) -> None:
        """The days that have changed."""
        await asyncio.to_thread(self._aggregate)

    def _aggregate(self) -> None:
        with open_duck(self._lake, self._bounds) as duck:
            self._counting(duck).step()

    def _counting(self, duck: Duck) -> Counting:
        settings = self._settings
        return Counting(self._lake, duck, order_event=settings.order_event, revenue=settings.revenue_property)

    async def keep_sizes(self) -> None:
        """The sizes of segments, as those of today."""
        sizes = await self._sizes()
        await asyncio.to_thread(self._keep_sizes, sizes)

    def _keep_sizes(self, sizes: Mapping[str, Mapping[str, int]]) -> None:
        with open_duck(self._lake, self._bounds) as duck:
            self._counting(duck).keep_sizes(sizes, self._now_ms())

    async def compact(self) -> None:
        """Small files into larger ones; and how large the tables are."""
        upkeep = Upkeep(self._lake)
        gone = await asyncio.to_thread(upkeep.compact, self._now_ms())
        for table, size in (await asyncio.to_thread(upkeep.sizes)).items():
            self._metrics.files.labels(table).set(size.files)
            self._metrics.rows.labels(table).set(size.rows)
            self._metrics.size_bytes.labels(table).set(size.size_bytes)
        if gone:
            log.info("files were merged", fewer=gone)

    async def retain(self) -> None:
        """Days beyond the retention go, then what nothing refers to."""
        upkeep = Upkeep(self._lake)
        days = self._settings.lake_retention_days
        gone = await asyncio.to_thread(upkeep.retain, self._now_ms(), days)
        removed = await asyncio.to_thread(upkeep.vacuum, self._settings.vacuum_hours)
        log.info("days beyond the retention are gone", days=days, files=gone, removed=removed)
