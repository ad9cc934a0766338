"""Reads a stretch of a topic: the records between two marks. For tools and checks; services and jobs follow topics.

Blocks. Refuses to wait for records that are not there: the second mark is where the topic ended when it was asked.
"""

import time
from collections.abc import Iterator, Mapping
from typing import Final

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from audience.adapters.kafka.driver import base_config
from audience.ports.event_log import EventLogUnavailable, LogRecord

TIMEOUT_S: Final = 30.0
_AT_ONCE: Final = 10_000
_WAIT_S: Final = 0.1
"""For so many records, or so long, one call of the client waits; not for the first record alone."""

Mark = Mapping[int, int]
"""A place in a topic: for each partition the offset of its next record."""


def end_of(bootstrap: str, topic: str) -> Mark:
    """Where the topic ends now. Raises EventLogUnavailable."""
    consumer = _consumer(bootstrap, topic)
    try:
        return {
            partition: consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=TIMEOUT_S)[1]
            for partition in consumer.list_topics(topic, timeout=TIMEOUT_S).topics[topic].partitions
        }
    except KafkaException as error:
        raise EventLogUnavailable(f"{topic} cannot be read: {error}") from error
    finally:
        consumer.close()


def read_between(bootstrap: str, topic: str, start: Mark, end: Mark) -> Iterator[LogRecord]:
    """The records from one mark to another, in order within each partition. Raises EventLogUnavailable."""
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
                    yield LogRecord(topic, (message.key() or b"").decode(), message.value())
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
