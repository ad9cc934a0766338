"""The application: what it opens when it starts, its routes, what readiness means."""

import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final

from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from audience.ports.catalog import SegmentCatalog, TokenCatalog
from audience.ports.event_log import EventHistory, EventLog
from audience.ports.questions import Explainer
from audience.ports.stores import MembershipIndex, ProfileStore
from services._kit.app import create_app
from services._kit.demo import refuse_demo_credentials
from services._kit.health import Check
from services._kit.tasks import background
from services.segments import openapi, routes_profiles, routes_segments
from services.segments.catalog_copy import CatalogCopy
from services.segments.entrance import Desk, Entrance
from services.segments.explaining import Explaining
from services.segments.metrics import SegmentsMetrics
from services.segments.publisher import Publisher
from services.segments.saving import Saving
from services.segments.settings import SegmentsSettings
from services.segments.together import Together
from services.segments.tokens import Tokens
from services.segments.work import Work

API_VERSION: Final = "1"


@dataclass(frozen=True, slots=True)
class Ports:
    """The outside, as this service needs it."""

    catalog: SegmentCatalog
    tokens: TokenCatalog
    profiles: ProfileStore
    index: MembershipIndex
    event_log: EventLog
    history: EventHistory
    explainer: Explainer


OpenPorts = Callable[[AsyncExitStack], Awaitable[Ports]]
"""Opens the ports on the stack that closes them."""


def segments_app(settings: SegmentsSettings, registry: CollectorRegistry, open_ports: OpenPorts) -> Entrance:
    """segment-api over these ports."""
    metrics = SegmentsMetrics(registry)

    async def open_resources(app: FastAPI, stack: AsyncExitStack) -> Mapping[str, Check]:
        ports = await open_ports(stack)
        await refuse_demo_credentials(settings, tokens=ports.tokens)
        copy = CatalogCopy(ports.catalog, metrics, time.monotonic)
        await copy.attempt()
        publisher = Publisher(ports.catalog, ports.index, ports.event_log, metrics, _now_ms)
        await stack.enter_async_context(background(copy.follow(), "catalog-copy"))
        await stack.enter_async_context(background(publisher.run(), "publisher"))
        tokens = Tokens(ports.tokens, settings.token_cache_s, settings.token_stale_s, time.monotonic)
        memberships = Together(ports.profiles.memberships, settings.read_timeout_s, metrics)
        profiles = Together(ports.profiles.get_many, settings.read_timeout_s, metrics)
        app.state.desk = Desk(tokens, memberships, profiles, copy, metrics, _now_ms)
        app.state.work = Work(
            catalog=ports.catalog,
            index=ports.index,
            copy=copy,
            desk=app.state.desk,
            saving=Saving(ports.catalog, copy, publisher, _now_ms),
            explaining=Explaining(ports.profiles, ports.catalog, ports.explainer, ports.history, metrics),
            now_ms=_now_ms,
        )
        return {
            "kafka": ports.event_log.check,
            "catalog": copy.check,
            "profile-store": ports.profiles.check,
            "membership-index": ports.index.check,
        }

    app = create_app("Audience Manager segment-api", API_VERSION, open_resources, registry)
    app.router.redirect_slashes = False
    app.include_router(routes_segments.router)
    app.include_router(routes_profiles.router)
    openapi.install(app)
    return Entrance(app)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
