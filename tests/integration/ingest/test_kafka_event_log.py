"""The producer against a real broker, by the contract of all event logs, and what only Kafka has."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

import pytest
import pytest_asyncio
from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public, but its types do not say so
    AdminClient,
    NewTopic,
)

from audience.adapters.kafka.producer import RECORD_BYTES, KafkaEventLog, open_event_log
from audience.adapters.kafka.reader import end_of, read_between
from audience.ports.event_log import EventLog, EventLogUnavailable, LogRecord
from tests.integration.contracts.event_log import EventLogContract, OpenedLog

pytestmark = pytest.mark.platform

PARTITIONS = 3
NOBODY = "127.0.0.1:1"


class Platform(Protocol):
    """What these tests need of the running platform."""

    @property
    def kafka_bootstrap(self) -> str: ...


@dataclass(frozen=True, slots=True)
class InKafka:
    """A log under test, over a topic of its own."""

    log: KafkaEventLog
    topic: str
    bootstrap: str

    async def records(self) -> Sequence[LogRecord]:
        end = await asyncio.to_thread(end_of, self.bootstrap, self.topic)
        return await asyncio.to_thread(lambda: list(read_between(self.bootstrap, self.topic, {}, end)))


@pytest_asyncio.fixture
async def kafka(platform: Platform) -> AsyncIterator[InKafka]:
    """A log over a new topic, which is removed afterwards."""
    topic = f"test-{uuid.uuid4().hex}"
    admin = AdminClient({"bootstrap.servers": platform.kafka_bootstrap})
    wanted = NewTopic(topic, PARTITIONS, 1, config={"max.message.bytes": str(RECORD_BYTES)})
    admin.create_topics([wanted])[topic].result(20)
    try:
        async with open_event_log(platform.kafka_bootstrap, "test", topics=[topic]) as log:
            yield InKafka(log, topic, platform.kafka_bootstrap)
    finally:
        admin.delete_topics([topic])[topic].result(20)


class TestKafkaEventLog(EventLogContract):
    @pytest.fixture
    def opened(self, kafka: InKafka) -> OpenedLog:
        return kafka

    @pytest.fixture
    def away(self) -> AbstractAsyncContextManager[EventLog]:
        return open_event_log(NOBODY, "test", timeout_s=1)


async def test_a_profile_has_the_partition_that_java_gives_it(kafka: InKafka) -> None:
    keys = [f"demo:u{number}" for number in range(60)]
    await kafka.log.append([LogRecord(kafka.topic, key, b"") for key in keys])
    ends = end_of(kafka.bootstrap, kafka.topic)
    for partition, end in ends.items():
        only = {each: 0 if each == partition else offset for each, offset in ends.items()}
        found = {record.key for record in read_between(kafka.bootstrap, kafka.topic, only, ends)}
        assert found == {key for key in keys if murmur2_partition(key.encode()) == partition}
        assert len(found) == end


def murmur2_partition(key: bytes) -> int:
    """Kafka's DefaultPartitioner: org.apache.kafka.common.utils.Utils.murmur2, then the remainder."""
    mask, m = 0xFFFFFFFF, 0x5BD1E995
    h = 0x9747B28C ^ len(key)
    whole = len(key) & ~3
    for at in range(0, whole, 4):
        k = int.from_bytes(key[at : at + 4], "little") * m & mask
        h = (h * m ^ (k ^ k >> 24) * m) & mask
    if rest := key[whole:]:
        h = (h ^ int.from_bytes(rest, "little")) * m & mask
    h = (h ^ h >> 13) * m & mask
    h ^= h >> 15
    return (h & 0x7FFFFFFF) % PARTITIONS


async def test_it_tells_what_it_has(kafka: InKafka) -> None:
    before, there, missing = ([LogRecord(kafka.topic, f"demo:{name}", b"x")] for name in ("before", "there", "missing"))
    tombstone = [LogRecord(kafka.topic, "demo:there", None)]
    wanted = {hash(each) for each in (*before, *there, *missing, *tombstone)}
    assert await kafka.log.find(0, wanted) == set()
    await kafka.log.append(before)
    await asyncio.sleep(0.05)
    since_ms = time.time_ns() // 1_000_000
    await kafka.log.append([*there, *tombstone, LogRecord(kafka.topic, "demo:other", b"x")])
    assert await kafka.log.find(since_ms, wanted) == {hash(each) for each in (*there, *tombstone)}
    assert await kafka.log.find(0, wanted) == wanted - {hash(missing[0])}


async def test_a_log_that_is_away_is_given_up_in_time() -> None:
    async with open_event_log(NOBODY, "test", timeout_s=1) as log:
        started_s = time.monotonic()
        with pytest.raises(EventLogUnavailable):
            await log.append([LogRecord("events", "k", b"x")])
        assert time.monotonic() - started_s < 4


async def test_a_missing_topic_is_told(kafka: InKafka) -> None:
    async with open_event_log(kafka.bootstrap, "test", topics=["missing-b", kafka.topic, "missing-a"]) as log:
        with pytest.raises(EventLogUnavailable, match="no topic missing-a, missing-b"):
            await log.check()


async def test_a_record_that_is_too_large_is_refused(kafka: InKafka) -> None:
    with pytest.raises(EventLogUnavailable, match="size"):
        await kafka.log.append([LogRecord(kafka.topic, "k", b"x" * (RECORD_BYTES + 1))])
    await kafka.log.append([LogRecord(kafka.topic, "k", b"x")])


async def test_a_full_queue_refuses_at_once(kafka: InKafka, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audience.adapters.kafka.producer._QUEUE_RECORDS", 10)
    async with open_event_log(NOBODY, "test", timeout_s=1) as log:
        with pytest.raises(EventLogUnavailable, match="full"):
            await log.append([LogRecord("events", "k", b"x")] * 11)


async def test_what_is_under_way_at_the_end_is_finished(kafka: InKafka) -> None:
    async with open_event_log(kafka.bootstrap, "test", linger_ms=500) as log:
        append = asyncio.ensure_future(log.append([LogRecord(kafka.topic, "k", b"x")] * 100))
        await asyncio.sleep(0.05)
        assert not append.done()
    await append
    assert len(await kafka.records()) == 100


async def test_a_producer_that_failed_for_good_is_replaced(kafka: InKafka, monkeypatch: pytest.MonkeyPatch) -> None:
    """librdkafka's fatal errors cannot be brought about from outside, so the driver's producer plays one."""

    class Failing:
        def produce(self, *_: object) -> None:
            raise KafkaException(KafkaError(KafkaError._FATAL, "out of order", fatal=True))

        def poll(self, _: float) -> int:
            time.sleep(0.01)
            return 0

        def __len__(self) -> int:
            return 0

    failing = Failing()
    monkeypatch.setattr(kafka.log, "_producer", failing)
    with pytest.raises(EventLogUnavailable, match="out of order"):
        await kafka.log.append([LogRecord(kafka.topic, "k", b"x")])
    await kafka.log.append([LogRecord(kafka.topic, "k", b"x")])
    assert isinstance(kafka.log._producer, Producer)
    assert len(await kafka.records()) == 1
