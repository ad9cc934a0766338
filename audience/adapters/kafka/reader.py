"""Reads a stretch of a topic: the records between two marks. For tools and checks; services and jobs follow topics.

Blocks. Refuses to wait for records that are not there: the second mark is where the topic ended when it was asked.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from audience.adapters.kafka.driver import base_config
from audience.ports.event_log import EventLogUnavailable, LogRecord

T = TypeVar("T")

TIMEOUT_S: Final = 30.0
_AT_ONCE: Final = 10_000
_WAIT_S: Final = 0.1
"""For so many records, or so long, one call of the client waits; not for the first record alone."""

Mark = Mapping[int, int]
"""A place in a topic: for each partition the offset of its next record."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A record, and where it stands."""

    partition: int
    offset: int
    record: LogRecord


def end_of(bootstrap: str, topic: str) -> Mark:
    """Where the topic ends now. Raises EventLogUnavailable."""
    return _marks(bootstrap, topic, lambda consumer, place: _watermarks(consumer, place)[1])


def begin_of(bootstrap: str, topic: str, since_ms: int | None = None) -> Mark:
    """Where what is kept of the topic begins; or its first record of this time or later. Raises EventLogUnavailable."""

    def find(consumer: Consumer, place: TopicPartition) -> int:
        first, end = _watermarks(consumer, place)
        if since_ms is None:
            return first
        [found] = consumer.offsets_for_times(
            [TopicPartition(place.topic, place.partition, since_ms)], timeout=TIMEOUT_S
        )
        return found.offset if found.offset >= 0 else end

    return _marks(bootstrap, topic, find)


def _watermarks(consumer: Consumer, place: TopicPartition) -> tuple[int, int]:
    first, end = consumer.get_watermark_offsets(place, timeout=TIMEOUT_S)
    return first, end


def _marks(bootstrap: str, topic: str, find: Callable[[Consumer, TopicPartition], T]) -> dict[int, T]:
    consumer = _consumer(bootstrap, topic)
    try:
        return {
            partition: find(consumer, TopicPartition(topic, partition))
            for partition in consumer.list_topics(topic, timeout=TIMEOUT_S).topics[topic].partitions
        }
    except KafkaException as error:
        raise EventLogUnavailable(f"{topic} cannot be read: {error}") from error
    finally:
        consumer.close()


def read_between(bootstrap: str, topic: str, start: Mark, end: Mark) -> Iterator[LogRecord]:
    """The records from one mark to another, in order within each partition. Raises EventLogUnavailable."""
    return (placed.record for placed in places_between(bootstrap, topic, start, end))


def read_compacted(bootstrap: str, topic: str) -> dict[str, str]:
    """A compacted topic whole: each key's newest value, as of now, without tombstones. Raises EventLogUnavailable."""
    found: dict[str, str] = {}
    bounds = _marks(bootstrap, topic, _watermarks)
    start, end = ({partition: marks[which] for partition, marks in bounds.items()} for which in (0, 1))
    for record in read_between(bootstrap, topic, start, end):
        if record.value is None:
            found.pop(record.key, None)
        else:
            found[record.key] = record.value.decode()
    return found


def places_between(bootstrap: str, topic: str, start: Mark, end: Mark) -> Iterator[Placed]:
    """As `read_between`, with the place of each."""
    left = {partition: offset for partition, offset in end.items() if offset > start.get(partition, 0)}
    consumer = _consumer(bootstrap, topic)
    try:
        if left:
            consumer.assign([TopicPartition(topic, partition, start.get(partition, 0)) for partition in left])
        seen_s = time.monotonic()
        while left:
            messages = consumer.consume(_AT_ONCE, _WAIT_S)
            if messages:
                seen_s = time.monotonic()
            elif time.monotonic() - seen_s > TIMEOUT_S:
                raise EventLogUnavailable(f"the end of {topic} was not reached in time")
            for message in messages:
                _raise_if_failed(message)
                partition, offset = message.partition(), message.offset()
                if partition is not None and offset is not None and offset < end[partition]:
                    record = LogRecord(topic, (message.key() or b"").decode(), message.value())
                    yield Placed(partition, offset, record)
            for place in consumer.position([TopicPartition(topic, partition) for partition in left]):
                if place.offset >= left[place.partition]:
                    del left[place.partition]
    except KafkaException as error:
        raise EventLogUnavailable(f"{topic} cannot be read: {error}") from error
    finally:
        consumer.close()


def _raise_if_failed(message: Message) -> None:
    if (error := message.error()) is not None:
        raise KafkaException(error)


def _consumer(bootstrap: str, topic: str) -> Consumer:
    name = f"read-{topic}"
    return Consumer(
        {
            **base_config(bootstrap, name),
            "group.id": name,  # the client requires one; nothing is committed
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
        }
    )
