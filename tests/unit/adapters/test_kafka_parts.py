"""The parts of Kafka's adapters that need no broker."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from audience.adapters.kafka import consumer as consumer_module
from audience.adapters.kafka.admin import TOPICS, _behind, _config
from audience.adapters.kafka.consumer import BatchConsumer, Record
from audience.adapters.kafka.history import murmur2, partition_of
from audience.ports.event_log import EventLogUnavailable
from audience.wire import topics


@pytest.mark.parametrize(
    ("key", "expected"),
    [  # from the tests of Kafka's own clients
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_murmur2_is_that_of_kafka(key: bytes, expected: int) -> None:
    assert murmur2(key) == expected & 0xFFFFFFFF
    assert partition_of(key, 7) == (expected & 0x7FFFFFFF) % 7


def test_every_topic_is_declared() -> None:
    wanted = {value for name, value in vars(topics).items() if name.isupper() and isinstance(value, str)}
    assert {each.name for each in TOPICS} == wanted
    assert {each.name for each in TOPICS if each.retention_ms is None} == {
        topics.SEGMENTS,
        topics.PROFILES,
        topics.EPOCHS,
        topics.COMPUTED_TRAITS,
        topics.PROFILE_LISTS,
    }


def test_what_a_topic_is_created_with() -> None:
    by_name = {each.name: each for each in TOPICS}
    assert _config(by_name["segments"], 1)["cleanup.policy"] == "compact"
    assert _config(by_name["events"], 1)["cleanup.policy"] == "delete"
    assert _config(by_name["events"], 3)["min.insync.replicas"] == "2"
    assert int(_config(by_name["events.bad"], 1)["max.message.bytes"]) > 4 << 20


def test_lag_counts_from_what_is_left_where_older_records_are_gone() -> None:
    ends = {("t", 0): (100, 150), ("t", 1): (0, 20), ("u", 0): (0, 1_000)}
    assert _behind({("t", 0): 120, ("t", 1): 20}, ends) == 30
    assert _behind({("t", 0): 10}, ends) == 50 + 20
    assert _behind({}, ends) == 0


class Message:
    def __init__(self, offset: int, partition: int = 0, error: KafkaError | None = None) -> None:
        self._offset, self._partition, self._error = offset, partition, error

    def topic(self) -> str:
        return "t"

    def partition(self) -> int:
        return self._partition

    def offset(self) -> int:
        return self._offset

    def timestamp(self) -> tuple[int, int]:
        return 1, 1_000

    def key(self) -> bytes:
        return b"k"

    def value(self) -> bytes:
        return b"v"

    def error(self) -> KafkaError | None:
        return self._error


class Driver:
    """A consumer of librdkafka, as far as ours uses it."""

    def __init__(self) -> None:
        self.queue: list[Message] = []
        self.committed: list[tuple[int, int, bool]] = []
        self.fail: KafkaException | None = None
        self.paused: list[int] = []
        self.partitions = [0, 1]
        self.closed = False

    def made(self, on_commit: Callable[..., None]) -> "Driver":
        self.on_commit = on_commit
        return self

    def subscribe(self, _: list[str]) -> None:
        pass

    def poll(self, _: float) -> Message | None:
        if self.fail:
            raise self.fail
        return self.queue.pop(0) if self.queue else None

    def consume(self, count: int, timeout: float) -> list[Message]:
        assert timeout == 0  # it waits for the first record only
        taken, self.queue = self.queue[:count], self.queue[count:]
        return taken

    def assignment(self) -> list[Any]:
        return [SimpleNamespace(topic="t", partition=each) for each in self.partitions]

    def pause(self, places: list[Any]) -> None:
        self.paused = [each.partition for each in places]

    def resume(self, places: list[Any]) -> None:
        self.paused = [each for each in self.paused if each not in {place.partition for place in places}]

    def commit(self, *, offsets: list[Any], asynchronous: bool) -> None:
        if self.fail:
            raise self.fail
        self.committed += [(each.partition, each.offset, asynchronous) for each in offsets]

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def driver() -> Driver:
    return Driver()


@pytest.fixture
def consumer(driver: Driver) -> BatchConsumer:
    return BatchConsumer(driver.made, ["t"])  # type: ignore[arg-type]


async def test_commits_are_told_a_few_times_a_second(
    consumer: BatchConsumer, driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 100.0
    monkeypatch.setattr(consumer_module.time, "monotonic", lambda: now_s)
    for offset in range(5):
        await consumer.commit([Record("t", 0, offset, 0, b"", b"")])
    assert driver.committed == [(0, 1, True)]
    now_s += 1
    await consumer.poll(10, 0)
    assert driver.committed == [(0, 1, True), (0, 5, True)]
    await consumer.poll(10, 0)
    assert len(driver.committed) == 2


async def test_the_last_offsets_are_committed_before_the_end(consumer: BatchConsumer, driver: Driver) -> None:
    await consumer.commit([Record("t", 0, 0, 0, b"", b"")])
    await consumer.commit([Record("t", 0, 1, 0, b"", b"")])
    await consumer.close()
    assert driver.committed[-1] == (0, 2, False)
    assert driver.closed


async def test_a_partition_that_went_to_another_member_is_not_committed(
    consumer: BatchConsumer, driver: Driver
) -> None:
    await consumer.commit([Record("t", 0, 0, 0, b"", b"")])
    await consumer.commit([Record("t", 0, 9, 0, b"", b""), Record("t", 1, 3, 0, b"", b"")])
    driver.partitions = [1]
    await consumer.close()
    assert driver.committed == [(0, 1, True), (1, 4, False)]


async def test_a_last_commit_that_fails_does_not_keep_the_consumer_open(
    consumer: BatchConsumer, driver: Driver
) -> None:
    await consumer.commit([Record("t", 0, 0, 0, b"", b"")])
    await consumer.commit([Record("t", 0, 1, 0, b"", b"")])
    driver.fail = KafkaException(KafkaError(KafkaError._ALL_BROKERS_DOWN))
    await consumer.close()
    assert driver.closed


async def test_what_was_under_way_when_holding_began_is_kept(consumer: BatchConsumer, driver: Driver) -> None:
    driver.queue = [Message(0), Message(1), Message(2)]
    await consumer.hold(0)
    assert driver.paused
    await consumer.hold(0)
    assert [each.offset for each in await consumer.poll(10, 0)] == [0, 1, 2]
    assert not driver.paused


async def test_partitions_that_come_while_holding_are_paused_as_well(consumer: BatchConsumer, driver: Driver) -> None:
    await consumer.hold(0)
    driver.partitions = [0, 1, 2]
    await consumer.hold(0)
    assert driver.paused == [0, 1, 2]


async def test_a_partition_that_was_lost_while_it_was_paused_is_read_when_it_comes_back(
    consumer: BatchConsumer, driver: Driver
) -> None:
    """The driver keeps a lost partition paused."""
    await consumer.hold(0)
    driver.partitions = []
    await consumer.poll(10, 0)
    assert driver.paused == [0, 1]
    driver.partitions = [1]
    await consumer.poll(10, 0)
    assert driver.paused == [0]
    driver.partitions = [0, 1]
    await consumer.poll(10, 0)
    assert driver.paused == []


async def test_a_commit_that_failed_is_made_again(
    consumer: BatchConsumer, driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    await consumer.commit([Record("t", 0, 0, 0, b"", b""), Record("t", 1, 3, 0, b"", b"")])
    lost = [SimpleNamespace(topic="t", partition=0), SimpleNamespace(topic="t", partition=1)]
    driver.on_commit(KafkaError(KafkaError._TIMED_OUT), lost)
    driver.partitions = [0]
    monkeypatch.setattr(consumer, "_committed_s", 0.0)
    await consumer.poll(10, 0)
    assert driver.committed == [(0, 1, True), (1, 4, True), (0, 1, True)]
    driver.on_commit(None, lost)
    monkeypatch.setattr(consumer, "_committed_s", 0.0)
    await consumer.poll(10, 0)
    assert len(driver.committed) == 3


async def test_faults_are_raised_and_do_not_take_records_with_them(consumer: BatchConsumer, driver: Driver) -> None:
    fault = KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)
    driver.queue = [Message(0, error=fault)]
    with pytest.raises(EventLogUnavailable):
        await consumer.poll(10, 0)
    driver.queue = [Message(0), Message(-1, error=fault), Message(1)]
    assert [each.offset for each in await consumer.poll(10, 0)] == [0, 1]
    driver.fail = KafkaException(KafkaError(KafkaError._ALL_BROKERS_DOWN))
    with pytest.raises(EventLogUnavailable):
        await consumer.poll(10, 0)


async def test_a_cancelled_call_leaves_the_thread_in_order(consumer: BatchConsumer, driver: Driver) -> None:
    waiting = asyncio.create_task(consumer.poll(10, 0))
    await asyncio.sleep(0)
    waiting.cancel()
    driver.queue = [Message(5)]
    found = await consumer.poll(10, 0)
    assert [each.offset for each in found] in ([5], [])
