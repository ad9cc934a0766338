"""Tokens that are remembered, reads that go together, publishing that goes on."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from audience.ports.stores import StoreUnavailable
from audience.profiles.model import Membership
from services._kit.demo import token_sha256
from services._kit.errors import ApiError
from services._kit.health import Degraded
from services.segments import together as together_module
from services.segments import tokens as tokens_module
from services.segments.answers import instant
from services.segments.catalog_copy import CatalogCopy
from services.segments.gates import Bodies, Gate
from services.segments.lookups import AT_ONCE, Lookups
from services.segments.metrics import SegmentsMetrics
from services.segments.together import Together
from services.segments.tokens import Tokens
from tests.integration.contracts.memory import MemoryProfileStore, MemorySegmentCatalog, MemoryTokenCatalog
from tests.integration.contracts.profile_store import profile

Reader = Together[tuple[Membership, ...]]
HEADER = b"Bearer good"


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def metrics() -> SegmentsMetrics:
    return SegmentsMetrics(CollectorRegistry())


@pytest.fixture
def catalog() -> MemoryTokenCatalog:
    return MemoryTokenCatalog({token_sha256("good"): "w"})


@pytest.fixture
def tokens(catalog: MemoryTokenCatalog, clock: Clock) -> Tokens:
    return Tokens(catalog, fresh_s=5, stale_s=60, clock_s=clock, unix_s=clock)


async def test_a_token_is_looked_up_once_in_a_while(tokens: Tokens, catalog: MemoryTokenCatalog, clock: Clock) -> None:
    assert tokens.remembered(HEADER) is None
    for _ in range(3):
        assert (await tokens.client_of(HEADER)).access.workspace == "w"
        remembered = tokens.remembered(HEADER)
        assert remembered is not None
        assert remembered.access.workspace == "w"
    assert catalog.asked == 1
    clock.now_s += 5
    assert tokens.remembered(HEADER) is None
    await tokens.client_of(HEADER)
    assert catalog.asked == 2


async def test_a_revoked_token_ends_within_seconds(tokens: Tokens, catalog: MemoryTokenCatalog, clock: Clock) -> None:
    await tokens.client_of(HEADER)
    catalog.tokens.clear()
    clock.now_s += 5
    with pytest.raises(ApiError):
        await tokens.client_of(HEADER)
    assert tokens.remembered(HEADER) is None


async def test_wrong_tokens_are_remembered_too_but_not_without_end(
    tokens: Tokens, catalog: MemoryTokenCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens_module, "MOST_REMEMBERED", 10)
    for _ in range(3):
        with pytest.raises(ApiError):
            await tokens.client_of(b"Bearer wrong")
    assert catalog.asked == 1
    for number in range(100):
        with pytest.raises(ApiError):
            await tokens.client_of(b"Bearer %d" % number)
    assert len(tokens._known) <= 10


async def test_while_the_database_is_away(tokens: Tokens, catalog: MemoryTokenCatalog, clock: Clock) -> None:
    await tokens.client_of(HEADER)
    with pytest.raises(ApiError):
        await tokens.client_of(b"Bearer wrong")
    catalog.away = True
    clock.now_s += 30
    assert (await tokens.client_of(HEADER)).access.workspace == "w"
    with pytest.raises(StoreUnavailable):  # neither right nor wrong
        await tokens.client_of(b"Bearer never seen")
    with pytest.raises(StoreUnavailable):
        await tokens.client_of(b"Bearer wrong")
    clock.now_s += 31
    with pytest.raises(StoreUnavailable):
        await tokens.client_of(HEADER)


def test_no_token_is_kept(tokens: Tokens) -> None:
    assert b"good" not in repr(vars(tokens)).encode()


# reads that go together


class SlowStore(MemoryProfileStore):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, int]] = []
        self.under_way = self.most_under_way = 0
        self.fault: Exception | None = None

    async def memberships(self, workspace: str, profile_ids: Sequence[str]) -> Mapping[str, tuple[Membership, ...]]:
        self.calls.append((workspace, len(profile_ids)))
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        await asyncio.sleep(0.01)
        self.under_way -= 1
        if self.fault:
            raise self.fault
        return await super().memberships(workspace, profile_ids)


@pytest.fixture
async def store() -> SlowStore:
    made = SlowStore()
    await made.put_many([profile(f"u{number}", number + 1, f"s{number}") for number in range(2_000)])
    await made.put_many([profile("u1", 5, "elsewhere", workspace="other")])
    return made


@pytest.fixture
def reader(store: SlowStore, metrics: SegmentsMetrics) -> Reader:
    return Together(store.memberships, 0.5, 5.0, metrics)


async def test_everybody_gets_their_own(reader: Reader, store: SlowStore) -> None:
    asked = [("w", f"u{number % 500}") for number in range(2_000)] + [("other", "u1"), ("w", "none"), ("none", "u1")]
    answers = await asyncio.gather(*(reader.read(*each) for each in asked))
    for (workspace, profile_id), answer in zip(asked, answers, strict=True):
        match workspace, profile_id:
            case ("none", _) | (_, "none"):
                assert answer is None
            case "other", _:
                assert answer is not None
                assert answer[0].segment == "elsewhere"
            case _:
                assert answer is not None
                assert answer[0].segment == f"s{profile_id[1:]}"
    assert store.most_under_way <= together_module.AT_ONCE
    assert max(size for _, size in store.calls) <= together_module.LARGEST_CALL
    assert len(store.calls) < 20  # 2,003 reads


async def test_a_read_alone_waits_for_nobody(reader: Reader, store: SlowStore) -> None:
    await reader.read("w", "u1")
    assert store.calls == [("w", 1)]


async def test_a_store_that_is_away_fails_all_that_wait(reader: Reader, store: SlowStore) -> None:
    store.fault = StoreUnavailable("away")
    answers = await asyncio.gather(*(reader.read("w", f"u{n}") for n in range(1_500)), return_exceptions=True)
    assert all(isinstance(each, StoreUnavailable) for each in answers)
    assert len(store.calls) <= together_module.AT_ONCE + 1
    store.fault = None
    assert await reader.read("w", "u1")


async def test_a_fault_fails_only_its_own_call(reader: Reader, store: SlowStore) -> None:
    store.fault = RuntimeError("a bug")
    first = asyncio.gather(*(reader.read("w", f"u{n}") for n in range(300)), return_exceptions=True)
    await asyncio.sleep(0.001)
    assert all(isinstance(each, RuntimeError) for each in await first)
    store.fault = None
    assert await reader.read("w", "u1")


async def test_the_queue_has_an_end(reader: Reader, store: SlowStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together_module, "MOST_WAITING", 100)
    answers = await asyncio.gather(*(reader.read("w", f"u{n}") for n in range(1_000)), return_exceptions=True)
    assert sum(isinstance(each, StoreUnavailable) for each in answers) == 900


async def test_a_client_that_goes_away_disturbs_nobody(reader: Reader) -> None:
    reads = [asyncio.create_task(reader.read("w", f"u{number}")) for number in range(50)]
    await asyncio.sleep(0)
    reads[7].cancel()
    answers = await asyncio.gather(*reads, return_exceptions=True)
    assert sum(isinstance(each, asyncio.CancelledError) for each in answers) == 1
    assert sum(isinstance(each, tuple) for each in answers) == 49


# the copy of the catalog


async def test_the_copy_says_when_it_is_old(clock: Clock, metrics: SegmentsMetrics) -> None:
    catalog = MemorySegmentCatalog()
    catalog.away = True
    copy = CatalogCopy(catalog, metrics, clock)
    await copy.attempt()
    with pytest.raises(StoreUnavailable):
        await copy.check()
    with pytest.raises(StoreUnavailable):
        copy.evaluated("w")
    catalog.away = False
    await copy.attempt()
    await copy.check()
    assert copy.evaluated("w") == frozenset()
    catalog.away = True
    clock.now_s += 42
    await copy.attempt()
    with pytest.raises(Degraded, match="42 s ago"):
        await copy.check()
    assert copy.evaluated("w") == frozenset()


@pytest.mark.parametrize(
    ("at_ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1, "1970-01-01T00:00:00.001Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (1_700_000_000_099, "2023-11-14T22:13:20.099Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_instants(at_ms: int, text: str) -> None:
    assert instant(at_ms) == text


async def test_those_without_a_turn_are_turned_away(store: SlowStore, metrics: SegmentsMetrics) -> None:
    async def slow(workspace: str, ids: Sequence[str]) -> Mapping[str, tuple[Membership, ...]]:
        await asyncio.sleep(1.5)
        return await store.memberships(workspace, ids)

    reader: Reader = Together(slow, 10, 1.0, metrics)
    answers = await asyncio.gather(*(reader.read("w", f"u{n}") for n in range(2_000)), return_exceptions=True)
    refused = [each for each in answers if isinstance(each, StoreUnavailable)]
    assert len(refused) == 2_000 - together_module.AT_ONCE * together_module.LARGEST_CALL
    assert reader._count == 0
    assert await reader.read("w", "u1")


# the bounds of what is in hand


async def test_a_gate_lets_a_few_through_and_the_others_wait() -> None:
    gate, inside, most = Gate(3, wait_s=5), 0, 0

    async def one() -> None:
        nonlocal inside, most
        await gate.enter()
        inside += 1
        most = max(most, inside)
        await asyncio.sleep(0.001)
        inside -= 1
        gate.leave()

    await asyncio.gather(*(one() for _ in range(50)))
    assert most == 3


async def test_a_gate_refuses_after_a_while() -> None:
    gate = Gate(1, wait_s=0.01)
    await gate.enter()
    with pytest.raises(ApiError) as refused:
        await gate.enter()
    assert (refused.value.status, refused.value.headers) == (503, {"Retry-After": "2"})
    gate.leave()
    await gate.enter()


async def test_bodies_have_room_together() -> None:
    bodies = Bodies(most_bytes=10)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"123456"}

    with bodies.counted(receive) as first, bodies.counted(receive) as second:
        assert (await first())["body"] == b"123456"
        with pytest.raises(ApiError, match="in hand"):
            await second()
    with bodies.counted(receive) as third:
        await third()


async def test_a_token_is_looked_up_once_for_all_that_wait(tokens: Tokens, catalog: MemoryTokenCatalog) -> None:
    await asyncio.gather(*(tokens.client_of(HEADER) for _ in range(1_000)))
    assert catalog.asked == 1
    catalog.away = True
    answers = await asyncio.gather(*(tokens.client_of(b"Bearer new") for _ in range(9)), return_exceptions=True)
    assert all(isinstance(each, StoreUnavailable) for each in answers)
    assert catalog.asked == 2


class SlowLookups(SlowStore):
    async def memberships(self, workspace: str, profile_ids: Sequence[str]) -> Mapping[str, tuple[Membership, ...]]:
        await asyncio.sleep(0.5)
        return await super().memberships(workspace, profile_ids)


async def test_lookups_wait_for_their_turn_and_fail_together(metrics: SegmentsMetrics) -> None:
    slow = SlowLookups()
    lookups = Lookups(slow.memberships, 10, 0.2, metrics)

    async def one() -> bytes:
        return await lookups.answer("w", b'{"profile_ids": ["u1"]}', frozenset(), 0)

    answers = await asyncio.gather(*(one() for _ in range(60)), return_exceptions=True)
    assert sum(isinstance(each, bytes) for each in answers) == AT_ONCE
    assert all(isinstance(each, bytes | ApiError) for each in answers)
    slow.fault = StoreUnavailable("away")
    lookups = Lookups(slow.memberships, 10, 9, metrics)
    slow.calls.clear()
    answers = await asyncio.gather(*(one() for _ in range(60)), return_exceptions=True)
    assert all(isinstance(each, StoreUnavailable) for each in answers)
    assert len(slow.calls) <= 2 * AT_ONCE
