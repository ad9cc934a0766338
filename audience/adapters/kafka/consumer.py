"""Follows topics as one member of a consumer group, in batches, for asyncio.

All calls into librdkafka that may block run on one thread of their own, in order. Offsets are committed when the caller
says so, and only those of records that it was given: what was not committed is given again after a crash or a
rebalance, so a caller writes idempotently. While a caller cannot go on it calls `hold`, which keeps its place in the
group; nothing more is fetched then. Refuses to lose or to skip a record: a fault of Kafka's is raised, and the next
call goes on where the last one stopped.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from audience.adapters.kafka.driver import base_config
from audience.ports.event_log import EventLogUnavailable

T = TypeVar("T")
_Place: TypeAlias = tuple[str, int]
COMMIT_EVERY_S: Final = 0.25
_TIMEOUT_S: Final = 5.0
_QUEUE_RECORDS: Final = 20_000
_QUEUE_KIB: Final = 32 * 1024
_LEFT_GROUP: Final = frozenset(
    (
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError._ASSIGNMENT_LOST,  # noqa: SLF001  librdkafka's own codes are named so
        KafkaError._NO_OFFSET,  # noqa: SLF001
    )
)

log = logging.getLogger(__name__)


class Record(NamedTuple):
    """One record as it lies in Kafka. `value` None is a tombstone."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None


class BatchConsumer:
    """Use `open_consumer`. Not for several tasks at once.

    Without callbacks for rebalances: during `close` the driver runs them while it holds the interpreter's lock, and
    was seen to wait there for ever. What they would be for is done here by looking at the assignment.
    """

    def __init__(self, made: Callable[[Callable[..., None]], Consumer], topics: Sequence[str]) -> None:
        """`made` gives the driver's consumer, which is to call what it is given when a commit is over."""
        self._consumer = made(self._committed)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="kafka-consumer")
        self._held: list[Message] = []
        self._paused: set[_Place] = set()
        self._uncommitted: set[_Place] = set()
        self._committed_s = 0.0
        self._next: dict[_Place, int] = {}  # the offset after the last record that is done
        self._start: dict[_Place, int] = {}  # the same from before this member, for its lag alone
        self._consumer.subscribe(list(topics))

    async def poll(self, max_records: int, wait_s: float) -> list[Record]:
        """What is there, up to `max_records`; waits for the first record only. Raises EventLogUnavailable."""
        return await self._call(partial(self._poll, max_records, wait_s))

    async def hold(self, for_s: float) -> None:
        """Wait `for_s` without reading on, and stay in the group. Raises EventLogUnavailable."""
        await self._call(partial(self._hold, for_s))

    async def commit(self, records: Sequence[Record]) -> None:
        """These, and all before them, are done.

        Told to Kafka a few times a second, and before a partition goes to another member. A commit that fails is
        logged and made again, or the records come again.
        """
        await self._call(partial(self._commit, records))

    async def lag(self) -> int:
        """How many records of this member's partitions have not been committed yet. Raises EventLogUnavailable."""
        return await self._call(self._lag)

    async def close(self) -> None:
        """Leave the group, with the last commits made."""
        try:
            await self._call(self._close)
        finally:
            self._thread.shutdown(wait=False)

    async def _call(self, action: Callable[[], T]) -> T:
        try:
            # Shielded, so that a cancelled caller does not leave the thread's result to be lost half-way.
            return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._thread, action))
        except KafkaException as error:
            raise EventLogUnavailable(f"Kafka: {error.args[0].str()}") from error

    def _poll(self, max_records: int, wait_s: float) -> list[Record]:
        if self._paused:
            self._resume()
        self._commit_due()
        messages, self._held = self._held, []
        if not messages:
            first = self._consumer.poll(wait_s)
            if first is None:
                return []
            messages = [first]
        if len(messages) < max_records:
            messages += self._consumer.consume(max_records - len(messages), 0)
        return [_record(message) for message in _sound(messages)]

    def _hold(self, for_s: float) -> None:
        # Each time anew: a partition that came meanwhile is not paused yet.
        mine = self._consumer.assignment()
        self._consumer.pause(mine)
        self._paused |= {(each.topic, each.partition) for each in mine}
        message = self._consumer.poll(for_s)
        if message is not None and message.error() is None:
            self._held.append(message)  # it was under way when its partition was paused

    def _resume(self) -> None:
        """A partition that was lost while it was paused is so still when it comes back: the driver keeps it in mind."""
        mine = [each for each in self._consumer.assignment() if (each.topic, each.partition) in self._paused]
        self._consumer.resume(mine)
        self._paused -= {(each.topic, each.partition) for each in mine}

    def _commit(self, records: Sequence[Record]) -> None:
        for record in records:
            place = record.topic, record.partition
            self._next[place] = record.offset + 1
            self._uncommitted.add(place)
        self._commit_due()

    def _commit_due(self) -> None:
        now_s = time.monotonic()
        if self._uncommitted and now_s - self._committed_s >= COMMIT_EVERY_S:
            self._committed_s = now_s
            if offsets := self._offsets_to_commit():
                self._consumer.commit(offsets=offsets, asynchronous=True)

    def _committed(self, error: KafkaError | None, places: Sequence[TopicPartition]) -> None:
        """Called from `poll`, on the thread of this consumer."""
        if error is None:
            return
        self._uncommitted |= {(each.topic, each.partition) for each in places} & self._next.keys()
        if error.code() not in _LEFT_GROUP:
            log.warning("a commit of offsets failed, and is made again: %s", error.str())

    def _offsets_to_commit(self) -> list[TopicPartition]:
        """Of the partitions that are still this member's; those of others are theirs to commit."""
        mine = {(each.topic, each.partition) for each in self._consumer.assignment()}
        for gone in self._next.keys() - mine:
            del self._next[gone]
            self._start.pop(gone, None)
        done, self._uncommitted = self._uncommitted & mine, set()
        return [TopicPartition(*place, self._next[place]) for place in done]

    def _close(self) -> None:
        try:
            if self._uncommitted and (offsets := self._offsets_to_commit()):
                self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            log.warning("the last offsets were not committed, so their records come again: %s", error)
        finally:
            self._consumer.close()

    def _lag(self) -> int:
        places = [(each.topic, each.partition) for each in self._consumer.assignment()]
        if unknown := [place for place in places if place not in self._next and place not in self._start]:
            asked = [TopicPartition(*place) for place in unknown]
            for each in self._consumer.committed(asked, timeout=_TIMEOUT_S):
                self._start[each.topic, each.partition] = each.offset
        return sum(self._behind(place) for place in places)

    def _behind(self, place: _Place) -> int:
        """What a partition holds beyond what is done. Its end is known from reading it, which a holder does not."""
        at = TopicPartition(*place)
        first, end = self._consumer.get_watermark_offsets(at, timeout=_TIMEOUT_S, cached=not self._paused)
        if end < 0:
            first, end = self._consumer.get_watermark_offsets(at, timeout=_TIMEOUT_S)
        return max(0, end - max(first, self._next.get(place, self._start.get(place, first))))


def _sound(messages: Sequence[Message]) -> Sequence[Message]:
    """The messages, without the faults that librdkafka passes among them: raised where there is nothing else."""
    faults = [error for message in messages if (error := message.error()) is not None]
    if not faults:
        return messages
    if len(faults) == len(messages):
        raise KafkaException(faults[0])
    log.warning("Kafka: %s", faults[0].str())
    return [message for message in messages if message.error() is None]


def _record(message: Message) -> Record:
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    if topic is None or partition is None or offset is None:
        raise KafkaException(KafkaError(KafkaError._BAD_MSG, "a record without its place"))  # noqa: SLF001
    return Record(topic, partition, offset, message.timestamp()[1], _bytes(message.key()), _bytes(message.value()))


def _bytes(data: Any) -> bytes | None:
    return data if data is None or isinstance(data, bytes) else str(data).encode()


@asynccontextmanager
async def open_consumer(
    bootstrap: str, group: str, topics: Sequence[str], *, gather_bytes: int = 1, gather_ms: int = 50
) -> AsyncIterator[BatchConsumer]:
    """A member of `group`, for as long as the block lasts; a new group begins at the first record.

    Kafka answers when it has `gather_bytes`, or after `gather_ms`: with 1, each record as it comes, which costs the
    broker a request for every few records of a busy topic. Connects in the background: Kafka may be away when a
    service starts.
    """
    config = {
        **base_config(bootstrap, group),
        "group.id": group,
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "fetch.min.bytes": gather_bytes,
        "fetch.wait.max.ms": gather_ms,
        "fetch.queue.backoff.ms": 20,  # after a full queue; left alone, a second
        "fetch.error.backoff.ms": 100,
        "queued.min.messages": _QUEUE_RECORDS,
        "queued.max.messages.kbytes": _QUEUE_KIB,
        "session.timeout.ms": 10_000,
        "heartbeat.interval.ms": 2_000,
        "topic.metadata.refresh.interval.ms": 10_000,  # a topic that is created later is found
    }
    consumer = BatchConsumer(lambda committed: Consumer({**config, "on_commit": committed}), topics)
    try:
        yield consumer
    finally:
        await consumer.close()
