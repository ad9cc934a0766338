"""Reads a topic from places that the caller keeps, for one who writes what it reads and its place in one commit.

No consumer group shares out the partitions: all are read. The group's offsets are told to Kafka so that tools can see
how far behind it is; nothing begins from them. Blocks; for one thread. Refuses to skip: what Kafka has forgotten before
it was read, and a place beyond the topic's end, are raised.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from confluent_kafka import Consumer, KafkaException, TopicPartition

from audience.adapters.kafka.driver import base_config
from audience.adapters.kafka.reader import TIMEOUT_S, Mark
from audience.ports.event_log import EventLogUnavailable
from audience.ports.lake import LogEntry

_AT_ONCE: Final = 10_000
_WAIT_S: Final = 0.1
_QUEUE_KIB: Final = 16 * 1024


class PlaceLost(Exception):
    """Kafka no longer holds what comes next: `first` is the oldest offset that it has, `end` its next."""

    def __init__(self, topic: str, partition: int, place: int, first: int, end: int) -> None:
        super().__init__(f"{topic}/{partition} holds {first} to {end}, and {place} is next")
        self.partition = partition
        self.place = place
        self.first = first
        self.end = end


class Follower:
    """Use `open_follower`."""

    def __init__(self, config: Mapping[str, Any], topic: str) -> None:
        self._config = dict(config)
        self._topic = topic
        self._at: dict[int, int] = {}
        self._consumer = Consumer(self._config)

    def reconnect(self) -> None:
        """Begin with a new client: one that saw its only broker killed may never find it again."""
        self.close()
        self._consumer = Consumer(self._config)

    def close(self) -> None:
        """Leave Kafka."""
        self._at = {}
        self._consumer.close()

    def partitions(self) -> list[int]:
        """Those that the topic has now. Raises EventLogUnavailable."""
        with _as_unavailable(self._topic):
            found = self._consumer.list_topics(self._topic, timeout=TIMEOUT_S).topics[self._topic].partitions
        if not found:
            raise EventLogUnavailable(f"there is no topic {self._topic}")
        return sorted(found)

    def begin(self, places: Mapping[int, int]) -> None:
        """Read on from these. Raises PlaceLost, EventLogUnavailable."""
        with _as_unavailable(self._topic):
            for partition, place in places.items():
                first, end = self._marks(partition)
                if not first <= place <= end:
                    raise PlaceLost(self._topic, partition, place, first, end)
            self._consumer.assign([TopicPartition(self._topic, *place) for place in places.items()])
        self._at = dict(places)

    def ends(self) -> Mark:
        """Where the partitions that are read end now. Raises EventLogUnavailable."""
        with _as_unavailable(self._topic):
            return {partition: self._marks(partition)[1] for partition in self._at}

    def read(self, ends: Mark, most: int, within_s: float) -> tuple[list[LogEntry], bool]:
        """Up to about `most` records before `ends`, and whether that was all of them. Raises EventLogUnavailable."""
        found: list[LogEntry] = []
        deadline_s = time.monotonic() + within_s
        with _as_unavailable(self._topic):
            while not (reached := self._reached(ends)) and len(found) < most and time.monotonic() < deadline_s:
                for message in self._consumer.consume(min(_AT_ONCE, most), _WAIT_S):
                    if (error := message.error()) is not None:
                        raise KafkaException(error)
                    partition, offset = message.partition(), message.offset()
                    if partition is None or offset is None:
                        continue
                    _, logged_ms = message.timestamp()
                    found.append(LogEntry(partition, offset, logged_ms, _bytes(message.key()), _bytes(message.value())))
                    self._at[partition] = offset + 1
        return found, reached

    def tell(self) -> None:
        """Let tools know how far the group is."""
        if self._at:
            places = [TopicPartition(self._topic, *place) for place in self._at.items()]
            self._consumer.commit(offsets=places, asynchronous=True)

    def lag(self, ends: Mark) -> int:
        """How many records before `ends` have not been read."""
        return sum(max(0, end - self._at.get(partition, 0)) for partition, end in ends.items())

    def _reached(self, ends: Mark) -> bool:
        return all(self._at.get(partition, 0) >= end for partition, end in ends.items())

    def _marks(self, partition: int) -> tuple[int, int]:
        first, end = self._consumer.get_watermark_offsets(TopicPartition(self._topic, partition), timeout=TIMEOUT_S)
        return first, end


def _bytes(data: str | bytes | None) -> bytes | None:
    return data.encode() if isinstance(data, str) else data


@contextmanager
def _as_unavailable(topic: str) -> Iterator[None]:
    try:
        yield
    except KafkaException as error:
        raise EventLogUnavailable(f"{topic} cannot be read: {error.args[0].str()}") from error


@contextmanager
def open_follower(bootstrap: str, group: str, topic: str) -> Iterator[Follower]:
    """A reader for as long as the block lasts."""
    follower = Follower(
        {
            **base_config(bootstrap, group),
            "group.id": group,
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "fetch.wait.max.ms": 50,
            "queued.min.messages": 20_000,
            "queued.max.messages.kbytes": _QUEUE_KIB,
        },
        topic,
    )
    try:
        yield follower
    finally:
        follower.close()
