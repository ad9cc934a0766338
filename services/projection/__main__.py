"""Starts the projection: ``python -m services.projection``."""

from contextlib import AsyncExitStack

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from audience.adapters.kafka.consumer import BatchConsumer, open_consumer
from audience.adapters.kafka.pipeline import KafkaPipeline
from audience.adapters.kafka.producer import open_event_log
from audience.adapters.postgres.evaluation_progress import PostgresEvaluationProgress
from audience.adapters.postgres.external_ids import PostgresExternalIds
from audience.adapters.postgres.membership_index import PostgresMembershipIndex
from audience.adapters.postgres.pool import open_pool
from audience.telemetry import logs
from audience.wire.topics import COMMANDS, EVENTS, EVENTS_BAD, PROFILES
from services._kit.profile_store import open_profile_store
from services._kit.server import serve
from services.projection.app import (
    EXTERNAL_IDS,
    MEMBERSHIP_INDEX,
    PROFILE_STORE,
    SINKS,
    Ports,
    group_of,
    projection_app,
)
from services.projection.settings import ProjectionSettings

WRITE_TIMEOUT_S = 15.0
GATHER_BYTES = 64 * 1024


def main() -> None:
    """Project until told to stop."""
    settings = ProjectionSettings()  # type: ignore[call-arg]  # the environment gives them
    logs.configure("projection", settings.log_level)

    async def open_ports(stack: AsyncExitStack) -> Ports:
        pool = await stack.enter_async_context(
            open_pool(
                settings.postgres_dsn.get_secret_value(),
                max_size=4,
                statement_timeout_s=WRITE_TIMEOUT_S,
                application="projection",
                by_key=True,
            )
        )
        bootstrap = settings.kafka_bootstrap_servers
        event_log = await stack.enter_async_context(
            open_event_log(bootstrap, "projection", topics=(PROFILES, EVENTS_BAD, COMMANDS))
        )

        async def follow(sink: str, topic: str = PROFILES) -> BatchConsumer:
            return await stack.enter_async_context(
                open_consumer(
                    bootstrap,
                    group_of(sink),
                    (topic,),
                    gather_bytes=GATHER_BYTES,
                    gather_ms=settings.projection_gather_ms,
                )
            )

        return Ports(
            event_log,
            {
                PROFILE_STORE: (await open_profile_store(stack, settings, pool), await follow(PROFILE_STORE)),
                MEMBERSHIP_INDEX: (PostgresMembershipIndex(pool), await follow(MEMBERSHIP_INDEX)),
                EXTERNAL_IDS: (PostgresExternalIds(pool), await follow(EXTERNAL_IDS, EVENTS)),
            },
            KafkaPipeline(bootstrap, event_log, settings.job_consumer_group, list(map(group_of, SINKS))),
            PostgresEvaluationProgress(pool),
        )

    registry = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    serve(projection_app(settings, registry, open_ports), settings)


if __name__ == "__main__":
    main()
