"""One store's loop: what it writes, when it commits, what it survives."""

import asyncio
from collections.abc import Sequence

import pytest
from prometheus_client import CollectorRegistry

from audience.adapters.kafka.consumer import Record
from audience.ports.event_log import EventLogUnavailable
from audience.ports.stores import RecordRefused, StoreUnavailable
from audience.profiles.model import Profile
from audience.wire.topics import ProfileRecord, decode_bad_event, encode
from services.projection.metrics import ProjectionMetrics
from services.projection.sink import SinkLoop, SinkOptions
from tests.integration.contracts.memory import MemoryEventLog, MemoryProfileStore


def record(profile_id: str, version: int = 1, offset: int = 0) -> Record:
    made = ProfileRecord(workspace="w", profile_id=profile_id, version=version, created_ms=1, updated_ms=1)
    return Record("profiles", 0, offset, 1_000, f"w:{profile_id}".encode(), encode(made))


BAD = Record("profiles", 0, 5, 1_000, b"w:bad", b"no profile")


class Store(MemoryProfileStore):
    """Fails as it is told, and remembers each batch."""

    def __init__(self) -> None:
        super().__init__()
        self.faults: list[Exception] = []
        self.refuses: set[str] = set()
        self.batches: list[list[str]] = []

    async def put_many(self, profiles: Sequence[Profile]) -> int:
        self.batches.append([each.profile_id for each in profiles])
        if self.faults:
            raise self.faults.pop(0)
        if any(each.profile_id in self.refuses for each in profiles):
            raise RecordRefused("never")
        return await super().put_many(profiles)


class Topic:
    """The records, as a member of a group reads them."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[list[Record]] = asyncio.Queue()
        self.committed: list[Record] = []
        self.held_s: list[float] = []
        self.faults: list[Exception] = []

    async def poll(self, max_records: int, wait_s: float) -> list[Record]:
        assert max_records == 500
        if self.faults:
            raise self.faults.pop(0)
        try:
            return await asyncio.wait_for(self.queue.get(), wait_s)
        except TimeoutError:
            return []

    async def hold(self, for_s: float) -> None:
        self.held_s.append(for_s)
        if self.faults:
            raise self.faults.pop(0)

    async def commit(self, records: Sequence[Record]) -> None:
        self.committed.extend(records)

    async def lag(self) -> int:
        return 42


class Bench:
    def __init__(self, *, reports_bad: bool = True) -> None:
        self.topic, self.store, self.log = Topic(), Store(), MemoryEventLog()
        self.registry = CollectorRegistry()
        options = SinkOptions("sink", batch_records=500, retry_max_s=0.02, reports_bad=reports_bad)
        self.loop = SinkLoop(options, self.topic, self.store, self.log, ProjectionMetrics(self.registry))

    def metric(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"projection_{name}", {"sink": "sink", **labels}) or 0


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_a_batch_is_written_and_then_committed(bench: Bench) -> None:
    records = [record("a"), record("b"), record("a", 2)]
    await bench.loop.project(records)
    assert sorted(bench.store.batches[0]) == ["a", "b"]
    assert bench.store.profiles["w", "a"].version == 2
    assert bench.topic.committed == records
    assert bench.metric("records_total", outcome="written") == 2
    assert bench.metric("records_total", outcome="stale") == 1
    await bench.loop.check()


async def test_the_same_again_changes_nothing(bench: Bench) -> None:
    for _ in range(2):
        await bench.loop.project([record("a", 3)])
    assert bench.metric("records_total", outcome="written") == 1
    assert bench.metric("records_total", outcome="stale") == 1


async def test_while_the_store_is_away_nothing_is_committed_and_then_all_is(bench: Bench) -> None:
    bench.store.away = True
    working = asyncio.create_task(bench.loop.project([record("a")]))
    async with asyncio.timeout(5):
        while len(bench.topic.held_s) < 8:  # noqa: ASYNC110  it has no event to wait for
            await asyncio.sleep(0.01)
    assert bench.topic.committed == []
    with pytest.raises(StoreUnavailable, match=r"away for .* switched off"):
        await bench.loop.check()
    assert bench.metric("sink_available") == 0
    assert bench.metric("write_failures_total") >= 8
    assert max(bench.topic.held_s) <= 0.1  # the back-off has an end
    assert bench.topic.held_s[0] < bench.topic.held_s[-1] or bench.topic.held_s[0] < 0.11
    bench.store.away = False
    await asyncio.wait_for(working, 5)
    assert len(bench.topic.committed) == 1
    assert bench.metric("sink_available") == 1
    await bench.loop.check()


async def test_while_kafka_is_away_as_well_it_goes_on_trying(bench: Bench) -> None:
    bench.store.faults = [StoreUnavailable("store"), StoreUnavailable("store")]
    bench.topic.faults = [EventLogUnavailable("kafka"), EventLogUnavailable("kafka")]
    await bench.loop.project([record("a")])
    assert ("w", "a") in bench.store.profiles


async def test_a_fault_of_ours_is_tried_again_too(bench: Bench) -> None:
    bench.store.faults = [TypeError("a bug"), KeyError("another")]
    await bench.loop.project([record("a")])
    assert ("w", "a") in bench.store.profiles


async def test_what_cannot_be_decoded_is_kept_and_passed_over(bench: Bench) -> None:
    await bench.loop.project([record("a"), BAD, record("b")])
    assert set(bench.store.profiles) == {("w", "a"), ("w", "b")}
    [kept] = bench.log.records
    told = decode_bad_event(kept.value or b"")
    assert (told.code, told.original) == ("undecodable_profile", b"no profile")
    assert len(bench.topic.committed) == 3
    assert bench.metric("records_total", outcome="undecodable_profile") == 1


async def test_one_loop_reports_for_all() -> None:
    bench = Bench(reports_bad=False)
    await bench.loop.project([BAD])
    assert bench.log.records == []
    assert bench.topic.committed == [BAD]


async def test_nothing_is_committed_before_the_bad_is_kept(bench: Bench) -> None:
    bench.log.away = True
    working = asyncio.create_task(bench.loop.project([BAD]))
    await asyncio.sleep(0.1)
    assert bench.topic.committed == []
    bench.log.away = False
    await asyncio.wait_for(working, 5)
    assert bench.topic.committed == [BAD]


async def test_what_the_store_refuses_is_found_and_set_aside(bench: Bench) -> None:
    bench.store.refuses = {"user-13", "user-77"}
    await bench.loop.project([record(f"user-{number}", offset=number) for number in range(100)])
    assert len(bench.store.profiles) == 98
    kept = [decode_bad_event(each.value or b"") for each in bench.log.records]
    assert {(each.code, each.profile_id) for each in kept} == {
        ("unstorable_profile", "user-13"),
        ("unstorable_profile", "user-77"),
    }
    assert len(bench.store.batches) < 40
    assert len(bench.topic.committed) == 100


async def test_it_runs_until_it_is_told_to_end(bench: Bench) -> None:
    bench.topic.faults = [EventLogUnavailable("not yet")]
    running = asyncio.create_task(bench.loop.run())
    await bench.topic.queue.put([record("a")])
    await bench.topic.queue.put([record("b")])
    async with asyncio.timeout(5):
        while len(bench.topic.committed) < 2:  # noqa: ASYNC110  it has no event to wait for
            await asyncio.sleep(0.01)
    assert bench.metric("lag_records") == 42
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_it_ends_while_the_store_is_away(bench: Bench) -> None:
    bench.store.away = True
    running = asyncio.create_task(bench.loop.project([record("a")]))
    await asyncio.sleep(0.05)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(running, 2)
