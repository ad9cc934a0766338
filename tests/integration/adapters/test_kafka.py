"""Kafka's adapters against a broker: following a topic, the history of a profile, questions to the job, topics."""

import asyncio
import os
import secrets
import signal
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient

from audience.adapters.kafka import history, requests
from audience.adapters.kafka.admin import TOPICS, Topic, create_topics, lag
from audience.adapters.kafka.consumer import BatchConsumer, Record, open_consumer
from audience.adapters.kafka.history import KafkaEventHistory, partition_of
from audience.adapters.kafka.producer import KafkaEventLog, open_event_log
from audience.adapters.kafka.requests import open_explainer
from audience.ports.event_log import EventLogUnavailable, LogRecord
from audience.ports.questions import EvaluationUnavailable, NotEvaluated
from audience.wire.topics import EventRecord, ExplainCommand, ExplainReply, decode_profile_command, encode, key_of

pytestmark = pytest.mark.platform

NOWHERE = "127.0.0.1:1"
BROKER_GIVEN_UP_S = 15.0
"""The client gives up a request after 10 s."""


@pytest.fixture
def bootstrap(platform: Any) -> str:
    address: str = platform.kafka_bootstrap
    return address


@pytest.fixture
async def topic(bootstrap: str) -> AsyncIterator[str]:
    name = f"test-{secrets.token_hex(6)}"
    await asyncio.to_thread(
        create_topics,
        bootstrap,
        partitions=3,
        replicas=1,
        topics=[Topic(name, by_profile=True, retention_ms=3_600_000)],
    )
    yield name
    await asyncio.to_thread(delete, bootstrap, name)


def delete(bootstrap: str, topic: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.delete_topics([topic])[topic].result()


@pytest.fixture
async def log(bootstrap: str) -> AsyncIterator[KafkaEventLog]:
    async with open_event_log(bootstrap, "test", linger_ms=0) as opened:
        yield opened


async def append(log: KafkaEventLog, topic: str, first: int, last: int) -> None:
    await log.append([LogRecord(topic, f"key-{number}", str(number).encode()) for number in range(first, last)])


async def read(consumer: BatchConsumer, count: int, most: int = 500) -> list[Record]:
    found: list[Record] = []
    until_s = time.monotonic() + 20
    while len(found) < count:
        assert time.monotonic() < until_s, f"{len(found)} of {count} records came"
        found += await consumer.poll(most, 0.2)
    return found


def numbers(records: list[Record]) -> list[int]:
    return sorted(int(record.value or b"") for record in records)


async def test_batches_come_whole_and_no_larger_than_asked(bootstrap: str, topic: str, log: KafkaEventLog) -> None:
    await append(log, topic, 0, 100)
    await log.append([LogRecord(topic, "gone", None)])
    async with open_consumer(bootstrap, topic, (topic,)) as consumer:
        found: list[Record] = []
        while len(found) < 101:
            batch = await consumer.poll(7, 1)
            assert len(batch) <= 7
            found += batch
        assert numbers([each for each in found if each.value is not None]) == list(range(100))
        [tombstone] = [each for each in found if each.value is None]
        assert tombstone.key == b"gone"
        assert abs(tombstone.timestamp_ms / 1000 - time.time()) < 60


async def test_a_record_is_handed_over_as_it_comes(bootstrap: str, topic: str, log: KafkaEventLog) -> None:
    async with open_consumer(bootstrap, topic, (topic,)) as consumer:
        await append(log, topic, 0, 1)
        await read(consumer, 1)
        delays = []
        for number in range(1, 30):
            waiting = asyncio.create_task(read(consumer, 1))
            await asyncio.sleep(0.02)
            started_s = time.monotonic()
            await append(log, topic, number, number + 1)
            await waiting
            delays.append(time.monotonic() - started_s)
        assert sorted(delays)[len(delays) // 2] < 0.1


async def test_a_commit_that_failed_is_made_again(
    platform: Any, bootstrap: str, topic: str, log: KafkaEventLog
) -> None:
    """Though no record follows it."""
    await append(log, topic, 0, 30)
    async with open_consumer(bootstrap, topic, (topic,)) as consumer:
        found = await read(consumer, 30)
        broker = platform.programs()["kafka"].pid
        os.kill(broker, signal.SIGSTOP)
        try:
            await consumer.commit(found)
            stopped_s = time.monotonic()
            while time.monotonic() - stopped_s < BROKER_GIVEN_UP_S:
                with suppress(EventLogUnavailable):
                    await consumer.poll(1, 0.2)
        finally:
            os.kill(broker, signal.SIGCONT)
        until_s = time.monotonic() + 30
        while behind := (await asyncio.to_thread(lag, bootstrap, [topic], topics=[topic])).get(topic, 30):
            assert time.monotonic() < until_s, f"{behind} records are not committed"
            await consumer.poll(1, 0.2)


async def test_who_was_held_while_the_broker_was_away_reads_on(
    platform: Any, bootstrap: str, topic: str, log: KafkaEventLog
) -> None:
    """It loses its partitions while they are paused, and reads again before it has them back."""
    await append(log, topic, 0, 30)
    async with open_consumer(bootstrap, topic, (topic,)) as consumer:
        await consumer.commit(await read(consumer, 30))
        broker = platform.programs()["kafka"].pid
        os.kill(broker, signal.SIGSTOP)
        try:
            stopped_s = time.monotonic()
            while time.monotonic() - stopped_s < BROKER_GIVEN_UP_S:
                with suppress(EventLogUnavailable):
                    await consumer.hold(0.5)
            await consumer.poll(1, 0.2)
        finally:
            os.kill(broker, signal.SIGCONT)
        await append(log, topic, 30, 40)
        assert set(range(30, 40)) <= set(numbers(await read(consumer, 10)))


async def test_what_was_not_committed_comes_again(bootstrap: str, topic: str, log: KafkaEventLog) -> None:
    await append(log, topic, 0, 30)
    async with open_consumer(bootstrap, topic, (topic,)) as consumer:
        await consumer.commit(await read(consumer, 30))
        assert await consumer.lag() == 0
        await append(log, topic, 30, 40)
        assert numbers(await read(consumer, 10)) == list(range(30, 40))
        assert await consumer.lag() == 10
    assert await asyncio.to_thread(lag, bootstrap, [topic, "a-group-that-is-not"], [topic]) == {topic: 10}
    async with open_consumer(bootstrap, topic, (topic,)) as consumer:
        assert numbers(await read(consumer, 10)) == list(range(30, 40))
        assert await consumer.lag() == 10


async def test_holding_keeps_the_place_and_loses_nothing(bootstrap: str, topic: str, log: KafkaEventLog) -> None:
    await append(log, topic, 0, 20)
    async with open_consumer(bootstrap, topic, (topic,)) as consumer:
        first = await read(consumer, 5, most=5)
        for _ in range(3):
            await consumer.hold(0.2)
        await append(log, topic, 20, 25)
        await consumer.hold(0.1)
        assert await consumer.lag() == 25
        rest = await read(consumer, 20)
        assert numbers(first + rest) == list(range(25))
        assert len(first + rest) == 25


async def test_a_member_that_joins_takes_over_what_is_not_done(bootstrap: str, topic: str, log: KafkaEventLog) -> None:
    await append(log, topic, 0, 60)
    async with open_consumer(bootstrap, topic, (topic,)) as first:
        done = await read(first, 60)
        await first.commit(done)
        async with open_consumer(bootstrap, topic, (topic,)) as second:
            await append(log, topic, 60, 120)
            found: list[Record] = []
            until_s = time.monotonic() + 30
            while {int(each.value or b"") for each in found} != set(range(60, 120)):
                assert time.monotonic() < until_s
                for member in (first, second):
                    records = await member.poll(100, 0.1)
                    await member.commit(records)
                    found += records
            assert await first.lag() + await second.lag() == 0


async def test_a_topic_that_is_not_there_is_an_outage_not_an_end(bootstrap: str, log: KafkaEventLog) -> None:
    async with open_consumer(bootstrap, "test-no-topic", ("test-no-topic",)) as consumer:
        with pytest.raises(EventLogUnavailable):
            await read(consumer, 1)


async def test_creating_topics_twice_changes_nothing(bootstrap: str, topic: str) -> None:
    def create(partitions: int) -> list[str]:
        wanted = [Topic(topic, by_profile=True, retention_ms=None)]
        return create_topics(bootstrap, partitions=partitions, replicas=1, topics=wanted)

    assert await asyncio.to_thread(create, 3) == []
    assert await asyncio.to_thread(create, 9) == []
    admin = AdminClient({"bootstrap.servers": bootstrap})
    cluster = await asyncio.to_thread(admin.list_topics, timeout=10)
    assert len(cluster.topics[topic].partitions) == 3
    assert {each.name for each in TOPICS} <= set(cluster.topics)


def event(profile_id: str, number: int) -> EventRecord:
    return EventRecord(
        workspace="w", source="s", profile_id=profile_id, message_id=f"m{number}", type="track", name="Ordered",
        time_ms=number, received_ms=number,
    )  # fmt: skip


@pytest.fixture
def as_events(topic: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(history, "EVENTS", topic)
    return topic


async def test_the_history_of_a_profile(bootstrap: str, as_events: str, log: KafkaEventLog) -> None:
    profiles = ["a", "b", "ü/😀", "c" * 200]
    records = [event(profiles[number % len(profiles)], number) for number in range(400)]
    await log.append([LogRecord(as_events, key_of("w", each.profile_id), encode(each)) for each in records])
    reader = KafkaEventHistory(bootstrap, time_limit_s=10)
    for profile_id in profiles:
        found = list(await reader.events_of("w", profile_id))
        assert found == [each for each in records if each.profile_id == profile_id]
    assert list(await reader.events_of("w", "unknown")) == []
    assert list(await reader.events_of("other", "a")) == []


async def test_a_history_gives_up_in_time(bootstrap: str, as_events: str, log: KafkaEventLog) -> None:
    await log.append([LogRecord(as_events, key_of("w", "a"), encode(event("a", 1)))])
    with pytest.raises(EventLogUnavailable):
        await KafkaEventHistory(bootstrap, time_limit_s=0.000_1).events_of("w", "a")
    started_s = time.monotonic()
    with pytest.raises(EventLogUnavailable):
        await KafkaEventHistory(NOWHERE, time_limit_s=0.5).events_of("w", "a")
    assert time.monotonic() - started_s < 3


async def test_we_and_librdkafka_agree_on_partitions(bootstrap: str, topic: str, log: KafkaEventLog) -> None:
    keys = [f"w:{'x' * length}" for length in range(50)]
    await log.append([LogRecord(topic, key, b"") for key in keys])
    async with open_consumer(bootstrap, topic, (topic,)) as consumer:
        for record in await read(consumer, len(keys)):
            assert partition_of(record.key or b"", 3) == record.partition


@pytest.fixture
async def as_job(
    bootstrap: str, topic: str, log: KafkaEventLog, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[list[ExplainCommand]]:
    """Answers questions on a topic of its own, by their profile id: a stand-in for the job."""
    replies = f"{topic}-replies"
    await asyncio.to_thread(
        create_topics,
        bootstrap,
        partitions=1,
        replicas=1,
        topics=[Topic(replies, by_profile=False, retention_ms=60_000)],
    )
    monkeypatch.setattr(requests, "COMMANDS", topic)
    monkeypatch.setattr(requests, "REPLIES", replies)
    asked: list[ExplainCommand] = []

    async def answer() -> None:
        async with open_consumer(bootstrap, topic, (topic,)) as consumer:
            while True:
                for record in await consumer.poll(10, 0.2):
                    command = decode_profile_command(record.value or b"")
                    assert isinstance(command, ExplainCommand)
                    asked.append(command)
                    for reply in _replies(command):
                        await log.append([LogRecord(replies, reply.request_id, encode(reply))])

    job = asyncio.create_task(answer())
    yield asked
    job.cancel()
    await asyncio.wait([job])
    await asyncio.to_thread(delete, bootstrap, replies)


def _replies(command: ExplainCommand) -> list[ExplainReply]:
    match command.profile_id:
        case "silent":
            return []
        case "unknown":
            return [ExplainReply(request_id=command.request_id, error="profile_not_found")]
        case _:
            told = {"profile_id": command.profile_id, "segment": command.segment}
            other = ExplainReply(request_id="of-another-replica", explanation={"profile_id": "?"})
            return [other, ExplainReply(request_id=command.request_id, explanation=told)]


async def test_questions_and_answers(bootstrap: str, as_job: list[ExplainCommand], log: KafkaEventLog) -> None:
    async with open_explainer(bootstrap, log, timeout_s=15) as explainer:
        answers = await asyncio.gather(*(explainer.explain("w", f"user-{each}", "vip") for each in range(20)))
        assert [each["profile_id"] for each in answers] == [f"user-{each}" for each in range(20)]
        assert {each.workspace for each in as_job} == {"w"}
        with pytest.raises(NotEvaluated) as refused:
            await explainer.explain("w", "unknown", "vip")
        assert refused.value.what == "profile_not_found"
        await explainer.check()
    async with open_explainer(bootstrap, log, timeout_s=1.5) as explainer:
        with pytest.raises(EvaluationUnavailable):
            await explainer.explain("w", "silent", "vip")
        assert explainer._waiting == {}


async def test_questions_while_kafka_is_away(log: KafkaEventLog) -> None:
    async with open_explainer(NOWHERE, log, timeout_s=0.5) as explainer:
        with pytest.raises(EventLogUnavailable):
            await explainer.check()
        started_s = time.monotonic()
        with pytest.raises(EvaluationUnavailable):
            await explainer.explain("w", "a", "vip")
        assert time.monotonic() - started_s < 2
