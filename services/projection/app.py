"""The application: a loop for each store and one that tells how far evaluation has come, beside `/healthz`, `/readyz`
and `/metrics`."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Final

from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from audience.adapters.kafka.consumer import Record
from audience.ports.evaluation import EvaluationProgress, Pipeline
from audience.ports.event_log import EventLog
from services._kit.app import create_app
from services._kit.demo import refuse_demo_credentials
from services._kit.health import Check
from services._kit.tasks import background
from services.projection.batch import Batch, read_batch
from services.projection.external_ids import read_ids
from services.projection.metrics import ProjectionMetrics
from services.projection.progress import ProgressLoop
from services.projection.settings import ProjectionSettings
from services.projection.sink import Records, Sink, SinkLoop, SinkOptions

PROFILE_STORE: Final = "profile-store"
MEMBERSHIP_INDEX: Final = "membership-index"
EXTERNAL_IDS: Final = "external-ids"
SINKS: Final = (PROFILE_STORE, MEMBERSHIP_INDEX)
"""Those that hold what the streaming job tells."""

READS: Final[Mapping[str, Callable[[Sequence[Record]], Batch]]] = {
    PROFILE_STORE: read_batch,
    MEMBERSHIP_INDEX: partial(read_batch, every_version=True),  # it keeps the changes between them
    EXTERNAL_IDS: read_ids,
}


@dataclass(frozen=True, slots=True)
class Ports:
    """The outside, as this service needs it: for each sink its store, and the topic as its group reads it."""

    event_log: EventLog
    sinks: Mapping[str, tuple[Sink, Records]]
    pipeline: Pipeline
    progress: EvaluationProgress


OpenPorts = Callable[[AsyncExitStack], Awaitable[Ports]]
"""Opens the ports on the stack that closes them."""


def group_of(sink: str) -> str:
    """The consumer group of a sink."""
    return f"projection.{sink}"


def projection_app(settings: ProjectionSettings, registry: CollectorRegistry, open_ports: OpenPorts) -> FastAPI:
    """The projection over these ports."""
    metrics = ProjectionMetrics(registry)

    async def open_resources(_: FastAPI, stack: AsyncExitStack) -> Mapping[str, Check]:
        await refuse_demo_credentials(settings)
        ports = await open_ports(stack)
        checks: dict[str, Check] = {"kafka": ports.event_log.check}
        for name, (sink, records) in ports.sinks.items():
            options = SinkOptions(
                name=name,
                batch_records=settings.projection_batch_records,
                retry_max_s=settings.projection_retry_max_s,
                reports_bad=name == PROFILE_STORE,
                read=READS[name],
            )
            loop = SinkLoop(options, records, sink, ports.event_log, metrics)
            checks[name] = loop.check
            await stack.enter_async_context(background(loop.run(), group_of(name)))
        progress = ProgressLoop(ports.pipeline, ports.progress, metrics)
        await stack.enter_async_context(background(progress.run(), "projection.progress"))
        return checks

    return create_app("Audience Manager projection", "1", open_resources, registry)
