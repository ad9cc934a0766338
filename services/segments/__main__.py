"""Starts segment-api: ``python -m services.segments``."""

from contextlib import AsyncExitStack

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from audience.adapters.kafka.bad_events import KafkaBadEvents
from audience.adapters.kafka.history import KafkaEventHistory
from audience.adapters.kafka.producer import open_event_log
from audience.adapters.kafka.requests import open_explainer
from audience.adapters.postgres.backfills import PostgresBackfills
from audience.adapters.postgres.catalog import PostgresSegmentCatalog
from audience.adapters.postgres.computed_traits import PostgresComputedTraitCatalog
from audience.adapters.postgres.evaluation_progress import PostgresEvaluationProgress
from audience.adapters.postgres.external_ids import PostgresExternalIds
from audience.adapters.postgres.idempotency import PostgresIdempotencyKeys
from audience.adapters.postgres.lists import PostgresListCatalog
from audience.adapters.postgres.membership_index import PostgresMembershipIndex
from audience.adapters.postgres.membership_reads import PostgresMembershipReads
from audience.adapters.postgres.pool import Pool, open_pool
from audience.adapters.postgres.replays import PostgresReplays
from audience.adapters.postgres.size_history import PostgresSizeHistory
from audience.adapters.postgres.sources import PostgresSourceCatalog
from audience.adapters.postgres.tokens import PostgresTokenCatalog
from audience.adapters.postgres.tracking_plans import PostgresTrackingPlanCatalog
from audience.telemetry import logs
from audience.wire.topics import COMMANDS, COMPUTED_TRAITS, EVENTS, PROFILE_LISTS, REPLIES, SEGMENTS
from services._kit.profile_store import open_profile_store
from services._kit.replaying import Replaying
from services._kit.server import Stopping, serve
from services.segments.app import Ports, segments_app
from services.segments.histories import LakeThenLog
from services.segments.lake_worker import LakeWorker, WorkerOptions
from services.segments.pools import shares
from services.segments.sending_side import Sending
from services.segments.settings import SegmentsSettings

TOPICS = (SEGMENTS, COMPUTED_TRAITS, PROFILE_LISTS, EVENTS, COMMANDS, REPLIES)
LINGER_MS = 0.0
"""A question or a change of a segment goes out at once: there are few, and somebody waits."""


def main() -> None:
    """Serve until told to stop."""
    settings = SegmentsSettings()  # type: ignore[call-arg]  # the environment gives them
    logs.configure("segment-api", settings.log_level)

    async def open_ports(stack: AsyncExitStack) -> Ports:
        dsn, bootstrap = settings.postgres_dsn.get_secret_value(), settings.kafka_bootstrap_servers
        each = shares(settings.postgres_connections)
        catalog = await stack.enter_async_context(open_pool(dsn, max_size=each.catalog, application="segment-api"))
        exports = await stack.enter_async_context(
            open_pool(
                dsn,
                max_size=each.exports,
                statement_timeout_s=settings.export_timeout_s,
                application="segment-api-exports",
                by_key=True,
            )
        )
        reads = await stack.enter_async_context(
            open_pool(
                dsn,
                max_size=each.reads,
                acquire_timeout_s=settings.read_timeout_s,
                statement_timeout_s=settings.read_timeout_s,
                application="segment-api-reads",
                by_key=True,
            )
        )
        by_segment = await stack.enter_async_context(
            open_pool(dsn, max_size=each.segments, application="segment-api-segments", by_key=True)
        )
        event_log = await stack.enter_async_context(
            open_event_log(bootstrap, "segment-api", topics=TOPICS, linger_ms=LINGER_MS)
        )
        explainer = await stack.enter_async_context(
            open_explainer(bootstrap, event_log, timeout_s=settings.explain_timeout_s)
        )
        options = WorkerOptions(settings.lake, settings.lake_bounds, settings.postgres_dsn)
        # One each, so that an author never waits for somebody's report.
        previews, analytics = LakeWorker(options), LakeWorker(options)
        stack.callback(previews.close)
        stack.callback(analytics.close)
        log = KafkaEventHistory(bootstrap, time_limit_s=settings.history_timeout_s)
        return Ports(
            catalog=PostgresSegmentCatalog(catalog),
            computed_traits=PostgresComputedTraitCatalog(catalog),
            lists=PostgresListCatalog(catalog),
            tokens=PostgresTokenCatalog(catalog),
            idempotency=PostgresIdempotencyKeys(catalog),
            profiles=await open_profile_store(stack, settings, reads),
            index=PostgresMembershipIndex(catalog),
            members=PostgresMembershipReads(by_segment, exports),
            sizes=PostgresSizeHistory(catalog),
            event_log=event_log,
            history=LakeThenLog(analytics, log, lake_limit_s=settings.history_timeout_s),
            explainer=explainer,
            previews=previews,
            analytics=analytics,
            external_ids=PostgresExternalIds(catalog),
            progress=PostgresEvaluationProgress(catalog),
            sending=_sending(catalog, settings),
            backfills=PostgresBackfills(catalog),
        )

    registry = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    stopping = Stopping()
    serve(segments_app(settings, registry, open_ports, stopping), settings, stopping)


def _sending(pool: Pool, settings: SegmentsSettings) -> Sending:
    sources, bad_events = PostgresSourceCatalog(pool), KafkaBadEvents(settings.kafka_bootstrap_servers)
    replaying = Replaying(bad_events, sources, PostgresReplays(pool), settings.ingest_url)
    return Sending(sources, PostgresTrackingPlanCatalog(pool), bad_events, replaying)


if __name__ == "__main__":
    main()
