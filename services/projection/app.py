"""The application: a loop for each store and one that tells how far evaluation has come, beside `/healthz`, `/readyz`
and `/metrics`."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final

from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from audience.ports.evaluation import EvaluationProgress, Pipeline
from audience.ports.event_log import EventLog
from services._kit.app import create_app
from services._kit.demo import refuse_demo_credentials
from services._kit.health import Check
from services._kit.tasks import background
from services.projection.metrics import ProjectionMetrics
from services.projection.progress import ProgressLoop
from services.projection.settings import ProjectionSettings
from services.projection.sink import Records, Sink, SinkLoop, SinkOptions

PROFILE_STORE: Final = "profile-store"
MEMBERSHIP_INDEX: Final = "membership-index"
SINKS: Final = (PROFILE_STORE, MEMBERSHIP_INDEX)


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
                every_version=name == MEMBERSHIP_INDEX,  # it keeps the changes between them
            )
            loop = SinkLoop(options, records, sink, ports.event_log, metrics)
            checks[name] = loop.check
            await stack.enter_async_context(background(loop.run(), group_of(name)))
        progress = ProgressLoop(ports.pipeline, ports.progress, metrics)
        await stack.enter_async_context(background(progress.run(), "projection.progress"))
        return checks

    return create_app("Audience Manager projection", "1", open_resources, registry)
