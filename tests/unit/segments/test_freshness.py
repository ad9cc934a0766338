"""Up to when a segment has been evaluated: as a field, and as a metric that grows while nothing is evaluated."""

import httpx
import pytest
from prometheus_client import CollectorRegistry

from audience.ports.catalog import CatalogView, SegmentDraft, SegmentStatus
from audience.ports.evaluation import Reached
from services.segments.catalog_copy import CatalogCopy
from services.segments.freshness import Freshness
from services.segments.metrics import SegmentsMetrics
from tests.integration.contracts.memory import MemoryEvaluationProgress, MemorySegmentCatalog
from tests.unit.segments.service import Outside, running

SAVED_MS = 10_000


class Bench:
    """A catalog with a segment of each status, saved at `SAVED_MS`."""

    def __init__(self) -> None:
        self.registry, self.now_ms = CollectorRegistry(), SAVED_MS + 60_000
        self.catalog, self.progress = MemorySegmentCatalog(), MemoryEvaluationProgress()
        self.copy = CatalogCopy(self.catalog, SegmentsMetrics(CollectorRegistry()), lambda: 0.0)
        self.freshness = Freshness(self.progress, self.copy, lambda: self.now_ms)
        self.freshness.register(self.registry)

    async def look(self) -> dict[str, int | None]:
        await self.copy.attempt()
        await self.freshness.attempt()
        return {each.key: self.freshness.evaluated_ms(each) for each in await self.catalog.page("w", "", 9)}

    def age_s(self, segment: str) -> float | None:
        return self.registry.get_sample_value("segments_evaluated_age_seconds", {"workspace": "w", "segment": segment})


@pytest.fixture
async def bench() -> Bench:
    made = Bench()
    statuses: tuple[SegmentStatus, ...] = ("live", "paused", "draft")
    for revision, status in enumerate(statuses):
        draft = SegmentDraft(key=status, name="", description="", rule={"event": "x"}, tags=(), status=status)
        await made.catalog.create("w", draft, CatalogView(revision, {}), SAVED_MS)
    return made


async def test_only_a_live_segment_is_evaluated(bench: Bench) -> None:
    bench.progress.reached = Reached(SAVED_MS + 5, SAVED_MS + 9)
    assert await bench.look() == {"live": SAVED_MS + 5, "paused": None, "draft": None}
    assert (bench.age_s("live"), bench.age_s("paused")) == (59.995, None)


@pytest.mark.parametrize("reached", [None, Reached(SAVED_MS - 1, SAVED_MS + 9), Reached(SAVED_MS + 9, SAVED_MS - 1)])
async def test_one_that_was_just_saved_is_not_evaluated_yet(bench: Bench, reached: Reached | None) -> None:
    bench.progress.reached = reached
    assert (await bench.look())["live"] is None
    assert bench.age_s("live") == 60  # since it was saved, so that one that never is evaluated is seen


async def test_a_stale_one_is_seen_while_the_database_is_away(bench: Bench) -> None:
    bench.progress.reached = Reached(SAVED_MS + 5, SAVED_MS + 5)
    await bench.look()
    bench.progress.away, bench.catalog.away = True, False
    bench.now_ms += 100_000
    assert (await bench.look())["live"] == SAVED_MS + 5
    assert bench.age_s("live") == 159.995


@pytest.fixture
def far() -> Outside:
    outside = Outside()
    outside.progress.reached = Reached(2**42, 2**42)
    return outside


async def test_the_field_and_the_metric_of_the_service(far: Outside) -> None:
    async with running(far) as api:
        body = {"key": "vip", "rule": {"event": "x"}, "status": "live"}
        for answer in (
            (await api.post("/v1/segments", json=body)).json(),
            (await api.get("/v1/segments/vip")).json(),
            (await api.get("/v1/segments")).json()["segments"][0],
        ):
            assert answer["evaluated_at"] == "2109-05-15T07:35:11.104Z"
        assert (await shown(api)).endswith(" 0.0")
    far.progress.reached = None
    async with running(far) as again:  # its registry is its own
        assert await shown(again)


async def shown(api: httpx.AsyncClient) -> str:
    lines = (await api.get("/metrics")).text.splitlines()
    [line] = [each for each in lines if each.startswith("segments_evaluated_age_seconds{")]
    return line
