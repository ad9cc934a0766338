"""The application: the archiving loop and the scheduled jobs beside `/healthz`, `/readyz` and `/metrics`."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from audience.adapters.kafka.follower import Follower
from audience.adapters.regex import compile_regex
from audience.ports.backfills import BackfillPasses
from audience.ports.evaluation import EvaluationProgress
from audience.ports.event_log import EventLog
from audience.ports.lake import Archive
from services._kit.app import create_app
from services._kit.demo import refuse_demo_credentials
from services._kit.health import Check
from services._kit.tasks import background
from services.archive.archiving import Archiving
from services.archive.backfilling import Backfilling, Job
from services.archive.keeping import Keeping, Sizes
from services.archive.metrics import ArchiveMetrics
from services.archive.settings import ArchiveSettings


@dataclass(frozen=True, slots=True)
class Ports:
    """The outside, as this service needs it."""

    follower: Follower
    archive: Archive
    sizes: Sizes
    passes: BackfillPasses
    job: Job
    event_log: EventLog
    progress: EvaluationProgress


OpenPorts = Callable[[AsyncExitStack], Awaitable[Ports]]
"""Opens the ports on the stack that closes them."""


def archive_app(settings: ArchiveSettings, registry: CollectorRegistry, open_ports: OpenPorts) -> FastAPI:
    """The archive over these ports."""
    metrics = ArchiveMetrics(registry)

    async def open_resources(_: FastAPI, stack: AsyncExitStack) -> Mapping[str, Check]:
        await refuse_demo_credentials(settings)
        ports = await open_ports(stack)
        archiving = Archiving(
            ports.follower,
            ports.archive,
            metrics,
            every_s=settings.archive_every_s,
            batch_records=settings.archive_batch_records,
            now_ms=_now_ms,
        )
        keeping = Keeping(settings, metrics, ports.sizes, _now_ms)
        await stack.enter_async_context(_running(keeping.schedule()))
        await stack.enter_async_context(background(archiving.run(), "archiving"))
        backfilling = Backfilling(
            settings,
            ports.passes,
            ports.job,
            ports.event_log,
            ports.progress,
            keeping.refine_now,
            keeping.turn,
            compile_regex,
            metrics,
            _now_ms,
        )
        await stack.enter_async_context(background(backfilling.run(), "backfilling"))
        return {"archive": archiving.check}

    return create_app("Audience Manager archive", "1", open_resources, registry)


@asynccontextmanager
async def _running(scheduler: AsyncIOScheduler) -> AsyncIterator[None]:
    scheduler.start()
    try:
        yield
    finally:
        scheduler.shutdown(wait=False)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
