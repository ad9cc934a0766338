"""Reads a compacted topic whole: the newest value of each key, as of now."""

from collections.abc import Iterator
from typing import Final

from confluent_kafka import Consumer, KafkaException, TopicPartition

from audience.adapters.kafka.driver import base_config
from audience.ports.event_log import EventLogUnavailable

TIMEOUT_S: Final = 30.0


def read_compacted(bootstrap: str, topic: str) -> dict[str, str]:
    """Key to value, tombstones left out. Raises EventLogUnavailable where Kafka does not answer in time."""
    consumer = Consumer(
        {
            **base_config(bootstrap, f"read-{topic}"),
            "group.id": f"read-{topic}",  # required by the client; nothing is committed
            "enable.auto.commit": False,
            "enable.partition.eof": False,
            "auto.offset.reset": "earliest",
        }
    )
    found: dict[str, str] = {}
    try:
        ends = _ends(consumer, topic)
        if ends:
            consumer.assign([TopicPartition(topic, partition, 0) for partition in ends])
            for key, value in _records(consumer, ends):
                if value is None:
                    found.pop(key, None)
                else:
                    found[key] = value
    except KafkaException as error:
        raise EventLogUnavailable(f"{topic} cannot be read: {error}") from error
    finally:
        consumer.close()
    return found


def _ends(consumer: Consumer, topic: str) -> dict[int, int]:
    """Where each partition that holds anything ends now."""
    partitions = consumer.list_topics(topic, timeout=TIMEOUT_S).topics[topic].partitions
    ends: dict[int, int] = {}
    for partition in partitions:
        low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=TIMEOUT_S)
        if high > low:
            ends[partition] = high
    return ends


def _records(consumer: Consumer, ends: dict[int, int]) -> Iterator[tuple[str, str | None]]:
    waiting = dict(ends)
    while waiting:
        messages = consumer.consume(500, TIMEOUT_S)
        if not messages:
            raise EventLogUnavailable("a compacted topic's end was not reached in time")
        for message in messages:
            if message.error() is not None:
                raise KafkaException(message.error())
            key, value = message.key(), message.value()
            yield ("" if key is None else key.decode()), None if value is None else value.decode()
        for place in consumer.position(consumer.assignment()):
            if place.partition in waiting and place.offset >= waiting[place.partition]:
                del waiting[place.partition]
