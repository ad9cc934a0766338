"""The accepted events of one profile, found by reading its partition of `events` from end to end.

Kafka has no index by key, so this takes time in proportion to the partition: some 200,000 records a second. It is for
questions that people ask, a few at a time; past `time_limit_s` it gives up rather than hold its place.
"""

import asyncio
import time
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec
from confluent_kafka import Consumer, KafkaException, TopicPartition

from audience.adapters.kafka.driver import base_config
from audience.ports.event_log import EventLogUnavailable, KeptEvent
from audience.wire.topics import EVENTS, decode_event, key_of

AT_ONCE: Final = 4
"""How many histories one process reads at a time."""

_BATCH: Final = 10_000
_POLL_S: Final = 0.2

_QUEUE_KIB: Final = 8 * 1024
"""What librdkafka reads ahead of us. With its 64 MiB a few readers at once left the process 300 MiB large for good."""


class KafkaEventHistory:
    """Implements `audience.ports.event_log.EventHistory`."""

    def __init__(self, bootstrap: str, *, time_limit_s: float = 5.0) -> None:
        self._bootstrap = bootstrap
        self._time_limit_s = time_limit_s
        self._places = asyncio.Semaphore(AT_ONCE)

    async def events_of(self, workspace: str, profile_id: str) -> Iterable[KeptEvent]:
        """In the order of acceptance. Raises EventLogUnavailable, also when it takes longer than its time limit."""
        deadline_s = time.monotonic() + self._time_limit_s
        try:
            async with asyncio.timeout(self._time_limit_s):
                await self._places.acquire()
        except TimeoutError as error:
            raise EventLogUnavailable("too many histories are being read") from error
        try:
            # The thread looks at the deadline itself; a cancelled caller does not wait for it.
            return await asyncio.to_thread(self._read, key_of(workspace, profile_id).encode(), deadline_s)
        except KafkaException as error:
            raise EventLogUnavailable(f"Kafka: {error.args[0].str()}") from error
        finally:
            self._places.release()

    def _read(self, key: bytes, deadline_s: float) -> list[KeptEvent]:
        consumer = Consumer(
            {
                **base_config(self._bootstrap, "event-history"),
                "group.id": "event-history",  # the client requires one; nothing is committed, no group is joined
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 10,
                "queued.min.messages": 100_000,
                "queued.max.messages.kbytes": _QUEUE_KIB,
            }
        )
        try:
            topics = consumer.list_topics(EVENTS, timeout=_left(deadline_s)).topics
            partitions = len(topics[EVENTS].partitions)
            if not partitions:
                raise EventLogUnavailable(f"there is no topic {EVENTS}")
            place = TopicPartition(EVENTS, partition_of(key, partitions))
            first, end = consumer.get_watermark_offsets(place, timeout=_left(deadline_s))
            if first == end:
                return []
            place.offset = first
            consumer.assign([place])
            return [decode_event(value) for value in _values(consumer, key, end, deadline_s)]
        except msgspec.MsgspecError as error:
            raise EventLogUnavailable(f"a record of {EVENTS} cannot be read: {error}") from error
        finally:
            consumer.close()


def _values(consumer: Consumer, key: bytes, end: int, deadline_s: float) -> Iterator[bytes]:
    """The values under `key` in the assigned partition, up to the offset `end`."""
    while True:
        messages = consumer.consume(_BATCH, min(_POLL_S, _left(deadline_s)))
        for message in messages:
            if (error := message.error()) is not None:
                raise KafkaException(error)
            if message.key() == key and (value := message.value()) is not None:
                yield value
        [place] = consumer.position(consumer.assignment())
        if place.offset >= end:
            return


def _left(deadline_s: float) -> float:
    left_s = deadline_s - time.monotonic()
    if left_s <= 0:
        raise EventLogUnavailable("reading the profile's history took too long")
    return left_s


def partition_of(key: bytes, partitions: int) -> int:
    """The partition that Kafka's default partitioner, and librdkafka's `murmur2`, give a key."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def murmur2(data: bytes) -> int:
    """MurmurHash2 by Austin Appleby, 32 bits, with the seed and the constants of Kafka's clients."""
    factor, mask = 0x5BD1E995, 0xFFFFFFFF
    value = 0x9747B28C ^ len(data)
    whole = len(data) & ~3
    for at in range(0, whole, 4):
        part = int.from_bytes(data[at : at + 4], "little") * factor & mask
        part = (part ^ part >> 24) * factor & mask
        value = (value * factor & mask) ^ part
    if whole < len(data):
        value = (value ^ int.from_bytes(data[whole:], "little")) * factor & mask
    value = (value ^ value >> 13) * factor & mask
    return value ^ value >> 15
