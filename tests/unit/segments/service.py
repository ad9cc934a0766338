"""segment-api over parts in memory."""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from audience.events.model import Event
from audience.ports.event_log import EventLogUnavailable
from audience.ports.questions import NotEvaluated
from services._kit.demo import token_sha256
from services.segments.app import Ports, segments_app
from services.segments.settings import SegmentsSettings
from tests.integration.contracts.memory import (
    MemoryEvaluationProgress,
    MemoryEventLog,
    MemoryMembershipIndex,
    MemoryProfileStore,
    MemorySegmentCatalog,
    MemoryTokenCatalog,
    explanation,
)

TOKEN = "a-token"
OTHER_TOKEN = "another-token"


class Explainer:
    """Answers at once, or as it is told."""

    def __init__(self) -> None:
        self.faults: list[Exception] = []
        self.asked = 0
        self.version = 1
        self.tree: Mapping[str, Any] = {"path": "", "truth": True, "value": 2}

    async def explain(self, workspace: str, profile_id: str, segment: str) -> Mapping[str, Any]:
        assert workspace == "w"
        self.asked += 1
        if self.faults:
            raise self.faults.pop(0)
        return explanation(profile_id, segment, self.version, self.tree)


class History:
    def __init__(self) -> None:
        self.events: list[Event] = []
        self.away = False

    async def events_of(self, workspace: str, profile_id: str) -> Iterable[Event]:
        if self.away:
            raise EventLogUnavailable("too slow")
        return [each for each in self.events if (each.workspace, each.profile_id) == (workspace, profile_id)]


class Nothing:
    """Has nothing, and has nothing to tell. What reads it for real is tested on the running platform."""

    @asynccontextmanager
    async def publishing(self, _: int) -> AsyncIterator[tuple[()]]:
        yield ()

    async def sample(self, at_ms: int) -> None: ...
    async def thin(self, now_ms: int) -> None: ...
    async def forget(self, before_ms: int) -> None: ...
    async def newest(self, *_: object) -> dict[str, Any]:
        return {}


class Outside:
    """All that the service opens."""

    def __init__(self) -> None:
        self.catalog = MemorySegmentCatalog()
        self.tokens = MemoryTokenCatalog({token_sha256(TOKEN): "w", token_sha256(OTHER_TOKEN): "other"})
        self.profiles, self.index, self.log = MemoryProfileStore(), MemoryMembershipIndex(), MemoryEventLog()
        self.history, self.explainer = History(), Explainer()
        self.progress = MemoryEvaluationProgress()
        self.nothing: Any = Nothing()

    async def open(self, _: AsyncExitStack) -> Ports:
        return Ports(
            catalog=self.catalog,
            computed_traits=self.nothing,
            lists=self.nothing,
            tokens=self.tokens,
            idempotency=self.nothing,
            profiles=self.profiles,
            index=self.index,
            members=self.nothing,
            sizes=self.nothing,
            event_log=self.log,
            history=self.history,
            explainer=self.explainer,
            previews=self.nothing,
            analytics=self.nothing,
            progress=self.progress,
            external_ids=self.nothing,
            sending=self.nothing,
            backfills=self.nothing,
        )


def settings(**changes: Any) -> SegmentsSettings:
    return SegmentsSettings(postgres_dsn=SecretStr("postgresql://x"), **changes)


@asynccontextmanager
async def running(outside: Outside, **changes: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the running service, with the token of workspace `w`."""
    service = segments_app(settings(**changes), CollectorRegistry(), outside.open)
    async with (
        service.api.router.lifespan_context(service.api),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(service, raise_app_exceptions=False),
            base_url="http://test",
            headers={"Authorization": f"Bearer {TOKEN}"},
        ) as client,
    ):
        yield client


__all__ = ["TOKEN", "Explainer", "NotEvaluated", "Outside", "running", "settings"]
