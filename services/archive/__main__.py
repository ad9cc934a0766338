"""Starts the archive: ``python -m services.archive``."""

from collections.abc import Mapping
from contextlib import AsyncExitStack

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from audience.adapters.kafka.follower import open_follower
from audience.adapters.kafka.job_marks import JobMarks
from audience.adapters.kafka.producer import open_event_log
from audience.adapters.lake.bronze import DeltaArchive
from audience.adapters.postgres.backfills import PostgresBackfillPasses
from audience.adapters.postgres.catalog import PostgresSegmentCatalog
from audience.adapters.postgres.evaluation_progress import PostgresEvaluationProgress
from audience.adapters.postgres.membership_index import PostgresMembershipIndex
from audience.adapters.postgres.pool import open_pool
from audience.telemetry import logs
from audience.wire.topics import COMMANDS, EVENTS
from services._kit.server import serve
from services.archive.app import Ports, archive_app
from services.archive.settings import ArchiveSettings

GROUP = "archive"


def main() -> None:
    """Archive until told to stop."""
    settings = ArchiveSettings()  # type: ignore[call-arg]  # the environment gives them
    logs.configure("archive", settings.log_level)

    async def open_ports(stack: AsyncExitStack) -> Ports:
        pool = await stack.enter_async_context(
            open_pool(settings.postgres_dsn.get_secret_value(), max_size=2, application="archive")
        )
        catalog, index = PostgresSegmentCatalog(pool), PostgresMembershipIndex(pool)

        async def sizes() -> Mapping[str, Mapping[str, int]]:
            found = await catalog.evaluated(None)
            evaluated = {} if found is None else found[1]
            known = {workspace: await index.sizes(workspace) for workspace in evaluated}
            return {
                workspace: {key: known[workspace].get(key, 0) for key in sorted(each.keys)}
                for workspace, each in evaluated.items()
            }

        follower = stack.enter_context(open_follower(settings.kafka_bootstrap_servers, GROUP, EVENTS))
        bootstrap = settings.kafka_bootstrap_servers
        event_log = await stack.enter_async_context(open_event_log(bootstrap, "archive", topics=(COMMANDS,)))
        return Ports(
            follower=follower,
            archive=DeltaArchive(settings.lake),
            sizes=sizes,
            passes=PostgresBackfillPasses(pool),
            job=JobMarks(bootstrap),
            event_log=event_log,
            progress=PostgresEvaluationProgress(pool),
        )

    registry = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    serve(archive_app(settings, registry, open_ports), settings)


if __name__ == "__main__":
    main()
