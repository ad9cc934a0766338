"""The outside of ingest-api in memory: a log that remembers or refuses, a catalog that answers or is away."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from audience.ports.catalog import Source
from audience.ports.event_log import EventLogUnavailable, LogRecord
from audience.ports.stores import StoreUnavailable
from audience.ports.tracking_plans import PlanCount, SavedPlan
from audience.wire.topics import EVENTS, EVENTS_BAD, BadEventRecord, EventRecord, decode_bad_event, decode_event
from services.ingest.app import Ports, Spool, ingest_app
from services.ingest.limits import Limits
from services.ingest.routes import EventRoutes
from services.ingest.settings import IngestSettings

KEY: Final = "demo-write-key"
SHOP: Final = Source("demo", "shop", "The shop", KEY)
OTHER: Final = Source("acme", "app", "The app", "other-key")


@dataclass(slots=True)
class MemoryEventLog:
    """An `audience.ports.event_log.EventLog` that keeps records in lists, and refuses while `away`."""

    topics: dict[str, list[LogRecord]] = field(default_factory=dict)
    away: bool = False
    appends: int = 0

    async def append(self, records: Sequence[LogRecord]) -> None:
        await self.check()
        self.appends += 1
        for record in records:
            self.topics.setdefault(record.topic, []).append(record)

    async def check(self) -> None:
        if self.away:
            raise EventLogUnavailable("the log is away")

    @property
    def events(self) -> list[EventRecord]:
        return [decode_event(record.value or b"") for record in self.topics.get(EVENTS, ())]

    @property
    def bad(self) -> list[BadEventRecord]:
        return [decode_bad_event(record.value or b"") for record in self.topics.get(EVENTS_BAD, ())]


@dataclass(slots=True)
class MemoryCatalog:
    """An `audience.ports.catalog.SourceCatalog`; `fault` is raised where it is set."""

    found: list[Source] = field(default_factory=lambda: [SHOP, OTHER])
    fault: Exception | None = None
    reads: int = 0

    async def sources(self) -> Sequence[Source]:
        self.reads += 1
        if self.fault is not None:
            raise self.fault
        return list(self.found)

    def be_away(self) -> None:
        self.fault = StoreUnavailable("PostgreSQL is away")


class MemoryPlans:
    """Tracking plans and their counts, in memory."""

    def __init__(self, plans: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        self.saved = {
            ("demo", source): SavedPlan("demo", source, document, 1, 0) for source, document in (plans or {}).items()
        }
        self.counted: list[PlanCount] = []
        self.fault: Exception | None = None

    async def revisions(self) -> Mapping[tuple[str, str], int]:
        if self.fault is not None:
            raise self.fault
        return {place: plan.revision for place, plan in self.saved.items()}

    async def get(self, workspace: str, source: str) -> SavedPlan | None:
        return self.saved.get((workspace, source))

    async def put(self, workspace: str, source: str, document: Mapping[str, Any], now_ms: int) -> SavedPlan:
        revision = 1 + max((plan.revision for plan in self.saved.values()), default=0)
        saved = self.saved[workspace, source] = SavedPlan(workspace, source, document, revision, now_ms)
        return saved

    async def delete(self, workspace: str, source: str) -> bool:
        return self.saved.pop((workspace, source), None) is not None

    async def count(self, counts: Sequence[PlanCount]) -> None:
        if self.fault is not None:
            raise self.fault
        self.counted += counts

    async def counts(self, workspace: str, source: str, limit: int) -> Sequence[PlanCount]:
        return [each for each in self.counted if (each.workspace, each.source) == (workspace, source)][:limit]


@dataclass(frozen=True, slots=True)
class Service:
    """ingest-api over the two, and a client for it."""

    app: EventRoutes
    http: httpx.AsyncClient
    log: MemoryEventLog
    catalog: MemoryCatalog
    registry: CollectorRegistry

    async def post(self, path: str, body: Any = None, key: str | None = KEY, **more: Any) -> httpx.Response:
        """POST a JSON value, or bytes as they are, with Basic credentials unless `key` is None."""
        auth = None if key is None else httpx.BasicAuth(key, "")
        content = {"content": body} if isinstance(body, bytes) else {"json": body}
        return await self.http.post(path, auth=auth, **content, **more)  # type: ignore[arg-type]

    def metric(self, name: str, labels: Mapping[str, str] | None = None) -> float | None:
        return self.registry.get_sample_value(name, dict(labels or {}))


@asynccontextmanager
async def running(
    *,
    catalog: MemoryCatalog | None = None,
    plans: MemoryPlans | None = None,
    limits: Limits | None = None,
    spool: Spool | None = None,
    **settings: Any,
) -> AsyncIterator[Service]:
    """The whole service, started and stopped, without a network."""
    log, catalog, registry = MemoryEventLog(), catalog or MemoryCatalog(), CollectorRegistry()

    async def open_ports(_: AsyncExitStack) -> Ports:
        return Ports(log, catalog, plans or MemoryPlans(), spool)

    given = IngestSettings(postgres_dsn=SecretStr("unused"), **settings)
    app = ingest_app(given, registry, open_ports, limits)
    transport = httpx.ASGITransport(app=app)
    async with (
        app.api.router.lifespan_context(app.api),
        httpx.AsyncClient(transport=transport, base_url="http://ingest.test:8081") as http,
    ):
        yield Service(app, http, log, catalog, registry)
