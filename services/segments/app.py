"""The application: what it opens when it starts, its routes, what readiness means."""

import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final

from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from starlette.middleware.gzip import GZipMiddleware

from audience.ports.backfills import Backfills
from audience.ports.catalog import ComputedTraitCatalog, IdempotencyKeys, ListCatalog, SegmentCatalog, TokenCatalog
from audience.ports.evaluation import EvaluationProgress
from audience.ports.event_log import EventHistory, EventLog
from audience.ports.external_ids import ExternalIds
from audience.ports.memberships import MembershipReads, SizeHistory
from audience.ports.questions import Explainer
from audience.ports.stores import MembershipIndex, ProfileStore
from services._kit.app import create_app
from services._kit.demo import refuse_demo_credentials
from services._kit.health import Check
from services._kit.tasks import background
from services.segments import (
    openapi,
    routes_analytics,
    routes_backfills,
    routes_bad_events,
    routes_changes,
    routes_computed_traits,
    routes_lists,
    routes_members,
    routes_preview,
    routes_profiles,
    routes_segments,
    routes_sources,
    routes_spaces,
    routes_tracking_plans,
    routes_versions,
)
from services.segments.catalog_copy import CatalogCopy
from services.segments.entrance import Desk, Entrance
from services.segments.explaining import Explaining
from services.segments.exporting import Exports
from services.segments.freshness import Freshness
from services.segments.housekeeping import Housekeeping
from services.segments.lake_worker import LakeWorker
from services.segments.lookups import Lookups
from services.segments.metrics import SegmentsMetrics
from services.segments.publisher import Publisher
from services.segments.saving import Saving
from services.segments.sending_side import Sending
from services.segments.settings import SegmentsSettings
from services.segments.spaces import shaped
from services.segments.streaming import Tail
from services.segments.together import Together
from services.segments.tokens import Tokens
from services.segments.work import Work

DAY_MS: Final = 86_400_000
API_VERSION: Final = "1"
ROUTES: Final = (
    routes_profiles,
    routes_preview,
    routes_analytics,
    routes_segments,
    routes_backfills,
    routes_versions,
    routes_members,
    routes_changes,
    routes_lists,
    routes_computed_traits,
    routes_sources,
    routes_tracking_plans,
    routes_bad_events,
    routes_spaces,
)
NOT_PACKED: Final = ("text/event-stream", "application/vnd.apache.parquet")


@dataclass(frozen=True, slots=True)
class Ports:
    """The outside, as this service needs it."""

    catalog: SegmentCatalog
    computed_traits: ComputedTraitCatalog
    lists: ListCatalog
    tokens: TokenCatalog
    idempotency: IdempotencyKeys
    profiles: ProfileStore
    index: MembershipIndex
    members: MembershipReads
    sizes: SizeHistory
    event_log: EventLog
    history: EventHistory
    explainer: Explainer
    previews: LakeWorker
    analytics: LakeWorker
    progress: EvaluationProgress
    external_ids: ExternalIds
    sending: Sending
    backfills: Backfills


OpenPorts = Callable[[AsyncExitStack], Awaitable[Ports]]
"""Opens the ports on the stack that closes them."""


def segments_app(
    settings: SegmentsSettings,
    registry: CollectorRegistry,
    open_ports: OpenPorts,
    stopping: Callable[[], bool] = lambda: False,
) -> Entrance:
    """segment-api over these ports. `stopping` says that the server ends, and with it what never ends by itself."""
    metrics = SegmentsMetrics(registry)

    async def open_resources(app: FastAPI, stack: AsyncExitStack) -> Mapping[str, Check]:
        ports = await open_ports(stack)
        await refuse_demo_credentials(settings, tokens=ports.tokens)
        copy = CatalogCopy(ports.catalog, metrics, time.monotonic)
        await copy.attempt()
        freshness = Freshness(ports.progress, copy, _now_ms)
        await freshness.attempt()
        stack.callback(freshness.register(registry))
        publisher = Publisher(
            ports.catalog, ports.computed_traits, ports.lists, ports.index, ports.event_log, metrics, _now_ms
        )
        await stack.enter_async_context(background(copy.follow(), "catalog-copy"))
        await stack.enter_async_context(background(freshness.follow(), "freshness"))
        await stack.enter_async_context(background(publisher.run(), "publisher"))
        tokens = Tokens(ports.tokens, settings.token_cache_s, settings.token_stale_s, time.monotonic, time.time)
        housekeeping = Housekeeping(ports.sizes, ports.idempotency, tokens, _now_ms)
        await stack.enter_async_context(background(housekeeping.run(), "housekeeping"))
        tail = Tail(ports.members, ports.catalog, stopping)
        await stack.enter_async_context(background(tail.run(), "tail"))
        times = settings.read_timeout_s, settings.queue_timeout_s
        memberships = Together(ports.profiles.memberships, *times, metrics)
        profiles = Together(ports.profiles.get_many, *times, metrics)
        lookups = Lookups(ports.profiles.memberships, *times, metrics)
        per_second = settings.requests_per_second
        app.state.desk = Desk(tokens, memberships, profiles, lookups, copy, metrics, per_second, _now_ms)
        app.state.work = Work(
            catalog=ports.catalog,
            computed_traits=ports.computed_traits,
            lists=ports.lists,
            idempotency=ports.idempotency,
            index=ports.index,
            members=ports.members,
            history_of_sizes=ports.sizes,
            profiles=ports.profiles,
            external_ids=ports.external_ids,
            history=ports.history,
            copy=copy,
            freshness=freshness,
            desk=app.state.desk,
            saving=Saving(ports.catalog, copy, publisher, _now_ms, filled=settings.backfill),
            publisher=publisher,
            explaining=Explaining(
                ports.profiles,
                ports.catalog,
                ports.explainer,
                ports.history,
                metrics,
                kept_ms=settings.lake_retention_days * DAY_MS,
            ),
            exports=Exports(),
            tail=tail,
            previews=ports.previews,
            preview_limit_ms=settings.preview_limit_ms,
            analytics=ports.analytics,
            analytics_limit_ms=settings.analytics_limit_ms,
            now_ms=_now_ms,
            sending=ports.sending,
            backfills=ports.backfills,
        )
        return {
            "kafka": ports.event_log.check,
            "catalog": copy.check,
            "profile-store": ports.profiles.check,
            "membership-index": ports.index.check,
        }

    app = create_app("Audience Manager segment-api", API_VERSION, open_resources, registry, shaped)
    app.router.redirect_slashes = False
    app.add_middleware(GZipMiddleware, minimum_size=1_024, compresslevel=4, exclude_content_types=NOT_PACKED)
    for routes in ROUTES:
        app.include_router(routes.router)
    openapi.install(app)
    return Entrance(app, settings.queue_timeout_s)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
