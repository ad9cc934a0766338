"""Starts ingest-api: ``python -m services.ingest``."""

from contextlib import AsyncExitStack

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from audience.adapters.kafka.producer import open_event_log
from audience.adapters.postgres.pool import open_pool
from audience.adapters.postgres.sources import PostgresSourceCatalog
from audience.adapters.postgres.tracking_plans import PostgresTrackingPlanCatalog
from audience.adapters.spooling import open_spooling
from audience.adapters.sqlite.spool import open_spool
from audience.telemetry import logs
from audience.wire.topics import EVENTS, EVENTS_BAD
from services._kit.server import serve
from services.ingest.app import Ports, ingest_app
from services.ingest.settings import IngestSettings


def main() -> None:
    """Serve until told to stop."""
    settings = IngestSettings()  # type: ignore[call-arg]  # the environment gives them
    logs.configure("ingest-api", settings.log_level)

    async def open_ports(stack: AsyncExitStack) -> Ports:
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
        spooling = open_spooling(event_log, spool, settings.ingest_spool_after_s)
        return Ports(await stack.enter_async_context(spooling), catalog, plans, spool)

    registry = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    serve(ingest_app(settings, registry, open_ports), settings)


if __name__ == "__main__":
    main()
