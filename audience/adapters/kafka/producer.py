"""Appending to Kafka: an idempotent producer with `acks=all`, in bulk, with one future for each append.

Bounded in time (librdkafka gives a record up after `timeout_s`, and says so) and in memory (a full queue refuses at
once). Refuses to be clever about retries: what was not acknowledged may or may not be in the log, and whoever appended
it decides. After a fatal error of the idempotent protocol the producer is replaced by a new one.

Acknowledgements are fetched by the event loop itself, once a millisecond while any are awaited. A thread that waits
for them would have to take the interpreter's lock for every record; that cost a sixth of the throughput.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from audience.adapters.kafka.driver import base_config
from audience.ports.event_log import EventLogUnavailable, LogRecord

RECORD_BYTES: Final = 8 * 1024 * 1024
"""The largest record: a bad event may be as large as a request's body, and base64 makes it larger by a third.
Its topic must allow as much (`max.message.bytes`)."""

_QUEUE_RECORDS: Final = 200_000
_QUEUE_KIB: Final = 128 * 1024
_POLL_S: Final = 0.001
_IDLE_POLL_S: Final = 0.5
"""What librdkafka has to log comes out when it is polled, so it is polled while there is nothing to wait for, too."""

_CHECK_S: Final = 1.5
_MARGIN_S: Final = 2.0
"""librdkafka looks for records that are too old once a second; past this margin it is not to be trusted any more."""

log = logging.getLogger(__name__)


class KafkaEventLog:
    """Implements `audience.ports.event_log.EventLog`, for one event loop. Use `open_event_log`."""

    def __init__(self, config: dict[str, Any], timeout_s: float, topics: Collection[str] = ()) -> None:
        self._config = config
        self._timeout_s = timeout_s
        self._topics = topics
        self._producer = Producer(config)
        self._retired: list[Producer] = []
        self._loop = asyncio.get_running_loop()
        self._awaited = 0
        self._timer = self._loop.call_later(_IDLE_POLL_S, self._poll)

    async def append(self, records: Sequence[LogRecord]) -> None:
        """Append all; records with one key keep their order. Raises EventLogUnavailable."""
        if not records:
            return
        delivery = _Delivery(len(records), self._loop)
        report = delivery.report
        producer = self._producer
        try:
            produce = producer.produce
            for record in records:
                produce(record.topic, record.value, record.key, -1, report)
        except BufferError as error:
            raise EventLogUnavailable("the queue to Kafka is full") from error
        except KafkaException as error:
            self._replace_if_fatal(producer, error.args[0])
            raise EventLogUnavailable(f"Kafka: {error.args[0].str()}") from error
        fault = await self._report_of(delivery)
        if fault is not None:
            self._replace_if_fatal(producer, fault)
            raise EventLogUnavailable(f"Kafka: {fault.str()}")

    async def _report_of(self, delivery: "_Delivery") -> KafkaError | None:
        if not self._awaited:
            self._timer.cancel()
            self._timer = self._loop.call_later(_POLL_S, self._poll)
        self._awaited += 1
        # asyncio.timeout() would do the same in three times the time.
        limit = self._loop.call_later(self._timeout_s + _MARGIN_S, delivery.give_up)
        try:
            return await delivery.done
        finally:
            limit.cancel()
            self._awaited -= 1

    async def check(self) -> None:
        """Return when the log answers and has its topics; raise EventLogUnavailable otherwise."""
        try:
            found = await asyncio.to_thread(self._producer.list_topics, timeout=_CHECK_S)
        except KafkaException as error:
            raise EventLogUnavailable(f"Kafka: {error.args[0].str()}") from error
        if missing := sorted(set(self._topics) - found.topics.keys()):
            raise EventLogUnavailable(f"Kafka has no topic {', '.join(missing)}")

    async def close(self) -> None:
        """Let what is under way be acknowledged or given up, then end."""
        ends_s = self._loop.time() + self._timeout_s + _MARGIN_S
        while len(self._producer) and self._loop.time() < ends_s:
            self._producer.poll(0)
            await asyncio.sleep(_POLL_S)
        self._timer.cancel()
        if left := len(self._producer):
            log.warning("%d records were not acknowledged before the end", left)

    def _poll(self) -> None:
        """Have librdkafka call `_Delivery.report` for every acknowledgement that has come in."""
        try:
            self._producer.poll(0)
            for producer in self._retired:
                producer.poll(0)
            self._retired = [producer for producer in self._retired if len(producer)]
        finally:
            self._timer = self._loop.call_later(_POLL_S if self._awaited else _IDLE_POLL_S, self._poll)

    def _replace_if_fatal(self, producer: Producer, error: KafkaError) -> None:
        """After a fatal error a producer takes nothing any more; a new one begins a sequence of its own."""
        if error.fatal() and producer is self._producer:
            log.error("Kafka's producer failed for good and is replaced: %s", error.str())
            self._producer = Producer(self._config)
            self._retired.append(producer)


class _Delivery:
    """Counts the reports of one append's records; the last completes the future, with the first fault or None."""

    __slots__ = ("_fault", "_left", "done")

    def __init__(self, records: int, loop: asyncio.AbstractEventLoop) -> None:
        self._left = records
        self._fault: KafkaError | None = None
        self.done: asyncio.Future[KafkaError | None] = loop.create_future()

    def report(self, fault: KafkaError | None, _: Message) -> None:
        """Called by librdkafka for each record, from within `poll`."""
        if fault is not None and self._fault is None:
            self._fault = fault
        self._left -= 1
        if not self._left and not self.done.done():  # the append may have stopped waiting
            self.done.set_result(self._fault)

    def give_up(self) -> None:
        """Called when librdkafka should have reported everything."""
        if not self.done.done():
            self.done.set_exception(EventLogUnavailable(f"{self._left} records were not acknowledged in time"))


@asynccontextmanager
async def open_event_log(
    bootstrap: str,
    client_id: str,
    *,
    timeout_s: float = 5.0,
    topics: Collection[str] = (),
    linger_ms: float = 5.0,
    compression: str = "lz4",
) -> AsyncIterator[KafkaEventLog]:
    """The log for as long as the block lasts. Connects in the background: Kafka may be away when a service starts.

    `topics` are those whose absence `check` reports.
    """
    event_log = KafkaEventLog(
        {
            **base_config(bootstrap, client_id),
            "acks": "all",
            "enable.idempotence": True,
            "linger.ms": linger_ms,
            "compression.type": compression,
            "partitioner": "murmur2_random",  # as Java's clients partition, so that all agree on a profile's place
            "message.max.bytes": RECORD_BYTES,
            "message.timeout.ms": int(timeout_s * 1000),
            "queue.buffering.max.messages": _QUEUE_RECORDS,
            "queue.buffering.max.kbytes": _QUEUE_KIB,
        },
        timeout_s,
        topics,
    )
    try:
        yield event_log
    finally:
        await event_log.close()
