"""Write keys: the copy in memory, its refreshing, what it does while the catalog is away."""

import asyncio

import pytest
from prometheus_client import CollectorRegistry

from audience.ports.catalog import Source
from audience.ports.stores import StoreUnavailable
from services._kit.health import Degraded
from services.ingest.metrics import SOURCES, IngestMetrics
from services.ingest.sources import Sources, SourcesUnknown
from tests.unit.ingest.fakes import KEY, OTHER, SHOP, MemoryCatalog, running


class Clock:
    """A monotonic clock that stands until it is moved."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def sources_over(catalog: MemoryCatalog, clock: Clock | None = None) -> Sources:
    return Sources(catalog, 0.01, IngestMetrics(CollectorRegistry()), clock or Clock())


async def test_nothing_is_known_before_the_first_read() -> None:
    catalog = MemoryCatalog()
    catalog.be_away()
    sources = sources_over(catalog)
    await sources.attempt()
    with pytest.raises(SourcesUnknown):
        sources.find(KEY)
    with pytest.raises(StoreUnavailable, match="PostgreSQL is away"):
        await sources.check()


async def test_a_copy_goes_on_serving_and_readiness_says_so() -> None:
    catalog, clock = MemoryCatalog(), Clock()
    sources = sources_over(catalog, clock)
    await sources.attempt()
    await sources.check()
    assert sources.find(KEY) == SHOP
    assert sources.find("nope") is None
    catalog.be_away()
    clock.now_s += 30
    await sources.attempt()
    assert sources.find(KEY) == SHOP
    with pytest.raises(Degraded, match="30 s ago"):
        await sources.check()
    catalog.fault = None
    await sources.attempt()
    await sources.check()


async def test_keys_come_and_go_without_a_restart() -> None:
    catalog = MemoryCatalog()
    async with running(catalog=catalog, sources_refresh_s=0.01) as service:
        catalog.found = [Source("demo", "new", "New", "new-key")]
        await asyncio.sleep(0.05)
        event = {"event": "E", "userId": "u1"}
        assert (await service.post("/v1/track", event, key="new-key")).status_code == 200
        assert (await service.post("/v1/track", event, key=KEY)).status_code == 401
        assert service.metric("ingest_sources") == 1


async def test_a_fault_of_ours_does_not_end_the_refreshing() -> None:
    catalog = MemoryCatalog()
    async with running(catalog=catalog, sources_refresh_s=0.01) as service:
        catalog.fault = ZeroDivisionError()
        await asyncio.sleep(0.05)
        answer = await service.http.get("/readyz")
        assert answer.status_code == 200  # it serves
        assert answer.json()["dependencies"]["sources"]["status"] == "degraded"
        catalog.fault = None
        await asyncio.sleep(0.05)
        assert (await service.http.get("/readyz")).json()["dependencies"]["sources"] == {"status": "ok"}


async def test_a_catalog_that_hangs_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.ingest.sources.READ_TIMEOUT_S", 0.01)

    async def hang(_: object) -> list[Source]:
        await asyncio.sleep(60)
        return []

    monkeypatch.setattr(MemoryCatalog, "sources", hang)
    with pytest.raises(StoreUnavailable, match="could not be read within"):
        await sources_over(MemoryCatalog()).refresh()


async def test_stopping_ends_the_refreshing() -> None:
    catalog = MemoryCatalog()
    async with running(catalog=catalog, sources_refresh_s=0.01):
        pass
    reads = catalog.reads
    await asyncio.sleep(0.03)
    assert catalog.reads == reads


async def test_readiness_needs_the_log() -> None:
    async with running() as service:
        assert (await service.http.get("/readyz")).json() == {
            "status": "ready",
            "dependencies": {"kafka": {"status": "ok"}, "sources": {"status": "ok"}},
        }
        service.log.away = True
        assert (await service.http.get("/readyz")).status_code == 503
        assert (await service.http.get("/healthz")).status_code == 200


async def test_production_refuses_the_demos_key() -> None:
    with pytest.raises(Exception, match="everybody knows"):
        async with running(environment="production"):
            pass


async def test_production_does_not_know_the_demos_key_later_either() -> None:
    catalog = MemoryCatalog(found=[OTHER])
    async with running(catalog=catalog, environment="production", sources_refresh_s=0.01) as service:
        catalog.found = [SHOP, OTHER]
        await asyncio.sleep(0.05)
        event = {"event": "E", "userId": "u1"}
        assert (await service.post("/v1/track", event, key=KEY)).status_code == 401
        assert (await service.post("/v1/track", event, key=OTHER.write_key)).status_code == 200


def test_labels_of_sources_are_bounded() -> None:
    registry = CollectorRegistry()
    metrics = IngestMetrics(registry)
    for number in range(SOURCES + 50):
        for _ in range(2):
            metrics.accepted(Source("w", f"s{number}", "", f"k{number}"), 1)
    labels = {"workspace": "other", "source": "other"}
    assert registry.get_sample_value("ingest_events_accepted_total", labels) == 100
    assert registry.get_sample_value("ingest_events_accepted_total", {"workspace": "w", "source": "s0"}) == 2
