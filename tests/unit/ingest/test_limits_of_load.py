"""What is refused when there is too much: requests under way, bytes held, events of one source."""

import asyncio
import contextlib
from collections.abc import Callable

import httpx
import pytest

from audience.ports.catalog import Source
from services._kit.errors import ApiError
from services.ingest.rates import Rates
from services.ingest.room import Room
from tests.unit.ingest.fakes import KEY, OTHER, SHOP, MemoryCatalog, running
from tests.unit.serving import served

TRACK = {"type": "track", "event": "E", "userId": "u1"}


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def refused(what: Callable[[], object]) -> tuple[int, str, int]:
    with pytest.raises(ApiError) as caught:
        what()
    return caught.value.status, caught.value.code, int((caught.value.headers or {})["Retry-After"])


def test_a_bucket_fills_with_time() -> None:
    clock = Clock()
    rates = Rates(10, clock)
    for _ in range(10):
        rates.take(SHOP, 1)
    assert refused(lambda: rates.take(SHOP, 1)) == (429, "rate_limited", 1)
    rates.take(OTHER, 1)  # has a bucket of its own
    clock.now_s += 0.1
    rates.take(SHOP, 1)
    assert refused(lambda: rates.take(SHOP, 1))[0] == 429
    clock.now_s += 100
    for _ in range(10):
        rates.take(SHOP, 1)
    assert refused(lambda: rates.take(SHOP, 1))[0] == 429


def test_a_large_batch_is_taken_and_paid_later() -> None:
    clock = Clock()
    rates = Rates(10, clock)
    rates.take(SHOP, 100)
    assert refused(lambda: rates.take(SHOP, 1)) == (429, "rate_limited", 9)
    clock.now_s += 8.9
    assert refused(lambda: rates.take(SHOP, 0)) == (429, "rate_limited", 1)
    clock.now_s += 0.2
    rates.take(SHOP, 1)
    rates.take(Source("w", "huge", "", "k", events_per_s=1), 2_500)
    assert refused(lambda: rates.take(Source("w", "huge", "", "k", events_per_s=1), 1))[2] == 300


def test_a_sources_own_limit_counts_over_that_for_all() -> None:
    rates = Rates(1, Clock())
    own = Source("w", "big", "", "k", events_per_s=1_000)
    for _ in range(1_000):
        rates.take(own, 1)
    assert refused(lambda: rates.take(own, 1))[0] == 429


def test_without_a_limit_nothing_is_counted() -> None:
    rates = Rates(0, Clock())
    rates.take(SHOP, 10**9)
    rates.take(SHOP, 1)
    assert rates._buckets == {}


def test_places_are_given_back() -> None:
    room = Room(2, 1_000)
    with room.take(None) as one, room.take(b"10"):
        one.hold(900)
        assert refused(lambda: room.take(None)) == (503, "overloaded", 1)
    assert (room.requests, room.held) == (0, 0)


def test_one_alone_may_hold_more_than_the_limit() -> None:
    room = Room(10, 1_000)
    with room.take(None) as one, room.take(None) as two:
        one.hold(5_000)
        assert refused(lambda: two.hold(1)) == (503, "overloaded", 1)
    assert room.held == 0
    with room.take(b"5000"):
        assert room.held == 15_000
    assert room.held == 0


def test_a_place_counts_what_it_will_hold() -> None:
    room = Room(10, 1_000)
    with room.take(b"200") as one:
        assert room.held == 600
        one.hold(200)
        one.hold(350)
        assert room.held == 600
        one.hold(100)
        assert room.held == 650
        assert refused(lambda: room.take(b"200")) == (503, "overloaded", 1)
        with room.take(None) as two, room.take(b"-1"):
            two.hold(10)
            assert room.held == 660
    assert (room.requests, room.held) == (0, 0)


def test_what_is_declared_and_never_sent_takes_little() -> None:
    room = Room(1_000, 32 * 1024 * 1024)
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(room.take(b"4000000"))
        stack.enter_context(room.take(b"50000"))


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """The log takes records only once this is set."""
    go_on = asyncio.Event()

    async def append(self: object, _: object) -> None:
        await go_on.wait()

    monkeypatch.setattr("tests.unit.ingest.fakes.MemoryEventLog.append", append)
    return go_on


async def test_too_many_requests_at_once(slow: asyncio.Event) -> None:
    async with running(ingest_in_flight=5) as service:
        under_way = [asyncio.create_task(service.post("/v1/track", TRACK)) for _ in range(5)]
        await asyncio.sleep(0.05)
        for path in ("/v1/track", "/v1/batch"):
            answer = await service.post(path, b"nonsense")
            assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
            assert answer.headers["retry-after"] == "1"
        slow.set()
        assert [(await each).status_code for each in under_way] == [200] * 5
        assert (await service.post("/v1/track", TRACK)).status_code == 200


async def test_a_flood_over_the_network(slow: asyncio.Event) -> None:
    async with running(ingest_in_flight=5) as service, served(service.app) as port:
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", auth=(KEY, ""), limits=httpx.Limits(max_connections=None)
        ) as http:

            async def statuses() -> list[int]:
                flood = [asyncio.create_task(http.post(path, json=TRACK)) for path in ("/v1/track", "/v1/t?x=1") * 20]
                while sum(each.done() for each in flood) < 35:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
                slow.set()
                answers = await asyncio.gather(*flood)
                assert {each.headers.get("retry-after") for each in answers if each.status_code == 503} == {"1"}
                assert all(each.headers["request-id"] for each in answers)
                return sorted(each.status_code for each in answers)

            assert await statuses() == [200] * 5 + [503] * 35
            assert (await http.post("/v1/track", json=TRACK)).status_code == 200
        room = service.app.api.state.door.room
        assert (room.requests, room.held) == (0, 0)
        assert (
            sum(
                service.metric("ingest_requests_total", {"route": "track", "status": status}) or 0
                for status in ("200", "503")
            )
            == 41
        )


async def test_too_many_bytes_at_once(slow: asyncio.Event) -> None:
    events = [{**TRACK, "userId": f"u{number}"} for number in range(2_000)]
    context = {"x": "y" * 20_000}  # in each of the records: 40 MB
    async with running(ingest_in_flight_mib=8) as service:
        large = asyncio.create_task(service.post("/v1/batch", {"batch": events, "context": context}))
        await asyncio.sleep(0.5)
        assert (await service.post("/v1/track", TRACK)).json()["code"] == "overloaded"
        slow.set()
        assert (await large).status_code == 200
        assert (await service.post("/v1/track", TRACK)).status_code == 200


async def test_a_source_that_sends_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    limited = Source("demo", "shop", "", KEY, events_per_s=10)
    async with running(catalog=MemoryCatalog(found=[limited, OTHER])) as service:
        assert (await service.post("/v1/batch", {"batch": [TRACK] * 30})).status_code == 200
        for key, body in ((KEY, b"{"), (None, b'{"writeKey": "%s", "batch": [{}]}' % KEY.encode())):
            answer = await service.post("/v1/batch", body, key=key)
            assert (answer.status_code, answer.json()["code"]) == (429, "rate_limited")
            assert 1 <= int(answer.headers["retry-after"]) <= 3
        assert (await service.post("/v1/track", TRACK, key=OTHER.write_key)).status_code == 200
        assert len(service.log.events) == 31
        assert service.metric("ingest_requests_total", {"route": "batch", "status": "429"}) == 2


class Pail:
    """A spool as the service sees it."""

    records, bytes, oldest_s, has_room = 3, 400, 12.0, True


async def test_readiness_while_the_spool_bridges() -> None:
    pail = Pail()
    async with running(spool=pail) as service:
        assert (await service.http.get("/readyz")).json()["dependencies"]["kafka"] == {"status": "ok"}
        service.log.away = True
        answer = await service.http.get("/readyz")
        assert (answer.status_code, answer.json()["dependencies"]["kafka"]["status"]) == (200, "degraded")
        assert "holds 3" in answer.json()["dependencies"]["kafka"]["message"]
        pail.has_room = False
        assert (await service.http.get("/readyz")).status_code == 503
        for name, value in (("records", 3), ("bytes", 400), ("oldest_seconds", 12)):
            assert service.metric(f"ingest_spool_{name}") == value
