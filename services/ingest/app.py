"""The application: what it opens when it starts, its routes, what readiness means."""

import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final, Protocol

from fastapi import FastAPI, Request
from prometheus_client import CollectorRegistry
from starlette.responses import JSONResponse

from audience.ports.catalog import SourceCatalog
from audience.ports.event_log import EventLog, EventLogUnavailable
from audience.ports.tracking_plans import TrackingPlanCatalog
from services._kit.app import create_app
from services._kit.demo import WRITE_KEY, refuse_demo_credentials
from services._kit.errors import ApiError, unavailable
from services._kit.health import Check, Degraded
from services._kit.tasks import background
from services.ingest import openapi
from services.ingest.browser import SETTINGS_MAX_AGE_S, address_of, settings_of
from services.ingest.intake import Intake
from services.ingest.limits import Limits
from services.ingest.metrics import IngestMetrics
from services.ingest.plans import Plans
from services.ingest.rates import Rates
from services.ingest.repeats import Repeats
from services.ingest.room import Room
from services.ingest.routes import Door, EventRoutes
from services.ingest.settings import IngestSettings
from services.ingest.sources import Sources, SourcesUnknown

API_VERSION: Final = "1"


class Spool(Protocol):
    """What is to be told of the spool behind the event log."""

    @property
    def records(self) -> int: ...
    @property
    def bytes(self) -> int: ...
    @property
    def oldest_s(self) -> float: ...
    @property
    def has_room(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Ports:
    """The outside, as this service needs it. With a spool the log takes records while Kafka is away."""

    event_log: EventLog
    catalog: SourceCatalog
    plans: TrackingPlanCatalog
    spool: Spool | None = None


OpenPorts = Callable[[AsyncExitStack], Awaitable[Ports]]
"""Opens the ports on the stack that closes them."""


def ingest_app(
    settings: IngestSettings, registry: CollectorRegistry, open_ports: OpenPorts, limits: Limits | None = None
) -> EventRoutes:
    """ingest-api over these ports; `.api` is its FastAPI application."""
    metrics = IngestMetrics(registry)

    async def open_resources(app: FastAPI, stack: AsyncExitStack) -> Mapping[str, Check]:
        ports = await open_ports(stack)
        await refuse_demo_credentials(settings, sources=ports.catalog)
        barred = {WRITE_KEY} if settings.environment == "production" else ()
        sources = Sources(ports.catalog, settings.sources_refresh_s, metrics, time.monotonic, barred)
        await sources.attempt()
        await stack.enter_async_context(background(sources.follow(), "sources"))
        plans = Plans(ports.plans, settings.sources_refresh_s, metrics)
        await plans.attempt()
        stack.push_async_callback(plans.attempt)  # what was counted last
        await stack.enter_async_context(background(plans.follow(), "plans"))
        intake = Intake(
            limits or Limits(), lambda: time.time_ns() // 1_000_000, lambda: secrets.token_hex(16), plans.of
        )
        app.state.sources = sources
        app.state.door = Door(
            intake,
            sources,
            ports.event_log,
            metrics,
            Room(settings.ingest_in_flight, settings.ingest_in_flight_mib * 1024 * 1024),
            Rates(settings.ingest_source_events_per_s, time.monotonic),
            Repeats(),
            plans,
        )
        kafka: Check = ports.event_log.check
        if (spool := ports.spool) is not None:
            metrics.watch_spool(lambda: spool.records, lambda: spool.bytes, lambda: spool.oldest_s)
            await stack.enter_async_context(background(metrics.keep_looking(), "spool-metrics"))
            kafka = _or_spool(kafka, spool)
        return {"kafka": kafka, "sources": sources.check}

    app = create_app("Audience Manager ingest-api", API_VERSION, open_resources, registry)
    _add_settings_route(app, settings.ingest_public_url)
    openapi.install(app)
    return EventRoutes(app)


def _or_spool(check: Check, spool: Spool) -> Check:
    """The state of Kafka, where a spool bridges its absence for as long as it has room."""

    async def checked() -> None:
        try:
            await check()
        except EventLogUnavailable as error:
            if not spool.has_room:
                raise
            raise Degraded(f"records go to the spool, which holds {spool.records}: {error}") from error

    return checked


def _add_settings_route(app: FastAPI, public_url: str) -> None:
    @app.get(
        "/v1/projects/{write_key}/settings",
        tags=["browser"],
        summary="Settings of the SDK for browsers",
        responses=openapi.NO_SOURCE,
    )
    async def settings_route(write_key: str, request: Request) -> JSONResponse:
        """What @segment/analytics-next asks for before it sends events. Open to all: the key is in the page anyway."""
        sources: Sources = request.app.state.sources
        try:
            source = sources.find(write_key)
        except SourcesUnknown as error:
            raise unavailable("the catalog of sources") from error
        if source is None:
            raise ApiError(404, "not_found", "no source has this write key")
        return JSONResponse(
            settings_of(source, address_of(request.scope, public_url)),
            headers={"Cache-Control": f"public, max-age={SETTINGS_MAX_AGE_S}"},
        )
