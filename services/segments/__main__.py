"""Starts segment-api: ``python -m services.segments``."""

from contextlib import AsyncExitStack

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from audience.adapters.kafka.history import KafkaEventHistory
from audience.adapters.kafka.producer import open_event_log
from audience.adapters.kafka.requests import open_explainer
from audience.adapters.postgres.catalog import PostgresSegmentCatalog
from audience.adapters.postgres.membership_index import PostgresMembershipIndex
from audience.adapters.postgres.pool import open_pool
from audience.adapters.postgres.tokens import PostgresTokenCatalog
from audience.telemetry import logs
from audience.wire.topics import COMMANDS, EVENTS, REPLIES, SEGMENTS
from services._kit.profile_store import open_profile_store
from services._kit.server import serve
from services.segments.app import Ports, segments_app
from services.segments.settings import SegmentsSettings

LINGER_MS = 0.0
"""A question or a change of a segment goes out at once: there are few, and somebody waits."""


def main() -> None:
    """Serve until told to stop."""
    settings = SegmentsSettings()  # type: ignore[call-arg]  # the environment gives them
    logs.configure("segment-api", settings.log_level)

    async def open_ports(stack: AsyncExitStack) -> Ports:
        dsn, bootstrap = settings.postgres_dsn.get_secret_value(), settings.kafka_bootstrap_servers
        catalog = await stack.enter_async_context(open_pool(dsn, max_size=6, application="segment-api"))
        reads = await stack.enter_async_context(
            open_pool(
                dsn,
                max_size=8,
                acquire_timeout_s=settings.read_timeout_s,
                statement_timeout_s=settings.read_timeout_s,
                application="segment-api-reads",
                by_key=True,
            )
        )
        event_log = await stack.enter_async_context(
            open_event_log(bootstrap, "segment-api", topics=(SEGMENTS, EVENTS, COMMANDS, REPLIES), linger_ms=LINGER_MS)
        )
        explainer = await stack.enter_async_context(
            open_explainer(bootstrap, event_log, timeout_s=settings.explain_timeout_s)
        )
        return Ports(
            catalog=PostgresSegmentCatalog(catalog),
            tokens=PostgresTokenCatalog(catalog),
            profiles=await open_profile_store(stack, settings, reads),
            index=PostgresMembershipIndex(catalog),
            event_log=event_log,
            history=KafkaEventHistory(bootstrap, time_limit_s=settings.history_timeout_s),
            explainer=explainer,
        )

    registry = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    serve(segments_app(settings, registry, open_ports), settings)


if __name__ == "__main__":
    main()
