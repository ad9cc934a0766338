"""Builds ingest-api over the real outside: for this process, or for one of several that share the port."""

from contextlib import AsyncExitStack

from audience.adapters.kafka.producer import open_event_log
from audience.adapters.postgres.pool import open_pool
from audience.adapters.postgres.sources import PostgresSourceCatalog
from audience.adapters.postgres.tracking_plans import PostgresTrackingPlanCatalog
from audience.adapters.spooling import drain_left_over, open_spooling
from audience.adapters.sqlite.spool import open_spool
from audience.telemetry import logs
from audience.wire.topics import EVENTS, EVENTS_BAD
from services._kit.processes import end_with_parent, process_registry, several
from services._kit.tasks import background
from services.ingest.app import Ports, ingest_app
from services.ingest.routes import EventRoutes
from services.ingest.settings import IngestSettings


def worker() -> EventRoutes:
    """The application of one of several processes, which ends when the one that started it has."""
    return build(IngestSettings())  # type: ignore[call-arg]  # the environment gives them


def build(settings: IngestSettings) -> EventRoutes:
    """The application of this process."""
    logs.configure("ingest-api", settings.log_level)

    async def open_ports(stack: AsyncExitStack) -> Ports:
        if several():
            await stack.enter_async_context(background(end_with_parent(), "parent"))
        pool = await stack.enter_async_context(
            open_pool(settings.postgres_dsn.get_secret_value(), max_size=2, application="ingest-api")
        )
        event_log = await stack.enter_async_context(
            open_event_log(
                settings.kafka_bootstrap_servers,
                "ingest-api",
                timeout_s=settings.append_timeout_s,
                tireless=settings.ingest_spool is not None,
                topics=(EVENTS, EVENTS_BAD),
            )
        )
        catalog, plans = PostgresSourceCatalog(pool), PostgresTrackingPlanCatalog(pool)
        if settings.ingest_spool is None:
            return Ports(event_log, catalog, plans)
        limit_bytes = settings.ingest_spool_mib * 1024 * 1024
        spool = await stack.enter_async_context(open_spool(settings.ingest_spool, limit_bytes))
        left_over = drain_left_over(event_log, settings.ingest_spool, limit_bytes)
        await stack.enter_async_context(background(left_over, "left-over-spools"))
        spooling = open_spooling(event_log, spool, settings.ingest_spool_after_s)
        return Ports(await stack.enter_async_context(spooling), catalog, plans, spool)

    return ingest_app(settings, process_registry(), open_ports)
